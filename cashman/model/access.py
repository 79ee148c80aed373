"""Who may: users, what they sign in with, and whose a ledger is.

A `principal` is who a ledger belongs to and whose keys for idempotency are kept. The first user is the principal
that the open door was, so with nothing moved all that it did is that user's; each other user is one of its own.
"""

import datetime as dt
from typing import Final

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, Instant, JsonText, key_text
from cashman.limits import EMAIL_CHARACTERS_MAX, NAME_CHARACTERS_MAX

ID = key_text(26)

ROLES: Final = ("viewer", "editor", "owner")
"""What one may do in a ledger: each may all that those before it may."""
SCOPES: Final = ("read", "write", "admin")
"""What an API key may do, of what its user may: at most what the role of the same place may."""


class AccessHead(Base):
    """One row, that whoever changes any of this moves: what a worker knows of it is good until then."""

    __tablename__ = "access_heads"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)
    founded: Mapped[bool]
    """Whether there was ever a user: the open door is shut for good then."""


class User(Base):
    """A person, or whatever else signs in."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    principal: Mapped[str] = mapped_column(ID, unique=True)
    email: Mapped[str] = mapped_column(key_text(EMAIL_CHARACTERS_MAX))
    """As it was given."""
    email_key: Mapped[str] = mapped_column(key_text(EMAIL_CHARACTERS_MAX * 3), unique=True)
    """What the e-mail is compared by, without regard to case."""
    name: Mapped[str | None] = mapped_column(key_text(NAME_CHARACTERS_MAX))
    password_hash: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(key_text(255), unique=True)
    """The `sub` of the outside issuer's tokens."""
    admin: Mapped[bool]
    revoked: Mapped[bool]
    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"))
    """The ledger that unprefixed routes mean."""
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    version: Mapped[int]


class Member(Base):
    """A principal's role in a ledger."""

    __tablename__ = "members"

    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"), primary_key=True)
    principal: Mapped[str] = mapped_column(ID, primary_key=True)
    role: Mapped[str] = mapped_column(key_text(6))

    __table_args__ = (Index(None, "principal", "ledger_id"), {"sqlite_with_rowid": False})


class Session(Base):
    """A sign-in, and all the tokens that came of it."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    turn: Mapped[int]
    """The number of the refresh token that may be used next; an earlier one was stolen, or is."""
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    expires_at: Mapped[dt.datetime] = mapped_column(Instant)

    __table_args__ = (Index(None, "user_id", "id"), Index(None, "expires_at"))


class ApiKey(Base):
    """What a machine signs in with; the key itself is not kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(key_text(NAME_CHARACTERS_MAX))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    """SHA-256 of the key, which is random and of 256 bits: it needs no slow hash."""
    scope: Mapped[str] = mapped_column(key_text(5))
    ledger_id: Mapped[int | None] = mapped_column(ForeignKey("ledgers.id"))
    """The one ledger that it is good for."""
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    expires_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    last_used_at: Mapped[dt.datetime | None] = mapped_column(Instant)

    __table_args__ = (Index(None, "user_id", "id"),)


class Tries(Base):
    """When somebody last tried to sign in, to an account or from an address."""

    __tablename__ = "tries"

    subject: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    """A hash of the account's e-mail, or of the address."""
    times: Mapped[list[float]] = mapped_column(JsonText)
    """Seconds since 1970, of those that still count."""
    expires_at: Mapped[dt.datetime] = mapped_column(Instant)

    __table_args__ = (Index(None, "expires_at"), {"sqlite_with_rowid": False})


class SigningKeyRecord(Base):
    """What tokens are signed with, where that is kept in the database: so that every container has the same."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(key_text(16), primary_key=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
