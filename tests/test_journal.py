"""The journal: a chain that anybody can check with SHA-256, and that nothing can change."""

import datetime as dt
import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cashman import journal
from cashman.changes import Target
from cashman.db import rfc3339
from cashman.errors import NotFound
from cashman.journal import Chain, Head
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.income import Income

ID = "01K0A1B2C3D4E5F6G7H8J9KMNP"


def rows_of(ledger: Ledger, query: str) -> list[Any]:
    """What a query finds, past everything of Cashman's but the connection."""
    return list(ledger.books.database.read(lambda connection: connection.execute(text(query)).all()))


def check_chain(ledger: Ledger) -> list[dict[str, Any]]:
    """Recompute the whole chain from the stored bytes alone; returns the entries."""
    previous = "0" * 64
    entries = []
    words_of = {row.sequence: row.words for row in rows_of(ledger, "SELECT sequence, words FROM journal_words")}
    for place, row in enumerate(rows_of(ledger, "SELECT * FROM journal ORDER BY sequence"), 1):
        line = row.entry.encode()
        digest = hashlib.sha256(b"cashman-journal-v1\n" + line).hexdigest()
        assert bytes(row.hash).hex() == digest
        entry = json.loads(line)
        assert (entry["v"], entry["sequence"], row.sequence, entry["previous"]) == (1, place, place, previous)
        words = words_of.pop(place, None)
        assert (words is None) == (entry["words_sha256"] is None)
        if words is not None:
            assert entry["words_sha256"] == hashlib.sha256(words.encode()).hexdigest()
        entries.append(entry)
        previous = digest
    assert words_of == {}
    (head,) = rows_of(ledger, "SELECT sequence, hash FROM journal_heads")
    assert (head.sequence, bytes(head.hash).hex()) == (len(entries), previous)
    return entries


def busy(ledger: Ledger) -> None:
    """A little of everything."""
    ledger.record(Expense("pizza ü 🍕", 50, id=ID, category="Food:Restaurant", tags=["a"], payee="Luigi", notes="n"))
    ledger.record(Income("salary", 5000), Expense("rent", "1200.50", category="Home"))
    ledger.replace(Target(ID), {"amount": Decimal(60)})
    ledger.replace(Target(ID), {"description": "pasta"})
    ledger.void(Target(ID))
    ledger.restore(Target(ID))


def test_the_chain_can_be_recomputed_from_the_stored_bytes(ledger: Ledger) -> None:
    busy(ledger)
    entries = check_chain(ledger)
    assert [entry["kind"] for entry in entries] == [
        "open", "open", "open", "create", "create", "open", "create", "replace", "replace", "void", "restore",
    ]  # fmt: skip
    assert [entry["entity"] for entry in entries[:3]] == ["ledger", "account", "category"]


def test_a_changed_entry_breaks_the_chain(ledger: Ledger, engine_name: str) -> None:
    """The control: whoever gets round the triggers is still found out."""
    busy(ledger)
    assert len(check_chain(ledger)) == 11
    drop = {
        "sqlite": ["DROP TRIGGER journal_refuses_update"],
        "postgresql": ["ALTER TABLE journal DISABLE TRIGGER ALL"],
    }[engine_name]
    with ledger.books.database.engine.begin() as connection:
        for statement in [*drop, "UPDATE journal SET entry = replace(entry, '-5000', '-5001') WHERE sequence = 4"]:
            connection.exec_driver_sql(statement)
    with pytest.raises(AssertionError):
        check_chain(ledger)


def test_an_entry_is_one_line_of_json_in_a_fixed_form(ledger: Ledger) -> None:
    receipt = ledger.record(Expense("pizza", 50, id=ID, date=dt.date(2026, 11, 20), category="Food", payee="Luigi"))
    line = rows_of(ledger, "SELECT entry FROM journal WHERE sequence = 4")[0].entry
    entry = json.loads(line)
    assert list(entry) == [
        "v", "ledger", "sequence", "kind", "entity", "entity_id", "revision", "recorded_at", "actor", "figures",
        "words_sha256", "previous",
    ]  # fmt: skip
    assert "\n" not in line
    (ulid,) = [row.ulid for row in rows_of(ledger, "SELECT ulid FROM ledgers")]
    fixed = {name: entry[name] for name in ("v", "ledger", "sequence", "kind", "entity", "entity_id", "revision")}
    assert fixed == {
        "v": 1,
        "ledger": ulid,
        "sequence": 4,
        "kind": "create",
        "entity": "transaction",
        "entity_id": ID,
        "revision": 1,
    }
    assert entry["actor"] == "owner"
    assert entry["recorded_at"] == rfc3339(receipt.state["created_at"])
    assert entry["figures"] == {
        "type": "EXPENSE",
        "status": "posted",
        "minor_units": -5000,
        "currency": "USD",
        "date": "2026-11-20",
        "account_id": 1,
        "category_id": 1,
        "group": None,
        "expires_at": None,
    }
    (before,) = rows_of(ledger, "SELECT hash FROM journal WHERE sequence = 3")
    assert entry["previous"] == bytes(before.hash).hex()
    assert receipt.head == Head(4, hashlib.sha256(b"cashman-journal-v1\n" + line.encode()).digest())


