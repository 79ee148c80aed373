"""Tries to sign in: how many there are in any quarter of an hour, whatever the clock does, and whose they are."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from people import PASSWORD, Person, another, first_user, sign_in
from sqlalchemy import select
from werkzeug.test import TestResponse

from cashman import access, current
from cashman.access import tries
from cashman.index import create_app
from cashman.limits import SIGN_IN_SECONDS, SIGN_IN_TRIES_OF_ACCOUNT, SIGN_IN_TRIES_OF_ADDRESS
from cashman.model.access import Tries

WRONG = "a wrong password"


class Clock:
    """The time, which a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 0.001  # no two moments are the same
        return self.now

    def move(self, seconds: float) -> None:
        """Let time pass, or step back."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that tries are counted by."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def user(client: FlaskClient) -> Person:
    """Somebody whose password is guessed."""
    return first_user(client)


Guess = Callable[..., int]


@pytest.fixture
def guess(client: FlaskClient, user: Person) -> Guess:
    """Try to sign in as the user, each time from another address."""
    numbers = iter(range(1_000_000))

    def try_(password: str = WRONG, email: str = user.email, peer: str | None = None) -> int:
        return attempt(client, email, password, peer or f"2001:db8:{next(numbers):x}::1").status_code

    return try_


def attempt(client: FlaskClient, email: str, password: str, peer: str) -> TestResponse:
    given = {"email": email, "password": password}
    return client.post("/tokens", json=given, environ_overrides={"REMOTE_ADDR": peer})


def kept(app: Flask) -> list[Any]:
    """What the database has of tries."""
    read = current.books(app).database.read
    return list(read(lambda connection: connection.execute(select(Tries.subject, Tries.times)).all()))


# Of an account.


def test_an_account_has_ten_tries_and_then_the_right_password_is_refused_too(client: FlaskClient, guess: Guess) -> None:
    assert SIGN_IN_TRIES_OF_ACCOUNT == 10
    assert [guess() for _ in range(12)] == [401] * 10 + [429] * 2
    assert guess(PASSWORD) == 429


def test_whoever_has_no_try_left_is_told_when_there_is_one_again(
    client: FlaskClient, user: Person, guess: Guess, clock: Clock
) -> None:
    begun = clock.now
    for _ in range(10):
        assert guess() == 401
        clock.move(60)
    answer = attempt(client, user.email, PASSWORD, "192.0.2.7")
    assert (answer.status_code, answer.json["type"]) == (429, "/problems/too-many-requests")
    assert answer.mimetype == "application/problem+json"
    wait = int(answer.headers["Retry-After"])
    assert begun + SIGN_IN_SECONDS <= clock.now + wait <= begun + SIGN_IN_SECONDS + 2
    clock.now += wait - 2
    assert guess(PASSWORD) == 429
    clock.now += 2
    assert guess(PASSWORD) == 200


def test_in_no_quarter_of_an_hour_are_there_more_than_ten(guess: Guess, clock: Clock) -> None:
    """A try each minute for an hour and a half, by somebody who never gives up."""
    compared = []
    for _ in range(90):
        clock.move(60)
        if guess() == 401:
            compared.append(clock.now)
    assert 50 <= len(compared) <= 70
    for begin in compared:
        assert sum(begin <= other < begin + SIGN_IN_SECONDS for other in compared) <= 10


def test_each_try_counts_for_a_quarter_of_an_hour_and_not_until_a_quarter_is_full(guess: Guess, clock: Clock) -> None:
    """A counter that begins anew at some time would let twenty through around that."""
    clock.now = 900 * 2_000_000 - 60.0
    assert [guess() for _ in range(11)] == [401] * 10 + [429]
    clock.now = 900 * 2_000_000 + 60.0
    assert guess() == 429
    clock.now += SIGN_IN_SECONDS - 115
    assert [guess() for _ in range(11)] == [401] * 10 + [429]


def test_a_try_that_is_refused_does_not_make_the_wait_longer(guess: Guess, clock: Clock) -> None:
    begun = clock.now
    for _ in range(10):
        guess()
    while clock.now < begun + SIGN_IN_SECONDS - 60:
        assert guess() == 429
        clock.move(50)
    clock.now = begun + SIGN_IN_SECONDS + 1
    assert guess(PASSWORD) == 200


def test_success_costs_no_try(guess: Guess, app: Flask) -> None:
    assert [guess(PASSWORD) for _ in range(25)] == [200] * 25
    assert [guess() for _ in range(9)] == [401] * 9
    assert [guess(PASSWORD) for _ in range(5)] == [200] * 5
    assert [guess() for _ in range(2)] == [401, 429]


def test_success_does_not_give_the_wrong_tries_back(guess: Guess) -> None:
    """Or the owner's own coming and going would let others guess without end."""
    for _ in range(9):
        assert guess() == 401
    assert guess(PASSWORD) == 200
    assert guess() == 401
    assert guess(PASSWORD) == 429


