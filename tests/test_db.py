"""The database: what it promises, what it does when it cannot keep the promise, and how it recovers."""

import contextlib
import datetime as dt
import fcntl
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cashman import db
from cashman.db import Database, PostgresDatabase, SqliteDatabase, postgresql, rfc3339, sqlite, table, utc_now
from cashman.errors import ConfigurationError, StoreUnavailable
from cashman.ledger import Books, Ledger
from cashman.model.access import SigningKeyRecord
from cashman.model.expense import Expense
from cashman.model.filter import Filter

on_sqlite = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("engine_name", ["postgresql"], indirect=True)

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65_534


def record(ledger: Ledger, description: str = "pizza", **fields: Any) -> int:
    """Book something; returns its sequence number."""
    return ledger.record(Expense(description, 1, **fields)).head.sequence


def found(ledger: Ledger) -> list[str]:
    """What the ledger shows."""
    return sorted(row.description for row in ledger.find(Filter()).rows)


def refused(attempt: Callable[[], object]) -> StoreUnavailable:
    """The error of an attempt that the store cannot carry out now, which says when to come again."""
    with pytest.raises(StoreUnavailable) as raised:
        attempt()
    assert raised.value.status == 503
    assert int(raised.value.headers["Retry-After"]) > 0
    return raised.value


