#!/usr/bin/env python3
"""Take the README's pictures: serve a demo ledger, and photograph its pages with a headless Chromium.

Run it with the development packages, from anywhere: .venv/bin/python tools/screenshots.py [FOLDER]
It takes a Chromium on the PATH. The demo's year ends today, so the pictures show other days each time.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from browsing import ARGUMENTS, DESKTOP, PHONE, chromium  # noqa: E402 - the path comes first
from playwright.sync_api import Browser, sync_playwright  # noqa: E402 - the path comes first
from serving import Service  # noqa: E402 - the path comes first

PICTURES = {
    "overview-light": ("/", {"viewport": DESKTOP, "color_scheme": "light"}),
    "overview-dark": ("/", {"viewport": DESKTOP, "color_scheme": "dark"}),
    "overview-phone": ("/", {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "has_touch": True}),
    "transactions": ("/pages/transactions", {"viewport": DESKTOP, "color_scheme": "light"}),
    "docs": ("/docs#expenses_add", {"viewport": DESKTOP, "color_scheme": "light"}),
}
"""By the name of the file: which page, and what it is looked at with."""


def take(browser: Browser, url: str, folder: Path) -> None:
    """Take every picture of the service at a URL."""
    for name, (path, options) in PICTURES.items():
        context = browser.new_context(base_url=url, locale="en-US", reduced_motion="reduce", **options)
        page = context.new_page()
        page.goto(path, wait_until="networkidle")
        page.screenshot(path=folder / f"{name}.png", animations="disabled", caret="hide")
        context.close()
        print(f"{name}.png: {(folder / f'{name}.png').stat().st_size // 1000} kB")


def main() -> None:
    """Serve, photograph, stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=REPOSITORY / "docs" / "pictures")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        service = Service(Path(work), f"sqlite:///{work}/demo.db", CASHMAN_DEMO="1")
        try:
            while not service.request("GET", "/transactions?limit=1")[2]:
                time.sleep(0.1)  # until the year is there: another worker may have begun with it
            browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
            take(browser, service.url, folder)
            browser.close()
        finally:
            service.stop()


if __name__ == "__main__":
    main()
