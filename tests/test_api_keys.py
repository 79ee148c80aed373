"""API keys over HTTP: shown once, as wide as their scope and no wider than their user, and gone at once."""

import datetime as dt
import hashlib
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from people import Holder, Person, another, nobody, problem
from sqlalchemy import select

from cashman import current
from cashman.access import api_keys, directory
from cashman.db import table, utc_now
from cashman.ledger import Books
from cashman.limits import LAST_USE_SECONDS
from cashman.model.access import ApiKey

pytestmark = pytest.mark.usefixtures("proved")

PIZZA = {"description": "pizza", "amount": 50}
UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
BOOTSTRAP_KEY = "bootstrap-0123456789-abcdefghijklmnopqrstuvwxyz"
MEMBERS = ["id", "name", "scope", "ledger", "expires_at", "created_at", "last_used_at"]
FORBIDDEN, INVALID, NOT_FOUND = (403, "forbidden"), (401, "invalid-token"), (404, "not-found")


def made(holder: Holder, scope: str = "read", **fields: Any) -> dict[str, Any]:
    """What making a key answers."""
    answer = holder.post("/api-keys", {"name": "a machine", "scope": scope, **fields})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json
    return document


def in_seconds(seconds: float) -> str:
    """An instant so far from now."""
    return (utc_now() + dt.timedelta(seconds=seconds)).isoformat()


def test_a_key_is_shown_once(admin: Person) -> None:
    answer = admin.post("/api-keys", {"name": "a machine", "scope": "read"})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    document = answer.json
    assert list(document) == [*MEMBERS, "key"]
    key = document.pop("key")
    assert re.fullmatch("cashman_[A-Za-z0-9_-]{43}", key)
    assert answer.headers["Location"] == f"/api-keys/{document['id']}"
    assert document == {
        "id": document["id"], "name": "a machine", "scope": "read", "ledger": None, "expires_at": None,
        "created_at": document["created_at"], "last_used_at": None,
    }  # fmt: skip
    assert abs(dt.datetime.fromisoformat(document["created_at"]) - utc_now()) < dt.timedelta(minutes=1)
    assert admin.get(answer.headers["Location"]).json == document
    assert admin.get("/api-keys").json == [document]
    assert made(admin)["key"] != key


