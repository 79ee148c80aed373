"""What reading is asked: each question takes a number, and number 0 is the one that is asked again and again."""

import json
import random
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from urllib.parse import quote

from cashman import db
from cashman.ledger import Books
from cashman.model.filter import Filter
from cashman.model.transaction_type import TransactionType

from benchmarks import household
from benchmarks.household import FIRST_DAY, LAST_DAY, PLANTED_MONTH
from benchmarks.servers import Server, Unusable
from benchmarks.writes_and_reads import PAGE, ROWS


def _earlier_month(number: int) -> date:
    """The first day, or the first of so many months before it: no transaction lies between."""
    months = FIRST_DAY.year * 12 - number
    return date(months // 12, months % 12 + 1, 1)


def _later_day(number: int) -> date:
    return LAST_DAY + timedelta(number)


REPORTS: Mapping[str, Callable[[int], str]] = {
    "summary by month, five years": lambda n: f"/reports/summary?by=month&from={_earlier_month(n)}&to={LAST_DAY}",
    "summary by category, five years": lambda n: f"/reports/summary?by=category&from={_earlier_month(n)}&to={LAST_DAY}",
    "cash flow, five years": lambda n: (
        f"/reports/cashflow?from={FIRST_DAY + timedelta(n % 28)}&to={LAST_DAY - timedelta(n // 28 % 31)}"
    ),
    "balances, as of a day amid": lambda n: f"/balances?as_of={date(2023, 1, 17) + timedelta(n)}",
    "balances, as of the end": lambda n: f"/balances?as_of={_later_day(n)}",
    "summary by payee, the planted month": lambda n: (
        f"/reports/summary?by=payee&from={PLANTED_MONTH}&to={_later_day(n)}"
    ),
    "summary by tag, the planted month": lambda n: f"/reports/summary?by=tag&from={PLANTED_MONTH}&to={_later_day(n)}",
}
"""For every number there are as many rows, and the planted month is alike in all ledgers."""

PART_MONTHS = "summary by category, five years and two parts of months"
"""Has no bound: what a part of a month costs grows with what is booked in it."""


def part_months(number: int) -> str:
    """A report of nearly five years, cut within a month at both ends."""
    first = _earlier_month(0) + timedelta(10 + number % 10)
    last = date(2025, 11, 5) + timedelta(number // 10 % 20)
    return f"/reports/summary?by=category&from={first}&to={last}"


def _category_and_month(number: int) -> str:
    category = household.CATEGORIES[(number * 7 + 3) % len(household.CATEGORIES)]
    months = FIRST_DAY.year * 12 + (number * 11 + 29) % 59
    first = date(months // 12, months % 12 + 1, 1)
    last = date((months + 1) // 12, (months + 1) % 12 + 1, 1) - timedelta(1)
    return f"{PAGE}&category={quote(category)}&from={first}&to={last}"


def _amounts(width: int) -> Callable[[int], str]:
    """Ranges so many units wide, of amounts that lie evenly between 0.01 and 999.99."""

    def path(number: int) -> str:
        low = number * 37 % (1_000 - width)
        return f"{PAGE}&min_amount={low}.{number % 90 + 10}&max_amount={low + width}.{number % 90 + 9:02}"

    return path


def filters(count: int) -> Mapping[str, Callable[[int], str]]:
    """The filters, for a ledger of so many; all but UNBOUNDED_FILTERS have a bound."""
    rare, words = household.rare_words(count), household.VOCABULARY
    return {
        "category and month": _category_and_month,
        f"q with {household.RARE_HITS} hits": lambda n: f"/transactions?limit=100&q={rare[n % len(rare)]}",
        "amounts 1 wide (0.1 %)": _amounts(1),
        "amounts 10 wide (1 %)": _amounts(10),
        "amounts 100 wide (10 %)": _amounts(100),
        "q with a frequent word": lambda n: f"/transactions?limit=100&q={words[n % 20]}",
    }


UNBOUNDED_FILTERS = frozenset({"q with a frequent word"})
"""What costs as much as it finds, before the page is cut."""


def cursor_secret(url: str) -> bytes:
    """What the cursors of a ledger are sealed with."""
    books = Books(db.connect(url))
    chart, _head = books.own_ledger().chart()
    books.database.close()
    return chart.cursor_secret


def cursors(server: Server, secret: bytes, sort: str, type_: TransactionType | None) -> list[str]:
    """Cursors of the list by `-date`, one for each of the rows that the first pages by `sort` show.

    A cursor holds the key of the row before its page, so page 10,000 need not be reached by way of 9,999 others.
    """
    path = f"{_list_of(type_)}?limit=1000&sort={sort}"
    keys: list[tuple[date, str]] = []
    while path and len(keys) < 3_000:
        status, headers, body = server.request("GET", path)
        if status != 200:
            raise Unusable(f"{server.name}: {path} answered {status}")
        keys += [(date.fromisoformat(row["date"]), row["id"]) for row in json.loads(body)]
        path = headers.get("Link", "").partition("<")[2].partition(">")[0]
    query = Filter(type=type_)
    return [query.cursor_after(key, secret) for key in keys]


def _list_of(type_: TransactionType | None) -> str:
    return "/transactions" if type_ is None else f"/{type_.value.lower()}s"


def pages(server: Server, secret: bytes, sort: str, type_: TransactionType | None = None) -> list[str]:
    """Pages that all have ROWS rows: the newest with `-date`, the last ones with `date`, the very last one first."""
    found = cursors(server, secret, sort, type_)
    # The first of the oldest is the row that just one full page follows.
    found = found[ROWS:] if sort == "date" else found[:-ROWS]
    paths = [f"{_list_of(type_)}?limit={ROWS}&cursor={cursor}" for cursor in found]
    for path in (paths[0], paths[-1]):
        rows = len(json.loads(server.request("GET", path)[2]))
        if rows != ROWS:
            raise Unusable(f"{server.name}: {path} shows {rows} rows, not {ROWS}")
    rest = paths[1:]
    random.Random(1).shuffle(rest)
    return [paths[0], *rest]
