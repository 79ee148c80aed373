"""The journal over HTTP: a feed that resumes exactly."""

import hashlib
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

NDJSON = {"Accept": "application/x-ndjson"}
GENESIS = "0" * 64


def record(client: FlaskClient, many: int) -> None:
    """Record so many incomes."""
    batch = [{"type": "INCOME", "description": f"income {number}", "amount": 1} for number in range(many)]
    assert client.post("/transactions/batch", json=batch).status_code == 204


def check_chain(entries: list[Any], previous: str = GENESIS, sequence: int = 0) -> str:
    """Recompute the chain as any client can; returns the last hash."""
    for entry in entries:
        line = json.loads(entry["entry"])
        sequence += 1
        assert (line["sequence"], line["previous"]) == (sequence, previous)
        previous = hashlib.sha256(b"cashman-journal-v1\n" + entry["entry"].encode()).hexdigest()
        assert entry["hash"] == previous
    return previous


def test_the_feed_of_a_new_ledger_tells_how_it_was_opened(client: FlaskClient) -> None:
    answer = client.get("/journal")
    lines = [json.loads(entry["entry"]) for entry in answer.json]
    assert [(line["kind"], line["entity"]) for line in lines] == [("open", "ledger"), ("open", "account")]
    assert answer.headers["Cashman-Head"] == f"2:{check_chain(answer.json)}"
    assert "Link" not in answer.headers


def test_the_feed_resumes_exactly_where_it_was_left(client: FlaskClient) -> None:
    record(client, 10)
    entries, path = [], "/journal?limit=5"
    lengths = []
    while path:
        answer = client.get(path)
        lengths.append(len(answer.json))
        entries += answer.json
        path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert lengths == [5, 5, 2]
    assert answer.headers["Cashman-Head"] == f"12:{check_chain(entries)}"
    assert client.get("/journal?after=12").json == []
    record(client, 1)
    (new,) = client.get("/journal?after=12").json
    assert check_chain([new], entries[-1]["hash"], 12) == new["hash"]


def test_the_link_leads_to_the_next_entry_and_ends_with_the_last(client: FlaskClient) -> None:
    record(client, 2)
    assert client.get("/journal?after=1&limit=2").headers["Link"] == '</journal?after=3&limit=2>; rel="next"'
    assert "Link" not in client.get("/journal?after=1&limit=3").headers
    assert "Link" not in client.get("/journal?after=2&limit=2").headers


def test_what_lies_beyond_the_newest_entry_is_nothing_yet(client: FlaskClient) -> None:
    answer = client.get(f"/journal?after={2**63 - 1}")
    assert (answer.status_code, answer.json) == (200, [])
    assert answer.headers["Cashman-Head"].startswith("2:")


def test_words_lie_beside_their_entry_which_holds_their_hash(client: FlaskClient) -> None:
    client.post("/expenses", json={"description": "pizza", "amount": 50, "tags": ["night out"]})
    entry = client.get("/journal").json[-1]
    assert "pizza" not in entry["entry"]
    assert {name: value for name, value in entry["words"].items() if name != "salt"} == {
        "description": "pizza",
        "payee": None,
        "notes": None,
        "tags": ["night out"],
    }
    line = json.dumps(entry["words"], separators=(",", ":"), ensure_ascii=False).encode()
    assert json.loads(entry["entry"])["words_sha256"] == hashlib.sha256(line).hexdigest()


def test_an_entry_without_words_has_none(client: FlaskClient) -> None:
    id_ = client.post(
        "/expenses", json={"description": "pizza", "amount": 50}, headers={"Prefer": "return=representation"}
    ).json["id"]
    client.delete(f"/expenses/{id_}")
    assert client.get("/journal").json[-1]["words"] is None


def test_as_ndjson_each_entry_is_a_line(client: FlaskClient) -> None:
    client.post("/expenses", json={"description": 'two\nlines, "quoted" \u2028 é', "amount": 50})
    answer = client.get("/journal", headers=NDJSON)
    assert answer.mimetype == "application/x-ndjson"
    lines = answer.data.split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == client.get("/journal").json
    assert client.get("/journal?after=3", headers=NDJSON).data == b""


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("after=-1", "after"),
        ("after=1.5", "after"),
        ("after=", "after"),
        (f"after={2**63}", "after"),
        ("after=1&after=2", "after"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("before=1", "before"),
    ],
)
def test_a_wrong_query_names_the_parameter(client: FlaskClient, query: str, name: str) -> None:
    answer = client.get(f"/journal?{query}")
    assert (answer.status_code, list(answer.json["errors"])) == (422, [name])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written_into_it(client: FlaskClient, method: str) -> None:
    answer = client.open("/journal", method=method, json={})
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
