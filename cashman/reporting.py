"""Balances and summaries: read from the kept totals, and at the ragged ends of a range from the date index.

Amounts are minor units in here, and currency units in what the functions give. Currencies are never added up.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, select, text, union_all

from cashman.chart import Chart, Standing
from cashman.db import table, utc_now
from cashman.journal import Head
from cashman.listing import Page, page
from cashman.model.filter import Filter
from cashman.model.money import to_decimal
from cashman.model.report import SummaryQuery
from cashman.model.total import ACCOUNT, CATEGORY, GRAINS, Total
from cashman.model.transaction import Transaction
from cashman.periods import bucket, bucket_after, bucket_start, last_day_before, range_before
from cashman.totals import Span, ragged_ends, spans

Line = dict[str, Any]
"""One line of a report: its keys, then its figures in currency units."""


@dataclass(frozen=True, slots=True)
class Report:
    """The lines of a report, and the head that they were read at."""

    lines: Sequence[Line]
    head: Head


# Sums of the kept totals.


@lru_cache(256)
def _sums(count: int, columns: tuple[str, ...], of_ids: bool, currency: bool) -> Select[Any]:
    """The totals over so many spans, added up by some of their columns."""
    totals = table(Total).c
    parts = []
    for number in range(count):
        part = select(
            totals.period, totals.of_id, totals.type, totals.currency, totals.minor_units, totals.count
        ).where(
            totals.ledger_id == bindparam("ledger_id"),
            totals.dimension == bindparam("dimension"),
            totals.grain == bindparam(f"grain_{number}"),
            totals.period.between(bindparam(f"first_{number}"), bindparam(f"last_{number}")),
        )
        if of_ids:
            part = part.where(totals.of_id.in_(bindparam("of_ids", expanding=True)))
        if currency:
            part = part.where(totals.currency == bindparam("currency"))
        parts.append(part)
    found = union_all(*parts).subquery()
    keys = [found.c[name] for name in columns]
    return (
        select(*keys, func.sum(found.c.minor_units).label("minor_units"), func.sum(found.c.count).label("count"))
        .group_by(*keys)
        .having(func.sum(found.c.count) > 0)
    )


def read_sums(
    connection: Connection,
    ledger_id: int,
    dimension: str,
    over: Sequence[Span],
    columns: tuple[str, ...],
    *,
    of_ids: Sequence[int] | None = None,
    currency: str | None = None,
) -> Iterator[tuple[dict[str, Any], int, int]]:
    """(columns, minor units, count) of the totals over some spans."""
    if not over or of_ids == []:
        return
    values: dict[str, Any] = {"ledger_id": ledger_id, "dimension": dimension}
    for number, span in enumerate(over):
        values |= {f"grain_{number}": span.grain, f"first_{number}": span.first, f"last_{number}": span.last}
    if of_ids is not None:
        values["of_ids"] = of_ids
    if currency is not None:
        values["currency"] = currency
    statement = _sums(len(over), columns, of_ids is not None, currency is not None)
    for *keys, minor_units, count in connection.execute(statement, values):
        # PostgreSQL adds up 64-bit integers to a numeric, which is exact, too.
        yield dict(zip(columns, keys, strict=True)), int(minor_units), int(count)


# Balances.

# On its own, or SQLite would be led by another index to group or to order by.
_standing = (
    select(Transaction.account_id, Transaction.currency, Transaction.minor_units, Transaction.date)
    .where(
        Transaction.ledger_id == bindparam("ledger_id"),
        text("transactions.status = 'pending'"),
        Transaction.expires_at.is_(None) | (Transaction.expires_at > bindparam("now")),
    )
    .cte("standing")
    .prefix_with("MATERIALIZED")
)
_pending = (
    select(_standing.c.account_id, _standing.c.currency, func.sum(_standing.c.minor_units))
    .where(_standing.c.date <= bindparam("as_of"))
    .group_by(_standing.c.account_id, _standing.c.currency)
)
_later_that_day = select(func.coalesce(func.sum(Transaction.minor_units), 0)).where(
    Transaction.ledger_id == bindparam("ledger_id"),
    Transaction.account_id == bindparam("account_id"),
    Transaction.currency == bindparam("currency"),
    Transaction.date == bindparam("day"),
    Transaction.id > bindparam("id"),
    Transaction.status == "posted",
)


def balances(ledger_id: int, as_of: dt.date, connection: Connection, standing: Standing) -> Report:
    """What is in each account at the end of a day, and what is available there once pending ones are booked."""
    head, chart, _ = standing
    booked = {(id_, account["currency"]): 0 for id_, account in chart.accounts.items()}
    for id_, minor_units in openings(chart, as_of):
        booked[(id_, chart.accounts[id_]["currency"])] += minor_units
    over = spans(dt.date.min, as_of, coarsest="month")
    for keys, minor_units, _count in read_sums(connection, ledger_id, ACCOUNT, over, ("of_id", "currency")):
        of = keys["of_id"], keys["currency"]
        booked[of] = booked.get(of, 0) + minor_units
    available = dict(booked)
    for account_id, currency, sum_ in connection.execute(
        _pending, {"ledger_id": ledger_id, "as_of": as_of, "now": utc_now()}
    ):
        available[(account_id, currency)] = available.get((account_id, currency), 0) + int(sum_)
    lines = [
        {
            "account": chart.accounts[account_id]["name"],
            "currency": currency,
            "balance": to_decimal(booked.get((account_id, currency), 0), currency),
            "available": to_decimal(minor_units, currency),
            "as_of": as_of,
        }
        for (account_id, currency), minor_units in available.items()
    ]
    return Report(sorted(lines, key=lambda line: (line["account"], line["currency"])), head)


def openings(chart: Chart, until: dt.date) -> Iterator[tuple[int, int]]:
    """(account, minor units) of the opening balances dated until a day."""
    for id_, account in chart.accounts.items():
        if account["opening_date"] is not None and account["opening_date"] <= until:
            yield id_, account["opening_minor_units"]


def account_page(ledger_id: int, filter_: Filter, connection: Connection, standing: Standing) -> Page:
    """The newest transactions of one account, with the balance after each of them."""
    found = page(ledger_id, filter_, connection, standing)
    if not found.rows:
        return replace(found, balances=[])
    account_id = found.chart.account_ids[filter_.account or ""]
    account = found.chart.accounts[account_id]
    day = dt.date.fromisoformat(str(found.rows[0].date))
    currency = account["currency"]
    over = spans(dt.date.min, day, coarsest="month")
    sums = read_sums(connection, ledger_id, ACCOUNT, over, ("of_id",), of_ids=[account_id], currency=currency)
    booked = sum(minor_units for _keys, minor_units, _count in sums)
    names = {"ledger_id": ledger_id, "account_id": account_id, "currency": currency, "day": day, "id": found.rows[0].id}
    booked -= int(connection.execute(_later_that_day, names).scalar_one())
    opened = account["opening_date"] and account["opening_date"].isoformat()
    after_each = []
    for row in found.rows:
        opening = account["opening_minor_units"] if opened is not None and opened <= str(row.date) else 0
        after_each.append(booked + opening)
        if row.status == "posted" and row.currency == currency:  # older ledgers may hold others there
            booked -= row.minor_units
    return replace(found, balances=after_each)


# Summaries.

_FROM_ROWS: Final = {"payee", "tag"}
"""What no total is kept by: bounded by the range."""


def reads_rows(query: SummaryQuery) -> bool:
    """Whether a summary adds up transactions and not only kept totals, and so may take its time."""
    needs = _needs(query)
    return bool(
        needs & _FROM_ROWS
        or needs >= {"account", "category"}
        or ("category" in needs and query.period in ("day", "week"))
    )


def _needs(query: SummaryQuery) -> set[str]:
    named = {name for name in ("account", "category") if getattr(query, name) is not None}
    return {*query.by, *named}


def summary(ledger_id: int, query: SummaryQuery, connection: Connection, standing: Standing) -> Report:
    """Income, expense and net by what the query names; transfers and pending ones are left out."""
    head, chart, _ = standing
    if query.account is not None and query.account not in chart.account_ids:
        raise chart.unknown_account(query.account)
    if not query.compare:
        figures = _figures(connection, ledger_id, chart, query)
        return Report([_line(query, key, of, None) for key, of in _in_order(figures)], head)
    figures, before = _compared(connection, ledger_id, chart, query)
    both = {key: figures.get(key, _Figures()) for key in figures.keys() | before.keys()}
    return Report([_line(query, key, of, before.get(key, _Figures())) for key, of in _in_order(both)], head)


@dataclass(slots=True)
class _Figures:
    """What the transactions of one line come to, in minor units."""

    income: int = 0
    expense: int = 0
    count: int = 0

    def add(self, type_: str, minor_units: int, count: int) -> None:
        if type_ == "INCOME":
            self.income += minor_units
        else:
            self.expense += minor_units
        self.count += count

    def shown(self, currency: str) -> dict[str, Any]:
        """The same in currency units."""
        sums = {"income": self.income, "expense": self.expense, "net": self.income + self.expense}
        return {**{name: to_decimal(sum_, currency) for name, sum_ in sums.items()}, "count": self.count}


_Key = tuple[Any, ...]
"""The values of `by`, then the currency."""


def _in_order(figures: Mapping[_Key, _Figures]) -> Iterable[tuple[_Key, _Figures]]:
    return sorted(figures.items(), key=lambda item: [(value is not None, value) for value in item[0]])


def _line(query: SummaryQuery, key: _Key, figures: _Figures, before: _Figures | None) -> Line:
    currency = key[-1]
    line = {**dict(zip(query.by, key, strict=False)), "currency": currency, **figures.shown(currency)}
    if before is not None:
        line["previous"] = before.shown(currency)
    return line


def _figures(connection: Connection, ledger_id: int, chart: Chart, query: SummaryQuery) -> dict[_Key, _Figures]:
    """The figures of each line."""
    found: dict[_Key, _Figures] = {}
    for cell, minor_units, count in _cells(connection, ledger_id, chart, query):
        for key in _keys(chart, query, cell):
            found.setdefault(key, _Figures()).add(cell["type"], minor_units, count)
    return found


def _keys(chart: Chart, query: SummaryQuery, cell: Mapping[str, Any]) -> Iterator[_Key]:
    """The lines that a cell counts in: one, or one for each of its tags."""
    values: list[Sequence[Any]] = []
    for name in query.by:
        if name == query.period:
            values.append([bucket(name, str(cell["period"]))])
        elif name == "category":
            path = chart.categories.get(cell["category_id"])
            values.append([None if path is None else ":".join(path.split(":")[: query.depth])])
        elif name == "account":
            values.append([chart.accounts[cell["account_id"]]["name"]])
        elif name == "tag":
            values.append(cell["tags"] or [None])
        else:
            values.append([cell[name]])
    keys: list[_Key] = [()]
    for choices in values:
        keys = [(*key, choice) for key in keys for choice in choices]
    return ((*key, cell["currency"]) for key in keys)


def _cells(
    connection: Connection, ledger_id: int, chart: Chart, query: SummaryQuery
) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Sums by all that the query tells apart: of totals as far as they go, else of transactions."""
    first, last = query.first_day or dt.date.min, query.last_day or dt.date.max
    if reads_rows(query):
        yield from _row_cells(connection, ledger_id, chart, query, first, last)
        return
    dimension = CATEGORY if "category" in _needs(query) else ACCOUNT
    grains = GRAINS[dimension]
    coarsest = {"month": "month", "quarter": "month", "week": "day", "day": "day"}.get(query.period or "", grains[-1])
    over = spans(first, last, grains[0], coarsest)
    columns = ["type", "currency"]
    if query.period is not None:
        columns.append("period")
    if "account" in query.by or "category" in query.by:
        columns.append("of_id")
    of_ids = None
    if query.account is not None:
        of_ids = [chart.account_ids[query.account]]
    elif query.category is not None:
        of_ids = sorted(chart.categories_below(query.category))
    for cell, minor_units, count in read_sums(
        connection, ledger_id, dimension, over, tuple(columns), of_ids=of_ids, currency=query.currency
    ):
        if cell["type"] != "TRANSFER":
            cell["category_id" if dimension == CATEGORY else "account_id"] = cell.get("of_id")
            yield cell, minor_units, count
    if dimension == CATEGORY:
        for low, high in ragged_ends(first, last):
            yield from _row_cells(connection, ledger_id, chart, query, low, high)


