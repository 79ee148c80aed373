"""Every error of every route is problem details, from one place; every type has a page; our insides stay inside."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from markupsafe import escape
from serving import standing_app
from werkzeug.exceptions import HTTPException, TooManyRequests
from werkzeug.routing import IntegerConverter, Rule
from werkzeug.test import TestResponse

from cashman import current, problems
from cashman.errors import HttpProblem, Problem
from cashman.index import create_app
from cashman.wire import NumberConverter

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY")
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SECRET = "s3cret at /srv/insides.py"


@pytest.fixture(scope="module")
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """One service for all: what is wrong with a request is told before an engine is asked."""
    with standing_app("sqlite", request, tmp_path_factory.mktemp("standing")) as app:
        yield app


@pytest.fixture(scope="module")
def client(standing: Flask) -> FlaskClient:
    """The administrator, whom no route refuses."""
    client = standing.test_client()
    credentials = {"email": "ann@example.com", "password": "correct horse"}
    code = current.access(standing).setup_code()
    made = client.post("/users", json={**credentials, "setup_code": code}).json
    token = client.post("/tokens", json=credentials).json["access_token"]
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    open_ = client.open

    def open_own(path: Any, *arguments: Any, **named: Any) -> TestResponse:
        """A path that names a ledger means the one that there is."""
        return open_(path.replace(f"/ledgers/{ULID}", f"/ledgers/{made['ledger']}"), *arguments, **named)

    client.open = open_own  # type: ignore[method-assign]
    return client


def routes() -> list[tuple[str, Rule]]:
    """Every rule of the service, with a path that it takes."""
    app = create_app({"CASHMAN_DATABASE_URL": "sqlite:////nowhere/cashman.db"})
    adapter = app.url_map.bind("localhost")
    found = []
    for rule in app.url_map.iter_rules():
        numbers = (IntegerConverter, NumberConverter)
        whole = {name for name, converter in rule._converters.items() if isinstance(converter, numbers)}
        values = {name: 1 if name in whole else ULID for name in rule.arguments}
        values |= {name: "csv" for name in rule.arguments if name == "format_name"}
        found.append((adapter.build(rule.endpoint, values, method=min(rule.methods or ["GET"])), rule))
    return found


ROUTES = routes()
PATHS = sorted({path for path, _ in ROUTES})


def check(answer: TestResponse, status: int, slug: str) -> dict[str, Any]:
    """The members of a problem, which has to be well formed and that one."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    if answer.request.method == "HEAD":
        assert answer.data == b""
        return {}
    document: dict[str, Any] = answer.json
    assert set(document) <= {"type", "title", "status", "detail", "errors"}
    assert document["type"] == f"/problems/{slug}"
    assert document["status"] == status
    assert document["title"]
    return document


def leaves() -> list[type[Problem]]:
    """Every problem there is, however deep it derives."""
    found, level = [], [Problem]
    while level:
        level = [child for parent in level for child in parent.__subclasses__()]
        found += level
    return found


# Every type has a page.


@pytest.mark.parametrize("problem", leaves(), ids=lambda problem: problem.__name__)
def test_every_type_leads_to_a_page_that_explains_it(client: FlaskClient, problem: type[Problem]) -> None:
    page = client.get(problems.render(_of(problem)).json["type"])
    assert (page.status_code, page.mimetype) == (200, "text/html")
    text = re.sub("<[^>]+>", "", page.text)
    assert escape(problem.title) in text
    assert escape(problem.explanation.replace("`", "")) in text
    assert f'href="/problems/{problem.slug}"' in client.get("/problems").text


def _of(problem: type[Problem]) -> Problem:
    made = problem()
    if problem is HttpProblem:
        made.status = 418  # type: ignore[misc]
    return made


def test_every_slug_is_one_problems_own() -> None:
    slugs = [problem.slug for problem in leaves()]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", slug) for slug in slugs)


