"""A transaction, one movement on one account, and its schemas: the one place where its fields are named.

A new field is one column in `Transaction` (a figure, which balances and reports depend on, or words, which can
be erased), one line in `TransactionFields`, and a migration.
"""

import datetime as dt
import difflib
from collections.abc import Mapping
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema
from marshmallow.validate import Equal
from sqlalchemy import BigInteger, CheckConstraint, Date, Enum, Index, select
from sqlalchemy import Text as LongText
from sqlalchemy.orm import Mapped, column_property, mapped_column
from ulid import ULID

from cashman.db import Base, Instant, JsonText, key_text, table, utc_now
from cashman.limits import (
    ACCOUNT_CHARACTERS_MAX,
    DESCRIPTION_CHARACTERS_MAX,
    HINTS_MAX,
    MEMBERS_MAX,
    MINOR_UNITS_MAX,
    NOTES_CHARACTERS_MAX,
    PAYEE_CHARACTERS_MAX,
    TAG_CHARACTERS_MAX,
    TAGS_MAX,
)
from cashman.model.fields import Amount, CategoryPath, CurrencyCode, Day, RecordedAt, ShortList, Text, Ulid
from cashman.model.ledger import MAIN_ACCOUNT, Account, Category
from cashman.model.money import AmountError, exact_decimal, to_decimal, to_minor_units
from cashman.model.transaction_type import TransactionType

DEFAULT_CURRENCY: Final = "USD"

FIGURE: Final = {"part": "figures"}
"""Marks a column that a balance or a report depends on: it goes into the journal entry itself."""
WORD: Final = {"part": "words"}
"""Marks personal text: it lies beside the journal entry, which holds its hash."""


class Transaction(Base):
    """One movement on one account, as it stands now; its past is in the journal.

    `amount` is an exact Decimal in currency units; the table holds `minor_units`.
    """

    __tablename__ = "transactions"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(key_text(26), primary_key=True)
    type: Mapped[TransactionType] = mapped_column(Enum(TransactionType, native_enum=False, length=8), info=FIGURE)
    status: Mapped[str] = mapped_column(key_text(8), info=FIGURE)
    minor_units: Mapped[int] = mapped_column(BigInteger, info=FIGURE)
    currency: Mapped[str] = mapped_column(key_text(3), info=FIGURE)
    date: Mapped[dt.date] = mapped_column(Date, info=FIGURE)
    account_id: Mapped[int] = mapped_column(info=FIGURE)
    category_id: Mapped[int | None] = mapped_column(info=FIGURE)
    group: Mapped[str | None] = mapped_column(key_text(26), info=FIGURE)
    expires_at: Mapped[dt.datetime | None] = mapped_column(Instant, info=FIGURE)
    description: Mapped[str] = mapped_column(LongText, info=WORD)
    payee: Mapped[str | None] = mapped_column(key_text(PAYEE_CHARACTERS_MAX), info=WORD)
    notes: Mapped[str | None] = mapped_column(LongText, info=WORD)
    tags: Mapped[list[str]] = mapped_column(JsonText, info=WORD)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    version: Mapped[int] = mapped_column()

    if TYPE_CHECKING:  # attributes that are no columns
        account: str
        category: str | None
        given: tuple[str, ...]

    __mapper_args__ = {"polymorphic_on": "type"}
    __table_args__ = (
        CheckConstraint("type <> 'INCOME' OR minor_units > 0", name="income_positive"),
        CheckConstraint("type <> 'EXPENSE' OR minor_units < 0", name="expense_negative"),
        CheckConstraint(f"minor_units BETWEEN -{MINOR_UNITS_MAX} AND {MINOR_UNITS_MAX}", name="minor_units_fit"),
        Index(None, "ledger_id", "date", "id"),
        Index(None, "ledger_id", "type", "date", "id"),
        Index(None, "ledger_id", "currency", "minor_units", "id"),
        Index(None, "ledger_id", "created_at", "id"),
        Index(None, "ledger_id", "category_id", "date", "id"),
    )

    def __init__(
        self,
        description: str,
        amount: Decimal | float | str,
        *,
        id: str | None = None,
        currency: str = DEFAULT_CURRENCY,
        date: dt.date | None = None,
        account: str = MAIN_ACCOUNT,
        category: str | None = None,
        tags: list[str] | None = None,
        payee: str | None = None,
        notes: str | None = None,
    ) -> None:
        now = utc_now()
        chosen = {"id": id, "date": date, "category": category, "tags": tags, "payee": payee, "notes": notes}
        # Past SQLAlchemy's instrumentation, which records what was there before: here is no before. That is
        # half of what a transaction costs to make.
        vars(self).update(
            id=id or str(ULID.from_datetime(now)),
            type=self.kind(),
            status="posted",
            minor_units=self.minor_units_of(exact_decimal(amount), currency),
            currency=currency,
            date=date or now.date(),
            account=account,
            category=category,
            group=None,
            expires_at=None,
            description=description,
            payee=payee,
            notes=notes,
            tags=tags or [],
            created_at=now,
            version=1,
            given=("description", "amount", *(name for name, value in chosen.items() if value is not None)),
        )

    def content(self) -> dict[str, Any]:
        """What was given of it, before any default: what tells one request from another."""
        return {name: getattr(self, name) for name in self.given}

    @property
    def amount(self) -> Decimal:
        """The amount in currency units, negative for an expense."""
        return to_decimal(self.minor_units, self.currency)

    @classmethod
    def minor_units_of(cls, amount: Decimal, currency: str) -> int:
        """An amount in currency units as this type keeps it, in minor units; AmountError where it breaks a rule."""
        minor_units = to_minor_units(amount, currency)
        if minor_units == 0:
            raise AmountError("Zero is not a movement of money.")
        return cls.signed(minor_units)

    @classmethod
    def kind(cls) -> TransactionType:
        """The type of the transactions of this class."""
        return TransactionType(cls.__mapper__.polymorphic_identity)

    @classmethod
    def signed(cls, minor_units: int) -> int:
        """The sign that this type of transaction gives its amount."""
        return minor_units

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.description!r} {self.amount} {self.currency} on {self.date}>"


