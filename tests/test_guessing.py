"""Guessing passwords: how many guesses are compared, and that nobody learns by them who has an account."""

import http.client
import itertools
import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from people import PASSWORD, another, first_user
from serving import Service
from sqlalchemy import event
from werkzeug.test import TestResponse

from cashman import access, current
from cashman.access import passwords
from cashman.index import create_app
from cashman.limits import SIGN_IN_SECONDS

EMAIL = "first@example.com"
GUESSES = 1_000
THREADS = 4
UNLIMITED = 10**9


def guess_in_a_process(database_url: str, name: int, guesses: int, limited: bool, ready: Any, said: Any) -> None:
    """One process: guesses as fast as it can, and says what it was answered and how often a password was compared."""
    compared = itertools.count()
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

    class Counting:
        hash = staticmethod(cheap.hash)
        check_needs_rehash = staticmethod(cheap.check_needs_rehash)

        def verify(self, kept: str, password: bytes) -> bool:
            next(compared)
            return cheap.verify(kept, password)

    passwords._hasher = Counting()  # type: ignore[assignment]
    if not limited:
        access.SIGN_IN_TRIES_OF_ACCOUNT = UNLIMITED  # type: ignore[misc]
    app = create_app({"CASHMAN_DATABASE_URL": database_url})
    statuses: Counter[int] = Counter()

    def guess(thread: int) -> None:
        client = app.test_client()
        for number in range(guesses // THREADS):
            # Each from an address of its own, so that it is the account's limit that holds.
            peer = f"10.{name}.{thread}.{number}"
            given = {"email": EMAIL, "password": f"guess {name} {thread} {number}"}
            answer = client.post("/tokens", json=given, environ_overrides={"REMOTE_ADDR": peer})
            statuses[answer.status_code] += 1

    app.test_client().get("/healthz")
    ready.wait()
    threads = [threading.Thread(target=guess, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    current.books(app).database.close()
    said.put((next(compared), dict(statuses)))


def guess_from_two_processes(database_url: str, guesses: int, *, limited: bool) -> tuple[int, Counter[int]]:
    """How many guesses were compared, and how many got which answer."""
    context = multiprocessing.get_context("spawn")
    ready, said = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=guess_in_a_process, args=(database_url, name, guesses // 2, limited, ready, said))
        for name in (1, 2)
    ]
    for process in processes:
        process.start()
    heard = [said.get(timeout=100) for _ in processes]
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    statuses: Counter[int] = Counter()
    for _, of_one in heard:
        statuses.update(of_one)
    return sum(compared for compared, _ in heard), statuses


def test_of_a_thousand_guesses_from_two_processes_ten_are_compared(
    client: FlaskClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_user(client, EMAIL)
    compared, statuses = guess_from_two_processes(database_url, GUESSES, limited=True)
    assert compared <= 10
    assert statuses == {401: 10, 429: GUESSES - 10}

    def sign_in() -> int:
        given = {"email": EMAIL, "password": PASSWORD}
        return client.post("/tokens", json=given, environ_overrides={"REMOTE_ADDR": "192.0.2.7"}).status_code

    assert sign_in() == 429, "the right one, too, and from an address that never tried"
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + SIGN_IN_SECONDS - 100)
    assert sign_in() == 429
    monkeypatch.setattr(time, "time", lambda: real() + SIGN_IN_SECONDS)
    assert sign_in() == 200


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_without_the_limit_all_of_them_would_be(client: FlaskClient, database_url: str) -> None:
    """The control of the test above."""
    first_user(client, EMAIL)
    compared, statuses = guess_from_two_processes(database_url, 80, limited=False)
    assert compared == 80
    assert statuses == {401: 80}


@pytest.fixture
def servers(client: FlaskClient, database_url: str, tmp_path: Path) -> Iterator[list[Service]]:
    """Two servers, each with two workers, on one database with a user."""
    first_user(client, EMAIL)
    current.books(client.application).database.close()
    begun: list[Service] = []
    try:
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            begun.append(Service(tmp_path / name, database_url, CASHMAN_AUTH="open"))
        yield begun
    finally:
        for service in begun:
            service.remove()


def test_two_real_servers_with_four_workers_let_ten_through_together(servers: list[Service]) -> None:
    """At the real cost of a hash, and at once: each of the tries is under way while the others are."""
    statuses: list[int] = []

    def guess(service: Service, name: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        for number in range(5):
            given = json.dumps({"email": EMAIL, "password": f"guess {name} {number}"})
            connection.request("POST", "/tokens", given, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=guess, args=(servers[name % 2], name)) for name in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(statuses) == {401: 10, 429: 50}


# Who has an account.


def ask(client: FlaskClient, email: str, password: str = "a wrong password", peer: str = "192.0.2.7") -> TestResponse:
    given = {"email": email, "password": password}
    return client.post("/tokens", json=given, environ_overrides={"REMOTE_ADDR": peer})


def told(answer: TestResponse) -> list[tuple[str, str]]:
    """Every header but the one that says which request it is."""
    return [(name, value) for name, value in answer.headers if name != "X-Request-Id"]


@pytest.fixture
def accounts(client: FlaskClient) -> list[str]:
    """E-mails of the same length that are somebody's, a revoked user's, one's without a password, and nobody's."""
    first = first_user(client, "known@example.com")
    revoked = another(first, "gone1@example.com")
    assert first.patch(f"/users/{revoked.id}", {"revoked": True}).status_code == 200
    made = first.post("/users", {"email": "outer@example.com", "subject": "outer"})
    assert made.status_code == 201
    return ["known@example.com", "gone1@example.com", "outer@example.com", "nobod@example.com"]


def test_an_answer_tells_nobody_whose_e_mail_it_is(client: FlaskClient, accounts: list[str]) -> None:
    """Status, every header and every byte: wrong at first, and too often later."""
    for number in range(12):
        answers = [ask(client, email, peer=f"10.0.{number}.{place}") for place, email in enumerate(accounts)]
        assert {answer.status_code for answer in answers} == {401 if number < 10 else 429}
        assert len({answer.data for answer in answers}) == 1
        if number < 10:
            assert len({str(sorted(told(answer))) for answer in answers}) == 1
        waits = [int(answer.headers.pop("Retry-After", 0)) for answer in answers]
        assert max(waits) - min(waits) <= 2
        assert len({str(sorted(told(answer))) for answer in answers}) == 1


def test_the_right_password_of_a_revoked_user_is_a_wrong_one(client: FlaskClient, accounts: list[str]) -> None:
    revoked, nobody = ask(client, accounts[1], PASSWORD), ask(client, accounts[3], PASSWORD)
    assert (revoked.status_code, revoked.data) == (nobody.status_code, nobody.data) == (401, nobody.data)
    assert sorted(told(revoked)) == sorted(told(nobody))


def test_answers_in_another_language_tell_no_more(client: FlaskClient, accounts: list[str]) -> None:
    for language in ("de", "pt-BR", "xx"):
        answers = [
            client.post(
                "/tokens", json={"email": email, "password": "a wrong password"}, headers={"Accept-Language": language}
            )
            for email in accounts
        ]
        assert len({(answer.status_code, answer.data, str(sorted(told(answer)))) for answer in answers}) == 1


Work = Callable[[str], tuple[list[str], int]]


@pytest.fixture
def work(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """What a sign-in takes: the statements that the database is asked, and the hashes that are compared."""
    statements: list[str] = []
    compared: list[str] = []
    cheap = passwords._hasher

    class Counting:
        hash = staticmethod(cheap.hash)
        check_needs_rehash = staticmethod(cheap.check_needs_rehash)

        def verify(self, kept: str, password: bytes) -> bool:
            compared.append(kept.rpartition("$")[0].rpartition("$")[0])
            return cheap.verify(kept, password)

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    monkeypatch.setattr(passwords, "_hasher", Counting())
    engines = {id(engine): engine for engine in engines_of(app)}.values()
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)

    def measure(email: str, peer: str = "192.0.2.7") -> tuple[list[str], int]:
        statements.clear()
        compared.clear()
        ask(client, email, peer=peer)
        assert len(set(compared)) <= 1
        return statements.copy(), len(compared)

    yield measure
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def engines_of(app: Flask) -> list[Any]:
    """The engines of the database."""
    from sqlalchemy import Engine

    database = current.books(app).database
    database.open()
    found = [value for value in vars(database).values() if isinstance(value, Engine)]
    assert found
    return found


def test_the_same_work_is_done_for_every_e_mail(accounts: list[str], work: Work) -> None:
    work("warm@example.com")
    done = {email: work(email, f"10.0.0.{number}") for number, email in enumerate(accounts)}
    assert done[accounts[0]][1] == 1
    assert len(done[accounts[0]][0]) > 5
    assert all(one == done[accounts[0]] for one in done.values()), done


def test_the_same_work_is_done_for_every_e_mail_that_has_no_try_left(accounts: list[str], work: Work) -> None:
    for number in range(10):
        for place, email in enumerate(accounts):
            work(email, f"10.0.{number}.{place}")
    done = {email: work(email, f"10.1.0.{number}") for number, email in enumerate(accounts)}
    assert done[accounts[0]][1] == 0
    assert done[accounts[0]][0]
    assert all(one == done[accounts[0]] for one in done.values()), done


def test_less_work_for_an_unknown_e_mail_would_be_seen(
    accounts: list[str], work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the tests above: a sign-in that compares nothing where there is nothing to compare with."""
    real = access.verify_password
    monkeypatch.setattr(access, "verify_password", lambda kept, password: kept is not None and real(kept, password))
    assert work(accounts[0])[1] == 1
    assert [work(email)[1] for email in accounts[1:]] == [0, 0, 0]


def test_nobody_learns_of_an_account_by_asking_to_make_one(client: FlaskClient, accounts: list[str]) -> None:
    """Only who may make users is told that an e-mail is taken."""
    for given in ({}, {"setup_code": "AAAA-AAAA-AAAA-AAAA-AAAA"}):
        answers = [client.post("/users", json={"email": email, "password": PASSWORD, **given}) for email in accounts]
        assert len({(answer.status_code, answer.data) for answer in answers}) == 1
        assert answers[0].status_code in (401, 403)


def test_a_user_who_is_no_administrator_learns_of_no_account_either(client: FlaskClient) -> None:
    first = first_user(client, EMAIL)
    other, third = another(first, "other@example.com"), another(first, "third@example.com")
    for path in (f"/users/{third.id}", f"/users/{first.id}"):
        unknown = "/users/01ARZ3NDEKTSV4RRFFQ69G5FAV"
        for method in ("GET", "DELETE", "PATCH", "PUT"):
            document = {"name": "x", "email": "x@example.com"} if method in ("PATCH", "PUT") else None
            known = other.ask(method, path, json=document)
            assert known.status_code == 404
            assert known.data == other.ask(method, unknown, json=document).data
