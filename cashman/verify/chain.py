"""The first pass: along the journal of one ledger, and what it says of the ledger, its accounts and categories."""

import hashlib
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from cashman.db import table
from cashman.journal import GENESIS, Head, hash_entry
from cashman.model.account import DEFAULTS as ACCOUNT_DEFAULTS
from cashman.model.account import Account
from cashman.model.ledger import Category, JournalEntry, JournalHead, JournalWords
from cashman.verify.findings import CHUNK_ROWS, Follow, Tampered, as_stored, readable, require, text_of


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


_read_line = msgspec.json.Decoder(_Line).decode


class ChainWalk:
    """The first pass: along the journal of one ledger."""

    def __init__(self, connection: Connection, ledger: Any, receipt: Head | None, follow: Follow) -> None:
        self.connection = connection
        self.ledger = ledger
        self.receipt = receipt
        self.follow = follow
        self.receipt_seen = False
        self.head = Head(0, GENESIS)
        self.recorded_at = ""
        self.transaction_entries = 0
        self._chart: dict[str, dict[str, Any]] = {"ledger": {}, "account": {}, "category": {}}
        self._chart_sequence = self._renamed_sequence = 0
        self._revisions: dict[tuple[str, str], int] = {}
        self._next_expiry: str | None = None
        self._wordless: dict[str, int] = {}
        self._word_rows = 0

    def walk(self) -> None:
        """Check every entry against the one before it, and the head against the last."""
        rows = self.connection.execute(_entries_and_words(self.ledger.id))
        with rows, readable(lambda: f"journal {self.ledger.id}/{self.head.sequence + 1}"):
            for sequence, line, hash_, words in self.follow(rows):
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
        """Follow what happens to the ledger, its accounts and its categories, each by its revisions."""
        of = entry.entity, entry.entity_id
        require(
            entry.revision == self._revisions.get(of, 0) + 1,
            f"journal {self.ledger.id}/{entry.sequence}: not the next revision of {entry.entity} {entry.entity_id}",
        )
        self._revisions[of] = entry.revision
        self._chart_sequence = entry.sequence
        if entry.kind == "rename":
            self._renamed_sequence = entry.sequence
        of_entity, figures = self._chart[entry.entity], msgspec.json.decode(entry.figures)
        if entry.kind == "delete":
            del of_entity[entry.entity_id]
        elif entry.entity == "account":
            of_entity[entry.entity_id] = {**ACCOUNT_DEFAULTS, **figures, "version": entry.revision}
        elif entry.entity == "category":
            of_entity[entry.entity_id] = figures
        elif entry.kind == "open":
            opened = {"created_at": entry.recorded_at, "closed_until": None, "version": entry.revision}
            of_entity[entry.entity_id] = {**figures, **opened}
        else:
            of_entity[entry.entity_id]["version"] = entry.revision
            if entry.kind == "rename":
                self._move_categories(figures["from"], figures["to"])
            else:
                of_entity[entry.entity_id] |= figures

    def _move_categories(self, source: str, sink: str) -> None:
        below = source + ":"
        for known in self._chart["category"].values():
            if known["path"] == source or known["path"].startswith(below):
                known["path"] = sink + known["path"].removeprefix(source)

    def openings(self) -> dict[str, int]:
        """The magnitudes of the opening balances, by currency."""
        found: dict[str, int] = {}
        for account in self._chart["account"].values():
            found[account["currency"]] = found.get(account["currency"], 0) + abs(account["opening_minor_units"])
        return found

    def check_next_expiry(self, expected: str | None) -> None:
        """Check the head against the pending transactions."""
        require(
            self._next_expiry == expected,
            f"journal_heads {self.ledger.id}: next_expiry is {self._next_expiry}, has to be {expected}",
        )

    def _check_ends(self) -> None:
        ledger_id = self.ledger.id
        stored = self.connection.execute(as_stored(JournalHead).where(JournalHead.ledger_id == ledger_id)).one_or_none()
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
        require(count == self._word_rows, f"journal_words {ledger_id}: words that belong to no entry")

    def check_names(self) -> None:
        """Check the ledger, its accounts and its categories against what the journal says of them."""
        ledger, stated = self.ledger, self._chart["ledger"].get(self.ledger.ulid, {})
        stored = {name: text_of(getattr(ledger, name)) for name in stated}
        require(
            len(self._chart["ledger"]) == 1 and bool(stated) and stored == stated,
            f"ledgers {ledger.id}: not as the journal says",
        )
        for entity, model in (("account", Account), ("category", Category)):
            rows = self.connection.execute(as_stored(model).where(table(model).c.ledger_id == ledger.id))
            found = {
                str(row.id): {
                    name: text_of(value) for name, value in row._mapping.items() if name not in ("ledger_id", "id")
                }
                for row in rows
            }
            for id_ in sorted(found.keys() | self._chart[entity].keys()):
                require(
                    found.get(id_) == self._chart[entity].get(id_),
                    f"{model.__tablename__} {ledger.id}/{id_}: not as the journal says",
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
        .execution_options(yield_per=CHUNK_ROWS)
    )
