"""The proof of the books: everything that can be wrong is found and named, and the second verifier agrees."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from serving import ENGINES, standing_app
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from cashman import current
from cashman.changes import Target
from cashman.journal import GENESIS, Head
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.income import Income
from cashman.verify import Tampered, parse_receipt, verify
from torture.tamper import Attacker, found_by_verify, found_independently

ID = "01K0A1B2C3D4E5F6G7H8J9KMNP"
OTHER = "01K0A1B2C3D4E5F6G7H8J9KMNQ"
DAY = dt.date(2026, 11, 20)


@pytest.fixture(scope="module", params=ENGINES)
def attacker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    """Whoever can do anything to books of eight entries about two transactions."""
    with standing_app(request.param, request, tmp_path_factory.mktemp("verify")) as app:
        database = current.books(app).database
        ledger = current.books(app).own_ledger()
        pizza = Expense("pizza", 50, id=ID, category="Food", date=DAY, tags=["night out"])
        ledger.record(pizza)  # entries 3 (the category) and 4
        ledger.record(Income("salary", 5000, id=OTHER, date=DAY))  # 5
        ledger.replace(Target(ID), {"amount": Decimal(60)})  # 6
        ledger.redact(Target(OTHER))  # 7
        ledger.void(Target(OTHER))  # 8
        path = getattr(database, "path", None)
        url = f"sqlite:///{path}" if path else database.engine.url.render_as_string(hide_password=False)
        database.close()
        attacker = Attacker(url)
        try:
            yield attacker
        finally:
            attacker.close()


@pytest.fixture
def attacked(attacker: Attacker) -> Iterator[Connection]:
    """A connection on which everything is undone after the test, and on which the books are sound before it."""
    with attacker.on_a_copy() as on:
        assert found_by_verify(on) is None
        assert found_independently(on) is None
        yield on


def forge(on: Connection, sequence: int, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change one entry and make the hashes of it and of all that follow right again, with the head."""
    rows = on.execute(text("SELECT sequence, entry FROM journal WHERE ledger_id = 1 ORDER BY sequence")).all()
    previous, chart = GENESIS.hex(), 0
    for number, line in rows:
        entry = json.loads(line)
        entry["previous"] = previous
        changed = change(entry) if number == sequence else None
        if entry["entity"] != "transaction":
            chart = number
        line = changed if isinstance(changed, str) else json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
        hash_ = hashlib.sha256(b"cashman-journal-v1\n" + line.encode()).digest()
        on.execute(
            text("UPDATE journal SET entry = :entry, hash = :hash WHERE sequence = :sequence"),
            {"entry": line, "hash": hash_, "sequence": number},
        )
        previous = hash_.hex()
    on.execute(
        text("UPDATE journal_heads SET hash = :hash, chart_sequence = :chart"),
        {"hash": bytes.fromhex(previous), "chart": chart},
    )


