"""A primary PostgreSQL with a synchronous standby: promotions and crashes under clients that retry.

Three instances of Cashman find the server that writes by a URL of both (`target_session_attrs=read-write`). The primary
is stopped without a checkpoint; then either the standby is promoted, and what was the primary becomes its standby, or
it is started again. Nothing that was acknowledged may be lost, nothing done twice, and writes have to be back soon.

With --control the standby is asynchronous, and hears nothing any more just before the primary goes: what is lost then
has to be seen. With --cuts the connection to PostgreSQL is cut after COMMIT was sent and done: the same key is one
booking. With --cuts and --control the client repeats without a key, and has booked twice.
"""

import argparse
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from torture import crash
from torture.cluster import Pair, Wire, one_server
from torture.crash import Client, prove, stored, sums, working
from torture.service import Broken, Caller, Service, run, scratch, verify

BACK_SECONDS_MAX = 10.0
"""How long writes may be away."""
GIVEN_UP_SECONDS = 60.0
INSTANCES = 3


class Instances:
    """So many instances of Cashman on one database, each of one worker."""

    def __init__(self, url: str, folder: Path, count: int = INSTANCES, **environment: str) -> None:
        self.all = [Service(url, folder, workers=1, **environment) for _ in range(count)]

    def __enter__(self) -> list[Service]:
        for service in self.all:
            service.start()
        try:
            for service in self.all:
                service.wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self.all

    def __exit__(self, *_: object) -> None:
        for service in self.all:
            service.stop()


def wait_for_writes(clients: list[Client], since: float) -> tuple[float, float]:
    """After how many seconds the first client, and the last one, had a write acknowledged that it sent since then."""
    first = 0.0
    while True:
        served = sum(client.told.newest > since for client in clients)
        now = time.monotonic() - since
        first = first or (now if served else 0.0)
        if served == len(clients) or any(client.told.wrong for client in clients):
            return first, now
        if now > GIVEN_UP_SECONDS:
            raise Broken(f"after {now:.0f} s {served} of {len(clients)} clients can write again")
        time.sleep(0.01)


def _disturb(
    pair: Pair, clients: list[Client], promotions: int, restarts: int, chance: random.Random
) -> dict[str, list[tuple[float, float]]]:
    """Promote and restart in an order of chance; how long each kept writes away."""
    away: dict[str, list[tuple[float, float]]] = {"promotion": [], "restart": []}
    for what in chance.sample(["promotion"] * promotions + ["restart"] * restarts, promotions + restarts):
        time.sleep(chance.uniform(0.1, 1.0))
        begun = time.monotonic()
        if what == "promotion":
            pair.fail_over()
            pair.follow()
        else:
            pair.primary.restart_immediately()
        away[what].append(wait_for_writes(clients, begun))
        pair.wait_until_it_follows()
    return away


def _told(what: str, away: list[tuple[float, float]]) -> dict[str, Any]:
    if not away:
        return {}
    first, all_of_them = ([round(one, 2) for one in sorted(kind)] for kind in zip(*away, strict=True))
    return {
        f"{what}s": len(away),
        f"writes back after a {what}, s: median, slowest": (statistics.median(first), first[-1]),
        f"for every client after a {what}, s: median, slowest": (statistics.median(all_of_them), all_of_them[-1]),
    }


def failover(*, promotions: int = 3, restarts: int = 3, clients: int = 12, seed: int = 1) -> dict[str, Any]:
    """Promote and restart under clients; returns the figures."""
    chance = random.Random(seed)
    begun = time.monotonic()
    with scratch() as folder, Pair(folder) as pair, Instances(pair.url, folder) as services:
        ports = [service.port for service in services]
        workers = [
            Client(f"c{number}", *ports[number % INSTANCES :], *ports[: number % INSTANCES], seed=str(seed))
            for number in range(clients)
        ]
        with working(workers, *services):
            wait_for_writes(workers, begun)
            away = _disturb(pair, workers, promotions, restarts, chance)
        told = [worker.told for worker in workers]
        figures = {**_told("promotion", away["promotion"]), **_told("restart", away["restart"]), **sums(told)}
        found = stored(ports[0])
        figures |= prove(pair.url, folder, told, found, chance)
    figures["slowest, s"] = max(all_of_them for kind in away.values() for _, all_of_them in kind)
    figures["seconds"] = round(time.monotonic() - begun)
    return figures


