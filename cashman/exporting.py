"""What leaves the ledger: all of it, or what a filter leaves, row by row, in one snapshot and at flat memory."""

import datetime as dt
import threading
import time
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, text

from cashman import listing
from cashman.chart import Chart, Standing
from cashman.db import unavailable
from cashman.formats import EXPORTS
from cashman.formats.records import Booked, Books
from cashman.ledger import Ledger
from cashman.limits import EXPORT_PART_CHARACTERS, EXPORT_SECONDS_MAX, EXPORTS_AT_ONCE_MAX
from cashman.model.filter import Filter
from cashman.model.total import CATEGORY, Total
from cashman.model.transaction import Transaction
from cashman.translations import message

_slots: Final = threading.BoundedSemaphore(EXPORTS_AT_ONCE_MAX)

_of_ledger = Transaction.ledger_id == bindparam("ledger_id")
_first_day = select(func.min(Transaction.date)).where(_of_ledger)
_used_categories = (
    select(Total.type, Total.of_id)
    .where(Total.ledger_id == bindparam("ledger_id"), Total.dimension == CATEGORY, Total.grain == "year")
    .distinct()
)
_pending_categories = (
    select(Transaction.type, Transaction.category_id).where(_of_ledger, text("status = 'pending'")).distinct()
)


class Export:
    """The encoded parts of an export, made as they are taken; `close` ends it at any time."""

    def __init__(self, ledger: Ledger, filter_: Filter, format_name: str, *, lossless: bool = False) -> None:
        """Begin one; raises StoreUnavailable where this worker has as many as it can under way."""
        if not _slots.acquire(blocking=False):
            raise unavailable(message("Too many exports are under way."))
        self._database = ledger.books.database
        self._deadline = time.monotonic() + EXPORT_SECONDS_MAX
        self._stack = ExitStack()
        self._stack.callback(_slots.release)
        self._end = weakref.finalize(self, self._stack.close)  # also where somebody forgets to
        try:
            connection = self._stack.enter_context(self._database.snapshot())
            standing = ledger.books.charts.at(connection, ledger.id)
            self.head = standing.head
            """What it was read at."""
            format_ = EXPORTS[format_name]
            write = format_.write_lossless if lossless and format_.write_lossless is not None else format_.write
            assert write is not None
            self._parts = _joined(write(_books(connection, standing, ledger.id, filter_, format_.both_legs)))
            self._stack.callback(self._parts.close)  # before the connection that they are read from
            self._first: bytes | None = self._database.off_loop(self._next)  # what cannot be found is told now
        except BaseException:
            self.close()
            raise

    def _next(self) -> bytes | None:
        return next(self._parts, None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part = self._first
        if part is None:
            self.close()
            raise StopIteration
        try:
            if time.monotonic() > self._deadline:
                raise TimeoutError("an export was read too slowly")
            self._first = self._database.off_loop(self._next)
        except BaseException:
            self.close()
            raise
        return part

    def close(self) -> None:
        """Give back what it holds."""
        self._end()


def _joined(parts: Iterable[str]) -> Generator[bytes]:
    """Parts that are worth sending."""
    waiting: list[str] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= EXPORT_PART_CHARACTERS:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    yield "".join(waiting).encode()


def _books(connection: Connection, standing: Standing, ledger_id: int, filter_: Filter, both_legs: bool) -> Books:
    chart, named = standing.chart, {"ledger_id": ledger_id}
    filter_ = replace(filter_, sort="date", descending=False, cursor=None, limit=2**62)
    rows = _rows(connection, chart, listing.everything(ledger_id, filter_, connection, standing))
    if both_legs and filter_ != Filter(sort="date", descending=False, limit=2**62):
        rows = _with_both_legs(connection, chart, ledger_id, rows)
    days = [connection.execute(_first_day, named).scalar()]
    days += [account["opening_date"] for account in chart.accounts.values()]
    used = {*connection.execute(_used_categories, named), *connection.execute(_pending_categories, named)}
    categories = {(str(getattr(type_, "value", type_)), chart.categories.get(id_)) for type_, id_ in used}
    return Books(
        ledger=chart.ulid,
        currency=chart.currency,
        first_day=min((day for day in days if day is not None), default=dt.date(1970, 1, 1)),
        accounts=[chart.accounts[id_] for id_ in sorted(chart.accounts)],
        categories=sorted((type_, path) for type_, path in categories if path is not None),
        rows=rows,
    )


def _rows(connection: Connection, chart: Chart, found: Iterable[Sequence[Row[Any]]]) -> Iterator[Booked]:
    accounts = {id_: account["name"] for id_, account in chart.accounts.items()}
    return (_booked(row, accounts, chart.categories) for rows in found for row in rows)


def _booked(row: Any, accounts: Any, categories: Any) -> Booked:
    (
        id_, type_, status, minor_units, currency, date, account_id, category_id, group, expires_at, description,
        payee, notes, tags, created_at, version, _,
    ) = row  # fmt: skip
    return Booked(
        id_, type_, status, minor_units, currency, str(date), accounts[account_id],
        None if category_id is None else categories[category_id], group, expires_at, description, payee, notes, tags,
        created_at, version,
    )  # fmt: skip


def _with_both_legs(connection: Connection, chart: Chart, ledger_id: int, rows: Iterator[Booked]) -> Iterator[Booked]:
    """The rows, and of each transfer also the leg that a filter left out; a group lies on one day."""
    day, seen = "", set[str]()
    for row in rows:
        if row.date != day:
            day, seen = row.date, set()
        if row.type != "TRANSFER" or row.group is None:
            yield row
        elif row.group not in seen:
            seen.add(row.group)
            yield from _rows(connection, chart, [listing.legs(connection, ledger_id, [row.group])])
