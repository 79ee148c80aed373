"""Split receipts over HTTP: one receipt over several categories, whose lines share a group."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from test_accounts import balance, entries, head_of, opened, problem

from cashman.ledger import Books
from cashman.model.transaction import member_id
from cashman.verify import verify

SHOWN = {"Prefer": "return=representation"}
A_ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
LINES = [
    {"amount": "12.50", "category": "Food:Groceries", "tags": ["weekly"]},
    {"amount": 7.25, "category": "Household", "description": "soap", "notes": "blue"},
    {"amount": 1},
]
RECEIPT = {"description": "supermarket", "payee": "Aldi", "date": "2026-01-02", "lines": LINES}


@pytest.fixture(autouse=True)
def proved(books: Books) -> Iterator[None]:
    """After each scenario the books have to be what their journal says."""
    yield
    verify(books.database)


def split(client: FlaskClient, route: str = "expenses", **fields: Any) -> list[dict[str, Any]]:
    """Record a receipt, and give its lines as they are shown."""
    answer = client.post(f"/{route}", json={**RECEIPT, **fields}, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    rows: list[dict[str, Any]] = answer.json
    return rows


def lines_of(client: FlaskClient, group: str) -> dict[str, dict[str, Any]]:
    """The lines that stand, by id."""
    return {row["id"]: row for row in client.get(f"/transactions?group={group}").json}


# Making one.


def test_a_receipt_is_booked_line_by_line_under_one_group(client: FlaskClient) -> None:
    before = head_of(client)
    answer = client.post("/expenses", json={**RECEIPT, "amount": "20.75"}, headers=SHOWN)
    assert answer.status_code == 201
    one, two, three = answer.json
    assert answer.headers["Location"] == f"/expenses/{one['id']}"
    assert {row["group"] for row in answer.json} == {one["id"]}
    assert {(row["payee"], row["date"], row["account"], row["status"]) for row in answer.json} == {
        ("Aldi", "2026-01-02", "main", "posted")
    }
    told = [[row[name] for name in ("amount", "category", "description", "tags", "notes")] for row in (one, two, three)]
    assert told == [
        [-12.5, "Food:Groceries", "supermarket", ["weekly"], None],
        [-7.25, "Household", "soap", [], "blue"],
        [-1, None, "supermarket", [], None],
    ]
    assert client.get(answer.headers["Location"]).json == one
    assert list(lines_of(client, one["id"]).values()) == sorted(answer.json, key=lambda row: row["id"], reverse=True)
    kinds = [entry["kind"] for entry in entries(client, before) if entry["entity"] == "transaction"]
    assert kinds == ["create"] * 3
    assert balance(client, "main")[0] == Decimal("-20.75")
    assert [row["expense"] for row in client.get("/categories").json] == [-12.5, -7.25]


def test_nothing_is_shown_where_it_is_not_asked_for(client: FlaskClient) -> None:
    answer = client.post("/expenses", json=RECEIPT)
    assert (answer.status_code, answer.data) == (204, b"")
    assert client.get(answer.headers["Location"]).json["amount"] == -12.5


@pytest.mark.parametrize(("route", "type_"), [("incomes", "INCOME"), ("transactions", "EXPENSE")])
def test_incomes_and_typed_transactions_split_too(client: FlaskClient, route: str, type_: str) -> None:
    rows = split(client, route, **({"type": type_} if route == "transactions" else {}))
    assert {row["type"] for row in rows} == {type_}
    assert [abs(row["amount"]) for row in rows] == [12.5, 7.25, 1]


def test_a_receipt_may_have_one_line_and_a_hundred(client: FlaskClient) -> None:
    [only] = split(client, lines=[{"amount": 5}])
    assert only["group"] == only["id"]
    rows = split(client, amount=1, lines=[{"amount": "0.01", "category": f"C:{number}"} for number in range(100)])
    assert len({row["id"] for row in rows}) == 100
    assert len(client.get("/categories").json) == 100


def test_a_line_is_in_the_currency_of_the_account(client: FlaskClient) -> None:
    opened(client, "dinars", currency="KWD")
    rows = split(client, account="dinars", lines=[{"amount": "1.234"}, {"amount": "0.001"}], amount="1.235")
    assert [(row["currency"], row["amount"]) for row in rows] == [("KWD", -1.234), ("KWD", -0.001)]
    opened(client, "yen", currency="JPY")
    before = head_of(client)
    answer = client.post("/expenses", json={**RECEIPT, "account": "yen"})
    assert sorted(problem(answer, 422, "invalid")["errors"]["lines"]) == ["0", "1"]
    answer = client.post("/expenses", json={**RECEIPT, "account": "yen", "currency": "USD"})
    assert list(problem(answer, 422, "invalid")["errors"]) == ["currency"]
    assert head_of(client) == before


def test_the_sum_of_a_hundred_lines_is_exact(client: FlaskClient) -> None:
    lines = [{"amount": "9999999999999.99"}] * 100
    before = head_of(client)
    answer = client.post("/expenses", json={**RECEIPT, "lines": lines, "amount": "999999999999998.99"})
    assert list(problem(answer, 422, "invalid")["errors"]) == ["amount"]
    assert head_of(client) == before
    assert len(split(client, lines=lines)) == 100
    assert balance(client, "main")[0] == Decimal("-999999999999999.00")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(({"lines": lines}, "lines") for lines in (None, [], {}, "x", 5, True, [{"amount": 1}] * 101)),
        *(({"lines": [line]}, "lines") for line in (None, [], {}, "x", 5, {"category": "Food"}, {"description": "x"})),
        *(
            ({"lines": [{"amount": 1}, {"amount": amount}]}, "lines")
            for amount in (None, 0, "", "1e3", 1.005, True, [], {}, 1e15, "٥", "9" * 41)
        ),
        *(
            ({"lines": [{"amount": 1, "category": path}]}, "lines")
            for path in ("", " ", ":", "a:", ":a", "a::b", "a: b", 5, [], "a\0", "\ud800", "a" * 201, "é" * 101)
        ),
        *(
            ({"lines": [{"amount": 1, "description": words}]}, "lines")
            for words in (None, "", " ", 5, "a\0", "a" * 501)
        ),
        *(({"lines": [{"amount": 1, "notes": words}]}, "lines") for words in ("", 5, "a\0", "a" * 5001)),
        *(
            ({"lines": [{"amount": 1, "tags": tags}]}, "lines")
            for tags in (None, "x", ["a", "a"], [""], [5], ["a" * 51], ["a"] * 21, {})
        ),
        *(
            ({"lines": [{"amount": 1, name: "x"}]}, "lines")
            for name in ("payee", "date", "account", "currency", "status", "id", "group", "type", "lines", "version")
        ),
        ({"amount": 20.74}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": "x"}, "amount"),
        ({"amount": "-20.76"}, "amount"),
        ({"category": "Food"}, "category"),
        ({"category": None}, "category"),
        ({"tags": ["x"]}, "tags"),
        ({"tags": []}, "tags"),
        ({"notes": "x"}, "notes"),
        ({"description": None}, "description"),
        ({"description": ""}, "description"),
        ({"payee": 5}, "payee"),
        ({"date": "2026-02-30"}, "date"),
        ({"currency": "EUR"}, "currency"),
        ({"currency": "x"}, "currency"),
        ({"account": "nowhere"}, "account"),
        ({"group": A_ULID}, "group"),
        ({"expires_in": 60}, "expires_in"),
        ({"status": "pending", "expires_in": 0}, "expires_in"),
        ({"status": "void"}, "status"),
    ],
)
def test_what_a_receipt_cannot_be_is_refused_by_field(client: FlaskClient, fields: Any, field: str) -> None:
    before = head_of(client)
    for route, more in (("expenses", {}), ("transactions", {"type": "EXPENSE"})):
        answer = client.post(f"/{route}", json={**RECEIPT, **more, **fields})
        assert field in problem(answer, 422, "invalid")["errors"]
        if field not in ("currency", "lines"):
            assert list(answer.json["errors"]) == [field]
    assert head_of(client) == before
    assert client.get("/transactions").json == []


def test_every_bad_line_is_told_by_its_place(client: FlaskClient) -> None:
    lines = [{"amount": 1}, {"amount": 0}, {"category": "x"}, {"amount": 1, "colour": "red"}, 5]
    answer = client.post("/expenses", json={**RECEIPT, "lines": lines})
    errors = problem(answer, 422, "invalid")["errors"]["lines"]
    assert {"2", "3", "4"} <= set(errors)
    assert "0" not in errors
    assert list(errors["2"]) == ["amount"]
    assert list(errors["3"]) == ["colour"]


def test_an_income_of_a_line_has_to_be_positive(client: FlaskClient) -> None:
    answer = client.post("/incomes", json={**RECEIPT, "lines": [{"amount": 1}, {"amount": -1}]})
    assert list(problem(answer, 422, "invalid")["errors"]["lines"]) == ["1"]


def test_no_line_is_booked_where_one_cannot_be(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cashman.batch.INT64_MAX", 2_000)
    before = head_of(client)
    problem(client.post("/expenses", json=RECEIPT), 422, "total-too-large")
    assert head_of(client) == before
    assert client.get("/transactions").json == []


def test_a_line_is_not_a_field_of_a_change(client: FlaskClient) -> None:
    rows = split(client)
    before = head_of(client)
    for values in ({"lines": LINES}, {"lines": []}):
        answer = client.patch(f"/expenses/{rows[0]['id']}", json=values)
        assert list(problem(answer, 422, "invalid")["errors"]) == ["lines"]
    assert head_of(client) == before


# Repeating.


@pytest.mark.parametrize(
    "other",
    [
        {"lines": LINES[:2]},
        {"lines": LINES[:1]},
        {"lines": [*LINES, {"amount": 1}]},
        {"lines": [LINES[1], LINES[0], LINES[2]]},
        {"lines": [*LINES[:2], {"amount": 2}]},
        {"lines": [*LINES[:2], {"amount": 1, "category": "New"}]},
        {"lines": [*LINES[:2], {"amount": 1, "tags": ["x"]}]},
        {"lines": [*LINES[:2], {"amount": 1, "description": "x"}]},
        {"payee": None},
        {"date": "2026-01-03"},
        {"description": "x"},
        {"status": "pending"},
    ],
)
def test_an_id_makes_a_receipt_once(client: FlaskClient, other: Any) -> None:
    first = client.post("/expenses", json={**RECEIPT, "id": A_ULID}, headers=SHOWN)
    assert first.json[0]["id"] == A_ULID
    before = head_of(client)
    for same in ({}, {"amount": "20.750"}):
        again = client.post("/expenses", json={**RECEIPT, "id": A_ULID, **same}, headers=SHOWN)
        assert (again.status_code, again.data) == (201, first.data)
    problem(client.post("/expenses", json={**RECEIPT, "id": A_ULID, **other}), 409, "id-taken")
    assert head_of(client) == before


def test_an_id_of_something_else_is_taken(client: FlaskClient) -> None:
    plain = {"description": "supermarket", "amount": "12.50", "id": A_ULID}
    client.post("/expenses", json=plain)
    rows = split(client)
    before = head_of(client)
    problem(client.post("/expenses", json={**RECEIPT, "id": A_ULID}), 409, "id-taken")
    problem(client.post("/incomes", json={**RECEIPT, "id": rows[0]["id"]}), 409, "id-taken")
    for row in rows:
        problem(client.post("/expenses", json={**plain, "id": row["id"]}), 409, "id-taken")
    problem(client.post("/expenses", json={**RECEIPT, "id": rows[1]["id"]}), 409, "id-taken")
    assert head_of(client) == before


def test_an_id_whose_second_line_is_taken_is_taken(client: FlaskClient) -> None:
    client.post("/expenses", json={"id": member_id(A_ULID, 2), "description": "x", "amount": 50})
    before = head_of(client)
    problem(client.post("/expenses", json={**RECEIPT, "id": A_ULID}), 409, "id-taken")
    assert head_of(client) == before


def test_a_key_makes_a_receipt_once(client: FlaskClient) -> None:
    headers = {**SHOWN, "Idempotency-Key": "k"}
    first = client.post("/expenses", json=RECEIPT, headers=headers)
    again = client.post("/expenses", json=RECEIPT, headers=headers)
    assert (again.status_code, again.data, again.headers["Idempotency-Replayed"]) == (201, first.data, "true")
    before = head_of(client)
    for other in (
        {"lines": LINES[:2]},
        {"lines": [*LINES[:2], {"amount": 2}]},
        {"payee": "Lidl"},
        {"lines": [LINES[1], LINES[0], LINES[2]]},
    ):
        problem(client.post("/expenses", json={**RECEIPT, **other}, headers=headers), 422, "key-reused")
    assert head_of(client) == before


# Changing.


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "values",
    [{"amount": -99}, {"category": "Other:New"}, {"description": "bread"}, {"tags": ["x"]}, {"notes": "n"}],
)
def test_what_is_a_lines_own_changes_that_line(client: FlaskClient, place: int, values: Any) -> None:
    rows = split(client)
    changed = rows[place]
    before = head_of(client)
    answer = client.patch(f"/expenses/{changed['id']}", json=values)
    assert (answer.status_code, answer.json) == (200, {**changed, **values, "version": 2}), answer.text
    assert sum(entry["entity"] == "transaction" for entry in entries(client, before)) == 1
    expected = {row["id"]: row for row in rows} | {changed["id"]: answer.json}
    assert lines_of(client, rows[0]["id"]) == expected


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize(
    "values",
    [
        {"date": "2025-12-31"},
        {"payee": "Lidl"},
        {"payee": None},
        {"account": "card"},
        {"status": "pending"},
        {"account": "euros", "currency": "EUR"},
    ],
)
def test_what_is_shared_changes_all_lines(client: FlaskClient, place: int, values: Any) -> None:
    opened(client, "card")
    opened(client, "euros", currency="EUR")
    rows = split(client)
    answer = client.patch(f"/expenses/{rows[place]['id']}", json=values)
    assert answer.status_code == 200, answer.text
    found = lines_of(client, rows[0]["id"])
    assert found == {row["id"]: {**row, **values, "version": 2} for row in rows}
    assert found[rows[place]["id"]] == answer.json


@pytest.mark.parametrize("place", [0, 1])
def test_all_lines_expire_at_one_instant(client: FlaskClient, place: int) -> None:
    rows = split(client, status="pending", expires_in=60)
    assert len({row["expires_at"] for row in rows}) == 1
    client.patch(f"/expenses/{rows[place]['id']}", json={"expires_in": 600})
    instants = {row["expires_at"] for row in lines_of(client, rows[0]["id"]).values()}
    assert len(instants) == 1
    assert instants != {rows[0]["expires_at"]}
    client.patch(f"/expenses/{rows[place]['id']}", json={"status": "posted"})
    assert {(row["status"], row["expires_at"]) for row in lines_of(client, rows[0]["id"]).values()} == {
        ("posted", None)
    }


def test_put_on_a_line_keeps_the_other_lines_amounts(client: FlaskClient) -> None:
    rows = split(client)
    body = {"description": "bread", "amount": 3, "date": "2026-02-01", "category": "Food"}
    answer = client.put(f"/expenses/{rows[1]['id']}", json=body)
    assert answer.status_code == 200, answer.text
    found = lines_of(client, rows[0]["id"])
    assert [found[row["id"]]["amount"] for row in rows] == [-12.5, -3, -1]
    assert [found[row["id"]]["description"] for row in rows] == ["supermarket", "bread", "supermarket"]
    assert {(row["date"], row["payee"]) for row in found.values()} == {("2026-02-01", None)}
    for row in found.values():
        before = head_of(client)
        assert client.put(f"/expenses/{row['id']}", json=row).json == row
        assert head_of(client) == before


def test_no_line_leaves_its_group(client: FlaskClient) -> None:
    opened(client, "euros", currency="EUR")
    rows = split(client)
    before = head_of(client)
    for values, field in (
        ({"group": None}, "group"),
        ({"group": rows[1]["id"]}, "group"),
        ({"type": "INCOME"}, "type"),
        ({"id": A_ULID}, "id"),
        ({"currency": "EUR"}, "currency"),
        ({"account": "euros"}, "currency"),
        ({"amount": 0}, "amount"),
    ):
        answer = client.patch(f"/expenses/{rows[1]['id']}", json=values)
        assert list(problem(answer, 422, "invalid")["errors"]) == [field]
    assert head_of(client) == before


@pytest.mark.parametrize("place", [0, 1, 2])
def test_all_lines_go_and_come_back_together(client: FlaskClient, place: int) -> None:
    rows = split(client)
    path = f"/expenses/{rows[place]['id']}"
    before = head_of(client)
    assert client.delete(path, headers={"If-Match": '"1"'}).status_code == 204
    assert [entry["kind"] for entry in entries(client, before)] == ["void"] * 3
    assert client.get("/transactions").json == client.get("/categories").json == client.get("/tags").json == []
    assert balance(client, "main")[0] == 0
    assert client.delete(path).status_code == 204
    problem(client.patch(path, json={"notes": "x"}), 404, "not-found")
    assert client.post(path + "/restore").json == {**rows[place], "version": 3}
    assert lines_of(client, rows[0]["id"]) == {row["id"]: {**row, "version": 3} for row in rows}
    assert balance(client, "main")[0] == Decimal("-20.75")


def test_a_condition_is_that_of_the_line(client: FlaskClient) -> None:
    rows = split(client)
    client.patch(f"/expenses/{rows[0]['id']}", json={"notes": "x"})
    for row, old, new in ((rows[0], '"1"', '"2"'), (rows[1], '"2"', '"1"')):
        answer = client.patch(f"/expenses/{row['id']}", json={"notes": "y"}, headers={"If-Match": old})
        problem(answer, 412, "precondition-failed")
        assert client.get(f"/expenses/{row['id']}", headers={"If-None-Match": new}).status_code == 304


def test_closed_days_keep_all_lines(client: FlaskClient) -> None:
    rows, later, voided = split(client), split(client, date="2026-02-01"), split(client)
    client.delete(f"/expenses/{voided[1]['id']}")
    client.patch("/ledger", json={"closed_until": "2026-01-31"})
    before = head_of(client)
    for answer in (
        client.post("/expenses", json=RECEIPT),
        client.patch(f"/expenses/{rows[2]['id']}", json={"notes": "x"}),
        client.patch(f"/expenses/{rows[2]['id']}", json={"date": "2026-02-01"}),
        client.patch(f"/expenses/{later[2]['id']}", json={"date": "2026-01-31"}),
        client.delete(f"/expenses/{rows[0]['id']}"),
        client.post(f"/expenses/{voided[2]['id']}/restore"),
    ):
        problem(answer, 409, "books-closed")
    assert head_of(client) == before


def test_a_receipts_categories_can_be_renamed_and_merged(client: FlaskClient) -> None:
    rows = split(client)
    tag = client.get(f"/expenses/{rows[0]['id']}").headers["ETag"]
    client.post("/categories/merge", json={"from": "Household", "to": "Food:Groceries"})
    assert [row["expense"] for row in client.get("/categories").json] == [-19.75]
    assert len(client.get("/expenses?category=Food").json) == 2
    assert client.get(f"/expenses/{rows[0]['id']}", headers={"If-None-Match": tag}).status_code == 200


def test_the_history_is_that_of_the_line(client: FlaskClient) -> None:
    rows = split(client)
    client.patch(f"/expenses/{rows[0]['id']}", json={"notes": "x", "payee": "Lidl"})
    histories = [client.get(f"/expenses/{row['id']}/history").json for row in rows]
    assert histories[0][1]["changes"] == {"notes": [None, "x"], "payee": ["Aldi", "Lidl"]}
    assert histories[1][1]["changes"] == {"payee": ["Aldi", "Lidl"]}


def test_redaction_is_of_one_line(client: FlaskClient) -> None:
    rows = split(client, lines=[{"amount": 1, "description": "Xanthippe", "tags": ["Xanthippe"]}, {"amount": 2}])
    assert len(client.get("/expenses?q=xanthippe").json) == 1
    assert client.post(f"/expenses/{rows[0]['id']}/redact").status_code == 204
    assert client.get("/expenses?q=xanthippe").json == client.get("/tags").json == []
    assert client.get("/expenses?tag=Xanthippe").json == []
    found = lines_of(client, rows[0]["id"])
    assert found[rows[1]["id"]] == rows[1]
    assert (found[rows[0]["id"]]["description"], found[rows[0]["id"]]["payee"]) == ("[redacted]", None)
    assert "Xanthippe" not in client.get("/journal").text


# In a batch.


def test_a_batch_books_receipts_among_others(client: FlaskClient) -> None:
    plain = {"type": "INCOME", "description": "gift", "amount": 5}
    body = [plain, {"type": "EXPENSE", **RECEIPT}, plain]
    answer = client.post("/transactions/batch", json=body, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    assert [row["amount"] for row in answer.json] == [5, -12.5, -7.25, -1, 5]
    assert [row["group"] for row in answer.json] == [None, *[answer.json[1]["id"]] * 3, None]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"lines": [{"amount": 1}, {"amount": 0}]}, {"lines": {"1": {"amount": None}}}),
        ({"lines": [{"amount": 1}, {}]}, {"lines": {"1": {"amount": None}}}),
        ({"lines": []}, {"lines": None}),
        ({"amount": 1}, {"amount": None}),
        ({"account": "nowhere"}, {"account": None}),
        ({"date": "2025-01-01"}, {"date": None}),
        ({"id": "01ARZ3NDEKTSV4RRFFQ69G5FAW"}, {"id": None}),
    ],
)
def test_one_bad_receipt_refuses_the_batch(client: FlaskClient, bad: Any, error: Any) -> None:
    client.patch("/ledger", json={"closed_until": "2025-01-01"})
    client.post("/expenses", json={"id": "01ARZ3NDEKTSV4RRFFQ69G5FAW", "description": "x", "amount": 1})
    good = {"type": "EXPENSE", **RECEIPT}
    before = head_of(client)
    answer = client.post("/transactions/batch", json=[good, {**good, **bad}, good])
    errors = problem(answer, 422, "invalid")["errors"]

    def names(of: Any) -> Any:
        return {name: names(inner) for name, inner in of.items()} if isinstance(of, dict) else None

    assert names(errors) == {"1": error}
    assert head_of(client) == before
    assert len(client.get("/transactions").json) == 1
    assert client.get("/categories").json == []


def test_a_receipt_twice_in_a_batch_is_booked_once(client: FlaskClient) -> None:
    good = {"type": "EXPENSE", **RECEIPT, "id": A_ULID}
    answer = client.post("/transactions/batch", json=[good, good], headers=SHOWN)
    assert answer.status_code == 201, answer.text
    assert len(answer.json) == 6
    assert len(client.get("/transactions").json) == 3
    before = head_of(client)
    answer = client.post("/transactions/batch", json=[good, {**good, "lines": LINES[:2]}])
    assert list(problem(answer, 422, "invalid")["errors"]["1"]) == ["id"]
    assert head_of(client) == before


def test_a_batch_counts_every_line(client: FlaskClient) -> None:
    receipt = {"type": "EXPENSE", "description": "x", "lines": [{"amount": 1}] * 100}
    before = head_of(client)
    problem(client.post("/transactions/batch", json=[receipt] * 101), 422, "invalid")
    lines = "\n".join([json.dumps(receipt)] * 101)
    answer = client.post("/transactions/batch", data=lines, content_type="application/x-ndjson")
    problem(answer, 422, "invalid")
    assert head_of(client) == before
