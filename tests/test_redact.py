"""Redaction: the words of a transaction are gone from every table, and the chain still verifies."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from sqlalchemy import inspect, text

from cashman.changes import Redact, Replace, Request, Target
from cashman.ledger import OWNERS_OWN, Books, _decide_and_store
from cashman.receipts import Answer
from cashman.verify import verify
from torture.service import export_journal, verify_independently

SHOWN = {"Prefer": "return=representation"}
SECRET = "Xanthippe"
WORDS = {
    "description": f"{SECRET} pizza",
    "payee": f"{SECRET} & sons",
    "notes": f"owed by {SECRET}",
    "tags": [f"for {SECRET}"],
}


def add(client: FlaskClient, **headers: str) -> str:
    """Record something personal; returns its path."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.post("/expenses", json={**WORDS, "amount": 50, "category": "Food"}, headers={**SHOWN, **named})
    return f"/expenses/{answer.json['id']}"


def everything(books: Books) -> str:
    """Every value of every table."""

    def work(connection: Any) -> str:
        names = inspect(connection).get_table_names()
        rows = [row for name in names for row in connection.execute(text(f'SELECT * FROM "{name}"'))]
        return "\n".join(str(bytes(value) if isinstance(value, memoryview) else value) for row in rows for value in row)

    return books.database.read(work)


def test_the_words_are_gone_from_every_table(client: FlaskClient, books: Books) -> None:
    path = add(client, Idempotency_Key="k")
    client.patch(path, json={"notes": f"{SECRET} has paid"}, headers={"Idempotency-Key": "k2"})
    assert SECRET in everything(books)
    answer = client.post(path + "/redact")
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (204, b"", '"3"')
    assert SECRET not in everything(books)
    shown = client.get(path).json
    assert (shown["description"], shown["payee"], shown["notes"], shown["tags"]) == ("[redacted]", None, None, [])
    assert (shown["amount"], shown["category"]) == (-50, "Food")
    for where in (path + "/history", "/journal", "/transactions"):
        assert SECRET not in client.get(where).text
    verify(books.database)


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_the_words_are_gone_from_the_bytes_of_the_file(client: FlaskClient, books: Books, tmp_path: Path) -> None:
    path = add(client)
    books.database.close()
    assert SECRET.encode() in (tmp_path / "cashman.db").read_bytes()
    client.post(path + "/redact")
    books.database.close()
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("cashman.db*"))


def test_both_verifiers_find_the_chain_sound(
    client: FlaskClient, books: Books, database_url: str, tmp_path: Path
) -> None:
    path = add(client)
    before = client.get("/journal").headers["Cashman-Head"]
    after = client.post(path + "/redact").headers["Cashman-Head"]
    client.patch(path, json={"description": "lunch"})
    books.database.close()
    export_journal(database_url, tmp_path / "journal.ndjson")
    for receipt in (before, after):
        assert verify_independently(tmp_path / "journal.ndjson", receipt).startswith("sound")
    verify(books.database)


def test_a_repeated_request_whose_answer_may_quote_what_was_erased_gets_410(client: FlaskClient) -> None:
    path = add(client, Idempotency_Key="k")
    client.post(path + "/redact", headers={"Idempotency-Key": "r"})
    answer = client.post(
        "/expenses", json={**WORDS, "amount": 50, "category": "Food"}, headers={**SHOWN, "Idempotency-Key": "k"}
    )
    assert (answer.status_code, answer.json["type"]) == (410, "/problems/answer-erased")
    again = client.post(path + "/redact", headers={"Idempotency-Key": "r"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (204, "true")
    assert len(client.get("/transactions").json) == 1


def test_new_words_may_follow_and_are_kept(client: FlaskClient, books: Books) -> None:
    path = add(client)
    client.post(path + "/redact")
    client.patch(path, json={"description": "lunch", "tags": ["noon"]})
    assert (client.get(path).json["description"], client.get(path).json["tags"]) == ("lunch", ["noon"])
    verify(books.database)


def test_another_transaction_keeps_its_words(client: FlaskClient, books: Books) -> None:
    path, other = add(client), add(client)
    client.post(path + "/redact")
    assert client.get(other).json["payee"] == WORDS["payee"]
    verify(books.database)


def test_a_void_transaction_can_be_redacted_and_stays_void(client: FlaskClient, books: Books) -> None:
    path = add(client)
    client.delete(path)
    assert client.post(path + "/redact").status_code == 204
    assert client.get(path).status_code == 404
    assert SECRET not in everything(books)
    verify(books.database)


def test_only_what_is_there_and_at_the_expected_version_is_redacted(client: FlaskClient) -> None:
    path = add(client)
    assert client.post(path + "/redact", headers={"If-Match": '"2"'}).status_code == 412
    assert client.post(path.replace("expenses", "incomes") + "/redact").status_code == 404
    assert client.post(f"/expenses/{'0' * 26}/redact").status_code == 404
    assert client.get(path).json["payee"] == WORDS["payee"]


def test_words_that_come_after_a_redaction_in_one_commit_are_kept(client: FlaskClient, books: Books) -> None:
    target = Target(add(client).rpartition("/")[2])
    changes = [Redact(1, OWNERS_OWN, target), Replace(1, OWNERS_OWN, target, {"description": "lunch"})]
    books.database.write(lambda connection: _decide_and_store(connection, books.charts, changes))
    assert client.get(f"/expenses/{target.id}").json["description"] == "lunch"
    verify(books.database)


def test_an_answer_of_the_same_commit_does_not_keep_the_words(client: FlaskClient, books: Books) -> None:
    target = Target(add(client).rpartition("/")[2])
    keyed = Request(
        "owner", lambda receipt: Answer(200, {}, msgspec.json.encode(receipt.state["notes"])), "k", b"f" * 32
    )
    changes = [
        Replace(1, keyed, target, {"notes": f"{SECRET} again"}),
        Redact(1, OWNERS_OWN, target),
    ]
    books.database.write(lambda connection: _decide_and_store(connection, books.charts, changes))
    assert SECRET not in everything(books)
