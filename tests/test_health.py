"""Whether the service is alive."""

from flask import Flask
from flask.testing import FlaskClient

from cashman.index import create_app


def test_it_says_that_it_is_alive(client: FlaskClient) -> None:
    for path in ("/healthz", "/healthz/"):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype, answer.json) == (200, "application/json", {"status": "alive"})
    assert client.head("/healthz").status_code == 200


def test_it_is_alive_without_its_database(tmp_path) -> None:
    """A database that is out of reach is no reason to restart the process."""
    for url in ("postgresql://127.0.0.1:1/nothing", f"sqlite:///{tmp_path / 'cashman.db'}"):
        app: Flask = create_app({"CASHMAN_DATABASE_URL": url})
        assert app.test_client().get("/healthz").status_code == 200
    assert list(tmp_path.iterdir()) == [], "asking for health opens no books"


def test_it_takes_no_query_and_no_body(client: FlaskClient) -> None:
    assert client.get("/healthz?verbose").status_code == 422
    assert client.post("/healthz", json={}).status_code == 405
