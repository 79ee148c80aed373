"""The second pass: along the transactions beside their revisions."""

from collections.abc import Generator
from contextlib import closing
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, select

from cashman.db import table
from cashman.model.ledger import JournalEntry, JournalWords, Revision
from cashman.model.transaction import FIGURES, REDACTED, WORDS, Transaction
from cashman.verify.derived import STORED_NAMES, Derived, Tags
from cashman.verify.findings import CHUNK_ROWS, Follow, Tampered, as_stored, readable, require


class _Figures(msgspec.Struct):
    """What the second pass reads of an entry."""

    kind: str
    entity: str
    entity_id: str
    revision: int
    recorded_at: str
    figures: dict[str, Any]
    words_sha256: str | None


_read_figures = msgspec.json.Decoder(_Figures).decode
_figures_of = itemgetter(*FIGURES)
_DATE: Final = STORED_NAMES.index("date")


def check_states(connection: Connection, ledger_id: int, entries: int, derived: Derived, follow: Follow) -> int:
    """The second pass: every transaction against its last revision; what has to follow from it is noted."""
    expected = _expected_states(connection, ledger_id, entries)
    count, id_ = 0, ""
    tags = Tags(connection, ledger_id)
    rows = connection.execute(_stored_states(ledger_id))
    with rows, tags.rows, closing(expected), readable(lambda: f"revisions {ledger_id}, after {id_!r}"):
        for id_, *stored in follow(rows):
            wanted_id, wanted = next(expected, (None, ()))
            if id_ != wanted_id:
                missing = id_ if wanted_id is None or id_ < wanted_id else wanted_id
                raise Tampered(f"transactions {ledger_id}/{missing}: the journal and the state do not both have it")
            stored[_DATE] = str(stored[_DATE])
            if tuple(stored) != wanted:
                names = [name for name, a, b in zip(STORED_NAMES, stored, wanted, strict=True) if a != b]
                raise Tampered(f"transactions {ledger_id}/{id_}: {', '.join(names)} not as the journal says")
            count += 1
            derived.add(stored)
            tags.check(id_, stored)
        for wanted_id, _ in expected:
            raise Tampered(f"transactions {ledger_id}/{wanted_id}: missing")
        tags.check_end()
    return count


def _stored_states(ledger_id: int) -> Select[Any]:
    columns = {column.name: column for column in as_stored(Transaction).selected_columns}
    return (
        select(table(Transaction).c.id, *(columns[name] for name in STORED_NAMES))
        .where(table(Transaction).c.ledger_id == ledger_id)
        .order_by(table(Transaction).c.id)
        .execution_options(yield_per=CHUNK_ROWS)
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
    require(seen == entries, f"revisions {ledger_id}: {seen} rows for {entries} entries about transactions")


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
        .execution_options(yield_per=CHUNK_ROWS)
    )


def _words_of(words: Any) -> tuple[Any, ...]:
    return tuple(msgspec.json.encode(words[name]).decode() if name == "tags" else words[name] for name in WORDS)
