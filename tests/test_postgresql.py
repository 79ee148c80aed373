"""What is particular to a PostgreSQL in production: roles, timeouts, several hosts, and a pool that is full."""

import contextlib
import os
import re
import secrets
import selectors
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from conftest import _administrate, _create_database
from sqlalchemy import make_url
from sqlalchemy.pool import QueuePool

from cashman import db, migrations
from cashman.changes import Target
from cashman.cli import cashman
from cashman.db import watching
from cashman.db.postgresql import PostgresDatabase
from cashman.errors import ConfigurationError, StoreUnavailable
from cashman.index import create_app
from cashman.ledger import Books
from cashman.model.expense import Expense
from cashman.model.filter import Filter
from cashman.verify import verify


@pytest.fixture(scope="module")
def roles(postgresql_server: str) -> Iterator[dict[str, str]]:
    """An empty database: its URL as its owner, as a service that owns nothing, and as whoever runs the server."""
    names = {kind: f"cashman_{kind}_{os.getpid()}" for kind in ("owner", "service")}
    admin = _create_database(postgresql_server, f"cashman_roles_{os.getpid()}")
    database = make_url(admin).database
    for name in names.values():
        _administrate(postgresql_server, f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{secrets.token_hex(8)}'")
    _administrate(postgresql_server, f'ALTER DATABASE "{database}" OWNER TO "{names["owner"]}"')
    urls = {
        kind: make_url(admin).set(username=name).render_as_string(hide_password=False) for kind, name in names.items()
    }
    yield {**urls, "service_name": names["service"], "admin": admin}
    _administrate(postgresql_server, f'DROP DATABASE "{database}" WITH (FORCE)')
    for name in names.values():
        _administrate(postgresql_server, f'DROP ROLE "{name}"')


def run(monkeypatch: pytest.MonkeyPatch, url: str, *arguments: str) -> Any:
    """What a command does with a database."""
    monkeypatch.setenv("CASHMAN_DATABASE_URL", url)
    return CliRunner().invoke(cashman, arguments)


def test_who_owns_nothing_is_told_to_migrate_first(roles: dict[str, str]) -> None:
    database = db.connect(roles["service"])
    with pytest.raises(ConfigurationError, match=r"the database is empty.*run `cashman migrate`"):
        database.open()
    assert database.revision() is None
    database.close()


def test_migrating_takes_the_owner_and_lets_a_role_serve(
    roles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, roles["service"], "migrate").exit_code == 2
    done = run(monkeypatch, roles["owner"], "migrate")
    assert (done.exit_code, done.output) == (0, f"at schema {migrations.HEAD}\n")
    database = db.connect(roles["service"])
    with pytest.raises(ConfigurationError, match=r"this role may not use the database .permission denied"):
        database.open()
    nobody = run(monkeypatch, roles["owner"], "migrate", "--service-role", "nobody")
    assert nobody.exit_code == 2
    assert "nobody cannot be let in" in nobody.output
    for _ in range(2):
        assert run(monkeypatch, roles["owner"], "migrate", "--service-role", roles["service_name"]).exit_code == 0
    database.open()
    database.close()


@pytest.fixture(scope="module")
def served(roles: dict[str, str]) -> dict[str, str]:
    """The same, migrated."""
    database = db.connect(roles["owner"])
    database.migrate()
    database.grant(roles["service_name"])
    database.close()
    return roles


def test_a_role_that_owns_nothing_does_all_that_a_service_does(served: dict[str, str]) -> None:
    client = create_app({"CASHMAN_DATABASE_URL": served["service"], "CASHMAN_AUTH": "open"}).test_client()
    document = {"description": "pizza", "amount": 50, "tags": ["night"], "category": "Food", "payee": "Luigi"}
    made = client.post("/expenses", json=document, headers={"Prefer": "return=representation"})
    assert made.status_code == 201, made.json
    path = f"/expenses/{made.json['id']}"  # type: ignore[index]
    assert client.patch(path, json={"amount": 55}).status_code == 200
    assert client.delete(path).status_code == 204
    assert client.post(f"{path}/restore").status_code == 200
    assert client.post("/accounts", json={"name": "savings", "kind": "savings"}).status_code == 201
    assert client.get("/reports/summary?by=category").status_code == 200
    books = Books(db.connect(served["service"]))
    books.own_ledger().redact(Target(made.json["id"]))  # type: ignore[index]
    books.expire()
    assert verify(books.database)[0].transactions == 1
    books.database.close()
    user = {"email": "ann@example.com", "password": "correct horse battery"}
    app = create_app({"CASHMAN_DATABASE_URL": served["service"]})
    code = CliRunner().invoke(
        cashman,
        ["user", "add", user["email"], "--password", user["password"]],
        env={"CASHMAN_DATABASE_URL": served["service"]},
    )
    assert code.exit_code == 0, code.output
    token = app.test_client().post("/tokens", json=user).json["access_token"]  # type: ignore[index]
    mine = {"Authorization": f"Bearer {token}"}
    made_key = app.test_client().post("/api-keys", json={"name": "till", "scope": "read"}, headers=mine)
    assert made_key.status_code == 201
    assert app.test_client().delete("/tokens", headers=mine).status_code == 204


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET entry = entry",
        "DELETE FROM journal",
        "TRUNCATE journal",
        "DROP TABLE journal",
        "DROP TRIGGER journal_append_only ON journal",
        "ALTER TABLE journal DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "UPDATE revisions SET sequence = sequence",
        "DELETE FROM revisions",
        "UPDATE alembic_version SET version_num = '0001'",
        "CREATE TABLE own (id integer)",
    ],
)
def test_a_role_that_serves_cannot_rewrite_history(served: dict[str, str], statement: str) -> None:
    with psycopg.connect(served["service"].replace("+psycopg", ""), autocommit=True) as connection:
        trigger = connection.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'journal'::regclass").fetchone()
        assert trigger is not None
        statement = statement.replace("journal_append_only", trigger[0])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_a_role_that_serves_is_told_of_an_older_schema_in_one_line(served: dict[str, str]) -> None:
    with psycopg.connect(served["admin"].replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("UPDATE alembic_version SET version_num = '0005'")
        database = db.connect(served["service"])
        try:
            with pytest.raises(ConfigurationError, match=r"is at schema 0005, this release works with schema .*own"):
                database.open()
        finally:
            admin.execute("UPDATE alembic_version SET version_num = %s", [migrations.HEAD])
            database.close()


@pytest.mark.parametrize(
    "url", ["postgresql://{user}@/{name}?host={host}", "postgresql://wrong:wrong@/{name}?host={host}"]
)
def test_a_database_or_a_role_that_is_not_there_is_waited_for(postgresql_server: str, url: str) -> None:
    """Both may come: requests get 503 until they do, and nothing is made in their place."""
    server = make_url(postgresql_server)
    given = {"user": server.username, "name": "cashman_nowhere", "host": server.query.get("host", server.host)}
    client = create_app({"CASHMAN_DATABASE_URL": url.format(**given), "CASHMAN_AUTH": "open"}).test_client()
    for answer in (client.get("/incomes"), client.post("/incomes", json={"description": "x", "amount": 1})):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


# Timeouts.


@pytest.fixture
def impatient(request: pytest.FixtureRequest) -> Iterator[PostgresDatabase]:
    """A database on which a statement may take half a second, and wait for a lock for half of that."""
    with request.getfixturevalue("postgresql_databases").one() as url:
        database = db.connect(url, statement_seconds=0.5, lock_seconds=0.25)
        assert isinstance(database, PostgresDatabase)
        yield database
        database.close()


def test_a_statement_that_takes_too_long_is_503_and_leaves_nothing(impatient: PostgresDatabase) -> None:
    ledger = Books(impatient).own_ledger()
    before = ledger.record(Expense("before", 1)).head

    def slow(connection: Any) -> None:
        connection.exec_driver_sql("INSERT INTO signing_keys VALUES ('half', 'x', 'x')")
        connection.exec_driver_sql("SELECT pg_sleep(5)")

    for use in (impatient.write, impatient.read):
        with pytest.raises(StoreUnavailable) as refused:
            use(slow if use == impatient.write else lambda connection: connection.exec_driver_sql("SELECT pg_sleep(5)"))
        assert refused.value.headers["Retry-After"]
    kept = impatient.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM signing_keys").scalar())
    assert kept == 0
    assert ledger.record(Expense("after", 1)).head.sequence == before.sequence + 1


def test_a_lock_that_somebody_holds_is_503_within_its_timeout(impatient: PostgresDatabase) -> None:
    ledger = Books(impatient).own_ledger()
    ledger.record(Expense("before", 1))
    url = impatient.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM journal_heads FOR UPDATE")
        with pytest.raises(StoreUnavailable):
            ledger.record(Expense("waits", 1))
        other.rollback()
    ledger.record(Expense("after", 1))
    assert sorted(row.description for row in ledger.find(Filter()).rows) == ["after", "before"]


def test_a_schema_that_somebody_locks_is_out_of_reach_at_the_start(impatient: PostgresDatabase) -> None:
    url = impatient.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE alembic_version")
        with pytest.raises(StoreUnavailable):
            impatient.open()
        other.rollback()
    impatient.open()


def test_migrating_waits_longer_than_any_statement(impatient: PostgresDatabase) -> None:
    with impatient._exclusive_migration(), impatient.engine.connect() as other:
        assert other.exec_driver_sql("SHOW statement_timeout").scalar() == "500ms"
        assert other.exec_driver_sql("SHOW lock_timeout").scalar() == "250ms"


def test_what_the_url_says_counts_more(postgresql_databases: Any) -> None:
    with postgresql_databases.one() as url:
        given = make_url(url).update_query_dict({"options": "-c statement_timeout=7000", "connect_timeout": "3"})
        database = db.connect(given.render_as_string(hide_password=False), statement_seconds=60)
        found = database.read(lambda connection: connection.exec_driver_sql("SHOW statement_timeout").scalar())
        assert found == "7s"
        database.close()


def slowly_read(url: str) -> Any:
    """What a statement gives that takes longer than these tests wait for a server to say anything."""
    database = db.connect(url)
    try:
        return database.read(lambda connection: connection.exec_driver_sql("SELECT 7 FROM pg_sleep(0.6)").scalar())
    finally:
        database.close()


@pytest.mark.parametrize("changed", [{}, {"user": "nobody"}])
def test_a_statement_that_takes_its_time_is_waited_for_while_the_server_answers(
    postgresql_databases: Any, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]
) -> None:
    """Also where what it answers is that it refuses."""
    monkeypatch.setattr(watching, "LOCK_WAIT_SECONDS_MAX", 0.1)
    asked: list[watching.WatchedConnection] = []
    is_silent = watching.WatchedConnection._is_silent

    def ask(connection: watching.WatchedConnection) -> bool:
        connection.parameters |= changed
        asked.append(connection)
        return is_silent(connection)

    monkeypatch.setattr(watching.WatchedConnection, "_is_silent", ask)
    with postgresql_databases.one() as url:
        assert slowly_read(url) == 7
    assert asked


