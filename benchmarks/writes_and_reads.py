"""POST /expenses and GET /expenses?limit=100 at a young ledger, against the toy's in-memory list."""

import json
from dataclasses import replace
from typing import Any

from benchmarks import machine, servers
from benchmarks.load import Sample, drive
from benchmarks.options import OTHERS_MAX, Options
from benchmarks.report import Comparison, Report
from benchmarks.servers import Server, Unusable

TITLE = "Durable writes and a page of a hundred, against the toy's list in memory"
EXPENSE = '{"description":"pizza","amount":50}'
PAGE = "/expenses?limit=100"
ROWS = 100
TOY_BROKEN_MAX = 100


def run(options: Options) -> Report:
    """Measure both servers in turn; each round of Cashman begins with a new ledger."""
    write, read = Comparison("POST /expenses"), Comparison("GET /expenses?limit=100, 100 rows")
    acknowledged = in_flight = 0
    for _ in range(options.rounds):
        with servers.toy() as toy:
            _check_page(toy)
            read.toy.append(measure(options, toy, PAGE, broken_max=TOY_BROKEN_MAX))
            write.toy.append(measure(options, toy, "/expenses", EXPENSE, broken_max=TOY_BROKEN_MAX))
        with options.fresh_ledger() as url, servers.cashman(url, parser=options.parser) as cashman:
            for _ in range(ROWS):
                status = cashman.request("POST", "/expenses", EXPENSE)[0]
                if status != 204:
                    raise Unusable(f"POST /expenses answered {status}")
            _check_page(cashman)
            read.cashman.append(measure(options, cashman, PAGE))
            sample = measure(options, cashman, "/expenses", EXPENSE)
            write.cashman.append(sample)
            in_flight += check_rows(cashman, sample, options.connections, before=ROWS)
            acknowledged += ROWS + sample.requests_of_all_tries
    broken = sum(sample.broken for sample in (*write.toy, *read.toy))
    checks = [
        f"no answer was outside 2xx; {broken} connections to the toy broke, none to Cashman",
        f"{acknowledged:,} POSTs were acknowledged and all of them are rows; "
        f"{in_flight} more were in flight when wrk hung up",
        f"p99 of POST: {write.p99_ratio:.2f} of the toy's",
    ]
    return Report(TITLE, options.conditions(), [write, read], checks)


def measure(options: Options, server: Server, path: str, body: str | None = None, **how: Any) -> Sample:
    """One sample: at a moment as quiet as there is, and the least disturbed of the tries."""
    tries: list[Sample] = []
    while len(tries) < options.tries and not any(sample.others <= OTHERS_MAX for sample in tries):
        machine.wait_until_quiet(options.quiet_seconds)
        tries.append(drive(server, path, body=body, seconds=options.seconds, connections=options.connections, **how))
    kept = min(tries, key=lambda sample: sample.others)
    return replace(kept, disturbed=tuple(sample for sample in tries if sample is not kept))


def _check_page(server: Server) -> None:
    """Both answer the page of a hundred with a hundred."""
    status, _headers, body = server.request("GET", PAGE)
    if status != 200 or len(json.loads(body)) != ROWS:
        raise Unusable(f"{server.name}: {PAGE} answered {status} with {len(body)} bytes, not {ROWS} rows")


def check_rows(server: Server, sample: Sample, connections: int, before: int = 0) -> int:
    """Hold that every acknowledged POST is a row, and no other is but those without an answer when wrk hung up.

    Returns how many those were.
    """
    acknowledged = before + sample.requests_of_all_tries
    rows = count_rows(server)
    if not acknowledged <= rows <= acknowledged + connections * (1 + len(sample.disturbed)):
        raise Unusable(f"{acknowledged} POSTs were acknowledged, {rows} rows are there")
    return rows - acknowledged


def count_rows(server: Server) -> int:
    """The transactions of a ledger, counted over HTTP page by page."""
    path, rows = "/transactions?limit=1000&sort=created_at", 0
    while path:
        _status, headers, body = server.request("GET", path)
        rows += len(json.loads(body))
        link = headers.get("Link", "")
        path = link.partition("<")[2].partition(">")[0]
    return rows
