"""Who may, in a real browser: the open door, the first user, signing in and out, sharing, keys, and the language."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import LOOKS, Visit, awake, is_fine, served
from serving import SECONDS_MAX, Service

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
ANN, BEN = "ann@example.com", "ben@example.com"


def setup_code(service: Service) -> str:
    """What stands in the log, once it does."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if found := re.search(r"setup_code ([A-Z0-9-]{24})", service.log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(service.log.read_text())


class Household:
    """Cashman with two users, who are made as a program would."""

    def __init__(self, service: Service) -> None:
        self.service = service
        credentials = {"email": ANN, "password": PASSWORD}
        assert service.request("POST", "/users", {**credentials, "setup_code": setup_code(service)})[0] == 201
        self.token = service.request("POST", "/tokens", credentials)[2]["access_token"]
        self.ben = self.ask("POST", "/users", {"email": BEN, "password": PASSWORD, "name": "Ben"})["id"]
        self.url = service.url

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """Ask the API as ann."""
        import json
        import urllib.request

        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        asked = urllib.request.Request(self.service.url + path, body, headers, method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.loads(answer.read() or b"null")


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with served(tmp_path_factory.mktemp("people")) as service:
        yield Household(service)


def sign_in(visit: Visit, email: str, path: str = "/") -> "Page":
    """Sign in on the page that somebody who is nobody yet is sent to; from there it goes on to where they wanted."""
    from playwright.sync_api import expect

    visit.expect(401)
    page = visit.go(path)
    expect(page).to_have_url(re.compile("/pages/sign-in"))
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{visit.url}{path}")
    return awake(page)


def is_shut_out(stranger: Visit) -> None:
    """Who is nobody sees a page to sign in at, and nothing of the books."""
    from playwright.sync_api import expect

    stranger.expect(401)
    page = stranger.go("/pages/transactions?q=before")
    expect(page).to_have_url(re.compile("/pages/sign-in"))
    expect(page.get_by_text("before")).to_have_count(0)
    stranger.check()


def test_the_first_user_shuts_the_open_door_and_signs_out_and_in(tmp_path: Path, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    with served(tmp_path) as service:
        assert service.request("POST", "/expenses", {"description": "before", "amount": 1})[0] == 204
        visit = visits(service.url)
        visit.expect(401, 403, 422)
        page = visit.go("/")
        banner = page.get_by_role("complementary", name="The open door")
        expect(banner).to_be_visible()
        assert is_fine(page)
        banner.get_by_role("link", name="Make the first user").click()
        expect(page).to_have_url(re.compile("/pages/set-up"))
        awake(page).get_by_label("Setup code").fill("AAAA-AAAA-AAAA-AAAA-AAAA")
        page.get_by_label("E-mail").fill(ANN)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Make the user, and sign in").click()
        expect(page.locator(".error:not(:empty)").first).to_be_visible()
        assert is_fine(page)
        page.get_by_label("Setup code").fill(setup_code(service))
        page.get_by_role("button", name="Make the user, and sign in").click()
        expect(page.get_by_role("region", name="Latest transactions")).to_contain_text("before")
        expect(banner).to_have_count(0)
        (cookie,) = visit.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert page.evaluate("document.cookie") == ""

        is_shut_out(visits(service.url))
        awake(page).get_by_text("Menu", exact=True).click()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(re.compile("/pages/sign-in"))
        assert visit.context.cookies() == []
        page.go_back()
        page.reload()
        expect(page).to_have_url(re.compile("/pages/sign-in"))
        page.get_by_label("E-mail").fill(ANN)
        page.get_by_label("Password").fill("not that one at all")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).not_to_be_empty()
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("region", name="Latest transactions")).to_contain_text("before")
        visit.check()


