"""Every example of the OpenAPI document is true: its request works on a new ledger, and is answered as it says."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cashman import current
from cashman.documentation.examples import ACCESS_TOKEN, ANN_ID, BEN_ID, EXAMPLES, SETUP_CODE
from cashman.documentation.words import TAGS
from cashman.formats import EXPORTS

CHOSEN = {"id", "ledger", "created_at", "access_token", "refresh_token", "key"}
"""What the service chooses itself: from then on its choice stands for what the example has."""
BEN = {"email": "ben@example.com", "password": "another horse battery"}


class Reader:
    """A developer who goes through the document from its first example to its last."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.document: dict[str, Any] = client.get("/openapi.json").json
        self.chosen: dict[Any, Any] = {SETUP_CODE: current.access(client.application).setup_code()}
        self.signed_in = False

    def told(self, value: Any) -> Any:
        """A value of an example, with what the service has chosen in its place."""
        if isinstance(value, dict):
            return {name: self.told(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.told(inner) for inner in value]
        return self.chosen.get(value, value)

    def operations(self) -> dict[str, tuple[str, str, dict[str, Any]]]:
        return {
            operation["operationId"]: (method.upper(), path, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        }

    def requests(self, name: str) -> Iterator[tuple[str, str, str | None, Any, dict[str, str], dict[str, Any]]]:
        """The requests that an operation's examples are: one for each media type that has a body."""
        method, path, operation = self.operations()[name]
        given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        for parameter in operation["parameters"]:
            if "example" in parameter:
                given[parameter["in"]][parameter["name"]] = self.told(parameter["example"])
        path = path.format(**given["path"])
        if given["query"]:
            path += "?" + urlencode(given["query"])
        bodies = operation.get("requestBody", {}).get("content", {None: {}})
        for media_type, content in bodies.items():
            if media_type is None or "example" in content:
                yield (
                    method,
                    path,
                    media_type,
                    self.told(content.get("example")),
                    given["header"],
                    operation["responses"],
                )

    def ask(
        self, method: str, path: str, media_type: str | None, body: Any, headers: Mapping[str, str]
    ) -> TestResponse:
        sent = dict(headers)
        if self.signed_in:
            sent["Authorization"] = f"Bearer {self.chosen[ACCESS_TOKEN]}"
        if media_type is not None:
            sent["Content-Type"] = media_type
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        return self.client.open(path, method=method, data=data, headers=sent)

    def compare(self, documented: Any, answer: Any, name: str = "") -> None:
        """Hold an answer to the one in the document, and keep what the service has chosen."""
        if isinstance(documented, dict):
            assert list(answer) == list(documented), name
            for key, value in documented.items():
                self.compare(value, answer[key], key)
        elif isinstance(documented, list):
            assert len(answer) == len(documented), name
            for one, other in zip(documented, answer, strict=True):
                self.compare(one, other, name)
        elif name in CHOSEN and isinstance(answer, str) and isinstance(documented, str):
            assert answer
            self.chosen[documented] = answer
        else:
            assert answer == documented, name


def open_another_account(reader: Reader) -> None:
    """One without transactions, which can be deleted."""
    answer = reader.ask("POST", "/accounts", "application/json", {"name": "spare"}, {})
    reader.chosen[3] = int(answer.headers["Location"].rpartition("/")[2])


def forget_the_other_account(reader: Reader) -> None:
    del reader.chosen[3]


def have_another_user(reader: Reader) -> None:
    """Somebody to share with."""
    answer = reader.ask("POST", "/users", "application/json", BEN, {})
    reader.chosen[BEN_ID] = answer.json["id"]


def sign_in(reader: Reader) -> None:
    reader.signed_in = True


BEFORE: Mapping[str, Callable[[Reader], None]] = {
    "accounts_delete_one": open_another_account,
    "reports_get_balances": forget_the_other_account,
    "users_get_users": sign_in,
    "ledgers_put_member": have_another_user,
}
"""What has to be there before an example can work, beside the examples before it."""


@pytest.fixture
def reader(client: FlaskClient) -> Reader:
    return Reader(client)


def test_every_example_works_in_this_order_and_is_answered_as_the_document_says(reader: Reader) -> None:
    made = 0
    for name in EXAMPLES:
        BEFORE.get(name, lambda _: None)(reader)
        for method, path, media_type, body, headers, responses in reader.requests(name):
            answer = reader.ask(method, path, media_type, body, headers)
            made += 1
            documented = responses[str(EXAMPLES[name].status)]
            assert answer.status_code == EXAMPLES[name].status, (name, media_type, answer.text)
            content = documented.get("content", {})
            if content:
                assert answer.mimetype in content, name
            for shown in (one for one in content.values() if "example" in one):
                reader.compare(shown["example"], answer.json)
    assert made > len(EXAMPLES)


def test_every_operation_that_is_no_page_has_an_example_and_every_example_an_operation(reader: Reader) -> None:
    operations = {name: found for name, found in reader.operations().items() if found[2]["tags"][0] in TAGS}
    assert set(EXAMPLES) <= set(reader.operations())
    assert set(operations) <= set(EXAMPLES)
    for name, (_, _, operation) in operations.items():
        for parameter in operation["parameters"]:
            assert parameter["in"] != "path" or "example" in parameter, name
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            assert "example" in content or media_type in ("multipart/form-data", "application/x-ndjson"), (
                name,
                media_type,
            )


def test_everything_says_what_it_means(reader: Reader) -> None:
    for name, schema in reader.document["components"]["schemas"].items():
        for of, described in schema.get("properties", {}).items():
            assert "$ref" in described or described["description"], f"{name}.{of}"
    for name, (_, _, operation) in reader.operations().items():
        for parameter in operation["parameters"]:
            assert parameter["description"], f"{name}: {parameter['name']}"


def test_an_example_that_is_wrong_is_found_out(reader: Reader) -> None:
    """The control of the first test."""
    reader.compare({"id": ANN_ID, "amount": 1.0}, {"id": "another", "amount": 1.0})
    assert reader.told([{"user": ANN_ID}]) == [{"user": "another"}]
    for wrong in ({"id": "a"}, {"id": "a", "amount": 2.0}, {"amount": 1.0, "id": "a"}):
        with pytest.raises(AssertionError):
            reader.compare({"id": ANN_ID, "amount": 1.0}, wrong)


def test_the_example_of_an_export_goes_for_every_format(app: Flask, reader: Reader) -> None:
    (_, path, *_), *_ = reader.requests("exports_get_export")
    for name in EXPORTS:
        assert app.test_client().get(path.replace("/csv", f"/{name}")).status_code == 200, name
