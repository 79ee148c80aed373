"""How often somebody may try to sign in: counted in the database, so by all workers together."""

import datetime as dt
import hashlib
import math
import time

from sqlalchemy import Connection, delete, insert, select

from cashman.db import table, utc_now
from cashman.errors import TooManyRequests
from cashman.limits import SIGN_IN_SECONDS
from cashman.model.access import Tries


def subject_of(kind: str, name: str) -> bytes:
    """What tries are counted by; who tried to sign in where is not kept in the clear."""
    return hashlib.sha256(f"{kind}:{name}".encode(errors="surrogatepass")).digest()


def spend(connection: Connection, subject: bytes, limit: int, now: float) -> bool:
    """Count a try; False where there were `limit` in the last SIGN_IN_SECONDS.

    Each of them counts for so long, and not for the rest of some quarter of an hour: so at no time are there more.
    """
    times = [when for when in _times(connection, subject) if abs(now - when) < SIGN_IN_SECONDS]
    if len(times) >= limit:
        return False
    _keep(connection, subject, [*times, now])
    return True


def refund(connection: Connection, subject: bytes, when: float) -> None:
    """Take a try back that was none, as it has succeeded."""
    _keep(connection, subject, [other for other in _times(connection, subject) if other != when])


def refused(connection: Connection, subject: bytes) -> TooManyRequests:
    """The answer to whoever has no try left, with when there is one again."""
    wait = max(1, math.ceil(min(_times(connection, subject)) + SIGN_IN_SECONDS - time.time()))
    return TooManyRequests(headers={"Retry-After": str(wait)})


def forget_old(connection: Connection) -> None:
    """Drop what does not count any more."""
    connection.execute(delete(table(Tries)).where(Tries.expires_at < utc_now()))


def _times(connection: Connection, subject: bytes) -> list[float]:
    found: list[float] | None = connection.execute(select(Tries.times).where(Tries.subject == subject)).scalar()
    return found or []


def _keep(connection: Connection, subject: bytes, times: list[float]) -> None:
    connection.execute(delete(table(Tries)).where(Tries.subject == subject))
    if times:
        until = dt.datetime.fromtimestamp(max(times) + SIGN_IN_SECONDS, dt.UTC)
        connection.execute(insert(table(Tries)), {"subject": subject, "times": times, "expires_at": until})
