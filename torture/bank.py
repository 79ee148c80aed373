"""A bank's check: every report that anybody read is what the journal up to its head comes to, recomputed by others.

Several clients work on each of several ledgers: incomes, expenses, transfers between accounts, changed and voided
again, all with keys and repeated until they are answered; and between that they read balances, summaries and cash
flows. Meanwhile workers and the whole server are killed. Afterwards the journals are gone through once more in plain
Python, which shares nothing with the service, and every report is compared at the Cashman-Head that it came with.

With --control every client lies about one amount that it has read: each lie has to be found.
"""

import argparse
import contextlib
import json
import random
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torture.service import Broken, Caller, Service, database, run, scratch, verify

KEY = "Zk3v9Qw7xT1mB5nR8pL2sD6fG4hJ0kYcV"
"""An API key of the books' owner, who makes the ledgers."""
ACCOUNTS = ("main", "savings", "card")
CATEGORIES = ("Work", "Food:Restaurant", "Food:Coffee", "Home", None)
RANGE = ("2026-02-11", "2026-04-19")
REPORTS = (
    "/balances",
    "/reports/summary",
    "/reports/summary?by=month",
    "/reports/summary?by=category",
    "/reports/summary?by=account",
    f"/reports/summary?from={RANGE[0]}&to={RANGE[1]}",
    "/reports/cashflow",
)
Line = dict[str, Any]
Read = tuple[str, str]
"""A report and its head."""


def money(minor_units: int) -> str:
    """As it stands in JSON, with two decimals."""
    sign, units = "-" if minor_units < 0 else "", abs(minor_units)
    return f"{sign}{units // 100}.{units % 100:02}"


class Recomputation:
    """What a journal comes to, entry by entry."""

    def __init__(self) -> None:
        self.accounts: dict[int, Line] = {}
        self.categories: dict[int, str] = {}
        self.transactions: dict[str, Line] = {}
        self.balances: dict[int, int] = defaultdict(int)
        self.cells: dict[tuple[str, Any], list[int]] = defaultdict(lambda: [0, 0, 0])
        """By what it is about and its value: income, expense, count."""

    def apply(self, entry: Line) -> None:
        """Take one entry more."""
        figures, id_ = entry["figures"], entry["entity_id"]
        if entry["entity"] == "account":
            before = self.accounts.get(int(id_), {"opening_minor_units": 0})
            self.balances[int(id_)] += figures["opening_minor_units"] - before["opening_minor_units"]
            self.accounts[int(id_)] = figures
        elif entry["entity"] == "category":
            self.categories[int(id_)] = figures["path"]
        elif entry["entity"] == "transaction":
            if id_ in self.transactions:
                self._add(self.transactions[id_], -1)
            self.transactions[id_] = figures
            self._add(figures, 1)

    def _add(self, figures: Line, times: int) -> None:
        if figures["status"] != "posted":
            return
        amount = figures["minor_units"]
        self.balances[figures["account_id"]] += times * amount
        if figures["type"] == "TRANSFER":
            return
        about = {
            "all": None,
            "day": figures["date"],
            "month": figures["date"][:7],
            "category": self.categories.get(figures["category_id"]),
            "account": self.accounts[figures["account_id"]]["name"],
        }
        for name, value in about.items():
            cell = self.cells[(name, value)]
            cell[amount < 0] += times * amount
            cell[2] += times

    def report(self, path: str) -> list[Line]:
        """What a report has to say."""
        if path == "/balances":
            named = sorted((row["name"], self.balances[id_]) for id_, row in self.accounts.items())
            return [
                {"account": name, "balance": money(balance), "available": money(balance)} for name, balance in named
            ]
        if path == "/reports/cashflow":
            return self._cashflow()
        if "from=" in path:
            days = [cell for (name, day), cell in self.cells.items() if name == "day" and RANGE[0] <= day <= RANGE[1]]
            return [_line({}, [sum(part) for part in zip(*days, strict=True)])] if any(day[2] for day in days) else []
        by = path.partition("by=")[2] or "all"
        found = [(value, cell) for (name, value), cell in self.cells.items() if name == by and cell[2]]
        found.sort(key=lambda one: (one[0] is not None, one[0]))
        return [_line({} if by == "all" else {by: value}, cell) for value, cell in found]

    def _cashflow(self) -> list[Line]:
        opened: dict[str, int] = defaultdict(int)
        for row in self.accounts.values():
            if row["opening_minor_units"]:
                opened[row["opening_date"][:7]] += row["opening_minor_units"]
        moved = {
            figures["date"][:7] for figures in self.transactions.values() if figures["status"] == "posted"
        } | opened.keys()
        lines, balance = [], 0
        for number in range(12):
            month = f"2026-{number + 1:02}"
            if moved and min(moved) <= month <= max(moved):
                income, expense, _ = self.cells.get(("month", month), (0, 0, 0))
                before, balance = balance, balance + income + expense + opened[month]
                figures = {"opening": before, "income": income, "expense": expense}
                figures |= {"transfers": opened[month], "closing": balance}
                lines.append({"month": month, **{name: money(value) for name, value in figures.items()}})
        return lines


