"""The pages of who may, signing in, people, keys and ledgers: as they are sent, and as a person walks them."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from browsing import LOOKS, Visit, is_fine, served
from flask.testing import FlaskClient
from markupsafe import escape
from people import PASSWORD, Page, Person, another, first_user, page_of
from serving import Service
from werkzeug.test import TestResponse

from cashman.translations import LANGUAGES, translate

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

LOOKING = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Cashman-Page": "", "Sec-Fetch-Mode": "navigate"}
PAGES = ("/pages/people", "/pages/keys", "/pages/ledgers", "/pages/ledger")


def look(page: Page, path: str, language: str = "en", cookie: str = "") -> TestResponse:
    """Open a page as a browser does."""
    kept = "; ".join(filter(None, (page.cookie, cookie)))
    return page.get(path, headers={**LOOKING, "Accept-Language": language, "Cookie": kept})


@pytest.fixture
def user(client: FlaskClient) -> Person:
    """The first user, who is an administrator."""
    return first_user(client, name="Ann")


@pytest.fixture
def page(user: Person) -> Page:
    """A browser in which that user is signed in."""
    return page_of(user.client, user.email)


def test_while_the_door_is_open_every_page_says_so_and_how_it_is_shut(client: FlaskClient) -> None:
    stranger = Page(client)
    for path in (*PAGES, "/", "/problems", "/pages/set-up"):
        answer = look(stranger, path)
        assert answer.status_code == 200
        assert "The door is open: whoever uses this machine" in answer.text, path
        assert 'href="/pages/set-up"' in answer.text
    user = first_user(client)
    assert "The door is open" not in look(page_of(client, user.email), "/").text


def test_a_door_that_is_open_to_all_is_told_with_the_setting(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(auth="open")
    assert "CASHMAN_AUTH=open" in look(Page(client), "/").text
    page = page_of(client, first_user(client).email)
    assert "CASHMAN_AUTH=open" in look(page, "/").text


def test_before_there_is_a_user_signing_in_leads_to_the_set_up(client: FlaskClient) -> None:
    answer = look(Page(client), "/pages/sign-in?next=/pages/keys")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/pages/set-up?next=%2Fpages%2Fkeys")
    assert look(Page(client), "/pages/sign-in").headers["Location"] == "/pages/set-up"


def test_the_set_up_says_why_somebody_is_kept_out(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(auth="required")
    shown = client.get("/pages/set-up", headers=LOOKING).text
    assert "with the setup code that stands in the log" in shown
    from_elsewhere = with_settings().get(
        "/pages/set-up", headers=LOOKING, environ_overrides={"REMOTE_ADDR": "192.0.2.7"}
    )
    assert "this request comes from another" in from_elsewhere.text
    assert from_elsewhere.status_code == 200
    assert 'class="banner" role="note"' not in with_settings().get("/pages/set-up", headers=LOOKING).text
    first_user(client)
    assert "There is a user already." in client.get("/pages/set-up", headers=LOOKING).text


@pytest.mark.parametrize(
    "following",
    ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "/%09/evil.example", "x"],
)
def test_nothing_that_is_elsewhere_is_gone_to_after_signing_in(client: FlaskClient, following: str) -> None:
    stranger = Page(client)
    kept = look(stranger, f"/pages/set-up?next={following.replace(':', '%3A')}").text
    first_user(client)
    shown = look(stranger, f"/pages/sign-in?next={following.replace(':', '%3A')}").text
    for text in (kept, shown):
        assert "evil" not in text
        assert "javascript:" not in text
    assert 'data-next="/"' in shown
    assert 'data-next="/pages/keys?a=b"' in look(stranger, "/pages/sign-in?next=%2Fpages%2Fkeys%3Fa%3Db").text


def test_whoever_may_not_see_a_page_is_sent_to_sign_in_and_back(user: Person) -> None:
    stranger = Page(user.client)
    for path in PAGES:
        answer = look(stranger, path)
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"/pages/sign-in?next={path.replace('/', '%2F')}"
        assert stranger.get(path).status_code == 401


def test_somebody_elses_ledger_is_no_page_at_all(page: Page, user: Person) -> None:
    other = another(user, "other@example.com")
    for ledger in (other.ledger, "01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        answer = look(page, f"/ledgers/{ledger}/pages/ledger")
        assert (answer.status_code, answer.mimetype) == (404, "text/html")
        assert "There is nothing here." in answer.text
        assert other.email not in answer.text
        assert page.get(f"/ledgers/{ledger}/pages/ledger").mimetype == "application/problem+json"


def test_an_administrator_sees_everybody_and_anybody_else_oneself(page: Page, user: Person) -> None:
    other = another(user, "other@example.com", name="<b>Bob</b>")
    shown = look(page, "/pages/people").text
    assert user.email in shown
    assert other.email in shown
    assert "&lt;b&gt;Bob&lt;/b&gt;" in shown
    assert f'data-path="/users/{other.id}"' in shown
    theirs = look(page_of(user.client, other.email), "/pages/people").text
    assert other.email in theirs
    assert user.email not in theirs
    assert "data-confirm" not in theirs


def test_people_are_shown_page_by_page(page: Page, user: Person) -> None:
    others = [another(user, f"{number}@example.com") for number in range(3)]
    first = look(page, "/pages/people?limit=2")
    assert others[0].email in first.text
    assert others[1].email not in first.text
    found = re.search(r'href="(/pages/people\?[^"]+)"', first.text)
    assert found is not None
    second = look(page, found[1].replace("&amp;", "&")).text
    assert others[1].email in second
    assert others[2].email in second
    assert "/pages/people?limit" not in second


def test_keys_are_shown_without_what_they_are(page: Page, user: Person) -> None:
    key = user.key("read", ledger=user.ledger)
    answer = look(page, "/pages/keys")
    assert "a key to read" in answer.text
    assert (key.token or "") not in answer.text
    other = page_of(user.client, another(user, "other@example.com").email)
    assert "a key to read" not in look(other, "/pages/keys").text
    assert answer.headers["Cache-Control"] == "no-store"


def test_who_may_not_change_a_ledger_is_offered_nothing_that_would(page: Page, user: Person) -> None:
    viewer = another(user, "viewer@example.com")
    ledger = user.new_ledger("House")
    user.share(ledger, viewer, "viewer")
    owners = look(page, f"/ledgers/{ledger}/pages/ledger").text
    assert f'data-path="/ledgers/{ledger}/ledger"' in owners
    theirs = look(page_of(user.client, viewer.email), f"/ledgers/{ledger}/pages/ledger").text
    assert "House" in theirs
    assert "Your role: viewer." in theirs
    assert re.findall(r'data-method="([A-Z]+)"', theirs) == ["DELETE"], "they may leave"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_speaks_every_language(page: Page, language: str) -> None:
    tag = language.replace("_", "-")
    for path, title in (
        ("/pages/people", "People"),
        ("/pages/keys", "API keys"),
        ("/pages/ledgers", "Ledgers"),
        ("/pages/sign-in", "Sign in"),
    ):
        answer = look(page, path, language=tag)
        assert answer.headers["Content-Language"] == tag
        assert f'<html lang="{tag}"' in answer.text
        assert f"<h1>{escape(translate(title, language))}</h1>" in answer.text


def test_the_chosen_language_is_that_of_pages_and_of_nothing_else(page: Page) -> None:
    chosen = look(page, "/pages/people", "fr", "cashman-language=de")
    assert chosen.headers["Content-Language"] == "de"
    assert "Personen" in chosen.text
    assert "Cookie" in chosen.headers["Vary"]
    assert look(page, "/nope", "fr", "cashman-language=de").headers["Content-Language"] == "de"
    api = page.get("/nope", headers={"Accept-Language": "fr", "Cookie": f"{page.cookie}; cashman-language=de"})
    assert api.headers["Content-Language"] == "fr"
    for wrong in ("xx", "", "de_DE", "../../etc", "<script>", "pt_BR"):
        assert look(page, "/pages/people", "fr", f"cashman-language={wrong}").headers["Content-Language"] == "fr"


# As a person walks them.


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that nobody has set up."""
    with served(tmp_path_factory.mktemp("people")) as service:
        yield service


