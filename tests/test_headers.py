"""Every answer tells browsers to be careful; another origin may ask only where it is configured, exactly as it is."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from serving import Service, standing_app
from werkzeug.test import TestResponse

from cashman import headers
from cashman.errors import HttpProblem, Problem
from cashman.index import create_app

ORIGIN = "https://app.example.com"
OTHER_ORIGIN = "http://[::1]:3000"
ALLOWED = (ORIGIN, OTHER_ORIGIN)
STRANGER = "https://evil.example"

JSON_ANSWERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGES = JSON_ANSWERS | {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
GUARDING = {*JSON_ANSWERS, "Strict-Transport-Security"}
HSTS = "max-age=31536000"


@pytest.fixture(scope="module")
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """One service for all, without configured origins: no test here depends on what is in its books."""
    with standing_app("sqlite", request, tmp_path_factory.mktemp("plain"), CASHMAN_AUTH="open") as app:
        yield app


@pytest.fixture(scope="module")
def open_app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The same, to be used by the pages of two origins."""
    settings = {"CASHMAN_AUTH": "open", "CASHMAN_CORS_ORIGINS": ", ".join(ALLOWED)}
    with standing_app("sqlite", request, tmp_path_factory.mktemp("cors"), **settings) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def open_client(open_app: Flask) -> FlaskClient:
    return open_app.test_client()


def told(answer: TestResponse, names: set[str]) -> dict[str, str]:
    """Some headers of an answer, none of which may be there twice."""
    found = {name: answer.headers.getlist(name) for name in names}
    assert all(len(values) <= 1 for values in found.values()), found
    return {name: values[0] for name, values in found.items() if values}


def asked_about(answer: TestResponse) -> set[str]:
    """The request headers that an answer depends on, as a cache reads it: over all lines."""
    return {name.strip() for line in answer.headers.getlist("Vary") for name in line.split(",")}


def access_headers(answer: TestResponse) -> set[str]:
    """The headers that open an answer to another origin."""
    return {name for name, _ in answer.headers if name.lower().startswith("access-control-")}


# What every answer says.

REQUESTS: list[tuple[int, str, str, dict[str, Any]]] = [
    (200, "GET", "/expenses", {}),
    (200, "GET", "/", {}),
    (200, "GET", "/openapi.json", {}),
    (200, "GET", "/journal", {}),
    (200, "GET", "/balances", {"headers": {"Accept": "text/csv"}}),
    (200, "HEAD", "/expenses", {}),
    (
        201,
        "POST",
        "/incomes",
        {"json": {"description": "x", "amount": 1}, "headers": {"Prefer": "return=representation"}},
    ),
    (204, "POST", "/incomes", {"json": {"description": "lottery", "amount": 1000.0}}),
    (304, "GET", "/expenses", {"headers": {"If-None-Match": "*"}}),
    (400, "POST", "/incomes", {"data": "{", "headers": {"Content-Type": "application/json"}}),
    (404, "GET", "/nope", {}),
    (404, "GET", "/expenses/01ARZ3NDEKTSV4RRFFQ69G5FAV", {}),
    (405, "DELETE", "/expenses", {}),
    (405, "TRACE", "/expenses", {}),
    (413, "POST", "/incomes", {"environ_overrides": {"CONTENT_LENGTH": "999999999"}, "json": {}}),
    (415, "POST", "/incomes", {"data": "amount=5"}),
    (422, "POST", "/incomes", {"json": {}}),
    (422, "GET", "/expenses?nope=1", {}),
]


@pytest.mark.parametrize(("status", "method", "path", "options"), REQUESTS)
def test_every_answer_tells_browsers_to_be_careful(
    client: FlaskClient, status: int, method: str, path: str, options: dict[str, Any]
) -> None:
    answer = client.open(path, method=method, **options)
    assert answer.status_code == status
    assert told(answer, GUARDING) == JSON_ANSWERS


def leaves() -> list[type[Problem]]:
    """Every problem there is."""
    found, level = [], [Problem]
    while level:
        level = [child for parent in level for child in parent.__subclasses__()]
        found += level
    return found