STATEMENTS = [
    ("DELETE FROM journal WHERE sequence = 4", r"journal 1/5: entry 4 is missing before it", True),
    ("UPDATE journal SET entry = entry || ' ' WHERE sequence = 4", r"journal 1/4: the entry does not", True),
    ("UPDATE journal SET hash = (SELECT hash FROM journal_heads) WHERE sequence = 4", r"journal 1/4: .* hash", True),
    (
        "UPDATE journal_words SET words = words || ' ' WHERE sequence = 4",
        r"journal 1/4: the words beside it \(journal_words\) are not those",
        False,
    ),
    ("DELETE FROM journal_words WHERE sequence = 4", rf"journal_words 1/4: the words of {ID} are missing", True),
    (
        "INSERT INTO journal_words SELECT ledger_id, 999, words FROM journal_words WHERE sequence = 4",
        r"journal_words 1: words that belong to no entry",
        False,
    ),
    ("UPDATE journal_heads SET sequence = 7", r"journal_heads 1: the journal ends at 8:.*", False),
    ("UPDATE journal_heads SET recorded_at = 'never'", r"journal_heads 1: ", False),
    ("DELETE FROM journal_heads", r"journal_heads 1: ", False),
    ("UPDATE ledgers SET currency = 'EUR'", r"ledgers 1: not as the journal says", False),
    ("UPDATE ledgers SET created_at = '2026-01-01T00:00:00.000000Z'", r"ledgers 1: not as the journal says", False),
    ("DELETE FROM ledgers", r"a row of ledger 1, which does not exist", False),
    ("UPDATE accounts SET name = 'mine'", r"accounts 1/1: not as the journal says", False),
    ("DELETE FROM accounts", r"accounts 1/1: not as the journal says", False),
    ("UPDATE accounts SET opening_minor_units = 5", r"accounts 1/1: not as the journal says", False),
    ("UPDATE accounts SET opening_date = '2026-01-01'", r"accounts 1/1: not as the journal says", False),
    ("UPDATE accounts SET kind = 'cash'", r"accounts 1/1: not as the journal says", False),
    ("UPDATE accounts SET closed = NOT closed", r"accounts 1/1: not as the journal says", False),
    ("UPDATE accounts SET version = 2", r"accounts 1/1: not as the journal says", False),
    ("UPDATE ledgers SET closed_until = '2026-01-01'", r"ledgers 1: not as the journal says", False),
    ("UPDATE journal_heads SET chart_sequence = 4", r"journal_heads 1: ", False),
    ("UPDATE journal_heads SET renamed_sequence = 4", r"journal_heads 1: ", False),
    ("UPDATE journal_heads SET next_expiry = '2099-01-01T00:00:00.000000Z'", r"journal_heads 1: next_expiry is", False),
    (
        "INSERT INTO accounts (ledger_id, id, name, currency) VALUES (1, 2, 'mine', 'USD')",
        r"accounts 1/2: not as the journal says",
        False,
    ),
    ("UPDATE categories SET path = 'Feed'", r"categories 1/1: not as the journal says", False),
    ("INSERT INTO categories VALUES (2, 1, 'Food')", r"categories: a row of ledger 2, which does not exist", False),
    (f"DELETE FROM transactions WHERE id = '{ID}'", rf"transactions 1/{ID}: the journal and the state", False),
    (f"DELETE FROM transactions WHERE id = '{OTHER}'", rf"transactions 1/{OTHER}: missing", False),
    (f"UPDATE transactions SET id = '02' WHERE id = '{OTHER}'", rf"transactions 1/{OTHER}: the", False),
    (f"UPDATE transactions SET id = '00' WHERE id = '{OTHER}'", r"transactions 1/00: the", False),
    (
        f"UPDATE transactions SET minor_units = -1, description = 'x' WHERE id = '{ID}'",
        rf"transactions 1/{ID}: minor_units, description not as the journal says",
        False,
    ),
    (f"UPDATE transactions SET date = '2026-01-01' WHERE id = '{ID}'", rf"transactions 1/{ID}: date not as", False),
    (f"UPDATE transactions SET tags = '[1]' WHERE id = '{ID}'", rf"transactions 1/{ID}: tags not as", False),
    (f"UPDATE transactions SET version = 9 WHERE id = '{ID}'", rf"transactions 1/{ID}: version not as", False),
    (f"UPDATE transactions SET created_at = 'x' WHERE id = '{ID}'", rf"transactions 1/{ID}: created_at not as", False),
    (f"UPDATE revisions SET sequence = 999 WHERE transaction_id = '{ID}'", r"there is no journal entry 999", False),
    (
        f"UPDATE revisions SET sequence = 5 WHERE transaction_id = '{ID}' AND revision = 2",
        rf"revisions 1/{ID}/2: not the revision of journal entry 5",
        False,
    ),
    (
        f"DELETE FROM revisions WHERE transaction_id = '{OTHER}' AND revision = 3",
        rf"transactions 1/{OTHER}: status, version",
        False,
    ),
    (f"UPDATE transactions SET sequence = 5 WHERE id = '{ID}'", rf"transactions 1/{ID}: sequence not as", False),
    (
        "UPDATE totals SET minor_units = 0 WHERE grain = 'day' AND type = 'EXPENSE'",
        r"totals 1/account/day/2026-11-20/1/EXPENSE/USD: is \[0, 1\], has to be \[-6000, 1\]",
        False,
    ),
    (
        "UPDATE totals SET count = 2 WHERE grain = 'year' AND type = 'EXPENSE'",
        r"totals 1/category/year/2026/1/EXPENSE/USD: is \[-6000, 2\], has to be \[-6000, 1\]",
        False,
    ),
    (
        "UPDATE totals SET minor_units = 500000, count = 1 WHERE grain = 'day' AND type = 'INCOME'",
        r"totals 1/account/day/2026-11-20/1/INCOME/USD: is \[500000, 1\], has to be \[0, 0\]",
        False,
    ),
    ("DELETE FROM totals", r"totals 1/account/day/2026-11-20/1/EXPENSE/USD: missing, has to be \[-6000, 1\]", False),
    (
        "INSERT INTO totals VALUES (1, 'account', 'day', '2026-11-21', 1, 'EXPENSE', 'USD', -5, 1)",
        r"totals 1/account/day/2026-11-21/1/EXPENSE/USD: is \[-5, 1\], has to be \[0, 0\]",
        False,
    ),
    ("UPDATE turnovers SET minor_units = 5999", r"turnovers 1/USD: is 5999, has to be 6000", False),
    ("DELETE FROM turnovers", r"turnovers 1/USD: is 0, has to be 6000", False),
    ("INSERT INTO turnovers VALUES (1, 'XXX', 1)", r"turnovers 1/XXX: is 1, has to be 0", False),
    ("UPDATE transaction_tags SET tag = 'day in'", rf"transaction_tags 1/{ID}: not those of the transaction", False),
    ("UPDATE transaction_tags SET date = '2026-11-21'", rf"transaction_tags 1/{ID}: not those of the tr", False),
    ("DELETE FROM transaction_tags", rf"transaction_tags 1/{ID}: not those of the transaction", False),
    (
        f"INSERT INTO transaction_tags VALUES (1, 'night out', '2026-11-20', '{OTHER}')",
        rf"transaction_tags 1/{OTHER}: not those of the transaction",
        False,
    ),
    (
        "INSERT INTO transaction_tags VALUES (1, 'x', '2026-11-20', 'Z')",
        r"transaction_tags 1: a tag of no transaction",
        False,
    ),
    ("DELETE FROM stems", r"stems 1/4: missing", False),
]


