"""What the log says, as JSON or as text: one line for each request, and whatever goes wrong.

gunicorn's master imports this module, too, so it stays apart from all the others.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

about_request: Callable[[], Mapping[str, Any]] = dict
"""What is known of the request that something is logged in; a service sets it."""

_encode: Final = msgspec.json.Encoder().encode
_RESERVED: Final = frozenset(("time", "level", "logger", "message", "process"))


def style_of(setting: str | None) -> str:
    """What a value of CASHMAN_LOG comes to here: text for a terminal and JSON for anything else, if it is `auto`."""
    if setting in ("json", "text", "off"):
        return setting
    return "text" if sys.stderr.isatty() else "json"


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON, with the stack of what was raised."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _instant(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        entry |= {name: value for name, value in about_request().items() if name not in _RESERVED}
        if record.exc_info and record.exc_info[0] is not None:
            entry["exception"] = self.formatException(record.exc_info)
        return _encode(entry).decode()


def _instant(seconds: float) -> str:
    """A time as RFC 3339 in UTC, to the millisecond."""
    return f"{_to_the_second(int(seconds))}.{int(seconds * 1000) % 1000:03}Z"


@lru_cache(2)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


class AccessLog:
    """One line for each request, past the machinery of `logging`, which would cost several times as much."""

    def __init__(self, style: str, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._line = _as_json if style == "json" else _as_text
        self._process = os.getpid()

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write a request down, in one call, so that the lines of several workers do not mix."""
        with contextlib.suppress(OSError):  # nobody reads, or the disk is full: no reason to fail a request
            os.write(self._descriptor, self._line(entry, self._process))


def _as_json(entry: Mapping[str, Any], process: int) -> bytes:
    told = {
        "time": _instant(time.time()),
        "level": "info",
        "logger": "cashman.access",
        "message": f"{entry['method']} {entry['route']} {entry['status']}",
        "process": process,
        **entry,
    }
    return _encode(told) + b"\n"


def _as_text(entry: Mapping[str, Any], process: int) -> bytes:
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S +0000")
    told = f"{entry['method']} {entry['route']} {entry['status']} {entry['duration_ms']} ms"
    return f"[{moment}] [{process}] [INFO] {told} actor={entry['actor'] or '-'} id={entry['request_id']}\n".encode()
