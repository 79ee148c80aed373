"""The wire's own marshmallow fields: text, amounts, dates, ids; each refuses what the database could not keep."""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from marshmallow import ValidationError, fields
from marshmallow.validate import Range

from cashman.db import rfc3339
from cashman.limits import (
    AMOUNT_CHARACTERS_MAX,
    CATEGORY_BYTES_MAX,
    EMAIL_CHARACTERS_MAX,
    EXPIRES_IN_SECONDS_MAX,
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
)
from cashman.model.currency import CURRENCIES
from cashman.model.money import AmountError, exact_decimal
from cashman.translations import message

ULID_PATTERN: Final = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
_ULID: Final = re.compile(ULID_PATTERN, re.ASCII)
_DIGITS: Final = re.compile("[0-9]{1,19}", re.ASCII)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_DATE: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class Text(fields.String):
    """Text that every database can keep: no NUL, no lone surrogate; and not blank unless `blank` allows it."""

    default_error_messages = {
        "invalid": "Not a string.",
        "nul": "May not hold a NUL character.",
        "surrogate": "May not hold half of a surrogate pair.",
        "blank": "May not be blank.",
        "length": message("At most {maximum} characters."),
    }

    def __init__(self, *, maximum: int, blank: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.maximum = maximum
        self.blank = blank

    @property
    def openapi(self) -> dict[str, Any]:
        """What OpenAPI says of the field, beside its type."""
        filled = {} if self.blank else {"minLength": 1, "pattern": r"^[^\x00]*\S[^\x00]*$"}
        return {"maxLength": self.maximum, **filled}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if len(value) > self.maximum:
            raise self.make_error("length", maximum=self.maximum)
        if "\0" in value:
            raise self.make_error("nul")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise self.make_error("surrogate") from None
        if not self.blank and not value.strip():
            raise self.make_error("blank")
        return value


class ShortList(fields.List[Any]):
    """A list whose length is checked before any of its items is."""

    default_error_messages = {"length": message("Longer than maximum length {maximum}.")}

    def __init__(self, item: fields.Field[Any], *, maximum: int, **kwargs: Any) -> None:
        super().__init__(item, **kwargs)
        self.maximum = maximum

    @property
    def openapi(self) -> dict[str, Any]:
        """What OpenAPI says of the field, beside its type."""
        return {"maxItems": self.maximum}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, list) and len(value) > self.maximum:
            raise self.make_error("length", maximum=self.maximum)
        return super()._deserialize(value, attr, data, **kwargs)


