"""A first visit with the keyboard alone, in each language and on a phone; and how one transaction looks."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import LOOKS, PHONE, Visit, awake, is_fine, served
from serving import Service

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("visits")) as service:
        yield service


def record(service: Service, description: str, amount: float = 5, **fields: Any) -> str:
    """Book an expense as another program would, and give its path."""
    document = {"description": description, "amount": amount, **fields}
    status, headers, _ = service.request("POST", "/expenses", document)
    assert status == 204
    return str(headers["Location"])


def found(service: Service, words: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = service.request("GET", f"/transactions?q={words}")[2]
    return rows


def row_of(page: "Page", description: str) -> "Locator":
    return page.locator("#rows tr").filter(has=page.get_by_role("link", name=description, exact=True))


def entry(page: "Page") -> "Locator":
    return page.get_by_role("textbox", name="Add an expense or an income in one line")


def tab_to(page: "Page", name: str) -> None:
    """Go to a link by the keyboard alone."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == name:
            return
    raise AssertionError(f"no way to {name!r}")


def test_a_first_visit_books_an_expense_with_the_keyboard_alone(tmp_path: Path, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    with served(tmp_path) as service:
        visit = visits(service.url)
        page = visit.go("/")
        expect(page.get_by_role("heading", name="Nothing is booked yet.")).to_be_visible()
        assert is_fine(page)
        tab_to(page, "Add a transaction")
        page.keyboard.press("Enter")
        expect(page.get_by_text("There is nothing here yet.")).to_be_visible()
        awake(page).keyboard.press("n")
        expect(entry(page)).to_be_focused()
        page.keyboard.type("50 pizza #night-out Food:Restaurant yesterday")
        parts = page.get_by_role("list", name="What this line was taken for")
        for part in ("Spent $50.00", "For pizza", "Tag night out", "Category Food:Restaurant"):
            expect(parts.get_by_role("listitem").filter(has_text=part)).to_be_visible()
        assert found(service, "pizza") == [], "nothing is booked by being shown"
        page.keyboard.press("Enter")
        expect(row_of(page, "pizza")).to_contain_text("-$50.00")
        expect(entry(page)).to_be_focused()
        expect(entry(page)).to_have_value("")
        (booked,) = found(service, "pizza")
        yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
        assert abs(dt.date.fromisoformat(booked["date"]) - yesterday) <= dt.timedelta(days=1)
        assert (booked["tags"], booked["category"]) == (["night out"], "Food:Restaurant")
        page.get_by_role("link", name="Overview", exact=True).click()
        expect(page.get_by_role("region", name="Latest transactions")).to_contain_text("pizza")
        visit.check()


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en-US", "12.50 bread #treat yesterday"),
        ("de-DE", "12,50 bread #treat gestern"),
        ("es-ES", "12,50 bread #treat ayer"),
        ("fr-FR", "12,50 bread #treat hier"),
        ("pt-BR", "12,50 bread #treat ontem"),
    ],
)
def test_a_line_is_understood_in_the_reader_s_language(
    language: str, line: str, service: Service, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    word = f"bread{language[:2]}"
    page = visits(service.url, locale=language).go("/pages/transactions")
    page.locator("#entry-text").press_sequentially(line.replace("bread", word))
    expect(page.locator("#entry-parts")).to_contain_text(word)
    expect(page.locator("#entry button[type=submit]")).to_be_enabled()
    page.locator("#entry-text").press("Enter")
    expect(row_of(page, word)).to_be_visible()
    (booked,) = found(service, word)
    assert (booked["amount"], booked["tags"]) == ("-12.50", ["treat"])
    days = (dt.datetime.now(dt.UTC).date() - dt.date.fromisoformat(booked["date"])).days
    assert days in (1, 2), "it may have become midnight"


def test_an_expense_is_booked_on_a_phone(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(service.url, viewport=PHONE, is_mobile=True, has_touch=True).go("/pages/transactions")
    entry(page).tap()
    page.keyboard.type("7 tram ticket @main")
    book = page.locator("#entry").get_by_role("button", name="Book")
    expect(book).to_be_enabled()
    book.tap()
    expect(row_of(page, "tram ticket")).to_be_visible()
    assert is_fine(page)
    page.get_by_role("button", name="Edit tram ticket").tap()
    expect(page.get_by_label("Description", exact=True)).to_be_visible()
    assert is_fine(page)


@pytest.mark.parametrize("look", LOOKS)
def test_one_transaction_shows_what_happened_to_it(look: str, service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    path = record(service, f"umbrella {look}", tags=["rain"], category="Wear:Rain", payee="Dry & Co", notes="blue")
    assert service.request("PATCH", path, {"amount": 6})[0] == 200
    assert service.request("DELETE", path)[0] == 204
    assert service.request("POST", f"{path}/restore")[0] == 200
    page = visits(service.url, **LOOKS[look]).go(f"/pages/transactions/{path.rpartition('/')[2]}")
    for kind in ("Recorded", "Changed", "Voided", "Restored"):
        expect(page.get_by_text(kind, exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="History")).to_contain_text("-$5.00")
    assert is_fine(page)
