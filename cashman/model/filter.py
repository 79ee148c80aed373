"""What a list is asked for, and its schema: every list, report and export goes through this one filter."""

import base64
import binascii
import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from marshmallow import Schema, ValidationError, fields, post_load, validates_schema
from marshmallow.validate import OneOf

from cashman.limits import (
    ACCOUNT_CHARACTERS_MAX,
    AMOUNT_CHARACTERS_MAX,
    CURSOR_CHARACTERS_MAX,
    MINOR_UNITS_MAX,
    PAGE_ROWS_DEFAULT,
    PAGE_ROWS_MAX,
)
from cashman.model.fields import ULID_PATTERN, CategoryPath, CurrencyCode, Day, Text, WholeNumber
from cashman.model.money import AmountError, parse_amount
from cashman.model.transaction_type import TransactionType

# A client can forge a cursor: what a column cannot hold is refused before it reaches a database.
_Id = Annotated[str, msgspec.Meta(pattern=rf"^{ULID_PATTERN}\Z")]
_Code = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
_MinorUnits = Annotated[int, msgspec.Meta(ge=-MINOR_UNITS_MAX, le=MINOR_UNITS_MAX)]
_Instant = Annotated[dt.datetime, msgspec.Meta(tz=True)]

SORT_KEYS: Final[dict[str, tuple[tuple[str, Any], ...]]] = {
    "date": (("date", dt.date), ("id", _Id)),
    "amount": (("currency", _Code), ("minor_units", _MinorUnits), ("id", _Id)),
    "created_at": (("created_at", _Instant), ("id", _Id)),
}
"""The columns that each order goes by, with the type of their values; amounts of two currencies have no order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which transactions, in which order, from where on; amounts are magnitudes in currency units."""

    type: TransactionType | None = None
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    currency: str | None = None
    account: str | None = None
    category: str | None = None
    sort: str = "date"
    descending: bool = True
    limit: int = PAGE_ROWS_DEFAULT
    after: tuple[Any, ...] | None = None
    """The key of the row before the page, as in SORT_KEYS."""

    def cursor(self, key: tuple[Any, ...]) -> str:
        """The opaque text that stands for the page after a key of this same query."""
        return base64.urlsafe_b64encode(msgspec.json.encode([self._digest(), *key])).decode().rstrip("=")

    def _digest(self) -> str:
        """What ties a cursor to its query; the page size may change on the way."""
        query = (
            self.type, self.first_day, self.last_day, self.min_amount, self.max_amount,
            self.currency, self.account, self.category, self.sort, self.descending,
        )  # fmt: skip
        return hashlib.sha256(msgspec.json.encode(query)).hexdigest()[:16]

    def key_of(self, cursor: str) -> tuple[Any, ...]:
        """The key that a cursor of this query stands for; ValueError for any other text."""
        types = [type_ for _, type_ in SORT_KEYS[self.sort]]
        try:
            document = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            digest, *key = msgspec.json.decode(document, type=tuple.__class_getitem__((str, *types)))
        except (binascii.Error, msgspec.MsgspecError, UnicodeError) as error:
            raise ValueError("not a cursor") from error
        if digest != self._digest() or self.cursor(tuple(key)) != cursor:
            raise ValueError("a cursor of another query")
        return tuple(key)


class Magnitude(fields.Field[Decimal]):
    """An amount without a sign, in currency units."""

    openapi = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "maxLength": AMOUNT_CHARACTERS_MAX}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Decimal:
        try:
            amount = parse_amount(value)
        except AmountError as error:
            raise ValidationError(str(error)) from None
        if amount.is_signed():
            raise ValidationError("A magnitude has no sign: expenses are found by it too.")
        return amount


class FilterSchema(Schema):
    """The query parameters of a list of one type of transaction, or of all."""

    def __init__(self, *, type: TransactionType | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.type = type

    from_ = Day(data_key="from", attribute="first_day", metadata={"description": "The first day."})
    to = Day(attribute="last_day", metadata={"description": "The last day."})
    min_amount = Magnitude(metadata={"description": "The smallest amount, without sign, in currency units."})
    max_amount = Magnitude(metadata={"description": "The largest amount, without sign, in currency units."})
    currency = CurrencyCode()
    account = Text(maximum=ACCOUNT_CHARACTERS_MAX)
    category = CategoryPath(metadata={"description": "This category and all below it."})
    sort = fields.String(
        validate=OneOf([sign + key for key in SORT_KEYS for sign in ("", "-")]),
        metadata={"description": "The order; with - the largest or newest first. Ties go by id."},
    )
    limit = WholeNumber(
        minimum=1, maximum=PAGE_ROWS_MAX, metadata={"description": f"Rows on a page ({PAGE_ROWS_DEFAULT})."}
    )
    cursor = Text(
        maximum=CURSOR_CHARACTERS_MAX,
        metadata={"description": "Where the page starts: from the `Link` header of the one before."},
    )

    @validates_schema
    def check_ranges(self, data: Mapping[str, Any], **_: Any) -> None:
        if "first_day" in data and "last_day" in data and data["first_day"] > data["last_day"]:
            raise ValidationError("May not be after `to`.", "from")
        if "min_amount" in data and "max_amount" in data and data["min_amount"] > data["max_amount"]:
            raise ValidationError("May not be above `max_amount`.", "min_amount")

    @post_load
    def make_filter(self, data: dict[str, Any], **_: Any) -> Filter:
        cursor = data.pop("cursor", None)
        sort = data.pop("sort", "-date")
        found = Filter(**data, type=self.type, sort=sort.removeprefix("-"), descending=sort.startswith("-"))
        if cursor is None:
            return found
        try:
            return replace(found, after=found.key_of(cursor))
        except ValueError:
            raise ValidationError("Not a cursor that this query was answered with.", "cursor") from None
