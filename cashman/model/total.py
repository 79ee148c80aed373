"""The totals that are kept, in the same commit as the transactions that they add up."""

from typing import Final

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, key_text

ACCOUNT: Final = "account"
CATEGORY: Final = "category"
NO_CATEGORY: Final = 0

GRAINS: Final = {ACCOUNT: ("day", "month"), CATEGORY: ("month", "year")}
"""By dimension the lengths of the periods that are added up, finest first.

Finer ones would be as many as transactions; a coarser one of accounts would save little, as there are few accounts.
"""


class Total(Base):
    """What the posted transactions of one type come to, in one period, of one account or category, in minor units."""

    __tablename__ = "totals"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    dimension: Mapped[str] = mapped_column(key_text(8), primary_key=True)
    grain: Mapped[str] = mapped_column(key_text(5), primary_key=True)
    period: Mapped[str] = mapped_column(key_text(10), primary_key=True)
    """2026, 2026-11 or 2026-11-20, as the grain says."""
    of_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The id of the account or category."""
    type: Mapped[str] = mapped_column(key_text(8), primary_key=True)
    currency: Mapped[str] = mapped_column(key_text(3), primary_key=True)
    minor_units: Mapped[int] = mapped_column(BigInteger)
    count: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = {"sqlite_with_rowid": False}


class Turnover(Base):
    """What all amounts of one currency come to without their signs, opening balances among them, in minor units.

    While this fits into 64 bits every total and every balance does, whatever it adds up.
    """

    __tablename__ = "turnovers"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(key_text(3), primary_key=True)
    minor_units: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = {"sqlite_with_rowid": False}
