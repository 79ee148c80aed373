"""Changes behind the service's back: rows changed, deleted, swapped and added, one at a time, over every table.

Whoever has the database's password can drop its triggers. So the harness does that first, and then changes one thing
after the other, each in a transaction that is rolled back. What has to notice: both verifiers for a row of the journal,
`cashman verify` for a row of the head, the state and the totals. Controls: an untouched copy is sound, and journal,
state, head and totals that are put back to an earlier day together are sound as well, but for a receipt kept outside.
"""

import argparse
import datetime as dt
import importlib.util
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    cast,
    create_engine,
    delete,
    func,
    inspect,
    literal,
    make_url,
    select,
    update,
)
from sqlalchemy import insert as insert_into
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import NullType

from cashman import current, journal, verify
from cashman.index import create_app
from cashman.journal import Head
from torture.service import REPOSITORY, Broken, database, run, scratch

BY_BOTH = ("journal",)
"""A change here has to be found by both verifiers."""
BY_VERIFY = (
    "accounts",
    "categories",
    "journal_heads",
    "journal_words",
    "ledgers",
    "revisions",
    "stems",
    "totals",
    "transaction_tags",
    "transactions",
    "turnovers",
)
"""A change here has to be found by `cashman verify`."""
PROVES_NOTHING = ("alembic_version", "keyed_answers")
"""No part of the books: the schema's version, and answers that are kept for a week."""
WHO_MAY = ("access_heads", "api_keys", "members", "sessions", "signing_keys", "tries", "users")
"""Who may read and write the books is no part of them: who has the database's password may, anyway."""
NOT_BOOKS = (*WHO_MAY, "import_mappings")
"""Nor is how a bank's file is read: what comes of it is booked, or it is not."""
BESIDE = {"ledgers": ("cursor_secret", "name")}
"""Columns that no journal speaks of."""


