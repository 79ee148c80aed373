"""Money, days and months as the caller is used to seeing them: in their locale, and with every digit."""

import datetime as dt
from decimal import Decimal
from functools import lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_interval, format_skeleton
from babel.numbers import NumberPattern, format_compact_decimal, format_decimal, parse_pattern
from flask import request

from cashman import language
from cashman.limits import LANGUAGE_RANGES_MAX
from cashman.model.currency import CURRENCIES

CHANGE_PERCENT_MAX = 999
"""Above it a comparison says no more than that there was hardly anything before."""


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

    @property
    def in_templates(self) -> dict[str, Any]:
        """All of it, by the names that templates know it by."""
        return {
            "money": self.money,
            "number": self.number,
            "day": self.day,
            "month": self.month,
            "quarter": self.quarter,
            "range": self.range,
            "bucket": self.bucket,
            "instant": self.instant,
            "change_of": self.change,
            "short": self.short,
        }

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

    def bucket(self, key: str, *, short: bool = False) -> str:
        """A period of a report by its name there, such as 2026-11-20, 2026-W47, 2026-11 or 2026."""
        if len(key) == 4:
            return key
        if "W" in key:
            monday = dt.date.fromisocalendar(int(key[:4]), int(key[6:]), 1)
            return format_skeleton("MMMd" if short else "yMMMd", monday, locale=self.locale)
        if len(key) == 7:
            return self.month(key, short=short)
        return str(int(key[8:])) if short else self.day(key)

    def range(self, first: dt.date, last: dt.date) -> str:
        """From one day to another."""
        return format_interval(first, last, "yMMMd", locale=self.locale)

    def quarter(self, day: dt.date) -> str:
        """The quarter of a day."""
        return format_skeleton("yQQQQ", day, locale=self.locale)

    def change(self, amount: Decimal, before: Decimal) -> str | None:
        """By how many percent an amount is more or less than before; None where that would tell nobody anything."""
        if before <= 0:
            return None
        percent = round((amount - before) / before * 100)
        if percent > CHANGE_PERCENT_MAX:
            return None
        shown: str = _percent(self.locale, signed=percent != 0).apply(Decimal(percent) / 100, self.locale)
        return shown

    def short(self, amount: Decimal) -> str:
        """A round amount beside a line of a chart: 1,500 or 2.5M."""
        if abs(amount) < 1_000_000:
            return format_decimal(amount, locale=self.locale)
        return format_compact_decimal(amount, fraction_digits=2, locale=self.locale)

    def instant(self, instant: dt.datetime | str) -> str:
        """An instant in UTC."""
        at = dt.datetime.fromisoformat(instant) if isinstance(instant, str) else instant
        return format_datetime(at, "medium", tzinfo=dt.UTC, locale=self.locale)


@lru_cache(64)
def _percent(locale_: Locale, *, signed: bool) -> NumberPattern:
    pattern: NumberPattern = locale_.percent_formats[None]
    return parse_pattern(f"+{pattern.pattern};-{pattern.pattern}") if signed else pattern


def _date(day: dt.date | str) -> dt.date:
    return dt.date.fromisoformat(day) if isinstance(day, str) else day
