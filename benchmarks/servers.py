"""The servers that are measured: the toy as its tutorial starts it, and Cashman as it ships."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 15.0


class Unusable(Exception):
    """A measurement that says nothing, or cannot be made; the message is one line."""


@dataclass(frozen=True)
class Server:
    """A server on loopback, with gunicorn's master at `pid`."""

    name: str
    port: int
    pid: int
    token: str | None = None
    """What each request brings for the door."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, Mapping[str, str], bytes]:
        """One request on a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS_MAX)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            if self.token is not None:
                headers["Authorization"] = f"Bearer {self.token}"
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()


@contextlib.contextmanager
def toy(workers: int = 2) -> Iterator[Server]:
    """The toy, stock: sync workers, HTTP parsed in Python, as in an environment with gunicorn and no extras."""
    arguments = ["-w", str(workers), "--http-parser", "python", "tutorial:app"]
    # Started in its own folder: gunicorn takes up a gunicorn.conf.py that lies where it starts.
    with _gunicorn("the toy", arguments, {}, Path(__file__).parent) as server:
        yield server


@contextlib.contextmanager
def cashman(
    database_url: str,
    *,
    parser: str = "auto",
    workers: int = 2,
    name: str = "Cashman",
    settings: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Cashman under its own gunicorn.conf.py; `parser` as gunicorn's --http-parser."""
    arguments = ["--config", "gunicorn.conf.py", "--http-parser", parser, "cashman.index:app"]
    environment = {"CASHMAN_DATABASE_URL": database_url, "WEB_CONCURRENCY": str(workers), **(settings or {})}
    with _gunicorn(name, arguments, environment, REPOSITORY) as server:
        yield server


@contextlib.contextmanager
def _gunicorn(name: str, arguments: Sequence[str], settings: Mapping[str, str], folder: Path) -> Iterator[Server]:
    port = _free_port()
    foreign = ("CASHMAN_", "GUNICORN_", "PORT", "WEB_CONCURRENCY")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--log-level", "warning", *arguments],
        cwd=folder,
        env={**environment, **settings},
    )
    server = Server(name, port, process.pid)
    try:
        _wait_for(server, process)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if server.request("GET", "/expenses")[0] == 200:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unusable(f"{server.name} does not start")
        time.sleep(0.1)
