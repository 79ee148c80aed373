"""Passwords: how they are kept, that the same one comes from every keyboard, and that hashing holds nobody else up."""

import json
import re
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from people import another, first_user, sign_in
from sqlalchemy import select

from cashman import current
from cashman.access import passwords
from cashman.access.passwords import hash_password, is_outdated, verify_password
from cashman.limits import HASHES_AT_ONCE, PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN
from cashman.model.access import User

ROOT = Path(__file__).resolve().parent.parent


def run(script: str, *arguments: str) -> Any:
    """What a script prints as JSON, in a process of its own: without the cheap hashes of these tests."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# What is kept.

AS_IT_IS = """
import json
from cashman.access.passwords import hash_password, is_outdated, verify_password
kept = hash_password("correct horse battery")
print(json.dumps([
    kept,
    hash_password("correct horse battery"),
    is_outdated(kept),
    verify_password(kept, "correct horse battery"),
    verify_password(kept, "correct horse batterY"),
    verify_password(None, "nobody's"),
]))
"""


def test_a_password_is_kept_as_argon2id_with_at_least_what_rfc_9106_recommends() -> None:
    kept, again, outdated, right, wrong, nobodys = run(AS_IT_IS)
    assert kept != again, "each has a salt of its own"
    for hash_ in (kept, again):
        parameters = extract_parameters(hash_)
        assert parameters.type is Type.ID
        assert parameters.version == 0x13
        assert parameters.memory_cost >= 64 * 1024
        assert parameters.time_cost >= 3
        assert (parameters.salt_len, parameters.hash_len) == (16, 32)
    assert (outdated, right, wrong, nobodys) == (False, True, False, False)


def test_a_password_is_told_from_others() -> None:
    kept = hash_password("correct horse battery")
    assert kept.startswith("$argon2id$")
    assert "correct" not in kept
    assert verify_password(kept, "correct horse battery")
    for wrong in (
        "",
        "correct horse batter",
        "correct horse battery ",
        " correct horse battery",
        "Correct horse battery",
    ):
        assert not verify_password(kept, wrong), wrong


def test_a_hash_is_not_good_for_a_password() -> None:
    kept = hash_password("correct horse battery")
    assert not verify_password(kept, kept)


@pytest.mark.parametrize(
    "damaged",
    [
        "x",
        "$argon2id$",
        "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$",
        "$2b$12$KIXQ4fS1fXxT5cPq5w9c3uQeQx4J7b2xWbE2Jr3i8s1cH1n9yD4yW",
        "plain text",
    ],
)
def test_what_is_damaged_is_nobodys_password(damaged: str) -> None:
    assert not verify_password(damaged, "correct horse battery")
    assert not verify_password(damaged, damaged)


def test_where_nothing_is_kept_no_password_is_right_and_one_is_compared_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = count_comparisons(monkeypatch)
    for password in ("nobody's", "", "correct horse battery"):
        assert not verify_password(None, password)
    assert compared == ["nobody's", "", "correct horse battery"]
    assert not verify_password(hash_password("another one"), "correct horse battery")
    assert len(compared) == 4, "just as where one is kept"


def count_comparisons(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that are compared with a hash from now on."""
    compared: list[str] = []
    real = passwords._hasher

    class Counting:
        hash = staticmethod(real.hash)
        check_needs_rehash = staticmethod(real.check_needs_rehash)

        def verify(self, kept: str, password: bytes) -> bool:
            compared.append(password.decode())
            return real.verify(kept, password)

    monkeypatch.setattr(passwords, "_hasher", Counting())
    return compared


