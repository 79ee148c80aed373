"""Money, days and months as the caller is used to seeing them: in their locale, and with every digit."""

import datetime as dt
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import NumberPattern
from flask import request

from cashman import language
from cashman.limits import LANGUAGE_RANGES_MAX
from cashman.model.currency import CURRENCIES


def locale() -> Locale:
    """The locale of this request: the kind of its language that it asks for first, such as en-GB or de-CH."""
    spoken = language.of_page()
    return _locale_of(spoken, request.headers.get("Accept-Language", ""))


@lru_cache(256)
def _locale_of(spoken: str, asked: str) -> Locale:
    primary = spoken.partition("_")[0]
    for range_ in asked.split(",", LANGUAGE_RANGES_MAX)[:LANGUAGE_RANGES_MAX]:
        tag = range_.partition(";")[0].strip()
        if tag.lower().startswith(f"{primary}-"):
            try:
                return Locale.parse(tag, sep="-")
            except (UnknownLocaleError, ValueError):
                continue
    return Locale.parse(spoken)


@lru_cache(512)
def _pattern(locale_: Locale, decimals: int, *, of_money: bool) -> NumberPattern:
    """The locale's own pattern with as many decimals as the ISO table says, which differs from Babel's."""
    patterns = locale_.currency_formats["standard"] if of_money else locale_.decimal_formats[None]
    return NumberPattern(
        patterns.pattern,
        patterns.prefix,
        patterns.suffix,
        patterns.grouping,
        patterns.int_prec,
        (decimals, decimals),
        patterns.exp_prec,
        patterns.exp_plus,
        patterns.number_pattern,
    )


class Figures:
    """How a page writes figures, in one locale."""

    def __init__(self, locale_: Locale) -> None:
        self.locale = locale_

    def money(self, amount: Decimal, currency: str) -> str:
        """An amount with its currency, exact: 1.234,50 € or $1,234.50."""
        pattern = _pattern(self.locale, CURRENCIES[currency], of_money=True)
        shown: str = pattern.apply(amount, self.locale, currency=currency, currency_digits=False)
        return shown

    def number(self, amount: Decimal, decimals: int = 0) -> str:
        """A number without a currency, with so many decimals."""
        shown: str = _pattern(self.locale, decimals, of_money=False).apply(amount, self.locale)
        return shown

    def day(self, day: dt.date | str) -> str:
        """A day, from a date or as the wire writes it."""
        return format_date(_date(day), "medium", locale=self.locale)

    def month(self, month: str, *, short: bool = False) -> str:
        """A month, from YYYY-MM; short without its year."""
        skeleton = "MMM" if short else "yMMMM"
        return format_skeleton(skeleton, _date(f"{month}-01"), locale=self.locale)

    def instant(self, instant: dt.datetime | str) -> str:
        """An instant in UTC."""
        at = dt.datetime.fromisoformat(instant) if isinstance(instant, str) else instant
        return format_datetime(at, "medium", tzinfo=dt.UTC, locale=self.locale)


def _date(day: dt.date | str) -> dt.date:
    return dt.date.fromisoformat(day) if isinstance(day, str) else day
