"""Proof of the books: recompute hashes, sequences, revisions, state and totals from the journal alone.

Two passes in one snapshot, each at flat memory: along the chain, and along the transactions beside their
revisions. The first thing that is not as the journal says is named by `Tampered`.
"""

import datetime as dt
import hashlib
import sqlite3
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Date, Enum, Select, String, func, select, type_coerce
from sqlalchemy.exc import DBAPIError

from cashman import search
from cashman.chart_changes import move
from cashman.db import Base, Database, Instant, JsonText, table
from cashman.journal import GENESIS, Head, hash_entry
from cashman.model.account import DEFAULTS as ACCOUNT_DEFAULTS
from cashman.model.account import Account
from cashman.model.ledger import Category, JournalEntry, JournalHead, JournalWords, LedgerRecord, Revision
from cashman.model.tag import TransactionTag
from cashman.model.total import ACCOUNT, CATEGORY, GRAINS, NO_CATEGORY, Total, Turnover
from cashman.model.transaction import FIGURES, REDACTED, WORDS, Transaction
from cashman.stems import stems_of
from cashman.totals import PERIOD_CHARACTERS

_CHUNK_ROWS: Final = 5_000


class Tampered(Exception):
    """A row that is not what the journal says; the message names it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found sound."""

    ledger: str
    entries: int
    transactions: int
    head: Head


class _Line(msgspec.Struct):
    """What the first pass reads of an entry."""

    v: int
    ledger: str
    sequence: int
    kind: str
    entity: str
    entity_id: str
    revision: int
    recorded_at: str
    figures: msgspec.Raw
    words_sha256: str | None
    previous: str


class _Figures(msgspec.Struct):
    """What the second pass reads of an entry."""

    kind: str
    entity: str
    entity_id: str
    revision: int
    recorded_at: str
    figures: dict[str, Any]
    words_sha256: str | None


_read_line = msgspec.json.Decoder(_Line).decode
_read_figures = msgspec.json.Decoder(_Figures).decode
_figures_of = itemgetter(*FIGURES)


def verify(database: Database, receipt: Head | None = None) -> list[Verified]:
    """Check every ledger of a database, and that a receipt kept outside is in its chain; raises Tampered."""
    return database.read(lambda connection: verify_on(connection, receipt))


def verify_on(connection: Connection, receipt: Head | None = None) -> list[Verified]:
    """The same, on a connection in whose transaction nothing else happens meanwhile."""
    try:
        return _verify_all(connection, receipt)
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.OperationalError) or "decode" not in str(error.orig):
            raise
    # Some text in this SQLite database is not UTF-8. Reading it leniently costs time, and finds the row.
    driver: Any = connection.connection.dbapi_connection
    driver.text_factory = lambda stored: stored.decode(errors="surrogateescape")
    try:
        return _verify_all(connection, receipt)
    finally:
        driver.text_factory = str


def _verify_all(connection: Connection, receipt: Head | None) -> list[Verified]:
    _check_strays(connection)
    ledgers = connection.execute(_as_stored(LedgerRecord).order_by(LedgerRecord.id)).all()
    if not ledgers:
        raise Tampered("ledgers: there is none")
    verified = []
    receipt_seen = receipt is None or receipt == Head(0, GENESIS)
    for ledger in ledgers:
        chain = _Chain(connection, ledger, receipt)
        chain.walk()
        chain.check_names()
        derived = _Derived(chain.head.sequence, chain.openings())
        transactions = _check_states(connection, ledger.id, chain.transaction_entries, derived)
        derived.check(connection, ledger.id)
        chain.check_next_expiry(derived.next_expiry)
        verified.append(Verified(ledger.ulid, chain.head.sequence, transactions, chain.head))
        receipt_seen = receipt_seen or chain.receipt_seen
    if not receipt_seen:
        raise Tampered(f"journal: the receipt {receipt} is not in the chain")
    return verified