class CategoryPath(Text):
    """Names joined by ":", none of them empty."""

    openapi = {
        "maxLength": CATEGORY_BYTES_MAX,
        "pattern": r"^[^\s:\x00]([^:\x00]*[^\s:\x00])?(:[^\s:\x00]([^:\x00]*[^\s:\x00])?)*$",
    }
    default_error_messages = {
        "parts": 'Names joined by ":", each with neither blanks around it nor nothing in it.',
        "bytes": message("At most {maximum} bytes in UTF-8."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(maximum=CATEGORY_BYTES_MAX, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        path = super()._deserialize(value, attr, data, **kwargs)
        if any(not name or name != name.strip() for name in path.split(":")):
            raise self.make_error("parts")
        if len(path.encode()) > CATEGORY_BYTES_MAX:
            raise self.make_error("bytes", maximum=CATEGORY_BYTES_MAX)
        return path


class CurrencyCode(fields.Field[str]):
    """A code of ISO 4217."""

    openapi = {"type": "string", "enum": list(CURRENCIES), "description": "A code of ISO 4217."}
    default_error_messages = {"invalid": "Not a currency code of ISO 4217 (three capital letters, such as USD)."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str) or value not in CURRENCIES:
            raise self.make_error("invalid")
        return value


class WholeNumber(fields.Field[int]):
    """A whole number in a query parameter: ASCII digits, in a range."""

    default_error_messages = {"invalid": message("A whole number from {minimum} to {maximum}.")}

    def __init__(self, *, minimum: int, maximum: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum = minimum
        self.maximum = maximum

    @property
    def openapi(self) -> dict[str, Any]:
        """What OpenAPI says of the field."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not _DIGITS.fullmatch(value) or not self.minimum <= int(value) <= self.maximum:
            raise self.make_error("invalid", minimum=self.minimum, maximum=self.maximum)
        return int(value)


class ExpiresIn(fields.Integer):
    """Seconds from now, a JSON number."""

    openapi = {"type": "integer", "minimum": 1, "maximum": EXPIRES_IN_SECONDS_MAX, "description": "Seconds from now."}

    def __init__(self, **kwargs: Any) -> None:
        rule = message("A whole number of seconds from 1 to {maximum}.", maximum=EXPIRES_IN_SECONDS_MAX)
        kwargs.setdefault("validate", Range(1, EXPIRES_IN_SECONDS_MAX, error=rule))
        super().__init__(strict=True, error_messages={"invalid": rule}, **kwargs)


class Flag(fields.Field[bool]):
    """A JSON true or false, and nothing that only counts as one, such as 1."""

    openapi = {"type": "boolean"}
    default_error_messages = {"invalid": "Not true or false."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Ulid(fields.Field[str]):
    """A ULID in its canonical form: 26 characters of Crockford's base 32, in capitals."""

    openapi = {"type": "string", "pattern": f"^{ULID_PATTERN}$", "description": "A ULID."}
    default_error_messages = {"invalid": "Not a ULID: 26 characters of Crockford's base 32, in capitals."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str) or not _ULID.fullmatch(value):
            raise self.make_error("invalid")
        return value


class Day(fields.Field[dt.date]):
    """A plain calendar date, YYYY-MM-DD."""

    openapi = {"type": "string", "format": "date"}
    default_error_messages = {"invalid": "Not a date of the calendar, written YYYY-MM-DD."}

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.isoformat()

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> dt.date:
        if isinstance(value, str) and _DATE.fullmatch(value):
            try:
                return dt.date.fromisoformat(value)
            except ValueError:
                pass
        raise self.make_error("invalid")


class RecordedAt(fields.AwareDateTime):
    """An instant as RFC 3339: taken in with any offset, kept and shown in UTC."""

    default_error_messages = {
        "invalid": "Not a valid datetime.",
        "invalid_awareness": "Not a valid aware datetime.",
    }

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else rfc3339(value)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> dt.datetime:
        instant = super()._deserialize(value, attr, data, **kwargs)
        try:
            return instant.astimezone(dt.UTC)
        except OverflowError:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class Amount(fields.Field[Decimal]):
    """An exact number of currency units: a JSON number in any spelling, or a string of plain digits."""

    openapi = {
        "oneOf": [
            {"type": "number"},
            {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "maxLength": AMOUNT_CHARACTERS_MAX},
        ],
        "description": "Currency units, exactly: more decimals than the currency has are refused.",
    }
    default_error_messages = {"invalid": "Not an amount."}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Decimal:
        if not isinstance(value, (int, str, Decimal, float)):
            raise self.make_error("invalid")
        try:
            amount = exact_decimal(value)
        except AmountError as error:
            raise ValidationError(error.rule) from None
        if not amount.is_finite():
            raise ValidationError("Not an amount, or longer than any amount.")
        return amount


class EmailAddress(Text):
    """An e-mail address: a name, one `@`, and a domain, without blanks; whether it exists is not asked."""

    openapi = {"maxLength": EMAIL_CHARACTERS_MAX, "pattern": r"^[^@\s\x00]+@[^@\s\x00]+$"}
    default_error_messages = {"email": "Not an e-mail address."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(maximum=EMAIL_CHARACTERS_MAX, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        email = super()._deserialize(value, attr, data, **kwargs)
        if not _EMAIL.fullmatch(email) or not email.isprintable():
            raise self.make_error("email")
        return email


class Password(Text):
    """A password that is about to be set: any characters, blanks too, as long as there are enough of them."""

    openapi = {"minLength": PASSWORD_CHARACTERS_MIN, "maxLength": PASSWORD_CHARACTERS_MAX, "format": "password"}
    default_error_messages = {"short": message("At least {minimum} characters.")}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(maximum=PASSWORD_CHARACTERS_MAX, blank=True, load_only=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        password = super()._deserialize(value, attr, data, **kwargs)
        if len(password) < PASSWORD_CHARACTERS_MIN:
            raise self.make_error("short", minimum=PASSWORD_CHARACTERS_MIN)
        return password