def test_every_spelling_of_an_e_mail_is_the_same_account(guess: Guess, user: Person) -> None:
    name, _, domain = user.email.partition("@")
    spellings = [
        user.email,
        user.email.upper(),
        user.email.title(),
        f"{name}@{domain.upper()}",
        f"{name.upper()}@{domain}",
    ]
    assert [guess(email=spellings[number % 5]) for number in range(12)] == [401] * 10 + [429] * 2


def test_another_account_has_tries_of_its_own(client: FlaskClient, guess: Guess, user: Person) -> None:
    other = another(user)
    assert [guess() for _ in range(11)] == [401] * 10 + [429]
    assert guess(other.password, email=other.email) == 200
    assert [guess(email=other.email) for _ in range(11)] == [401] * 10 + [429]


def test_an_e_mail_that_nobody_has_is_counted_just_the_same(guess: Guess) -> None:
    assert [guess(email="nobody@example.com") for _ in range(12)] == [401] * 10 + [429] * 2
    assert [guess(email="no e-mail at all") for _ in range(12)] == [401] * 10 + [429] * 2


def test_a_user_whose_e_mail_was_tried_before_there_was_one_has_no_more_tries(guess: Guess, user: Person) -> None:
    for _ in range(10):
        guess(email="other@example.com")
    made = user.post("/users", {"email": "other@example.com", "password": PASSWORD})
    assert made.status_code == 201
    assert guess(PASSWORD, email="other@example.com") == 429


def test_a_revoked_user_is_counted_and_told_just_the_same(client: FlaskClient, guess: Guess, user: Person) -> None:
    other = another(user)
    assert user.patch(f"/users/{other.id}", {"revoked": True}).status_code == 200
    assert [guess(PASSWORD, email=other.email) for _ in range(12)] == [401] * 10 + [429] * 2


def test_whoever_has_no_password_is_counted_and_told_just_the_same(guess: Guess, user: Person) -> None:
    made = user.post("/users", {"email": "outside@example.com", "subject": "outside"})
    assert made.status_code == 201
    assert [guess("", email="outside@example.com") for _ in range(12)] == [401] * 10 + [429] * 2


def test_what_is_no_attempt_costs_no_try(client: FlaskClient, guess: Guess, user: Person) -> None:
    for document in ({"email": user.email}, {"email": user.email, "password": 5}, {"password": PASSWORD}, []):
        for _ in range(11):
            assert client.post("/tokens", json=document).status_code == 422
    for _ in range(11):
        assert client.post("/tokens", data="x", content_type="application/json").status_code == 400
    assert guess(PASSWORD) == 200


def test_whoever_changes_a_password_spends_the_same_tries_to_prove_the_old_one(user: Person, guess: Guess) -> None:
    """A stolen token does not let its thief guess what the password is."""
    change = {"password": "a new password", "current_password": WRONG}
    answers = [user.patch(f"/users/{user.id}", change).status_code for _ in range(11)]
    assert answers == [422] * 10 + [429]
    assert guess(PASSWORD) == 429
    assert user.patch(f"/users/{user.id}", {**change, "current_password": PASSWORD}).status_code == 429


# Of an address.


def test_an_address_has_a_hundred_tries_at_whatever_accounts(client: FlaskClient, clock: Clock, user: Person) -> None:
    assert SIGN_IN_TRIES_OF_ADDRESS == 100
    statuses = [attempt(client, f"{number}@example.com", WRONG, "192.0.2.7").status_code for number in range(102)]
    assert statuses == [401] * 100 + [429] * 2
    refused = attempt(client, user.email, user.password, "192.0.2.7")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= SIGN_IN_SECONDS
    assert attempt(client, user.email, user.password, "192.0.2.8").status_code == 200
    clock.move(SIGN_IN_SECONDS)
    assert attempt(client, user.email, user.password, "192.0.2.7").status_code == 200


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """So few tries does an address have, so that the tests are quick."""
    monkeypatch.setattr(access, "SIGN_IN_TRIES_OF_ADDRESS", 12)
    return 12


def test_signing_in_costs_an_address_nothing(client: FlaskClient, user: Person, few: int) -> None:
    for _ in range(few + 5):
        assert attempt(client, user.email, user.password, "192.0.2.7").status_code == 200
    assert attempt(client, "nobody@example.com", WRONG, "192.0.2.7").status_code == 401


def test_what_an_address_is_refused_costs_the_account_nothing(client: FlaskClient, user: Person, few: int) -> None:
    """Somebody who has spent theirs elsewhere cannot lock others out on top of it."""
    for number in range(few):
        attempt(client, f"{number}@example.com", WRONG, "192.0.2.7")
    for _ in range(20):
        assert attempt(client, user.email, WRONG, "192.0.2.7").status_code == 429
    for _ in range(10):
        assert attempt(client, user.email, WRONG, "192.0.2.8").status_code == 401


def test_one_address_in_two_spellings_is_one(client: FlaskClient, few: int) -> None:
    first_user(client)
    for number in range(few):
        peer = "::ffff:192.0.2.7" if number % 2 else "192.0.2.7"
        attempt(client, f"{number}@example.com", WRONG, peer)
    for peer in ("192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"):
        assert attempt(client, "another@example.com", WRONG, peer).status_code == 429


