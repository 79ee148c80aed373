"""How the tests run a command: in this process on the books of the test, or against a service on a port."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from flask import Flask
from werkzeug.serving import make_server

from cashman import cli
from cashman.cli import service


class Ran(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


def runner(app: Flask | None, monkeypatch: pytest.MonkeyPatch) -> Run:
    """What runs a command on the books of an app."""
    if app is not None:
        monkeypatch.setattr(service, "make_app", lambda: app)

    def run(*arguments: str, typed: bytes | str = "", **environment: str) -> Ran:
        known = dict.fromkeys(("CASHMAN_URL", "CASHMAN_KEY", "CASHMAN_LEDGER", "COLUMNS"))
        result = CliRunner().invoke(
            cli.cashman, arguments, input=typed, env={**known, **environment}, prog_name="cashman"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@contextlib.contextmanager
def served(app: Callable[..., object], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """An app on a free port of this machine, and its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=tls)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{'http://127.0.0.1' if tls is None else 'https://localhost'}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
