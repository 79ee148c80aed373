"""Upgrading: killed in the midst of it, and with the release before still serving on the new schema."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from conftest import missing
from serving import Service
from sqlalchemy import Connection, create_engine, inspect, make_url, text
from sqlalchemy.pool import NullPool
from test_migrations import book_as_before_0003, contents

from cashman import db, migrations
from cashman.errors import ConfigurationError
from cashman.ledger import Books, Ledger
from cashman.model.expense import Expense
from cashman.model.filter import Filter
from cashman.verify import Verified, verify

ROOT = Path(__file__).resolve().parent.parent
PREVIOUS = "b751a338170011e041d8b50a11f4f88a837585a3"
"""The last commit of the release before this schema: it knows schemas up to 0005."""
PREVIOUS_SCHEMA = "0005"

KILLED = """
import os, signal, sys
from sqlalchemy import event
from cashman import db
database = db.connect(sys.argv[1])
left = int(sys.argv[2])

@event.listens_for(database.engine, "after_cursor_execute")
def count(connection, cursor, statement, *_):
    global left
    if statement.lstrip().split()[0].upper() in ("CREATE", "ALTER", "INSERT", "UPDATE", "DROP", "DELETE"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

database.migrate()
print("done")
"""


def at_schema(url: str, revision: str) -> None:
    """Make an empty database one of an older release."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        Path(str(parsed.database)).parent.mkdir(exist_ok=True)
    else:
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed, poolclass=NullPool)
    with engine.begin() as connection:
        command.upgrade(migrations.alembic_config(connection), revision)
    engine.dispose()


