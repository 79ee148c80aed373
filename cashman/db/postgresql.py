"""What is particular to PostgreSQL: a server, its SQLSTATEs and its locks."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, Pool

from cashman.db.base import Database, Result, Work, unavailable
from cashman.db.probing import Found, Probe
from cashman.errors import ConfigurationError
from cashman.limits import LOCK_WAIT_SECONDS_MAX, PROBE_SECONDS_MAX


class PostgresDatabase(Database):
    """A PostgreSQL server; writers of one ledger queue at its head row, not at a lock of ours.

    Its driver waits together with gevent's loop, so nothing has to leave it.
    """

    _MIGRATION_LOCK: Final = 0x6361_7368  # "cash"
    _USERS: Final = (  # a vacuum of the server's own is nobody
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL"
    )
    _USER_SECONDS_MAX: Final = 2
    _RETRIED: Final = {"40001", "40P01"}  # serialization failure, deadlock
    # SQLSTATE classes and codes (appendix A of the manual) of a server that is gone, full, read-only or stopping;
    # 0A000 is what a standby says to a transaction that is to write.
    _OUT_OF_REACH: Final = ("08", "0A000", "53", "57", "58", "25006", "55P03", *_RETRIED)

    def __init__(self, url: URL) -> None:
        super().__init__()
        options = url.query.get("options", "")
        server = url.difference_update_query(["options"])
        connect_args = {
            "connect_timeout": int(LOCK_WAIT_SECONDS_MAX),
            "options": f"{options} -c lock_timeout={int(LOCK_WAIT_SECONDS_MAX * 1000)}".strip(),
        }
        self.engine = create_engine(
            server,
            pool_size=5,
            max_overflow=10,
            connect_args=connect_args,
            hide_parameters=True,  # an error is logged, and what was to be written is nobody's business
        )
        # Single statements, each a transaction of its own: one round trip to the server, where others take four.
        self._peeking = create_engine(
            server,
            pool_size=2,
            max_overflow=3,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            hide_parameters=True,
            connect_args=connect_args,
        )

        event.listen(self.engine, "connect", self._note_warnings)
        seconds = math.ceil(PROBE_SECONDS_MAX)
        probing = {"connect_timeout": seconds, "tcp_user_timeout": seconds * 1000}
        self._probing = create_engine(
            server,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args=connect_args | probing,
        )
        self.probe = Probe(self._ask, native=False)

    @staticmethod
    def _note_warnings(connection: Any, record: Any) -> None:
        def note(told: Any) -> None:
            if told.severity_nonlocalized == "WARNING":
                record.info["cashman_warned"] = True

        connection.add_notice_handler(note)

    def _after_write(self, connection: Connection) -> None:
        """Acknowledge nothing that only this server has.

        Where the wait for a synchronous standby is cancelled, COMMIT succeeds all the same, and warns.
        """
        if connection.info.pop("cashman_warned", False):
            raise unavailable()

    def pools(self) -> list[Pool]:
        return [self.engine.pool, self._peeking.pool]

    def _ask(self) -> Found:
        with self._probing.connect() as connection:

            def ask(statement: str) -> Sequence[Any] | None:
                return connection.exec_driver_sql(statement).one_or_none()

            (made, standby) = ask("SELECT to_regclass('alembic_version') IS NOT NULL, pg_is_in_recovery()") or (0, 0)
            return self._found(lambda statement: ask(statement) if made else None, writable=not standby)

    def off_loop(self, function: Callable[[], Result]) -> Result:
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

    def _peek(self, statement: str) -> Sequence[Any]:
        with self._peeking.connect() as connection:
            return connection.exec_driver_sql(statement).one()

    def close(self) -> None:
        self._peeking.dispose()
        super().close()

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

    # All of it at once.

    def size(self) -> int:
        found: int = self.peek("SELECT pg_database_size(current_database())")[0]
        return found

    def fill(self, check: Work[None], work: Work[Result]) -> Result:
        self.open()
        self.engine.dispose()  # what was open for that is nobody else

        def fill(connection: Connection) -> Result:
            # Whoever comes now waits until the end, and knows nothing of what was here before.
            connection.exec_driver_sql("LOCK TABLE ledgers, journal, journal_heads, access_heads")
            self._check_unused(connection)
            # The only way to take away a founding.
            connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER USER")
            check(connection)
            connection.exec_driver_sql("DELETE FROM journal")
            connection.exec_driver_sql("ALTER TABLE journal ENABLE TRIGGER USER")
            return work(connection)

        return self.write(fill)

    def _check_unused(self, connection: Connection) -> None:
        deadline = time.monotonic() + self._USER_SECONDS_MAX  # a connection that was closed takes its time to end
        while users := connection.exec_driver_sql(self._USERS).scalar_one():
            connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{users} other connections use the database that is to be filled: stop the service first"
                )
            time.sleep(0.05)
