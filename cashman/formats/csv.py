"""CSV as banks, apps and spreadsheets write it, told by its header or its cells; and Cashman's own, which is `own_csv`.

A file is gone through twice: first for what only all of it tells (the order of its dates, its decimal mark, what its
signs mean), as far as that is open; then line by line.
"""

import datetime as dt
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from io import StringIO
from itertools import islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

from cashman.errors import UnreadableFile
from cashman.formats import headings, own_csv
from cashman.formats.cells import Broken, Row, rows_of
from cashman.formats.figures import Amounts, Days, currency_of, is_date, is_like_a_date, plain
from cashman.formats.mapping import SEPARATORS
from cashman.formats.records import Item, Movement, Options, Refused, Skipped, Transfer, unreadable
from cashman.formats.source import Source
from cashman.model.currency import CURRENCIES
from cashman.translations import message

NAME: Final = "csv"
MEDIA_TYPE: Final = "text/csv"
SUFFIXES: Final = (".csv", ".tsv")
LINES_A_ROW: Final = 4

_HEAD_CHARACTERS: Final = 65_536
_HEADER_WITHIN: Final = 60
"""How many lines a bank writes above the header, at most."""
_CONTENT_ROWS: Final = 200
"""How many lines are looked at to find out what the columns hold."""
_SURVEYED_ROWS: Final = 10_000
"""How many lines are looked at in any case before the second pass, to tell a slip from a habit."""
_HALVES_MAX: Final = 10_000
"""How many halves of transfers wait for the other."""
_KEPT: Final = 20_000
_KEPT_CHARACTERS_MAX: Final = 200
_MOST: Final = 0.8
"""The part of a column's cells that have to be dates, or amounts, for it to be one of them."""

_SEPARATOR_LINE: Final = re.compile(r'"?sep=([,;|\t])"?\r?\n', re.IGNORECASE)
"""What spreadsheets write for themselves."""
_PLAIN: Final = re.compile(r"-?[0-9]{1,25}(?:\.[0-9]{1,9})?")
_QUOTES: Final = frozenset("'\"’”“»")

write = own_csv.write
write_lossless = own_csv.write_lossless


def recognizes(head: str) -> bool:
    """Whether a file that begins so has columns, and a date and an amount among them."""
    try:
        _layout(head, {})
    except UnreadableFile:
        return False
    return True


def read(source: Source, options: Options) -> Iterator[Item]:
    """What a file holds, line by line."""
    mapping = options.mapping or {}
    layout = _layout(source.head, mapping)
    with source.open() as text:
        rows = rows_of(text, layout.separator, layout.skip)
        if layout.own:
            yield from own_csv.read((row for row in rows if row[0] > layout.header_line), layout.own)
            return
    habits = _survey(source, layout, mapping)
    with source.open() as text:
        yield from _Reading(layout, habits).items(rows_of(text, layout.separator, layout.skip))


# What the columns are.


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
class _Layout:
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


def _layout(head: str, mapping: Mapping[str, Any]) -> _Layout:
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
        return _Layout(table.separator, skip, line, header, table.width, own=own)
    columns = headings.columns_of(header) if header else {}
    _tell_apart(columns, table)
    if not header and not _names_all(mapping):
        columns = _columns_by_content(table)
    if "sign" in mapping:
        columns.pop("type", None)  # the sign says it, and not the type
    columns = _as_mapped(columns, mapping.get("columns", {}), header, table.width)
    named = columns.get("amount", columns.get("debit"))
    currency = headings.currency_in(header[named]) if header and named is not None else None
    return _Layout(table.separator, skip, line, header, table.width, columns, currency)


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


# What all of it tells.


@dataclass(slots=True)
class _Habits:
    """How a file writes dates and amounts."""

    days: Days
    amounts: Amounts
    signed: bool = True
    """Whether the sign of an amount says where the money goes, and not its type."""
    debits_below: bool = False
    """Whether what stands in the column of debits is below zero."""
    reversed: bool = False


