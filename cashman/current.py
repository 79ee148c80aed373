"""The books of the app that serves this request."""

from flask import Flask, current_app

from cashman.ledger import OWNER, Books, Ledger
from cashman.limits import PAGE_CACHE_BYTES_MAX
from cashman.pages import Pages

_KEY = "cashman"
_PAGES_KEY = "cashman.pages"


def init_app(app: Flask, books: Books) -> None:
    """Give an app its books."""
    app.extensions[_KEY] = books
    app.extensions[_PAGES_KEY] = Pages(PAGE_CACHE_BYTES_MAX)


def books(app: Flask | None = None) -> Books:
    """The books of an app, by default of the one that serves this request."""
    found: Books = (app or current_app).extensions[_KEY]
    return found


def pages() -> Pages:
    """The pages that this worker has encoded before."""
    found: Pages = current_app.extensions[_PAGES_KEY]
    return found


def actor() -> str:
    """Who makes this request."""
    return OWNER


def ledger() -> Ledger:
    """The ledger that this request is about, in the hands of its caller."""
    return books().own_ledger()
