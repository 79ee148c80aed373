"""Transfer: money that goes from one account to another, and its schemas."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from marshmallow import ValidationError, post_load, validates_schema
from ulid import ULID

from cashman.db import utc_now
from cashman.limits import ACCOUNT_CHARACTERS_MAX, DESCRIPTION_CHARACTERS_MAX
from cashman.model.fields import Amount, CurrencyCode, Text
from cashman.model.money import AmountError, to_minor_units
from cashman.model.transaction import (
    BookedFields,
    RevisionSchema,
    Transaction,
    TransactionFields,
    member_id,
)
from cashman.model.transaction_type import TransactionType

DEFAULT_DESCRIPTION: Final = "Transfer"


class Transfer(Transaction):
    """One leg of a transfer: negative where the money leaves, positive where it arrives."""

    __mapper_args__ = {"polymorphic_identity": TransactionType.TRANSFER}


class TransferFields(TransactionFields):
    """Every field of a transfer on the wire, in its order: both legs at once."""

    description = Text(maximum=DESCRIPTION_CHARACTERS_MAX)
    from_ = Text(maximum=ACCOUNT_CHARACTERS_MAX, required=True, data_key="from", attribute="from")
    to = Text(maximum=ACCOUNT_CHARACTERS_MAX, required=True)
    amount = Amount(required=True, metadata={"description": "What goes out, in currency units of `from`."})
    currency = CurrencyCode()
    to_amount = Amount(metadata={"description": "What comes in: needed where the accounts have two currencies."})
    to_currency = CurrencyCode()

    class Meta:
        exclude = ("type", "account", "category", "group")


def _check_positive(data: Mapping[str, Any]) -> None:
    errors = {name: ["Has to be positive."] for name in ("amount", "to_amount") if name in data and data[name] <= 0}
    if errors:
        raise ValidationError(errors)


class TransferSchema(BookedFields, TransferFields):
    """A transfer on the wire; it loads as its two legs, what goes out first."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("dump_only", ("currency", "to_currency", "created_at", "version"))
        super().__init__(**kwargs)

    @validates_schema
    def check_legs(self, data: Mapping[str, Any], **_: Any) -> None:
        """Two accounts, and in one currency as much in as out."""
        if data["from"] == data["to"]:
            raise ValidationError("A transfer goes to another account.", "to")
        _check_positive(data)
        currency, to_currency = self.currency_of(data["from"]), self.currency_of(data["to"])
        if "to_amount" in data and currency == to_currency and data["to_amount"] != data["amount"]:
            raise ValidationError("In one currency what goes out comes in.", "to_amount")
        for name, code in (("amount", currency), ("to_amount", to_currency)):
            if name in data:
                _check_money(data[name], code, name)

    @post_load
    def make_transfer(self, data: dict[str, Any], **_: Any) -> list[Transaction]:
        given = tuple(data)
        amount = data.pop("amount")
        currencies = [self.currency_of(data["from"]), self.currency_of(data["to"])]
        if "to_amount" not in data:  # then the ledger asks that the accounts have one currency
            currencies[1] = currencies[0]
        ends = ((data.pop("from"), -amount), (data.pop("to"), data.pop("to_amount", amount)))
        group = data.pop("id", None) or str(ULID.from_datetime(utc_now()))
        data.setdefault("description", DEFAULT_DESCRIPTION)
        legs: list[Transaction] = []
        for place, (account, signed) in enumerate(ends):
            leg = Transfer(
                **data,
                amount=signed,
                account=account,
                currency=currencies[place],
                id=member_id(group, place),
                group=group,
            )
            leg.account_field = ("from", "to")[place]
            leg.given = (*(name for name in given if name not in ("from", "to", "to_amount")), "account")
            leg.expires_at = legs[0].expires_at if legs else leg.expires_at  # to the microsecond
            legs.append(leg)
        return legs


def _check_money(amount: Decimal, currency: str, field_name: str) -> None:
    try:
        to_minor_units(amount, currency)
    except AmountError as error:
        raise ValidationError(error.rule, field_name) from None


class TransferRevisionSchema(RevisionSchema, TransferFields):
    """A transfer as PUT takes it: whole; with `partial=True` as PATCH does."""

    description = Text(maximum=DESCRIPTION_CHARACTERS_MAX)

    @validates_schema
    def check_positive(self, data: Mapping[str, Any], **_: Any) -> None:
        """Which way the money goes is said by the accounts."""
        _check_positive(data)


DEFAULTS: Final[Mapping[str, Any]] = {"description": DEFAULT_DESCRIPTION, "tags": [], "payee": None, "notes": None}
"""What a field of a transfer is that PUT leaves out."""
