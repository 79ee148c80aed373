"""Real files of banks, apps and other books: each imports to the right count and sum, and a second time to nothing."""

import csv
import io
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import missing
from filing import position, sound
from flask.testing import FlaskClient
from test_beancount import script
from test_hledger import ask, balances

from cashman.ledger import Ledger

SHARED = Path(os.environ.get("CASHMAN_TEST_SHARED", Path(__file__).parents[2] / "shared")) / "data"


@dataclass
class Expected:
    """What a file comes to, worked out by hand or by another program."""

    format: str
    booked: int
    """Of a transfer both legs."""
    sums: dict[str, str]
    accounts: dict[str, str]
    skipped: int = 0


HOUSEHOLD = (
    "Assets:US:BofA:Checking", "Assets:US:ETrade:Cash", "Assets:US:Vanguard:Cash", "Liabilities:AccountsPayable",
    "Liabilities:US:Chase:Slate",
)  # fmt: skip

FILES = {
    "checking.ofx": Expected("ofx", 3, {"USD": "-59.50"}, {"1452687~7": "USD"}),
    "bank_medium.ofx": Expected("ofx", 3, {"CAD": "-345.27"}, {"12300 000012345678": "CAD"}),
    "stmtrs.ofx": Expected("ofx", 2, {"USD": "-500.00"}, {"999988": "USD"}),
    "suncorp.ofx": Expected("ofx", 1, {"AUD": "-16.85"}, {"123456789": "AUD"}),
    "household.csv": Expected("csv", 843, {"USD": "-88582.17"}, dict.fromkeys(HOUSEHOLD, "USD")),
    "bank-csb43.csv": Expected("csv", 2, {"EUR": "1000.00"}, {"1234567890": "EUR"}),
    # Six movements, and what went from Cash to the card, which moves 200 and adds nothing.
    "app-monefy.csv": Expected("csv", 8, {"USD": "5892.80"}, {"Cash": "USD", "Payment card": "USD"}),
}


def content_of(name: str) -> bytes:
    if not (SHARED / name).exists():
        missing(f"{name}, whose folder CASHMAN_TEST_SHARED names,")
    return (SHARED / name).read_bytes()


def exact(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.data, parse_float=str, parse_int=int)


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_imports_to_the_right_count_and_sum_and_once(
    client: FlaskClient, ledger: Ledger, name: str
) -> None:
    expected, data = FILES[name], content_of(name)
    preview = exact(client.post("/import?preview=true", data=data))
    before = position(ledger)
    result = exact(client.post("/import", data=data))
    assert (result["format"], result["booked"], result["sums"]) == (expected.format, expected.booked, expected.sums)
    assert (result["skipped"], result["refused"]) == (expected.skipped, 0)
    assert {one["name"]: one["currency"] for one in result["accounts"]} == expected.accounts
    told = {name: value for name, value in result.items() if name not in ("lines", "preview")}
    assert told.items() <= preview.items()
    assert len([line for line in preview["lines"] if line["outcome"] == "booked"]) <= expected.booked
    summary = exact(client.get("/reports/summary"))
    assert {line["currency"]: line["net"] for line in summary} == expected.sums
    after = position(ledger)
    assert after > before
    again = exact(client.post("/import", data=data))
    assert (again["booked"], again["refused"], again["sums"], again["accounts"]) == (0, 0, {}, [])
    assert again["skipped"] >= 1
    assert position(ledger) == after
    as_format = exact(client.post(f"/import/{expected.format}", data=data))
    assert (as_format["booked"], position(ledger)) == (0, after)
    sound(ledger)


