"""The made-up year: what is in it, and that only an empty ledger gets it, once."""

import datetime as dt
import json
import logging
import threading
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from command_line import Run, runner
from flask import Flask
from flask.testing import FlaskClient
from people import first_user
from serving import Service

from cashman import config, current, db, demo
from cashman.changes import Request
from cashman.demo import DAYS, Household, fill, fill_at_start, is_empty
from cashman.ledger import Books, Ledger
from cashman.model.expense import Expense
from cashman.model.transaction import Transaction
from cashman.model.transaction_type import TransactionType
from cashman.verify import verify

TODAY = dt.date(2026, 11, 21)


@pytest.fixture
def run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(app, monkeypatch)


def year(today: dt.date = TODAY, currency: str = "USD") -> list[Transaction]:
    return [transaction for item in Household(today, currency).live() for transaction in item]


def told(transaction: Transaction) -> tuple[object, ...]:
    names = "id type status minor_units currency date account category group description payee notes tags expires_at"
    return tuple(str(getattr(transaction, name)) for name in names.split())


def test_a_day_has_one_year_and_no_other() -> None:
    assert list(map(told, year())) == list(map(told, year()))


def test_the_next_day_has_the_same_year_but_for_its_ends() -> None:
    def rents(today: dt.date) -> dict[str, object]:
        return {one.id: told(one) for one in year(today) if one.category in ("Home:Rent", "Food:Groceries")}

    first, second = rents(TODAY), rents(TODAY + dt.timedelta(days=1))
    away = {one.date for one in year(TODAY) + year(TODAY + dt.timedelta(days=1)) if "Lisbon" in one.tags}
    same = [id_ for id_, one in first.items() if id_ in second and one == second[id_]]
    assert len(same) > 0.85 * len(first)
    assert away


def test_all_of_it_lies_in_the_last_twelve_months() -> None:
    days = [one.date for one in year()]
    assert min(days) >= TODAY - dt.timedelta(days=DAYS - 1)
    assert max(days) == TODAY
    assert {(day.year, day.month) for day in days} >= {(2026, month) for month in range(1, 12)} | {(2025, 12)}


@pytest.mark.parametrize("today", [TODAY + dt.timedelta(days=37 * number) for number in range(12)])
def test_it_is_believable_whatever_the_day(today: dt.date) -> None:
    household = Household(today, "USD")
    made = [transaction for item in household.live() for transaction in item]
    assert 600 <= len(made) <= 950
    assert len({one.id for one in made}) == len(made)
    balances = Counter({"main": 4_950_00, "Savings": 8_400_00})
    for one in sorted(made, key=lambda one: one.date):
        if one.status == "posted":
            balances[one.account] += one.minor_units
        assert balances["main"] > 0, one
        assert balances["Savings"] > 0
        assert balances["Travel"] >= 0, one
    assert dict(household.balances) == dict(balances)
    assert -2_500_00 < balances["Card"] <= 0
    months = Counter(str(one.date)[:7] for one in made)
    assert min(count for month, count in months.items() if month not in (str(today)[:7], min(months))) > 40


def test_the_tutorial_and_all_that_a_ledger_can_hold_are_in_it() -> None:
    made = year()
    found = {(one.description, one.amount) for one in made}
    assert {("Salary", 5000), ("Dividends", 200), ("pizza", -50), ("Rock Concert", -100)} <= found
    assert Counter(one.description for one in made)["Salary"] == 12
    types = Counter(one.type for one in made)
    assert min(types.values()) > 20
    assert {one.currency for one in made} == {"USD", "EUR"}
    assert {one.account for one in made} == {"main", "Savings", "Card", "Travel"}
    assert {one.status for one in made} == {"posted", "pending"}
    assert any(one.expires_at for one in made)
    groups = Counter(one.group for one in made if one.type is TransactionType.EXPENSE and one.group)
    assert len(groups) > 30
    assert {2, 3} <= set(groups.values())
    across = [one for one in made if one.type is TransactionType.TRANSFER and one.account == "Travel"]
    assert {one.minor_units > 0 for one in across} == {True, False}
    assert sum("refund" in one.description.lower() for one in made) == 2 + 1  # of shops, and of taxes
    assert len({one.category for one in made}) > 30
    assert len({one.payee for one in made}) > 30
    assert {tag for one in made for tag in one.tags} == {"friends", "Lisbon", "side job"}
    assert any(one.notes for one in made)


