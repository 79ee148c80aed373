"""Proof of the books: recompute hashes, sequences, revisions, state and totals from the journal alone.

Two passes in one snapshot, each at flat memory: along the chain, and along the transactions beside their
revisions. The first thing that is not as the journal says is named by `Tampered`.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Date, Enum, Select, String, func, select, type_coerce
from sqlalchemy.exc import DBAPIError

from cashman.db import Base, Database, Instant, JsonText, table
from cashman.journal import GENESIS, Head, hash_entry
from cashman.model.ledger import Account, Category, JournalEntry, JournalHead, JournalWords, LedgerRecord, Revision
from cashman.model.total import AccountTotal
from cashman.model.transaction import FIGURES, REDACTED, WORDS, Transaction

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
        transactions = _check_states(connection, ledger.id, chain.transaction_entries)
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
        self._opened: dict[str, dict[str, Any]] = {"ledger": {}, "account": {}, "category": {}}
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
            self._opened[entry.entity][entry.entity_id] = msgspec.json.decode(entry.figures)
            if entry.entity == "ledger":
                self._opened["ledger"][entry.entity_id]["created_at"] = entry.recorded_at

    def _check_ends(self) -> None:
        ledger_id = self.ledger.id
        stored = self.connection.execute(
            _as_stored(JournalHead).where(JournalHead.ledger_id == ledger_id)
        ).one_or_none()
        expected = (ledger_id, self.head.sequence, self.head.hash, self.recorded_at)
        if stored is None or tuple(stored) != expected:
            raise Tampered(f"journal_heads {ledger_id}: the journal ends at {self.head}, the head says otherwise")
        for entity_id, sequence in self._wordless.items():
            raise Tampered(f"journal_words {ledger_id}/{sequence}: the words of {entity_id} are missing")
        count = self.connection.execute(
            select(func.count()).select_from(JournalWords).where(JournalWords.ledger_id == ledger_id)
        ).scalar_one()
        _require(count == self._word_rows, f"journal_words {ledger_id}: words that belong to no entry")

    def check_names(self) -> None:
        """Check the ledger, its accounts and its categories against the entries that opened them."""
        ledger = self.ledger
        _require(
            self._opened["ledger"] == {ledger.ulid: {"currency": ledger.currency, "created_at": ledger.created_at}},
            f"ledgers {ledger.id}: not as it was opened",
        )
        for entity, model in (("account", Account), ("category", Category)):
            rows = self.connection.execute(_as_stored(model).where(table(model).c.ledger_id == ledger.id))
            stored = {
                str(row.id): {name: value for name, value in row._mapping.items() if name not in ("ledger_id", "id")}
                for row in rows
            }
            for id_ in sorted(stored.keys() | self._opened[entity].keys()):
                _require(
                    stored.get(id_) == self._opened[entity].get(id_),
                    f"{model.__tablename__} {ledger.id}/{id_}: not as it was opened",
                )


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


def _check_states(connection: Connection, ledger_id: int, entries: int) -> int:
    """The second pass: every transaction against its last revision, and the totals against all of them."""
    totals: dict[tuple[int, str], list[int]] = {}
    expected = _expected_states(connection, ledger_id, entries, totals)
    count, id_ = 0, ""
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
            if stored[_STATUS] == "posted":
                total = totals[(stored[_ACCOUNT], stored[_CURRENCY])]
                total[0] += stored[_MINOR_UNITS]
                total[1] += 1
        for wanted_id, _ in expected:
            raise Tampered(f"transactions {ledger_id}/{wanted_id}: missing")
    _check_totals(connection, ledger_id, totals)
    return count


_STORED_NAMES: Final = (*FIGURES, *WORDS, "created_at", "version")
_DATE: Final = _STORED_NAMES.index("date")
_STATUS: Final = _STORED_NAMES.index("status")
_ACCOUNT: Final = _STORED_NAMES.index("account_id")
_CURRENCY: Final = _STORED_NAMES.index("currency")
_MINOR_UNITS: Final = _STORED_NAMES.index("minor_units")


def _stored_states(ledger_id: int) -> Select[Any]:
    columns = {column.name: column for column in _as_stored(Transaction).selected_columns}
    return (
        select(table(Transaction).c.id, *(columns[name] for name in _STORED_NAMES))
        .where(table(Transaction).c.ledger_id == ledger_id)
        .order_by(table(Transaction).c.id)
        .execution_options(yield_per=_CHUNK_ROWS)
    )


def _expected_states(  # noqa: C901  one loop, and what it keeps from row to row
    connection: Connection, ledger_id: int, entries: int, totals: dict[tuple[int, str], list[int]]
) -> Generator[tuple[str, tuple[Any, ...]], None, None]:
    """What each transaction has to be by its revisions in the journal, in the order of the ids.

    `totals` gets a place for each total that has to be kept: of what was ever posted, even where nothing is now.
    """
    current: str | None = None
    created_at, state, words = "", (), _words_of(REDACTED)
    version = seen = 0
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
                created_at = entry.recorded_at
            if words_line is not None:
                words = _words_of(msgspec.json.decode(words_line))
            elif entry.kind == "redact" or entry.words_sha256 is not None:
                words = _words_of(REDACTED)
            figures = _figures_of(entry.figures)
            if figures[_STATUS] == "posted":
                totals.setdefault((figures[_ACCOUNT], figures[_CURRENCY]), [0, 0])
            state = (*figures, *words, created_at, version)
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


def _check_totals(connection: Connection, ledger_id: int, expected: dict[tuple[int, str], list[int]]) -> None:
    """Every kept total against what the transactions add up to."""
    stored = {
        (row.account_id, row.currency): [row.minor_units, row.count]
        for row in connection.execute(select(table(AccountTotal)).where(AccountTotal.ledger_id == ledger_id))
    }
    for of in sorted(stored.keys() | expected.keys()):
        account_id, currency = of
        _require(
            stored.get(of) == expected.get(of),
            f"account_totals {ledger_id}/{account_id}/{currency}: is {stored.get(of)}, has to be {expected.get(of)}",
        )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Tampered(otherwise)


def parse_receipt(text: str) -> Head:
    """A head written as SEQUENCE:HASH, as Cashman-Head gives it; ValueError for anything else."""
    sequence, _, hash_ = text.partition(":")
    if not (sequence.isascii() and sequence.isdecimal() and len(hash_) == 64):
        raise ValueError("a receipt is SEQUENCE:HASH, as the header Cashman-Head gives it")
    return Head(int(sequence), bytes.fromhex(hash_))
