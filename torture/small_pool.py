"""More clients than connections: 200 of them at once on a pool of 5 to PostgreSQL.

Each client writes and reads, one request after the other, and does not repeat. Each has to be answered within bounds,
or at worst a few of them told 503; what was acknowledged is there once, and nothing that was not asked for.

With --control the pool is as large as the crowd, and the server takes no more connections than ten: then many are
turned away.
"""

import sys
import threading
import time
from typing import Any

from torture.cluster import one_server
from torture.crash import stored
from torture.service import Broken, Caller, Service, arguments, judge, run, scratch, verify

SECONDS_MAX = 35.0
"""A connection is waited for, and then the head of the journal: an answer takes no longer than both together."""
TURNED_AWAY_MAX = 0.1
"""The share of requests that may be told 503."""


class Impatient(threading.Thread):
    """One client, which notes how each of its requests was answered."""

    def __init__(self, number: int, port: int, requests: int, together: threading.Barrier) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.statuses: list[int] = []
        self.seconds: list[float] = []
        self.acknowledged: list[str] = []
        self._port = port
        self._requests = requests
        self._together = together

    def run(self) -> None:
        with Caller(self._port, 2 * SECONDS_MAX) as caller:
            self._together.wait()
            for place in range(self._requests):
                said = f"client {self.number} request {place}"
                begun = time.monotonic()
                if place % 2:
                    answer = caller.ask("GET", f"/incomes?q={said.replace(' ', '+')}&limit=10")
                else:
                    answer = caller.ask("POST", "/incomes", {"description": said, "amount": 1})
                self.seconds.append(time.monotonic() - begun)
                self.statuses.append(0 if answer is None else answer.status)
                if answer is not None and answer.status == 204:
                    self.acknowledged.append(said)


def small_pool(*, clients: int = 200, requests: int = 10, pool: int = 5, control: bool = False) -> dict[str, Any]:
    """Let so many clients ask at once; returns the figures."""
    taken = {"max_connections": "10"} if control else {}
    if control:
        pool = clients
    with scratch() as folder, one_server(folder, **taken) as node:
        with (
            Service(node.url, folder, workers=1, CASHMAN_DATABASE_POOL=str(pool)) as service,
            node.asking() as ask,
        ):
            together = threading.Barrier(clients)
            crowd = [Impatient(number, service.port, requests, together) for number in range(clients)]
            begun = time.monotonic()
            for one in crowd:
                one.start()
            most = 0
            while any(one.is_alive() for one in crowd) and time.monotonic() - begun < requests * 2 * SECONDS_MAX:
                busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                most = max(most, ask(f"{busy} AND pid <> pg_backend_pid()"))
                time.sleep(0.1)
            seconds = time.monotonic() - begun
            found = [description for description, *_ in stored(service.port).values()]
        said = verify(node.url).split(":")[0]
    acknowledged = {one for client in crowd for one in client.acknowledged}
    statuses = [status for client in crowd for status in client.statuses]
    times = sorted(one for client in crowd for one in client.seconds)
    return {
        "clients": clients,
        "pool": pool,
        "most connections": most,
        "requests": clients * requests,
        "answered": sum(200 <= status < 300 for status in statuses),
        "told 503": statuses.count(503),
        "otherwise": clients * requests - sum(200 <= status < 300 or status == 503 for status in statuses),
        "median, s": round(times[len(times) // 2], 2),
        "slowest, s": round(times[-1], 2),
        "lost": len(acknowledged - set(found)),
        "doubled": len(found) - len(set(found)),
        "cashman verify": said,
        "seconds": round(seconds, 1),
    }


def check(figures: dict[str, Any]) -> None:
    """Broken where a client was forgotten, many were turned away, or something was lost."""
    broken = {name: figures[name] for name in ("lost", "doubled", "otherwise") if figures[name]}
    if figures["told 503"] > TURNED_AWAY_MAX * figures["requests"]:
        broken["told 503"] = figures["told 503"]
    if broken or figures["slowest, s"] > SECONDS_MAX:
        raise Broken(f"{broken}, slowest {figures['slowest, s']} s")


def main() -> None:
    """Run it as the command line says."""
    parser = arguments(__doc__, control="as many connections as clients, on a server that takes ten: must break")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=10, help="of each client")
    parser.add_argument("--pool", type=int, default=5)
    given = vars(parser.parse_args())
    judge(small_pool(**given), check, control=given["control"])


if __name__ == "__main__":
    sys.exit(run(main))