def test_of_a_key_only_a_hash_is_kept_and_nothing_is_logged(
    admin: Person, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = made(admin)["key"]
    assert Holder(admin.client, key).get("/users/me").status_code == 200
    assert Holder(admin.client, key + "x").get("/users/me").status_code == 401
    [row] = books.database.read(lambda connection: connection.execute(select(table(ApiKey))).all())
    assert bytes(row.hash) == hashlib.sha256(key.encode()).digest()
    assert key not in str(row)
    assert key.removeprefix("cashman_") not in str(row)
    assert key not in caplog.text


def test_a_key_does_what_its_scope_says(admin: Person) -> None:
    read, write, full = (admin.key(scope) for scope in ("read", "write", "admin"))
    assert [holder.get("/expenses").status_code for holder in (read, write, full)] == [200, 200, 200]
    assert [holder.post("/expenses", PIZZA).status_code for holder in (read, write, full)] == [403, 204, 204]
    close = {"closed_until": None}
    assert [holder.patch("/ledger", close).status_code for holder in (read, write, full)] == [403, 403, 200]
    assert [holder.get("/users").status_code for holder in (read, write, full)] == [403, 403, 200]
    assert [holder.get("/api-keys").status_code for holder in (read, write, full)] == [200, 200, 200]
    new = {"email": "new@example.com"}
    assert [holder.post("/users", new).status_code for holder in (read, write, full)] == [403, 403, 201]
    name = {"name": "x", "scope": "read"}
    assert [holder.post("/api-keys", name).status_code for holder in (read, write)] == [403, 403]
    assert [holder.post("/ledgers", {"name": "x"}).status_code for holder in (read, write, full)] == [403, 403, 201]
    refused = read.post("/expenses", PIZZA)
    assert (problem(refused), "Your role is owner, and your scope read." in refused.json["detail"]) == (FORBIDDEN, True)


def test_a_key_may_no_more_than_its_user(admin: Person) -> None:
    person = another(admin)
    key = person.key("admin")
    admin.share(admin.ledger, person, "viewer")
    assert key.get(f"/ledgers/{admin.ledger}/expenses").status_code == 200
    assert problem(key.post(f"/ledgers/{admin.ledger}/expenses", PIZZA)) == FORBIDDEN
    assert problem(key.get("/users")) == FORBIDDEN
    admin.share(admin.ledger, person, "editor")
    assert key.post(f"/ledgers/{admin.ledger}/expenses", PIZZA).status_code == 204
    assert problem(key.patch(f"/ledgers/{admin.ledger}/ledger", {"closed_until": None})) == FORBIDDEN
    admin.delete(f"/ledgers/{admin.ledger}/members/{person.id}")
    assert problem(key.get(f"/ledgers/{admin.ledger}/expenses")) == NOT_FOUND
    assert key.get("/expenses").status_code == 200


def test_a_key_of_one_ledger_is_good_for_that_alone(admin: Person) -> None:
    other = admin.new_ledger("Other")
    document = made(admin, "admin", ledger=other)
    key = Holder(admin.client, document["key"])
    assert document["ledger"] == other
    admin.post("/expenses", {**PIZZA, "description": "mine"})
    answer = key.post("/expenses", PIZZA)  # unprefixed routes mean its ledger
    assert answer.status_code == 204
    assert [one["description"] for one in key.get("/expenses").json] == ["pizza"]
    assert key.get("/ledger").json["id"] == other
    assert [one["id"] for one in key.get("/ledgers").json] == [other]
    assert key.get("/ledgers").json[0]["own"] is True
    assert key.get(f"/ledgers/{other}/expenses").json == key.get("/expenses").json
    assert key.get(f"/ledgers/{other}").json["role"] == "owner"
    assert key.patch(f"/ledgers/{other}", {"name": "named"}).json["name"] == "named"
    for path in (f"/ledgers/{admin.ledger}", f"/ledgers/{admin.ledger}/expenses", f"/ledgers/{admin.ledger}/members"):
        assert problem(key.get(path)) == NOT_FOUND
    for path in ("/users/me", f"/users/{admin.id}", "/users", "/api-keys", f"/api-keys/{document['id']}"):
        assert problem(key.get(path)) == FORBIDDEN
    for path, body in (("/api-keys", {"name": "x", "scope": "admin"}), ("/ledgers", {"name": "x"}), ("/users", {})):
        assert key.post(path, body).status_code in (403, 422)
    assert [one["description"] for one in admin.get("/expenses").json] == ["mine"]


def test_a_key_of_a_ledger_that_its_user_has_left_is_good_for_nothing(admin: Person, worker: FlaskClient) -> None:
    person = another(admin)
    admin.share(admin.ledger, person, "editor")
    key = person.key("write", ledger=admin.ledger)
    elsewhere = Holder(worker, key.token)
    assert elsewhere.post("/expenses", PIZZA).status_code == 204
    assert admin.delete(f"/ledgers/{admin.ledger}/members/{person.id}").status_code == 204
    for holder in (key, elsewhere):
        assert problem(holder.get("/expenses")) == NOT_FOUND
        assert problem(holder.post("/expenses", PIZZA)) == NOT_FOUND
        assert holder.get("/ledgers").json == []
    admin.share(admin.ledger, person, "viewer")
    assert elsewhere.get("/expenses").status_code == 200
    assert problem(elsewhere.post("/expenses", PIZZA)) == FORBIDDEN


def test_a_key_of_a_ledger_takes_a_member_of_it(admin: Person) -> None:
    person = another(admin)
    for ledger in (admin.ledger, UNKNOWN):
        answer = person.post("/api-keys", {"name": "x", "scope": "read", "ledger": ledger})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), ["ledger"])
        assert answer.json["errors"] == {"ledger": ["You are no member of such a ledger."]}


