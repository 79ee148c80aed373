"""How what a commit has come to is written: the chart, transactions, kept answers, and what is erased."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update

from cashman import search
from cashman.chart import Chart
from cashman.db import insert_rows, table
from cashman.model import account as account_model
from cashman.model.account import Account
from cashman.model.idempotency import KeyedAnswer
from cashman.model.ledger import Category, JournalWords, LedgerRecord, Revision
from cashman.model.transaction import COLUMNS, Transaction

State = Mapping[str, Any]

_INSERTED: Final = ("ledger_id", *(column.name for column in COLUMNS))
_next_expiry = select(func.min(Transaction.expires_at)).where(
    Transaction.ledger_id == bindparam("ledger_id"), text("status = 'pending'")
)
_insert_account = insert(table(Account))
_of_account = (Account.ledger_id == bindparam("of_ledger"), Account.id == bindparam("of_id"))
_update_account = (
    update(table(Account))
    .where(*_of_account)
    .values({name: bindparam(name) for name in (*account_model.FIGURES, "version")})
)
_delete_account = delete(table(Account)).where(*_of_account)
_insert_categories = insert(table(Category))
_rename_category = (
    update(table(Category))
    .where(Category.ledger_id == bindparam("of_ledger"), Category.id == bindparam("of_id"))
    .values(path=bindparam("path"))
)
_update_ledger = (
    update(table(LedgerRecord))
    .where(LedgerRecord.id == bindparam("of_ledger"))
    .values(closed_until=bindparam("closed_until"), version=bindparam("version"))
)
_update_transaction = (
    update(table(Transaction))
    .where(
        Transaction.ledger_id == bindparam("of_ledger"),
        Transaction.id == bindparam("of_id"),
        Transaction.version == bindparam("of_version"),
    )
    .values({column.name: bindparam(column.name) for column in COLUMNS})
)
_forget_keyed_answers = delete(table(KeyedAnswer)).where(
    KeyedAnswer.ledger_id == bindparam("of_ledger"), KeyedAnswer.recorded_at < bindparam("before")
)
_erase_keyed_bodies = (
    update(table(KeyedAnswer)).where(KeyedAnswer.ledger_id == bindparam("of_ledger")).values(body=None)
)
_erase_words = delete(table(JournalWords)).where(
    JournalWords.ledger_id == bindparam("of_ledger"),
    JournalWords.sequence < bindparam("before"),
    JournalWords.sequence.in_(
        select(Revision.sequence).where(
            Revision.ledger_id == bindparam("of_ledger"), Revision.transaction_id == bindparam("of_id")
        )
    ),
)


def store_chart(connection: Connection, ledger_id: int, before: Chart, after: Chart) -> None:
    """Bring accounts, categories and the ledger from one chart to another."""
    if before is after:
        return
    execute, of_ledger = connection.execute, {"of_ledger": ledger_id}
    for id_ in before.accounts.keys() - after.accounts.keys():
        execute(_delete_account, {**of_ledger, "of_id": id_})
    # A name may pass from one account to another in one commit, so those that change give theirs up first.
    changed = [row for id_, row in after.accounts.items() if before.accounts.get(id_, row) != row]
    for row in changed:
        execute(_update_account, {**row, **of_ledger, "of_id": row["id"], "name": _no_name(row["id"])})
    for row in changed:
        execute(_update_account, {**row, **of_ledger, "of_id": row["id"]})
    for id_ in after.accounts.keys() - before.accounts.keys():
        execute(_insert_account, {"ledger_id": ledger_id, **after.accounts[id_]})
    paths = {id_: path for id_, path in after.categories.items() if before.categories.get(id_) != path}
    new = [
        {"ledger_id": ledger_id, "id": id_, "path": path} for id_, path in paths.items() if id_ not in before.categories
    ]
    if new:
        execute(_insert_categories, new)
    for id_ in paths.keys() & before.categories.keys():
        execute(_rename_category, {**of_ledger, "of_id": id_, "path": paths[id_]})
    if before.version != after.version:
        execute(_update_ledger, {**of_ledger, "closed_until": after.closed_until, "version": after.version})


def store_transactions(connection: Connection, ledger_id: int, revised: Sequence[tuple[State | None, State]]) -> bool:
    """Bring transactions from (before, after); whether a pending one is among them."""
    inserts, updates, pending = [], [], False
    for before, after in revised:
        if before is None:
            inserts.append({**after, "ledger_id": ledger_id})
        else:
            row = {column.name: after[column.name] for column in COLUMNS}
            updates.append({**row, "of_ledger": ledger_id, "of_id": after["id"], "of_version": before["version"]})
        pending = pending or "pending" in (after["status"], before and before["status"])
    insert_rows(connection, table(Transaction), inserts, _INSERTED)
    for row in updates:
        changed = connection.execute(_update_transaction, row).rowcount
        assert changed == 1, "a transaction changed under the held head"
    return pending


def next_expiry(connection: Connection, ledger_id: int) -> dt.datetime | None:
    """When the next pending transaction expires."""
    found: dt.datetime | None = connection.execute(_next_expiry, {"ledger_id": ledger_id}).scalar()
    return found


def store_answers(
    connection: Connection,
    ledger_id: int,
    answers: Sequence[Mapping[str, Any]],
    forgotten_before: dt.datetime | None = None,
) -> None:
    """Keep the answers of requests with a key, and with an instant forget those from before it."""
    insert_rows(connection, table(KeyedAnswer), answers)
    if forgotten_before is not None:
        connection.execute(_forget_keyed_answers, {"of_ledger": ledger_id, "before": forgotten_before})


def erase(connection: Connection, ledger_id: int, redacted: Mapping[str, int]) -> None:
    """Erase the words of some transactions from before a journal entry each, and wherever else they are kept."""
    if not redacted:
        return
    for id_, before in redacted.items():
        connection.execute(_erase_words, {"of_ledger": ledger_id, "of_id": id_, "before": before})
    search.forget(connection)
    connection.execute(_erase_keyed_bodies, {"of_ledger": ledger_id})  # an answer may quote what was erased


def _no_name(id_: int) -> str:
    """What no account can be called, because it is blank: an account's number, in base 2."""
    return f"{id_:b}".translate({ord("0"): " ", ord("1"): "\t"})
