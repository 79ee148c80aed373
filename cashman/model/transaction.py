"""A transaction, one movement on one account, and its schemas: the one place where its fields are named.

A new field is one column in `Transaction` (a figure, which balances and reports depend on, or words, which can
be erased), one line in `TransactionFields`, and a migration.
"""

import datetime as dt
import difflib
import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema
from marshmallow.validate import Equal, NoneOf, OneOf
from sqlalchemy import BigInteger, CheckConstraint, Date, Enum, Index, select, text
from sqlalchemy import Text as LongText
from sqlalchemy.orm import Mapped, column_property, mapped_column
from ulid import ULID

from cashman.db import Base, Instant, JsonText, key_text, rfc3339, table, utc_now
from cashman.limits import (
    ACCOUNT_CHARACTERS_MAX,
    DESCRIPTION_CHARACTERS_MAX,
    HINTS_MAX,
    LINES_MAX,
    MEMBERS_MAX,
    MINOR_UNITS_MAX,
    NOTES_CHARACTERS_MAX,
    PAYEE_CHARACTERS_MAX,
    TAG_CHARACTERS_MAX,
    TAGS_MAX,
)
from cashman.model.account import MAIN_ACCOUNT, Account
from cashman.model.fields import Amount, CategoryPath, CurrencyCode, Day, ExpiresIn, RecordedAt, ShortList, Text, Ulid
from cashman.model.ledger import Category
from cashman.model.money import AmountError, exact_decimal, to_decimal, to_minor_units
from cashman.model.transaction_type import TransactionType
from cashman.translations import message

DEFAULT_CURRENCY: Final = "USD"
STATUSES: Final = ("posted", "pending")
"""What a transaction can be asked to be; a void one is not shown."""

FIGURE: Final = {"part": "figures"}
"""Marks a column that a balance or a report depends on: it goes into the journal entry itself."""
WORD: Final = {"part": "words"}
"""Marks personal text: it lies beside the journal entry, which holds its hash."""


def _partial_index(name: str, condition: str, *columns: str) -> Index:
    """An index of the rows that meet a condition: the others, most of them, do not pay for it."""
    return Index(
        f"ix_transactions_{name}",
        "ledger_id",
        *columns,
        sqlite_where=text(condition),
        postgresql_where=text(condition),
    )


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
    sequence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The journal entry that booked it."""

    if TYPE_CHECKING:  # attributes that are no columns
        account: str
        category: str | None
        expires_in: int | None
        given: tuple[str, ...]

    account_field = "account"
    """What the field is called on the wire that names the account."""

    __mapper_args__ = {"polymorphic_on": "type"}
    __table_args__ = (
        CheckConstraint("type <> 'INCOME' OR minor_units > 0", name="income_positive"),
        CheckConstraint("type <> 'EXPENSE' OR minor_units < 0", name="expense_negative"),
        CheckConstraint(f"minor_units BETWEEN -{MINOR_UNITS_MAX} AND {MINOR_UNITS_MAX}", name="minor_units_fit"),
        # Currency and amount at the end, so that a list by date finds a range of amounts without reading the rows.
        Index(None, "ledger_id", "date", "id", "currency", "minor_units"),
        Index(None, "ledger_id", "type", "date", "id", "currency", "minor_units"),
        Index(None, "ledger_id", "currency", "minor_units", "id"),
        Index(None, "ledger_id", "sequence"),
        Index(None, "ledger_id", "account_id", "date", "id"),
        _partial_index("category", "category_id IS NOT NULL", "category_id", "date", "id"),
        _partial_index("payee", "payee IS NOT NULL", "payee", "date", "id"),
        _partial_index("group", '"group" IS NOT NULL', "group"),
        # The status, although it is always the same there: SQLite takes an index that more columns are fixed of.
        _partial_index("pending", "status = 'pending'", "status", "expires_at"),
    )

    def __init__(
        self,
        description: str,
        amount: Decimal | float | str,
        *,
        id: str | None = None,
        status: str = "posted",
        currency: str | None = None,
        date: dt.date | None = None,
        account: str = MAIN_ACCOUNT,
        category: str | None = None,
        tags: list[str] | None = None,
        payee: str | None = None,
        notes: str | None = None,
        group: str | None = None,
        expires_at: dt.datetime | None = None,
        expires_in: int | None = None,
    ) -> None:
        now = utc_now()
        chosen = {
            "id": id, "currency": currency, "date": date, "category": category, "tags": tags, "payee": payee,
            "notes": notes, "expires_at": expires_at, "expires_in": expires_in,
        }  # fmt: skip
        # Past SQLAlchemy's instrumentation, which records what was there before: here is no before. That is
        # half of what a transaction costs to make.
        vars(self).update(
            id=id or str(ULID.from_datetime(now)),
            type=self.kind(),
            status=status,
            minor_units=self.minor_units_of(exact_decimal(amount), currency or DEFAULT_CURRENCY),
            currency=currency or DEFAULT_CURRENCY,
            date=date or now.date(),
            account=account,
            category=category,
            group=group,
            expires_at=expires_at if expires_in is None else now + dt.timedelta(seconds=expires_in),
            expires_in=expires_in,
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

READ_ONLY: Final = ("group", "created_at", "version")
"""What only the ledger sets."""


def write_figures(state: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a state as a journal entry holds them: instants as they are stored."""
    figures = dict(zip(FIGURES, _take_figures(state), strict=True))
    if figures["expires_at"] is not None:
        figures["expires_at"] = rfc3339(figures["expires_at"])
    return figures


