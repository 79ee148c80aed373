"""Categories and tags over HTTP: what there is, and how a category gets another path, or becomes one with another."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from test_accounts import entries, head_of, opened, problem

from cashman import current
from cashman.index import create_app
from cashman.ledger import Books
from cashman.verify import verify

SHOWN = {"Prefer": "return=representation"}


@pytest.fixture(autouse=True)
def proved(books: Books) -> Iterator[None]:
    """After each scenario the books have to be what their journal says."""
    yield
    verify(books.database)


def spent(client: FlaskClient, category: str | None, amount: Any = 1, route: str = "expenses", **fields: Any) -> Any:
    """Record one, and give it as it is shown."""
    document = {"description": "x", "amount": amount, "category": category, "date": "2026-01-02", **fields}
    answer = client.post(f"/{route}", json=document, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    return answer.json


def moved(client: FlaskClient, source: str, sink: str, how: str = "rename") -> Any:
    """Rename or merge, which has to work."""
    answer = client.post(f"/categories/{how}", json={"from": source, "to": sink})
    assert (answer.status_code, answer.json) == (200, {"from": source, "to": sink}), answer.text
    assert answer.headers["Cashman-Head"] == head_of(client)
    return answer


def paths(client: FlaskClient) -> list[str]:
    """The categories, by path."""
    return [row["category"] for row in client.get("/categories").json]


# Listing.


def test_a_new_ledger_has_no_categories_and_no_tags(client: FlaskClient) -> None:
    for route in ("/categories", "/tags", "/categories/", "/tags/"):
        answer = client.get(route)
        assert (answer.status_code, answer.json) == (200, [])
        assert answer.headers["Cashman-Head"] == head_of(client)


def test_categories_are_listed_by_path_and_currency_with_what_they_come_to(client: FlaskClient) -> None:
    opened(client, "dinars", currency="KWD")
    spent(client, "Food:Coffee", "3.50")
    spent(client, "Food:Coffee", "1.234", account="dinars")
    spent(client, "Food", 10, "incomes")
    spent(client, "Food", 4)
    spent(client, None, 99)
    spent(client, "zoo", 5, status="pending")
    answer = client.get("/categories")
    assert b'"category":"Food:Coffee","currency":"KWD","income":0.000,"expense":-1.234' in answer.data
    assert answer.json == [
        {"category": "Food", "currency": "USD", "income": 10, "expense": -4, "net": 6, "count": 2},
        {"category": "Food:Coffee", "currency": "KWD", "income": 0, "expense": -1.234, "net": -1.234, "count": 1},
        {"category": "Food:Coffee", "currency": "USD", "income": 0, "expense": -3.5, "net": -3.5, "count": 1},
    ]


def test_a_category_without_a_standing_transaction_is_not_listed(client: FlaskClient) -> None:
    paid = spent(client, "Food")
    assert paths(client) == ["Food"]
    client.delete(f"/expenses/{paid['id']}")
    assert paths(client) == []
    client.post(f"/expenses/{paid['id']}/restore")
    assert paths(client) == ["Food"]
    client.patch(f"/expenses/{paid['id']}", json={"category": None})
    assert paths(client) == []


def test_tags_are_those_in_use_in_order(client: FlaskClient) -> None:
    one = spent(client, None, tags=["b", "a", "\N{SNOWMAN}"])
    spent(client, None, tags=["b", "B", "a b"], date="2025-01-01")
    spent(client, None, tags=["later"], status="pending")
    assert [row["tag"] for row in client.get("/tags").json] == ["B", "a", "a b", "b", "later", "\N{SNOWMAN}"]
    client.delete(f"/expenses/{one['id']}")
    assert [row["tag"] for row in client.get("/tags").json] == ["B", "a b", "b", "later"]
    client.patch(f"/expenses/{spent(client, None, tags=['gone'])['id']}", json={"tags": None})
    assert {"tag": "gone"} not in client.get("/tags").json


def test_a_list_that_is_unchanged_is_not_sent_again(client: FlaskClient) -> None:
    spent(client, "Food", tags=["a"])
    for route in ("/categories", "/tags"):
        tag = client.get(route).headers["ETag"]
        assert tag.startswith("W/")
        assert client.get(route, headers={"If-None-Match": tag}).status_code == 304
        spent(client, "Food")
        assert client.get(route, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("route", ["/categories", "/tags"])
def test_the_lists_take_no_parameters_and_no_writes(client: FlaskClient, route: str) -> None:
    assert list(problem(client.get(f"{route}?limit=1"), 422, "invalid")["errors"]) == ["limit"]
    problem(client.post(route, json={}), 405, "method-not-allowed")
    problem(client.delete(route), 405, "method-not-allowed")


# Renaming.


def test_a_rename_takes_along_what_is_below_as_one_entry(client: FlaskClient) -> None:
    made = [spent(client, path) for path in ("Food", "Food:Coffee", "Food:Coffee:Beans", "Foodstuff", "Pet:Food")]
    tags = [client.get(f"/expenses/{row['id']}").headers["ETag"] for row in made]
    listed = client.get("/expenses").headers["ETag"]
    before = head_of(client)
    moved(client, "Food", "Meals:Out")
    [entry] = entries(client, before)
    assert (entry["kind"], entry["entity"]) == ("rename", "ledger")
    assert entry["figures"] == {"from": "Food", "to": "Meals:Out"}
    renamed = ["Meals:Out", "Meals:Out:Coffee", "Meals:Out:Coffee:Beans", "Foodstuff", "Pet:Food"]
    assert paths(client) == sorted(renamed)
    for row, tag, path in zip(made, tags, renamed, strict=True):
        seen = client.get(f"/expenses/{row['id']}", headers={"If-None-Match": tag})
        assert (seen.status_code, seen.json) == (200, {**row, "category": path})
        problem(client.delete(f"/expenses/{row['id']}", headers={"If-Match": tag}), 412, "precondition-failed")
        again = client.get(f"/expenses/{row['id']}", headers={"If-None-Match": seen.headers["ETag"]})
        assert again.status_code == 304
    assert client.get("/expenses", headers={"If-None-Match": listed}).status_code == 200
    assert len(client.get("/expenses?category=Meals").json) == 3
    assert client.get("/expenses?category=Food").json == []
    summary = client.get("/reports/summary?by=category&depth=1").json
    assert [(row["category"], row["count"]) for row in summary] == [("Foodstuff", 1), ("Meals", 3), ("Pet", 1)]
    assert client.get(f"/expenses/{made[0]['id']}/history").json[0]["changes"]["category"] == [None, "Meals:Out"]


def test_what_is_new_opens_the_old_path_again(client: FlaskClient) -> None:
    spent(client, "Food", 1)
    moved(client, "Food", "Meals")
    spent(client, "Food", 2)
    spent(client, "Meals", 4)
    assert [(row["category"], row["expense"]) for row in client.get("/categories").json] == [
        ("Food", -2),
        ("Meals", -5),
    ]
    problem(client.post("/categories/rename", json={"from": "Food", "to": "Meals"}), 409, "category-exists")


def test_renamed_there_and_back_is_as_before(client: FlaskClient) -> None:
    spent(client, "A"), spent(client, "A:B"), spent(client, "C")
    before = client.get("/categories").json
    for source, sink in (("A", "X"), ("C", "A"), ("A", "C"), ("X", "A")):
        moved(client, source, sink)
    assert client.get("/categories").json == before


def test_a_category_goes_below_itself_and_up_again(client: FlaskClient) -> None:
    spent(client, "A"), spent(client, "A:B")
    moved(client, "A", "A:B")
    assert paths(client) == ["A:B", "A:B:B"]
    moved(client, "A:B", "A")
    assert paths(client) == ["A", "A:B"]
    moved(client, "A:B", "B")
    moved(client, "A", "A:A:A")
    assert paths(client) == ["A:A:A", "B"]
    moved(client, "A:A", "Z")
    assert paths(client) == ["B", "Z:A"]


def test_onto_itself_changes_nothing(client: FlaskClient) -> None:
    spent(client, "Food:Coffee")
    before = head_of(client)
    for how in ("rename", "merge"):
        moved(client, "Food:Coffee", "Food:Coffee", how)
        moved(client, "Food", "Food", how)
    assert head_of(client) == before


def test_a_path_that_is_only_above_others_can_be_renamed(client: FlaskClient) -> None:
    spent(client, "Food:Coffee"), spent(client, "Food:Tea")
    moved(client, "Food", "Drinks")
    assert paths(client) == ["Drinks:Coffee", "Drinks:Tea"]


@pytest.mark.parametrize(
    ("source", "sink"), [("Food", "Meals"), ("Food:Coffee", "Food"), ("Food", "Home"), ("Meals", "Food")]
)
def test_a_rename_never_mixes_two_categories(client: FlaskClient, source: str, sink: str) -> None:
    for path in ("Food", "Food:Coffee", "Meals", "Home:Coffee"):
        spent(client, path)
    before = head_of(client)
    problem(client.post("/categories/rename", json={"from": source, "to": sink}), 409, "category-exists")
    assert head_of(client) == before


@pytest.mark.parametrize("how", ["rename", "merge"])
@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("Fod", "There is no category of this path; did you mean Food?"),
        ("Food:Cofee", "There is no category of this path; did you mean Food:Coffee?"),
        ("food", "There is no category of this path; did you mean Food?"),
        ("Q", "There is no category of this path."),
        ("%", "There is no category of this path."),
    ],
)
def test_an_unknown_category_is_told_with_the_nearest(client: FlaskClient, how: str, source: str, rule: str) -> None:
    spent(client, "Food:Coffee")
    before = head_of(client)
    answer = client.post(f"/categories/{how}", json={"from": source, "to": "New"})
    assert problem(answer, 422, "invalid")["errors"] == {"from": [rule]}
    assert head_of(client) == before


@pytest.mark.parametrize("how", ["rename", "merge"])
@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize(
    "path",
    [None, "", ":", "a:", ":a", "a::b", "a: b", " a", "a\t", 5, [], {}, True, "a\0", "\ud800", "a" * 201, "é" * 101],
)
def test_what_is_no_path_is_refused_by_field(client: FlaskClient, how: str, field: str, path: Any) -> None:
    spent(client, "Food")
    before = head_of(client)
    answer = client.post(f"/categories/{how}", json={"from": "Food", "to": "Meals", field: path})
    assert list(problem(answer, 422, "invalid")["errors"]) == [field]
    assert head_of(client) == before


@pytest.mark.parametrize("how", ["rename", "merge"])
def test_what_is_no_move_at_all_is_refused(client: FlaskClient, how: str) -> None:
    spent(client, "Food")
    before = head_of(client)
    for document, errors in (
        ({}, {"from", "to"}),
        ({"from": "Food"}, {"to"}),
        ({"to": "Food"}, {"from"}),
        ({"from": "Food", "to": "Meals", "merge": True}, {"merge"}),
        ({"from_": "Food", "to": "Meals"}, {"from", "from_"}),
    ):
        answer = client.post(f"/categories/{how}", json=document)
        assert set(problem(answer, 422, "invalid")["errors"]) == errors
    for text in ("null", "[]", "5", '"x"'):
        answer = client.post(f"/categories/{how}", data=text, content_type="application/json")
        problem(answer, 422, "invalid")
    problem(client.post(f"/categories/{how}", data="{", content_type="application/json"), 400, "malformed-document")
    problem(client.post(f"/categories/{how}", data="x", content_type="text/plain"), 415, "unsupported-media-type")
    problem(client.get(f"/categories/{how}"), 405, "method-not-allowed")
    assert head_of(client) == before


@pytest.mark.parametrize("how", ["rename", "merge"])
def test_no_path_below_grows_too_long(client: FlaskClient, how: str) -> None:
    spent(client, "A:" + "b" * 100)
    before = head_of(client)
    answer = client.post(f"/categories/{how}", json={"from": "A", "to": "é" * 50})
    assert list(problem(answer, 422, "invalid")["errors"]) == ["to"]
    assert head_of(client) == before
    moved(client, "A", "é" * 49, how)


# Merging.


def test_a_merge_makes_two_trees_one(client: FlaskClient) -> None:
    for amount, path in enumerate(("Food", "Food:Coffee", "Meals", "Meals:Coffee", "Meals:Tea", "Food:Out"), 1):
        spent(client, path, amount)
    before = head_of(client)
    moved(client, "Food", "Meals", "merge")
    [entry] = entries(client, before)
    assert (entry["kind"], entry["figures"]) == ("rename", {"from": "Food", "to": "Meals"})
    merged = [("Meals", -4, 2), ("Meals:Coffee", -6, 2), ("Meals:Out", -6, 1), ("Meals:Tea", -5, 1)]
    assert [(row["category"], row["expense"], row["count"]) for row in client.get("/categories").json] == merged
    assert len(client.get("/expenses?category=Meals").json) == 6
    assert len(client.get("/expenses?category=Meals:Coffee").json) == 2
    for query in ("by=category", "by=category&by=month", "by=category&by=account", "by=category&from=2026-01-02"):
        told = client.get(f"/reports/summary?{query}").json
        assert [(row["category"], row["expense"], row["count"]) for row in told] == merged, query
    spent(client, "Meals", 10)
    assert client.get("/categories").json[0]["expense"] == -14
    moved(client, "Meals", "Eating")
    assert [row["expense"] for row in client.get("/categories").json] == [-14, -6, -6, -5]


def test_a_merge_up_and_down_its_own_path(client: FlaskClient) -> None:
    spent(client, "A", 1), spent(client, "A:B", 2), spent(client, "A:B:C", 4)
    moved(client, "A:B", "A", "merge")
    assert [(row["category"], row["expense"]) for row in client.get("/categories").json] == [("A", -3), ("A:C", -4)]
    moved(client, "A", "A:C", "merge")
    assert [(row["category"], row["expense"]) for row in client.get("/categories").json] == [("A:C", -3), ("A:C:C", -4)]


def test_a_merge_into_what_is_not_there_is_a_rename(client: FlaskClient) -> None:
    spent(client, "A")
    moved(client, "A", "B", "merge")
    assert paths(client) == ["B"]


def test_pages_and_their_cursor_follow_a_merge(client: FlaskClient) -> None:
    made = [spent(client, "A" if number % 2 else "B", date=f"2026-01-{number:02}")["id"] for number in range(1, 8)]
    moved(client, "A", "B", "merge")
    found, link = [], "/expenses?category=B&limit=2"
    while link:
        answer = client.get(link)
        found += [row["id"] for row in answer.json]
        link = answer.headers.get("Link", "").partition(">")[0].lstrip("<")
    assert found == made[::-1]


def test_a_rename_is_possible_in_closed_days(client: FlaskClient) -> None:
    spent(client, "Food")
    client.patch("/ledger", json={"closed_until": "2026-12-31"})
    moved(client, "Food", "Meals")
    assert paths(client) == ["Meals"]


# Repeating, and others at the same time.


def test_a_key_renames_once(client: FlaskClient) -> None:
    spent(client, "A")
    headers, body = {"Idempotency-Key": "k"}, {"from": "A", "to": "B"}
    first = client.post("/categories/rename", json=body, headers=headers)
    before = head_of(client)
    again = client.post("/categories/rename", json=body, headers=headers)
    assert (again.status_code, again.data, again.headers["Idempotency-Replayed"]) == (200, first.data, "true")
    problem(client.post("/categories/rename", json={**body, "to": "C"}, headers=headers), 422, "key-reused")
    problem(client.post("/categories/merge", json=body, headers=headers), 422, "key-reused")
    assert head_of(client) == before
    minimal = client.post("/categories/rename", json={"from": "B", "to": "C"}, headers={"Prefer": "return=minimal"})
    assert (minimal.status_code, minimal.data) == (204, b"")


def test_a_rename_in_one_service_is_seen_by_the_other_at_once(client: FlaskClient, database_url: str) -> None:
    app = create_app({"CASHMAN_DATABASE_URL": database_url})
    try:
        other = app.test_client()
        paid = spent(other, "A")
        tag = other.get(f"/expenses/{paid['id']}").headers["ETag"]
        moved(client, "A", "B")
        seen = other.get(f"/expenses/{paid['id']}", headers={"If-None-Match": tag})
        assert (seen.status_code, seen.json["category"]) == (200, "B")
        assert paths(other) == ["B"]
        assert other.get("/expenses?category=A").json == []
        problem(other.delete(f"/expenses/{paid['id']}", headers={"If-Match": tag}), 412, "precondition-failed")
        spent(other, "A")
        assert paths(client) == ["A", "B"]
    finally:
        current.books(app).database.close()


def test_a_new_category_is_opened_once_by_many(client: FlaskClient, database_url: str) -> None:
    apps = [create_app({"CASHMAN_DATABASE_URL": database_url}) for _ in range(2)]
    before = head_of(client)
    try:
        threads = [
            threading.Thread(target=spent, args=(app.test_client(), f"New:{number}"))
            for app in apps
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for app in apps:
            current.books(app).database.close()
    opened_paths = [entry["figures"]["path"] for entry in entries(client, before) if entry["entity"] == "category"]
    assert sorted(opened_paths) == [f"New:{number}" for number in range(4)]
    assert [row["count"] for row in client.get("/categories").json] == [2] * 4
