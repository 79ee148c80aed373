"""Users over HTTP: the first one takes over, e-mails, passwords, and who may change what of whom."""

import datetime as dt
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from people import PASSWORD, Holder, Person, another, first_user, nobody, problem, setup_code, sign_in, signed_in
from sqlalchemy import select
from werkzeug.test import TestResponse

from cashman import access, current
from cashman.access import tries
from cashman.access.issuer import OutsideClaims
from cashman.db import table
from cashman.ledger import Books
from cashman.limits import SIGN_IN_SECONDS, SIGN_IN_TRIES_OF_ACCOUNT
from cashman.model.access import User
from cashman.verify import verify

pytestmark = pytest.mark.usefixtures("proved")

PIZZA = {"description": "pizza", "amount": 50}
SHOWN = {"Prefer": "return=representation"}
UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
NEW_PASSWORD = "another horse battery"
BOOTSTRAP_KEY = "bootstrap-0123456789-abcdefghijklmnopqrstuvwxyz"
MEMBERS = ["id", "email", "name", "admin", "revoked", "subject", "ledger", "created_at", "version"]


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock that tries are counted by go on."""
    now = time.time
    for module in (tries, access):
        monkeypatch.setattr(module.time, "time", lambda: now() + seconds)


# The first user.


def test_the_first_user_takes_over_the_books_and_shuts_the_door(client: FlaskClient) -> None:
    assert client.post("/expenses", json=PIZZA).status_code == 204
    ledger = client.get("/ledger").json["id"]
    first = first_user(client, admin=False)
    assert (first.user["ledger"], first.user["admin"]) == (ledger, True)
    assert [one["description"] for one in first.get("/expenses").json] == ["pizza"]
    assert problem(client.get("/expenses")) == (401, "unauthenticated")
    assert problem(client.post("/expenses", json=PIZZA)) == (401, "unauthenticated")
    assert first.post("/expenses", PIZZA).status_code == 204


def test_a_new_user_is_shown_without_the_password(client: FlaskClient) -> None:
    given = {"email": "First@Example.com", "password": PASSWORD, "name": "Erika", "setup_code": setup_code(client)}
    answer = client.post("/users", json=given)
    assert answer.status_code == 201
    assert list(answer.json) == MEMBERS
    assert answer.headers["Location"] == f"/users/{answer.json['id']}"
    assert answer.headers["ETag"] == '"1"'
    shown = {name: answer.json[name] for name in ("email", "name", "admin", "revoked", "subject", "version")}
    assert shown == {
        "email": "First@Example.com",
        "name": "Erika",
        "admin": True,
        "revoked": False,
        "subject": None,
        "version": 1,
    }
    assert dt.datetime.fromisoformat(answer.json["created_at"]).tzinfo == dt.UTC


def test_the_setup_code_is_taken_in_any_case_and_with_blanks_around_it(client: FlaskClient) -> None:
    code = setup_code(client)
    assert re.fullmatch("([A-Z2-7]{4}-){4}[A-Z2-7]{4}", code)
    assert first_user(client, setup_code=f"  {code.lower()}\t").user["admin"]


def test_a_wrong_setup_code_makes_nobody(client: FlaskClient) -> None:
    for code in ("AAAA-AAAA-AAAA-AAAA-AAAA", setup_code(client)[:-1], "é", "💰", "A" * 100):
        answer = client.post("/users", json={"email": "a@example.com", "password": PASSWORD, "setup_code": code})
        assert problem(answer) == (403, "forbidden"), code
    assert client.get("/expenses").status_code == 200  # the door is still open
    assert first_user(client).user["admin"]


def test_what_cannot_be_a_setup_code_is_invalid(client: FlaskClient) -> None:
    for code in ("", " ", 5, None, ["A"], "A" * 101, "A\0", "\ud800"):
        answer = client.post("/users", json={"email": "a@example.com", "password": PASSWORD, "setup_code": code})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), ["setup_code"]), code


def test_the_first_user_needs_the_setup_code_also_by_the_open_door(client: FlaskClient) -> None:
    answer = client.post("/users", json={"email": "a@example.com", "password": PASSWORD})
    assert problem(answer) == (403, "forbidden")
    assert "setup_code" in answer.json["detail"]


def test_the_setup_code_is_worth_nothing_once_there_is_a_user(client: FlaskClient, admin: Person) -> None:
    late = {"email": "late@example.com", "password": PASSWORD, "setup_code": setup_code(client)}
    assert problem(client.post("/users", json=late)) == (403, "forbidden")
    assert problem(admin.post("/users", late)) == (403, "forbidden")
    assert [user["email"] for user in admin.get("/users").json] == [admin.email]


def test_the_setup_code_is_guessed_ten_times_at_most(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    guess = {"email": "a@example.com", "password": PASSWORD, "setup_code": "AAAA-AAAA-AAAA-AAAA-AAAA"}
    for _ in range(SIGN_IN_TRIES_OF_ACCOUNT):
        assert problem(client.post("/users", json=guess)) == (403, "forbidden")
    right = {**guess, "setup_code": setup_code(client)}
    refused = client.post("/users", json=right)
    assert problem(refused) == (429, "too-many-requests")
    assert 0 < int(refused.headers["Retry-After"]) <= SIGN_IN_SECONDS
    later(monkeypatch, SIGN_IN_SECONDS + 1)
    assert client.post("/users", json=right).status_code == 201


def test_guesses_that_come_too_late_are_counted_too(client: FlaskClient, admin: Person) -> None:
    guess = {"email": "a@example.com", "password": PASSWORD, "setup_code": "AAAA-AAAA-AAAA-AAAA-AAAA"}
    statuses = [client.post("/users", json=guess).status_code for _ in range(SIGN_IN_TRIES_OF_ACCOUNT + 1)]
    assert set(statuses[: SIGN_IN_TRIES_OF_ACCOUNT - 1]) == {403}
    assert statuses[-1] == 429


def test_every_worker_has_the_same_setup_code(client: FlaskClient, worker: FlaskClient) -> None:
    assert setup_code(worker) == setup_code(client)
    first = first_user(worker)
    assert client.get("/expenses").status_code == 401
    assert Holder(client, first.token).get("/users/me").json == first.user


def test_of_many_who_know_the_setup_code_one_is_the_first(client: FlaskClient, worker: FlaskClient) -> None:
    code = setup_code(client)

    def make(number: int) -> int:
        given = {"email": f"{number}@example.com", "password": PASSWORD, "setup_code": code}
        place = (client, worker)[number % 2]
        return place.application.test_client().post("/users", json=given).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [201, 403, 403, 403]


def test_the_key_of_the_settings_makes_the_first_user(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(auth="required", bootstrap_key=BOOTSTRAP_KEY)
    app = Holder(client, BOOTSTRAP_KEY)
    assert app.post("/expenses", PIZZA).status_code == 204
    first = another(app)
    assert (first.user["admin"], first.ledger) == (True, app.get("/ledger").json["id"])
    assert [one["description"] for one in first.get("/expenses").json] == ["pizza"]
    second = another(app, "second@example.com")
    assert (second.user["admin"], second.get("/expenses").json) == (False, [])


def test_nobody_makes_users_by_a_door_that_is_open_to_all(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(auth="open")
    assert problem(client.post("/users", json={"email": "a@example.com", "password": PASSWORD})) == (403, "forbidden")
    first_user(client)
    assert problem(client.post("/users", json={"email": "a@example.com", "password": PASSWORD})) == (403, "forbidden")
    assert client.get("/ledger").status_code == 200


def test_what_the_open_door_did_under_a_key_is_the_first_users(client: FlaskClient) -> None:
    keyed = {"Idempotency-Key": "one", **SHOWN}
    before = client.post("/expenses", json=PIZZA, headers=keyed)
    assert before.status_code == 201
    first = first_user(client)
    other = another(first)
    first.share(first.ledger, other, "editor")
    again = first.post("/expenses", PIZZA, headers=keyed)
    assert (again.status_code, again.json) == (201, before.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    # To anybody else, in the same ledger, the key is as new.
    others = other.post(f"/ledgers/{first.ledger}/expenses", PIZZA, headers=keyed)
    assert others.status_code == 201
    assert others.json["id"] != before.json["id"]
    assert "Idempotency-Replayed" not in others.headers
    assert len(first.get("/expenses").json) == 2


def test_what_the_key_of_the_settings_did_under_a_key_is_the_first_users(
    with_settings: Callable[..., FlaskClient],
) -> None:
    client = with_settings(auth="required", bootstrap_key=BOOTSTRAP_KEY)
    app, keyed = Holder(client, BOOTSTRAP_KEY), {"Idempotency-Key": "one"}
    assert app.post("/expenses", PIZZA, headers=keyed).status_code == 204
    first = first_user(client)
    assert first.post("/expenses", PIZZA, headers=keyed).headers["Idempotency-Replayed"] == "true"
    assert app.post("/expenses", PIZZA, headers=keyed).headers["Idempotency-Replayed"] == "true"
    second = another(first)
    assert "Idempotency-Replayed" not in second.post("/expenses", PIZZA, headers=keyed).headers
    assert first.post("/expenses", {**PIZZA, "amount": 51}, headers=keyed).status_code == 422
    assert len(app.get("/expenses").json) == 1


# E-mails.


@pytest.mark.parametrize(
    ("email", "same"),
    [
        ("Anna@Example.com", "aNNA@eXAMPLE.COM"),
        ("straße@example.de", "STRASSE@EXAMPLE.DE"),
        ("\u0130@example.tr", "i\u0307@example.tr"),
        ("\u0130@example.tr", "I\u0307@example.tr"),
        ("andr\u00e9@example.fr", "ANDRE\u0301@example.fr"),
        ("\u03cc\u03c3\u03bf\u03c2@example.gr", "\u038c\u03a3\u039f\u03a3@example.gr"),
        ("\ufb01@example.com", "FI@example.com"),
        ("\u1fb3\u0301@example.gr", "\u1fb4@example.gr"),
        ("\u0390@example.gr", "\u03aa\u0301@example.gr"),
    ],
)
def test_an_email_is_the_same_in_every_case_and_form(admin: Person, email: str, same: str) -> None:
    person = another(admin, email)
    assert person.get("/users/me").json["email"] == email
    answer = admin.post("/users", {"email": same, "password": PASSWORD})
    assert problem(answer) == (409, "email-taken")
    assert sign_in(admin.client, same).status_code == 200
    taken = admin.patch(f"/users/{admin.id}", {"email": same, "current_password": PASSWORD})
    assert problem(taken) == (409, "email-taken")
    own = person.patch(f"/users/{person.id}", {"email": same, "current_password": PASSWORD})
    assert (own.status_code, own.json["email"]) == (200, same)


@pytest.mark.parametrize(
    ("email", "other"),
    [("a@example.com", "\u00e1@example.com"), ("\u0131@example.tr", "i@example.tr"), ("a@b.example", "a@c.example")],
)
def test_what_differs_in_more_than_case_is_another_email(admin: Person, email: str, other: str) -> None:
    assert another(admin, email).id != another(admin, other).id


def test_the_longest_email_fits_in_whatever_it_is_compared_by(admin: Person) -> None:
    for character in ("\u0390", "\ufb03", "\u0130", "\U0001d160", "\u00df"):
        email = character * 242 + "@example.com"
        assert another(admin, email).user["email"] == email
        assert problem(admin.post("/users", {"email": "x" + email, "password": PASSWORD})) == (422, "invalid")


BAD_EMAILS = [
    None, 5, "", " ", "a", "@", "a@", "@b", "a@b@c", "a b@example.com", "a@exam ple.com", "a\n@example.com",
    "a\0@example.com", "\ud800@example.com", "a\u00a0@example.com", "a\u200b@example.com", "\u202ea@example.com",
    ["a@example.com"], {"a": 1}, "a" * 250 + "@b.de",
]  # fmt: skip


def test_what_is_no_email_is_refused(admin: Person) -> None:
    for email in BAD_EMAILS:
        answer = admin.post("/users", {"email": email, "password": PASSWORD})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), ["email"]), email
        answer = admin.patch(f"/users/{admin.id}", {"email": email})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), ["email"]), email


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({}, "email"),
    ({"password": "short"}, "password"),
    ({"password": "x" * 201}, "password"),
    ({"password": None}, "password"),
    ({"password": 1234567890}, "password"),
    ({"password": "1234567\0890"}, "password"),
    ({"password": "1234567890\udfff"}, "password"),
    ({"name": ""}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": 5}, "name"),
    ({"admin": 1}, "admin"),
    ({"admin": "true"}, "admin"),
    ({"admin": None}, "admin"),
    ({"revoked": False}, "revoked"),
    ({"subject": ""}, "subject"),
    ({"subject": "x" * 256}, "subject"),
    ({"id": UNKNOWN}, "id"),
    ({"version": 1}, "version"),
    ({"ledger": UNKNOWN}, "ledger"),
    ({"created_at": "2026-01-01T00:00:00Z"}, "created_at"),
    ({"password_hash": "x"}, "password_hash"),
    ({"principal": "owner"}, "principal"),
    ({"current_password": PASSWORD}, "current_password"),
]


def test_a_new_user_of_bad_fields_is_refused(admin: Person) -> None:
    for given, named in BAD_FIELDS:
        answer = admin.post("/users", {"email": "new@example.com", **given} if given else {"password": PASSWORD})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), [named]), given
    assert len(admin.get("/users").json) == 1


def test_a_body_that_is_no_object_is_refused(admin: Person) -> None:
    for body in ("null", "[]", "5", '"x"', '[{"email": "a@example.com"}]'):
        for method, path in (("POST", "/users"), ("PUT", f"/users/{admin.id}"), ("PATCH", f"/users/{admin.id}")):
            answer = admin.ask(method, path, data=body, content_type="application/json")
            assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), ["document"]), (method, body)


# Passwords.


def test_a_password_is_in_no_answer_and_no_log_and_not_in_the_database(
    admin: Person, caplog: pytest.LogCaptureFixture
) -> None:
    secret, client = "s3cret-and-more", admin.client
    caplog.set_level(logging.DEBUG)
    person = another(admin, "secret@example.com", password=secret)
    answers = [
        admin.post("/users", {"email": "secret@example.com", "password": secret}),
        admin.post("/users", {"email": "bad", "password": secret, "name": 5}),
        admin.post("/users", {"email": "b@example.com", "password": [secret]}),
        admin.post("/users", {"email": "b@example.com", "passwort": secret, secret[:4]: 1}),
        client.post("/users", json={"email": "b@example.com", "password": secret, "setup_code": "x"}),
        client.post("/tokens", json={"email": "secret@example.com", "password": secret + "x"}),
        client.post("/tokens", json={"email": "secret@example.com", "password": {"a": secret}}),
        client.post("/tokens", data=f'{{"email": "a", "password": "{secret}', content_type="application/json"),
        person.patch(f"/users/{person.id}", {"password": secret + "new"}),
        person.patch(f"/users/{person.id}", {"password": "short", "current_password": secret}),
        person.patch(f"/users/{person.id}", {"password": secret + "new", "current_password": secret + "no"}),
        person.patch(f"/users/{person.id}", {"password": secret + "new", "current_password": secret}),
        person.get("/users/me"),
        admin.get("/users"),
        admin.get(f"/users/{person.id}"),
    ]
    for answer in answers:
        assert secret not in answer.text
        assert secret not in str(answer.headers)
        assert "argon2" not in answer.text
    assert secret not in caplog.text
    kept = current.books(client.application).database.read(
        lambda connection: connection.execute(select(table(User)).where(User.email_key == "secret@example.com")).one()
    )
    assert secret not in str(kept)
    assert kept.password_hash.startswith("$argon2id$")


def test_a_password_may_be_of_any_characters(admin: Person) -> None:
    passwords = ("x" * 200, "          ", "pässwörter", "🐎" * 10, "a\tb\nc\u200bd-e-f", "é" * 200)
    for number, password in enumerate(passwords):
        person = another(admin, f"{number}@example.com", password=password)
        assert sign_in(admin.client, person.email, password + "x").status_code in (401, 422)
        assert sign_in(admin.client, person.email, password[:-1]).status_code == 401


def test_a_password_is_the_same_from_every_keyboard(admin: Person) -> None:
    another(admin, "k@example.com", password="cre\u0300me bru\u0302le\u0301e")
    assert sign_in(admin.client, "k@example.com", "cr\u00e8me br\u00fbl\u00e9e").status_code == 200
    assert sign_in(admin.client, "k@example.com", "creme brulee").status_code == 401


def test_another_password_ends_all_sessions_and_no_key(admin: Person, worker: FlaskClient) -> None:
    person = another(admin)
    sessions = [person, signed_in(worker, person.user)]
    key = person.key("read")
    for session in sessions:
        assert session.get("/users/me").status_code == 200
    changed = person.patch(f"/users/{person.id}", {"password": NEW_PASSWORD, "current_password": PASSWORD})
    assert (changed.status_code, changed.json["version"]) == (200, 2)
    for session in sessions:
        assert problem(session.get("/users/me")) == (401, "invalid-token")
        answer = session.client.post("/tokens/refresh", json={"refresh_token": session.refresh_token})
        assert problem(answer) == (401, "invalid-token")
    assert key.get("/users/me").status_code == 200
    assert problem(sign_in(admin.client, person.email)) == (401, "wrong-credentials")
    assert sign_in(admin.client, person.email, NEW_PASSWORD).status_code == 200
    assert admin.get("/users/me").status_code == 200


@pytest.mark.parametrize("change", [{"password": NEW_PASSWORD}, {"email": "new@example.com"}])
@pytest.mark.parametrize("by_key", [False, True])
def test_email_and_password_change_with_the_current_password_only(
    admin: Person, change: dict[str, str], by_key: bool
) -> None:
    person = another(admin)
    holder: Holder = person.key("admin") if by_key else person
    path = f"/users/{person.id}"
    without = holder.patch(path, change)
    assert (problem(without), list(without.json["errors"])) == ((422, "invalid"), ["current_password"])
    refused = holder.patch(path, {**change, "current_password": "wrong"})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["current_password"])
    assert holder.patch(path, {**change, "current_password": ""}).status_code == 422
    assert holder.patch(path, {**change, "current_password": None}).status_code == 422
    assert holder.get(path).json == person.user
    assert sign_in(admin.client, person.email).status_code == 200
    assert holder.patch(path, {**change, "current_password": PASSWORD}).status_code == 200


def test_an_administrator_needs_it_for_oneself_and_not_for_others(admin: Person) -> None:
    person = another(admin)
    assert admin.patch(f"/users/{admin.id}", {"password": NEW_PASSWORD}).status_code == 422
    assert admin.patch(f"/users/{person.id}", {"password": NEW_PASSWORD}).status_code == 200
    assert person.get("/users/me").status_code == 401
    assert sign_in(admin.client, person.email, NEW_PASSWORD).status_code == 200


def test_what_is_no_change_needs_no_password(admin: Person) -> None:
    person = another(admin)
    answer = person.patch(f"/users/{person.id}", {"email": person.email, "name": "Otto"})
    assert (answer.status_code, answer.json["name"]) == (200, "Otto")


def test_the_current_password_is_guessed_ten_times_at_most(admin: Person) -> None:
    person = another(admin)
    guess = {"password": NEW_PASSWORD, "current_password": "wrong"}
    statuses = [person.patch(f"/users/{person.id}", guess).status_code for _ in range(SIGN_IN_TRIES_OF_ACCOUNT + 1)]
    assert statuses == [422] * SIGN_IN_TRIES_OF_ACCOUNT + [429]
    assert person.patch(f"/users/{person.id}", {**guess, "current_password": PASSWORD}).status_code == 429
    assert problem(sign_in(admin.client, person.email)) == (429, "too-many-requests")


# What may be changed, and by whom.


def test_put_replaces_a_user_as_a_whole(admin: Person) -> None:
    person = another(admin, name="Otto")
    again = person.put(f"/users/{person.id}", person.user)
    assert (again.status_code, again.json, again.headers["ETag"]) == (200, person.user, '"1"')
    shorter = person.put(f"/users/{person.id}", {"email": person.email})
    assert (shorter.status_code, shorter.json["name"], shorter.json["version"]) == (200, None, 2)
    assert problem(person.put(f"/users/{person.id}", {"name": "Otto"})) == (422, "invalid")
    second = another(admin, "second@example.com", admin=True, subject="s-2")
    put = admin.put(f"/users/{second.id}", {"email": second.email})
    assert (put.json["admin"], put.json["subject"]) == (False, None)


def test_users_keep_what_only_an_administrator_gives(admin: Person) -> None:
    person = another(admin, subject="s-1")
    answer = person.put(f"/users/{person.id}", {"email": person.email})
    assert (answer.json["subject"], answer.json["admin"], answer.json["revoked"]) == ("s-1", False, False)
    for name, value in {"admin": True, "revoked": True, "subject": "s-2"}.items():
        for ask in (person.patch, person.put):
            refused = ask(f"/users/{person.id}", {"email": person.email, name: value})
            assert (problem(refused), list(refused.json["errors"])) == ((422, "invalid"), [name])
    assert person.patch(f"/users/{person.id}", {"admin": False, "revoked": False, "subject": "s-1"}).status_code == 200
    given = admin.patch(f"/users/{person.id}", {"admin": True, "subject": None})
    assert (given.json["admin"], given.json["subject"]) == (True, None)
    assert person.get("/users").status_code == 200


def test_what_never_changes_may_only_stand_as_it_is(admin: Person) -> None:
    others = {"id": UNKNOWN, "ledger": UNKNOWN, "created_at": "2020-01-01T00:00:00Z", "version": 7}
    for name, value in others.items():
        for ask in (admin.patch, admin.put):
            refused = ask(f"/users/{admin.id}", {"email": admin.email, "admin": True, name: value})
            assert (problem(refused), list(refused.json["errors"])) == ((422, "invalid"), [name])
        assert admin.patch(f"/users/{admin.id}", {name: admin.user[name]}).json == admin.user


def test_changes_are_for_the_version_that_was_read(admin: Person) -> None:
    person = another(admin)
    path = f"/users/{person.id}"
    answer = person.patch(path, {"name": "Otto"}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["ETag"], answer.json["version"]) == (200, '"2"', 2)
    for tag in ('"1"', 'W/"2"', '"2.1"', '"x"', '""'):
        assert problem(person.patch(path, {"name": "Ute"}, headers={"If-Match": tag})) == (412, "precondition-failed")
        assert person.put(path, {"email": person.email}, headers={"If-Match": tag}).status_code == 412
        assert person.delete(path, headers={"If-Match": tag}).status_code == 412
    assert person.patch(path, {"name": "Ute"}, headers={"If-Match": '"1", "2"'}).status_code == 200
    assert person.patch(path, {"name": "Uwe"}, headers={"If-Match": "*"}).json["name"] == "Uwe"
    for shown in (path, "/users/me"):
        answer = person.get(shown, headers={"If-None-Match": '"4"'})
        assert (answer.status_code, answer.data) == (304, b"")
        assert person.get(shown, headers={"If-None-Match": '"3"'}).status_code == 200
    assert person.delete(path, headers={"If-Match": '"4"'}).status_code == 204


def test_a_merge_patch_is_taken_too_and_nothing_else(admin: Person) -> None:
    patch = {"data": '{"name": "Erika"}', "content_type": "application/merge-patch+json"}
    assert admin.ask("PATCH", f"/users/{admin.id}", **patch).json["name"] == "Erika"
    put = {"data": '{"email": "a@example.com"}', "content_type": "application/merge-patch+json"}
    assert admin.ask("PUT", f"/users/{admin.id}", **put).status_code == 415


def test_somebody_else_is_not_there(admin: Person) -> None:
    person, other = another(admin), another(admin, "third@example.com")
    for id_ in (other.id, admin.id):
        for method, body in (("GET", None), ("PUT", {"email": "x@y.z"}), ("PATCH", {"name": "x"}), ("DELETE", None)):
            there = person.ask(method, f"/users/{id_}", json=body)
            absent = person.ask(method, f"/users/{UNKNOWN}", json=body)
            assert problem(there) == (404, "not-found")
            assert (there.data, there.status_code) == (absent.data, absent.status_code)
    assert problem(admin.get(f"/users/{UNKNOWN}")) == (404, "not-found")
    assert problem(admin.patch(f"/users/{UNKNOWN}", {"name": "x"})) == (404, "not-found")
    assert problem(admin.delete(f"/users/{UNKNOWN}")) == (404, "not-found")


def test_a_subject_stands_for_one_user(admin: Person) -> None:
    another(admin, "one@example.com", subject="auth0|1")
    two = another(admin, "two@example.com")
    answer = admin.post("/users", {"email": "three@example.com", "subject": "auth0|1"})
    assert problem(answer) == (409, "subject-taken")
    assert problem(admin.patch(f"/users/{two.id}", {"subject": "auth0|1"})) == (409, "subject-taken")
    assert admin.patch(f"/users/{two.id}", {"subject": "auth0|2"}).json["subject"] == "auth0|2"


def test_a_user_without_a_password_cannot_sign_in_with_any(admin: Person) -> None:
    made = admin.post("/users", {"email": "outside@example.com", "subject": "s"})
    assert made.status_code == 201
    for password in ("", "x", PASSWORD):
        assert problem(sign_in(admin.client, "outside@example.com", password)) == (401, "wrong-credentials")


def test_who_one_is_takes_a_user(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(bootstrap_key=BOOTSTRAP_KEY)
    for holder in (nobody(client), Holder(client, BOOTSTRAP_KEY)):
        assert problem(holder.get("/users/me")) == (403, "forbidden")
    admin = first_user(client)
    assert admin.get("/users/me").json == admin.get(f"/users/{admin.id}").json == admin.user
    assert admin.key("read").get("/users/me").json == admin.user


def test_users_are_listed_in_pages(admin: Person) -> None:
    everybody = [admin.user]
    for number in range(4):
        time.sleep(0.002)  # ids are in order from one millisecond to the next
        everybody.append(admin.post("/users", {"email": f"{number}@example.com"}).json)
    assert admin.get("/users").json == everybody
    seen, path = [], "/users?limit=2"
    while path:
        answer = admin.get(path)
        assert len(answer.json) <= 2
        seen += answer.json
        following = re.fullmatch('<(.+)>; rel="next"', answer.headers.get("Link", ""))
        path = following[1] if following else ""
    assert seen == everybody
    assert admin.get("/users?limit=5").headers.get("Link") is None


def test_a_page_of_users_that_cannot_be_is_refused(admin: Person) -> None:
    for query in ("limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "cursor=", "cursor=x", "a=1"):
        assert problem(admin.get(f"/users?{query}")) == (422, "invalid"), query


# Going.


def test_the_last_administrator_stays(admin: Person) -> None:
    person = another(admin)
    path = f"/users/{admin.id}"
    for refused in (
        admin.patch(path, {"admin": False}),
        admin.patch(path, {"revoked": True}),
        admin.put(path, {"email": admin.email}),
        admin.delete(path),
    ):
        assert problem(refused) == (409, "last-administrator")
    admin.patch(f"/users/{person.id}", {"admin": True})
    admin.patch(f"/users/{person.id}", {"revoked": True})  # who may not come in does not count
    assert problem(admin.patch(path, {"admin": False})) == (409, "last-administrator")
    admin.patch(f"/users/{person.id}", {"revoked": False})
    assert admin.patch(path, {"admin": False}).json["admin"] is False
    assert problem(admin.get("/users")) == (403, "forbidden")


def test_who_is_revoked_is_out_at_once_on_every_worker(admin: Person, worker: FlaskClient) -> None:
    person = another(admin)
    key = person.key("read")
    holders = [Holder(place, held.token) for place in (admin.client, worker) for held in (person, key)]
    for holder in holders:
        assert holder.get("/users/me").status_code == 200
    assert admin.patch(f"/users/{person.id}", {"revoked": True}).json["revoked"] is True
    for holder in holders:
        assert problem(holder.get("/users/me")) == (401, "invalid-token")
    refreshed = worker.post("/tokens/refresh", json={"refresh_token": person.refresh_token})
    assert problem(refreshed) == (401, "invalid-token")
    assert problem(sign_in(worker, person.email)) == (401, "wrong-credentials")
    assert admin.patch(f"/users/{person.id}", {"revoked": False}).status_code == 200
    assert [holder.get("/users/me").status_code for holder in holders] == [401, 200, 401, 200]
    assert sign_in(worker, person.email).status_code == 200


def test_who_is_no_administrator_any_more_is_none_at_once_on_every_worker(admin: Person, worker: FlaskClient) -> None:
    person = another(admin, admin=True)
    elsewhere = Holder(worker, person.token)
    assert elsewhere.get("/users").status_code == 200
    admin.patch(f"/users/{person.id}", {"admin": False})
    assert problem(elsewhere.get("/users")) == (403, "forbidden")


def test_who_is_deleted_leaves_nothing_but_the_journal(admin: Person, worker: FlaskClient) -> None:
    person = another(admin)
    admin.share(admin.ledger, person, "editor")
    key, elsewhere = person.key("write"), Holder(worker, person.token)
    made = key.post(f"/ledgers/{admin.ledger}/expenses", PIZZA)
    assert (made.status_code, elsewhere.get("/users/me").status_code) == (204, 200)
    gone = person.delete(f"/users/{person.id}")
    assert (gone.status_code, gone.data) == (204, b"")
    for holder in (person, key, elsewhere):
        assert problem(holder.get("/users/me")) == (401, "invalid-token")
    assert problem(admin.get(f"/users/{person.id}")) == (404, "not-found")
    assert [one["user"] for one in admin.get(f"/ledgers/{admin.ledger}/members").json] == [admin.id]
    refreshed = worker.post("/tokens/refresh", json={"refresh_token": person.refresh_token})
    assert refreshed.status_code == 401
    assert problem(sign_in(worker, person.email)) == (401, "wrong-credentials")
    [entry] = admin.get(f"{made.headers['Location'].removeprefix(f'/ledgers/{admin.ledger}')}/history").json
    assert entry["actor"].startswith("key:")
    again = another(admin, person.email)
    assert again.id != person.id
    assert again.get("/expenses").json == []


def test_books_pass_to_the_administrator_who_erases_their_last_owner(admin: Person, books: Books) -> None:
    person, other = another(admin), another(admin, "third@example.com")
    person.share(person.ledger, other, "editor")
    assert person.post("/expenses", PIZZA).status_code == 204
    assert problem(admin.get(f"/ledgers/{person.ledger}/expenses")) == (404, "not-found")
    assert admin.delete(f"/users/{person.id}").status_code == 204
    assert problem(person.get("/expenses")) == (401, "invalid-token")
    assert [one["description"] for one in admin.get(f"/ledgers/{person.ledger}/expenses").json] == ["pizza"]
    members = admin.get(f"/ledgers/{person.ledger}/members").json
    assert sorted((one["user"], one["role"]) for one in members) == sorted([(admin.id, "owner"), (other.id, "editor")])
    assert sorted(one.transactions for one in verify(books.database)) == [0, 0, 1]


def test_nobody_is_held_by_a_ledger_that_they_never_asked_for(admin: Person) -> None:
    person, mischief = another(admin), another(admin, "third@example.com")
    ledger = mischief.new_ledger()
    assert mischief.post(f"/ledgers/{ledger}/expenses", PIZZA).status_code == 204
    mischief.share(ledger, person, "owner")
    assert mischief.delete(f"/ledgers/{ledger}/members/{mischief.id}").status_code == 204
    assert admin.delete(f"/users/{person.id}").status_code == 204


def test_the_last_owner_of_the_first_books_stays(admin: Person) -> None:
    another(admin, admin=True)
    assert problem(admin.delete(f"/users/{admin.id}")) == (409, "last-owner")


def test_the_last_owner_of_a_used_ledger_that_is_shared_stays(admin: Person) -> None:
    person, other = another(admin), another(admin, "third@example.com")
    assert person.post("/expenses", PIZZA).status_code == 204
    person.share(person.ledger, other, "editor")
    assert problem(person.delete(f"/users/{person.id}")) == (409, "last-owner")
    person.share(person.ledger, other, "owner")
    assert person.delete(f"/users/{person.id}").status_code == 204
    assert [one["description"] for one in other.get(f"/ledgers/{person.ledger}/expenses").json] == ["pizza"]


def test_the_only_owner_of_an_untouched_ledger_that_is_shared_stays(admin: Person) -> None:
    person, other = another(admin), another(admin, "third@example.com")
    person.share(person.ledger, other, "viewer")
    assert problem(person.delete(f"/users/{person.id}")) == (409, "last-owner")
    assert person.delete(f"/ledgers/{person.ledger}/members/{other.id}").status_code == 204
    assert person.delete(f"/users/{person.id}").status_code == 204


def test_the_first_user_can_go_where_others_stay(admin: Person, client: FlaskClient, books: Books) -> None:
    admin.post("/expenses", PIZZA)
    heir = another(admin, admin=True)
    admin.share(admin.ledger, heir, "owner")
    assert admin.delete(f"/users/{admin.id}").status_code == 204
    assert problem(client.get("/expenses")) == (401, "unauthenticated")  # the door stays shut
    late = {"email": "late@example.com", "password": PASSWORD, "setup_code": setup_code(client)}
    assert problem(client.post("/users", json=late)) == (403, "forbidden")
    assert len(heir.get(f"/ledgers/{admin.ledger}/expenses").json) == 1


# At once.


def at_once(*asks: Callable[[], TestResponse]) -> list[int]:
    """What each of several requests that come together is answered, in order."""
    with ThreadPoolExecutor(len(asks)) as pool:
        return sorted(pool.map(lambda ask: ask().status_code, asks))


def elsewhere(holder: Holder, worker: FlaskClient) -> Holder:
    """The same caller, who asks another worker, over a connection of their own."""
    return Holder(worker.application.test_client(), holder.token)


def test_two_administrators_who_put_each_other_out_at_once_leave_one(admin: Person, worker: FlaskClient) -> None:
    other = another(admin, admin=True)
    there = elsewhere(other, worker)
    answers = at_once(
        lambda: admin.patch(f"/users/{other.id}", {"admin": False}),
        lambda: there.patch(f"/users/{admin.id}", {"admin": False}),
    )
    assert answers in ([200, 404], [200, 409])  # too late to be one, or in time and the last
    held = [Holder(admin.client, person.token).get("/users").status_code for person in (admin, other)]
    assert sorted(held) == [200, 403]


def test_two_owners_who_leave_at_once_leave_one(admin: Person, worker: FlaskClient) -> None:
    other = another(admin)
    ledger = admin.new_ledger()
    admin.share(ledger, other, "owner")
    there, path = elsewhere(other, worker), f"/ledgers/{ledger}/members"
    answers = at_once(
        lambda: admin.delete(f"{path}/{admin.id}"),
        lambda: there.delete(f"{path}/{other.id}"),
    )
    assert answers == [204, 409]


def test_of_two_who_want_the_same_email_at_once_one_gets_it(admin: Person, worker: FlaskClient) -> None:
    there = elsewhere(admin, worker)
    answers = at_once(
        lambda: admin.post("/users", {"email": "same@example.com", "subject": "s"}),
        lambda: there.post("/users", {"email": "SAME@example.com", "subject": "s"}),
    )
    assert answers == [201, 409]


def test_of_two_changes_of_one_version_at_once_one_is_made(admin: Person, worker: FlaskClient) -> None:
    there, path, first = elsewhere(admin, worker), f"/users/{admin.id}", {"If-Match": '"1"'}
    answers = at_once(
        lambda: admin.patch(path, {"name": "one"}, headers=first),
        lambda: there.patch(path, {"name": "two"}, headers=first),
    )
    assert answers == [200, 412]
    assert admin.get(path).json["version"] == 2


# Without a password.


class OutsideIssuer:
    """An issuer whose tokens say what they mean in plain words: the subject, and an e-mail that is verified."""

    def issued(self, token: str) -> bool:
        return token.startswith("outside")

    def check(self, token: str) -> OutsideClaims:
        _, subject, *email = token.split()
        return OutsideClaims(subject, email[0] if email else None, 2_000_000_000)


@pytest.fixture
def outside(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an outside issuer believed."""
    monkeypatch.setattr(current.access(app), "issuer", OutsideIssuer())


