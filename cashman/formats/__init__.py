"""Files of other programs, in and out: pure functions between text and movements of money.

A format is one module with what it provides of NAME, MEDIA_TYPE, SUFFIXES, `recognizes(head)`, `read(source, options)`
and `write(books)`; it is known as soon as it stands in `_MODULES`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from cashman.errors import UnreadableFile
from cashman.formats import beancount, camt053, csv, hledger, json, mt940, ndjson, ofx, qif
from cashman.formats.records import Books, Item, Options, unreadable
from cashman.formats.source import Source
from cashman.translations import message

__all__ = ["EXPORTS", "IMPORTS", "Books", "Format", "Item", "Options", "Source", "UnreadableFile", "recognize"]

_MODULES: Final = (ofx, camt053, mt940, qif, ndjson, json, beancount, hledger, csv)
"""In the order in which a file is tried: what is easily told from others first."""


@dataclass(frozen=True, slots=True)
class Format:
    """What can be imported, exported, or both."""

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    recognizes: Callable[[str], bool] | None
    """Whether a file that begins so is of this format."""
    read: Callable[[Source, Options], Iterator[Item]] | None
    """The items of a file, in its order; raises UnreadableFile where it is none of this format."""
    write: Callable[[Books], Iterator[str]] | None
    """The text of an export, in parts."""
    write_lossless: Callable[[Books], Iterator[str]] | None
    """The same for other programs than spreadsheets, where that differs."""
    lines_a_row: int
    """More lines than this for each row, and it is not worth reading a file that may have so many rows at most."""
    both_legs: bool
    """Whether a transfer can only be written with both its legs, also where a filter finds one."""


def _format(module: ModuleType) -> Format:
    return Format(
        name=module.NAME,
        media_type=module.MEDIA_TYPE,
        suffixes=module.SUFFIXES,
        recognizes=getattr(module, "recognizes", None),
        read=getattr(module, "read", None),
        write=getattr(module, "write", None),
        write_lossless=getattr(module, "write_lossless", None),
        lines_a_row=getattr(module, "LINES_A_ROW", 12),
        both_legs=module in (beancount, hledger, qif),
    )


_FORMATS: Final = tuple(map(_format, _MODULES))
IMPORTS: Final = {format_.name: format_ for format_ in _FORMATS if format_.read is not None}
EXPORTS: Final = {format_.name: format_ for format_ in _FORMATS if format_.write is not None}


def recognize(source: Source) -> Format:
    """The format that a file is in, by its content; its name only decides where that leaves a choice."""
    fitting = [one for one in IMPORTS.values() if one.recognizes is not None and one.recognizes(source.head)]
    named = [one for one in fitting if source.name.lower().endswith(one.suffixes)]
    for one in (*named, *fitting):
        return one
    raise unreadable(
        message(
            "It is in none of the formats that can be imported: {formats}. "
            "What the columns of a CSV file mean can be said by a mapping.",
            formats=", ".join(IMPORTS),
        )
    )
