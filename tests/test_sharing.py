"""Ledgers of several people: one's own, made, shared in each role, and never mixed up."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from people import Holder, Person, another, first_user, nobody, problem, told

from cashman.access import members
from cashman.limits import LEDGERS_MAX

pytestmark = pytest.mark.usefixtures("proved")

PIZZA = {"description": "pizza", "amount": 50}
SHOWN = {"Prefer": "return=representation"}
UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
BOOTSTRAP_KEY = "bootstrap-0123456789-abcdefghijklmnopqrstuvwxyz"
MEMBERS = ["id", "name", "currency", "role", "own", "closed_until", "created_at"]
FORBIDDEN, NOT_FOUND, LAST_OWNER = (403, "forbidden"), (404, "not-found"), (409, "last-owner")


@pytest.fixture
def anna(admin: Person) -> Person:
    """A user with a ledger of her own."""
    return another(admin, "anna@example.com", name="Anna")


@pytest.fixture
def bert(admin: Person) -> Person:
    """Another."""
    return another(admin, "bert@example.com")


def spent(holder: Holder, description: str, prefix: str = "", **fields: Any) -> dict[str, Any]:
    """Record an expense, and give it as it is shown."""
    body = {"description": description, "amount": 5, **fields}
    answer = holder.post(f"{prefix}/expenses", body, headers=SHOWN)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json
    return document


def descriptions(holder: Holder, path: str) -> list[str]:
    """What a list names."""
    answer = holder.get(path)
    assert answer.status_code == 200, answer.text
    return [one["description"] for one in answer.json]


def entries(holder: Holder, prefix: str = "") -> list[dict[str, Any]]:
    """The entries of a ledger's journal."""
    return [json.loads(one["entry"]) for one in holder.get(f"{prefix}/journal").json]


def test_every_user_has_a_ledger(admin: Person, anna: Person) -> None:
    [own] = anna.get("/ledgers").json
    assert list(own) == MEMBERS
    assert own == {
        "id": anna.ledger, "name": None, "currency": "USD", "role": "owner", "own": True, "closed_until": None,
        "created_at": own["created_at"],
    }  # fmt: skip
    assert anna.get("/ledger").json["id"] == anna.ledger != admin.ledger
    assert anna.get(f"/ledgers/{anna.ledger}").json == own
    assert [account["name"] for account in anna.get("/accounts").json] == ["main"]
    assert [(one["sequence"], one["kind"], one["actor"]) for one in entries(anna)] == [
        (1, "open", f"user:{admin.id}"),
        (2, "open", f"user:{admin.id}"),
    ]


def test_ledgers_that_users_share_hold_apart_what_is_theirs(admin: Person, anna: Person, bert: Person) -> None:
    for person in (admin, anna, bert):
        spent(person, person.email)
    for person in (admin, anna, bert):
        assert descriptions(person, "/expenses") == [person.email]
        assert descriptions(person, f"/ledgers/{person.ledger}/expenses") == [person.email]
        assert [(one["account"], one["balance"]) for one in person.get("/balances").json] == [("main", -5)]
        others = [other.get("/journal").text for other in (admin, anna, bert) if other != person]
        assert person.email not in "".join(others)


def test_a_ledger_that_is_made_is_its_makers(admin: Person, anna: Person, bert: Person) -> None:
    answer = anna.post("/ledgers", {"name": "Flat share", "currency": "EUR"})
    assert (answer.status_code, list(answer.json)) == (201, MEMBERS)
    made = answer.json
    assert answer.headers["Location"] == f"/ledgers/{made['id']}"
    assert (made["name"], made["currency"], made["role"], made["own"]) == ("Flat share", "EUR", "owner", False)
    assert anna.get(answer.headers["Location"]).json == made
    assert [one["id"] for one in anna.get("/ledgers").json] == [anna.ledger, made["id"]]
    assert spent(anna, "rent", f"/ledgers/{made['id']}")["currency"] == "EUR"
    assert anna.get("/expenses").json == []
    for other in (admin, bert, admin.key("admin")):
        assert problem(other.get(f"/ledgers/{made['id']}")) == NOT_FOUND
    first, second, third = entries(anna, f"/ledgers/{made['id']}")
    assert [first["actor"], second["actor"], third["actor"]] == [f"user:{anna.id}"] * 3
    assert anna.new_ledger("In the currency of the service") != made["id"]
    assert anna.get("/ledgers").json[2]["currency"] == "USD"


