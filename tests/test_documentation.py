"""The OpenAPI document is valid, complete, and true to what the service does."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from serving import ENGINES, standing_app

from cashman import __version__, current
from cashman.documentation import OF_A_NAMED_LEDGER
from cashman.errors import Problem
from cashman.model.transaction import TransactionFields

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
)
# How many requests each engine gets: a change of the document that skips most of them does not go unseen.
REQUESTS_MIN = 200


@pytest.fixture(scope="module", params=ENGINES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """A ledger to be shaken."""
    with standing_app(request.param, request, tmp_path_factory.mktemp("standing")) as app:
        yield app


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    found: dict[str, Any] = answer.json
    return found


# In the document.


def administrators_key(app: Flask) -> str:
    """An API key that no route refuses; unlike a session it does not end where it is signed out."""
    client, credentials = app.test_client(), {"email": "ann@example.com", "password": "correct horse"}
    client.post("/users", json={**credentials, "setup_code": current.access(app).setup_code()})
    token = client.post("/tokens", json=credentials).json["access_token"]
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    key: str = client.post("/api-keys", json={"name": "all", "scope": "admin"}).json["key"]
    return key


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_an_openapi_3_1_document(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "Cashman"
    assert document["info"]["version"] == __version__
    schemathesis.openapi.from_dict(document).validate()


def test_the_validator_sees_what_is_wrong(document: dict[str, Any]) -> None:
    """The control of the test above."""
    broken = json.loads(json.dumps(document))
    broken["paths"]["/incomes"]["get"]["responses"]["200"].pop("description")
    with pytest.raises(Exception, match="description"):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_route_of_the_service_is_in_it_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (method, re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith(f"{OF_A_NAMED_LEDGER}.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(operations(document)) == routes
    assert len(routes) > 20
    named, _, others = document["servers"][1]["url"].rpartition("{ledger}")
    assert (named, others) == ("/ledgers/", "")


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    assert references
    for reference in references:
        place: Any = document
        for name in reference.split("/"):
            place = place[name]
        assert place


def test_every_operation_says_what_it_is_and_what_can_go_wrong(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)
    for operation in operations(document).values():
        assert operation["summary"].endswith(".")
        answers = operation["responses"]
        assert any(status.startswith("2") for status in answers)
        assert "500" in answers
        # It would stand for any status, and no answer could deviate from the document.
        assert "default" not in answers
        shown = {media for status, answer in answers.items() if status < "300" for media in answer.get("content", ())}
        for status, answer in answers.items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json", *(shown & {"text/html"})]
            elif status in ("204", "304"):
                assert "content" not in answer
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= set(answers)


def test_a_transaction_is_described_whole(document: dict[str, Any]) -> None:
    shown = document["components"]["schemas"]["Transaction"]
    names = list(TransactionFields().dump_fields)
    assert list(shown["properties"]) == shown["required"] == names
    assert shown["properties"]["amount"]["type"] == "number"
    for name in ("category", "payee", "notes", "group"):
        assert set(shown["properties"][name]["type"]) == {"string", "null"}, name
    new = document["components"]["schemas"]["NewExpense"]
    assert new["required"] == ["description"], "the amount may be that of the lines"
    assert new["additionalProperties"] is False


def test_problems_are_described_as_they_are(document: dict[str, Any], client: FlaskClient) -> None:
    described = document["components"]["schemas"]["Problem"]
    problem = client.post("/incomes", json={}).json
    assert set(described["required"]) <= set(problem) <= set(described["properties"])
    assert Problem.__subclasses__()


def test_the_front_page_leads_to_it(app: Flask, client: FlaskClient) -> None:
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {administrators_key(app)}"
    links = client.get("/").json
    assert links["version"] == __version__
    followed = [value for name, value in links.items() if name not in ("service", "version")]
    assert "http://localhost/openapi.json" in followed
    for link in followed:
        assert client.get(link).status_code == 200, link


# What the service does.


@pytest.mark.slow
def test_the_service_does_what_the_document_says(service: Flask, request: pytest.FixtureRequest) -> None:
    """schemathesis sends what the document allows and what it forbids, and holds every answer to it."""
    failures, requests = shake(service, whole=request.node.callspec.params["service"] == "sqlite")
    assert failures == []
    assert sum(requests.values()) >= REQUESTS_MIN, requests


def test_a_service_that_does_something_else_is_found_out(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    """The control of the test above: one undocumented status, one fault."""
    with standing_app("sqlite", request, tmp_path_factory.mktemp("control")) as app:

        def undocumented() -> tuple[str, int]:
            return "{}", 202

        def faulty() -> None:
            raise RuntimeError

        for view, endpoint in ((undocumented, "health.get_health"), (faulty, "index.get_index")):
            view.contract = app.view_functions[endpoint].contract  # type: ignore[attr-defined]
        app.view_functions["health.get_health"] = undocumented
        app.view_functions["index.get_index"] = faulty
        failures, _ = shake(app, whole=False, path_regex="^/(healthz)?$")
    assert any("GET /healthz: status_code_conformance" in failure for failure in failures)
    assert any("GET /: not_a_server_error" in failure for failure in failures)


def shake(app: Flask, *, whole: bool, path_regex: str = "") -> tuple[list[str], Counter[str]]:
    """What schemathesis finds wrong, and how many requests each of its phases sent.

    The PostgreSQL run leaves out the phase that goes through every limit of every parameter: that is about
    documents, which no engine sees.
    """
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Bearer {administrators_key(app)}"},
            "seed": 20261120,
            "generation": {"max-examples": 8, "database": "none", "deterministic": True},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "phases": {
                "coverage": {"enabled": whole, "unexpected-methods": ["TRACE"]},
                "stateful": {"enabled": True, "generation": {"max-examples": 8}},
            },
        }
    )
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)
    if path_regex:
        schema = schema.include(path_regex=path_regex)
    failures: dict[str, None] = {}
    requests: Counter[str] = Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            failures[f"{event.label}: {event.value!r}"] = None
        if isinstance(event, events.ScenarioFinished):
            requests[event.phase.name] += len(event.recorder.interactions)
            for checks in event.recorder.checks.values():
                for check in checks:
                    if check.failure_info is not None:
                        failure = check.failure_info.failure
                        told = f"{event.recorder.label}: {check.name}: {failure.title}: {failure.message}"
                        failures.setdefault(f"{told}\n{check.failure_info.code_sample}")
    return list(failures), requests
