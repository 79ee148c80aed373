"""What every database does, whatever its engine: opening, transactions, retries, and what is out of reach.

`Database.read` and `Database.write` are the only doors: each takes a function of a connection and runs it in
one transaction (a read in one snapshot, a write durable when it returns). What the engine cannot do right now
comes out as `StoreUnavailable`.
"""

import atexit
import contextlib
import logging
import random
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import Pool

from cashman import migrations
from cashman.db.probing import Found, Probe
from cashman.errors import ConfigurationError, Problem, StoreUnavailable
from cashman.limits import RETRY_AFTER_SECONDS

Result = TypeVar("Result")
Work = Callable[[Connection], Result]
Progress = Callable[[int, int], None]
"""Told how much of how much is done."""

log = logging.getLogger(__name__)


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
    try:
        if error is not None:
            raise error
    finally:
        del error  # or it would keep this frame, and the frame it, until the next collection of garbage
    return cast(Result, result)


def _here(function: Callable[[], Result]) -> Result:
    return function()


class Replaced(Exception):
    """Another file stands where the opened database was."""


class Database(ABC):
    """One database of either engine; opened at first use, and opened again after it was out of reach."""

    engine: Engine
    attempts_max: Final = 10
    """With their pauses about five seconds: on a busy machine six, in half a second, could all meet a neighbour."""
    keys_path: Path | None = None
    """The file for the keys that tokens are signed with, where the engine has a place beside the database."""
    probe: Probe
    """Asks how it is, without opening it, beside all other connections and within PROBE_SECONDS_MAX."""

    def __init__(self) -> None:
        self._opened = False
        self._opening = threading.Lock()
        self._writer: Connection | None = None
        self._writing = threading.Lock()
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

    @abstractmethod
    def _peek(self, statement: str) -> Sequence[Any]:
        """The one row of a statement, as cheaply as the engine can."""

    def _must_retry(self, error: DBAPIError) -> bool:
        """Whether the transaction failed only because of its neighbours, and is to be run again."""
        return False

    def _must_read_again(self, error: DBAPIError) -> bool:
        """Whether a read met a connection that had died before, and is to be tried on another."""
        return error.connection_invalidated

    @abstractmethod
    def _is_out_of_reach(self, error: DBAPIError) -> bool:
        """Whether an error says that the database cannot be used right now."""

    def _may_migrate(self, connection: Connection) -> bool:
        """Whether the schema is this role's to change."""
        return True

    def grant(self, role: str) -> None:
        """Let a role serve, and no more than that; ConfigurationError where the engine knows no roles."""
        raise ConfigurationError("roles are PostgreSQL's: SQLite has none")

    def _after_write(self, connection: Connection) -> None:  # noqa: B027  an engine may need nothing here
        """What follows a commit, still under the lock."""

    def _check_place(self, *, writing: bool) -> None:  # noqa: B027  an engine may need nothing here
        """Raise where the database that was opened is not the one that is there now."""

    def scrub(self) -> None:  # noqa: B027  an engine may need nothing here
        """Leave as little as the engine allows of what was deleted; nothing waits for it or depends on it."""

    def exists(self) -> bool:
        """Whether there is something to open."""
        return True

    def own_files(self) -> list[Path]:
        """The files that belong to it, where they are ours."""
        return []

    @abstractmethod
    def size(self) -> int:
        """How many bytes it takes."""

    @abstractmethod
    def fill(self, check: Work[None], work: Work[Result]) -> Result:
        """Run work(connection) on tables that it may fill, in a database that nobody uses: all of it, or nothing.

        `check` raises where there is something that has to stay; what it lets pass is gone afterwards.
        """

    def pools(self) -> list[Pool]:
        """Where its connections wait for whoever needs one."""
        return [self.engine.pool]

    @staticmethod
    def _found(ask: Callable[[str], Sequence[Any] | None], **more: Any) -> Found:
        """What a probe finds, through `ask`, which gives the first row of a statement."""
        row = ask("SELECT version_num FROM alembic_version")
        revision = None if row is None else row[0]
        head = ask("SELECT sequence FROM journal_heads WHERE ledger_id = 1") if revision == migrations.HEAD else None
        return Found(revision, head=None if head is None else head[0], **more)

    # What every caller uses.
    def revision(self) -> str | None:
        """The schema's revision, asked without bringing it up to date."""
        with self._translated(), self.engine.connect() as connection:
            return migrations.current(connection)

    def open(self) -> None:
        """Bring the schema up to date and check the promises; raises StoreUnavailable or ConfigurationError."""
        if self._opened:
            return
        with self._opening:
            if self._opened:  # by another thread meanwhile
                return
            with self._translated():
                self.off_loop(self._open)
            self._opened = True
            atexit.register(self.close)

    def _open(self) -> None:
        self._prepare()
        with self._exclusive_migration():
            self._migrate()
            self._check_durability()
            if self.founding is not None:
                with self._connect_writer() as connection:
                    self._transact(connection, self.founding)

    def migrate(self) -> None:
        """Bring the schema up to date, and no more than that."""
        with self._translated():
            self._prepare()
            with self._exclusive_migration():
                self._migrate()

    def _migrate(self) -> None:
        migrations.upgrade(self.engine, self._may_migrate)

    def read(self, work: Work[Result], *, long: bool = False) -> Result:
        """Run work(connection) in one read-only snapshot; `long` work does not hold up the other requests."""
        run = self.off_loop if long else _here

        def read_once() -> Result:
            self._check_place(writing=False)
            with self._connect_reader() as connection:
                return run(lambda: work(connection))

        return self._retried(read_once, self._must_read_again)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection of the caller's own, whose transaction is one read-only snapshot for as long as it takes."""
        with self._translated():
            self.open()
            self._check_place(writing=False)
            connection = self._connect_reader()
            connection.detach()  # or a few that take their time would leave none for the others
        try:
            yield connection
        finally:
            connection.close()

    def peek(self, statement: str) -> Sequence[Any]:
        """The one row of a single statement: for what is asked before every read, with nothing around it."""

        def peek_once() -> Sequence[Any]:
            self._check_place(writing=False)
            return self._peek(statement)

        return self._retried(peek_once, self._must_read_again)

    def write(self, work: Work[Result]) -> Result:
        """Run work(connection) in one transaction that is on disk when this returns; all of it, or nothing."""
        with self._writing:  # there is one connection to write with
            return self._retried(lambda: self._write_once(work), self._must_retry)

    def _write_once(self, work: Work[Result]) -> Result:
        if self._writer is None:
            self._writer = self._connect_writer()
        connection = self._writer
        try:
            return self.off_loop(lambda: self._transact(connection, work))
        except BaseException as error:
            if not isinstance(error, Problem) or isinstance(error, StoreUnavailable):
                self._discard_writer()  # else the caller broke a rule, and nothing is wrong with the connection
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

    def off_loop(self, function: Callable[[], Result]) -> Result:
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
