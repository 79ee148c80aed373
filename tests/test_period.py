"""Periods: how a URL names them, what lies beside them, and that together they leave no day out."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from cashman.dashboard.overview import buckets
from cashman.dashboard.period import KINDS, LAST_TWELVE, Period, PeriodSchema, last_twelve_months, named

DAYS = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))
MIDDLE = st.dates(dt.date(1000, 1, 1), dt.date(5000, 12, 31))
TODAY = dt.date(2026, 11, 28)


def days(first: str, last: str) -> tuple[dt.date, dt.date]:
    return dt.date.fromisoformat(first), dt.date.fromisoformat(last)


@pytest.mark.parametrize(
    ("name", "first", "last", "kind"),
    [
        ("2026-11", "2026-11-01", "2026-11-30", "month"),
        ("2024-02", "2024-02-01", "2024-02-29", "month"),
        ("2026-Q1", "2026-01-01", "2026-03-31", "quarter"),
        ("2026-Q4", "2026-10-01", "2026-12-31", "quarter"),
        ("2026", "2026-01-01", "2026-12-31", "year"),
        (LAST_TWELVE, "2025-12-01", "2026-11-30", LAST_TWELVE),
        ("0001", "0001-01-01", "0001-12-31", "year"),
        ("9999-12", "9999-12-01", "9999-12-31", "month"),
    ],
)
def test_a_name_stands_for_days_and_back(name: str, first: str, last: str, kind: str) -> None:
    period = named(name, TODAY)
    assert (period.first, period.last, period.kind) == (*days(first, last), kind)
    assert period.parameters == {"period": name}


@pytest.mark.parametrize(
    "name",
    ["", "26", "2026-13", "2026-00", "2026-Q5", "2026-q4", "0000", "2026-11-01", "last", "٢٠٢٦", "2026 ", "2026\n"],
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="Not a period"):
        named(name, TODAY)


@given(MIDDLE, st.sampled_from(KINDS))
def test_of_what_lies_beside_each_other_no_day_is_left_out_or_in_both(day: dt.date, kind: str) -> None:
    period = Period(day, day).of_kind(kind, day)
    before, after = period.beside(-1), period.beside(1)
    assert before is not None
    assert after is not None
    assert before.last + dt.timedelta(days=1) == period.first
    assert period.last + dt.timedelta(days=1) == after.first
    assert before.months == period.months == after.months
    assert period.first <= day <= period.last
    back = after.beside(-1)
    assert back is not None
    assert (back.first, back.last) == (period.first, period.last)
    if kind != LAST_TWELVE:
        assert {before.kind, after.kind} == {kind}
        assert named(after.parameters["period"], day) == after


@given(MIDDLE, st.integers(0, 5_000))
def test_days_that_are_named_move_by_as_many(first: dt.date, more: int) -> None:
    period = Period(first, first + dt.timedelta(days=more))
    before = period.beside(-1)
    assert before is not None
    assert before.last + dt.timedelta(days=1) == period.first
    if period.months is None:
        assert before.last - before.first == period.last - period.first
    else:
        assert before.months == period.months
    assert period.parameters == {"from": period.first.isoformat(), "to": period.last.isoformat()}


@given(DAYS, st.sampled_from(KINDS), st.sampled_from([-1, 1]))
def test_at_the_ends_of_the_calendar_there_is_nothing_beside(day: dt.date, kind: str, step: int) -> None:
    beside = Period(day, day).of_kind(kind, day).beside(step)
    if beside is None:
        assert day.year in (1, 9999)
    else:
        assert beside.first <= beside.last


def test_a_kind_is_chosen_near_today_or_else_near_the_end() -> None:
    this_year, last_year = named("2026", TODAY), named("2025", TODAY)
    assert this_year.of_kind("month", TODAY).parameters == {"period": "2026-11"}
    assert last_year.of_kind("month", TODAY).parameters == {"period": "2025-12"}
    assert last_year.of_kind("quarter", TODAY).parameters == {"period": "2025-Q4"}
    assert last_year.of_kind(LAST_TWELVE, TODAY) == last_twelve_months(TODAY)


@given(MIDDLE, st.integers(0, 4_000))
def test_every_day_lies_in_a_step_and_there_are_neither_too_many_nor_none(first: dt.date, more: int) -> None:
    steps = buckets(Period(first, first + dt.timedelta(days=more)))
    assert 1 <= len(steps) <= 38
    assert len(set(steps)) == len(steps)
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-01-01"}, "to"),
        ({"to": "2026-01-01"}, "from"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from"),
        ({"from": "1900-01-01", "to": "2026-01-01"}, "from"),
        ({"from": "2026-01-01", "to": "2026-01-01", "period": "2026"}, "period"),
        ({"period": "yesterday"}, "period"),
        ({"currency": "XXQ"}, "currency"),
        ({"category": "a::b"}, "category"),
        ({"q": "1"}, "q"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_its_field(query: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PeriodSchema().load(query)
    assert list(refused.value.normalized_messages()) == [field]
