"""`cashman add` and `cashman list`."""

import datetime as dt
import json
from decimal import Decimal

import pytest
from command_line import Run, runner
from flask import Flask
from flask.testing import FlaskClient

from cashman.cli import transactions
from cashman.cli.service import Local, Refused, Unreachable
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.filter import FilterSchema
from cashman.model.income import Income

KEY = "the key of the request"


@pytest.fixture
def run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(transactions, "RETRY_SECONDS", 0)
    return runner(app, monkeypatch)


def test_an_expense_is_recorded_in_one_line(run: Run, client: FlaskClient) -> None:
    status, out, err = run("add", "expense", "50", "pizza", "with", "friends")
    (booked,) = client.get("/expenses").json
    assert (status, err) == (0, "")
    assert out == f"{booked['date']}  pizza with friends  -50.00 USD  main  {booked['id']}\n"
    assert (booked["amount"], booked["description"]) == (-50, "pizza with friends")


def test_an_income_is_recorded_with_all_that_it_can_have(run: Run, client: FlaskClient) -> None:
    client.post("/accounts", json={"name": "Wallet", "currency": "EUR"})
    arguments = "--account Wallet --category Work:Salary --tag a --tag b --payee Acme --date 2026-01-31".split()
    more = ["--notes", "for\nJanuary", "--currency", "EUR", "--status", "pending"]
    assert run("add", "income", "2500.05", "Salary", *arguments, *more).status == 0
    (booked,) = client.get("/incomes").json
    wanted = {
        "account": "Wallet", "category": "Work:Salary", "tags": ["a", "b"], "payee": "Acme", "date": "2026-01-31",
        "notes": "for\nJanuary", "currency": "EUR", "status": "pending", "amount": 2500.05, "description": "Salary",
    }  # fmt: skip
    assert {name: booked[name] for name in wanted} == wanted


@pytest.mark.parametrize("amount", ["-50", "-50.00", "\N{MINUS SIGN}50", "50"])
def test_an_expense_may_be_written_with_its_sign(run: Run, client: FlaskClient, amount: str) -> None:
    assert run("add", "expense", amount, "pizza", "--notes", "-5").status == 0
    (booked,) = client.get("/expenses").json
    assert (booked["amount"], booked["notes"]) == (-50, "-5")
    status, _, err = run("add", "income", amount.replace("50", "-50", 1) if amount == "50" else amount, "pizza")
    assert status == 1
    assert "amount: An income is positive." in err
    assert run("add", "expense", "-x", "pizza").status == 2


def test_who_did_it_is_the_command_line(run: Run, client: FlaskClient) -> None:
    run("add", "expense", "50", "pizza")
    assert json.loads(client.get("/journal").json[-1]["entry"])["actor"] == "command line"


def test_under_one_key_nothing_is_booked_twice(run: Run, client: FlaskClient) -> None:
    first = run("add", "expense", "50", "pizza", "--key", "pizza-1")
    again = run("add", "expense", "50", "pizza", "--key", "pizza-1")
    assert again == (0, first.out.replace("\n", " (booked before, under this key)\n"), "")
    assert len(client.get("/expenses").json) == 1
    status, out, err = run("add", "expense", "51", "pizza", "--key", "pizza-1")
    assert (status, out) == (1, "")
    assert err.startswith("cashman: ")


def test_two_equal_ones_without_a_key_are_two(run: Run, client: FlaskClient) -> None:
    for _ in range(2):
        assert run("add", "expense", "3", "coffee").status == 0
    assert len(client.get("/expenses").json) == 2


