"""What is read: the state of transactions, pages of them, and their revisions from the journal."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Connection,
    Row,
    bindparam,
    func,
    select,
    text,
)

from cashman import journal
from cashman.db import table
from cashman.journal import Head
from cashman.model.ledger import JournalEntry, JournalWords, Revision
from cashman.model.tag import TransactionTag
from cashman.model.transaction import COLUMNS, REDACTED, WORDS, Transaction, read_figures

State = dict[str, Any]
"""A transaction as its row is: every column but the ledger's."""

COLUMN_NAMES: Final = tuple(column.name for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class Version:
    """One revision of a transaction: what the journal says, and the state that it led to."""

    kind: str
    recorded_at: str
    actor: str
    head: Head
    state: State


_of_ledger = Transaction.ledger_id == bindparam("ledger_id")
_states = select(*COLUMNS).where(_of_ledger)
_states_by_id = _states.where(Transaction.id.in_(bindparam("keys", expanding=True)))
_states_by_group = _states.where(Transaction.group.in_(bindparam("groups", expanding=True)))
_is_pending = text("transactions.status = 'pending'")  # a literal, or its partial index could not be used
_pending_until = _states.where(_is_pending, Transaction.expires_at <= bindparam("until")).order_by(Transaction.sequence)
_revisions = (
    select(JournalEntry.sequence, JournalEntry.entry, JournalEntry.hash, JournalWords.words)
    .join_from(
        Revision,
        JournalEntry,
        (JournalEntry.ledger_id == Revision.ledger_id) & (JournalEntry.sequence == Revision.sequence),
    )
    .outerjoin(
        JournalWords,
        (JournalWords.ledger_id == JournalEntry.ledger_id) & (JournalWords.sequence == JournalEntry.sequence),
    )
    .where(Revision.ledger_id == bindparam("ledger_id"), Revision.transaction_id == bindparam("transaction_id"))
    .order_by(Revision.revision)
)


def states_by_id(connection: Connection, ledger_id: int, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """The transactions of some ids, void ones too."""
    return connection.execute(_states_by_id, {"ledger_id": ledger_id, "keys": ids}).all() if ids else []


def states_by_group(connection: Connection, ledger_id: int, groups: Sequence[str]) -> Sequence[Row[Any]]:
    """The transactions of some groups, void ones too."""
    return connection.execute(_states_by_group, {"ledger_id": ledger_id, "groups": groups}).all() if groups else []


def pending_until(connection: Connection, ledger_id: int, until: dt.datetime) -> Sequence[Row[Any]]:
    """Pending transactions that expire until an instant."""
    return connection.execute(_pending_until, {"ledger_id": ledger_id, "until": until}).all()


def versions(connection: Connection, ledger_id: int, transaction_id: str) -> list[Version]:
    """Every revision of a transaction, oldest first; nothing where the id was never booked.

    Words that were erased read as REDACTED.
    """
    rows = connection.execute(_revisions, {"ledger_id": ledger_id, "transaction_id": transaction_id}).all()
    found: list[Version] = []
    for row in rows:
        found.append(
            _version(transaction_id, row, found[0].state if found else None, found[-1].state if found else REDACTED)
        )
    return found


def _version(transaction_id: str, row: Any, first: State | None, before: Mapping[str, Any]) -> Version:
    sequence, line, hash_, words_line = row
    entry = msgspec.json.decode(line, type=journal.Entry)
    if words_line is not None:
        words = msgspec.json.decode(words_line)
    elif entry.words_sha256 is not None or entry.kind == "redact":
        words = REDACTED
    else:
        words = before
    state = {
        "id": transaction_id,
        **read_figures(entry.figures),
        **{name: words[name] for name in WORDS},
        "created_at": first["created_at"] if first else dt.datetime.fromisoformat(entry.recorded_at),
        "version": entry.revision,
        "sequence": first["sequence"] if first else sequence,
    }
    return Version(entry.kind, entry.recorded_at, entry.actor, Head(sequence, hash_), state)


def tags(connection: Connection, ledger_id: int) -> list[str]:
    """The tags in use, sorted: from one to the next in their index, however often each is used."""
    own = table(TransactionTag).c
    first = (
        select(func.min(own.tag).label("tag"))
        .where(own.ledger_id == bindparam("ledger_id"))
        .cte("tags", recursive=True)
    )
    following = (
        select(func.min(own.tag))
        .where(own.ledger_id == bindparam("ledger_id"), own.tag > first.c.tag)
        .scalar_subquery()
    )
    every = first.union_all(select(following).where(first.c.tag.is_not(None)))
    statement = select(every.c.tag).where(every.c.tag.is_not(None))
    return list(connection.execute(statement, {"ledger_id": ledger_id}).scalars())
