"""Whether the service is alive, and whether it is ready: told in time, whatever the database does."""

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from serving import SECONDS_MAX, OwnPostgresql, Service
from sqlalchemy import make_url, text

from cashman import current, migrations
from cashman.db import probing
from cashman.db.probing import Found, Probe
from cashman.health import readiness
from cashman.index import create_app
from cashman.ledger import Books
from cashman.limits import PROBE_SECONDS_MAX
from cashman.model.income import Income

CHECKS = ("database", "migrations", "disk", "writer")
LATE_SECONDS = PROBE_SECONDS_MAX + 3  # the machine of the tests may be busy


def test_it_says_that_it_is_alive(client: FlaskClient) -> None:
    for path in ("/healthz", "/healthz/"):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype, answer.json) == (200, "application/json", {"status": "alive"})
    assert client.head("/healthz").status_code == 200


def test_it_is_alive_without_its_database(tmp_path) -> None:
    """A database that is out of reach is no reason to restart the process."""
    for url in ("postgresql://127.0.0.1:1/nothing", f"sqlite:///{tmp_path / 'cashman.db'}"):
        app: Flask = create_app({"CASHMAN_DATABASE_URL": url})
        assert app.test_client().get("/healthz").status_code == 200
    assert list(tmp_path.iterdir()) == [], "asking for health opens no books"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_it_takes_no_query_and_no_body(client: FlaskClient, path: str) -> None:
    assert client.get(f"{path}?verbose").status_code == 422
    assert client.post(path, json={}).status_code == 405


def reasons(client: FlaskClient) -> dict[str, Any]:
    """Why it is not ready."""
    began = time.monotonic()
    answer = client.get("/readyz")
    assert time.monotonic() - began < LATE_SECONDS
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json"), answer.get_data(as_text=True)
    assert answer.json["type"] == "/problems/not-ready"
    assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("2", "no-store")
    return {name: rules[0] for name, rules in answer.json["errors"].items()}