@pytest.mark.parametrize(
    "failure", [Unreachable("the connection is lost"), Refused(503, {"title": "The database cannot be reached."})]
)
def test_a_write_that_may_not_have_arrived_is_sent_once_more_under_the_same_key(
    run: Run, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    sent = []
    send = Local.request

    def unsure(self: Local, method: str, path: str, **options: object):  # booked, but nobody hears of it
        answer = send(self, method, path, **options)
        sent.append(options["headers"]["Idempotency-Key"])
        if len(sent) == 1:
            raise failure
        return answer

    monkeypatch.setattr(Local, "request", unsure)
    status, out, _ = run("add", "expense", "50", "pizza")
    assert status == 0
    assert "pizza" in out
    assert len(sent) == 2
    assert sent[0] == sent[1]
    monkeypatch.undo()
    assert len(client.get("/expenses").json) == 1


def test_what_is_refused_is_not_sent_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def refuse(self: Local, method: str, path: str, **options: object):
        sent.append(path)
        raise Refused(422, {"title": "Some fields break a rule."})

    monkeypatch.setattr(Local, "request", refuse)
    assert run("add", "expense", "50", "pizza").status == 1
    assert sent == ["/expenses"]


def test_a_service_that_stays_away_is_asked_twice_and_is_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def fail(self: Local, method: str, path: str, **options: object):
        sent.append(path)
        raise Refused(503, {"title": "The database cannot be reached."})

    monkeypatch.setattr(Local, "request", fail)
    assert run("add", "expense", "50", "pizza") == (2, "", "cashman: The database cannot be reached.\n")
    assert len(sent) == 2


def test_what_breaks_a_rule_is_1_and_told_field_by_field(run: Run, client: FlaskClient) -> None:
    status, out, err = run("add", "expense", "12.345", "gum", "--account", "mian", "--date", "2026-02-30")
    assert (status, out) == (1, "")
    first, *others = err.splitlines()
    assert first == "cashman: Some fields break a rule."
    assert sorted(line.split(":")[0] for line in others) == ["  amount", "  date"]
    assert client.get("/expenses").json == []


@pytest.mark.parametrize(
    "arguments",
    [(), ("expense",), ("expense", "50"), ("transfer", "50", "x"), ("expense", "50", "x", "--colour", "red")],
)
def test_what_is_no_command_is_2(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, err = run("add", *arguments)
    assert (status, out) == (2, "")
    assert "Usage: cashman add" in err


def test_for_a_script_it_is_the_document_of_the_api(run: Run, client: FlaskClient) -> None:
    _, out, _ = run("add", "expense", "50", "pizza", "--json")
    assert json.loads(out) == client.get("/expenses").json[0]
    assert '"amount":-50.00,' in out


def test_a_list_shows_what_there_is_with_the_numbers_to_the_right(run: Run, ledger: Ledger) -> None:
    day = dt.date(2026, 1, 5)
    ids = [
        ledger.record(item).state["id"]
        for item in (
            Expense("pizza", 50, date=day, category="Food", payee="Luigi"),
            Income("Salary", Decimal("2500.05"), date=day + dt.timedelta(days=1), tags=["work", "may"]),
        )
    ]
    status, out, err = run("list")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "date        description  payee  category  tags        amount       account  id",
        "----------  -----------  -----  --------  ---------  -------  ---  -------  --------------------------",
        f"2026-01-06  Salary                        work, may  2500.05  USD  main     {ids[1]}",
        f"2026-01-05  pizza        Luigi  Food                  -50.00  USD  main     {ids[0]}",
    ]


def test_a_list_fits_the_terminal(run: Run, ledger: Ledger) -> None:
    ledger.record(Expense("a very long description " * 10, 50, payee="somebody " * 20, category="Food:" + "x" * 80))
    for width in ("80", "120", "200"):
        lines = run("list", COLUMNS=width).out.splitlines()
        assert max(map(len, lines)) <= int(width)
        assert "-50.00" in lines[2]
        assert "…" in lines[2]
    assert "…" not in run("list").out  # a pipe takes all of it


def test_what_is_pending_says_so(run: Run, ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50))
    assert "status" not in run("list").out
    ledger.record(Expense("hotel", 200, status="pending"))
    (header, _, *rows) = run("list", "--sort", "-amount").out.splitlines()
    assert "status" in header
    assert ["pending" in row for row in rows] == ["hotel" in row for row in rows]


