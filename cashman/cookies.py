"""The cookie that a browser's session is kept in: when it counts, how it is given, and how it is taken back.

A cookie comes along whoever makes a browser ask, so it counts only for what one of our own pages asks for.
"""

import re
from typing import Any, Final
from urllib.parse import quote, urlencode

from flask import Response, g, has_request_context, request

from cashman.errors import Forbidden
from cashman.limits import REFRESH_SECONDS, TOKEN_CHARACTERS_MAX
from cashman.translations import message

NAME: Final = "cashman-session"
HEADER: Final = "Cashman-Page"
"""What our pages send with each request that changes something: no form can, and no page of another origin may."""
SAFE: Final = ("GET", "HEAD")
NEXT_CHARACTERS_MAX: Final = 2_000
# A browser takes a backslash for a slash, passes over tabs and line ends, and what begins with two slashes is a host.
_OWN_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)


def token() -> str | None:
    """The token in the session's cookie, where that counts for this request."""
    if "HTTP_COOKIE" not in request.environ or not is_from_own_page():
        return None
    # Another host of the same domain can add a cookie of this name: of two nobody can tell which one is ours.
    found = request.cookies.getlist(_name())
    return found[0] if len(found) == 1 and 0 < len(found[0]) <= TOKEN_CHARACTERS_MAX else None


def check_own_page() -> None:
    """Refuse what does not come from one of our own pages."""
    if not is_from_own_page():
        raise Forbidden(message("This is for the pages of this service alone: machines use `POST /tokens`."))


def is_from_own_page() -> bool:
    """Whether a page of this very origin makes the request, as the browser says, whom no page can make say it.

    What changes something has to bring HEADER, too. What only shows something may also be typed or followed to.
    """
    environ = request.environ
    safe = request.method in SAFE
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None:
        own = site == "same-origin" or (safe and (site == "none" or environ.get("HTTP_SEC_FETCH_MODE") == "navigate"))
    else:  # an older browser, or one that has come by plain http from another machine
        own = (safe and origin is None) or (origin is not None and origin.lower() == own_origin(environ))
    return own and (safe or _HEADER_KEY in environ)


def own_origin(environ: dict[str, Any]) -> str:
    """The origin of this service, as the request has it."""
    return f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}".lower()


def looks_at_pages() -> bool:
    """Whether somebody looks at what is shown: their browser names HTML, as no script of ours and no machine does."""
    return has_request_context() and request.method in SAFE and "text/html" in request.headers.get("Accept", "").lower()


def way_in(founded: bool) -> str:
    """Where one signs in, or where the first user is made; with the page that was asked for, to come back to."""
    path = quote(request.path, safe="/") + (
        f"?{request.query_string.decode(errors='replace')}" if request.query_string else ""
    )
    return f"/pages/{'sign-in' if founded else 'set-up'}" + (
        f"?{urlencode({'next': path})}" if is_own_path(path) else ""
    )


def is_own_path(text: str) -> bool:
    """Whether a text is a path on this very host: nothing that leads a browser anywhere else."""
    return len(text) <= NEXT_CHARACTERS_MAX and _OWN_PATH.fullmatch(text) is not None


def keep(response: Response, session_token: str) -> None:
    """Have the browser keep the token of a session, where no script can read it."""
    response.set_cookie(_name(), session_token, max_age=REFRESH_SECONDS, **_attributes())


def drop(response: Response) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(_name(), **_attributes())


def after(response: Response) -> Response:
    """Run after every request: hand on the session's next token, and keep caches from storing what is one person's."""
    known = g._get_current_object()
    if "page_session" in known:
        if response.mimetype == "text/html":
            response.headers["Cache-Control"] = "no-store"  # nobody goes back to it after its user has signed out
        else:
            response.headers.setdefault("Cache-Control", "private, no-cache")
    following = known.get("page_token")
    if following is not None:
        keep(response, following)
    return response


def _attributes() -> dict[str, Any]:
    secure = request.environ["wsgi.url_scheme"] == "https"
    return {"path": "/", "secure": secure, "httponly": True, "samesite": "Strict"}


def _name() -> str:
    """The cookie's name. By https none but this very host can have set it; two services of one host differ by port."""
    environ = request.environ
    port = environ.get("HTTP_HOST", "").rpartition(":")[2]
    name = f"{NAME}-{port}" if port.isascii() and port.isdigit() else NAME
    return f"__Host-{name}" if environ["wsgi.url_scheme"] == "https" else name


_HEADER_KEY: Final = f"HTTP_{HEADER.upper().replace('-', '_')}"
