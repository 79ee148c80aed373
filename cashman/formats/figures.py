"""Dates and amounts as people and banks write them: told apart by all that a file holds, and not by one line."""

import datetime as dt
import re
import unicodedata
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from cashman.formats.records import unreadable
from cashman.limits import AMOUNT_CHARACTERS_MAX
from cashman.model.currency import CURRENCIES
from cashman.translations import message

ORDERS: Final = ("YMD", "DMY", "MDY")
"""Which part of a date comes first."""

_KEPT: Final = 20_000
"""How many different dates are kept: those of a file are few, but for the time of day that some hold."""
_OUTWEIGHS: Final = 10
"""How many times as many dates or amounts have to speak for one reading as for another, where some are plain slips."""
_WIDER: Final = 3
"""How many times as many days one order has to spread the same dates over, for the other to be taken."""
_DATE_CHARACTERS_MAX: Final = 60
_CENTURY_ENDS: Final = 70
"""A year of two digits from here on is of the last century."""

_NUMBERS: Final = re.compile(
    r"([0-9]{1,4}) ?([-/.' ]) ?([0-9]{1,2}) ?([-/.' ]) ?([0-9]{1,4})(?:[T ,]+[0-9]{1,2}[:.h][0-9]{2}.*)?"
)
_COMPACT: Final = re.compile(r"((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})(?:[T ]?[0-9]{6}.*)?")
_WORDS: Final = re.compile(r"[0-9]+|[^\W\d_]+")
_TIME: Final = re.compile(r"[0-9]{1,2}:[0-9]{2}.*")

_MONTHS: Final = """
    january february march april may june july august september october november december
    januar februar marz april mai juni juli august september oktober november dezember
    janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
    janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro
    gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
    januari februari maart april mei juni juli augustus september oktober november december
    janner feber maerz x x x x x x x x x
    x x mrt x x x x x x x x x
""".split()
"""Twelve in a language: English, German, French, Spanish, Portuguese, Italian, Dutch; then other spellings."""

_FILLING: Final = frozenset(
    "of de del den the st nd rd th er o a mon tue wed thu fri sat sun mo di mi do fr sa so "
    "monday tuesday wednesday thursday friday saturday sunday".split()
)


def plain(text: str) -> str:
    """Letters and digits only, without accents and capitals, single blanks between words: how names are compared."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(re.split(r"[\W_]+", text.casefold())).strip()


def _month_names() -> dict[str, int]:
    """Each name and each of its beginnings that stands for one month only."""
    found: dict[str, set[int]] = {}
    for place, name in enumerate(_MONTHS):
        for length in range(3, len(name) + 1):
            found.setdefault(name[:length], set()).add(place % 12 + 1)
    return {name: months.pop() for name, months in found.items() if len(months) == 1}


_MONTH_BY_NAME: Final = _month_names()


class _Numbers(NamedTuple):
    """A date in three numbers."""

    first: int
    second: int
    third: int
    orders: tuple[str, ...]
    """The orders that fit how it is written; one where that says it, as a year of four digits in front does."""
    dotted: bool = False


_FROM_YEAR: Final = ("YMD",)
_FROM_DAY: Final = ("DMY",)
_TO_YEAR: Final = ("DMY", "MDY")


def _written(text: str) -> _Numbers | None:
    """The numbers of a date; None where it is none."""
    return _numbers(" ".join(text.split())) if len(text) <= _DATE_CHARACTERS_MAX else None


@lru_cache(_KEPT)
def _numbers(text: str) -> _Numbers | None:
    if found := _NUMBERS.fullmatch(text):
        return _in_numbers(*found.groups())
    if found := _COMPACT.fullmatch(text):
        first, second, third = map(int, found.groups())
        return _Numbers(first, second, third, _FROM_YEAR)
    return _in_words(text)


def _in_numbers(first: str, mark: str, second: str, mark2: str, third: str) -> _Numbers | None:
    if mark != mark2 and mark2 != "'":  # QIF: 1/15'24
        return None
    lengths = (len(first), len(third))
    if lengths in ((4, 1), (4, 2)):
        orders: tuple[str, ...] = _FROM_YEAR
    elif lengths in ((1, 4), (2, 4), (1, 2)) or (mark2 == "'" and len(first) < 3 and len(third) < 3):
        orders = _TO_YEAR
    elif lengths == (2, 2):
        orders = ORDERS
    else:
        return None
    return _Numbers(int(first), int(second), int(third), orders, dotted=mark == "." and orders != _FROM_YEAR)


def _in_words(text: str) -> _Numbers | None:
    """A date with the month's name, in any order: 15 Jan 2024; Jan. 15, 2024; 2024-Jan-15."""
    words = [word for word in _WORDS.findall(plain(_TIME.sub("", text))) if word not in _FILLING]
    names = [place for place, word in enumerate(words) if not word.isdigit()]
    if len(words) != 3 or len(names) != 1 or names[0] == 2:
        return None
    month = _MONTH_BY_NAME.get(words[names[0]])
    first, last = (word for word in words if word.isdigit())
    if month is None:
        return None
    if len(first) == 4 and len(last) <= 2:
        return _Numbers(int(first), month, int(last), _FROM_YEAR)
    if len(first) <= 2 and len(last) in (2, 4):
        return _Numbers(int(first), month, int(last), _FROM_DAY)
    return None


