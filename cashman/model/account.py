"""An account and its schemas: where money is."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from marshmallow import Schema, fields
from marshmallow.validate import OneOf
from sqlalchemy import BigInteger, Date, ForeignKey, Index, false
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, key_text, table
from cashman.limits import ACCOUNT_CHARACTERS_MAX
from cashman.model.fields import Amount, CurrencyCode, Day, Flag, Text
from cashman.model.money import to_decimal
from cashman.translations import message

MAIN_ACCOUNT: Final = "main"
MAIN_ACCOUNT_ID: Final = 1
KINDS: Final = ("cash", "bank", "card", "savings", "loan", "investment", "other")


class Account(Base):
    """Where money is: a pocket, a bank account, a card. Its currency is that of its transactions."""

    __tablename__ = "accounts"

    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1 is the main account; another has the number of the journal entry that opened it."""
    name: Mapped[str] = mapped_column(key_text(ACCOUNT_CHARACTERS_MAX))
    currency: Mapped[str] = mapped_column(key_text(3))
    kind: Mapped[str | None] = mapped_column(key_text(10))
    opening_minor_units: Mapped[int] = mapped_column(BigInteger, server_default="0")
    opening_date: Mapped[dt.date | None] = mapped_column(Date)
    closed: Mapped[bool] = mapped_column(server_default=false())
    version: Mapped[int] = mapped_column(server_default="1")

    __table_args__ = (Index(None, "ledger_id", "name", unique=True),)


FIGURES: Final = tuple(column.name for column in table(Account).c if column.name not in ("ledger_id", "id", "version"))
"""What a journal entry says of an account."""
DEFAULTS: Final[Mapping[str, Any]] = {"kind": None, "opening_minor_units": 0, "opening_date": None, "closed": False}
"""What an account is that says nothing else; the first entries of a journal name no more than name and currency."""


def shown(account: Mapping[str, Any]) -> dict[str, Any]:
    """An account as the wire shows it, its opening balance in currency units."""
    names = ("id", "name", "kind", "currency", "opening_balance", "opening_date", "closed", "version")
    balance = to_decimal(account["opening_minor_units"], account["currency"])
    return {name: balance if name == "opening_balance" else account[name] for name in names}


class AccountSchema(Schema):
    """An account on the wire; a new one names at least its `name`.

    It loads a dict of the given fields, the opening balance in currency units.
    """

    error_messages = {"type": "Has to be a JSON object."}

    id = fields.Integer(dump_only=True)
    name = Text(maximum=ACCOUNT_CHARACTERS_MAX, required=True)
    kind = fields.String(
        allow_none=True,
        validate=OneOf(KINDS, error=message("Not one of {choices}.")),
        metadata={"enum": [*KINDS, None]},
    )
    currency = CurrencyCode()
    opening_balance = Amount(metadata={"description": "In currency units; negative for a debt."})
    opening_date = Day(allow_none=True, metadata={"description": "The day of the opening balance: today."})
    closed = Flag()
    version = fields.Integer(dump_only=True)


class AccountRevisionSchema(AccountSchema):
    """An account as PUT takes it: whole; what never changes may stand in it as it was read. PATCH: `partial=True`."""

    id = fields.Integer(strict=True)
    version = fields.Integer(strict=True)
