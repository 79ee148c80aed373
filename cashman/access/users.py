"""Users: made, changed, revoked; the first takes over what the open door did."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update
from ulid import ULID

from cashman.access import sessions
from cashman.changes import OWNER
from cashman.db import AnyRow, table, utc_now
from cashman.errors import (
    AlreadyChanged,
    EmailTaken,
    InvalidToken,
    LastAdministrator,
    LastOwner,
    NotFound,
    SubjectTaken,
)
from cashman.ledger import ENTRIES_AT_FIRST, OWN_LEDGER, found_ledger
from cashman.model.access import ApiKey, Member, Session, User
from cashman.model.ledger import JournalHead, LedgerRecord

_COLUMNS: Final = (*User.__table__.columns, LedgerRecord.ulid.label("ledger"))
_JOINED: Final = select(*_COLUMNS).join(LedgerRecord, LedgerRecord.id == User.ledger_id)


def email_key(email: str) -> str:
    """What an e-mail is compared by: the same for every spelling in other cases."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


def by_id(connection: Connection, user_id: str) -> AnyRow:
    """One user, with the ULID of the ledger; NotFound where there is none."""
    row = connection.execute(_JOINED.where(User.id == user_id)).one_or_none()
    if row is None:
        raise NotFound()
    return row


def by_email(connection: Connection, email: str) -> AnyRow | None:
    """The user who has an e-mail."""
    return connection.execute(_JOINED.where(User.email_key == email_key(email))).one_or_none()


def page(connection: Connection, after: str, limit: int) -> Sequence[AnyRow]:
    """Users in the order in which they were made."""
    return connection.execute(_JOINED.where(User.id > after).order_by(User.id).limit(limit)).all()


def make(
    connection: Connection,
    values: Mapping[str, Any],
    password_hash: str | None,
    *,
    first: bool,
    currency: str,
    actor: str,
) -> AnyRow:
    """Make a user; the first is an administrator and takes over the books that are there."""
    _check_free(connection, values)
    now = utc_now()
    id_ = str(ULID.from_datetime(now))
    principal, ledger_id = (OWNER, OWN_LEDGER) if first else (id_, next_ledger_id(connection))
    if not first:
        found_ledger(connection, ledger_id, currency, actor, principal)
    user = {
        "id": id_,
        "principal": principal,
        "email": values["email"],
        "email_key": email_key(values["email"]),
        "name": values.get("name"),
        "password_hash": password_hash,
        "subject": values.get("subject"),
        "admin": first or values.get("admin", False),
        "revoked": False,
        "ledger_id": ledger_id,
        "created_at": now,
        "version": 1,
    }
    connection.execute(insert(table(User)), user)
    return by_id(connection, id_)


def change(
    connection: Connection,
    user_id: str,
    values: Mapping[str, Any],
    password_hash: str | None,
    expected: frozenset[int] | None,
) -> AnyRow:
    """Give some fields of a user new values; with another password, or revoked, all sessions end."""
    user = by_id(connection, user_id)
    if expected is not None and user.version not in expected:
        raise AlreadyChanged()
    changed = {name: value for name, value in values.items() if getattr(user, name) != value}
    if password_hash is not None:
        changed["password_hash"] = password_hash
    if not changed:
        return user
    _check_free(connection, changed, user_id)
    if "email" in changed:
        changed["email_key"] = email_key(changed["email"])
    if user.admin and not user.revoked and (changed.get("admin") is False or changed.get("revoked")):
        _check_administrators(connection, user_id)
    if password_hash is not None or changed.get("revoked"):
        sessions.end_all(connection, user_id)
    connection.execute(update(table(User)).where(User.id == user_id), {**changed, "version": user.version + 1})
    return by_id(connection, user_id)


def awaited(connection: Connection, email: str) -> AnyRow | None:
    """Whom an e-mail that the outside issuer has verified stands for: a user made for that, whom it has not named yet.

    That is one without a password: whoever has one could have given themselves the e-mail of somebody else.
    """
    asked = _JOINED.where(
        User.email_key == email_key(email),
        User.password_hash.is_(None),
        User.subject.is_(None),
        User.revoked.is_(False),
    )
    return connection.execute(asked).one_or_none()


