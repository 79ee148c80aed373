"""kill -9 under clients that retry: nothing that was acknowledged is lost, and nothing is done twice.

Each client works on transactions of its own: it records them (with a key, with an id of its choice, or several in
one batch), changes and voids them, and repeats every request under the same key until it has an answer. So it knows
exactly what the books have to hold at the end. Meanwhile the server is killed at random moments, and PostgreSQL is
stopped without a checkpoint.

With --without-keys the clients repeat their requests without a key: the control, in which things are done twice.
"""

import argparse
import contextlib
import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torture.service import (
    ANSWER_SECONDS_MAX,
    Answer,
    Broken,
    Caller,
    Postgres,
    Service,
    database,
    export_journal,
    run,
    scratch,
    ulid,
    verify,
    verify_independently,
)

UP_SECONDS_MAX = 1.2
"""How long the server is left alone, at most, before it is killed again."""


@dataclass
class Told:
    """What one client was told."""

    expected: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """What the books have to hold: id → (description, amount, version)."""
    voided: set[str] = field(default_factory=set)
    receipts: set[str] = field(default_factory=set)
    acknowledged: int = 0
    repeated: int = 0
    replayed: int = 0
    hung: int = 0
    newest: float = 0.0
    """When the newest request that was acknowledged was sent."""
    wrong: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """One client, which does one thing after the other until it is told to end.

    Of several instances it asks one until that has no answer, and then the next.
    """

    def __init__(self, name: str, *ports: int, seed: str, with_keys: bool = True) -> None:
        super().__init__(name=name, daemon=True)
        self.told = Told()
        self.ending = threading.Event()
        self._chance = random.Random(f"{seed}/{name}")
        self._callers = [Caller(port) for port in ports]
        self._caller = self._callers[0]
        self._with_keys = with_keys
        self._number = 0

    def run(self) -> None:
        while not self.ending.is_set() and not self.told.wrong:
            self._number += 1
            self._chance.choices(
                [self._record, self._record_with_id, self._record_batch, self._change, self._void],
                [50, 15, 5, 20, 10],
            )[0]()
        self.told.hung = sum(caller.hung for caller in self._callers)
        for caller in self._callers:
            caller.close()

    def _until_answered(self, method: str, path: str, body: Any, *, key: bool = True) -> Answer | None:
        """Repeat the request until there is an answer that settles it; None where it is not a success."""
        headers = {"Prefer": "return=representation"}
        if key and self._with_keys:
            headers["Idempotency-Key"] = f"{self.name}-{self._number}"
        while True:
            begun = time.monotonic()
            answer = self._caller.ask(method, path, body, headers)
            if answer is not None and answer.status != 503:
                break
            self.told.repeated += 1
            self._caller = self._callers[(self._callers.index(self._caller) + 1) % len(self._callers)]
            time.sleep(self._chance.uniform(0.005, 0.05))
        self.told.replayed += "Idempotency-Replayed" in answer.headers
        if answer.status >= 300:
            self.told.wrong.append(f"{method} {path} was answered {answer.status}: {answer.body[:300]!r}")
            return None
        self.told.acknowledged += 1
        self.told.newest = begun
        self.told.receipts.add(answer.headers["Cashman-Head"])
        return answer

    def _new(self, part: int = 0) -> dict[str, Any]:
        amount = f"{self._chance.randint(1, 999_999)}.{self._chance.randint(0, 99):02}"
        return {"type": "INCOME", "description": f"{self.name} {self._number} {part}", "amount": amount}

    def _note(self, shown: dict[str, Any], asked: dict[str, Any], version: int = 1) -> None:
        self.told.expected[shown["id"]] = (asked["description"], asked["amount"], version)

    def _record(self) -> None:
        asked = self._new()
        answer = self._until_answered("POST", "/transactions", asked)
        if answer is not None:
            self._note(answer.json(), asked)

    def _record_with_id(self) -> None:
        asked = self._new() | ({"id": ulid(self._chance)} if self._with_keys else {})
        answer = self._until_answered("POST", "/transactions", asked, key=False)
        if answer is not None:
            self._note(answer.json(), asked)

    def _record_batch(self) -> None:
        asked = [self._new(part) for part in range(self._chance.randint(2, 6))]
        answer = self._until_answered("POST", "/transactions/batch", asked)
        if answer is not None:
            for shown, one in zip(answer.json(), asked, strict=True):
                self._note(shown, one)

    def _one_of_mine(self) -> str | None:
        mine = [id_ for id_ in self.told.expected if id_ not in self.told.voided]
        return self._chance.choice(mine) if mine else None

    def _change(self) -> None:
        id_ = self._one_of_mine()
        if id_ is None:
            return
        asked = {name: self._new()[name] for name in ("description", "amount")}
        answer = self._until_answered("PATCH", f"/transactions/{id_}", asked)
        if answer is not None:
            self._note({"id": id_}, asked, self.told.expected[id_][2] + 1)

    def _void(self) -> None:
        id_ = self._one_of_mine()
        if id_ is not None and self._until_answered("DELETE", f"/transactions/{id_}", None) is not None:
            self.told.voided.add(id_)


def _kill_at_random(
    service: Service, postgres: Postgres | None, kills: int, restarts: int, chance: random.Random
) -> None:
    """Kill the server so many times, and at some of them PostgreSQL too; leaves both running."""
    restart_at = set(chance.sample(range(kills), min(restarts, kills)))
    for number in range(kills):
        if chance.random() < 0.9:  # else while it starts
            service.wait_until_up()
        time.sleep(chance.uniform(0, UP_SECONDS_MAX))
        if postgres is not None and number in restart_at:
            postgres.restart_immediately()
        if chance.random() < 0.2 and service.workers():
            service.kill_a_worker(chance)
        else:
            service.kill()
            service.start()
    service.wait_until_up()


