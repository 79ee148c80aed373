"""The periods that reports go by, and what comes before and after them."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_books import ONE_DAY, PERIODS, next_start, start_of
from plain_books import range_before as plain_range_before

from cashman.periods import bucket, bucket_after, bucket_start, last_day_before, range_before

pure = settings(derandomize=True, deadline=None)

MIN, MAX = dt.date.min, dt.date.max
periods = st.sampled_from(list(PERIODS))
dates = st.one_of(st.dates(), st.sampled_from([MIN, MIN + ONE_DAY, MAX - ONE_DAY, MAX]))


@pure
@given(dates, periods)
@example(dt.date(2020, 12, 31), "week")
@example(dt.date(2021, 1, 3), "week")
@example(dt.date(2024, 12, 30), "week")
@example(MIN, "week")
@example(MAX, "week")
def test_a_day_lies_in_the_period_that_plain_python_says(day: dt.date, period: str) -> None:
    assert bucket(period, day.isoformat()) == PERIODS[period](day)


def test_periods_are_spelled_as_the_wire_shows_them() -> None:
    assert [bucket(period, "2026-11-20") for period in ("month", "quarter", "year", "week", "day")] == [
        "2026-11", "2026-Q4", "2026", "2026-W47", "2026-11-20",
    ]  # fmt: skip


@pytest.mark.parametrize("month", range(1, 13))
def test_a_month_lies_in_its_quarter_and_its_year(month: int) -> None:
    name = f"2026-{month:02}"
    assert bucket("quarter", name) == f"2026-Q{(month - 1) // 3 + 1}"
    assert (bucket("month", name), bucket("year", name), bucket("year", "2026")) == (name, "2026", "2026")


@pure
@given(dates, periods)
def test_names_of_periods_sort_as_their_days_do(day: dt.date, period: str) -> None:
    if day < MAX:
        assert bucket(period, day.isoformat()) <= bucket(period, (day + ONE_DAY).isoformat())


@pure
@given(dates, periods)
@example(MIN, "week")
@example(MAX, "quarter")
def test_a_period_begins_on_its_first_day(day: dt.date, period: str) -> None:
    start = bucket_start(period, day)
    assert start == start_of(period, day)
    before = last_day_before(period, day)
    assert before == (start if start == MIN else start - ONE_DAY)


@pure
@given(dates, periods)
@example(dt.date(2020, 12, 31), "week")
@example(dt.date(2026, 12, 31), "quarter")
@example(dt.date(9999, 9, 30), "quarter")
@example(dt.date(9998, 12, 31), "year")
def test_a_period_is_followed_by_that_of_the_day_after_it(day: dt.date, period: str) -> None:
    name = bucket(period, day.isoformat())
    if name == bucket(period, MAX.isoformat()):
        assert bucket_after(period, name) is None
    else:
        assert bucket_after(period, name) == PERIODS[period](next_start(period, name))


# The range before a range.


@pure
@given(st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), st.integers(0, 2_000))
@example(dt.date(2024, 3, 1), 30)
@example(dt.date(2024, 3, 1), 29)
@example(dt.date(2024, 1, 1), 365)
def test_the_range_before_is_as_long_and_ends_the_day_before(first: dt.date, days: int) -> None:
    last = first + dt.timedelta(days=days)
    found = range_before(first, last)
    assert found == plain_range_before(first, last)
    assert found is not None
    assert found[1] == first - ONE_DAY


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-11-01", "2026-11-30", ("2026-10-01", "2026-10-31")),
        ("2026-03-01", "2026-03-31", ("2026-02-01", "2026-02-28")),
        ("2024-01-01", "2024-12-31", ("2023-01-01", "2023-12-31")),
        ("2026-01-01", "2026-03-31", ("2025-10-01", "2025-12-31")),
        ("2026-11-15", "2026-11-15", ("2026-11-14", "2026-11-14")),
        ("2026-11-02", "2026-11-30", ("2026-10-04", "2026-11-01")),
        ("0001-01-01", "0001-01-31", None),
        ("0001-02-01", "0001-03-31", None),
        ("0001-01-10", "0001-01-20", None),
        ("0001-01-01", "9999-12-31", None),
        ("0001-02-01", "0001-02-28", ("0001-01-01", "0001-01-31")),
    ],
)
def test_whole_months_shift_by_months_and_all_else_by_days(first: str, last: str, expected: Any) -> None:
    found = range_before(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    assert (found and tuple(day.isoformat() for day in found)) == expected