def note_subject(connection: Connection, email: str, subject: str) -> None:
    """Note what the outside issuer calls a user: from now on it is that, and not the e-mail, that counts."""
    named = connection.execute(select(User.email_key).where(User.subject == subject)).scalar()
    if named == email_key(email):
        return  # another request was quicker
    user = awaited(connection, email)
    if user is None or named is not None:
        raise InvalidToken()
    values = {"subject": subject, "version": user.version + 1}
    connection.execute(update(table(User)).where(User.id == user.id), values)


def rehash(connection: Connection, user_id: str, password_hash: str) -> None:
    """Keep the same password in a newer way."""
    connection.execute(update(table(User)).where(User.id == user_id), {"password_hash": password_hash})


def delete_user(connection: Connection, user_id: str, expected: frozenset[int] | None, heir: str | None) -> None:
    """Erase a user, with sessions, keys and memberships; what the journal says of them is an id only.

    Books are never left without an owner: they pass to the heir, or without one the user stays.
    """
    user = by_id(connection, user_id)
    if expected is not None and user.version not in expected:
        raise AlreadyChanged()
    if user.admin and not user.revoked:
        _check_administrators(connection, user_id)
    owned = select(Member.ledger_id).where(Member.principal == user.principal, Member.role == "owner")
    for ledger_id in connection.execute(owned).scalars().all():
        if ledger_id == OWN_LEDGER or not _is_untouched(connection, ledger_id):
            _hand_over(connection, ledger_id, user.principal, heir)
    for of_user in (Session, ApiKey):
        connection.execute(delete(table(of_user)).where(of_user.user_id == user_id))
    connection.execute(delete(table(Member)).where(Member.principal == user.principal))
    connection.execute(delete(table(User)).where(User.id == user_id))


def _is_untouched(connection: Connection, ledger_id: int) -> bool:
    """Whether nothing was ever done in a ledger, and nobody else shares it: then nobody will miss it."""
    sequence = connection.execute(select(JournalHead.sequence).where(JournalHead.ledger_id == ledger_id)).scalar_one()
    members = connection.execute(select(func.count()).where(Member.ledger_id == ledger_id)).scalar_one()
    return (sequence, members) == (ENTRIES_AT_FIRST, 1)


def _hand_over(connection: Connection, ledger_id: int, principal: str, heir: str | None) -> None:
    """Make the heir an owner where there is no other; without an heir the last owner cannot go."""
    try:
        check_owners(connection, ledger_id, principal)
    except LastOwner:
        if heir is None or heir == principal:
            raise
        connection.execute(delete(table(Member)).where(Member.ledger_id == ledger_id, Member.principal == heir))
        connection.execute(insert(table(Member)), {"ledger_id": ledger_id, "principal": heir, "role": "owner"})


def check_owners(connection: Connection, ledger_id: int, but: str) -> None:
    """Refuse to take the last owner of a ledger away."""
    others = select(func.count()).where(Member.ledger_id == ledger_id, Member.role == "owner", Member.principal != but)
    if connection.execute(others).scalar_one() == 0:
        raise LastOwner()


def next_ledger_id(connection: Connection) -> int:
    """The number of the next ledger; who asks holds the lock under which ledgers are made."""
    newest: int = connection.execute(select(func.max(LedgerRecord.id))).scalar_one()
    return newest + 1


def _check_free(connection: Connection, values: Mapping[str, Any], but: str = "") -> None:
    if "email" in values:
        same = select(User.id).where(User.email_key == email_key(values["email"]), User.id != but)
        if connection.execute(same).first() is not None:
            raise EmailTaken()
    if values.get("subject") is not None:
        same = select(User.id).where(User.subject == values["subject"], User.id != but)
        if connection.execute(same).first() is not None:
            raise SubjectTaken()


def _check_administrators(connection: Connection, but: str) -> None:
    others = select(func.count()).where(User.admin.is_(True), User.revoked.is_(False), User.id != but)
    if connection.execute(others).scalar_one() == 0:
        raise LastAdministrator()
