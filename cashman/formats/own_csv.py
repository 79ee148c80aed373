"""Cashman's own CSV: without loss, to be read back; or safe in a spreadsheet, which runs what looks like a formula."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Final, TypeAlias

import msgspec

from cashman.formats.cells import Broken, Row
from cashman.formats.records import Booked, Books, Item, Movement, Refused, Split, Transfer
from cashman.model.currency import CURRENCIES
from cashman.model.fields import ULID_PATTERN
from cashman.translations import message

COLUMNS: Final = (
    "id", "type", "group", "status", "expires_at", "date", "amount", "currency", "account", "category", "tags",
    "payee", "description", "notes",
)  # fmt: skip
"""What it holds, in the order of the lossless form."""
_WORDS: Final = ("account", "category", "payee", "description", "notes", "tags")
"""What people have written: nothing else can be taken for a formula."""
_FIGURES: Final = ("date", *(name for name in COLUMNS if name not in ("date", *_WORDS)))
SAFE_COLUMNS: Final = (*_FIGURES, *_WORDS)
"""The safe form begins with the date, and ends with the words."""

_FORMULAS: Final = frozenset("=+-@\t\r\n＝＋－＠")
"""What makes a spreadsheet take a cell for a formula."""
_APOSTROPHES: Final = "' \u00a0"
_SUSPECT: Final = _FORMULAS | frozenset(_APOSTROPHES)
_ROWS_A_PART: Final = 500
_SPECIAL: Final = re.compile('[,"\r\n]')

_AMOUNT: Final = re.compile(r"-?[0-9]{1,25}(?:\.[0-9]{1,9})?")
_ULID: Final = re.compile(ULID_PATTERN, re.ASCII)
_DATE: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STATUSES: Final = ("posted", "pending")
_TYPES: Final = frozenset({"INCOME", "EXPENSE", "TRANSFER"})
_KEPT: Final = 20_000


# Out.


def write_lossless(books: Books) -> Iterator[str]:
    """Every field as it is, from which `read` makes the same again."""
    return _parts(COLUMNS, map(_exact, books.rows))


def write(books: Books) -> Iterator[str]:
    """The safe form: words that a spreadsheet would run begin with an apostrophe, and tags are separated by commas."""
    return _parts(SAFE_COLUMNS, map(_Safe(), books.rows))


def _parts(columns: Sequence[str], lines: Iterator[str]) -> Iterator[str]:
    yield ",".join(columns) + "\r\n"
    while part := "".join(islice(lines, _ROWS_A_PART)):
        yield part


def _in_units(row: Booked) -> str:
    """The amount in currency units; the short way for two decimals, since there are a million of them."""
    if CURRENCIES[row.currency] != 2:
        return row.amount
    digits = f"{row.minor_units:03d}" if row.minor_units >= 0 else f"{row.minor_units:04d}"
    return f"{digits[:-2]}.{digits[-2:]}"


# The cells of both forms stand in one text, which is the quickest there is; NUL parts them, because no text holds it.


def _exact(row: Booked) -> str:
    return _line(
        f"{row.id}\0{row.type}\0{row.group or ''}\0{row.status}\0{row.expires_at or ''}\0{row.date}\0{_in_units(row)}\0"
        f"{row.currency}\0{row.account}\0{row.category or ''}\0{row.tags}\0{row.payee or ''}\0{row.description}\0"
        f"{row.notes or ''}"
    )


class _Safe(dict[str | None, str]):
    """Rows as lines that are safe in a spreadsheet; it keeps words, which are the same in many of them."""

    def __call__(self, row: Booked) -> str:
        description, notes = row.description, row.notes
        if description[:1] in _SUSPECT:
            description = _harmless(description)
        notes = _harmless(notes) if notes else ""
        tags = "" if row.tags == "[]" else _harmless(", ".join(row.tag_list()))
        return _line(
            f"{row.date}\0{row.id}\0{row.type}\0{row.group or ''}\0{row.status}\0{row.expires_at or ''}\0"
            f"{_in_units(row)}\0{row.currency}\0{self[row.account]}\0{self[row.category]}\0{self[row.payee]}\0{description}\0{notes}\0"
            f"{tags}"
        )

    def __missing__(self, word: str | None) -> str:
        if len(self) >= _KEPT:
            self.clear()
        self[word] = found = _harmless(word or "")
        return found


def _line(cells: str) -> str:
    """A line of RFC 4180: quotes only where they have to be."""
    if "," in cells or '"' in cells or "\n" in cells or "\r" in cells:
        cells = "\0".join([_quoted(cell) if _SPECIAL.search(cell) else cell for cell in cells.split("\0")])
    return cells.replace("\0", ",") + "\r\n"


def _quoted(cell: str) -> str:
    doubled = cell.replace('"', '""')
    return f'"{doubled}"'


def _harmless(word: str) -> str:
    """An apostrophe in front of what would be a formula, also behind such apostrophes as are there already."""
    return f"'{word}" if word.lstrip(_APOSTROPHES)[:1] in _FORMULAS else word


def _as_it_was(word: str) -> str:
    return word[1:] if word[:1] == "'" and word.lstrip(_APOSTROPHES)[:1] in _FORMULAS else word


# Back in.


def columns_of(header: Sequence[str]) -> tuple[str, ...]:
    """The columns of Cashman's own CSV, in either form; nothing for another header."""
    names = tuple(name.strip() for name in header)
    return names if names in (COLUMNS, SAFE_COLUMNS) else ()


