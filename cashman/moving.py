"""All of the books at once: a backup while they are served, a restore, and a copy to another engine.

A backup is one SQLite file, whatever the engine. From SQLite it is the pages of one snapshot; from PostgreSQL every
table in one snapshot, not the journal alone: the journal proves the books and has all that balances depend on, but
not who may use them (users, members, API keys), nor the answers that repeated requests are to get again. So all of it
is kept, and the journal is what it is verified by.

What belongs to the place and not to the books stays there (`OF_THE_PLACE`): whoever is given a backup cannot sign,
and no session that has ended comes to life again. After a restore everybody signs in anew, with the same password;
API keys go on working.

Whatever is made is made under another name, or in one transaction, and verified there before it counts.
"""

import hashlib
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Connection, Date, MetaData, RowMapping, Select, Table, Text, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from cashman import migrations, search
from cashman.db import Base, Database, SqliteDatabase, files, insert_rows
from cashman.db.base import Progress
from cashman.errors import ConfigurationError
from cashman.journal import Head
from cashman.model.ledger import JournalHead, LedgerRecord
from cashman.verify import Tampered, Verified, verify_on
from cashman.verify.findings import TEXT_BEHIND, readable

OF_THE_PLACE: Final = ("sessions", "signing_keys", "tries")
"""What stays where it is: keys that sign, who is signed in by them, and who tries to be."""
DERIVED: Final = ("transaction_tags", "stems")
"""What `search` makes of the transactions; of stems each engine has a form of its own."""
FOUNDING: Final = {"ledgers": 1, "accounts": 1, "members": 1, "journal": 2, "journal_heads": 1, "access_heads": 1}
"""How many rows a database has that was opened once and never used."""
SEAL: Final = "backup_seal"
"""The table of a backup that has sums of the others: no journal proves the users, and SQLite has no sums of its own."""
CHUNK_ROWS: Final = 5_000
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class Moved:
    """What was made, and that it is sound."""

    ledgers: list[Verified]
    seconds: float
    bytes: int
    """How large the file is, or the database that it was copied to."""


class _Steps:
    """How far it is, told as rows."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self.total, self._done = progress, max(total, 1), 0

    def go(self, rows: int) -> None:
        self._done = min(self._done + rows, self.total)
        self._progress(self._done, self.total)


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""


# Backup.


def back_up(database: Database, path: Path, *, force: bool = False, progress: Progress = _silent) -> Moved:
    """Write all that is acknowledged by now into one file, and verify it; nothing of the database changes."""
    began = time.monotonic()
    _check_place(database, path, force=force)

    @contextmanager
    def guard() -> Iterator[None]:
        _check_place(database, path, force=force)  # once more: it took its time
        yield

    with files.replacing(path, guard) as part:
        if isinstance(database, SqliteDatabase):
            ledgers = _pages_into(database, part, progress)
        else:
            ledgers = _tables_into(database, part, progress)
        size = part.stat().st_size
    return Moved(ledgers, time.monotonic() - began, size)


def _check_place(database: Database, path: Path, *, force: bool) -> None:
    """Refuse a place that is taken: by a file, by the database itself, or by something that is no file."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ConfigurationError(f"{path} is a link or no file: name the place itself")
    own = {file.resolve() for file in database.own_files()}
    if {path.resolve(), files.part_of(path).resolve()} & own or any(
        file.exists() and path.exists() and file.samefile(path) for file in own
    ):
        raise ConfigurationError(f"{path} belongs to the database itself")
    for left in files.sidecars(path):
        raise ConfigurationError(f"{left} lies there, of a database that is in use: choose another place")
    if path.exists() and not force:
        raise ConfigurationError(f"{path} is there already; --force replaces it")


