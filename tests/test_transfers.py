"""Transfers over HTTP: one resource, two legs that share a group, and nothing that parts them."""

import random
import re
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from test_accounts import balance, entries, exact, head_of, opened, problem
from ulid import ULID

from cashman import current, db
from cashman.index import create_app
from cashman.ledger import Books
from cashman.model.transaction import member_id
from cashman.model.transfer import TransferSchema
from cashman.verify import verify

SHOWN = {"Prefer": "return=representation"}
A_ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture(autouse=True)
def proved(books: Books) -> Iterator[None]:
    """After each scenario the books have to be what their journal says."""
    yield
    verify(books.database)


@pytest.fixture
def accounts(client: FlaskClient) -> dict[str, int]:
    """Accounts to move money between, by name."""
    opened(client, "savings")
    opened(client, "card")
    opened(client, "euros", currency="EUR")
    opened(client, "yen", currency="JPY")
    opened(client, "dinars", currency="KWD")
    return {row["name"]: row["id"] for row in client.get("/accounts").json}


def moved(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    """Record a transfer, and give it as it is shown."""
    document = {"from": "main", "to": "savings", "amount": 50} | fields
    answer = client.post("/transfers", json=document, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json
    return shown


def legs(client: FlaskClient, id_: str) -> list[dict[str, Any]]:
    """Both legs, what goes out first."""
    rows: list[dict[str, Any]] = client.get(f"/transactions?group={id_}").json
    return sorted(rows, key=lambda row: row["amount"])


# Making one.


def test_a_transfer_is_one_resource_and_two_movements(client: FlaskClient, accounts: Any) -> None:
    before = head_of(client)
    answer = client.post("/transfers", json={"from": "main", "to": "savings", "amount": "50.5", "date": "2026-01-02"})
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (204, b"", '"1"')
    id_ = answer.headers["Location"].removeprefix("/transfers/")
    shown = client.get(f"/transfers/{id_}")
    assert b'"amount":50.50,"currency":"USD","to_amount":50.50,"to_currency":"USD"' in shown.data
    created_at = shown.json["created_at"]
    assert shown.json == {
        "id": id_, "status": "posted", "description": "Transfer", "from": "main", "to": "savings", "amount": 50.5,
        "currency": "USD", "to_amount": 50.5, "to_currency": "USD", "date": "2026-01-02", "tags": [], "payee": None,
        "notes": None, "expires_at": None, "created_at": created_at, "version": 1,
    }  # fmt: skip
    out, into = legs(client, id_)
    assert [out[name] for name in ("id", "type", "account", "amount", "group")] == [id_, "TRANSFER", "main", -50.5, id_]
    assert [into[name] for name in ("type", "account", "amount", "group")] == ["TRANSFER", "savings", 50.5, id_]
    assert into["id"] != id_
    assert client.get("/transfers").json == [shown.json]
    assert [(entry["kind"], entry["entity_id"]) for entry in entries(client, before)] == [
        ("create", id_),
        ("create", into["id"]),
    ]


def test_a_transfer_is_neither_income_nor_expense(client: FlaskClient, accounts: Any) -> None:
    moved(client, date="2026-01-02")
    assert client.get("/incomes").json == client.get("/expenses").json == []
    assert client.get("/reports/summary?by=account").json == []
    assert client.get("/categories").json == []
    [month] = client.get("/reports/cashflow").json
    assert [month[name] for name in ("income", "expense", "transfers", "closing")] == [0, 0, 0, 0]
    assert (balance(client, "main")[0], balance(client, "savings")[0]) == (-50, 50)


def test_between_currencies_both_amounts_are_given(client: FlaskClient, accounts: Any) -> None:
    shown = moved(client, to="yen", amount="10.01", to_amount="1550", date="2026-01-02")
    assert [shown[name] for name in ("amount", "currency", "to_amount", "to_currency")] == [10.01, "USD", 1550, "JPY"]
    assert (balance(client, "main")[0], balance(client, "yen")[0]) == (Decimal("-10.01"), 1550)
    dollars, yen = sorted(client.get("/reports/cashflow").json, key=lambda row: row["currency"], reverse=True)
    assert (dollars["transfers"], yen["transfers"]) == (-10.01, 1550)
    assert moved(client, **{"from": "dinars", "to": "euros", "amount": "1.234", "to_amount": "3"})["amount"] == 1.234


NEAREST = "There is no account of this name; did you mean savings?"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(({"amount": amount}, "amount") for amount in (None, 0, -1, "", "1e3", 1.005, True, [], {}, 1e15, "٥")),
        *(({"to_amount": amount}, "to_amount") for amount in (None, 0, -50, 49.99, "50.01", "x", True, [], 50.001)),
        *(({"to": name}, "to") for name in (None, "", " ", "main", "nowhere", 5, [], True, "a\0", "\ud800", "a" * 101)),
        *(({"from": name}, "from") for name in (None, "", "nowhere", 5, [], "a\0", "\ud800", "a" * 101)),
        ({"to": "euros"}, "to_amount"),
        ({"to": "yen", "to_amount": 1.5}, "to_amount"),
        ({"to": "yen", "to_amount": -5}, "to_amount"),
        ({"from": "yen", "amount": 1.5, "to_amount": 1}, "amount"),
        ({"from": "yen", "to": "yen"}, "to"),
        *(({"date": day}, "date") for day in (None, "", "2026-02-30", 5, "2026-1-1", [])),
        *(({"description": words}, "description") for words in (None, "", " ", 5, "a\0", "a" * 501, [])),
        *(({"payee": words}, "payee") for words in ("", 5, "a\0", "a" * 201, [])),
        *(({"notes": words}, "notes") for words in ("", 5, "a\0", "a" * 5001)),
        *(({"tags": tags}, "tags") for tags in (None, "x", ["a", "a"], [""], [5], ["a" * 51], ["a"] * 21, {})),
        *(({"status": status}, "status") for status in (None, "", "void", "POSTED", 5, [])),
        *(({"id": id_}, "id") for id_ in (None, "", "x", 5, A_ULID.lower(), "8" + A_ULID[1:], A_ULID + "\n")),
        *(
            ({"status": "pending", "expires_in": seconds}, "expires_in")
            for seconds in (0, -1, 1.5, "60", True, None, 1e30, 10 * 366 * 86_400 + 1)
        ),
        *(
            ({"status": "pending", "expires_at": instant}, "expires_at")
            for instant in ("2020-01-01T00:00:00Z", "2030-01-01", "2030-01-01T00:00:00", 5, "", "9999-99-99T00:00:00Z")
        ),
        ({"expires_in": 60}, "expires_in"),
        ({"expires_at": "2036-01-01T00:00:00Z"}, "expires_at"),
        ({"currency": "USD"}, "currency"),
        ({"to_currency": "USD"}, "to_currency"),
        ({"category": "Food"}, "category"),
        ({"account": "main"}, "account"),
        ({"type": "TRANSFER"}, "type"),
        ({"group": A_ULID}, "group"),
        ({"lines": []}, "lines"),
        ({"version": 1}, "version"),
        ({"created_at": "2026-01-01T00:00:00Z"}, "created_at"),
    ],
)  # fmt: skip
def test_what_a_transfer_cannot_be_is_refused_by_field(
    client: FlaskClient, accounts: Any, fields: Any, field: str
) -> None:
    before = head_of(client)
    answer = client.post("/transfers", json={"from": "main", "to": "savings", "amount": 50} | fields)
    errors = problem(answer, 422, "invalid")["errors"]
    assert list(errors) == [field]
    assert head_of(client) == before


