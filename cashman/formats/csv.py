"""CSV as banks, apps and spreadsheets write it, told by its header or its cells; and Cashman's own, which is `own_csv`.

A file is gone through twice: first for what only all of it tells (the order of its dates, its decimal mark, what its
signs mean), as far as that is open; then line by line.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, NamedTuple

from cashman.errors import UnreadableFile
from cashman.formats import headings, own_csv
from cashman.formats.cells import Broken, Row, rows_of
from cashman.formats.figures import Amounts, Days, currency_of, is_like_a_date, plain
from cashman.formats.halves import Halves
from cashman.formats.layout import Layout, layout_of
from cashman.formats.records import Item, Movement, Options, Refused, Skipped, Transfer
from cashman.formats.source import Source
from cashman.model.currency import CURRENCIES
from cashman.translations import message

NAME: Final = "csv"
MEDIA_TYPE: Final = "text/csv"
SUFFIXES: Final = (".csv", ".tsv")
LINES_A_ROW: Final = 4

_SURVEYED_ROWS: Final = 10_000
"""How many lines are looked at in any case before the second pass, to tell a slip from a habit."""
_KEPT: Final = 20_000
_KEPT_CHARACTERS_MAX: Final = 200

_PLAIN: Final = re.compile(r"-?[0-9]{1,25}(?:\.[0-9]{1,9})?")
_QUOTES: Final = frozenset("'\"’”“»")

write = own_csv.write
write_lossless = own_csv.write_lossless


def recognizes(head: str) -> bool:
    """Whether a file that begins so has columns, and a date and an amount among them."""
    try:
        layout_of(head, {})
    except UnreadableFile:
        return False
    return True


def read(source: Source, options: Options) -> Iterator[Item]:
    """What a file holds, line by line."""
    mapping = options.mapping or {}
    layout = layout_of(source.head, mapping)
    with source.open() as text:
        rows = rows_of(text, layout.separator, layout.skip)
        if layout.own:
            yield from own_csv.read((row for row in rows if row[0] > layout.header_line), layout.own)
            return
    habits = _survey(source, layout, mapping)
    with source.open() as text:
        yield from _Reading(layout, habits).items(rows_of(text, layout.separator, layout.skip))


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


def _survey(source: Source, layout: Layout, mapping: Mapping[str, Any]) -> _Habits:
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

    def __init__(self, layout: Layout, habits: _Habits) -> None:
        self._layout = layout
        self._habits = habits
        self._halves = Halves()
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