def test_an_empty_ledger_gets_it_in_one_commit_and_proves(ledger: Ledger, client: FlaskClient) -> None:
    assert is_empty(ledger)
    made = fill(ledger, Request("somebody"))
    assert made > 600
    assert not is_empty(ledger)
    (verified,) = verify(ledger.books.database)
    assert verified.transactions == made
    accounts = {account["name"]: account for account in client.get("/accounts").json}
    assert {name: (account["kind"], account["currency"]) for name, account in accounts.items()} == {
        "main": (None, "USD"),
        "Savings": ("savings", "USD"),
        "Card": ("card", "USD"),
        "Travel": ("bank", "EUR"),
    }
    assert (accounts["main"]["opening_balance"], accounts["Savings"]["opening_balance"]) == (4950, 8400)
    entries = [json.loads(line["entry"]) for line in client.get("/journal?limit=10000").json]
    assert {entry["actor"] for entry in entries[2:]} == {"somebody"}
    assert [entry["kind"] for entry in entries[2:6]] == ["replace", "open", "open", "open"]


def test_what_the_balances_say_is_what_was_lived(ledger: Ledger, client: FlaskClient) -> None:
    fill(ledger)
    household = Household(ledger.today, "USD")
    household.live()
    balances = {row["account"]: Decimal(str(row["balance"])) for row in client.get("/balances").json}
    assert balances == {name: Decimal(hundredths) / 100 for name, hundredths in household.balances.items()}
    assert len(client.get("/reports/summary?by=month").json) >= 12


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("POST", "/expenses", {"description": "pizza", "amount": 50}),
        ("POST", "/accounts", {"name": "Wallet"}),
        ("PATCH", "/ledger", {"closed_until": "2020-12-31"}),
        ("PATCH", "/accounts/1", {"kind": "bank"}),
    ],
)
def test_a_ledger_that_was_used_is_left_alone(
    ledger: Ledger, client: FlaskClient, method: str, path: str, document: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.open(path, method=method, json=document).status_code < 300
    before = ledger.head()
    assert fill(ledger) == 0
    monkeypatch.setattr(demo, "is_empty", lambda _: True)  # it was, when somebody looked
    assert fill(ledger) == 0
    assert ledger.head() == before


def test_what_was_void_since_is_no_empty_ledger(ledger: Ledger, client: FlaskClient) -> None:
    expense = ledger.record(Expense("pizza", 50)).state
    client.delete(f"/expenses/{expense['id']}")
    assert client.get("/transactions").json == []
    assert fill(ledger) == 0


def test_a_second_time_does_nothing(ledger: Ledger) -> None:
    made, head = fill(ledger), ledger.head()
    assert made
    assert fill(ledger) == 0
    assert ledger.head() == head


def test_workers_that_start_together_book_it_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its own connection to the database, and all past their first look; one of them a day ahead."""
    workers = [Books(db.connect(database_url)) for _ in range(3)]
    everybody = threading.Barrier(len(workers))
    made: list[int] = []
    monkeypatch.setattr(demo, "is_empty", lambda _: everybody.wait() >= 0)
    # Of the real day: what is pending in the year must not have expired yet.
    today = dt.datetime.now(dt.UTC).date()
    days = iter([today, today, today + dt.timedelta(days=1)])
    real = demo.Household
    monkeypatch.setattr(demo, "Household", lambda _, currency: real(next(days), currency))
    threads = [threading.Thread(target=lambda w=worker: made.append(fill(w.own_ledger()))) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    try:
        assert sorted(map(bool, made)) == [False, False, True]
        (verified,) = verify(workers[0].database)
        assert verified.transactions == max(made)
    finally:
        for worker in workers:
            worker.database.close()


def test_where_part_of_it_is_refused_nothing_of_it_is_there(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Household.live

    def live(self: Household) -> list[list[Transaction]]:
        items = real(self)
        items[-1][0].account = "Nowhere"
        return items

    monkeypatch.setattr(Household, "live", live)
    with pytest.raises(Exception, match="break a rule"):
        fill(ledger)
    assert is_empty(ledger)


@pytest.mark.parametrize(("currency", "other"), [("EUR", "USD"), ("JPY", "EUR"), ("KWD", "EUR")])
def test_it_fits_a_ledger_in_another_currency(empty_url: str, currency: str, other: str) -> None:
    books = Books(db.connect(empty_url), currency=currency)
    try:
        assert fill(books.own_ledger()) > 600
        balances = {line["account"]: line for line in books.own_ledger().balances().lines}
        assert {name: line["currency"] for name, line in balances.items()} == {
            "main": currency, "Savings": currency, "Card": currency, "Travel": other,
        }  # fmt: skip
        assert balances["main"]["balance"] > 0
        assert verify(books.database)
    finally:
        books.database.close()


def test_at_the_start_it_is_told_in_the_log(
    books: Books, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "cashman.demo"):
        fill_at_start(books)
        fill_at_start(books)
    levels = [record.levelname for record in caplog.records if record.name == "cashman.demo"]
    assert levels == ["WARNING", "INFO"]
    entry = json.loads(client.get("/journal?limit=10000").json[-1]["entry"])
    assert entry["actor"] == "cashman"


@pytest.mark.parametrize(("given", "read"), [("1", True), ("true", True), ("0", False), ("false", False)])
def test_the_setting_is_a_switch(given: str, read: bool) -> None:
    assert config.load({"CASHMAN_DEMO": given}).demo is read
    assert config.load({}).demo is False


def test_a_setting_that_is_no_switch_stops_the_start() -> None:
    with pytest.raises(config.ConfigurationError, match="CASHMAN_DEMO"):
        config.load({"CASHMAN_DEMO": "perhaps"})


def test_a_service_that_starts_with_it_has_it_once(ledger: Ledger, database_url: str, tmp_path: Path) -> None:
    ledger.books.database.close()
    server = Service(tmp_path, database_url, CASHMAN_DEMO="1")
    try:
        server._wait_for(lambda: len(server.transactions()) > 600)
        made = len(server.transactions())
        log = server.log.read_text()
        assert log.count("has a made-up year to look at now") == 1
        assert "Traceback" not in log
        assert server.stop() == 0
        server.start()
        assert len(server.transactions()) == made
    finally:
        server.remove()


# The command.


def test_the_command_fills_an_empty_ledger_and_says_so(run: Run, client: FlaskClient) -> None:
    status, out, err = run("demo")
    assert (status, err) == (0, "")
    assert out.endswith(
        " transactions of a made-up year are booked: try `cashman balance`, `cashman report --by month`\n"
    )
    assert int(out.split()[0]) == len(client.get("/transactions?limit=1000").json)
    entry = json.loads(client.get("/journal?limit=10000").json[-1]["entry"])
    assert entry["actor"] == "command line"


def test_the_command_refuses_a_ledger_that_was_used(run: Run, client: FlaskClient, ledger: Ledger) -> None:
    client.post("/expenses", json={"description": "pizza", "amount": 50})
    before = ledger.head()
    status, out, err = run("demo")
    assert (status, out) == (2, "")
    assert err == "cashman: the ledger has been used: a year is made up in an empty one only\n"
    assert ledger.head() == before


def test_the_command_fills_another_ledger(run: Run, client: FlaskClient, app: Flask) -> None:
    person = first_user(client)
    other = person.new_ledger("Playground", currency="EUR")
    assert run("--ledger", other, "demo").status == 0
    assert len(person.get(f"/ledgers/{other}/transactions").json) == 100
    assert person.get("/transactions").json == []
    assert is_empty(current.books(app).own_ledger())


@pytest.mark.parametrize("format_", ["json", "ndjson", "csv", "beancount", "hledger"])
def test_the_year_comes_back_from_every_format_that_is_lossless(
    run: Run, client: FlaskClient, tmp_path: Path, format_: str
) -> None:
    def known(rows: str) -> list[dict[str, object]]:
        new = ("created_at", "version")
        return sorted(
            ({name: value for name, value in row.items() if name not in new} for row in json.loads(rows)),
            key=lambda row: str(row["id"]),
        )

    person = first_user(client)
    other = person.new_ledger("Again")
    assert run("demo").status == 0
    path = tmp_path / f"year.{format_}"
    assert run("export", format_, *(("--form", "lossless") if format_ == "csv" else ()), "-o", str(path)).status == 0
    status, out, err = run("--ledger", other, "import", "--json", str(path))
    assert (status, err) == (0, ""), out
    whole = known(run("list", "--all", "--json").out)
    assert known(run("--ledger", other, "list", "--all", "--json").out) == whole
    assert json.loads(out)["booked"] == len(whole)
    if format_ not in ("ndjson", "csv"):  # which hold no accounts, and so no opening balances
        assert run("--ledger", other, "balance").out == run("balance").out
