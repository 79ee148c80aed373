"""What it costs to be seen: POST and GET as it ships, with metrics and a line of JSON each, against neither.

The log goes to standard error, as always: send it to a file or a pipe.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from flask import Flask
from werkzeug.test import EnvironBuilder

from benchmarks import servers
from benchmarks.options import Options
from benchmarks.report import Comparison, Report, headings
from benchmarks.writes_and_reads import EXPENSE, PAGE, ROWS, check_rows, measure

TITLE = "Metrics and a line in the log for each request, against neither"
SEEN = {"CASHMAN_LOG": "json", "CASHMAN_METRICS": "auto"}
UNSEEN = {"CASHMAN_LOG": "off", "CASHMAN_METRICS": "off"}
TURNS, REQUESTS = 60, 300


def run(options: Options) -> Report:
    """Measure both in turn, each round on new ledgers."""
    read, write = Comparison(f"GET {PAGE}, {ROWS} rows"), Comparison("POST /expenses")
    for _ in range(options.rounds):
        for settings, reads, writes in ((UNSEEN, read.toy, write.toy), (SEEN, read.cashman, write.cashman)):
            with (
                options.fresh_ledger() as url,
                servers.cashman(url, parser=options.parser, settings=settings) as cashman,
            ):
                for _ in range(ROWS):
                    cashman.request("POST", "/expenses", EXPENSE)
                reads.append(measure(options, cashman, PAGE))
                sample = measure(options, cashman, "/expenses", EXPENSE)
                check_rows(cashman, sample, options.connections, before=ROWS)
                writes.append(sample)
    checks = ["no answer was outside 2xx, and every acknowledged POST is a row", _in_process()]
    return Report(TITLE, options.conditions(), [write, read], checks, headings("unseen", "as it ships"))


def _in_process() -> str:
    """The same without a server around it, in turns of a fraction of a second, which noise strikes alike."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # before the library is loaded, as gunicorn.conf.py does
        from cashman.index import create_app
        from cashman.observability import logs, requests

        def make(settings: Mapping[str, str]) -> Flask:
            name = settings["CASHMAN_METRICS"]
            return create_app({**settings, "CASHMAN_DATABASE_URL": f"sqlite:///{folder}/{name}.db"})

        unseen, seen = make(UNSEEN), make(SEEN)
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  a descriptor is what is needed
            requests.watch(seen).access_log = logs.AccessLog("json", nowhere.fileno())
            turns = [(_cpu_us(unseen), _cpu_us(seen)) for _ in range(TURNS + 1)][1:]
    without, with_ = (statistics.median(side) for side in zip(*turns, strict=True))
    more = statistics.median(after - before for before, after in turns)
    return f"in one process, GET of an empty list: {without:.0f} and {with_:.0f} µs of CPU a request, {more:.0f} more"


def _cpu_us(app: Flask) -> float:
    asked = EnvironBuilder(path="/expenses", environ_overrides={"REMOTE_ADDR": "127.0.0.1"}).get_environ()
    asked["SERVER_PROTOCOL"] = "HTTP/1.1"
    began = time.process_time()
    for _ in range(REQUESTS):
        answer: Any = app.wsgi_app(dict(asked), lambda *_: lambda _: None)
        b"".join(answer)
        answer.close()
    return (time.process_time() - began) / REQUESTS * 1e6