def fill(url: str, chance: random.Random, transactions: int) -> None:
    """Keep books of all that there is, through the service's own routes."""
    app = create_app({"CASHMAN_DATABASE_URL": url})
    client = app.test_client()

    def ask(method: str, path: str, body: Any = None) -> Any:
        headers = {"Prefer": "return=representation", "Idempotency-Key": str(chance.random())}
        answer = client.open(path, method=method, json=body, headers=headers)
        if answer.status_code >= 300:
            raise Broken(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json if answer.data else None

    known = {account["name"] for account in ask("GET", "/accounts")}
    for name, currency, opening in (("euro", "EUR", -150), ("yen", "JPY", 90_000), ("savings", "USD", 0)):
        if name not in known:
            opened = {"opening_balance": opening, "opening_date": "2026-01-01"} if opening else {}
            ask("POST", "/accounts", {"name": name, "currency": currency, **opened})
    ids: list[str] = []
    for number in range(transactions):
        if number % 6 == 0:
            ask("POST", "/transfers", {"from": "main", "to": "savings", "amount": 5, "tags": ["monthly"]})
        ids.append(ask("POST", "/transactions", _any_transaction(number, chance))["id"])
        _change_some(number, ids, chance, ask)
    expiring = {"type": "EXPENSE", "description": "held", "amount": 1, "status": "pending", "expires_in": 30_000_000}
    ask("POST", "/transactions", expiring)
    ask("POST", "/categories/merge", {"from": "Home", "to": "House"})
    ask("PATCH", "/ledger", {"closed_until": "2025-12-31"})
    current.books(app).database.close()


def _any_transaction(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "type": chance.choice(["INCOME", "EXPENSE"]),
        "status": chance.choice(["posted", "posted", "posted", "pending"]),
        "description": f"what {number} was for",
        "amount": chance.randint(1, 99_999),
        "account": chance.choice(["main", "euro", "yen"]),
        "date": f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
        "category": chance.choice([None, "Food", "Food:Coffee", "Home:Garden"]),
        "tags": chance.choice([[], ["one"], ["one", "two"]]),
        "payee": chance.choice([None, "Luigi"]),
        "notes": chance.choice([None, "zum Frühstück"]),
    }


def _change_some(number: int, ids: list[str], chance: random.Random, ask: Callable[..., Any]) -> None:
    """Every so often give one another amount or description, void, restore or redact one."""
    if number % 3 == 0:
        ask("PATCH", f"/transactions/{chance.choice(ids)}", {"amount": chance.randint(1, 99_999)})
    if number % 7 == 0:
        ask("PATCH", f"/transactions/{chance.choice(ids)}", {"description": f"renamed {number}"})
    if number % 10 == 9:
        gone = ids.pop(chance.randrange(len(ids)))
        ask("DELETE", f"/transactions/{gone}")
        if number % 20 == 9:
            ask("POST", f"/transactions/{gone}/restore")
    if number % 15 == 0:
        ask("POST", f"/transactions/{chance.choice(ids)}/redact")


# The attacker.


class Attacker:
    """Whoever may write into the database past the service, with every guard of the database gone."""

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite"):
            self._engine = create_engine(url)
        else:
            self._engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        self._connection = self._engine.connect()
        self._tables: dict[str, Table] = {}
        self._drop_guards()

    def _drop_guards(self) -> None:
        on = self._connection
        if on.dialect.name == "sqlite":
            on.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
            for (name,) in on.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
                on.exec_driver_sql(f'DROP TRIGGER "{name}"')
        else:
            for name in inspect(on).get_table_names():
                on.exec_driver_sql(f'ALTER TABLE "{name}" DISABLE TRIGGER ALL')  # foreign keys, too
                for check in inspect(on).get_check_constraints(name):
                    on.exec_driver_sql(f'ALTER TABLE "{name}" DROP CONSTRAINT "{check["name"]}"')
        on.commit()
        for name in inspect(on).get_table_names():
            if name.startswith("stems_"):
                continue  # what SQLite keeps the index of stems in is its own
            # Reflected, and its columns without types: values go in and out as the database has them.
            if name == "stems" and on.dialect.name == "sqlite":
                reflected = Table(name, MetaData(), Column("rowid", primary_key=True), Column("words"))
            else:
                reflected = Table(name, MetaData(), autoload_with=on)
            for column in reflected.c:
                column.type = NullType()
            self._tables[name] = reflected
        on.commit()

    def close(self) -> None:
        """Leave."""
        self._connection.close()
        self._engine.dispose()

    @property
    def tables(self) -> dict[str, Table]:
        """Every table, by its name."""
        return self._tables

    @contextmanager
    def on_a_copy(self) -> Iterator[Connection]:
        """A connection on which everything is undone afterwards."""
        with self._connection.begin() as transaction:
            yield self._connection
            transaction.rollback()


def _rows(on: Connection, table: Table) -> list[dict[str, Any]]:
    """Every row that says something: a total of nothing says what no row says."""
    rows = [dict(row._mapping) for row in on.execute(select(table).order_by(*table.primary_key.columns))]
    if table.name in ("totals", "turnovers"):
        rows = [row for row in rows if row["minor_units"] or row.get("count")]
    return rows


def _columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if column.name not in BESIDE.get(table.name, ())]


def _where(table: Table, row: dict[str, Any]) -> Any:
    condition = None
    for column in table.primary_key.columns:
        one = column == row[column.name]
        condition = one if condition is None else condition & one
    return condition


def _other(value: Any, chance: random.Random) -> Any:
    """Another value of the same kind, one flipped bit or another number away."""
    if value is None:
        return None
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return value[1:] if chance.random() < 0.5 else [*value, "added"]
    if isinstance(value, int):
        return chance.choice(
            [value ^ (1 << chance.randrange(16)), value + 1, -value, chance.randint(-(2**31), 2**31 - 1)]
        )
    if isinstance(value, dt.date):
        return value + dt.timedelta(days=chance.choice([-365, -1, 1, 30]))
    if isinstance(value, (bytes, memoryview)):
        flipped = bytearray(value)
        if not flipped:
            return None
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        return bytes(flipped)
    if not value:
        return "x"
    place = chance.randrange(len(value))
    flipped_character = chr(ord(value[place]) ^ (1 << chance.randrange(6)))
    return value[:place] + (flipped_character if flipped_character != "\0" else "\1") + value[place + 1 :]


def flip(on: Connection, table: Table, chance: random.Random) -> str | None:
    """Change one value of one row."""
    rows = _rows(on, table)
    row, column = chance.choice(rows), chance.choice(_columns(table))
    value = _other(row[column.name], chance)
    if value is None or value == row[column.name]:
        return None
    on.execute(update(table).where(_where(table, row)).values({column.name: value}))
    return f"{column.name} of {_name(table, row)}: {row[column.name]!r} → {value!r}"


