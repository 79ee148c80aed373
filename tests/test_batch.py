"""What one commit decides: at its limits, and where requests of the same batch meet."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from cashman import changes
from cashman.changes import Record
from cashman.chart_changes import DeleteAccount
from cashman.db import utc_now
from cashman.errors import AccountUsed, IdTaken, Invalid
from cashman.ledger import OWNERS_OWN, Books, Ledger
from cashman.model.expense import Expense
from cashman.model.income import Income
from cashman.model.transfer import TransferSchema
from cashman.verify import Tampered, verify

PIZZA = {"id": "01KAHBJ5V0000000000000P1ZZ", "description": "pizza", "amount": 5, "account": "yen"}


def opened(client: FlaskClient, name: str, currency: str) -> Any:
    answer = client.post("/accounts", json={"name": name, "currency": currency})
    assert answer.status_code == 201, answer.text
    return answer.json


def test_an_id_is_not_mistaken_where_its_account_has_another_name_and_its_name_another_account(
    client: FlaskClient,
) -> None:
    yen = opened(client, "yen", "JPY")
    assert client.post("/expenses", json=PIZZA).status_code == 204
    client.patch(f"/accounts/{yen['id']}", json={"name": "old yen"})
    opened(client, "yen", "USD")
    assert client.post("/expenses", json={**PIZZA, "amount": 5.25}).json["type"] == "/problems/id-taken"
    assert client.post("/expenses", json={**PIZZA, "currency": "USD"}).json["type"] == "/problems/id-taken"
    assert client.post("/expenses", json=PIZZA).status_code == 204  # as it was first asked for
    assert len(client.get("/expenses").json) == 1


def test_the_same_names_are_the_same_content_after_a_rename_and_other_names_are_not(client: FlaskClient) -> None:
    asked = {**PIZZA, "account": "main", "category": "Food"}
    first = client.post("/expenses", json=asked)
    client.post("/categories/rename", json={"from": "Food", "to": "Meals"})
    again = client.post("/expenses", json=asked)
    assert (again.status_code, again.headers["Location"]) == (204, first.headers["Location"])
    assert client.post("/expenses", json={**asked, "category": "Meals"}).status_code == 409


def test_an_id_that_was_made_here_is_compared_by_the_names_of_today(client: FlaskClient) -> None:
    shown = client.post(
        "/expenses", json={"description": "pizza", "amount": 5}, headers={"Prefer": "return=representation"}
    ).json
    same = {"id": shown["id"], "description": "pizza", "amount": 5}
    assert client.post("/expenses", json=same).status_code == 204
    assert client.post("/expenses", json={**same, "category": "Food"}).status_code == 409


def test_an_amount_without_a_currency_has_to_fit_the_accounts_own(client: FlaskClient, ledger: Ledger) -> None:
    opened(client, "yen", "JPY")
    with pytest.raises(Invalid) as refused:
        ledger.record(Income("found", Decimal("5.25"), account="yen"))
    assert list(refused.value.errors or {}) == ["amount"]
    assert ledger.record(Income("found", Decimal("5.00"), account="yen")).state["minor_units"] == 5


def test_two_lines_of_one_new_category_open_it_once(client: FlaskClient) -> None:
    lines = [{"amount": 1, "category": "Food"}, {"amount": 2, "category": "Food"}]
    assert client.post("/expenses", json={"description": "market", "lines": lines}).status_code == 204
    kinds = [entry["entry"] for entry in client.get("/journal").json]
    assert sum('"entity":"category"' in entry for entry in kinds) == 1


def test_a_ledger_has_so_many_categories_and_accounts_at_most(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cashman.batch.CATEGORIES_MAX", 1)
    monkeypatch.setattr("cashman.batch.ACCOUNTS_MAX", 2)
    spend = {"description": "pizza", "amount": 5}
    assert client.post("/expenses", json={**spend, "category": "Food"}).status_code == 204
    assert list(client.post("/expenses", json={**spend, "category": "Home"}).json["errors"]) == ["category"]
    assert client.post("/expenses", json={**spend, "category": "Food"}).status_code == 204
    opened(client, "second", "USD")
    assert list(client.post("/accounts", json={"name": "third"}).json["errors"]) == ["name"]


def test_an_account_that_the_same_batch_books_on_is_used(client: FlaskClient, books: Books, ledger: Ledger) -> None:
    card = opened(client, "card", "USD")
    book = Record(ledger.id, OWNERS_OWN, [[Expense("pizza", 5, account="card")]])
    _, refused = books._commit([book, DeleteAccount(ledger.id, OWNERS_OWN, card["id"], None)])
    assert isinstance(refused, AccountUsed)
    assert client.get(f"/accounts/{card['id']}").status_code == 200


def test_what_has_expired_is_all_of_it_void_however_much_it_is(
    client: FlaskClient, books: Books, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = utc_now() + dt.timedelta(hours=1)
    booked = ledger.record(*(Expense("held", 1, status="pending", expires_at=soon) for _ in range(1_300)))
    later = soon + dt.timedelta(seconds=1)
    for module in ("journal", "ledger", "listing"):
        monkeypatch.setattr(f"cashman.{module}.utc_now", lambda: later)
    last = booked.states[-1]["id"]
    answer = client.patch(f"/transactions/{last}", json={"status": "posted"})
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/expired")
    assert client.get("/transactions").json == []
    verify(books.database)


@pytest.mark.parametrize(("amounts", "fault"), [(("-5", "6"), "net zero"), (("-5",), "one leg")])
def test_verify_finds_legs_that_do_not_belong_together(
    client: FlaskClient,
    books: Books,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    amounts: tuple[str, ...],
    fault: str,
) -> None:
    opened(client, "savings", "USD")
    legs = TransferSchema().load({"from": "main", "to": "savings", "amount": "5"})
    monkeypatch.setattr(changes, "_check_legs", lambda batch, item: None)
    for leg, amount in zip(legs, amounts, strict=False):
        leg.minor_units = int(Decimal(amount) * 100)
    ledger.record(legs[: len(amounts)])
    with pytest.raises(Tampered, match=fault):
        verify(books.database)


def test_the_cash_flow_of_everything_shows_as_many_of_the_last_months_as_there_may_be(client: FlaskClient) -> None:
    for day in ("0001-01-01", "2026-11-20"):
        client.post("/incomes", json={"description": "found", "amount": 5, "date": day})
    lines = client.get("/reports/cashflow").json
    assert len(lines) == 1_200
    assert (lines[0]["opening"], lines[-1]["month"], lines[-1]["closing"]) == (5, "2026-11", 10)


def test_an_id_that_is_taken_says_so_to_python_too(ledger: Ledger) -> None:
    first = ledger.record(Expense("pizza", 5, id=PIZZA["id"]))
    assert ledger.record(Expense("pizza", 5, id=PIZZA["id"])).head == first.head
    with pytest.raises(IdTaken):
        ledger.record(Expense("pizza", 6, id=PIZZA["id"]))
