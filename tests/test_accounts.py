"""Accounts over HTTP: opened, renamed, closed, deleted; opening balances, currencies, and each account's own list."""

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cashman import current, db
from cashman.index import create_app
from cashman.ledger import Books
from cashman.model.income import Income
from cashman.verify import verify

SHOWN = {"Prefer": "return=representation"}


@pytest.fixture(autouse=True)
def proved(books: Books) -> Iterator[None]:
    """After each scenario the books have to be what their journal says."""
    yield
    verify(books.database)


def opened(client: FlaskClient, name: str = "card", **fields: Any) -> dict[str, Any]:
    """Open an account, and give it as it is shown."""
    answer = client.post("/accounts", json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json
    return document


def spent(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    """Record an expense, and give it as it is shown."""
    answer = client.post("/expenses", json={"description": "pizza", "amount": 50, **fields}, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json
    return document


def problem(answer: TestResponse, status: int, slug: str) -> Any:
    """The members of a problem, which has to be that one."""
    assert (answer.status_code, answer.json["type"]) == (status, f"/problems/{slug}"), answer.text
    assert answer.mimetype == "application/problem+json"
    return answer.json


def exact(answer: TestResponse) -> Any:
    """The document with its decimals as they were written."""
    return json.loads(answer.text, parse_float=Decimal)


def head_of(client: FlaskClient) -> str:
    return client.get("/accounts").headers["Cashman-Head"]


def entries(client: FlaskClient, after: str) -> list[Any]:
    """What the journal says since a head."""
    return [json.loads(row["entry"]) for row in client.get(f"/journal?after={after.partition(':')[0]}").json]


def balance(client: FlaskClient, name: str, as_of: str = "") -> tuple[Any, Any]:
    """(balance, available) of an account."""
    rows = exact(client.get("/balances" + (f"?as_of={as_of}" if as_of else "")))
    [row] = [row for row in rows if row["account"] == name]
    return row["balance"], row["available"]


# Opening.


def test_a_new_ledger_has_its_main_account(client: FlaskClient) -> None:
    [main] = client.get("/accounts").json
    assert main == {
        "id": 1,
        "name": "main",
        "kind": None,
        "currency": "USD",
        "opening_balance": 0,
        "opening_date": None,
        "closed": False,
        "version": 1,
    }


def test_an_account_is_opened_with_all_that_can_be_said(client: FlaskClient) -> None:
    given = {
        "name": "Krötenkonto 🐸",
        "kind": "card",
        "currency": "EUR",
        "opening_balance": "-100.50",
        "opening_date": "2026-01-01",
    }
    answer = client.post("/accounts", json=given)
    assert (answer.status_code, answer.mimetype) == (201, "application/json")
    shown = exact(answer)
    assert answer.headers["Location"] == f"/accounts/{shown['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Cashman-Head"] == head_of(client)
    expected = {**given, "opening_balance": Decimal("-100.50"), "id": shown["id"], "closed": False, "version": 1}
    assert shown == expected
    again = client.get(answer.headers["Location"] + "/")
    assert (again.data, again.headers["ETag"]) == (answer.data, '"1"')
    assert [row["name"] for row in client.get("/accounts").json] == ["Krötenkonto 🐸", "main"]


def test_minimal_may_be_asked_for(client: FlaskClient) -> None:
    answer = client.post("/accounts", json={"name": "card"}, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.data) == (204, b"")
    assert client.get(answer.headers["Location"]).json["name"] == "card"


def test_what_is_left_out_is_the_ledgers_currency_and_no_balance(client: FlaskClient) -> None:
    account = opened(client)
    assert (account["currency"], account["opening_balance"], account["opening_date"]) == ("USD", 0, None)


def test_an_opening_balance_without_a_day_is_of_today(client: FlaskClient, books: Books) -> None:
    account = opened(client, opening_balance=5)
    assert account["opening_date"] == books.own_ledger().today.isoformat()
    assert balance(client, "card") == (5, 5)


def test_an_account_is_one_entry_of_the_journal(client: FlaskClient) -> None:
    before = head_of(client)
    account = opened(client, opening_balance=1, opening_date="2026-01-01")
    [entry] = entries(client, before)
    assert (entry["kind"], entry["entity"], entry["entity_id"]) == ("open", "account", str(account["id"]))
    assert entry["figures"]["opening_minor_units"] == 100


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "name"),
        *(({"name": name}, "name") for name in (None, "", "  ", 5, [], {}, True, "a" * 101, "a\0b", "\ud800", "\n\t")),
        *(({"name": "x", "kind": kind}, "kind") for kind in ("", "Bank", "crypto", 5, [], {}, "a\0", True)),
        *(({"name": "x", "currency": code}, "currency") for code in ("", "usd", "XYZ", None, 5, [], "USD ", "U\0D")),
        *(
            ({"name": "x", "opening_balance": amount}, "opening_balance")
            for amount in (None, "", "1e3", "abc", "1_000", " 5", "٥", True, [], {}, 1.005, "0.001", 1e15, "9" * 41)
        ),
        *(
            ({"name": "x", "opening_balance": 1, "opening_date": day}, "opening_date")
            for day in ("", "2026-02-30", "20260101", "2026-1-1", 20260101, [], True, "2026-01-01T00:00:00Z")
        ),
        *(({"name": "x", "closed": closed}, "closed") for closed in (None, "true", "yes", 1, 0, "", [], {}, 1.5)),
        ({"name": "x", "id": 5}, "id"),
        ({"name": "x", "version": 1}, "version"),
        ({"name": "x", "balance": 5}, "balance"),
        ({"name": "x", "ledger_id": 2}, "ledger_id"),
        ({"name": "x", "opening_minor_units": 2}, "opening_minor_units"),
    ],
)
def test_what_an_account_cannot_be_is_refused_by_field(client: FlaskClient, fields: Any, field: str) -> None:
    before = head_of(client)
    errors = problem(client.post("/accounts", json=fields), 422, "invalid")["errors"]
    assert list(errors) == [field]
    assert errors[field][0]
    assert head_of(client) == before