def test_the_households_totals_come_out_of_the_reports_after_an_import(client: FlaskClient) -> None:
    totals = json.loads(content_of("household-totals.json"))
    assert exact(client.post("/import/csv", data=content_of("household.csv")))["booked"] == totals["rows"]
    (total,) = exact(client.get("/reports/summary"))
    assert (total["count"], total["net"]) == (totals["rows"], totals["total"])
    assert {"INCOME": total["income"], "EXPENSE": total["expense"]} == totals["by_type"]
    for by in ("category", "month"):
        found = exact(client.get(f"/reports/summary?by={by}"))
        assert {line[by]: line["net"] for line in found} == totals[f"by_{by}"]


def test_an_apps_pair_is_one_transfer(client: FlaskClient) -> None:
    client.post("/import", data=content_of("app-monefy.csv"))
    (transfer,) = exact(client.get("/transfers"))
    assert (transfer["from"], transfer["to"], Decimal(transfer["amount"])) == ("Cash", "Payment card", 200)


def test_three_years_of_another_programs_books_come_in_whole_and_once(client: FlaskClient, ledger: Ledger) -> None:
    data = content_of("example.beancount")
    result = exact(client.post("/import", data=data))
    assert (result["format"], result["refused"]) == ("beancount", 0)
    totals = json.loads(content_of("household-totals.json"))
    found = {line["category"]: line["net"] for line in exact(client.get("/reports/summary?by=category"))}
    # What the flattening of household.csv left out: three years of payslips, each an income with what is kept back of
    # it, come to 149,912.40 less 64,782.60 of taxes; and seven sales at a loss to 817.84.
    (total,) = exact(client.get("/reports/summary"))
    assert Decimal(total["net"]) == Decimal(totals["total"]) + Decimal("149912.40") - Decimal("64782.60") - Decimal(
        "817.84"
    )
    differing = {
        name
        for name in found.keys() | totals["by_category"].keys()
        if found.get(name) != totals["by_category"].get(name)
    }
    assert {name.split(":")[0] for name in differing - {"US:ETrade:Gains"}} == {"Taxes", "Health", "US"}
    assert len(found.keys() - differing) == len(totals["by_category"]) - 5
    before = position(ledger)
    again = exact(client.post("/import", data=data))
    assert (again["booked"], again["refused"], position(ledger)) == (0, 0, before)
    sound(ledger)


def figures(client: FlaskClient) -> dict[str, Decimal]:
    """What the reports say of every account and category, by the name that plain-text accounting gives it."""
    found = {line["account"]: Decimal(line["balance"]) for line in exact(client.get("/balances"))}
    for line in exact(client.get("/reports/summary?by=category")):
        for kind, root in (("expense", "Expenses"), ("income", "Income")):
            found[f"{root}:{line['category']}"] = -Decimal(line[kind])
    return {name: figure for name, figure in found.items() if figure}


def test_beancount_computes_the_figures_of_our_reports_from_what_we_export(client: FlaskClient, tmp_path: Path) -> None:
    assert client.post("/import", data=content_of("household.csv")).status_code == 200
    path = tmp_path / "household.beancount"
    path.write_bytes(client.get("/export/beancount").data)
    checked = subprocess.run([script("bean-check"), path], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    query = "SELECT account, sum(number) AS total GROUP BY account"
    asked = subprocess.run([script("bean-query"), "-f", "csv", path, query], capture_output=True, text=True, check=True)
    rows = csv.DictReader(io.StringIO(asked.stdout))
    theirs = {row["account"].strip(): Decimal(row["total"].strip()) for row in rows}
    assert {name: total for name, total in theirs.items() if total} == figures(client)


def test_hledger_computes_the_figures_of_our_reports_from_what_we_export(client: FlaskClient) -> None:
    program = shutil.which("hledger")
    if program is None:
        missing("hledger")
    assert program is not None
    assert client.post("/import", data=content_of("household.csv")).status_code == 200
    journal = client.get("/export/hledger").text
    ask(program, journal, "check", "--strict")
    theirs = {account: amount for (account, _), amount in balances(program, journal).items()}
    ours = figures(client)
    assert len(ours) > 20
    assert theirs == ours
