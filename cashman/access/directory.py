"""What a worker knows of who may: read when it is first asked for, and good until anybody changes any of it."""

import hashlib
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple, TypeVar, cast

from sqlalchemy import Connection, Select, bindparam, select

from cashman.access.caller import Caller
from cashman.db import AnyRow, Database, utc_now
from cashman.errors import InvalidToken
from cashman.model.access import AccessHead, ApiKey, Member, Session, User
from cashman.model.ledger import LedgerRecord

Known = TypeVar("Known")

_PEEK: Final = "SELECT version, founded FROM access_heads WHERE id = 1"
_KNOWN_MAX: Final = 10_000
"""So many answers are kept at most; then it begins anew."""

# Made once: making a statement costs more than looking up what is known.
_users = select(User.id, User.principal, User.admin, User.ledger_id).where(User.revoked.is_(False))
_user_of_session = _users.join(Session, Session.user_id == User.id).where(
    User.id == bindparam("user_id"), Session.id == bindparam("session_id")
)
_user_of_subject = _users.where(User.subject == bindparam("subject"))
_user_of_key = (
    _users.add_columns(
        ApiKey.id.label("key_id"),
        ApiKey.scope,
        ApiKey.ledger_id.label("only"),
        ApiKey.expires_at,
    )
    .join(ApiKey, ApiKey.user_id == User.id)
    .where(ApiKey.hash == bindparam("hash"))
)
_memberships = (
    select(Member.ledger_id, LedgerRecord.ulid, Member.role)
    .join(LedgerRecord, LedgerRecord.id == Member.ledger_id)
    .where(Member.principal == bindparam("principal"))
)


class Membership(NamedTuple):
    """A ledger that a principal is a member of."""

    ledger_id: int
    ulid: str
    role: str


class Directory:
    """Who is who. One cheap statement a request tells whether what is known still holds."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.version: int | None = None
        """Where the head of all that stood when it was last looked at."""
        self.founded = False
        """Whether there was ever a user."""
        self._known: dict[Hashable, Any] = {}

    def refresh(self) -> bool:
        """Forget what may not hold any more; whether anything was forgotten."""
        version, founded = self.database.peek(_PEEK)
        self.founded = bool(founded)
        if version == self.version:
            return False
        self.version = version
        self._known.clear()
        return True

    def _get(self, key: Hashable, find: Callable[[Connection], Known | None]) -> Known | None:
        found = self._known.get(key)
        if found is not None:
            return cast(Known, found)

        def read(connection: Connection) -> tuple[int, Known | None]:
            return connection.execute(select(AccessHead.version)).scalar_one(), find(connection)

        version, found = self.database.read(read)
        if found is not None and version == self.version:  # else somebody changed it meanwhile
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[key] = found
        return found

    def user_of_session(self, user_id: str, session_id: str) -> Caller:
        """The user whose session it is; InvalidToken where it has ended, or the user is gone."""
        return self._user(_user_of_session, session_id, user_id=user_id, session_id=session_id)

    def user_of_subject(self, subject: str) -> Caller:
        """The user whom the outside issuer calls so."""
        return self._user(_user_of_subject, subject=subject)

    def _user(self, asked: Select[*tuple[Any, ...]], session: str | None = None, /, **named: str) -> Caller:
        def find(connection: Connection) -> Caller | None:
            row = connection.execute(asked, named).one_or_none()
            return None if row is None else _caller(row, f"user:{row.id}", session_id=session)

        found = self._get(tuple(named.items()), find)
        if found is None:
            raise InvalidToken()
        return found

    def user_of_key(self, key: str) -> tuple[Caller, AnyRow]:
        """The user whose API key it is, within the key's scope, and what is known of the key."""
        hash_ = hashlib.sha256(key.encode()).digest()

        def find(connection: Connection) -> tuple[Caller, AnyRow] | None:
            row = connection.execute(_user_of_key, {"hash": hash_}).one_or_none()
            if row is None:
                return None
            own = {} if row.only is None else {"home": row.only, "only_home": True}
            return _caller(row, f"key:{row.key_id}", key_id=row.key_id, scope=row.scope, **own), row

        found = self._get(hash_, find)
        if found is None or (found[1].expires_at is not None and found[1].expires_at <= utc_now()):
            raise InvalidToken()
        return found

    def memberships(self, principal: str) -> dict[int | str, Membership]:
        """The ledgers that a principal may use, by number and by ULID."""

        def find(connection: Connection) -> dict[int | str, Membership]:
            rows = [Membership(*row) for row in connection.execute(_memberships, {"principal": principal})]
            return {key: row for row in rows for key in (row.ledger_id, row.ulid)}

        found = self._get(("memberships", principal), find)
        assert found is not None
        return found


def _caller(row: AnyRow, actor: str, **more: Any) -> Caller:
    return Caller(
        **{"home": row.ledger_id, **more}, principal=row.principal, actor=actor, user_id=row.id, admin=row.admin
    )