_take_figures = itemgetter(*FIGURES)


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
    "currency": None,
    "category": None,
    "tags": [],
    "payee": None,
    "notes": None,
}
"""What a field is that PUT leaves out; no currency means that of the account."""


def _each_once(tags: list[str]) -> None:
    if len(set(tags)) < len(tags):
        raise ValidationError("Each tag once.")


class TransactionFields(Schema):
    """Every field of a transaction on the wire, in its order."""

    error_messages = {"type": "Has to be a JSON object."}

    id = Ulid()
    type = fields.Enum(TransactionType, error_messages={"unknown": message("Must be one of: {choices}.")})
    status = fields.String(
        validate=OneOf(STATUSES, error=message("Not one of {choices}.")),
        metadata={"description": "posted, or pending: then it counts in what is available, and not in the balance."},
    )
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
    expires_at = RecordedAt(
        allow_none=True, metadata={"description": "When a pending one counts nowhere any more, and is void."}
    )
    expires_in = ExpiresIn(load_only=True)
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
            return message("Read-only: the ledger sets it.")
        close = difflib.get_close_matches(name, self.load_fields, 1)
        return message("Unknown field; did you mean {nearest}?", nearest=close[0]) if close else "Unknown field."

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


class LineSchema(Schema):
    """One line of a split receipt: what is its own."""

    error_messages = {"type": "Has to be a JSON object."}

    amount = Amount(required=True)
    category = CategoryPath(allow_none=True)
    description = Text(maximum=DESCRIPTION_CHARACTERS_MAX)
    tags = ShortList(Text(maximum=TAG_CHARACTERS_MAX), maximum=TAGS_MAX, validate=_each_once)
    notes = Text(maximum=NOTES_CHARACTERS_MAX, allow_none=True)


def member_id(group: str, place: int) -> str:
    """The id of a member of a group: the first has the group's own, and it alone decides those of the others."""
    if place == 0:
        return group
    stamp = ULID.from_str(group).bytes[:6]
    return str(ULID.from_bytes(stamp + hashlib.sha256(f"{group}/{place}".encode()).digest()[:10]))


