"""The first page: what there is, what came and went over a period, where it went, and the latest transactions."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Response

from cashman import current, documentation
from cashman.answers import encode_row
from cashman.chart import Chart
from cashman.contracts import A_PAGE, JSON, contract
from cashman.dashboard import charts, period
from cashman.dashboard.frame import page, wants_page
from cashman.dashboard.period import KINDS, Period, PeriodSchema
from cashman.door import admit
from cashman.ledger import Ledger
from cashman.model.filter import Filter
from cashman.model.report import SummaryQuery
from cashman.periods import bucket
from cashman.reporting import Line
from cashman.wire import load_query

index = Blueprint("index", __name__)
bp = Blueprint("overview", __name__, template_folder="templates")

ACCOUNTS_SHOWN: Final = 12
CATEGORIES_SHOWN: Final = 12
MORE_SHOWN: Final = 300
"""How many more of either can be opened below them."""
LATEST_SHOWN: Final = 10
NOTHING: Final = Decimal(0)


@index.get("/")
@contract(
    needs="anyone",
    query=PeriodSchema,
    answers={200: "Links to everything else, or the overview where `Accept` asks for a page."},
    gives={JSON: {"schema": {"type": "object"}}, **A_PAGE},
)
def get_index() -> Response:
    """Show where everything is, and a browser the overview."""
    if wants_page():
        admit("viewer")
        response = get_overview()
    else:
        load_query(PeriodSchema)
        response = documentation.index()
    response.vary.add("Accept")
    return response


@bp.get("/pages/overview")
@contract(query=PeriodSchema, answers={200: "The page."}, gives=A_PAGE)
def get_overview() -> Response:
    """Show what there is, what came and went, where it went, and the latest transactions."""
    books, asked = current.ledger(), load_query(PeriodSchema)
    shown = _period(asked, books.today)
    return page("overview.html", **_contents(books, shown, asked.get("currency"), asked.get("category")))


def _period(asked: dict[str, Any], today: dt.date) -> Period:
    if "first_day" in asked:
        return Period(asked["first_day"], asked["last_day"])
    return period.named(asked.get("period", period.LAST_TWELVE), today)


def _contents(books: Ledger, shown: Period, currency: str | None, category: str | None) -> dict[str, Any]:
    """All that the page shows, each part read from kept totals, or one page of rows."""
    first, last = shown.first, shown.last
    as_of = books.today if first <= books.today <= last else last
    balances, chart = books.balances(as_of).lines, books.chart()[0]
    totals = {
        line["currency"]: line
        for line in books.summary(SummaryQuery(first_day=first, last_day=last, compare=True)).lines
    }
    used = {line["currency"] for line in balances if line["balance"] or line["available"]}
    currencies = sorted({*totals, *used}) or [chart.currency]
    currency = currency or (chart.currency if chart.currency in currencies else currencies[0])
    latest = books.find(Filter(first_day=first, last_day=last, limit=LATEST_SHOWN))
    flow = flow_of([line for line in books.cashflow(first, last).lines if line["currency"] == currency], shown)
    return {
        "period": shown,
        "pickers": Pickers(shown, books.today, currency if len(currencies) > 1 else None, category),
        "currencies": currencies,
        "currency": currency,
        "as_of": as_of,
        "balances": balances_of(balances, chart),
        "total": totals.get(currency),
        "course": _course(books, shown, currency),
        "spending": _spending(books, shown, currency, category),
        "flow": flow,
        "flow_chart": charts.line([(line["key"], line["closing"]) for line in flow], "balance"),
        "latest": [encode_row(row, latest.chart) for row in latest.rows],
        "more": latest.next_cursor is not None,
        "newest": None if latest.rows else _newest(books),
    }


def _newest(books: Ledger) -> dt.date | None:
    """The day of the newest transaction there is: where to look when a period has none."""
    rows = books.find(Filter(limit=1)).rows
    return dt.date.fromisoformat(str(rows[0].date)) if rows else None


@dataclass(frozen=True, slots=True)
class Pickers:
    """The links to other periods, currencies and categories: all of it lives in the URL."""

    period: Period
    today: dt.date
    currency: str | None
    category: str | None

    def to(self, period: Period | None = None, **changes: str | None) -> str:
        """The query of the same page with something else."""
        named = {"currency": self.currency, "category": self.category, **changes}
        given = {name: value for name, value in named.items() if value is not None}
        return "?" + urlencode({**(period or self.period).parameters, **given})

    @property
    def before(self) -> Period | None:
        return self.period.beside(-1)

    @property
    def after(self) -> Period | None:
        return self.period.beside(1)

    @property
    def kinds(self) -> list[tuple[str, Period]]:
        """Each kind of period, and the one of it that is nearest."""
        return [(kind, self.period.of_kind(kind, self.today)) for kind in KINDS]


# Balances.


@dataclass(frozen=True, slots=True)
class Balances:
    """What is in the accounts, and what that comes to in each currency."""

    lines: Sequence[Line]
    more: Sequence[Line]
    """Those that there is no room for at once."""
    rest: int
    """How many accounts there are beside these."""
    totals: Sequence[Line]
    pending: bool
    """Whether what is available differs anywhere."""


def balances_of(lines: Sequence[Line], chart: Chart) -> Balances:
    """Balances without those of accounts that are closed and empty; sums never go over two currencies."""
    closed = {account["name"] for account in chart.accounts.values() if account["closed"]}
    standing = [line for line in lines if line["balance"] or line["available"] or line["account"] not in closed]
    totals: dict[str, Line] = {}
    for line in standing:
        total = totals.setdefault(
            line["currency"], {"currency": line["currency"], "balance": NOTHING, "available": NOTHING}
        )
        total["balance"] += line["balance"]
        total["available"] += line["available"]
    pending = any(line["balance"] != line["available"] for line in standing)
    shown, more = standing[:ACCOUNTS_SHOWN], standing[ACCOUNTS_SHOWN:]
    rest = max(len(more) - MORE_SHOWN, 0)
    return Balances(shown, more[:MORE_SHOWN], rest, [totals[code] for code in sorted(totals)], pending)


# Income and expense over the period.


@dataclass(frozen=True, slots=True)
class Course:
    """Income and expense, step by step."""

    grain: str
    lines: Sequence[Line]
    chart: charts.Chart


def _course(books: Ledger, shown: Period, currency: str) -> Course:
    query = SummaryQuery(first_day=shown.first, last_day=shown.last, by=(shown.grain,), currency=currency)
    found = {line[shown.grain]: line for line in books.summary(query).lines}
    nothing = {"income": NOTHING, "expense": NOTHING, "net": NOTHING, "count": 0}
    lines = [{"key": key, **nothing, **found.get(key, {})} for key in buckets(shown)]
    rows = [(line["key"], [("income", line["income"]), ("expense", -line["expense"])]) for line in lines]
    return Course(shown.grain, lines, charts.bars(rows))


def buckets(shown: Period) -> list[str]:
    """The name of every step of a period, also of those in which nothing happened."""
    if shown.grain == "year":
        return [f"{year:04}" for year in range(shown.first.year, shown.last.year + 1)]
    days = (shown.last - shown.first).days + 1
    names = (bucket(shown.grain, (shown.first + dt.timedelta(days=day)).isoformat()) for day in range(days))
    return list(dict.fromkeys(names))


def flow_of(months: Sequence[Line], shown: Period) -> list[Line]:
    """The cash flow of one currency by month, or by year where there would be too many."""
    found: dict[str, Line] = {}
    for line in months:
        key = line["month"][:4] if shown.grain == "year" else line["month"]
        into = found.setdefault(key, {**line, "key": key, "income": NOTHING, "expense": NOTHING, "transfers": NOTHING})
        for name in ("income", "expense", "transfers"):
            into[name] += line[name]
        into["closing"] = line["closing"]
    return list(found.values())


# Where it went.


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent on one category and all below it, in this period and in the one before."""

    category: str | None
    amount: Decimal
    before: Decimal
    share: float
    parts: bool = False
    """Whether there are categories below it."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent, by category."""

    category: str | None
    """The category whose parts are shown; None for all."""
    rows: Sequence[Spent]
    more: Sequence[Spent]
    """Those that there is no room for at once."""
    others: Spent | None
    """What these, and any beside them, come to."""
    total: Decimal

    @property
    def path(self) -> list[tuple[str, str]]:
        """Each category on the way to the one that is shown, as its name and its path."""
        names = (self.category or "").split(":") if self.category else []
        return [(name, ":".join(names[: place + 1])) for place, name in enumerate(names)]


