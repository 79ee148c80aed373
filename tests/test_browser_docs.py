"""The page of the API in a real browser: read, found, tried out; and the pages that explain problems."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browsing import LOOKS, Visit, is_fine, served
from serving import Service

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("docs")) as service:
        yield service


def test_an_expense_is_tried_out_and_the_command_that_is_shown_does_the_same(
    service: Service, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    page = visits(service.url).go("/docs")
    page.get_by_label("Find a route").fill("post /expenses record")
    operation = page.locator("#expenses_add")
    expect(operation).to_be_visible()
    expect(page.locator("#incomes_add")).to_be_hidden()
    expect(page.locator("#accounts_get_list")).to_be_hidden()
    operation.locator("summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Send").click()
    expect(operation.locator(".status")).to_have_text(re.compile("^201"))
    shown = operation.locator(".content").inner_text()
    assert '"amount": -50.00,' in shown, "numbers stand as they were sent, zeros and all"
    assert json.loads(shown)["description"] == "pizza"
    assert "location: /expenses/" in operation.locator(".headers").inner_text()

    body = json.loads(operation.get_by_label("Body", exact=True).input_value())
    description = 'Luigi\'s $(echo pizza) "`with`" \\ ü'
    operation.get_by_label("Body", exact=True).fill(
        json.dumps({**body, "id": None, "description": description} | {"id": "01KAHBJ5V00000000000SEC0ND"})
    )
    operation.get_by_role("button", name="Copy").click()
    expect(operation.locator(".copied")).to_have_text("Copied.")
    command = page.evaluate("navigator.clipboard.readText()")
    assert shlex.split(command)[0] == "curl"
    answer = subprocess.run(["sh", "-c", f"{command} --silent"], capture_output=True, text=True, timeout=30, check=True)
    assert (
        json.loads(answer.stdout.partition("\n\n")[2] or answer.stdout.split("\r\n\r\n")[1])["description"]
        == description
    )


def test_what_the_service_refuses_is_shown_as_it_is(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    visit = visits(service.url)
    visit.expect(422)
    page = visit.go("/docs#expenses_add")
    operation = page.locator("#expenses_add")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_label("Body", exact=True).fill('{"description": "<img src=x onerror=alert(1)>", "amount": 0}')
    operation.get_by_role("button", name="Send").click()
    expect(operation.locator(".status")).to_have_text(re.compile("^422"))
    expect(operation.locator(".content")).to_contain_text('"type": "/problems/invalid"')
    operation.get_by_role("link", name="invalid", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Some fields break a rule.")


def test_a_token_is_used_and_neither_shown_nor_kept(service: Service, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    visit = visits(service.url)
    visit.expect(401)
    page = visit.go("/docs#reports_get_balances")
    page.get_by_label("Token for trying out").fill("not-a-token-at-all")
    operation = page.locator("#reports_get_balances")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Send").click()
    expect(operation.locator(".status")).to_have_text(re.compile("^401"))
    command = operation.locator(".command")
    expect(command).to_contain_text('-H "Authorization: Bearer $TOKEN"')
    expect(command).not_to_contain_text("not-a-token-at-all")
    page.reload()
    assert page.get_by_label("Token for trying out").input_value() == ""


def test_it_is_read_without_scripts_and_filtered_to_nothing_with_them(
    service: Service, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    page = visits(service.url, java_script_enabled=False).go("/docs")
    expect(page.get_by_label("Find a route")).to_be_hidden()
    page.locator("#transfers_add summary").click()
    expect(page.locator("#transfers_add")).to_contain_text('"from": "main"')
    expect(page.locator("#transfers_add").get_by_role("button")).to_have_count(0)
    page = visits(service.url).go("/docs")
    page.get_by_label("Find a route").fill("no such route")
    expect(page.get_by_role("status").filter(has_text="Nothing has that name.")).to_be_visible()


@pytest.mark.parametrize("language", ["de", "es", "fr", "pt-BR"])
def test_its_frame_speaks_the_reader_s_language_and_says_what_does_not(
    language: str, service: Service, visits: Callable[..., Visit]
) -> None:
    page = visits(service.url, locale=language).go("/docs")
    assert page.locator("html").get_attribute("lang") == language
    assert page.get_by_role("heading", level=1).inner_text() != "The API"
    assert page.locator("#expenses_add summary").get_attribute("lang") == "en"


@pytest.mark.parametrize("look", LOOKS)
def test_everybody_can_read_it(look: str, service: Service, visits: Callable[..., Visit]) -> None:
    page = visits(service.url, **LOOKS[look]).go("/docs#expenses_patch_one")
    page.locator("#expenses_patch_one").get_by_role("button").click()
    page.locator("#schema-Transaction summary").click()
    # It is a long page, and only its colours and its width differ between the looks.
    assert is_fine(page, *(() if look == "light" else ("color-contrast", "target-size", "scrollable-region-focusable")))
    for path in ("/problems", "/problems/invalid"):
        page.goto(path)
        assert is_fine(page)


def test_the_suite_notices_what_it_is_to_notice(service: Service, browser: object, tmp_path: Path) -> None:
    """The control of all tests in a browser: a fault, a request elsewhere, a broken policy, an unlabelled field."""
    visit = Visit(browser, service.url)  # type: ignore[arg-type]
    page = visit.go("/docs")
    page.evaluate("""() => {
        console.error("wrong");
        document.body.insertAdjacentHTML("beforeend", "<p onclick='1' id='inline'><img src='http://127.0.0.1:9/x'><input>");
        setTimeout(() => { throw new Error("thrown"); });
        localStorage.setItem("token", "secret");
    }""")
    page.goto("/problems/no-such")
    told = " ".join(visit.faults)
    for fault in ("console: wrong", "forbidden by the policy", "uncaught: ", "404: GET"):
        assert fault in told, visit.faults
    with pytest.raises(AssertionError):
        visit.check()
    visit.context.close()
