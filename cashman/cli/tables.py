"""What a command shows: tables that fit the terminal, or JSON for scripts."""

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

import click
import msgspec
import tabulate  # type: ignore[import-untyped]  # it ships no types

Command = TypeVar("Command", bound=Callable[..., Any])

tabulate.MIN_PADDING = 0  # a heading would have two characters beside it that no cell needs

_GAP: Final = 2
_NARROWEST: Final = 6
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns round the direction of the text after it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a member of each row, and how it is shown."""

    name: str
    heading: str | None = None
    number: bool = False
    shrinks: bool = False
    """Whether it is cut short where the table is too wide."""
    dropped: bool = False
    """Whether it is left out where the table is too wide."""


def as_json(command: Command) -> Command:
    """The option that each command has which shows something."""
    add: Callable[[Command], Command] = click.option(
        "--json", "json", is_flag=True, help="For scripts: as the API gives it, with exact numbers."
    )
    return add(command)


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, err: bool = False) -> None:
    """Write a table, without the columns that no row has anything in."""
    if rows:
        click.echo(laid_out(rows, columns, terminal_width()), err=err)


def progress_bar(label: str, length: int | None) -> Any:
    """A bar on standard error, where that is a terminal; of what has no known length it shows how much is done."""
    told = {"length": length} if length is not None else {"iterable": iter(()), "show_pos": True}
    return click.progressbar(**told, label=plain(label), file=sys.stderr, hidden=not sys.stderr.isatty())


def laid_out(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], width: int | None) -> str:
    """A table as text, of so many characters in width where that is given."""
    used = [column for column in columns if any(row.get(column.name) not in (None, "", []) for row in rows)]
    cells = {column: [text_of(row.get(column.name)) for row in rows] for column in used}
    widths = {column: max(map(len, (_heading(column), *cells[column]))) for column in used}
    if width is not None:
        for column in [column for column in used if column.dropped]:
            if _total(widths) > width:
                used.remove(column)
                del widths[column]
        _shrink(widths, width)
    table = tabulate.tabulate(
        [[_cut(cells[column][place], widths[column]) for column in used] for place in range(len(rows))],
        headers=[_cut(_heading(column), widths[column]) for column in used],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["right" if column.number else "left" for column in used],
    )
    return "\n".join(line.rstrip() for line in table.splitlines())


def _heading(column: Column) -> str:
    return column.name.replace("_", " ") if column.heading is None else column.heading


def _total(widths: Mapping[Column, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _shrink(widths: dict[Column, int], width: int) -> None:
    """Take from the widest of what may be cut short, until all fits or nothing more can be taken."""
    while _total(widths) > width:
        shrinking = [column for column in widths if column.shrinks and widths[column] > _NARROWEST]
        if not shrinking:
            return
        widths[max(shrinking, key=widths.__getitem__)] -= 1


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def text_of(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, list | tuple):
        return ", ".join(map(text_of, value))
    return plain(str(value))


def plain(text: str) -> str:
    """Text in one line that tells a terminal nothing: what a bank or a stranger wrote may hold control characters."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    if unicodedata.category(character) == "Cf":  # such as what joins the parts of an emoji
        return "" if character in _DIRECTIONS else character
    return "\N{REPLACEMENT CHARACTER}"


def terminal_width() -> int | None:
    """How many characters a line of the output may have; None where it goes to no terminal."""
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdecimal() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):  # no terminal, or no file at all
        return None


class JsonArray:
    """An array on the output whose members come one after the other."""

    def __init__(self) -> None:
        self._before = b"["

    def add(self, rows: Iterable[msgspec.Raw]) -> None:
        """Write some members as they are."""
        for row in rows:
            click.echo(self._before + bytes(row), nl=False)
            self._before = b","

    def end(self) -> None:
        """Close it."""
        click.echo(b"[]" if self._before == b"[" else b"]")
