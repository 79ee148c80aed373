"""Plain-text accounting: entries and their postings, as beancount and hledger write them, and what they are made of."""

import datetime as dt
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Final

import msgspec

from cashman.formats.records import Refused
from cashman.limits import ACCOUNT_CHARACTERS_MAX, AMOUNT_CHARACTERS_MAX
from cashman.model.currency import CURRENCIES
from cashman.translations import Message, message

OWN: Final = "cashman-"
"""What the names begin with of what only Cashman knows."""
NAME_CHARACTERS_MAX: Final = 10 * ACCOUNT_CHARACTERS_MAX  # before anything is looked up by its parts

EXACT: Final = Context(
    prec=1_000, rounding=ROUND_HALF_EVEN, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow]
)
"""Arithmetic that says so where it would have to round; wide enough for sums and products of what is read."""
ZERO: Final = Decimal(0)


class BadLine(Exception):
    """A line that breaks a rule, and the field that it is told under."""

    def __init__(self, line: int, field: str, rule: Message) -> None:
        super().__init__(rule)
        self.refused = Refused(line, {field: [rule]})


class Block:
    """A transaction or directive: the line that it begins with, and those that are indented below it."""

    __slots__ = ("body", "head", "line")

    def __init__(self, line: int, head: str) -> None:
        self.line = line
        self.head = head
        self.body: list[tuple[int, str]] = []


class Posting(msgspec.Struct):
    """One leg of an entry."""

    line: int
    account: str
    number: Decimal | None = None
    """None where it is left out."""
    currency: str | None = None
    """None for that of the account."""
    priced: bool = False
    """Whether it counts for something else than its number: a price or a cost."""
    lot: bool = False
    """Whether it has a cost: then it is no money, whatever its currency."""
    weight: Decimal | None = None
    """What a priced one counts for; None where that is not said."""
    weight_currency: str | None = None
    words: dict[str, str] | None = None
    """What Cashman itself has said of it."""

    def counts(self) -> tuple[Decimal | None, str | None]:
        """What it adds to the balance of its entry."""
        return (self.weight, self.weight_currency) if self.priced else (self.number, self.currency)


class Entry(msgspec.Struct):
    """A transaction of such a file."""

    line: int
    date: dt.date
    description: str
    payee: str | None
    tags: list[str]
    notes: str | None
    postings: list[Posting]
    words: dict[str, str]
    """What Cashman itself has said of it."""
    implicit_price: bool = False
    """Whether two currencies without a price balance each other, as in hledger; one then has to balance exactly."""


def day_of(line: int, text: str) -> dt.date:
    """A date YYYY-MM-DD; BadLine where the calendar does not have it."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadLine(line, "date", message("There is no such day: {text}.", text=text[:20])) from None


def account_name(line: int, name: str) -> str:
    """A name of an account; BadLine where it is far too long."""
    if len(name) > NAME_CHARACTERS_MAX:
        raise BadLine(line, "account", message("At most {maximum} characters.", maximum=ACCOUNT_CHARACTERS_MAX))
    return name


def is_money(currency: str | None) -> bool:
    """Whether a commodity is a currency of ISO 4217, or that of the account."""
    return currency is None or currency in CURRENCIES


def number_of(line: int, text: str) -> Decimal:
    """A number of ASCII digits with a point, commas between its thousands already taken out."""
    if len(text) > AMOUNT_CHARACTERS_MAX:
        raise BadLine(line, "amount", message("Not an amount, or longer than any amount."))
    return Decimal(text)


def one_line(text: str) -> str:
    """A text without the blanks around it, in one line."""
    return " ".join(text.split()) if "\n" in text or "\r" in text else text.strip()


def notes_of(lines: Iterable[str]) -> str | None:
    """What is kept beside a movement, one line each; None for nothing."""
    return "\n".join(line for line in lines if line) or None