def as_outsider(client: FlaskClient, subject: str, email: str = "") -> Holder:
    """Whoever the outside issuer calls so."""
    return Holder(client, f"outside {subject} {email}".strip())


def test_the_first_user_needs_a_password_where_nobody_else_vouches_for_them(client: FlaskClient) -> None:
    first = {"email": "a@example.com", "setup_code": setup_code(client)}
    refused = client.post("/users", json=first)
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["password"])
    assert client.get("/expenses").status_code == 200  # the door is as it was


@pytest.mark.usefixtures("outside")
def test_the_first_user_may_be_one_whom_the_outside_issuer_vouches_for(client: FlaskClient) -> None:
    first = {"email": "a@example.com", "setup_code": setup_code(client)}
    assert client.post("/users", json=first).status_code == 201
    assert as_outsider(client, "idp|1", "A@example.com").get("/users/me").json["admin"] is True


@pytest.mark.usefixtures("outside")
def test_an_email_stands_for_a_user_once_and_then_it_is_the_subject(admin: Person, client: FlaskClient) -> None:
    admin.post("/users", {"email": "ann@example.com"})
    me = as_outsider(client, "idp|1", "Ann@Example.com").get("/users/me").json
    assert (me["email"], me["subject"]) == ("ann@example.com", "idp|1")
    assert as_outsider(client, "idp|1").get("/users/me").json["id"] == me["id"]
    # Whoever has the address at the issuer later is somebody else.
    assert problem(as_outsider(client, "idp|2", "ann@example.com").get("/users/me")) == (401, "invalid-token")


