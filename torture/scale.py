"""How far it goes: 1, 2 and 4 instances on one PostgreSQL, one hot ledger against many, measured and simulated.

`calibrate` commits batches of several sizes in this process, and takes the CPU time of it and of PostgreSQL: what a
commit costs, and each change in it. `measure` has wrk write through real instances, and counts requests, commits, and
the CPU time of all that is ours. `simulate` is a small model of the same: clients that write one after the other,
instances that are one thread each and commit what has gathered, the head's row that one transaction holds at a time,
and so many cores that all of them share. It is given the calibrated costs, has to come near what was measured, and is
then asked about machines that are not here. Needs wrk.
"""

import argparse
import heapq
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cashman.limits import GATHER_SECONDS
from torture.bank import KEY
from torture.cluster import Node, one_server
from torture.failover import Instances
from torture.service import REPOSITORY, Broken, Caller, Impossible, Service, run, scratch

LOADS = 4
"""Processes of wrk, each with so many connections, each on an instance and (of many) a ledger of its own."""
CONNECTIONS = 16
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Costs:
    """CPU time in milliseconds."""

    request: float
    """Of an instance for each request, beside its commit."""
    commit: float
    change: float
    server_commit: float
    """Of PostgreSQL for each commit, and for each change in it."""
    server_change: float
    wait: float = 1.0
    """Time in which a commit waits for the disk and the wire, and takes no CPU."""
    gather: float = 1000 * GATHER_SECONDS
    """Time in which it waits for company, where the one before had some."""


def _cpu_ms(pids: list[int]) -> float:
    """CPU time that processes and their children that ended have taken."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(fields[place]) for place in (11, 12, 13, 14))
    return total * 1000 / TICKS


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """What there is once, and for each, by least squares."""
    count = len(points)
    mean_x, mean_y = (sum(part) / count for part in zip(*points, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return mean_y - slope * mean_x, slope


def calibrate(node: Node, *, sizes: tuple[int, ...] = (1, 8, 32, 64), commits: int = 60) -> dict[str, float]:
    """What a commit of so many changes costs, here and at PostgreSQL."""
    from cashman import db
    from cashman.changes import OWNER, Record, Request
    from cashman.ledger import Books
    from cashman.model.income import Income

    books = Books(db.connect(node.url))
    own: list[tuple[float, float]] = []
    server: list[tuple[float, float]] = []
    try:
        ledger = books.own_ledger()
        ledger.record(Income("first", 1))
        for size in sizes:
            took = [0.0, 0.0]
            for number in range(commits):
                changes = []
                for one in range(size):
                    income = Income(f"{number} {one}", 1, category="Work")
                    income.date = ledger.today
                    changes.append(Record(ledger.id, Request(OWNER), [[income]]))
                begun, begun_server = time.process_time(), _cpu_ms(node.processes())
                books._commit(changes)
                took[0] += (time.process_time() - begun) * 1000
                took[1] += _cpu_ms(node.processes()) - begun_server
            own.append((size, took[0] / commits))
            server.append((size, took[1] / commits))
    finally:
        books.database.close()
    (commit, change), (server_commit, server_change) = _line(own), _line(server)
    found = {"commit": commit, "change": change, "server_commit": server_commit, "server_change": server_change}
    return {name: round(max(value, 0.001), 3) for name, value in found.items()}


def measure(node: Node, services: list[Service], ledgers: list[str], seconds: int) -> dict[str, Any]:
    """Write through the instances for a while, to one ledger or to each load's own; what came of it."""
    body = json.dumps({"description": "load", "amount": 1, "category": "Work"})
    own = [pid for service in services for pid in (service.pid, *service.workers())]
    before = _cpu_ms(own), _cpu_ms(node.processes()), _entries(node), _transactions(node), _busy_ms()
    loads = []
    for number in range(LOADS):
        port, ledger = services[number % len(services)].port, ledgers[number % len(ledgers)]
        url = f"http://127.0.0.1:{port}/ledgers/{ledger}/expenses"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Authorization: Bearer {KEY}"]
        command += ["-s", str(REPOSITORY / "benchmarks" / "load.lua"), url, "--", "post", body]
        loads.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    said = [json.loads(load.communicate(timeout=seconds + 60)[0].splitlines()[-1]) for load in loads]
    after = _cpu_ms(own), _cpu_ms(node.processes()), _entries(node), _transactions(node), _busy_ms()
    instances_ms, server_ms, entries, heads, busy_ms = (two - one for one, two in zip(before, after, strict=True))
    requests = sum(one["requests"] for one in said)
    if any(one["not_ok"] or one["broken"] for one in said):
        raise Broken(f"some requests failed: {said}")
    return {
        "requests/s": round(requests / seconds),
        "changes a commit": round(entries / max(heads, 1), 1),
        "CPU ms a request: instances": round(instances_ms / requests, 3),
        "CPU ms a request: PostgreSQL": round(server_ms / requests, 3),
        "cores that instances and PostgreSQL had": round((instances_ms + server_ms) / seconds / 1000, 2),
        "cores that were busy": round(busy_ms / seconds / 1000, 2),
        "p99, ms": round(max(one["p99"] for one in said) / 1000),
    }