def _as_stored(model: type[Base]) -> Select[Any]:
    """The columns of a model as the database has them: what was changed behind our back need not be of our types."""
    return select(
        *(
            type_coerce(column, String).label(column.name) if isinstance(column.type, _TEXT_BEHIND) else column
            for column in table(model).c
        )
    )


_TEXT_BEHIND: Final = (Date, Enum, Instant, JsonText)
"""Types that are compared as the text that is stored."""


@contextmanager
def _readable(where: Callable[[], str]) -> Iterator[None]:
    """What cannot even be read is not what was written."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Tampered(f"{where()}: cannot be read: {error!r}") from error


def _check_strays(connection: Connection) -> None:
    """Rows of a ledger that does not exist."""
    known = select(LedgerRecord.id)
    for name, stored in sorted(Base.metadata.tables.items()):
        if "ledger_id" in stored.c:
            stray = connection.execute(
                select(stored.c.ledger_id).where(stored.c.ledger_id.not_in(known)).limit(1)
            ).first()
            if stray is not None:
                raise Tampered(f"{name}: a row of ledger {stray[0]}, which does not exist")


class _Chain:
    """The first pass: along the journal of one ledger."""

    def __init__(self, connection: Connection, ledger: Any, receipt: Head | None) -> None:
        self.connection = connection
        self.ledger = ledger
        self.receipt = receipt
        self.receipt_seen = False
        self.head = Head(0, GENESIS)
        self.recorded_at = ""
        self.transaction_entries = 0
        self._chart: dict[str, dict[str, Any]] = {"ledger": {}, "account": {}, "category": {}}
        self._chart_sequence = self._renamed_sequence = 0
        self._next_expiry: str | None = None
        self._wordless: dict[str, int] = {}
        self._word_rows = 0

    def walk(self) -> None:
        """Check every entry against the one before it, and the head against the last."""
        rows = self.connection.execute(_entries_and_words(self.ledger.id))
        with rows, _readable(lambda: f"journal {self.ledger.id}/{self.head.sequence + 1}"):
            for sequence, line, hash_, words in rows:
                fault = self._take(sequence, line, hash_, words)
                if fault is not None:
                    raise Tampered(f"journal {self.ledger.id}/{sequence}: {fault}")
        self._check_ends()

    def _take(self, sequence: int, line: str, hash_: bytes, words: str | None) -> str | None:
        """Go one entry on; says what is wrong with it, if anything."""
        head = self.head
        if sequence != head.sequence + 1:
            return f"entry {head.sequence + 1} is missing before it"
        if hash_entry(line.encode()) != hash_:
            return "the entry does not have the hash beside it"
        entry = _read_line(line)
        if entry.previous != head.hash.hex():
            return "does not follow the entry before it"
        if entry.v != 1 or entry.sequence != sequence or entry.ledger != self.ledger.ulid:
            return "an entry of another place"
        if entry.recorded_at <= self.recorded_at:
            return "not recorded after the entry before it"
        if words is not None:
            self._word_rows += 1
            if hashlib.sha256(words.encode()).hexdigest() != entry.words_sha256:
                return "the words beside it (journal_words) are not those that it was made with"
        elif entry.words_sha256 is not None:
            self._wordless.setdefault(entry.entity_id, sequence)  # sound only where a redaction follows
        self._note(entry)
        self.head, self.recorded_at = Head(sequence, hash_), entry.recorded_at
        if self.head == self.receipt:
            self.receipt_seen = True
        return None

    def _note(self, entry: _Line) -> None:
        if entry.entity == "transaction":
            self.transaction_entries += 1
            if entry.kind == "redact":
                self._wordless.pop(entry.entity_id, None)
        else:
            self._note_chart(entry)

    def _note_chart(self, entry: _Line) -> None:
        """Follow what happens to the ledger, its accounts and its categories."""
        self._chart_sequence = entry.sequence
        if entry.kind == "rename":
            self._renamed_sequence = entry.sequence
        of_entity, figures = self._chart[entry.entity], msgspec.json.decode(entry.figures)
        if entry.entity == "category" and entry.kind == "rename":
            paths = {id_: known["path"] for id_, known in of_entity.items()}
            source, below = figures["from"], figures["from"] + ":"
            moved = {id_: path for id_, path in paths.items() if path == source or path.startswith(below)}
            for id_, path in move(moved, source, figures["to"]).items():
                of_entity[id_]["path"] = path
        elif entry.kind == "delete":
            del of_entity[entry.entity_id]
        elif entry.entity == "account":
            of_entity[entry.entity_id] = {**ACCOUNT_DEFAULTS, **figures, "version": entry.revision}
        elif entry.entity == "ledger" and entry.kind == "open":
            of_entity[entry.entity_id] = {**figures, "created_at": entry.recorded_at, "closed_until": None}
        elif entry.entity == "ledger":
            of_entity[entry.entity_id] |= figures
        else:
            of_entity[entry.entity_id] = figures

    def openings(self) -> dict[str, int]:
        """The magnitudes of the opening balances, by currency."""
        found: dict[str, int] = {}
        for account in self._chart["account"].values():
            found[account["currency"]] = found.get(account["currency"], 0) + abs(account["opening_minor_units"])
        return found

    def check_next_expiry(self, expected: str | None) -> None:
        """Check the head against the pending transactions."""
        _require(
            self._next_expiry == expected,
            f"journal_heads {self.ledger.id}: next_expiry is {self._next_expiry}, has to be {expected}",
        )

    def _check_ends(self) -> None:
        ledger_id = self.ledger.id
        stored = self.connection.execute(
            _as_stored(JournalHead).where(JournalHead.ledger_id == ledger_id)
        ).one_or_none()
        chart = self._chart_sequence, self._renamed_sequence
        expected = (ledger_id, self.head.sequence, self.head.hash, self.recorded_at, *chart)
        if stored is None or tuple(stored)[:-1] != expected:
            raise Tampered(f"journal_heads {ledger_id}: the journal ends at {self.head}, the head says otherwise")
        self._next_expiry = stored.next_expiry
        for entity_id, sequence in self._wordless.items():
            raise Tampered(f"journal_words {ledger_id}/{sequence}: the words of {entity_id} are missing")
        count = self.connection.execute(
            select(func.count()).select_from(JournalWords).where(JournalWords.ledger_id == ledger_id)
        ).scalar_one()
        _require(count == self._word_rows, f"journal_words {ledger_id}: words that belong to no entry")

    def check_names(self) -> None:
        """Check the ledger, its accounts and its categories against what the journal says of them."""
        ledger, stated = self.ledger, self._chart["ledger"].get(self.ledger.ulid, {})
        stored = {name: _text(getattr(ledger, name)) for name in stated}
        _require(
            len(self._chart["ledger"]) == 1 and bool(stated) and stored == stated,
            f"ledgers {ledger.id}: not as the journal says",
        )
        for entity, model in (("account", Account), ("category", Category)):
            rows = self.connection.execute(_as_stored(model).where(table(model).c.ledger_id == ledger.id))
            found = {
                str(row.id): {
                    name: _text(value) for name, value in row._mapping.items() if name not in ("ledger_id", "id")
                }
                for row in rows
            }
            for id_ in sorted(found.keys() | self._chart[entity].keys()):
                _require(
                    found.get(id_) == self._chart[entity].get(id_),
                    f"{model.__tablename__} {ledger.id}/{id_}: not as the journal says",
                )


def _text(value: Any) -> Any:
    """A date as the journal writes it: PostgreSQL gives it as one."""
    return value.isoformat() if isinstance(value, dt.date) else value


def _entries_and_words(ledger_id: int) -> Any:
    """The journal, each entry with its words, in the order of the chain."""
    return (
        select(JournalEntry.sequence, JournalEntry.entry, JournalEntry.hash, JournalWords.words)
        .outerjoin(
            JournalWords,
            (JournalWords.ledger_id == JournalEntry.ledger_id) & (JournalWords.sequence == JournalEntry.sequence),
        )
        .where(JournalEntry.ledger_id == ledger_id)
        .order_by(JournalEntry.sequence)
        .execution_options(yield_per=_CHUNK_ROWS)
    )


def _check_states(connection: Connection, ledger_id: int, entries: int, derived: "_Derived") -> int:
    """The second pass: every transaction against its last revision; what has to follow from it is noted."""
    expected = _expected_states(connection, ledger_id, entries)
    count, id_ = 0, ""
    tags = _Tags(connection, ledger_id)
    rows = connection.execute(_stored_states(ledger_id))
    with rows, closing(expected), _readable(lambda: f"revisions {ledger_id}, after {id_!r}"):
        for id_, *stored in rows:
            wanted_id, wanted = next(expected, (None, ()))
            if id_ != wanted_id:
                missing = id_ if wanted_id is None or id_ < wanted_id else wanted_id
                raise Tampered(f"transactions {ledger_id}/{missing}: the journal and the state do not both have it")
            stored[_DATE] = str(stored[_DATE])
            if tuple(stored) != wanted:
                names = [name for name, a, b in zip(_STORED_NAMES, stored, wanted, strict=True) if a != b]
                raise Tampered(f"transactions {ledger_id}/{id_}: {', '.join(names)} not as the journal says")
            count += 1
            derived.add(stored)
            tags.check(id_, stored)
        for wanted_id, _ in expected:
            raise Tampered(f"transactions {ledger_id}/{wanted_id}: missing")
        tags.check_end()
    return count


_STORED_NAMES: Final = (*FIGURES, *WORDS, "created_at", "version", "sequence")
_TYPE, _STATUS, _MINOR_UNITS, _CURRENCY, _DATE, _ACCOUNT, _CATEGORY, _GROUP, _EXPIRES_AT, _TAGS, _SEQUENCE = map(
    _STORED_NAMES.index,
    (
        "type", "status", "minor_units", "currency", "date", "account_id", "category_id", "group", "expires_at",
        "tags", "sequence",
    ),
)  # fmt: skip
_SEARCHED: Final = tuple(_STORED_NAMES.index(name) for name in ("description", "payee", "notes"))


@dataclass
class _Derived:
    """What has to follow from the transactions: totals, turnovers, stems, and when the next one expires."""

    sequence_max: int
    turnovers: dict[str, int]
    next_expiry: str | None = None
    days: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    months: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    transfers: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By group the leg whose other leg has not come yet, as (currency, minor units)."""

    def __post_init__(self) -> None:
        self.stems = array("q", bytes(8 * (self.sequence_max + 1)))
        """By sequence a hash of the stems that a transaction is found by; 0 for none."""

    def add(self, state: list[Any]) -> None:
        """Note what follows from a transaction."""
        status = state[_STATUS]
        if status == "void":
            return
        currency, minor_units = state[_CURRENCY], state[_MINOR_UNITS]
        self.turnovers[currency] = self.turnovers.get(currency, 0) + abs(minor_units)
        tags = state[_TAGS]
        texts = [state[place] for place in _SEARCHED]
        stems = stems_of(texts if tags == "[]" else [*texts, *msgspec.json.decode(tags)])
        if stems:
            self.stems[state[_SEQUENCE]] = _hash(stems)
        if status == "pending":
            expires_at = state[_EXPIRES_AT]
            if expires_at is not None and (self.next_expiry is None or expires_at < self.next_expiry):
                self.next_expiry = expires_at
        else:
            day, type_ = state[_DATE], state[_TYPE]
            _add(self.days, (day, state[_ACCOUNT], type_, currency), minor_units, 1)
            if type_ != "TRANSFER":
                _add(self.months, (day[:7], state[_CATEGORY] or NO_CATEGORY, type_, currency), minor_units, 1)
        if state[_TYPE] == "TRANSFER":
            self._add_leg(state[_GROUP], currency, minor_units)

    def _add_leg(self, group: str, currency: str, minor_units: int) -> None:
        other = self.transfers.pop(group, None)
        if other is None:
            self.transfers[group] = currency, minor_units
        elif (other[0] == currency and other[1] + minor_units != 0) or (other[1] < 0) == (minor_units < 0):
            raise Tampered(f"transactions: the legs of the transfer {group} are not net zero")

    def check(self, connection: Connection, ledger_id: int) -> None:
        """Check what is stored against it."""
        for group in self.transfers:
            raise Tampered(f"transactions {ledger_id}: the transfer {group} has one leg")
        self._check_totals(connection, ledger_id)
        rows = connection.execute(select(table(Turnover)).where(Turnover.ledger_id == ledger_id))
        turnovers = {row.currency: row.minor_units for row in rows}
        for currency in sorted(turnovers.keys() | self.turnovers.keys()):
            stored, expected = turnovers.get(currency, 0), self.turnovers.get(currency, 0)
            _require(stored == expected, f"turnovers {ledger_id}/{currency}: is {stored}, has to be {expected}")
        for sequence, stems in search.stored_stems(connection, ledger_id):
            fits = sequence <= self.sequence_max and self.stems[sequence] == _hash(stems)
            _require(fits, f"stems {ledger_id}/{sequence}: not those of the transaction that entry booked")
            self.stems[sequence] = 0
        missing = next((sequence for sequence, hash_ in enumerate(self.stems) if hash_), None)
        _require(missing is None, f"stems {ledger_id}/{missing}: missing")

    def _check_totals(self, connection: Connection, ledger_id: int) -> None:
        expected: dict[tuple[Any, ...], list[int]] = {}
        for dimension, cells in ((ACCOUNT, self.days), (CATEGORY, self.months)):
            for (period, *of), (minor_units, count) in cells.items():
                for grain in GRAINS[dimension]:
                    key = (dimension, grain, period[: PERIOD_CHARACTERS[grain]], *of)
                    _add(expected, key, minor_units, count)
        rows = connection.execute(
            select(table(Total)).where(Total.ledger_id == ledger_id).execution_options(yield_per=_CHUNK_ROWS)
        )
        for _, *key, minor_units, count in rows:
            wanted = expected.pop(tuple(key), [0, 0])
            _require(
                [minor_units, count] == wanted,
                f"totals {ledger_id}/{'/'.join(map(str, key))}: is {[minor_units, count]}, has to be {wanted}",
            )
        for key, wanted in expected.items():
            raise Tampered(f"totals {ledger_id}/{'/'.join(map(str, key))}: missing, has to be {wanted}")


