"""The kept totals: which of them a revision changes, and how a range of days is cut into their periods."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_books import ONE_DAY, days_between
from sqlalchemy import text

from cashman.ledger import Books
from cashman.model.total import GRAINS
from cashman.model.transaction_type import TransactionType
from cashman.totals import Span, first_of_month, fold, last_of_month, ragged_ends, spans, store

pure = settings(derandomize=True, deadline=None)

MIN, MAX = dt.date.min, dt.date.max
near = st.dates(dt.date(1999, 11, 1), dt.date(2004, 3, 31))
anywhere = st.one_of(st.dates(), st.sampled_from([MIN, MIN + ONE_DAY, MAX, MAX - ONE_DAY]))


def state(**changes: Any) -> dict[str, Any]:
    """What a posted expense is."""
    own = {"type": TransactionType.EXPENSE, "status": "posted", "minor_units": -500, "currency": "USD"}
    return {**own, "date": dt.date(2026, 11, 20), "account_id": 1, "category_id": 7, **changes}


def ends_of(span: Span) -> tuple[dt.date, dt.date]:
    """The first and the last day of a span."""
    first = dt.date.fromisoformat((span.first + "-01-01")[:10])
    if span.grain == "day":
        return first, dt.date.fromisoformat(span.last)
    last = dt.date.fromisoformat((span.last + "-12-01")[:10])
    return first, last_of_month(last)


def assert_partition(parts: list[tuple[dt.date, dt.date]], first: dt.date, last: dt.date) -> None:
    """Each begins the day after the one before has ended, from `first` to `last`."""
    assert (parts[0][0], parts[-1][1]) == (first, last)
    for (low, high), (following, _) in zip(parts, [*parts[1:], (MAX, MAX)], strict=True):
        assert low <= high
        assert (low, high) == parts[-1] or following == high + ONE_DAY


@pure
@given(anywhere, anywhere, st.sampled_from(["day", "month", "year"]))
@example(MIN, MAX, "year")
@example(MIN, MAX, "month")
@example(dt.date(2024, 2, 29), dt.date(2024, 2, 29), "year")
@example(dt.date(2024, 1, 1), dt.date(2024, 12, 31), "year")
@example(dt.date(2023, 12, 31), dt.date(2024, 1, 1), "year")
def test_spans_partition_any_range_of_days_without_a_gap_or_an_overlap(
    one: dt.date, other: dt.date, coarsest: str
) -> None:
    first, last = min(one, other), max(one, other)
    found = spans(first, last, coarsest=coarsest)
    assert_partition([ends_of(span) for span in found], first, last)
    assert len(found) <= {"year": 5, "month": 3, "day": 1}[coarsest]
    grains = ["day", "month", "year"]
    assert all(grains.index(span.grain) <= grains.index(coarsest) for span in found)


@pure
@given(anywhere, anywhere, st.sampled_from(["month", "year"]))
@example(MIN, MAX, "year")
@example(dt.date(2024, 2, 2), dt.date(2024, 2, 28), "year")
@example(dt.date(2024, 2, 2), dt.date(2024, 3, 30), "year")
@example(dt.date(2024, 1, 31), dt.date(2024, 3, 1), "month")
def test_spans_of_whole_months_and_the_ragged_ends_partition_any_range_together(
    one: dt.date, other: dt.date, coarsest: str
) -> None:
    first, last = min(one, other), max(one, other)
    whole = [ends_of(span) for span in spans(first, last, "month", coarsest)]
    ragged = ragged_ends(first, last)
    assert_partition(sorted([*whole, *ragged]), first, last)
    assert all((high - low).days < 60 for low, high in ragged)
    assert len(ragged) <= 2


@pure
@given(near, near)
def test_every_day_of_a_range_is_in_exactly_one_span(one: dt.date, other: dt.date) -> None:
    first, last = min(one, other), max(one, other)
    parts = [ends_of(span) for span in spans(first, last)]
    counted = [sum(low <= day <= high for low, high in parts) for day in days_between(first - ONE_DAY, last + ONE_DAY)]
    assert counted == [0, *[1] * (len(counted) - 2), 0]


def test_an_empty_range_has_no_spans() -> None:
    assert spans(dt.date(2026, 1, 2), dt.date(2026, 1, 1)) == []
    assert ragged_ends(dt.date(2026, 1, 2), dt.date(2026, 1, 1)) == []


def test_five_years_are_one_span_and_a_ragged_range_takes_five() -> None:
    assert spans(dt.date(2021, 1, 1), dt.date(2025, 12, 31)) == [Span("year", "2021", "2025")]
    assert spans(dt.date(2020, 11, 20), dt.date(2026, 2, 3)) == [
        Span("day", "2020-11-20", "2020-11-30"),
        Span("month", "2020-12", "2020-12"),
        Span("year", "2021", "2025"),
        Span("month", "2026-01", "2026-01"),
        Span("day", "2026-02-01", "2026-02-03"),
    ]


@pure
@given(st.dates())
def test_a_month_ends_the_day_before_the_next_one_begins(day: dt.date) -> None:
    last = last_of_month(day)
    assert first_of_month(day) <= day <= last
    assert (last.year, last.month) == (day.year, day.month)
    assert last == MAX or (last + ONE_DAY).day == 1


# What a revision changes.


EACH_GRAIN = [
    ("account", "day", "2026-11-20", 1, "EXPENSE", "USD"),
    ("account", "month", "2026-11", 1, "EXPENSE", "USD"),
    ("category", "month", "2026-11", 7, "EXPENSE", "USD"),
    ("category", "year", "2026", 7, "EXPENSE", "USD"),
]
"""The totals that the transaction above is in."""


def test_a_new_one_adds_to_a_total_of_each_grain_and_a_void_one_takes_away() -> None:
    assert fold([(None, state())]) == {key: [-500, 1] for key in EACH_GRAIN}
    assert fold([(state(), state(status="void"))]) == {key: [500, -1] for key in EACH_GRAIN}
    assert [key[:2] for key in EACH_GRAIN] == [(of, grain) for of, grains in GRAINS.items() for grain in grains]


def test_one_without_a_category_counts_under_none_and_a_transfer_under_no_category_at_all() -> None:
    assert {key[3] for key in fold([(None, state(category_id=None))]) if key[0] == "category"} == {0}
    transfer = state(type=TransactionType.TRANSFER, category_id=None)
    assert {key[0] for key in fold([(None, transfer)])} == {"account"}


def test_what_is_pending_or_void_is_in_no_total() -> None:
    assert fold([(None, state(status="pending")), (state(status="void"), state(status="pending"))]) == {}
    assert fold([(state(status="pending"), state())]) == fold([(None, state())])


def test_changes_that_come_to_nothing_are_not_written() -> None:
    assert fold([(state(), state(payee="Luigi"))]) == {}
    assert fold([(None, state(minor_units=-500)), (None, state(minor_units=-700))])[
        ("account", "month", "2026-11", 1, "EXPENSE", "USD")
    ] == [-1200, 2]


def test_another_day_of_the_same_month_changes_the_days_only() -> None:
    changed = fold([(state(), state(date=dt.date(2026, 11, 21)))])
    assert changed == {
        ("account", "day", "2026-11-20", 1, "EXPENSE", "USD"): [500, -1],
        ("account", "day", "2026-11-21", 1, "EXPENSE", "USD"): [-500, 1],
    }


def test_an_amount_that_stays_the_same_in_sum_but_not_in_count_is_written() -> None:
    two = [(None, state(type=TransactionType.TRANSFER, minor_units=sign * 500)) for sign in (-1, 1)]
    assert set(map(tuple, fold(two).values())) == {(0, 2)}


def test_storing_twice_adds_up(books: Books) -> None:
    key = ("account", "day", "2026-11-20", 1, "EXPENSE", "USD")

    def write(change: list[int], turnover: int) -> None:
        books.database.write(lambda connection: store(connection, 1, {key: change}, {"USD": turnover}))

    write([-500, 1], 500)
    write([-(2**40), 2], 2**62)
    rows = books.database.read(lambda c: [tuple(row) for row in c.execute(text("SELECT * FROM totals"))])
    assert rows == [(1, *key, -500 - 2**40, 3)]
    turnovers = books.database.read(lambda c: [tuple(row) for row in c.execute(text("SELECT * FROM turnovers"))])
    assert turnovers == [(1, "USD", 2**62)]


def test_storing_nothing_writes_nothing(books: Books) -> None:
    books.database.write(lambda connection: store(connection, 1, {}, {}))
    assert books.database.read(lambda c: c.execute(text("SELECT count(*) FROM totals")).scalar()) == 0


@pytest.mark.parametrize("finest", ["day", "month"])
def test_a_range_inside_one_month_has_days_only(finest: str) -> None:
    first, last = dt.date(2026, 11, 2), dt.date(2026, 11, 29)
    assert len(spans(first, last, finest)) == (1 if finest == "day" else 0)
    assert ragged_ends(first, last) == [(first, last)]
