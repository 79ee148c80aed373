"""QIF, Quicken's old exchange format: records of lines with a letter in front, account by account."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from io import TextIOWrapper
from typing import Any, Final, NamedTuple

from cashman.formats.cells import ENTRY_LINE_CHARACTERS_MAX, check_lines, lines_of
from cashman.formats.figures import Amounts, Days, currency_of, is_like_a_date
from cashman.formats.records import (
    Account,
    Booked,
    Books,
    Item,
    Movement,
    Options,
    Refused,
    Skipped,
    Split,
    Transfer,
    in_units,
    unreadable,
)
from cashman.formats.source import Source
from cashman.model.currency import CURRENCIES
from cashman.translations import message

NAME: Final = "qif"
MEDIA_TYPE: Final = "application/x-qif"
SUFFIXES: Final = (".qif",)

_HEADERS: Final = ("!type:", "!account", "!option:", "!clear:")
_KINDS: Final = {
    "bank": "bank", "cash": "cash", "ccard": "card", "oth a": "other", "oth l": "loan", "oth s": "other",
    "invst": "investment", "port": "investment", "401(k)/403(b)": "investment",
}  # fmt: skip
"""Cashman's kind of an account by QIF's type."""
_MONEY: Final = frozenset({"bank", "cash", "ccard", "oth a", "oth l", "oth s"})
"""The types whose records are movements of money."""
_TYPES: Final = {"cash": "Cash", "bank": "Bank", "savings": "Bank", "card": "CCard", "loan": "Oth L"}
"""QIF's type of an account by Cashman's kind; any other is an asset."""
_ORDERS: Final = {"mdy": "MDY", "dmy": "DMY", "ymd": "YMD"}
_OPENING: Final = "Opening Balance"
_SURVEYED_RECORDS: Final = 10_000
"""How many records are looked at in any case before the second pass, to tell a slip from a habit."""
_SECTION_ROWS: Final = 5_000
"""So many rows are sorted by account at a time: QIF may turn to an account again and again."""


def recognizes(head: str) -> bool:
    """Whether a file that begins so is QIF: its first line is a header."""
    return head.lstrip()[:20].casefold().startswith(_HEADERS)


def read(source: Source, options: Options) -> Iterator[Item]:
    """What a file holds, record by record."""
    if not recognizes(source.head):
        raise unreadable(message("It does not begin with a header of QIF, such as !Type:Bank."))
    reading = _Reading(options)
    with source.open() as text:
        reading.survey(_blocks(text))
    with source.open() as text:
        yield from reading.items(_blocks(text))


# In.


class _Field(NamedTuple):
    """A line of a record: its letter, and the rest."""

    code: str
    value: str


class _Block(NamedTuple):
    """A header, which begins with "!"; or the fields of a record."""

    line: int
    header: str
    fields: Sequence[_Field] = ()
    ended: bool = True

    def first(self, codes: str) -> str:
        """The value behind one of some letters."""
        return next((value for code, value in self.fields if code in codes and value), "")


def _blocks(text: TextIOWrapper) -> Iterator[_Block]:
    """The headers and records of a file; UnreadableFile where it breaks off."""
    fields: list[_Field] = []
    first = 0
    for number, line in enumerate(lines_of(text, maximum=ENTRY_LINE_CHARACTERS_MAX), start=1):
        line = line.strip()
        if line.startswith("!"):
            if fields:
                yield _Block(first, "", fields, ended=False)
                fields = []
            yield _Block(number, line.casefold())
        elif line.startswith("^"):
            if fields:
                yield _Block(first, "", fields)
                fields = []
        elif line:
            if not fields:
                first = number
            fields.append(_Field(line[0].upper(), line[1:].strip()))
            check_lines(len(fields), first)
    if fields:
        raise unreadable(message("The file ends within the record that begins here."), first)


@dataclass(slots=True)
class _Part:
    """What a line of a split comes to, or the one of a record without any."""

    category: str
    memo: str
    amount: str
    number: Decimal = field(default_factory=Decimal)


class _Reading:
    """A file, gone through twice: first for how it writes dates and amounts, and for opening balances."""

    def __init__(self, options: Options) -> None:
        mapping = options.mapping or {}
        self._options = options
        self._days, self._amounts = Days(mapping.get("date_order")), Amounts(mapping.get("decimal"))
        self._openings: dict[str, _Block] = {}
        self._seen: Counter[tuple[Any, ...]] = Counter()
        """The transfers of which the other account's section may hold the same once more."""
        self._told: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self._account: str | None = None
        self._is_list = False
        self._type = ""

    def survey(self, blocks: Iterator[_Block]) -> None:
        """The first pass."""
        count = 0
        for block in blocks:
            if block.header:
                self._turn(block)
            elif self._is_list:
                self._account = block.first("N") or None
            elif self._type in _MONEY:
                count += 1
                if count <= _SURVEYED_RECORDS or not (self._days.settled and self._amounts.settled):
                    self._note(block)
                name = _account_in(block.first("L"))
                if name is not None and self._is_opening(block, name):
                    self._account = self._account or self._options.account or name
                    self._openings.setdefault(self._account, block)
        self._days.settle()
        self._amounts.settle()
        self._begin()

    def _note(self, block: _Block) -> None:
        self._days.note(block.first("D"))
        for code, value in block.fields:
            if code in "TU$":
                self._amounts.note(value)

    def _turn(self, block: _Block) -> None:
        """What a header says of the records below it."""
        header, _, value = block.header.partition(":")
        if header == "!account":
            self._is_list = True
        elif header == "!type":
            self._is_list, self._type = False, value.strip()
        elif header == "!option" and value in _ORDERS and self._days.order is None:
            self._days.order = _ORDERS[value]

    def _is_opening(self, block: _Block, name: str) -> bool:
        """Whether a record is the opening balance: it comes from the account itself, or says so where none is named."""
        if self._account is not None:
            return name == self._account
        return block.first("P").casefold() == _OPENING.casefold()

    def items(self, blocks: Iterator[_Block]) -> Iterator[Item]:
        """The second pass."""
        for block in blocks:
            if block.header:
                self._turn(block)
                if block.header.startswith("!type:") and self._type not in _MONEY:
                    name = block.header.removeprefix("!type:")
                    yield Skipped(block.line, message('What is of type "{type}" is not imported.', type=name))
            elif self._is_list:
                yield from self._described(block)
            elif self._type in _MONEY:
                yield from self._record(block)

    def _described(self, block: _Block) -> Iterator[Item]:
        """An account of the list; the last one is whose records follow."""
        self._account = block.first("N") or None
        if self._account is not None:
            currency = currency_of(block.first("D"))
            yield from self._tell(
                block.line,
                self._account,
                kind=_KINDS.get(block.first("T").casefold()),
                currency=currency if currency in CURRENCIES else None,
            )

    def _tell(self, line: int, name: str, **known: Any) -> Iterator[Item]:
        """An account, once, with its opening balance."""
        if name in self._told:
            return
        self._told.add(name)
        if opening := self._openings.get(name):
            day, amount = self._days[opening.first("D")], self._amount(opening.first("TU"))
            if day is not None and amount:
                known |= {"opening_balance": amount, "opening_date": day}
        yield Account(line=line, name=name, **known)

    def _record(self, block: _Block) -> Iterator[Item]:
        day, total = self._days[block.first("D")], self._amount(block.first("TU"))
        if errors := self._errors(block, day, total):
            yield Refused(block.line, errors)
            return
        assert day is not None
        assert total is not None
        name = _account_in(block.first("L"))
        if name is not None and self._is_opening(block, name):
            yield from self._opening(block, name)
            return
        parts = _parts(block)
        for part in parts:
            amount = self._amount(part.amount)
            if amount is None:
                yield Refused(block.line, {"amount": [message("Not an amount.")]})
                return
            part.number = amount
        if sum((part.number for part in parts), Decimal()) != total:
            yield Refused(block.line, {"amount": [message("The parts do not come to the amount of the whole.")]})
        elif not any(part.number for part in parts):
            yield Skipped(block.line, message("Zero is not a movement of money."))
        else:
            yield from self._moved(block, day, [part for part in parts if part.number])

    def _amount(self, text: str) -> Decimal | None:
        number = self._amounts.plain(text)
        if number is None and (found := self._amounts.read(text)):
            number = found.number
        return number

    def _errors(self, block: _Block, day: dt.date | None, total: Decimal | None) -> dict[str, list[str]]:
        """What is wrong with a record as a whole."""
        if not block.ended:
            return {"line": [message("The record does not end with ^.")]}
        errors: dict[str, list[str]] = {}
        if day is None:
            written = block.first("D")
            if not written:
                errors["date"] = [message("There is no date.")]
            elif is_like_a_date(written):
                errors["date"] = [message("There is no such day.")]
            else:
                errors["date"] = [message("Not a date.")]
        if total is None:
            written = block.first("TU")
            errors["amount"] = [message("Not an amount.") if written else message("There is no amount.")]
        return errors

    def _opening(self, block: _Block, name: str) -> Iterator[Item]:
        """The record of an opening balance, which the account is opened with."""
        self._account = self._account or self._options.account or name
        yield from self._tell(block.line, self._account)
        if self._openings.get(self._account) == block:
            yield Skipped(block.line, message("It is the opening balance of the account."))
        else:
            yield Refused(block.line, {"account": [message("A transfer goes to another account.")]})

    def _moved(self, block: _Block, day: dt.date, parts: list[_Part]) -> Iterator[Item]:
        """The movements, transfers and receipts that a record holds."""
        movements = []
        for part in parts:
            movement = self._movement(block, day, part)
            other = _account_in(part.category)
            if other is None:
                movements.append(movement)
            else:
                yield self._transfer(movement, other)
        if len(movements) > 1 and len({movement.amount > 0 for movement in movements}) == 1:
            yield Split(line=block.line, movements=movements)
        else:
            yield from movements

    def _movement(self, block: _Block, day: dt.date, part: _Part) -> Movement:
        category, _, tag = part.category.partition("/")
        return Movement(
            line=block.line,
            date=day,
            amount=part.number,
            description=part.memo or block.first("M"),
            account=self._account,
            category=None if category.startswith("[") else category.strip() or None,
            payee=block.first("P") or None,
            notes=block.first("N") or None,
            tags=[tag.strip()] if tag.strip() else [],
        )

    def _transfer(self, movement: Movement, other: str) -> Item:
        """A transfer; or nothing new, where the section of the other account has held it already."""
        here = self._account or self._options.account
        day, amount = movement.date, movement.amount
        if self._seen[mirrored := (day, -amount, other, here)]:
            self._seen[mirrored] -= 1
            return Skipped(movement.line, message("It is the other side of a transfer that stands above."))
        self._seen[day, amount, here, other] += 1
        leg = Movement(
            line=movement.line,
            date=day,
            amount=-amount,
            description=movement.description,
            account=other,
            payee=movement.payee,
            notes=movement.notes,
            tags=movement.tags,
        )
        out, into = (movement, leg) if amount < 0 else (leg, movement)
        return Transfer(line=movement.line, out=out, into=into)


