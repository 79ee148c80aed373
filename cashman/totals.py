"""The kept totals: how a transaction's revision changes them, and how they are read over any range of days."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from cashman.db import table
from cashman.model.total import ACCOUNT, CATEGORY, GRAINS, NO_CATEGORY, Total, Turnover
from cashman.model.transaction_type import TransactionType

PERIOD_CHARACTERS: Final = {"day": 10, "month": 7, "year": 4}
"""How much of an ISO date names the period that it lies in."""

Key = tuple[str, str, str, int, str, str]
"""dimension, grain, period, of_id, type, currency"""


def fold(revised: Iterable[tuple[Mapping[str, Any] | None, Mapping[str, Any]]]) -> dict[Key, list[int]]:
    """What the totals change by, as [minor units, count], when states change as (before, after).

    A transfer has no category.
    """
    finest: dict[Key, list[int]] = {}
    for pair in revised:
        for state, sign in zip(pair, (-1, +1), strict=True):
            if state is not None and state["status"] == "posted":
                day, type_, currency = state["date"].isoformat(), state["type"], state["currency"]
                minor_units = sign * state["minor_units"]
                _add(finest, (ACCOUNT, "day", day, state["account_id"], type_.value, currency), minor_units, sign)
                if type_ is not TransactionType.TRANSFER:
                    category_id = state["category_id"] or NO_CATEGORY
                    _add(finest, (CATEGORY, "month", day[:7], category_id, type_.value, currency), minor_units, sign)
    changes: dict[Key, list[int]] = {}
    for (dimension, _, period, *of), (minor_units, count) in finest.items():
        for grain in GRAINS[dimension]:
            key = (dimension, grain, period[: PERIOD_CHARACTERS[grain]], *of)
            _add(changes, key, minor_units, count)  # type: ignore[arg-type]  # the rest of the key is as it was
    return {key: change for key, change in changes.items() if change != [0, 0]}


def _add(cells: dict[Key, list[int]], key: Key, minor_units: int, count: int) -> None:
    cell = cells.get(key)
    if cell is None:
        cells[key] = [minor_units, count]
    else:
        cell[0] += minor_units
        cell[1] += count


_KEY_COLUMNS: Final = [column.name for column in table(Total).primary_key]


def _upserts(dialect: Any) -> tuple[Any, Any]:
    totals, turnovers = dialect.insert(table(Total)), dialect.insert(table(Turnover))
    stored, new = table(Total).c, totals.excluded
    return (
        totals.on_conflict_do_update(
            index_elements=_KEY_COLUMNS,
            set_={"minor_units": stored.minor_units + new.minor_units, "count": stored.count + new.count},
        ),
        turnovers.on_conflict_do_update(
            index_elements=["ledger_id", "currency"], set_={"minor_units": turnovers.excluded.minor_units}
        ),
    )


_UPSERTS: Final = {"sqlite": _upserts(sqlite), "postgresql": _upserts(postgresql)}


def store(
    connection: Connection, ledger_id: int, changes: Mapping[Key, list[int]], turnovers: Mapping[str, int]
) -> None:
    """Write what `fold` gave, and the turnovers as they are now."""
    add, set_turnover = _UPSERTS[connection.dialect.name]
    if changes:
        rows = [
            dict(zip(_KEY_COLUMNS, (ledger_id, *key), strict=True), minor_units=minor_units, count=count)
            for key, (minor_units, count) in sorted(changes.items())
        ]
        connection.execute(add, rows)
    if turnovers:
        rows = [
            {"ledger_id": ledger_id, "currency": currency, "minor_units": minor_units}
            for currency, minor_units in sorted(turnovers.items())
        ]
        connection.execute(set_turnover, rows)


class Span(NamedTuple):
    """Periods of one grain that follow each other, both ends included."""

    grain: str
    first: str
    last: str


def spans(first: dt.date, last: dt.date, finest: str = "day", coarsest: str = "year") -> list[Span]:
    """The fewest periods that partition the days from `first` to `last`, in order.

    What `finest` cannot express stays out at the ends: see `ragged_ends`.
    """
    found: list[Span] = []
    for grain, low, high in _partition(first, last, coarsest):
        if grain == "day" and finest != "day":
            continue
        length = PERIOD_CHARACTERS[grain]
        found.append(Span(grain, low.isoformat()[:length], high.isoformat()[:length]))
    return found


def ragged_ends(first: dt.date, last: dt.date) -> list[tuple[dt.date, dt.date]]:
    """The days at the ends of a range that make no whole month."""
    return [(low, high) for grain, low, high in _partition(first, last, "month") if grain == "day"]


def _partition(first: dt.date, last: dt.date, coarsest: str) -> Iterator[tuple[str, dt.date, dt.date]]:
    """A range as days, months, years, months, days, as far as each is needed."""
    if first > last:
        return
    if coarsest == "day":
        yield "day", first, last
        return
    starts, ends = (first_of_month, last_of_month) if coarsest == "month" else (first_of_year, last_of_year)
    low = first if first == starts(first) else _day_after(ends(first))
    high = last if last == ends(last) else _day_before(starts(last))
    finer = "day" if coarsest == "month" else "month"
    if low is None or high is None or low > high:
        yield from _partition(first, last, finer)
        return
    if first < low:
        yield from _partition(first, low - _ONE_DAY, finer)
    yield coarsest, low, high
    if high < last:
        yield from _partition(high + _ONE_DAY, last, finer)


_ONE_DAY: Final = dt.timedelta(days=1)


def _day_after(day: dt.date) -> dt.date | None:
    return None if day == dt.date.max else day + _ONE_DAY


def _day_before(day: dt.date) -> dt.date | None:
    return None if day == dt.date.min else day - _ONE_DAY


def first_of_month(day: dt.date) -> dt.date:
    """The first day of the month that a day lies in."""
    return day.replace(day=1)


def last_of_month(day: dt.date) -> dt.date:
    """The last day of the month that a day lies in."""
    if day.month == 12:
        return day.replace(day=31)
    return day.replace(month=day.month + 1, day=1) - _ONE_DAY


def first_of_year(day: dt.date) -> dt.date:
    """The first day of the year that a day lies in."""
    return day.replace(month=1, day=1)


def last_of_year(day: dt.date) -> dt.date:
    """The last day of the year that a day lies in."""
    return day.replace(month=12, day=31)