@pytest.mark.parametrize("document", ["null", "[]", '"x"', "5", "{}", '{"from": "main"}'])
def test_what_is_no_transfer_at_all_is_refused(client: FlaskClient, document: str) -> None:
    answer = client.post("/transfers", data=document, content_type="application/json")
    assert answer.status_code == 422
    answer = client.post("/transfers/", data="{", content_type="application/json")
    problem(answer, 400, "malformed-document")


def test_an_unknown_end_is_told_with_the_nearest_name(client: FlaskClient, accounts: Any) -> None:
    kept = moved(client)
    before = head_of(client)
    for field, other in (("from", "to"), ("to", "from")):
        answer = client.post("/transfers", json={field: "savngs", other: "main", "amount": 5})
        assert problem(answer, 422, "invalid")["errors"] == {field: [NEAREST]}
        answer = client.patch(f"/transfers/{kept['id']}", json={field: "savngs"})
        assert problem(answer, 422, "invalid")["errors"] == {field: [NEAREST]}
    assert head_of(client) == before


def test_no_leg_is_booked_where_the_other_cannot_be(client: FlaskClient, accounts: Any) -> None:
    client.patch(f"/accounts/{accounts['savings']}", json={"closed": True})
    before = head_of(client)
    for ends in ({"from": "main", "to": "savings"}, {"from": "savings", "to": "main"}):
        problem(client.post("/transfers", json={**ends, "amount": 5}), 409, "account-closed")
    assert head_of(client) == before
    assert client.get("/transactions").json == []