def _parts(block: _Block) -> list[_Part]:
    """The lines of a split; of a record without any, itself."""
    parts: list[_Part] = []
    for code, value in block.fields:
        if code == "S":
            parts.append(_Part(value, "", "0"))
        elif parts and code == "E":
            parts[-1].memo = value
        elif parts and code == "$":
            parts[-1].amount = value
    return parts or [_Part(block.first("L"), "", block.first("TU"))]


def _account_in(category: str) -> str | None:
    """The other account of a transfer, which stands in brackets in place of a category."""
    name, closing, _ = category[1:].partition("]")
    return name.strip() or None if category.startswith("[") and closing else None


# Out.


def write(books: Books) -> Iterator[str]:
    """Records by account, so many rows at a time; a transfer stands in the account that it leaves."""
    accounts = {account["name"]: account for account in books.accounts}
    sections: dict[str, list[str]] = {}
    for account in books.accounts:
        if account["opening_minor_units"]:
            day = account["opening_date"] or books.first_day
            amount = in_units(account["opening_minor_units"], account["currency"])
            name = _bracketed(account["name"])
            sections[account["name"]] = [f"D{day:%m/%d/%Y}\nT{amount}\nC*\nP{_OPENING}\nL{name}\n^\n"]
    yield "!Option:MDY\n"
    count = 0
    for rows in books.together():
        count += len(rows)
        name, record = _written(rows)
        sections.setdefault(name, []).append(record)
        if count >= _SECTION_ROWS:
            yield from _sections(sections, accounts)
            sections, count = {}, 0
    yield from _sections(sections, accounts)