def read(rows: Iterable[Row], columns: tuple[str, ...]) -> Iterator[Item]:
    """What was written, with ids and groups, of rows below the header; the members of a group stand on one day."""
    groups: dict[str, list[_Member]] = {}
    day = None
    member_of = _Members(columns)
    for line, cells in rows:
        try:
            member = member_of(line, cells)
        except _Wrong as wrong:
            yield Refused(line, wrong.errors)
            continue
        if member is None:
            continue
        kind, group, movement = member
        if movement.date != day:
            yield from _gathered(groups)
            day = movement.date
        if not group:
            yield movement
            continue
        members = groups.setdefault(group, [])
        members.append(member)
        if kind == "TRANSFER" and len(members) == 2:
            yield _together(group, groups.pop(group))
    yield from _gathered(groups)


_Member: TypeAlias = tuple[str, str, Movement]
"""Its type, its group, or nothing, and itself."""


def _gathered(groups: dict[str, list[_Member]]) -> Iterator[Item]:
    for group, members in groups.items():
        yield _together(group, members)
    groups.clear()


def _together(group: str, members: list[_Member]) -> Item:
    """The transfer or the receipt that the rows of a group make."""
    movements = [movement for _, _, movement in members]
    kinds = {kind for kind, _, _ in members}
    line = movements[0].line
    if "TRANSFER" not in kinds:
        return Split(line=line, movements=movements, group=group)
    out, into = min(movements, key=_amount), max(movements, key=_amount)
    if len(members) != 2 or len(kinds) != 1 or not out.amount < 0 < into.amount:
        return Refused(line, {"line": [message("The other leg of this transfer is not in the file.")]})
    return Transfer(line=line, out=out, into=into, group=group)


_amount = attrgetter("amount")


class _Wrong(Exception):
    """A row that cannot be read back."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(rule)
        self.errors = {name: [rule]}


class _Members:
    """Rows into movements, each with its type and its group."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._width = len(columns)
        self._get = itemgetter(*map(columns.index, COLUMNS))
        self._is_safe = columns == SAFE_COLUMNS
        self._days: dict[str, dt.date] = {}

    def __call__(self, line: int, cells: list[str]) -> _Member | None:
        """What a row holds; nothing for a blank one. _Wrong where it cannot be read."""
        if len(cells) != self._width:
            if not cells and not isinstance(cells, Broken):
                return None
            raise _Wrong("line", _misfit(cells, self._width))
        (
            id_, kind, group, status, expires_at, date, amount, currency, account, category, tags, payee,
            description, notes,
        ) = self._get(cells)  # fmt: skip
        if not _ULID.fullmatch(id_) or (group and not _ULID.fullmatch(group)):
            raise _Wrong("id", message("Not a ULID: 26 characters of Crockford's base 32, in capitals."))
        if not _AMOUNT.fullmatch(amount) or not (number := Decimal(amount)):
            raise _Wrong("amount", message("Not an amount."))
        if kind not in _TYPES or (kind != "TRANSFER" and (number < 0) != (kind == "EXPENSE")):
            raise _Wrong("type", message("An INCOME above zero, an EXPENSE below it, or a TRANSFER."))
        if currency not in CURRENCIES:
            raise _Wrong("currency", message("Not a currency code of ISO 4217 (three capital letters, such as USD)."))
        if status not in _STATUSES:
            raise _Wrong("status", message("Must be one of: {choices}.", choices=", ".join(_STATUSES)))
        if not account:
            raise _Wrong("account", message("May not be blank."))
        if self._is_safe:
            account, category, payee, description, notes, tags = map(
                _as_it_was, (account, category, payee, description, notes, tags)
            )
        movement = Movement(
            line=line,
            date=self._days.get(date) or self._day(date),
            amount=number,
            description=description,
            account=account,
            currency=currency,
            category=category or None,
            payee=payee or None,
            notes=notes or None,
            tags=[] if tags in ("", "[]") else self._tags(tags),
            id=id_,
            status=status,
            expires_at=_instant(expires_at) if expires_at else None,
        )
        return kind, group, movement

    def _day(self, text: str) -> dt.date:
        try:
            day = dt.datetime.strptime(text, "%Y-%m-%d").date() if _DATE.fullmatch(text) else None  # noqa: DTZ007 a day
        except ValueError:
            day = None
        if day is None:
            raise _Wrong("date", message("Not a date."))
        if len(self._days) >= _KEPT:
            self._days.clear()
        self._days[text] = day
        return day

    def _tags(self, text: str) -> list[str]:
        if self._is_safe:
            return [tag.strip() for tag in text.split(",") if tag.strip()]
        try:
            return msgspec.json.decode(text, type=list[str])
        except msgspec.DecodeError:
            raise _Wrong("tags", message("Not a JSON array of strings.")) from None


def _misfit(cells: list[str], width: int) -> str:
    if isinstance(cells, Broken):
        return cells.error
    return message("It has {count} columns instead of {width}.", count=len(cells), width=width)


def _instant(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise _Wrong("expires_at", message("Not an instant of RFC 3339 with its offset."))
    return found
