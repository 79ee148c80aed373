"""Load from wrk: so many connections, each sending its next request as soon as it has its answer."""

import json
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.servers import Server, Unusable

SCRIPT = Path(__file__).with_name("load.lua")

TIMEOUT_SECONDS = 10


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
    path: str,
    *,
    body: str | None = None,
    keyed: bool = False,
    seconds: int,
    connections: int,
    broken_max: int = 0,
) -> Sample:
    """Load one path for some seconds; with a body it is posted. Unusable where an answer is not 2xx.

    `keyed` gives each POST an Idempotency-Key of its own. `broken_max` connections may break: a sync worker
    closes after each answer, and sometimes too early.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_SECONDS}s"]
    command += ["-s", str(SCRIPT), server.url + path]
    if body is not None:
        command += ["--", body, *([f"benchmark-{time.time_ns()}-"] if keyed else [])]
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