def _parts(numbers: _Numbers, order: str) -> tuple[int, int, int]:
    """Year, month and day of three numbers in an order."""
    first, second, third, *_ = numbers
    year, month, day = {
        "YMD": (first, second, third), "DMY": (third, second, first), "MDY": (third, first, second),
    }[order]  # fmt: skip
    if year < 100:
        year += 1900 if year >= _CENTURY_ENDS else 2000
    return year, month, day


def _day(numbers: _Numbers, order: str) -> dt.date | None:
    """The day that three numbers are in an order; None where there is no such day."""
    try:
        return dt.date(*_parts(numbers, order))
    except ValueError:
        return None


def _in_range(numbers: _Numbers, order: str) -> bool:
    """Whether a month and a day stand where the order has them, be there such a day in that month or not."""
    _, month, day = _parts(numbers, order)
    return 1 <= month <= 12 and 1 <= day <= 31


class _Run:
    """The dates of a file in one order: whether they rise or fall, and over how many days they spread."""

    def __init__(self) -> None:
        self.fitting = 0
        """How many dates can be read so, also those of a day that does not exist."""
        self.rises = self.falls = True
        self.days_of_month: set[int] = set()
        self._first = self._last = self._before = dt.date.min

    def add(self, day: dt.date) -> None:
        """The next date."""
        if not self.days_of_month:
            self._first = self._last = self._before = day
        self.falls = self.falls and day <= self._before
        self.rises = self.rises and day >= self._before
        self._first, self._last = min(self._first, day), max(self._last, day)
        self.days_of_month.add(day.day)
        self._before = day

    @property
    def in_sequence(self) -> bool:
        """Whether they all go one way."""
        return self.rises or self.falls

    @property
    def span(self) -> int:
        """How many days lie between the first and the last of them."""
        return (self._last - self._first).days


class Days(dict[str, dt.date | None]):
    """Each date of a file by how it is written there, None for what is none; the order is settled by all of them."""

    def __init__(self, order: str | None = None) -> None:
        super().__init__()
        self.order = order
        self._runs = {one: _Run() for one in ORDERS}
        self._proofs = dict.fromkeys(ORDERS, 0)
        self._noted = self._different = self._dotted = self._clear = 0
        self._before = ""

    def note(self, text: str) -> None:
        """Take a date of the file into account."""
        if self.order is not None or not (numbers := _written(text)):
            return
        if len(numbers.orders) == 1:
            self._clear += 1
            return
        self._noted += 1
        if text == self._before:
            return
        self._before = text
        self._different += 1
        self._dotted += numbers.dotted
        possible = [order for order in numbers.orders if _in_range(numbers, order)]
        if len(possible) == 1:
            self._proofs[possible[0]] += 1
        for order in possible:
            self._runs[order].fitting += 1
            if day := _day(numbers, order):
                self._runs[order].add(day)

    @property
    def settled(self) -> bool:
        """Whether what was noted so far says it."""
        return self.order is not None or any(self._proofs.values()) or (self._clear > 0 and not self._noted)

    def settle(self, likely: str | None = None) -> None:
        """Choose the order; UnreadableFile where all dates leave it open, and nothing says which is likely."""
        if self.order is None:
            self.order = self._proved() or self._by_dots() or self._by_sequence() or likely
        if self.order is None:
            raise unreadable(
                message(
                    "Whether its dates begin with the day, the month or the year cannot be told: each of them can be "
                    "read in more than one way. Say `date_order` in a mapping: {orders}.",
                    orders=", ".join(ORDERS),
                )
            )

    def _proved(self) -> str | None:
        """The order that dates prove which have no other reading."""
        if not self._noted:
            return "YMD"
        (most, order), (fewer, other), _ = sorted(((n, one) for one, n in self._proofs.items()), reverse=True)
        if most < _OUTWEIGHS * fewer:
            raise unreadable(
                message(
                    "Some of its dates can only be read as {order}, and some only as {other}: say `date_order` in a "
                    "mapping.",
                    order=order,
                    other=other,
                )
            )
        return order if most else None

    def _by_dots(self) -> str | None:
        """The day comes first where points stand between, as far as nothing speaks against it."""
        return "DMY" if self._dotted == self._different else None

    def _by_sequence(self) -> str | None:
        """The one order in which the dates go one way; else the one in which they lie much closer together."""
        most = max(run.fitting for run in self._runs.values())
        fitting = [order for order, run in self._runs.items() if run.fitting == most]
        left = [order for order in fitting if self._runs[order].in_sequence] or fitting
        if len(left) == 1:
            return left[0]
        order, other, *_ = sorted(left, key=lambda one: self._runs[one].span)
        narrow, wide = self._runs[order], self._runs[other]
        # Something that comes once a month on the same day looks like something that comes each day of one month.
        monthly = len(wide.days_of_month) == 1 and wide.span <= 31 * self._different == 31 * self._noted
        return None if monthly or wide.span <= _WIDER * narrow.span else order

    def __missing__(self, text: str) -> dt.date | None:
        day = None
        if numbers := _written(text):
            order = numbers.orders[0] if len(numbers.orders) == 1 else self.order or "YMD"
            day = _day(numbers, order) if order in numbers.orders else None
        if len(self) >= _KEPT:
            self.clear()
        if len(text) <= _DATE_CHARACTERS_MAX:
            self[text] = day
        return day


