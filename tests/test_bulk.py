"""Many rows at once: each column takes what it takes anywhere else."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from cashman.db import bulk, insert_rows, table
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.ledger import Revision
from cashman.model.transaction import COLUMNS, Transaction
from cashman.model.transaction_type import TransactionType

ROW: dict[str, Any] = {
    "ledger_id": 7, "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "type": TransactionType.EXPENSE, "status": "pending",
    "minor_units": -999_999_999_999_999, "currency": "USD", "date": dt.date(1, 1, 1), "account_id": 1,
    "category_id": None, "group": None, "expires_at": dt.datetime(2999, 1, 1, tzinfo=dt.UTC), "description": "é😀%s:x?",
    "payee": None, "notes": "a\nb", "tags": ["a", "é"],
    "created_at": dt.datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=dt.UTC), "version": 1,
    "sequence": 5,
}  # fmt: skip


def stored(connection: Connection, ledger_id: int) -> list[dict[str, Any]]:
    rows = connection.execute(select(*COLUMNS).where(Transaction.ledger_id == ledger_id).order_by(Transaction.id))
    return [dict(row._mapping) for row in rows]


class _Undo(Exception):
    pass


def undone(ledger: Ledger, work: Any) -> None:
    """Run in a transaction that leaves nothing behind."""

    def run(connection: Connection) -> None:
        work(connection)
        raise _Undo

    with pytest.raises(_Undo):
        ledger.books.database.write(run)


def test_rows_are_stored_as_sqlalchemy_stores_them(ledger: Ledger) -> None:
    def work(connection: Connection) -> None:
        insert_rows(connection, table(Transaction), [ROW])
        connection.execute(insert(table(Transaction)), [{**ROW, "ledger_id": 8}])
        (own,), (theirs,) = stored(connection, 7), stored(connection, 8)
        assert own == theirs == {name: value for name, value in ROW.items() if name != "ledger_id"}

    undone(ledger, work)


def test_each_of_many_rows_keeps_what_is_its_own(ledger: Ledger) -> None:
    mixed = [
        {**ROW, "id": f"{number:026}", "date": dt.date(2026, 1, 1 + number % 3), "tags": [str(number % 5)]}
        | ({"type": TransactionType.INCOME, "minor_units": 5, "expires_at": None} if number % 2 else {})
        for number in range(200)  # so many that PostgreSQL takes them by COPY
    ]

    def work(connection: Connection) -> None:
        insert_rows(connection, table(Transaction), mixed)
        own = [{name: value for name, value in row.items() if name != "ledger_id"} for row in mixed]
        assert stored(connection, 7) == own

    undone(ledger, work)


def test_no_rows_are_no_statement(ledger: Ledger) -> None:
    undone(ledger, lambda connection: insert_rows(connection, table(Transaction), []))


def test_columns_may_be_chosen_and_others_are_left_out(ledger: Ledger) -> None:
    def work(connection: Connection) -> None:
        row = {"odd": object(), "transaction_id": ROW["id"], "ledger_id": 7, "revision": 1, "sequence": 5}
        names = ("ledger_id", "transaction_id", "revision", "sequence")
        insert_rows(connection, table(Revision), [row, {**row, "revision": 2}], names)
        found = connection.execute(select(table(Revision)).where(Revision.ledger_id == 7)).all()
        assert [(one.revision, one.asked) for one in found] == [(1, None), (2, None)]

    undone(ledger, work)


def test_bytes_are_kept_to_the_last(ledger: Ledger) -> None:
    def work(connection: Connection) -> None:
        row = {"ledger_id": 7, "transaction_id": ROW["id"], "revision": 1, "sequence": 5, "asked": bytes(range(32))}
        insert_rows(connection, table(Revision), [row])
        assert connection.execute(select(Revision.asked).where(Revision.ledger_id == 7)).scalar() == bytes(range(32))

    undone(ledger, work)


def test_more_rows_than_are_bound_at_once_are_all_stored(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_AT_ONCE", 3)

    def work(connection: Connection) -> None:
        rows = [{**ROW, "id": f"{number:026}", "minor_units": -number - 1} for number in range(10)]
        insert_rows(connection, table(Transaction), rows)
        assert [row["minor_units"] for row in stored(connection, 7)] == [-number - 1 for number in range(10)]

    undone(ledger, work)


def test_a_row_that_lacks_a_column_stores_nothing(ledger: Ledger) -> None:
    def work(connection: Connection) -> None:
        with pytest.raises(KeyError):
            insert_rows(connection, table(Transaction), [ROW, {"ledger_id": 7}])
        assert stored(connection, 7) == []

    undone(ledger, work)


def test_many_rows_are_stored_as_one_is(ledger: Ledger) -> None:
    """PostgreSQL takes many by COPY."""
    ids = [f"01ARZ3NDEKTSV4RRFFQ69G{number:04}" for number in range(bulk._COPIED)]

    def work(connection: Connection) -> None:
        insert_rows(connection, table(Transaction), [{**ROW, "id": id_} for id_ in ids])
        found = stored(connection, 7)
        assert [row.pop("id") for row in found] == ids
        assert all(row == {name: ROW[name] for name in row} for row in found)

    undone(ledger, work)


def test_many_rows_of_which_one_breaks_a_rule_are_refused_as_one_is(ledger: Ledger) -> None:
    for count in (2, bulk._COPIED):
        rows = [{**ROW, "id": f"01ARZ3NDEKTSV4RRFFQ69G{number:04}"} for number in range(count - 1)]
        with pytest.raises(IntegrityError):
            ledger.books.database.write(
                lambda connection, rows=rows: insert_rows(connection, table(Transaction), [*rows, rows[0]])
            )
    ledger.record(Expense("goes on", 1))  # on the connection after it