def migrate_and_die(url: str, after: int) -> subprocess.CompletedProcess[str]:
    """Migrate in a process that is killed after so many statements that change something."""
    return subprocess.run(
        [sys.executable, "-c", KILLED, url, str(after)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def booked_at_schema(today: Books, url: str, older: str) -> Books:
    """What stands in the books of today, in a database of an older release; what later steps bring is left out."""
    at_schema(url, older)
    books = Books(db.connect(url))
    with books.database.engine.connect() as connection:
        # The access of the oldest is that of a database without users: the step to 0004 makes it.
        names = set(inspect(connection).get_table_names()) - {"alembic_version", "access_heads"}
        columns = {
            table.name: [column["name"] for column in inspect(connection).get_columns(table.name)]
            for table in db.Base.metadata.sorted_tables
            if table.name in names
        }
    if older >= "0003":
        columns["stems"] = ["rowid", "words"] if url.startswith("sqlite") else ["ledger_id", "sequence", "words"]

    def carry(connection: Connection) -> None:
        quote = connection.dialect.identifier_preparer.quote
        for name, listed in columns.items():
            quoted = ", ".join(map(quote, listed))
            rows = today.database.read(lambda read, q=quoted, n=name: contents(read, n, q))
            values = ", ".join(f":{column}" for column in listed)
            if rows:
                connection.execute(text(f"INSERT INTO {name} ({quoted}) VALUES ({values})"), rows)

    with books.database.engine.connect().execution_options(cashman_writing=True) as connection, connection.begin():
        carry(connection)
    return books


@pytest.mark.parametrize("older", [None, "0001", "0005"])
def test_a_migration_that_is_killed_has_done_nothing_and_is_done_by_the_next_start(
    database_url: str, empty_url: str, older: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever statement it dies after, on both engines, with books or without: a change is one transaction."""
    today, books = Books(db.connect(database_url)), Books(db.connect(empty_url))
    proved: list[Verified] = []
    if older is not None:
        book_as_before_0003(today, monkeypatch, more=3)
        books = booked_at_schema(today, empty_url, older)
        proved = verify(today.database)
    today.database.close()
    database = books.database
    for after in (1, 40):
        killed = migrate_and_die(empty_url, after)
        if killed.returncode == 0:
            assert killed.stdout == "done\n"  # it had fewer than that to do
            assert after > 1
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert database.revision() == older
    database.open()
    assert database.read(migrations.current) == migrations.HEAD
    assert older is None or verify(database) == proved
    books.own_ledger().record(Expense("afterwards", 1))
    with database.engine.connect() as connection:
        assert migrations.drift(connection, db.Base.metadata) == []
        assert connection.execute(text("SELECT works_with FROM alembic_version")).scalar() == PREVIOUS_SCHEMA
    assert verify(database)[0].transactions == 1
    database.close()


@pytest.mark.parametrize("older", ["0001", "0002", "0003", "0004", "0005"])
def test_what_was_booked_on_an_older_schema_is_there_after_the_upgrade(
    database_url: str, empty_url: str, older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was changed, redacted or void; tests/test_migrations.py holds the totals of many rows."""
    today = Books(db.connect(database_url))
    book_as_before_0003(today, monkeypatch, more=3)
    migrated = booked_at_schema(today, empty_url, older)
    migrated.database.open()
    assert verify(migrated.database) == verify(today.database)
    both = [Ledger(books, 2) for books in (today, migrated)]
    found = [[row.description for row in ledger.find(Filter(stems=("kyoto",))).rows] for ledger in both]
    assert found[0] == found[1] == ["Ramen in Kyōto"]
    assert len({ledger.record(Expense("afterwards", 1)).head.sequence for ledger in both}) == 1
    for books in (today, migrated):
        verify(books.database)
        books.database.close()


def test_every_step_from_0006_on_says_which_release_still_works_on_it() -> None:
    """An older one that it leaves out is refused at its start, so it has to be meant."""
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    steps = [step for step in ScriptDirectory.from_config(config).walk_revisions() if step.revision >= "0006"]
    assert steps
    for step in steps:
        assert step.module.works_with <= step.revision, step.revision


def test_a_release_starts_on_the_next_ones_schema_where_that_was_only_added_to(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As at a rolling upgrade, at which a worker of the release before dies; and for the way back."""
    database = db.connect(database_url)
    newer = "UPDATE alembic_version SET version_num = '9999', works_with = '{}'"
    database.write(lambda connection: connection.exec_driver_sql(newer.format(migrations.HEAD)))
    database.close()
    Books(database).own_ledger().record(Expense("pizza", 1))
    assert "the database is at schema 9999, of the next release" in caplog.text
    database.write(lambda connection: connection.exec_driver_sql(newer.format("9998")))
    database.close()
    with pytest.raises(ConfigurationError, match="schema 9999, made by a newer Cashman"):
        database.open()
    database.close()


@pytest.mark.parametrize("revision", ["0007", "ae1027a6acf", "zzzz"])
def test_a_schema_of_another_program_is_refused_and_left_alone(empty_url: str, revision: str) -> None:
    at_schema(empty_url, "0005")
    database = db.connect(empty_url)
    with database.engine.connect().execution_options(cashman_writing=True) as connection, connection.begin():
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    with pytest.raises(ConfigurationError, match=f"at schema {revision}, which is not one of Cashman's"):
        database.open()
    assert database.revision() == revision
    database.close()


def test_a_database_with_other_tables_is_refused_and_left_alone(empty_url: str) -> None:
    if empty_url.startswith("sqlite"):
        Path(str(make_url(empty_url).database)).parent.mkdir()
        Path(str(make_url(empty_url).database)).touch()
    database = db.connect(empty_url)
    with database.engine.connect().execution_options(cashman_writing=True) as connection, connection.begin():
        connection.exec_driver_sql("CREATE TABLE recipes (id integer PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match="holds another program's tables"):
        database.open()
    with database.engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["recipes"]
    database.close()


# The release before.


@pytest.fixture(scope="module")
def previous_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its code, from the history of this repository."""
    archive = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True)
    if archive.returncode != 0:
        missing("the history of the repository (git clone, not only its files)")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture
def both(
    previous_release: Path, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Service]]:
    """The release before on its own schema, and this one beside it, which has brought the database up to date."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    services: list[Service] = []
    try:
        with monkeypatch.context() as patch:
            patch.setattr("serving.ROOT", previous_release)
            services.append(Service(tmp_path / "old", empty_url, CASHMAN_AUTH="open"))
        database = db.connect(empty_url)
        assert database.revision() == PREVIOUS_SCHEMA
        services.append(Service(tmp_path / "new", empty_url, CASHMAN_AUTH="open"))
        assert database.revision() == migrations.HEAD
        database.engine.dispose()
        yield services
    finally:
        for service in services:
            service.remove()


def test_the_release_before_serves_on_while_this_one_writes_too(both: list[Service], empty_url: str) -> None:
    """Both write at once on the new schema, and read what the other wrote; the books are sound."""
    told: list[Any] = []

    def write(service: Service, name: str) -> None:
        for number in range(30):
            status, _, body = service.request("POST", "/expenses", {"description": f"{name} {number}", "amount": 1})
            told.append((status, body))

    threads = [threading.Thread(target=write, args=pair) for pair in zip(both, ("old", "new"), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert told == [(204, None)] * 60
    expected = sorted(f"{name} {number}" for name in ("old", "new") for number in range(30))
    for service in both:
        assert sorted(row["description"] for row in service.transactions()) == expected
    for service in both:
        assert service.stop() == 0
    database = db.connect(empty_url)
    assert verify(database)[0].transactions == 60
    database.close()


# What must not be taken for a first start.


def test_keys_without_their_database_are_no_first_start(tmp_path: Path) -> None:
    (tmp_path / "cashman.db.keys").write_text("kept")
    with pytest.raises(ConfigurationError, match=r"cashman\.db\.keys is there and its database is not"):
        db.connect(f"sqlite:///{tmp_path / 'cashman.db'}").open()
    assert not (tmp_path / "cashman.db").exists()


def test_a_folder_of_somebody_else_is_told_with_both_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(ConfigurationError, match=rf"this is user {os.getuid()}, and its folder belongs to user"):
            db.connect(f"sqlite:///{tmp_path / 'cashman.db'}").open()
    assert not (tmp_path / "cashman.db").exists()
