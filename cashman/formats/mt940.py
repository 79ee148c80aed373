"""MT940 of SWIFT, the statement of an account: fields of a tag each, also of several statements, in SWIFT's envelope.

Fields and statement lines are read here, strictly: a line that is wrong is told with its number. What banks put into
the structured part of their information (field 86), the library mt-940 takes apart. Movements have to come to the
difference of the balances around them. A bank's reference need not be unique: with it, the day and the amount make
the reference that a movement is known by.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any, Final

import msgspec

from cashman.formats.records import Item, Movement, Options, Refused, Skipped, unreadable
from cashman.formats.source import Source
from cashman.formats.statements import (
    ZERO,
    Accounts,
    Errors,
    References,
    check_currency,
    chunks,
    fitting,
    one_line,
    read_amount,
    read_day,
)
from cashman.translations import message

NAME: Final = "mt940"
MEDIA_TYPE: Final = "text/plain"
SUFFIXES: Final = (".sta", ".mt940", ".940", ".swi", ".txt")

_FIELD: Final = re.compile(
    r"(?:\{[1-35]:[^\n]{0,500}\{4:)?:(13D|20|21|25P?|28C?|34F|60[FM]|61|62[FM]|64|65|86|90[CD]|NS):", re.ASCII
)
_HEAD: Final = re.compile(r"^(?:\{[^\n]{0,500}\{4:)?:20:", re.ASCII | re.MULTILINE)
_BALANCE: Final = re.compile(r"([CD])([0-9]{6})([A-Z]{3})([0-9.,]{1,40})", re.ASCII)
_LINE: Final = re.compile(
    r"([0-9]{6})([0-9]{4}|[ ]{4})?(R?[CD])([A-Z])?[ ]?([0-9.,]{1,40})([A-Z][A-Z0-9 ]{3})?(.*)", re.ASCII
)
"""Value date, entry date, mark, funds code, amount, type, references: each begins where the one before cannot go on."""
_WRITTEN: Final = re.compile("[0-9]+(?:,[0-9]*)?|,[0-9]+", re.ASCII)
_NO_REFERENCE: Final = frozenset(["", "NONREF", "NOREF", "NOTPROVIDED"])
_LINE_CHARACTERS_MAX: Final = 10_000
_FIELD_LINES_MAX: Final = 1_000
_CENTURY: Final = 80
"""SWIFT: years from 80 on are those of the last century."""


class _Field(msgspec.Struct):
    """A field with the lines that belong to it."""

    line: int
    tag: str
    lines: list[str]


class _Statement(msgspec.Struct):
    """One statement, or one page of it: between two balances."""

    account: str | None = None
    currency: str | None = None
    opening: Decimal | None = None
    sum: Decimal = Decimal(0)
    is_read: bool = True
    """Whether all of it was understood, so that its sums can be compared."""
    is_in_balances: bool = False
    """Whether the opening balance is behind, and the closing balance ahead."""
    is_closed: bool = False


def recognizes(head: str) -> bool:
    """Whether a file that begins so is MT940."""
    head = head.replace("\r", "\n")
    return _HEAD.search(head) is not None and ("\n:60F:" in head or "\n:60M:" in head)


def read(source: Source, options: Options) -> Iterator[Item]:
    """The accounts and movements of the statements in a file; UnreadableFile where it is not MT940, or not whole."""
    if not recognizes(source.head):
        raise unreadable(message("This is no MT940 file: it lacks the fields :20: and :60F:."))
    return _Reader(options).items(_fields(source))


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """Every line that holds anything, with its number."""
    line, rest = 0, ""
    for chunk in chunks(source):
        *lines, rest = (rest + chunk).split("\n")
        for written in lines:
            line += 1
            if written:
                yield line, written[: _LINE_CHARACTERS_MAX + 1]
        if len(rest) > _LINE_CHARACTERS_MAX:
            break
    yield line + 1, rest[: _LINE_CHARACTERS_MAX + 1]


def _fields(source: Source) -> Iterator[_Field]:
    """The fields in their order; what stands between them otherwise is left out."""
    field: _Field | None = None
    line = 0
    for line, written in _lines(source):
        if len(written) > _LINE_CHARACTERS_MAX:
            told = message("At most {maximum} characters in one line.", maximum=_LINE_CHARACTERS_MAX)
            raise unreadable(told, line)
        found = _FIELD.match(written) if written[0:1] in (":", "{") else None
        if found:
            if field is not None:
                yield field
            field = _Field(line, found[1], [written[found.end() :]])
        elif written.startswith(("-}", "{")) or written.rstrip() == "-":
            if field is not None:
                yield field
            field = None
        elif field is not None and len(field.lines) < _FIELD_LINES_MAX:
            field.lines.append(written)
    if field is not None:
        yield field
    yield _Field(line, "", [])


class _Reader:
    """Goes along the fields; a movement is told when the field after its information begins."""

    def __init__(self, options: Options) -> None:
        self._accounts = Accounts(options)
        self._references = References()
        self._statement = _Statement(is_closed=True)
        self._waiting: tuple[_Field, list[str]] | None = None  # a statement line, and its information
        self._methods: dict[str, Callable[[_Field], Iterable[Item]]] = {
            "20": self._start, "25": self._name, "25P": self._name, "60F": self._open, "60M": self._open,
            "61": self._wait, "86": self._inform, "62F": self._close, "62M": self._close, "": self._start,
        }  # fmt: skip

    def items(self, fields: Iterable[_Field]) -> Iterator[Item]:
        """What the fields come to."""
        for field in fields:
            if field.tag != "86":
                yield from self._tell()
            if field.tag in self._methods:
                yield from self._methods[field.tag](field)

    # A statement.

    def _start(self, field: _Field) -> Iterable[Item]:
        if not self._statement.is_closed:
            told = message("The statement breaks off before its closing balance (field :62F:).")
            raise unreadable(told, field.line)
        self._statement = _Statement()
        return ()

    def _name(self, field: _Field) -> Iterable[Item]:
        self._statement.account = field.lines[0].strip() or None
        return ()

    def _open(self, field: _Field) -> Iterable[Item]:
        statement = self._statement
        if statement.is_in_balances:
            raise unreadable(message("The statement breaks off before its closing balance (field :62F:)."), field.line)
        errors: Errors = {}
        statement.opening, statement.currency = _balance(field, errors)
        statement.sum, statement.is_read = Decimal(0), not errors
        statement.is_in_balances, statement.is_closed = True, False
        yield from self._accounts.meet(field.line, statement.account, statement.currency, "bank")
        if errors:
            yield Refused(field.line, errors)

    def _close(self, field: _Field) -> Iterable[Item]:
        statement = self._statement
        statement.is_in_balances, statement.is_closed = False, True
        errors: Errors = {}
        closing, currency = _balance(field, errors)
        check_currency(currency, statement.currency, errors)
        if errors:
            yield Refused(field.line, errors)
        elif statement.is_read and statement.opening is not None and closing is not None:
            difference = closing - statement.opening
            if difference != statement.sum:
                told = message(
                    "The statement is damaged: its movements come to {sum}, and its balances to {difference}.",
                    sum=statement.sum,
                    difference=difference,
                )
                yield Refused(field.line, {"line": [told]})

    # Movements.

    def _wait(self, field: _Field) -> Iterable[Item]:
        if self._statement.is_in_balances:
            self._waiting = (field, [])
        else:
            yield Refused(field.line, {"line": [message("It stands outside a statement.")]})

    def _inform(self, field: _Field) -> Iterable[Item]:
        if self._waiting is not None:  # else it is about the account
            self._waiting[1].extend(field.lines)
        return ()

    def _tell(self) -> Iterable[Item]:
        if self._waiting is not None:
            (field, information), self._waiting = self._waiting, None
            yield self._movement(field, information)

    def _movement(self, field: _Field, information: list[str]) -> Item:
        statement = self._statement
        errors: Errors = {}
        found = _LINE.fullmatch(field.lines[0].strip())
        if found is None:
            statement.is_read = False
            told = message(
                "A statement line (field :61:) is a date, a mark (C, D, RC or RD), an amount and references."
            )
            return Refused(field.line, {"line": [told]})
        counted, entered, mark, _, written, _, references = found.groups()
        date = _day(counted, entered, errors)
        amount = read_amount(written, _WRITTEN, errors)
        if amount is None:
            statement.is_read = False
        else:
            amount = -amount if mark in ("D", "RC") else amount
            statement.sum += amount
        check_currency(statement.currency, self._accounts.currency_of(statement.account), errors)
        if errors or date is None or amount is None:
            return Refused(field.line, errors)
        if not amount:
            return Skipped(field.line, ZERO)
        customers, _, banks = references.partition("//")
        payee, description, notes = _texts(information, field.lines[1:], customers.strip())
        return Movement(
            line=field.line, date=date, amount=amount, description=description, payee=payee, notes=notes,
            account=self._accounts.booked_on(statement.account), currency=statement.currency,
            reference=self._reference(banks.strip(), date, amount, field.line),
        )  # fmt: skip

    def _reference(self, given: str, date: dt.date, amount: Decimal, line: int) -> str | None:
        if given.upper() in _NO_REFERENCE:
            return None
        reference = f"{given} {date} {amount}"
        # Each line is a movement of its own, as the balances count it.
        before = self._references.meet((self._statement.account, reference), line)
        return f"{reference} {before + 1}" if before else reference


def _balance(field: _Field, errors: Errors) -> tuple[Decimal | None, str | None]:
    """A balance in currency units, and its currency."""
    found = _BALANCE.fullmatch(field.lines[0].strip())
    if found is None:
        errors["line"] = [message("A balance is a mark (C or D), a date, a currency and an amount.")]
        return None, None
    mark, date, currency, written = found.groups()
    read_day(date, f"{_century(date)}{date}", errors)
    amount = read_amount(written, _WRITTEN, errors)
    return -amount if amount is not None and mark == "D" else amount, currency


def _century(date: str) -> int:
    return 19 if int(date[:2]) >= _CENTURY else 20


def _day(counted: str, entered: str | None, errors: Errors) -> dt.date | None:
    """The day of the entry, in the year in which it is near the day from which it counts; else that day."""
    counts_from = read_day(counted, f"{_century(counted)}{counted}", errors)
    if counts_from is None or entered is None or not entered.strip():
        return counts_from
    year, months = counts_from.year, int(entered[:2]) - counts_from.month
    year += -1 if months > 6 else 1 if months < -6 else 0
    return read_day(entered, f"{year}{entered}", errors)


# What a movement is about.

_STRUCTURED: Final = re.compile(r"[0-9]{3}\?[0-9]{2}", re.ASCII)
_STRAY: Final = re.compile(r"\?(?![0-9]{2})", re.ASCII)
"""A question mark that begins no part, and that the library would take for one."""
_CODE: Final = re.compile(
    r"/(TRTP|TRCD|IBAN|BIC|NAME|REMI|EREF|IREF|PREF|KREF|CREF|ORDP|BENM|ADDR|ID|CSID|MARF|CNTP|RTRN|ISDT|PURP|ULTC|ULTD)/",
    re.ASCII,
)


@cache
def _library() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What takes details apart: imported when they come, as that takes longer than most commands."""
    from mt940 import Options as Switches
    from mt940.models import Transactions
    from mt940.processors import transaction_details_post_processor
    from mt940.tags import TransactionDetails

    transactions, tag = Transactions(options=Switches.all()), TransactionDetails()

    def take_apart(details: dict[str, Any]) -> dict[str, Any]:
        return transaction_details_post_processor(transactions, tag, details, dict(details))

    return take_apart