@pytest.mark.parametrize(("statement", "finding", "both"), STATEMENTS, ids=range(len(STATEMENTS)))
def test_a_changed_row_is_named(attacked: Connection, statement: str, finding: str, both: bool) -> None:
    attacked.execute(text(statement))
    assert re.search(finding, str(found_by_verify(attacked)))
    assert (found_independently(attacked) is not None) >= both


FORGERIES: list[tuple[int, Callable[[dict[str, Any]], Any], str, bool]] = [
    (4, lambda entry: entry.update(previous="0" * 64), r"journal 1/4: does not follow the entry before it", True),
    (4, lambda entry: entry.update(v=2), r"journal 1/4: an entry of another place", True),
    (4, lambda entry: entry.update(ledger=ID), r"journal 1/4: an entry of another place", True),
    (4, lambda entry: entry.update(sequence=5), r"journal 1/4: an entry of another place", True),
    (4, lambda entry: entry.update(recorded_at="2020"), r"journal 1/4: not recorded after the entry before it", True),
    (4, lambda entry: "[]", r"journal 1/4: cannot be read", True),
    (4, lambda entry: "5", r"journal 1/4: cannot be read", True),
    (4, lambda entry: entry.__delitem__("kind"), r"journal 1/4: cannot be read", True),
    (4, lambda entry: entry.update(recorded_at=5), r"journal 1/4: cannot be read", True),
    (4, lambda entry: entry.update(entity="cat"), r"journal 1/4: cannot be read", False),
    (4, lambda entry: entry["figures"].__delitem__("status"), r"revisions 1, after .*: cannot be read", False),
    (6, lambda entry: entry.update(revision=3), rf"revisions 1/{ID}/2: not the revision of journal entry 6", True),
    (6, lambda entry: entry["figures"].update(minor_units=-1), rf"transactions 1/{ID}: minor_units", False),
    (
        8,
        lambda entry: entry.update(entity="category", figures={"path": "Food"}),
        r"journal 1/8: not the next rev",
        True,
    ),
    (
        8,
        lambda entry: entry.update(entity="category", entity_id="9", kind="open", revision=1, figures={"path": "Feed"}),
        r"categories 1/9: not as the journal says",
        False,
    ),
]


