"""A store that is locked, read-only, full or gone, over HTTP: 503 until it is back, without a restart, nothing lost.

Every test ends with the same question: is what was acknowledged there, exactly that, and do the books verify?
"""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from serving import OwnPostgresql
from sqlalchemy import event, make_url
from werkzeug.test import TestResponse

from cashman import current
from cashman.db import postgresql, sqlite, watching
from cashman.index import create_app
from cashman.verify import verify

pytestmark = pytest.mark.alone

LOCK_WAIT_SECONDS = 1.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up waiting for a lock sooner than in earnest."""
    for engine in (sqlite, postgresql, watching):
        monkeypatch.setattr(engine, "LOCK_WAIT_SECONDS_MAX", LOCK_WAIT_SECONDS)


class Household:
    """Whoever books, and remembers what was acknowledged."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()
        self.acknowledged: list[str] = []
        self.attempts = 0

    def book(self) -> TestResponse:
        """Try to book one."""
        self.attempts += 1
        document = {"description": f"number {self.attempts}", "amount": self.attempts, "category": f"C{self.attempts}"}
        answer = self.client.post("/expenses", json=document)
        if answer.status_code == 204:
            self.acknowledged.append(answer.headers["Location"].rpartition("/")[2])
        return answer

    def is_refused(self, answer: TestResponse | None = None) -> None:
        """A write, or what is given, is refused for now."""
        answer = answer or self.book()
        assert answer.status_code == 503, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["type"] == "/problems/store-unavailable"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert "Traceback" not in answer.text

    def reads(self) -> None:
        """What was acknowledged is shown, all of it and nothing else."""
        answer = self.client.get("/expenses?sort=created_at&limit=1000")
        assert answer.status_code == 200, answer.text
        assert [row["id"] for row in answer.json] == self.acknowledged
        if self.acknowledged:
            assert self.client.get(f"/expenses/{self.acknowledged[-1]}").status_code == 200

    def is_back(self) -> None:
        """Writes work again, nothing acknowledged is lost, nothing was done by half."""
        deadline = time.monotonic() + 10
        while (answer := self.book()).status_code != 204:
            self.is_refused(answer)
            assert time.monotonic() < deadline, "it does not come back"
            time.sleep(0.05)
        assert self.book().status_code == 204
        self.reads()
        (verified,) = verify(current.books(self.app).database)
        # The ledger and its account, and a category for each transaction: what was refused left no entry.
        assert (verified.transactions, verified.entries) == (len(self.acknowledged), 2 + 2 * len(self.acknowledged))


def open_household(url: str) -> Iterator[Household]:
    app = create_app({"CASHMAN_DATABASE_URL": url})
    household = Household(app)
    for _ in range(3):
        assert household.book().status_code == 204
    yield household
    current.books(app).database.close()