def test_what_comes_while_the_server_is_asked_is_not_given_up(
    postgresql_databases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOCK_WAIT_SECONDS_MAX", 0.1)
    asked: list[watching.WatchedConnection] = []

    def ask(connection: watching.WatchedConnection) -> bool:
        asked.append(connection)
        with selectors.DefaultSelector() as selector:
            selector.register(connection.pgconn.socket, selectors.EVENT_READ)
            return bool(selector.select(20))

    monkeypatch.setattr(watching.WatchedConnection, "_is_silent", ask)
    with postgresql_databases.one() as url:
        assert slowly_read(url) == 7
    assert asked


# The pool.


@pytest.mark.parametrize("pool", [3, 5, 10])
def test_no_more_connections_are_taken_than_the_setting_says(pool: int) -> None:
    database = db.connect("postgresql://localhost/cashman", pool)
    assert isinstance(database, PostgresDatabase)
    sizes = [each.size() + each._max_overflow for each in database.pools() if isinstance(each, QueuePool)]
    assert sum(sizes) == pool
    assert min(sizes) >= 1
    assert max(sizes) >= 2  # opening takes two at once


def test_many_readers_and_writers_share_a_small_pool(postgresql_databases: Any) -> None:
    with postgresql_databases.one() as url:
        books = Books(db.connect(url, 3))
        ledger = books.own_ledger()

        def use(number: int) -> int:
            ledger.record(Expense(f"number {number}", 1))
            return len(ledger.find(Filter(limit=1)).rows)

        with ThreadPoolExecutor(32) as pool:
            assert list(pool.map(use, range(100))) == [1] * 100
        with psycopg.connect(url.replace("+psycopg", "")) as other:
            row = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            ).fetchone()
        assert row is not None
        assert row[0] <= 3
        books.database.close()


