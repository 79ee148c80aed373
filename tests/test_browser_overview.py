"""The overview in a real browser: the demo's year looked at as a person would, and as somebody who has no mouse."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from browsing import LOOKS, Visit, is_fine, overflow, served_demo
from serving import Service

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served_demo(tmp_path_factory.mktemp("demo")) as service:
        yield service


def test_a_period_is_picked_and_stands_in_the_url(demo: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(demo.url).go("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Last 12 months")
    year = page.locator("dd.figure").first.inner_text()
    page.get_by_role("navigation", name="Period").get_by_role("link", name="Month", exact=True).click()
    expect(page).to_have_url(re.compile(r"[?&]period=[0-9]{4}-[0-9]{2}\b"))
    month = page.get_by_role("heading", level=1).inner_text()
    assert page.locator("dd.figure").first.inner_text() != year
    page.get_by_role("link", name="Previous period").click()
    expect(page.get_by_role("heading", level=1)).not_to_have_text(month)
    there = page.url
    page.reload()
    assert page.url == there
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(month)
    page.get_by_text("From … to …").click()
    page.get_by_label("From", exact=True).fill("2020-01-01")
    page.get_by_label("To", exact=True).fill("2020-02-29")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"from=2020-01-01&to=2020-02-29"))
    expect(page.get_by_text("Nothing is booked in this period.")).to_be_visible()


def test_spending_is_drilled_into_and_back(demo: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(demo.url).go("/")
    spending = page.locator("#spending")
    whole = spending.locator("header .amount").inner_text()
    spending.get_by_role("link", name="Food", exact=True).click()
    expect(page).to_have_url(re.compile(r"category=Food"))
    expect(spending.get_by_role("row", name=re.compile("Groceries"))).to_be_visible()
    assert spending.locator("header .amount").inner_text() != whole
    spending.get_by_role("link", name="All categories").click()
    expect(spending.locator("header .amount")).to_have_text(whole)


def test_charts_tell_their_values_to_the_mouse_and_the_keyboard(demo: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(demo.url).go("/")
    chart = page.locator("[data-chart]").first
    columns, readout = chart.locator(".column"), chart.locator("[data-readout]")
    columns.nth(3).hover()
    told = readout.inner_text()
    assert re.search(r"income \$[0-9,.]+, expense \$[0-9,.]+", told), told
    page.mouse.move(0, 0)
    expect(readout).to_be_empty()
    columns.last.focus()
    last = readout.inner_text()
    page.keyboard.press("ArrowLeft")
    expect(readout).not_to_have_text(last)
    page.keyboard.press("Home")
    expect(columns.first).to_be_focused()
    assert chart.locator(".column[tabindex='0']").count() == 1, "Tab goes past the chart in one step"
    for one in page.locator("[data-chart]").all():
        card = one.locator("xpath=ancestor::section")
        card.get_by_text("As a table").click()
        expect(card.get_by_role("table")).to_be_visible()
    open_tables = page.locator("details[open] table")
    with page.expect_response("**/"):
        page.evaluate("document.dispatchEvent(new CustomEvent('cashman:changed'))")  # as when a line was booked
    expect(page.locator("#overview[aria-busy]")).to_have_count(0)
    assert open_tables.count() == page.locator("[data-chart]").count() == 2


def test_another_currency_is_looked_at(demo: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(demo.url).go("/")
    page.get_by_role("navigation", name="Currency").get_by_role("link", name="EUR").click()
    expect(page).to_have_url(re.compile("currency=EUR"))
    expect(page.locator("dd.figure.expense")).to_contain_text("€")


@pytest.mark.parametrize(
    ("language", "amount"),
    [
        ("de-DE", r"[0-9.]+,[0-9]{2}\s\$"),
        ("fr-FR", r"[0-9\s]+,[0-9]{2}\s\$"),
        ("pt-BR", r"US\$\s[0-9.]+,[0-9]{2}"),
        ("es-ES", r"[0-9.]+,[0-9]{2}\sUS\$"),
    ],
)
def test_figures_are_written_as_the_reader_is_used_to(
    language: str, amount: str, demo: Service, visits: Callable[..., Visit]
) -> None:
    page = visits(demo.url, locale=language).go("/")
    assert re.search(amount, page.locator("dd.figure").first.inner_text())
    assert page.get_by_role("heading", level=1).inner_text() != "Last 12 months"


@pytest.mark.parametrize("look", LOOKS)
def test_everybody_can_read_it(look: str, demo: Service, visits: Callable[..., Visit]) -> None:
    page = visits(demo.url, **LOOKS[look]).go("/")
    assert is_fine(page)
    for summary in page.get_by_text("As a table").all():
        summary.click()
    assert is_fine(page)


def test_it_is_printed_without_what_can_only_be_clicked(demo: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(demo.url, color_scheme="dark").go("/")
    page.emulate_media(media="print", color_scheme="dark")
    show_all = page.get_by_text("Show all", exact=True)
    for useless in (".frame nav", ".menu", ".entry", ".banner"):
        expect(page.locator(useless)).to_be_hidden()
    expect(show_all).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert _colour(page, "background-color") == "rgb(255, 255, 255)"
    assert _colour(page, "color") == "rgb(0, 0, 0)"
    page.goto("/pages/transactions")
    expect(page.locator("#rows")).to_be_visible()
    expect(page.locator("#more")).to_be_hidden()
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 within its margins
    assert page.locator("#rows tr").first.evaluate("(row) => getComputedStyle(row).display") == "table-row"
    assert overflow(page) <= 0


def _colour(page: "Page", name: str) -> str:
    return str(page.locator("body").evaluate(f"(body) => getComputedStyle(body).getPropertyValue('{name}')"))


def test_it_reads_the_same_without_scripts(demo: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(demo.url, java_script_enabled=False).go("/")
    page.locator("#spending").get_by_role("link", name="Food", exact=True).click()
    expect(page).to_have_url(re.compile("category=Food"))
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("table").first).to_be_visible()
