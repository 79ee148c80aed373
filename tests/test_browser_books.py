"""The list, the line that books and the import in a real browser: by keyboard, by touch, and when something fails."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browsing import PHONE, Visit, axe_findings, chromium, overflow
from serving import Service

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser
LIST = "/pages/transactions"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Cashman as it is served, with the door open to this machine."""
    chromium()
    folder = tmp_path_factory.mktemp("books")
    service = Service(folder, f"sqlite:///{folder}/books.db")
    yield service
    service.remove()


def rows(page: "Page", text: str) -> Any:
    return page.locator("#rows tr[data-id]", has_text=text)


def booked(page: "Page", description: str) -> list[dict[str, Any]]:
    """What the API knows under a description."""
    answer = page.request.get("/transactions", params={"q": description})
    found: list[dict[str, Any]] = answer.json()
    return [one for one in found if one["description"] == description]


def test_a_line_is_shown_before_it_is_booked_and_booked_once(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(service.url).go(LIST)
    expect(page.get_by_text("There is nothing here yet.")).to_be_visible()
    page.keyboard.press("n")
    entry = page.locator("#entry-text")
    expect(entry).to_be_focused()
    page.keyboard.type("12.50 first pizza #night-out yesterday")
    expect(page.locator(".chip")).to_have_text(
        [
            re.compile(r"Spent \$12\.50"),
            "For first pizza",
            re.compile("Tag night out new"),
            re.compile("^Day "),
            "Account main",
        ]
    )
    assert booked(page, "first pizza") == []
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # twice by mistake
    expect(rows(page, "first pizza")).to_have_count(1)
    expect(entry).to_have_value("")
    found = booked(page, "first pizza")
    assert [(one["amount"], one["tags"]) for one in found] == [(-12.5, ["night out"])]

    page.keyboard.type("1 slip")
    page.keyboard.press("Escape")
    expect(entry).to_have_value("")
    expect(page.locator("#entry-parts")).to_be_hidden()
    page.keyboard.type("tea without a price")
    page.keyboard.press("Enter")
    expect(page.locator("#entry-told")).to_have_text("There is no amount in the line.")
    page.keyboard.press("Enter")
    assert booked(page, "tea without a price") == []


def test_what_was_booked_by_a_line_is_undone(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(service.url, locale="de-DE").go(LIST)
    page.keyboard.press("/")
    page.keyboard.type("1.234,50 zweite Miete vorgestern")
    expect(page.locator(".chip").first).to_have_text(re.compile("Ausgegeben 1.234,50"))
    page.keyboard.press("Enter")
    expect(rows(page, "zweite Miete")).to_have_count(1)
    assert [one["amount"] for one in booked(page, "zweite Miete")] == [-1234.5]
    page.get_by_role("button", name="Rückgängig").click()
    expect(rows(page, "zweite Miete")).to_have_count(0)


def test_the_list_is_searched_as_one_types_and_the_url_says_so(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    visit = visits(service.url)
    visit.expect(422)
    page = visit.page
    for number in range(60):
        page.request.post("/expenses", data={"description": f"fare {number}", "amount": 2, "payee": "Bus"})
    page.request.post("/incomes", data={"description": "refund of a fare", "amount": 3})
    page.goto(LIST + "?sort=-created_at")
    search = page.get_by_role("searchbox", name="Search")
    search.press_sequentially("refund")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?q=refund&sort=-created_at$"))
    expect(search).to_be_focused()
    page.get_by_label("Kind").select_option("Expenses")
    expect(page.get_by_text("Nothing matches these filters.")).to_be_visible()
    page.go_back()
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.get_by_label("Kind")).to_have_value("")
    search.fill("fare")
    expect(page.locator("#rows tr")).to_have_count(50)
    page.locator("#rows tr").last.scroll_into_view_if_needed()
    expect(page.locator("#rows tr")).to_have_count(61)  # the next page came by itself
    expect(page.locator("#more")).to_have_count(0)
    page.get_by_label("Smallest amount", exact=True).fill("lots")
    expect(page.locator("#wrong-min_amount")).to_contain_text("Not an amount")
    expect(page.get_by_label("Smallest amount", exact=True)).to_have_value("lots")


def test_a_row_is_changed_in_place_also_when_somebody_else_was_faster(
    service: Service, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    visit = visits(service.url)
    visit.expect(412, 422)
    page = visit.page
    page.request.post("/expenses", data={"description": "lunch", "amount": 8, "date": "2026-01-05"})
    page.goto(f"{LIST}?q=lunch")
    page.get_by_role("button", name="Edit lunch").click()
    form = page.locator("form.editing")
    expect(form.get_by_label("Description")).to_be_focused()
    form.get_by_label("Amount").fill("8.505")
    form.get_by_role("button", name="Save").click()
    expect(form.locator(".note.error")).to_contain_text("nothing is rounded")
    form.get_by_label("Amount").fill("8.50")
    form.get_by_label("Tags").fill("work, work, out")

    one = booked(page, "lunch")[0]
    page.request.patch(f"/transactions/{one['id']}", data={"amount": 9, "payee": "Mario"})
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("Somebody has changed this in the meantime.")
    expect(form.locator(".note")).to_have_text("Now: 9")
    expect(form.get_by_label("Amount")).to_have_value("8.50")
    expect(form.get_by_label("Payee")).to_have_value("Mario")
    form.get_by_role("button", name="Save").click()
    expect(page.locator("#told").get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_role("button", name="Edit lunch")).to_be_focused()
    found = booked(page, "lunch")[0]
    assert (found["amount"], found["tags"], found["payee"], found["date"]) == (
        -8.5,
        ["work", "out"],
        "Mario",
        "2026-01-05",
    )

    page.get_by_role("link", name="lunch").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Changed")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_what_is_done_far_down_the_list_stays_there(service: Service, visits: Callable[..., Visit]) -> None:
    """A second click opens nothing twice, and a row that is being changed outlasts what is booked meanwhile."""
    from playwright.sync_api import expect

    page = visits(service.url).page
    toll = {"type": "EXPENSE", "amount": 2, "date": "2026-03-01"}
    page.request.post("/transactions/batch", data=[{**toll, "description": f"toll {number}"} for number in range(60)])
    page.goto(f"{LIST}?q=toll&sort=created_at")
    page.locator("#rows tr").last.scroll_into_view_if_needed()
    expect(rows(page, "toll")).to_have_count(60)
    page.get_by_role("button", name="Edit toll 58").dblclick()
    form = page.locator("form.editing")
    form.get_by_label("Payee").fill("Bridge")
    expect(form).to_have_count(1)
    page.locator("#entry-text").fill("3 toll 60")
    expect(page.locator("#entry button")).to_be_enabled()
    page.locator("#entry-text").press("Enter")
    expect(rows(page, "toll")).to_have_count(61)
    form.get_by_label("Payee").press("Enter")
    expect(rows(page, "Bridge")).to_be_visible()
    expect(page.get_by_role("button", name="Edit toll 58")).to_be_focused()
    page.get_by_role("button", name="Void toll 57").click()
    expect(rows(page, "toll")).to_have_count(60)
    page.get_by_role("button", name="Undo").click()
    expect(rows(page, "toll")).to_have_count(61)
    expect(page.get_by_role("button", name="Edit toll 57")).to_be_focused()


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR", "en-US", "es-ES", "pt-BR"])
def test_small_phones_and_tablets_are_wide_enough_for_the_words_of_every_language(
    locale: str, service: Service, visits: Callable[..., Visit]
) -> None:
    """The longest are those of French and German."""
    page = visits(service.url, locale=locale).page
    page.request.post("/expenses", data={"description": "hostel", "amount": 90, "status": "pending"})
    for path in ("/", LIST):
        page.goto(path)
        for width in (360, 768, 1000, 1200):
            page.set_viewport_size({"width": width, "height": 800})
            assert overflow(page) <= 0, (path, width)


def test_an_amount_is_filtered_by_as_the_reader_writes_it(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(service.url, locale="de-DE").go(f"{LIST}?sort=-created_at")
    page.get_by_label("Kleinster Betrag", exact=True).fill("1.234,5")
    expect(page).to_have_url(re.compile(r"min_amount=1234\.5&"))
    expect(page.get_by_label("Kleinster Betrag", exact=True)).to_have_value("1.234,5")


def test_a_void_is_undone_by_the_keyboard_alone(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(service.url).page
    receipt = {"description": "errand", "lines": [{"amount": 1, "category": "A"}, {"amount": 2, "category": "B"}]}
    page.request.post("/expenses", data=receipt)
    page.goto(f"{LIST}?q=errand")
    expect(rows(page, "errand")).to_have_count(2)
    page.get_by_role("button", name="Void errand").first.focus()
    page.keyboard.press("Enter")
    expect(rows(page, "errand")).to_have_count(0)  # both lines: half a receipt never happened
    expect(page.get_by_role("status").filter(has_text="Voided: errand.")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(rows(page, "errand")).to_have_count(2)
    assert len(booked(page, "errand")) == 2


def test_what_is_pending_is_booked(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(service.url).page
    page.request.post(
        "/expenses", data={"description": "deposit", "amount": 1, "status": "pending", "expires_in": 9000}
    )
    page.goto(f"{LIST}?q=deposit")
    expect(rows(page, "deposit").locator(".badge")).to_have_text("Pending")
    page.get_by_role("button", name="Book deposit").click()
    expect(rows(page, "deposit").locator(".badge")).to_have_count(0)
    assert booked(page, "deposit")[0]["status"] == "posted"


def test_what_fails_on_the_way_is_told_and_nothing_that_was_typed_is_lost(
    service: Service, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    visit = visits(service.url)
    page = visit.go(LIST)
    entry = page.locator("#entry-text")
    entry.fill("7 taxi home")
    expect(page.locator("#entry button")).to_be_enabled()
    lost: list[str] = []

    def answer_is_lost(route: "Route") -> None:
        """The booking arrives, and its answer does not."""
        route.fetch()
        lost.append(route.request.headers["idempotency-key"])
        route.abort()

    page.route("**/expenses", answer_is_lost, times=1)
    entry.press("Enter")
    expect(page.locator("#entry-told")).to_contain_text("cannot be reached")
    expect(entry).to_have_value("7 taxi home")
    assert len(lost) == 1
    entry.press("Enter")
    expect(rows(page, "taxi home")).to_have_count(1)
    assert len(booked(page, "taxi home")) == 1
    page.context.set_offline(True)
    page.get_by_role("searchbox").fill("nothing comes back")
    expect(page.get_by_role("status").filter(has_text="cannot be reached")).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_value("nothing comes back")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Nothing matches these filters.")).to_be_visible()
    visit.faults = [fault for fault in visit.faults if "ERR_FAILED" not in fault and "ERR_INTERNET" not in fault]


CSV = b"Date,Description,Amount\n2026-02-01,<b>Rent</b>,-700.00\n2026-02-02,Wages,2500.00\n2026-02-30,Never,1.00\n"


def test_a_file_is_looked_at_before_it_is_booked(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    visit = visits(service.url)
    visit.expect(422)
    page = visit.go("/pages/import")
    page.get_by_label("Drop a file here").set_input_files({"name": "bank.csv", "mimeType": "text/csv", "buffer": CSV})
    lines = page.locator("#lines tr")
    expect(lines).to_have_count(3)
    expect(lines.nth(0)).to_contain_text("<b>Rent</b>")
    expect(page.locator("#count-booked")).to_have_text("2")
    expect(page.locator("#count-refused")).to_have_text("1")
    book = page.get_by_role("button", name="Book", exact=True)
    expect(book).to_be_disabled()
    assert booked(page, "Wages") == []
    page.get_by_label("Book the others").check()
    book.click()
    expect(page.get_by_text("2 booked", exact=True)).to_be_visible()
    expect(page.locator("#told")).to_contain_text("2 booked.")
    expect(page.get_by_role("heading", name="What was booked")).to_be_visible()
    assert [one["amount"] for one in booked(page, "Wages")] == [2500]

    page.get_by_label("Format").select_option("csv")  # the same again: it was imported before
    expect(page.locator("#count-skipped")).to_have_text("2")
    page.get_by_label("Format").select_option("ofx")
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.locator("#preview-outcome")).to_be_hidden()
    page.get_by_label("Format").select_option("csv")
    many = b"date,amount\n" + b"".join(b"2026-02-01,%d.00\n" % number for number in range(1, 1202))
    page.get_by_label("Drop a file here").set_input_files({"name": "year.csv", "mimeType": "text/csv", "buffer": many})
    expect(page.get_by_text("701 more lines are not shown.")).to_be_visible()  # though the API tells of 1,000


def test_a_dropped_file_is_taken(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = visits(service.url).go("/pages/import")
    dropped = page.evaluate_handle(
        """() => { const all = new DataTransfer();
        all.items.add(new File(["Date,Description,Amount\\n2026-03-01,Dropped,-1.00\\n"], "a.csv")); return all; }"""
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    expect(page.locator("#lines tr")).to_contain_text(["Dropped"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [None, PHONE])
def test_everybody_can_use_it(service: Service, visits: Callable[..., Visit], scheme: str, viewport: Any) -> None:
    from playwright.sync_api import expect

    options = {"color_scheme": scheme, **({"viewport": viewport} if viewport else {})}
    page = visits(service.url, **options).page
    today = dt.datetime.now(dt.UTC).date().isoformat()
    page.request.post(
        "/expenses", data={"description": "x" * 60, "amount": 1, "category": "Long:" + "y" * 40, "date": today}
    )
    page.goto(LIST + "?q=&min_amount=")
    page.locator("#entry-text").fill("5 tea @nowhere New:Thing 2026-01-01")
    expect(page.locator(".chip")).not_to_have_count(0)
    expect(page.locator("#entry-told")).not_to_be_empty()
    page.get_by_role("button", name=re.compile("^Edit")).first.click()
    form = page.locator("form.editing")
    expect(form).to_be_visible()
    widths = [form.get_by_label(name).evaluate("(field) => field.offsetWidth") for name in ("Account", "Category")]
    assert widths[0] == widths[1]
    assert axe_findings(page) == []
    assert overflow(page) <= 0
    page.goto("/pages/import")
    page.get_by_label("Drop a file here").set_input_files({"name": "bank.csv", "mimeType": "text/csv", "buffer": CSV})
    expect(page.locator("#lines tr")).to_have_count(3)
    assert axe_findings(page) == []
    assert overflow(page) <= 0
