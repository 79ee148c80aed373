"""Many rows at once, past what SQLAlchemy does for each row of an executemany: half of what a large commit cost."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

_AT_ONCE: Final = 5_000
"""So many rows are bound at once: memory stays flat, and PostgreSQL's driver gives way to others in between."""
_COPIED: Final = 100
"""From so many rows on COPY is worth it."""
_Processor = tuple[int, Callable[[Any], Any]]


@lru_cache(64)
def _statement(dialect: Dialect, into: Table, names: tuple[str, ...]) -> tuple[str, list[_Processor]]:
    """The INSERT in the driver's own words, and what it takes to bind the columns that are more than a plain value."""
    quote = dialect.identifier_preparer.quote
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    sql = f"INSERT INTO {quote(into.name)} ({', '.join(map(quote, names))}) VALUES ({', '.join([mark] * len(names))})"
    processors: list[_Processor] = []
    for place, name in enumerate(names):
        processor = into.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        if processor is not None:
            processors.append((place, processor))
    return sql, processors


def insert_rows(
    connection: Connection, into: Table, rows: Sequence[Mapping[str, Any]], names: tuple[str, ...] | None = None
) -> None:
    """Insert rows that all name the same columns, or of each the columns of some names."""
    if not rows:
        return
    names = names or tuple(rows[0])
    sql, processors = _statement(connection.dialect, into, names)
    take = itemgetter(*names)
    for start in range(0, len(rows), _AT_ONCE):
        values: Sequence[Any] = list(map(take, rows[start : start + _AT_ONCE]))
        if processors:
            values = _bound(values, processors)
        if len(values) >= _COPIED and connection.dialect.name == "postgresql":
            _copy(connection, into, names, values)
        else:
            connection.exec_driver_sql(sql, values)


def _copy(connection: Connection, into: Table, names: tuple[str, ...], values: Sequence[Any]) -> None:
    """PostgreSQL's own way to take many rows, several times as fast; what it refuses is raised as of any statement."""
    quote = connection.dialect.identifier_preparer.quote
    sql = f"COPY {quote(into.name)} ({', '.join(map(quote, names))}) FROM STDIN"
    driver: Any = connection.connection.dbapi_connection
    try:
        with driver.cursor() as cursor, cursor.copy(sql) as copy:
            for row in values:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        gone = connection.dialect.is_disconnect(error, driver, None)
        raise DBAPIError.instance(
            sql, None, error, connection.dialect.loaded_dbapi.Error, True, gone, connection.dialect
        ) from error


def _bound(values: Sequence[tuple[Any, ...]], processors: Sequence[_Processor]) -> list[tuple[Any, ...]]:
    """The values as the driver takes them, column by column: there are few different ones in most."""
    columns: list[Sequence[Any]] = list(zip(*values, strict=True))
    for place, process in processors:
        column = columns[place]
        try:
            bound = {value: process(value) for value in set(column)}
        except TypeError:  # a list has no hash
            columns[place] = list(map(process, column))
        else:
            columns[place] = list(map(bound.__getitem__, column))
    return list(zip(*columns, strict=True))


def give_way(connection: Connection) -> None:
    """Let others be served amid long work: on PostgreSQL a commit is decided on gevent's loop."""
    if connection.dialect.name == "postgresql":
        time.sleep(0)