@pytest.mark.parametrize(("sequence", "change", "finding", "both"), FORGERIES, ids=range(len(FORGERIES)))
def test_a_forged_entry_with_right_hashes_is_named(
    attacked: Connection, sequence: int, change: Callable[[dict[str, Any]], Any], finding: str, both: bool
) -> None:
    forge(attacked, sequence, change)
    assert re.search(finding, str(found_by_verify(attacked)))
    assert (found_independently(attacked) is not None) >= both


STEMS = {
    "sqlite": (f"UPDATE stems SET {{}} WHERE rowid = {(1 << 40) + 4}", "words = 'pasta'", f"rowid = {(1 << 40) + 5}"),
    "postgresql": ("UPDATE stems SET {} WHERE sequence = 4", "words = '{pasta}'", "sequence = 5"),
}


def test_changed_stems_are_named(attacked: Connection) -> None:
    """Nothing else would show that a transaction is not found any more by what it says."""
    statement, *changes = STEMS[attacked.dialect.name]
    no_words = {"sqlite": "words = NULL", "postgresql": "words = '{NULL}'"}[attacked.dialect.name]
    for change, finding in zip([*changes, no_words], ("stems 1/4: not", "stems 1/5: not", "stems 1"), strict=True):
        with attacked.begin_nested() as inner:
            attacked.execute(text(statement.format(change)))
            assert str(found_by_verify(attacked)).startswith(finding), change
            inner.rollback()


STRAY_STEMS = {
    "sqlite": f"INSERT INTO stems (rowid, words) VALUES ({(2 << 40) + 4}, 'pasta')",
    "postgresql": "INSERT INTO stems VALUES (2, 4, '{pasta}')",
}


def test_stems_of_a_ledger_that_does_not_exist_are_named(attacked: Connection) -> None:
    attacked.execute(text(STRAY_STEMS[attacked.dialect.name]))
    assert found_by_verify(attacked) == "stems: a row of ledger 2, which does not exist"


def test_a_forger_that_changes_nothing_is_not_found(attacked: Connection) -> None:
    """The control: what the forger does to the hashes is right."""
    forge(attacked, 4, lambda entry: None)
    assert found_by_verify(attacked) is None
    assert found_independently(attacked) is None


def test_a_missing_last_revision_of_the_last_entry_is_counted(attacked: Connection) -> None:
    """State, revisions and totals agree, but the journal has an entry that none of them knows."""
    attacked.execute(text(f"DELETE FROM revisions WHERE transaction_id = '{OTHER}' AND revision = 3"))
    attacked.execute(text(f"UPDATE transactions SET status = 'posted', version = 2 WHERE id = '{OTHER}'"))
    assert found_by_verify(attacked) == "revisions 1: 4 rows for 5 entries about transactions"


def test_a_database_without_a_ledger_is_not_sound(attacked: Connection) -> None:
    for name in ("transactions", "revisions", "totals", "turnovers", "transaction_tags", "stems", "journal_words",
                 "journal", "journal_heads", "categories", "accounts", "keyed_answers",
                 "members", "ledgers"):  # fmt: skip
        attacked.execute(text(f"DELETE FROM {name}"))
    assert found_by_verify(attacked) == "ledgers: there is none"


