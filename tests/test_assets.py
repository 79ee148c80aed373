"""Static files are served under what they hash to, kept for ever, and compressed; nothing else of the folder is."""

import gzip
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cashman import assets


@pytest.fixture
def client(routes: Flask) -> FlaskClient:
    """Static files need no books."""
    return routes.test_client()


@pytest.mark.parametrize("name", sorted(assets.assets()))
def test_a_file_is_kept_for_ever_under_its_digest_and_comes_compressed(client: FlaskClient, name: str) -> None:
    url, data = assets.url(name), (assets.FOLDER / name).read_bytes()
    plain = client.get(url)
    assert (plain.status_code, plain.data) == (200, data)
    assert plain.mimetype == assets.MEDIA_TYPES["." + name.rpartition(".")[2]]
    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert "Content-Encoding" not in plain.headers
    small = client.get(url, headers={"Accept-Encoding": "br, gzip"})
    if len(data) >= assets.WORTH_COMPRESSING:
        assert small.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(small.data) == data
        assert int(small.headers["Content-Length"]) == len(small.data) < len(data)
    assert client.get(url, headers={"Accept-Encoding": "gzip;q=0"}).data == data


def test_under_another_digest_a_file_is_asked_for_each_time(client: FlaskClient) -> None:
    answer = client.get("/static/0123456789abcdef/page.css")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "path",
    [
        "nope.css", "", ".", "../__init__.py", "..%2f__init__.py", "%2e%2e/frame.py", "page.css/",
        "./page.css", "/page.css", "page.css%00", "PAGE.CSS",
    ],
)  # fmt: skip
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(f"/static/{assets.digest()}/{path}").status_code in (404, 405)


def test_the_digest_changes_with_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    files = assets.assets()
    page = files["page.css"]
    others = [
        {**files, "page.css": assets.Asset(page.media_type, page.data + b" ", b"")},
        {**files, "more.css": page},
        {name: asset for name, asset in files.items() if name != "page.css"},
    ]
    digests = {assets.digest()}
    for other in others:
        monkeypatch.setattr(assets, "assets", lambda other=other: other)
        digests.add(assets.digest.__wrapped__())
    assert len(digests) == 4


def test_a_page_that_names_a_file_that_is_not_there_fails(routes: Flask) -> None:
    with pytest.raises(KeyError):
        assets.url("nope.css")


def test_no_file_asks_anybody_else() -> None:
    for name, asset in assets.assets().items():
        text = asset.data.decode()
        assert not re.search(r"""https?://(?!www\.w3\.org/)|["'(]//|@import|eval\(|new Function""", text), name
