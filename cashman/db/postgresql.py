"""What is particular to PostgreSQL: a server, its SQLSTATEs and its locks."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool, Pool

from cashman.db.base import Database, Result, Work, unavailable
from cashman.db.probing import Found, Probe
from cashman.errors import ConfigurationError
from cashman.limits import LOCK_WAIT_SECONDS_MAX, POOL_DEFAULT, PROBE_SECONDS_MAX

_NOTICED: Final[dict[str, Any]] = {
    "connect_timeout": int(LOCK_WAIT_SECONDS_MAX),
    # A server that has gone without a word, with its machine or its network, is noticed after some ten seconds.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


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
    # 57014 is a statement that took too long, 25P03 a transaction in which nobody said anything.
    _OUT_OF_REACH: Final = ("08", "0A000", "53", "57", "58", "25006", "25P03", "55P03", *_RETRIED)
    _OWNS: Final = """
        SELECT coalesce(
            (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('alembic_version')),
            has_schema_privilege(current_schema(), 'CREATE'), false)"""
    # What is never changed nor taken away; of the rest a service has to do both.
    _KEPT: Final = {"alembic_version": "SELECT", "journal": "SELECT, INSERT", "revisions": "SELECT, INSERT"}

    def __init__(
        self,
        url: URL,
        pool: int = POOL_DEFAULT,
        statement_seconds: float = 0,
        lock_seconds: float = 0,
    ) -> None:
        from cashman.db import watching  # which loads the driver

        super().__init__()
        lock_ms = int((lock_seconds or LOCK_WAIT_SECONDS_MAX) * 1000)
        timeouts = f"-c lock_timeout={lock_ms} -c statement_timeout={int(statement_seconds * 1000)}"
        server = url.difference_update_query(["options"])
        # Where the URL says something else, that counts.
        connect_args = {name: value for name, value in _NOTICED.items() if name not in url.query}
        connect_args["options"] = f"{timeouts} {url.query.get('options', '')}".strip()
        if isinstance(url.query.get("host"), tuple) and "target_session_attrs" not in url.query:
            connect_args["target_session_attrs"] = "read-write"  # of several hosts, the one that is primary
        peeking = max(1, pool // 4)
        self.engine = create_engine(
            server,
            pool_size=pool - peeking,
            max_overflow=0,
            connect_args=connect_args,
            hide_parameters=True,  # an error is logged, and what was to be written is nobody's business
        )
        # Single statements, each a transaction of its own: one round trip to the server, where others take four.
        self._peeking = create_engine(
            server,
            pool_size=peeking,
            max_overflow=0,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            hide_parameters=True,
            connect_args=connect_args,
        )

        for engine in (self.engine, self._peeking):
            event.listen(engine, "do_connect", watching.connect)
        event.listen(self.engine, "connect", self._note_warnings)
        event.listen(self.engine, "commit", self._forget_warnings)
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
            record.info["cashman_warned"] |= told.severity_nonlocalized == "WARNING"

        record.info["cashman_warned"] = False
        connection.add_notice_handler(note)

    @staticmethod
    def _forget_warnings(connection: Connection) -> None:
        connection.info["cashman_warned"] = False  # from here on it is COMMIT that warns

    def _after_write(self, connection: Connection) -> None:
        """Acknowledge nothing that only this server has.

        Where the wait for a synchronous standby is cancelled, COMMIT succeeds all the same, and warns.
        """
        if connection.info["cashman_warned"]:
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
            # A long migration is worth waiting for.
            timeouts = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
            connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = 0" for name in timeouts))
            # Of this transaction: one of the session would outlive whatever is refused here, in the pool.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({self._MIGRATION_LOCK})")
            yield

    def _may_migrate(self, connection: Connection) -> bool:
        return connection.exec_driver_sql(self._OWNS).scalar_one() is True

    def _migrate(self) -> None:
        try:
            super()._migrate()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "42501":  # insufficient_privilege
                raise
            raise ConfigurationError(
                f"this role may not use the database ({error.orig.diag.message_primary}): "  # type: ignore[union-attr]
                "run `cashman migrate --service-role NAME` as the role that owns it"
            ) from error

    def grant(self, role: str) -> None:
        def grant(connection: Connection) -> None:
            quote = connection.dialect.identifier_preparer.quote
            schema = quote(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
            connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {quote(role)}")
            for name in inspect(connection).get_table_names():
                allowed = self._KEPT.get(name, "SELECT, INSERT, UPDATE, DELETE")
                connection.exec_driver_sql(f"REVOKE ALL ON {quote(name)} FROM {quote(role)}")
                connection.exec_driver_sql(f"GRANT {allowed} ON {quote(name)} TO {quote(role)}")

        with self._translated():
            try:
                with self.engine.begin() as connection:
                    grant(connection)
            except ProgrammingError as error:  # such as a role that is not there
                raise ConfigurationError(f"{role} cannot be let in: {error.orig.diag.message_primary}") from error  # type: ignore[union-attr]

    def _discard_writer(self) -> None:
        if self._writer is not None:
            self._writer.invalidate()  # nobody else gets what failed, such as a server that only reads now
        super()._discard_writer()

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

    def _must_read_again(self, error: DBAPIError) -> bool:
        from cashman.db.watching import Silent

        return super()._must_read_again(error) and not isinstance(error.orig, Silent)

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
