"""POST /transactions/batch: many in one commit, all or none."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from cashman import wire
from cashman.db import Database
from cashman.ledger import Ledger

SHOWN = {"Prefer": "return=representation"}
JSON = "application/json"
NDJSON = "application/x-ndjson"
PIZZA = {"type": "EXPENSE", "description": "pizza", "amount": 50}
SALARY = {"type": "INCOME", "description": "salary", "amount": 5000, "category": "Work"}


def post(client: FlaskClient, items: Any, media_type: str = JSON, **headers: str) -> TestResponse:
    """Record a batch as one media type or the other."""
    if media_type == NDJSON:
        data = b"".join(json.dumps(item).encode() + b"\n" for item in items)
    else:
        data = json.dumps(items).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/transactions/batch", data=data, content_type=media_type, headers=named)


def count(client: FlaskClient) -> int:
    """How many transactions stand."""
    return len(client.get("/transactions?limit=1000").json)


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_a_batch_is_recorded_in_its_order(client: FlaskClient, media_type: str) -> None:
    answer = post(client, [PIZZA, SALARY], media_type)
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Location" not in answer.headers
    assert "ETag" not in answer.headers
    assert answer.headers["Cashman-Head"] == client.get("/transactions").headers["Cashman-Head"]
    lines = [json.loads(entry["entry"]) for entry in client.get("/journal?after=2").json]
    assert [(line["kind"], line["entity"]) for line in lines] == [
        ("create", "transaction"),
        ("open", "category"),
        ("create", "transaction"),
    ]


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_the_representation_shows_all_of_them(client: FlaskClient, media_type: str) -> None:
    answer = post(client, [PIZZA, SALARY, PIZZA], media_type, **SHOWN)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (201, "return=representation")
    assert [(one["type"], one["amount"], one["version"]) for one in answer.json] == [
        ("EXPENSE", -50.0, 1),
        ("INCOME", 5000.0, 1),
        ("EXPENSE", -50.0, 1),
    ]
    assert sorted(client.get("/transactions").json, key=lambda one: one["id"]) == sorted(
        answer.json, key=lambda one: one["id"]
    )


@pytest.mark.parametrize(("media_type", "first"), [(JSON, 0), (NDJSON, 1)])
def test_every_bad_item_is_told_at_once_and_nothing_is_recorded(
    client: FlaskClient, media_type: str, first: int
) -> None:
    items = [PIZZA, {**PIZZA, "amount": 0}, {**PIZZA, "color": "red"}, {"type": "INCOME"}, SALARY]
    answer = post(client, items, media_type)
    required = ["Missing data for required field."]
    assert answer.status_code == 422
    assert answer.json["errors"] == {
        str(first + 1): {"amount": ["Zero is not a movement of money."]},
        str(first + 2): {"color": ["Unknown field."]},
        str(first + 3): {"description": required, "amount": required},
    }
    assert count(client) == 0


def test_lines_that_are_no_json_are_told_beside_the_others(client: FlaskClient) -> None:
    good = json.dumps(PIZZA).encode()
    data = good + b'\n\n{"type": \n' + good + b"\n[1]\n" + b'{"amount": NaN}'
    answer = client.post("/transactions/batch", data=data, content_type=NDJSON)
    assert answer.status_code == 422
    assert answer.json["errors"] == {
        "3": {"document": ["Expecting value at line 1, column 10."]},
        "5": {"document": ["Has to be a JSON object."]},
        "6": {"document": ["NaN is not JSON."]},
    }
    assert count(client) == 0


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_what_only_the_ledger_can_refuse_is_told_for_each_and_refuses_all(client: FlaskClient, media_type: str) -> None:
    taken = {**PIZZA, "id": "01K0A1B2C3D4E5F6G7H8J9KMNP"}
    client.post("/transactions", json=taken)
    head = client.get("/journal").headers["Cashman-Head"]
    items = [{**SALARY, "category": "New"}, {**PIZZA, "account": "nowhere"}, {**taken, "amount": 51}]
    answer = post(client, items, media_type)
    assert answer.status_code == 422
    assert answer.json["errors"] == {
        "1": {"account": ["There is no account of this name."]},
        "2": {"id": ["The id belongs to another transaction."]},
    }
    assert client.get("/journal").headers["Cashman-Head"] == head


def test_a_batch_may_name_one_new_category_many_times_and_one_id_twice(client: FlaskClient, ledger: Ledger) -> None:
    item = {**SALARY, "id": "01K0A1B2C3D4E5F6G7H8J9KMNP"}
    answer = post(client, [SALARY, item, item], **SHOWN)
    assert answer.status_code == 201
    assert answer.json[1] == answer.json[2]
    assert count(client) == 2
    assert ledger.books.database.read(lambda c: c.scalars(text("SELECT path FROM categories")).all()) == ["Work"]


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_an_empty_batch_is_refused(client: FlaskClient, media_type: str) -> None:
    answer = post(client, [], media_type)
    assert (answer.status_code, answer.json["errors"]) == (422, {"document": ["From 1 to 10000 transactions."]})


@pytest.mark.parametrize("document", ["{}", '"text"', "null", "5"])
def test_what_is_no_array_is_refused(client: FlaskClient, document: str) -> None:
    answer = client.post("/transactions/batch", data=document, content_type=JSON)
    assert (answer.status_code, answer.json["errors"]) == (422, {"document": ["Has to be a JSON array."]})


def test_a_broken_array_is_malformed_as_a_whole(client: FlaskClient) -> None:
    answer = client.post("/transactions/batch", data="[{}", content_type=JSON)
    assert (answer.status_code, answer.json["type"]) == (400, "/problems/malformed-document")


def test_ten_thousand_are_one_commit_and_one_more_is_too_many(client: FlaskClient, ledger: Ledger) -> None:
    item = {"type": "INCOME", "description": "x", "amount": 0.01}
    for media_type in (JSON, NDJSON):
        answer = post(client, [item] * 10_001, media_type)
        assert (answer.status_code, answer.json["errors"]) == (422, {"document": ["From 1 to 10000 transactions."]})
    assert post(client, [item] * 9_999 + [{**item, "account": "nowhere"}]).status_code == 422
    answer = post(client, [item] * 10_000, NDJSON)
    assert (answer.status_code, answer.headers["Cashman-Head"].partition(":")[0]) == (204, "10002")
    query = text("SELECT count(*), sum(minor_units) FROM transactions")
    assert ledger.books.database.read(lambda c: tuple(c.execute(query).one())) == (10_000, 10_000)


def test_sixteen_megabytes_are_taken_and_a_byte_more_is_not(client: FlaskClient) -> None:
    line = json.dumps(PIZZA).encode() + b"\n"
    most = 16 * 1024 * 1024
    answer = client.post("/transactions/batch", data=line.ljust(most), content_type=NDJSON)
    assert answer.status_code == 204
    answer = client.post("/transactions/batch", data=line.ljust(most + 1), content_type=NDJSON)
    assert (answer.status_code, answer.json["type"]) == (413, "/problems/too-large")
    assert count(client) == 1


@pytest.mark.parametrize("media_type", ["text/plain", "application/merge-patch+json"])
def test_another_media_type_is_refused(client: FlaskClient, media_type: str) -> None:
    answer = client.post("/transactions/batch", data="[]", content_type=media_type)
    assert (answer.status_code, answer.headers["Accept-Post"]) == (415, "application/json, application/x-ndjson")


def test_a_keyed_batch_is_booked_once_in_either_spelling(client: FlaskClient) -> None:
    first = post(client, [PIZZA, SALARY], Idempotency_Key="k", **SHOWN)
    again = post(client, [PIZZA, SALARY], NDJSON, Idempotency_Key="k", **SHOWN)
    assert (again.status_code, again.data) == (first.status_code, first.data)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = post(client, [SALARY, PIZZA], Idempotency_Key="k")
    assert (other.status_code, other.json["type"]) == (422, "/problems/key-reused")
    assert count(client) == 2


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_loading_a_batch_beside_the_loop_never_waits_for_the_database(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, media_type: str
) -> None:
    """In a native thread, waiting for what a greenlet holds lasts for ever: a worker answered nothing any more."""
    beside, places = [False], []
    read = Database.read

    def off_loop(function: Any) -> Any:
        beside[0] = True
        try:
            return function()
        finally:
            beside[0] = False

    def watched(self: Database, work: Any, **options: Any) -> Any:
        places.append(beside[0])
        return read(self, work, **options)

    monkeypatch.setattr(wire, "off_loop", off_loop)
    monkeypatch.setattr(Database, "read", watched)
    answer = post(client, [PIZZA, {**SALARY, "account": "not known"}], media_type)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["1"])
    assert places
    assert not any(places)