def without_synchrony(*, promotions: int = 1, clients: int = 4, seed: int = 1) -> dict[str, Any]:
    """The control: an asynchronous standby that hears nothing any more just before it is promoted."""
    chance = random.Random(seed)
    figures = {"promotions": promotions, "acknowledged": 0, "lost": 0}
    for number in range(promotions):
        with scratch() as folder, Pair(folder, synchronous=False) as pair, Wire(pair.primary.port) as wire:
            pair.standby.stop_immediately()
            pair.standby.start(primary_conninfo=f"host=127.0.0.1 port={wire.port} user=postgres")
            pair.wait_until_it_follows()
            with Instances(pair.url, folder, 1) as (service,):
                workers = [Client(f"c{one}", service.port, seed=f"{seed}/{number}") for one in range(clients)]
                with working(workers, service, losing=True):
                    wait_for_writes(workers, time.monotonic())
                    wire.held.set()
                    time.sleep(chance.uniform(0.5, 1.0))
                    wire.__exit__()
                    pair.fail_over()
                    for worker in workers:
                        worker.ending.set()
                told = [worker.told for worker in workers]
                service.wait_until_up()
                standing = stored(service.port)
                figures["acknowledged"] += sum(one.acknowledged for one in told)
                figures["lost"] += sum(
                    id_ not in standing for one in told for id_ in one.expected if id_ not in one.voided
                )
    return figures


def cut_after_commit(*, cuts: int = 10, seed: int = 1, with_keys: bool = True) -> dict[str, Any]:
    """Cut the connection to PostgreSQL after COMMIT so many times; returns the figures."""
    chance = random.Random(seed)
    armed: list[bool] = []

    def cuts_now(said: bytes) -> bool:
        return b"COMMIT\x00" in said and bool(armed) and armed.pop()

    with scratch() as folder, one_server(folder) as node:
        with Wire(node.port, cuts_now) as wire:
            url = node.url.replace(str(node.port), str(wire.port))
            with Service(url, folder, workers=1) as service, Caller(service.port) as caller:
                asked = refused = 0
                while wire.cut < cuts:
                    asked += 1
                    if chance.random() < 0.5:
                        armed.append(True)
                    headers = {"Idempotency-Key": f"cut-{asked}"} if with_keys else {}
                    body = {"description": f"cut {asked}", "amount": asked}
                    while (answer := caller.ask("POST", "/incomes", body, headers)) is None or answer.status == 503:
                        refused += 1
                        time.sleep(0.02)
                    if answer.status != 204:
                        raise Broken(f"a write was answered {answer}")
                booked = [description for description, *_ in stored(service.port).values()]
        said = verify(node.url).split(":")[0]
    return {
        "cut after COMMIT": cuts,
        "asked for": asked,
        "answered 503": refused,
        "lost": asked - len(set(booked)),
        "doubled": len(booked) - len(set(booked)),
        "cashman verify": said,
    }


WRONG = tuple(name for name in crash.WRONG if name != "hung")
"""A client may have to wait for a standby; for how long is told by how long writes were away."""


def check(figures: dict[str, Any]) -> None:
    """Broken where something was lost, done twice, or away for too long."""
    broken = {name: figures[name] for name in WRONG if figures[name]}
    if broken:
        raise Broken(str(broken))
    if figures["slowest, s"] > BACK_SECONDS_MAX:
        raise Broken(f"writes were away for {figures['slowest, s']:.1f} s")


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promotions", type=int, default=3)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--cuts", type=int, default=0, help="cut connections after COMMIT instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="an asynchronous standby, or no keys: must break")
    given = parser.parse_args()
    if given.cuts:
        figures = cut_after_commit(cuts=given.cuts, seed=given.seed, with_keys=not given.control)
        broken = figures["lost"] or figures["doubled"] or figures["answered 503"] < given.cuts
    elif given.control:
        figures = without_synchrony(promotions=given.promotions, seed=given.seed)
        broken = figures["lost"]
    else:
        figures = failover(promotions=given.promotions, restarts=given.restarts, clients=given.clients, seed=given.seed)
        broken = 0
    for name, value in figures.items():
        print(f"{name}: {value}")
    if bool(broken) != given.control:
        raise Broken(f"{figures}")
    if not given.cuts and not given.control:
        check(figures)


if __name__ == "__main__":
    sys.exit(run(main))
