"""What a verification says, and how it reads what is stored."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Date, Enum, Select, String, select, type_coerce

from cashman.db import Base, Instant, JsonText, table
from cashman.journal import Head

CHUNK_ROWS: Final = 5_000


Follow = Callable[[Iterable[Any]], Iterable[Any]]
"""Gives the rows of a pass as they are, and may count them on the way: for whoever shows how far it is."""


class Tampered(Exception):
    """A row that is not what the journal says; the message names it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found sound."""

    ledger: str
    entries: int
    transactions: int
    head: Head


def as_stored(model: type[Base]) -> Select[Any]:
    """The columns of a model as the database has them: what was changed behind our back need not be of our types."""
    return select(
        *(
            type_coerce(column, String).label(column.name) if isinstance(column.type, TEXT_BEHIND) else column
            for column in table(model).c
        )
    )


TEXT_BEHIND: Final = (Date, Enum, Instant, JsonText)
"""Types that are compared as the text that is stored."""


@contextmanager
def readable(where: Callable[[], str]) -> Iterator[None]:
    """What cannot even be read is not what was written."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Tampered(f"{where()}: cannot be read: {error!r}") from error


def text_of(value: Any) -> Any:
    """A date as the journal writes it: PostgreSQL gives it as one."""
    return value.isoformat() if isinstance(value, dt.date) else value


def require(holds: bool, otherwise: str) -> None:
    """Raise Tampered, saying what is otherwise, where something does not hold."""
    if not holds:
        raise Tampered(otherwise)
