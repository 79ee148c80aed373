"""Backup, restore and copy: everything arrives, is proved, and stands under its name only when it is whole."""

import contextlib
import datetime as dt
import itertools
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import _create_database, _drop_database
from flask import Flask
from flask.testing import FlaskClient
from people import Holder, another, first_user, sign_in
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError

from cashman import cli, config, current, db, migrations, moving
from cashman.db import SqliteDatabase, files
from cashman.errors import ConfigurationError
from cashman.index import equip
from cashman.ledger import Books, Ledger
from cashman.model.expense import Expense
from cashman.model.income import Income
from cashman.verify import Tampered, verify

ROOT = Path(__file__).resolve().parent.parent
LEFT_BEHIND = {"sessions", "signing_keys", "tries"}
"""What does not go over, written out here once more."""

_numbers = itertools.count()


# Places.


@pytest.fixture(params=["to_sqlite", "to_postgresql"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a place with nothing in it, of either engine, whatever that of the books is."""
    if request.param == "to_sqlite":
        yield f"sqlite:///{tmp_path / 'elsewhere' / 'cashman.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"cashman_moved_{os.getpid()}_{next(_numbers)}"
    yield _create_database(server, name)
    _drop_database(server, name)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that holds nothing but backups."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


@pytest.fixture
def sqlite_books(sqlite_template: Path, tmp_path: Path) -> Iterator[Books]:
    """Books on SQLite, where the engine makes no difference."""
    path = shutil.copy(sqlite_template, tmp_path / "books.db")
    books = Books(connect(f"sqlite:///{path}"))
    book(books.own_ledger(), 20)
    yield books
    books.database.close()


_connected: list[db.Database] = []


def connect(url: str) -> db.Database:
    """A database that is closed after the test."""
    _connected.append(db.connect(url))
    return _connected[-1]


@pytest.fixture(autouse=True)
def _all_closed() -> Iterator[None]:
    yield
    while _connected:
        _connected.pop().close()


def book(ledger: Ledger, count: int) -> list[str]:
    """Book so many transactions, and give their ids."""
    return [
        str(ledger.record(Expense(f"coffee number {number}", number + 1, tags=["morning"])).state["id"])
        for number in range(count)
    ]


# Books with everything in them.


KEYED = {"description": "booked with a key", "amount": 7, "date": "2025-03-03"}


class Household:
    """A service with users, keys and ledgers, and whatever can happen in them, in an order made by chance."""

    def __init__(self, client: FlaskClient, seed: int) -> None:
        self.client = client
        self.chance = random.Random(seed)
        self.owner = first_user(client)
        self.other = another(self.owner)
        self.key = self.owner.key("admin")
        self.shared = self.owner.new_ledger("Shared flat", currency="EUR")
        self.owner.share(self.shared, self.other, "editor")
        self.other_key = self.other.key("read", ledger=self.shared)
        for prefix in ("", f"/ledgers/{self.shared}"):
            self.live(prefix)

    def done(self, method: str, path: str, document: Any = None, who: Holder | None = None, **headers: str) -> Any:
        """Make a request that has to work."""
        answer = (who or self.key).ask(method, path, headers, json=document)
        assert answer.status_code < 300, (method, path, document, answer.text)
        return answer.json if answer.data else answer

    def live(self, prefix: str) -> None:
        """Let every kind of thing happen in a ledger, and then more by chance."""
        shown = {"Prefer": "return=representation"}
        self.done("POST", f"{prefix}/accounts", {"name": "Sparbuch ß", "kind": "savings", "opening_balance": -12.34})
        self.done("POST", f"{prefix}/accounts", {"name": "yen", "currency": "JPY", "opening_balance": 5000})
        ids = [self.book(prefix) for _ in range(25)]
        receipt = {"description": "supermarket", "date": self.day(), "lines": [{"amount": 3}, {"amount": 4.5}]}
        self.done("POST", f"{prefix}/expenses", receipt)
        moved = {"from": "main", "to": "Sparbuch ß", "amount": 20, "date": self.day()}
        transfer = self.done("POST", f"{prefix}/transfers", moved, **shown)["id"]
        self.done("POST", f"{prefix}/transfers", {**moved, "to": "yen", "to_amount": 3100, "amount": 21})
        pending = {"description": "hotel", "amount": 99, "status": "pending", "expires_at": "2099-01-01T00:00:00Z"}
        self.done("POST", f"{prefix}/expenses", {**pending, "date": self.day()})
        for id_ in self.chance.sample(ids, 4):
            self.done("DELETE", f"{prefix}/transactions/{id_}")
        self.done("POST", f"{prefix}/transactions/{ids[0]}/redact")
        self.done("POST", f"{prefix}/transfers/{transfer}/redact")
        for id_ in ids:
            if self.chance.random() < 0.3:
                self.client_patch(prefix, id_)
        self.done("POST", f"{prefix}/categories/rename", {"from": "Food", "to": "Essen"})
        self.done("POST", f"{prefix}/categories/merge", {"from": "Fun", "to": "Meals:Out"})
        yen = next(row for row in self.done("GET", f"{prefix}/accounts") if row["name"] == "yen")
        self.done("PATCH", f"{prefix}/accounts/{yen['id']}", {"name": "円", "closed": True})
        self.done("PATCH", f"{prefix}/ledger", {"closed_until": "2020-06-30"})
        self.done("PUT", f"{prefix}/import/mappings/bank", {"columns": {"date": "Datum", "amount": "Betrag"}})
        voided = {id_ for id_ in ids if self.key.get(f"{prefix}/transactions/{id_}").status_code == 404}
        self.done("POST", f"{prefix}/transactions/{min(voided)}/restore")
        self.done("POST", f"{prefix}/expenses", KEYED, **{"Idempotency-Key": "a key"})

    def day(self) -> str:
        """Some day after those that are closed."""
        return (dt.date(2025, 1, 1) + dt.timedelta(self.chance.randrange(400))).isoformat()

    def book(self, prefix: str) -> str:
        """Book something, and give its id."""
        document = {
            "type": self.chance.choice(["INCOME", "EXPENSE"]),
            "description": self.chance.choice(
                ["pizza", "Rock Concert", "Ünïcode \U0001f355 'quoted' \\ \"", "running"]
            ),
            "amount": self.chance.randrange(1, 10**6) / 100,
            "date": self.day(),
            "category": self.chance.choice([None, "Food", "Food:Coffee", "Meals:Out", "Fun:Games"]),
            "payee": self.chance.choice([None, "Café Zoë", "=1+1"]),
            "notes": self.chance.choice([None, "line one\nline two", "x"]),
            "tags": self.chance.sample(["work", "Zürich", "a b", "z"], self.chance.randrange(4)),
        }
        given = {name: value for name, value in document.items() if value is not None}
        answer = self.done("POST", f"{prefix}/transactions", given, Prefer="return=representation")
        return str(answer["id"])

    def client_patch(self, prefix: str, id_: str) -> None:
        """Change something, if it is there to be changed."""
        self.key.patch(f"{prefix}/transactions/{id_}", {"payee": "somebody else", "tags": ["changed"]})

    def everything(self, key: str | None = None) -> dict[str, Any]:
        """What each GET answers: status, body to the byte, and the headers that tell of the books."""
        who = Holder(self.client, self.key.token if key is None else key)
        paths = ["/users", "/users/me", "/ledgers", f"/ledgers/{self.shared}", f"/ledgers/{self.shared}/members"]
        for prefix in ("", f"/ledgers/{self.shared}"):
            lists = [
                f"/{name}?limit=7&sort={sort}"
                for name in ("transactions", "incomes", "expenses", "transfers")
                for sort in ("-date", "amount", "created_at")
            ]
            found = [
                "q=run",
                "q=coffee",
                "tag=work",
                "tag=Z%C3%BCrich",
                "category=Meals",
                "payee=%3D1%2B1",
                "status=pending",
            ]
            lists += [f"/transactions?limit=1000&{query}" for query in found]
            lists += ["/accounts", "/categories", "/tags", "/balances?as_of=2025-12-31", "/ledger"]
            lists += [
                "/journal?limit=1000",
                "/import/mappings",
                "/import/mappings/bank",
                "/reports/cashflow?from=2025-01-01",
            ]
            by = ("month", "category", "account", "payee", "tag", "currency", "week&by=category")
            lists += [f"/reports/summary?by={one}&from=2025-01-01&to=2026-12-31" for one in by]
            accounts = who.get(f"{prefix}/accounts").json
            lists += [f"/accounts/{account['id']}/transactions?limit=1000" for account in accounts]
            entries = [json.loads(row["entry"]) for row in who.get(f"{prefix}/journal?limit=1000").json]
            ids = {entry["entity_id"] for entry in entries if entry["entity"] == "transaction"}
            lists += [f"/transactions/{id_}{what}" for id_ in sorted(ids)[:15] for what in ("", "/history")]
            paths += [prefix + one for one in lists]
        answers = {path: who.get(path) for path in paths}
        told = ("ETag", "Link", "Cashman-Head", "Location")
        return {
            path: (answer.status_code, answer.data, [answer.headers.get(name) for name in told])
            for path, answer in answers.items()
        }


def served(app: Flask, url: str) -> FlaskClient:
    """Serve other books by the same app."""
    current.books(app).database.close()
    equip(app, config.load({"CASHMAN_DATABASE_URL": url}))
    return app.test_client()


def rows_in(url: str, *, without: frozenset[str] = frozenset()) -> dict[str, list[Any]]:
    """Every row of every table, read by the driver and not by what is tested, as plain values in their order."""
    parsed = make_url(url)
    engine = create_engine(
        url if parsed.get_backend_name() == "sqlite" else parsed.set(drivername="postgresql+psycopg")
    )
    try:
        with engine.connect() as connection:
            names = set(inspect(connection).get_table_names()) - without
            return {
                name: sorted(
                    (
                        tuple((column, _plain(value)) for column, value in sorted(row._mapping.items()))
                        for row in connection.execute(text(f"SELECT * FROM {name}"))
                    ),
                    key=repr,
                )
                for name in sorted(names)
                if not name.startswith("stems")
            }
    finally:
        engine.dispose()


def _plain(value: Any) -> Any:
    """The value as SQLite keeps it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return bytes(value) if isinstance(value, memoryview) else value


def moved_rows(url: str) -> dict[str, list[Any]]:
    """The rows that have to arrive."""
    return rows_in(url, without=frozenset({*LEFT_BEHIND, moving.SEAL}))


# Everything arrives.


def through_a_backup(source: db.Database, target: db.Database, place: Path) -> None:
    moving.back_up(source, place / "books.backup")
    moving.restore(place / "books.backup", target)


def directly(source: db.Database, target: db.Database, _place: Path) -> None:
    moving.copy(source, target)


@pytest.mark.parametrize(("way", "seed"), [(through_a_backup, 1), (directly, 2)], ids=["by_a_backup", "directly"])
def test_every_answer_is_the_same_afterwards(
    app: Flask, client: FlaskClient, database_url: str, target_url: str, place: Path, way: Any, seed: int
) -> None:
    household = Household(client, seed)
    before = household.everything()
    assert sum(1 for status, _, _ in before.values() if status == 200) > 100
    sound = verify(current.books(app).database)
    current.books(app).database.close()
    expected = moved_rows(database_url)
    assert all(
        expected[name] for name in ("users", "api_keys", "members", "keyed_answers", "import_mappings", "totals")
    )

    target = connect(target_url)
    way(connect(database_url), target, place)
    target.close()

    assert moved_rows(target_url) == expected
    assert moved_rows(database_url) == expected
    assert rows_in(target_url)["sessions"] == []
    household.client = served(app, target_url)
    after = household.everything()
    assert {path for path in before if before[path] != after[path]} == set()
    assert verify(current.books(app).database) == sound

    # And life goes on.
    assert household.owner.get("/users/me").status_code == 401
    assert sign_in(household.client, "first@example.com").status_code == 200
    household.key = Holder(household.client, household.key.token)
    again = household.key.post("/expenses", KEYED, headers={"Idempotency-Key": "a key"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (204, "true")
    ledger = household.done("POST", "/ledgers", {"name": "A new one"})["id"]
    household.live(f"/ledgers/{ledger}")
    assert household.book("") in household.key.get("/journal?limit=1000").text
    assert len(verify(current.books(app).database)) == len(sound) + 1


def test_a_copy_sees_one_row_that_is_not_the_same(app: Flask, client: FlaskClient, database_url: str) -> None:
    """The control of the comparison above."""
    household = Household(client, 3)
    rows, answers = moved_rows(database_url), household.everything()
    household.done("PATCH", f"/users/{household.other.id}", {"name": "Somebody"}, household.owner)
    assert {name for name, of in moved_rows(database_url).items() if of != rows[name]} == {"users", "access_heads"}
    household.done("POST", "/expenses", {"description": "one more", "amount": 1})
    assert len([path for path, answer in household.everything().items() if answer != answers[path]]) > 20


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transactions SET version = version + 1 WHERE id = (SELECT min(id) FROM transactions)",
        "UPDATE users SET name = 'Mallory'",
        "DELETE FROM api_keys",
        "DELETE FROM transaction_tags",
    ],
)
def test_what_does_not_arrive_as_it_was_is_found_and_nothing_stays(
    client: FlaskClient, books: Books, target_url: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    owner = first_user(client)
    owner.key("read")
    book(books.own_ledger(), 3)
    copied = moving._copy_rows

    def spoil(source: Any, sink: Any, stored: Any, steps: Any) -> None:
        copied(source, sink, stored, steps)
        if stored.name == moving._stored_tables()[-1][0]:
            sink.execute(text(change))

    monkeypatch.setattr(moving, "_copy_rows", spoil)
    target = connect(target_url)
    with pytest.raises(Tampered, match="they are not the same"):
        moving.copy(books.database, target)
    target.close()
    monkeypatch.undo()
    assert moving.copy(books.database, target).ledgers == verify(books.database)
    target.close()


@pytest.mark.parametrize("what", ["sums", "heads"])
def test_sums_and_heads_are_compared_as_well(
    books: Books, target_url: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    book(books.own_ledger(), 2)
    found = getattr(moving, what)
    monkeypatch.setattr(moving, what, lambda connection: [*found(connection), len(connection.info)])
    monkeypatch.setattr(moving, "verify_on", lambda connection: connection.info.update(seen=True) or [])
    with pytest.raises(Tampered, match="not the sums and heads"):
        moving.copy(books.database, connect(target_url))


CUT_OFF = """
import sys
from sqlalchemy import create_engine, make_url, text
from cashman import cli, moving
url, cuts = make_url(sys.argv[1]).set(drivername="postgresql+psycopg"), int(sys.argv[2])
administrator = create_engine(url, isolation_level="AUTOCOMMIT")
others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
              "WHERE datname = current_database() AND pid <> pg_backend_pid()")
made, done = moving.back_up, []
def cut(*_):
    if len(done) < cuts:
        done.append(1)
        with administrator.connect() as connection:
            connection.execute(others)
moving.back_up = lambda *arguments, progress, **options: made(*arguments, progress=cut, **options)
sys.argv = ["cashman", "backup", sys.argv[3]]
cli.main()
"""


@pytest.mark.parametrize("cuts", [1, 10])
def test_a_server_that_goes_away_in_the_middle_is_asked_again_or_told(
    postgresql_databases: Any, place: Path, cuts: int
) -> None:
    with postgresql_databases.one() as url:
        ended = run(CUT_OFF, url, cuts, place / "b")
    left = [path.name for path in place.iterdir()]
    assert (ended.returncode, left) == ((0, ["b"]) if cuts == 1 else (2, [])), ended.stderr


def test_the_journal_of_a_copy_is_as_unchangeable(ledger: Ledger, target_url: str) -> None:
    book(ledger, 1)
    target = connect(target_url)
    moving.copy(ledger.books.database, target)
    for statement in ("UPDATE journal SET entry = ''", "DELETE FROM journal"):
        with pytest.raises(DBAPIError, match="append-only"):
            target.write(lambda connection, statement=statement: connection.execute(text(statement)))
    assert target.read(lambda connection: migrations.drift(connection, db.Base.metadata)) == []
    target.close()


def test_how_far_it_is_goes_up_to_all_of_it(books: Books, target_url: str, place: Path) -> None:
    book(books.own_ledger(), 5)
    told: dict[str, list[tuple[int, int]]] = {"backup": [], "restore": [], "copy": []}
    moving.back_up(books.database, place / "b", progress=lambda *done: told["backup"].append(done))
    target = connect(target_url)
    moving.restore(place / "b", target, progress=lambda *done: told["restore"].append(done))
    target.close()
    assert told.pop("copy") == []
    for steps in told.values():
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1] > 0


# The place of a backup.


def test_a_backup_is_one_file_for_its_owner_alone(books: Books, place: Path) -> None:
    book(books.own_ledger(), 3)
    made = moving.back_up(books.database, place / "b")
    assert [path.name for path in place.iterdir()] == ["b"]
    assert stat.S_IMODE((place / "b").stat().st_mode) == 0o600
    assert made.bytes == (place / "b").stat().st_size
    assert made.ledgers == verify(books.database)
    with contextlib.closing(sqlite3.connect(place / "b")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("SELECT count(*) FROM transactions").fetchone() == (3,)


def test_a_backup_does_not_hold_what_signs_or_who_is_signed_in(
    client: FlaskClient, database_url: str, place: Path
) -> None:
    owner = first_user(client)
    assert rows_in(database_url)["sessions"] != []
    secrets = [dict(row)["secret"] for row in rows_in(database_url)["signing_keys"]]
    moving.back_up(current.books(client.application).database, place / "b")
    assert all(rows_in(f"sqlite:///{place / 'b'}")[name] == [] for name in LEFT_BEHIND)
    content = (place / "b").read_bytes()
    session = dict(rows_in(database_url)["sessions"][0])["id"]
    assert session.encode() not in content
    assert all(secret not in content for secret in secrets)
    assert owner.email.encode() in content


def test_a_backup_changes_nothing_of_the_books(books: Books, database_url: str, place: Path) -> None:
    book(books.own_ledger(), 2)
    before = rows_in(database_url)
    moving.back_up(books.database, place / "b")
    assert rows_in(database_url) == before


def test_a_backup_of_a_backup_that_was_taken_into_use_is_sealed_anew(sqlite_books: Books, place: Path) -> None:
    moving.back_up(sqlite_books.database, place / "b")
    used = Books(connect(f"sqlite:///{shutil.copy(place / 'b', place / 'used.db')}"))
    book(used.own_ledger(), 2)
    moving.back_up(used.database, place / "again")
    again = connect(f"sqlite:///{place / 'restored.db'}")
    assert moving.restore(place / "again", again).ledgers == verify(used.database)
    for database in (used.database, again):
        database.close()


def test_a_file_that_is_there_is_replaced_only_when_that_is_asked_for(books: Books, place: Path) -> None:
    (place / "b").write_text("precious")
    with pytest.raises(ConfigurationError, match="is there already"):
        moving.back_up(books.database, place / "b")
    assert (place / "b").read_text() == "precious"
    moving.back_up(books.database, place / "b", force=True)
    assert (place / "b").read_bytes().startswith(b"SQLite")


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", ".lock", ".keys", ".keys.new", ".part"])
def test_the_database_itself_is_no_place_for_its_backup(sqlite_books: Books, tmp_path: Path, suffix: str) -> None:
    before = (tmp_path / "books.db").read_bytes()
    with pytest.raises(ConfigurationError, match="belongs to the database itself"):
        moving.back_up(sqlite_books.database, tmp_path / "x" / ".." / f"books.db{suffix}", force=True)
    assert (tmp_path / "books.db").read_bytes() == before


def test_neither_is_another_name_of_it(sqlite_books: Books, tmp_path: Path) -> None:
    (tmp_path / "hard").hardlink_to(tmp_path / "books.db")
    (tmp_path / "soft").symlink_to(tmp_path / "books.db")
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / "b.part").symlink_to(tmp_path / "books.db")
    for name in ("hard", "soft", "folder/books.db", "b"):
        with pytest.raises(ConfigurationError):
            moving.back_up(sqlite_books.database, tmp_path / name, force=True)
    assert sqlite_books.own_ledger().get  # the object is still good
    assert verify(sqlite_books.database)[0].transactions == 20


def test_what_is_no_file_is_no_place(books: Books, place: Path) -> None:
    (place / "folder").mkdir()
    os.mkfifo(place / "pipe")
    (place / "b.part").mkdir()
    for name, told in (
        ("folder", "no file"),
        ("pipe", "no file"),
        ("missing/b", "No such file"),
        ("b", "cannot be made"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            moving.back_up(books.database, place / name, force=True)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_other_books_that_are_in_use_are_not_replaced(books: Books, place: Path, suffix: str) -> None:
    (place / "b").write_text("a database")
    (place / f"b{suffix}").write_text("and what belongs to it")
    with pytest.raises(ConfigurationError, match="of a database that is in use"):
        moving.back_up(books.database, place / "b", force=True)


def test_a_file_that_came_meanwhile_is_not_replaced(books: Books, place: Path) -> None:
    def somebody(_done: int, _total: int) -> None:
        (place / "b").write_text("came first")

    with pytest.raises(ConfigurationError, match="is there already"):
        moving.back_up(books.database, place / "b", progress=somebody)
    assert {path.name: path.read_text() for path in place.iterdir()} == {"b": "came first"}


def test_two_backups_into_one_file_are_told_apart(books: Books, place: Path) -> None:
    book(books.own_ledger(), 1)
    refused = []

    def another_one(_done: int, _total: int) -> None:
        if not refused:
            with pytest.raises(ConfigurationError, match="is being written by another process") as told:
                moving.back_up(books.database, place / "b")
            refused.append(told)

    moving.back_up(books.database, place / "b", progress=another_one)
    assert len(refused) == 1
    assert [path.name for path in place.iterdir()] == ["b"]


def test_there_is_no_backup_of_nothing(empty_url: str, place: Path) -> None:
    with pytest.raises(ConfigurationError, match="no books to back up"):
        moving.back_up(connect(empty_url), place / "b")
    assert list(place.iterdir()) == []


def test_books_that_are_not_sound_are_not_backed_up(books: Books, place: Path) -> None:
    book(books.own_ledger(), 1)
    books.database.write(lambda connection: connection.execute(text("UPDATE transactions SET minor_units = -7")))
    with pytest.raises(Tampered, match="minor_units not as the journal says"):
        moving.back_up(books.database, place / "b")
    assert list(place.iterdir()) == []


# Older and newer schemas.


def at_revision(revision: str, path: Path, of: Path) -> Path:
    """A database as an older release has it, with all that it knows of what is in another."""
    from alembic import command

    path.touch()
    engine = files.engine_on(path, making=True)
    with engine.begin() as connection:
        command.upgrade(migrations.alembic_config(connection), revision)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS newer", [str(of)])
        names = [row[0] for row in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for name in names:
            if name == "alembic_version" or name.startswith("stems_"):
                continue
            columns = ", ".join(f'"{row[1]}"' for row in connection.execute(f"PRAGMA main.table_info({name})"))
            columns += ", rowid" if name == "stems" else ""
            connection.execute(f"DELETE FROM main.{name}")
            connection.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM newer.{name}")
        connection.execute("PRAGMA journal_mode=WAL")
    return path


OLDER = f"{int(migrations.HEAD) - 1:04}"


def test_books_of_an_older_release_are_backed_up_as_they_are_and_restored_as_they_are_today(
    sqlite_books: Books, place: Path, target_url: str
) -> None:
    sqlite_books.database.close()
    older = at_revision(OLDER, place / "older.db", sqlite_books.database.path)
    made = moving.back_up(connect(f"sqlite:///{older}"), place / "b")
    assert made.ledgers[0].transactions == 20
    for path in (older, place / "b"):
        assert rows_in(f"sqlite:///{path}")["alembic_version"] == [(("version_num", OLDER),)]
    content = (place / "b").read_bytes()
    target = connect(target_url)
    assert moving.restore(place / "b", target).ledgers == made.ledgers
    target.close()
    assert (place / "b").read_bytes() == content
    assert [dict(row)["version_num"] for row in rows_in(target_url)["alembic_version"]] == [migrations.HEAD]
    assert {path.name for path in place.iterdir()} <= {"b", "older.db", "older.db.lock"}


def test_an_older_postgresql_is_not_brought_up_to_date_by_a_backup(postgresql_databases: Any, place: Path) -> None:
    with postgresql_databases.one() as url:
        database = connect(url)
        database.write(
            lambda connection: connection.execute(text(f"UPDATE alembic_version SET version_num = '{OLDER}'"))
        )
        database.close()
        with pytest.raises(ConfigurationError, match=f"is at schema {OLDER}"):
            moving.back_up(database, place / "b")
        assert database.revision() == OLDER
        database.close()
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{migrations.HEAD}'"))
        engine.dispose()


def test_a_backup_of_a_newer_release_is_refused_before_anything_is_touched(
    sqlite_books: Books, place: Path, target_url: str
) -> None:
    moving.back_up(sqlite_books.database, place / "b")
    with contextlib.closing(sqlite3.connect(place / "b", isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    target = connect(target_url)
    with pytest.raises(ConfigurationError, match="is at schema 9999, made by a newer Cashman"):
        moving.restore(place / "b", target)
    target.close()
    assert not target.exists() or target.revision() is None
    target.close()
    newer = shutil.copy(place / "b", place / "newer.db")
    with pytest.raises(ConfigurationError, match="made by a newer Cashman"):
        moving.back_up(connect(f"sqlite:///{newer}"), place / "c")


# The place of a restore.


@pytest.fixture
def a_backup(sqlite_books: Books, place: Path) -> Path:
    """A backup of 20 transactions."""
    moving.back_up(sqlite_books.database, place / "b")
    return place / "b"


def test_books_that_were_never_used_make_room(database_url: str, a_backup: Path) -> None:
    target = connect(database_url)
    assert moving.restore(a_backup, target).ledgers[0].transactions == 20
    assert verify(target)[0].transactions == 20
    target.close()


def test_books_that_were_used_stay(ledger: Ledger, database_url: str, a_backup: Path) -> None:
    ledger.record(Income("salary", 1))
    ledger.books.database.close()
    before = rows_in(database_url)
    with pytest.raises(ConfigurationError, match="there are books in it"):
        moving.restore(a_backup, connect(database_url))
    assert rows_in(database_url) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_heads SET founded = true",
        "UPDATE ledgers SET closed_until = '2020-01-01'",
    ],
)
def test_a_founding_is_known_by_how_much_there_is(database_url: str, a_backup: Path, statement: str) -> None:
    """Whatever else is done in books leaves a row somewhere; this leaves none, and nothing that anybody would miss."""
    target = connect(database_url)
    target.write(lambda connection: connection.execute(text(statement)))
    target.close()
    moving.restore(a_backup, target)
    target.close()


def test_a_user_is_enough_to_keep_a_place(client: FlaskClient, database_url: str, a_backup: Path) -> None:
    first_user(client)
    current.books(client.application).database.close()
    with pytest.raises(ConfigurationError, match="there are books in it"):
        moving.restore(a_backup, connect(database_url))


def test_a_place_that_a_service_runs_on_is_refused(books: Books, database_url: str, a_backup: Path) -> None:
    books.database.open()
    books.own_ledger().head()  # as whoever serves has done
    before = rows_in(database_url)
    target = connect(database_url)
    with pytest.raises(ConfigurationError, match="stop the service first"):
        moving.restore(a_backup, target)
    assert rows_in(database_url) == before
    books.database.close()
    moving.restore(a_backup, target)
    target.close()


def test_a_service_that_was_started_meanwhile_keeps_its_books(
    sqlite_template: Path, tmp_path: Path, a_backup: Path
) -> None:
    """On SQLite, where the place is looked at once more at the end."""
    books = Books(connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'place.db')}"))
    started = []

    def start(_done: int, _total: int) -> None:
        if not started:
            started.append(books.own_ledger().record(Income("booked meanwhile", 1)))

    with pytest.raises(ConfigurationError, match="there are books in it"):
        moving.restore(a_backup, SqliteDatabase(tmp_path / "place.db"), progress=start)
    assert verify(books.database)[0].transactions == 1
    books.database.close()


def test_a_service_that_is_started_meanwhile_waits(postgresql_databases: Any, a_backup: Path) -> None:
    """On PostgreSQL, where the place is filled in one transaction that nobody looks behind."""
    with postgresql_databases.one() as url:
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        refused = []

        def ask(_done: int, _total: int) -> None:
            if not refused:
                with engine.connect() as connection:
                    connection.execute(text("SET LOCAL lock_timeout = 100"))
                    with pytest.raises(DBAPIError, match="lock timeout") as told:
                        connection.execute(text("SELECT * FROM access_heads"))
                refused.append(told)

        target = connect(url)
        moving.restore(a_backup, target, progress=ask)
        target.close()
        engine.dispose()
        assert len(refused) == 1


def test_a_log_without_its_database_is_not_taken_for_that_of_another(tmp_path: Path, a_backup: Path) -> None:
    target = SqliteDatabase(tmp_path / "new.db")
    (tmp_path / "new.db-wal").write_bytes(b"of other books")
    with pytest.raises(ConfigurationError, match="put it away first"):
        moving.restore(a_backup, target)
    assert not (tmp_path / "new.db").exists()
    (tmp_path / "new.db-wal").unlink()
    moving.restore(a_backup, target)


def test_a_link_is_no_place_to_restore_to(tmp_path: Path, a_backup: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(ConfigurationError, match="is a link"):
        moving.restore(a_backup, SqliteDatabase(tmp_path / "link.db"))
    assert not (tmp_path / "elsewhere.db").exists()


def test_the_database_of_another_program_is_left_alone(tmp_path: Path, a_backup: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    (tmp_path / "text.db").write_text("no database at all " * 100)
    for name, told in (("theirs.db", "a table bookmarks, which is not ours"), ("text.db", "not a database")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ConfigurationError, match=told):
            moving.restore(a_backup, SqliteDatabase(tmp_path / name))
        assert (tmp_path / name).read_bytes() == before


# What cannot be restored.


def foreign(path: Path) -> Iterator[tuple[Path, str]]:
    """Files that are no backups, each with what is said of it."""
    yield path / "missing", "No such file"
    yield path, "Is a directory"
    (path / "empty").touch()
    yield path / "empty", "not an SQLite file"
    (path / "text").write_text("date,amount\n")
    yield path / "text", "not an SQLite file"
    os.mkfifo(path / "pipe")
    yield path / "pipe", "not an SQLite file"
    with contextlib.closing(sqlite3.connect(path / "theirs")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    yield path / "theirs", "another program's"
    with contextlib.closing(sqlite3.connect(path / "migrated")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('8ac2f')")
        for name in ("ledgers", "journal", "journal_heads", "transactions"):
            connection.execute(f"CREATE TABLE {name} (id INTEGER)")
        connection.commit()
    yield path / "migrated", "another program's"


def test_a_foreign_file_is_refused_before_anything_is_touched(tmp_path: Path, place: Path) -> None:
    target = SqliteDatabase(tmp_path / "new" / "cashman.db")
    for path, told in foreign(place):
        with pytest.raises(ConfigurationError, match=told):
            moving.restore(path, target)
    assert not target.path.parent.exists()


def test_a_database_in_use_is_not_taken_for_a_backup(sqlite_books: Books, tmp_path: Path) -> None:
    """What was written last is in the log beside it."""
    with pytest.raises(ConfigurationError, match="to be backed up and not restored"):
        moving.restore(sqlite_books.database.path, SqliteDatabase(tmp_path / "new.db"))


def test_a_database_that_was_stopped_and_copied_is_restored(
    sqlite_books: Books, tmp_path: Path, target_url: str
) -> None:
    sqlite_books.database.close()
    copied = Path(shutil.copy(sqlite_books.database.path, tmp_path / "copied.db"))
    copied.chmod(0o400)
    target = connect(target_url)
    assert moving.restore(copied, target).ledgers == verify(sqlite_books.database)
    target.close()


@pytest.mark.parametrize("share", [0.999, 0.5, 0.1, 0.001])
def test_a_file_that_is_cut_short_is_refused(a_backup: Path, tmp_path: Path, share: float) -> None:
    os.truncate(a_backup, max(100, int(a_backup.stat().st_size * share)))
    with pytest.raises(Tampered, match="is damaged: it has"):
        moving.restore(a_backup, SqliteDatabase(tmp_path / "new.db"))
    assert not (tmp_path / "new.db").exists()


def test_a_byte_that_is_not_what_it_was_is_found_or_does_not_matter(
    a_backup: Path, place: Path, tmp_path: Path, sqlite_books: Books
) -> None:
    """Wherever it is: SQLite has no sums of its own, and no journal proves the users."""
    sqlite_books.database.close()
    whole, expected = a_backup.read_bytes(), moved_rows(f"sqlite:///{sqlite_books.database.path}")
    chance, outcomes = random.Random(6), []
    used = [position for position, byte in enumerate(whole) if byte]  # most of so small a file is room
    for number in range(30):
        position = chance.randrange(len(whole)) if number % 3 == 0 else chance.choice(used)
        damaged = bytearray(whole)
        damaged[position] ^= 1 << chance.randrange(8)
        (place / "damaged").write_bytes(damaged)
        target = SqliteDatabase(tmp_path / f"{number}.db")
        try:
            moving.restore(place / "damaged", target)
        except (Tampered, ConfigurationError):
            assert not target.path.exists()
            outcomes.append("refused")
        else:
            assert moved_rows(f"sqlite:///{target.path}") == expected
            outcomes.append("harmless")
    assert outcomes.count("refused") > 5


def test_a_file_that_cannot_even_be_spoken_of_is_refused(a_backup: Path, tmp_path: Path) -> None:
    """What SQLite says of it is then no text either."""
    content = a_backup.read_bytes()
    a_backup.write_bytes(content.replace(b"CREATE TABLE users", b"CREATE TAB\xffE users"))
    with pytest.raises(Tampered, match="is damaged"):
        moving.restore(a_backup, SqliteDatabase(tmp_path / "new.db"))


@pytest.mark.parametrize(
    "table", ["users", "members", "api_keys", "keyed_answers", "journal", "transactions", "ledgers"]
)
def test_a_changed_row_of_any_table_is_found(client: FlaskClient, tmp_path: Path, place: Path, table: str) -> None:
    owner = first_user(client)
    owner.key("read")
    owner.post("/expenses", {"description": "pizza", "amount": 5}, headers={"Idempotency-Key": "k"})
    moving.back_up(current.books(client.application).database, place / "b")
    with contextlib.closing(sqlite3.connect(place / "b", isolation_level=None)) as connection:
        columns = [
            row[1] for row in connection.execute(f"PRAGMA table_info({table})") if "TEXT" in row[2] or "CHAR" in row[2]
        ]
        connection.execute("DROP TRIGGER journal_refuses_update")
        connection.execute(f"UPDATE {table} SET {columns[-1]} = coalesce({columns[-1]}, '') || 'x'")
    with pytest.raises(Tampered, match=f"the table {table} is not what was sealed"):
        moving.restore(place / "b", SqliteDatabase(tmp_path / "new.db"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transactions SET minor_units = -1",
        "UPDATE transactions SET date = 'yesterday'",
        "UPDATE transactions SET description = CAST(X'ff' AS TEXT)",
        "UPDATE transactions SET tags = '['",
        "UPDATE transactions SET account_id = 'one'",
        "UPDATE transactions SET minor_units = 5 WHERE type = 'EXPENSE'",
        "UPDATE ledgers SET version = 99999999999999",
        "DELETE FROM journal_words",
        "DELETE FROM transaction_tags",
        "INSERT INTO members VALUES (9, 'owner', 'owner')",
    ],
)
def test_a_file_without_a_seal_is_held_to_its_journal(a_backup: Path, target_url: str, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(a_backup, isolation_level=None)) as connection:
        connection.execute(f"DROP TABLE {moving.SEAL}")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
    target = connect(target_url)
    with pytest.raises(Tampered):
        moving.restore(a_backup, target)
    target.close()
    if isinstance(target, SqliteDatabase):
        assert not target.path.exists()
    else:
        assert rows_in(target_url)["ledgers"] == []


# Full disks, and whoever is killed.


def run(source: str, *arguments: Any, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, which may write files of so many bytes."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    environment = {name: value for name, value in os.environ.items() if not name.startswith("CASHMAN_")}
    return subprocess.run(
        [sys.executable, "-c", source, *map(str, arguments)],
        cwd=ROOT,
        env={**environment, "CASHMAN_DATABASE_URL": str(arguments[0])},
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


COMMAND = """
import sys
from cashman import cli
sys.argv = ["cashman", *sys.argv[2:]]
cli.main()
"""


@pytest.mark.parametrize("room", [0, 20_000, 150_000])
def test_a_full_disk_is_told_in_one_line_and_nothing_is_left(
    books: Books, database_url: str, place: Path, room: int
) -> None:
    book(books.own_ledger(), 5)
    (place / "old").write_text("of yesterday")
    books.database.close()
    ended = run(COMMAND, database_url, "backup", "--force", place / "old", limit=room)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"cashman: {place / 'old'} cannot be made: ")
    assert ended.stderr.count("\n") == 1
    assert {path.name: path.read_text() for path in place.iterdir()} == {"old": "of yesterday"}


def test_a_full_disk_leaves_the_place_of_a_restore_empty(a_backup: Path, tmp_path: Path) -> None:
    ended = run(COMMAND, f"sqlite:///{tmp_path / 'new' / 'cashman.db'}", "restore", a_backup, limit=100_000)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"cashman: {tmp_path / 'new' / 'cashman.db'} cannot be made: ")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cashman.db.lock"]


KILLED = """
import os, signal, sys
from pathlib import Path
from cashman import db, moving
how = getattr(signal, sys.argv[3])
def kill(done, total):
    os.kill(os.getpid(), how)
moving.back_up(db.connect(sys.argv[1]), Path(sys.argv[2]), force=True, progress=kill)
"""
NAIVE = """
import os, signal, sqlite3, sys
from sqlalchemy import make_url
source = sqlite3.connect(make_url(sys.argv[1]).database)
def kill(status, remaining, total):
    if remaining < total / 2:
        os.kill(os.getpid(), signal.SIGKILL)
source.backup(sqlite3.connect(sys.argv[2]), pages=5, progress=kill)
"""


def test_a_backup_that_is_killed_leaves_the_one_before_it(books: Books, database_url: str, place: Path) -> None:
    book(books.own_ledger(), 5)
    moving.back_up(books.database, place / "b")
    before = (place / "b").read_bytes()
    book(books.own_ledger(), 5)
    assert run(KILLED, database_url, place / "b", "SIGKILL").returncode == -signal.SIGKILL
    assert (place / "b").read_bytes() == before
    assert (place / "b.part").exists()  # nobody could take it away any more
    moving.back_up(books.database, place / "b", force=True)
    assert [path.name for path in place.iterdir()] == ["b"]


def test_a_backup_straight_into_its_file_would_leave_half_of_one(
    sqlite_books: Books, tmp_path: Path, place: Path
) -> None:
    """The control of the test above."""
    moving.back_up(sqlite_books.database, place / "b")
    (place / "b").unlink()
    assert run(NAIVE, f"sqlite:///{sqlite_books.database.path}", place / "b").returncode == -signal.SIGKILL
    assert (place / "b").exists()
    with pytest.raises((Tampered, ConfigurationError)):
        moving.restore(place / "b", SqliteDatabase(tmp_path / "new.db"))


RESTORE_KILLED = """
import os, signal, sys
from pathlib import Path
from cashman import db, moving
def kill(done, total):
    if done > total / 5:
        os.kill(os.getpid(), signal.SIGKILL)
moving.restore(Path(sys.argv[2]), db.connect(sys.argv[1]), progress=kill)
"""


def test_a_restore_that_is_killed_leaves_the_place_empty(a_backup: Path, target_url: str) -> None:
    assert run(RESTORE_KILLED, target_url, a_backup).returncode == -signal.SIGKILL
    target = connect(target_url)
    assert moving.restore(a_backup, target).ledgers[0].transactions == 20
    target.close()
    if isinstance(target, SqliteDatabase):
        assert sorted(path.name for path in target.path.parent.iterdir()) == ["cashman.db", "cashman.db.lock"]


def test_a_backup_that_is_asked_to_end_cleans_up(sqlite_books: Books, place: Path) -> None:
    url = f"sqlite:///{sqlite_books.database.path}"
    source = """
import os, signal, sys
from cashman import cli, moving
made = moving.back_up
def back_up(*arguments, progress, **options):
    def asked(done, total):
        os.kill(os.getpid(), signal.SIGTERM)
    return made(*arguments, progress=asked, **options)
moving.back_up = back_up
sys.argv = ["cashman", "backup", sys.argv[2]]
cli.main()
"""
    assert run(source, url, place / "b").returncode == 128 + signal.SIGTERM
    assert list(place.iterdir()) == []


# The command line.


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command on a database; gives its exit status, what it wrote, and its errors."""

    def run(url: str, *arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cashman", *map(str, arguments)])
        monkeypatch.setenv("CASHMAN_DATABASE_URL", url)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return code, said.out, said.err

    return run


def test_the_commands_say_what_they_have_made(
    command: Any, ledger: Ledger, database_url: str, target_url: str, place: Path, tmp_path: Path
) -> None:
    head = str(book(ledger, 2) and ledger.head())
    ledger.books.database.close()
    status, said, _ = command(database_url, "backup", place / "b")
    assert status == 0
    assert f", 4 entries, 2 transactions, head {head}\nbacked up to {place / 'b'}: " in said
    status, said, _ = command(target_url, "restore", "--json", place / "b")
    assert status == 0
    told = json.loads(said)
    assert {"entries": 4, "transactions": 2, "head": head}.items() <= told["ledgers"][0].items()
    assert told["bytes"] == (place / "b").stat().st_size
    assert told["seconds"] > 0
    third = f"sqlite:///{tmp_path / 'third.db'}"
    status, said, _ = command(target_url, "copy", "--to", third, "--json")
    assert json.loads(said)["ledgers"] == told["ledgers"]
    assert json.loads(said)["bytes"] == (tmp_path / "third.db").stat().st_size


def test_the_commands_say_in_one_line_what_they_cannot_do(
    command: Any, ledger: Ledger, database_url: str, place: Path, tmp_path: Path
) -> None:
    book(ledger, 1)
    ledger.books.database.close()
    nowhere = f"sqlite:///{tmp_path / 'nowhere.db'}"
    (place / "b").touch()
    for arguments, told in (
        ((database_url, "backup", place / "b"), "is there already"),
        ((nowhere, "backup", place / "c"), "there are no books"),
        ((nowhere, "copy", "--to", database_url), "there are no books"),
        ((database_url, "copy", "--to", "mysql://x"), "--to: mysql is neither sqlite nor postgresql"),
        ((database_url, "copy", "--to", database_url), "cashman: "),
        ((nowhere, "restore", place / "b"), "not an SQLite file"),
        ((nowhere, "--url", "http://localhost:1", "restore", place / "b"), "not with --url"),
    ):
        status, said, error = command(*arguments)
        assert (status, said) == (2, ""), error
        assert told in error
    assert not (tmp_path / "nowhere.db").exists()


def test_what_is_not_sound_is_1(command: Any, ledger: Ledger, database_url: str, place: Path, tmp_path: Path) -> None:
    book(ledger, 1)
    ledger.books.database.write(lambda connection: connection.execute(text("UPDATE transactions SET version = 9")))
    ledger.books.database.close()
    status, said, error = command(database_url, "backup", place / "b")
    assert (status, said, error.count("\n")) == (1, "", 1)
    assert "version not as the journal says" in error
    assert list(place.iterdir()) == []
    status, _, error = command(database_url, "copy", "--to", f"sqlite:///{tmp_path / 'new.db'}")
    assert (status, error.startswith("cashman: transactions")) == (1, True)
    assert not (tmp_path / "new.db").exists()


def test_a_table_of_somebody_elses_goes_along_in_a_backup(tmp_path: Path) -> None:
    books = Books(db.connect(f"sqlite:///{tmp_path}/books.db"))
    books.own_ledger().record(Expense("pizza", 50))
    with sqlite3.connect(tmp_path / "books.db") as connection:
        connection.execute("CREATE TABLE extra (a)")
        connection.execute("INSERT INTO extra VALUES (1)")
    connection.close()
    assert moving.back_up(books.database, tmp_path / "backup").ledgers
    books.database.close()


@pytest.mark.parametrize(
    ("hostile", "told"),
    [
        ("ALTER TABLE users RENAME TO u0; CREATE VIEW users AS"
         " WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT 1 FROM r) SELECT * FROM r", "users is no table"),
        ("CREATE TABLE x (a); CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END", "a trigger t that is not ours"),
    ],
)  # fmt: skip
def test_a_backup_with_a_view_or_a_trigger_of_somebody_elses_is_refused(
    hostile: str, told: str, tmp_path: Path
) -> None:
    books = Books(db.connect(f"sqlite:///{tmp_path}/books.db"))
    books.own_ledger().record(Expense("pizza", 50))
    moving.back_up(books.database, tmp_path / "backup")
    books.database.close()
    with sqlite3.connect(tmp_path / "backup") as connection:
        connection.executescript(f"DROP TABLE backup_seal; {hostile}")
    connection.close()
    target = db.connect(f"sqlite:///{tmp_path}/target.db")
    with pytest.raises(Tampered, match=told):
        moving.restore(tmp_path / "backup", target)