def test_a_slug_that_is_none_is_not_found(client: FlaskClient) -> None:
    for slug in ("nothing", "__class__", "Invalid", "%00", "invalid/"):
        status = 200 if slug == "invalid/" else 404
        assert client.get(f"/problems/{slug}").status_code == status


def test_the_pages_escape_what_they_show() -> None:
    assert problems._code("`a` <b> `c&`") == "<code>a</code> &lt;b&gt; <code>c&amp;</code>"


# Every route.


@pytest.mark.parametrize("path", PATHS)
def test_a_method_that_a_route_does_not_take_is_told_which_it_takes(
    standing: Flask, client: FlaskClient, path: str
) -> None:
    taken = set(standing.url_map.bind("localhost").allowed_methods(path))
    assert "OPTIONS" in taken
    refused = [method for method in METHODS if method not in taken]
    assert refused
    for method in refused:
        answer = client.open(path, method=method)
        check(answer, 405, "method-not-allowed")
        assert {name.strip() for name in answer.headers["Allow"].split(",")} == taken


@pytest.mark.parametrize("method", METHODS)
def test_a_path_that_leads_nowhere_is_not_found_by_any_method(client: FlaskClient, method: str) -> None:
    for path in ("/nope", "/incomes/a/b/c", "/Incomes", "/incomes.json", "/static/x", "/%00", "/incomes%00"):
        check(client.open(path, method=method), 404, "not-found")


WITH_BODY = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, rule in ROUTES
    for method in sorted((rule.methods or set()) & {"POST", "PUT", "PATCH"})
    if not rule.endpoint.endswith((".restore_one", ".redact_one"))
]
WITH_DOCUMENT = [
    route for route in WITH_BODY if "/import" not in str(route.values[0]) or "/mappings/" in str(route.values[0])
]
"""Those whose body is a document of JSON: a file that is imported is of whatever media type."""


@pytest.mark.parametrize(("path", "method"), WITH_DOCUMENT)
def test_every_route_with_a_document_says_what_it_takes(client: FlaskClient, path: str, method: str) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = client.open(path, method=method, data=b"{}", headers={"Content-Type": media_type})
        check(answer, 415, "unsupported-media-type")
        assert ("Accept-Post" in answer.headers) == (method == "POST")


