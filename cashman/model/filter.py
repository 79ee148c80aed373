"""What a list is asked for, and its schema: every list, report and export goes through this one filter."""

import base64
import binascii
import datetime as dt
import hmac
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from marshmallow import Schema, ValidationError, fields, post_load, validates_schema
from marshmallow.validate import OneOf

from cashman.errors import Invalid
from cashman.limits import (
    ACCOUNT_CHARACTERS_MAX,
    AMOUNT_CHARACTERS_MAX,
    CURSOR_CHARACTERS_MAX,
    INT64_MAX,
    MINOR_UNITS_MAX,
    PAGE_ROWS_DEFAULT,
    PAGE_ROWS_MAX,
    PAYEE_CHARACTERS_MAX,
    SEARCH_CHARACTERS_MAX,
    TAG_CHARACTERS_MAX,
    TAGS_MAX,
)
from cashman.model.fields import ULID_PATTERN, CategoryPath, CurrencyCode, Day, ShortList, Text, Ulid, WholeNumber
from cashman.model.money import AmountError, parse_amount
from cashman.model.transaction import STATUSES
from cashman.model.transaction_type import TransactionType
from cashman.stems import stems_of
from cashman.translations import message

# A client can forge a cursor: what a column cannot hold is refused before it reaches a database.
_Id = Annotated[str, msgspec.Meta(pattern=rf"^{ULID_PATTERN}\Z")]
_Code = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
_MinorUnits = Annotated[int, msgspec.Meta(ge=-MINOR_UNITS_MAX, le=MINOR_UNITS_MAX)]
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]

SORT_KEYS: Final[dict[str, tuple[tuple[str, Any], ...]]] = {
    "date": (("date", dt.date), ("id", _Id)),
    "amount": (("currency", _Code), ("minor_units", _MinorUnits), ("id", _Id)),
    "created_at": (("sequence", _Sequence),),
}
"""The columns that each order goes by, with the type of their values.

Amounts of two currencies have no order; the journal's sequence is the order of `created_at`.
"""


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
    tags: tuple[str, ...] = ()
    payee: str | None = None
    status: str | None = None
    group: str | None = None
    stems: tuple[str, ...] | None = None
    """The stems of `q`, all of which have to be there; without any, nothing is found."""
    sort: str = "date"
    descending: bool = True
    limit: int = PAGE_ROWS_DEFAULT
    cursor: str | None = None
    """Where the page starts, as `cursor_after` gave it."""

    def cursor_after(self, key: tuple[Any, ...], secret: bytes) -> str:
        """The opaque text that stands for the page of this same query after a row with a key as in SORT_KEYS."""
        document = msgspec.json.encode(key)
        return base64.urlsafe_b64encode(self._seal(document, secret) + document).decode().rstrip("=")

    def after(self, secret: bytes) -> tuple[Any, ...] | None:
        """The key that the cursor stands for; Invalid for one that this query was never answered with."""
        if self.cursor is None:
            return None
        try:
            sealed = base64.urlsafe_b64decode(self.cursor.encode("ascii") + b"=" * (-len(self.cursor) % 4))
            document = sealed[_SEAL_BYTES:]
            if hmac.compare_digest(sealed[:_SEAL_BYTES], self._seal(document, secret)):
                types = tuple(type_ for _, type_ in SORT_KEYS[self.sort])
                key: tuple[Any, ...] = msgspec.json.decode(document, type=tuple.__class_getitem__(types))
                if self.cursor_after(key, secret) == self.cursor:
                    return key
        except (binascii.Error, msgspec.MsgspecError, UnicodeError):
            pass
        raise Invalid(errors={"cursor": ["Not a cursor that this query was answered with."]})

    def _seal(self, document: bytes, secret: bytes) -> bytes:
        """What ties a key to its query and to the ledger; the page size may change on the way."""
        query = astuple(replace(self, limit=0, cursor=None))
        return hmac.digest(secret, msgspec.json.encode(query) + document, "sha256")[:_SEAL_BYTES]


_SEAL_BYTES: Final = 12


class Magnitude(fields.Field[Decimal]):
    """An amount without a sign, in currency units."""

    openapi = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "maxLength": AMOUNT_CHARACTERS_MAX}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Decimal:
        try:
            amount = parse_amount(value)
        except AmountError as error:
            raise ValidationError(error.rule) from None
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
    tag = ShortList(
        Text(maximum=TAG_CHARACTERS_MAX),
        maximum=TAGS_MAX,
        attribute="tags",
        metadata={"description": "May be repeated: all of the tags have to be there."},
    )
    payee = Text(maximum=PAYEE_CHARACTERS_MAX)
    status = fields.String(
        validate=OneOf(STATUSES, error=message("Must be one of: {choices}.")),
        metadata={"description": "posted or pending; both without it."},
    )
    group = Ulid(metadata={"description": "The movements that were booked together."})
    q = Text(
        maximum=SEARCH_CHARACTERS_MAX,
        blank=True,
        metadata={
            "description": "Words that all have to be in description, payee, notes or tags; *plays* finds *playing*."
        },
    )
    sort = fields.String(
        validate=OneOf(
            [sign + key for key in SORT_KEYS for sign in ("", "-")], error=message("Must be one of: {choices}.")
        ),
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
        sort = data.pop("sort", "-date")
        data["tags"] = tuple(sorted(set(data.get("tags", ()))))
        if "q" in data:
            data["stems"] = tuple(stems_of([data.pop("q")]))
        return Filter(**data, type=self.type, sort=sort.removeprefix("-"), descending=sort.startswith("-"))


class AccountFilterSchema(FilterSchema):
    """The query parameters of an account's own list: without gaps, so that each balance follows from the next."""

    class Meta:
        fields = ("from_", "to", "limit", "cursor")
