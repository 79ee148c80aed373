"""Summaries and balances: which of them read transactions, and what they come to."""

import datetime as dt

import pytest

from cashman.changes import Target
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.income import Income
from cashman.model.report import SummaryQuery
from cashman.reporting import reads_rows

DAY = dt.date(2026, 11, 20)


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