# The names behind the ids, for whoever loads a Transaction through the ORM.
Transaction.account = column_property(  # type: ignore[assignment]
    select(Account.name)
    .where(Account.ledger_id == Transaction.ledger_id, Account.id == Transaction.account_id)
    .correlate_except(Account)
    .scalar_subquery()
)
Transaction.category = column_property(  # type: ignore[assignment]
    select(Category.path)
    .where(Category.ledger_id == Transaction.ledger_id, Category.id == Transaction.category_id)
    .correlate_except(Category)
    .scalar_subquery()
)

Model = type[Transaction]  # a name of its own: in a schema's body `type` is a field

COLUMNS: Final = tuple(column for column in table(Transaction).c if column.name != "ledger_id")
FIGURES: Final = tuple(column.name for column in COLUMNS if column.info == FIGURE)
WORDS: Final = tuple(column.name for column in COLUMNS if column.info == WORD)

REDACTED: Final[Mapping[str, Any]] = {"description": "[redacted]", "payee": None, "notes": None, "tags": []}
"""What the words of a transaction read as once they are erased."""

READ_ONLY: Final = ("status", "group", "created_at", "version")
"""What only the ledger sets."""


def read_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a journal entry as the columns hold them."""
    expires_at = figures["expires_at"]
    return {
        **figures,
        "type": TransactionType(figures["type"]),
        "date": dt.date.fromisoformat(figures["date"]),
        "expires_at": None if expires_at is None else dt.datetime.fromisoformat(expires_at),
    }


DEFAULTS: Final[Mapping[str, Any]] = {
    "account": MAIN_ACCOUNT,
    "category": None,
    "tags": [],
    "payee": None,
    "notes": None,
}
"""What a field is that is left out; the currency is the ledger's, and the date is today."""


def _each_once(tags: list[str]) -> None:
    if len(set(tags)) < len(tags):
        raise ValidationError("Each tag once.")


