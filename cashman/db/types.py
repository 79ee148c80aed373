"""The declarative base, and the column types that are the same on both engines."""

import datetime as dt
from functools import lru_cache
from typing import Any, cast

import msgspec
from sqlalchemy import MetaData, Row, String, Table, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator


class Base(DeclarativeBase):
    """Every table; the naming convention lets a migration address each constraint on both engines."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table(model: type[Base]) -> Table:
    """The table behind a model, for statements that go past the ORM."""
    return cast(Table, model.__table__)


AnyRow = Row[*tuple[Any, ...]]
"""A row of whatever columns were asked for."""


def key_text(length: int) -> String:
    """Text that is compared and sorted by its bytes on both engines."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def utc_now() -> dt.datetime:
    """This instant, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


@lru_cache(8_192)  # what is recorded together is written several times
def rfc3339(instant: dt.datetime) -> str:
    """An aware UTC instant as RFC 3339 with exactly six decimals, so that text order is time order."""
    return instant.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


class Instant(TypeDecorator[dt.datetime]):
    """An aware UTC instant, stored as the RFC 3339 text that the wire shows: the same on both engines."""

    impl = key_text(27)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Any) -> str | None:
        return None if value is None else rfc3339(value)

    def process_result_value(self, value: str | None, dialect: Any) -> dt.datetime | None:
        return None if value is None else dt.datetime.fromisoformat(value)


class JsonText(TypeDecorator[Any]):
    """A small JSON value, stored as its text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str:
        return msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else msgspec.json.decode(value)
