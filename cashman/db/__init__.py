"""The database: engines, transactions, column types, and what is particular to SQLite and to PostgreSQL."""

import re
from pathlib import Path
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from cashman.db.base import Database, off_loop, unavailable
from cashman.db.bulk import give_way, insert_rows
from cashman.db.postgresql import PostgresDatabase
from cashman.db.sqlite import SqliteDatabase
from cashman.db.types import AnyRow, Base, Instant, JsonText, key_text, rfc3339, table, utc_now
from cashman.errors import ConfigurationError
from cashman.limits import POOL_DEFAULT

__all__ = [
    "AnyRow",
    "Base",
    "Database",
    "Instant",
    "JsonText",
    "PostgresDatabase",
    "SqliteDatabase",
    "connect",
    "give_way",
    "insert_rows",
    "key_text",
    "off_loop",
    "rfc3339",
    "table",
    "unavailable",
    "utc_now",
]


_SEVERAL_HOSTS: Final = re.compile(
    r"(?P<start>postgres[a-z+]*://(?:[^@/?]*@)?)(?P<hosts>[^/?]*,[^/?]*)(?P<path>/[^?]*)\??"
)


def connect(url: str, pool: int = POOL_DEFAULT, statement_seconds: float = 0, lock_seconds: float = 0) -> Database:
    """The database that a URL names; ConfigurationError for one that Cashman cannot keep books in.

    Of PostgreSQL it takes at most `pool` connections; a statement there may take so many seconds, 0 for no limit,
    and wait for another's lock for so many, 0 for what a write waits anyhow.
    """
    try:
        parsed = make_url(_SEVERAL_HOSTS.sub(_as_query, url, count=1))
        backend = parsed.get_backend_name()
        if backend in ("postgresql", "postgres"):
            server = parsed.set(drivername="postgresql+psycopg")
            return PostgresDatabase(server, pool, statement_seconds, lock_seconds)
    except (ArgumentError, ValueError):
        raise ConfigurationError("CASHMAN_DATABASE_URL is not a database URL") from None
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise ConfigurationError("CASHMAN_DATABASE_URL: books need a file, as in sqlite:////data/cashman.db")
        return SqliteDatabase(Path(parsed.database).absolute())
    raise ConfigurationError(f"CASHMAN_DATABASE_URL: {backend} is neither sqlite nor postgresql")


def _as_query(parts: re.Match[str]) -> str:
    """Several hosts, as libpq writes them, in the way that SQLAlchemy takes them."""
    hosts = "&".join(f"host={host}" for host in parts["hosts"].split(","))
    return f"{parts['start']}{parts['path']}?{hosts}&"
