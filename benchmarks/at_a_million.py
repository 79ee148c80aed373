"""A ledger of a million: what a POST, a batch of 10,000 and `cashman verify` cost there, beside an empty one."""

import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from cashman import db
from cashman.ledger import Books
from cashman.model.expense import Expense
from cashman.model.income import Income

from benchmarks import servers
from benchmarks.load import Sample
from benchmarks.options import Options
from benchmarks.report import spread
from benchmarks.servers import REPOSITORY, Server, Unusable
from benchmarks.writes_and_reads import EXPENSE, measure

BATCH = 10_000


@dataclass
class Lines:
    """A benchmark whose figures are sentences."""

    title: str
    conditions: list[str]
    figures: list[str]

    def text(self) -> str:
        """All of it as Markdown."""
        return "\n".join([f"### {self.title}", "", *(f"- {line}" for line in (*self.conditions, *self.figures)), ""])


def run(options: Options) -> Lines:
    """Fill one ledger, then measure it and an empty one in turn."""
    with options.fresh_ledger() as large_url:
        filled = fill(large_url, options.transactions)
        large: list[Sample] = []
        empty: list[Sample] = []
        batches: list[float] = []
        for _ in range(options.rounds):
            with servers.cashman(large_url, parser=options.parser, name="the large ledger") as server:
                large.append(measure(options, server, "/expenses", EXPENSE))
            with options.fresh_ledger() as url, servers.cashman(url, parser=options.parser) as server:
                empty.append(measure(options, server, "/expenses", EXPENSE))
                batches += [post_batch(server) for _ in range(3)]
        seconds, megabytes, said = verify(large_url)
    ratio = median(s.per_second for s in large) / median(s.per_second for s in empty)
    batch_ratio = median(batches) / median(s.per_second for s in empty)
    figures = [
        f"{options.transactions:,} transactions recorded in batches of {BATCH:,}, in process: {filled:,.0f} a second",
        f"POST /expenses into a ledger of {options.transactions:,}: {spread(large)} a second, empty: {spread(empty)}; "
        f"ratio **{ratio:.2f}**",
        f"POST /transactions/batch with {BATCH:,}: {median(batches):,.0f} transactions a second "
        f"({min(batches):,.0f} to {max(batches):,.0f}), **{batch_ratio:.2f}** times single POSTs",
        f"cashman verify: **{seconds:.1f} s**, {megabytes:.0f} MB at most; it said: {said}",
    ]
    return Lines("A ledger of a million", options.conditions(), figures)


def fill(url: str, count: int) -> float:
    """Record a believable household's transactions, always the same ones; returns how many a second."""
    books = Books(db.connect(url))
    ledger, choice = books.own_ledger(), random.Random(2026)
    began = time.monotonic()
    for _ in range(count // BATCH):
        ledger.record(*(_transaction(choice) for _ in range(BATCH)))
    books.database.close()
    return count / (time.monotonic() - began)


def _transaction(choice: random.Random) -> Expense | Income:
    kind = Expense if choice.random() < 0.9 else Income
    return kind(
        f"thing {choice.randrange(5_000)} bought",
        f"{choice.randrange(1, 99_999) / 100:.2f}",
        date=date(2021, 1, 1) + timedelta(choice.randrange(5 * 365)),
        category=f"Category {choice.randrange(12)}:Part {choice.randrange(5)}",
        payee=f"payee {choice.randrange(300)}",
    )


def post_batch(server: Server) -> float:
    """One request with BATCH transactions; returns transactions a second."""
    body = json.dumps(
        [{"type": "EXPENSE", "description": f"thing {n}", "amount": "12.50", "category": "Food"} for n in range(BATCH)]
    )
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    began = time.monotonic()
    connection.request("POST", "/transactions/batch", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != 204:
        raise Unusable(f"the batch was answered with {response.status}")
    return BATCH / (time.monotonic() - began)


def verify(url: str) -> tuple[float, float, str]:
    """Run `cashman verify` as a process of its own: seconds, peak memory in MB, what it said."""
    command = [sys.executable, "-m", "cashman", "verify"]
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, "CASHMAN_DATABASE_URL": url}, stdout=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise Unusable(f"verify ended with {process.returncode}")
        said.seek(0)
        return seconds, usage.ru_maxrss / 1024, said.read().decode().strip()
