"""A user on the wire: the schemas."""

from typing import Final

from marshmallow import Schema, fields

from cashman.limits import (
    EMAIL_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    PAGE_ROWS_DEFAULT,
    PAGE_ROWS_MAX,
    PASSWORD_CHARACTERS_MAX,
)
from cashman.model.fields import EmailAddress, Flag, Password, RecordedAt, Text, Ulid, WholeNumber

SUBJECT_CHARACTERS_MAX: Final = 255


class UserSchema(Schema):
    """A user on the wire."""

    error_messages = {"type": "Has to be a JSON object."}

    id = Ulid(dump_only=True)
    email = EmailAddress(required=True)
    password = Password()
    name = Text(maximum=NAME_CHARACTERS_MAX, allow_none=True)
    admin = Flag(metadata={"description": "Whether the user may make and change users."})
    revoked = Flag(metadata={"description": "Whether the user is kept out, with every token and key."})
    subject = Text(
        maximum=SUBJECT_CHARACTERS_MAX,
        allow_none=True,
        metadata={"description": "The `sub` of the outside issuer's tokens."},
    )
    ledger = Ulid(dump_only=True, metadata={"description": "The ledger that unprefixed routes mean."})
    created_at = RecordedAt(dump_only=True)
    version = fields.Integer(dump_only=True)


class NewUserSchema(UserSchema):
    """A new user; the first one names the setup code that stands in the log."""

    class Meta:
        exclude = ("revoked",)

    setup_code = Text(maximum=NAME_CHARACTERS_MAX, load_only=True)


class UserRevisionSchema(UserSchema):
    """A user as PUT takes it: whole; what never changes may stand in it as it was read. PATCH: `partial=True`."""

    id = Ulid()
    ledger = Ulid()
    created_at = RecordedAt()
    version = fields.Integer(strict=True)
    current_password = Text(maximum=PASSWORD_CHARACTERS_MAX, blank=True, load_only=True)


READ_ONLY: Final = ("id", "ledger", "created_at", "version")


class CredentialsSchema(Schema):
    """What a user signs in with."""

    error_messages = {"type": "Has to be a JSON object."}

    email = Text(maximum=EMAIL_CHARACTERS_MAX, required=True)
    password = Text(maximum=PASSWORD_CHARACTERS_MAX, blank=True, required=True, load_only=True)


class UsersQuerySchema(Schema):
    """Which page of the users."""

    limit = WholeNumber(minimum=1, maximum=PAGE_ROWS_MAX, load_default=PAGE_ROWS_DEFAULT)
    cursor = Ulid(load_default="")
