"""What is counted and timed, for Prometheus, added up over the workers.

Several workers write into files that they share, in the folder that PROMETHEUS_MULTIPROC_DIR names (gunicorn.conf.py
makes it); one process alone, as in the tests, keeps everything in memory.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool

from cashman import __version__
from cashman.errors import Problem
from cashman.ledger import Books

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_CHANGES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_OF_A_WORKER: Final = re.compile(r"gauge_livesum_(\d+)\.db")

Outcomes = Sequence[Any]


class Metrics:
    """All that a process counts; there is one for each process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "cashman_http_requests", "Requests that were answered.", ["method", "route", "status"], registry=registry
        )
        self._latency = Histogram(
            "cashman_http_request_duration_seconds",
            "How long requests took, until all of the answer was handed over.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "cashman_commit_changes", "How many changes a commit took.", buckets=_CHANGES, registry=registry
        )
        self._commit = Histogram(
            "cashman_commit_duration_seconds", "How long a commit took.", buckets=_SECONDS, registry=registry
        )
        self._failed = Counter(
            "cashman_commit_failures", "Changes that the database could not take.", registry=registry
        )
        self._waiting = Gauge(
            "cashman_changes_waiting",
            "Changes that have gathered for the next commit.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._connections = Gauge(
            "cashman_database_connections",
            "Connections to the database.",
            ["state"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._connections_max = Gauge(
            "cashman_database_connections_max",
            "How many connections the pools may come to.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._of_requests: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        observe = self._of_requests.get((method, route, status))
        if observe is None:
            observe = self._of_requests[method, route, status] = self._observer(method, route, status)
        observe(seconds)

    def _observer(self, method: str, route: str, status: int) -> Callable[[float], None]:
        """Finding what a set of labels stands for costs as much as counting, so it is kept."""
        counter = self._requests.labels(method, route, str(status))
        latency = self._latency.labels(method, route)

        def observe(seconds: float) -> None:
            counter.inc()
            latency.observe(seconds)

        return observe

    def commit(self, changes: int, run: Callable[[], Outcomes]) -> Outcomes:
        """Run a commit, and count it."""
        began = time.perf_counter()
        outcomes = run()
        self._commit.observe(time.perf_counter() - began)
        self._batch.observe(changes)
        failed = sum(isinstance(outcome, Exception) and not _is_a_callers(outcome) for outcome in outcomes)
        if failed:
            self._failed.inc(failed)
        return outcomes

    def sample(self, books: Books) -> None:
        """Note what goes up and down: every few seconds, as noting each change would cost every request."""
        pools = [pool for pool in books.database.pools() if isinstance(pool, QueuePool)]
        self._waiting.set(books.writer.waiting)
        self._connections.labels("in_use").set(sum(pool.checkedout() for pool in pools))
        self._connections.labels("idle").set(sum(pool.checkedin() for pool in pools))
        self._connections_max.set(sum(pool.size() + pool._max_overflow for pool in pools))

    def exposition(self, books: Books, accept: str) -> tuple[bytes, str]:
        """Everything in the format that is asked for, and its media type."""
        self.sample(books)
        folder = os.environ.get(FOLDER)
        shown = CollectorRegistry()
        if folder:
            MultiProcessCollector(shown, path=folder)
        else:
            shown.register(_All(self.registry))
        shown.register(_Now(books, _workers(folder)))
        encode, media_type = choose_encoder(accept)
        return encode(shown), media_type


def _is_a_callers(error: Exception) -> bool:
    return isinstance(error, Problem) and error.status < 500


@cache
def metrics() -> Metrics:
    """The metrics of this process."""
    return Metrics()


def _workers(folder: str | None) -> list[int]:
    """The processes that serve: whoever has died is taken out of the folder."""
    if not folder:
        return [os.getpid()]
    found = (_OF_A_WORKER.fullmatch(path.name) for path in Path(folder).iterdir())
    return sorted(int(name[1]) for name in found if name)


class _All(Collector):
    """What a registry holds, as part of another one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


class _Now(Collector):
    """What is looked up when it is asked for: the database, the disk, the processes."""

    def __init__(self, books: Books, workers: Sequence[int]) -> None:
        self._books = books
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        database = self._books.database
        build = GaugeMetricFamily("cashman_build_info", "This release; always 1.", labels=["version", "engine"])
        build.add_metric([__version__, database.engine.dialect.name], 1)
        yield build
        yield GaugeMetricFamily("cashman_workers", "Processes that serve.", len(self._workers))
        try:
            found = database.probe()
        except Exception:
            found = None
        yield GaugeMetricFamily("cashman_database_up", "Whether the database answers.", int(found is not None))
        if found is not None and found.head is not None:
            yield GaugeMetricFamily(
                "cashman_journal_head_sequence", "The newest entry in the journal of the own ledger.", found.head
            )
        if found is not None and found.free_bytes is not None:
            yield GaugeMetricFamily("cashman_disk_free_bytes", "What is free beside the database.", found.free_bytes)
        yield from self._processes()

    def _processes(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for pid in self._workers:
            for metric in ProcessCollector("cashman", lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    family.add_sample(sample.name, {"pid": str(pid)}, sample.value)
        return families.values()