def _pages_into(database: SqliteDatabase, part: Path, progress: Progress) -> list[Verified]:
    if not database.exists():
        raise ConfigurationError("there are no books to back up")
    # About what each part takes of the time, in percent.
    database.copy_pages(part, lambda done, total: progress(5 * done // total, 100))
    engine = files.engine_on(part, making=True)
    with engine.begin() as connection:
        revision = _revision_of(connection, "the database")
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {SEAL}")  # of a backup that was taken into use as it was
        for name in OF_THE_PLACE:
            if inspect(connection).has_table(name):
                connection.exec_driver_sql(f"DELETE FROM {name}")
        _check_pages(connection)
    progress(20, 100)
    with _at_head(part, revision, part.parent) as connection:
        verified = verify_on(connection)
    progress(80, 100)
    with engine.begin() as connection:
        _seal(connection)
    progress(100, 100)
    return verified


def _tables_into(database: Database, part: Path, progress: Progress) -> list[Verified]:
    revision = database.revision()
    if revision is None:
        raise ConfigurationError("there are no books to back up")
    if revision != migrations.HEAD:
        raise ConfigurationError(
            f"the database is at schema {revision}, and this release works with {migrations.HEAD}: "
            "back it up with the release that made it, or start this one once"
        )
    engine = files.engine_on(part, making=True)
    migrations.upgrade(engine)

    def fill(source: Connection) -> list[Verified]:
        with engine.begin() as sink:
            return _copy_and_prove(source, sink, progress)

    verified = database.read(fill, long=True)
    with engine.begin() as connection:
        _seal(connection)
    return verified


# Restore and copy.


def restore(path: Path, database: Database, *, progress: Progress = _silent) -> Moved:
    """Bring a backup into an empty database of either engine, and verify what is there then."""
    began = time.monotonic()
    folder = database.path.parent if isinstance(database, SqliteDatabase) else None
    with _backup(path, folder) as source:
        try:
            verified = database.fill(_check_empty, lambda sink: _copy_and_prove(source, sink, progress))
        except DBAPIError as error:
            raise Tampered(f"{path} is damaged: {error.orig}") from error
    return Moved(verified, time.monotonic() - began, path.stat().st_size)


def copy(database: Database, target: Database, *, progress: Progress = _silent) -> Moved:
    """Bring the books as they are now into another database, which is empty, and prove that they are the same there."""
    began = time.monotonic()

    def read(source: Connection) -> list[Verified]:
        return target.fill(_check_empty, lambda sink: _copy_and_prove(source, sink, progress))

    verified = database.read(read, long=True)
    return Moved(verified, time.monotonic() - began, target.size())


def _check_empty(connection: Connection) -> None:
    """Refuse a database in which there is more than its founding."""
    known = {name for name, _ in _stored_tables()} | {*OF_THE_PLACE, *DERIVED, "alembic_version"}
    names = set(inspect(connection).get_table_names())
    strangers = {name for name in names - known if not name.startswith("stems_")}
    if connection.dialect.name == "sqlite" and strangers:
        raise ConfigurationError(f"the place is not empty: there is a table {min(strangers)}, which is not ours")
    for name in sorted((names & known) - {*OF_THE_PLACE, "alembic_version"}):
        allowed = FOUNDING.get(name, 0)
        found = connection.execute(text(f"SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT {allowed + 1}) AS found"))
        if found.scalar_one() > allowed:
            raise ConfigurationError("the place is not empty: there are books in it")


@contextmanager
def _backup(path: Path, folder: Path | None) -> Iterator[Connection]:
    """A connection to what is in a backup, brought up to date; refused where it is none, or not whole."""
    _check_file(path)
    try:
        with files.engine_on(path, making=False).connect() as connection:
            revision = _revision_of(connection, str(path))
            _check_tables(connection)
            _check_pages(connection)
            _check_seal(connection)
    except DBAPIError as error:
        raise Tampered(f"{path} is damaged: {error.orig}") from error
    except ValueError as error:  # such as names that are no text
        raise Tampered(f"{path} is damaged: {error}") from error
    with _at_head(path, revision, folder) as connection:
        yield connection


def _check_file(path: Path) -> None:
    """Refuse what cannot be a backup before SQLite is asked."""
    try:
        with open(path, "rb", opener=_open_file) as file:
            header, size = file.read(_HEADER_BYTES), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if not header.startswith(_MAGIC):
        raise ConfigurationError(f"{path} is no backup: it is not an SQLite file")
    for left in files.sidecars(path):
        raise ConfigurationError(f"{left} lies beside it: it is a database in use, to be backed up and not restored")
    page_bytes = int.from_bytes(header[16:18])
    wanted = (65_536 if page_bytes == 1 else page_bytes) * int.from_bytes(header[28:32])
    if size != wanted:
        raise Tampered(f"{path} is damaged: it has {size} bytes of {wanted}")


def _open_file(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)  # what is no file is not waited for


def _revision_of(connection: Connection, what: str) -> str:
    """The schema revision of a file; refused where the file is not ours, or of a newer release."""
    found = migrations.current(connection)
    names = set(inspect(connection).get_table_names())
    ours = {"ledgers", "journal", "journal_heads", "transactions"} <= names
    if found is None or not re.fullmatch("[0-9]{4}", found) or not ours:
        raise ConfigurationError(f"{what} holds no books: it is another program's")
    if found > migrations.HEAD:
        raise ConfigurationError(
            f"{what} is at schema {found}, made by a newer Cashman; this release knows schemas up to {migrations.HEAD}"
        )
    return found


@contextmanager
def _at_head(path: Path, revision: str, folder: Path | None) -> Iterator[Connection]:
    """A connection to a file as this release's schema has it: an older one is brought up to date in a copy."""
    if revision == migrations.HEAD:
        with files.engine_on(path, making=False).connect() as connection:
            yield connection
        return
    with files.told(path):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        private = tempfile.TemporaryDirectory(prefix=".cashman-", dir=folder)
    with private as name:
        older = Path(name) / "older.db"
        with files.told(older):
            shutil.copyfile(path, older)
            migrations.upgrade(files.engine_on(older, making=True))
        with files.engine_on(older, making=False).connect() as connection:
            yield connection


# The tables.


@lru_cache(1)
def _stored_tables() -> tuple[tuple[str, Table], ...]:
    """Every table that is moved, those first that others refer to, with its columns as they are stored.

    Instants, enumerations and JSON are text on both engines, and go over as the very text that they are.
    """
    migrations.know_every_table()
    metadata = MetaData()
    return tuple(
        (
            own.name,
            Table(
                own.name,
                metadata,
                *(
                    Column(
                        column.name,
                        Text()
                        if isinstance(column.type, TEXT_BEHIND) and not isinstance(column.type, Date)
                        else column.type,
                        primary_key=column.primary_key,
                    )
                    for column in own.c
                ),
            ),
        )
        for own in Base.metadata.sorted_tables
        if own.name not in OF_THE_PLACE
    )


def _in_order(stored: Table) -> Select[Any]:
    """All rows in the order of their key, so many at a time."""
    return select(stored).order_by(*stored.primary_key.columns).execution_options(yield_per=CHUNK_ROWS)


def _copy_and_prove(source: Connection, sink: Connection, progress: Progress) -> list[Verified]:
    """Copy every table into an empty database, and prove that the rows there are the same and sound."""
    rows = {
        name: source.execute(select(func.count()).select_from(stored)).scalar_one() for name, stored in _stored_tables()
    }
    steps = _Steps(progress, sum(rows.values()) * 4)
    for _, stored in reversed(_stored_tables()):
        sink.execute(stored.delete())
    with readable(lambda: "what is to be copied"):
        for name, stored in _stored_tables():
            if name not in DERIVED:
                _copy_rows(source, sink, stored, steps)
    if sink.dialect.name == "postgresql":  # which has never seen what is asked for now
        sink.exec_driver_sql(f"ANALYZE {', '.join(rows)}")
    wanted, wanted_sums, wanted_heads = fingerprints(source, steps.go), sums(source), heads(source)
    found = fingerprints(sink, steps.go)
    for name in wanted:
        if found[name] != wanted[name]:
            raise Tampered(f"{name}: {found[name][0]} rows came of {wanted[name][0]}, and they are not the same")
    verified = verify_on(sink)
    if sums(sink) != wanted_sums or [ledger.head for ledger in verified] != wanted_heads:
        raise Tampered("ledgers: not the sums and heads that were to be copied")
    steps.go(steps.total)
    return verified


def _copy_rows(source: Connection, sink: Connection, stored: Table, steps: _Steps) -> None:
    statement = _in_order(stored)
    if stored.name == "transactions":
        # As they were booked: FTS5 wants its documents in the order of their numbers, or takes a while for each.
        statement = statement.order_by(None).order_by(stored.c.ledger_id, stored.c.sequence)
    for chunk in _chunks(source, statement):
        mappings = [row._mapping for row in chunk]
        insert_rows(sink, stored, mappings)
        if stored.name == "transactions":
            _index(sink, mappings)
        steps.go(len(chunk))


def _chunks(connection: Connection, statement: Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows of a statement, so many at a time; what SQLite cannot read is damaged."""
    try:
        with connection.execute(statement) as rows:
            yield from rows.partitions()
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.Error):
            raise
        raise Tampered(f"{statement.get_final_froms()[0]}: {error.orig}") from error


def _index(sink: Connection, rows: Sequence[RowMapping]) -> None:
    """Make of transactions what they are found by."""
    for ledger_id, own in groupby(rows, itemgetter("ledger_id")):
        states = [dict(row, tags=[] if row["tags"] == "[]" else msgspec.json.decode(row["tags"])) for row in own]
        search.store(sink, ledger_id, [(None, state) for state in states])


# The proof.


def fingerprints(connection: Connection, go: Callable[[int], None] = lambda _: None) -> dict[str, tuple[int, str]]:
    """By table how many rows there are, and a hash of them in the order of their keys: the same on both engines."""
    found = {}
    for name, stored in _stored_tables():
        found[name] = _fingerprint(_chunks(connection, _in_order(stored)), go)
    ledgers = connection.execute(select(LedgerRecord.id).order_by(LedgerRecord.id)).scalars().all()
    stems = ((ledger_id, *row) for ledger_id in ledgers for row in search.stored_stems(connection, ledger_id))
    found["stems"] = _fingerprint(iter(lambda: list(islice(stems, CHUNK_ROWS)), []), lambda _: None)
    return found


_encode: Final = msgspec.msgpack.Encoder().encode


def _fingerprint(chunks: Any, go: Callable[[int], None]) -> tuple[int, str]:
    hashed, count = hashlib.sha256(), 0
    for chunk in chunks:
        hashed.update(b"".join([_encode(tuple(row)) for row in chunk]))
        count += len(chunk)
        go(len(chunk))
    return count, hashed.hexdigest()


def sums(connection: Connection) -> list[tuple[Any, ...]]:
    """What is posted, as (ledger, currency, minor units, how many)."""
    rows = connection.execute(
        text(
            """SELECT ledger_id, currency, sum(minor_units), count(*) FROM transactions
               WHERE status = 'posted' GROUP BY ledger_id, currency ORDER BY ledger_id, currency"""
        )
    )
    return [(ledger_id, currency, int(minor_units), count) for ledger_id, currency, minor_units, count in rows]


def heads(connection: Connection) -> list[Any]:
    """The head of each ledger's journal, in the order of the ledgers."""
    rows = connection.execute(select(JournalHead.sequence, JournalHead.hash).order_by(JournalHead.ledger_id))
    return [Head(sequence, bytes(hash_)) for sequence, hash_ in rows]


def _check_tables(connection: Connection) -> None:
    """Refuse a file in which one of our tables is none: a view may have no end, and a trigger do anything."""
    ours = {name for name, _ in _stored_tables()}
    rows = connection.exec_driver_sql(
        "SELECT type, name, tbl_name FROM sqlite_master WHERE type IN ('view', 'trigger')"
    )
    for type_, name, of in rows:
        if type_ == "view" and (name in ours or name == SEAL):
            raise Tampered(f"the file is damaged: {name} is no table")
        if type_ == "trigger" and of not in ours:
            raise Tampered(f"the file is damaged: it has a trigger {name} that is not ours")


def _check_pages(connection: Connection) -> None:
    """Have SQLite look at every page and every index of a file."""
    found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
    if found != "ok":
        raise Tampered(f"the file is damaged: {found}")


def _seal(connection: Connection) -> None:
    """Write down the sums of all tables, as the last thing that is done to a backup."""
    sealed = _sums_of_tables(connection)
    connection.exec_driver_sql(
        f"CREATE TABLE {SEAL} (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, sha256 TEXT NOT NULL)"
    )
    connection.exec_driver_sql(f"INSERT INTO {SEAL} VALUES (?, ?, ?)", [(name, *of) for name, of in sealed.items()])


def _check_seal(connection: Connection) -> None:
    """Hold a backup to its seal; a database that was stopped and copied has none."""
    if not inspect(connection).has_table(SEAL):
        return
    rows = connection.exec_driver_sql(f"SELECT name, rows, sha256 FROM {SEAL}")
    sealed = {name: (count, sha256) for name, count, sha256 in rows}
    found = _sums_of_tables(connection)
    for name in sorted(sealed.keys() | found.keys()):
        if sealed.get(name) != found.get(name):
            raise Tampered(f"the file is damaged: the table {name} is not what was sealed")


def _sums_of_tables(connection: Connection) -> dict[str, tuple[int, str]]:
    """By table how many rows a file has and a hash of them, whatever its schema."""
    found = {}
    columns = inspect(connection)
    for name in sorted(columns.get_table_names()):
        if name == SEAL or name.startswith("stems"):  # which a restore makes anew
            continue
        key = ", ".join(f'"{column}"' for column in columns.get_pk_constraint(name)["constrained_columns"])
        key = key or "rowid"  # a table of somebody else's
        rows = connection.exec_driver_sql(
            f'SELECT * FROM "{name}" ORDER BY {key}', execution_options={"yield_per": CHUNK_ROWS}
        )
        with rows:
            found[name] = _fingerprint(rows.partitions(CHUNK_ROWS), lambda _: None)
    return found
