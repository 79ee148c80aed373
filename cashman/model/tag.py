"""The tags of the transactions that stand, to find them by."""

import datetime as dt

from sqlalchemy import Date
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, key_text
from cashman.limits import TAG_CHARACTERS_MAX


class TransactionTag(Base):
    """One tag of one transaction; the date beside it, so that a tag's list is read in the order of its pages."""

    __tablename__ = "transaction_tags"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(key_text(TAG_CHARACTERS_MAX), primary_key=True)
    date: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    transaction_id: Mapped[str] = mapped_column(key_text(26), primary_key=True)

    __table_args__ = {"sqlite_with_rowid": False}
