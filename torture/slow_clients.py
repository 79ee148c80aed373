"""Slow clients: with hundreds of half-open and one-byte-a-second connections a healthy client still gets its answer.

A third of the connections say nothing, a third send the head of a request one byte a second, and a third its body.
What the server closes is opened again, so that as many are always open. Meanwhile a healthy client records and reads
transactions, one request after the other, each timed. With --control the server has sync workers, which the slow
clients stop.
"""

import contextlib
import multiprocessing
import resource
import selectors
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from torture.service import Broken, Caller, Impossible, Service, arguments, database, judge, run, scratch

P99_SECONDS_MAX = 0.1
HEALTHY_SECONDS_MAX = 5.0
"""A healthy client that has waited so long counts as not answered."""
HEAD = b"POST /expenses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
KINDS = (b"", HEAD, HEAD)
"""What a connection has to say: nothing, a head one byte a second, and a head at once with a body one byte a second."""


class Slow:
    """One slow connection."""

    def __init__(self, port: int, kind: int) -> None:
        self.kind = kind
        self.place = 0
        self.due = time.monotonic() + (kind + 1) * 0.1
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setblocking(False)
        if kind == 2:
            self.socket.send(HEAD)

    def trickle(self) -> None:
        """Send one byte more."""
        self.due += 1
        if self.kind and self.place < 400:
            self.socket.send(HEAD[self.place : self.place + 1] if self.kind == 1 and self.place < 80 else b" ")
            self.place += 1


def _be_slow(port: int, connections: int, opened: Any, ending: Any) -> None:
    """The process of the slow clients: holds so many connections until it is told to end."""
    selector = selectors.DefaultSelector()
    held: dict[int, Slow] = {}
    number = 0
    with contextlib.ExitStack() as closing:
        while not ending.is_set():
            for _ in range(min(connections - len(held), 50)):
                with contextlib.suppress(OSError):
                    slow = Slow(port, number % 3)
                    held[slow.socket.fileno()] = slow
                    selector.register(slow.socket, selectors.EVENT_READ)
                    number += 1
            if len(held) == connections:
                opened.set()
            for key, _ in selector.select(0.05):
                _forget(selector, held, key.fd)  # the server has closed it, or refused the request
            now = time.monotonic()
            for fd, slow in list(held.items()):
                if slow.due < now:
                    try:
                        slow.trickle()
                    except OSError:
                        _forget(selector, held, fd)
        closing.callback(selector.close)
        for slow in held.values():
            slow.socket.close()


def _forget(selector: selectors.BaseSelector, held: dict[int, Slow], fd: int) -> None:
    slow = held.pop(fd, None)
    if slow is not None:
        selector.unregister(slow.socket)
        slow.socket.close()


class SyncService(Service):
    """The same service with sync workers, as gunicorn has them by default."""

    more = ("--worker-class", "sync")


def slow_clients(*, connections: int = 900, requests: int = 300, control: bool = False) -> dict[str, Any]:
    """Time a healthy client beside so many slow ones; returns the figures."""
    wanted = connections + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise Impossible(f"{connections} connections want more open files than {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with scratch() as folder, database("sqlite", folder) as (url, _):
        return _measure(folder, url, connections, requests, control)


def _measure(folder: Path, url: str, connections: int, requests: int, control: bool) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    opened, ending = context.Event(), context.Event()
    with (SyncService if control else Service)(url, folder) as service:
        process = context.Process(target=_be_slow, args=(service.port, connections, opened, ending))
        process.start()
        try:
            if not opened.wait(60) and not control:
                raise Impossible(f"{connections} connections could not be opened")
            answers, seconds = _healthy(service.port, requests)
        finally:
            ending.set()
            process.join(30)
            if process.is_alive():
                process.kill()
    seconds.sort()
    return {
        "slow connections": connections,
        "requests": len(seconds),
        "unanswered": len(seconds) - answers,
        "median, ms": round(statistics.median(seconds) * 1000, 1),
        "p99, ms": round(seconds[int(len(seconds) * 0.99) - 1 if len(seconds) > 1 else 0] * 1000, 1),
        "slowest, ms": round(seconds[-1] * 1000, 1),
    }


def _healthy(port: int, requests: int) -> tuple[int, list[float]]:
    """How many requests were answered, and how long each took; ends after the first that was not."""
    answers, seconds = 0, []
    for number in range(requests):
        # A connection for each request, so that each is taken up anew among the slow ones.
        with Caller(port, HEALTHY_SECONDS_MAX) as caller:
            begun = time.monotonic()
            if number % 2:
                answer = caller.ask("GET", "/expenses?limit=10")
            else:
                answer = caller.ask("POST", "/expenses", {"description": "in time", "amount": 1})
            seconds.append(time.monotonic() - begun)
            answers += answer is not None and answer.status < 300
        if len(seconds) > answers:
            break
    return answers, seconds


def check(figures: dict[str, Any]) -> None:
    """Broken where a healthy client had to wait."""
    if figures["unanswered"] or figures["p99, ms"] > P99_SECONDS_MAX * 1000:
        raise Broken(f"unanswered: {figures['unanswered']}, p99: {figures['p99, ms']} ms")


def main() -> None:
    """Run it as the command line says."""
    parser = arguments(__doc__, control="sync workers, which the slow clients stop: must break")
    parser.add_argument("--connections", type=int, default=900)
    parser.add_argument("--requests", type=int, default=300)
    given = vars(parser.parse_args())
    judge(slow_clients(**given), check, control=given["control"])


if __name__ == "__main__":
    sys.exit(run(main))
