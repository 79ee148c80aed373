"""What the files of banks have in common: their text in parts, days and amounts, accounts and references."""

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from cashman.formats.records import Account, Options, unreadable
from cashman.formats.source import Source
from cashman.limits import AMOUNT_CHARACTERS_MAX, DESCRIPTION_CHARACTERS_MAX, NOTES_CHARACTERS_MAX
from cashman.translations import Message, message

CHUNK_CHARACTERS: Final = 262_144
VALUE_CHARACTERS_MAX: Final = 100_000
"""No value of a statement is longer; what is, is no statement, and would not be read in flat memory."""

ZERO: Final = message("Zero is not a movement of money.")

_CURRENCY: Final = re.compile("[A-Z]{3}", re.ASCII)
_NARROW: Final = re.compile(
    r"(?:ISO[-_]?8859[-_]([2-9]|1[013-6])|(?:WINDOWS-|CP)?(125[0-8]))", re.ASCII | re.IGNORECASE
)
"""Encodings of one byte a character, but for ISO 8859-1: who writes that often means its extension, Windows-1252."""
_SHOWN_CHARACTERS_MAX: Final = 40


# Text.


def follow(source: Source, declared: str) -> None:
    """Read a file with a byte a character in the encoding that it declares, which its bytes do not tell."""
    found = _NARROW.fullmatch(declared)
    if found and source.encoding in ("cp1252", "latin-1"):
        source.encoding = f"iso8859-{found[1]}" if found[1] else f"cp{found[2]}"


def chunks(source: Source) -> Iterator[str]:
    """The text in parts of bounded length, every line end as a line feed."""
    held = ""  # a carriage return whose line feed may begin the next part
    with source.open() as text:
        try:
            while part := text.read(CHUNK_CHARACTERS):
                if held or "\r" in part:
                    part, held = held + part, ""
                    if part.endswith("\r"):
                        part, held = part[:-1], "\r"
                    part = part.replace("\r\n", "\n").replace("\r", "\n")
                yield part
        except UnicodeDecodeError:
            raise unreadable(
                message("The file is not in {encoding}, as it says itself.", encoding=source.encoding)
            ) from None
    if held:
        yield "\n"


def one_line(text: str) -> str:
    """Text without space around it and without line ends in it."""
    text = text.strip()
    return " ".join(part.strip() for part in text.splitlines()) if not text.isprintable() else text


def shown(text: str) -> str:
    """What a rule quotes of a file."""
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[: _SHOWN_CHARACTERS_MAX - 1]}…"


def fitting(description: str, notes: list[str]) -> tuple[str, str | None]:
    """A description that is not too long, and the notes: these have all of one that is."""
    if len(description) > DESCRIPTION_CHARACTERS_MAX:
        notes = [description, *notes]
        description = f"{description[: DESCRIPTION_CHARACTERS_MAX - 1].rstrip()}…"
    return description, "\n".join(notes)[:NOTES_CHARACTERS_MAX].rstrip() or None


# Values. A rule that is broken goes into the errors, by field.

Errors = dict[str, list[str]]


def read_amount(text: str, written: re.Pattern[str], errors: Errors) -> Decimal | None:
    """The exact amount in currency units that a pattern of digits, sign, point and comma allows."""
    if len(text) <= AMOUNT_CHARACTERS_MAX and written.fullmatch(text):
        return Decimal(text.replace(",", "."))
    errors["amount"] = [message("{text} is not an amount.", text=shown(text)) if text else _lacks("amount")]
    return None


def read_day(text: str, digits: str, errors: Errors) -> dt.date | None:
    """The day that eight digits name; without them the text was not written as a date."""
    try:
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        told = message("{text} is not a date of the calendar.", text=shown(text)) if text else _lacks("date")
        errors["date"] = [told]
        return None


def _lacks(field: str) -> Message:
    return message("There is no amount.") if field == "amount" else message("There is no date.")


def check_currency(currency: str | None, of_account: str | None, errors: Errors) -> None:
    """Note a currency that is none, or another than that of the account."""
    if currency is None:
        return
    if not _CURRENCY.fullmatch(currency):
        errors["currency"] = [message("Not a currency code of ISO 4217 (three capital letters, such as USD).")]
    elif of_account is not None and currency != of_account:
        errors["currency"] = [message("This is in {currency}, and the account in {of_account}.",
                                      currency=currency, of_account=of_account)]  # fmt: skip


# What a file says more than once.


class Accounts:
    """The accounts that a file names; where whoever imports it names one, all of the file goes there."""

    def __init__(self, options: Options) -> None:
        self._chosen = options.account
        self._currencies: dict[str | None, str | None] = {}

    def meet(self, line: int, name: str | None, currency: str | None, kind: str) -> Iterator[Account]:
        """Tell of an account where it is new; UnreadableFile where it is a second one, and all is to go to one."""
        if name in self._currencies:
            return
        self._currencies[name] = currency
        if self._chosen is None:
            if name is not None:
                yield Account(line=line, name=name, currency=currency, kind=kind)
        elif len(self._currencies) > 1:
            told = message("The file is about several accounts, and cannot all go to {account}.", account=self._chosen)
            raise unreadable(told, line)

    def booked_on(self, name: str | None) -> str | None:
        """Where the movements of an account of the file go."""
        return name if self._chosen is None else self._chosen

    def currency_of(self, name: str | None) -> str | None:
        """The currency in which an account was first met."""
        return self._currencies.get(name)


class References:
    """What the bank calls its movements: which of them were met before, with the same content or with another."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}  # hashes, as a file may have a million of them
        self._contents: set[int] = set()

    def meet(self, reference: tuple[str | None, str], content: object) -> int | None:
        """How many of an account's reference came before, with other contents; None where this content did, too."""
        # The content as text: a number may have the hash of another, as -1 has that of -2.
        key, whole = hash(reference), hash((reference, repr(content)))
        if whole in self._contents:
            return None
        self._contents.add(whole)
        before = self._counts.get(key, 0)
        self._counts[key] = before + 1
        return before
