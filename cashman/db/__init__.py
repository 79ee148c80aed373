"""The database: engines, transactions, column types, and what is particular to SQLite and to PostgreSQL."""

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from cashman.db.base import Database, off_loop, unavailable
from cashman.db.bulk import give_way, insert_rows
from cashman.db.postgresql import PostgresDatabase
from cashman.db.sqlite import SqliteDatabase
from cashman.db.types import AnyRow, Base, Instant, JsonText, key_text, rfc3339, table, utc_now
from cashman.errors import ConfigurationError

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


def connect(url: str) -> Database:
    """The database that a URL names; ConfigurationError for one that Cashman cannot keep books in."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("CASHMAN_DATABASE_URL is not a database URL") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise ConfigurationError("CASHMAN_DATABASE_URL: books need a file, as in sqlite:////data/cashman.db")
        return SqliteDatabase(Path(parsed.database).absolute())
    if backend in ("postgresql", "postgres"):
        return PostgresDatabase(parsed.set(drivername="postgresql+psycopg"))
    raise ConfigurationError(f"CASHMAN_DATABASE_URL: {backend} is neither sqlite nor postgresql")
