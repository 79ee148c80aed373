"""The journal: an append-only chain of entries, each holding the hash of the one before.

An entry is one JSON line, stored as the bytes that were hashed; nothing is serialized again to check it. Its
hash is SHA-256 over `cashman-journal-v1`, a newline, and those bytes. Personal text lies beside it, salted, in
a line of its own that the entry's `words_sha256` is the hash of, so that it can be erased later.
"""

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from cashman.db import insert_rows, rfc3339, table, utc_now
from cashman.model.ledger import JournalEntry, JournalHead, JournalWords, LedgerRecord

DOMAIN: Final = b"cashman-journal-v1\n"
GENESIS: Final = bytes(32)
"""What the first entry names as the hash before it."""

_SALT_BYTES: Final = 16
_SALTS_AT_ONCE: Final = 32
_ONE_MICROSECOND: Final = dt.timedelta(microseconds=1)


class Entry(msgspec.Struct):
    """What an entry says, in the order in which it is written."""

    v: int
    ledger: str
    sequence: int
    kind: str
    """create, replace, void, restore, open, …"""
    entity: str
    """ledger, account, category, transaction."""
    entity_id: str
    revision: int
    recorded_at: str
    actor: str
    figures: dict[str, Any]
    """Everything that a balance or a report depends on; amounts in minor units."""
    words_sha256: str | None
    """None where the entry brings no words: those of the entity's earlier entries stand."""
    previous: str


class Head(NamedTuple):
    """The newest entry of a journal: what a client keeps as its receipt."""

    sequence: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash.hex()}"


def hash_entry(line: bytes) -> bytes:
    """The hash of an entry, from its stored line."""
    return hashlib.sha256(DOMAIN + line).digest()


_encode = msgspec.json.Encoder().encode

chart_hash = (
    select(JournalEntry.hash)
    .where(JournalEntry.ledger_id == JournalHead.ledger_id, JournalEntry.sequence == JournalHead.chart_sequence)
    .correlate(JournalHead)
    .scalar_subquery()
    .label("chart_hash")
)
"""The newest entry about the chart by its hash: on a standby that was promoted its number may be another entry's.

Nothing where PostgreSQL has waited for the head of a writer that has just appended it.
"""

_locked_head = (
    select(
        LedgerRecord.ulid,
        JournalHead.sequence,
        JournalHead.hash,
        JournalHead.recorded_at,
        JournalHead.chart_sequence,
        chart_hash,
        JournalHead.renamed_sequence,
        JournalHead.next_expiry,
    )
    .join_from(JournalHead, LedgerRecord, LedgerRecord.id == JournalHead.ledger_id)
    .where(JournalHead.ledger_id == bindparam("ledger_id"))
    .with_for_update(of=JournalHead)
)
_head = select(JournalHead.sequence, JournalHead.hash).where(JournalHead.ledger_id == bindparam("ledger_id"))
_move_head = (
    update(JournalHead)
    .where(JournalHead.ledger_id == bindparam("of_ledger"), JournalHead.sequence == bindparam("from_sequence"))
    .values(
        sequence=bindparam("sequence"),
        hash=bindparam("hash"),
        recorded_at=bindparam("recorded_at"),
        chart_sequence=bindparam("chart_sequence"),
        renamed_sequence=bindparam("renamed_sequence"),
        next_expiry=bindparam("next_expiry"),
    )
)


def head(connection: Connection, ledger_id: int) -> Head:
    """The head that a read in this transaction is made at."""
    return Head(*connection.execute(_head, {"ledger_id": ledger_id}).one())


_feed = (
    select(JournalEntry.sequence, JournalEntry.entry, JournalEntry.hash, JournalWords.words)
    .outerjoin(
        JournalWords,
        (JournalWords.ledger_id == JournalEntry.ledger_id) & (JournalWords.sequence == JournalEntry.sequence),
    )
    .where(JournalEntry.ledger_id == bindparam("ledger_id"), JournalEntry.sequence > bindparam("after"))
    .order_by(JournalEntry.sequence)
    .limit(bindparam("limit"))
)


def feed(connection: Connection, ledger_id: int, after: int, limit: int) -> tuple[Sequence[Any], Head]:
    """The entries after a sequence number, each with its hash and its words, and the head they were read at."""
    newest = head(connection, ledger_id)
    parameters = {"ledger_id": ledger_id, "after": after, "limit": limit}
    return connection.execute(_feed, parameters).all(), newest


