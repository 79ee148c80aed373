"""`cashman balance` and `cashman report`."""

import datetime as dt
import json

import pytest
from command_line import Run, runner
from flask import Flask
from flask.testing import FlaskClient

from cashman.cli import reports
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.income import Income
from cashman.model.report import SummarySchema


@pytest.fixture
def run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(app, monkeypatch)


@pytest.fixture(autouse=True)
def _booked(ledger: Ledger, client: FlaskClient) -> None:
    client.post("/accounts", json={"name": "Yen", "currency": "JPY", "opening_balance": 900})
    ledger.record(Income("Salary", 2500, date=dt.date(2026, 1, 25), category="Work"))
    ledger.record(Expense("pizza", 50, date=dt.date(2026, 1, 26), category="Food:Restaurant"))
    ledger.record(Expense("coffee", 3, date=dt.date(2026, 2, 1), category="Food:Coffee"))
    ledger.record(Expense("hotel", 200, date=dt.date(2026, 2, 2), status="pending"))


def test_a_balance_shows_every_account(run: Run) -> None:
    status, out, err = run("balance", "--as-of", "2026-02-28")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "account  balance  available       as of",
        "-------  -------  ---------  ---  ----------",
        "Yen            0          0  JPY  2026-02-28",
        "main     2447.00    2247.00  USD  2026-02-28",
    ]
    assert "main     2450.00" in run("balance", "--as-of", "2026-01-31").out


def test_a_report_by_month(run: Run) -> None:
    status, out, _ = run("report", "--by", "month", "--to", "2026-02-28")
    assert status == 0
    assert out.splitlines() == [
        "month    currency   income  expense      net  count",
        "-------  --------  -------  -------  -------  -----",
        "2026-01  USD       2500.00   -50.00  2450.00      2",
        "2026-02  USD          0.00    -3.00    -3.00      1",
    ]


def test_a_report_by_two_things_cut_at_a_depth_and_compared(run: Run) -> None:
    days = ("--from", "2026-02-01", "--to", "2026-02-28")
    _, out, _ = run("report", "summary", "--by", "category", "--depth", "1", "--compare", "previous", *days)
    lines = out.splitlines()
    assert lines[0].split() == [
        *"category currency income expense net count".split(),
        *"previous income previous expense previous net previous count".split(),
    ]
    assert lines[2].split() == "Food USD 0.00 -3.00 -3.00 1 0.00 -50.00 -50.00 1".split()
    by_both = json.loads(run("report", "--by", "month", "--by", "category", "--json").out)
    assert [(row["month"], row["category"]) for row in by_both] == [
        ("2026-01", "Food:Restaurant"),
        ("2026-01", "Work"),
        ("2026-02", "Food:Coffee"),
    ]


def test_a_cashflow(run: Run) -> None:
    _, out, _ = run("report", "cashflow", "--from", "2026-01-01", "--to", "2026-02-28")
    assert out.splitlines()[0].split() == "month currency opening income expense transfers closing".split()
    assert out.splitlines()[-1].split() == "2026-02 USD 2450.00 0.00 -3.00 0.00 2447.00".split()


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (("balance",), "/balances"),
        (("report",), "/reports/summary"),
        (("report", "--by", "week", "--currency", "USD"), "/reports/summary?by=week&currency=USD"),
        (("report", "--account", "main", "--category", "Food"), "/reports/summary?account=main&category=Food"),
        (("report", "cashflow"), "/reports/cashflow"),
    ],
)
def test_for_a_script_it_is_byte_for_byte_what_the_api_gives(run: Run, client: FlaskClient, command, path) -> None:
    assert run(*command, "--json").out == f"{client.get(path).text.rstrip()}\n"


def test_every_parameter_of_a_summary_is_an_option() -> None:
    options = {option.name.rstrip("_") for option in reports.report.params}
    assert options == {field.data_key or name for name, field in SummarySchema().fields.items()} | {"which", "json"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("report", "--by", "mnth"), "\n  by.0: Not one of month,"),
        (("report", "--from", "2026-02-01", "--to", "2026-01-01"), "\n  from: May not be after `to`.\n"),
        (("report", "cashflow", "--by", "month"), "\n  by: Unknown field.\n"),
        (("balance", "--as-of", "x"), "\n  as_of: "),
    ],
)
def test_what_breaks_a_rule_is_1(run: Run, arguments: tuple[str, ...], told: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert told in err


def test_a_report_that_there_is_not_is_2(run: Run) -> None:
    assert run("report", "profit").status == 2
    assert run("balance", "main").status == 2


def test_where_nothing_was_booked_it_says_so(run: Run) -> None:
    days = ("--from", "2020-01-01", "--to", "2020-01-31")
    assert run("report", *days) == (0, "", "There is nothing to add up.\n")
    assert run("report", *days, "--json") == (0, "[]\n", "")