@pytest.mark.parametrize("document", ["null", "[]", '[{"name": "x"}]', '"x"', "5", "true"])
def test_what_is_no_object_is_refused(client: FlaskClient, document: str) -> None:
    before = head_of(client)
    for method, path in ((client.post, "/accounts"), (client.patch, "/accounts/1"), (client.put, "/accounts/1")):
        problem(method(path, data=document, content_type="application/json"), 422, "invalid")
    assert head_of(client) == before


def test_two_accounts_cannot_have_one_name(client: FlaskClient) -> None:
    opened(client)
    before = head_of(client)
    for name in ("card", "main"):
        assert "name" in problem(client.post("/accounts", json={"name": name}), 409, "name-taken")["errors"]
    assert head_of(client) == before
    assert opened(client, "Card")["name"] == "Card"


def test_names_that_look_like_something_else_are_only_names(client: FlaskClient) -> None:
    for name in ("\n3", "'; DROP TABLE accounts; --", "main ", "%", "../1", "null", "\u202emain"):
        assert opened(client, name)["name"] == name
        spent(client, account=name)
        [row] = client.get("/transactions", query_string={"account": name}).json
        assert row["account"] == name


def test_an_account_can_be_renamed_beside_one_named_after_its_number(client: FlaskClient) -> None:
    card = opened(client)
    opened(client, f"\n{card['id']}")
    assert client.patch(f"/accounts/{card['id']}", json={"name": "purse"}).json["name"] == "purse"


# Currencies.


