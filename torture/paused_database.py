"""PostgreSQL stands still: all of its processes are stopped by a signal under load, and go on after a while.

Nobody hangs up, so requests wait, and are told 503 before their client loses patience; it repeats them under their
keys. Once the server goes on, so do the writes, by themselves; nothing that was acknowledged is lost, and nothing is
done twice.

With --control it acknowledges before it has stored (`synchronous_commit=off`, set once the service has looked), and
what stands still does not go on, but is killed and started again: what is lost then has to be seen.
"""

import random
import signal
import sys
import time
from typing import Any

from torture import crash, failover
from torture.cluster import Node, one_server
from torture.crash import Client, prove, stored, sums, working
from torture.service import Broken, Service, arguments, judge, run, scratch

BACK_SECONDS_MAX = 25.0
"""A client may have been waiting when the server went on: its own patience, and a while to come back."""
LATE = {"wal_writer_delay": "10s", "wal_writer_flush_after": "256MB"}
"""How long what is acknowledged too early may lie in memory alone."""


def paused_database(
    *, seconds: float = 5, pauses: int = 1, clients: int = 8, seed: int = 1, control: bool = False
) -> dict[str, Any]:
    """Let it stand still so many times; returns the figures."""
    chance = random.Random(seed)
    back = []
    with scratch() as folder, one_server(folder, **(LATE if control else {})) as node:
        with Service(node.url, folder) as service:
            workers = [Client(f"c{number}", service.port, seed=str(seed)) for number in range(clients)]
            if control:
                _set(node, "synchronous_commit = off")
            with working(workers, service, losing=control):
                failover.wait_for_writes(workers, time.monotonic())
                for _ in range(pauses):
                    time.sleep(chance.uniform(0.2, 1.0))
                    node.send(signal.SIGSTOP)
                    time.sleep(seconds)
                    if control:
                        node.send(signal.SIGKILL)
                        node.restart_immediately()
                    else:
                        node.send(signal.SIGCONT)
                    back.append(failover.wait_for_writes(workers, time.monotonic()))
            told = [worker.told for worker in workers]
            figures = {"pauses": pauses, "of seconds": seconds, **sums(told)}
            found = stored(service.port)
            if control:
                _set(node, "synchronous_commit = on")
        figures |= prove(node.url, folder, told, found, chance)
    first, all_of_them = (max(kind) for kind in zip(*back, strict=True))
    return {**figures, "writes back, s, slowest": round(first, 2), "for every client, s": round(all_of_them, 2)}


def _set(node: Node, setting: str) -> None:
    node.ask(f"ALTER SYSTEM SET {setting}")
    node.ask("SELECT pg_reload_conf()")


def check(figures: dict[str, Any]) -> None:
    """Broken where something was lost, done twice, or did not come back."""
    broken = {name: figures[name] for name in crash.WRONG if figures[name]}
    if broken or figures["for every client, s"] > BACK_SECONDS_MAX:
        raise Broken(f"{broken}, {figures['for every client, s']} s")


def main() -> None:
    """Run it as the command line says."""
    parser = arguments(__doc__, control="acknowledge before it is stored, and do not go on: must break")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--pauses", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    given = vars(parser.parse_args())
    judge(paused_database(**given), check, control=given["control"])


if __name__ == "__main__":
    sys.exit(run(main))
