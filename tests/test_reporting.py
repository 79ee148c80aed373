"""What reports are made of: periods, what comes before and after them, and which of them read transactions."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_books import ONE_DAY, PERIODS, days_between, next_start, range_before, start_of

from cashman.changes import Target
from cashman.errors import Invalid
from cashman.ledger import Ledger
from cashman.limits import CASHFLOW_MONTHS_MAX
from cashman.model.expense import Expense
from cashman.model.income import Income
from cashman.model.report import SummaryQuery
from cashman.reporting import (
    _bucket_after,
    _bucket_start,
    _months,
    _range_before,
    _start_or_min,
    bucket,
    reads_rows,
)

pure = settings(derandomize=True, deadline=None)

MIN, MAX = dt.date.min, dt.date.max
DAY = dt.date(2026, 11, 20)
periods = st.sampled_from(list(PERIODS))
dates = st.one_of(st.dates(), st.sampled_from([MIN, MIN + ONE_DAY, MAX - ONE_DAY, MAX]))


# Periods.


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
    start = _bucket_start(period, day)
    assert start == start_of(period, day)
    before = _start_or_min(period, day)
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
        assert _bucket_after(period, name) is None
    else:
        assert _bucket_after(period, name) == PERIODS[period](next_start(period, name))


# The range before a range.


@pure
@given(st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), st.integers(0, 2_000))
@example(dt.date(2024, 3, 1), 30)
@example(dt.date(2024, 3, 1), 29)
@example(dt.date(2024, 1, 1), 365)
def test_the_range_before_is_as_long_and_ends_the_day_before(first: dt.date, days: int) -> None:
    last = first + dt.timedelta(days=days)
    found = _range_before(first, last)
    assert found == range_before(first, last)
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
    found = _range_before(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    assert (found and tuple(day.isoformat() for day in found)) == expected


# Months of a cash flow.


@pure
@given(st.dates(dt.date(1950, 1, 1), dt.date(2050, 1, 1)), st.integers(0, 400))
def test_every_month_from_one_to_another_is_there_once(first: dt.date, days: int) -> None:
    last = first + dt.timedelta(days=days)
    months = list(dict.fromkeys(day.isoformat()[:7] for day in days_between(first, last)))
    assert _months(first.isoformat()[:7], last.isoformat()[:7]) == months


def test_the_months_of_a_cash_flow_are_bounded() -> None:
    assert len(_months("1901-01", "2000-12")) == CASHFLOW_MONTHS_MAX
    with pytest.raises(Invalid) as refused:
        _months("1900-12", "2000-12")
    assert refused.value.errors == {"from": ["At most 1200 months."]}


# What is read.


@pytest.mark.parametrize(
    ("by", "named", "rows"),
    [
        ((), {}, False), (("month",), {}, False), (("day", "account"), {}, False), (("week",), {"account": "x"}, False),
        (("month", "category"), {}, False), (("category",), {"currency": "USD"}, False), (("payee",), {}, True),
        (("month", "tag"), {}, True), (("account", "category"), {}, True), (("account",), {"category": "x"}, True),
        (("category",), {"account": "x"}, True), (("day", "category"), {}, True), (("week",), {"category": "x"}, True),
        ((), {"account": "x", "category": "x"}, True), (("quarter", "category"), {}, False),
    ],
)  # fmt: skip
def test_only_what_no_total_tells_is_added_up_from_transactions(
    by: tuple[str, ...], named: dict[str, str], rows: bool
) -> None:
    assert reads_rows(SummaryQuery(by=by, **named)) is rows


def test_totals_and_transactions_come_to_the_same(ledger: Ledger) -> None:
    ledger.record(
        *(Expense("x", number + 1, date=DAY + dt.timedelta(days=number), category="Food") for number in range(100)),
        *(Income("x", number + 1, date=DAY - dt.timedelta(days=number), category="Pay") for number in range(100)),
    )
    first, last = DAY - dt.timedelta(days=50), DAY + dt.timedelta(days=77)
    for by in ((), ("month",), ("day",), ("currency",)):
        of_totals = ledger.summary(SummaryQuery(by=by, first_day=first, last_day=last))
        of_rows = ledger.summary(SummaryQuery(by=(*by, "payee")[-2:], first_day=first, last_day=last))
        without_payee = [{name: value for name, value in line.items() if name != "payee"} for line in of_rows.lines]
        assert without_payee == of_totals.lines
        assert of_rows.head == of_totals.head


def test_sums_past_what_one_amount_may_be_are_exact(ledger: Ledger) -> None:
    most = "9999999999999.99"
    ledger.record(*(Expense("x", most, date=DAY) for _ in range(9)))
    for by in ((), ("payee",), ("category",), ("account", "category")):
        [line] = ledger.summary(SummaryQuery(by=by)).lines
        assert str(line["net"]) == "-89999999999999.91"
    [balance] = ledger.balances(DAY).lines
    assert str(balance["balance"]) == "-89999999999999.91"


def test_a_report_leaves_out_what_is_void_pending_or_moved(ledger: Ledger) -> None:
    receipt = ledger.record(Expense("x", 5, date=DAY), Expense("y", 7, date=DAY, status="pending"))
    assert [(line["net"], line["count"]) for line in ledger.summary(SummaryQuery()).lines] == [(-5, 1)]
    assert [(line["balance"], line["available"]) for line in ledger.balances(DAY).lines] == [(-5, -12)]
    ledger.void(Target(receipt.states[0]["id"]))
    assert ledger.summary(SummaryQuery(by=("month",))).lines == []
    assert ledger.cashflow().lines == []
    assert [(line["balance"], line["available"]) for line in ledger.balances(DAY).lines] == [(0, -7)]