@pytest.mark.usefixtures("outside")
def test_an_email_that_users_gave_themselves_stands_for_nobody(admin: Person, client: FlaskClient) -> None:
    mallory = another(admin, "mallory@example.com")
    taken = mallory.patch(f"/users/{mallory.id}", {"email": "boss@example.com", "current_password": PASSWORD})
    assert taken.status_code == 200
    assert problem(as_outsider(client, "idp|boss", "boss@example.com").get("/users/me")) == (401, "invalid-token")


@pytest.mark.usefixtures("outside")
def test_who_has_no_password_changes_no_email_of_their_own(admin: Person, client: FlaskClient) -> None:
    admin.post("/users", {"email": "ann@example.com"})
    ann = as_outsider(client, "idp|1", "ann@example.com")
    me = ann.get("/users/me").json
    refused = ann.patch(f"/users/{me['id']}", {"email": "boss@example.com"})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["email"])
    assert admin.patch(f"/users/{me['id']}", {"email": "boss@example.com"}).status_code == 200


@pytest.mark.usefixtures("outside")
def test_a_subject_of_a_revoked_user_does_not_fall_back_to_an_email(admin: Person, client: FlaskClient) -> None:
    gone = admin.post("/users", {"email": "gone@example.com", "subject": "idp|1"}).json
    admin.patch(f"/users/{gone['id']}", {"revoked": True})
    admin.post("/users", {"email": "ann@example.com"})
    assert problem(as_outsider(client, "idp|1", "ann@example.com").get("/users/me")) == (401, "invalid-token")