@pytest.mark.parametrize(
    ("currency", "amount", "shown"), [("KWD", "1.234", "-1.234"), ("JPY", "500", "-500"), ("EUR", "9.99", "-9.99")]
)
def test_an_amount_without_a_currency_is_in_that_of_its_account(
    client: FlaskClient, currency: str, amount: str, shown: str
) -> None:
    opened(client, "far", currency=currency)
    answer = client.post("/expenses", json={"description": "tea", "amount": amount, "account": "far"}, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    assert answer.json["currency"] == currency
    assert f'"amount":{shown},' in answer.text
    assert balance(client, "far")[0] == Decimal(shown)


@pytest.mark.parametrize(("currency", "amount"), [("KWD", "1.2345"), ("JPY", "1.5"), ("EUR", "1.234")])
def test_decimals_that_the_accounts_currency_has_not_are_refused(
    client: FlaskClient, currency: str, amount: str
) -> None:
    opened(client, "far", currency=currency)
    before = head_of(client)
    for body in ({"amount": amount}, {"amount": amount, "currency": currency}):
        answer = client.post("/expenses", json={"description": "tea", "account": "far", **body})
        assert list(problem(answer, 422, "invalid")["errors"]) == ["amount"]
    answer = client.post("/accounts", json={"name": "x", "currency": currency, "opening_balance": amount})
    assert list(problem(answer, 422, "invalid")["errors"]) == ["opening_balance"]
    assert head_of(client) == before


def test_another_currency_than_the_accounts_is_refused(client: FlaskClient) -> None:
    opened(client, "far", currency="JPY")
    paid = spent(client, amount=500, account="far")
    before = head_of(client)
    for code in ("USD", "EUR"):
        answer = client.post("/expenses", json={"description": "tea", "amount": 5, "account": "far", "currency": code})
        assert "JPY" in problem(answer, 422, "invalid")["errors"]["currency"][0]
        answer = client.patch(f"/expenses/{paid['id']}", json={"currency": code})
        assert "JPY" in problem(answer, 422, "invalid")["errors"]["currency"][0]
    answer = client.patch(f"/expenses/{paid['id']}", json={"account": "main"})
    assert list(problem(answer, 422, "invalid")["errors"]) == ["currency"]
    assert head_of(client) == before


def test_an_expense_moves_between_accounts_of_one_currency(client: FlaskClient) -> None:
    opened(client)
    paid = spent(client)
    assert client.patch(f"/expenses/{paid['id']}", json={"account": "card"}).json["account"] == "card"
    assert (balance(client, "card")[0], balance(client, "main")[0]) == (-50, 0)


@pytest.mark.parametrize("name", ["crd", "cards", "Card"])
def test_an_unknown_account_is_told_with_the_nearest_name(client: FlaskClient, name: str) -> None:
    opened(client)
    paid = spent(client)
    before = head_of(client)
    for answer in (
        client.post("/expenses", json={"description": "tea", "amount": 5, "account": name}),
        client.patch(f"/expenses/{paid['id']}", json={"account": name}),
        client.get(f"/transactions?account={name}"),
        client.get(f"/reports/summary?account={name}"),
    ):
        errors = problem(answer, 422, "invalid")["errors"]
        assert errors == {"account": ["There is no account of this name; did you mean card?"]}
    assert head_of(client) == before


def test_an_unknown_account_that_is_near_to_none_is_told_without_a_guess(client: FlaskClient) -> None:
    answer = client.post("/expenses", json={"description": "tea", "amount": 5, "account": "zzzzzz"})
    assert problem(answer, 422, "invalid")["errors"] == {"account": ["There is no account of this name."]}


# Changing.


def test_a_rename_is_one_entry_and_is_seen_everywhere_at_once(client: FlaskClient) -> None:
    card = opened(client)
    paid = spent(client, account="card")
    path = f"/expenses/{paid['id']}"
    tag = client.get(path).headers["ETag"]
    listed = client.get("/expenses?account=card")
    before = head_of(client)
    answer = client.patch(f"/accounts/{card['id']}", json={"name": "plastic"})
    assert (answer.status_code, answer.json["name"], answer.json["version"]) == (200, "plastic", 2)
    [entry] = entries(client, before)
    assert (entry["kind"], entry["entity"], entry["entity_id"]) == ("rename", "account", str(card["id"]))

    shown = client.get(path, headers={"If-None-Match": tag})
    assert (shown.status_code, shown.json["account"], shown.json["version"]) == (200, "plastic", 1)
    assert shown.headers["ETag"] != tag
    assert client.get("/expenses?account=plastic").json == [shown.json]
    problem(client.get("/expenses?account=card"), 422, "invalid")
    assert client.get("/expenses", headers={"If-None-Match": listed.headers["ETag"]}).status_code == 200
    assert balance(client, "plastic") == (-50, -50)
    assert [row["account"] for row in client.get("/reports/summary?by=account").json] == ["plastic"]
    [created] = client.get(path + "/history").json
    assert created["changes"]["account"] == [None, "plastic"]


def test_a_tag_from_before_a_rename_matches_no_more(client: FlaskClient) -> None:
    card = opened(client)
    path = f"/expenses/{spent(client, account='card')['id']}"
    old = client.get(path).headers["ETag"]
    client.patch(f"/accounts/{card['id']}", json={"name": "plastic"})
    before = head_of(client)
    for method in (client.patch, client.delete):
        answer = method(path, json={"payee": "Luigi"}, headers={"If-Match": old})
        problem(answer, 412, "precondition-failed")
    assert head_of(client) == before
    new = client.get(path).headers["ETag"]
    answer = client.patch(path, json={"payee": "Luigi"}, headers={"If-Match": f"{old}, {new}"})
    assert (answer.status_code, answer.headers["ETag"]) == (200, client.get(path).headers["ETag"])


def test_two_accounts_can_swap_their_names(client: FlaskClient) -> None:
    one, two = opened(client, "one"), opened(client, "two")
    spent(client, account="one", amount=1)
    spent(client, account="two", amount=2)
    problem(client.patch(f"/accounts/{one['id']}", json={"name": "two"}), 409, "name-taken")
    for account, name in ((one, "three"), (two, "one"), (one, "two")):
        assert client.patch(f"/accounts/{account['id']}", json={"name": name}).status_code == 200
    assert (balance(client, "one")[0], balance(client, "two")[0]) == (-2, -1)
    assert [row["amount"] for row in client.get("/expenses?account=one").json] == [-2]


def test_names_pass_from_one_to_another_in_one_commit(books: Books, client: FlaskClient) -> None:
    from cashman.chart_changes import ReplaceAccount
    from cashman.ledger import OWNERS_OWN, _decide_and_store

    one, two = opened(client, "one"), opened(client, "two")
    spent(client, account="one", amount=1)
    ledger = books.own_ledger()
    changes = [
        ReplaceAccount(ledger.id, OWNERS_OWN, account["id"], None, {"name": name}, ledger.today)
        for account, name in ((one, "two"), (one, "three"), (two, "one"), (one, "two"))
    ]
    outcomes = books.database.write(lambda connection: _decide_and_store(connection, books.charts, changes))
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [True, False, False, False]
    assert balance(client, "two")[0] == -1


def test_a_change_of_one_field_changes_one_field(client: FlaskClient) -> None:
    card = opened(client, kind="card", opening_balance=5, opening_date="2026-01-01")
    path = f"/accounts/{card['id']}"
    for values in (
        {"kind": None},
        {"kind": "cash"},
        {"name": "purse"},
        {"opening_balance": 7.5},
        {"opening_date": "2025-01-01"},
        {"closed": True},
        {"closed": False},
    ):
        before = client.get(path).json
        answer = client.patch(path, json=values)
        assert answer.status_code == 200, answer.text
        assert answer.json == {**before, **values, "version": before["version"] + 1}
        assert answer.headers["ETag"] == f'"{before["version"] + 1}"'


def test_what_changes_nothing_is_not_recorded(client: FlaskClient) -> None:
    card = opened(client, kind="card", opening_balance=5, opening_date="2026-01-01")
    path = f"/accounts/{card['id']}"
    before = head_of(client)
    same = {"opening_balance": "5.00"}
    for method, values in ((client.put, card), (client.patch, card), (client.patch, {}), (client.patch, same)):
        answer = method(path, json=values)
        assert (answer.status_code, answer.json) == (200, card)
    assert head_of(client) == before


def test_put_takes_what_is_left_out_back_to_its_default(client: FlaskClient) -> None:
    card = opened(client, kind="card", opening_balance=5, opening_date="2026-01-01")
    answer = client.put(f"/accounts/{card['id']}", json={"name": "purse"})
    assert answer.json == {
        **card, "name": "purse", "kind": None, "opening_balance": 0, "opening_date": None, "version": 2,
    }  # fmt: skip
    assert list(problem(client.put(f"/accounts/{card['id']}", json={}), 422, "invalid")["errors"]) == ["name"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"currency": "EUR"}, "currency"),
        ({"id": 1}, "id"),
        ({"version": 7}, "version"),
        ({"id": "3"}, "id"),
        ({"version": None}, "version"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"kind": "purse"}, "kind"),
        ({"opening_balance": 0.001}, "opening_balance"),
        ({"opening_balance": None}, "opening_balance"),
        ({"opening_date": "2026-13-01"}, "opening_date"),
        ({"closed": 1}, "closed"),
        ({"balance": 1}, "balance"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_field(client: FlaskClient, values: Any, field: str) -> None:
    card = opened(client, opening_balance=5)
    before = head_of(client)
    for answer in (
        client.patch(f"/accounts/{card['id']}", json=values),
        client.put(f"/accounts/{card['id']}", json={"name": "card", **values}),
    ):
        assert list(problem(answer, 422, "invalid")["errors"]) == [field]
    assert head_of(client) == before


@pytest.mark.parametrize("path", ["/accounts/2", "/accounts/999999999"])
def test_an_account_that_is_not_there_is_not_found(client: FlaskClient, path: str) -> None:
    for answer in (
        client.get(path),
        client.get(path + "/transactions"),
        client.patch(path, json={"name": "x"}),
        client.put(path, json={"name": "x"}),
        client.delete(path),
    ):
        problem(answer, 404, "not-found")


@pytest.mark.parametrize("id_", ["0", "-1", "1.0", "01", "main", "9999999999", "99999999999999999999", "1%00", "١"])
def test_what_is_no_number_of_an_account_is_not_found(client: FlaskClient, id_: str) -> None:
    problem(client.get(f"/accounts/{id_}"), 404, "not-found")
    problem(client.patch(f"/accounts/{id_}", json={"name": "x"}), 404, "not-found")


def test_conditions_hold_for_accounts_too(client: FlaskClient) -> None:
    card = opened(client)
    path = f"/accounts/{card['id']}"
    assert client.get(path, headers={"If-None-Match": '"1"'}).status_code == 304
    assert client.patch(path, json={"kind": "cash"}, headers={"If-Match": '"1"'}).status_code == 200
    before = head_of(client)
    problem(client.patch(path, json={"kind": "bank"}, headers={"If-Match": '"1"'}), 412, "precondition-failed")
    problem(client.delete(path, headers={"If-Match": '"1"'}), 412, "precondition-failed")
    assert head_of(client) == before
    assert client.get(path, headers={"If-None-Match": '"1"'}).status_code == 200
    assert client.delete(path, headers={"If-Match": '"2"'}).status_code == 204


@pytest.mark.parametrize("values", [{"name": "first"}, {"closed": True}])
def test_the_main_account_stays_as_it_is(client: FlaskClient, values: Any) -> None:
    before = head_of(client)
    problem(client.patch("/accounts/1", json=values), 409, "account-needed")
    problem(client.delete("/accounts/1"), 409, "account-needed")
    assert head_of(client) == before
    assert client.patch("/accounts/1", json={"kind": "bank", "opening_balance": 5}).json["opening_balance"] == 5


# Closing and deleting.


def test_on_a_closed_account_nothing_is_booked_and_nothing_changes(client: FlaskClient) -> None:
    card = opened(client)
    paid, voided = spent(client, account="card"), spent(client, account="card")
    elsewhere = spent(client)
    client.delete(f"/expenses/{voided['id']}")
    client.patch(f"/accounts/{card['id']}", json={"closed": True})
    before = head_of(client)
    path = f"/expenses/{paid['id']}"
    for answer in (
        client.post("/expenses", json={"description": "tea", "amount": 5, "account": "card"}),
        client.patch(path, json={"payee": "Luigi"}),
        client.patch(path, json={"account": "main"}),
        client.put(path, json={"description": "pizza", "amount": 50, "date": paid["date"]}),
        client.delete(path),
        client.post(f"/expenses/{voided['id']}/restore"),
        client.patch(f"/expenses/{elsewhere['id']}", json={"account": "card"}),
        client.post("/transfers", json={"from": "main", "to": "card", "amount": 5}),
        client.post("/transfers", json={"from": "card", "to": "main", "amount": 5}),
    ):
        assert "card" in problem(answer, 409, "account-closed")["detail"]
    assert head_of(client) == before
    assert client.get(path).status_code == 200
    assert balance(client, "card") == (-50, -50)
    assert client.post(path + "/redact").status_code == 204
    client.patch(f"/accounts/{card['id']}", json={"closed": False})
    assert client.delete(path).status_code == 204


def test_a_used_account_is_closed_and_not_deleted(client: FlaskClient) -> None:
    card = opened(client)
    paid = spent(client, account="card")
    before = head_of(client)
    problem(client.delete(f"/accounts/{card['id']}"), 409, "account-used")
    assert head_of(client) == before
    client.delete(f"/expenses/{paid['id']}")
    problem(client.delete(f"/accounts/{card['id']}"), 409, "account-used")


def test_an_account_that_a_transaction_was_moved_away_from_stays(client: FlaskClient) -> None:
    card = opened(client)
    paid = spent(client, account="card")
    client.patch(f"/expenses/{paid['id']}", json={"account": "main"})
    problem(client.delete(f"/accounts/{card['id']}"), 409, "account-used")
    history = client.get(f"/expenses/{paid['id']}/history").json
    assert [revision["changes"]["account"] for revision in history] == [[None, "card"], ["card", "main"]]


def test_an_unused_account_goes_and_its_name_is_free_again(client: FlaskClient) -> None:
    card = opened(client, currency="EUR", opening_balance=5, opening_date="2026-01-01")
    path = f"/accounts/{card['id']}"
    before = head_of(client)
    answer = client.delete(path)
    assert (answer.status_code, answer.data) == (204, b"")
    [entry] = entries(client, before)
    assert (entry["kind"], entry["entity"], entry["entity_id"]) == ("delete", "account", str(card["id"]))
    problem(client.get(path), 404, "not-found")
    problem(client.delete(path), 404, "not-found")
    assert [row["account"] for row in client.get("/balances").json] == ["main"]
    again = opened(client, currency="JPY")
    assert again["id"] != card["id"]
    assert spent(client, account="card", amount=7)["currency"] == "JPY"


# Opening balances.


def test_an_opening_balance_counts_from_its_day_on(client: FlaskClient) -> None:
    opened(client, opening_balance="100.25", opening_date="2026-03-01")
    spent(client, account="card", amount=10, date="2026-02-01")
    spent(client, account="card", amount=20, date="2026-03-01")
    for as_of, expected in (
        ("2026-01-31", "0"),
        ("2026-02-01", "-10"),
        ("2026-02-28", "-10"),
        ("2026-03-01", "70.25"),
        ("9999-12-31", "70.25"),
    ):
        assert balance(client, "card", as_of) == (Decimal(expected), Decimal(expected)), as_of


def test_an_opening_balance_is_neither_income_nor_expense(client: FlaskClient) -> None:
    opened(client, opening_balance=100, opening_date="2026-03-01")
    assert client.get("/reports/summary?by=month").json == []
    [month] = client.get("/reports/cashflow?from=2026-03-01&to=2026-03-31").json
    assert [month[name] for name in ("opening", "income", "expense", "transfers", "closing")] == [0, 0, 0, 100, 100]


def test_a_changed_opening_balance_changes_every_balance_after_it(client: FlaskClient) -> None:
    card = opened(client, opening_balance=100, opening_date="2026-03-01")
    spent(client, account="card", amount=10, date="2026-03-02")
    client.patch(f"/accounts/{card['id']}", json={"opening_balance": -1, "opening_date": "2026-03-02"})
    assert balance(client, "card", "2026-03-01")[0] == 0
    assert balance(client, "card", "2026-03-02")[0] == -11
    client.patch(f"/accounts/{card['id']}", json={"opening_balance": 0})
    assert client.get(f"/accounts/{card['id']}").json["opening_date"] == "2026-03-02"
    assert balance(client, "card", "2026-03-02")[0] == -10


def test_an_opening_balance_that_would_pass_64_bits_is_refused(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cashman.batch.INT64_MAX", 100_000)
    card = opened(client, opening_balance=-600)
    before = head_of(client)
    for answer in (
        client.post("/accounts", json={"name": "next", "opening_balance": "400.01"}),
        client.post("/accounts", json={"name": "next", "opening_balance": "-400.01"}),
        client.patch("/accounts/1", json={"opening_balance": "400.01"}),
        client.patch(f"/accounts/{card['id']}", json={"opening_balance": "-1000.01"}),
    ):
        assert list(problem(answer, 422, "total-too-large")["errors"]) == ["opening_balance"]
    answer = client.post("/expenses", json={"description": "tea", "amount": "400.01"})
    assert list(problem(answer, 422, "total-too-large")["errors"]) == ["amount"]
    assert head_of(client) == before
    spent(client, amount=400)
    client.post("/accounts", json={"name": "far", "currency": "EUR", "opening_balance": 1000})
    assert balance(client, "far")[0] == 1000
    client.patch(f"/accounts/{card['id']}", json={"opening_balance": 0})
    spent(client, amount=600)


# An account's own list.


def test_the_balance_runs_along_an_accounts_list(client: FlaskClient) -> None:
    card = opened(client, currency="KWD", opening_balance="1.500", opening_date="2026-01-02")
    path = f"/accounts/{card['id']}/transactions"
    assert client.get(path).json == []
    for number, day in enumerate(("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-03"), 1):
        spent(client, account="card", amount=f"0.00{number}", date=day)
    client.post(
        "/incomes",
        json={"description": "gift", "amount": 9, "account": "card", "date": "2026-01-03", "status": "pending"},
    )
    spent(client, amount=77, date="2026-01-03")
    rows = exact(client.get(path))
    assert [(row["status"], row["amount"], row["balance"]) for row in rows] == [
        ("pending", Decimal("9.000"), Decimal("1.490")),
        ("posted", Decimal("-0.004"), Decimal("1.490")),
        ("posted", Decimal("-0.003"), Decimal("1.494")),
        ("posted", Decimal("-0.002"), Decimal("1.497")),
        ("posted", Decimal("-0.001"), Decimal("-0.001")),
    ]
    in_pages, link = [], f"{path}?limit=2"
    while link:
        answer = client.get(link)
        in_pages += exact(answer)
        link = answer.headers.get("Link", "").partition(">")[0].lstrip("<")
    assert in_pages == rows
    assert exact(client.get(path + "?to=2026-01-02")) == rows[3:]
    assert exact(client.get(path + "?from=2026-01-02")) == rows[:4]


@pytest.mark.parametrize("query", ["q=x", "sort=amount", "account=main", "status=posted", "tag=x", "min_amount=1"])
def test_an_accounts_list_takes_no_filter_that_would_leave_gaps(client: FlaskClient, query: str) -> None:
    errors = problem(client.get(f"/accounts/1/transactions?{query}"), 422, "invalid")["errors"]
    assert list(errors) == [query.partition("=")[0]]


def test_a_cursor_of_another_account_is_refused(client: FlaskClient) -> None:
    card = opened(client)
    for _ in range(2):
        spent(client, account="card")
        spent(client)
    link = client.get("/accounts/1/transactions?limit=1").headers["Link"].partition(">")[0].lstrip("<")
    answer = client.get(link.replace("/accounts/1/", f"/accounts/{card['id']}/"))
    assert list(problem(answer, 422, "invalid")["errors"]) == ["cursor"]


# Exactly once, and two services on one database.


def test_one_of_many_who_open_an_account_of_one_name_gets_it(client: FlaskClient, database_url: str) -> None:
    app = create_app({"CASHMAN_DATABASE_URL": database_url})
    statuses: list[int] = []

    def open_it(own: FlaskClient) -> None:
        statuses.append(own.post("/accounts", json={"name": "card"}).status_code)

    try:
        threads = [threading.Thread(target=open_it, args=(own.test_client(),)) for own in [client.application, app] * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        current.books(app).database.close()
    assert sorted(statuses) == [201, *[409] * 7]
    assert [row["name"] for row in client.get("/accounts").json] == ["card", "main"]


def test_a_key_opens_one_account(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = client.post("/accounts", json={"name": "card"}, headers=headers)
    again = client.post("/accounts", json={"name": "card"}, headers=headers)
    assert (again.status_code, again.data, again.headers["Location"]) == (201, first.data, first.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"
    problem(client.post("/accounts", json={"name": "other"}, headers=headers), 422, "key-reused")
    assert len(client.get("/accounts").json) == 2


def test_a_change_in_one_service_is_seen_by_the_other_at_once(client: FlaskClient, database_url: str) -> None:
    card = opened(client)
    app = create_app({"CASHMAN_DATABASE_URL": database_url})
    try:
        other = app.test_client()
        paid = spent(other, account="card")
        tag = other.get(f"/expenses/{paid['id']}").headers["ETag"]
        client.patch(f"/accounts/{card['id']}", json={"name": "plastic"})
        assert other.get(f"/expenses/{paid['id']}", headers={"If-None-Match": tag}).json["account"] == "plastic"
        problem(other.post("/expenses", json={"description": "x", "amount": 1, "account": "card"}), 422, "invalid")
        assert spent(other, account="plastic")["account"] == "plastic"
        client.patch(f"/accounts/{card['id']}", json={"closed": True})
        answer = other.post("/expenses", json={"description": "x", "amount": 1, "account": "plastic"})
        problem(answer, 409, "account-closed")
    finally:
        current.books(app).database.close()


def test_a_currency_that_changed_elsewhere_is_not_guessed(client: FlaskClient, database_url: str) -> None:
    purse = opened(client, "purse", currency="JPY")
    others = Books(db.connect(database_url))
    others.database.open()
    try:
        ledger = others.own_ledger()
        assert ledger.currency_of("purse") == "JPY"
        client.delete(f"/accounts/{purse['id']}")
        opened(client, "purse", currency="USD")
        gift = Income("gift", 7, account="purse", currency=ledger.currency_of("purse"))
        gift.given = ("description", "amount", "account")
        state = ledger.record(gift).state
        assert (state["currency"], state["minor_units"]) == ("USD", 700)
    finally:
        others.database.close()