def test_pages_are_followed_up_to_the_limit(run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "PAGE_ROWS_MAX", 3)
    for number in range(8):
        ledger.record(Expense(f"coffee {number}", 3))
    rows = json.loads(run("list", "--limit", "7", "--json").out)
    assert [row["description"] for row in rows] == [f"coffee {number}" for number in range(7, 0, -1)]
    assert [row["description"] for row in json.loads(run("list", "--all", "--json").out)][-1] == "coffee 0"
    status, out, err = run("list", "--limit", "7")
    assert (status, len(out.splitlines())) == (0, 9)
    assert err == "… and more: these are the first 7; --limit or --all shows the others.\n"
    for arguments in (("--limit", "8"), ("--all",), ()):
        assert run("list", *arguments).err == ""


def test_numbers_for_a_script_are_exact(run: Run, ledger: Ledger) -> None:
    ledger.record(Income("much", Decimal("9999999999999.99")))
    assert '"amount":9999999999999.99,' in run("list", "--json").out


def test_a_list_of_one_type_and_of_transfers(run: Run, client: FlaskClient, ledger: Ledger) -> None:
    client.post("/accounts", json={"name": "Travel", "currency": "EUR"})
    client.post("/transfers", json={"from": "main", "to": "Travel", "amount": 108, "to_amount": 100})
    ledger.record(Expense("pizza", 50))
    ledger.record(Income("Salary", 2500))
    assert [row["type"] for row in json.loads(run("list", "--type", "income", "--json").out)] == ["INCOME"]
    assert [row["type"] for row in json.loads(run("list", "--type", "EXPENSE", "--json").out)] == ["EXPENSE"]
    header, _, row = run("list", "--type", "transfer").out.splitlines()
    assert header.split() == ["date", "description", "from", "amount", "to", "amount", "id"]
    assert row.split()[2:8] == ["main", "108.00", "USD", "Travel", "100.00", "EUR"]


def test_every_filter_of_a_list_is_an_option(run: Run) -> None:
    options = {option.name.rstrip("_") for option in transactions.list_transactions.params}
    assert options == {(field.data_key or name) for name, field in FilterSchema().fields.items()} - {"cursor"} | {
        "type",
        "all",
        "json",
    }


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--from", "2026-01-02"), "cb"),
        (("--to", "2026-01-02"), "ba"),
        (("--min-amount", "20"), "cb"),
        (("--max-amount", "20"), "ba"),
        (("--currency", "EUR"), ""),
        (("--account", "main"), "cba"),
        (("--category", "Food"), "ba"),
        (("--tag", "x"), "cb"),
        (("--tag", "x", "--tag", "y"), "c"),
        (("--payee", "Luigi"), "a"),
        (("--status", "pending"), "b"),
        (("--q", "notable"), "a"),
        (("--sort", "amount"), "cba"),
        (("--sort", "-amount"), "abc"),
        (("--category", "Food", "--tag", "x"), "b"),
    ],
)
def test_filters_are_those_of_the_list(run: Run, ledger: Ledger, arguments: tuple[str, ...], found: str) -> None:
    day = dt.date(2026, 1, 1)
    ledger.record(Expense("a", 10, date=day, category="Food:Coffee", payee="Luigi", notes="notable"))
    ledger.record(Expense("b", 20, date=day + dt.timedelta(days=1), category="Food", tags=["x"], status="pending"))
    ledger.record(Expense("c", 30, date=day + dt.timedelta(days=2), tags=["x", "y"]))
    status, out, _ = run("list", "--json", *arguments)
    assert (status, [row["description"] for row in json.loads(out)]) == (0, [*found])


def test_a_filter_that_breaks_a_rule_is_1(run: Run) -> None:
    status, out, err = run("list", "--from", "yesterday")
    assert (status, out) == (1, "")
    assert "\n  from: " in err


def test_where_there_is_nothing_a_table_is_empty_and_a_script_gets_an_empty_array(run: Run, ledger: Ledger) -> None:
    assert run("list") == (0, "", "There are none.\n")
    assert run("list", "--json") == (0, "[]\n", "")


def test_control_characters_of_a_description_do_not_reach_the_terminal(run: Run, client: FlaskClient) -> None:
    client.post("/expenses", json={"description": "evil\u001b[31m\u202ecba", "amount": 1})
    for out in (run("list").out, run("add", "expense", "1", "evil\u001b[31m").out):
        assert "\u001b" not in out
        assert "\u202e" not in out
        assert "evil" in out
