"""The schema's history: it leads to the models, once, whoever starts first, and leaves the journal guarded."""

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Column, Connection, Integer, MetaData, create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from ulid import ULID

from cashman import db, ledger, migrations
from cashman.changes import Target
from cashman.db import Base
from cashman.errors import ConfigurationError
from cashman.ledger import Books, Ledger
from cashman.migrations.__main__ import main
from cashman.model.expense import Expense
from cashman.model.filter import Filter
from cashman.model.income import Income
from cashman.verify import verify

ROOT = Path(__file__).resolve().parents[1]
REVISIONS = sorted(path.name.split("_")[0] for path in (migrations.FOLDER / "versions").glob("[0-9]*.py"))


@pytest.fixture
def empty(empty_url: str) -> Iterator[Connection]:
    """A connection to a database with nothing in it; what it does is undone."""
    url = make_url(empty_url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir()
    else:
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection, connection.begin():
        yield connection


def drift(connection: Connection, metadata: MetaData = Base.metadata) -> list[Any]:
    """What would have to change for the database to be as the models say; Alembic alone compares no checks."""
    checks = inspect(connection).get_check_constraints("transactions")
    wanted = [item for item in metadata.tables["transactions"].constraints if isinstance(item, CheckConstraint)]
    missing = {str(check.name) for check in wanted if check.name} ^ {str(check["name"]) for check in checks}
    return [*migrations.drift(connection, metadata), *sorted(missing)]


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to a revision."""
    command.upgrade(migrations.alembic_config(connection), revision)


def test_the_migrations_lead_to_the_models(empty: Connection) -> None:
    upgrade(empty)
    assert drift(empty) == []
    assert migrations.current(empty) == migrations.HEAD == REVISIONS[-1]


def test_a_column_that_no_migration_makes_is_reported(empty: Connection) -> None:
    """The control: the comparison does see drift, also in a constraint."""
    upgrade(empty)
    changed = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.sorted_tables:
        table.to_metadata(changed)
    changed.tables["accounts"].append_column(Column("colour", Integer))
    changed.tables["transactions"].append_constraint(CheckConstraint("version > 0", name="version_positive"))
    reported = drift(empty, changed)
    assert [(entry[0], entry[2], entry[3].name) for entry in reported if isinstance(entry, tuple)] == [
        ("add_column", "accounts", "colour")
    ]
    assert reported[-1] == "ck_transactions_version_positive"


def test_a_table_that_no_model_knows_is_reported(empty: Connection) -> None:
    upgrade(empty)
    empty.execute(text("CREATE TABLE stray (id integer PRIMARY KEY)"))
    (reported,) = drift(empty)
    assert (reported[0], reported[1].name) == ("remove_table", "stray")


def test_the_steps_form_one_line_and_are_named_after_their_place(empty: Connection) -> None:
    script = ScriptDirectory.from_config(migrations.alembic_config(empty))
    line = [(step.revision, step.down_revision) for step in reversed(list(script.walk_revisions()))]
    assert line == list(zip(REVISIONS, [None, *REVISIONS], strict=False))
    assert script.get_heads() == [migrations.HEAD]


def test_the_journal_is_guarded_after_every_step(empty: Connection) -> None:
    statements = ["UPDATE journal SET entry = entry", "DELETE FROM journal"]
    if empty.dialect.name == "postgresql":
        statements.append("TRUNCATE journal")
    else:
        statements.append("REPLACE INTO journal SELECT * FROM journal")
    upgrade(empty, REVISIONS[0])
    empty.execute(
        text("INSERT INTO journal (ledger_id, sequence, entry, hash) VALUES (1, 1, '{}', :hash)"), {"hash": b"0" * 32}
    )
    for revision in REVISIONS:
        upgrade(empty, revision)
        assert migrations.current(empty) == revision
        for statement in statements:
            with pytest.raises(DBAPIError, match="the journal is append-only"), empty.begin_nested():
                empty.exec_driver_sql(statement)
        assert empty.execute(text("SELECT count(*) FROM journal")).scalar() == 1


def test_a_step_carries_on_what_an_older_release_has_booked(empty: Connection) -> None:
    """The totals that schema 0002 brings are those of the transactions that stood before it."""
    upgrade(empty, "0001")
    row = (
        "INSERT INTO transactions (ledger_id, id, type, status, minor_units, currency, date, account_id, description,"
        " tags, created_at, version) VALUES (1, :id, :type, :status, :minor_units, :currency, '2026-11-20', 1, 'x',"
        " '[]', '2026-11-20T00:00:00.000000Z', 1)"
    )
    for number, (type_, status, minor_units, currency) in enumerate(
        [
            ("INCOME", "posted", 500, "USD"),
            ("EXPENSE", "posted", -20, "USD"),
            ("EXPENSE", "void", -7, "USD"),
            ("EXPENSE", "posted", -3, "JPY"),
        ]
    ):
        values = {"id": str(number), "type": type_, "status": status, "minor_units": minor_units, "currency": currency}
        empty.execute(text(row), values)
    upgrade(empty, "0002")
    totals = empty.execute(text("SELECT currency, minor_units, count FROM account_totals ORDER BY currency"))
    assert [tuple(total) for total in totals] == [("JPY", -3, 1), ("USD", 480, 2)]


KEPT_SINCE_0002 = ("ledgers", "accounts", "categories", "journal_heads", "journal", "journal_words", "revisions")
DERIVED = (
    "totals",
    "turnovers",
    "transaction_tags",
    "stems",
    "transactions",
    "accounts",
    "journal_heads",
    "categories",
)
CHUNK_ROWS = 5_000
"""What the step to 0003 puts into its indexes at a time."""


def in_currency(books: Books, currency: str) -> None:
    """Have the main account of ledger 2 in a currency, as no account was in any before schema 0003."""
    statement = text("UPDATE accounts SET currency = :currency WHERE ledger_id = 2")
    books.database.write(lambda connection: connection.execute(statement, {"currency": currency}))
    books.charts.forget()


def book_as_before_0003(books: Books, monkeypatch: pytest.MonkeyPatch, more: int = CHUNK_ROWS + 1) -> Ledger:
    """A ledger with what releases up to schema 0002 could book, and with what they wrote about its account."""
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "DEFAULTS", {})
        books.database.write(lambda connection: ledger.found_ledger(connection, 2, "USD", "owner", "owner"))
    old = Ledger(books, 2)
    ids = [str(ULID()) for _ in range(5)]
    day = dt.date(2024, 2, 29)
    old.record(
        Expense("Ramen in Kyōto", 20, id=ids[0], date=day, category="Food:Noodles", tags=["ramen", "trip"]),
        Income("salary", 5000, id=ids[1], date=dt.date(1, 1, 1), category="Work", payee="Acme"),
        Expense("!!!", "0.01", id=ids[2], date=dt.date(9999, 12, 31), notes="??"),
        Expense("secret", 7, id=ids[3], date=day, payee="nobody", tags=["hidden"]),
        Expense("mistake", 9, id=ids[4], date=day, category="Food", tags=["trip"]),
    )
    old.replace(Target(ids[0]), {"amount": Decimal("21.50"), "tags": ["trip", "Ästhetik"]})
    old.replace(Target(ids[1]), {"category": None})
    old.redact(Target(ids[3]))
    old.void(Target(ids[4]))
    old.void(Target(ids[2]))
    old.restore(Target(ids[2]))
    in_currency(books, "JPY")
    old.record(
        Expense("soba", 900, currency="JPY", date=day, category="Food:Noodles", tags=["trip"]),
        Income("refund", 400, currency="JPY", date=dt.date(2024, 3, 1)),
    )
    in_currency(books, "USD")
    old.record(*[Expense(f"number {number}", 1, date=day, tags=["many"]) for number in range(more)])
    return old


def contents(connection: Connection, table: str, columns: str = "*") -> list[dict[str, Any]]:
    """Every row of a table that says something, in one order whatever the engine; a total of nothing says nothing."""
    if table == "stems" and connection.dialect.name == "sqlite":
        columns = "rowid, words"
    rows = [dict(row._mapping) for row in connection.execute(text(f"SELECT {columns} FROM {table}"))]
    return sorted((row for row in rows if row.get("count") != 0), key=repr)


def test_the_step_to_0003_makes_of_what_was_booked_what_is_booked_today(
    database_url: str, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Totals, turnovers, tags and stems are those of a ledger in which the same was booked by this release."""
    today = Books(db.connect(database_url))
    old = book_as_before_0003(today, monkeypatch)
    url = make_url(empty_url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir()
    else:
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        upgrade(connection, "0002")
        quote = connection.dialect.identifier_preparer.quote
        for table in (*KEPT_SINCE_0002, "transactions"):
            names = [column["name"] for column in inspect(connection).get_columns(table)]
            listed = ", ".join(quote(name) for name in names)
            rows = today.database.read(lambda read, table=table, listed=listed: contents(read, table, listed))
            values = ", ".join(f":{name}" for name in names)
            connection.execute(text(f"INSERT INTO {table} ({listed}) VALUES ({values})"), rows)
    engine.dispose()

    migrated = Books(db.connect(empty_url))
    migrated.database.open()
    assert migrated.database.read(drift) == []
    for table in DERIVED:
        expected = today.database.read(lambda connection, table=table: contents(connection, table))
        found = migrated.database.read(lambda connection, table=table: contents(connection, table))
        assert found == expected, table
        assert found, "something is compared"
    assert verify(migrated.database) == verify(today.database)

    both = [old, Ledger(migrated, 2)]
    asked = (
        Filter(category="Food"), Filter(tags=("trip",)), Filter(stems=("kyoto",)), Filter(stems=("secret",)),
        Filter(currency="JPY"), Filter(sort="created_at", limit=10), Filter(sort="amount", limit=10),
    )  # fmt: skip
    for filter_ in asked:
        expected, found = ([row.id for row in each.find(filter_).rows] for each in both)
        assert found == expected
    assert both[1].find(Filter(sort="created_at", limit=2)).next_cursor is not None
    for each in both:
        each.record(Income("afterwards", 1, date=dt.date(2024, 2, 29), category="Food:Noodles", tags=["new"]))
    expected, found = (each.books.database.read(lambda connection: contents(connection, "totals")) for each in both)
    assert found == expected
    verify(migrated.database)
    for books in (today, migrated):
        books.database.close()


def test_a_migrated_ledger_seals_its_cursors_with_a_secret_of_its_own(empty: Connection) -> None:
    upgrade(empty, "0002")
    for number in (1, 2):
        statement = "INSERT INTO ledgers (id, ulid, currency, created_at) VALUES (:id, :ulid, 'USD', :created_at)"
        values = {"id": number, "ulid": str(ULID()), "created_at": "2026-11-20T00:00:00.000000Z"}
        empty.execute(text(statement), values)
    upgrade(empty)
    secrets = [bytes(secret) for secret in empty.execute(text("SELECT cursor_secret FROM ledgers")).scalars()]
    assert [len(secret) for secret in secrets] == [32, 32]
    assert secrets[0] != secrets[1]


def test_a_database_that_is_up_to_date_is_left_alone(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("Alembic ran")

    monkeypatch.setattr(command, "upgrade", never)
    books = Books(db.connect(database_url))
    books.database.open()
    assert books.database.read(migrations.current) == migrations.HEAD
    books.database.close()


def test_a_new_database_is_migrated_at_its_first_use(empty_url: str) -> None:
    books = Books(db.connect(empty_url))
    assert books.own_ledger().record(Expense("pizza", 50)).head.sequence == 3
    assert books.database.read(migrations.current) == migrations.HEAD
    books.database.close()


def test_a_database_of_a_newer_release_is_refused_and_left_alone(empty: Connection) -> None:
    assert migrations.current(empty) is None
    upgrade(empty)
    empty.execute(text("UPDATE alembic_version SET version_num = '9999', works_with = '9998'"))

    class Connected:
        """An engine whose connections are this one, whose transaction is not over."""

        def connect(self) -> Any:
            return NotClosed()

    class NotClosed:
        def __enter__(self) -> Connection:
            return empty

        def __exit__(self, *_: object) -> None: ...

    with pytest.raises(ConfigurationError, match="the database is at schema 9999, made by a newer Cashman"):
        migrations.upgrade(Connected())  # type: ignore[arg-type]
    assert migrations.current(empty) == "9999"


OPEN_SCRIPT = """
import sys
from cashman import db
from cashman.ledger import Books
from cashman.migrations.__main__ import main
from cashman.model.expense import Expense
books = Books(db.connect(sys.argv[1]))
sys.stdin.readline()
books.own_ledger().record(Expense(sys.argv[2], 1))
books.database.close()
"""


def test_several_processes_open_a_new_database_at_once(empty_url: str) -> None:
    """One of them migrates and founds the ledger, the others wait for it, and all of them write."""
    names = [f"process {number}" for number in range(4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_SCRIPT, empty_url, name],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in names
    ]
    for process in processes:  # all have loaded, and wait; now all start
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = sorted(process.communicate(timeout=60)[0] for process in processes)
    assert told[:3] == ["", "", ""]
    made = "there are no books yet: " in told[3]  # one of them says that it makes a file
    assert made == empty_url.startswith("sqlite")
    assert [process.returncode for process in processes] == [0] * 4
    books = Books(db.connect(empty_url))
    page = books.own_ledger().find(Filter())
    assert sorted(row.description for row in page.rows) == names
    assert page.head.sequence == 2 + 4
    books.database.close()


def test_one_of_two_first_openers_founds_the_ledger(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Founding belongs under the migration's lock: between looking for a ledger and making one nobody may come."""
    found = ledger.found_ledger
    founded = []

    def slowly(*arguments: Any) -> None:
        founded.append(1)
        time.sleep(0.2)
        found(*arguments)

    monkeypatch.setattr(ledger, "found_ledger", slowly)
    openers = [Books(db.connect(empty_url)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for opened in [pool.submit(books.database.open) for books in openers]:
            opened.result(30)
    assert len(founded) == 1
    for books in openers:
        books.database.close()


def test_a_check_finds_a_database_that_is_not_as_the_models_say(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", {"CASHMAN_DATABASE_URL": database_url})
    assert (main(["check"]), *capsys.readouterr()) == (0, "", "")
    database = db.connect(database_url)
    database.write(lambda connection: connection.exec_driver_sql("ALTER TABLE accounts ADD COLUMN colour integer"))
    database.close()
    assert main(["check"]) == 1
    assert "drift: ('remove_column'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["upgrade"], ["check", "twice"]], ids=repr)
def test_a_check_says_how_it_is_called(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m cashman.migrations check\n"
