"""What is particular to SQLite: one file in WAL mode, and the lock beside it."""

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from cashman import migrations
from cashman.db import files
from cashman.db.base import Database, Progress, Replaced, Result, Work, unavailable
from cashman.db.probing import Found, Probe
from cashman.errors import ConfigurationError, StoreUnavailable
from cashman.limits import LOCK_WAIT_SECONDS_MAX, PROBE_SECONDS_MAX
from cashman.translations import message

log = logging.getLogger(__name__)


def _place(path: Path) -> tuple[int, int]:
    """Which file it is: on another volume, mounted in the place of the first, it may have the same inode."""
    found = path.stat()
    return found.st_dev, found.st_ino


class SqliteDatabase(Database):
    """One file in WAL mode with synchronous=FULL.

    Commits, checkpoints and the closing of connections happen under one lock across all processes:
    before 3.51.3 SQLite can corrupt a WAL that two connections write and checkpoint at the same time.
    """

    # The result codes (sqlite.org/rescode.html) of a store that is busy, full, broken or not there.
    _OUT_OF_REACH: Final = {
        sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB,
    }  # fmt: skip
    _CHANGES_PER_CHECKPOINT: Final = 8_000
    _LOCK_POLL_SECONDS: Final = 0.0003
    _PAGES_AT_ONCE: Final = 2_000
    _USER_SECONDS_MAX: Final = 1

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.keys_path: Path = path.with_name(path.name + ".keys")
        self._lock_path = path.with_name(path.name + ".lock")
        self._stood: tuple[int, int] | None = None
        self._changes_checkpointed = 0
        self._checkpoint_error: sqlite3.Error | None = None
        database = self

        class LockedClose(sqlite3.Connection):
            """The last connection to close checkpoints the WAL, so closing takes the lock too."""

            def close(self) -> None:
                with contextlib.suppress(StoreUnavailable), database.exclusive():
                    super().close()

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(
                f"file:{quote(str(path))}?mode=rw",  # rw: a database that has gone is never silently made anew
                uri=True,
                timeout=LOCK_WAIT_SECONDS_MAX,
                isolation_level=None,  # BEGIN is ours
                check_same_thread=False,  # the pool hands a connection to one user at a time
                cached_statements=256,
                factory=LockedClose,
            )

        self._held = threading.local()
        self._connect_driver = connect
        self._peeking: sqlite3.Connection | None = None
        self._peek_lock = threading.Lock()  # two threads must not step through one statement of one connection
        self.engine = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=4,
            max_overflow=0,
            pool_timeout=30,
            hide_parameters=True,  # an error is logged, and what was to be written is nobody's business
        )
        self.probe = Probe(self._ask, native=True)
        event.listen(self.engine, "connect", self._configure)
        event.listen(self.engine, "begin", self._begin)

    @staticmethod
    def _configure(connection: sqlite3.Connection, _record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=0",
            "cache_size=-8000",
            "temp_store=MEMORY",
            "secure_delete=ON",  # what a redaction erases is overwritten
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, synchronous) != ("wal", 2):
            raise ConfigurationError(
                f"SQLite does not keep what it acknowledges here: journal_mode={mode}, synchronous={synchronous}"
            )

    @staticmethod
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("cashman_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    def _prepare(self) -> None:
        try:
            if self._stood is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Else it would be taken for a lock that is out of reach for a while.
                os.close(os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with self.exclusive():
                if self._stood is None:
                    self._find_or_make()
                self._stood = _place(self.path)
        except FileNotFoundError:
            raise unavailable("The database file is gone.") from None
        except OSError as error:
            raise ConfigurationError(f"the database {self.path} cannot be used: {self._told(error)}") from error

    def _find_or_make(self) -> None:
        """Only here is a file made: where none was opened before, and none has left anything behind."""
        if not self.path.exists():
            for left in (*files.sidecars(self.path), self.keys_path):
                if left.exists():
                    raise ConfigurationError(
                        f"{left} is there and its database is not: put {self.path} back, or it away"
                    )
            log.warning("there are no books yet: %s is made", self.path)
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
            if file.read(16) not in (b"", b"SQLite format 3\0"):
                raise ConfigurationError(f"{self.path} is no database of SQLite's")

    def _told(self, error: OSError) -> str:
        """What the operating system refuses, and to whom."""
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            with contextlib.suppress(OSError):
                owner = next(folder for folder in self.path.parents if folder.exists()).stat().st_uid
                reason += f" (this is user {os.getuid()}, and its folder belongs to user {owner})"
        return reason

    def exists(self) -> bool:
        return self.path.exists()

    def _exclusive_migration(self) -> contextlib.AbstractContextManager[None]:
        return self.exclusive()

    def _check_durability(self) -> None:
        """Every connection reads its pragmas back when it is made (`_configure`)."""

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the file lock beside the database; StoreUnavailable after LOCK_WAIT_SECONDS_MAX."""
        if getattr(self._held, "lock", False):  # closing a connection while writing
            yield
            return
        try:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            told = message("The lock beside the database cannot be opened: {reason}.", reason=error.strerror)
            raise unavailable(told) from error
        try:
            self._wait_for_lock(descriptor)
            self._held.lock = True
            try:
                yield
            finally:
                self._held.lock = False
        finally:
            os.close(descriptor)  # which also unlocks

    def _wait_for_lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + LOCK_WAIT_SECONDS_MAX
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise unavailable("Another process holds the database.") from None
                time.sleep(self._LOCK_POLL_SECONDS)

    def _connect_reader(self) -> Connection:
        return self.engine.connect()

    def _peek(self, statement: str) -> Sequence[Any]:
        """On a connection of its own and past SQLAlchemy: a tenth of the cost of a transaction."""
        try:
            with self._peek_lock:
                if self._peeking is None:
                    self._peeking = self._connect_driver()
                    self._configure(self._peeking, None)
                (row,) = self._peeking.execute(statement).fetchall()
        except sqlite3.Error:  # the usual way says what it means
            self._stop_peeking()
            with self._connect_reader() as connection:
                return connection.exec_driver_sql(statement).one()
        found: Sequence[Any] = row
        return found

    def _stop_peeking(self) -> None:
        with self._peek_lock:
            connection, self._peeking = self._peeking, None
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def close(self) -> None:
        self._stop_peeking()
        super().close()

    def _connect_writer(self) -> Connection:
        self._changes_checkpointed = 0  # each connection counts its own
        return self.engine.connect().execution_options(cashman_writing=True)

    def _check_place(self, *, writing: bool) -> None:
        """Writes stop at once when the file has gone; another file in its place is opened like a first one."""
        try:
            stands = _place(self.path)
        except OSError as error:
            if writing:
                raise unavailable("The database file is gone.") from error
            return
        if stands != self._stood:
            raise Replaced()

    def _after_write(self, connection: Connection) -> None:
        """Bring the WAL back into the file every so many changes; readers are not held up."""
        driver: Any = connection.connection.dbapi_connection
        if driver.total_changes - self._changes_checkpointed >= self._CHANGES_PER_CHECKPOINT:
            self._checkpoint(driver, "PASSIVE")
            self._changes_checkpointed = driver.total_changes

    def _checkpoint(self, driver: Any, mode: str) -> None:
        """Bring the WAL back into the file; what was committed stands whether it works or not."""
        try:
            driver.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        except sqlite3.Error as error:
            self._checkpoint_error = error

    def _write_once(self, work: Work[Result]) -> Result:
        """Say what went wrong on the loop: in a native thread, waiting for a handler's lock could last for ever."""
        result = super()._write_once(work)
        error, self._checkpoint_error = self._checkpoint_error, None
        if error is not None:
            log.warning("the WAL could not be brought back into the database for now: %s", error)
        return result

    def scrub(self) -> None:
        """Empty the WAL, which still holds the pages as they were, unless a reader needs it."""
        with contextlib.suppress(StoreUnavailable), self.exclusive():
            if self._writer is not None:
                self._checkpoint(self._writer.connection.dbapi_connection, "TRUNCATE")

    def _ask(self) -> Found:
        """On a connection that cannot write, so that closing it checkpoints nothing and takes no lock."""
        folder = os.statvfs(self.path.parent)
        url = f"file:{quote(str(self.path))}?mode=ro"
        with contextlib.closing(sqlite3.connect(url, uri=True, timeout=PROBE_SECONDS_MAX / 2)) as connection:
            made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
            return self._found(
                lambda statement: connection.execute(statement).fetchone() if made else None,
                writable=os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK),
                free_bytes=folder.f_bavail * folder.f_frsize,
                free_files=folder.f_favail if folder.f_files else None,
            )

    def _is_out_of_reach(self, error: DBAPIError) -> bool:
        return (getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF in self._OUT_OF_REACH

    # All of it at once.

    def own_files(self) -> list[Path]:
        beside = (*files.SIDECARS, ".lock", ".keys", ".keys.new", ".part")
        return [self.path, *(self.path.with_name(self.path.name + suffix) for suffix in beside)]

    def size(self) -> int:
        return self.path.stat().st_size

    def copy_pages(self, into: Path, progress: Progress) -> None:
        """Copy one snapshot, page by page, into a file that nobody else uses, while others go on to write.

        All of it within one read transaction: else SQLite begins anew whenever another process has written, and
        under steady writes never ends.
        """
        source = self._connect_driver()
        try:
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # here the snapshot is taken
            with contextlib.closing(sqlite3.connect(into, isolation_level=None)) as sink:
                sink.execute("PRAGMA synchronous=OFF")
                source.backup(
                    sink,
                    pages=self._PAGES_AT_ONCE,
                    progress=lambda _, remaining, total: progress(total - remaining, total),
                )
                sink.execute("PRAGMA journal_mode=DELETE").fetchall()  # so that it is one file, wherever it goes
        finally:
            source.close()

    def fill(self, check: Work[None], work: Work[Result]) -> Result:
        with files.told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._free(check):
            pass  # else it is told at the end, where it is asked again
        with files.replacing(self.path, lambda: self._free(check)) as part:
            engine = files.engine_on(part, making=True)
            migrations.upgrade(engine)
            with engine.begin() as connection:
                return work(connection)

    @contextlib.contextmanager
    def _free(self, check: Work[None]) -> Iterator[None]:
        """Hold the lock of a place where nothing is but what `check` allows, and that nobody uses."""
        with self.exclusive():
            if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
                raise ConfigurationError(f"{self.path} is a link or no file: name the place itself")
            if self.path.exists() and self.path.stat().st_size:
                self._check_unused(check)
            for left in files.sidecars(self.path):
                raise ConfigurationError(f"{left} lies there, of another database: put it away first")
            yield

    def _check_unused(self, check: Work[None]) -> None:
        """Whoever else has the file open keeps it from leaving WAL mode; and that leaves no WAL behind."""
        engine = create_engine("sqlite://", creator=self._connect_driver, poolclass=NullPool, hide_parameters=True)
        with engine.connect() as connection:
            try:
                check(connection)
            except DBAPIError as error:
                raise ConfigurationError(f"{self.path} holds no books: {error.orig}") from error
            connection.exec_driver_sql(f"PRAGMA busy_timeout={self._USER_SECONDS_MAX * 1000}")
            try:
                connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
            except DBAPIError as error:
                told = f"{self.path} is in use ({error.orig}): stop the service first"
                raise ConfigurationError(told) from error
