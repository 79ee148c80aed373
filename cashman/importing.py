"""A file into the ledger: recognized, read, held to the rules, and booked, in chunks where it is long.

A file is first gone through as a whole (`Scan`): what it says is held to the model's rules, without the ledger. Then
`Import` decides it against what stands.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from cashman import formats
from cashman.bookings import Booking, Line, Repeated, Scan, bookings, too_many_rows
from cashman.changes import Request
from cashman.db import off_loop
from cashman.formats.records import Account, Options
from cashman.formats.source import Source
from cashman.import_change import Import, Outcome
from cashman.ledger import OWNERS_OWN, Ledger
from cashman.limits import IMPORT_CHUNK_ROWS, IMPORT_ROWS_MAX

_NO_OPTIONS: Final = Options()
Progress = Callable[[int], None]
"""Told after each commit how many rows are done."""


def import_file(
    ledger: Ledger,
    source: Source,
    format_name: str | None = None,
    options: Options = _NO_OPTIONS,
    *,
    request: Request = OWNERS_OWN,
    partial: bool = False,
    preview: bool = False,
    in_chunks: bool = False,
    progress: Progress = lambda rows: None,
) -> Outcome:
    """Import a file in a format, or in the one that it is recognized as.

    Up to IMPORT_ROWS_MAX rows are one commit. A longer file is taken `in_chunks` or refused: each chunk is a commit,
    and whoever imports the file again goes on where it broke off. Nothing is booked where a line of the file breaks a
    rule, unless it is `partial`.
    """
    format_ = formats.recognize(source) if format_name is None else formats.IMPORTS[format_name]
    assert format_.read is not None
    read = format_.read

    def submit(chunk: Sequence[Booking | Account | Line], *, closes: bool = False) -> Outcome:
        change = Import(ledger.id, request, chunk, partial=partial, preview=preview, closes=closes, today=ledger.today)
        ledger.books.submit(change)
        return change.outcome

    if not in_chunks and source.count_lines() > IMPORT_ROWS_MAX * format_.lines_a_row:
        raise too_many_rows()
    scan = off_loop(lambda: Scan(read(source, options), options.account, in_chunks=in_chunks))
    total = Outcome()
    if scan.found is not None:
        total = submit(scan.found)
    elif scan.faults and not partial:
        for fault in scan.faults:
            total.note(fault)
    else:
        closing: dict[str, Account] = {}
        for chunk in _chunks(bookings(read(source, options), options.account, Repeated(ordered=scan.ordered))):
            total.add(outcome := submit(_left_open(chunk, closing)))
            progress(len(chunk))
            if outcome.refused and not partial:
                break
        else:
            if closing:
                submit([*closing.values()], closes=True)
    total.format, total.encoding = format_.name, source.encoding
    return total


def _left_open(
    chunk: Sequence[Booking | Account | Line], closing: dict[str, Account]
) -> list[Booking | Account | Line]:
    """The items of a chunk, with accounts open that a later one may still book on; they are noted to be closed."""
    items: list[Booking | Account | Line] = []
    for item in chunk:
        if isinstance(item, Account) and item.closed:
            closing.setdefault(item.name, item)
            item = msgspec.structs.replace(item, closed=False)
        items.append(item)
    return items


def _chunks(items: Iterable[Booking | Account | Line]) -> Iterator[list[Booking | Account | Line]]:
    waiting: list[Booking | Account | Line] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == IMPORT_CHUNK_ROWS:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
