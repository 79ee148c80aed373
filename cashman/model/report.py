"""What a report is asked for, and its schemas."""

import datetime as dt
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields, post_load, validates_schema
from marshmallow.validate import OneOf

from cashman.limits import ACCOUNT_CHARACTERS_MAX, CATEGORY_DEPTH_MAX, REPORT_DIMENSIONS_MAX
from cashman.model.fields import CategoryPath, CurrencyCode, Day, ShortList, Text, WholeNumber
from cashman.translations import message

PERIODS: Final = ("month", "quarter", "year", "week", "day")
DIMENSIONS: Final = (*PERIODS, "category", "account", "payee", "tag", "currency")


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryQuery:
    """Over which days, by what, and of which transactions."""

    first_day: dt.date | None = None
    last_day: dt.date | None = None
    by: tuple[str, ...] = ()
    depth: int | None = None
    """How many names of a category's path are kept."""
    account: str | None = None
    category: str | None = None
    currency: str | None = None
    compare: bool = False
    """Whether each row carries the figures of the period before."""

    @property
    def period(self) -> str | None:
        """The kind of period that the rows are by, if they are."""
        return next((name for name in self.by if name in PERIODS), None)


def _is_dimension(name: str) -> None:
    if name not in DIMENSIONS:
        close = difflib.get_close_matches(name, DIMENSIONS, 1)
        choices = ", ".join(DIMENSIONS)
        if close:
            raise ValidationError(
                message("Not one of {choices}; did you mean {nearest}?", choices=choices, nearest=close[0])
            )
        raise ValidationError(message("Not one of {choices}.", choices=choices))


class RangeSchema(Schema):
    """A range of days."""

    from_ = Day(data_key="from", attribute="first_day", metadata={"description": "The first day."})
    to = Day(attribute="last_day", metadata={"description": "The last day."})

    @validates_schema
    def check_range(self, data: Mapping[str, Any], **_: Any) -> None:
        if "first_day" in data and "last_day" in data and data["first_day"] > data["last_day"]:
            raise ValidationError("May not be after `to`.", "from")


class SummarySchema(RangeSchema):
    """The query parameters of a summary."""

    by = ShortList(
        Text(maximum=20, validate=_is_dimension),
        maximum=REPORT_DIMENSIONS_MAX,
        metadata={"description": f"What the rows are by: one or two of {', '.join(DIMENSIONS)}."},
    )
    depth = WholeNumber(
        minimum=1, maximum=CATEGORY_DEPTH_MAX, metadata={"description": "How many names of a category's path to keep."}
    )
    account = Text(maximum=ACCOUNT_CHARACTERS_MAX)
    category = CategoryPath(metadata={"description": "This category and all below it."})
    currency = CurrencyCode()
    compare = fields.String(
        validate=OneOf(["previous"], error=message("Not one of {choices}.")),
        metadata={"description": "previous: each row carries the figures of the period before."},
    )

    @validates_schema
    def check_dimensions(self, data: Mapping[str, Any], **_: Any) -> None:
        by = data.get("by", [])
        if len(set(by)) < len(by) or sum(name in PERIODS for name in by) > 1:
            raise ValidationError("Each once, and one kind of period at most.", "by")
        if "depth" in data and "category" not in by:
            raise ValidationError("Goes with `by=category`.", "depth")
        needs_range = "compare" in data and not any(name in PERIODS for name in by)
        if needs_range and not ("first_day" in data and "last_day" in data):
            raise ValidationError("Goes with a period in `by`, or with `from` and `to`.", "compare")

    @post_load
    def make_query(self, data: dict[str, Any], **_: Any) -> SummaryQuery:
        data["by"] = tuple(data.get("by", ()))
        data["compare"] = "compare" in data
        return SummaryQuery(**data)


class BalancesSchema(Schema):
    """The query parameters of the balances."""

    as_of = Day(metadata={"description": "The day at whose end the balances are (today)."})
