"""The ledger over HTTP: what it is, and its closed days, which no write touches."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from test_accounts import balance, entries, head_of, opened, problem

from cashman import current
from cashman.index import create_app
from cashman.ledger import Books
from cashman.verify import verify

SHOWN = {"Prefer": "return=representation"}
CLOSED, OPEN = "2026-01-31", "2026-02-01"
PIZZA = {"description": "pizza", "amount": 50}


@pytest.fixture(autouse=True)
def proved(books: Books) -> Iterator[None]:
    """After each scenario the books have to be what their journal says."""
    yield
    verify(books.database)


def spent(client: FlaskClient, date: str, **fields: Any) -> Any:
    """Record an expense, and give it as it is shown."""
    answer = client.post("/expenses", json={**PIZZA, "date": date, **fields}, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    return answer.json


def close(client: FlaskClient, until: str | None = CLOSED) -> None:
    """Close the books until a day."""
    answer = client.patch("/ledger", json={"closed_until": until})
    assert (answer.status_code, answer.json["closed_until"]) == (200, until), answer.text


def test_the_ledger_says_what_it_is(client: FlaskClient, books: Books) -> None:
    answer = client.get("/ledger")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert list(answer.json) == ["id", "currency", "closed_until", "created_at"]
    assert (answer.json["currency"], answer.json["closed_until"]) == ("USD", None)
    assert dt.datetime.fromisoformat(answer.json["created_at"]).tzinfo == dt.UTC
    assert answer.json["id"] == books.own_ledger().chart()[0].ulid
    assert answer.headers["Cashman-Head"] == head_of(client)
    assert client.get("/ledger", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_closing_is_one_entry_and_is_shown(client: FlaskClient) -> None:
    before, tag = head_of(client), client.get("/ledger").headers["ETag"]
    answer = client.patch("/ledger", json={"closed_until": CLOSED})
    assert (answer.status_code, answer.json["closed_until"]) == (200, CLOSED)
    [entry] = entries(client, before)
    assert (entry["kind"], entry["entity"], entry["figures"]) == ("close", "ledger", {"closed_until": CLOSED})
    assert entry["actor"] == "owner"
    assert answer.headers["Cashman-Head"] == head_of(client)
    assert client.get("/ledger", headers={"If-None-Match": tag}).json == answer.json


def test_closing_again_until_the_same_day_is_not_recorded(client: FlaskClient) -> None:
    close(client, None)
    assert head_of(client).startswith("2:")
    close(client)
    before = head_of(client)
    close(client)
    assert head_of(client) == before


def test_the_day_moves_both_ways_and_each_move_is_recorded(client: FlaskClient) -> None:
    before = head_of(client)
    days = ["2026-01-31", "2026-12-31", "2025-12-31", None, "0001-01-01", "9999-12-31"]
    for day in days:
        close(client, day)
    assert [entry["figures"]["closed_until"] for entry in entries(client, before)] == days


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "closed_until"),
        *(
            ({"closed_until": day}, "closed_until")
            for day in (
                "",
                "2026-02-30",
                "2026-1-1",
                "20260101",
                20260101,
                True,
                [],
                {},
                "2026-01-01T00:00:00Z",
                "٢٠٢٦",
            )
        ),
        ({"closed_until": CLOSED, "currency": "EUR"}, "currency"),
        ({"closed_until": CLOSED, "id": "x"}, "id"),
        ({"closed_until": CLOSED, "created_at": None}, "created_at"),
    ],
)
def test_what_cannot_be_of_a_ledger_is_refused_by_field(client: FlaskClient, document: Any, field: str) -> None:
    before = head_of(client)
    answer = client.patch("/ledger", json=document)
    assert list(problem(answer, 422, "invalid")["errors"]) == [field]
    assert head_of(client) == before


def test_what_is_no_change_of_a_ledger_is_refused(client: FlaskClient) -> None:
    before = head_of(client)
    for text in ("null", "[]", "5", '"2026-01-31"'):
        problem(client.patch("/ledger", data=text, content_type="application/json"), 422, "invalid")
    problem(client.patch("/ledger", data="{", content_type="application/json"), 400, "malformed-document")
    for method in (client.put, client.post, client.delete):
        problem(method("/ledger", json={"closed_until": CLOSED}), 405, "method-not-allowed")
    assert list(problem(client.get("/ledger?as_of=2026-01-01"), 422, "invalid")["errors"]) == ["as_of"]
    assert head_of(client) == before


def test_a_closed_day_takes_nothing_and_gives_nothing_away(client: FlaskClient) -> None:
    settled, later = spent(client, CLOSED), spent(client, OPEN)
    voided = spent(client, CLOSED)
    client.delete(f"/expenses/{voided['id']}")
    close(client)
    before, shown = head_of(client), client.get("/transactions").json
    path = f"/expenses/{settled['id']}"
    refused = (
        client.post("/expenses", json={**PIZZA, "date": CLOSED}),
        client.post("/incomes", json={**PIZZA, "date": "0001-01-01"}),
        client.post("/expenses", json={**PIZZA, "date": CLOSED, "status": "pending"}),
        client.patch(path, json={"amount": 60}),
        client.patch(path, json={"notes": "x"}),
        client.patch(path, json={"date": OPEN}),
        client.put(path, json={**PIZZA, "date": OPEN}),
        client.patch(f"/expenses/{later['id']}", json={"date": CLOSED}),
        client.put(f"/expenses/{later['id']}", json={**PIZZA, "date": "2020-01-01"}),
        client.delete(path),
        client.post(f"/expenses/{voided['id']}/restore"),
    )
    for answer in refused:
        assert CLOSED in problem(answer, 409, "books-closed")["detail"]
    assert head_of(client) == before
    assert client.get("/transactions").json == shown


def test_the_day_after_is_open(client: FlaskClient) -> None:
    close(client)
    paid = spent(client, OPEN)
    path = f"/expenses/{paid['id']}"
    assert client.patch(path, json={"amount": 60}).status_code == 200
    assert client.delete(path).status_code == 204
    assert client.post(path + "/restore").status_code == 200


def test_what_changes_nothing_is_no_write_to_a_closed_day(client: FlaskClient) -> None:
    settled, voided = spent(client, CLOSED), spent(client, CLOSED)
    client.delete(f"/expenses/{voided['id']}")
    close(client)
    before = head_of(client)
    assert client.patch(f"/expenses/{settled['id']}", json={"amount": -50}).status_code == 200
    assert client.delete(f"/expenses/{voided['id']}").status_code == 204
    assert client.post(f"/expenses/{settled['id']}/restore").status_code == 200
    assert head_of(client) == before


def test_words_can_be_erased_in_closed_days(client: FlaskClient) -> None:
    settled = spent(client, CLOSED, payee="Xanthippe")
    close(client)
    assert client.post(f"/expenses/{settled['id']}/redact").status_code == 204
    assert "Xanthippe" not in client.get("/journal").text


def test_one_closed_day_refuses_a_whole_batch(client: FlaskClient) -> None:
    close(client)
    before = head_of(client)
    batch = [{"type": "EXPENSE", **PIZZA, "date": date} for date in (OPEN, CLOSED, OPEN)]
    errors = problem(client.post("/transactions/batch", json=batch), 422, "invalid")["errors"]
    assert {place: list(rules) for place, rules in errors.items()} == {"1": ["date"]}
    assert head_of(client) == before
    assert client.get("/transactions").json == []


def test_opening_balances_of_closed_days_stay(client: FlaskClient) -> None:
    card = opened(client, opening_balance=5, opening_date=CLOSED)
    later = opened(client, "later", opening_balance=5, opening_date=OPEN)
    close(client)
    before = head_of(client)
    path = f"/accounts/{card['id']}"
    for answer in (
        client.post("/accounts", json={"name": "x", "opening_balance": 5, "opening_date": CLOSED}),
        client.patch(path, json={"opening_balance": 6}),
        client.patch(path, json={"opening_balance": 0}),
        client.patch(path, json={"opening_date": OPEN}),
        client.patch(f"/accounts/{later['id']}", json={"opening_date": CLOSED}),
        client.delete(path),
    ):
        problem(answer, 409, "books-closed")
    assert head_of(client) == before
    assert client.patch(path, json={"name": "purse", "kind": "cash"}).status_code == 200
    assert client.patch(path, json={"closed": True}).status_code == 200
    assert client.patch(f"/accounts/{later['id']}", json={"opening_balance": 7}).status_code == 200
    assert client.delete(f"/accounts/{later['id']}").status_code == 204
    assert balance(client, "purse", CLOSED) == (5, 5)


def test_a_repeated_post_is_answered_also_after_its_day_was_closed(client: FlaskClient) -> None:
    body = {**PIZZA, "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "date": CLOSED}
    headers = {**SHOWN, "Idempotency-Key": "k"}
    by_id = client.post("/expenses", json=body, headers=SHOWN)
    by_key = client.post("/incomes", json={**PIZZA, "date": CLOSED}, headers=headers)
    close(client)
    assert client.post("/expenses", json=body, headers=SHOWN).data == by_id.data
    assert client.post("/incomes", json={**PIZZA, "date": CLOSED}, headers=headers).data == by_key.data


def test_a_key_closes_once(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = client.patch("/ledger", json={"closed_until": CLOSED}, headers=headers)
    close(client, None)
    again = client.patch("/ledger", json={"closed_until": CLOSED}, headers=headers)
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")
    assert client.get("/ledger").json["closed_until"] is None
    problem(client.patch("/ledger", json={"closed_until": OPEN}, headers=headers), 422, "key-reused")
    minimal = client.patch("/ledger", json={"closed_until": OPEN}, headers={"Prefer": "return=minimal"})
    assert (minimal.status_code, minimal.data) == (204, b"")


def test_a_merge_patch_is_taken(client: FlaskClient) -> None:
    body = '{"closed_until": "2026-01-31"}'
    assert client.patch("/ledger", data=body, content_type="application/merge-patch+json").status_code == 200
    problem(client.patch("/ledger", data=body, content_type="text/plain"), 415, "unsupported-media-type")


def test_days_closed_in_one_service_are_closed_in_the_other_at_once(client: FlaskClient, database_url: str) -> None:
    app = create_app({"CASHMAN_DATABASE_URL": database_url})
    try:
        other = app.test_client()
        paid = spent(other, CLOSED)
        close(client)
        problem(other.post("/expenses", json={**PIZZA, "date": CLOSED}), 409, "books-closed")
        problem(other.delete(f"/expenses/{paid['id']}"), 409, "books-closed")
        assert other.get("/ledger").json["closed_until"] == CLOSED
        close(other, None)
        spent(client, CLOSED)
    finally:
        current.books(app).database.close()