def test_whoever_has_an_ipv6_address_has_a_network_of_them(client: FlaskClient, few: int) -> None:
    """A provider gives each customer 2^64 at least: so many tries would be as good as no limit."""
    first_user(client)
    for number in range(few):
        assert attempt(client, f"{number}@example.com", WRONG, f"2001:db8::{number:x}:7").status_code == 401
    assert attempt(client, "another@example.com", WRONG, "2001:db8::ffff:ffff:ffff:ffff").status_code == 429
    assert attempt(client, "another@example.com", WRONG, "2001:db8:0:1::").status_code == 401
    assert attempt(client, "another@example.com", WRONG, "fe80::1%eth0").status_code == 401
    assert attempt(client, "another@example.com", WRONG, "").status_code == 401


def test_behind_a_proxy_each_client_has_an_address_and_no_client_chooses_it(
    database_url: str, user: Person, few: int
) -> None:
    behind = create_app({"CASHMAN_DATABASE_URL": database_url, "CASHMAN_TRUSTED_PROXIES": "10.0.0.1"})
    client = behind.test_client()

    def attempt_from(peer: str, forwarded: str, number: int) -> int:
        given = {"email": f"{number}@example.com", "password": WRONG}
        environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
        return client.post("/tokens", json=given, environ_overrides=environ).status_code

    try:
        for number in range(few):
            assert attempt_from("10.0.0.1", f"203.0.113.{number}, 192.0.2.7", number) == 401
        assert attempt_from("10.0.0.1", "192.0.2.7", 100) == 429
        assert attempt_from("10.0.0.1", "192.0.2.8", 101) == 401
        for number in range(few):
            assert attempt_from("192.0.2.9", f"203.0.113.{number}", 200 + number) == 401
        assert attempt_from("192.0.2.9", "203.0.113.200", 300) == 429
    finally:
        current.books(behind).database.close()


# The clock.


def test_a_clock_that_steps_back_a_little_gives_nobody_more_tries(guess: Guess, clock: Clock) -> None:
    for _ in range(10):
        assert guess() == 401
    for seconds in (1, 60, 600):
        clock.move(-seconds)
        assert guess() == 429
    clock.move(661 + SIGN_IN_SECONDS)
    assert guess(PASSWORD) == 200


def test_a_clock_that_was_far_ahead_locks_nobody_out_for_long(
    client: FlaskClient, user: Person, guess: Guess, clock: Clock
) -> None:
    clock.move(10 * 365 * 86_400)
    for _ in range(11):
        guess()
    assert guess(PASSWORD) == 429
    clock.move(-10 * 365 * 86_400)
    assert guess(PASSWORD) == 200
    assert [guess() for _ in range(11)] == [401] * 10 + [429]


def test_whatever_the_clock_does_somebody_is_told_to_wait_for_a_moment_at_least(
    client: FlaskClient, user: Person, guess: Guess, clock: Clock
) -> None:
    for _ in range(10):
        guess()
    for seconds in (0, -600, 1_490):
        clock.move(seconds)
        answer = attempt(client, user.email, PASSWORD, "192.0.2.7")
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 2 * SIGN_IN_SECONDS


# What is kept.


def test_nobody_who_reads_the_database_learns_who_tried_to_sign_in_where(
    app: Flask, client: FlaskClient, user: Person
) -> None:
    attempt(client, user.email, WRONG, "192.0.2.7")
    subjects = {row.subject for row in kept(app)}
    expected = {tries.subject_of("account", user.email), tries.subject_of("address", "192.0.2.7")}
    assert expected <= subjects
    assert all(len(subject) == 32 for subject in subjects)
    assert hashlib.sha256(b"account:first@example.com").digest() in subjects, "the same on every machine"


def test_an_account_and_an_address_of_the_same_name_are_not_confused() -> None:
    names = [(kind, name) for kind in ("account", "address", "setup") for name in ("", "x", "account:x")]
    assert len({tries.subject_of(*name) for name in names}) == len(names)
    assert len(tries.subject_of("account", "half \ud800 of a pair")) == 32


def test_what_does_not_count_any_more_is_dropped(app: Flask, guess: Guess, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(kept(app))
    today, clock = time.time(), Clock()
    clock.now = today - 86_400
    monkeypatch.setattr(time, "time", clock)
    guess(email="a@example.com")
    guess(email="b@example.com")
    clock.now = today
    guess(email="c@example.com")
    assert len(kept(app)) == before + 2
    guess(email="d@example.com")
    assert len(kept(app)) == before + 4


def test_after_a_success_nothing_is_kept(app: Flask, client: FlaskClient, user: Person) -> None:
    for _ in range(3):
        assert sign_in(client, user.email).status_code == 200
    assert {row.subject for row in kept(app)} <= {
        tries.subject_of("setup", ""),
        tries.subject_of("address", "127.0.0.1"),
    }