@pytest.fixture
def path(database_url: str) -> Path:
    """The file of a SQLite database."""
    return Path(database_url.removeprefix("sqlite:///"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a lock."""
    for engine in (sqlite, postgresql):
        monkeypatch.setattr(engine, "LOCK_WAIT_SECONDS_MAX", 0.1)


# Column types.


def test_text_order_of_instants_is_time_order() -> None:
    instants = [
        dt.datetime(2026, 1, 1, second=s, microsecond=m, tzinfo=dt.UTC) for s in (0, 1) for m in (0, 9, 10, 999_999)
    ]
    assert sorted(map(rfc3339, instants)) == [rfc3339(instant) for instant in instants]
    assert rfc3339(instants[0]) == "2026-01-01T00:00:00.000000Z"


def test_instants_and_small_values_come_back_as_they_went_in() -> None:
    instant = dt.datetime(2026, 1, 1, microsecond=5, tzinfo=dt.UTC)
    for type_, value in ((db.Instant(), instant), (db.Instant(), None), (db.JsonText(), ["ü", {"a": 1}])):
        stored = type_.process_bind_param(value, None)
        assert stored is None or isinstance(stored, str)
        assert type_.process_result_value(stored, None) == value
    assert db.JsonText().process_result_value(None, None) is None


# Which database.


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("nonsense", "not a database URL"),
        ("", "not a database URL"),
        ("sqlite://", "books need a file"),
        ("sqlite:///:memory:", "books need a file"),
        ("sqlite:////data/x.db?mode=memory", "books need a file"),
        ("mysql://localhost/cashman", "mysql is neither sqlite nor postgresql"),
    ],
)
def test_a_url_that_no_books_can_be_kept_at_is_refused_in_one_line(url: str, rule: str) -> None:
    with pytest.raises(ConfigurationError, match=rule) as refusal:
        db.connect(url)
    assert "\n" not in str(refusal.value)


def test_a_url_names_the_engine() -> None:
    assert isinstance(db.connect("sqlite:///some.db"), SqliteDatabase)
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        database = db.connect(f"{scheme}://someone:p%40ss@localhost:1/cashman")
        assert isinstance(database, PostgresDatabase)
        assert database.engine.url.drivername == "postgresql+psycopg"
        assert database.engine.url.password == "p@ss"


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    books = Books(db.connect(f"sqlite:///{tmp_path}/a/b/cash%20man?.db".replace("?", "")))
    assert record(books.own_ledger()) == 3
    books.database.close()


def test_a_path_that_cannot_be_a_database_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for wrong in ("file/cashman.db", "folder"):
        with pytest.raises(ConfigurationError, match="cannot be used"):
            db.connect(f"sqlite:///{tmp_path / wrong}").open()


# Durability.


@on_sqlite
def test_every_connection_is_durable_and_reads_its_pragmas_back(ledger: Ledger) -> None:
    record(ledger)
    database = ledger.books.database
    expected = {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 0, "trusted_schema": 0}

    def pragmas(connection: Connection) -> dict[str, Any]:
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}

    assert database.read(pragmas) == expected
    assert database.write(pragmas) == expected


def weaken(connection: sqlite3.Connection, _record: Any = None) -> None:
    """Make a connection one that pretends to take synchronous=FULL and stays at NORMAL."""
    connection.execute("PRAGMA synchronous=NORMAL")

    def authorize(action: int, name: str | None, value: str | None, *_: Any) -> int:
        pretend = (action, name, value) == (sqlite3.SQLITE_PRAGMA, "synchronous", "FULL")
        return sqlite3.SQLITE_IGNORE if pretend else sqlite3.SQLITE_OK

    connection.set_authorizer(authorize)


@on_sqlite
def test_a_database_that_does_not_sync_fully_is_refused(database_url: str) -> None:
    """The control: without the check this database would open, and lose what it acknowledges in a power cut."""
    books = Books(db.connect(database_url))
    event.listen(books.database.engine, "connect", weaken, insert=True)
    with pytest.raises(ConfigurationError, match="journal_mode=wal, synchronous=1"):
        books.database.open()
    books.database.close()


def test_a_database_without_a_write_ahead_log_is_refused() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection, pytest.raises(ConfigurationError) as refusal:
        SqliteDatabase._configure(connection, None)
    assert "journal_mode=memory, synchronous=2" in str(refusal.value)


@on_postgresql
def test_a_server_that_does_not_sync_its_commits_is_refused(database_url: str) -> None:
    books = Books(db.connect(database_url))
    books.database.open()
    alter(database_url, "SET synchronous_commit = off")
    books.database.close()
    with pytest.raises(ConfigurationError, match="'synchronous_commit': 'off'"):
        books.database.open()
    alter(database_url, "RESET synchronous_commit")
    books.database.close()
    assert record(books.own_ledger()) == 3
    books.database.close()


def test_a_database_of_a_newer_release_is_refused(database_url: str) -> None:
    books = Books(db.connect(database_url))
    books.database.write(
        lambda connection: connection.exec_driver_sql(
            "UPDATE alembic_version SET version_num = '9999', works_with = '9998'"
        )
    )
    books.database.close()
    with pytest.raises(ConfigurationError, match="schema 9999, made by a newer Cashman"):
        books.database.open()
    books.database.close()


# Reading and writing.


def test_a_read_is_one_snapshot(ledger: Ledger) -> None:
    record(ledger, "one")

    def work(connection: Connection) -> tuple[int, int]:
        count = text("SELECT count(*) FROM transactions")
        before = connection.execute(count).scalar_one()
        thread = threading.Thread(target=record, args=(ledger, "two"))
        thread.start()
        thread.join()
        return before, connection.execute(count).scalar_one()

    assert ledger.books.database.read(work) == (1, 1)
    assert found(ledger) == ["one", "two"]


@on_postgresql
def test_a_read_cannot_write(ledger: Ledger) -> None:
    refused(lambda: ledger.books.database.read(lambda c: c.exec_driver_sql("UPDATE ledgers SET currency = 'EUR'")))
    assert record(ledger) == 3


def test_a_write_that_raises_leaves_nothing(ledger: Ledger) -> None:
    def work(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE ledgers SET currency = 'EUR'")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledger.books.database.write(work)
    currency = ledger.books.database.read(lambda c: c.exec_driver_sql("SELECT currency FROM ledgers").scalar())
    assert currency == "USD"
    assert record(ledger) == 3


def test_a_statement_that_is_wrong_is_not_taken_for_a_store_that_is_away(ledger: Ledger) -> None:
    attempts = []

    def twice_the_same(connection: Connection) -> None:
        attempts.append(1)
        connection.exec_driver_sql("INSERT INTO ledgers SELECT * FROM ledgers")

    with pytest.raises(IntegrityError):
        ledger.books.database.write(twice_the_same)
    assert len(attempts) == 1
    for door in (ledger.books.database.read, ledger.books.database.write):
        with pytest.raises(DBAPIError):
            door(lambda connection: connection.exec_driver_sql("SELECT nonsense"))


def test_a_closed_database_is_opened_again_by_its_next_use(ledger: Ledger) -> None:
    record(ledger, "one")
    for _ in range(2):
        ledger.books.database.close()
    assert found(ledger) == ["one"]
    ledger.books.database.close()
    assert record(ledger, "two") == 4


def test_a_database_may_be_opened_without_books(database_url: str) -> None:
    database = db.connect(database_url)
    assert database.exists()
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM ledgers").scalar()) == 1
    database.scrub()
    database.close()


def test_a_file_that_is_not_there_does_not_exist(tmp_path: Path) -> None:
    assert not db.connect(f"sqlite:///{tmp_path / 'none.db'}").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_database_is_opened_once_by_many_threads(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(db.connect(database_url))
    opened = []
    prepare = type(books.database)._prepare

    def counted(database: Any) -> None:
        opened.append(1)
        time.sleep(0.02)
        prepare(database)

    monkeypatch.setattr(type(books.database), "_prepare", counted)
    threads = [threading.Thread(target=books.database.open) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    books.database.close()


def test_a_pool_without_a_free_connection_is_a_store_that_is_busy(ledger: Ledger) -> None:
    record(ledger)
    pool: Any = ledger.books.database.engine.pool
    pool._timeout = 0.05
    with contextlib.ExitStack() as stack:
        while pool.checkedout() < pool.size() + pool._max_overflow:
            stack.enter_context(ledger.books.database.engine.connect())
        assert refused(lambda: found(ledger)).detail == "Every connection is busy."
    assert found(ledger) == ["pizza"]


def test_work_runs_where_it_is_called_without_gevent() -> None:
    assert db.off_loop(threading.get_ident) == threading.get_ident()


def test_work_leaves_the_loop_where_gevent_serves(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gevent.monkey.is_module_patched", lambda name: True)
    assert db.off_loop(threading.get_ident) != threading.get_ident()

    def fails() -> None:
        raise KeyError("expected")

    with pytest.raises(KeyError, match="expected"):
        db.off_loop(fails)
    assert capfd.readouterr().err == ""  # gevent would write a traceback of its own


WRITE_SCRIPT = """
import sys
from cashman import db
from cashman.ledger import Books
from cashman.model.expense import Expense
books = Books(db.connect(sys.argv[1]))
ledger = books.own_ledger()
for number in range(int(sys.argv[3])):
    ledger.record(Expense(f"{sys.argv[2]} {number}", 1))
books.database.close()
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Run a script in another process."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_write_at_once(ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both append to one chain, with checkpoints in between, and none of it is lost or written twice."""
    monkeypatch.setattr(SqliteDatabase, "_CHANGES_PER_CHECKPOINT", 20)
    rows = 40
    other = start(WRITE_SCRIPT, database_url, "other", rows)
    own = [record(ledger, f"own {number}") for number in range(rows)]
    out, err = other.communicate(timeout=60)
    assert (other.returncode, out, err) == (0, "", "")
    assert found(ledger) == sorted(f"{who} {number}" for who in ("own", "other") for number in range(rows))
    entries, head = ledger.journal(0, 1000)
    assert [entry.sequence for entry in entries] == list(range(1, 2 + 2 * rows + 1))
    assert head.sequence == 2 + 2 * rows
    assert own == sorted(own)


# SQLite: the lock beside the file.


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """The file lock in somebody else's hands."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lock_of(path: Path) -> Path:
    """The lock beside a database."""
    return path.with_name(path.name + ".lock")


@on_sqlite
def test_one_process_at_a_time_writes(ledger: Ledger, path: Path, impatient: None) -> None:
    record(ledger, "one")
    with held(lock_of(path)):
        assert refused(lambda: record(ledger, "two")).detail == "Another process holds the database."
        assert found(ledger) == ["one"]  # reads go on
    record(ledger, "three")
    assert found(ledger) == ["one", "three"]


@on_sqlite
def test_a_writer_waits_for_the_one_before(ledger: Ledger, path: Path) -> None:
    record(ledger)
    with held(lock_of(path)):
        thread = threading.Thread(target=record, args=(ledger, "patient"))
        thread.start()
        time.sleep(0.05)
        assert found(ledger) == ["pizza"]
    thread.join(10)
    assert found(ledger) == ["patient", "pizza"]


@on_sqlite
def test_a_connection_is_closed_under_the_lock(ledger: Ledger, path: Path, impatient: None) -> None:
    """The last one to close checkpoints; while somebody else writes it is left to the end of the process."""
    record(ledger)
    database = ledger.books.database
    connection: Any = database.engine.raw_connection().driver_connection
    with held(lock_of(path)):
        connection.close()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


@on_sqlite
def test_a_lock_that_cannot_be_opened_stops_writes_and_no_reads(ledger: Ledger, path: Path) -> None:
    record(ledger)
    lock = lock_of(path)
    lock.unlink()
    lock.mkdir()
    assert "lock beside the database cannot be opened" in str(refused(lambda: record(ledger)))
    assert found(ledger) == ["pizza"]
    lock.rmdir()
    assert record(ledger, "again") == 4


# SQLite: locked, full, read-only, broken, gone, replaced.


@on_sqlite
def test_a_database_that_another_program_locks_recovers(ledger: Ledger, path: Path, impatient: None) -> None:
    record(ledger, "one")
    ledger.books.database.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert found(ledger) == ["one"]
        other.execute("BEGIN IMMEDIATE")
        refused(lambda: record(ledger, "two"))
        assert found(ledger) == ["one"]
        other.execute("ROLLBACK")
        record(ledger, "three")
    assert found(ledger) == ["one", "three"]


@on_sqlite
def test_a_disk_that_refuses_to_grow_recovers(ledger: Ledger, path: Path) -> None:
    """The operating system's own limit on the size of a file; half of what did not fit is never seen."""
    record(ledger, "one")
    size = path.with_name(f"{path.name}-wal").stat().st_size  # the file that grows with a write
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, hard))
    try:
        for _ in range(2):
            refused(lambda: record(ledger, "large", notes="ü" * 5_000))
        assert found(ledger) == ["one"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert record(ledger, "two", notes="ü" * 5_000) == 4
    assert found(ledger) == ["one", "two"]


@on_sqlite
def test_a_full_database_recovers(ledger: Ledger) -> None:
    pages: list[int] = []

    def limit(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages[-1]}")

    record(ledger, "one")
    database = ledger.books.database
    pages.append(database.read(lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar()) or 0)
    event.listen(database.engine, "checkout", limit)
    database._discard_writer()
    refused(lambda: ledger.record(*[Expense("large", 1, notes="ü" * 5_000) for _ in range(5)]))
    assert found(ledger) == ["one"]
    pages.append(1_000_000)
    assert record(ledger, "two", notes="ü" * 5_000) == 4


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """For a moment without the rights of root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody may use."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@on_sqlite
def test_a_read_only_database_is_read_and_recovers(path: Path, open_folder: Path) -> None:
    copy = open_folder / "cashman.db"
    shutil.copy(path, copy)
    books = Books(db.connect(f"sqlite:///{copy}"))
    ledger = books.own_ledger()
    record(ledger, "one")
    assert found(ledger) == ["one"]
    files = [file for file in open_folder.iterdir() if file.suffix != ".lock"]
    for file in files:
        file.chmod(0o444)
    lock_of(copy).chmod(0o666)
    books.database._discard_writer()
    books.database.engine.dispose()
    with as_nobody():
        for _ in range(2):
            refused(lambda: record(ledger, "two"))
        assert found(ledger) == ["one"]
    for file in files:
        file.chmod(0o666)
    books.database.engine.dispose()
    assert record(ledger, "three") == 4
    books.database.close()


@on_sqlite
def test_a_read_only_database_is_not_started_on(path: Path, open_folder: Path) -> None:
    copy = open_folder / "cashman.db"
    shutil.copy(path, copy)
    copy.chmod(0o444)
    with as_nobody(), pytest.raises(ConfigurationError, match="cannot be used: Permission denied"):
        db.connect(f"sqlite:///{copy}").open()


@on_sqlite
def test_a_file_that_is_no_database_is_refused_until_it_is_one(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(b"This is not a database." * 1000)
    ledger = Books(db.connect(f"sqlite:///{path}")).own_ledger()
    with pytest.raises(ConfigurationError, match="is no database of SQLite's"):
        found(ledger)
    assert path.read_bytes() == b"This is not a database." * 1000
    path.write_bytes(whole)
    assert record(ledger) == 3
    ledger.books.database.close()


@on_sqlite
def test_a_database_that_has_gone_takes_no_writes_and_comes_back(ledger: Ledger, path: Path) -> None:
    record(ledger, "one")
    assert found(ledger) == ["one"]
    away = path.with_name("away.db")
    path.rename(away)
    assert refused(lambda: record(ledger, "two")).detail == "The database file is gone."
    assert found(ledger) == ["one"]  # from the file that is still open
    assert not path.exists()
    away.rename(path)
    assert record(ledger, "three") == 4
    assert found(ledger) == ["one", "three"]


@on_sqlite
def test_a_database_that_goes_during_a_write_acknowledges_nothing(ledger: Ledger, path: Path) -> None:
    record(ledger, "one")
    away = path.with_name("away.db")

    def work(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE ledgers SET currency = 'EUR'")
        path.rename(away)

    assert refused(lambda: ledger.books.database.write(work)).detail == "The database file is gone."
    away.rename(path)
    currency = ledger.books.database.read(lambda c: c.exec_driver_sql("SELECT currency FROM ledgers").scalar())
    assert currency == "USD"


@on_sqlite
def test_a_database_that_went_is_never_made_anew_in_silence(ledger: Ledger, path: Path) -> None:
    record(ledger, "one")
    ledger.books.database.close()
    for file in path.parent.glob("cashman.db*"):
        file.unlink()
    for attempt in (lambda: record(ledger), lambda: found(ledger)):
        assert refused(attempt).detail == "The database file is gone."
    assert not path.exists()


@on_sqlite
@pytest.mark.parametrize("first_use", ["read", "write"])
def test_another_file_in_its_place_is_opened_like_a_first_one(
    ledger: Ledger, path: Path, sqlite_template: Path, first_use: str
) -> None:
    record(ledger, "one")
    ledger.books.database.close()
    assert found(ledger) == ["one"]
    replace_file(path, sqlite_template)
    if first_use == "read":
        assert found(ledger) == []
    assert record(ledger, "new") == 3
    assert found(ledger) == ["new"]


@on_sqlite
def test_a_database_that_is_replaced_during_a_write_has_the_write_in_the_new_file(
    ledger: Ledger, path: Path, sqlite_template: Path, attempts: list[int]
) -> None:
    """What was written into the old file counts for nothing, since nobody will ever look there."""
    record(ledger, "one")

    def work(connection: Connection) -> None:
        attempts.append(1)
        connection.exec_driver_sql("UPDATE accounts SET name = 'kept'")
        if len(attempts) <= replacements:
            replace_file(path, sqlite_template)

    replacements = 2
    ledger.books.database.write(work)
    assert len(attempts) == 3
    names = ledger.books.database.read(lambda c: list(c.exec_driver_sql("SELECT name FROM accounts").scalars()))
    assert (names, found(ledger)) == (["kept"], [])
    replacements = 1000
    assert refused(lambda: ledger.books.database.write(work)).detail == "The database file is being replaced."
    assert len(attempts) == 3 + Database.attempts_max
    assert record(ledger, "new", account="main") == 3


def replace_file(path: Path, other: Path) -> None:
    """Put a copy of another database in a database's place, as who restores a backup does."""
    copy = path.with_name("copy.db")
    shutil.copy(other, copy)
    for file in path.parent.glob("cashman.db-*"):
        file.unlink()
    copy.replace(path)


@on_sqlite
def test_the_wal_is_brought_back_into_the_file(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wal = path.with_name(path.name + "-wal")

    def growth() -> int:
        for number in range(60):
            record(ledger, f"pizza {number}")
        return wal.stat().st_size

    monkeypatch.setattr(SqliteDatabase, "_CHANGES_PER_CHECKPOINT", 10)
    kept_small = growth()
    monkeypatch.setattr(SqliteDatabase, "_CHANGES_PER_CHECKPOINT", 1_000_000)
    assert growth() > 3 * kept_small


@on_sqlite
def test_a_checkpoint_that_fails_takes_nothing_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit is on disk by then: an error now would make the client book it again."""
    monkeypatch.setattr(SqliteDatabase, "_CHANGES_PER_CHECKPOINT", 0)

    def deny(connection: sqlite3.Connection, *_: Any) -> None:
        connection.set_authorizer(
            lambda action, name, *_: (
                sqlite3.SQLITE_DENY
                if (action, name) == (sqlite3.SQLITE_PRAGMA, "wal_checkpoint")
                else sqlite3.SQLITE_OK
            )
        )

    event.listen(ledger.books.database.engine, "connect", deny)
    assert record(ledger, "one") == 3
    assert record(ledger, "two") == 4
    assert found(ledger) == ["one", "two"]
    assert "the WAL could not be brought back into the database for now" in caplog.text


@on_sqlite
def test_scrubbing_empties_the_wal(ledger: Ledger, path: Path, impatient: None) -> None:
    record(ledger, "secret")
    wal = path.with_name(path.name + "-wal")
    assert wal.stat().st_size > 0
    with held(lock_of(path)):
        ledger.books.database.scrub()  # it is never worth an error
    assert wal.stat().st_size > 0
    ledger.books.database.scrub()
    assert wal.stat().st_size == 0
    ledger.books.database.close()
    ledger.books.database.scrub()  # without a writer there is nothing to do
    assert found(ledger) == ["secret"]


# PostgreSQL: locked, read-only, away, and neighbours in the way.


@contextlib.contextmanager
def outsider(url: str) -> Iterator[Connection]:
    """A connection past Cashman, which commits every statement at once."""
    engine = db.connect(url).engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def alter(url: str, change: str, *, then_disconnect: bool = False) -> None:
    """Change a setting of a PostgreSQL database, which new connections get."""
    with outsider(url) as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" {change}')
        if then_disconnect:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )


@on_postgresql
def test_a_head_that_somebody_holds_is_not_waited_for_for_ever(
    impatient: None, ledger: Ledger, database_url: str
) -> None:
    record(ledger, "one")
    with outsider(database_url) as other:
        other = other.execution_options(isolation_level="READ COMMITTED")
        other.execute(text("SELECT * FROM journal_heads FOR UPDATE"))
        begun = time.monotonic()
        refused(lambda: record(ledger, "two"))
        assert time.monotonic() - begun < 15  # the default of CASHMAN_LOCK_TIMEOUT is 5
        assert found(ledger) == ["one"]
        other.rollback()
    assert record(ledger, "three") == 4


@on_postgresql
def test_a_long_migration_of_another_process_is_waited_for(impatient: None, database_url: str) -> None:
    books = Books(db.connect(database_url))
    with outsider(database_url) as other:
        other.exec_driver_sql(f"SELECT pg_advisory_lock({PostgresDatabase._MIGRATION_LOCK})")
        thread = threading.Thread(target=books.database.open)
        thread.start()
        thread.join(0.5)  # longer than any other lock is waited for
        assert thread.is_alive()
        other.exec_driver_sql(f"SELECT pg_advisory_unlock({PostgresDatabase._MIGRATION_LOCK})")
        thread.join(10)
    assert record(books.own_ledger()) == 3
    books.database.close()


@on_postgresql
def test_connections_that_died_are_made_anew(ledger: Ledger, database_url: str) -> None:
    record(ledger, "one")
    assert found(ledger) == ["one"]
    alter(database_url, "RESET ALL", then_disconnect=True)
    refused(lambda: record(ledger, "two"))  # whether it was committed nobody can know, so the client decides
    assert record(ledger, "three") == 4
    alter(database_url, "RESET ALL", then_disconnect=True)
    assert found(ledger) == ["one", "three"]  # a read is simply done again


@on_postgresql
def test_a_server_that_is_read_only_is_read_and_recovers(ledger: Ledger, database_url: str) -> None:
    record(ledger, "one")
    alter(database_url, "SET default_transaction_read_only = on", then_disconnect=True)
    for _ in range(3):
        refused(lambda: record(ledger, "two"))
        assert found(ledger) == ["one"]
    alter(database_url, "RESET default_transaction_read_only", then_disconnect=True)
    assert record(ledger, "three") == 4


@on_postgresql
def test_a_server_that_is_away_recovers(ledger: Ledger, database_url: str, postgresql_server: str) -> None:
    record(ledger, "one")
    name = database_url.partition("?")[0].rpartition("/")[2]
    with outsider(postgresql_server) as other:
        other.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        other.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        for _ in range(2):
            refused(lambda: record(ledger, "two"))
            refused(lambda: found(ledger))
        other.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert found(ledger) == ["one"]
    assert record(ledger, "three") == 4


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every attempt at a write; nobody sleeps long in between."""
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.001)
    return []


def make_probe(database: Database) -> None:
    """A table of two rows that neighbours can get in each other's way at."""
    database.write(
        lambda c: c.exec_driver_sql("CREATE TABLE probe AS SELECT id, 0 AS n FROM generate_series(1, 2) AS id")
    )


def probe(database: Database) -> list[int]:
    """What its rows hold."""
    return database.read(lambda c: list(c.exec_driver_sql("SELECT n FROM probe ORDER BY id").scalars()))


@on_postgresql
def test_a_serialization_failure_is_tried_again(ledger: Ledger, database_url: str, attempts: list[int]) -> None:
    database = ledger.books.database
    make_probe(database)

    def work(connection: Connection) -> None:
        attempts.append(1)
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("SELECT * FROM probe")
        if len(attempts) == 1:
            with outsider(database_url) as other:
                other.exec_driver_sql("UPDATE probe SET n = n + 10 WHERE id = 1")
        connection.exec_driver_sql("UPDATE probe SET n = n + 1 WHERE id = 1")

    database.write(work)
    assert len(attempts) == 2
    assert probe(database) == [11, 0]


@on_postgresql
def test_a_deadlock_is_tried_again(ledger: Ledger, database_url: str, attempts: list[int]) -> None:
    database = ledger.books.database
    make_probe(database)
    holds, blocked = threading.Event(), threading.Event()

    def neighbour() -> None:
        with outsider(database_url) as other:
            other = other.execution_options(isolation_level="READ COMMITTED")
            other.exec_driver_sql("SET LOCAL deadlock_timeout = '1min'; UPDATE probe SET n = n + 10 WHERE id = 2")
            holds.set()
            assert blocked.wait(10)
            other.exec_driver_sql("UPDATE probe SET n = n + 10 WHERE id = 1")
            other.commit()

    def work(connection: Connection) -> None:
        attempts.append(1)
        connection.exec_driver_sql("SET LOCAL deadlock_timeout = '50ms'; UPDATE probe SET n = n + 1 WHERE id = 1")
        blocked.set()
        connection.exec_driver_sql("UPDATE probe SET n = n + 1 WHERE id = 2")

    thread = threading.Thread(target=neighbour)
    thread.start()
    assert holds.wait(10)
    database.write(work)
    thread.join(10)
    assert len(attempts) >= 2
    assert probe(database) == [11, 11]


@on_postgresql
@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_transaction_that_never_gets_through_is_given_up(ledger: Ledger, attempts: list[int], state: str) -> None:
    def work(connection: Connection) -> None:
        attempts.append(1)
        raise_state(connection, state)

    refused(lambda: ledger.books.database.write(work))
    assert len(attempts) == Database.attempts_max
    assert record(ledger) == 3


def raise_state(connection: Connection, state: str) -> None:
    """Have the server itself fail with a SQLSTATE."""
    connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'said so' USING ERRCODE = '{state}'; END $$")


@on_postgresql
def test_a_server_that_is_full_or_stopping_is_out_of_reach_and_tried_once(ledger: Ledger, attempts: list[int]) -> None:
    def fail(state: str) -> None:
        def work(connection: Connection) -> None:
            attempts.append(1)
            raise_state(connection, state)

        ledger.books.database.write(work)

    states = ("53100", "53300", "57P01", "57P03", "58030", "25006", "08006", "55P03")
    for state in states:
        refused(lambda state=state: fail(state))
    assert len(attempts) == len(states)
    with pytest.raises(DBAPIError):
        fail("22012")  # the control: a division by zero is no store that is away
    assert record(ledger) == 3


def test_an_error_tells_nothing_of_what_was_to_be_written(books: Books) -> None:
    """Whatever is logged of it: words, hashes of passwords, the secrets that sign."""
    row = {"kid": "Xanthippe", "secret": b"Xanthippe", "created_at": utc_now()}
    statement = insert(table(SigningKeyRecord))
    with pytest.raises(IntegrityError) as refused:
        books.database.write(lambda connection: [connection.execute(statement, row) for _ in range(2)])
    assert "signing_keys" in str(refused.value)
    told = str(refused.value).replace(str(refused.value.orig), "")  # PostgreSQL itself names the key
    assert "Xanthippe" not in told