def _entries(node: Node) -> int:
    return int(node.ask("SELECT coalesce(sum(sequence), 0) FROM journal_heads"))


def _transactions(node: Node) -> int:
    """How many transactions have moved heads: each is a number of its own in the journal's rows."""
    return int(node.ask("SELECT count(DISTINCT xmin::text) FROM journal"))


def _busy_ms() -> float:
    """How long all cores together have been busy."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) * 1000 / TICKS


# The model.


@dataclass
class _Instance:
    """One thread; what it has to do, in order; and the changes that wait for the next commit."""

    number: int
    work: deque[tuple[float, Any]] = field(default_factory=deque)
    running: bool = False
    gathered: list[int] = field(default_factory=list)
    committing: bool = False
    company: bool = False


class Simulation:
    """So many instances, cores and ledgers; clients wait for their answer and ask again."""

    def __init__(self, costs: Costs, *, instances: int, cores: float, ledgers: int, clients: int) -> None:
        self.costs = costs
        self.cores = cores
        self.ledgers = ledgers
        self.instances = [_Instance(number) for number in range(instances)]
        self.now = 0.0
        self.done = 0
        self.commits = 0
        self._on_cpu: dict[int, tuple[float, Any]] = {}
        """By its number: how much is left, and what follows."""
        self._later: list[tuple[float, int, Any]] = []
        self._numbers = itertools.count()
        self._holders: dict[int, int] = {}
        self._queues: dict[int, deque[Any]] = {}
        self._clients = clients

    def throughput(self, milliseconds: float = 4_000) -> float:
        """Requests in a second."""
        for client in range(self._clients):
            self._ask(client)
        while self.now < milliseconds:
            self._advance()
        return self.done / self.now * 1000

    def _advance(self) -> None:
        """To whatever comes next: the end of something on a core, or of a wait."""
        speed = min(1.0, self.cores / len(self._on_cpu)) if self._on_cpu else 1.0
        soonest = min(self._on_cpu, key=lambda number: self._on_cpu[number][0], default=None)
        ends = self.now + self._on_cpu[soonest][0] / speed if soonest is not None else float("inf")
        until = min(ends, self._later[0][0] if self._later else float("inf"))
        passed = (until - self.now) * speed
        self.now = until
        self._on_cpu = {number: (left - passed, then) for number, (left, then) in self._on_cpu.items()}
        if ends <= until and soonest is not None:
            self._on_cpu.pop(soonest)[1]()
        else:
            heapq.heappop(self._later)[2]()

    def _wait(self, milliseconds: float, then: Any) -> None:
        heapq.heappush(self._later, (self.now + milliseconds, next(self._numbers), then))

    def _compute(self, milliseconds: float, then: Any) -> None:
        self._on_cpu[next(self._numbers)] = (milliseconds, then)

    def _in_turn(self, instance: _Instance, milliseconds: float, then: Any) -> None:
        """On the one thread of an instance."""
        instance.work.append((milliseconds, then))
        self._next(instance)

    def _next(self, instance: _Instance) -> None:
        if instance.running or not instance.work:
            return
        instance.running = True
        milliseconds, then = instance.work.popleft()

        def ended() -> None:
            instance.running = False
            then()
            self._next(instance)

        self._compute(milliseconds, ended)

    def _ask(self, client: int) -> None:
        instance = self.instances[client % len(self.instances)]

        def arrived() -> None:
            instance.gathered.append(client)
            self._commit(instance)

        self._in_turn(instance, self.costs.request, arrived)

    def _commit(self, instance: _Instance) -> None:
        if instance.committing or not instance.gathered:
            return
        instance.committing = True

        def take() -> None:  # once the thread has gone through all that had come before
            batch, instance.gathered = instance.gathered, []
            instance.company = len(batch) > 1
            heads = sorted({client % self.ledgers for client in batch})
            self._lock(heads, lambda: self._locked(instance, batch, heads))

        wait = self.costs.gather if instance.company else 0.0
        self._wait(wait, lambda: self._in_turn(instance, 0.0, take))

    def _lock(self, heads: list[int], then: Any) -> None:
        """Take the rows of some heads, one after the other, each in its turn."""
        if not heads:
            return then()
        head, *rest = heads
        if head in self._holders:
            self._queues.setdefault(head, deque()).append(lambda: self._lock(rest, then))
        else:
            self._holders[head] = 1
            self._lock(rest, then)
        return None

    def _unlock(self, head: int) -> None:
        waiting = self._queues.get(head)
        if waiting:
            waiting.popleft()()
        else:
            del self._holders[head]

    def _locked(self, instance: _Instance, batch: list[int], heads: list[int]) -> None:
        costs, size = self.costs, len(batch)

        def decided() -> None:
            self._compute(costs.server_commit + costs.server_change * size, stored)

        def stored() -> None:
            self._wait(costs.wait, durable)

        def durable() -> None:
            self.done += size
            self.commits += 1
            instance.committing = False
            for head in heads:
                self._unlock(head)
            for client in batch:
                self._ask(client)
            self._commit(instance)

        self._in_turn(instance, costs.commit + costs.change * size, decided)


def simulate(costs: Costs, *, instances: int, cores: float, ledgers: int, clients: int) -> tuple[float, float]:
    """Requests in a second, and changes a commit."""
    simulation = Simulation(costs, instances=instances, cores=cores, ledgers=ledgers, clients=clients)
    return simulation.throughput(), simulation.done / max(simulation.commits, 1)


def scale(*, seconds: int = 5, instances: tuple[int, ...] = (1, 2, 4)) -> dict[str, Any]:
    """Calibrate, measure, and simulate the same; returns the figures."""
    if shutil.which("wrk") is None:
        raise Impossible("wrk is not installed")
    figures: dict[str, Any] = {}
    with scratch() as folder, one_server(folder, max_connections="200") as node:
        figures["calibrated"] = calibrated = calibrate(node)
        for count in instances:
            with Instances(node.url, folder, count, CASHMAN_BOOTSTRAP_KEY=KEY, CASHMAN_RATE_LIMIT="0") as services:
                made = _ledgers(services[0].port)
                for name, ledgers in (("one hot ledger", made[:1]), (f"{LOADS} ledgers", made)):
                    found = measure(node, services, ledgers, seconds)
                    request = found["CPU ms a request: instances"] - calibrated["change"]
                    request -= calibrated["commit"] / found["changes a commit"]
                    costs = Costs(request=max(round(request, 3), 0.05), **calibrated)
                    cores = found["cores that instances and PostgreSQL had"]
                    predicted, size = simulate(
                        costs, instances=count, cores=cores, ledgers=len(ledgers), clients=LOADS * CONNECTIONS
                    )
                    found |= {"simulated": round(predicted), "simulated changes a commit": round(size, 1)}
                    figures[f"{count} instances, {name}"] = found | {"request ms": costs.request}
    return figures


def _ledgers(port: int) -> list[str]:
    made = []
    with Caller(port) as caller:
        for number in range(LOADS):
            answer = caller.ask("POST", "/ledgers", {"name": f"{number}"}, {"Authorization": f"Bearer {KEY}"})
            if answer is None or answer.status != 201:
                raise Broken(f"no ledger can be made: {answer}")
            made.append(answer.json()["id"])
    return made


def what_if(costs: Costs) -> dict[str, Any]:
    """The same on machines that are not here."""
    asked = {
        "1 instance, 2 cores": (1, 2, 64, 64),
        "4 instances, 8 cores": (4, 8, 64, 256),
        "16 instances, 32 cores": (16, 32, 256, 1024),
        "16 instances, 32 cores, one hot ledger": (16, 32, 1, 1024),
        "64 instances, 96 cores": (64, 96, 1024, 4096),
    }
    found = {}
    for name, (instances, cores, ledgers, clients) in asked.items():
        throughput, size = simulate(costs, instances=instances, cores=cores, ledgers=ledgers, clients=clients)
        found[name] = {"requests/s": round(throughput), "changes a commit": round(size, 1)}
    return found


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    given = parser.parse_args()
    figures = scale(seconds=given.seconds)
    requests = [found["request ms"] for found in figures.values() if "request ms" in found]
    costs = Costs(request=sorted(requests)[len(requests) // 2], **figures["calibrated"])
    for name, value in (figures | what_if(costs)).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    sys.exit(run(main))