@pytest.mark.parametrize("problem", leaves(), ids=lambda problem: problem.__name__)
def test_every_problem_does_so_too(
    app: Flask, open_app: Flask, monkeypatch: pytest.MonkeyPatch, problem: type[Problem]
) -> None:
    def fail() -> None:
        raised = problem(headers={"WWW-Authenticate": "Bearer"})
        if problem is HttpProblem:
            raised.status = 418  # type: ignore[misc]
        raise raised

    for service, origin in ((app, None), (open_app, ORIGIN)):
        monkeypatch.setitem(service.view_functions, "health.get_health", fail)
        answer = service.test_client().get("/healthz", headers={"Origin": ORIGIN})
        assert answer.status_code == getattr(problem, "status", 418)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        corp = "same-origin" if origin is None else "cross-origin"
        assert told(answer, GUARDING) == JSON_ANSWERS | {"Cross-Origin-Resource-Policy": corp}
        assert answer.headers.get("Access-Control-Allow-Origin") == origin


def test_so_does_the_answer_to_a_fault_of_ours(app: Flask, open_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    for service, origin in ((app, None), (open_app, ORIGIN)):
        monkeypatch.setitem(service.view_functions, "health.get_health", fail)
        answer = service.test_client().get("/healthz", headers={"Origin": ORIGIN})
        assert answer.status_code == 500
        assert GUARDING - {"Strict-Transport-Security"} <= set(answer.headers.keys())
        assert answer.headers.get("Access-Control-Allow-Origin") == origin


def test_who_has_no_token_is_told_so_in_a_way_that_a_page_can_read(tmp_path: Path) -> None:
    app = create_app(
        {
            "CASHMAN_DATABASE_URL": f"sqlite:///{tmp_path / 'cashman.db'}",
            "CASHMAN_AUTH": "required",
            "CASHMAN_CORS_ORIGINS": ORIGIN,
        }
    )
    answer = app.test_client().get("/expenses", headers={"Origin": ORIGIN})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert app.test_client().options("/expenses", headers=preflight).status_code == 204
    assert access_headers(app.test_client().options("/expenses", headers=preflight | {"Origin": STRANGER})) == set()


# Pages.


@pytest.mark.parametrize("path", ["/", "/pages/overview", "/problems", "/problems/not-found"])
def test_a_page_may_use_what_this_service_serves_and_nothing_inline(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert told(answer, GUARDING) == PAGES


class Forbidden(HTMLParser):
    """What of a page its policy would keep from working, or from being only ours."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in {"style", "iframe", "object", "embed", "base", "video", "audio"}:
            self.found.append(tag)
        if tag == "script" and "src" not in given:
            self.found.append(tag)
        for name in ("src", "action", "formaction", "srcset", "poster", *(["href"] if tag == "link" else [])):
            if name in given and not re.match("/(?!/)", given[name] or ""):
                self.found.append(f"{tag} {name}")
        self.found += [name for name, _ in attributes if name == "style" or name.startswith(("on", "hx-on"))]


def test_no_page_needs_what_its_policy_forbids(client: FlaskClient) -> None:
    linked = re.findall('href="(/problems/[^"]+)"', client.get("/problems").text)
    rules = [rule.rule for rule in client.application.url_map.iter_rules() if rule.rule.startswith("/pages/")]
    pages = {path: client.get(path) for path in ("/problems", *linked, *rules)}
    assert len(pages) > 20
    assert {path: Forbidden(page.text).found for path, page in pages.items() if Forbidden(page.text).found} == {}


@pytest.mark.parametrize(
    "part",
    [
        "<script>1</script>",
        "<style>p {}</style>",
        '<p style="color: red">',
        '<p onclick="1">',
        '<p hx-on:click="1">',
        '<img src="https://example.com/x">',
        '<img src="//example.com/x">',
        '<img src="data:image/svg+xml,x">',
        '<link rel="stylesheet" href="https://example.com/x">',
        '<form action="https://example.com/x">',
        '<button formaction="javascript:1">',
    ],
)
def test_what_a_policy_forbids_would_be_seen(part: str) -> None:
    """The control of the test above."""
    assert Forbidden(f"<main>{part}</main>").found != []


# Transport.


def test_only_who_came_by_https_is_told_to_stay_with_it(client: FlaskClient) -> None:
    for path in ("/expenses", "/problems", "/nope"):
        assert client.get(path, base_url="https://localhost").headers["Strict-Transport-Security"] == HSTS
        assert "Strict-Transport-Security" not in client.get(path, base_url="http://localhost").headers


def test_only_a_trusted_proxy_can_say_that_it_was_https() -> None:
    url = {"CASHMAN_DATABASE_URL": "sqlite:////nowhere/cashman.db"}
    trusting = create_app({**url, "CASHMAN_TRUSTED_PROXIES": "10.0.0.0/8"})
    for app, peer, secure in (
        (trusting, "10.0.0.1", True),
        (trusting, "127.0.0.1", False),
        (create_app(url), "10.0.0.1", False),
    ):
        answer = app.test_client().get(
            "/problems", headers={"X-Forwarded-Proto": "https"}, environ_overrides={"REMOTE_ADDR": peer}
        )
        assert ("Strict-Transport-Security" in answer.headers) is secure


# What a view says itself.


def test_what_a_view_says_about_caching_and_variation_stays(
    app: Flask, open_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer() -> Response:
        return Response("{}", headers={"Cache-Control": "no-store", "Vary": "Accept-Language"})

    for service, vary in ((app, {"Accept-Language"}), (open_app, {"Accept-Language", "Origin"})):
        monkeypatch.setitem(service.view_functions, "health.get_health", answer)
        given = service.test_client().get("/healthz")
        assert given.headers.getlist("Cache-Control") == ["no-store"]
        assert vary <= asked_about(given)
        assert ("Origin" in asked_about(given)) is ("Origin" in vary)


def test_the_lists_name_what_the_views_take_and_give(app: Flask) -> None:
    contracts = [view.contract for view in app.view_functions.values() if hasattr(view, "contract")]
    assert len(contracts) > 20
    assert {name for terms in contracts for name in terms.headers} <= set(headers.RESPONSE_HEADERS)
    assert {name for terms in contracts for name in terms.takes_headers} <= set(headers.REQUEST_HEADERS)
    methods = {method for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    assert methods - {"OPTIONS"} <= set(headers.METHODS)


# Other origins. A page's request goes through what a browser would do (the Fetch standard, 4.8 to 4.10).

SAFE_HEADERS = {"accept", "accept-language", "content-language"}
SAFE_TYPES = {"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
SAFE_METHODS = {"GET", "HEAD", "POST"}
SAFE_RESPONSE_HEADERS = {
    "cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma",
}  # fmt: skip


class Blocked(Exception):
    """The browser keeps an answer from the page, or does not ask."""


def values(answer: TestResponse, name: str) -> set[str]:
    """The members of a header that is a list."""
    return {value.strip() for value in answer.headers.get(name, "").split(",")} - {""}


def fetch(
    client: FlaskClient, origin: str, method: str, path: str, sent: dict[str, str] | None = None, **options: Any
) -> tuple[TestResponse, dict[str, str]]:
    """What the page of an origin is given: the answer, and the headers that it can read."""
    sent = sent or {}
    unsafe = {name.lower() for name in sent} - SAFE_HEADERS
    if sent.get("Content-Type", "").partition(";")[0] in SAFE_TYPES:
        unsafe -= {"content-type"}
    if unsafe or method not in SAFE_METHODS:
        asked = {"Origin": origin, "Access-Control-Request-Method": method}
        if unsafe:
            asked["Access-Control-Request-Headers"] = ",".join(sorted(unsafe))
        preflight = client.options(path, headers=asked)
        _check(preflight, origin)
        if not 200 <= preflight.status_code < 300:
            raise Blocked(f"the preflight's status is {preflight.status}")
        if method not in SAFE_METHODS | values(preflight, "Access-Control-Allow-Methods"):
            raise Blocked(method)
        allowed = {name.lower() for name in values(preflight, "Access-Control-Allow-Headers")}
        if not unsafe <= allowed:
            raise Blocked(f"{unsafe - allowed}")
    answer = client.open(path, method=method, headers={**sent, "Origin": origin}, **options)
    _check(answer, origin)
    exposed = {name.lower() for name in values(answer, "Access-Control-Expose-Headers")} | SAFE_RESPONSE_HEADERS
    return answer, {name: value for name, value in answer.headers if name.lower() in exposed}


def _check(answer: TestResponse, origin: str) -> None:
    """A cross-origin request without credentials: one allowed origin, byte for byte."""
    if answer.headers.getlist("Access-Control-Allow-Origin") not in ([origin], ["*"]):
        raise Blocked("the origin is not allowed")


EVERY_HEADER = {
    "Authorization": "Bearer x",
    "Content-Type": "application/json",
    "Idempotency-Key": "k",
    "If-Match": '"1"',
    "If-None-Match": '"1"',
    "Prefer": "return=minimal",
    "Accept-Language": "de",
}


@pytest.mark.parametrize("origin", ALLOWED)
def test_a_page_of_a_configured_origin_can_use_the_whole_service(open_client: FlaskClient, origin: str) -> None:
    json_type = {"Content-Type": "application/json"}
    document = {"description": "pizza", "amount": 50}
    sent = json_type | {"Prefer": "return=representation", "Idempotency-Key": f"key of {origin}"}
    for replayed in (None, "true"):
        answer, seen = fetch(open_client, origin, "POST", "/expenses", sent, json=document)
        assert answer.status_code == 201
        assert seen["ETag"] == '"1"'
        assert re.fullmatch("[0-9]+:[0-9a-f]{64}", seen["Cashman-Head"])
        assert seen["Preference-Applied"] == "return=representation"
        assert seen.get("Idempotency-Replayed") == replayed
    path = seen["Location"]
    answer, seen = fetch(open_client, origin, "PATCH", path, json_type | {"If-Match": '"1"'}, json={"amount": 51})
    assert (answer.status_code, seen["ETag"]) == (200, '"2"')
    assert fetch(open_client, origin, "GET", path, {"If-None-Match": '"2"'})[0].status_code == 304
    dated = document | {"date": "2025-01-17"}
    assert fetch(open_client, origin, "PUT", path, json_type, json=dated)[0].status_code == 200
    assert "Link" in fetch(open_client, origin, "GET", "/journal?limit=1")[1]
    assert fetch(open_client, origin, "DELETE", path)[0].status_code == 204
    assert fetch(open_client, origin, "GET", "/nope")[0].status_code == 404
    assert fetch(open_client, origin, "DELETE", "/nope")[0].status_code == 404
    assert fetch(open_client, origin, "POST", "/expenses?stray=1", json_type, json={})[0].status_code == 422
    assert fetch(open_client, origin, "HEAD", "/expenses")[0].status_code == 200


def test_every_header_that_the_service_takes_may_be_sent_and_no_other(open_client: FlaskClient) -> None:
    fetch(open_client, ORIGIN, "GET", "/expenses", EVERY_HEADER)
    assert set(headers.REQUEST_HEADERS) == set(EVERY_HEADER)
    for name in ("X-Forwarded-For", "X-Requested-With", "Cookie2", "Range", "*"):
        with pytest.raises(Blocked):
            fetch(open_client, ORIGIN, "GET", "/expenses", {name: "x"})


def test_a_method_that_the_service_does_not_have_is_not_allowed(open_client: FlaskClient) -> None:
    for method in ("TRACE", "PROPFIND", "patch", "*"):
        with pytest.raises(Blocked):
            fetch(open_client, ORIGIN, method, "/expenses")


STRANGERS = [
    STRANGER,
    "null",
    "*",
    "http://app.example.com",
    "https://app.example.com:443",
    "https://app.example.com:8443",
    "https://app.example.com/",
    "https://app.example.com.evil.example",
    "https://evil.example/https://app.example.com",
    "https://appXexample.com",
    "https://sub.app.example.com",
    "https://example.com",
    "https://APP.example.com",
    "HTTPS://app.example.com",
    "https://app.example.com ",
    "https://app.example.com,https://evil.example",
    "https://app.example.com https://evil.example",
    f"{ORIGIN}, {OTHER_ORIGIN}",
    "http://1:3000",
    "http://1:3000.evil.example",
    "http://:3000",
    "http://[::1]:30000",
    "http://localhost",
    "http://localhost:5000",
    "",
]


@pytest.mark.parametrize("origin", STRANGERS)
def test_no_other_origin_is_told_anything(open_client: FlaskClient, origin: str) -> None:
    for path in ("/expenses", "/problems", "/nope"):
        answer = open_client.get(path, environ_overrides={"HTTP_ORIGIN": origin})
        assert access_headers(answer) == set()
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        preflight = open_client.options(
            path, headers={"Access-Control-Request-Method": "POST"}, environ_overrides={"HTTP_ORIGIN": origin}
        )
        assert access_headers(preflight) == set()


def test_a_page_of_another_origin_reads_nothing_and_changes_nothing(open_client: FlaskClient) -> None:
    json_type = {"Content-Type": "application/json"}
    head = open_client.get("/expenses").headers["Cashman-Head"]
    for method, sent in (("GET", {}), ("POST", json_type), ("DELETE", {}), ("GET", {"Authorization": "Bearer x"})):
        with pytest.raises(Blocked):
            fetch(open_client, STRANGER, method, "/expenses", sent, data=b'{"description": "x", "amount": 1}')
    # What needs no preflight is refused by its media type.
    with pytest.raises(Blocked):
        fetch(open_client, STRANGER, "POST", "/expenses", {"Content-Type": "text/plain"}, data=b"{}")
    assert open_client.get("/expenses").headers["Cashman-Head"] == head


@pytest.mark.parametrize("origin", [*ALLOWED, STRANGER, "null"])
def test_where_nothing_is_configured_no_origin_is(client: FlaskClient, origin: str) -> None:
    for method, path, sent in (
        ("GET", "/expenses", {}),
        ("POST", "/expenses", {"Content-Type": "application/json"}),
        ("DELETE", "/expenses", {}),
    ):
        with pytest.raises(Blocked):
            fetch(client, origin, method, path, sent)
        answer = client.open(path, method=method, headers={"Origin": origin, **sent})
        assert access_headers(answer) == set()
        assert "Origin" not in asked_about(answer)
        asked = {"Origin": origin, "Access-Control-Request-Method": method}
        assert access_headers(client.options(path, headers=asked)) == set()


def test_a_cache_is_told_that_answers_go_by_origin(open_client: FlaskClient) -> None:
    """Also the answers that name none, or what one was told without an origin would be kept for another."""
    for origin in (*ALLOWED, STRANGER, None):
        sent = {} if origin is None else {"Origin": origin}
        for path in ("/expenses", "/problems", "/nope"):
            answer = open_client.get(path, headers=sent)
            assert "Origin" in asked_about(answer)
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if origin in ALLOWED else None)
    assert "Origin" in asked_about(open_client.get("/expenses", headers={"If-None-Match": "*", "Origin": ORIGIN}))
    alone = create_app({"CASHMAN_DATABASE_URL": "sqlite:////nowhere/cashman.db", "CASHMAN_CORS_ORIGINS": ORIGIN})
    assert "Origin" in asked_about(alone.test_client().get("/problems"))


def test_no_page_may_send_what_the_browser_keeps_for_us(open_client: FlaskClient) -> None:
    """A page that has to have a token cannot use anybody else's."""
    for method in ("GET", "OPTIONS"):
        answer = open_client.open(
            "/expenses",
            method=method,
            headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET", "Cookie": "session=1"},
        )
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Set-Cookie" not in answer.headers


def test_a_preflight_is_answered_whatever_the_path_and_changes_nothing(open_client: FlaskClient) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    head = open_client.get("/expenses").headers["Cashman-Head"]
    for path in ("/expenses", "/expenses?category=Food", "/nope?x=1", "/openapi.json", "/accounts/1"):
        answer = open_client.options(path, headers=asked)
        assert (answer.status_code, answer.data) == (204, b"")
        assert "Content-Type" not in answer.headers
        assert answer.headers["Access-Control-Max-Age"] == "7200"
        assert asked_about(answer) == {"Origin"}
    assert open_client.get("/expenses").headers["Cashman-Head"] == head


def test_only_options_are_a_preflight(open_client: FlaskClient) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert open_client.get("/expenses", headers=asked).status_code == 200
    assert open_client.get("/nope", headers=asked).status_code == 404
    assert open_client.delete("/expenses", headers=asked).status_code == 405


def test_options_without_an_origin_tell_what_a_path_takes(open_client: FlaskClient) -> None:
    for sent in ({}, {"Origin": ORIGIN}, {"Access-Control-Request-Method": "POST"}):
        answer = open_client.options("/expenses", headers=sent)
        assert answer.status_code == 200
        assert values(answer, "Allow") == {"GET", "HEAD", "OPTIONS", "POST"}
        assert "Access-Control-Allow-Methods" not in answer.headers


def test_a_real_server_sends_all_of_it(tmp_path: Path) -> None:
    service = Service(
        tmp_path, f"sqlite:///{tmp_path / 'cashman.db'}", CASHMAN_AUTH="open", CASHMAN_CORS_ORIGINS=ORIGIN
    )
    connection = service.connect()
    try:
        for method, path, status in (("GET", "/expenses", 200), ("OPTIONS", "/expenses", 204), ("GET", "/nope", 404)):
            connection.request(method, path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
            found = {name: answer.headers.get_all(name) for name in JSON_ANSWERS}
            assert found == {
                name: ["cross-origin"] if name == "Cross-Origin-Resource-Policy" else [value]
                for name, value in JSON_ANSWERS.items()
            }
            assert answer.headers.get_all("Access-Control-Allow-Origin") == [ORIGIN]
            assert answer.headers.get_all("Strict-Transport-Security") is None
    finally:
        connection.close()
        service.remove()
