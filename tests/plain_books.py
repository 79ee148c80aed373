"""The books once more, in plain Python: lists and reports recomputed from all transactions, to hold the service to."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Line = dict[str, Any]
ONE_DAY = dt.timedelta(days=1)


@dataclass
class Account:
    """Where money is."""

    id: int
    name: str
    currency: str
    opening: Decimal = Decimal(0)
    opening_date: dt.date | None = None
    closed: bool = False
    version: int = 1


@dataclass
class Movement:
    """One transaction: its amount signed, its account by id, and its category by what holds the path."""

    id: str
    type: str
    description: str
    amount: Decimal
    date: dt.date
    account: int = 1
    status: str = "posted"
    category: "list[str] | None" = None
    tags: list[str] = field(default_factory=list)
    payee: str | None = None
    notes: str | None = None
    group: str | None = None
    expires_at: dt.datetime | None = None
    version: int = 1
    before_void: str = "posted"

    @property
    def path(self) -> str | None:
        """The category's path."""
        return self.category[0] if self.category else None

    @property
    def words(self) -> list[str | None]:
        """All that is searched."""
        return [self.description, self.payee, self.notes, *self.tags]


class PlainBooks:
    """Accounts by id, and movements in the order in which they were booked."""

    def __init__(self, stems_of: Callable[[Iterable[str | None]], Iterable[str]]) -> None:
        self.accounts: dict[int, Account] = {1: Account(1, "main", "USD")}
        self.movements: dict[str, Movement] = {}
        self.stems_of = stems_of

    def currency(self, movement: Movement) -> str:
        """What a movement is in."""
        return self.accounts[movement.account].currency

    def standing(self) -> list[Movement]:
        """What lists show; whoever moves the clock makes void what has expired."""
        return [one for one in self.movements.values() if one.status != "void"]

    def posted(self, first: dt.date = dt.date.min, last: dt.date = dt.date.max) -> list[Movement]:
        """What counts, of some days."""
        return [one for one in self.movements.values() if one.status == "posted" and first <= one.date <= last]

    # Lists.

    def found(self, sort: str = "-date", **wanted: Any) -> list[str]:
        """The ids of what a filter finds, in order."""
        places = {id_: place for place, id_ in enumerate(self.movements)}
        keys: dict[str, Callable[[Movement], Any]] = {
            "date": lambda one: (one.date, one.id),
            "amount": lambda one: (self.currency(one), one.amount, one.id),
            "created_at": lambda one: places[one.id],
        }
        rows = [one for one in self.standing() if self.matches(one, wanted)]
        rows.sort(key=keys[sort.removeprefix("-")], reverse=sort.startswith("-"))
        return [one.id for one in rows]

    def matches(self, one: Movement, wanted: Mapping[str, Any]) -> bool:
        """Whether a movement is what the query parameters of a list ask for."""
        rules: dict[str, Callable[[Any], bool]] = {
            "type": lambda type_: one.type == type_,
            "from": lambda day: one.date.isoformat() >= day,
            "to": lambda day: one.date.isoformat() <= day,
            "min_amount": lambda amount: abs(one.amount) >= Decimal(amount),
            "max_amount": lambda amount: abs(one.amount) <= Decimal(amount),
            "currency": lambda code: self.currency(one) == code,
            "account": lambda name: self.accounts[one.account].name == name,
            "category": lambda path: is_below(one.path, path),
            "tag": lambda tags: set([tags] if isinstance(tags, str) else tags) <= set(one.tags),
            "payee": lambda payee: one.payee == payee,
            "status": lambda status: one.status == status,
            "group": lambda group: one.group == group,
            "q": lambda text: self.holds(one, text),
        }
        return all(rules[name](value) for name, value in wanted.items())

    def holds(self, one: Movement, text: str) -> bool:
        """Whether a movement holds all words of a text, of which there is one at least."""
        wanted = set(self.stems_of([text]))
        return bool(wanted) and wanted <= set(self.stems_of(one.words))

    def tags(self) -> list[Line]:
        """The tags in use."""
        return [{"tag": tag} for tag in sorted({tag for one in self.standing() for tag in one.tags})]

    def on_account(self, id_: int) -> list[tuple[str, Decimal]]:
        """(id, balance after it) of an account's transactions, newest first."""
        account, balance, found = self.accounts[id_], Decimal(0), []
        rows = sorted((one for one in self.standing() if one.account == id_), key=lambda one: (one.date, one.id))
        for one in rows:
            balance += one.amount if one.status == "posted" else 0
            opened = account.opening_date is not None and account.opening_date <= one.date
            found.append((one.id, balance + (account.opening if opened else 0)))
        return found[::-1]

    # Reports.

    def balances(self, as_of: dt.date) -> list[Line]:
        """What /balances says."""
        lines = []
        for account in sorted(self.accounts.values(), key=lambda account: account.name):
            opened = account.opening_date is not None and account.opening_date <= as_of
            own = [one for one in self.standing() if one.account == account.id and one.date <= as_of]
            balance = account.opening if opened else Decimal(0)
            balance += sum(one.amount for one in own if one.status == "posted")
            pending = sum(one.amount for one in own if one.status == "pending")
            lines.append(
                {
                    "account": account.name,
                    "currency": account.currency,
                    "balance": balance,
                    "available": balance + pending,
                    "as_of": as_of.isoformat(),
                }
            )
        return lines

    def summary(
        self,
        by: Sequence[str] = (),
        first: dt.date = dt.date.min,
        last: dt.date = dt.date.max,
        *,
        depth: int | None = None,
        compare: bool = False,
        **wanted: str,
    ) -> list[Line]:
        """What /reports/summary says; `wanted` are its filters."""
        period = next((name for name in by if name in PERIODS), None)
        figures = self._figures(by, first, last, depth, wanted)
        before: dict[tuple[Any, ...], Figures] = {}
        if compare and period is not None:
            place = by.index(period)
            earliest = start_of(period, first) - ONE_DAY if start_of(period, first) > dt.date.min else dt.date.min
            for key, of in self._figures(by, start_of(period, earliest), last, depth, wanted).items():
                following = PERIODS[period](next_start(period, key[place]))
                if following <= PERIODS[period](last):
                    before[(*key[:place], following, *key[place + 1 :])] = of
        elif compare:
            before = self._figures(by, *range_before(first, last), depth, wanted)
        lines = []
        for key in sorted(figures.keys() | before.keys(), key=lambda key: [(part is not None, part) for part in key]):
            line = {**dict(zip(by, key, strict=False)), "currency": key[-1], **figures.get(key, Figures()).line()}
            if compare:
                line["previous"] = before.get(key, Figures()).line()
            lines.append(line)
        return lines

    def _figures(
        self, by: Sequence[str], first: dt.date, last: dt.date, depth: int | None, wanted: Mapping[str, str]
    ) -> "dict[tuple[Any, ...], Figures]":
        found: dict[tuple[Any, ...], Figures] = defaultdict(Figures)
        for one in self.posted(first, last):
            if one.type == "TRANSFER" or not self.matches(one, wanted):
                continue
            keys: list[tuple[Any, ...]] = [()]
            for name in by:
                keys = [(*key, part) for key in keys for part in self._parts(one, name, depth)]
            for key in keys:
                found[(*key, self.currency(one))].add(one.type, one.amount)
        return found

    def _parts(self, one: Movement, name: str, depth: int | None) -> Sequence[Any]:
        if name in PERIODS:
            return [PERIODS[name](one.date)]
        if name == "category":
            return [None if one.path is None else ":".join(one.path.split(":")[:depth])]
        if name == "tag":
            return one.tags or [None]
        return [{"account": self.accounts[one.account].name, "payee": one.payee, "currency": self.currency(one)}[name]]

    def categories(self) -> list[Line]:
        """What /categories says."""
        return [line for line in self.summary(["category"]) if line["category"] is not None]

    def cashflow(self, first: dt.date | None = None, last: dt.date | None = None) -> list[Line]:
        """What /reports/cashflow says."""
        events = [(one.date, self.currency(one), one.type, one.amount) for one in self.posted()]
        events += [
            (account.opening_date, account.currency, "TRANSFER", account.opening)
            for account in self.accounts.values()
            if account.opening_date is not None
        ]
        low, high = first or dt.date.min, last or dt.date.max
        inside = [event for event in events if low <= event[0] <= high]
        days = [day for day, *_ in inside]
        from_month = (first or min(days, default=None), last or max(days, default=None))
        if from_month[0] is None or from_month[1] is None:
            return []
        lines = []
        for currency in sorted({code for day, code, *_ in events if day <= high}):
            opening = sum((amount for day, code, _, amount in events if code == currency and day < low), Decimal(0))
            day = from_month[0].replace(day=1)
            while day <= from_month[1]:
                sums = dict.fromkeys(("INCOME", "EXPENSE", "TRANSFER"), Decimal(0))
                for when, code, type_, amount in inside:
                    if code == currency and (when.year, when.month) == (day.year, day.month):
                        sums[type_] += amount
                closing = opening + sum(sums.values())
                lines.append(
                    {
                        "month": day.isoformat()[:7], "currency": currency, "opening": opening,
                        "income": sums["INCOME"], "expense": sums["EXPENSE"], "transfers": sums["TRANSFER"],
                        "closing": closing,
                    }
                )  # fmt: skip
                opening = closing
                day = (day + dt.timedelta(days=31)).replace(day=1)
        return sorted(lines, key=lambda line: (line["month"], line["currency"]))