@contextlib.contextmanager
def working(clients: list[Client], *services: Service, losing: bool = False) -> Iterator[None]:
    """Let clients work; Broken where one does not end, or is answered wrongly: as it will be where things are lost."""
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.ending.set()
    for client in clients:
        client.join(3 * ANSWER_SECONDS_MAX)
    wrong = [said for client in clients for said in client.told.wrong]
    if (wrong and not losing) or any(client.is_alive() for client in clients):
        raise Broken(f"{len(wrong)} answers were wrong: {wrong[:3]}; {[one.log()[-1500:] for one in services]}")


def sums(told: list[Told]) -> dict[str, int]:
    """What all clients have been told, added up."""
    return {name: sum(getattr(one, name) for one in told) for name in ("acknowledged", "repeated", "replayed", "hung")}


def stored(port: int) -> dict[str, tuple[str, str, int]]:
    """Every transaction that stands: id → (description, amount, version)."""
    return {row["id"]: (row["description"], f"{row['amount']:.2f}", row["version"]) for row in _rows(port)}


def _rows(port: int) -> Iterator[dict[str, Any]]:
    """From the pages of the list."""
    path = "/transactions?limit=1000&sort=created_at"
    with Caller(port) as caller:
        while path:
            answer = caller.ask("GET", path)
            if answer is None or answer.status != 200:
                raise Broken(f"the list cannot be read: {answer}")
            yield from answer.json()
            path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")


def _compare(told: list[Told], stored: dict[str, tuple[str, str, int]], journaled: dict[str, int]) -> dict[str, int]:
    """What was lost, doubled or changed, against what the clients were told."""
    expected = {id_: what for one in told for id_, what in one.expected.items()}
    voided = set().union(*(one.voided for one in told))
    standing = {id_: what for id_, what in expected.items() if id_ not in voided}
    return {
        "lost": sum(id_ not in journaled for id_ in expected) + sum(id_ not in stored for id_ in standing),
        "doubled": sum(id_ not in expected for id_ in journaled),
        "not void": sum(id_ in stored for id_ in voided),
        "different": sum(stored[id_] != what for id_, what in standing.items() if id_ in stored),
        "revised twice": sum(
            journaled.get(id_, 0) > what[2] + (id_ in voided) for id_, what in expected.items()
        ),
    }  # fmt: skip


def _check_receipts(told: list[Told], entries: list[Any]) -> int:
    chain = {f"{place}:{entry['hash']}" for place, entry in enumerate(entries, 1)}
    return len(set().union(*(one.receipts for one in told)) - chain)


def crash(
    engine: str = "sqlite",
    *,
    kills: int = 20,
    clients: int = 16,
    restarts: int = 0,
    seed: int = 1,
    with_keys: bool = True,
) -> dict[str, Any]:
    """Kill the server under clients; returns the figures, and raises Broken where something was lost or doubled."""
    chance = random.Random(seed)
    begun = time.monotonic()
    with scratch() as folder, database(engine, folder) as (url, postgres), Service(url, folder) as service:
        workers = [Client(f"c{number}", service.port, seed=str(seed), with_keys=with_keys) for number in range(clients)]
        with working(workers, service):
            _kill_at_random(service, postgres, kills, restarts, chance)
        told = [worker.told for worker in workers]
        figures: dict[str, Any] = {
            "engine": engine,
            "kills": kills,
            "restarts of PostgreSQL": restarts if postgres else 0,
            **sums(told),
        }
        found = stored(service.port)
        service.kill()  # and what is on disk is all there is
        figures |= prove(url, folder, told, found, chance)
    figures["seconds"] = round(time.monotonic() - begun)
    return figures


def prove(
    url: str, folder: Path, told: list[Told], stored: dict[str, tuple[str, str, int]], chance: random.Random
) -> dict[str, Any]:
    """What the books hold against what the clients were told, and what both verifiers say; the service may be gone."""
    entries = export_journal(url, folder / "journal.ndjson")
    journaled: dict[str, int] = {}
    for entry in entries:
        line = json.loads(entry["entry"])
        if line["entity"] == "transaction":
            journaled[line["entity_id"]] = line["revision"]
    figures = {"entries": len(entries), **_compare(told, stored, journaled)}
    lacking = figures["receipts that the chain lacks"] = _check_receipts(told, entries)
    receipts = sorted(set().union(*(one.receipts for one in told)))
    receipt = chance.choice(receipts) if receipts and not lacking else None
    figures["cashman verify"] = verify(url, receipt).split(":")[0]
    figures["verify_journal.py"] = verify_independently(folder / "journal.ndjson", receipt).split(":")[0]
    return figures


WRONG = ("lost", "doubled", "not void", "different", "revised twice", "receipts that the chain lacks", "hung")


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--restarts", type=int, default=0, help="immediate restarts of PostgreSQL among the kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-keys", action="store_true", help="the control: things are done twice")
    given = parser.parse_args()
    figures = crash(
        given.engine,
        kills=given.kills,
        clients=given.clients,
        restarts=given.restarts,
        seed=given.seed,
        with_keys=not given.without_keys,
    )
    for name, value in figures.items():
        print(f"{name}: {value}")
    check(figures)


def check(figures: dict[str, Any]) -> None:
    """Broken where a figure is not what was promised."""
    broken = {name: figures[name] for name in WRONG if figures[name]}
    if broken:
        raise Broken(str(broken))


if __name__ == "__main__":
    sys.exit(run(main))
