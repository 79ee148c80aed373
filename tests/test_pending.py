"""Pending transactions: what is available and not yet booked; they are posted, or their time is over."""

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from test_accounts import balance, entries, head_of, opened, problem

import cashman.db
import cashman.ledger
from cashman.errors import StoreUnavailable
from cashman.ledger import Books
from cashman.verify import verify

SHOWN = {"Prefer": "return=representation"}
A_ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

Pass = Callable[[float], None]


@pytest.fixture(autouse=True)
def proved(books: Books) -> Iterator[None]:
    """After each scenario the books have to be what their journal says."""
    yield
    verify(books.database)


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Moves every clock of the books on by so many seconds."""
    real, passed = cashman.db.utc_now, dt.timedelta()

    def later() -> dt.datetime:
        return real() + passed

    def move(seconds: float) -> None:
        nonlocal passed
        passed += dt.timedelta(seconds=seconds)

    for name, module in list(sys.modules.items()):
        if name.startswith("cashman.") and hasattr(module, "utc_now"):
            monkeypatch.setattr(module, "utc_now", later)
    return move


def reserved(client: FlaskClient, route: str = "expenses", **fields: Any) -> Any:
    """Record a pending one, and give it as it is shown."""
    document = {"description": "hotel", "amount": 50, "status": "pending", "date": "2026-01-02", **fields}
    answer = client.post(f"/{route}", json=document, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    return answer.json


def path_of(row: Any) -> str:
    """Where a transaction is."""
    return f"/transactions/{row['id']}"


# Pending.


def test_a_pending_one_is_available_and_not_in_the_balance(client: FlaskClient) -> None:
    row = reserved(client, category="Travel", tags=["t"], payee="P")
    assert (row["status"], row["expires_at"]) == ("pending", None)
    assert balance(client, "main") == (0, -50)
    assert balance(client, "main", "2026-01-01") == (0, 0)
    for report in ("/categories", "/reports/summary", "/reports/summary?by=payee&by=tag", "/reports/cashflow"):
        assert client.get(report).json == []
    assert client.get("/transactions").json == client.get("/expenses?status=pending&q=hotels").json == [row]
    assert client.get("/transactions?status=posted").json == []
    assert client.get("/tags").json == [{"tag": "t"}]


def test_a_pending_income_is_available_too(client: FlaskClient) -> None:
    reserved(client, "incomes", amount="0.01")
    assert balance(client, "main") == (0, Decimal("0.01"))


def test_posting_books_it_and_ends_its_time(client: FlaskClient) -> None:
    row = reserved(client, expires_in=60, category="Travel")
    answer = client.patch(path_of(row), json={"status": "posted"}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json) == (200, {**row, "status": "posted", "expires_at": None, "version": 2})
    assert balance(client, "main") == (-50, -50)
    assert client.get("/categories").json[0]["expense"] == -50
    changes = client.get(path_of(row) + "/history").json[1]["changes"]
    assert changes == {"status": ["pending", "posted"], "expires_at": [row["expires_at"], None]}


def test_a_posted_one_can_become_pending(client: FlaskClient) -> None:
    row = reserved(client, status="posted")
    answer = client.patch(path_of(row), json={"status": "pending", "expires_in": 60})
    assert (answer.status_code, answer.json["status"]) == (200, "pending")
    assert answer.json["expires_at"] is not None
    assert balance(client, "main") == (0, -50)


def test_a_change_of_one_field_leaves_the_expiry(client: FlaskClient) -> None:
    row = reserved(client, expires_in=60)
    assert client.patch(path_of(row), json={"amount": 60}).json == {**row, "amount": -60, "version": 2}
    assert client.patch(path_of(row), json={"expires_at": None}).json["expires_at"] is None
    assert client.patch(path_of(row), json={"expires_in": 5}).json["status"] == "pending"


def test_what_was_read_can_be_sent_back(client: FlaskClient) -> None:
    row = reserved(client, expires_in=60)
    before = head_of(client)
    for method in (client.put, client.patch):
        assert method(path_of(row), json=row).json == row
    assert head_of(client) == before


def test_expires_in_counts_from_now_and_expires_at_is_kept_to_the_microsecond(client: FlaskClient) -> None:
    row = reserved(client, expires_in=90)
    created, expires = (dt.datetime.fromisoformat(row[name]) for name in ("created_at", "expires_at"))
    assert abs(expires - created - dt.timedelta(seconds=90)) < dt.timedelta(seconds=5)
    row = reserved(client, expires_at="2100-01-01T01:00:00.000001+01:00")
    assert row["expires_at"] == "2100-01-01T00:00:00.000001Z"
    assert "expires_in" not in row


PENDING = {"status": "pending"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(({"status": status}, "status") for status in (None, "", "void", "POSTED", "expired", 5, [], True)),
        *(
            ({**PENDING, "expires_in": seconds}, "expires_in")
            for seconds in (0, -1, 1.5, 1e30, 10 * 366 * 86_400 + 1, "60", True, None, [], {}, 10**40)
        ),
        *(
            ({**PENDING, "expires_at": instant}, "expires_at")
            for instant in (
                "2020-01-01T00:00:00Z", "2100-01-01", "2100-01-01T00:00:00", "", "x", 5, True, [], {},
                "2100-13-01T00:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
                "9999-12-31T23:59:59-23:59",
            )
        ),
        ({**PENDING, "expires_in": 60, "expires_at": "2100-01-01T00:00:00Z"}, "expires_in"),
        ({"expires_in": 60}, "expires_in"),
        ({"expires_at": "2100-01-01T00:00:00Z"}, "expires_at"),
    ],
)  # fmt: skip
def test_an_expiry_that_cannot_be_is_refused_by_field(client: FlaskClient, fields: Any, field: str) -> None:
    posted = reserved(client, status="posted")
    before = head_of(client)
    for answer in (
        client.post("/expenses", json={"description": "x", "amount": 5, **fields}),
        client.patch(path_of(posted), json=fields),
        client.put(path_of(posted), json={"description": "x", "amount": 5, "date": "2026-01-01", **fields}),
    ):
        assert list(problem(answer, 422, "invalid")["errors"]) == [field]
    assert head_of(client) == before


def test_posting_and_an_expiry_do_not_go_together(client: FlaskClient) -> None:
    row = reserved(client, expires_in=60)
    before = head_of(client)
    for values, field in (
        ({"status": "posted", "expires_in": 60}, "expires_in"),
        ({"status": "posted", "expires_at": "2100-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_in": 60, "expires_at": row["expires_at"]}, "expires_in"),
    ):
        answer = client.patch(path_of(row), json=values)
        assert list(problem(answer, 422, "invalid")["errors"]) == [field]
    assert head_of(client) == before


# Past its time.


def test_past_its_time_it_counts_nowhere_at_once(client: FlaskClient, let_pass: Pass) -> None:
    row, other = reserved(client, expires_in=60, tags=["t"]), reserved(client, amount=7, expires_in=600)
    let_pass(59)
    assert client.get(path_of(row)).status_code == 200
    before = head_of(client)
    let_pass(2)
    problem(client.get(path_of(row)), 404, "not-found")
    assert client.get("/transactions").json == [other]
    assert client.get("/tags").json == client.get("/transactions?q=hotel&tag=t").json == []
    assert balance(client, "main") == (0, -7)
    [entry] = entries(client, before)
    assert (entry["kind"], entry["entity_id"], entry["actor"]) == ("void", row["id"], "cashman")
    assert entry["figures"]["status"] == "void"
    for method, path, body in (
        (client.patch, path_of(row), {"status": "posted"}),
        (client.patch, path_of(row), {"expires_in": 60}),
        (client.put, path_of(row), {"description": "x", "amount": 5, "date": "2026-01-01", "status": "posted"}),
        (client.post, path_of(row) + "/restore", None),
    ):
        problem(method(path, json=body), 409, "expired")
    assert len(entries(client, before)) == 1
    assert client.delete(path_of(row)).status_code == 204
    assert [revision["kind"] for revision in client.get(path_of(row) + "/history").json] == ["create", "void"]


@pytest.mark.parametrize(
    "look",
    [
        "/transactions", "/balances", "/reports/summary", "/reports/cashflow", "/categories", "/tags", "/accounts",
        "/accounts/1", "/accounts/1/transactions", "/transfers", "/ledger", "/journal",
        f"/transactions/{A_ULID}/history",
    ],
)  # fmt: skip
def test_any_read_records_it(client: FlaskClient, books: Books, let_pass: Pass, look: str) -> None:
    row = reserved(client, expires_in=60)
    let_pass(61)
    client.get(look)
    status = books.database.read(
        lambda connection: connection.execute(
            text("SELECT status FROM transactions WHERE id = :id"), {"id": row["id"]}
        ).scalar()
    )
    assert status == "void"


def test_any_write_records_it_before_itself(client: FlaskClient, let_pass: Pass) -> None:
    row = reserved(client, expires_in=60)
    before = head_of(client)
    let_pass(61)
    client.post("/incomes", json={"description": "x", "amount": 5})
    told = [(entry["kind"], entry["actor"]) for entry in entries(client, before)]
    assert told == [("void", "cashman"), ("create", "owner")]
    problem(client.get(path_of(row)), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [("patch", "", {"status": "posted"}), ("put", "", None), ("post", "/restore", None), ("patch", "", {"notes": "x"})],
)
def test_a_change_that_comes_too_late_is_refused_and_the_void_recorded(
    client: FlaskClient, let_pass: Pass, method: str, tail: str, body: Any
) -> None:
    row = reserved(client, expires_in=60)
    before = head_of(client)
    let_pass(61)
    answer = getattr(client, method)(path_of(row) + tail, json=body or {**row, "status": "posted", "expires_at": None})
    problem(answer, 409, "expired")
    assert [(entry["kind"], entry["actor"]) for entry in entries(client, before)] == [("void", "cashman")]


def test_it_is_recorded_also_if_nobody_looks(client: FlaskClient, books: Books, let_pass: Pass) -> None:
    row = reserved(client, expires_in=60)
    before = head_of(client)
    books.expire()
    assert head_of(client) == before
    let_pass(61)
    books.expire()
    books.expire()
    [entry] = entries(client, before)
    assert (entry["kind"], entry["entity_id"], entry["actor"], entry["revision"]) == ("void", row["id"], "cashman", 2)


def test_many_expire_in_the_order_in_which_they_were_booked(client: FlaskClient, let_pass: Pass) -> None:
    rows = [reserved(client, expires_in=60 - number) for number in range(5)]
    later = reserved(client, expires_in=600)
    before = head_of(client)
    let_pass(61)
    assert client.get("/transactions").json == [later]
    assert [entry["entity_id"] for entry in entries(client, before)] == [row["id"] for row in rows]
    let_pass(600)
    assert client.get("/transactions").json == []
    assert len(entries(client, before)) == 6


def test_more_than_a_thousand_expire_all(client: FlaskClient, books: Books, let_pass: Pass) -> None:
    one = {"type": "EXPENSE", "description": "x", "amount": 1, "status": "pending", "expires_in": 60}
    client.post("/transactions/batch", json=[one] * 1_100)
    assert balance(client, "main") == (0, -1_100)
    let_pass(61)
    assert balance(client, "main") == (0, 0)
    assert client.get("/transactions").json == []
    for _ in range(3):
        books.expire()
    count = text("SELECT count(*) FROM transactions WHERE status = 'void'")
    assert books.database.read(lambda connection: connection.execute(count).scalar()) == 1_100


def test_where_it_cannot_be_recorded_it_counts_nowhere_all_the_same(
    client: FlaskClient, books: Books, let_pass: Pass, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = reserved(client, expires_in=60)

    def refuse(change: Any) -> Any:
        raise StoreUnavailable()

    let_pass(61)
    with monkeypatch.context() as patched:
        patched.setattr(books, "submit", refuse)
        problem(client.get(path_of(row)), 404, "not-found")
        assert client.get("/transactions").json == client.get("/transactions?status=pending").json == []
        assert balance(client, "main") == (0, 0)
    assert client.get("/transactions").json == []
    history = client.get(path_of(row) + "/history").json
    assert [(revision["kind"], revision["actor"]) for revision in history] == [("create", "owner"), ("void", "cashman")]


@pytest.mark.parametrize("recorded", [True, False])
def test_what_was_given_before_is_not_given_again_after_its_time(
    client: FlaskClient, books: Books, let_pass: Pass, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    reserved(client, expires_in=60)
    pages = ["/transactions", "/expenses?status=pending", "/accounts/1/transactions", "/transactions?q=hotel"]
    reports = ["/balances", "/tags", "/ledger"] if recorded else []
    tags = {}
    for path in pages + reports:
        tags[path] = client.get(path).headers["ETag"]
        assert client.get(path, headers={"If-None-Match": tags[path]}).status_code == 304

    def refuse(change: Any) -> Any:
        raise StoreUnavailable()

    let_pass(61)
    with monkeypatch.context() as patched:
        if not recorded:
            patched.setattr(books, "submit", refuse)
        for path in pages:
            answer = client.get(path, headers={"If-None-Match": tags[path]})
            assert (answer.status_code, answer.json) == (200, [])
        for path in reports:
            assert client.get(path, headers={"If-None-Match": tags[path]}).status_code == 200
    for path in pages:
        assert client.get(path).json == []


def test_a_posted_one_and_one_without_end_stay(client: FlaskClient, let_pass: Pass) -> None:
    rows = [reserved(client), reserved(client, status="posted"), reserved(client, expires_in=60)]
    client.patch(path_of(rows[2]), json={"status": "posted"})
    before = head_of(client)
    let_pass(10**9)
    assert len(client.get("/transactions").json) == 3
    assert head_of(client) == before


def test_a_later_end_keeps_it_longer(client: FlaskClient, let_pass: Pass) -> None:
    row = reserved(client, expires_in=60)
    client.patch(path_of(row), json={"expires_in": 600})
    let_pass(61)
    assert client.get(path_of(row)).status_code == 200
    client.patch(path_of(row), json={"expires_at": None})
    let_pass(10**8)
    assert client.get(path_of(row)).json["status"] == "pending"


def test_it_expires_also_in_closed_days_and_on_a_closed_account(client: FlaskClient, let_pass: Pass) -> None:
    card = opened(client)
    row = reserved(client, account="card", expires_in=60)
    client.patch(f"/accounts/{card['id']}", json={"closed": True})
    client.patch("/ledger", json={"closed_until": "2026-12-31"})
    problem(client.patch(path_of(row), json={"status": "posted"}), 409, "books-closed")
    let_pass(61)
    problem(client.get(path_of(row)), 404, "not-found")
    assert [revision["actor"] for revision in client.get(path_of(row) + "/history").json] == ["owner", "cashman"]


# Void and restored.


def test_a_restored_one_has_the_status_it_had(client: FlaskClient, let_pass: Pass) -> None:
    pending, posted = reserved(client, expires_in=600), reserved(client, status="posted", amount=7)
    changed = reserved(client, amount=3)
    client.patch(path_of(changed), json={"status": "posted"})
    for row in (pending, posted, changed):
        client.delete(path_of(row))
    assert balance(client, "main") == (0, 0)
    assert client.post(path_of(pending) + "/restore").json == {**pending, "version": 3}
    assert client.post(path_of(posted) + "/restore").json == {**posted, "version": 3}
    assert client.post(path_of(changed) + "/restore").json["status"] == "posted"
    assert balance(client, "main") == (-10, -60)
    let_pass(601)
    problem(client.get(path_of(pending)), 404, "not-found")


def test_a_void_one_past_its_time_cannot_be_restored(client: FlaskClient, let_pass: Pass) -> None:
    row = reserved(client, expires_in=60)
    client.delete(path_of(row))
    before = head_of(client)
    let_pass(61)
    problem(client.post(path_of(row) + "/restore"), 409, "expired")
    assert head_of(client) == before


def test_a_pending_one_can_be_redacted_and_posted(client: FlaskClient) -> None:
    row = reserved(client, expires_in=60, payee="Xanthippe")
    client.post(path_of(row) + "/redact")
    shown = client.get(path_of(row)).json
    assert (shown["status"], shown["payee"], shown["expires_at"]) == ("pending", None, row["expires_at"])
    assert client.patch(path_of(row), json={"status": "posted"}).json["status"] == "posted"
    client.delete(path_of(row))
    client.post(path_of(row) + "/redact")
    assert client.post(path_of(row) + "/restore").json["status"] == "posted"


# Together with others, and repeated.


def test_both_legs_of_a_transfer_expire_together(client: FlaskClient, let_pass: Pass) -> None:
    opened(client, "savings")
    body = {"from": "main", "to": "savings", "amount": 50, "status": "pending", "expires_in": 60, "date": "2026-01-02"}
    shown = client.post("/transfers", json=body, headers=SHOWN).json
    assert shown["status"] == "pending"
    assert (balance(client, "main"), balance(client, "savings")) == ((0, -50), (0, 50))
    before = head_of(client)
    let_pass(61)
    problem(client.get(f"/transfers/{shown['id']}"), 404, "not-found")
    assert client.get("/transfers").json == client.get("/transactions").json == []
    assert (balance(client, "main"), balance(client, "savings")) == ((0, 0), (0, 0))
    assert [(entry["kind"], entry["actor"]) for entry in entries(client, before)] == [("void", "cashman")] * 2
    for answer in (
        client.patch(f"/transfers/{shown['id']}", json={"status": "posted"}),
        client.post(f"/transfers/{shown['id']}/restore"),
    ):
        problem(answer, 409, "expired")


def test_all_lines_of_a_receipt_expire_together(client: FlaskClient, let_pass: Pass) -> None:
    rows = reserved(client, amount=3, lines=[{"amount": 1}, {"amount": 2}], expires_in=60)
    client.patch(path_of(rows[1]), json={"expires_in": 120})
    let_pass(61)
    assert len(client.get("/transactions").json) == 2
    before = head_of(client)
    let_pass(60)
    problem(client.patch(path_of(rows[0]), json={"status": "posted"}), 409, "expired")
    assert [entry["kind"] for entry in entries(client, before)] == ["void"] * 2
    assert client.get("/transactions").json == []


def test_a_pending_receipt_is_posted_as_a_whole(client: FlaskClient) -> None:
    rows = reserved(client, amount=3, lines=[{"amount": 1, "category": "A"}, {"amount": 2}], expires_in=60)
    client.patch(path_of(rows[1]), json={"status": "posted"})
    assert {row["status"] for row in client.get("/transactions").json} == {"posted"}
    assert balance(client, "main") == (-3, -3)


def test_a_pending_transfer_is_posted_as_a_whole(client: FlaskClient) -> None:
    opened(client, "yen", currency="JPY")
    body = {"from": "main", "to": "yen", "amount": 5, "to_amount": 700, "status": "pending", "date": "2026-01-02"}
    shown = client.post("/transfers", json=body, headers=SHOWN).json
    assert client.get("/reports/cashflow").json == []
    client.patch(f"/transfers/{shown['id']}", json={"status": "posted"})
    assert (balance(client, "main"), balance(client, "yen")) == ((-5, -5), (700, 700))


def test_a_repeated_post_gets_its_first_answer_also_after_its_time(client: FlaskClient, let_pass: Pass) -> None:
    body = {
        "id": A_ULID, "description": "hotel", "amount": 50, "status": "pending", "date": "2026-01-02",
        "expires_at": "2100-01-01T00:00:00Z",
    }  # fmt: skip
    first = client.post("/expenses", json=body, headers=SHOWN)
    assert client.post("/expenses", json=body, headers=SHOWN).data == first.data
    for other in ({"status": "posted", "expires_at": None}, {"expires_at": "2100-01-01T00:00:01Z"}):
        problem(client.post("/expenses", json={**body, **other}), 409, "id-taken")
    headers = {**SHOWN, "Idempotency-Key": "k"}
    keyed = {"description": "hotel", "amount": 50, "status": "pending", "expires_in": 60}
    kept = client.post("/expenses", json=keyed, headers=headers)
    let_pass(61)
    again = client.post("/expenses", json=keyed, headers=headers)
    assert (again.status_code, again.data) == (201, kept.data)
    problem(client.post("/expenses", json={**keyed, "expires_in": 61}, headers=headers), 422, "key-reused")


def test_an_id_with_and_without_an_end_is_other_content(client: FlaskClient) -> None:
    body = {"id": A_ULID, "description": "hotel", "amount": 50, "status": "pending", "expires_in": 60}
    first = client.post("/expenses", json=body, headers=SHOWN)
    assert client.post("/expenses", json=body, headers=SHOWN).data == first.data
    del body["expires_in"]
    problem(client.post("/expenses", json=body), 409, "id-taken")


def test_pending_ones_count_for_what_64_bits_hold(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cashman.batch.INT64_MAX", 10_000)
    row = reserved(client, amount=60)
    problem(client.post("/incomes", json={"description": "x", "amount": "40.01"}), 422, "total-too-large")
    client.delete(path_of(row))
    client.post("/incomes", json={"description": "x", "amount": "40.01"})
    problem(client.post(path_of(row) + "/restore"), 422, "total-too-large")
