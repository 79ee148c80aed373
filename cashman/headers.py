"""What every answer tells, at the very edge: whose it is, and a browser not to guess, run, frame or leak anything.

And which other origins may ask.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Response, request

from cashman.answers import empty_response

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

GUARDED: Final = "cashman.guarded"
"""In the environment of a request whose answer is another to others, by who they are."""
REQUEST_ID: Final = "cashman.request_id"
"""Where the environment has the id of a request."""
REQUEST_ID_HEADER: Final = "X-Request-Id"

HSTS_SECONDS: Final = 31_536_000
PREFLIGHT_SECONDS: Final = 7_200
"""How long a browser may remember what it was told of an origin; none of them keeps it for less than it is given."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Prefer",
    "Accept-Language",
)
RESPONSE_HEADERS: Final = (
    "Cashman-Head",
    "ETag",
    "Link",
    "Location",
    "Idempotency-Replayed",
    "Preference-Applied",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Content-Language",
    REQUEST_ID_HEADER,
)

DOCUMENT_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
# A page has what this service serves, and nothing inline: no script, style or handler stands in its text. What
# default-src does not cover stands here, too.
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

Pairs = list[tuple[str, str]]


def init_app(app: Flask, cors_origins: Sequence[str]) -> None:
    """Add these headers to every answer of an app, problems included, and answer the browsers' preflights.

    It has to come before whatever refuses requests: a preflight carries no token.
    """
    origins = frozenset(cors_origins)
    # What is added depends on four things, so each case is prepared once.
    prepared = {
        (origin, secure, page, guarded): _pairs(origin, secure=secure, page=page, guarded=guarded, varies=bool(origins))
        for origin in (None, *origins)
        for secure in (False, True)
        for page in (False, True)
        for guarded in (False, True)
    }

    def answer_preflight() -> Response | None:
        environ = request.environ
        asks = request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if not asks or environ.get("HTTP_ORIGIN") not in origins:
            return None
        return empty_response(204, _PREFLIGHT)

    inner = app.wsgi_app

    def with_headers(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        def start(status: str, headers: Pairs, exc_info: Any = None) -> Any:
            # A browser writes an origin in one way only, so it is compared as it stands.
            origin = environ.get("HTTP_ORIGIN")
            page = any(name == "Content-Type" and value.startswith("text/html") for name, value in headers)
            secure, guarded = environ["wsgi.url_scheme"] == "https", GUARDED in environ
            headers += prepared[origin if origin in origins else None, secure, page, guarded]
            if REQUEST_ID in environ:
                headers.append((REQUEST_ID_HEADER, environ[REQUEST_ID]))
            return start_response(status, headers, exc_info)

        return inner(environ, start)

    if origins:
        app.before_request(answer_preflight)
    # On every answer, to a plain list: that costs a tenth of what Flask's own headers would.
    app.wsgi_app = with_headers  # type: ignore[method-assign]


_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": ", ".join(REQUEST_HEADERS),
    "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
}


def _pairs(origin: str | None, *, secure: bool, page: bool, guarded: bool, varies: bool) -> Pairs:
    """The headers of an answer: to a page of an allowed origin or to anybody else, by https or not, a page or not."""
    pairs = [
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", PAGE_POLICY if page else DOCUMENT_POLICY),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin" if origin is None else "cross-origin"),
    ]
    if secure:
        pairs.append(("Strict-Transport-Security", f"max-age={HSTS_SECONDS}"))
    if guarded:
        pairs.append(("Vary", "Authorization, Cookie"))
    if varies:
        # Also where no origin is named, or a cache would hand one's answer to another.
        pairs.append(("Vary", "Origin"))
    if origin is not None:
        # Never with Access-Control-Allow-Credentials: a browser sends nothing that the page did not give it.
        pairs.append(("Access-Control-Allow-Origin", origin))
        pairs.append(("Access-Control-Expose-Headers", ", ".join(RESPONSE_HEADERS)))
    return pairs
