"""The overview: the figures of the reports, over the period that the URL names, safe from whatever is in the books."""

import datetime as dt
import gzip
import re
from collections.abc import Callable
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from flask.testing import FlaskClient
from people import another, first_user
from werkzeug.test import TestResponse

from cashman import __version__, reporting
from cashman.dashboard import overview
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.income import Income
from cashman.translations import LANGUAGES, translate

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
YEAR = "/?period=2025"


class Page(HTMLParser):
    """What a page comes to: its texts by row of a table, its links, and all tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.rows = [row for row in self.rows if row]
        self.text = " ".join(self.words)
        self.links = [value for name, value in self.attributes if name == "href"]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        words = " ".join(data.replace("\u202f", " ").split())
        if words:
            self.words.append(words)
            if self.rows and self.rows[-1]:
                self.rows[-1][-1] = f"{self.rows[-1][-1]} {words}".strip()


def look(client: FlaskClient, path: str = YEAR, language: str = "en") -> Page:
    answer = client.get(path, headers={**BROWSER, "Accept-Language": language})
    assert (answer.status_code, answer.mimetype) == (200, "text/html"), answer.text
    return Page(answer.text)


def spend(ledger: Ledger, amount: Any, date: str = "2025-06-15", **fields: Any) -> None:
    ledger.record(Expense(fields.pop("description", "thing"), amount, date=dt.date.fromisoformat(date), **fields))


def earn(ledger: Ledger, amount: Any, date: str = "2025-06-01", **fields: Any) -> None:
    ledger.record(Income(fields.pop("description", "salary"), amount, date=dt.date.fromisoformat(date), **fields))


# Who is given what.


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/html;q=0.9"])
def test_whoever_asks_for_no_page_is_told_where_everything_is(client: FlaskClient, accept: str | None) -> None:
    answer = client.get("/", headers={} if accept is None else {"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.json["version"] == __version__
    assert "Accept" in answer.headers["Vary"]


def test_a_browser_is_given_a_page_that_nobody_keeps(client: FlaskClient) -> None:
    answer = client.get("/", headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert {"Accept", "Accept-Language", "Accept-Encoding"} <= set(re.split(", *", answer.headers["Vary"]))
    assert answer.headers["Cache-Control"] == "private, no-cache"
    small = client.get("/", headers={**BROWSER, "Accept-Encoding": "gzip"})
    assert gzip.decompress(small.data) == answer.data


def test_a_page_takes_a_viewer_and_the_list_of_links_nobody(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(auth="required")
    admin = first_user(client)
    stranger = another(admin, "stranger@example.com")
    assert client.get("/").status_code == 200
    assert client.get("/", headers=BROWSER).status_code == 303
    assert client.get("/pages/overview").status_code == 401
    named = f"/ledgers/{admin.ledger}/pages/overview"
    assert stranger.ask("GET", named).status_code == 404
    admin.share(admin.ledger, stranger, "viewer")
    answer = stranger.ask("GET", named)
    assert answer.status_code == 200
    page = Page(answer.text)
    own = [link for link in page.links if link.startswith("/") and not link.startswith("/static/")]
    assert own
    assert all(link.startswith(f"/ledgers/{admin.ledger}/pages/") for link in own if "transactions" in link)
    assert f"/ledgers/{admin.ledger}/pages/overview" in page.links


@pytest.mark.parametrize("query", ["period=x", "from=2025-01-01", "colour=red", "category=a::b", "currency=XXQ"])
def test_a_query_that_makes_no_sense_is_refused_on_the_page_and_on_the_list(client: FlaskClient, query: str) -> None:
    for headers in (BROWSER, {}):
        assert client.get(f"/?{query}", headers=headers).status_code == 422


# What it shows.


def test_an_empty_ledger_shows_how_to_begin(client: FlaskClient) -> None:
    page = look(client, "/")
    assert "Nothing is booked yet" in page.text
    assert "./bootstrap.sh cli demo" in page.text
    assert ["main", "$0.00"] in page.rows
    assert "svg" not in page.tags


def test_a_period_without_anything_leads_to_where_there_is_something(client: FlaskClient, ledger: Ledger) -> None:
    spend(ledger, 5, "2023-03-31")
    page = look(client, "/?period=2025-06")
    assert "Nothing is booked in this period." in page.text
    assert "?period=2023-03" in page.links
    assert "Nothing is booked" not in look(client, "/?period=2023-03").text


def test_the_figures_are_those_of_the_reports(client: FlaskClient, ledger: Ledger) -> None:
    earn(ledger, "2800.10", "2025-01-01")
    earn(ledger, "2800.10", "2025-02-01")
    spend(ledger, "900.55", "2025-02-02", category="Home")
    spend(ledger, "100.00", "2024-12-31", category="Home")
    spend(ledger, "1.00", "2026-01-01", category="Home")
    page = look(client)
    assert "2025" in page.words
    assert "$5,600.20" in page.words
    assert "$4,699.65" in page.words
    assert "+801% against $100.00 before" in page.text
    assert ["January 2025", "$2,800.10", "$0.00", "$2,800.10"] in page.rows
    assert ["February 2025", "$2,800.10", "$900.55", "$1,899.55"] in page.rows
    assert ["February 2025", "$2,700.10", "$2,800.10", "$900.55", "$0.00", "$4,599.65"] in page.rows
    assert ["Home", "$900.55", "+801%"] in page.rows
    assert ["main", "$4,599.65"] in page.rows
    assert ("aria-label", "February 2025: income $2,800.10, expense $900.55") in page.attributes
    assert ("aria-label", "End of February 2025: $4,599.65") in page.attributes


def test_a_month_goes_day_by_day_and_a_quarter_week_by_week(client: FlaskClient, ledger: Ledger) -> None:
    spend(ledger, 7, "2025-06-15")
    month, quarter = look(client, "/?period=2025-06"), look(client, "/?period=2025-Q2")
    assert ["Jun 15, 2025", "$0.00", "$7.00", "-$7.00"] in month.rows
    assert ["Jun 9, 2025", "$0.00", "$7.00", "-$7.00"] in quarter.rows
    named = look(client, "/?from=2025-06-10&to=2025-06-15")
    assert "Jun 10 – 15, 2025" in named.text.replace("\u2009", " ")
    assert ["Jun 15, 2025", "$0.00", "$7.00", "-$7.00"] in named.rows
    assert ["thing Jun 15, 2025 · main", "-$7.00"] in named.rows


def test_categories_open_into_their_parts(client: FlaskClient, ledger: Ledger) -> None:
    for category, amount in (("Food:Coffee", 4), ("Food:Market:Fruit", 5), ("Food", 6), ("Fun", 7), (None, 8)):
        spend(ledger, amount, category=category)
    top = look(client)
    assert [row for row in top.rows if len(row) == 3][1:] == [
        ["Food", "$15.00", "–"], ["Without a category", "$8.00", "–"], ["Fun", "$7.00", "–"],
    ]  # fmt: skip
    assert "?period=2025&category=Food#spending" in top.links
    assert "?period=2025&category=Fun#spending" not in top.links
    food = look(client, f"{YEAR}&category=Food")
    assert [row for row in food.rows if len(row) == 3][1:] == [
        ["Directly in Food", "$6.00", "–"], ["Market", "$5.00", "–"], ["Coffee", "$4.00", "–"],
    ]  # fmt: skip
    assert "?period=2025&category=Food%3AMarket#spending" in food.links
    market = look(client, f"{YEAR}&category=Food:Market")
    assert "?period=2025&category=Food#spending" in market.links
    assert "?period=2025#spending" in market.links
    assert "Nothing was spent here" in look(client, f"{YEAR}&category=Nowhere").text


def test_what_there_is_no_room_for_is_added_up(client: FlaskClient, ledger: Ledger) -> None:
    for number in range(overview.CATEGORIES_SHOWN + 3):
        spend(ledger, number + 1, category=f"Category {number}")
    for number in range(overview.ACCOUNTS_SHOWN + 4):
        ledger.open_account({"name": f"account {number:03}", "currency": "USD"})
    page = look(client)
    assert ["All other categories", "$6.00", "–"] in page.rows
    assert "Other accounts: 5" in page.text
    assert ["main", "-$120.00"] in page.rows, "below the others, to be opened"
    assert ["Category 0", "$1.00", "–"] in page.rows


def test_a_closed_account_is_shown_as_long_as_something_is_in_it(client: FlaskClient) -> None:
    for name, opening in (("gone", 0), ("not quite", 5)):
        made = client.post(
            "/accounts", json={"name": name, "opening_balance": opening, "opening_date": "2025-01-01"}
        ).headers["Location"]
        assert client.patch(made, json={"closed": True}).status_code == 200
    page = look(client)
    assert ["not quite", "$5.00"] in page.rows
    assert "gone" not in page.words


def test_what_is_pending_is_marked_and_counts_in_what_is_available(client: FlaskClient, ledger: Ledger) -> None:
    earn(ledger, 100)
    spend(ledger, 30, status="pending", description="hotel")
    page = look(client)
    assert ["main", "$100.00 $70.00 available"] in page.rows
    assert "hotel pending Jun 15, 2025 · main" in page.text


def test_currencies_stay_apart(client: FlaskClient, ledger: Ledger) -> None:
    ledger.open_account({"name": "yen", "currency": "JPY"})
    ledger.open_account({"name": "travel", "currency": "EUR"})
    spend(ledger, "3.50", category="Food")
    spend(ledger, 700, account="yen", category="Food")
    spend(ledger, "9.99", account="travel", category="Fun")
    dollars, yen = look(client), look(client, f"{YEAR}&currency=JPY")
    for page in (dollars, yen):
        assert [row for row in page.rows if row[0].startswith("Total")] == [
            ["Total EUR", "-€9.99"], ["Total JPY", "-¥700"], ["Total USD", "-$3.50"],
        ]  # fmt: skip
    assert ["Food", "$3.50", "–"] in dollars.rows
    assert ["Food", "¥700", "–"] in yen.rows
    assert "?period=2025&currency=JPY" in dollars.links
    assert "?period=2024&currency=JPY" in yen.links
    assert look(client, f"{YEAR}&currency=CHF").rows


def test_a_debt_and_zeros_are_drawn_too(client: FlaskClient, ledger: Ledger) -> None:
    earn(ledger, 10, "2025-03-01")
    spend(ledger, 900, "2025-04-01")
    page = look(client)
    assert ("aria-label", "End of April 2025: -$890.00") in page.attributes
    heights = [float(value) for name, value in page.attributes if name == "height" and re.fullmatch(r"[\d.]+", value)]
    assert min(heights) == 0


def test_the_largest_amounts_are_shown_to_the_last_digit(client: FlaskClient, ledger: Ledger) -> None:
    for _ in range(3):
        earn(ledger, "9999999999999.99")
    assert "$29,999,999,999,999.97" in look(client).text


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"


@pytest.mark.parametrize("query", ["", f"&category={HOSTILE.replace(':', '')}"])
def test_whatever_stands_in_the_books_is_text(client: FlaskClient, ledger: Ledger, query: str) -> None:
    ours = look(client, YEAR + query).tags
    ledger.open_account({"name": f"a {HOSTILE}", "currency": "USD"})
    spend(ledger, 5, description=f"d {HOSTILE}", account=f"a {HOSTILE}", category=HOSTILE)
    spend(ledger, 5, category=f"{HOSTILE}:{HOSTILE}")
    page = look(client, YEAR + query)
    assert set(page.tags) & {"iframe", "object", "style"} == set()
    assert [page.tags.count(tag) for tag in ("script", "img")] == [ours.count(tag) for tag in ("script", "img")]
    assert [name for name, _ in page.attributes if name.startswith("on")] == []
    for text in (f"d {HOSTILE}", f"a {HOSTILE}", HOSTILE):
        assert text in page.text
    assert "49" not in page.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_every_language_and_writes_money_and_days_as_they_do_there(
    client: FlaskClient, ledger: Ledger, language: str
) -> None:
    earn(ledger, "1234.50", "2025-06-15")
    page = look(client, language=language.replace("_", "-"))
    assert translate("Income and expense by month", language) in page.words
    money = {"en": "$1,234.50", "de": "1.234,50 $", "es": "1.234,50 US$", "fr": "1 234,50 $US", "pt_BR": "US$ 1.234,50"}
    day = {"en": "Jun 15, 2025", "de": "15.06.2025", "es": "15 jun 2025", "fr": "15 juin 2025"}
    assert money[language] in page.text.replace("\xa0", " ")
    assert day.get(language, "15 de jun. de 2025") in page.text


def test_of_whole_months_only_kept_totals_are_read(
    client: FlaskClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(ledger, 5, category="Food")

    def refuse(*_: Any) -> None:
        raise AssertionError("rows were added up")

    monkeypatch.setattr(reporting, "_row_cells", refuse)
    for query in ("", "?period=2025", "?period=2025-06", "?period=2025-Q2", "?period=2025&category=Food"):
        assert client.get(f"/{query}", headers=BROWSER).status_code == 200
    # The control: a range that begins within a month has to add up its first days.
    assert client.get("/?from=2025-06-02&to=2025-07-31", headers=BROWSER).status_code == 500


def test_sums_over_accounts_are_exact(client: FlaskClient, ledger: Ledger) -> None:
    lines = [
        {"account": "a", "currency": "USD", "balance": Decimal("0.10"), "available": Decimal("0.10")},
        {"account": "b", "currency": "USD", "balance": Decimal("0.20"), "available": Decimal("0.10")},
    ]
    found = overview.balances_of(lines, ledger.chart()[0])
    assert [(line["balance"], line["available"]) for line in found.totals] == [(Decimal("0.30"), Decimal("0.20"))]
    assert found.pending


def test_over_many_years_the_cash_flow_goes_by_year(client: FlaskClient, ledger: Ledger) -> None:
    ledger.open_account(
        {"name": "old", "currency": "USD", "opening_balance": Decimal(50), "opening_date": dt.date(2020, 2, 1)}
    )
    earn(ledger, 10, "2020-03-01")
    spend(ledger, 4, "2020-05-01")
    spend(ledger, 1, "2024-05-01")
    page = look(client, "/?from=2019-06-01&to=2025-12-31")
    assert ["2020", "$0.00", "$10.00", "$4.00", "$50.00", "$56.00"] in page.rows
    assert ["2021", "$56.00", "$0.00", "$0.00", "$0.00", "$56.00"] in page.rows
    assert ["2024", "$56.00", "$0.00", "$1.00", "$0.00", "$55.00"] in page.rows
    assert ("aria-label", "End of 2025: $55.00") in page.attributes
    longest = client.get("/?from=1950-01-01&to=2049-12-31", headers={**BROWSER, "Accept-Encoding": "gzip"})
    assert longest.status_code == 200
    assert len(longest.data) < 30_000


def answer_of(client: FlaskClient, path: str) -> TestResponse:
    return client.get(path, headers=BROWSER)


@pytest.mark.parametrize("query", ["?period=0001", "?period=9999", "?period=9999-12", "?period=0001-01"])
def test_the_ends_of_the_calendar_are_pages_too(client: FlaskClient, query: str) -> None:
    assert answer_of(client, f"/{query}").status_code == 200
