"""What the tests in a browser share: a headless Chromium, and visits that notice whatever goes wrong on a page."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response
    from serving import Service

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MILLISECONDS_MAX = 30_000
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "is_mobile": True, "has_touch": True},
}
"""How a page is looked at: every page has to be good in each of these."""

_WATCH_POLICY = """addEventListener("securitypolicyviolation", (event) =>
    console.error(`forbidden by the policy: ${event.violatedDirective} ${event.blockedURI}`))"""


def chromium() -> str:
    """Where a Chromium is; a test that needs one is skipped where there is none."""
    from conftest import missing

    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        missing("chromium (the package of that name)")
    return str(found)


@contextlib.contextmanager
def served(folder: Path, **environment: str) -> Iterator["Service"]:
    """Cashman as it is served, on an empty ledger; with the door open to this machine."""
    chromium()
    from serving import Service

    service = Service(folder, f"sqlite:///{folder}/books.db", **environment)
    try:
        yield service
    finally:
        service.remove()


@contextlib.contextmanager
def served_demo(folder: Path) -> Iterator["Service"]:
    """The same with the year of a household in it, as `CASHMAN_DEMO=1` makes it."""
    with served(folder, CASHMAN_DEMO="1") as service:
        deadline = time.monotonic() + MILLISECONDS_MAX / 1000
        while not service.request("GET", "/transactions?limit=1")[2] and time.monotonic() < deadline:
            time.sleep(0.1)
        yield service


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """A Chromium for all the tests of this process."""
    path = chromium()
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=MILLISECONDS_MAX)  # its own 5 s are few where a machine has much else to do
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield launched
        launched.close()


class Visit:
    """One page in a browser of its own, cookies and all, that writes down what is wrong with it."""

    def __init__(self, browser: "Browser", url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(
            base_url=url, locale=options.pop("locale", "en-US"), viewport=options.pop("viewport", DESKTOP), **options
        )
        self.context.set_default_timeout(MILLISECONDS_MAX)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        self.context.add_init_script(_WATCH_POLICY)
        self.faults: list[str] = []
        self.expected: set[int] = set()
        self.page: Page = self.context.new_page()
        self.context.on("console", self._note_console)
        self.context.on("request", self._note_request)
        self.context.on("response", self._note_response)
        self.context.on("requestfailed", self._note_failure)
        self.context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))

    def expect(self, *statuses: int) -> None:
        """Say that answers of these statuses are part of the story."""
        self.expected.update(statuses)

    def _note_console(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning") and not self._is_expected(message.text):
            self.faults.append(f"console: {message.text}")

    def _is_expected(self, text: str) -> bool:
        """Whether Chromium only says again that an answer was no success."""
        return any(f"status of {status}" in text for status in self.expected)

    def _note_request(self, request: "Request") -> None:
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(request.url))
        if origin != self.url and not request.url.startswith(("data:", "blob:")):
            self.faults.append(f"a request elsewhere: {request.url}")

    def _note_response(self, response: "Response") -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.faults.append(f"{response.status}: {response.request.method} {response.url}")

    def _note_failure(self, request: "Request") -> None:
        if "ERR_ABORTED" not in str(request.failure):  # a page that is left, a search that is typed on
            self.faults.append(f"failed: {request.url} ({request.failure})")

    def go(self, path: str) -> "Page":
        """Open a path of the service."""
        self.page.goto(path)
        return self.page

    def check(self) -> None:
        """Nothing went wrong, and nothing is kept where another page's script could read it."""
        assert self.faults == []
        if self.page.url.startswith(self.url):
            kept = self.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
            assert kept[:2] == [0, 0]
            assert "token" not in kept[2].lower()
            assert "session" not in kept[2].lower()


@pytest.fixture
def visits(browser: "Browser") -> Iterator[Callable[..., Visit]]:
    """Begin visits, which are checked and ended with the test."""
    begun: list[Visit] = []

    def begin(url: str, **options: Any) -> Visit:
        begun.append(Visit(browser, url, **options))
        return begun[-1]

    yield begin
    with contextlib.ExitStack() as stack:
        for visit in begun:
            stack.callback(visit.context.close)
        for visit in begun:
            visit.check()


def awake(page: "Page") -> "Page":
    """A page that somebody has come to by a link or a key, once its scripts run: before, it does what needs none."""
    page.wait_for_load_state("load")
    return page


def axe_findings(page: "Page", *rules: str) -> list[str]:
    """What axe finds wrong with a page as it stands, by all of its rules or some."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": list(rules)} if rules else None).response
    return [
        f"{violation['id']}: {node['html']} ({node['failureSummary']})"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def overflow(page: "Page") -> int:
    """By how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def is_fine(page: "Page", *rules: str) -> bool:
    """Hold a page to what everybody needs of it: nothing that axe finds, and nothing wider than the window."""
    assert axe_findings(page, *rules) == []
    assert overflow(page) <= 0, page.url
    return True