@pytest.mark.parametrize("attacker", ["sqlite"], indirect=True, scope="module")
@pytest.mark.parametrize(
    ("table", "column", "finding"),
    [
        ("journal", "entry", r"journal 1/1: cannot be read"),
        ("journal_words", "words", r"journal 1/4: cannot be read"),
        ("transactions", "description", r"transactions 1/.*: description not as the journal says"),
        ("accounts", "name", r"accounts 1/1: not as the journal says"),
    ],
)
def test_text_that_is_not_utf8_is_found_and_named(attacked: Connection, table: str, column: str, finding: str) -> None:
    attacked.execute(text(f"UPDATE {table} SET {column} = CAST(X'FF' || {column} AS TEXT)"))
    assert re.search(finding, str(found_by_verify(attacked)))
    assert attacked.execute(text("SELECT typeof(ulid) FROM ledgers")).scalar() == "text"


def test_what_the_database_cannot_answer_is_no_finding(ledger: Ledger) -> None:
    ledger.books.database.write(lambda connection: connection.execute(text("DROP TABLE turnovers")))
    with pytest.raises(DBAPIError):
        verify(ledger.books.database)


def test_verified_books_say_what_was_found(ledger: Ledger) -> None:
    receipt = ledger.record(Expense("pizza", 50))
    (verified,) = verify(ledger.books.database, receipt.head)
    assert (verified.entries, verified.transactions, verified.head) == (3, 1, receipt.head)
    assert verify(ledger.books.database, Head(0, GENESIS)) == [verified]
    with pytest.raises(Tampered, match="is not in the chain"):
        verify(ledger.books.database, Head(3, GENESIS))


def test_a_total_of_nothing_may_be_kept_or_not(ledger: Ledger) -> None:
    state = ledger.record(Expense("pizza", 50)).state
    ledger.void(Target(state["id"]))
    assert verify(ledger.books.database)[0].transactions == 1
    with ledger.books.database.engine.begin() as connection:
        assert connection.execute(text("DELETE FROM totals WHERE minor_units = 0")).rowcount > 0
    assert verify(ledger.books.database)[0].transactions == 1


def test_accounts_categories_and_days_are_in_both_proofs(ledger: Ledger) -> None:
    """What is not about a transaction is followed as well: opened, renamed, merged, closed, deleted."""
    card = ledger.open_account({"name": "card", "opening_balance": Decimal(-30), "opening_date": DAY}).account
    gone = ledger.open_account({"name": "gone", "currency": "JPY"}).account
    assert card is not None
    assert gone is not None
    ledger.record(Expense("pizza", 50, account="card", category="Food:Out", date=DAY, tags=["a", "b"]))
    ledger.record(Expense("market", 20, category="Food", status="pending", expires_in=60))
    ledger.replace_account(card["id"], {"name": "Visa", "closed": True})
    ledger.delete_account(gone["id"])
    ledger.rename_category("Food", "Meals")
    ledger.record(Expense("market", 20, category="Food"))
    ledger.rename_category("Meals", "Food", merge=True)
    ledger.close_until(dt.date(2026, 1, 1))
    ledger.close_until(None)
    ledger.close_until(dt.date(2025, 1, 1))
    (verified,) = verify(ledger.books.database)
    assert verified.transactions == 3
    independent = ledger.books.database.read(lambda connection: found_independently(connection, verified.head))
    assert independent is None


@pytest.mark.parametrize(
    "receipt", ["", ":", "5", f":{'0' * 64}", f"-1:{'0' * 64}", f"٣:{'0' * 64}", "5:" + "0" * 63, "5:" + "g" * 64]
)
def test_what_is_no_receipt_is_refused(receipt: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_receipt(receipt)


def test_a_receipt_is_read_as_it_is_written() -> None:
    head = Head(5, bytes(range(32)))
    assert parse_receipt(str(head)) == head
    assert parse_receipt(str(head).upper()) == head