def spoil(on: Connection, table: Table, chance: random.Random) -> str | None:
    """Flip the highest bit of one character, which makes the text no UTF-8; PostgreSQL refuses that itself."""
    row, column = chance.choice(_rows(on, table)), chance.choice(_columns(table))
    value = row[column.name]
    if not isinstance(value, str) or not value.isascii() or not value or on.dialect.name != "sqlite":
        return None
    spoilt = bytearray(value.encode())
    spoilt[chance.randrange(len(spoilt))] ^= 0x80
    stored = cast(literal(bytes(spoilt)), Text)
    on.execute(update(table).where(_where(table, row)).values({column.name: stored}))
    return f"{column.name} of {_name(table, row)}: no UTF-8 any more"


def erase(on: Connection, table: Table, chance: random.Random) -> str | None:
    """Take the value of one column away."""
    rows = _rows(on, table)
    nullable = [column for column in _columns(table) if column.nullable]
    row, column = chance.choice(rows), chance.choice(nullable or [None])
    if column is None or row[column.name] is None:
        return None
    on.execute(update(table).where(_where(table, row)).values({column.name: None}))
    return f"{column.name} of {_name(table, row)} erased"


def remove(on: Connection, table: Table, chance: random.Random) -> str | None:
    """Delete one row."""
    row = chance.choice(_rows(on, table))
    on.execute(delete(table).where(_where(table, row)))
    return f"{_name(table, row)} deleted"


def swap(on: Connection, table: Table, chance: random.Random) -> str | None:
    """Exchange what stands beside two keys."""
    rows = _rows(on, table)
    keys = {column.name for column in table.primary_key.columns}
    if len(rows) < 2 or keys == set(table.c.keys()):
        return None
    one, other = chance.sample(rows, 2)
    first, second = ({name: value for name, value in row.items() if name not in keys} for row in (one, other))
    if first == second:
        return None
    uniques = [constraint for constraint in inspect(on).get_indexes(table.name) if constraint["unique"]]
    if uniques:  # makes room for the second
        on.execute(update(table).where(_where(table, one)).values(_made_free(first)))
    on.execute(update(table).where(_where(table, other)).values(first))
    on.execute(update(table).where(_where(table, one)).values(second))
    return f"{_name(table, one)} and {_name(table, other)} swapped"


def _made_free(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value + "~" if isinstance(value, str) and name in ("path", "name") else value
        for name, value in row.items()
    }


def add(on: Connection, table: Table, chance: random.Random) -> str | None:
    """Add a row that is made from another."""
    row = chance.choice(_rows(on, table))
    added = dict(row)
    for column in table.primary_key.columns:
        if column.name != "ledger_id" or (table.name != "journal" and chance.random() < 0.1):
            other = _other(added[column.name], chance)
            # Positive: a journal row before the first would be read by nobody, and is in no export.
            added[column.name] = abs(other) if isinstance(other, int) else other or added[column.name]
    for name in ("path", "name", "ulid"):
        if added.get(name) is not None:
            added[name] = added[name][:-1] + "~"
    if on.execute(select(func.count()).select_from(table).where(_where(table, added))).scalar_one():
        return None
    on.execute(insert_into(table).values(added))
    return f"{_name(table, added)} added"


CHANGES: tuple[Callable[[Connection, Table, random.Random], str | None], ...] = (
    flip,
    flip,
    spoil,
    erase,
    remove,
    swap,
    add,
)


def _name(table: Table, row: dict[str, Any]) -> str:
    return f"{table.name} {'/'.join(str(row[column.name]) for column in table.primary_key.columns)}"


# The verifiers.


