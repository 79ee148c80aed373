"""The books of the app that serves this request, and who makes it."""

from collections.abc import Callable

from flask import Flask, Request, current_app, g, request

from cashman.access import Access, Caller
from cashman.ledger import Books, Ledger
from cashman.limits import PAGE_CACHE_BYTES_MAX
from cashman.pages import Pages

_KEY = "cashman"
_ACCESS_KEY = "cashman.access"
_PAGES_KEY = "cashman.pages"


def init_app(app: Flask, books: Books, access: Access) -> None:
    """Give an app its books, and who may use them."""
    app.extensions[_KEY] = books
    app.extensions[_ACCESS_KEY] = access
    app.extensions[_PAGES_KEY] = Pages(PAGE_CACHE_BYTES_MAX)


def books(app: Flask | None = None) -> Books:
    """The books of an app, by default of the one that serves this request."""
    found: Books = (app or current_app).extensions[_KEY]
    return found


def access(app: Flask | None = None) -> Access:
    """Who may use the books of an app, by default of the one that serves this request."""
    found: Access = (app or current_app).extensions[_ACCESS_KEY]
    return found


def pages() -> Pages:
    """The pages that this worker has encoded before."""
    found: Pages = current_app.extensions[_PAGES_KEY]
    return found


def asked() -> Request:
    """The request itself: each look at it through Flask's proxy costs about what a line of the log does."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]  # what every proxy has
    return found


def caller() -> Caller:
    """Who makes this request; the door has let them in."""
    found: Caller = g.caller
    return found


def ledger() -> Ledger:
    """The ledger that this request is about; the door has seen that its caller may use it."""
    found: Ledger = g.ledger
    return found


def ledger_ulid() -> str | None:
    """The ledger that the path names; None where that is the caller's own."""
    found: str | None = g.get("ledger_ulid")
    return found


def ask_again() -> None:
    """Have the door ask again who the caller is: they may not be welcome any more, after they have held a body back."""
    again: Callable[[], None] | None = g.get("ask_again")
    if again is not None:
        again()


def prefix() -> str:
    """What stands before the path of a resource of a ledger that the path names."""
    ulid = ledger_ulid()
    return f"/ledgers/{ulid}" if ulid else ""