def test_a_ledger_of_bad_fields_is_refused(anna: Person) -> None:
    for given, named in (
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\0"}, "name"),
        ({"name": "x", "currency": "usd"}, "currency"),
        ({"name": "x", "currency": 5}, "currency"),
        ({"name": "x", "id": UNKNOWN}, "id"),
        ({"name": "x", "role": "owner"}, "role"),
    ):
        answer = anna.post("/ledgers", given)
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), [named]), given
    for given, named in (({}, "name"), ({"name": ""}, "name"), ({"name": "x", "currency": "EUR"}, "currency")):
        answer = anna.patch(f"/ledgers/{anna.ledger}", given)
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), [named]), given
    assert len(anna.get("/ledgers").json) == 1


def test_a_ledger_is_named_and_unnamed(admin: Person, anna: Person) -> None:
    path = f"/ledgers/{anna.ledger}"
    assert anna.patch(path, {"name": "Anna's"}).json["name"] == "Anna's"
    assert anna.get("/ledgers").json[0]["name"] == "Anna's"
    assert admin.get("/ledgers").json[0]["name"] is None
    merge = {"data": '{"name": null}', "content_type": "application/merge-patch+json"}
    assert anna.ask("PATCH", path, **merge).json["name"] is None


def test_a_user_owns_so_many_ledgers_at_most(anna: Person, bert: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LEDGERS_MAX == 100
    monkeypatch.setattr(members, "LEDGERS_MAX", 2)
    bert.share(bert.ledger, anna, "editor")  # what others share does not count
    anna.new_ledger()
    refused = anna.post("/ledgers", {"name": "x"})
    assert (problem(refused), refused.json["detail"]) == (
        (409, "too-many"),
        "At most 2 ledgers have the same owner.",
    )
    assert bert.new_ledger()


@pytest.mark.parametrize("role", ["viewer", "editor", "owner"])
def test_a_ledger_is_shared_in_a_role(anna: Person, bert: Person, worker: FlaskClient, role: str) -> None:
    prefix, elsewhere = f"/ledgers/{anna.ledger}", Holder(worker, bert.token)
    kept = spent(anna, "pizza")
    assert problem(elsewhere.get(f"{prefix}/expenses")) == NOT_FOUND  # so that the worker knows it
    answer = anna.put(f"{prefix}/members/{bert.id}", {"role": role})
    assert (answer.status_code, answer.data) == (201, b"")
    assert [(one["id"], one["role"], one["own"]) for one in elsewhere.get("/ledgers").json] == [
        (anna.ledger, role, False),
        (bert.ledger, "owner", True),
    ]
    assert descriptions(elsewhere, f"{prefix}/expenses") == ["pizza"]
    assert descriptions(elsewhere, "/expenses") == []
    may_edit, may_all = role in ("editor", "owner"), role == "owner"
    statuses = [
        elsewhere.post(f"{prefix}/expenses", PIZZA).status_code,
        elsewhere.delete(f"{prefix}/expenses/{kept['id']}").status_code,
        elsewhere.post(f"{prefix}/expenses/{kept['id']}/redact").status_code,
        elsewhere.patch(f"{prefix}/ledger", {"closed_until": None}).status_code,
        elsewhere.put(f"{prefix}/members/{anna.id}", {"role": "owner"}).status_code,
    ]
    assert [status < 300 for status in statuses] == [may_edit, may_edit, may_all, may_all, may_all]
    assert {status for status in statuses if status >= 300} <= {403}
    assert anna.delete(f"{prefix}/members/{bert.id}").status_code == 204
    assert problem(elsewhere.get(f"{prefix}/expenses")) == NOT_FOUND
    assert [one["id"] for one in elsewhere.get("/ledgers").json] == [bert.ledger]


def test_members_are_listed_with_their_roles(admin: Person, anna: Person, bert: Person) -> None:
    anna.share(anna.ledger, bert, "viewer")
    anna_shown = {"user": anna.id, "name": "Anna", "email": "anna@example.com", "role": "owner"}
    bert_shown = {"user": bert.id, "name": None, "email": "bert@example.com", "role": "viewer"}
    for person in (anna, bert):
        listed = person.get(f"/ledgers/{anna.ledger}/members").json
        assert sorted(listed, key=lambda one: one["email"]) == [anna_shown, bert_shown]
    assert problem(admin.get(f"/ledgers/{anna.ledger}/members")) == NOT_FOUND


def test_a_member_gets_another_role_at_once(anna: Person, bert: Person, worker: FlaskClient) -> None:
    path, elsewhere = f"/ledgers/{anna.ledger}/members/{bert.id}", Holder(worker, bert.token)
    for role, status in (("viewer", 201), ("viewer", 204), ("editor", 204), ("owner", 204), ("viewer", 204)):
        assert anna.put(path, {"role": role}).status_code == status
        assert elsewhere.get(f"/ledgers/{anna.ledger}").json["role"] == role
        wanted = 403 if role == "viewer" else 204
        assert elsewhere.post(f"/ledgers/{anna.ledger}/expenses", PIZZA).status_code == wanted


def test_the_last_owner_of_a_ledger_stays(anna: Person, bert: Person) -> None:
    ledger = anna.new_ledger()
    path = f"/ledgers/{ledger}/members"
    anna.share(ledger, bert, "editor")
    for role in ("viewer", "editor"):
        assert problem(anna.put(f"{path}/{anna.id}", {"role": role})) == LAST_OWNER
    assert problem(anna.delete(f"{path}/{anna.id}")) == LAST_OWNER
    assert anna.put(f"{path}/{anna.id}", {"role": "owner"}).status_code == 204
    anna.share(ledger, bert, "owner")
    assert anna.put(f"{path}/{anna.id}", {"role": "editor"}).status_code == 204
    assert problem(anna.put(f"{path}/{anna.id}", {"role": "owner"})) == FORBIDDEN
    assert problem(bert.delete(f"{path}/{bert.id}")) == LAST_OWNER


def test_members_leave_by_themselves_and_put_nobody_else_out(admin: Person, anna: Person, bert: Person) -> None:
    carl = another(admin, "carl@example.com")
    path = f"/ledgers/{anna.ledger}/members"
    anna.share(anna.ledger, bert, "editor")
    anna.share(anna.ledger, carl, "viewer")
    assert problem(bert.delete(f"{path}/{carl.id}")) == FORBIDDEN
    assert problem(carl.delete(f"{path}/{anna.id}")) == FORBIDDEN
    assert problem(carl.key("write").delete(f"{path}/{carl.id}")) == FORBIDDEN
    assert problem(admin.delete(f"{path}/{carl.id}")) == NOT_FOUND
    assert carl.delete(f"{path}/{carl.id}").status_code == 204
    assert problem(carl.delete(f"{path}/{carl.id}")) == NOT_FOUND
    assert bert.key("admin").delete(f"{path}/{bert.id}").status_code == 204
    assert problem(anna.delete(f"{path}/{bert.id}")) == NOT_FOUND
    assert problem(anna.delete(f"{path}/{UNKNOWN}")) == NOT_FOUND
    assert [one["user"] for one in anna.get(path).json] == [anna.id]


def test_a_user_stays_the_owner_of_the_own_ledger(anna: Person, bert: Person) -> None:
    """Unprefixed routes mean it, and would mean nothing any more."""
    anna.share(anna.ledger, bert, "owner")
    path = f"/ledgers/{anna.ledger}/members/{anna.id}"
    for who in (anna, bert):
        assert problem(who.delete(path)) == LAST_OWNER
        assert problem(who.put(path, {"role": "viewer"})) == LAST_OWNER
    assert anna.get("/expenses").json == []
    assert bert.delete(f"/ledgers/{anna.ledger}/members/{bert.id}").status_code == 204


def test_a_member_of_bad_fields_is_refused(anna: Person, bert: Person) -> None:
    path = f"/ledgers/{anna.ledger}/members/{bert.id}"
    for given, named in (
        ({}, "role"),
        ({"role": None}, "role"),
        ({"role": "admin"}, "role"),
        ({"role": "Owner"}, "role"),
        ({"role": ["owner"]}, "role"),
        ({"role": "viewer", "user": bert.id}, "user"),
    ):
        answer = anna.put(path, given)
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), [named]), given
    assert problem(anna.put(f"/ledgers/{anna.ledger}/members/{UNKNOWN}", {"role": "viewer"})) == NOT_FOUND
    assert problem(anna.put(f"/ledgers/{anna.ledger}/members/me", {"role": "viewer"})) == NOT_FOUND
    assert len(anna.get(f"/ledgers/{anna.ledger}/members").json) == 1