def _line(keys: Line, cell: list[int]) -> Line:
    income, expense, count = cell
    figures = {"income": money(income), "expense": money(expense), "net": money(income + expense)}
    return {**keys, **figures, "count": str(count)}


def is_what_it_says(body: bytes, expected: list[Line]) -> bool:
    """Whether a report holds these lines; what every line has besides is its currency and its day."""
    lines = json.loads(body, parse_float=str, parse_int=str)
    return [{name: value for name, value in line.items() if name not in ("currency", "as_of")} for line in lines] == (
        expected
    )


@dataclass
class Seen:
    """What one client has seen."""

    reads: dict[Read, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    count: int = 0
    written: int = 0
    made: int = 0
    """Movements that were acknowledged as new."""
    repeated: int = 0
    receipts: set[str] = field(default_factory=set)
    wrong: str = ""


class Teller(threading.Thread):
    """One client of one ledger."""

    def __init__(self, name: str, port: int, ledger: str, seed: int, ending: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.ledger = ledger
        self.seen = Seen()
        self._caller = Caller(port)
        self._chance = random.Random(f"{seed}/{name}")
        self._ending = ending
        self._mine: list[str] = []

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                if self._chance.random() < 0.12:
                    self._write()
                else:
                    self._read(self._chance.choice(REPORTS))
        except Broken as broken:
            self.seen.wrong = str(broken)
        finally:
            self._caller.close()

    def _until_answered(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        headers = {"Authorization": f"Bearer {KEY}", **headers}
        while True:
            answer = self._caller.ask(method, f"/ledgers/{self.ledger}{path}", body, headers)
            if answer is not None and answer.status != 503:
                if answer.status >= 300:
                    raise Broken(f"{method} {path} was answered {answer}")
                return answer
            self.seen.repeated += 1
            time.sleep(self._chance.uniform(0.02, 0.2))

    def _read(self, path: str) -> None:
        answer = self._until_answered("GET", path)
        self.seen.reads[(path, answer.headers["Cashman-Head"])].add(answer.body)
        self.seen.count += 1

    def _write(self) -> None:
        self.seen.written += 1
        amount = money(self._chance.randint(1, 99_999))
        day = f"2026-{self._chance.randint(1, 6):02}-{self._chance.randint(1, 28):02}"
        what = self._chance.choices(["income", "expense", "transfer", "change", "void"], [30, 30, 20, 12, 8])[0]
        keyed = {"Idempotency-Key": f"{self.name}-{self.seen.written}", "Prefer": "return=representation"}
        mine = self._chance.choice(self._mine) if self._mine else None
        if what == "transfer":
            from_, to = self._chance.sample(ACCOUNTS, 2)
            body = {"from": from_, "to": to, "amount": amount, "date": day}
            answer = self._until_answered("POST", "/transfers", body, **keyed)
            self.seen.made += 2
        elif what == "change" and mine:
            answer = self._until_answered("PATCH", f"/transactions/{mine}", {"amount": amount, "date": day}, **keyed)
        elif what == "void" and mine:
            answer = self._until_answered("DELETE", f"/transactions/{mine}", **keyed)
            self._mine.remove(mine)
        else:
            category = self._chance.choice(CATEGORIES)
            body = {"description": self.name, "amount": amount, "date": day, "category": category}
            body["account"] = self._chance.choice(ACCOUNTS)
            answer = self._until_answered("POST", "/expenses" if what == "expense" else "/incomes", body, **keyed)
            self._mine.append(answer.json()["id"])
            self.seen.made += 1
        self.seen.receipts.add(answer.headers["Cashman-Head"])


def _make_ledgers(port: int, count: int) -> list[str]:
    made = []
    headers = {"Authorization": f"Bearer {KEY}"}
    with Caller(port) as caller:
        for number in range(count):
            answer = caller.ask("POST", "/ledgers", {"name": f"branch {number}"}, headers)
            assert answer is not None
            made.append(answer.json()["id"])
            for name in ACCOUNTS[1:]:
                account = {"name": name, "opening_balance": number * 1000, "opening_date": "2026-01-01"}
                caller.ask("POST", f"/ledgers/{made[-1]}/accounts", account, headers)
    return made


def _journal(port: int, ledger: str) -> list[tuple[str, Line]]:
    """Each entry of a ledger's journal under its receipt."""
    found: list[tuple[str, Line]] = []
    with Caller(port) as caller:
        while True:
            path = f"/ledgers/{ledger}/journal?limit=5000&after={len(found)}"
            answer = caller.ask("GET", path, None, {"Authorization": f"Bearer {KEY}"})
            if answer is None or answer.status != 200:
                raise Broken(f"the journal cannot be read: {answer}")
            entries = answer.json()
            if not entries:
                return found
            for one in entries:
                found.append((f"{len(found) + 1}:{one['hash']}", json.loads(one["entry"])))


def compare(journal: list[tuple[str, Line]], reads: dict[Read, set[bytes]]) -> list[str]:
    """Which reports are not what the journal up to their head comes to."""
    by_head: dict[str, list[str]] = defaultdict(list)
    for path, head in reads:
        by_head[head].append(path)
    wrong = []
    books = Recomputation()
    for head, entry in journal:
        books.apply(entry)
        for path in by_head.pop(head, ()):
            expected = books.report(path)
            wrong += [
                f"{path} at {head}: {body!r}, and not {expected}"
                for body in reads[(path, head)]
                if not is_what_it_says(body, expected)
            ]
    return wrong + [f"{head} is not in the journal" for head in by_head]


def _kill_now_and_then(
    service: Service, chance: random.Random, pause: float, until: float, read: Callable[[], int], enough: int
) -> int:
    """Until both so much time is over and so many reports are read, or somebody interrupts it; how many kills."""
    kills = 0
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < until or read() < enough:
            time.sleep(chance.uniform(0.5, 1.5) * pause)
            kills += 1
            if chance.random() < 0.7 and service.workers():
                service.kill_a_worker(chance)
            else:
                service.kill()
                service.start()
            service.wait_until_up()
            print(f"{kills} kills, {read()} reads", file=sys.stderr)
    return kills


def bank(
    engine: str = "sqlite",
    *,
    minutes: float = 10,
    reads: int = 100_000,
    ledgers: int = 8,
    clients: int = 32,
    pause: float = 15,
    workers: int = 2,
    seed: int = 1,
    control: bool = False,
) -> dict[str, Any]:
    """Let so many clients work until both so much time is over and so many reports are read; returns the figures."""
    chance = random.Random(seed)
    begun = time.monotonic()
    ending = threading.Event()
    with scratch() as folder, database(engine, folder) as (url, _):
        settings = {"CASHMAN_BOOTSTRAP_KEY": KEY, "CASHMAN_RATE_LIMIT": "0"}
        service = Service(url, folder, workers=workers, **settings)
        with service:
            made = _make_ledgers(service.port, ledgers)
            tellers = [
                Teller(f"t{number}", service.port, made[number % ledgers], seed, ending) for number in range(clients)
            ]
            for teller in tellers:
                teller.start()

            def read() -> int:
                if any(teller.seen.wrong for teller in tellers):
                    raise Broken(next(teller.seen.wrong for teller in tellers if teller.seen.wrong))
                return sum(teller.seen.count for teller in tellers)

            try:
                kills = _kill_now_and_then(service, chance, pause, time.monotonic() + minutes * 60, read, reads)
            finally:
                ending.set()
            for teller in tellers:
                teller.join(120)
            told = [teller.seen.wrong for teller in tellers if teller.seen.wrong or teller.is_alive()]
            if told:
                raise Broken(f"{told[:3]}: {service.log()[-1500:]}")
            seconds = round(time.monotonic() - begun)
            figures = {"engine": engine, "kills": kills, "seconds": seconds, **_prove(service.port, tellers, control)}
        figures["cashman verify"] = verify(url).split(":")[0]
    return figures


def _prove(port: int, tellers: list[Teller], control: bool) -> dict[str, Any]:
    wrong: list[str] = []
    heads = lacking = made = entries = 0
    lies: set[tuple[Read, bytes]] = set()
    for ledger in sorted({teller.ledger for teller in tellers}):
        own = [teller.seen for teller in tellers if teller.ledger == ledger]
        reads: dict[Read, set[bytes]] = defaultdict(set)
        for seen in own:
            if control:
                lies.add(_lie(seen.reads))  # two may tell the same
            for read, bodies in seen.reads.items():
                reads[read] |= bodies
        journal = _journal(port, ledger)
        entries += len(journal)
        chain = [head for head, _ in journal]
        lacking += len(set().union(*(seen.receipts for seen in own)) - set(chain))
        made += sum(entry["kind"] == "create" for _, entry in journal)
        heads += len({head for _, head in reads})
        wrong += compare(journal, reads)
    if wrong:
        print(wrong[0], file=sys.stderr)
    return {
        "reads": sum(teller.seen.count for teller in tellers),
        "heads": heads,
        "writes": sum(teller.seen.written for teller in tellers),
        "repeated": sum(teller.seen.repeated for teller in tellers),
        "entries": entries,
        **({"lies": len(lies)} if control else {}),
        "reads that are wrong": len(wrong),
        "receipts that the chain lacks": lacking,
        "movements lost or doubled": made - sum(teller.seen.made for teller in tellers),
    }


def _lie(reads: dict[Read, set[bytes]]) -> tuple[Read, bytes]:
    """Change one digit of one report; which, and how it reads then."""
    read, bodies = next((read, bodies) for read, bodies in reads.items() if any(b"." in body for body in bodies))
    body = next(body for body in bodies if b"." in body)
    place = body.find(b".") + 1
    lie = body[:place] + (b"2" if body[place : place + 1] == b"1" else b"1") + body[place + 1 :]
    bodies.add(lie)
    return read, lie


WRONG = ("reads that are wrong", "receipts that the chain lacks", "movements lost or doubled")


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--reads", type=int, default=100_000, help="so many at least, however long it takes")
    parser.add_argument("--ledgers", type=int, default=8)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--pause", type=float, default=15, help="seconds between two kills, on average")
    parser.add_argument("--workers", type=int, default=2, help="of the server")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="each client lies about one amount")
    given = vars(parser.parse_args())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background
    figures = bank(given.pop("engine"), **given)
    for name, value in figures.items():
        print(f"{name}: {value}")
    broken = {name: figures[name] for name in WRONG if figures[name]}
    if given["control"] and figures["reads that are wrong"] != figures["lies"]:
        raise Broken(f"{figures['lies']} lies, and {figures['reads that are wrong']} were found")
    if broken and not given["control"]:
        raise Broken(str(broken))


if __name__ == "__main__":
    sys.exit(run(main))
