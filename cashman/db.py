"""The database: engines, transactions, column types, and what is particular to SQLite and to PostgreSQL.

`Database.read` and `Database.write` are the only doors: each takes a function of a connection and runs it in
one transaction (a read in one snapshot, a write durable when it returns). What the engine cannot do right now
comes out as `StoreUnavailable`.
"""

import atexit
import contextlib
import datetime as dt
import fcntl
import logging
import os
import random
import sqlite3
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import msgspec
from sqlalchemy import URL, Connection, Engine, MetaData, String, Table, Text, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

from cashman import migrations
from cashman.errors import ConfigurationError, StoreUnavailable
from cashman.limits import LOCK_WAIT_SECONDS_MAX, RETRY_AFTER_SECONDS

Result = TypeVar("Result")
Work = Callable[[Connection], Result]

log = logging.getLogger(__name__)


class Base(DeclarativeBase):
    """Every table; the naming convention lets a migration address each constraint on both engines."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table(model: type[Base]) -> Table:
    """The table behind a model, for statements that go past the ORM."""
    return cast(Table, model.__table__)


def key_text(length: int) -> String:
    """Text that is compared and sorted by its bytes on both engines."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def utc_now() -> dt.datetime:
    """This instant, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


def rfc3339(instant: dt.datetime) -> str:
    """An aware UTC instant as RFC 3339 with exactly six decimals, so that text order is time order."""
    return instant.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


class Instant(TypeDecorator[dt.datetime]):
    """An aware UTC instant, stored as the RFC 3339 text that the wire shows: the same on both engines."""

    impl = key_text(27)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Any) -> str | None:
        return None if value is None else rfc3339(value)

    def process_result_value(self, value: str | None, dialect: Any) -> dt.datetime | None:
        return None if value is None else dt.datetime.fromisoformat(value)


class JsonText(TypeDecorator[Any]):
    """A small JSON value, stored as its text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str:
        return msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else msgspec.json.decode(value)