def _survey(source: Source, layout: _Layout, mapping: Mapping[str, Any]) -> _Habits:
    """The first pass: as far as it takes to be sure, and a good deal in any case."""
    habits = _Habits(Days(mapping.get("date_order")), Amounts(mapping.get("decimal")))
    habits.reversed = mapping.get("sign") == "reversed"
    columns = layout.columns
    amounts = [columns[role] for role in ("amount", "debit", "credit") if role in columns]
    mark, debit, date = columns.get("type"), columns.get("debit"), columns["date"]
    currency, currencies = columns.get("currency"), {layout.currency} - {None}
    below, above, agreeing, opposing = 0, 0, 0, 0
    last = max(columns.values())
    with source.open() as text:
        for count, (line, cells) in enumerate(rows_of(text, layout.separator, layout.skip)):
            if line <= layout.header_line or len(cells) <= last:
                continue
            habits.days.note(cells[date])
            for place in amounts:
                habits.amounts.note(cells[place])
            if debit is not None and cells[debit].strip(" -"):
                is_below = _is_below(cells[debit])
                below, above = below + is_below, above + (not is_below)
            elif mark is not None and debit is None and headings.sign_of(cells[mark]) == headings.OUT:
                is_below = bool(amounts) and _is_below(cells[amounts[0]])
                agreeing, opposing = agreeing + is_below, opposing + (not is_below)
            if currency is not None and len(currencies) < len(CURRENCIES):
                currencies.add(currency_of(cells[currency]))
            if count >= _SURVEYED_ROWS and habits.days.settled and habits.amounts.settled:
                break
    habits.days.settle("DMY" if tuple(map(plain, layout.header)) in headings.DAY_FIRST else None)
    decimals = [CURRENCIES[code] for code in currencies if code in CURRENCIES]
    habits.amounts.settle(max(decimals, default=None))
    habits.signed, habits.debits_below = agreeing >= opposing, below > above
    return habits


def _is_below(text: str) -> bool:
    return any(sign in text for sign in "-−–(")


# Line by line.


class _Cells(NamedTuple):
    """The cells of a row by what they hold; empty where the file has no such column."""

    date: str
    amount: str
    debit: str
    credit: str
    currency: str
    account: str
    category: str
    payee: str
    description: str
    notes: str
    tags: str
    reference: str
    type: str
    to_account: str
    remark: str
    state: str


class _Texts(dict[str, "str | None"]):
    """Names as they stand in many rows, in one line and without blanks around them; None for nothing."""

    def __missing__(self, text: str) -> str | None:
        found = " ".join(text.split()) if "\n" in text or "\r" in text else text.strip()
        if len(self) >= _KEPT:
            self.clear()
        if len(text) <= _KEPT_CHARACTERS_MAX:
            self[text] = found or None
        return found or None


class _Currencies(dict[str, "str | None"]):
    """Codes by how they are written; None for nothing, and what is none as it stands."""

    def __missing__(self, text: str) -> str | None:
        found = currency_of(text) or text.strip() or None
        if len(self) < len(CURRENCIES):
            self[text] = found
        return found


class _Signs(dict[str, "int | None"]):
    """Where the money goes, by the type; None where that says nothing."""

    def __missing__(self, text: str) -> int | None:
        found = headings.sign_of(text) if len(text) <= _KEPT_CHARACTERS_MAX else None
        if len(self) < _KEPT and len(text) <= _KEPT_CHARACTERS_MAX:
            self[text] = found
        return found


class _Unbooked(dict[str, bool]):
    """Whether no money has moved yet, by the state."""

    def __missing__(self, text: str) -> bool:
        found = headings.is_unbooked(text)
        if len(self) < _KEPT and len(text) <= _KEPT_CHARACTERS_MAX:
            self[text] = found
        return found


