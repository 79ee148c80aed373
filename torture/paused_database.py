"""PostgreSQL stands still: all of its processes are stopped by a signal under load, and go on after a while.

Nobody hangs up, so requests wait, or are told 503; a client that loses patience repeats under its key. Once the server
goes on, so do the writes, by themselves; nothing that was acknowledged is lost, and nothing is done twice.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import time
from typing import Any

from torture import failover
from torture.cluster import one_server
from torture.crash import Client, prove, stored, sums, working
from torture.service import Broken, Service, run, scratch

BACK_SECONDS_MAX = 25.0
"""A client may have been waiting when the server went on: its own patience, and a while to come back."""


def paused_database(*, seconds: float = 5, pauses: int = 1, clients: int = 8, seed: int = 1) -> dict[str, Any]:
    """Let it stand still so many times; returns the figures."""
    chance = random.Random(seed)
    back = []
    with scratch() as folder, one_server(folder) as node:
        with Service(node.url, folder) as service:
            workers = [Client(f"c{number}", service.port, seed=str(seed)) for number in range(clients)]
            with working(workers, service):
                failover.wait_for_writes(workers, time.monotonic())
                for _ in range(pauses):
                    time.sleep(chance.uniform(0.2, 1.0))
                    stopped = node.processes()
                    for pid in stopped:
                        _signal(pid, signal.SIGSTOP)
                    time.sleep(seconds)
                    for pid in reversed(stopped):
                        _signal(pid, signal.SIGCONT)
                    back.append(failover.wait_for_writes(workers, time.monotonic()))
            told = [worker.told for worker in workers]
            figures = {"pauses": pauses, "of seconds": seconds, **sums(told)}
            found = stored(service.port)
        figures |= prove(node.url, folder, told, found, chance)
    first, all_of_them = (max(kind) for kind in zip(*back, strict=True))
    return {**figures, "writes back, s, slowest": round(first, 2), "for every client, s": round(all_of_them, 2)}


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def check(figures: dict[str, Any]) -> None:
    """Broken where something was lost, done twice, or did not come back."""
    broken = {name: figures[name] for name in failover.WRONG if figures[name]}
    if broken or figures["for every client, s"] > BACK_SECONDS_MAX:
        raise Broken(f"{broken}, {figures['for every client, s']} s")


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--pauses", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    figures = paused_database(**vars(parser.parse_args()))
    for name, value in figures.items():
        print(f"{name}: {value}")
    check(figures)


if __name__ == "__main__":
    sys.exit(run(main))