def test_a_password_is_hashed_anew_when_it_is_hashed_in_another_way_by_now(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = first_user(client)
    old = kept_of(client, first.id)
    assert sign_in(client, first.email).status_code == 200
    assert kept_of(client, first.id) == old
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert is_outdated(old)
    assert sign_in(client, first.email, "a wrong password").status_code == 401
    assert kept_of(client, first.id) == old, "which only who knows it can have done"
    assert sign_in(client, first.email).status_code == 200
    new = kept_of(client, first.id)
    assert not is_outdated(new)
    assert sign_in(client, first.email).status_code == 200
    assert kept_of(client, first.id) == new
    assert first.get("/users/me").json["version"] == 1, "which is no change that anybody made"


def kept_of(client: FlaskClient, user_id: str) -> str:
    """What the database has of a user's password."""
    database = current.books(client.application).database
    found: str = database.read(
        lambda connection: connection.execute(select(User.password_hash).where(User.id == user_id)).scalar_one()
    )
    return found


# From every keyboard.

SPELLINGS = [
    "gar\u00e7on-caf\u00e9-\u00e5ngstr\u00f6m",
    "\u1e9b\u0323 with two marks",
    "\ud55c\uad6d\uc5b4 \ube44\ubc00\ubc88\ud638",
    "\u212bngstr\u00f6m and kelvin",
]


@pytest.mark.parametrize("password", SPELLINGS)
def test_the_same_password_comes_from_every_keyboard(password: str) -> None:
    spellings = {unicodedata.normalize(form, password) for form in ("NFC", "NFD")} | {password}
    assert len(spellings) > 1
    for one in spellings:
        for other in spellings:
            assert verify_password(hash_password(one), other)


def test_what_only_looks_alike_is_another_password() -> None:
    for one, other in (
        ("\uff50assword-full-width", "password-full-width"),
        ("\ufb01ne ligatures", "fine ligatures"),
        ("caf\u00e9 au lait", "cafe au lait"),
        ("p\u0430ssword-cyrillic", "password-cyrillic"),
        ("stra\u00dfe-strasse", "strasse-strasse"),
        ("two  blanks", "two blanks"),
    ):
        assert not verify_password(hash_password(one), other), one


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=PASSWORD_CHARACTERS_MAX))
def test_any_text_can_be_a_password(password: str) -> None:
    kept = hash_password(password)
    assert verify_password(kept, unicodedata.normalize("NFD", password))
    assert not verify_password(kept, password + "x")
    assert not verify_password(kept, "x" + password)


def test_a_password_counts_to_its_last_character(client: FlaskClient) -> None:
    """Unlike with bcrypt, which reads 72 bytes, or up to a NUL."""
    first = first_user(client)
    long = "\U0001f355" * (PASSWORD_CHARACTERS_MAX - 1)
    other = another(first, password=long + "x")
    assert sign_in(client, other.email, long + "x").status_code == 200
    assert sign_in(client, other.email, long + "y").status_code == 401
    assert sign_in(client, other.email, long).status_code == 401
    refused = first.post("/users", {"email": "third@example.com", "password": long + "xy"})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["password"])


def test_a_short_password_is_refused_and_nothing_else_is_asked_of_one(client: FlaskClient) -> None:
    first = first_user(client)
    refused = first.post("/users", {"email": "a@example.com", "password": "x" * (PASSWORD_CHARACTERS_MIN - 1)})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["password"])
    for number, password in enumerate((" " * PASSWORD_CHARACTERS_MIN, "1234567890", "\t\n\r" * 4, "\u202e" * 10)):
        other = another(first, email=f"{number}@example.com", password=password)
        assert sign_in(client, other.email, password).status_code == 200
        assert sign_in(client, other.email, password[1:]).status_code == 401


def test_no_answer_ever_holds_a_password_or_what_is_kept_of_it(client: FlaskClient) -> None:
    first = first_user(client)
    other = another(first, password="hers, and only hers")
    change = {"password": "hers from now on", "current_password": "hers, and only hers"}
    answers = [
        first.post("/users", {"email": "a@example.com", "password": "hers, and only hers"}),
        first.post("/users", {"email": "a@example.com", "password": "hers, and only hers"}),
        first.get("/users"),
        first.get(f"/users/{other.id}"),
        other.get("/users/me"),
        other.patch(f"/users/{other.id}", {**change, "current_password": "hers, but wrong"}),
        other.patch(f"/users/{other.id}", {**change, "name": 5}),
        other.patch(f"/users/{other.id}", change),
        sign_in(client, other.email, "hers, and only hers"),
        sign_in(client, other.email, "hers from now on"),
    ]
    assert [answer.status_code for answer in answers] == [201, 409, 200, 200, 200, 422, 422, 200, 401, 200]
    for answer in answers:
        assert not re.search("hers|argon2|password_hash", answer.text), answer.text
        assert "hers" not in str(answer.headers)