def _never(_: str) -> re.Match[str] | None:
    return None


class _Reading:
    """The second pass: rows into movements."""

    def __init__(self, layout: _Layout, habits: _Habits) -> None:
        self._layout = layout
        self._habits = habits
        self._halves = _Halves()
        # A cell for what is not there is put behind each row.
        self._get: Callable[[list[str]], tuple[str, ...]] = itemgetter(
            *(layout.columns.get(role, layout.width) for role in _Cells._fields)
        )
        self._texts, self._currencies, self._signs = _Texts(), _Currencies({"": layout.currency}), _Signs({"": None})
        self._unbooked = _Unbooked()
        self._is_careful = habits.reversed or "to_account" in layout.columns
        self._is_plain = "amount" in layout.columns and habits.signed and not self._is_careful
        self._named = len(layout.header) - next(
            (count for count, name in enumerate(reversed(layout.header)) if name.strip()), 0
        )

    def items(self, rows: Iterator[Row]) -> Iterator[Item]:
        """What each row holds."""
        header = self._layout.header_line
        if header:
            for line, cells in rows:
                if line >= header:
                    if line > header:  # quotes that are not closed properly have swallowed it
                        yield from self._item(line, cells)
                    break
                if any(map(str.strip, cells)):
                    yield Skipped(line, message("It stands before the header."))
        yield from self._rows(rows)
        yield from self._halves.left()

    def _rows(self, rows: Iterator[Row]) -> Iterator[Item]:
        """The quick way for plain rows, which are most; `_item` for all others."""
        width, get, days = self._layout.width, self._get, self._habits.days
        texts, currencies, signs = self._texts, self._currencies, self._signs
        unbooked = self._unbooked
        plainly = _PLAIN.fullmatch if self._is_plain and self._habits.amounts.decimal == "." else _never
        otherwise = self._quickly
        for line, cells in rows:
            if len(cells) == width:
                cells.append("")
                (
                    date, amount, debit, credit, currency, account, category, payee, description, notes, tags,
                    reference, mark, _, remark, state,
                ) = get(cells)  # fmt: skip
                if (
                    (day := days[date]) is not None
                    and (number := Decimal(amount) if plainly(amount) else otherwise(amount, debit, credit, mark))
                    and ((code := currencies[currency]) is None or code in CURRENCIES)
                    and ((sign := signs[mark]) is None or (sign < 0) == (number < 0))
                    and category[-1:] not in _QUOTES
                    and description[-1:] not in _QUOTES
                    and not remark
                    and not (state and unbooked[state])
                ):
                    yield Movement(
                        line=line,
                        date=day,
                        amount=number,
                        description=texts[description] or "",
                        account=texts[account],
                        currency=code,
                        category=texts[category],
                        payee=texts[payee],
                        notes=notes.strip() or None,
                        tags=_tags(tags) if tags else [],
                        reference=reference.strip() or None,
                    )
                    continue
                del cells[-1]
            yield from self._item(line, cells)

    def _quickly(self, amount: str, debit: str, credit: str, mark: str) -> Decimal | None:
        """The amount of a row that holds no more than digits and marks; None for any other."""
        plainly = self._habits.amounts.plain
        if self._is_careful:
            return None
        if self._is_plain:
            return plainly(amount)
        if "amount" in self._layout.columns:
            number, sign = plainly(amount), self._signs[mark]
            return None if number is None or sign is None or number < 0 else sign * number
        if debit and not credit:
            number = plainly(debit)
            return None if number is None or (number < 0) != self._habits.debits_below else -abs(number)
        number = plainly(credit) if credit and not debit else None
        return None if number is None or number < 0 else number

    def _item(self, line: int, cells: list[str]) -> Iterator[Item]:
        """Any row, with care."""
        if not any(map(str.strip, cells)):
            if isinstance(cells, Broken):
                yield Refused(line, {"line": [cells.error]})
            return
        if len(cells) != self._layout.width and (fault := self._fit(line, cells)):
            yield fault
            return
        by_role = _Cells._make(self._get([*cells, ""]))
        if self._unbooked[by_role.state]:
            yield _unbooked(line, by_role.state)
            return
        day = self._habits.days[by_role.date]
        number, currency, errors = self._number(by_role)
        if day is None or number is None:
            yield self._no_movement(line, cells, by_role, errors)
            return
        given = self._currencies[by_role.currency]
        if given is not None and given not in CURRENCIES:
            errors["currency"] = [message("Not a currency code of ISO 4217 (three capital letters, such as USD).")]
        elif None not in (given, currency) and given != currency and by_role.currency.strip():
            errors["currency"] = [message("The amount names another currency.")]
        if errors:
            yield Refused(line, errors)
        elif not number:
            yield Skipped(line, message("Zero is not a movement of money."))
        else:
            code = given if by_role.currency.strip() else currency or given
            yield from self._moved(self._movement(line, by_role, day, number, code), by_role)

    def _fit(self, line: int, cells: list[str]) -> Item | None:
        """Cut off or put on what is empty at the end; what the row is where that does not do."""
        width = self._layout.width
        if len(cells) > width and not any(map(str.strip, cells[width:])):
            del cells[width:]
        elif self._named <= len(cells) < width and self._layout.header:
            cells.extend([""] * (width - len(cells)))
        if len(cells) == width:
            return None
        if headings.is_total(cells):
            return Skipped(line, message("It only adds up others."))
        return Refused(
            line, {"line": [message("It has {count} columns instead of {width}.", count=len(cells), width=width)]}
        )

    def _no_movement(self, line: int, cells: list[str], by_role: _Cells, errors: dict[str, list[str]]) -> Item:
        """What a row is that lacks a date or an amount."""
        if [*map(str.strip, cells)] == [*map(str.strip, self._layout.header)]:
            return Skipped(line, message("It repeats the header."))
        if headings.is_total(cells):
            return Skipped(line, message("It only adds up others."))
        told = "".join((by_role.date, by_role.amount, by_role.debit, by_role.credit))
        if not any(map(str.isdigit, told)):
            return Skipped(line, message("It has no date and no amount."))
        if self._unbooked[by_role.date]:
            return _unbooked(line, by_role.date)
        if self._habits.days[by_role.date] is None:
            errors = {"date": [_no_date(by_role.date)], **errors}
        return Refused(line, errors)

    def _number(self, cells: _Cells) -> tuple[Decimal | None, str | None, dict[str, list[str]]]:
        """The amount with its sign, the currency beside it, and what is wrong with it."""
        if "amount" not in self._layout.columns:
            return self._of_two(cells)
        found = self._habits.amounts.read(cells.amount)
        if found is None:
            return None, None, _no_amount(cells.amount)
        number, currency = found
        errors: dict[str, list[str]] = {}
        sign = self._signs[cells.type]
        if sign is not None:
            if number and (number < 0) != (sign < 0 and self._habits.signed):
                errors["amount"] = [message("Its sign is not what its type says.")]
            number = sign * abs(number)
        return (-number if self._habits.reversed else number), currency, errors

    def _of_two(self, cells: _Cells) -> tuple[Decimal | None, str | None, dict[str, list[str]]]:
        """The amount of a row that has it in the column of debits or in that of credits."""
        read = self._habits.amounts.read
        for text in (cells.debit, cells.credit):
            if text.strip(" -") and read(text) is None:
                return None, None, _no_amount(text)
        debit, credit = read(cells.debit), read(cells.credit)
        if debit and credit and debit.number and credit.number:
            return None, None, {"amount": [message("Both a debit and a credit.")]}
        found = credit if credit and (credit.number or not debit) else debit
        if found is None:
            return None, None, _no_amount("")
        number, currency = found
        errors: dict[str, list[str]] = {}
        if number and (number < 0) != (self._habits.debits_below if found is debit else False):
            errors["amount"] = [message("Its sign is not that of the other debits or credits.")]
        number = -abs(number) if found is debit else abs(number)
        return (-number if self._habits.reversed else number), currency, errors

    def _movement(self, line: int, cells: _Cells, day: dt.date, number: Decimal, currency: str | None) -> Movement:
        texts = self._texts
        notes = "\n".join(filter(None, map(str.strip, (cells.notes, cells.remark))))
        return Movement(
            line=line,
            date=day,
            amount=number,
            description=texts[cells.description] or "",
            account=texts[cells.account],
            currency=currency,
            category=texts[cells.category],
            payee=texts[cells.payee],
            notes=notes or None,
            tags=_tags(cells.tags),
            reference=cells.reference.strip() or None,
        )

    def _moved(self, movement: Movement, cells: _Cells) -> Iterator[Item]:
        """A movement; or a transfer, where the row names the other account."""
        if other := self._texts[cells.to_account]:
            if other == movement.account:
                yield Refused(movement.line, {"account": [message("A transfer goes to another account.")]})
                return
            amount = abs(movement.amount)
            into = Movement(
                line=movement.line, date=movement.date, amount=amount, account=other, currency=movement.currency
            )
            movement.amount = -amount
            yield Transfer(line=movement.line, out=movement, into=into)
        else:
            yield from self._halves.add(movement)


