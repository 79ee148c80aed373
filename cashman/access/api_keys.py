"""API keys: shown once, and kept as a hash."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update
from ulid import ULID

from cashman.db import AnyRow, table, utc_now
from cashman.errors import NotFound, TooMany
from cashman.limits import API_KEYS_MAX
from cashman.model.access import ApiKey
from cashman.model.ledger import LedgerRecord
from cashman.translations import message

PREFIX: Final = "cashman_"
"""What every key begins with, so that it is known for one where it leaks."""

_COLUMNS: Final = (
    ApiKey.id,
    ApiKey.name,
    ApiKey.scope,
    ApiKey.created_at,
    ApiKey.expires_at,
    ApiKey.last_used_at,
    LedgerRecord.ulid.label("ledger"),
)
_JOINED: Final = select(*_COLUMNS).join(LedgerRecord, LedgerRecord.id == ApiKey.ledger_id, isouter=True)


def make(connection: Connection, user_id: str, values: Mapping[str, Any]) -> tuple[AnyRow, str]:
    """Make a key of a user; what is given with it is nowhere kept."""
    count = connection.execute(select(func.count()).where(ApiKey.user_id == user_id)).scalar_one()
    if count >= API_KEYS_MAX:
        raise TooMany(message("A user has at most {maximum} API keys.", maximum=API_KEYS_MAX))
    now = utc_now()
    key = PREFIX + secrets.token_urlsafe(32)
    row = {
        "id": str(ULID.from_datetime(now)),
        "user_id": user_id,
        "name": values["name"],
        "hash": hashlib.sha256(key.encode()).digest(),
        "scope": values["scope"],
        "ledger_id": values["ledger_id"],
        "created_at": now,
        "expires_at": values["expires_at"],
    }
    connection.execute(insert(table(ApiKey)), row)
    return by_id(connection, user_id, row["id"]), key


def by_id(connection: Connection, user_id: str, key_id: str) -> AnyRow:
    """A key of a user; NotFound where there is none."""
    row = connection.execute(_JOINED.where(ApiKey.user_id == user_id, ApiKey.id == key_id)).one_or_none()
    if row is None:
        raise NotFound()
    return row


def of_user(connection: Connection, user_id: str) -> Sequence[AnyRow]:
    """The keys of a user, oldest first."""
    return connection.execute(_JOINED.where(ApiKey.user_id == user_id).order_by(ApiKey.id)).all()


def revoke(connection: Connection, user_id: str, key_id: str) -> None:
    """Take a key away; NotFound where there is none."""
    by_id(connection, user_id, key_id)
    connection.execute(delete(table(ApiKey)).where(ApiKey.id == key_id))


def used(connection: Connection, key_id: str, when: dt.datetime) -> None:
    """Note that a key was used."""
    connection.execute(update(table(ApiKey)).where(ApiKey.id == key_id), {"last_used_at": when})
