"""What is read: the state of transactions, pages of them, and their revisions from the journal."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    type_coerce,
    union_all,
)

from cashman import journal, search
from cashman.chart import Chart, Standing
from cashman.db import table, utc_now
from cashman.journal import Head
from cashman.model.currency import CURRENCIES
from cashman.model.filter import SORT_KEYS, Filter
from cashman.model.ledger import JournalEntry, JournalWords, Revision
from cashman.model.money import minor_unit_range
from cashman.model.tag import TransactionTag
from cashman.model.total import Turnover
from cashman.model.transaction import COLUMNS, REDACTED, WORDS, Transaction, read_figures
from cashman.model.transaction_type import TransactionType

State = dict[str, Any]
"""A transaction as its row is: every column but the ledger's."""

COLUMN_NAMES: Final = tuple(column.name for column in COLUMNS)
_AS_TEXT: Final = {"type", "date", "tags", "created_at", "expires_at"}
_RAW: Final = tuple(
    type_coerce(column, String).label(column.name) if column.name in _AS_TEXT else column for column in COLUMNS
)
"""The columns for a page: what is only shown is left as the text that is stored."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of COLUMN_NAMES as they are stored, the cursor of the next page, and what they were read at."""

    rows: Sequence[Row[Any]]
    next_cursor: str | None
    head: Head
    chart: Chart
    balances: Sequence[int] | None = None
    """After each row the account's balance in minor units, where the list is that of one account."""
    counterparts: Mapping[str, Row[Any]] | None = None
    """By group the other legs, where the list is one of transfers."""


@dataclass(frozen=True, slots=True)
class Version:
    """One revision of a transaction: what the journal says, and the state that it led to."""

    kind: str
    recorded_at: str
    actor: str
    head: Head
    state: State


_of_ledger = Transaction.ledger_id == bindparam("ledger_id")
_states = select(*COLUMNS).where(_of_ledger)
_states_by_id = _states.where(Transaction.id.in_(bindparam("keys", expanding=True)))
_states_by_group = _states.where(Transaction.group.in_(bindparam("groups", expanding=True)))
_is_pending = text("transactions.status = 'pending'")  # a literal, or its partial index could not be used
_pending_until = (
    _states.where(_is_pending, Transaction.expires_at <= bindparam("until")).order_by(Transaction.sequence).limit(1_000)
)
_counterparts = select(*_RAW).where(
    _of_ledger, Transaction.group.in_(bindparam("groups", expanding=True)), Transaction.id != Transaction.group
)
_currencies = select(Turnover.currency).where(Turnover.ledger_id == bindparam("ledger_id"))
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


def states_by_id(connection: Connection, ledger_id: int, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """The transactions of some ids, void ones too."""
    return connection.execute(_states_by_id, {"ledger_id": ledger_id, "keys": ids}).all() if ids else []


def states_by_group(connection: Connection, ledger_id: int, groups: Sequence[str]) -> Sequence[Row[Any]]:
    """The transactions of some groups, void ones too."""
    return connection.execute(_states_by_group, {"ledger_id": ledger_id, "groups": groups}).all() if groups else []


def pending_until(connection: Connection, ledger_id: int, until: dt.datetime) -> Sequence[Row[Any]]:
    """Pending transactions that expire until an instant, the first thousand of them."""
    return connection.execute(_pending_until, {"ledger_id": ledger_id, "until": until}).all()


def versions(connection: Connection, ledger_id: int, transaction_id: str) -> list[Version]:
    """Every revision of a transaction, oldest first; nothing where the id was never booked.

    Words that were erased read as REDACTED.
    """
    rows = connection.execute(_revisions, {"ledger_id": ledger_id, "transaction_id": transaction_id}).all()
    found: list[Version] = []
    for row in rows:
        found.append(
            _version(transaction_id, row, found[0].state if found else None, found[-1].state if found else REDACTED)
        )
    return found


def _version(transaction_id: str, row: Any, first: State | None, before: Mapping[str, Any]) -> Version:
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
        "created_at": first["created_at"] if first else dt.datetime.fromisoformat(entry.recorded_at),
        "version": entry.revision,
        "sequence": first["sequence"] if first else sequence,
    }
    return Version(entry.kind, entry.recorded_at, entry.actor, Head(sequence, hash_), state)


def tags(connection: Connection, ledger_id: int) -> list[str]:
    """The tags in use, sorted: from one to the next in their index, however often each is used."""
    own = table(TransactionTag).c
    first = (
        select(func.min(own.tag).label("tag"))
        .where(own.ledger_id == bindparam("ledger_id"))
        .cte("tags", recursive=True)
    )
    following = (
        select(func.min(own.tag))
        .where(own.ledger_id == bindparam("ledger_id"), own.tag > first.c.tag)
        .scalar_subquery()
    )
    every = first.union_all(select(following).where(first.c.tag.is_not(None)))
    statement = select(every.c.tag).where(every.c.tag.is_not(None))
    return list(connection.execute(statement, {"ledger_id": ledger_id}).scalars())


