"""NDJSON: one transaction a line, as GET /transactions shows it. Lossless but for what an account is."""

import json
from collections.abc import Iterator
from typing import Any, Final

from cashman.formats.documents import Number, members, read_documents, shown
from cashman.formats.records import Books, Item, Options
from cashman.formats.source import Source

NAME: Final = "ndjson"
MEDIA_TYPE: Final = "application/x-ndjson"
SUFFIXES: Final = (".ndjson", ".jsonl")
LINES_A_ROW: Final = 2

_ROWS_AT_ONCE: Final = 500


def recognizes(head: str) -> bool:
    """Whether a file begins with a line that is an object, and not the whole of a ledger."""
    line = head.lstrip().partition("\n")[0]
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "transactions" not in document


def read(source: Source, options: Options) -> Iterator[Item]:
    """The transactions of its lines."""
    yield from read_documents(_documents(source))


def _documents(source: Source) -> Iterator[tuple[int, Any]]:
    with source.open() as text:
        for number, line in enumerate(text, 1):
            if line.strip():
                try:
                    yield number, json.loads(line, parse_float=Number, parse_constant=Number, object_pairs_hook=members)
                except (ValueError, RecursionError):
                    yield number, None


def write(books: Books) -> Iterator[str]:
    """The transactions, each on a line."""
    part: list[str] = []
    for row in books.rows:
        part.append(shown(row))
        if len(part) == _ROWS_AT_ONCE:
            yield "\n".join([*part, ""])
            part.clear()
    yield "\n".join([*part, ""]) if part else ""
