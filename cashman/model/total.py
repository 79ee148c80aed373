"""The totals that are kept, in the same commit as the transactions that they add up."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, key_text


class AccountTotal(Base):
    """What the posted transactions of one account in one currency come to, in minor units."""

    __tablename__ = "account_totals"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    currency: Mapped[str] = mapped_column(key_text(3), primary_key=True)
    minor_units: Mapped[int] = mapped_column(BigInteger)
    count: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = {"sqlite_with_rowid": False}
