"""The tables around the transactions: ledgers, their accounts and categories, and the journal.

Every key starts with `ledger_id`: one ledger lives in one place. Account and category ids count from 1 within
their ledger; a transaction refers to the id, so that a rename changes no transaction.
"""

import datetime as dt

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, Instant, key_text
from cashman.limits import ACCOUNT_CHARACTERS_MAX, CATEGORY_BYTES_MAX

MAIN_ACCOUNT = "main"


class LedgerRecord(Base):
    """One set of books."""

    __tablename__ = "ledgers"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ulid: Mapped[str] = mapped_column(key_text(26), unique=True)
    currency: Mapped[str] = mapped_column(key_text(3))
    """What a transaction is in when it names none."""
    created_at: Mapped[dt.datetime] = mapped_column(Instant)


class Account(Base):
    """Where money is: a pocket, a bank account, a card."""

    __tablename__ = "accounts"

    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(key_text(ACCOUNT_CHARACTERS_MAX))
    currency: Mapped[str] = mapped_column(key_text(3))

    __table_args__ = (Index(None, "ledger_id", "name", unique=True),)


class Category(Base):
    """A path of names joined by ":", such as Food:Restaurant; made by its first use."""

    __tablename__ = "categories"

    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(key_text(CATEGORY_BYTES_MAX))

    __table_args__ = (Index(None, "ledger_id", "path", unique=True),)


class JournalHead(Base):
    """The newest entry of a ledger's journal; its row is what writers of one ledger queue for."""

    __tablename__ = "journal_heads"

    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)


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

    __table_args__ = {"sqlite_with_rowid": False}