def test_a_ledger_is_made_and_shared_and_the_other_books_in_it(
    household: Household, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    page = sign_in(visits(household.url), ANN, "/pages/ledgers")
    page.get_by_label("Name").fill("Flat 4 <b>")
    page.get_by_role("button", name="Make the ledger").click()
    page.get_by_role("link", name="Settings of Flat 4 <b>").click()
    expect(page).to_have_url(re.compile("/ledgers/[0-9A-Z]{26}/pages/ledger"))
    awake(page)
    share = page.locator("form", has=page.get_by_role("button", name="Share"))
    whom = share.get_by_label("Whom")
    whom.select_option(household.ben)
    share.get_by_label("Role").select_option("editor")
    share.get_by_role("button", name="Share").click()
    expect(page.get_by_role("row", name=re.compile(BEN))).to_be_visible()
    assert is_fine(page)

    bens = sign_in(visits(household.url), BEN, "/pages/ledgers")
    row = bens.get_by_role("row", name=re.compile("Flat 4 <b>"))
    expect(row).to_contain_text("editor")
    row.get_by_role("link", name="Flat 4 <b>", exact=True).click()
    expect(bens).to_have_url(re.compile("/ledgers/[0-9A-Z]{26}/pages/overview"))
    bens.get_by_role("link", name="Transactions", exact=True).click()
    expect(bens).to_have_url(re.compile("/ledgers/[0-9A-Z]{26}/pages/transactions"))
    awake(bens).locator("#entry-text").fill("9 washing powder")
    expect(bens.locator("#entry button[type=submit]")).to_be_enabled()
    bens.keyboard.press("Enter")
    expect(bens.locator("#rows")).to_contain_text("washing powder")

    page.get_by_role("link", name="Ledgers", exact=True).first.click()
    page.get_by_role("link", name="Flat 4 <b>", exact=True).click()
    expect(page.get_by_role("region", name="Latest transactions")).to_contain_text("washing powder")
    page.goto("/")
    expect(page.get_by_text("washing powder")).to_have_count(0)


def test_an_api_key_is_shown_once_and_works_until_it_is_revoked(
    household: Household, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    page = sign_in(visits(household.url), ANN, "/pages/keys")
    page.get_by_label("Name").fill("a script")
    page.get_by_role("button", name="Make the key").click()
    key = page.locator("#made-key")
    expect(key).not_to_be_empty()
    secret = key.inner_text()
    assert is_fine(page)
    answer = page.request.get("/balances", headers={"Authorization": f"Bearer {secret}", "Cookie": ""})
    assert answer.status == 200
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("row", name=re.compile("a script"))).to_be_visible()
    awake(page)
    assert secret not in page.content()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke a script").click()
    expect(page.get_by_role("row", name=re.compile("a script"))).to_have_count(0)
    answer = page.request.get("/balances", headers={"Authorization": f"Bearer {secret}", "Cookie": ""})
    assert answer.status == 401


def test_the_api_is_tried_out_as_whoever_is_signed_in(household: Household, visits: Callable[..., Visit]) -> None:
    from playwright.sync_api import expect

    page = sign_in(visits(household.url), ANN, "/pages/people")
    page.goto("/docs#users_get_me")
    operation = page.locator("#users_get_me")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Send").click()
    expect(operation.locator(".content")).to_contain_text(f'"email": "{ANN}"')


@pytest.mark.parametrize(
    ("name", "language", "heading"),
    [
        ("deutsch", "de", "Anmelden"),
        ("español", "es", "Iniciar sesión"),
        ("français", "fr", "Se connecter"),
        ("português", "pt-BR", "Entrar"),
    ],
)
def test_another_language_is_chosen_and_kept(
    name: str, language: str, heading: str, household: Household, visits: Callable[..., Visit]
) -> None:
    from playwright.sync_api import expect

    visit = visits(household.url)
    visit.expect(401)
    page = visit.go("/pages/sign-in")
    page.get_by_text("Menu", exact=True).click()
    page.get_by_role("button", name=re.compile(name, re.IGNORECASE)).click()
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    page.goto("/docs")
    expect(page.locator("html")).to_have_attribute("lang", language)


@pytest.mark.parametrize("look", LOOKS)
def test_everybody_can_use_it(look: str, household: Household, visits: Callable[..., Visit]) -> None:
    page = sign_in(visits(household.url, **LOOKS[look]), ANN, "/pages/people")
    for path in ("/pages/people", "/pages/ledgers", "/pages/ledger", "/pages/keys"):
        page.goto(path)
        page.locator(".menu > summary").click()
        assert is_fine(page), path