class TransactionFields(Schema):
    """Every field of a transaction on the wire, in its order."""

    error_messages = {"type": "Has to be a JSON object."}

    id = Ulid()
    type = fields.Enum(TransactionType)
    status = fields.String()
    description = Text(maximum=DESCRIPTION_CHARACTERS_MAX, required=True)
    amount = Amount(required=True)
    currency = CurrencyCode()
    date = Day()
    account = Text(maximum=ACCOUNT_CHARACTERS_MAX)
    category = CategoryPath(allow_none=True)
    tags = ShortList(Text(maximum=TAG_CHARACTERS_MAX), maximum=TAGS_MAX, validate=_each_once)
    payee = Text(maximum=PAYEE_CHARACTERS_MAX, allow_none=True)
    notes = Text(maximum=NOTES_CHARACTERS_MAX, allow_none=True)
    group = Ulid(allow_none=True)
    created_at = RecordedAt()
    version = fields.Integer(strict=True)

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **kwargs: Any) -> NoReturn:
        """Say more about a name that is not taken: that it is read-only, or what was probably meant."""
        hints_left = HINTS_MAX  # looking for what was meant costs more than all the rest
        by_item = error.messages.values() if many and isinstance(error.messages, dict) else [error.messages]
        for messages in by_item:
            if isinstance(messages, dict):
                unknown = [name for name, rules in messages.items() if rules == ["Unknown field."]][:hints_left]
                hints_left -= len(unknown)
                for name in unknown:
                    messages[name] = [self._about_unknown(str(name))]
        raise error

    def _about_unknown(self, name: str) -> str:
        if name in self.fields:
            return "Read-only: the ledger sets it."
        close = difflib.get_close_matches(name, self.load_fields, 1)
        return f"Unknown field; did you mean {close[0]}?" if close else "Unknown field."

    @pre_load(pass_collection=True)
    def check_shape(self, data: Any, *, many: bool, **_: Any) -> Any:
        """Refuse at once what marshmallow stumbles over, or would take seconds to refuse name by name."""
        if many and not isinstance(data, (list, tuple)):
            raise ValidationError("Has to be a JSON array.")
        for place, document in enumerate(data if many else (data,)):
            if isinstance(document, dict) and len(document) > MEMBERS_MAX:
                unknown = islice((name for name in document if name not in self.load_fields), MEMBERS_MAX)
                told = {str(name): ["Unknown field."] for name in unknown}
                raise ValidationError({place: told} if many else told)
        return data


class NewTransactionFields(TransactionFields):
    """What the schemas that make a transaction share.

    `default_currency` is what an amount without a `currency` is in.
    """

    model: ClassVar[Model] = Transaction

    def __init__(self, *, default_currency: str = DEFAULT_CURRENCY, **kwargs: Any) -> None:
        kwargs.setdefault("dump_only", READ_ONLY)
        super().__init__(**kwargs)
        self.default_currency = default_currency

    def model_for(self, data: Mapping[str, Any]) -> Model:
        """The class that the data describe."""
        return self.model

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_amount(self, data: Mapping[str, Any], original: Any, **_: Any) -> None:
        """The rules of money, which need the currency and the type beside the amount."""
        if "amount" not in data or ("currency" in original) != ("currency" in data):
            return  # the amount, or the currency that it is in, is refused on its own account
        try:
            self.model_for(data).minor_units_of(data["amount"], data.get("currency", self.default_currency))
        except AmountError as error:
            raise ValidationError(str(error), "amount") from None

    def make(self, data: dict[str, Any]) -> Transaction:
        """A transaction of the loaded fields, which remembers what was `given` before any default."""
        given = tuple(data)
        data.setdefault("currency", self.default_currency)
        model = self.model_for(data)
        data.pop("type", None)
        transaction = model(**data)
        transaction.given = given
        return transaction


class OneTypeFields(NewTransactionFields):
    """What a schema of one type shares: a `type` may be given, and then has to be that one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        expected = self.model.kind()
        self.load_fields["type"].validators = [Equal(expected, error=f"Has to be {expected.value} here.")]


class TransactionSchema(NewTransactionFields):
    """A transaction of any type; a new one names its `type`."""

    type = fields.Enum(TransactionType, required=True)

    def model_for(self, data: Mapping[str, Any]) -> Model:
        by_type = Transaction.__mapper__.polymorphic_map
        return by_type[data["type"]].class_ if "type" in data else Transaction

    @post_load
    def make_transaction(self, data: dict[str, Any], **_: Any) -> Transaction:
        return self.make(data)


class RevisionSchema(TransactionFields):
    """A transaction as PUT takes it: whole; read-only members may stand in it as they were read.

    With `partial=True` it is what PATCH takes. It loads a dict of the given fields, in currency units.
    """

    tags = ShortList(Text(maximum=TAG_CHARACTERS_MAX), maximum=TAGS_MAX, validate=_each_once, allow_none=True)

    date = Day(required=True)

    @post_load
    def make_values(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if data.get("tags", ()) is None:
            data["tags"] = []  # RFC 7396: null takes a member away
        return data