def _add(cells: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], minor_units: int, count: int) -> None:
    cell = cells.get(key)
    if cell is None:
        cells[key] = [minor_units, count]
    else:
        cell[0] += minor_units
        cell[1] += count


def _hash(stems: list[str]) -> int:
    return hash(" ".join(stems)) or 1


class _Tags:
    """The stored tags, beside the transactions in the order of their ids."""

    def __init__(self, connection: Connection, ledger_id: int) -> None:
        self.ledger_id = ledger_id
        own = table(TransactionTag).c
        date = type_coerce(own.date, String)
        self._rows = iter(
            connection.execute(
                select(own.transaction_id, own.tag, date)
                .where(own.ledger_id == ledger_id)
                .order_by(own.transaction_id, own.tag)
                .execution_options(yield_per=_CHUNK_ROWS)
            )
        )
        self._next: Any = next(self._rows, None)

    def check(self, id_: str, state: list[Any]) -> None:
        """Check the tags of one transaction."""
        if state[_TAGS] == "[]" and (self._next is None or self._next[0] != id_):
            return
        expected = [] if state[_STATUS] == "void" else sorted(msgspec.json.decode(state[_TAGS]), key=str.encode)
        stored = []
        while self._next is not None and self._next[0] <= id_:
            stored.append((self._next[0], self._next[1], str(self._next[2])))
            self._next = next(self._rows, None)
        _require(
            stored == [(id_, tag, state[_DATE]) for tag in expected],
            f"transaction_tags {self.ledger_id}/{id_}: not those of the transaction",
        )

    def check_end(self) -> None:
        """Check that no tag is left over."""
        _require(self._next is None, f"transaction_tags {self.ledger_id}: a tag of no transaction")


