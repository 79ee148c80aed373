"""What is read: the state of transactions, pages of them, and their revisions from the journal."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, or_, select, tuple_

from cashman import journal
from cashman.db import table
from cashman.journal import Head
from cashman.model.currency import CURRENCIES
from cashman.model.filter import SORT_KEYS, Filter
from cashman.model.ledger import Account, Category, JournalEntry, JournalWords, Revision
from cashman.model.money import minor_unit_range
from cashman.model.transaction import COLUMNS, REDACTED, WORDS, Transaction, read_figures

State = dict[str, Any]
"""A transaction as its row is: every column but the ledger's, and the names `account` and `category`."""

STATE_COLUMNS: Final = (*COLUMNS, Account.name.label("account"), Category.path.label("category"))
"""What a read selects, in the order of a row."""
STATE_NAMES: Final = tuple(column.name for column in STATE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of STATE_COLUMNS, the key that the next page starts after, and the head they were read at."""

    rows: Sequence[Row[Any]]
    next_key: tuple[Any, ...] | None
    head: Head


@dataclass(frozen=True, slots=True)
class Version:
    """One revision of a transaction: what the journal says, and the state that it led to."""

    kind: str
    recorded_at: str
    actor: str
    head: Head
    state: State


_states = (
    select(*STATE_COLUMNS)
    .select_from(table(Transaction))
    .join(Account, (Account.ledger_id == Transaction.ledger_id) & (Account.id == Transaction.account_id))
    .outerjoin(Category, (Category.ledger_id == Transaction.ledger_id) & (Category.id == Transaction.category_id))
    .where(Transaction.ledger_id == bindparam("ledger_id"))
)
_states_by_id = _states.where(Transaction.id.in_(bindparam("keys", expanding=True)))
_revisions = (
    select(JournalEntry.sequence, JournalEntry.entry, JournalEntry.hash, JournalWords.words)
    .join_from(
        Revision,
        JournalEntry,
        (JournalEntry.ledger_id == Revision.ledger_id) & (JournalEntry.sequence == Revision.sequence),
    )
    .outerjoin(
        JournalWords,
        (JournalWords.ledger_id == JournalEntry.ledger_id) & (JournalWords.sequence == JournalEntry.sequence),
    )
    .where(Revision.ledger_id == bindparam("ledger_id"), Revision.transaction_id == bindparam("transaction_id"))
    .order_by(Revision.revision)
)
_account_names = select(Account.id, Account.name).where(
    Account.ledger_id == bindparam("ledger_id"), Account.id.in_(bindparam("ids", expanding=True))
)
_category_paths = select(Category.id, Category.path).where(
    Category.ledger_id == bindparam("ledger_id"), Category.id.in_(bindparam("ids", expanding=True))
)


def states_by_id(connection: Connection, ledger_id: int, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Rows of STATE_COLUMNS, void ones too."""
    return connection.execute(_states_by_id, {"ledger_id": ledger_id, "keys": ids}).all() if ids else []


def versions(connection: Connection, ledger_id: int, transaction_id: str) -> list[Version]:
    """Every revision of a transaction, oldest first; nothing where the id was never booked.

    Words that were erased read as REDACTED; names are those that accounts and categories have now.
    """
    rows = connection.execute(_revisions, {"ledger_id": ledger_id, "transaction_id": transaction_id}).all()
    found = [_version(transaction_id, rows[0], dict(REDACTED), None)] if rows else []
    for row in rows[1:]:
        found.append(_version(transaction_id, row, found[-1].state, found[0].state["created_at"]))
    accounts = _names(connection, _account_names, ledger_id, [version.state["account_id"] for version in found])
    paths = _names(connection, _category_paths, ledger_id, [version.state["category_id"] for version in found])
    for version in found:
        version.state["account"] = accounts[version.state["account_id"]]
        version.state["category"] = paths.get(version.state["category_id"])
    return found


def _version(transaction_id: str, row: Any, before: Mapping[str, Any], created_at: dt.datetime | None) -> Version:
    sequence, line, hash_, words_line = row
    entry = msgspec.json.decode(line, type=journal.Entry)
    if words_line is not None:
        words = msgspec.json.decode(words_line)
    elif entry.words_sha256 is not None or entry.kind == "redact":
        words = REDACTED
    else:
        words = before
    state = {
        "id": transaction_id,
        **read_figures(entry.figures),
        **{name: words[name] for name in WORDS},
        "created_at": created_at or dt.datetime.fromisoformat(entry.recorded_at),
        "version": entry.revision,
    }
    return Version(entry.kind, entry.recorded_at, entry.actor, Head(sequence, hash_), state)


def _names(connection: Connection, statement: Any, ledger_id: int, ids: Sequence[int | None]) -> dict[Any, str]:
    wanted = sorted({id_ for id_ in ids if id_ is not None})
    if not wanted:
        return {}
    rows = connection.execute(statement, {"ledger_id": ledger_id, "ids": wanted})
    return {row.id: row[1] for row in rows}


def page(connection: Connection, ledger_id: int, filter_: Filter) -> Page:
    """The page of transactions that a filter asks for, and the head that it was read at."""
    head = journal.head(connection, ledger_id)
    rows = connection.execute(_listing(ledger_id, filter_), {"ledger_id": ledger_id}).all()
    if len(rows) <= filter_.limit:
        return Page(rows, None, head)
    rows = rows[: filter_.limit]
    return Page(rows, tuple(getattr(rows[-1], name) for name, _ in SORT_KEYS[filter_.sort]), head)


def _listing(ledger_id: int, filter_: Filter) -> Select[Any]:
    """The query for one page and one row more, which tells whether there is a next page."""
    statement = _states.where(Transaction.status != "void")
    if filter_.type is not None:
        statement = statement.where(Transaction.type == filter_.type)
    if filter_.first_day is not None:
        statement = statement.where(Transaction.date >= filter_.first_day)
    if filter_.last_day is not None:
        statement = statement.where(Transaction.date <= filter_.last_day)
    if filter_.currency is not None:
        statement = statement.where(Transaction.currency == filter_.currency)
    if filter_.account is not None:
        statement = statement.where(Account.name == filter_.account)
    if filter_.category is not None:
        below = filter_.category + ":"
        statement = statement.where(
            Transaction.category_id.in_(
                select(Category.id).where(
                    Category.ledger_id == ledger_id,
                    # ";" is the character after ":", so this is what starts with the path and a colon.
                    (Category.path == filter_.category)
                    | ((Category.path >= below) & (Category.path < filter_.category + ";")),
                )
            )
        )
    if filter_.min_amount is not None or filter_.max_amount is not None:
        statement = statement.where(_magnitude_between(filter_))
    columns = [table(Transaction).c[name] for name, _ in SORT_KEYS[filter_.sort]]
    if filter_.after is not None:
        key, after = tuple_(*columns), tuple_(*filter_.after, types=[column.type for column in columns])
        statement = statement.where(key < after if filter_.descending else key > after)
    order = [column.desc() if filter_.descending else column.asc() for column in columns]
    return statement.order_by(*order).limit(filter_.limit + 1)


def _magnitude_between(filter_: Filter) -> ColumnElement[bool]:
    """The amounts, of either sign, between two magnitudes in currency units; each currency by its own decimals."""
    of_decimals: dict[int, list[str]] = {}
    for code, decimals in CURRENCIES.items():
        if filter_.currency in (None, code):
            of_decimals.setdefault(decimals, []).append(code)
    ranges = []
    for decimals, codes in of_decimals.items():
        low, high = minor_unit_range(filter_.min_amount, filter_.max_amount, decimals)
        column = Transaction.minor_units
        ranges.append(Transaction.currency.in_(codes) & (column.between(low, high) | column.between(-high, -low)))
    return or_(*ranges)