# Several hosts.


def hosts(url: str, *servers: str) -> str:
    """A URL of a database on several servers, each in a folder of sockets."""
    return re.sub(r"\?host=.*", "", url) + "?" + "&".join(f"host={server}" for server in servers)


def test_a_host_that_is_dead_is_passed_over(postgresql_databases: Any, tmp_path: Any) -> None:
    with postgresql_databases.one() as url:
        alive = make_url(url).query.get("host")
        if not alive:
            pytest.fail("the server of these tests has to listen on a socket")
        database = db.connect(hosts(url, str(tmp_path), str(alive)))
        assert Books(database).own_ledger().record(Expense("pizza", 1)).head.sequence == 3
        database.close()


def test_of_several_hosts_the_one_that_takes_writes_is_found(postgresql_databases: Any, postgresql_server: str) -> None:
    with postgresql_databases.one() as url:
        alive = str(make_url(url).query["host"])
        name = make_url(url).database
        _administrate(postgresql_server, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        database = db.connect(hosts(url, alive, alive))
        with pytest.raises(StoreUnavailable), contextlib.closing(database):
            database.open()
        _administrate(postgresql_server, f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        database.open()
        database.close()


@pytest.mark.parametrize(
    ("url", "host", "attributes"),
    [
        ("postgresql://u:p@one:5432,two:5433/books", ("one:5432", "two:5433"), "read-write"),
        ("postgres://one,two/books?sslmode=verify-full", ("one", "two"), "read-write"),
        ("postgresql://u@/books?host=one:1&host=two:2", ("one:1", "two:2"), "read-write"),
        ("postgresql://u@one,two/books?target_session_attrs=any", ("one", "two"), None),
        ("postgresql://u@one/books", None, None),
    ],
)
def test_several_hosts_are_read_as_libpq_writes_them(url: str, host: Any, attributes: str | None) -> None:
    database = db.connect(url)
    assert isinstance(database, PostgresDatabase)
    assert database.engine.url.query.get("host") == host
    assert database.engine.url.database == "books"
    arguments, options = database.engine.dialect.create_connect_args(database.engine.url)
    assert not arguments
    assert options.get("sslmode") == ("verify-full" if "sslmode" in url else None)


@pytest.mark.parametrize("url", ["postgresql://host:port/books", "postgresql://one:1,two:x:3/books"])
def test_a_port_that_is_none_is_told_in_one_line(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a database URL"):
        db.connect(url)


def test_what_is_refused_at_the_start_keeps_no_lock(served: dict[str, str]) -> None:
    """Or whoever could mend it with `cashman migrate` would wait for the service that waits for that."""
    with psycopg.connect(served["admin"].replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("UPDATE alembic_version SET version_num = '0005'")
        database = db.connect(served["service"])
        with pytest.raises(ConfigurationError):
            database.open()
        admin.execute("UPDATE alembic_version SET version_num = %s", [migrations.HEAD])
        assert admin.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
        database.close()


def test_sqlite_knows_no_roles(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'cashman.db'}"
    assert run(monkeypatch, url, "migrate").output.endswith(f"at schema {migrations.HEAD}\n")
    refused = run(monkeypatch, url, "migrate", "--service-role", "cashman")
    assert refused.exit_code == 2
    assert "SQLite has none" in refused.output
