"""Pages of transactions: any combination of filters, in any order, and page 10,000 at the cost of page 1.

A statement is built once for each shape of a filter. PostgreSQL knows how its rows are distributed and plans for
itself; SQLite does not, so here it is decided which index leads, and what is few is counted: see `_lead`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

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
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from cashman import search
from cashman.chart import Chart, Standing
from cashman.db import table, utc_now
from cashman.journal import Head
from cashman.limits import EXPORT_ROWS_AT_ONCE
from cashman.model.currency import CURRENCIES
from cashman.model.filter import SORT_KEYS, Filter
from cashman.model.money import minor_unit_range
from cashman.model.tag import TransactionTag
from cashman.model.total import Turnover
from cashman.model.transaction import COLUMNS, Transaction
from cashman.model.transaction_type import TransactionType

_AS_TEXT: Final = {"type", "date", "tags", "created_at", "expires_at"}
_RAW: Final = tuple(
    type_coerce(column, String).label(column.name) if column.name in _AS_TEXT else column for column in COLUMNS
)
"""The columns for a page: what is only shown is left as the text that is stored."""

_WALKS_MAX: Final = 50
"""Categories whose indexes are walked one by one, for one page."""
_FEW_ROWS: Final = 1_000
"""So many rows are sooner sorted than found along the way."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as they are stored, the cursor of the next page, and what they were read at."""

    rows: Sequence[Row[Any]]
    next_cursor: str | None
    head: Head
    chart: Chart
    balances: Sequence[int] | None = None
    """After each row the account's balance in minor units, where the list is that of one account."""
    counterparts: Mapping[str, Row[Any]] | None = None
    """By group the other legs, where the list is one of transfers."""


class _Shape(NamedTuple):
    """What of a filter makes another statement; the rest is its parameters."""

    engine: str
    lead: str | None
    """What the rows are found by; None where the engine decides."""
    given: frozenset[str]
    categories: int
    tags: int
    ranges: int
    sort: str
    descending: bool


_own: Final = table(Transaction).c
_of_ledger: Final = _own.ledger_id == bindparam("ledger_id")
_counterparts = select(*_RAW).where(
    _of_ledger, _own.group.in_(bindparam("groups", expanding=True)), _own.id != _own.group
)
_legs = select(*_RAW).where(_of_ledger, _own.group.in_(bindparam("groups", expanding=True)), _own.status != "void")
_currencies = select(Turnover.currency).where(Turnover.ledger_id == bindparam("ledger_id"))
_in_range = (
    _of_ledger,
    _own.currency == bindparam("code"),
    _own.minor_units.between(bindparam("low"), bindparam("high")),
)
_few_in_range = select(func.count()).select_from(select(_own.id).where(*_in_range).limit(_FEW_ROWS + 1).subquery())


def page(ledger_id: int, filter_: Filter, connection: Connection, standing: Standing) -> Page:
    """The page of transactions that a filter asks for, and what it was read at."""
    head, chart, _ = standing
    after = filter_.after(chart.cursor_secret)
    rows: Sequence[Row[Any]] = []
    values = _values(connection, ledger_id, filter_, chart, after)
    if values is not None:
        rows = connection.execute(_listing(_shape(connection, filter_, values)), values).all()
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
    return replace(found, counterparts={row.group: row for row in others})


def everything(
    ledger_id: int, filter_: Filter, connection: Connection, standing: Standing
) -> Iterator[Sequence[Row[Any]]]:
    """All the rows that a filter asks for, some at once, as columns of COLUMNS that are text where they are stored so.

    They come out of the database as they are taken.
    """
    values = _values(connection, ledger_id, filter_, standing.chart, None)
    if values is None:
        return
    statement = _listing(_shape(connection, filter_, values)).execution_options(yield_per=EXPORT_ROWS_AT_ONCE)
    with connection.execute(statement, values) as found:
        yield from found.partitions()


def legs(connection: Connection, ledger_id: int, groups: Sequence[str]) -> Sequence[Row[Any]]:
    """The members of some groups that stand."""
    return connection.execute(_legs, {"ledger_id": ledger_id, "groups": groups}).all()


# From a filter to a shape and its values.

_PLAIN: Final = ("type", "first_day", "last_day", "currency", "payee", "status", "group")
"""What of a filter is a parameter as it is."""


