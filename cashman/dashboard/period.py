"""The days that a page is about: a month, a quarter, a year, the last twelve months, or from one day to another."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from marshmallow import ValidationError, validates_schema

from cashman.limits import CASHFLOW_MONTHS_MAX
from cashman.model.fields import CategoryPath, CurrencyCode, Text
from cashman.model.report import RangeSchema
from cashman.totals import last_of_month
from cashman.translations import message

KINDS: Final = ("month", "quarter", "year", "last-12-months")
MONTHS: Final = {"month": 1, "quarter": 3, "year": 12, "last-12-months": 12}
LAST_TWELVE: Final = "last-12-months"

_NAME: Final = re.compile(r"([0-9]{4})(?:-(?:(0[1-9]|1[0-2])|Q([1-4])))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """Some days without a gap, and how they were named."""

    first: dt.date
    last: dt.date
    kind: str | None = None
    """One of KINDS; None where the days themselves were named."""

    @property
    def parameters(self) -> dict[str, str]:
        """What names it in the query of a URL."""
        if self.kind is None:
            return {"from": self.first.isoformat(), "to": self.last.isoformat()}
        if self.kind == LAST_TWELVE:
            return {"period": LAST_TWELVE}
        month = self.first.isoformat()[:7]
        names = {"month": month, "quarter": f"{month[:4]}-Q{(self.first.month + 2) // 3}", "year": month[:4]}
        return {"period": names[self.kind]}

    @property
    def months(self) -> int | None:
        """Of how many whole months it is made; None where it begins or ends within one."""
        if self.first.day != 1 or self.last != last_of_month(self.last):
            return None
        return _number(self.last) - _number(self.first) + 1

    @property
    def grain(self) -> str:
        """By which kind of period its course is shown: so that there are neither too few columns nor too many."""
        days = (self.last - self.first).days + 1
        return "day" if days <= 31 else "week" if days <= 93 else "month" if days <= 366 * 3 else "year"

    def beside(self, step: int) -> "Period | None":
        """The period before it (-1) or after it (1), just as long; None where the calendar ends."""
        try:
            months = self.months
            if months is None:
                days = dt.timedelta(days=((self.last - self.first).days + 1) * step)
                return Period(self.first + days, self.last + days)
            first = _number(self.first) + months * step
            return _of_months(first, months, None if self.kind == LAST_TWELVE else self.kind)
        except (OverflowError, ValueError):
            return None

    def of_kind(self, kind: str, today: dt.date) -> "Period":
        """The period of a kind that lies nearest: where today is, if that is among these days, else where they end."""
        day = today if self.first <= today <= self.last else self.last
        if kind == LAST_TWELVE:
            return last_twelve_months(today)
        months = MONTHS[kind]
        return _of_months(_number(day) // months * months, months, kind)


def last_twelve_months(today: dt.date) -> Period:
    """The month of a day, and the eleven before it."""
    return _of_months(max(_number(today) - 11, 12), 12, LAST_TWELVE)


def named(name: str, today: dt.date) -> Period:
    """The period of a name such as 2026-11, 2026-Q4, 2026 or last-12-months; ValidationError for any other."""
    if name == LAST_TWELVE:
        return last_twelve_months(today)
    found = _NAME.fullmatch(name)
    if found is None or found[1] == "0000":
        raise ValidationError("Not a period: write 2026-11, 2026-Q4, 2026 or last-12-months.", "period")
    year = int(found[1]) * 12
    if found[2]:
        return _of_months(year + int(found[2]) - 1, 1, "month")
    if found[3]:
        return _of_months(year + int(found[3]) * 3 - 3, 3, "quarter")
    return _of_months(year, 12, "year")


def _number(day: dt.date) -> int:
    """Months since the year 0."""
    return day.year * 12 + day.month - 1


def _first_day(number: int) -> dt.date:
    return dt.date(number // 12, number % 12 + 1, 1)


def _of_months(first: int, months: int, kind: str | None) -> Period:
    return Period(_first_day(first), last_of_month(_first_day(first + months - 1)), kind)


class PeriodSchema(RangeSchema):
    """The query parameters of a page about a period."""

    period = Text(
        maximum=20, metadata={"description": "A month (2026-11), a quarter (2026-Q4), a year, or last-12-months."}
    )
    currency = CurrencyCode()
    category = CategoryPath(metadata={"description": "The category whose parts are shown."})

    @validates_schema
    def check_period(self, data: Mapping[str, Any], **_: Any) -> None:
        both = {"first_day", "last_day"} <= data.keys()
        if not both and {"first_day", "last_day"} & data.keys():
            raise ValidationError("`from` and `to` go together.", "from" if "last_day" in data else "to")
        if both and "period" in data:
            raise ValidationError("Goes with neither `from` nor `to`.", "period")
        if both and _number(data["last_day"]) - _number(data["first_day"]) >= CASHFLOW_MONTHS_MAX:
            raise ValidationError(message("At most {maximum} months.", maximum=CASHFLOW_MONTHS_MAX), "from")
        if "period" in data:
            named(data["period"], dt.date(2000, 1, 1))