class BookedFields(Schema):
    """What the schemas of all that can be booked share: the currency of an account, and the rules of pending ones."""

    def __init__(self, *, currency_of: Callable[[Any], str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.currency_of = currency_of or (lambda account: DEFAULT_CURRENCY)

    @validates_schema(skip_on_field_errors=False)
    def check_expiry(self, data: Mapping[str, Any], **_: Any) -> None:
        """Only what is pending expires, and once; the ledger, which may know it already, says whether that is later."""
        named = [name for name in ("expires_at", "expires_in") if data.get(name) is not None]
        if len(named) == 2:
            raise ValidationError("Either this or expires_at.", "expires_in")
        if named and data.get("status") != "pending":
            raise ValidationError("Only a pending transaction expires.", named[0])


class NewTransactionFields(BookedFields, TransactionFields):
    """What the schemas that make a transaction share.

    `currency_of` tells what an account, by name, is in: the currency of an amount without one. A receipt of several
    `lines` loads as a list of transactions that belong together.
    """

    model: ClassVar[Model] = Transaction

    amount = Amount()
    lines = ShortList(
        fields.Nested(LineSchema),
        maximum=LINES_MAX,
        load_only=True,
        metadata={
            "description": "One receipt over several categories; the amount is then that of all lines, or absent."
        },
    )

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("dump_only", READ_ONLY)
        super().__init__(**kwargs)

    def model_for(self, data: Mapping[str, Any]) -> Model:
        """The class that the data describe."""
        return self.model

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_amount(self, data: Mapping[str, Any], original: Any, **_: Any) -> None:
        """The rules of money, which need the currency and the type beside the amount."""
        if not isinstance(original, dict):
            return  # no object at all, and refused as such
        if "lines" in original:
            self._check_lines(data, original)
        elif "amount" not in original:
            raise ValidationError("Missing data for required field.", "amount")
        if "amount" not in data or ("currency" in original) != ("currency" in data):
            return  # the amount, or the currency that it is in, is refused on its own account
        self._check_money(data, data["amount"], "amount")

    def _check_money(self, data: Mapping[str, Any], amount: Decimal, field_name: str) -> int:
        currency = data.get("currency") or self.currency_of(data.get("account"))
        try:
            return self.model_for(data).minor_units_of(amount, currency)
        except AmountError as error:
            raise ValidationError(error.rule, field_name) from None

    def _check_lines(self, data: Mapping[str, Any], original: Mapping[str, Any]) -> None:
        lines = data.get("lines")
        if lines is None or len(lines) < len(original["lines"]) or any("amount" not in line for line in lines):
            return  # refused on their own account
        errors: dict[Any, Any] = {
            name: ["Belongs to each of the lines."] for name in ("category", "tags", "notes") if name in original
        }
        if not lines:
            errors["lines"] = ["At least one line."]
        total = 0
        for place, line in enumerate(lines):
            try:
                total += self._check_money(data, line["amount"], "amount")
            except ValidationError as error:
                errors.setdefault("lines", {})[place] = {"amount": error.messages}
        if errors:
            raise ValidationError(errors)
        if "amount" in data and self._check_money(data, data["amount"], "amount") != total:
            raise ValidationError("Has to be the sum of the lines, or absent.", "amount")

    def make(self, data: dict[str, Any]) -> Transaction | list[Transaction]:
        """A transaction of the loaded fields, which remembers what was `given` before any default; or all lines."""
        given = tuple(data)
        data.setdefault("currency", self.currency_of(data.get("account")))
        model = self.model_for(data)
        data.pop("type", None)
        lines = data.pop("lines", None)
        if lines is None:
            transaction = model(**data)
            transaction.given = given
            return transaction
        data.pop("amount", None)
        group = data.pop("id", None) or str(ULID.from_datetime(utc_now()))
        made: list[Transaction] = []
        for place, line in enumerate(lines):
            transaction = model(**{**data, **line, "id": member_id(group, place), "group": group})
            transaction.given = tuple({*given, *line} - {"lines"} | {"amount"})
            transaction.expires_at = made[0].expires_at if made else transaction.expires_at  # to the microsecond
            made.append(transaction)
        return made


class OneTypeFields(NewTransactionFields):
    """What a schema of one type shares: a `type` may be given, and then has to be that one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        expected = self.model.kind()
        rule = message("Has to be {type} here.", type=expected.value)
        self.load_fields["type"].validators = [Equal(expected, error=rule)]


class TransactionSchema(NewTransactionFields):
    """A transaction of any type; a new one names its `type`."""

    type = fields.Enum(
        TransactionType,
        required=True,
        validate=NoneOf([TransactionType.TRANSFER], error="A transfer is made at /transfers."),
        error_messages={"unknown": "Must be one of: INCOME, EXPENSE."},
    )

    def model_for(self, data: Mapping[str, Any]) -> Model:
        by_type = Transaction.__mapper__.polymorphic_map
        return by_type[data["type"]].class_ if "type" in data else Transaction

    @post_load
    def make_transaction(self, data: dict[str, Any], **_: Any) -> Transaction | list[Transaction]:
        return self.make(data)


class RevisionSchema(TransactionFields):
    """A transaction as PUT takes it: whole; read-only members may stand in it as they were read.

    With `partial=True` it is what PATCH takes. It loads a dict of the given fields, in currency units.
    """

    tags = ShortList(Text(maximum=TAG_CHARACTERS_MAX), maximum=TAGS_MAX, validate=_each_once, allow_none=True)

    date = Day(required=True)

    @validates_schema
    def check_expiry(self, data: Mapping[str, Any], **_: Any) -> None:
        if data.get("expires_at") is not None and "expires_in" in data:
            raise ValidationError("Either this or expires_at.", "expires_in")

    @post_load
    def make_values(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if data.get("tags", ()) is None:
            data["tags"] = []  # RFC 7396: null takes a member away
        return data