def test_a_ledger_has_so_many_members_at_most(anna: Person, bert: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "LEDGER_MEMBERS_MAX", 1)
    refused = anna.put(f"/ledgers/{anna.ledger}/members/{bert.id}", {"role": "viewer"})
    assert problem(refused) == (409, "too-many")
    assert anna.put(f"/ledgers/{anna.ledger}/members/{anna.id}", {"role": "owner"}).status_code == 204


def test_what_is_made_under_a_prefix_is_found_where_it_says(anna: Person, bert: Person) -> None:
    anna.share(anna.ledger, bert, "editor")
    prefix = f"/ledgers/{anna.ledger}"
    savings = bert.post(f"{prefix}/accounts", {"name": "savings"})
    assert savings.headers["Location"] == f"{prefix}/accounts/{savings.json['id']}"
    move = {"from": "main", "to": "savings", "amount": 5}
    bodies = {"expenses": PIZZA, "incomes": PIZZA, "transactions": {**PIZZA, "type": "INCOME"}, "transfers": move}
    for name, body in bodies.items():
        location = bert.post(f"{prefix}/{name}", body).headers["Location"]
        assert location.startswith(f"{prefix}/{name}/")
        assert bert.get(location).status_code == 200
        own = anna.post(f"/{name}", body).headers["Location"]
        assert own.startswith(f"/{name}/")
        assert bert.get(prefix + own).json == anna.get(own).json
        assert problem(bert.get(own)) == NOT_FOUND
    receipt = {**PIZZA, "amount": 10, "lines": [{"amount": 4}, {"amount": 6}]}
    assert bert.post(f"{prefix}/expenses", receipt).headers["Location"].startswith(f"{prefix}/expenses/")