def off_loop(function: Callable[[], Result]) -> Result:
    """Run a blocking call in a native thread where gevent serves the requests, else right here."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return function()
    import gevent

    def caught() -> tuple[Result | None, BaseException | None]:
        # gevent writes a traceback for whatever is raised in its pool, also for what the caller expects.
        try:
            return function(), None
        except BaseException as error:
            return None, error

    result, error = gevent.get_hub().threadpool.apply(caught)
    if error is not None:
        raise error
    return cast(Result, result)


def _here(function: Callable[[], Result]) -> Result:
    return function()


class Replaced(Exception):
    """Another file stands where the opened database was."""


class Database(ABC):
    """One database of either engine; opened at first use, and opened again after it was out of reach."""

    engine: Engine
    attempts_max: Final = 6

    def __init__(self) -> None:
        self._opened = False
        self._opening = threading.Lock()
        self._writer: Connection | None = None
        self.founding: Work[None] | None = None
        """What the first to open a database writes into it, under the migration's own lock."""

    # What an engine provides.
    def _prepare(self) -> None:  # noqa: B027  an engine may need nothing here
        """Make ready what must stand before the first connection."""

    @abstractmethod
    def _check_durability(self) -> None:
        """Refuse to start on a database that acknowledges what it has not stored."""

    @abstractmethod
    def _exclusive_migration(self) -> contextlib.AbstractContextManager[None]:
        """The lock under which one process at a time brings the schema up to date."""

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """The lock under which one process at a time writes, where the engine needs one of ours."""
        yield

    @abstractmethod
    def _connect_reader(self) -> Connection:
        """A connection whose transaction is one read-only snapshot."""

    @abstractmethod
    def _connect_writer(self) -> Connection:
        """The one connection that this process writes with."""

    def _must_retry(self, error: DBAPIError) -> bool:
        """Whether the transaction failed only because of its neighbours, and is to be run again."""
        return False

    @abstractmethod
    def _is_out_of_reach(self, error: DBAPIError) -> bool:
        """Whether an error says that the database cannot be used right now."""

    def _after_write(self, connection: Connection) -> None:  # noqa: B027  an engine may need nothing here
        """What follows a commit, still under the lock."""

    def _check_place(self, *, writing: bool) -> None:  # noqa: B027  an engine may need nothing here
        """Raise where the database that was opened is not the one that is there now."""

    def scrub(self) -> None:  # noqa: B027  an engine may need nothing here
        """Leave as little as the engine allows of what was deleted; nothing waits for it or depends on it."""

    def exists(self) -> bool:
        """Whether there is something to open."""
        return True

    # What every caller uses.
    def open(self) -> None:
        """Bring the schema up to date and check the promises; raises StoreUnavailable or ConfigurationError."""
        if self._opened:
            return
        with self._opening:
            if self._opened:  # by another thread meanwhile
                return
            with self._translated():
                self._off_loop(self._open)
            self._opened = True
            atexit.register(self.close)

    def _open(self) -> None:
        self._prepare()
        with self._exclusive_migration():
            migrations.upgrade(self.engine)
            self._check_durability()
            if self.founding is not None:
                with self._connect_writer() as connection:
                    self._transact(connection, self.founding)

    def read(self, work: Work[Result], *, long: bool = False) -> Result:
        """Run work(connection) in one read-only snapshot; `long` work does not hold up the other requests."""
        run = self._off_loop if long else _here

        def read_once() -> Result:
            self._check_place(writing=False)
            with self._connect_reader() as connection:
                return run(lambda: work(connection))

        return self._retried(read_once, lambda error: error.connection_invalidated)

    def write(self, work: Work[Result]) -> Result:
        """Run work(connection) in one transaction that is on disk when this returns; all of it, or nothing."""
        return self._retried(lambda: self._write_once(work), self._must_retry)

    def _write_once(self, work: Work[Result]) -> Result:
        if self._writer is None:
            self._writer = self._connect_writer()
        connection = self._writer
        try:
            return self._off_loop(lambda: self._transact(connection, work))
        except BaseException:
            self._discard_writer()
            raise

    def _transact(self, connection: Connection, work: Work[Result]) -> Result:
        with self.exclusive():
            self._check_place(writing=True)
            with connection.begin():
                result = work(connection)
                self._check_place(writing=True)
            self._after_write(connection)
        return result

    def _retried(self, attempt: Callable[[], Result], must_retry: Callable[[DBAPIError], bool]) -> Result:
        """Try again what failed only for the neighbours, or for a connection or a file that is no longer there."""
        with self._translated():
            for number in range(1, self.attempts_max + 1):
                self.open()
                try:
                    return attempt()
                except Replaced:
                    self.close()
                except DBAPIError as error:
                    if number == self.attempts_max or not must_retry(error):
                        raise
                    # Jitter, or the neighbours that collided would collide again.
                    time.sleep(random.uniform(0, 0.01 * 2**number))
        raise unavailable("The database file is being replaced.")

    def _off_loop(self, function: Callable[[], Result]) -> Result:
        """Run what blocks.

        Only that: locks, pools and loggers are gevent's under gevent, and waiting for one in a native thread
        while it is held in another can last for ever. So connections are taken and given back on the loop.
        """
        return off_loop(function)

    def _discard_writer(self) -> None:
        connection, self._writer = self._writer, None
        if connection is not None:
            with contextlib.suppress(DBAPIError):
                connection.close()

    def close(self) -> None:
        """Close every connection; the next use opens the database again."""
        self._opened = False
        atexit.unregister(self.close)
        self._discard_writer()
        self.engine.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if not self._is_out_of_reach(error):
                raise
            log.warning("the database is out of reach: %s", error.orig)
            raise unavailable() from error
        except PoolTimeoutError as error:
            raise unavailable("Every connection is busy.") from error