@lru_cache(256)
def _row_sums(columns: tuple[str, ...], filters: frozenset[str]) -> Select[Any]:
    """Posted incomes and expenses of some days, added up by some of their columns."""
    own = table(Transaction).c
    keys = [own[name] for name in columns]
    statement = select(*keys, func.sum(own.minor_units), func.count()).where(
        own.ledger_id == bindparam("ledger_id"),
        own.date.between(bindparam("first_day"), bindparam("last_day")),
        own.status == "posted",
        own.type.in_(["INCOME", "EXPENSE"]),
    )
    if "account" in filters:
        statement = statement.where(own.account_id == bindparam("account_id"))
    if "category" in filters:
        statement = statement.where(own.category_id.in_(bindparam("category_ids", expanding=True)))
    if "currency" in filters:
        statement = statement.where(own.currency == bindparam("currency"))
    return statement.group_by(*keys)


_ROW_COLUMNS: Final = {"category": "category_id", "account": "account_id", "payee": "payee", "tag": "tags"}


def _row_cells(
    connection: Connection, ledger_id: int, chart: Chart, query: SummaryQuery, first: dt.date, last: dt.date
) -> Iterator[tuple[dict[str, Any], int, int]]:
    columns = ["type", "currency", *(_ROW_COLUMNS[name] for name in query.by if name in _ROW_COLUMNS)]
    if query.period is not None:
        columns.append("date")
    filters = frozenset(name for name in ("account", "category", "currency") if getattr(query, name) is not None)
    values: dict[str, Any] = {"ledger_id": ledger_id, "first_day": first, "last_day": last}
    if query.account is not None:
        values["account_id"] = chart.account_ids[query.account]
    if query.category is not None:
        values["category_ids"] = sorted(chart.categories_below(query.category))
    if query.currency is not None:
        values["currency"] = query.currency
    for *keys, minor_units, count in connection.execute(_row_sums(tuple(columns), filters), values):
        cell = dict(zip(columns, keys, strict=True))
        cell["type"] = cell["type"].value
        cell["period"] = cell.get("date")
        yield cell, int(minor_units), int(count)


# The period before.


def _compared(
    connection: Connection, ledger_id: int, chart: Chart, query: SummaryQuery
) -> tuple[dict[_Key, _Figures], dict[_Key, _Figures]]:
    """The figures of each line, and those of the period before it."""
    figures = _figures(connection, ledger_id, chart, query)
    period = query.period
    if period is None:
        assert query.first_day is not None, "the schema asks for a range"
        assert query.last_day is not None, "the schema asks for a range"
        earlier = range_before(query.first_day, query.last_day)
        if earlier is None:
            return figures, {}
        first, last = earlier
        return figures, _figures(connection, ledger_id, chart, replace(query, first_day=first, last_day=last))
    place = query.by.index(period)
    wider, newest = query, None
    if query.first_day is not None:
        wider = replace(query, first_day=bucket_start(period, last_day_before(period, query.first_day)))
    if query.last_day is not None:
        newest = bucket(period, query.last_day.isoformat())
    before = {}
    for key, of in _figures(connection, ledger_id, chart, wider).items():
        following = bucket_after(period, key[place])
        if following is not None and (newest is None or following <= newest):
            before[(*key[:place], following, *key[place + 1 :])] = of
    return figures, before
