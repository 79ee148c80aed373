"""What the kernel sees: the write-ahead log is synced before the answer goes into the socket.

strace writes down what every thread of the server does, while clients record transactions one after the other. Before
each answer there has to be a sync of the write-ahead log that was begun after the last write to it, and that was over.
With --control strace keeps the syncs from the kernel, and tells the server that they were done: then every answer goes
out too early.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torture.service import Broken, Caller, Impossible, Service, database, run, scratch

CALLS = "openat,pwrite64,write,fsync,fdatasync,sendto,sendmsg,writev,close,dup"
_LINE = re.compile(r"^(?P<pid>\d+) +(?P<at>[\d.]+) (?P<call>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +(?P<at>[\d.]+) <\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)$")


def events(trace: Iterable[str]) -> list[tuple[str, str]]:
    """What happened, in order: ("wrote" | "synced" | "answered", how).

    A call that another thread interrupts is written down as unfinished, and resumed later. A write counts from its
    beginning and a sync from its end.
    """
    found = []
    pending: dict[tuple[str, str], str] = {}
    for line in trace:
        resumed = _RESUMED.match(line)
        if resumed is not None:
            begun = pending.pop((resumed["pid"], resumed["call"]), "")
            if resumed["call"] in ("fsync", "fdatasync") and "-wal>" in begun and resumed["rest"].endswith("= 0"):
                found.append(("synced", begun))
            continue
        called = _LINE.match(line)
        if called is None:
            continue
        call, rest = called["call"], called["rest"]
        unfinished = rest.endswith("<unfinished ...>")
        if unfinished:
            pending[(called["pid"], call)] = rest
        if call == "pwrite64" and "-wal>" in rest:
            found.append(("wrote", rest[:60]))
        elif call in ("fsync", "fdatasync") and "-wal>" in rest and not unfinished and rest.endswith("= 0"):
            found.append(("synced", rest[:60]))
        elif "HTTP/1.1 20" in rest and call in ("sendto", "sendmsg", "write", "writev"):
            found.append(("answered", rest[:60]))
    return found


def unsynced_answers(happened: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """How many answers followed a write, and how many of those went out before it was synced."""
    answers = early = 0
    wrote, synced = False, True
    for what, _ in happened:
        if what == "wrote":
            wrote, synced = True, False
        elif what == "synced":
            synced = True
        elif wrote:
            answers += 1
            early += not synced
            wrote = False
    return answers, early


def sync_before_answer(*, writes: int = 20, control: bool = False) -> dict[str, Any]:
    """Trace a server under one client; returns the figures."""
    if shutil.which("strace") is None:
        raise Impossible("strace is not installed")
    with scratch() as folder, database("sqlite", folder) as (url, _), Service(url, folder, workers=1) as service:
        trace = _trace(service, folder, writes, control)
    answers, early = unsynced_answers(events(trace))
    figures = {"writes": writes, "answers that followed a write": answers, "before the sync": early}
    if answers < writes:
        raise Broken(f"the trace shows {answers} answers to {writes} writes")
    return figures


def _trace(service: Service, folder: Path, writes: int, control: bool) -> list[str]:
    """What strace writes down of the only worker while one client records transactions."""
    output = folder / "trace"
    (worker,) = service.workers()
    command = ["strace", "-f", "-y", "-ttt", "-s", "64", "-e", f"trace={CALLS}", "-o", str(output), "-p", str(worker)]
    if control:
        command += ["-e", "inject=fsync,fdatasync:retval=0"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    attached = tracer.stderr.readline()
    if "attached" not in attached:
        tracer.kill()
        tracer.wait()
        tracer.stderr.close()
        raise Impossible(f"strace cannot attach: {attached.strip()}")
    try:
        with Caller(service.port) as caller:
            for number in range(writes):
                answer = caller.ask("POST", "/expenses", {"description": f"traced {number}", "amount": 1})
                if answer is None or answer.status != 204:
                    raise Broken(f"a write was answered {answer}")
    finally:
        tracer.terminate()  # detaches
        tracer.wait()
        tracer.stderr.close()
    return output.read_text(errors="replace").splitlines()


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=20)
    parser.add_argument("--control", action="store_true", help="keep the syncs from the kernel")
    given = parser.parse_args()
    figures = sync_before_answer(writes=given.writes, control=given.control)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if figures["before the sync"]:
        raise Broken(f"{figures['before the sync']} answers went out before their write was synced")


if __name__ == "__main__":
    sys.exit(run(main))