def unavailable(detail: str | None = None) -> StoreUnavailable:
    """The error for a database that cannot be used right now."""
    return StoreUnavailable(detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


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

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._inode: int | None = None
        self._changes_checkpointed = 0
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
        self.engine = create_engine(
            "sqlite://", creator=connect, poolclass=QueuePool, pool_size=4, max_overflow=0, pool_timeout=30
        )
        event.listen(self.engine, "connect", self._configure)
        event.listen(self.engine, "begin", self._begin)

    @staticmethod
    def _configure(connection: sqlite3.Connection, _record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=0",
            "cache_size=-8000",
            "mmap_size=268435456",
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
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.exclusive():
                # Only here is a file made, and only where none was opened before.
                if self._inode is None:
                    os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
                self._inode = self.path.stat().st_ino
        except FileNotFoundError:
            raise unavailable("The database file is gone.") from None
        except OSError as error:
            raise ConfigurationError(f"the database {self.path} cannot be used: {error.strerror}") from error

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
            raise unavailable(f"The lock beside the database cannot be opened: {error.strerror}.") from error
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

    def _connect_writer(self) -> Connection:
        self._changes_checkpointed = 0  # each connection counts its own
        return self.engine.connect().execution_options(cashman_writing=True)

    def _check_place(self, *, writing: bool) -> None:
        """Writes stop at once when the file has gone; another file in its place is opened like a first one."""
        try:
            inode = self.path.stat().st_ino
        except OSError as error:
            if writing:
                raise unavailable("The database file is gone.") from error
            return
        if inode != self._inode:
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
            log.warning("the WAL could not be brought back into the database for now: %s", error)

    def scrub(self) -> None:
        """Empty the WAL, which still holds the pages as they were, unless a reader needs it."""
        with contextlib.suppress(StoreUnavailable), self.exclusive():
            if self._writer is not None:
                self._checkpoint(self._writer.connection.dbapi_connection, "TRUNCATE")

    def _is_out_of_reach(self, error: DBAPIError) -> bool:
        return (getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF in self._OUT_OF_REACH


class PostgresDatabase(Database):
    """A PostgreSQL server; writers of one ledger queue at its head row, not at a lock of ours.

    Its driver waits together with gevent's loop, so nothing has to leave it.
    """

    _MIGRATION_LOCK: Final = 0x6361_7368  # "cash"
    _RETRIED: Final = {"40001", "40P01"}  # serialization failure, deadlock
    # SQLSTATE classes and codes (appendix A of the manual) of a server that is gone, full, read-only or stopping;
    # 0A000 is what a standby says to a transaction that is to write.
    _OUT_OF_REACH: Final = ("08", "0A000", "53", "57", "58", "25006", "55P03", *_RETRIED)

    def __init__(self, url: URL) -> None:
        super().__init__()
        options = url.query.get("options", "")
        self.engine = create_engine(
            url.difference_update_query(["options"]),
            pool_size=5,
            max_overflow=10,
            connect_args={
                "connect_timeout": int(LOCK_WAIT_SECONDS_MAX),
                "options": f"{options} -c lock_timeout={int(LOCK_WAIT_SECONDS_MAX * 1000)}".strip(),
            },
        )

    def _off_loop(self, function: Callable[[], Result]) -> Result:
        return function()

    def _check_durability(self) -> None:
        with self.engine.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
                for name in ("fsync", "synchronous_commit")
            }
        if "off" in found.values():
            raise ConfigurationError(f"PostgreSQL does not keep what it acknowledges here: {found}")

    @contextlib.contextmanager
    def _exclusive_migration(self) -> Iterator[None]:
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")  # a long migration is worth waiting for
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({self._MIGRATION_LOCK})")
            yield  # closing the connection rolls back; the lock is given up with it
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({self._MIGRATION_LOCK})")

    def _connect_reader(self) -> Connection:
        return self.engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def _connect_writer(self) -> Connection:
        return self.engine.connect()

    def _must_retry(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in self._RETRIED

    def _is_out_of_reach(self, error: DBAPIError) -> bool:
        state = getattr(error.orig, "sqlstate", None)
        # No SQLSTATE: the connection itself broke.
        return (
            error.connection_invalidated
            or (isinstance(error, OperationalError) and state is None)
            or (state is not None and state.startswith(self._OUT_OF_REACH))
        )


def connect(url: str) -> Database:
    """The database that a URL names; ConfigurationError for one that Cashman cannot keep books in."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("CASHMAN_DATABASE_URL is not a database URL") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise ConfigurationError("CASHMAN_DATABASE_URL: books need a file, as in sqlite:////data/cashman.db")
        return SqliteDatabase(Path(parsed.database).absolute())
    if backend in ("postgresql", "postgres"):
        return PostgresDatabase(parsed.set(drivername="postgresql+psycopg"))
    raise ConfigurationError(f"CASHMAN_DATABASE_URL: {backend} is neither sqlite nor postgresql")