def set_up_code(service: Service) -> str:
    """What stands in the log."""
    service.request("GET", "/accounts")
    found = re.search(r"setup_code ([A-Z2-7-]{24})", service.log.read_text())
    assert found is not None
    return found[1]


def fill(page: "BrowserPage", **fields: str) -> None:
    for id_, text in fields.items():
        page.fill(f"#{id_}", text)


def press(page: "BrowserPage", name: str) -> None:
    page.get_by_role("button", name=name).click()


def set_up(page: "BrowserPage", service: Service) -> None:
    from playwright.sync_api import expect

    page.goto("/")
    page.get_by_role("link", name="Make the first user").click()
    assert is_fine(page)
    press(page, "Make the user, and sign in")
    expect(page.locator("#email-error")).to_be_visible()
    expect(page.locator("#setup_code")).to_be_focused()
    assert is_fine(page)
    fill(page, setup_code=set_up_code(service), email="ann@example.com", name="Ann", password=PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{service.url}/")
    expect(page.locator(".banner")).to_have_count(0)
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")


def make_bob(page: "BrowserPage") -> None:
    from playwright.sync_api import expect

    page.goto("/pages/people")
    fill(page, email="bob@example.com", password="short")
    press(page, "Make the user")
    expect(page.locator("#password-error")).to_have_text("At least 10 characters.")
    assert is_fine(page)
    fill(page, password="staple of the day")
    press(page, "Make the user")
    expect(page.get_by_role("cell", name="bob@example.com", exact=True)).to_be_visible()


def change_the_password(page: "BrowserPage") -> None:
    from playwright.sync_api import expect

    page.get_by_text("Another password").click()
    fill(page, **{"proof": PASSWORD, "new-password": "another horse battery"})
    press(page, "Change the password")
    expect(page.locator("#told")).to_contain_text("The password is changed.")


def make_and_revoke_a_key(page: "BrowserPage") -> None:
    from playwright.sync_api import expect

    page.goto("/pages/keys")
    fill(page, name="backup")
    press(page, "Make the key")
    expect(page.locator("#made-key")).to_contain_text("cashman_")
    press(page, "Copy")
    expect(page.locator("#told")).to_contain_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.inner_text("#made-key")
    assert is_fine(page)
    page.get_by_role("link", name="Done").click()
    press(page, "Revoke backup")
    expect(page.get_by_text("There is none yet.")).to_be_visible()


def share_a_ledger(page: "BrowserPage") -> str:
    """Share a new ledger, and give where its settings are."""
    from playwright.sync_api import expect

    page.goto("/pages/ledgers")
    fill(page, name="House")
    press(page, "Make the ledger")
    page.get_by_role("link", name="Settings of House").click()
    page.get_by_label("Whom").select_option(label="bob@example.com")
    page.get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_role("cell", name="bob@example.com", exact=True)).to_be_visible()
    assert is_fine(page)
    return page.url