def _stored_states(ledger_id: int) -> Select[Any]:
    columns = {column.name: column for column in _as_stored(Transaction).selected_columns}
    return (
        select(table(Transaction).c.id, *(columns[name] for name in _STORED_NAMES))
        .where(table(Transaction).c.ledger_id == ledger_id)
        .order_by(table(Transaction).c.id)
        .execution_options(yield_per=_CHUNK_ROWS)
    )


def _expected_states(
    connection: Connection, ledger_id: int, entries: int
) -> Generator[tuple[str, tuple[Any, ...]], None, None]:
    """What each transaction has to be by its revisions in the journal, in the order of the ids."""
    current: str | None = None
    created_at, state, words = "", (), _words_of(REDACTED)
    version = seen = booked = 0
    with connection.execute(_revisions(ledger_id)) as rows:
        for id_, revision, sequence, line, words_line in rows:
            seen += 1
            if id_ != current:
                if current is not None:
                    yield current, state
                current, version = id_, 0
            version += 1
            if line is None:
                raise Tampered(f"revisions {ledger_id}/{id_}/{revision}: there is no journal entry {sequence}")
            entry = _read_figures(line)
            if (entry.entity, entry.entity_id, entry.revision, revision) != ("transaction", id_, version, version):
                raise Tampered(f"revisions {ledger_id}/{id_}/{revision}: not the revision of journal entry {sequence}")
            if version == 1:
                created_at, booked = entry.recorded_at, sequence
            if words_line is not None:
                words = _words_of(msgspec.json.decode(words_line))
            elif entry.kind == "redact" or entry.words_sha256 is not None:
                words = _words_of(REDACTED)
            state = (*_figures_of(entry.figures), *words, created_at, version, booked)
    if current is not None:
        yield current, state
    _require(seen == entries, f"revisions {ledger_id}: {seen} rows for {entries} entries about transactions")


