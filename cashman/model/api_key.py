"""An API key on the wire: the schema."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import OneOf

from cashman.db import utc_now
from cashman.limits import NAME_CHARACTERS_MAX
from cashman.model.access import SCOPES
from cashman.model.fields import RecordedAt, Text, Ulid
from cashman.translations import message


class ApiKeySchema(Schema):
    """An API key on the wire; the key itself is shown once, as it is made."""

    error_messages = {"type": "Has to be a JSON object."}

    id = Ulid(dump_only=True)
    name = Text(maximum=NAME_CHARACTERS_MAX, required=True)
    scope = fields.String(
        required=True,
        validate=OneOf(SCOPES, error=message("Not one of {choices}.")),
        metadata={"enum": list(SCOPES), "description": "What it may do, of what its user may."},
    )
    ledger = Ulid(
        load_default=None, allow_none=True, metadata={"description": "The one ledger that it is good for; null: all."}
    )
    expires_at = RecordedAt(load_default=None, allow_none=True)
    created_at = RecordedAt(dump_only=True)
    last_used_at = RecordedAt(dump_only=True, allow_none=True, metadata={"description": "To the minute."})

    @validates_schema
    def check_expiry(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("expires_at") is not None and data["expires_at"] <= utc_now():
            raise ValidationError({"expires_at": ["Has to be in the future."]})