@dataclass
class Figures:
    """What some movements come to."""

    income: Decimal = Decimal(0)
    expense: Decimal = Decimal(0)
    count: int = 0

    def add(self, type_: str, amount: Decimal) -> None:
        """Count one more."""
        if type_ == "INCOME":
            self.income += amount
        else:
            self.expense += amount
        self.count += 1

    def line(self) -> Line:
        """The same as a report's members."""
        net = self.income + self.expense
        return {"income": self.income, "expense": self.expense, "net": net, "count": self.count}


def is_below(path: str | None, above: str) -> bool:
    """Whether a category is another one or below it."""
    return path is not None and f"{path}:".startswith(f"{above}:")


def week_of(day: dt.date) -> str:
    """The week of ISO 8601: it belongs to the year that its Thursday lies in."""
    thursday = day.toordinal() - day.weekday() + 3
    year = day.year
    for candidate in (year - 1, year, year + 1):
        if 1 <= candidate <= 9999 and dt.date(candidate, 1, 1).toordinal() <= thursday:
            year = candidate
    return f"{year:04}-W{(thursday - dt.date(year, 1, 1).toordinal()) // 7 + 1:02}"


PERIODS: dict[str, Callable[[dt.date], str]] = {
    "day": lambda day: f"{day.year:04}-{day.month:02}-{day.day:02}",
    "week": week_of,
    "month": lambda day: f"{day.year:04}-{day.month:02}",
    "quarter": lambda day: f"{day.year:04}-Q{(1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4)[day.month - 1]}",
    "year": lambda day: f"{day.year:04}",
}
"""The name of the period that a day lies in, by the kind of period."""