def test_it_is_ready_and_says_what_was_checked(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.json == {"status": "ready", "checks": dict.fromkeys(CHECKS, "ok")}
    assert answer.headers["Cache-Control"] == "no-store"


def test_what_it_finds_is_where_the_journal_stands(client: FlaskClient, books: Books) -> None:
    head = books.own_ledger().record(Income("salary", 5000)).head
    found = books.database.probe()
    assert (found.revision, found.head, found.writable) == (migrations.HEAD, head.sequence, True)


def test_it_is_not_ready_before_there_are_tables(empty_url: str, tmp_path: Path) -> None:
    if empty_url.startswith("sqlite"):
        (tmp_path / "empty").mkdir()
        sqlite3.connect(tmp_path / "empty" / "cashman.db").close()
    app = create_app({"CASHMAN_DATABASE_URL": empty_url})
    told = reasons(app.test_client())
    assert told == {"migrations": f"The schema is at 0, and has to be at {migrations.HEAD}."}
    current.books(app).database.open()
    time.sleep(1.1)  # so long an answer stands
    assert app.test_client().get("/readyz").status_code == 200
    current.books(app).database.close()


@pytest.mark.parametrize(("revision", "ready"), [("0001", False), ("9999", True)])
def test_an_older_schema_is_not_ready_and_a_newer_one_is(books: Books, revision: str, ready: bool) -> None:
    """A newer one was made by the next release, and this one works on it until it is replaced."""
    books.database.open()
    books.database.write(
        lambda connection: connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    )
    told = readiness(books, 0)
    assert told["database"] is None
    assert (told["migrations"] is None) == ready


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/nothing", "sqlite:////nowhere/at/all/cashman.db"])
def test_a_database_that_is_gone_is_told(url: str) -> None:
    assert reasons(create_app({"CASHMAN_DATABASE_URL": url}).test_client()) == {"database": "It is out of reach."}


def test_a_sqlite_file_that_another_program_holds_is_told_in_time(
    sqlite_template: Path, tmp_path: Path, with_copy: Callable[[], Flask]
) -> None:
    app = with_copy()
    holder = sqlite3.connect(tmp_path / "cashman.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    assert reasons(app.test_client()) == {"database": "It is out of reach."}
    holder.close()
    assert becomes_ready(lambda: app.test_client().get("/readyz").status_code == 200)


@pytest.fixture
def with_copy(sqlite_template: Path, tmp_path: Path) -> Callable[[], Flask]:
    """Makes a service on a SQLite file that it has not opened yet."""

    def make() -> Flask:
        (tmp_path / "cashman.db").write_bytes(sqlite_template.read_bytes())
        return create_app({"CASHMAN_DATABASE_URL": f"sqlite:///{tmp_path / 'cashman.db'}"})

    return make


def becomes_ready(ready: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS_MAX
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_a_disk_that_fills_up_is_told(
    with_settings: Callable[..., FlaskClient], engine_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_settings(disk_free_min=str(10**12))
    if engine_name == "postgresql":  # its disk is elsewhere
        assert client.get("/readyz").status_code == 200
        return
    assert reasons(client) == {"disk": "Less than 1000000000000 MB are free."}
    assert with_settings(disk_free_min="0").get("/readyz").status_code == 200


def test_a_file_system_without_room_for_files_is_told(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Found(migrations.HEAD, True, free_bytes=10**12, free_files=3)
    monkeypatch.setattr(books.database, "probe", lambda: full)
    assert readiness(books, 50)["disk"] == "The file system can hold no more files."
    assert readiness(books, 0)["disk"] is None


def test_a_commit_that_does_not_come_back_is_told(client: FlaskClient, books: Books) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang(_changes: int, commit: Callable[[], Any]) -> Any:
        entered.set()
        leave.wait(SECONDS_MAX)
        return commit()

    books.database.open()
    books.writer.around = hang
    writing = threading.Thread(target=lambda: books.own_ledger().record(Income("salary", 5000)))
    writing.start()
    assert entered.wait(SECONDS_MAX)
    assert client.get("/readyz").status_code == 200, "a commit may take its time"
    books.writer._began = (books.writer._began or 0) - 100
    assert reasons(client)["writer"].startswith("A commit has been under way for 10")
    leave.set()
    writing.join()
    assert client.get("/readyz").status_code == 200
    assert books.writer.seconds == 0


def test_the_database_is_asked_once_a_second_and_waited_for_no_longer_than_that_takes() -> None:
    asked, leave = [], threading.Event()

    def ask() -> Found:
        asked.append(time.monotonic())
        leave.wait(SECONDS_MAX)
        return Found("x", True)

    probe = Probe(ask, native=True)
    with pytest.raises(TimeoutError):
        probe()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        probe()
    assert time.monotonic() - began < 1, "the next one does not wait for what hangs already"
    leave.set()
    assert becomes_ready(lambda: _answers(probe))
    asked.clear()
    for _ in range(20):
        probe()
    assert len(asked) <= 2


def _answers(probe: Probe) -> bool:
    try:
        return probe().revision == "x"
    except TimeoutError:
        return False


@pytest.fixture
def own_postgresql(tmp_path: Path) -> Any:
    server = OwnPostgresql(tmp_path)
    yield server
    server.remove()


def test_a_postgresql_that_hangs_is_told_in_time_and_one_that_only_reads_too(
    own_postgresql: OwnPostgresql, tmp_path: Path
) -> None:
    """Under gevent, and without it."""
    soon = make_url(own_postgresql.url).update_query_dict({"connect_timeout": "2"})
    service = Service(tmp_path, soon.render_as_string(hide_password=False))
    app = create_app({"CASHMAN_DATABASE_URL": own_postgresql.url})
    client = app.test_client()
    try:
        assert becomes_ready(lambda: service.request("GET", "/readyz")[0] == 200)
        assert client.get("/readyz").status_code == 200
        own_postgresql.pause()
        try:
            time.sleep(1.1)
            assert reasons(client) in ({"database": "It does not answer."}, {"database": "It is out of reach."})
            began = time.monotonic()
            status, _, problem = service.request("GET", "/readyz")
            assert time.monotonic() - began < LATE_SECONDS
            assert (status, set(problem["errors"])) == (503, {"database"})
            assert service.request("GET", "/healthz")[0] == 200
            asked = (("POST", {"description": "salary", "amount": 5000}), ("GET", None))
            with ThreadPoolExecutor() as both:
                for status, headers, _ in both.map(lambda ask: service.request(ask[0], "/incomes", ask[1]), asked):
                    assert (status, headers["Retry-After"]) == (503, "2"), "nobody waits until they give up"
        finally:
            own_postgresql.go_on()
        assert becomes_ready(lambda: service.request("GET", "/readyz")[0] == 200)
        assert becomes_ready(lambda: client.get("/readyz").status_code == 200)
        own_postgresql.stop()
        time.sleep(1.1)
        assert reasons(client) == {"database": "It is out of reach."}
        own_postgresql.start_as_standby()
        time.sleep(1.1)
        assert reasons(client) == {"database": "It can only be read."}
        assert service.request("GET", "/readyz")[0] == 503
    finally:
        service.remove()


@pytest.mark.parametrize("native", [True, False])
def test_under_gevent_it_is_asked_beside_the_loop_and_given_up_too(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    import gevent
    from gevent import monkey

    monkeypatch.setattr(monkey, "is_module_patched", lambda _: True)
    monkeypatch.setattr(probing.time, "sleep", gevent.sleep)
    monkeypatch.setattr(probing, "PROBE_SECONDS_MAX", 0.2)
    assert Probe(lambda: Found("x", True), native=native)().revision == "x"
    leave, ended = threading.Event(), []

    def hang() -> Found:
        try:
            while not leave.wait(0.01):
                if not native:
                    gevent.sleep(0.01)
        finally:
            ended.append(True)
        return Found("x", True)

    probe = Probe(hang, native=native)
    with pytest.raises(TimeoutError):
        probe()
    gevent.sleep(0.1)
    assert bool(ended) is not native, "a greenlet is ended, a thread cannot be"
    leave.set()
    deadline = time.monotonic() + SECONDS_MAX
    while not ended and time.monotonic() < deadline:
        gevent.sleep(0.01)
    assert ended


def test_what_a_probe_meets_is_raised_each_time() -> None:
    def fail() -> Found:
        raise OSError("gone")

    probe = Probe(fail, native=True)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            probe()
