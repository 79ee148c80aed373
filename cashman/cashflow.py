"""Cash flow: what each month began with, what came, went and moved, and what it ended with, from the kept totals.

Amounts are minor units in here, and currency units in what `cashflow` gives. Currencies are never added up.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection

from cashman.chart import Chart, Standing
from cashman.errors import Invalid
from cashman.limits import CASHFLOW_MONTHS_MAX
from cashman.model.money import to_decimal
from cashman.model.total import ACCOUNT
from cashman.reporting import Line, Report, openings, read_sums
from cashman.totals import spans
from cashman.translations import message


def cashflow(
    ledger_id: int, first_day: dt.date | None, last_day: dt.date | None, connection: Connection, standing: Standing
) -> Report:
    """What each month began with, what came, went and moved, and what it ended with, by currency.

    `transfers` is what transfers between currencies and the opening balances of accounts bring.
    """
    head, chart, _ = standing
    opening = _standing_before(connection, ledger_id, chart, first_day)
    flows = _flows(connection, ledger_id, chart, first_day or dt.date.min, last_day or dt.date.max)
    if not flows and (not opening or last_day is None):
        return Report([], head)
    first = first_day.isoformat()[:7] if first_day else min(month for month, _ in flows)
    last = last_day.isoformat()[:7] if last_day else max(month for month, _ in flows)
    if first_day is None:  # asked for nothing in particular: as many of the last months as there may be
        first = max(first, _month(max(_number(last) - CASHFLOW_MONTHS_MAX + 1, _FIRST_MONTH)))
        for (month, currency), flow in flows.items():
            if month < first:
                opening[currency] = opening.get(currency, 0) + sum(flow.values())
    lines: list[Line] = []
    months = _months(first, last)
    for currency in sorted({*opening, *(code for _, code in flows)}):
        lines += _flow_lines(currency, opening.get(currency, 0), months, flows)
    return Report(sorted(lines, key=lambda line: (line["month"], line["currency"])), head)


def _standing_before(connection: Connection, ledger_id: int, chart: Chart, day: dt.date | None) -> dict[str, int]:
    """What was there before a day, by currency."""
    found: dict[str, int] = {}
    if day is None or day == dt.date.min:
        return found
    day_before = day - dt.timedelta(days=1)
    over = spans(dt.date.min, day_before, coarsest="month")
    for keys, minor_units, _count in read_sums(connection, ledger_id, ACCOUNT, over, ("currency",)):
        found[keys["currency"]] = minor_units
    for id_, minor_units in openings(chart, day_before):
        currency = chart.accounts[id_]["currency"]
        found[currency] = found.get(currency, 0) + minor_units
    return found


_FLOW_NAMES: Final = {"INCOME": "income", "EXPENSE": "expense", "TRANSFER": "transfers"}


def _flows(
    connection: Connection, ledger_id: int, chart: Chart, first: dt.date, last: dt.date
) -> dict[tuple[str, str], dict[str, int]]:
    """What came, went and moved, by month and currency."""
    flows: dict[tuple[str, str], dict[str, int]] = {}

    def add(month: str, currency: str, name: str, minor_units: int) -> None:
        flow = flows.setdefault((month, currency), dict.fromkeys(_FLOW_NAMES.values(), 0))
        flow[name] += minor_units

    over = spans(first, last, coarsest="month")
    for keys, minor_units, _count in read_sums(connection, ledger_id, ACCOUNT, over, ("period", "type", "currency")):
        add(keys["period"][:7], keys["currency"], _FLOW_NAMES[keys["type"]], minor_units)
    for account in chart.accounts.values():
        day = account["opening_date"]
        if day is not None and first <= day <= last and account["opening_minor_units"]:
            add(day.isoformat()[:7], account["currency"], "transfers", account["opening_minor_units"])
    return flows


_FIRST_MONTH: Final = 12  # January of the year 1, as _number counts


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:]) - 1


def _month(number: int) -> str:
    return f"{number // 12:04}-{number % 12 + 1:02}"


def _months(first: str, last: str) -> list[str]:
    low, high = _number(first), _number(last)
    if high - low >= CASHFLOW_MONTHS_MAX:
        raise Invalid(errors={"from": [message("At most {maximum} months.", maximum=CASHFLOW_MONTHS_MAX)]})
    return [_month(number) for number in range(low, high + 1)]


def _flow_lines(
    currency: str, opening: int, months: Iterable[str], flows: Mapping[tuple[str, str], Mapping[str, int]]
) -> Iterator[Line]:
    nothing = {"income": 0, "expense": 0, "transfers": 0}
    for month in months:
        flow = flows.get((month, currency), nothing)
        closing = opening + sum(flow.values())
        figures: dict[str, Decimal] = {
            name: to_decimal(minor_units, currency)
            for name, minor_units in {"opening": opening, **flow, "closing": closing}.items()
        }
        yield {"month": month, "currency": currency, **figures}
        opening = closing