@pytest.mark.parametrize("path", ["/expenses", "/transactions", "/accounts/1/transactions", "/journal"])
def test_the_next_page_is_one_of_the_same_ledger(anna: Person, bert: Person, path: str) -> None:
    anna.share(anna.ledger, bert, "viewer")
    for number in range(3):
        spent(anna, f"Anna's {number}")
        spent(bert, f"Bert's {number}")
    prefix, seen, pages = f"/ledgers/{anna.ledger}", "", 0
    following = f"{prefix}{path}?limit=2"
    while following:
        answer = bert.get(following)
        assert answer.status_code == 200
        seen += answer.text
        pages += 1
        link = re.fullmatch('<(.+)>; rel="next"', answer.headers.get("Link", ""))
        assert link is None or link[1].startswith(f"{prefix}{path}?")
        following = link[1] if link else ""
    assert pages >= 2
    assert all(seen.count(f"Anna's {number}") == 1 for number in range(3))
    assert "Bert's" not in seen


def test_a_cursor_is_good_in_its_own_ledger_only(anna: Person, bert: Person) -> None:
    anna.share(anna.ledger, bert, "viewer")
    for number in range(3):
        spent(anna, f"Anna's {number}")
        spent(bert, f"Bert's {number}")
    link = anna.get("/expenses?limit=1").headers["Link"]
    [cursor] = re.findall("cursor=([^>&]+)", link)
    assert descriptions(bert, f"/ledgers/{anna.ledger}/expenses?limit=1&cursor={cursor}") == ["Anna's 1"]
    refused = bert.get(f"/expenses?limit=1&cursor={cursor}")
    assert (problem(refused), list(refused.json["errors"])) == ((422, "invalid"), ["cursor"])
    assert "Anna" not in refused.text


def test_a_page_that_was_made_for_one_is_not_shown_to_another(anna: Person, bert: Person) -> None:
    spent(anna, "Anna's")
    for _ in range(2):
        assert descriptions(anna, "/expenses") == ["Anna's"]
        assert descriptions(bert, "/expenses") == []
    tag = anna.get("/expenses").headers["ETag"]
    for path in ("/expenses", "/transactions", "/accounts", "/categories", "/tags", "/balances", "/ledger"):
        tag = anna.get(path).headers["ETag"]
        assert anna.get(path, headers={"If-None-Match": tag}).status_code == 304
        answer = bert.get(path, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.headers["ETag"] != tag) == (200, True), path