@pytest.mark.parametrize(("path", "method"), WITH_BODY)
def test_every_route_with_a_body_bounds_it(client: FlaskClient, path: str, method: str) -> None:
    """The length is enough to refuse it: nothing of the body is read."""

    class Unread(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise AssertionError("a body that is too long was read")

    sent = {"CONTENT_LENGTH": str(10**9), "CONTENT_TYPE": "application/json", "wsgi.input": Unread()}
    check(client.open(path, method=method, environ_overrides=sent), 413, "too-large")


@pytest.mark.parametrize(("path", "method"), WITH_DOCUMENT)
def test_every_route_with_a_document_refuses_what_is_no_json(client: FlaskClient, path: str, method: str) -> None:
    for body in (b"", b"{", b'{"a": NaN}', b"\xff"):
        document = check(
            client.open(path, method=method, data=body, headers={"Content-Type": "application/json"}),
            400,
            "malformed-document",
        )
        assert document["detail"]


@pytest.mark.parametrize("path", PATHS)
def test_every_route_refuses_a_query_parameter_that_it_does_not_know(client: FlaskClient, path: str) -> None:
    answer = client.get(f"{path}?colour=red")
    if path.endswith("/pages/transactions"):  # the page of the list, with what is wrong beside its filters
        assert (answer.status_code, answer.mimetype) == (422, "text/html")
        return
    document = check(answer, *_refusal_of_a_query(client, path))
    if document["status"] == 422:
        assert document["errors"].keys() - {"text"} == {"colour"}, "which is needed of a line"


def _refusal_of_a_query(client: FlaskClient, path: str) -> tuple[int, str]:
    """A path that GET does not take says so first."""
    return (405, "method-not-allowed") if client.get(path).status_code == 405 else (422, "invalid")


@pytest.mark.parametrize(
    ("path", "rule"), [pytest.param(path, rule, id=rule.endpoint) for path, rule in ROUTES if rule.endpoint]
)
def test_a_mistake_of_ours_shows_nothing_of_our_insides(
    standing: Flask,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    rule: Rule,
) -> None:
    def view(**_: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setitem(standing.view_functions, rule.endpoint, view)
    method = min((rule.methods or set()) - {"HEAD", "OPTIONS"})
    answer = client.open(path, method=method)
    document = check(answer, 500, "internal-error")
    assert set(document) == {"type", "title", "status"}
    shown = answer.text + str(answer.headers)
    assert not [word for word in ("s3cret", "insides", "RuntimeError", "Traceback", ".py") if word in shown]
    assert SECRET in caplog.text, "the log has what the client does not get"


# One place.


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 418, 422, 429, 431, 501, 503])
def test_whatever_flask_refuses_is_rendered_in_the_same_place(
    standing: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setitem(standing.view_functions, "health.get_health", lambda: abort(status))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert client.get(answer.json["type"]).status_code == 200


def test_the_headers_of_a_refusal_are_kept(
    standing: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def view() -> None:
        raise TooManyRequests(retry_after=7)

    monkeypatch.setitem(standing.view_functions, "health.get_health", view)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert int(answer.headers["Content-Length"]) == len(answer.data)


def test_a_redirect_is_no_error(standing: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from werkzeug.routing import RequestRedirect

    def view() -> None:
        raise RequestRedirect("/elsewhere")

    monkeypatch.setitem(standing.view_functions, "health.get_health", view)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.headers["Location"]) == (308, "/elsewhere")
    assert issubclass(RequestRedirect, HTTPException)


def test_errors_keep_the_fields_and_the_places_that_they_are_about(client: FlaskClient) -> None:
    document = {"description": "", "amount": True, "tags": ["a", 5, ""], "colour": "red", "tgas": []}
    errors = check(client.post("/incomes", json=document), 422, "invalid")["errors"]
    assert set(errors) == {"description", "amount", "tags", "colour", "tgas"}
    assert set(errors["tags"]) == {"1", "2"}
    assert errors["tgas"] == ["Unknown field; did you mean tags?"]
    assert check(client.post("/incomes", json=[]), 422, "invalid")["errors"] == {
        "document": ["Has to be a JSON object."]
    }
    assert check(client.post("/transactions/batch", json={}), 422, "invalid")["errors"] == {
        "document": ["Has to be a JSON array."]
    }


def test_only_the_document_itself_is_called_document(client: FlaskClient) -> None:
    """marshmallow calls it `_schema`; a field may have that in its name."""
    document = {"description": "x", "amount": 1, "a_schema_b": 1}
    assert set(check(client.post("/incomes", json=document), 422, "invalid")["errors"]) == {"a_schema_b"}


def test_a_problem_is_json_to_everybody_but_a_browser_that_somebody_looks_at(client: FlaskClient) -> None:
    for accepted in ("*/*", "application/json", "text/plain", "application/xhtml+xml", ""):
        check(client.get("/nope", headers={"Accept": accepted}), 404, "not-found")
    check(client.post("/nope", headers={"Accept": "text/html"}), 404, "not-found")
    page = client.get("/nope", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "de"})
    assert (page.status_code, page.mimetype, page.headers["Content-Language"]) == (404, "text/html", "de")
    assert "Hier ist nichts." in page.text
    assert 'href="/problems/not-found"' in page.text


def test_a_problem_that_is_shown_is_escaped(client: FlaskClient) -> None:
    page = client.get("/expenses?<b>colour</b>=<i>", headers={"Accept": "text/html"})
    assert page.status_code == 422
    assert "&lt;b&gt;colour" in page.text
    assert "<b>" not in page.text
