"""Load from wrk: so many connections, each sending its next request when it has its answer; and one client alone."""

import contextlib
import json
import re
import resource
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks import machine
from benchmarks.servers import Server, Unusable

SCRIPT = Path(__file__).with_name("load.lua")

TIMEOUT_SECONDS = 10
CLIENT_TIMEOUT_SECONDS = 60
"""How long one client alone waits: it measures what is slow as well."""


@dataclass(frozen=True)
class Sample:
    """What one run of wrk came to."""

    requests: int
    """Requests that were answered."""
    broken: int
    """Connections that broke, or gave no answer in TIMEOUT_SECONDS."""
    seconds: float
    p99_ms: float
    server_cpu_us: float
    """CPU time of the server's processes for one request."""
    others: float
    """The share of the cores that programs other than the server and wrk took meanwhile."""
    disturbed: tuple["Sample", ...] = ()
    """The samples that were taken before, of the same, and not kept because others took more."""

    @property
    def requests_of_all_tries(self) -> int:
        """Requests that were answered, also those of samples that were not kept."""
        return self.requests + sum(sample.requests for sample in self.disturbed)

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def check_wrk() -> None:
    """Raise Unusable where the load generator is missing."""
    if shutil.which("wrk") is None:
        raise Unusable("wrk is missing, and the benchmarks load the servers with it (apt install wrk)")


def drive(
    server: Server,
    path: str | Sequence[str],
    *,
    body: str | None = None,
    keyed: bool = False,
    seconds: int,
    connections: int,
    broken_max: int = 0,
) -> Sample:
    """Load one path for some seconds; with a body it is posted. Unusable where an answer is not 2xx.

    Of several paths each is asked for in turn, so that no answer is the one that was given just before. `keyed`
    gives each POST an Idempotency-Key of its own. `broken_max` connections may break: a sync worker closes after
    each answer, and sometimes too early.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_SECONDS}s"]
    command += ["-s", str(SCRIPT)]
    if server.token is not None:
        command += ["-H", f"Authorization: Bearer {server.token}"]
    with _paths_file(path) as (first, arguments):
        command += [server.url + first, *arguments]
        if body is not None:
            command += ["--", "post", body, *([f"benchmark-{time.time_ns()}-"] if keyed else [])]
        return _run(command, server, first, broken_max)


@contextlib.contextmanager
def _paths_file(path: str | Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The path that the URL ends in, and what tells the script of the others."""
    if isinstance(path, str):
        yield path, []
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{one}\n" for one in path))
        file.flush()
        yield path[0], ["--", "get", file.name]


def _run(command: list[str], server: Server, path: str, broken_max: int) -> Sample:
    pids = [server.pid, *machine.children(server.pid)]
    server_before, busy_before, began = machine.cpu_seconds(pids), machine.busy_seconds(), time.monotonic()
    wrk_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wrk_after = resource.getrusage(resource.RUSAGE_CHILDREN)
    elapsed = time.monotonic() - began
    server_cpu = machine.cpu_seconds(pids) - server_before
    wrk_cpu = wrk_after.ru_utime + wrk_after.ru_stime - wrk_before.ru_utime - wrk_before.ru_stime
    busy = machine.busy_seconds() - busy_before
    if result.returncode != 0:
        raise Unusable(f"wrk failed: {result.stderr.strip() or result.stdout.strip()}")
    figures = json.loads(result.stdout.splitlines()[-1])
    if figures["not_ok"] or not figures["requests"] or figures["broken"] > broken_max:
        raise Unusable(f"{server.name}: not every answer to {path} was a success: {figures}")
    return Sample(
        requests=figures["requests"],
        broken=figures["broken"],
        seconds=figures["microseconds"] / 1e6,
        p99_ms=figures["p99"] / 1e3,
        server_cpu_us=server_cpu / figures["requests"] * 1e6,
        others=max(0.0, busy - server_cpu - wrk_cpu) / elapsed / machine.cores(),
    )


class Client:
    """One client on one connection: it asks, and says how many milliseconds the answer took.

    Sockets and not http.client, whose own work would be a large part of what a small answer takes.
    """

    _LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)

    def __init__(self, server: Server) -> None:
        self.server = server
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def get(self, path: str) -> float:
        """Milliseconds until the whole answer was there; Unusable where it is not 200."""
        return self._timed(200, f"GET {path} HTTP/1.1\r\nHost: {self.server.url[7:]}\r\n\r\n".encode())

    def post(self, path: str, body: str) -> float:
        """Milliseconds until a JSON document was acknowledged; Unusable where the answer is not 204."""
        head = f"POST {path} HTTP/1.1\r\nHost: {self.server.url[7:]}\r\nContent-Type: application/json\r\n"
        content = body.encode()
        return self._timed(204, f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    def _timed(self, expected: int, request: bytes) -> float:
        if self._socket is not None and self._closed_by_server():
            self._close()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.server.port), CLIENT_TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        self._socket.sendall(request)
        head = self._receive()
        elapsed = time.perf_counter() - began
        if int(head.split(b" ", 2)[1]) != expected:
            asked = request.partition(b" HTTP/1.1")[0].decode()
            raise Unusable(f"{self.server.name}: {asked} answered {head.splitlines()[0].decode()}")
        return elapsed * 1e3

    def _receive(self) -> bytes:
        """The head of an answer, once its body has come as well."""
        assert self._socket is not None
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._chunk()
        head, _, body = data.partition(b"\r\n\r\n")
        length = self._LENGTH.search(head)
        missing = (int(length[1]) if length else 0) - len(body)
        while missing > 0:
            missing -= len(self._chunk())
        return head

    def _chunk(self) -> bytes:
        assert self._socket is not None
        chunk = self._socket.recv(1 << 18)
        if not chunk:
            raise Unusable(f"{self.server.name} hung up")
        return chunk

    def _closed_by_server(self) -> bool:
        """Whether an idle connection was closed: then there is something to read, which is its end."""
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
