"""The months of a cash flow."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_books import days_between

from cashman.cashflow import _months
from cashman.errors import Invalid
from cashman.limits import CASHFLOW_MONTHS_MAX


@settings(derandomize=True, deadline=None)
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
