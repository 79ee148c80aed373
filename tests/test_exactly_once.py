"""Exactly once over HTTP: Idempotency-Key on every unsafe method, client-chosen ids, and many writers at once."""

import contextlib
import datetime as dt
import random
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import _create_database, _drop_database
from flask.testing import FlaskClient
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from werkzeug.test import TestResponse

from cashman import access, db
from cashman import ledger as ledger_module
from cashman.ledger import Books, Ledger
from cashman.model.income import Income
from cashman.verify import verify
from torture.service import Caller, Service, ulid

PIZZA = {"description": "pizza", "amount": 50}
SHOWN = {"Prefer": "return=representation"}


def post(client: FlaskClient, body: Any = PIZZA, path: str = "/expenses", **headers: str) -> TestResponse:
    """Record something, with the representation, and more headers by their names."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, json=body, headers={**SHOWN, **named})


def count(client: FlaskClient) -> int:
    """How many transactions stand."""
    return len(client.get("/transactions").json)


def is_replay(first: TestResponse, second: TestResponse) -> bool:
    """Whether the second answer is the first one again, and says so; each request has an id of its own."""
    own = {"Idempotency-Replayed", "Date", "X-Request-Id"}
    kept = [{name: value for name, value in one.headers.items() if name not in own} for one in (first, second)]
    return (
        first.status == second.status
        and first.data == second.data
        and kept[0] == kept[1]
        and "Idempotency-Replayed" not in first.headers
        and second.headers.get("Idempotency-Replayed") == "true"
    )


# One key, one request.


def test_a_repeated_post_is_booked_once_and_gets_the_first_answer(client: FlaskClient) -> None:
    first = post(client, Idempotency_Key="k1")
    assert first.status_code == 201
    assert is_replay(first, post(client, Idempotency_Key="k1"))
    assert count(client) == 1


def test_another_key_is_another_request(client: FlaskClient) -> None:
    assert post(client, Idempotency_Key="k1").json["id"] != post(client, Idempotency_Key="k2").json["id"]
    assert count(client) == 2


@pytest.mark.parametrize("other", ['"k1"', "k1"])
def test_a_quoted_key_and_a_bare_one_are_the_same(client: FlaskClient, other: str) -> None:
    assert is_replay(post(client, Idempotency_Key="k1"), post(client, Idempotency_Key=other))


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "ключ".encode().decode("latin-1"), "a\tb"])
def test_a_key_that_is_none_is_refused(client: FlaskClient, key: str) -> None:
    answer = post(client, Idempotency_Key=key)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["Idempotency-Key"])
    assert count(client) == 0


def test_a_key_may_have_255_characters(client: FlaskClient) -> None:
    assert is_replay(post(client, Idempotency_Key="k" * 255), post(client, Idempotency_Key="k" * 255))


def test_every_unsafe_method_takes_a_key(client: FlaskClient) -> None:
    """Each is repeated after something else has happened, and still gets its own first answer."""
    id_ = post(client).json["id"]
    path = f"/expenses/{id_}"
    put = {"description": "two", "amount": 2, "date": "2026-01-02"}
    requests = [
        ("PUT", path, put),
        ("PATCH", path, {"amount": 3}),
        ("DELETE", path, None),
        ("POST", path + "/restore", None),
        ("PATCH", path, {"amount": 4}),
        ("POST", "/transactions/batch", [{**PIZZA, "type": "EXPENSE"}]),
        ("POST", path + "/redact", None),
    ]

    def send(number: int) -> TestResponse:
        method, where, body = requests[number]
        return client.open(where, method=method, json=body, headers={**SHOWN, "Idempotency-Key": f"k{number}"})

    first = [send(number) for number in range(len(requests))]
    assert [answer.status_code for answer in first] == [200, 200, 204, 200, 200, 201, 204]
    head = client.get("/journal").headers["Cashman-Head"]
    again = [send(number) for number in range(len(requests))]
    # What was answered with a body before the redaction may have quoted words that are erased now.
    assert [answer.status_code for answer in again] == [410, 410, 204, 410, 410, 410, 204]
    assert is_replay(first[2], again[2])
    assert is_replay(first[6], again[6])
    assert client.get("/journal").headers["Cashman-Head"] == head


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_repeated_change_is_made_once(client: FlaskClient, method: str) -> None:
    path = f"/expenses/{post(client).json['id']}"
    body = {"description": "two", "amount": 2, "date": "2026-01-02"}
    first = client.open(path, method=method, json=body, headers={"Idempotency-Key": "k"})
    client.patch(path, json={"amount": 9})
    assert is_replay(first, client.open(path, method=method, json=body, headers={"Idempotency-Key": "k"}))
    assert client.get(path).json["amount"] == -9


@pytest.mark.parametrize(
    ("other", "path"),
    [
        ({**PIZZA, "amount": 51}, "/expenses"),
        ({**PIZZA, "notes": "with olives"}, "/expenses"),
        ({"description": "pizza", "amount": 50, "currency": "USD"}, "/expenses"),
        (PIZZA, "/incomes"),
        ({**PIZZA, "type": "EXPENSE"}, "/transactions"),
    ],
    ids=["amount", "one field more", "a default said aloud", "path", "route"],
)
def test_a_key_that_is_used_for_another_request_is_refused(client: FlaskClient, other: Any, path: str) -> None:
    post(client, Idempotency_Key="k1")
    answer = post(client, other, path, Idempotency_Key="k1")
    assert (answer.status_code, answer.json["type"]) == (422, "/problems/key-reused")
    assert count(client) == 1


def test_another_method_under_one_key_is_another_request(client: FlaskClient) -> None:
    path = f"/expenses/{post(client).json['id']}"
    client.patch(path, json={"amount": 7}, headers={"Idempotency-Key": "k"})
    answer = client.delete(path, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json["type"]) == (422, "/problems/key-reused")
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("amount", ["50.00", "5e1", "50"])
def test_the_same_content_may_be_spelt_otherwise(client: FlaskClient, amount: str) -> None:
    first = post(client, Idempotency_Key="k1")
    headers = {**SHOWN, "Idempotency-Key": "k1", "Content-Type": "application/json"}
    second = client.post("/expenses/", data=f'{{"amount": {amount}, "description": "pizza"}}', headers=headers)
    assert is_replay(first, second)


def test_an_error_is_not_kept_so_that_the_request_may_be_mended(client: FlaskClient) -> None:
    assert post(client, {"description": "pizza"}, Idempotency_Key="k1").status_code == 422
    assert post(client, {**PIZZA, "account": "nowhere"}, Idempotency_Key="k1").status_code == 422
    nowhere = client.patch(f"/expenses/{'0' * 26}", json={"amount": 1}, headers={"Idempotency-Key": "k1"})
    assert nowhere.status_code == 404
    assert post(client, Idempotency_Key="k1").status_code == 201
    assert count(client) == 1


def test_the_preference_of_the_first_request_is_what_is_answered(client: FlaskClient) -> None:
    first = client.post("/expenses", json=PIZZA, headers={"Idempotency-Key": "k1"})
    assert first.status_code == 204
    assert is_replay(first, post(client, Idempotency_Key="k1"))


def test_a_retry_past_midnight_is_the_same_request(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    last_second = dt.datetime(2026, 11, 20, 23, 59, 59, tzinfo=dt.UTC)
    moments = iter([last_second, last_second + dt.timedelta(seconds=2)])
    clock = SimpleNamespace(now=lambda zone: next(moments).astimezone(zone))
    monkeypatch.setattr(ledger_module, "dt", SimpleNamespace(datetime=clock))
    first = post(client, Idempotency_Key="k1")
    assert first.json["date"] == "2026-11-20"
    assert is_replay(first, post(client, Idempotency_Key="k1"))
    assert next(moments, None) is None  # the second was asked on the next day


def test_a_key_belongs_to_its_principal(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    post(client, Idempotency_Key="k1")
    monkeypatch.setattr("cashman.wire.current.caller", lambda: access.Caller("somebody else", "owner"))
    other = post(client, {**PIZZA, "amount": 7}, Idempotency_Key="k1")
    assert (other.status_code, "Idempotency-Replayed" in other.headers) == (201, False)
    assert count(client) == 2


def test_an_answer_is_kept_for_seven_days_and_forgotten_later(
    client: FlaskClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = post(client, Idempotency_Key="old")
    now = dt.datetime.now(dt.UTC)
    monkeypatch.setattr("cashman.journal.utc_now", lambda: now + dt.timedelta(days=7))
    _reach_the_next_thousand(client, "seven")
    assert is_replay(first, post(client, Idempotency_Key="old"))
    monkeypatch.setattr("cashman.journal.utc_now", lambda: now + dt.timedelta(days=9))
    _reach_the_next_thousand(client, "nine")
    assert books.database.read(lambda c: c.scalar(text("SELECT count(*) FROM keyed_answers WHERE key = 'old'"))) == 0
    assert post(client, Idempotency_Key="old").json["id"] != first.json["id"]


def _reach_the_next_thousand(client: FlaskClient, name: str) -> None:
    """Keyed answers are looked through now and then: here, where the journal comes to a full thousand."""
    sequence = int(client.get("/journal?limit=1").headers["Cashman-Head"].partition(":")[0])
    batch = [{**PIZZA, "type": "EXPENSE"}] * (1000 - sequence % 1000)
    assert post(client, batch, "/transactions/batch", Idempotency_Key=name).status_code == 201


# Over a restart, across processes, and many at once.


def test_many_threads_with_one_key_get_one_answer(database_url: str, tmp_path: Path) -> None:
    with Service(database_url, tmp_path) as service:
        answers = _together(service.port, 24, "POST", "/expenses", PIZZA, {**SHOWN, "Idempotency-Key": "k"})
        assert {(answer.status, answer.body, answer.headers["Cashman-Head"]) for answer in answers} == {
            (201, answers[0].body, answers[0].headers["Cashman-Head"])
        }
        assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
        first = answers[0]
        service.kill()
        service.start()
        service.wait_until_up()
        (again,) = _together(service.port, 1, "POST", "/expenses", PIZZA, {**SHOWN, "Idempotency-Key": "k"})
        assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
        id_ = first.json()["id"]
        revisions = _together(
            service.port, 50, "PATCH", f"/expenses/{id_}", {"amount": 7}, {"If-Match": '"1"'}, distinct=True
        )
        assert Counter(answer.status for answer in revisions) == {200: 1, 412: 49}


def _together(
    port: int, many: int, method: str, path: str, body: Any, headers: dict[str, str], *, distinct: bool = False
) -> list[Any]:
    """The answers to as many requests at once; with `distinct` each asks for another amount."""
    answers: list[Any] = []
    ready = threading.Barrier(many)

    def send(number: int) -> None:
        with Caller(port) as caller:
            ready.wait()
            answers.append(caller.ask(method, path, {**body, "amount": number + 100} if distinct else body, headers))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize(
    ("trouble", "then", "sqlstate"),
    [
        # A deadlock is looked for once, after so long: then the neighbour has to be waiting already.
        ("deadlock_timeout = '100ms'", "SELECT 1 FROM journal_heads FOR UPDATE", "40P01"),
        ("default_transaction_isolation = 'serializable'", "SELECT 1", "40001"),
    ],
    ids=["deadlock", "serialization"],
)
def test_serialization_failures_and_deadlocks_never_reach_a_client(
    postgresql_server: str, postgresql_template: str, trouble: str, then: str, sqlstate: str
) -> None:
    """A neighbour takes the same rows in the other order, again and again."""
    url = _create_database(postgresql_server, "cashman_collisions", "cashman_template")
    try:
        _alter(postgresql_server, f"ALTER DATABASE cashman_collisions SET {trouble}")
        met, acknowledged, booked = _collide(url, then, sqlstate)
    finally:
        _drop_database(postgresql_server, "cashman_collisions")
    assert met[sqlstate] > 0
    assert acknowledged >= 20
    assert booked == acknowledged


def _alter(server: str, statement: str) -> None:
    engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def _collide(url: str, then: str, sqlstate: str) -> tuple[Counter[str], int, int]:
    """Book beside a neighbour until they collided; the SQLSTATEs met, and how many are acknowledged and booked."""
    books = Books(db.connect(url))
    own = books.own_ledger()
    own.record(Income("first", 1))
    met: Counter[str] = Counter()
    must_retry = books.database._must_retry

    def noted(error: Any) -> bool:
        met[error.orig.sqlstate] += 1
        return must_retry(error)

    books.database._must_retry = noted  # type: ignore[method-assign]
    ending = threading.Event()
    neighbour = threading.Thread(target=_be_in_the_way, args=(url, then, ending))
    neighbour.start()
    acknowledged = 0
    try:
        # Whether a booking meets the neighbour is chance: some twenty may all fall between two of its turns.
        while acknowledged < 20 or (not met[sqlstate] and acknowledged < 500):
            own.record(Income(f"{acknowledged}", 1))
            acknowledged += 1
            ending.wait(random.uniform(0, 0.01))
    finally:
        ending.set()
        neighbour.join()
    booked = verify(books.database)[0].transactions - 1
    books.database.close()
    return met, acknowledged, booked


def _be_in_the_way(url: str, then: str, ending: threading.Event) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    while not ending.is_set():
        with engine.connect() as connection:
            # It waits longer for a deadlock than the service does, so that the service is the one that is cancelled.
            connection.exec_driver_sql("SET deadlock_timeout = '10s'")
            with contextlib.suppress(DBAPIError):
                connection.exec_driver_sql("UPDATE totals SET count = count")
                ending.wait(0.01)
                connection.exec_driver_sql(then)
                connection.commit()
        # Long enough for a second attempt of the service: a client is refused when every attempt collides.
        ending.wait(0.05)
    engine.dispose()


# 64 bits.


def test_a_write_whose_total_would_pass_64_bits_changes_nothing(client: FlaskClient, ledger: Ledger) -> None:
    most = 9_999_999_999_999.99
    id_ = ulid(random.Random(1))
    client.post("/accounts", json={"name": "euro", "currency": "EUR"})
    assert client.post("/incomes", json={"id": id_, "description": "most", "amount": most}).status_code == 204
    batch = [{"type": "INCOME", "description": "most", "amount": most}] * 9_222
    assert client.post("/transactions/batch", json=batch).status_code == 204
    head = client.get("/journal?after=1").headers["Cashman-Head"]
    over = {"type": "INCOME", "description": "over", "amount": most}
    single = client.post("/transactions", json=over, headers={"Idempotency-Key": "k"})
    assert (single.status_code, single.json["type"]) == (422, "/problems/total-too-large")
    two = client.post("/transactions/batch", json=[over, {**over, "account": "euro"}])
    rule = "The totals of this currency would pass 64 bits of minor units."
    assert (two.status_code, two.json["errors"]) == (422, {"0": {"amount": [rule]}})
    assert client.get("/journal?after=1").headers["Cashman-Head"] == head
    other_way = client.post("/expenses", json={"description": "over the other way", "amount": most})
    assert (other_way.status_code, other_way.json["type"]) == (422, "/problems/total-too-large")
    in_euros = {"description": "fits in euros", "amount": most, "account": "euro"}
    assert client.post("/incomes", json=in_euros).status_code == 204
    assert client.delete(f"/incomes/{id_}").status_code == 204
    assert client.post("/incomes", json={"description": "fits again", "amount": most}).status_code == 204
    restored = client.post(f"/incomes/{id_}/restore")
    assert (restored.status_code, restored.json["type"]) == (422, "/problems/total-too-large")
    assert verify(ledger.books.database)[0].transactions == 9_225


def test_a_chosen_id_is_booked_once_whoever_sends_it(database_url: str, tmp_path: Path) -> None:
    id_ = ulid(random.Random(1))
    with Service(database_url, tmp_path) as service:
        answers = _together(service.port, 16, "POST", "/expenses", {**PIZZA, "id": id_}, SHOWN)
    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
