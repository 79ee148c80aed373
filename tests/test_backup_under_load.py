"""A backup while a real service takes writes: whole, sound, and with every write that was acknowledged before it."""

import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Service

from cashman import db, moving
from cashman.db import SqliteDatabase
from cashman.errors import ConfigurationError
from cashman.verify import Tampered, verify

pytestmark = pytest.mark.alone

CLIENTS = 4
BACKUPS = 3
WRITES_BEFORE = 60
WRITES_BETWEEN = 20
SECONDS_MAX = 60
PAGES_AT_ONCE = 10


class Writers:
    """Clients that book one transaction after the other, and note each that is acknowledged."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(CLIENTS)]
        self.acknowledged: list[str] = []
        self.failed: list[object] = []

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        connection, count = self._service.connect(), 0
        with contextlib.closing(connection):
            while not self._ended.is_set():
                count += 1
                document = {"description": f"client {number} write {count}", "amount": count, "date": "2026-01-01"}
                status, _, problem = self._service.request("POST", "/expenses", document, connection)
                if status != 204:
                    self.failed.append(problem)
                    return
                self.acknowledged.append(document["description"])  # type: ignore[arg-type]

    def wait_for(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        wanted, deadline = len(self.acknowledged) + count, time.monotonic() + SECONDS_MAX
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, self.failed
            assert not self.failed
            time.sleep(0.005)


@contextlib.contextmanager
def writing(url: str, folder: Path) -> Iterator[Writers]:
    """Clients that write to a service of their own."""
    service = Service(folder, url)
    try:
        with Writers(service) as writers:
            writers.wait_for(WRITES_BEFORE)
            yield writers
            assert writers.failed == []
    finally:
        service.remove()


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteDatabase:
    """A place for books on SQLite."""
    return SqliteDatabase(tmp_path / "cashman.db")


def in_file(path: Path) -> set[str]:
    """What is booked in an SQLite file."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {row[0] for row in connection.execute("SELECT description FROM transactions")}


def lost(acknowledged: set[str], path: Path) -> set[str]:
    """What nobody would get back from a file: all of it, where it cannot be restored."""
    target = SqliteDatabase(path.with_name(path.name + ".restored"))
    try:
        moving.restore(path, target)
    except (Tampered, ConfigurationError):
        return acknowledged
    return acknowledged - in_file(target.path)


def test_a_backup_has_every_write_that_was_acknowledged_before(empty_url: str, tmp_path: Path) -> None:
    with writing(empty_url, tmp_path) as writers:
        for number in range(BACKUPS):
            writers.wait_for(WRITES_BETWEEN)
            before = set(writers.acknowledged)
            database = db.connect(empty_url)
            made = moving.back_up(database, tmp_path / f"{number}", progress=lambda *_: writers.wait_for(2))
            database.close()
            assert len(writers.acknowledged) > len(before)
            assert lost(before, tmp_path / f"{number}") == set()
            assert made.ledgers[0].transactions == len(in_file(tmp_path / f"{number}"))
            restored = SqliteDatabase(tmp_path / f"{number}.restored")
            assert verify(restored) == made.ledgers
            restored.close()


def test_a_copy_of_the_file_alone_loses_writes(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    """The control: on SQLite what was written last lies in another file."""
    with writing(f"sqlite:///{sqlite.path}", tmp_path) as writers:
        before = set(writers.acknowledged)
        shutil.copy(sqlite.path, tmp_path / "copied")
        moving.back_up(sqlite, tmp_path / "backed up")
        assert lost(before, tmp_path / "backed up") == set()
    assert lost(before, tmp_path / "copied") != set()


def test_steady_writes_do_not_make_a_backup_begin_anew(
    sqlite: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few pages at a time, and writes between any two of them: each step goes on where the one before it ended."""
    monkeypatch.setattr(SqliteDatabase, "_PAGES_AT_ONCE", PAGES_AT_ONCE)
    steps: list[tuple[int, int]] = []
    with writing(f"sqlite:///{sqlite.path}", tmp_path) as writers:

        def step(done: int, total: int) -> None:
            steps.append((done, total))
            assert len(steps) < 1_000
            writers.wait_for(2)

        sqlite.copy_pages(tmp_path / "pages", step)
    pages = steps[-1][1]
    assert [done for done, _ in steps] == [*range(PAGES_AT_ONCE, pages, PAGES_AT_ONCE), pages]
    assert len(steps) > 5
    assert {total for _, total in steps} == {pages}


def test_without_one_snapshot_it_would_begin_anew(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    """The control of the test above: as SQLite's documentation says it is done."""
    steps: list[int] = []
    with writing(f"sqlite:///{sqlite.path}", tmp_path) as writers, contextlib.ExitStack() as open_files:
        source = open_files.enter_context(contextlib.closing(sqlite3.connect(sqlite.path)))
        sink = open_files.enter_context(contextlib.closing(sqlite3.connect(tmp_path / "pages")))

        def step(_: int, remaining: int, total: int) -> None:
            steps.append(total - remaining)
            if len(steps) == 20:
                raise TimeoutError
            writers.wait_for(2)

        with pytest.raises(TimeoutError):
            source.backup(sink, pages=PAGES_AT_ONCE, progress=step)
    # A write that was acknowledged a moment earlier may not be seen until the next step.
    assert steps.count(PAGES_AT_ONCE) > 15