# Beside the loop.

WHILE_HASHING = """
import gevent.monkey
gevent.monkey.patch_all()
import json, sys
import gevent
from cashman.access import passwords
from cashman.index import create_app

off_loop = sys.argv[2] == "off the loop"
real = passwords._hasher
shut = gevent.monkey.get_original("_thread", "allocate_lock")()  # who waits for it, waits with the whole thread
shut.acquire()
counted = {"hashing": 0, "answered while hashing": 0, "at once": 0, "at once at most": 0}

class Waiting:
    hash = staticmethod(real.hash)
    check_needs_rehash = staticmethod(real.check_needs_rehash)

    def verify(self, kept, password):
        counted["hashing"] += 1
        counted["at once"] += 1
        counted["at once at most"] = max(counted["at once at most"], counted["at once"])
        if shut.acquire(timeout=20 if off_loop else 0.2):
            shut.release()
        counted["at once"] -= 1
        return real.verify(kept, password)

if not off_loop:
    passwords.off_loop = lambda function: function()
app = create_app({"CASHMAN_DATABASE_URL": sys.argv[1], "CASHMAN_AUTH": "open"})
client = app.test_client()
assert client.get("/expenses").status_code == 200
passwords._nobodys.append(real.hash(b"nobody's"))
passwords._hasher = Waiting()

def sign_in(number):
    given = {"email": f"{number}@example.com", "password": "a password"}
    return app.test_client().post("/tokens", json=given).status_code

def ask():
    while counted["hashing"] < 5 and (counted["answered while hashing"] < 50 or counted["at once at most"] < 2):
        gevent.sleep(0.001)
        if counted["at once"] and client.get("/expenses").status_code == 200:
            counted["answered while hashing"] += 1
    shut.release()

signing_in = [gevent.spawn(sign_in, number) for number in range(5)]
asking = gevent.spawn(ask)
gevent.joinall([*signing_in, asking], raise_error=True)
counted["statuses"] = [one.value for one in signing_in]
print(json.dumps(counted))
"""


def test_while_passwords_are_hashed_other_requests_are_answered(database_url: str) -> None:
    """The hashes wait until fifty others have been answered; and no more are made at once than there is memory for."""
    counted = run(WHILE_HASHING, database_url, "off the loop")
    assert counted["answered while hashing"] >= 50
    assert counted["statuses"] == [401] * 5
    assert counted["hashing"] == 5
    assert counted["at once at most"] == HASHES_AT_ONCE


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_on_the_loop_none_would_be_answered(database_url: str) -> None:
    """The control of the test above."""
    counted = run(WHILE_HASHING, database_url, "on the loop")
    assert counted["answered while hashing"] == 0
    assert counted["statuses"] == [401] * 5


def test_no_more_passwords_are_hashed_at_once_than_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In threads, too; and one that fails gives its turn back."""
    counting = threading.Lock()
    together = threading.Barrier(HASHES_AT_ONCE)
    at_once = [0, 0]

    class Failing:
        def hash(self, password: bytes) -> str:
            with counting:
                at_once[0] += 1
                at_once[1] = max(at_once)
            together.wait(20)
            with counting:
                at_once[0] -= 1
            raise RuntimeError(password)

    monkeypatch.setattr(passwords, "_hasher", Failing())
    failed: list[int] = []

    def hash_one(number: int) -> None:
        with pytest.raises(RuntimeError):
            hash_password("x")
        failed.append(number)

    threads = [threading.Thread(target=hash_one, args=(number,)) for number in range(4 * HASHES_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(failed) == list(range(4 * HASHES_AT_ONCE))
    assert at_once == [0, HASHES_AT_ONCE]
