"""What every page of the dashboard is made with."""

from typing import Any

from flask import Response, g, request

from cashman import current, language
from cashman.contracts import JSON
from cashman.dashboard.figures import Figures, locale

HTML = "text/html"


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page about the ledger of this request, in the caller's language and locale.

    Beside what `language.page` gives, the template has what Figures can write, such as `money` and `day`, and
    `may_edit`.
    """
    response = language.page(template, status, may_edit=may_edit(), **Figures(locale()).in_templates, **values)
    response.headers["Cache-Control"] = "private, no-cache"  # somebody's books: kept by nobody between, asked each time
    return response


def may_edit() -> bool:
    """Whether the caller may book in the ledger that the page is about: others are offered nothing that writes."""
    if "ledger" not in g:
        return False  # it is about none
    caller = current.caller()
    return caller.may_as(current.access().membership(caller, current.ledger_ulid()).role, "editor")


def wants_page() -> bool:
    """Whether whoever asks prefers a page, as browsers do, to JSON, which everybody else is given."""
    return request.accept_mimetypes.best_match([JSON, HTML]) == HTML
