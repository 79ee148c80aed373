"""Signing in, going on and signing out over HTTP."""

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from people import PASSWORD, Holder, Person, another, first_user, nobody, problem, sign_in, signed_in, told
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from cashman import access, current
from cashman.access import passwords, sessions
from cashman.db import table, utc_now
from cashman.ledger import Books
from cashman.limits import (
    ACCESS_SECONDS,
    REFRESH_SECONDS,
    SIGN_IN_SECONDS,
    SIGN_IN_TRIES_OF_ACCOUNT,
    SIGN_IN_TRIES_OF_ADDRESS,
    TOKEN_CHARACTERS_MAX,
)
from cashman.model.access import Session, Tries, User

BOOTSTRAP_KEY = "bootstrap-0123456789-abcdefghijklmnopqrstuvwxyz"


INVALID, WRONG, TRIED = (401, "invalid-token"), (401, "wrong-credentials"), (429, "too-many-requests")


def turned(client: FlaskClient, refresh_token: str) -> TestResponse:
    """Ask for new tokens with a refresh token."""
    return client.post("/tokens/refresh", json={"refresh_token": refresh_token})


def claims(token: str) -> dict[str, Any]:
    """What a token says."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock be so much later."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)


def test_a_sign_in_gives_two_tokens_that_nobody_stores(admin: Person) -> None:
    answer = sign_in(admin.client, admin.email)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert list(answer.json) == ["access_token", "token_type", "expires_in", "refresh_token"]
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", ACCESS_SECONDS)
    said = claims(answer.json["access_token"])
    assert said["exp"] - said["iat"] == ACCESS_SECONDS == 900
    assert said["sub"] == admin.id
    assert Holder(admin.client, answer.json["access_token"]).get("/users/me").json == admin.user
    again = turned(admin.client, answer.json["refresh_token"])
    assert (again.status_code, again.headers["Cache-Control"]) == (200, "no-store")
    assert list(again.json) == list(answer.json)


def test_no_token_is_kept(admin: Person, books: Books, database_url: str) -> None:
    kept = books.database.read(lambda connection: str(connection.execute(select(table(Session))).all()))
    for token in (admin.token or "", admin.refresh_token):
        assert token not in kept
        assert token.rpartition(".")[2] not in kept
        assert claims(token)["jti"] not in kept


def test_an_unknown_email_is_told_like_a_wrong_password(admin: Person) -> None:
    client = admin.client
    admin.post("/users", {"email": "nopassword@example.com"})
    revoked = another(admin, "revoked@example.com")
    admin.patch(f"/users/{revoked.id}", {"revoked": True})
    refused = [
        sign_in(client, admin.email, "wrong"),
        sign_in(client, "unknown@example.com"),
        sign_in(client, "nopassword@example.com"),
        sign_in(client, revoked.email),
        sign_in(client, "no e-mail at all"),
        sign_in(client, admin.email, ""),
        sign_in(client, admin.email, PASSWORD.upper()),
        sign_in(client, admin.email, PASSWORD + " "),
    ]
    for answer in refused:
        assert problem(answer) == WRONG
        assert (answer.data, told(answer)) == (refused[0].data, told(refused[0]))


def test_a_sign_in_of_bad_fields_is_refused(admin: Person) -> None:
    good = {"email": admin.email, "password": PASSWORD}
    for given, named in (
        ({"email": 5}, "email"),
        ({"email": None}, "email"),
        ({"email": ""}, "email"),
        ({"email": "a" * 255}, "email"),
        ({"email": "a\0@example.com"}, "email"),
        ({"email": "\ud800"}, "email"),
        ({"password": 5}, "password"),
        ({"password": None}, "password"),
        ({"password": ["x"]}, "password"),
        ({"password": "x" * 201}, "password"),
        ({"password": "\ud800"}, "password"),
        ({"username": "x"}, "username"),
        ({"grant_type": "password"}, "grant_type"),
    ):
        answer = admin.client.post("/tokens", json={**good, **given})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), [named]), given
    for missing in good:
        answer = admin.client.post("/tokens", json={name: good[name] for name in good if name != missing})
        assert (problem(answer), list(answer.json["errors"])) == ((422, "invalid"), [missing])
    assert admin.client.post("/tokens", data=good).status_code == 415
    assert admin.client.post("/tokens?a=1", json=good).status_code == 422
    assert admin.client.get("/tokens").status_code == 405
    assert admin.client.post("/tokens", json=good).status_code == 200


def test_a_refresh_token_is_good_once(admin: Person) -> None:
    token, seen = admin.refresh_token, {admin.refresh_token}
    for _ in range(3):
        answer = turned(admin.client, token)
        assert answer.status_code == 200
        assert claims(answer.json["access_token"])["sid"] == claims(admin.token or "")["sid"]
        assert Holder(admin.client, answer.json["access_token"]).get("/users/me").status_code == 200
        token = answer.json["refresh_token"]
        assert token not in seen
        seen.add(token)
    assert admin.get("/users/me").status_code == 200  # what is good for some minutes yet


@pytest.mark.parametrize("turns", [1, 2])
def test_a_refresh_token_that_is_used_again_ends_the_whole_session(
    admin: Person, worker: FlaskClient, turns: int
) -> None:
    elsewhere, known = signed_in(worker, admin.user), Holder(worker, admin.token)
    assert known.get("/users/me").status_code == 200
    newest = {"refresh_token": admin.refresh_token}
    for _ in range(turns):
        newest = turned(worker, newest["refresh_token"]).json
    assert problem(turned(admin.client, admin.refresh_token)) == INVALID
    assert problem(turned(worker, newest["refresh_token"])) == INVALID
    for token in (admin.token, newest["access_token"]):
        assert problem(Holder(admin.client, token).get("/users/me")) == INVALID
        assert problem(Holder(worker, token).get("/users/me")) == INVALID
    assert elsewhere.get("/users/me").status_code == 200
    assert turned(worker, elsewhere.refresh_token).status_code == 200


def test_of_two_who_use_a_refresh_token_at_once_one_gets_in_and_the_session_ends(
    admin: Person, worker: FlaskClient
) -> None:
    def use(place: FlaskClient) -> TestResponse:
        return turned(place.application.test_client(), admin.refresh_token)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(use, (admin.client, worker)))
    assert sorted(answer.status_code for answer in answers) == [200, 401]
    [given] = [answer.json for answer in answers if answer.status_code == 200]
    assert problem(turned(worker, given["refresh_token"])) == INVALID


def test_a_token_is_good_for_its_own_purpose_only(admin: Person) -> None:
    assert problem(turned(admin.client, admin.token or "")) == INVALID
    assert problem(Holder(admin.client, admin.refresh_token).get("/users/me")) == INVALID
    assert problem(turned(admin.client, admin.key("admin").token or "")) == INVALID
    assert turned(admin.client, admin.refresh_token).status_code == 200


def test_what_is_no_refresh_token_is_refused(admin: Person) -> None:
    for given in ("x", "a.b.c", admin.refresh_token + "A", admin.refresh_token[:-1], "💰", " " + admin.refresh_token):
        assert problem(turned(admin.client, given)) == INVALID, given
    for body in ({}, {"refresh_token": 5}, {"refresh_token": None}, {"refresh_token": ""}, {"token": "x"}, [], None):
        answer = admin.client.post("/tokens/refresh", data=json.dumps(body), content_type="application/json")
        assert problem(answer) == (422, "invalid"), body
    assert problem(turned(admin.client, "x" * (TOKEN_CHARACTERS_MAX + 1))) == (422, "invalid")
    assert turned(admin.client, admin.refresh_token).status_code == 200


def test_an_access_token_ends_after_fifteen_minutes_and_the_session_goes_on(
    admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert admin.get("/users/me").status_code == 200  # so that the worker knows it
    at(monkeypatch, ACCESS_SECONDS - 5)
    assert admin.get("/users/me").status_code == 200
    at(monkeypatch, 6)
    assert problem(admin.get("/users/me")) == INVALID
    fresh = turned(admin.client, admin.refresh_token).json
    assert Holder(admin.client, fresh["access_token"]).get("/users/me").status_code == 200


def test_a_session_ends_when_nobody_goes_on_with_it(
    admin: Person, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends() -> Any:
        return books.database.read(lambda connection: connection.execute(select(Session.expires_at)).scalar_one())

    assert 0 <= REFRESH_SECONDS - (ends() - utc_now()).total_seconds() < 60
    first = ends()
    going_on = turned(admin.client, admin.refresh_token).json["refresh_token"]
    assert ends() > first
    assert claims(going_on)["exp"] == int(ends().timestamp())
    past = {"expires_at": utc_now()}
    books.database.write(lambda connection: connection.execute(update(table(Session)).values(past)))
    assert problem(turned(admin.client, going_on)) == INVALID


def test_signing_out_ends_the_session_at_once_on_every_worker(admin: Person, worker: FlaskClient) -> None:
    other, elsewhere = signed_in(admin.client, admin.user), Holder(worker, admin.token)
    assert elsewhere.get("/users/me").status_code == 200
    answer = admin.delete("/tokens")
    assert (answer.status_code, answer.data, answer.headers["Cache-Control"]) == (204, b"", "no-store")
    assert problem(elsewhere.get("/users/me")) == INVALID
    assert problem(admin.delete("/tokens")) == INVALID
    assert problem(turned(worker, admin.refresh_token)) == INVALID
    assert other.get("/users/me").status_code == 200


def test_only_a_session_can_be_signed_out(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(bootstrap_key=BOOTSTRAP_KEY)
    forbidden = (403, "forbidden")
    assert problem(nobody(client).delete("/tokens")) == forbidden
    assert problem(Holder(client, BOOTSTRAP_KEY).delete("/tokens")) == forbidden
    admin = first_user(client)
    for scope in ("read", "write", "admin"):
        assert problem(admin.key(scope).delete("/tokens")) == forbidden
    assert admin.get("/users/me").status_code == 200


def test_of_too_many_sessions_the_oldest_ends_at_once_on_every_worker(
    admin: Person, worker: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 3)
    person = another(admin)
    held = [person]
    for _ in range(3):
        for session in held:
            assert Holder(worker, session.token).get("/users/me").status_code == 200
        time.sleep(0.002)  # ids are in order from one millisecond to the next
        held.append(signed_in(admin.client, person.user))
    for place in (worker, admin.client):
        assert [Holder(place, session.token).get("/users/me").status_code for session in held] == [401, 200, 200, 200]
    assert problem(turned(worker, person.refresh_token)) == INVALID
    assert admin.get("/users/me").status_code == 200


def test_a_password_is_guessed_ten_times_at_most_whoever_has_the_account(
    admin: Person, worker: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {}
    for email in (admin.email, "unknown@example.com"):
        spellings = (email, email.upper())
        places = (admin.client, worker)
        answers[email] = [
            sign_in(places[number % 2], spellings[number // 2 % 2], "wrong")
            for number in range(SIGN_IN_TRIES_OF_ACCOUNT + 2)
        ]
        assert [problem(answer) for answer in answers[email]] == [WRONG] * SIGN_IN_TRIES_OF_ACCOUNT + [TRIED] * 2
        assert 0 < int(answers[email][-1].headers["Retry-After"]) <= SIGN_IN_SECONDS
    assert [one.data for one in answers[admin.email]] == [one.data for one in answers["unknown@example.com"]]
    assert problem(sign_in(admin.client, admin.email)) == TRIED
    assert admin.get("/users/me").status_code == 200  # who is in stays in
    at(monkeypatch, SIGN_IN_SECONDS + 1)
    assert sign_in(worker, admin.email).status_code == 200


def test_a_sign_in_that_succeeds_is_no_guess(admin: Person, books: Books) -> None:
    for _ in range(SIGN_IN_TRIES_OF_ACCOUNT - 1):
        assert problem(sign_in(admin.client, admin.email, "wrong")) == WRONG
    for _ in range(3):
        assert sign_in(admin.client, admin.email).status_code == 200
    assert problem(sign_in(admin.client, admin.email, "wrong")) == WRONG
    assert problem(sign_in(admin.client, admin.email)) == TRIED
    kept = books.database.read(lambda connection: str(connection.execute(select(table(Tries))).all()))
    assert admin.email not in kept
    assert "127.0.0.1" not in kept


def test_guesses_count_by_address_too(admin: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SIGN_IN_TRIES_OF_ADDRESS == 100
    monkeypatch.setattr(access, "SIGN_IN_TRIES_OF_ADDRESS", 12)
    other = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.1"}}
    statuses = [
        admin.client.post("/tokens", json={"email": f"{number}@example.com", "password": "wrong"}, **other).status_code
        for number in range(13)
    ]
    assert statuses == [401] * 12 + [429]
    right = {"email": admin.email, "password": PASSWORD}
    assert problem(admin.client.post("/tokens", json=right, **other)) == TRIED
    assert admin.client.post("/tokens", json=right).status_code == 200
    elsewhere = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.2"}}
    assert admin.client.post("/tokens", json=right, **elsewhere).status_code == 200


def test_a_password_that_was_hashed_in_an_older_way_is_hashed_anew(
    admin: Person, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> tuple[str, int]:
        columns = select(User.password_hash, User.version).where(User.id == admin.id)
        return tuple(books.database.read(lambda connection: connection.execute(columns).one()))  # type: ignore[return-value]

    before, version = kept()
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert problem(sign_in(admin.client, admin.email, "wrong")) == WRONG
    assert kept() == (before, version)
    assert sign_in(admin.client, admin.email).status_code == 200
    after, same = kept()
    assert (after != before, same) == (True, version)
    assert "m=16,t=2" in after
    assert admin.get("/users/me").status_code == 200
    assert sign_in(admin.client, admin.email).status_code == 200
    assert kept() == (after, version)


@pytest.mark.parametrize("change", [{"revoked": True}, {"password": "another horse battery"}])
def test_who_is_put_out_while_the_password_is_compared_does_not_get_in(
    admin: Person, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    person = another(admin)
    right = access.verify_password

    def meanwhile(kept: str | None, password: str) -> bool:
        found = right(kept, password)
        assert admin.patch(f"/users/{person.id}", change).status_code == 200
        return found

    monkeypatch.setattr(access, "verify_password", meanwhile)
    assert problem(sign_in(admin.client.application.test_client(), person.email)) == WRONG


def test_another_signing_key_signs_nobody_out(admin: Person, worker: FlaskClient) -> None:
    current.access(admin.client.application).rotate_keys()
    later = signed_in(admin.client, admin.user)
    kids = [json.loads(base64.urlsafe_b64decode((one.token or "").split(".")[0] + "==")) for one in (admin, later)]
    assert kids[0]["kid"] != kids[1]["kid"]
    for place in (admin.client, worker):
        for session in (admin, later):
            assert Holder(place, session.token).get("/users/me").status_code == 200
    assert turned(worker, admin.refresh_token).status_code == 200