@pytest.fixture
def sqlite_path(sqlite_template: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    folder.mkdir()
    return Path(shutil.copy(sqlite_template, folder / "cashman.db"))


@pytest.fixture
def sqlite_household(sqlite_path: Path) -> Iterator[Household]:
    """On SQLite."""
    yield from open_household(f"sqlite:///{sqlite_path}")


# SQLite, while it is locked.


def test_writes_wait_for_another_connections_lock_and_are_then_refused(
    sqlite_household: Household, sqlite_path: Path
) -> None:
    other = sqlite3.connect(sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begin = time.monotonic()
    sqlite_household.is_refused()
    assert LOCK_WAIT_SECONDS / 2 < time.monotonic() - begin < LOCK_WAIT_SECONDS + 5
    sqlite_household.reads()
    other.execute("ROLLBACK")
    other.close()
    sqlite_household.is_back()


def test_writes_are_refused_while_another_process_holds_the_lock_file(
    sqlite_household: Household, sqlite_path: Path
) -> None:
    descriptor = os.open(sqlite_path.with_name("cashman.db.lock"), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    sqlite_household.is_refused()
    sqlite_household.reads()
    os.close(descriptor)
    sqlite_household.is_back()


# SQLite, read-only and full by the engine's own means, which every machine has.


def on_checkout(household: Household, pragma: Callable[[], str]) -> None:
    """Run a pragma on every connection of the service that is taken from now on."""
    database = current.books(household.app).database
    database._discard_writer()

    def apply(connection: sqlite3.Connection, *_: Any) -> None:
        connection.execute(f"PRAGMA {pragma()}")

    event.listen(database.engine, "checkout", apply)


def test_a_read_only_database_is_read_and_not_written(sqlite_household: Household) -> None:
    read_only = True
    on_checkout(sqlite_household, lambda: f"query_only = {int(read_only)}")
    sqlite_household.is_refused()
    sqlite_household.is_refused()
    sqlite_household.reads()
    read_only = False
    sqlite_household.is_back()


def test_a_full_database_is_read_and_not_written(sqlite_household: Household, sqlite_path: Path) -> None:
    # SQLite takes the number of pages there are for a limit below it.
    pages = 1
    on_checkout(sqlite_household, lambda: f"max_page_count = {pages}")
    large = {"description": "x", "amount": 1, "notes": "n" * 5_000}
    answers = [sqlite_household.client.post("/expenses", json=large) for _ in range(1)]
    while answers[-1].status_code == 204:
        sqlite_household.acknowledged.append(answers[-1].headers["Location"].rpartition("/")[2])
        answers.append(sqlite_household.client.post("/expenses", json=large))
        assert len(answers) < 50, "it is never full"
    sqlite_household.is_refused(answers[-1])
    sqlite_household.reads()
    pages = 1_000_000
    assert sqlite_household.book().status_code == 204
    sqlite_household.reads()
    (verified,) = verify(current.books(sqlite_household.app).database)
    assert verified.transactions == len(sqlite_household.acknowledged)


# SQLite, when its file has gone.


def test_a_database_file_that_is_gone_is_never_made_anew(sqlite_household: Household, sqlite_path: Path) -> None:
    away = sqlite_path.with_name("away.db")
    sqlite_path.rename(away)
    sqlite_household.is_refused()
    sqlite_household.reads()
    assert not sqlite_path.exists()
    away.rename(sqlite_path)
    sqlite_household.is_back()


def test_a_folder_that_is_gone_comes_back(sqlite_household: Household, sqlite_path: Path) -> None:
    away = sqlite_path.parent.with_name("away")
    sqlite_path.parent.rename(away)
    sqlite_household.is_refused()
    sqlite_household.reads()
    away.rename(sqlite_path.parent)
    sqlite_household.is_back()


def test_a_folder_that_is_gone_before_the_first_request_comes_back(sqlite_path: Path) -> None:
    app = create_app({"CASHMAN_DATABASE_URL": f"sqlite:///{sqlite_path}"})
    household = Household(app)
    blocked = sqlite_path.parent
    away = blocked.with_name("away")
    blocked.rename(away)
    blocked.write_text("a file where the folder was")
    assert household.book().status_code in (500, 503)
    assert app.test_client().get("/healthz").status_code == 200
    blocked.unlink()
    away.rename(blocked)
    household.is_back()
    current.books(app).database.close()


def test_garbage_in_the_place_of_a_database_is_told_and_mended(sqlite_household: Household, sqlite_path: Path) -> None:
    current.books(sqlite_household.app).database.close()
    good = sqlite_path.read_bytes()
    sqlite_path.write_bytes(b"This is no database. " * 500)
    sqlite_household.is_refused()
    sqlite_household.is_refused(sqlite_household.client.get("/expenses"))
    sqlite_path.write_bytes(good)
    sqlite_household.is_back()


# SQLite, on a real file system that is full or read-only.


@pytest.fixture
def small_disk(sqlite_template: Path, tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB of its own, with a database on it."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield Path(shutil.copy(sqlite_template, disk / "cashman.db"))
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_survived(small_disk: Path) -> None:
    for household in open_household(f"sqlite:///{small_disk}"):
        ballast = small_disk.with_name("ballast")
        with ballast.open("wb") as file:
            free = os.statvfs(small_disk.parent).f_bavail * os.statvfs(small_disk.parent).f_frsize
            file.write(bytes(free - 50_000))
        for _ in range(100):
            answer = household.book()
            if answer.status_code != 204:
                break
        household.is_refused(answer)
        household.is_refused()
        household.reads()
        ballast.unlink()
        household.is_back()


def test_a_disk_that_turns_read_only_is_survived(small_disk: Path) -> None:
    for household in open_household(f"sqlite:///{small_disk}"):
        # Connections that are open keep their files writable, and would stop the remount.
        current.books(household.app).database.close()
        subprocess.run(["mount", "-o", "remount,ro", small_disk.parent], check=True)
        assert household.book().status_code == 503
        household.is_refused()
        subprocess.run(["mount", "-o", "remount,rw", small_disk.parent], check=True)
        household.is_back()


# PostgreSQL.


@pytest.fixture(scope="module")
def own_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgresql]:
    server = OwnPostgresql(tmp_path_factory.mktemp("own"))
    yield server
    server.remove()


@pytest.fixture
def postgresql_household(own_postgresql: OwnPostgresql) -> Iterator[Household]:
    """On a PostgreSQL that may be stopped, with a database of its own."""
    with psycopg.connect(own_postgresql.admin_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS household WITH (FORCE)")
        admin.execute("CREATE DATABASE household")
    url = make_url(own_postgresql.url).set(database="household").update_query_dict({"connect_timeout": "2"})
    yield from open_household(url.render_as_string(hide_password=False))


def test_postgresql_may_stop_and_start(postgresql_household: Household, own_postgresql: OwnPostgresql) -> None:
    own_postgresql.stop()
    try:
        postgresql_household.is_refused()
        postgresql_household.is_refused(postgresql_household.client.get("/expenses"))
        postgresql_household.is_refused(postgresql_household.client.get(f"/expenses/{'0' * 26}"))
        postgresql_household.is_refused(postgresql_household.client.delete(f"/expenses/{'0' * 26}"))
        assert postgresql_household.client.get("/healthz").status_code == 200
    finally:
        own_postgresql.start()
    postgresql_household.is_back()


def test_reads_do_not_notice_that_their_connections_died(
    postgresql_household: Household, own_postgresql: OwnPostgresql
) -> None:
    postgresql_household.reads()
    with psycopg.connect(own_postgresql.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'household'")
    postgresql_household.reads()
    postgresql_household.is_back()


def test_a_service_that_starts_before_postgresql_catches_up(own_postgresql: OwnPostgresql) -> None:
    with psycopg.connect(own_postgresql.admin_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS household WITH (FORCE)")
    url = make_url(own_postgresql.url).set(database="household").render_as_string(hide_password=False)
    app = create_app({"CASHMAN_DATABASE_URL": url})
    household = Household(app)
    household.is_refused()
    household.is_refused(household.client.get("/expenses"))
    with psycopg.connect(own_postgresql.admin_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE household")
    household.is_back()
    current.books(app).database.close()


def test_a_head_that_another_session_holds_is_waited_for_and_then_refused(
    postgresql_household: Household, own_postgresql: OwnPostgresql
) -> None:
    url = make_url(own_postgresql.url).set(database="household").render_as_string(hide_password=False)
    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM journal_heads FOR UPDATE")
        begin = time.monotonic()
        postgresql_household.is_refused()
        assert time.monotonic() - begin < LOCK_WAIT_SECONDS + 5
        postgresql_household.reads()
        other.rollback()
    postgresql_household.is_back()


def test_a_postgresql_that_only_reads_is_read_and_not_written(
    postgresql_household: Household, own_postgresql: OwnPostgresql
) -> None:
    """As on a managed server whose disk runs full."""
    with psycopg.connect(own_postgresql.admin_url, autocommit=True) as admin:
        admin.execute("ALTER DATABASE household SET default_transaction_read_only = on")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'household'")
        # What the pool still holds is dead; the next connections are read-only.
        for _ in range(3):
            postgresql_household.is_refused()
        postgresql_household.reads()
        admin.execute("ALTER DATABASE household SET default_transaction_read_only = off")
    postgresql_household.is_back()


def test_a_standby_is_read_and_written_once_it_is_promoted(
    postgresql_household: Household, own_postgresql: OwnPostgresql
) -> None:
    """Failover: the address that the service knows leads to a server that has not taken over yet."""
    own_postgresql.stop()
    own_postgresql.start_as_standby()
    try:
        postgresql_household.reads()
        postgresql_household.is_refused()
        postgresql_household.reads()
        postgresql_household.is_refused()
    finally:
        own_postgresql.promote()
    postgresql_household.is_back()


def test_what_a_synchronous_standby_was_not_waited_for_is_not_acknowledged(
    postgresql_household: Household, own_postgresql: OwnPostgresql
) -> None:
    """Somebody cancels the wait: COMMIT succeeds then, and only warns that the standby may not have it."""
    document, headers = {"description": "waits", "amount": 1}, {"Idempotency-Key": "waits"}
    answers: list[TestResponse] = []

    def book() -> None:
        answers.append(postgresql_household.client.post("/expenses", json=document, headers=headers))

    with psycopg.connect(own_postgresql.admin_url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        admin.execute("SELECT pg_reload_conf()")
        try:
            booking = threading.Thread(target=book)
            booking.start()
            cancelled = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            deadline = time.monotonic() + 20
            while not admin.execute(cancelled).fetchall():
                assert time.monotonic() < deadline, "nobody waits for the standby"
                time.sleep(0.05)
            booking.join(20)
        finally:
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("SELECT pg_reload_conf()")
    postgresql_household.is_refused(answers[0])
    book()
    assert answers[1].status_code == 204
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert [row["description"] for row in postgresql_household.client.get("/expenses").json].count("waits") == 1


def test_a_postgresql_that_falls_silent_is_not_waited_for_and_what_it_was_told_is_done_once(
    postgresql_household: Household, own_postgresql: OwnPostgresql
) -> None:
    """Just when COMMIT comes, which it does once it goes on."""
    client = postgresql_household.client
    document, headers = {"description": "waits", "amount": 1}, {"Idempotency-Key": "waits"}
    engine = current.books(postgresql_household.app).database.engine
    event.listen(engine, "commit", lambda _: own_postgresql.pause(), once=True)
    try:
        postgresql_household.is_refused(client.post("/expenses", json=document, headers=headers))
        postgresql_household.is_refused(client.get("/expenses"))
    finally:
        own_postgresql.go_on()
    answer = client.post("/expenses", json=document, headers=headers)
    assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (204, "true")
    assert [row["description"] for row in client.get("/expenses").json].count("waits") == 1


def test_a_full_postgresql_is_read_and_not_written(
    postgresql_household: Household, own_postgresql: OwnPostgresql
) -> None:
    """The server's own error for a full disk, in the middle of a batch."""
    url = make_url(own_postgresql.url).set(database="household").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        other.execute("CREATE TRIGGER full_disk BEFORE UPDATE ON journal_heads EXECUTE FUNCTION full_disk()")
        postgresql_household.is_refused()
        postgresql_household.reads()
        other.execute("DROP TRIGGER full_disk ON journal_heads")
    postgresql_household.is_back()