# Pages.


class _Shape(NamedTuple):
    """What of a filter makes another statement; the rest is its parameters."""

    engine: str
    given: frozenset[str]
    categories: int
    tags: int
    currencies: int
    sort: str
    descending: bool


_WALKS_MAX: Final = 50
_FEW_ROWS: Final = 2_000


def page(ledger_id: int, filter_: Filter, connection: Connection, standing: Standing) -> Page:
    """The page of transactions that a filter asks for, and what it was read at."""
    head, chart, _ = standing
    after = filter_.after(chart.cursor_secret)
    rows: Sequence[Row[Any]] = []
    parameters = _parameters(connection, ledger_id, filter_, chart, after)
    if parameters is not None:
        statement = _listing(_shape(connection.dialect.name, filter_, parameters, after))
        rows = connection.execute(statement, parameters).all()
    if len(rows) <= filter_.limit:
        return Page(rows, None, head, chart)
    rows = rows[: filter_.limit]
    key = tuple(getattr(rows[-1], name) for name, _ in SORT_KEYS[filter_.sort])
    return Page(rows, filter_.cursor_after(key, chart.cursor_secret), head, chart)


def transfers_page(ledger_id: int, filter_: Filter, connection: Connection, standing: Standing) -> Page:
    """The same for transfers: rows of what goes out, with what comes in as their counterparts."""
    found = page(ledger_id, filter_, connection, standing)
    groups = [row.group for row in found.rows]
    others = connection.execute(_counterparts, {"ledger_id": ledger_id, "groups": groups}) if groups else ()
    return Page(found.rows, found.next_cursor, found.head, found.chart, counterparts={row.group: row for row in others})


_PLAIN: Final = ("type", "first_day", "last_day", "currency", "payee", "status", "group")
"""What of a filter is a parameter as it is."""


def _parameters(
    connection: Connection, ledger_id: int, filter_: Filter, chart: Chart, after: tuple[Any, ...] | None
) -> dict[str, Any] | None:
    """The values of the statement's parameters; None where nothing can be found."""
    values: dict[str, Any] = {"ledger_id": ledger_id, "now": utc_now(), "rows": filter_.limit + 1}
    values |= {name: getattr(filter_, name) for name in _PLAIN if getattr(filter_, name) is not None}
    values |= {f"tag_{number}": tag for number, tag in enumerate(filter_.tags)}
    values |= {f"after_{number}": value for number, value in enumerate(after or ())}
    if filter_.account is not None:
        values["account_id"] = chart.account(filter_.account)["id"]
    if filter_.category is not None:
        ids = values["category_ids"] = sorted(chart.categories_below(filter_.category))
        values |= {f"category_{number}": id_ for number, id_ in enumerate(ids[:_WALKS_MAX])}
    if filter_.stems is not None:
        values |= search.parameters(connection.dialect.name, ledger_id, filter_.stems)
    if filter_.min_amount is not None or filter_.max_amount is not None:
        _add_amounts(connection, ledger_id, filter_, values)
    return None if values.get("category_ids") == [] or filter_.stems == () else values


def _add_amounts(connection: Connection, ledger_id: int, filter_: Filter, values: dict[str, Any]) -> None:
    """Each currency in the books with the magnitudes that are asked for, in its minor units."""
    for number, code in enumerate(connection.execute(_currencies, {"ledger_id": ledger_id}).scalars().all()):
        values[f"code_{number}"] = code
        values[f"low_{number}"], values[f"high_{number}"] = minor_unit_range(
            filter_.min_amount, filter_.max_amount, CURRENCIES[code]
        )
        values[f"minus_low_{number}"], values[f"minus_high_{number}"] = (
            -values[f"low_{number}"],
            -values[f"high_{number}"],
        )


def _shape(engine: str, filter_: Filter, values: Mapping[str, Any], after: tuple[Any, ...] | None) -> _Shape:
    given = {
        name for name in ("type", "first_day", "last_day", "currency", "payee", "group", "account_id") if name in values
    }
    given |= {filter_.status} if filter_.status else set()
    given |= {"after"} if after is not None else set()
    given |= {"stems"} if filter_.stems is not None else set()
    given |= {"amounts"} if filter_.min_amount is not None or filter_.max_amount is not None else set()
    if filter_.type is TransactionType.TRANSFER:
        given.add("transfers")
    return _Shape(
        engine,
        frozenset(given),
        len(values.get("category_ids", ())),
        len(filter_.tags),
        sum(name.startswith("code_") for name in values),
        filter_.sort,
        filter_.descending,
    )