def _sections(sections: dict[str, list[str]], accounts: Any) -> Iterator[str]:
    for name, records in sections.items():
        type_ = _TYPES.get(accounts[name]["kind"], "Oth A")
        described = f"N{_flat(name, '[]')}\nT{type_}\nD{accounts[name]['currency']}\n"
        yield f"!Account\n{described}^\n!Type:{type_}\n{''.join(records)}"


def _written(rows: Sequence[Booked]) -> tuple[str, str]:
    """The account of rows that belong together, and their record."""
    row, category = rows[0], ""
    if row.type == "TRANSFER":
        row = min(rows, key=_minor_units)
        category = "".join(_bracketed(other.account) for other in rows if other is not row)
    elif len(rows) == 1:
        category = _flat(row.category, "[]/")
    date = f"{row.date[5:7]}/{row.date[8:]}/{row.date[:4]}"
    total = sum(one.minor_units for one in rows) if row.type != "TRANSFER" else row.minor_units
    lines = [f"D{date}", f"T{in_units(total, row.currency)}"]
    if row.status == "posted":
        lines.append("C*")
    lines += [f"P{_flat(row.payee)}"] * bool(row.payee)
    lines.append(f"M{_flat(row.description)}")
    lines += [f"L{category}"] * bool(category)
    if row.type != "TRANSFER" and len(rows) > 1:
        lines += _split(rows)
    return row.account, "\n".join((*lines, "^\n"))


def _split(rows: Iterable[Booked]) -> Iterator[str]:
    for row in rows:
        yield f"S{_flat(row.category, '[]/')}"
        yield f"E{_flat(row.description)}"
        yield f"${row.amount}"


def _minor_units(row: Booked) -> int:
    return row.minor_units


def _bracketed(name: str) -> str:
    return f"[{_flat(name, '[]')}]"


def _flat(text: str | None, special: str = "") -> str:
    """A text in one line, without what QIF would take for something else."""
    flat = " ".join((text or "").split())
    for mark in special:
        flat = flat.replace(mark, {"[": "(", "]": ")", "/": "-"}[mark])
    return flat