def _unbooked(line: int, state: str) -> Skipped:
    return Skipped(line, message("The bank has not booked it: its status is {status}.", status=state.strip()))


def _no_date(text: str) -> str:
    if not text.strip():
        return message("There is no date.")
    return message("There is no such day.") if is_like_a_date(text) else message("Not a date.")


def _no_amount(text: str) -> dict[str, list[str]]:
    if text.strip():
        return {"amount": [message("Not an amount.")]}
    return {"amount": [message("There is no amount.")]}


def _tags(text: str) -> list[str]:
    """The tags in a cell, each once."""
    return list(dict.fromkeys(filter(None, (tag.strip().lstrip("#") for tag in re.split("[,;\n]", text)))))


class _Halves:
    """To 'Savings' and From 'Cash': each half of a transfer waits for the other."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Any, ...], deque[Movement]] = {}
        self._count = 0

    def add(self, movement: Movement) -> Iterator[Item]:
        """What a movement comes to: itself; or a transfer with the half that was there before; or nothing yet."""
        found = headings.pair_of(movement.category or "") or headings.pair_of(movement.description)
        if found is None or movement.account is None or (movement.amount < 0) != (found[0] == headings.OUT):
            yield movement
            return
        sign, other = found
        day, amount, currency = movement.date, abs(movement.amount), movement.currency
        mates = self._waiting.get(key := (day, amount, currency, other, movement.account, -sign))
        if mates:
            mate = mates.popleft()
            if not mates:
                del self._waiting[key]
            self._count -= 1
            yield _transfer(mate, movement)
            return
        self._waiting.setdefault((day, amount, currency, movement.account, other, sign), deque()).append(movement)
        self._count += 1
        if self._count > _HALVES_MAX:
            yield from self._oldest()

    def _oldest(self) -> Iterator[Item]:
        key = next(iter(self._waiting))
        mates = self._waiting.pop(key)
        self._count -= len(mates)
        yield from mates

    def left(self) -> Iterator[Item]:
        """Those that found no other."""
        yield from sorted((one for mates in self._waiting.values() for one in mates), key=lambda one: one.line)


def _transfer(first: Movement, second: Movement) -> Transfer:
    out, into = (first, second) if first.amount < 0 else (second, first)
    for half in (out, into):
        if headings.pair_of(half.category or ""):
            half.description = half.description or half.category or ""
            half.category = None
    return Transfer(line=min(first.line, second.line), out=out, into=into)
