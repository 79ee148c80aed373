"""Lines of text into rows of cells, as RFC 4180 has it, with the line where each begins."""

import csv
from collections.abc import Iterator
from functools import partial
from typing import Final, TextIO, TypeAlias

from cashman.formats.records import unreadable
from cashman.translations import message

LINE_CHARACTERS_MAX: Final = 1_000_000
ENTRY_LINE_CHARACTERS_MAX: Final = 100_000
"""Where patterns go over a line in one piece, which holds up all others meanwhile."""
ENTRY_LINES_MAX: Final = 5_000
"""Of one record or entry, which is kept as a whole."""
"""A longer one is taken for a file that is no CSV; a longer cell than the reader's own limit is refused by itself."""

Row: TypeAlias = tuple[int, list[str]]
"""The line where a row begins, from 1, and its cells."""


class Broken(list[str]):
    """A row that cannot be cut into cells."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.error = error


def rows_of(text: TextIO, separator: str, skip: int = 0, *, strict: bool = True) -> Iterator[Row]:
    """The rows of a text from the line behind those that are passed over; UnreadableFile where it ends within quotes.

    A blank line is a row without cells.
    """
    lines = lines_of(text, strict=strict)
    for _ in range(skip):
        next(lines, None)
    reader = csv.reader(lines, delimiter=separator, strict=strict)
    line = skip + 1
    while True:
        try:
            for cells in reader:
                yield line, cells
                line = skip + reader.line_num + 1
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise unreadable(message("The file ends within quotes that begin here."), line) from None
            yield line, Broken(_told(error))
            line = skip + reader.line_num + 1


def _told(error: csv.Error) -> str:
    if "field larger" in str(error):
        return message("A field is longer than {maximum} characters.", maximum=csv.field_size_limit())
    return message("There is something behind a closing quote.")


def lines_of(text: TextIO, *, strict: bool = True, maximum: int = LINE_CHARACTERS_MAX) -> Iterator[str]:
    """The lines of a text with their ends; UnreadableFile where one is too long, which else would fill the memory."""
    for number, line in enumerate(iter(partial(text.readline, maximum), ""), start=1):
        if len(line) == maximum and strict:
            raise unreadable(message("A line is longer than {maximum} characters.", maximum=maximum), number)
        yield line


def check_lines(count: int, line: int) -> None:
    """UnreadableFile where the entry that begins in a line has too many."""
    if count > ENTRY_LINES_MAX:
        raise unreadable(message("At most {maximum} lines in one entry.", maximum=ENTRY_LINES_MAX), line)