def test_what_a_cache_keeps_for_one_it_does_not_show_to_another(anna: Person, bert: Person) -> None:
    """The same path is another resource to each: whoever keeps an answer has to know that."""
    for path in ("/users/me", "/accounts/1", "/accounts", "/ledger", "/ledgers", "/expenses", "/api-keys"):
        for person in (anna, bert):
            varies = {name.strip().lower() for name in ",".join(person.get(path).headers.getlist("Vary")).split(",")}
            assert "authorization" in varies, path


def test_somebody_elses_things_are_not_there(anna: Person, bert: Person, admin: Person) -> None:
    spent(bert, "so that there is something")
    anna.post("/accounts", {"name": "savings"})
    ids = {
        "expenses": spent(anna, "secret")["id"],
        "transactions": spent(anna, "secret")["id"],
        "incomes": anna.post("/incomes", PIZZA, headers=SHOWN).json["id"],
        "transfers": anna.post("/transfers", {"from": "main", "to": "savings", "amount": 1}, headers=SHOWN).json["id"],
    }
    bodies: dict[str, Any] = {"PUT": {**PIZZA, "date": "2026-01-31"}, "PATCH": {"description": "x"}}
    moved = {**bodies, "PUT": {"from": "main", "to": "savings", "amount": 1, "date": "2026-01-31"}}
    for person in (bert, admin, bert.key("admin")):
        for name, id_ in ids.items():
            for method, end in (
                ("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/history"), ("POST", "/restore"),
                ("POST", "/redact"),
            ):  # fmt: skip
                body = (moved if name == "transfers" else bodies).get(method)
                there = person.ask(method, f"/{name}/{id_}{end}", json=body)
                absent = person.ask(method, f"/{name}/{UNKNOWN}{end}", json=body)
                assert problem(there) == NOT_FOUND, (method, name, end)
                assert there.data == absent.data
                assert told(there) == told(absent)
            prefixed = person.get(f"/ledgers/{anna.ledger}/{name}/{id_}")
            assert (problem(prefixed), prefixed.data) == (
                NOT_FOUND,
                person.get(f"/ledgers/{UNKNOWN}/{name}/{id_}").data,
            )
        assert problem(person.get("/accounts/2")) == NOT_FOUND
        assert problem(person.get("/accounts/2/transactions")) == NOT_FOUND
        unknown = person.get("/expenses?account=savings")
        assert (problem(unknown), list(unknown.json["errors"])) == ((422, "invalid"), ["account"])
        assert "secret" not in person.get("/transactions?q=secret").text
    assert descriptions(anna, "/expenses") == ["secret", "secret"]


def test_an_id_of_another_ledger_does_not_get_in_by_ones_own_prefix(anna: Person, bert: Person) -> None:
    id_ = spent(anna, "secret")["id"]
    for prefix in ("", f"/ledgers/{bert.ledger}"):
        for path in (f"/expenses/{id_}", f"/transactions/{id_}", f"/expenses/{id_}/history"):
            assert problem(bert.get(prefix + path)) == NOT_FOUND
    answer = bert.post("/transfers", {"from": "main", "to": "Anna", "amount": 1})
    assert answer.status_code == 422


def test_two_ledgers_may_have_the_same_ids_and_keys(anna: Person, bert: Person) -> None:
    id_, keyed = "01ARZ3NDEKTSV4RRFFQ69G5FAW", {"Idempotency-Key": "one"}
    assert spent(anna, "Anna's", id=id_)["id"] == spent(bert, "Bert's", id=id_)["id"] == id_
    for person in (anna, bert):
        answer = person.post("/incomes", PIZZA, headers=keyed)
        assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (204, False)
    # In one ledger, too, a key is whose who used it.
    anna.share(anna.ledger, bert, "editor")
    prefix = f"/ledgers/{anna.ledger}"
    assert "Idempotency-Replayed" not in bert.post(f"{prefix}/incomes", PIZZA, headers=keyed).headers
    again = bert.post(f"{prefix}/incomes", PIZZA, headers=keyed)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"].startswith(prefix)
    assert anna.post("/incomes", PIZZA, headers=keyed).headers["Idempotency-Replayed"] == "true"
    assert problem(anna.post(f"{prefix}/incomes", PIZZA, headers=keyed)) == (422, "key-reused")
    assert len(anna.get("/incomes").json) == 2
    assert descriptions(bert, "/expenses") == ["Bert's"]