def is_date(text: str) -> bool:
    """Whether a text can be read as a date in any order."""
    numbers = _written(text)
    return numbers is not None and any(_day(numbers, order) for order in numbers.orders)


def is_like_a_date(text: str) -> bool:
    """Whether a text is written as a date is, be there such a day or not."""
    return _written(text) is not None


# Amounts.

_AMOUNT: Final = re.compile(r"([^0-9]*?)([.,]?[0-9][0-9.,'’\s]*)([^0-9]*)")
_BLANKS: Final = " \u00a0\u2009\u202f\t"
_CURRENCY_SIGNS: Final = {
    "€": "EUR",
    "£": "GBP",
    "r$": "BRL",
    "us$": "USD",
    "zł": "PLN",
    "₹": "INR",
    "fr": "CHF",
    "fr.": "CHF",
}
_VAGUE_SIGNS: Final = frozenset({"$", "¥", "kr", "kr.", "rs", "rs.", "元", "円", "eur.", "euro", "euros"})
_MARKS: Final = {
    **dict.fromkeys(("cr", "c", "h", "haben"), 1),
    **dict.fromkeys(("dr", "db", "d", "s", "soll"), -1),
}  # fmt: skip
"""What banks write behind an amount in place of a sign."""
_GROUPED: Final = {
    mark: re.compile(
        rf"[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+|[0-9]{{1,2}}(?:{re.escape(mark)}[0-9]{{2}})*{re.escape(mark)}[0-9]{{3}}"
    )
    for mark in (",", ".", "'", " ")
}
"""Digits in threes; or, as in India, the last three and the others in twos."""


_POINT: Final = re.compile(r"-?(?:[0-9]{1,25}|[0-9]{1,3}(?:,[0-9]{3}){1,8})(?:\.[0-9]{1,9})?")
_COMMA: Final = re.compile(r"-?(?:[0-9]{1,25}|[0-9]{1,3}(?:\.[0-9]{3}){1,8})(?:,[0-9]{1,9})?")


class Amount(NamedTuple):
    """An amount, and the currency that stands beside it."""

    number: Decimal
    currency: str | None


