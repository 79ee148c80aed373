"""The routes of transactions over HTTP: statuses, headers, conditions, pages, and who is where."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from serving import ENGINES, standing_app
from werkzeug.test import TestResponse

SHOWN = {"Prefer": "return=representation"}
HEAD = r"^[1-9][0-9]*:[0-9a-f]{64}$"
A_ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
FIELDS = (
    "id", "type", "status", "description", "amount", "currency", "date", "account",
    "category", "tags", "payee", "notes", "group", "expires_at", "created_at", "version",
)  # fmt: skip
RESOURCES = ("incomes", "expenses", "transactions")


@pytest.fixture(scope="module", params=ENGINES)
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """Whoever asks for what is refused: nothing may be recorded, so the ledger is one for all of them."""
    with standing_app(request.param, request, tmp_path_factory.mktemp("standing")) as app:
        client = app.test_client()
        yield client
        assert client.get("/transactions").headers["Cashman-Head"].startswith("2:")


def add(client: FlaskClient, resource: str = "expenses", **fields):
    """Record one, and give it as it is shown."""
    document = {"description": "pizza", "amount": 50} | fields
    if resource == "transactions":
        document.setdefault("type", "EXPENSE")
    answer = client.post(f"/{resource}", json=document, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    return answer.json


def open_accounts(client: FlaskClient, *currencies: str) -> None:
    """Open an account in each currency, and of its name."""
    for currency in currencies:
        answer = client.post("/accounts", json={"name": currency, "currency": currency})
        assert answer.status_code == 201, answer.text


def problem(answer: TestResponse, status: int, slug: str):
    """The members of a problem, which has to be that one."""
    assert (answer.status_code, answer.json["type"]) == (status, f"/problems/{slug}"), answer.text
    assert answer.mimetype == "application/problem+json"
    return answer.json


def amounts(answer: TestResponse) -> list[Decimal]:
    return [row["amount"] for row in json.loads(answer.text, parse_float=Decimal)]


def head_of(client: FlaskClient) -> str:
    return client.get("/transactions").headers["Cashman-Head"]


# POST


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_post_answers_204_with_where_it_is_and_a_receipt(client: FlaskClient, resource: str) -> None:
    document = {"description": "lottery", "amount": 1000.0, "type": "EXPENSE" if resource == "expenses" else "INCOME"}
    answer = client.post(f"/{resource}", json=document)
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Cashman-Head"] == head_of(client)
    assert "Preference-Applied" not in answer.headers
    assert answer.headers["Location"].startswith(f"/{resource}/")
    shown = client.get(answer.headers["Location"])
    assert (shown.status_code, shown.json["description"], shown.json["amount"]) == (
        200,
        "lottery",
        -1000 if resource == "expenses" else 1000,
    )


def test_the_representation_is_preferred_where_it_is_asked_for(client: FlaskClient) -> None:
    answer = client.post("/expenses", json={"description": "pizza", "amount": 50}, headers=SHOWN)
    assert (answer.status_code, answer.mimetype) == (201, "application/json")
    assert answer.headers["Preference-Applied"] == "return=representation"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"/expenses/{answer.json['id']}"
    assert answer.data == client.get(answer.headers["Location"]).data


def test_minimal_may_be_asked_for_too(client: FlaskClient) -> None:
    document = {"description": "pizza", "amount": 50}
    answer = client.post("/expenses", json=document, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Preference-Applied"] == "return=minimal"
    assert answer.headers["Location"]


def test_what_is_recorded_is_shown_whole_and_in_order(client: FlaskClient) -> None:
    open_accounts(client, "EUR")
    given = {
        "id": A_ULID,
        "type": "EXPENSE",
        "description": "Pizza with Ana — ½ 🍕",
        "amount": "12.50",
        "currency": "EUR",
        "date": "2026-02-28",
        "account": "EUR",
        "category": "Food:Restaurant",
        "tags": ["night out", "Ana"],
        "payee": "Luigi",
        "notes": "line 1\nline 2\t\u0001",
    }
    before = dt.datetime.now(dt.UTC)
    answer = client.post("/transactions", json=given, headers=SHOWN)
    shown = client.get(f"/transactions/{A_ULID}").json
    assert answer.json == shown
    assert tuple(json.loads(answer.text)) == FIELDS
    created_at = dt.datetime.fromisoformat(shown.pop("created_at"))
    assert before <= created_at <= dt.datetime.now(dt.UTC)
    assert shown == given | {"amount": -12.5, "status": "posted", "group": None, "expires_at": None, "version": 1}
    assert b'"amount":-12.50,' in answer.data


def test_what_is_left_out_has_its_default(client: FlaskClient) -> None:
    shown = add(client)
    days = {dt.datetime.now(dt.UTC).date().isoformat(), shown["created_at"][:10]}
    assert shown["date"] in days
    assert {name: shown[name] for name in ("currency", "account", "category", "tags", "payee", "notes")} == {
        "currency": "USD",
        "account": "main",
        "category": None,
        "tags": [],
        "payee": None,
        "notes": None,
    }


AMOUNTS = [
    ("50", "USD", "-50.00"),
    ("-50", "USD", "-50.00"),
    ("5e1", "USD", "-50.00"),
    ("50.000000", "USD", "-50.00"),
    ('"50"', "USD", "-50.00"),
    ('"-0.01"', "USD", "-0.01"),
    ("1000.0", "JPY", "-1000"),
    ("1.234", "BHD", "-1.234"),
    ("9999999999999.99", "USD", "-9999999999999.99"),
    ("999999999999999", "JPY", "-999999999999999"),
]


def test_amounts_come_out_with_exactly_the_currencys_decimals(client: FlaskClient) -> None:
    open_accounts(client, "USD", "JPY", "BHD")
    for amount, currency, written in AMOUNTS:
        body = f'{{"description": "x", "amount": {amount}, "account": "{currency}"}}'
        answer = client.post("/expenses", data=body, content_type="application/json", headers=SHOWN)
        assert f'"amount":{written},"currency":"{currency}"' in answer.text
        assert f'"amount":{written},"currency":"{currency}"' in client.get(answer.headers["Location"]).text
    listed = client.get("/expenses?sort=created_at").text
    assert re.findall('"amount":(.+?),', listed) == [written for _, _, written in AMOUNTS]


def test_a_chosen_id_makes_a_post_safe_to_repeat(client: FlaskClient) -> None:
    document = {"id": A_ULID, "description": "pizza", "amount": 50, "category": "Food"}
    first = client.post("/expenses", json=document, headers=SHOWN)
    again = client.post("/expenses", json=document | {"amount": "-50.0"}, headers=SHOWN)
    assert (again.status_code, again.data, again.headers["ETag"]) == (201, first.data, first.headers["ETag"])
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Cashman-Head"] == first.headers["Cashman-Head"]
    assert len(client.get("/transactions").json) == 1


def test_a_repeated_post_gets_the_first_answer_although_much_has_happened_since(client: FlaskClient) -> None:
    document = {"id": A_ULID, "description": "pizza", "amount": 50, "category": "Food"}
    first = client.post("/expenses", json=document, headers=SHOWN)
    client.patch(f"/expenses/{A_ULID}", json={"description": "pasta", "category": None})
    client.delete(f"/expenses/{A_ULID}")
    again = client.post("/expenses", json=document, headers=SHOWN)
    assert (again.status_code, again.data) == (201, first.data)
    assert client.get(f"/expenses/{A_ULID}").status_code == 404


def test_a_chosen_id_with_other_content_is_a_conflict(client: FlaskClient) -> None:
    document = {"id": A_ULID, "description": "pizza", "amount": 50}
    client.post("/expenses", json=document)
    head = head_of(client)
    for other in (
        {"amount": 51},
        {"description": "pasta"},
        {"tags": ["x"]},
        {"date": "2001-01-01"},
        {"category": "Food"},
        {"currency": "EUR"},
        {"payee": "p"},
        {"notes": "n"},
    ):
        problem(client.post("/expenses", json=document | other), 409, "id-taken")
    assert head_of(client) == head


def test_a_chosen_id_of_another_type_is_a_conflict(client: FlaskClient) -> None:
    add(client, "expenses", id=A_ULID)
    answer = client.post("/incomes", json={"id": A_ULID, "description": "pizza", "amount": 50})
    problem(answer, 409, "id-taken")


def test_transactions_take_a_type_and_need_it(client: FlaskClient) -> None:
    assert add(client, "transactions", type="INCOME")["amount"] == 50
    assert add(client, "transactions", type="EXPENSE")["amount"] == -50
    refused = problem(client.post("/transactions", json={"description": "x", "amount": 1}), 422, "invalid")
    assert list(refused["errors"]) == ["type"]


# One


def test_a_type_is_not_found_under_the_route_of_another(client: FlaskClient) -> None:
    expense = add(client)["id"]
    head = head_of(client)
    document = {"description": "x", "amount": 1, "date": "2026-01-01"}
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        answer = client.open(f"/incomes/{expense}", method=method, json=document if method[0] == "P" else None)
        assert answer.status_code == 404
    problem(client.post(f"/incomes/{expense}/restore"), 404, "not-found")
    assert head_of(client) == head
    assert client.get(f"/transactions/{expense}").status_code == client.get(f"/expenses/{expense}").status_code == 200


@pytest.mark.parametrize(
    "id_", [A_ULID, "x", "%00", "%FF", "%ED%A0%80", "..", "null", "x" * 5000, A_ULID.lower(), "٣" * 26]
)
def test_what_never_was_is_not_found(standing: FlaskClient, id_: str) -> None:
    document = {"description": "x", "amount": 1, "date": "2026-01-01"}
    problem(standing.get(f"/transactions/{id_}"), 404, "not-found")
    problem(standing.put(f"/transactions/{id_}", json=document), 404, "not-found")
    problem(standing.patch(f"/transactions/{id_}", json={}), 404, "not-found")
    problem(standing.delete(f"/transactions/{id_}"), 404, "not-found")
    problem(standing.post(f"/transactions/{id_}/restore"), 404, "not-found")


def test_head_answers_like_get_without_a_body(client: FlaskClient) -> None:
    one = add(client)["id"]
    own = {"X-Request-Id": "one-and-the-same"}
    for path in ("/transactions", f"/expenses/{one}", "/expenses?limit=1"):
        get, head = client.get(path, headers=own), client.head(path, headers=own)
        assert (head.status_code, head.data) == (200, b"")
        assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_route_takes_a_trailing_slash(client: FlaskClient, resource: str) -> None:
    document = {"description": "x", "amount": 1, "date": "2026-01-01"}
    type_ = {"type": "INCOME"} if resource == "transactions" else {}
    posted = client.post(f"/{resource}/", json=document | type_)
    assert posted.status_code == 204
    one = posted.headers["Location"] + "/"
    assert not posted.headers["Location"].endswith("/")
    assert client.get(f"/{resource}/").json == [client.get(one).json]
    assert client.put(one, json=document).status_code == 200
    assert client.patch(one, json={}).status_code == 200
    assert client.delete(one).status_code == 204
    assert client.post(one + "restore/").status_code == 200


# Conditions


def test_a_change_is_made_where_if_match_names_the_version(client: FlaskClient) -> None:
    one = f"/expenses/{add(client)['id']}"
    for version, tag in enumerate(['"1"', '"7", "2"', "*", 'W/"4", "4"'], 1):
        answer = client.patch(one, json={"notes": tag}, headers={"If-Match": tag})
        assert (answer.status_code, answer.headers["ETag"]) == (200, f'"{version + 1}"')
        assert answer.json["version"] == version + 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_nothing_happens_where_if_match_names_no_version_that_stands(client: FlaskClient, method: str) -> None:
    """Weak tags never match (RFC 9110, 13.1.1), and tags are compared as they are written."""
    one = f"/expenses/{add(client)['id']}"
    before = client.get("/transactions")
    document = None if method == "DELETE" else {"description": "x", "amount": 1, "date": "2026-01-01"}
    for tag in (
        '"2"',
        '""',
        'W/"1"',
        '"0"',
        "garbage",
        "",
        ",",
        '"01"',
        '"+1"',
        '"1 "',
        '"\u0661"',
        '"' + "9" * 99 + '"',
    ):
        answer = client.open(one, method=method, json=document, headers={"If-Match": tag})
        assert answer.status_code == 412, tag
        problem(answer, 412, "precondition-failed")
    after = client.get("/transactions")
    assert (after.data, after.headers["Cashman-Head"]) == (before.data, before.headers["Cashman-Head"])


def test_if_match_on_what_is_not_there_is_not_found(client: FlaskClient) -> None:
    answer = client.patch(f"/expenses/{A_ULID}", json={}, headers={"If-Match": "*"})
    problem(answer, 404, "not-found")


def test_what_the_client_has_is_not_sent_again(client: FlaskClient) -> None:
    one = f"/expenses/{add(client)['id']}"
    for tag in ('"1"', 'W/"1"', '"7", "1"', "*"):
        for method in ("GET", "HEAD"):
            answer = client.open(one, method=method, headers={"If-None-Match": tag})
            assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", '"1"')
            assert "Content-Type" not in answer.headers
    for tag in ('"2"', "garbage", "", '"11"', 'W/"2"'):
        assert client.get(one, headers={"If-None-Match": tag}).status_code == 200


def test_a_list_is_not_sent_again_while_nothing_has_changed(client: FlaskClient) -> None:
    add(client)
    first = client.get("/expenses?currency=USD")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    same = client.get("/expenses?currency=USD", headers={"If-None-Match": tag})
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    assert same.headers["Cashman-Head"] == first.headers["Cashman-Head"]
    assert client.get("/expenses?currency=EUR", headers={"If-None-Match": tag}).status_code == 200
    assert client.get("/transactions?currency=USD", headers={"If-None-Match": tag}).status_code == 200
    add(client)
    changed = client.get("/expenses?currency=USD", headers={"If-None-Match": tag})
    assert (changed.status_code, len(changed.json)) == (200, 2)
    assert changed.headers["ETag"] != tag


# PUT and PATCH


def test_put_replaces_the_whole_resource(client: FlaskClient) -> None:
    open_accounts(client, "EUR")
    shown = add(client, category="Food", tags=["a"], payee="p", notes="n", account="EUR")
    answer = client.put(f"/expenses/{shown['id']}", json={"description": "x", "amount": "7.5", "date": "2026-01-31"})
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    assert answer.headers["Cashman-Head"] == head_of(client)
    assert "Preference-Applied" not in answer.headers
    assert answer.json == shown | {
        "description": "x",
        "amount": -7.5,
        "date": "2026-01-31",
        "currency": "USD",
        "account": "main",
        "category": None,
        "tags": [],
        "payee": None,
        "notes": None,
        "version": 2,
    }
    assert client.get(f"/expenses/{shown['id']}").json == answer.json


def test_put_needs_the_whole_resource(client: FlaskClient) -> None:
    one = f"/expenses/{add(client)['id']}"
    document = {"description": "x", "amount": 1, "date": "2026-01-01"}
    for left_out in document:
        partial = {name: value for name, value in document.items() if name != left_out}
        assert list(problem(client.put(one, json=partial), 422, "invalid")["errors"]) == [left_out]


def test_what_was_read_may_be_put_back(client: FlaskClient) -> None:
    shown = add(client, category="Food", tags=["a"])
    one = f"/expenses/{shown['id']}"
    same = client.put(one, data=client.get(one).data, content_type="application/json")
    assert (same.status_code, same.json) == (200, shown), "what changes nothing makes no revision"
    changed = client.put(one, json=shown | {"notes": "n"})
    assert changed.json == shown | {"notes": "n", "version": 2}


def test_a_read_only_member_cannot_be_changed(client: FlaskClient) -> None:
    shown = add(client)
    for name, value in (
        ("id", A_ULID),
        ("type", "INCOME"),
        ("status", "void"),
        ("group", A_ULID),
        ("created_at", "2026-01-01T00:00:00Z"),
        ("version", 2),
    ):
        for method in ("PUT", "PATCH"):
            answer = client.open(f"/expenses/{shown['id']}", method=method, json=shown | {name: value})
            assert list(problem(answer, 422, "invalid")["errors"]) == [name]
    assert client.get(f"/expenses/{shown['id']}").json == shown


def test_patch_changes_what_is_given_and_no_more(client: FlaskClient) -> None:
    for media_type in ("application/merge-patch+json", "application/json"):
        shown = add(client, category="Food", tags=["a", "b"], payee="p")
        one = f"/expenses/{shown['id']}"
        answer = client.patch(one, data='{"amount": 1e1, "tags": ["c"]}', content_type=media_type)
        assert answer.status_code == 200
        assert answer.json == client.get(one).json == shown | {"amount": -10, "tags": ["c"], "version": 2}


def test_null_takes_a_member_away(client: FlaskClient) -> None:
    """RFC 7396: null removes."""
    shown = add(client, category="Food", tags=["a"], payee="p", notes="n")
    answer = client.patch(
        f"/expenses/{shown['id']}", json={"category": None, "tags": None, "payee": None, "notes": None}
    )
    assert answer.json == shown | {"category": None, "tags": [], "payee": None, "notes": None, "version": 2}


def test_null_cannot_take_away_what_has_to_be_there(client: FlaskClient) -> None:
    one = f"/expenses/{add(client)['id']}"
    for name in ("description", "amount", "date"):
        assert list(problem(client.patch(one, json={name: None}), 422, "invalid")["errors"]) == [name]


def test_a_revision_is_an_object(client: FlaskClient) -> None:
    one = f"/expenses/{add(client)['id']}"
    for method in ("PUT", "PATCH"):
        for document in ("[]", '"x"', "5", "null", "true"):
            answer = client.open(one, method=method, data=document, content_type="application/json")
            problem(answer, 422, "invalid")


def test_an_empty_patch_changes_nothing(client: FlaskClient) -> None:
    shown = add(client)
    head = head_of(client)
    answer = client.patch(f"/expenses/{shown['id']}", json={})
    assert (answer.status_code, answer.json, answer.headers["Cashman-Head"]) == (200, shown, head)


def test_a_change_keeps_the_rules_of_the_type_and_of_the_currency(client: FlaskClient) -> None:
    open_accounts(client, "JPY")
    income, expense = add(client, "incomes"), add(client, amount="12.34")
    for one, change in (
        (income, {"amount": -5}),
        (income, {"amount": 0}),
        (expense, {"amount": "0.001"}),
        (expense, {"account": "JPY", "currency": "JPY"}),
    ):
        refused = problem(client.patch(f"/transactions/{one['id']}", json=change), 422, "invalid")
        assert list(refused["errors"]) == ["amount"]
    for change in ({"currency": "JPY"}, {"account": "JPY"}, {"account": "JPY", "currency": "USD"}):
        refused = problem(client.patch(f"/transactions/{expense['id']}", json=change), 422, "invalid")
        assert list(refused["errors"]) == ["currency"]
    change = {"account": "JPY", "currency": "JPY", "amount": 5}
    changed = client.patch(f"/transactions/{expense['id']}", json=change)
    assert '"amount":-5,"currency":"JPY"' in changed.text


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_is_not_shown_where_minimal_is_preferred(client: FlaskClient, method: str) -> None:
    one = f"/expenses/{add(client)['id']}"
    document = {"description": "x", "amount": 1, "date": "2026-01-01"}
    answer = client.open(one, method=method, json=document, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (204, b"", '"2"')
    assert answer.headers["Preference-Applied"] == "return=minimal"
    assert "Location" not in answer.headers
    assert client.get(one).json["description"] == "x"


# DELETE and restore


def test_delete_voids_once_and_says_so_as_often_as_it_is_asked(client: FlaskClient) -> None:
    kept, gone = add(client), add(client)
    one = f"/expenses/{gone['id']}"
    first = client.delete(one)
    assert (first.status_code, first.data) == (204, b"")
    again = client.delete(one, headers={"If-Match": '"1"'})
    assert (again.status_code, again.data) == (204, b"")
    assert again.headers["Cashman-Head"] == first.headers["Cashman-Head"] == head_of(client)
    problem(client.get(one), 404, "not-found")
    problem(client.patch(one, json={"notes": "n"}), 404, "not-found")
    problem(client.put(one, json={"description": "x", "amount": 1, "date": "2026-01-01"}), 404, "not-found")
    assert client.get("/expenses").json == client.get("/transactions").json == [kept]


def test_restore_brings_back_what_was_void_as_a_new_revision(client: FlaskClient) -> None:
    shown = add(client, category="Food", tags=["a"])
    one = f"/expenses/{shown['id']}"
    client.delete(one)
    answer = client.post(f"{one}/restore")
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"3"')
    assert answer.json == shown | {"version": 3}
    assert client.get(one).json == answer.json
    assert client.get("/expenses").json == [answer.json]


def test_restoring_what_stands_changes_nothing(client: FlaskClient) -> None:
    shown = add(client)
    head = head_of(client)
    answer = client.post(f"/expenses/{shown['id']}/restore", headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (204, b"", '"1"')
    assert head_of(client) == head


# Lists


def test_each_list_holds_its_type_newest_first(client: FlaskClient) -> None:
    for day, resource in (("2026-01-02", "incomes"), ("2026-01-03", "expenses"), ("2026-01-01", "expenses")):
        add(client, resource, date=day)
    assert [row["date"] for row in client.get("/transactions").json] == ["2026-01-03", "2026-01-02", "2026-01-01"]
    assert [row["date"] for row in client.get("/incomes").json] == ["2026-01-02"]
    assert [row["date"] for row in client.get("/expenses").json] == ["2026-01-03", "2026-01-01"]


def test_a_list_carries_the_head_that_it_was_read_at(client: FlaskClient) -> None:
    receipt = client.post("/expenses", json={"description": "x", "amount": 1}).headers["Cashman-Head"]
    answer = client.get("/incomes")
    assert (answer.text, answer.headers["Cashman-Head"]) == ("[]", receipt)


@pytest.fixture
def shop(client: FlaskClient) -> FlaskClient:
    """A ledger with something for each filter."""
    open_accounts(client, "JPY", "EUR", "BHD")
    for amount, currency, day, category in (
        ("1.00", "USD", "2026-01-01", "Food"),
        ("2.50", "USD", "2026-01-15", "Food:Coffee"),
        ("2.51", "USD", "2026-01-31", "Foodstuff"),
        ("250", "JPY", "2026-02-01", "Food:Coffee:Beans"),
        ("3.00", "EUR", "2026-02-28", None),
        ("0.75", "BHD", "2026-03-01", "Home"),
    ):
        account = "main" if currency == "USD" else currency
        add(client, amount=amount, account=account, date=day, category=category, description=f"{amount} {currency}")
    add(client, "incomes", amount="2.50", date="2026-01-15", category="Food", description="refund")
    return client


FILTERS = [
    ("from=2026-02-28", "0.75 BHD,3.00 EUR"),
    ("to=2026-01-15", "2.50 USD,1.00 USD"),
    ("from=2026-01-31&to=2026-02-01", "250 JPY,2.51 USD"),
    ("from=2026-01-02&to=2026-01-02", ""),
    ("min_amount=2.51", "3.00 EUR,250 JPY,2.51 USD"),
    ("max_amount=1", "0.75 BHD,1.00 USD"),
    ("min_amount=2.5&max_amount=2.505", "2.50 USD"),
    ("min_amount=99999999999999999999999999", ""),
    ("currency=JPY", "250 JPY"),
    ("currency=JPY&min_amount=250&max_amount=250", "250 JPY"),
    ("account=EUR&currency=EUR", "3.00 EUR"),
    ("account=main&currency=EUR", ""),
    ("account=JPY", "250 JPY"),
    ("account=main&from=2026-01-02", "2.51 USD,2.50 USD"),
    ("category=Food", "250 JPY,2.50 USD,1.00 USD"),
    ("category=Food:Coffee", "250 JPY,2.50 USD"),
    ("category=Foo", ""),
    ("category=food", ""),
    ("category=Food%25", ""),
    ("sort=date", "1.00 USD,2.50 USD,2.51 USD,250 JPY,3.00 EUR,0.75 BHD"),
    ("sort=-created_at", "0.75 BHD,3.00 EUR,250 JPY,2.51 USD,2.50 USD,1.00 USD"),
    ("sort=amount&currency=USD", "2.51 USD,2.50 USD,1.00 USD"),
    ("sort=-amount&currency=USD", "1.00 USD,2.50 USD,2.51 USD"),
    ("limit=2", "0.75 BHD,3.00 EUR"),
]


def test_a_list_is_filtered_and_sorted(shop: FlaskClient) -> None:
    for query, found in FILTERS:
        answer = shop.get(f"/expenses?{query}")
        assert answer.status_code == 200, query
        assert [row["description"] for row in answer.json] == [name for name in found.split(",") if name], query


def test_a_category_covers_what_is_below_it_for_every_type(shop: FlaskClient) -> None:
    assert "refund" in [row["description"] for row in shop.get("/transactions?category=Food").json]
    assert [row["description"] for row in shop.get("/incomes?category=Food&min_amount=2.5").json] == ["refund"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("colour=red", "colour"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1e2", "limit"),
        ("limit=-1", "limit"),
        ("limit=%EF%BC%91", "limit"),
        ("limit=1&limit=1", "limit"),
        ("from=2026-02-30", "from"),
        ("from=2026-1-1", "from"),
        ("to=today", "to"),
        ("from=2026-02-02&to=2026-02-01", "from"),
        ("min_amount=-1", "min_amount"),
        ("min_amount=1e3", "min_amount"),
        ("min_amount=1_000", "min_amount"),
        ("min_amount=%D9%A3", "min_amount"),
        ("max_amount=" + "9" * 41, "max_amount"),
        ("min_amount=2&max_amount=1", "min_amount"),
        ("currency=usd", "currency"),
        ("currency=XYZ", "currency"),
        ("category=", "category"),
        ("category=Food:", "category"),
        ("category=%00", "category"),
        ("account=%00", "account"),
        ("account=nowhere", "account"),
        ("sort=color", "sort"),
        ("sort=--date", "sort"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=" + "A" * 501, "cursor"),
        ("%FF=1", "%FF"),
    ],
)
def test_a_wrong_query_names_the_parameter(standing: FlaskClient, query: str, name: str) -> None:
    refused = problem(standing.get(f"/transactions?{query}"), 422, "invalid")
    assert list(refused["errors"]) == [name]


def test_a_route_without_query_parameters_takes_none(client: FlaskClient) -> None:
    one = f"/expenses/{add(client)['id']}"
    head = head_of(client)
    for method, path in (("POST", "/expenses"), ("PUT", one), ("PATCH", one), ("DELETE", one), ("GET", one)):
        document = None if method in ("GET", "DELETE") else {"description": "x", "amount": 1, "date": "2026-01-01"}
        answer = client.open(f"{path}?limit=1", method=method, json=document)
        assert list(problem(answer, 422, "invalid")["errors"]) == ["limit"]
    assert head_of(client) == head


SORTS = ("date", "-date", "amount", "-amount", "created_at", "-created_at")


def test_the_links_lead_through_every_page_once(client: FlaskClient) -> None:
    for number in range(11):
        add(client, amount=f"{1 + number % 3}", date=f"2026-01-0{1 + number % 4}")
    for sort in SORTS:
        expected = [row["id"] for row in client.get(f"/expenses?sort={sort}").json]
        assert len(set(expected)) == 11
        found, sizes, path = [], [], f"/expenses/?sort={sort}&currency=USD&limit=4"
        while path:
            page = client.get(path)
            sizes.append(len(page.json))
            found += [row["id"] for row in page.json]
            path = _next(page)
        assert (found, sizes) == (expected, [4, 4, 3]), sort


def test_rows_that_come_and_go_while_a_reader_pages_shift_nothing(client: FlaskClient) -> None:
    rows = [add(client, date=f"2026-01-{day:02}")["id"] for day in range(20, 0, -1)]
    found, path = [], "/expenses?limit=6"
    while path:
        page = client.get(path)
        found += [row["id"] for row in page.json]
        path = _next(page)
        add(client, date="2026-02-01")
        client.delete(f"/expenses/{found[0]}")
        client.delete(f"/expenses/{found[-1]}")
    assert found == rows


def _next(answer: TestResponse) -> str | None:
    link = answer.headers.get("Link")
    if link is None:
        return None
    target, parameter = link.split(">; ")
    assert (target[0], parameter) == ("<", 'rel="next"')
    assert urlsplit(target[1:]).path.startswith("/")
    return target[1:]


def test_the_last_page_names_no_next_one_even_where_it_is_full(client: FlaskClient) -> None:
    add(client)
    add(client)
    assert "Link" not in client.get("/expenses?limit=2").headers
    assert "Link" in client.get("/expenses?limit=1").headers
    assert "Link" not in client.get("/incomes").headers


def test_a_page_says_what_is_next_also_where_it_has_not_changed(client: FlaskClient) -> None:
    add(client)
    add(client)
    page = client.get("/expenses?limit=1")
    same = client.get("/expenses?limit=1", headers={"If-None-Match": page.headers["ETag"]})
    assert (same.status_code, same.headers["Link"]) == (304, page.headers["Link"])


def test_a_cursor_belongs_to_its_query(client: FlaskClient) -> None:
    add(client)
    add(client)
    link = _next(client.get("/expenses?limit=1"))
    assert link is not None
    other = [f"{link}&{change}" for change in ("sort=amount", "currency=USD", "from=2026-01-01")]
    for path in (*other, link.replace("/expenses", "/incomes"), link[:-1], link + "A"):
        assert list(problem(client.get(path), 422, "invalid")["errors"]) == ["cursor"], path
    assert client.get(link.replace("limit=1", "limit=5")).status_code == 200


def test_a_page_of_a_thousand_is_the_most(standing: FlaskClient) -> None:
    assert standing.get("/transactions?limit=1000").status_code == 200
    problem(standing.get("/transactions?limit=1001"), 422, "invalid")