def test_the_journal_says_who_it_was(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(bootstrap_key=BOOTSTRAP_KEY)
    nobody(client).post("/expenses", PIZZA)
    Holder(client, BOOTSTRAP_KEY).post("/expenses", PIZZA)
    admin = first_user(client)
    admin.post("/expenses", PIZZA)
    bert = another(admin)
    admin.share(admin.ledger, bert, "editor")
    bert.post(f"/ledgers/{admin.ledger}/expenses", PIZZA)
    key = bert.post("/api-keys", {"name": "x", "scope": "write", "ledger": admin.ledger}).json
    Holder(client, key["key"]).post("/expenses", PIZZA)
    Holder(client, BOOTSTRAP_KEY).post("/expenses", PIZZA)
    actors = ["owner", "bootstrap", f"user:{admin.id}", f"user:{bert.id}", f"key:{key['id']}", "bootstrap"]
    assert [one["actor"] for one in entries(admin)] == ["owner", "owner", *actors]
    assert [one["actor"] for one in entries(bert)] == [f"user:{admin.id}"] * 2
    shown = [admin.get(f"/expenses/{one['id']}/history").json[0]["actor"] for one in admin.get("/expenses").json]
    assert sorted(shown) == sorted(actors)


def test_the_open_door_shares_and_makes_ledgers_that_the_first_user_takes_over(client: FlaskClient) -> None:
    made = client.post("/ledgers", json={"name": "Second"})
    assert (made.status_code, made.json["role"]) == (201, "owner")
    second = made.json["id"]
    assert client.post(f"/ledgers/{second}/expenses", json=PIZZA).status_code == 204
    assert [one["own"] for one in client.get("/ledgers").json] == [True, False]
    admin = first_user(client)
    assert [one["id"] for one in admin.get("/ledgers").json] == [admin.ledger, second]
    assert descriptions(admin, f"/ledgers/{second}/expenses") == ["pizza"]
    assert descriptions(admin, "/expenses") == []
    assert problem(another(admin).get(f"/ledgers/{second}")) == NOT_FOUND


def test_a_ledger_that_is_made_in_one_worker_is_there_in_another(anna: Person, worker: FlaskClient) -> None:
    elsewhere = Holder(worker, anna.token)
    assert elsewhere.get("/ledgers").json == anna.get("/ledgers").json
    second = anna.new_ledger()
    assert spent(elsewhere, "there", f"/ledgers/{second}")
    assert descriptions(anna, f"/ledgers/{second}/expenses") == ["there"]
    assert anna.patch(f"/ledgers/{second}", {"name": "named"}).status_code == 200
    assert elsewhere.get(f"/ledgers/{second}").json["name"] == "named"


def test_an_id_in_other_letters_is_no_ledger(anna: Person) -> None:
    for id_ in (anna.ledger.lower(), anna.ledger + "A", anna.ledger[:-1], "1", "me", "..", "%00"):
        assert anna.get(f"/ledgers/{id_}/expenses").status_code == 404
        assert anna.get(f"/ledgers/{id_}").status_code == 404
    assert problem(anna.get(f"/ledgers/{anna.ledger}/ledgers")) == NOT_FOUND
    assert problem(anna.get(f"/ledgers/{anna.ledger}/users/me")) == NOT_FOUND
    assert problem(anna.get(f"/ledgers/{anna.ledger}/ledgers/{anna.ledger}/expenses")) == NOT_FOUND


def test_the_open_door_shares_nothing(with_settings: Callable[..., FlaskClient]) -> None:
    """What it did would outlast it: the owner could be put out of the books."""
    client = with_settings(auth="open")
    admin = first_user(client)
    person = another(admin)
    path = f"/ledgers/{admin.ledger}/members"
    assert client.get(path).status_code == 200
    assert problem(client.put(f"{path}/{person.id}", json={"role": "owner"})) == (403, "forbidden")
    assert problem(client.delete(f"{path}/{admin.id}")) == (403, "forbidden")
    assert [one["user"] for one in admin.get(path).json] == [admin.id]