def _revisions(ledger_id: int) -> Any:
    """Every revision with its entry and its words, transaction by transaction."""
    return (
        select(Revision.transaction_id, Revision.revision, Revision.sequence, JournalEntry.entry, JournalWords.words)
        .outerjoin(
            JournalEntry,
            (JournalEntry.ledger_id == Revision.ledger_id) & (JournalEntry.sequence == Revision.sequence),
        )
        .outerjoin(
            JournalWords,
            (JournalWords.ledger_id == Revision.ledger_id) & (JournalWords.sequence == Revision.sequence),
        )
        .where(Revision.ledger_id == ledger_id)
        .order_by(Revision.transaction_id, Revision.revision)
        .execution_options(yield_per=_CHUNK_ROWS)
    )


def _words_of(words: Any) -> tuple[Any, ...]:
    return tuple(msgspec.json.encode(words[name]).decode() if name == "tags" else words[name] for name in WORDS)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Tampered(otherwise)


def parse_receipt(text: str) -> Head:
    """A head written as SEQUENCE:HASH, as Cashman-Head gives it; ValueError for anything else."""
    sequence, _, hash_ = text.partition(":")
    if not (sequence.isascii() and sequence.isdecimal() and len(hash_) == 64):
        raise ValueError("a receipt is SEQUENCE:HASH, as the header Cashman-Head gives it")
    return Head(int(sequence), bytes.fromhex(hash_))
