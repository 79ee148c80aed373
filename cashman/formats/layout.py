"""Where the movements of a CSV file begin and which column holds what: by its header, or else by its cells."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from itertools import islice
from typing import Any, Final

from cashman.formats import headings, own_csv
from cashman.formats.cells import Row, rows_of
from cashman.formats.figures import Amounts, currency_of, is_date, plain
from cashman.formats.mapping import SEPARATORS
from cashman.formats.records import unreadable
from cashman.translations import message

_HEAD_CHARACTERS: Final = 65_536
_HEADER_WITHIN: Final = 60
"""How many lines a bank writes above the header, at most."""
_CONTENT_ROWS: Final = 200
"""How many lines are looked at to find out what the columns hold."""
_MOST: Final = 0.8
"""The part of a column's cells that have to be dates, or amounts, for it to be one of them."""

_SEPARATOR_LINE: Final = re.compile(r'"?sep=([,;|\t])"?\r?\n', re.IGNORECASE)
"""What spreadsheets write for themselves."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The beginning of a file, cut into cells at one separator."""

    separator: str
    skip: int
    rows: Sequence[Row]
    header: int | None
    """Which of the rows."""
    width: int
    regular: int
    """How many rows are as wide as that."""

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """The better it fits, the higher: a header that is understood first, then a column of dates."""
        if self.width < 2:
            return (False, False, 0, 0)
        return (self.header is not None, bool(_columns_of_dates(self)), self.regular, self.width)

    @property
    def body(self) -> Sequence[list[str]]:
        """The cells of the rows below the header that are as wide as it."""
        first = 0 if self.header is None else self.header + 1
        return [cells for _, cells in self.rows[first:] if len(cells) == self.width]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file's movements begin, and which column holds what."""

    separator: str
    skip: int
    header_line: int
    """0 where there is none."""
    header: Sequence[str]
    width: int
    columns: Mapping[str, int] = field(default_factory=dict)
    currency: str | None = None
    """What the header says of the amounts."""
    own: tuple[str, ...] = ()
    """The columns of Cashman's own, where it is that."""


def layout_of(head: str, mapping: Mapping[str, Any]) -> Layout:
    """What a file that begins so says of its layout, or a mapping in its place; UnreadableFile where neither does."""
    separators: tuple[str, ...] = SEPARATORS
    skip = mapping.get("skip", 0)
    if found := _SEPARATOR_LINE.match(head):
        separators, skip = (found[1],), max(skip, 1)
    if "separator" in mapping:
        separators = (mapping["separator"],)
    table = max((_table(head, separator, skip, mapping) for separator in separators), key=lambda one: one.rank)
    if table.width < 2:
        raise unreadable(message("It has no columns: none of , ; | and tab stands in each of its lines."))
    header: Sequence[str] = [] if table.header is None else table.rows[table.header][1]
    line = 0 if table.header is None else table.rows[table.header][0]
    if own := own_csv.columns_of(header):
        return Layout(table.separator, skip, line, header, table.width, own=own)
    columns = headings.columns_of(header) if header else {}
    _tell_apart(columns, table)
    if not header and not _names_all(mapping):
        columns = _columns_by_content(table)
    if "sign" in mapping:
        columns.pop("type", None)  # the sign says it, and not the type
    columns = _as_mapped(columns, mapping.get("columns", {}), header, table.width)
    named = columns.get("amount", columns.get("debit"))
    currency = headings.currency_in(header[named]) if header and named is not None else None
    return Layout(table.separator, skip, line, header, table.width, columns, currency)


def _table(head: str, separator: str, skip: int, mapping: Mapping[str, Any]) -> _Table:
    """What a separator makes of the beginning of a file."""
    rows = list(islice(rows_of(StringIO(head, newline=""), separator, skip, strict=False), _CONTENT_ROWS))
    if len(head) >= _HEAD_CHARACTERS and len(rows) < _CONTENT_ROWS:
        rows = rows[:-1]
    filled = [(line, cells) for line, cells in rows if any(map(str.strip, cells))]
    header = _header_among(filled[:_HEADER_WITHIN], mapping)
    widths = Counter(len(cells) for _, cells in filled if len(cells) > 1)
    width = max(widths, key=lambda one: (widths[one], one), default=0) if header is None else len(filled[header][1])
    if header is None and mapping.get("header"):
        header = next((place for place, (_, cells) in enumerate(filled) if len(cells) == width), None)
    return _Table(separator, skip, filled, header, width, widths[width])


