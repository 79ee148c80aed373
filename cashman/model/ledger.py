"""The tables around the transactions: ledgers, their categories, and the journal.

Every key starts with `ledger_id`: one ledger lives in one place. A transaction refers to its account and its
category by small integers, so that a rename changes no transaction.
"""

import datetime as dt

from sqlalchemy import BigInteger, Date, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, Instant, key_text
from cashman.limits import CATEGORY_BYTES_MAX, NAME_CHARACTERS_MAX


class LedgerRecord(Base):
    """One set of books."""

    __tablename__ = "ledgers"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ulid: Mapped[str] = mapped_column(key_text(26), unique=True)
    currency: Mapped[str] = mapped_column(key_text(3))
    """That of the main account, and of an account that names none."""
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    closed_until: Mapped[dt.date | None] = mapped_column(Date)
    """The last day that no write may touch any more."""
    version: Mapped[int] = mapped_column(server_default="1")
    """How often days were closed or categories renamed, and 1."""
    name: Mapped[str | None] = mapped_column(key_text(NAME_CHARACTERS_MAX))
    """What its members call it."""
    cursor_secret: Mapped[bytes] = mapped_column(LargeBinary(32), server_default=text("''"))
    """What cursors are sealed with."""


class Category(Base):
    """A path of names joined by ":", such as Food:Restaurant; made by its first use.

    Categories that were merged have the same path; the one with the smallest id takes what is new.
    """

    __tablename__ = "categories"

    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(key_text(CATEGORY_BYTES_MAX))

    __table_args__ = (Index(None, "ledger_id", "path", "id"),)


class JournalHead(Base):
    """The newest entry of a ledger's journal; its row is what writers of one ledger queue for."""

    __tablename__ = "journal_heads"

    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)
    chart_sequence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The newest entry about the ledger itself, an account or a category: what is known of them is good until then."""
    renamed_sequence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The newest entry that gave something another name, and so changed how transactions are shown; 0 for none."""
    next_expiry: Mapped[dt.datetime | None] = mapped_column(Instant)
    """When the first of the pending transactions expires."""


class JournalEntry(Base):
    """One change, for ever: triggers refuse UPDATE and DELETE."""

    __tablename__ = "journal"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry: Mapped[str] = mapped_column(Text)
    """The JSON line that was hashed."""
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class JournalWords(Base):
    """The personal text of an entry, apart from it, so that it can be erased while the chain still verifies."""

    __tablename__ = "journal_words"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    words: Mapped[str] = mapped_column(Text)
    """The JSON line that the entry's `words_sha256` is the hash of."""


class Revision(Base):
    """Which journal entry is which revision of which transaction: the way to a transaction's history."""

    __tablename__ = "revisions"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    transaction_id: Mapped[str] = mapped_column(key_text(26), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger)
    asked: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """Of a first revision under an id of the client's a hash of the names that were asked for: they may change."""

    __table_args__ = {"sqlite_with_rowid": False}
