"""What happened to a transaction: GET /transactions/{id}/history."""

from typing import Any

import pytest
from flask.testing import FlaskClient

SHOWN = {"Prefer": "return=representation"}
PIZZA = {
    "description": "pizza",
    "amount": 50,
    "date": "2026-11-20",
    "category": "Food:Restaurant",
    "tags": ["night out"],
    "payee": "Luigi",
}


def add(client: FlaskClient, **fields: Any) -> str:
    """Record an expense; returns its id."""
    return client.post("/expenses", json={**PIZZA, **fields}, headers=SHOWN).json["id"]


def history(client: FlaskClient, id_: str, resource: str = "expenses") -> Any:
    """Every revision."""
    answer = client.get(f"/{resource}/{id_}/history")
    assert answer.status_code == 200
    return answer.json


def test_every_revision_is_shown_with_time_actor_and_what_changed(client: FlaskClient) -> None:
    id_ = add(client)
    path = f"/expenses/{id_}"
    client.patch(path, json={"amount": 60, "payee": None})
    client.delete(path)
    client.post(path + "/restore")
    put = {"description": "two pizzas", "amount": 60, "date": "2026-11-21"}
    client.put(path, json=put)
    created, patched, voided, restored, replaced = history(client, id_)
    assert [(one["version"], one["kind"], one["actor"]) for one in (created, patched, voided, restored, replaced)] == [
        (1, "create", "owner"),
        (2, "replace", "owner"),
        (3, "void", "owner"),
        (4, "restore", "owner"),
        (5, "replace", "owner"),
    ]
    times = [one["recorded_at"] for one in (created, patched, voided, restored, replaced)]
    assert sorted(set(times)) == times
    assert created["changes"] == {
        "id": [None, id_],
        "type": [None, "EXPENSE"],
        "status": [None, "posted"],
        "description": [None, "pizza"],
        "amount": [None, -50.0],
        "currency": [None, "USD"],
        "date": [None, "2026-11-20"],
        "account": [None, "main"],
        "category": [None, "Food:Restaurant"],
        "tags": [None, ["night out"]],
        "payee": [None, "Luigi"],
        "created_at": [None, times[0]],
    }
    assert patched["changes"] == {"amount": [-50.0, -60.0], "payee": ["Luigi", None]}
    assert voided["changes"] == {"status": ["posted", "void"]}
    assert restored["changes"] == {"status": ["void", "posted"]}
    assert replaced["changes"] == {
        "description": ["pizza", "two pizzas"],
        "date": ["2026-11-20", "2026-11-21"],
        "category": ["Food:Restaurant", None],
        "tags": [["night out"], []],
    }


def test_amounts_keep_their_decimals(client: FlaskClient) -> None:
    id_ = add(client)
    client.post("/accounts", json={"name": "yen", "currency": "JPY"})
    client.patch(f"/expenses/{id_}", json={"account": "yen", "currency": "JPY"})
    text = client.get(f"/expenses/{id_}/history").text
    assert '"amount":[null,-50.00]' in text
    assert '"changes":{"currency":["USD","JPY"],"account":["main","yen"]}' in text  # -50.00 and -50 are one amount


def test_a_void_transaction_keeps_its_history(client: FlaskClient) -> None:
    id_ = add(client)
    client.delete(f"/expenses/{id_}")
    assert client.get(f"/expenses/{id_}").status_code == 404
    assert [one["kind"] for one in history(client, id_)] == ["create", "void"]


def test_a_change_that_changes_nothing_is_no_revision(client: FlaskClient) -> None:
    id_ = add(client)
    client.patch(f"/expenses/{id_}", json={"amount": 50})
    assert len(history(client, id_)) == 1


def test_the_history_is_found_under_its_type_and_under_all(client: FlaskClient) -> None:
    id_ = add(client)
    assert history(client, id_, "transactions") == history(client, id_)
    assert client.get(f"/incomes/{id_}/history").status_code == 404


@pytest.mark.parametrize("id_", ["01K0A1B2C3D4E5F6G7H8J9KMNP", "x"])
def test_what_never_was_has_no_history(client: FlaskClient, id_: str) -> None:
    assert client.get(f"/transactions/{id_}/history").status_code == 404


def test_erased_words_are_shown_as_erased_in_every_revision(client: FlaskClient) -> None:
    id_ = add(client)
    client.patch(f"/expenses/{id_}", json={"description": "margherita"})
    client.post(f"/expenses/{id_}/redact")
    client.patch(f"/expenses/{id_}", json={"description": "lunch"})
    created, patched, redacted, renamed = history(client, id_)
    assert (created["changes"]["description"], created["changes"]["tags"]) == ([None, "[redacted]"], [None, []])
    assert "payee" not in created["changes"]
    assert (patched["changes"], redacted["kind"], redacted["changes"]) == ({}, "redact", {})
    assert renamed["changes"] == {"description": ["[redacted]", "lunch"]}