def _values(
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
    ranges = _ranges(connection, ledger_id, filter_) if _has_amounts(filter_) or filter_.sort == "amount" else None
    for number, (code, low, high) in enumerate(ranges or ()):
        values |= {f"code_{number}": code, f"low_{number}": low, f"high_{number}": high}
    return None if [] in (values.get("category_ids"), ranges) or filter_.stems == () else values


def _has_amounts(filter_: Filter) -> bool:
    return filter_.min_amount is not None or filter_.max_amount is not None


def _ranges(connection: Connection, ledger_id: int, filter_: Filter) -> list[tuple[str, int, int]]:
    """(currency, lowest, highest) minor units of the magnitudes asked for: of each currency, and of each sign."""
    ranges = []
    for code in connection.execute(_currencies, {"ledger_id": ledger_id}).scalars():
        if filter_.currency in (None, code):
            low, high = minor_unit_range(filter_.min_amount, filter_.max_amount, CURRENCIES[code])
            if filter_.type is not TransactionType.INCOME:
                ranges.append((code, -high, -low))
            if filter_.type is not TransactionType.EXPENSE:
                ranges.append((code, low, high))
    return ranges


def _shape(connection: Connection, filter_: Filter, values: Mapping[str, Any]) -> _Shape:
    given = {name for name in _CONDITIONS if name in values}
    given |= {filter_.status} if filter_.status else set()
    given |= {"after"} if "after_0" in values else set()
    given |= {"stems"} if filter_.stems is not None else set()
    given |= {"amounts"} if _has_amounts(filter_) else set()
    given |= {"transfers"} if filter_.type is TransactionType.TRANSFER else set()
    return _Shape(
        connection.dialect.name,
        _lead(connection, filter_, values, given),
        frozenset(given),
        len(values.get("category_ids", ())),
        len(filter_.tags),
        sum(name.startswith("code_") for name in values),
        filter_.sort,
        # What goes out is negative: the largest transfer is the smallest number.
        filter_.descending != ("transfers" in given and filter_.sort == "amount"),
    )


_LEADS: Final[Mapping[str, tuple[str, ...]]] = {
    "stems": ("sequence",),
    "amounts": ("currency", "minor_units", "id"),
    "group": ("group",),
    "tags": (),
    "payee": ("payee", "date", "id"),
    "category": ("category_id", "date", "id"),
    "account_id": ("account_id", "date", "id"),
    "type": ("type", "date", "id"),
    "date": ("date", "id"),
    "sequence": ("sequence",),
}
"""What SQLite can be led by, the most selective first, and the columns that it may use the index of."""


def _lead(connection: Connection, filter_: Filter, values: Mapping[str, Any], given: set[str]) -> str | None:
    """What the rows are found by: few enough to be sorted, or the index that gives them in the order of the list.

    Left alone SQLite, which knows no frequencies, may go along the order of the list and test each row: for a word
    that is rare through a whole ledger.
    """
    if connection.dialect.name != "sqlite":
        return "amounts" if filter_.sort == "amount" else None
    if "stems" in given and search.count(connection, values, _FEW_ROWS + 1) <= _FEW_ROWS:
        return "stems"
    if filter_.sort == "amount" or ("amounts" in given and _are_few_in_ranges(connection, values)):
        return "amounts"
    if "group" in given:
        return "group"
    if filter_.sort == "created_at":
        return "payee" if "payee" in given else "sequence"
    if filter_.tags:
        return "tags"
    if "payee" in given:
        return "payee"
    if 0 < len(values.get("category_ids", ())) <= _WALKS_MAX:
        return "category"
    return next((name for name in ("account_id", "type") if name in given), "date")


def _are_few_in_ranges(connection: Connection, values: Mapping[str, Any]) -> bool:
    number = found = 0
    while f"code_{number}" in values and found <= _FEW_ROWS:
        range_ = {name: values[f"{name}_{number}"] for name in ("code", "low", "high")}
        found += connection.execute(_few_in_range, {"ledger_id": values["ledger_id"], **range_}).scalar_one()
        number += 1
    return found <= _FEW_ROWS


# From a shape to a statement.


@lru_cache(512)
def _listing(shape: _Shape) -> Select[Any]:
    """The statement for one page and one row more, which tells whether there is a next page."""
    if shape.lead == "amounts":
        return _gathered(shape, [_amount_between(number, _own.__getitem__) for number in range(shape.ranges)])
    if shape.lead == "category" and shape.categories > 1:
        return _gathered(shape, [_own.category_id == bindparam(f"category_{n}") for n in range(shape.categories)])
    conditions = [*_conditions(shape), *_of_categories(shape)]
    return _with_tags(shape, select(*_RAW)).where(*conditions).order_by(*_order(shape)).limit(bindparam("rows"))


def _of_categories(shape: _Shape) -> list[ColumnElement[bool]]:
    if shape.lead == "category":
        return [] if shape.categories > 1 else [_own.category_id == bindparam("category_0")]
    if not shape.categories:
        return []
    return [_column(shape, "category_id").in_(bindparam("category_ids", expanding=True))]


def _gathered(shape: _Shape, parts: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The page of rows that meet one of several conditions, each of which has an index of its own.

    The keys of a page are found for each, and the rows fetched for those that are first of all.
    """
    keys = [_own[name] for name, _ in SORT_KEYS[shape.sort]]
    names = dict.fromkeys([*(key.name for key in keys), "id"])
    conditions = [*_conditions(shape), *_of_categories(shape)]
    found = []
    for part in parts or [literal_column("1 = 0")]:
        statement = _with_tags(shape, select(*(_own[name] for name in names))).where(part, *conditions)
        found.append(select(statement.order_by(*_order(shape)).limit(bindparam("rows")).subquery()))
    every = union_all(*found).subquery()
    first = select(every.c.id).order_by(*_directed(shape, [every.c[key.name] for key in keys])).limit(bindparam("rows"))
    chosen = first.subquery()
    statement = select(*_RAW).join_from(chosen, table(Transaction), (_own.id == chosen.c.id) & _of_ledger)
    return statement.order_by(*_directed(shape, keys))


def _order(shape: _Shape) -> list[Any]:
    return _directed(shape, _keys(shape))


def _keys(shape: _Shape) -> list[ColumnElement[Any]]:
    if shape.lead == "tags" or (shape.tags and shape.lead is None and shape.sort == "date"):
        return [TransactionTag.date, TransactionTag.transaction_id]  # type: ignore[list-item]  # a tag's own order
    return [_column(shape, name) for name, _ in SORT_KEYS[shape.sort]]


def _directed(shape: _Shape, keys: Sequence[ColumnElement[Any]]) -> list[Any]:
    return [key.desc() if shape.descending else key.asc() for key in keys]


def _column(shape: _Shape, name: str) -> ColumnElement[Any]:
    """A column; where another one leads, one that SQLite takes no index for (its idiom is a unary plus)."""
    column = _own[name]
    free = shape.engine != "sqlite" or shape.lead is None or name in _LEADS[shape.lead]
    return column if free else _not_by_index(column)


def _not_by_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def _with_tags(shape: _Shape, statement: Select[Any]) -> Select[Any]:
    for number in range(shape.tags):
        tags = table(TransactionTag) if number == 0 else table(TransactionTag).alias()
        leads = number == 0 and shape.lead == "tags"
        date, id_ = (_not_by_index(key) if leads else key for key in (tags.c.date, tags.c.transaction_id))
        statement = statement.join(
            tags,
            and_(
                tags.c.ledger_id == _own.ledger_id,
                tags.c.ledger_id == bindparam("ledger_id"),
                tags.c.tag == bindparam(f"tag_{number}"),
                date == _own.date,
                id_ == _own.id,
            ),
        )
    return statement


def _equals(name: str) -> Callable[[_Shape], ColumnElement[bool]]:
    return lambda shape: _column(shape, name) == bindparam(name, type_=_own[name].type)


_CONDITIONS: Final[Mapping[str, Callable[[_Shape], ColumnElement[bool]]]] = {
    "type": _equals("type"),
    "currency": _equals("currency"),
    "payee": _equals("payee"),
    "group": _equals("group"),
    "first_day": lambda shape: _column(shape, "date") >= bindparam("first_day", type_=_own.date.type),
    "last_day": lambda shape: _column(shape, "date") <= bindparam("last_day", type_=_own.date.type),
    "transfers": lambda shape: _column(shape, "id") == _own.group,
    "account_id": lambda shape: _of_account(shape),
    "stems": lambda shape: search.holds_all_stems(shape.engine, _column(shape, "sequence")),
    "amounts": lambda shape: _in_some_range(shape),
}
"""What each part of a filter asks of a row."""


def _conditions(shape: _Shape) -> list[ColumnElement[bool]]:
    expires_at = _column(shape, "expires_at")
    stands: ColumnElement[bool] = or_(expires_at.is_(None), expires_at > bindparam("now", type_=_own.expires_at.type))
    conditions: list[Any] = [_of_ledger]
    if "pending" in shape.given:
        # A literal, or its partial index could not be used.
        conditions += [text("transactions.status = 'pending'"), stands]
    elif "posted" in shape.given:
        conditions.append(_column(shape, "status") == "posted")
    else:
        conditions += [_column(shape, "status") != "void", stands]
    named = shape.given - {"amounts"} if shape.lead == "amounts" else shape.given
    conditions += [condition(shape) for name, condition in _CONDITIONS.items() if name in named]
    if "after" in shape.given:
        keys = _keys(shape)
        after = tuple_(*(bindparam(f"after_{number}", type_=key.type) for number, key in enumerate(keys)))
        conditions.append(tuple_(*keys) < after if shape.descending else tuple_(*keys) > after)
    return conditions


def _of_account(shape: _Shape) -> ColumnElement[bool]:
    if "transfers" not in shape.given:
        return _column(shape, "account_id") == bindparam("account_id")
    leg = table(Transaction).alias()
    return _own.group.in_(
        select(leg.c.group).where(
            leg.c.ledger_id == bindparam("ledger_id"),
            leg.c.account_id == bindparam("account_id"),
            leg.c.type == "TRANSFER",
        )
    )


def _in_some_range(shape: _Shape) -> ColumnElement[bool]:
    found = (_amount_between(number, partial(_column, shape)) for number in range(shape.ranges))
    return or_(literal_column("1 = 0"), *found)


def _amount_between(number: int, column: Callable[[str], ColumnElement[Any]]) -> ColumnElement[bool]:
    """Amounts of one currency and one sign, between two bounds in minor units."""
    low: Any = bindparam(f"low_{number}")
    high: Any = bindparam(f"high_{number}")
    return and_(column("currency") == bindparam(f"code_{number}"), column("minor_units").between(low, high))