def _load_independent_verifier() -> Any:
    spec = importlib.util.spec_from_file_location("verify_journal", REPOSITORY / "tools" / "verify_journal.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_independent = _load_independent_verifier()


def found_by_verify(on: Connection, receipt: Head | None = None) -> str | None:
    """What `cashman verify` finds."""
    try:
        verify.verify_on(on, receipt)
    except verify.Tampered as finding:
        return str(finding)
    return None


def found_independently(on: Connection, head: Head | None = None) -> str | None:
    """What the second verifier finds in the journal as it would be exported."""
    try:
        rows, _ = journal.feed(on, 1, 0, 1_000_000)
    except Exception as error:  # what cannot be exported is not taken for sound
        return f"cannot be exported: {error}"
    lines = []
    for row in rows:
        words = None if row.words is None else msgspec.Raw(row.words.encode())
        lines.append(msgspec.json.encode({"entry": row.entry, "hash": row.hash.hex(), "words": words}))
    findings = _independent.check(lines, None if head is None else (head.sequence, head.hash.hex()))
    return next(findings, None)


# The harness.


def tamper(engine: str = "sqlite", *, changes: int = 150, transactions: int = 60, seed: int = 1) -> dict[str, Any]:
    """Make so many changes, one at a time; returns the figures, and raises Broken where one was not found."""
    with scratch() as folder, database(engine, folder) as (url, _):
        return tamper_with(url, changes=changes, transactions=transactions, seed=seed)


def tamper_with(url: str, *, changes: int, transactions: int = 60, seed: int = 1) -> dict[str, Any]:
    """The same in a database that is empty, or holds an empty ledger."""
    begun = time.monotonic()
    chance = random.Random(seed)
    fill(url, chance, transactions)
    attacker = Attacker(url)
    figures: Counter[str] = Counter()
    missed = []
    try:
        with attacker.on_a_copy() as on:
            sound = found_by_verify(on) or found_independently(on)
        if sound:
            raise Broken(f"the untouched books are not sound: {sound}")
        for _ in range(50 * changes):
            if figures["changes"] == changes:
                break
            name = chance.choice(sorted(attacker.tables.keys() - set(NOT_BOOKS)))
            if name in PROVES_NOTHING and chance.random() < 0.8:
                continue
            outcome = _try_one(attacker, attacker.tables[name], chance, figures)
            if outcome is not None:
                missed.append(outcome)
        else:
            raise Broken(f"only {figures['changes']} changes could be made")
        with attacker.on_a_copy() as on:
            sound = found_by_verify(on) or found_independently(on)
        if sound:
            raise Broken(f"a change was not undone: {sound}")
    finally:
        attacker.close()
    if missed:
        raise Broken(f"{len(missed)} of {changes} changes were not found: {missed[:5]}")
    return {**dict(sorted(figures.items())), "seconds": round(time.monotonic() - begun)}


def _try_one(attacker: Attacker, table: Table, chance: random.Random, figures: Counter[str]) -> str | None:
    """Make one change, if it comes to one; returns it where it is not found by who has to find it."""
    change = chance.choice(CHANGES)
    with attacker.on_a_copy() as on:
        try:
            made = change(on, table, chance)
        except (DBAPIError, OverflowError):  # the column's own type, its length or a key refuses it
            return None
        if made is None:
            return None
        figures["changes"] += 1
        figures[f"in {table.name}"] += 1
        if table.name in PROVES_NOTHING:
            return None
        if found_by_verify(on) is None:
            return f"{made} (by cashman verify)"
        if table.name in BY_BOTH and found_independently(on) is None:
            return f"{made} (by verify_journal.py)"
    return None


def cut_tail(url: str, *, transactions: int = 20, seed: int = 1) -> dict[str, Any]:
    """Put every table back to an earlier day, all together; what each verifier finds, without a receipt and with it."""
    chance = random.Random(seed)
    fill(url, chance, transactions)
    attacker = Attacker(url)
    try:
        with attacker.on_a_copy() as on:
            earlier = {name: _rows(on, table) for name, table in attacker.tables.items()}
            old = journal.head(on, 1)
        fill(url, chance, transactions)
        with attacker.on_a_copy() as on:
            new = journal.head(on, 1)
            for name in reversed(list(attacker.tables)):
                on.execute(delete(attacker.tables[name]))
            for name, table in attacker.tables.items():
                if earlier[name]:
                    on.execute(insert_into(table), earlier[name])
            return {
                "without a receipt": (found_by_verify(on), found_independently(on)),
                "with a receipt from before the cut": (found_by_verify(on, old), found_independently(on, old)),
                "with a receipt from after the cut": (found_by_verify(on, new), found_independently(on, new)),
            }
    finally:
        attacker.close()


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--changes", type=int, default=150)
    parser.add_argument("--transactions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    figures = tamper(given.engine, changes=given.changes, transactions=given.transactions, seed=given.seed)
    for name, value in figures.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(run(main))
