"""What every request leaves behind: its id in the answer, a line in the log, a count among the metrics."""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, Response, current_app, g, has_request_context, request

from cashman import current
from cashman.config import Config
from cashman.door import CALLER_KEY
from cashman.headers import REQUEST_ID
from cashman.ledger import Books
from cashman.observability import logs

if TYPE_CHECKING:  # it is loaded at the first request, as the command line has no use for it
    from cashman.observability.metrics import Metrics

KEY: Final = "cashman.observability"
UNMATCHED: Final = "unmatched"
"""The route of a path that is none."""
OTHER: Final = "OTHER"

_BEGAN: Final = "cashman.began"
_PROBES: Final = frozenset(("/healthz", "/readyz", "/metrics"))
"""What is asked for every few seconds: where all is well, nobody wants to read that."""
METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# Neither dots nor underscores: no token of ours and none of anybody else's is taken for an id, and logged.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}", re.ASCII)
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class Watch:
    """What an app notes of its requests and commits."""

    def __init__(self, settings: Config, books: Books) -> None:
        self.metrics_for: str = settings.metrics
        self.access_log: logs.AccessLog | None = None
        """Where each request is written down; in a test or under another server, nowhere."""
        self.trace_id: Callable[[], str | None] | None = None
        """The trace that the request belongs to, where traces are sent."""
        self._books = books
        self._metrics: Metrics | None = None

    def metrics(self) -> "Metrics | None":
        """Where it is counted; None where that is off."""
        if self._metrics is None and self.metrics_for != "off":
            from cashman.observability.metrics import metrics

            self._metrics = metrics()
            self._books.writer.surround(self._metrics.commit)
        return self._metrics


def init_app(app: Flask) -> None:
    """Note every request of an app; to be called before anything that answers one."""
    app.before_request(_begin)
    app.after_request(_end)
    logs.about_request = _about_request


def watch(app: Flask | None = None) -> Watch:
    """What an app notes, by default the one that serves this request."""
    found: Watch = (app or current_app).extensions[KEY]
    return found


def _begin() -> None:
    environ = current.asked().environ
    if CALLER_KEY in environ:
        return  # it is the command line, in its own process
    given = environ.get("HTTP_X_REQUEST_ID", "")
    environ[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    environ[_BEGAN] = time.perf_counter()


def _end(response: Response) -> Response:
    asked = current.asked()
    environ = asked.environ
    if _BEGAN not in environ:
        return response
    told = watch()
    status, streamed = response.status_code, response.is_streamed
    entry = {
        "request_id": environ[REQUEST_ID],
        "method": asked.method if asked.method in METHODS else OTHER,
        "route": _route_of(asked),
        "status": status,
        "bytes": None if streamed else response.content_length or 0,
    }
    logged = told.access_log is not None and not (entry["route"] in _PROBES and status < 400)
    if logged:
        entry |= _whose(told, environ)
    finish = partial(_finish, told, told.metrics(), environ[_BEGAN], entry, logged)
    # The response is not among what is kept for its end: it would keep itself, and what it holds, where nobody ends it.
    if streamed:
        response.call_on_close(finish)  # it is not over yet
    else:
        finish()
    return response


def _finish(told: Watch, metrics: "Metrics | None", began: float, entry: dict[str, Any], logged: bool) -> None:
    seconds = time.perf_counter() - began
    if metrics is not None:
        metrics.request(entry["method"], entry["route"], entry["status"], seconds)
    if logged and told.access_log is not None:
        entry["duration_ms"] = round(seconds * 1000, 3)
        told.access_log.write(entry)


def route() -> str:
    """The template of this request's path: the path itself is the client's, and may say anything."""
    return _route_of(request)


def _route_of(asked: Request) -> str:
    rule = asked.url_rule
    return UNMATCHED if rule is None else template(rule.rule)


_PART: Final = re.compile(r"<(?:[^<>]*:)?(\w+)>")
_templates: dict[str, str] = {}


def template(rule: str) -> str:
    """The route of one of Flask's rules, as the API's document writes it: /transactions/{id}."""
    return _templates.get(rule) or _templates.setdefault(rule, _PART.sub(r"{\1}", rule))


def _whose(told: Watch, environ: Mapping[str, Any]) -> dict[str, Any]:
    """Who made the request, and of which trace: nothing that a client wrote, but for the ids that it may give."""
    known = g._get_current_object()
    caller, ledger = known.get("caller"), known.get("ledger")
    return {
        "actor": None if caller is None else caller.actor,
        "ledger": None if ledger is None else ledger.id,
        "trace_id": _traced(environ.get("HTTP_TRACEPARENT")) if told.trace_id is None else told.trace_id(),
    }


def _traced(header: str | None) -> str | None:
    """The trace that a W3C `traceparent` names."""
    found = None if header is None else _TRACEPARENT.fullmatch(header)
    return None if found is None else found[1]


def _about_request() -> Mapping[str, Any]:
    if not has_request_context() or REQUEST_ID not in request.environ:
        return {}
    method = request.method if request.method in METHODS else OTHER
    return {"request_id": request.environ[REQUEST_ID], "method": method, "route": route()}


def equip(app: Flask, settings: Config) -> None:
    """Give an app what its settings say of that."""
    app.extensions[KEY] = Watch(settings, current.books(app))