def _texts(information: list[str], details: list[str], customers: str) -> tuple[str | None, str, str | None]:
    """Payee, description and notes."""
    whole = "".join(information)
    if _STRUCTURED.match(whole):
        found = _of_parts(whole)
    elif whole.startswith("/") and _CODE.match(whole):
        found = _of_codes(whole)
    else:
        found = {"description": " ".join(line.strip() for line in information)}
    texts = {name: one_line(text) for name, text in found.items() if text}
    supplement = one_line(" ".join(line.strip() for line in details))
    description = texts.get("description") or texts.get("kind") or supplement
    named = (
        ("Customer reference", customers), ("End-to-end reference", texts.get("end_to_end", "")),
        ("Mandate", texts.get("mandate", "")), ("Account", texts.get("account", "")),
    )  # fmt: skip
    notes = [f"{name} {value}" for name, value in named if value.upper() not in _NO_REFERENCE]
    notes += [text for text in (texts.get("kind"), supplement) if text and text != description]
    return texts.get("payee"), *fitting(description, notes)


def _of_parts(whole: str) -> dict[str, str | None]:
    """Of parts that begin with a question mark and two digits, as German banks write them."""
    found = _library()({"transaction_details": _STRAY.sub("\x1f", whole)})
    names = {
        "payee": "applicant_name", "description": "purpose", "kind": "posting_text", "account": "applicant_iban",
        "end_to_end": "end_to_end_reference", "mandate": "additional_position_reference",
    }  # fmt: skip
    texts = {name: found.get(theirs) for name, theirs in names.items()}
    return {name: text.replace("\x1f", "?") for name, text in texts.items() if text}


def _of_codes(whole: str) -> dict[str, str | None]:
    """Of parts that begin with a code between slashes, as Dutch banks write them."""
    _, *parts = _CODE.split(whole)
    values: dict[str, str] = {}
    for code, value in zip(parts[::2], parts[1::2], strict=True):
        values.setdefault(code, value.strip("/ "))
    account, _, name = [*values.get("CNTP", "").split("/"), "", "", ""][:3]
    remittance = values.get("REMI", "").removeprefix("USTD//").removeprefix("STRD/CUR/")
    return {
        "payee": values.get("NAME") or name,
        "description": remittance,
        "kind": values.get("TRTP"),
        "account": values.get("IBAN") or account,
        "end_to_end": values.get("EREF"),
        "mandate": values.get("MARF"),
    }
