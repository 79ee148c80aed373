"""Export over HTTP: what each answer says of itself, who waits for a place, and who gives one back."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from filing import another_ledger, exported, position
from flask.testing import FlaskClient
from people import first_user

from cashman import exporting
from cashman.formats import EXPORTS
from cashman.ledger import Ledger
from cashman.limits import EXPORTS_AT_ONCE_MAX
from cashman.model.expense import Expense
from cashman.model.income import Income


@pytest.fixture
def booked(ledger: Ledger) -> Ledger:
    for number in range(1, 4):
        ledger.record(Expense(f"pizza {number}", number, category="Food", tags=["a"]))
    ledger.record(Income("salary", 50, payee="Work"))
    return ledger


def free_places() -> int:
    return exporting._slots._value


@pytest.fixture(autouse=True)
def _every_place_is_given_back() -> Iterator[None]:
    yield
    assert free_places() == EXPORTS_AT_ONCE_MAX


@pytest.mark.parametrize("name", sorted(EXPORTS))
@pytest.mark.parametrize("form", ["", "?form=lossless", "?form=safe"])
def test_an_export_says_what_it_is_and_at_which_head(client: FlaskClient, booked: Ledger, name: str, form: str) -> None:
    answer = client.get(f"/export/{name}{form}")
    assert answer.status_code == 200
    assert answer.content_type == f"{EXPORTS[name].media_type}; charset=utf-8"
    today = booked.today.isoformat()
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="cashman-{today}{EXPORTS[name].suffixes[0]}"'
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Cashman-Head"] == str(booked.head())
    assert answer.data == exported(booked, name, lossless=form == "?form=lossless")
    assert "pizza" in answer.text


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_an_empty_ledger_is_exported_in_every_format(client: FlaskClient, ledger: Ledger, name: str) -> None:
    answer = client.get(f"/export/{name}")
    assert answer.status_code == 200
    assert answer.data.decode() is not None
    if name == "json":
        assert answer.json["transactions"] == []
    assert answer.headers["Cashman-Head"] == str(ledger.head())


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("form=exact", 422), ("limit=5", 422), ("sort=date", 422), ("cursor=x", 422), ("x=1", 422),
        ("type=TRANSFER", 422),
        ("type=INCOME&type=INCOME", 422), ("from=2026-02-30", 422), ("from=2026-02-02&to=2026-02-01", 422),
        ("account=nowhere", 422), ("min_amount=-1", 422), ("currency=usd", 422), ("category=nowhere", 200), ("q=", 200),
        ("tag=a&tag=b", 200),
    ],
)  # fmt: skip
def test_a_query_is_that_of_a_list_less_its_pages(client: FlaskClient, booked: Ledger, query: str, status: int) -> None:
    for _ in range(EXPORTS_AT_ONCE_MAX + 1):  # what is refused gives its place back
        answer = client.get(f"/export/ndjson?{query}")
        assert answer.status_code == status, answer.text
        assert answer.data == b"" or status == 422
        answer.close()


def test_a_format_that_is_none_is_no_resource(client: FlaskClient) -> None:
    assert client.get("/export/xls").status_code == 404
    assert client.get("/export").status_code == 404
    assert client.post("/export/json").status_code == 405


def test_one_type_is_exported_where_that_is_asked_for(client: FlaskClient, booked: Ledger) -> None:
    for type_, count in (("INCOME", 1), ("EXPENSE", 3)):
        rows = [json.loads(line) for line in client.get(f"/export/ndjson?type={type_}").text.splitlines()]
        assert [row["type"] for row in rows] == [type_] * count


def test_a_fifth_export_at_once_is_told_to_come_again(client: FlaskClient, booked: Ledger) -> None:
    free = free_places()
    under_way = [client.get("/export/json", buffered=False) for _ in range(EXPORTS_AT_ONCE_MAX)]
    try:
        answer = client.get("/export/json")
        assert (answer.status_code, answer.json["detail"]) == (503, "Too many exports are under way.")
        assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/transactions").status_code == 200
        assert client.post("/expenses", json={"description": "x", "amount": 1}).status_code in (201, 204)
    finally:
        for one in under_way:
            one.close()
    assert free_places() == free
    assert client.get("/export/json").data


def test_a_client_that_goes_away_gives_its_place_and_its_connection_back(client: FlaskClient, booked: Ledger) -> None:
    database, free = booked.books.database, free_places()
    for _ in range(3 * EXPORTS_AT_ONCE_MAX):
        answer = client.get("/export/json", buffered=False)
        assert answer.status_code == 200
        answer.close()
        head = client.head("/export/json")
        assert (head.status_code, head.data) == (200, b"")
        head.close()
    assert free_places() == free
    assert database.engine.pool.checkedout() <= 1  # the one that writes


def test_an_export_that_was_read_gives_its_place_back_though_nobody_closes_it(
    client: FlaskClient, booked: Ledger
) -> None:
    free = free_places()
    kept = []
    for _ in range(2 * EXPORTS_AT_ONCE_MAX):
        kept.append(client.get("/export/json"))
        assert kept[-1].status_code == 200
        assert kept[-1].data
    assert free_places() == free


def test_the_ledger_that_the_path_names_is_exported(with_settings: Callable[..., FlaskClient]) -> None:
    owner = first_user(with_settings(auth="required"))
    other = owner.new_ledger(currency="EUR")
    assert owner.post(f"/ledgers/{other}/expenses", {"description": "pizza", "amount": 5}).status_code in (201, 204)
    assert owner.get("/export/json").json["transactions"] == []
    (row,) = owner.get(f"/ledgers/{other}/export/json").json["transactions"]
    assert (row["description"], row["currency"]) == ("pizza", "EUR")
    assert owner.get(f"/ledgers/{other}/export/json").json["ledger"] == other


def test_an_export_is_never_the_answer_to_another_clients_question(client: FlaskClient, booked: Ledger) -> None:
    answer = client.get("/export/json")
    assert "Authorization" in answer.headers["Vary"]
    assert "ETag" not in answer.headers
    answer.close()


def test_an_error_in_the_middle_cuts_the_answer_off_and_gives_the_place_back(
    client: FlaskClient, booked: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "EXPORT_PART_CHARACTERS", 1)
    free, calls = free_places(), 0
    real = exporting.Export._next

    def broken(export: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("the disk has gone")
        return real(export)

    monkeypatch.setattr(exporting.Export, "_next", broken)
    with pytest.raises(RuntimeError):
        _ = client.get("/export/ndjson").data
    assert free_places() == free


def test_an_export_moves_nothing(client: FlaskClient, booked: Ledger) -> None:
    before = position(booked)
    for name in EXPORTS:
        assert client.get(f"/export/{name}").data
    assert position(booked) == before
    assert b"pizza" not in exported(another_ledger(booked.books), "csv")