def _salts() -> Iterator[str]:
    """Salts, of which the system is asked for some at once: that is dear, and an import takes many."""
    while True:
        some = secrets.token_hex(_SALT_BYTES * _SALTS_AT_ONCE)
        yield from (some[at : at + 2 * _SALT_BYTES] for at in range(0, len(some), 2 * _SALT_BYTES))


class Chain:
    """The journal of one ledger while a transaction that holds its head appends to it."""

    def __init__(self, ledger_id: int, ulid: str, head: Head, recorded_at: dt.datetime) -> None:
        self.ledger_id = ledger_id
        self.ulid = ulid
        self.head = head
        self.recorded_at = recorded_at
        self.chart_sequence = 0
        """The newest entry that is not about a transaction."""
        self.chart_hash: bytes | None = None
        """Its hash as the transaction has found it; None where it is not known."""
        self.renamed_sequence = 0
        """The newest entry that gave something another name."""
        self.next_expiry: dt.datetime | None = None
        self._stored = head.sequence
        self._entries: list[dict[str, Any]] = []
        self._words: list[dict[str, Any]] = []
        self._salts = _salts()

    @classmethod
    def lock(cls, connection: Connection, ledger_id: int) -> "Chain":
        """Take the head of a ledger's journal until the transaction ends."""
        row = connection.execute(_locked_head, {"ledger_id": ledger_id}).one()
        chain = cls(ledger_id, row.ulid, Head(row.sequence, row.hash), row.recorded_at)
        chain.chart_sequence, chain.renamed_sequence = row.chart_sequence, row.renamed_sequence
        chain.chart_hash = row.chart_hash
        chain.next_expiry = row.next_expiry
        return chain

    def append(
        self,
        *,
        kind: str,
        entity: str,
        entity_id: str,
        revision: int,
        actor: str,
        figures: dict[str, Any],
        words: Mapping[str, Any] | None = None,
    ) -> Head:
        """Append one entry; it is stored by `store`."""
        self.recorded_at = max(utc_now(), self.recorded_at + _ONE_MICROSECOND)
        sequence = self.head.sequence + 1
        words_sha256 = None
        if words is not None:
            words_line = _encode({"salt": next(self._salts), **words})
            words_sha256 = hashlib.sha256(words_line).hexdigest()
            self._words.append({"ledger_id": self.ledger_id, "sequence": sequence, "words": words_line.decode()})
        line = _encode(
            Entry(
                1,
                self.ulid,
                sequence,
                kind,
                entity,
                entity_id,
                revision,
                rfc3339(self.recorded_at),
                actor,
                figures,
                words_sha256,
                self.head.hash.hex(),
            )
        )
        self.head = Head(sequence, hash_entry(line))
        if entity != "transaction":
            self.chart_sequence = sequence
        if kind == "rename":
            self.renamed_sequence = sequence
        self._entries.append(
            {"ledger_id": self.ledger_id, "sequence": sequence, "entry": line.decode(), "hash": self.head.hash}
        )
        return self.head

    def now(self) -> dt.datetime:
        """The instant by which this batch goes: never before what is recorded."""
        return max(utc_now(), self.recorded_at)

    def mark(self) -> tuple[Any, ...]:
        """Where the chain stands, for `go_back`."""
        stands = self.head, self.recorded_at, self.chart_sequence, self.renamed_sequence
        return *stands, len(self._entries), len(self._words)

    def go_back(self, mark: tuple[Any, ...]) -> None:
        """Forget what was appended since a mark; nothing of it has been stored."""
        self.head, self.recorded_at, self.chart_sequence, self.renamed_sequence, entries, words = mark
        del self._entries[entries:], self._words[words:]

    def store(self, connection: Connection) -> None:
        """Write what was appended, and move the head."""
        if not self._entries:
            return
        insert_rows(connection, table(JournalEntry), self._entries)
        insert_rows(connection, table(JournalWords), self._words)
        moved = connection.execute(
            _move_head,
            {
                "of_ledger": self.ledger_id,
                "from_sequence": self._stored,
                "sequence": self.head.sequence,
                "hash": self.head.hash,
                "recorded_at": self.recorded_at,
                "chart_sequence": self.chart_sequence,
                "renamed_sequence": self.renamed_sequence,
                "next_expiry": self.next_expiry,
            },
        )
        assert moved.rowcount == 1, "the head moved although its row was held"
