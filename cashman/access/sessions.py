"""Sessions: what a sign-in begins, each refresh token turns, and a sign-out ends."""

import datetime as dt

from sqlalchemy import Connection, delete, insert, select, update
from ulid import ULID

from cashman.db import table, utc_now
from cashman.limits import REFRESH_SECONDS, SESSIONS_MAX
from cashman.model.access import AccessHead, Session, User


def begin(connection: Connection, user_id: str) -> tuple[str, dt.datetime]:
    """Begin a session of a user and give its id and end; of too many the oldest ends."""
    now = utc_now()
    connection.execute(delete(table(Session)).where(Session.expires_at < now))
    own = select(Session.id).where(Session.user_id == user_id).order_by(Session.id.desc())
    too_many = connection.execute(own.offset(SESSIONS_MAX - 1)).scalars().all()
    for old in too_many:
        end(connection, old)
    if too_many:  # else there is nothing that anybody has to forget
        _have_forgotten(connection)
    id_, until = str(ULID.from_datetime(now)), now + dt.timedelta(seconds=REFRESH_SECONDS)
    session = {"id": id_, "user_id": user_id, "turn": 1, "created_at": now, "expires_at": until}
    connection.execute(insert(table(Session)), session)
    return id_, until


def turn(
    connection: Connection, session_id: str, number: int, grace_seconds: int = 0
) -> tuple[str, dt.datetime] | None:
    """Let a refresh token be used, and give the user and the session's new end; None where that may not be.

    A token whose turn is over is in two hands, and nobody can tell which of them is the thief's: the session ends.
    Within `grace_seconds` of its turn it may still be one of several requests that a browser made at once.
    """
    now = utc_now()
    asked = (
        select(Session.user_id, Session.turn, Session.expires_at)
        .join(User, User.id == Session.user_id)
        .where(Session.id == session_id, Session.expires_at > now, User.revoked.is_(False))
    )
    row = connection.execute(asked).one_or_none()
    if row is None:
        return None
    turned_at = row.expires_at - dt.timedelta(seconds=REFRESH_SECONDS)
    if grace_seconds and row.turn == number + 1 and now < turned_at + dt.timedelta(seconds=grace_seconds):
        return row.user_id, row.expires_at
    if row.turn != number:
        end(connection, session_id)
        _have_forgotten(connection)
        return None
    until = now + dt.timedelta(seconds=REFRESH_SECONDS)
    connection.execute(
        update(table(Session)).where(Session.id == session_id), {"turn": number + 1, "expires_at": until}
    )
    return row.user_id, until


def end(connection: Connection, session_id: str) -> None:
    """End a session: its tokens are good for nothing any more."""
    connection.execute(delete(table(Session)).where(Session.id == session_id))


def _have_forgotten(connection: Connection) -> None:
    connection.execute(update(table(AccessHead)).values(version=AccessHead.version + 1))


def end_all(connection: Connection, user_id: str) -> None:
    """End every session of a user."""
    connection.execute(delete(table(Session)).where(Session.user_id == user_id))