def test_a_transfer_is_made_at_its_own_route_only(client: FlaskClient, accounts: Any) -> None:
    body = {"type": "TRANSFER", "description": "x", "amount": 5}
    errors = problem(client.post("/transactions", json=body), 422, "invalid")["errors"]
    assert errors == {"type": ["A transfer is made at /transfers."]}
    assert problem(client.post("/transactions/batch", json=[body]), 422, "invalid")["errors"]["0"] == errors
    for route in ("incomes", "expenses"):
        assert list(problem(client.post(f"/{route}", json=body), 422, "invalid")["errors"]) == ["type"]


def test_an_amount_of_either_leg_that_would_pass_64_bits_is_refused(
    client: FlaskClient, accounts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cashman.batch.INT64_MAX", 10_000)
    before = head_of(client)
    for ends in ({"to": "savings", "amount": "50.01"}, {"to": "yen", "amount": 1, "to_amount": 10_001}):
        answer = client.post("/transfers", json={"from": "main", **ends})
        problem(answer, 422, "total-too-large")
    assert head_of(client) == before
    moved(client, amount=50)


# Repeating.


def test_an_id_makes_a_transfer_once(client: FlaskClient, accounts: Any) -> None:
    body = {"id": A_ULID, "from": "main", "to": "yen", "amount": 50, "to_amount": 7500}
    first = client.post("/transfers", json=body, headers=SHOWN)
    assert (first.status_code, first.json["id"]) == (201, A_ULID)
    before = head_of(client)
    again = client.post("/transfers", json={**body, "amount": "50.00", "to_amount": 7500.0}, headers=SHOWN)
    assert (again.status_code, again.data) == (201, first.data)
    for other in (
        {"amount": 51},
        {"to_amount": 7501},
        {"to": "euros"},
        {"from": "card"},
        {"from": "yen", "to": "main", "amount": 50, "to_amount": 7500},
        {"description": "x"},
        {"payee": "x"},
        {"tags": ["x"]},
        {"notes": "x"},
        {"date": "2020-01-01"},
        {"status": "pending"},
        {"status": "pending", "expires_in": 60},
    ):
        problem(client.post("/transfers", json={**body, **other}), 409, "id-taken")
    for route in ("incomes", "expenses"):
        problem(client.post(f"/{route}", json={"id": A_ULID, "description": "x", "amount": 50}), 409, "id-taken")
    assert head_of(client) == before


def test_an_id_that_an_expense_has_is_taken(client: FlaskClient, accounts: Any) -> None:
    client.post("/expenses", json={"id": A_ULID, "description": "x", "amount": 50})
    before = head_of(client)
    answer = client.post("/transfers", json={"id": A_ULID, "from": "main", "to": "savings", "amount": 50})
    problem(answer, 409, "id-taken")
    assert head_of(client) == before


def test_an_id_whose_second_leg_is_taken_is_taken(client: FlaskClient, accounts: Any) -> None:
    client.post("/expenses", json={"id": member_id(A_ULID, 1), "description": "x", "amount": 50})
    before = head_of(client)
    answer = client.post("/transfers", json={"id": A_ULID, "from": "main", "to": "savings", "amount": 50})
    problem(answer, 409, "id-taken")
    assert head_of(client) == before


def test_an_id_is_told_again_also_after_the_transfer_changed(client: FlaskClient, accounts: Any) -> None:
    body = {"id": A_ULID, "from": "main", "to": "savings", "amount": 50}
    first = client.post("/transfers", json=body, headers=SHOWN)
    client.patch(f"/transfers/{A_ULID}", json={"amount": 60, "to": "card"})
    assert client.post("/transfers", json=body, headers=SHOWN).data == first.data
    client.delete(f"/transfers/{A_ULID}")
    assert client.post("/transfers", json=body, headers=SHOWN).data == first.data
    problem(client.get(f"/transfers/{A_ULID}"), 404, "not-found")


def test_a_key_makes_a_transfer_once(client: FlaskClient, accounts: Any) -> None:
    headers = {**SHOWN, "Idempotency-Key": "k"}
    body = {"from": "main", "to": "savings", "amount": 50}
    first = client.post("/transfers", json=body, headers=headers)
    again = client.post("/transfers", json={**body, "amount": "50.00"}, headers=headers)
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")
    for other in ({"to": "card"}, {"from": "card"}, {"amount": 5}, {"payee": "x"}, {"description": "Transfer"}):
        problem(client.post("/transfers", json={**body, **other}, headers=headers), 422, "key-reused")
    problem(client.post("/transfers", json={**body, "to": "yen", "to_amount": 5}, headers=headers), 422, "key-reused")
    assert len(client.get("/transfers").json) == 1


# Changing.


@pytest.mark.parametrize(
    "values",
    [
        {"amount": 60},
        {"to_amount": 60, "amount": 60},
        {"amount": "70.50"},
        {"to": "card"},
        {"from": "card"},
        {"from": "savings", "to": "main"},
        {"to": "yen", "to_amount": 9000},
        {"from": "yen", "amount": 9000, "to_amount": 50},
        {"description": "rent"},
        {"payee": "Luigi", "notes": "n", "tags": ["a", "b"]},
        {"date": "2025-12-31"},
        {"status": "pending"},
    ],
)
def test_a_change_changes_what_is_named_in_both_legs_and_nothing_else(
    client: FlaskClient, accounts: Any, values: Any
) -> None:
    before = moved(client, payee="P", notes="N", tags=["t"])
    path = f"/transfers/{before['id']}"
    answer = client.patch(path, json=values, headers={"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text
    expected = {**before, **values, "version": 2}
    for name, other in (("amount", "currency"), ("to_amount", "to_currency")):
        expected[name] = float(expected[name])
        expected[other] = {"yen": "JPY"}.get(expected["from" if name == "amount" else "to"], "USD")
    if "to_amount" not in values:
        expected["to_amount"] = expected["amount"]
    assert answer.json == expected
    assert answer.headers["ETag"] == '"2"'
    assert client.get(path).json == expected
    out, into = legs(client, before["id"])
    assert (out["account"], into["account"]) == (expected["from"], expected["to"])
    assert (out["amount"], into["amount"]) == (-expected["amount"], expected["to_amount"])
    assert {out[name] == into[name] == expected[name] for name in ("description", "payee", "date", "status")} == {True}
    problem(client.patch(path, json={"payee": "Q"}, headers={"If-Match": '"1"'}), 412, "precondition-failed")
    assert client.get(path, headers={"If-None-Match": '"1"'}).status_code == 200


@pytest.mark.parametrize(
    "values", [{"to": "dinars", "to_amount": 5}, {"to_amount": 9}, {"to": "euros", "to_amount": 8}]
)
def test_a_change_of_what_comes_in_is_another_version_of_the_transfer(
    client: FlaskClient, accounts: Any, values: Any
) -> None:
    shown = moved(client, to="euros", to_amount=8.5)
    path = f"/transfers/{shown['id']}"
    old = client.get(path).headers["ETag"]
    new = client.patch(path, json=values).headers["ETag"]
    assert new != old
    seen = client.get(path, headers={"If-None-Match": old})
    assert seen.status_code == 200
    assert {name: seen.json[name] for name in values} == values
    problem(client.delete(path, headers={"If-Match": old}), 412, "precondition-failed")


def test_what_was_read_can_be_sent_back_as_it_was(client: FlaskClient, accounts: Any) -> None:
    shown = moved(client, to="yen", to_amount=9000, payee="P", notes="N", tags=["t"], status="pending", expires_in=999)
    path = f"/transfers/{shown['id']}"
    before = head_of(client)
    for method in (client.put, client.patch):
        answer = method(path, json=shown)
        assert (answer.status_code, answer.json) == (200, shown), answer.text
    assert head_of(client) == before
    answer = client.put(path, json={**shown, "payee": "Q"})
    assert (answer.status_code, answer.json) == (200, {**shown, "payee": "Q", "version": 2})


def test_put_takes_what_is_left_out_back_to_its_default(client: FlaskClient, accounts: Any) -> None:
    shown = moved(client, description="rent", payee="P", notes="N", tags=["t"])
    path = f"/transfers/{shown['id']}"
    answer = client.put(path, json={"from": "card", "to": "savings", "amount": 7, "date": "2026-01-01"})
    assert answer.status_code == 200, answer.text
    assert [answer.json[name] for name in ("description", "payee", "notes", "tags", "from", "amount", "to_amount")] == [
        "Transfer", None, None, [], "card", 7, 7,
    ]  # fmt: skip
    for left_out in ("from", "to", "amount", "date"):
        body = {"from": "card", "to": "savings", "amount": 7, "date": "2026-01-01"}
        del body[left_out]
        assert list(problem(client.put(path, json=body), 422, "invalid")["errors"]) == [left_out]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"to": "main"}, "to"),
        ({"from": "savings"}, "to"),
        ({"to_amount": 49}, "to_amount"),
        ({"amount": 49, "to_amount": 50}, "to_amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 0.001}, "amount"),
        ({"to": "yen"}, "to_amount"),
        ({"to": "yen", "to_amount": 0.5}, "to_amount"),
        ({"to": "yen", "to_amount": 0}, "to_amount"),
        ({"from": "yen", "to": "yen"}, "to"),
        ({"currency": "EUR"}, "currency"),
        ({"to_currency": "EUR"}, "to_currency"),
        ({"id": A_ULID}, "id"),
        ({"version": 9}, "version"),
        ({"created_at": "2020-01-01T00:00:00Z"}, "created_at"),
        ({"category": "Food"}, "category"),
        ({"account": "card"}, "account"),
        ({"type": "INCOME"}, "type"),
        ({"group": A_ULID}, "group"),
        ({"lines": []}, "lines"),
        ({"status": "void"}, "status"),
        ({"status": None}, "status"),
        ({"date": None}, "date"),
        ({"description": None}, "description"),
        ({"from": None}, "from"),
        ({"to": None}, "to"),
        ({"expires_at": "2036-01-01T00:00:00Z"}, "expires_at"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_field(
    client: FlaskClient, accounts: Any, values: Any, field: str
) -> None:
    shown = moved(client)
    before = head_of(client)
    answer = client.patch(f"/transfers/{shown['id']}", json=values)
    assert list(problem(answer, 422, "invalid")["errors"]) == [field]
    whole = {"from": "main", "to": "savings", "amount": 50, "date": shown["date"]}
    answer = client.put(f"/transfers/{shown['id']}", json={**whole, **values})
    assert field in problem(answer, 422, "invalid")["errors"]
    assert head_of(client) == before
    assert client.get(f"/transfers/{shown['id']}").json == shown


def test_an_amount_is_not_taken_over_into_another_currency(client: FlaskClient, accounts: Any) -> None:
    shown, foreign = moved(client), moved(client, to="yen", to_amount=9000)
    before = head_of(client)
    for id_, values, field in (
        (shown["id"], {"from": "yen", "to_amount": 50}, "amount"),
        (shown["id"], {"from": "yen"}, "amount"),
        (shown["id"], {"to": "yen"}, "to_amount"),
        (shown["id"], {"to": "yen", "amount": 60}, "to_amount"),
        (foreign["id"], {"to": "euros"}, "to_amount"),
        (foreign["id"], {"from": "euros"}, "amount"),
    ):
        answer = client.patch(f"/transfers/{id_}", json=values)
        assert list(problem(answer, 422, "invalid")["errors"]) == [field], values
    assert head_of(client) == before
    assert client.patch(f"/transfers/{foreign['id']}", json={"to": "savings"}).json["to_amount"] == 50


# The legs, at /transactions.


@pytest.mark.parametrize(
    "values", [{"amount": 60}, {"account": "card"}, {"category": "Food"}, {"account": "yen", "currency": "JPY"}]
)
def test_a_leg_alone_gets_neither_another_amount_nor_account_nor_category(
    client: FlaskClient, accounts: Any, values: Any
) -> None:
    shown = moved(client)
    before = head_of(client)
    for leg in legs(client, shown["id"]):
        answer = client.patch(f"/transactions/{leg['id']}", json=values)
        assert shown["id"] in problem(answer, 409, "grouped")["detail"]
        answer = client.put(f"/transactions/{leg['id']}", json={**leg, **values})
        problem(answer, 409, "grouped")
    assert head_of(client) == before
    assert client.get("/categories").json == []


@pytest.mark.parametrize("values", [{"type": "INCOME"}, {"group": None}, {"id": A_ULID}, {"version": 3}])
def test_a_leg_stays_what_it_is(client: FlaskClient, accounts: Any, values: Any) -> None:
    shown = moved(client)
    before = head_of(client)
    for leg in legs(client, shown["id"]):
        answer = client.patch(f"/transactions/{leg['id']}", json=values)
        assert list(problem(answer, 422, "invalid")["errors"]) == list(values)
    assert head_of(client) == before


def test_words_and_the_day_change_in_both_legs(client: FlaskClient, accounts: Any) -> None:
    shown = moved(client)
    for place in (0, 1):
        leg = legs(client, shown["id"])[place]
        values = {
            "description": f"rent {place}", "date": f"2026-01-0{place + 1}", "payee": f"P{place}",
            "tags": [f"t{place}"], "notes": f"n{place}",
        }  # fmt: skip
        answer = client.patch(f"/transactions/{leg['id']}", json=values)
        assert (answer.status_code, answer.json["id"]) == (200, leg["id"])
        for one in legs(client, shown["id"]):
            assert {name: one[name] for name in values} == values
            assert one["version"] == place + 2
    assert client.get("/tags").json == [{"tag": "t1"}]
    assert len(client.get("/transfers?q=rent").json) == 1


@pytest.mark.parametrize("place", [0, 1])
def test_expiry_set_on_one_leg_is_that_of_both(client: FlaskClient, accounts: Any, place: int) -> None:
    shown = moved(client, status="pending")
    leg = legs(client, shown["id"])[place]
    client.patch(f"/transactions/{leg['id']}", json={"expires_in": 60})
    instants = {one["expires_at"] for one in legs(client, shown["id"])}
    assert len(instants) == 1
    assert instants != {None}
    client.patch(f"/transactions/{leg['id']}", json={"status": "posted"})
    assert {(one["status"], one["expires_at"]) for one in legs(client, shown["id"])} == {("posted", None)}


@pytest.mark.parametrize("place", [0, 1, None])
def test_both_legs_go_and_come_back_together(client: FlaskClient, accounts: Any, place: int | None) -> None:
    shown = moved(client)
    both = legs(client, shown["id"])
    path = f"/transfers/{shown['id']}" if place is None else f"/transactions/{both[place]['id']}"
    before = head_of(client)
    assert client.delete(path).status_code == 204
    assert [entry["kind"] for entry in entries(client, before)] == ["void", "void"]
    assert client.get("/transactions").json == client.get("/transfers").json == []
    assert (balance(client, "main")[0], balance(client, "savings")[0]) == (0, 0)
    before = head_of(client)
    assert client.delete(path).status_code == 204
    assert head_of(client) == before
    problem(client.get(path), 404, "not-found")
    problem(client.patch(path, json={"payee": "x"}), 404, "not-found")
    assert client.post(path + "/restore").status_code == 200
    assert client.post(path + "/restore").status_code == 200
    assert [entry["kind"] for entry in entries(client, before)] == ["restore", "restore"]
    assert client.get(f"/transfers/{shown['id']}").json == {**shown, "version": 3}
    assert (balance(client, "main")[0], balance(client, "savings")[0]) == (-50, 50)


def test_only_the_leg_that_goes_out_names_the_transfer(client: FlaskClient, accounts: Any) -> None:
    shown = moved(client)
    paid = client.post("/expenses", json={"description": "x", "amount": 5}, headers=SHOWN).json
    before = head_of(client)
    for id_ in (legs(client, shown["id"])[1]["id"], paid["id"], str(ULID())):
        path = f"/transfers/{id_}"
        for answer in (
            client.get(path),
            client.get(path + "/history"),
            client.patch(path, json={"payee": "x"}),
            client.put(path, json={"from": "main", "to": "savings", "amount": 5, "date": "2026-01-01"}),
            client.delete(path),
            client.post(path + "/restore"),
            client.post(path + "/redact"),
        ):
            problem(answer, 404, "not-found")
    for route in ("incomes", "expenses"):
        problem(client.get(f"/{route}/{shown['id']}"), 404, "not-found")
        problem(client.delete(f"/{route}/{shown['id']}"), 404, "not-found")
    assert head_of(client) == before


@pytest.mark.parametrize("id_", ["x", "1", A_ULID.lower(), A_ULID + "0", "%00", "..", A_ULID[:-1] + "U"])
def test_what_is_no_id_is_not_found(client: FlaskClient, id_: str) -> None:
    assert client.get(f"/transfers/{id_}").status_code == 404


def test_closed_accounts_and_days_keep_both_legs(client: FlaskClient, accounts: Any) -> None:
    shown, voided = moved(client, date="2026-01-31"), moved(client, date="2026-01-31")
    later = moved(client, date="2026-02-01")
    client.delete(f"/transfers/{voided['id']}")
    into = legs(client, shown["id"])[1]["id"]

    def refused(slug: str) -> None:
        before = head_of(client)
        for answer in (
            client.patch(f"/transfers/{shown['id']}", json={"amount": 5}),
            client.patch(f"/transfers/{shown['id']}", json={"payee": "x"}),
            client.patch(f"/transfers/{shown['id']}", json={"date": "2026-03-01"}),
            client.patch(f"/transfers/{shown['id']}", json={"to": "card"}),
            client.patch(f"/transactions/{into}", json={"payee": "x"}),
            client.delete(f"/transfers/{shown['id']}"),
            client.delete(f"/transactions/{into}"),
            client.post(f"/transfers/{voided['id']}/restore"),
        ):
            problem(answer, 409, slug)
        assert head_of(client) == before

    client.patch("/ledger", json={"closed_until": "2026-01-31"})
    refused("books-closed")
    problem(client.patch(f"/transfers/{later['id']}", json={"date": "2026-01-31"}), 409, "books-closed")
    answer = client.post("/transfers", json={"from": "main", "to": "savings", "amount": 5, "date": "2026-01-01"})
    problem(answer, 409, "books-closed")
    assert client.patch(f"/transfers/{later['id']}", json={"date": "2026-02-02"}).status_code == 200
    client.patch("/ledger", json={"closed_until": None})
    client.patch(f"/accounts/{accounts['savings']}", json={"closed": True})
    refused("account-closed")
    assert client.post(f"/transfers/{shown['id']}/redact").status_code == 204


# Names that change.


def test_a_rename_of_an_end_changes_the_tag_and_what_is_shown(client: FlaskClient, accounts: Any) -> None:
    shown = moved(client)
    path = f"/transfers/{shown['id']}"
    old = client.get(path).headers["ETag"]
    client.patch(f"/accounts/{accounts['savings']}", json={"name": "reserve"})
    seen = client.get(path, headers={"If-None-Match": old})
    assert (seen.status_code, seen.json) == (200, {**shown, "to": "reserve"})
    assert seen.headers["ETag"] != old
    before = head_of(client)
    problem(client.patch(path, json={"amount": 5}, headers={"If-Match": old}), 412, "precondition-failed")
    assert head_of(client) == before
    answer = client.patch(path, json={"amount": 5}, headers={"If-Match": seen.headers["ETag"]})
    assert (answer.status_code, answer.json["to"]) == (200, "reserve")
    assert [row["id"] for row in client.get("/transfers?account=reserve").json] == [shown["id"]]
    problem(client.get("/transfers?account=savings"), 422, "invalid")


def test_a_currency_that_changed_elsewhere_is_not_guessed(
    client: FlaskClient, accounts: Any, database_url: str
) -> None:
    others = Books(db.connect(database_url))
    others.database.open()
    try:
        ledger = others.own_ledger()
        for before, after, body in (
            ("yen", "USD", {"amount": 5, "to_amount": 700}),
            ("card", "JPY", {"amount": 5}),
            ("savings", "EUR", {"amount": 5, "to_amount": 5}),
        ):
            ledger.chart()
            client.delete(f"/accounts/{accounts[before]}")
            opened(client, before, currency=after)
            head = head_of(client)
            made = TransferSchema(currency_of=ledger.currency_of).load({"from": "main", "to": before, **body})
            with pytest.raises(Exception) as raised:  # noqa: PT011  the class is compared below
                ledger.record(made)
            assert (type(raised.value).__name__, list(raised.value.errors)) == ("Invalid", ["to_amount"])
            assert head_of(client) == head
    finally:
        others.database.close()


def test_many_at_once_part_no_legs_and_meet_no_fault(
    client: FlaskClient, accounts: dict[str, int], database_url: str
) -> None:
    kept = [moved(client)["id"] for _ in range(3)]
    app = create_app({"CASHMAN_DATABASE_URL": database_url})
    statuses: list[int] = []

    def meddle(own: FlaskClient, seed: int) -> None:
        chance = random.Random(seed)
        for number in range(12):
            id_ = chance.choice(kept)
            names = [row["name"] for row in own.get("/accounts").json if row["currency"] == "USD"]
            one, two = chance.sample(names, 2)
            method, path, body = chance.choice(
                [
                    ("PATCH", f"/transfers/{id_}", {"amount": number + 1}),
                    ("PATCH", f"/transfers/{id_}", {"from": one, "to": two}),
                    ("DELETE", f"/transfers/{id_}", None),
                    ("POST", f"/transfers/{id_}/restore", None),
                    ("PATCH", f"/accounts/{accounts['card']}", {"name": f"card {seed} {number}"}),
                    ("POST", "/transfers", {"from": one, "to": two, "amount": number + 1}),
                    ("POST", "/accounts", {"name": f"pot {number}"}),
                ]
            )
            answer = own.open(path, method=method, json=body)
            statuses.append(answer.status_code)

    try:
        threads = [
            threading.Thread(target=meddle, args=(own.test_client(), seed))
            for seed, own in enumerate([client.application, app] * 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        current.books(app).database.close()
    assert len(statuses) == 48
    assert set(statuses) <= {200, 201, 204, 404, 409, 422}
    rows = exact(client.get("/transactions?limit=1000"))
    by_group: dict[str, list[Any]] = {}
    for row in rows:
        by_group.setdefault(row["group"], []).append(row)
    for pair in by_group.values():
        assert len(pair) == 2
        assert pair[0]["amount"] + pair[1]["amount"] == 0
        assert pair[0]["account"] != pair[1]["account"]
        assert pair[0]["version"] == pair[1]["version"]
    assert sum(row["balance"] for row in exact(client.get("/balances"))) == 0


# Lists.


def test_the_list_of_transfers_has_each_once_whichever_leg_is_asked_for(client: FlaskClient, accounts: Any) -> None:
    one = moved(client, date="2026-01-01", amount=1, tags=["a", "b"], payee="P")
    two = moved(client, **{"from": "savings", "to": "yen"}, date="2026-01-02", amount=2, to_amount=300, notes="playing")
    three = moved(client, **{"from": "yen", "to": "card"}, date="2026-01-03", amount=500, to_amount=3, status="pending")
    client.post("/expenses", json={"description": "play", "amount": 2, "tags": ["a"], "date": "2026-01-02"})

    def listed(query: str) -> Any:
        answer = client.get(f"/transfers?{query}")
        assert answer.status_code == 200, answer.text
        return answer.json

    assert listed("") == [three, two, one]
    assert listed("sort=date") == [one, two, three]
    assert listed("account=main") == [one]
    assert listed("account=savings") == [two, one]
    assert listed("account=yen") == [three, two]
    assert listed("from=2026-01-02&to=2026-01-02") == [two]
    assert listed("tag=a&tag=b") == listed("payee=P") == [one]
    assert listed("q=plays") == [two]
    assert listed("status=pending") == [three]
    assert listed("min_amount=2&max_amount=2") == [two]
    assert listed(f"group={three['id']}") == [three]
    assert listed("category=Food") == []
    first = client.get("/transfers?limit=2")
    link = first.headers["Link"].partition(">")[0].lstrip("<")
    assert first.json + client.get(link).json == [three, two, one]
    problem(client.get(link.replace("/transfers", "/transactions")), 422, "invalid")
    assert (
        client.get("/transfers", headers={"If-None-Match": client.get("/transfers").headers["ETag"]}).status_code == 304
    )


# History and redaction.


def test_the_history_tells_what_changed(client: FlaskClient, accounts: Any) -> None:
    shown = moved(client)
    path = f"/transfers/{shown['id']}"
    client.patch(path, json={"amount": 60})
    client.patch(path, json={"from": "card"})
    client.delete(path)
    history = client.get(path + "/history").json
    assert [revision["kind"] for revision in history] == ["create", "replace", "replace", "void"]
    assert history[1]["changes"] == {"amount": [50, 60], "to_amount": [50, 60]}
    assert history[2]["changes"] == {"from": ["main", "card"]}
    assert history[3]["changes"] == {"status": ["posted", "void"]}
    client.patch(f"/accounts/{accounts['card']}", json={"name": "plastic"})
    assert client.get(path + "/history").json[2]["changes"] == {"from": ["main", "plastic"]}


SECRET = "Xanthippe"
WORDS = {"description": f"{SECRET} rent", "payee": SECRET, "notes": f"owed by {SECRET}", "tags": [f"for {SECRET}"]}


@pytest.mark.parametrize("place", [0, 1, None])
def test_redaction_erases_the_words_of_both_legs(client: FlaskClient, accounts: Any, place: int | None) -> None:
    shown = moved(client, **WORDS)
    client.patch(f"/transfers/{shown['id']}", json={"notes": f"{SECRET} has paid"})
    both = legs(client, shown["id"])
    path = f"/transfers/{shown['id']}" if place is None else f"/transactions/{both[place]['id']}"
    assert len(client.get(f"/transactions?q={SECRET}").json) == 2
    before = head_of(client)
    assert client.post(path + "/redact").status_code == 204
    assert [entry["kind"] for entry in entries(client, before)] == ["redact", "redact"]
    for where in (
        f"/transactions?q={SECRET}",
        f"/transfers?q={SECRET}",
        f"/transactions?tag=for%20{SECRET}",
        f"/transfers?payee={SECRET}",
        "/tags",
    ):
        assert client.get(where).json == []
    for leg in both:
        for where in ("", "/history"):
            assert SECRET not in client.get(f"/transactions/{leg['id']}{where}").text
    seen = client.get(f"/transfers/{shown['id']}").json
    assert [seen[name] for name in ("description", "payee", "notes", "tags", "amount")] == [
        "[redacted]",
        None,
        None,
        [],
        50,
    ]
    assert SECRET not in client.get("/journal").text


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_redacted_word_is_in_no_file(
    client: FlaskClient, accounts: Any, books: Books, database_url: str, tmp_path: Path
) -> None:
    shown = moved(client, **WORDS)
    split = {"description": "receipt", "lines": [{"amount": 1, "description": SECRET, "tags": [SECRET]}, {"amount": 2}]}
    line = client.post("/expenses", json=split, headers=SHOWN).json[0]
    for number in range(20):
        client.post("/expenses", json={"description": f"filler {number}", "amount": 1})
    path = Path(database_url.removeprefix("sqlite:///"))
    found = re.compile(SECRET.encode()[:-1], re.IGNORECASE)  # the stem, as the index holds it

    def files() -> bytes:
        return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))

    def index() -> bytes:
        with_blocks = books.database.read(
            lambda connection: connection.execute(text("SELECT block FROM stems_data")).scalars().all()
        )
        contents = books.database.read(
            lambda connection: connection.execute(text("SELECT c0 FROM stems_content")).scalars().all()
        )
        return b"".join(with_blocks) + "\n".join(contents).encode()

    assert found.search(files())
    assert found.search(index())
    client.post(f"/transfers/{shown['id']}/redact")
    client.post(f"/expenses/{line['id']}/redact")
    assert not found.search(index())
    assert not found.search(files())