def _spending(books: Ledger, shown: Period, currency: str, category: str | None) -> Spending:
    depth = 1 if category is None else len(category.split(":")) + 1
    query = SummaryQuery(
        first_day=shown.first,
        last_day=shown.last,
        by=("category",),
        depth=depth,
        category=category,
        currency=currency,
        compare=True,
    )
    lines = [line for line in books.summary(query).lines if line["expense"] or line["previous"]["expense"]]
    lines.sort(key=lambda line: line["expense"])
    most = -lines[0]["expense"] if lines else NOTHING
    above = _above(books.chart()[0].categories.values())

    def row(line: Line) -> Spent:
        amount, path = -line["expense"], line["category"]
        parts = path is not None and path != category and path in above
        return Spent(path, amount, -line["previous"]["expense"], charts.share(amount, most), parts)

    rest = lines[CATEGORIES_SHOWN:]
    others = Spent(
        None,
        -sum((line["expense"] for line in rest), NOTHING),
        -sum((line["previous"]["expense"] for line in rest), NOTHING),
        0.0,
    )
    total = -sum((line["expense"] for line in lines), NOTHING)
    rows, more = map(row, lines[:CATEGORIES_SHOWN]), map(row, rest[:MORE_SHOWN])
    return Spending(category, list(rows), list(more), others if rest else None, total)


def _above(paths: Iterable[str]) -> set[str]:
    """Every path that has another one below it."""
    found: set[str] = set()
    for path in paths:
        while ":" in path:
            path = path.rpartition(":")[0]
            found.add(path)
    return found