def test_personal_text_is_not_in_the_entry_but_its_salted_hash_is(ledger: Ledger) -> None:
    words = {"description": "pizza", "payee": "Luigi", "notes": "secret", "tags": ["night out"]}
    for _ in range(2):
        ledger.record(Expense(amount=50, **words))
    lines = [row.entry for row in rows_of(ledger, "SELECT entry FROM journal WHERE sequence > 2 ORDER BY sequence")]
    assert not [word for word in ("pizza", "Luigi", "secret", "night out") for line in lines if word in line]
    stored = [row.words for row in rows_of(ledger, "SELECT words FROM journal_words ORDER BY sequence")]
    hashes = [json.loads(line)["words_sha256"] for line in lines]
    assert hashes == [hashlib.sha256(line.encode()).hexdigest() for line in stored]
    salts = [json.loads(line).pop("salt") for line in stored]
    assert [{name: json.loads(line)[name] for name in words} for line in stored] == [words, words]
    assert len({*salts}) == len({*hashes}) == 2  # the same words twice cannot be told from the journal
    assert {len(salt) for salt in salts} == {32}


def test_a_revision_without_new_words_brings_none(ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50, id=ID))
    ledger.replace(Target(ID), {"amount": Decimal(60)})
    ledger.replace(Target(ID), {"payee": "Luigi"})
    ledger.void(Target(ID))
    entries = check_chain(ledger)[2:]
    assert [entry["words_sha256"] is not None for entry in entries] == [True, False, True, False]
    assert [entry["revision"] for entry in entries] == [1, 2, 3, 4]


def test_redacted_words_are_gone_and_the_chain_still_holds(ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50, id=ID, payee="Luigi"))
    ledger.replace(Target(ID), {"payee": "Mario"})
    ledger.record(Expense("rent", 1))
    ledger.redact(Target(ID))
    previous = "0" * 64
    for row in rows_of(ledger, "SELECT entry, hash FROM journal ORDER BY sequence"):
        assert json.loads(row.entry)["previous"] == previous
        previous = hashlib.sha256(b"cashman-journal-v1\n" + row.entry.encode()).hexdigest()
        assert bytes(row.hash).hex() == previous
    (left,) = rows_of(ledger, "SELECT words FROM journal_words")
    assert json.loads(left.words)["description"] == "rent"
    assert ledger.get(ID)[0][0]["description"] == "[redacted]"
    assert {version.state["description"] for version in ledger.history(ID)[0]} == {"[redacted]"}