def test_a_key_that_is_revoked_is_out_at_once_on_every_worker(admin: Person, worker: FlaskClient) -> None:
    document = made(admin)
    other = admin.key("read")
    holders = [Holder(place, document["key"]) for place in (admin.client, worker)]
    assert [holder.get("/expenses").status_code for holder in holders] == [200, 200]
    answer = admin.delete(f"/api-keys/{document['id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert [problem(holder.get("/expenses")) for holder in holders] == [INVALID, INVALID]
    assert problem(admin.get(f"/api-keys/{document['id']}")) == NOT_FOUND
    assert problem(admin.delete(f"/api-keys/{document['id']}")) == NOT_FOUND
    assert other.get("/expenses").status_code == 200
    assert len(admin.get("/api-keys").json) == 1


def test_a_key_that_has_expired_is_out(admin: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    document = made(admin, expires_at=in_seconds(3600))
    key = Holder(admin.client, document["key"])
    assert dt.datetime.fromisoformat(document["expires_at"]) > utc_now()
    assert key.get("/expenses").status_code == 200  # so that the worker knows it
    now = utc_now() + dt.timedelta(seconds=3590)
    monkeypatch.setattr(directory, "utc_now", lambda: now)
    assert key.get("/expenses").status_code == 200
    monkeypatch.setattr(directory, "utc_now", lambda: now + dt.timedelta(seconds=11))
    assert problem(key.get("/expenses")) == INVALID
    assert admin.get(f"/api-keys/{document['id']}").status_code == 200  # it is still listed


def test_when_a_key_was_last_used_is_known_to_the_minute(
    admin: Person, worker: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = made(admin)
    key, path = Holder(admin.client, document["key"]), f"/api-keys/{document['id']}"
    assert admin.get(path).json["last_used_at"] is None
    key.get("/expenses")
    used = admin.get(path).json["last_used_at"]
    assert abs(dt.datetime.fromisoformat(used) - utc_now()) < dt.timedelta(minutes=1)
    key.post("/expenses", PIZZA)  # is refused, and noted no more often
    key.get("/expenses")
    assert admin.get(path).json["last_used_at"] == used
    noted = current.access(admin.client.application)._noted_uses
    noted[document["id"]] -= LAST_USE_SECONDS
    key.get("/expenses")
    assert admin.get(path).json["last_used_at"] > used


def test_somebody_elses_key_is_not_there(admin: Person) -> None:
    person = another(admin)
    document = made(person)
    for holder in (admin, admin.key("admin"), another(admin, "third@example.com")):
        for method in ("GET", "DELETE"):
            there = holder.ask(method, f"/api-keys/{document['id']}")
            assert problem(there) == NOT_FOUND
            assert there.data == holder.ask(method, f"/api-keys/{UNKNOWN}").data
        assert document["id"] not in holder.get("/api-keys").text
    assert person.get(f"/api-keys/{document['id']}").status_code == 200


def test_keys_take_a_user(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(bootstrap_key=BOOTSTRAP_KEY)
    for holder in (nobody(client), Holder(client, BOOTSTRAP_KEY)):
        assert problem(holder.get("/api-keys")) == FORBIDDEN
        assert problem(holder.post("/api-keys", {"name": "x", "scope": "read"})) == FORBIDDEN
        assert problem(holder.get(f"/api-keys/{UNKNOWN}")) == FORBIDDEN
        assert problem(holder.delete(f"/api-keys/{UNKNOWN}")) == FORBIDDEN


def test_a_user_has_so_many_keys_at_most(admin: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "API_KEYS_MAX", 2)
    person = another(admin)
    first, _ = made(admin), made(admin)
    refused = admin.post("/api-keys", {"name": "x", "scope": "read"})
    assert (problem(refused), refused.json["detail"]) == ((409, "too-many"), "A user has at most 2 API keys.")
    made(person)
    admin.delete(f"/api-keys/{first['id']}")
    made(admin)


def test_a_key_of_bad_fields_is_refused(admin: Person) -> None:
    good = {"name": "a machine", "scope": "read"}
    for given, named in (
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\0"}, "name"),
        ({"scope": "owner"}, "scope"),
        ({"scope": "READ"}, "scope"),
        ({"scope": None}, "scope"),
        ({"scope": ["read"]}, "scope"),
        ({"scope": ""}, "scope"),
        ({"ledger": "x"}, "ledger"),
        ({"ledger": 1}, "ledger"),
        ({"ledger": admin.ledger.lower()}, "ledger"),
        ({"expires_at": "x"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2100-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"expires_at": 4102444800}, "expires_at"),
        ({"expires_at": in_seconds(-1)}, "expires_at"),
        ({"key": "cashman_x"}, "key"),
        ({"id": UNKNOWN}, "id"),
        ({"user_id": UNKNOWN}, "user_id"),
        ({"last_used_at": None}, "last_used_at"),
    ):
        answer = admin.post("/api-keys", {**good, **given})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), [named]), given
    for missing in good:
        answer = admin.post("/api-keys", {name: good[name] for name in good if name != missing})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), [missing])
    assert admin.get("/api-keys?limit=1").status_code == 422
    assert admin.get("/api-keys").json == []
    assert made(admin, expires_at="2100-01-01T01:00:00+01:00")["expires_at"].startswith("2100-01-01T00:00:00")


def test_what_is_no_key_is_refused(admin: Person) -> None:
    key = made(admin)["key"]
    for wrong in (key[:-1], key + "A", key.upper(), key.removeprefix("cashman_"), "cashman_", f"cashman_{'A' * 43}"):
        answer = Holder(admin.client, wrong).get("/expenses")
        assert problem(answer) == INVALID, wrong
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    [row] = admin.get("/api-keys").json
    assert row["last_used_at"] is None
    for scheme in ("bearer", "BEARER"):
        assert admin.client.get("/expenses", headers={"Authorization": f"{scheme} {key}"}).status_code == 200
    for header in (key, f"Basic {key}", f"Token {key}", "Bearer", "Bearer "):
        assert admin.client.get("/expenses", headers={"Authorization": header}).status_code == 401
    for name in ("X-Api-Key", "Api-Key", "Cookie"):
        assert admin.client.get("/expenses", headers={name: key}).status_code == 401
    for parameter in ("key", "token", "access_token"):
        assert admin.client.get(f"/expenses?{parameter}={key}").status_code == 401


def test_the_journal_names_the_key_that_did_it(admin: Person) -> None:
    document = made(admin, "write")
    Holder(admin.client, document["key"]).post("/expenses", PIZZA)
    [transaction] = admin.get("/expenses").json
    [version] = admin.get(f"/expenses/{transaction['id']}/history").json
    assert version["actor"] == f"key:{document['id']}"
    assert document["key"] not in admin.get("/journal").text
