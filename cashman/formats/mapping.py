"""What somebody can say of a CSV file that it does not say itself: its columns, its separator, how it writes dates."""

from typing import Any, Final

from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from cashman.formats.figures import ORDERS
from cashman.formats.headings import ROLES
from cashman.model.fields import Flag, Text
from cashman.translations import message

SEPARATORS: Final = (",", ";", "\t", "|")
SKIPPED_LINES_MAX: Final = 1_000
COLUMNS_MAX: Final = 1_000
COLUMN_CHARACTERS_MAX: Final = 200


class Column(fields.Field[Any]):
    """A column by its name in the header, or by its number from 1; null where none is to be taken."""

    default_error_messages = {
        "invalid": message("The name of a column, its number from 1 to {maximum}, or null.", maximum=COLUMNS_MAX)
    }
    openapi = {
        "oneOf": [
            {"type": "string", "minLength": 1, "maxLength": COLUMN_CHARACTERS_MAX},
            {"type": "integer", "minimum": 1, "maximum": COLUMNS_MAX},
            {"type": "null"},
        ]
    }
    _name = Text(maximum=COLUMN_CHARACTERS_MAX)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | int:
        if isinstance(value, str):
            return str(self._name.deserialize(value))
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= COLUMNS_MAX:
            raise self.make_error("invalid")
        return value


ColumnsSchema = Schema.from_dict({role: Column() for role in ROLES}, name="MappingColumns")
"""Which column holds what; what is not named here is found by the header."""


class Lines(fields.Field[int]):
    """A number of lines."""

    default_error_messages = {
        "invalid": message("A whole number from {minimum} to {maximum}.", minimum=0, maximum=SKIPPED_LINES_MAX)
    }
    openapi = {"type": "integer", "minimum": 0, "maximum": SKIPPED_LINES_MAX}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SKIPPED_LINES_MAX:
            raise self.make_error("invalid")
        return value


class MappingSchema(Schema):
    """A mapping as it is given, and saved under a name."""

    error_messages = {"type": "Has to be a JSON object."}

    separator = fields.String(validate=OneOf(SEPARATORS, error=message("Must be one of: {choices}.")))
    decimal = fields.String(validate=OneOf((".", ","), error=message("Must be one of: {choices}.")))
    date_order = fields.String(validate=OneOf(ORDERS, error=message("Must be one of: {choices}.")))
    header = Flag(metadata={"description": "Whether its first line names the columns; else that is found out."})
    skip = Lines(metadata={"description": "How many lines at the start are passed over."})
    columns = fields.Nested(ColumnsSchema)
    sign = fields.String(
        validate=OneOf(("normal", "reversed"), error=message("Must be one of: {choices}.")),
        metadata={"description": "reversed: what is above zero leaves the account, as on some credit card statements."},
    )