def test_recorded_at_rises_even_when_the_clock_steps_back(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    start = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    seconds = iter([0, -3600, 0, 0, 5, -10, -86400 * 365])
    monkeypatch.setattr(journal, "utc_now", lambda: start + dt.timedelta(seconds=next(seconds)))
    receipts = [ledger.record(Expense(f"pizza {number}", 1)) for number in range(5)]
    ledger.record(Expense("one", 1), Expense("two", 2))
    assert next(seconds, None) is None
    recorded = [entry["recorded_at"] for entry in check_chain(ledger)]
    assert recorded == sorted(set(recorded))
    microsecond = dt.timedelta(microseconds=1)
    assert [receipt.state["created_at"] for receipt in receipts] == [
        start,
        start + microsecond,
        start + 2 * microsecond,
        start + 3 * microsecond,
        start + dt.timedelta(seconds=5),
    ]
    assert recorded[-1] == "2100-01-01T00:00:05.000002Z"


def test_sequences_have_no_gaps_after_refused_changes(ledger: Ledger) -> None:
    ledger.record(Expense("one", 1))
    with pytest.raises(NotFound):
        ledger.void(Target(ID))
    with pytest.raises(ZeroDivisionError):
        ledger.books.database.write(_append_and_fail)
    ledger.record(Expense("two", 2))
    assert [entry["sequence"] for entry in check_chain(ledger)] == [1, 2, 3, 4]


def _append_and_fail(connection: Any) -> None:
    chain = Chain.lock(connection, 1)
    chain.append(kind="open", entity="account", entity_id="9", revision=1, actor="owner", figures={})
    chain.store(connection)
    raise ZeroDivisionError


def test_a_chain_without_entries_writes_nothing(ledger: Ledger) -> None:
    def nothing(connection: Any) -> Head:
        chain = Chain.lock(connection, 1)
        chain.store(connection)
        return chain.head

    assert ledger.books.database.write(nothing) == Head(2, bytes(check_chain_hash(ledger)))


def check_chain_hash(ledger: Ledger) -> bytes:
    """The hash that the head has."""
    found: bytes = rows_of(ledger, "SELECT hash FROM journal_heads")[0].hash
    return found


def test_a_head_that_moved_behind_the_chain_is_noticed(ledger: Ledger) -> None:
    """Nobody can move it while it is held; were it so, nothing of the batch would be committed."""

    def work(connection: Any) -> None:
        chain = Chain.lock(connection, 1)
        chain.append(kind="open", entity="account", entity_id="9", revision=1, actor="owner", figures={})
        connection.exec_driver_sql("UPDATE journal_heads SET sequence = 7")
        chain.store(connection)

    with pytest.raises(AssertionError, match="the head moved"):
        ledger.books.database.write(work)
    assert len(check_chain(ledger)) == 2


def test_a_chain_goes_back_to_a_mark(ledger: Ledger) -> None:
    def work(connection: Any) -> tuple[Head, Head]:
        chain = Chain.lock(connection, 1)
        terms = {"entity": "account", "revision": 1, "actor": "owner", "figures": {}, "words": {"name": "x"}}
        first = chain.append(kind="open", entity_id="8", **terms)
        mark = chain.mark()
        chain.append(kind="open", entity_id="9", **terms)
        chain.go_back(mark)
        chain.store(connection)
        return first, chain.head

    first, head = ledger.books.database.write(work)
    assert first == head
    assert [entry["entity_id"] for entry in check_chain(ledger)[2:]] == ["8"]


@pytest.mark.parametrize("statement", ["UPDATE journal SET entry = entry", "DELETE FROM journal", "TRUNCATE journal"])
def test_the_journal_refuses_to_be_changed(ledger: Ledger, engine_name: str, statement: str) -> None:
    if engine_name == "sqlite" and statement.startswith("TRUNCATE"):
        statement = "DELETE FROM journal WHERE true"  # SQLite's own way to empty a table at once
    ledger.record(Expense("pizza", 50))
    with (
        pytest.raises(DBAPIError, match="the journal is append-only"),
        ledger.books.database.engine.begin() as connection,
    ):
        connection.exec_driver_sql(statement)
    assert len(check_chain(ledger)) == 3


def test_a_row_cannot_be_written_over_by_an_insert(ledger: Ledger, engine_name: str) -> None:
    statements = ["INSERT INTO journal SELECT * FROM journal WHERE true ON CONFLICT DO UPDATE SET entry = '{}'"]
    if engine_name == "sqlite":
        statements.append("REPLACE INTO journal SELECT ledger_id, sequence, '{}', hash FROM journal")
    else:
        statements[0] = statements[0].replace("ON CONFLICT", "ON CONFLICT (ledger_id, sequence)")
    for statement in statements:
        with (
            pytest.raises(DBAPIError, match="the journal is append-only"),
            ledger.books.database.engine.begin() as connection,
        ):
            connection.exec_driver_sql(statement)
    assert len(check_chain(ledger)) == 2


def test_the_feed_resumes_exactly(ledger: Ledger) -> None:
    busy(ledger)
    whole, head = ledger.journal(0, 1000)
    assert [row.sequence for row in whole] == list(range(1, 12))
    assert head == Head(11, whole[-1].hash)
    assert [(row.entry, bytes(row.hash)) for row in whole] == [
        (row.entry, bytes(row.hash)) for row in rows_of(ledger, "SELECT entry, hash FROM journal ORDER BY sequence")
    ]
    resumed: list[Any] = []
    while page := ledger.journal(resumed[-1].sequence if resumed else 0, 4)[0]:
        resumed += page
    assert resumed == list(whole)
    assert ledger.journal(11, 10) == ([], head)


def test_a_head_is_written_as_a_receipt() -> None:
    assert str(Head(7, b"\x01\xff")) == "7:01ff"
