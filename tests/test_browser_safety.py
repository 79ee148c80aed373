"""Whatever people and banks may write is text on every page, and nothing that runs."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browsing import LOOKS, Visit, overflow, served
from serving import Service

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

HOSTILE = (
    """</script><script>hacked=1</script>"><img src=x onerror=hacked=1>'${hacked=1}{{hacked}}<svg/onload=hacked=1>"""
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("files")) as service:
        yield service


def drop(page: "Page", name: str, text: str) -> None:
    """Drop a file on a page, as from a folder."""
    files = page.evaluate_handle(
        """([name, text]) => {
            const carried = new DataTransfer();
            carried.items.add(new File([text], name));
            return carried;
        }""",
        [name, text],
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": files})
    page.dispatch_event("#drop", "drop", {"dataTransfer": files})


def hostile_books(service: Service) -> dict[str, Any]:
    """A transaction whose every word is hostile, in an account and a category that are."""
    name = f"{HOSTILE[:99]}"
    status, _, account = service.request("POST", "/accounts", {"name": name})
    assert status in (201, 204), account
    document = {
        "description": f"harmless {HOSTILE}",
        "amount": 66,
        "payee": HOSTILE,
        "notes": HOSTILE,
        "category": "Food:" + HOSTILE.replace(":", "")[:100],
        "tags": [HOSTILE[:50]],
        "account": name,
    }
    status, headers, body = service.request("POST", "/expenses", document)
    assert status == 204, body
    return {**document, "id": headers["Location"].rpartition("/")[2]}


def is_untouched(page: "Page") -> bool:
    """Nothing of what was written ran, or became an element."""
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("main img, main svg[onload], main script:not([src])").count() == 0
    return True


def test_what_people_write_is_text_and_nothing_else(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    one = hostile_books(service)
    page = visits(service.url).go("/")
    expect(page.get_by_role("region", name="Latest transactions")).to_contain_text(one["description"])
    assert is_untouched(page)
    page.goto("/?category=Food")
    assert is_untouched(page)
    page.goto("/pages/transactions?q=harmless")
    row = page.locator(f"#t-{one['id']}")
    for written in (one["description"], one["payee"], one["tags"][0], one["account"]):
        expect(row).to_contain_text(written)
    row.get_by_role("link", name=one["description"]).click()
    expect(page.get_by_role("dialog")).to_contain_text(one["notes"])
    assert is_untouched(page)
    page.keyboard.press("Escape")
    row.locator("[data-do=edit]").click()
    expect(page.locator(".editing [name=notes]")).to_have_value(one["notes"])
    page.locator(".editing [name=description]").fill(one["description"] + "!")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#told")).to_have_text("Saved.")
    row.locator("[data-do=void]").click()
    expect(page.locator("#told")).to_contain_text(one["description"] + "!")
    assert is_untouched(page)
    page.get_by_role("button", name="Undo").click()
    expect(row).to_be_visible()
    page.goto(f"/pages/transactions/{one['id']}")
    expect(page.get_by_role("heading", level=1)).to_contain_text(one["description"])
    assert is_untouched(page)
    page.goto(f"/pages/transactions?{_query(q='harmless', payee=HOSTILE, tag=one['tags'][0])}")
    expect(row).to_be_visible()
    assert is_untouched(page)
    page.locator("#entry-text").fill(f"5 {HOSTILE} #{HOSTILE} @{HOSTILE}")
    expect(page.locator("#entry-parts li").first).to_be_visible()
    assert is_untouched(page)


def test_no_name_is_so_long_that_it_hides_a_figure_and_none_turns_what_stands_beside_it(
    service: Service, visits: Callable[..., Visit]
) -> None:
    visit = visits(service.url, **LOOKS["phone"])
    page = visit.page
    long = {"description": "D" * 500, "amount": "9999999999999.99", "category": "C" * 200, "payee": "P" * 200}
    turned = {"description": "turned \u202etea", "amount": 1, "payee": "Turner"}
    house = {"description": "house", "amount": 600_000, "date": "2019-05-05"}
    for one in (long, turned, house):
        assert page.request.post("/expenses", data=one).status == 204
    for path in ("/", f"/?category={'C' * 200}", "/pages/transactions?q=turned"):
        visit.go(path)
        assert overflow(page) <= 0, path
    for locale in ("en-US", "de-DE"):
        charts = visits(service.url, locale=locale).go("/?period=2019")
        assert min(charts.locator(".axis text").evaluate_all("(all) => all.map((text) => text.getBBox().x)")) >= 0
    row = page.locator("#rows tr[data-id]")
    described, payee = row.locator("a").first.bounding_box(), row.get_by_text("Turner").bounding_box()
    assert described is not None
    assert payee is not None
    assert payee["x"] >= described["x"] + described["width"]


def _query(**values: str) -> str:
    from urllib.parse import urlencode

    return urlencode(values)


def test_what_a_file_says_and_is_called_is_text_and_nothing_else(
    service: Service, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    page = visits(service.url).go("/pages/import")
    name = '"><img src=x onerror=hacked=1>.csv'
    drop(page, name, f"date,description,amount\n2026-11-02,{json.dumps(HOSTILE)},5\n".replace('\\"', '""'))
    expect(page.locator("#preview-format")).to_contain_text(name)
    expect(page.locator("#lines")).to_contain_text(HOSTILE)
    assert is_untouched(page)