@lru_cache(512)
def _listing(shape: _Shape) -> Select[Any]:
    """The statement for one page and one row more, which tells whether there is a next page."""
    conditions = _conditions(shape)
    keys = [table(Transaction).c[name] for name, _ in SORT_KEYS[shape.sort]]
    if shape.tags and shape.sort == "date":  # a tag's list is read in the order of its pages
        keys = [TransactionTag.date, TransactionTag.transaction_id]  # type: ignore[list-item]
    if "after" in shape.given:
        places = [bindparam(f"after_{number}", type_=key.type) for number, key in enumerate(keys)]
        here, after = tuple_(*keys), tuple_(*places)
        conditions.append(here < after if shape.descending else here > after)
    order = [key.desc() if shape.descending else key.asc() for key in keys]
    statement = select(*_RAW).where(*conditions).order_by(*order).limit(bindparam("rows"))
    for number in range(shape.tags):
        statement = _with_tag(statement, number)
    if 0 < shape.categories <= _WALKS_MAX and shape.sort == "date" and not shape.tags:
        return _walked(shape, conditions, order)
    if shape.categories:
        statement = statement.where(Transaction.category_id.in_(bindparam("category_ids", expanding=True)))
    return statement


def _with_tag(statement: Select[Any], number: int) -> Select[Any]:
    own = table(TransactionTag) if number == 0 else table(TransactionTag).alias()
    return statement.join(
        own,
        and_(
            own.c.ledger_id == Transaction.ledger_id,
            own.c.ledger_id == bindparam("ledger_id"),
            own.c.tag == bindparam(f"tag_{number}"),
            own.c.date == Transaction.date,
            own.c.transaction_id == Transaction.id,
        ),
    )


def _walked(shape: _Shape, conditions: Sequence[ColumnElement[bool]], order: Sequence[Any]) -> Select[Any]:
    """Several categories, newest first: each one's index is walked for a page, and the pages are put together.

    One walk over all of them would have to sort every transaction that they have.
    """
    walks = [
        select(
            select(Transaction.id, Transaction.date)
            .where(*conditions, Transaction.category_id == bindparam(f"category_{number}"))
            .order_by(*order)
            .limit(bindparam("rows"))
            .subquery()
        )
        for number in range(shape.categories)
    ]
    if len(walks) == 1:
        statement = select(*_RAW).where(*conditions, Transaction.category_id == bindparam("category_0"))
        return statement.order_by(*order).limit(bindparam("rows"))
    found = union_all(*walks).subquery()
    own_order = [found.c.date.desc(), found.c.id.desc()] if shape.descending else [found.c.date, found.c.id]
    newest = select(found.c.id, found.c.date).order_by(*own_order).limit(bindparam("rows")).subquery()
    statement = select(*_RAW).join_from(newest, Transaction, (Transaction.id == newest.c.id) & _of_ledger)
    return statement.order_by(*order)


def _conditions(shape: _Shape) -> list[ColumnElement[bool]]:
    stands: ColumnElement[bool] = or_(Transaction.expires_at.is_(None), Transaction.expires_at > bindparam("now"))
    conditions: list[Any] = [_of_ledger]
    if "pending" in shape.given:
        conditions += [_is_pending, stands]
    elif "posted" in shape.given:
        conditions.append(Transaction.status == "posted")
    else:
        conditions += [Transaction.status != "void", stands]
    own = table(Transaction).c
    by_name: dict[str, Callable[[], Any]] = {
        "type": lambda: own.type == bindparam("type", type_=own.type.type),
        "currency": lambda: own.currency == bindparam("currency"),
        "payee": lambda: own.payee == bindparam("payee"),
        "group": lambda: own.group == bindparam("group"),
        "first_day": lambda: own.date >= bindparam("first_day"),
        "last_day": lambda: own.date <= bindparam("last_day"),
        "transfers": lambda: own.id == own.group,
        "account_id": lambda: _of_account(shape),
        "stems": lambda: search.holds_all_stems(shape.engine),
        "amounts": lambda: or_(literal_column("1 = 0"), *map(_magnitude_between, range(shape.currencies))),
    }
    return conditions + [condition() for name, condition in by_name.items() if name in shape.given]


def _of_account(shape: _Shape) -> ColumnElement[bool]:
    if "transfers" not in shape.given:
        return Transaction.account_id == bindparam("account_id")
    leg = table(Transaction).alias()
    return Transaction.group.in_(
        select(leg.c.group).where(
            leg.c.ledger_id == bindparam("ledger_id"),
            leg.c.account_id == bindparam("account_id"),
            leg.c.type == "TRANSFER",
        )
    )


def _magnitude_between(number: int) -> ColumnElement[bool]:
    """Amounts of one currency, of either sign, between two magnitudes."""
    amount = Transaction.minor_units
    return and_(
        Transaction.currency == bindparam(f"code_{number}"),
        or_(
            amount.between(bindparam(f"low_{number}"), bindparam(f"high_{number}")),
            amount.between(bindparam(f"minus_high_{number}"), bindparam(f"minus_low_{number}")),
        ),
    )