class Amounts:
    """The amounts of a file: which mark stands before the decimals is settled by all of them."""

    def __init__(self, decimal: str | None = None) -> None:
        self.decimal = decimal
        self._proofs = {".": 0, ",": 0}
        self._open = {".": 0, ",": 0}
        self._whole = self._long = 0

    def note(self, text: str) -> None:
        """Take an amount of the file into account."""
        if self.decimal is not None or not (digits := _digits(text)):
            return
        points, commas = digits.count("."), digits.count(",")
        if not points and not commas:
            self._whole += 1
            self._long += len(digits) > 3 and digits.isdigit()
        elif points and commas:
            last = "." if digits.rindex(".") > digits.rindex(",") else ","
            self._proofs[last] += (points if last == "." else commas) == 1
        elif points + commas > 1:
            mark = "." if points else ","
            self._proofs["," if mark == "." else "."] += _GROUPED[mark].fullmatch(digits) is not None
        else:
            mark = "." if points else ","
            before, _, after = digits.partition(mark)
            if len(after) == 3 and 1 <= len(before) <= 3 and before.isdigit() and before[0] != "0":
                self._open[mark] += 1
            elif after:
                self._proofs[mark] += 1

    @property
    def settled(self) -> bool:
        """Whether an amount that was noted leaves one mark only."""
        return self.decimal is not None or any(self._proofs.values())

    def settle(self, decimals_max: int | None = None) -> None:
        """Choose the mark; UnreadableFile where 1.234 may be one and a bit, or one thousand and more.

        `decimals_max`: how many decimals the currencies have that the file names; None where it names none.
        """
        if self.decimal is not None:
            return
        point, comma = self._proofs["."], self._proofs[","]
        if max(point, comma) < _OUTWEIGHS * min(point, comma):
            raise unreadable(
                message(
                    "Some of its amounts have a decimal point, and some a decimal comma: say `decimal` in a mapping."
                )
            )
        if point or comma:
            self.decimal = "." if point > comma else ","
            return
        small = decimals_max is not None and decimals_max < 3
        if any(self._open.values()) and not small and (not self._whole or self._long or all(self._open.values())):
            raise unreadable(
                message(
                    "Whether three digits behind a mark are decimals or thousands cannot be told from its amounts: say "
                    "`decimal` in a mapping."
                )
            )
        self.decimal = "," if self._open["."] > self._open[","] else "."

    def plain(self, text: str) -> Decimal | None:
        """An amount of digits, marks and a minus only, quickly; None for any other, for which there is `read`."""
        if self.decimal == ",":
            return Decimal(text.replace(".", "").replace(",", ".")) if _COMMA.fullmatch(text) else None
        return Decimal(text.replace(",", "")) if _POINT.fullmatch(text) else None

    def read(self, text: str) -> Amount | None:
        """An amount; None where it is none."""
        found = _AMOUNT.fullmatch(text.strip()) if len(text) <= 2 * AMOUNT_CHARACTERS_MAX else None
        if found is None:
            return None
        before, digits, after = found[1], found[2].strip(), found[3]
        if digits[0] in ".,":
            if before.strip(_BLANKS + "-+−("):  # "Rs.50" is no fraction
                before, digits = before + digits[0], digits[1:]
            else:
                digits = "0" + digits
        number = self._number(digits)
        around = _around(before, after)
        if number is None or around is None:
            return None
        return Amount(-number if around[0] else number, around[1])

    def _number(self, digits: str) -> Decimal | None:
        decimal = self.decimal or "."
        if len(digits) > AMOUNT_CHARACTERS_MAX:
            return None
        whole, mark, part = digits.partition(decimal)
        if (mark and not part.isdecimal()) or not part.isascii():
            return None
        if not (whole.isascii() and whole.isdecimal()):
            whole = re.sub(r"\s", " ", whole.replace("’", "'"))
            other = "," if decimal == "." else "."
            for group in (other, "'", " "):
                if _GROUPED[group].fullmatch(whole):
                    whole = whole.replace(group, "")
                    break
            else:
                return None
        return Decimal(f"{whole}.{part}" if part else whole)


def _digits(text: str) -> str:
    """The digits of an amount with the marks between them."""
    found = _AMOUNT.fullmatch(text.strip()) if len(text) <= 2 * AMOUNT_CHARACTERS_MAX else None
    return re.sub(r"\s", " ", found[2].strip().replace("’", "'")) if found else ""


@lru_cache(1_000)
def _around(before: str, after: str) -> tuple[bool, str | None] | None:
    """Whether an amount is below zero, and its currency, by what stands around its digits; None for anything else."""
    signs: list[int] = []
    if (brackets := before.count("(")) != after.count(")"):
        return None
    signs += [-1] * brackets
    currencies = set()
    for part, closing in ((before.replace("(", " "), False), (after.replace(")", " "), True)):
        for sign in "+-−–":
            signs += [1 if sign == "+" else -1] * part.count(sign)
            part = part.replace(sign, " ")
        for word in part.casefold().split():
            if known := _CURRENCY_SIGNS.get(word) or (word.upper() if word.upper() in CURRENCIES else None):
                currencies.add(known)
            elif closing and word in _MARKS:
                signs.append(_MARKS[word])
            elif word not in _VAGUE_SIGNS:
                return None
    if len(signs) > 1 or len(currencies) > 1:
        return None
    return signs == [-1], (currencies.pop() if currencies else None)


def currency_of(text: str) -> str | None:
    """The currency that a code, or a sign that is that of one only, stands for; None for anything else."""
    word = text.strip()
    return (
        word.upper() if len(word) == 3 and word.isascii() and word.isalpha() else _CURRENCY_SIGNS.get(word.casefold())
    )
