"""What every page is made with: figures in the caller's locale, exact, and a frame whose links lead somewhere."""

import datetime as dt
import re
from decimal import Decimal

import pytest
from babel import Locale
from flask import Flask, g
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from cashman.dashboard.figures import CHANGE_PERCENT_MAX, Figures, locale
from cashman.language import here, link
from cashman.model.currency import CURRENCIES
from cashman.model.money import to_decimal
from cashman.translations import LANGUAGES


@pytest.fixture
def english() -> Figures:
    return Figures(Locale.parse("en"))


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(sorted(CURRENCIES)), st.sampled_from(LANGUAGES))
def test_money_has_every_digit_and_the_decimals_of_the_iso_table(
    minor_units: int, currency: str, language: str
) -> None:
    shown = Figures(Locale.parse(language)).money(to_decimal(minor_units, currency), currency)
    digits = re.sub(r"\D", "", shown.replace(currency, ""))
    assert int(digits) == abs(minor_units)
    assert ("-" in shown) is (minor_units < 0)
    if CURRENCIES[currency]:
        assert re.search(rf"[.,]\d{{{CURRENCIES[currency]}}}(?!\d)", shown)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("en-GB,en;q=0.9", "en_GB"),
        ("de-CH", "de_CH"),
        ("de", "de"),
        ("pt", "pt_BR"),
        ("fr-CA;q=0.9,en;q=0.1", "fr_CA"),
        ("en-nowhere-at-all", "en"),
        ("it", "en"),
        ("en-GB" + ",x" * 10_000, "en_GB"),
        ("", "en"),
    ],
)
def test_a_locale_is_the_kind_of_the_language_that_is_asked_for(routes: Flask, asked: str, expected: str) -> None:
    with routes.test_request_context(headers={"Accept-Language": asked}):
        assert str(locale()) == expected


@pytest.mark.parametrize(
    ("amount", "before", "shown"),
    [
        ("12", "10", "+20%"), ("8", "10", "-20%"), ("10", "10", "0%"), ("10.01", "10", "0%"), ("0", "10", "-100%"),
        ("5", "0", None), ("5", "-10", None), ("-5", "10", "-150%"), ("109.9", "10", "+999%"), ("111", "10", None),
    ],
)  # fmt: skip
def test_a_change_is_told_where_it_tells_something(
    english: Figures, amount: str, before: str, shown: str | None
) -> None:
    assert english.change(Decimal(amount), Decimal(before)) == shown
    assert CHANGE_PERCENT_MAX == 999


@pytest.mark.parametrize(
    ("key", "long", "short"),
    [
        ("2026", "2026", "2026"),
        ("2026-11", "November 2026", "Nov"),
        ("2026-W47", "Nov 16, 2026", "Nov 16"),
        ("2026-11-05", "Nov 5, 2026", "5"),
    ],
)
def test_a_period_of_a_report_has_a_long_name_and_a_short_one(
    english: Figures, key: str, long: str, short: str
) -> None:
    assert (english.bucket(key), english.bucket(key, short=True)) == (long, short)


def test_a_line_of_a_chart_has_a_short_name(english: Figures) -> None:
    assert [english.short(Decimal(amount)) for amount in ("0", "0.25", "30000", "1250000", "-2E+9")] == [
        "0", "0.25", "30,000", "1.25M", "-2B",
    ]  # fmt: skip


def test_days_and_instants_are_written_from_what_the_wire_has(english: Figures) -> None:
    assert english.day("2026-11-05") == english.day(dt.date(2026, 11, 5)) == "Nov 5, 2026"
    assert english.instant("2026-11-20T10:18:02.890002Z").startswith("Nov 20, 2026")
    assert english.quarter(dt.date(2026, 11, 5)) == "4th quarter 2026"


def test_every_link_of_the_frame_leads_somewhere(client: FlaskClient) -> None:
    page = client.get("/problems").text.partition("<main")[0]
    links = re.findall('(?:href|src)="([^"#]+)"', page)
    assert len(links) > 3
    for path in links:
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 200, path


def test_in_a_ledger_that_the_path_names_links_stay_in_it_as_far_as_they_are_about_it(routes: Flask) -> None:
    ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    with routes.test_request_context(f"/ledgers/{ulid}/pages/overview"):
        g.ledger_ulid = ulid
        assert here() == "/"
        assert link("/") == f"/ledgers/{ulid}/pages/overview"
        assert link("/pages/transactions") == f"/ledgers/{ulid}/pages/transactions"
        assert link("/docs") == "/docs"
    with routes.test_request_context("/pages/transactions/"):
        assert here() == "/pages/transactions"
        assert link("/pages/transactions") == "/pages/transactions"


def test_the_page_that_is_shown_is_marked_in_the_navigation(client: FlaskClient) -> None:
    for path, shown in (("/", "/"), ("/pages/overview", "/"), ("/docs", "/docs"), ("/problems", None)):
        page = client.get(path, headers={"Accept": "text/html"}).text
        assert re.findall(r'href="([^"]+)" aria-current="page"', page) == ([] if shown is None else [shown])