def start_of(period: str, day: dt.date) -> dt.date:
    """The first day of the period that a day lies in, by going back day by day."""
    while day > dt.date.min and PERIODS[period](day - ONE_DAY) == PERIODS[period](day):
        day -= ONE_DAY
    return day


def next_start(period: str, name: str) -> dt.date:
    """The first day after a period, which is not the calendar's last, by going forward day by day."""
    if period == "week":
        day = dt.date.fromordinal(max(1, dt.date(int(name[:4]), 1, 1).toordinal() + 7 * (int(name[6:]) - 2)))
    elif period == "quarter":
        day = dt.date(int(name[:4]), int(name[-1]) * 3 - 2, 1)
    else:
        day = dt.date.fromisoformat((name + "-01-01")[:10])
    while PERIODS[period](day) <= name:
        day += ONE_DAY
    return day


def range_before(first: dt.date, last: dt.date) -> tuple[dt.date, dt.date]:
    """As many whole months, or else days, before a range as it has."""
    if first.day == 1 and (last + ONE_DAY).day == 1:
        start = first
        months = len({(day.year, day.month) for day in days_between(first, last)})
        for _ in range(months):
            start = (start - ONE_DAY).replace(day=1)
        return start, first - ONE_DAY
    return first - dt.timedelta(days=(last - first).days + 1), first - ONE_DAY


def days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Each day from one to another."""
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