def _header_among(rows: Sequence[Row], mapping: Mapping[str, Any]) -> int | None:
    """Which row names the columns: it has every name of the mapping, or known ones for a date and an amount."""
    if mapping.get("header") is False:
        return None
    asked = {plain(column) for column in mapping.get("columns", {}).values() if isinstance(column, str)}
    known = None
    for place, (_, cells) in enumerate(rows):
        if len(cells) > 1 and asked and asked <= set(map(plain, cells)):
            return place
        if known is None and (own_csv.columns_of(cells) or _suffices(headings.columns_of(cells))):
            known = place
    return known


def _suffices(columns: Mapping[str, int]) -> bool:
    return bool(columns.keys() & {"date", "value_date", "valuta"}) and bool(
        columns.keys() & {"amount", "debit", "credit"}
    )


def _names_all(mapping: Mapping[str, Any]) -> bool:
    return _suffices({role: 0 for role, column in mapping.get("columns", {}).items() if column is not None})


def _tell_apart(columns: dict[str, int], table: _Table) -> None:
    """Settle what a name alone does not tell."""
    if (place := columns.pop("valuta", None)) is not None:
        cell = next((cells[place] for cells in table.body if cells[place].strip()), "")
        if is_date(cell):
            columns.setdefault("value_date", place)
        elif currency_of(cell):
            columns.setdefault("currency", place)
    if (place := columns.pop("account_number", None)) is not None and "payee" not in columns:
        columns.setdefault("account", place)
    if "description" not in columns and "notes" in columns:
        columns["description"] = columns.pop("notes")


def _columns_by_content(table: _Table) -> dict[str, int]:
    """The columns of a file without a header that is understood: one of dates, one of amounts, one of words."""
    if not (dates := _columns_of_dates(table)):
        raise unreadable(message("It has no header with a date and an amount, and no column of dates."))
    body = [cells for cells in table.body if is_date(cells[dates[0]])]
    columns = {"date": dates[0]}
    numbers, words = [], Counter()  # type: list[tuple[bool, int]], Counter[int]
    for place, cells in enumerate(zip(*body, strict=True)):
        if place in dates:
            continue
        if all(headings.is_currency(cell) for cell in cells):
            columns.setdefault("currency", place)
        elif headings.is_total(table.body[0][place : place + 1]):
            continue  # what it comes to after each movement
        elif sum(_is_amount(cell) for cell in cells) >= _MOST * len(cells):
            numbers.append((any(not cell.strip().isdigit() for cell in cells if cell.strip()), place))
        else:
            words[place] = sum(map(str.isalpha, "".join(cells)))
    # A number without a sign and a mark may be one of an account, or of the line.
    amounts = [place for marked, place in numbers if marked] or [place for _, place in numbers]
    if len(amounts) != 1:
        raise unreadable(
            message("Which of its columns holds the amounts cannot be told: name the `columns` in a mapping.")
        )
    columns["amount"] = amounts[0]
    if words:
        columns["description"] = words.most_common(1)[0][0]
    return columns


def _columns_of_dates(table: _Table) -> list[int]:
    """The columns in which most cells are dates; the first row may be a header that is not understood."""
    enough = max(1, _MOST * (len(table.body) - 1))
    by_column = enumerate(zip(*table.body, strict=True))
    return [place for place, cells in by_column if sum(map(is_date, cells)) >= enough]


def _is_amount(cell: str) -> bool:
    return any(Amounts(mark).read(cell) is not None for mark in ".,")


def _as_mapped(
    columns: dict[str, int], asked: Mapping[str, str | int | None], header: Sequence[str], width: int
) -> dict[str, int]:
    """The columns that were found, but for what a mapping says of them."""
    given = {role: _place(column, header, width) for role, column in asked.items() if column is not None}
    if "amount" in given:
        columns = {role: place for role, place in columns.items() if role not in ("debit", "credit")}
    elif given.keys() & {"debit", "credit"}:
        columns = {role: place for role, place in columns.items() if role != "amount"}
    taken = set(given.values())
    columns = {role: place for role, place in columns.items() if role not in asked and place not in taken} | given
    if "value_date" in columns:
        columns.setdefault("date", columns["value_date"])
    if "amount" in columns:
        columns.pop("debit", None)
        columns.pop("credit", None)
    if not _suffices(columns):
        raise unreadable(
            message("It has no column for the date or none for the amount: name the `columns` in a mapping.")
        )
    return columns


def _place(column: str | int, header: Sequence[str], width: int) -> int:
    if isinstance(column, int):
        if column <= width:
            return column - 1
    elif column.strip() in (names := [name.strip() for name in header]):
        return names.index(column.strip())
    elif plain(column) in (names := list(map(plain, header))):
        return names.index(plain(column))
    raise unreadable(message("It has no column {column}, which the mapping names.", column=column))
