"""What somebody waits for who opens the overview of a million: the server's time, the bytes, and the first paint."""

import http.client
import shutil
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import household, servers
from benchmarks.options import Options
from benchmarks.servers import Server, Unusable

VIEWS = {
    "the last twelve months": "/?period=last-12-months",
    "the fullest month": "/?period=2025-12",
    "a year": "/?period=2025",
    "a category's parts in a year": "/?period=2025&category=Category%201",
    "five years": "/?from=2021-01-01&to=2025-12-31",
    "most of a year, from and to within a month": "/?from=2025-01-15&to=2025-11-14",
}
ASKED = 20
"""How often a server is asked for each view, after once to warm up."""
VISITS = 5
"""How often a browser opens it, each time as if for the first time."""
WIRE_BYTES_MAX = 150_000
PAINT_MILLISECONDS_MAX = 1_000
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run")  # fmt: skip

_FIGURES = """() => new Promise((done) => {
  const shifts = [], long = [];
  let largest = 0;
  new PerformanceObserver((list) => { for (const e of list.getEntries()) largest = e.startTime; })
    .observe({type: "largest-contentful-paint", buffered: true});
  new PerformanceObserver((list) => shifts.push(...list.getEntries().map((e) => e.value)))
    .observe({type: "layout-shift", buffered: true});
  new PerformanceObserver((list) => long.push(...list.getEntries().map((e) => Math.max(0, e.duration - 50))))
    .observe({type: "longtask", buffered: true});
  setTimeout(() => {
    const [page] = performance.getEntriesByType("navigation");
    const files = performance.getEntriesByType("resource");
    done({
      first_byte: page.responseStart,
      first_paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
      largest_paint: largest,
      loaded: page.loadEventEnd,
      blocked: long.reduce((sum, each) => sum + each, 0),
      shifted: shifts.reduce((sum, each) => sum + each, 0),
      bytes: page.transferSize + files.reduce((sum, each) => sum + each.transferSize, 0),
      requests: 1 + files.length,
    });
  }, 500);
})"""


@dataclass
class View:
    """What one view came to: medians, and the worst."""

    name: str
    server: list[float]
    """Milliseconds of each answer."""
    visits: list[dict[str, Any]]

    def line(self) -> str:
        """A row of the table."""
        of = {name: sorted(visit[name] for visit in self.visits) for name in self.visits[0]}
        middle = {name: median(values) for name, values in of.items()}
        return (
            f"| {self.name} | {median(self.server):.0f} ({max(self.server):.0f}) "
            f"| **{middle['first_paint']:.0f}** ({of['first_paint'][-1]:.0f}) | {middle['largest_paint']:.0f} "
            f"| {middle['blocked']:.0f} | {middle['shifted']:.3f} "
            f"| **{middle['bytes'] / 1000:.1f}** in {middle['requests']:.0f} |"
        )


HEADINGS = (
    "| view | server ms, median (most) | first contentful paint ms (most) | largest ms | blocked ms | layout shift "
    "| kB on the wire, requests |\n| --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass
class FirstView:
    """All of it, and whether what was promised is kept."""

    conditions: list[str]
    views: list[View]

    def text(self) -> str:
        """All of it as Markdown."""
        visits = [visit for view in self.views for visit in view.visits]
        within = sum(
            visit["bytes"] <= WIRE_BYTES_MAX and visit["first_paint"] <= PAINT_MILLISECONDS_MAX for visit in visits
        )
        kept = f"{WIRE_BYTES_MAX // 1000} kB and {PAINT_MILLISECONDS_MAX} ms: kept by {within} of {len(visits)} visits"
        lines = ["### The first view", "", *(f"- {line}" for line in (*self.conditions, kept)), ""]
        return "\n".join([*lines, HEADINGS, *(view.line() for view in self.views), ""])


def run(options: Options) -> FirstView:
    """Serve the household's ledger, and look at it."""
    with (
        household.ledger(options, options.transactions, "first_view") as (url, how),
        servers.cashman(url, parser=options.parser) as server,
    ):
        views = {name: _asked(server, path) for name, path in VIEWS.items()}
        browser, visits = _visits(server)
    conditions = [
        *options.conditions()[:1],
        how,
        f"{browser}, headless, 1280 by 900, nothing cached: {VISITS} visits of each view",
        f"the server's time: HTTP over loopback, {ASKED} times each",
    ]
    return FirstView(conditions, [View(name, views[name], visits[name]) for name in VIEWS])


def _asked(server: Server, path: str) -> list[float]:
    """The milliseconds that each answer took, as a browser asks for it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    took = []
    for _ in range(ASKED + 1):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
        response = connection.getresponse()
        response.read()
        took.append((time.perf_counter() - began) * 1000)
        if response.status != 200:
            raise Unusable(f"GET {path} was answered with {response.status}")
    connection.close()
    return took[1:]


def _visits(server: Server) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """What a browser says of each visit, and which browser it is."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise Unusable("the first view needs a Chromium on the PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Unusable("the first view needs playwright (./bootstrap.sh setup dev)") from None
    visits: dict[str, list[dict[str, Any]]] = {name: [] for name in VIEWS}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        version = f"Chromium {browser.version}"
        for number in range(VISITS + 1):
            for name, view in VIEWS.items():
                context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
                page = context.new_page()
                page.goto(view, wait_until="load")
                figures = page.evaluate(_FIGURES)
                context.close()
                if number:  # the first is to warm up
                    visits[name].append(figures)
        browser.close()
    return version, visits