def choose_german_and_sign_out(page: "BrowserPage") -> None:
    from playwright.sync_api import expect

    page.locator(".menu summary").click()
    press(page, "Deutsch")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.locator(".menu summary").click()
    press(page, "Abmelden")
    page.wait_for_url("**/pages/sign-in")
    assert [cookie["name"] for cookie in page.context.cookies()] == ["cashman-language"]


def sign_in_to_what_was_asked_for(page: "BrowserPage", asked: str) -> None:
    from playwright.sync_api import expect

    page.goto(asked)
    fill(page, email="bob@example.com", password="not the password")
    page.keyboard.press("Enter")
    expect(page.locator(".error[role=alert]")).to_contain_text("gehören nicht zusammen")
    assert is_fine(page)
    fill(page, password="staple of the day")
    page.keyboard.press("Enter")
    page.wait_for_url(asked)
    expect(page.locator("h1")).to_have_text("House")


@pytest.mark.browser
def test_people_set_up_share_and_sign_in(service: Service, visits: Callable[..., Visit]) -> None:
    visit = visits(service.url)
    visit.expect(401, 404, 422)
    page = visit.page
    page.on("dialog", lambda dialog: dialog.accept())
    set_up(page, service)
    make_bob(page)
    change_the_password(page)
    make_and_revoke_a_key(page)
    house = share_a_ledger(page)
    choose_german_and_sign_out(page)
    sign_in_to_what_was_asked_for(page, house)
    page.goto("/ledgers/01ARZ3NDEKTSV4RRFFQ69G5FAV/pages/ledger")
    assert page.inner_text("h1") == "Hier ist nichts."
    page.goto("/pages/sign-in?next=%2Fpages%2Fledgers")  # as who follows a link of another site is sent
    page.wait_for_url("**/pages/ledgers")
    for look_, options in LOOKS.items():
        other = visits(service.url, storage_state=visit.context.storage_state(), **options)
        for path in PAGES:
            other.go(path)
            assert is_fine(other.page), (look_, path)
        other.page.locator(".menu summary").click()
        assert is_fine(other.page), look_
