"""Pages, filters, search and reports at a million transactions, beside a thousand and beside the toy."""

import contextlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from cashman.model.transaction_type import TransactionType

from benchmarks import household, machine, servers
from benchmarks.at_a_million import post_batch
from benchmarks.load import Client, Sample
from benchmarks.options import Options
from benchmarks.questions import PART_MONTHS, REPORTS, UNBOUNDED_FILTERS, cursor_secret, filters, pages, part_months
from benchmarks.report import ROW_HEADINGS, Row, figure, p99, table
from benchmarks.servers import Server, Unusable
from benchmarks.writes_and_reads import EXPENSE, PAGE, ROWS, TOY_BROKEN_MAX, check_rows, measure

TITLE = "Reading: pages, filters, search and reports"
ASKED = 60
"""How often each report is asked for in a round, in each of WAYS."""
TOO_LONG_MS = 10_000
"""What is not waited for: by the last of all clients, or by one client for one filter or one report in a round."""
MEMORY_MB_MAX = 150
POST_BOUNDS = {False: (0.61, 0.81), True: (0.35, 0.46)}
"""Three quarters of what a POST was of the toy's before totals and stems were kept, and all of it; by PostgreSQL."""
FULL_EXPENSE = json.dumps(
    {
        "description": "a pizza among friends",
        "amount": 50,
        "category": household.CATEGORIES[7],
        "payee": household.PAYEES[7],
        "tags": household.TAGS[7:9],
        "notes": "paid in the evening, two of them with everything",
    }
)
EARLIER_EXPENSE = json.dumps({"description": "pizza", "amount": 50, "date": "2021-03-04"})
"""What is written between two reports: within their five years, and outside of the planted month."""

AGAIN, DIFFERENT, AFTER_WRITE = "the same again", "a different one each time", "the same, first after a write"
WAYS = (DIFFERENT, AFTER_WRITE, AGAIN)
"""The service may keep an answer as long as the head and the query stay: then only DIFFERENT and AFTER_WRITE work."""


@dataclass
class Reading:
    """All that was measured, and its tables."""

    title: str
    conditions: list[str]
    rows: list[Row]
    samples: list[tuple[str, ...]]
    reports: list[tuple[str, ...]]
    checks: list[str]

    def text(self) -> str:
        """All of it as Markdown."""
        parts = [
            [f"- {line}" for line in self.conditions],
            table([ROW_HEADINGS, *(row.cells() for row in self.rows)]),
            [f"- {line}" for line in self.checks],
            ["Each load (medians of the rounds):"],
            table([("load", "on", "req/s", "p99 ms", "server CPU µs a request", "others' CPU"), *self.samples]),
            ["Each report, one client alone (medians of the rounds, ms: p50 / p99):"],
            table([("report", "asked", SMALL_LEDGER, LARGE_LEDGER), *self.reports]),
        ]
        return "\n".join([f"## {self.title}", "", *(line for part in parts for line in (*part, ""))])


@dataclass
class Loads:
    """The samples of wrk by what was asked and of whom, one a round."""

    options: Options
    of: dict[tuple[str, str], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    not_taken: dict[str, float] = field(default_factory=dict)
    """What is too slow for so many clients, and how many ms one client alone waited for it."""

    def take(self, what: str, server: Server, path: str | Sequence[str], body: str | None = None, **how: Any) -> Sample:
        """One more sample."""
        sample = measure(self.options, server, path, body, **how)
        self.of[what, server.name].append(sample)
        return sample

    def row(
        self, what: str, one: tuple[str, str], other: tuple[str, str], bound: float | None, aim: float | None
    ) -> Row:
        """Throughput against throughput: more is better."""
        mine, theirs = self.of[one], self.of[other]
        rates = [sample.per_second for sample in mine], [sample.per_second for sample in theirs]
        return Row(what, *rates, "req/s", bound, aim, at_most=False, others=_others(mine, theirs))

    def p99_row(
        self, what: str, one: tuple[str, str], other: tuple[str, str], bound: float | None, aim: float | None
    ) -> Row:
        """The slowest of a hundred against the slowest of a hundred, under load: less is better."""
        mine, theirs = self.of[one], self.of[other]
        slow = [sample.p99_ms for sample in mine], [sample.p99_ms for sample in theirs]
        return Row(what, *slow, "ms", bound, aim, others=_others(mine, theirs))

    def cells(self) -> list[tuple[str, ...]]:
        """Every load as it was, whatever it is compared with."""
        return [
            (
                what,
                name,
                figure([sample.per_second for sample in samples]),
                f"{median(sample.p99_ms for sample in samples):.1f}",
                f"{median(sample.server_cpu_us for sample in samples):.0f}",
                f"{median(sample.others for sample in samples):.0%} (at most {max(s.others for s in samples):.0%})",
            )
            for (what, name), samples in self.of.items()
        ]


def _others(*samples: Sequence[Sample]) -> list[float]:
    return [sample.others for some in samples for sample in some]


@dataclass
class Waits:
    """What one client alone waited, in ms, by what was asked, how, and of whom: a list a round."""

    of: dict[tuple[str, str, str], list[list[float]]] = field(default_factory=lambda: defaultdict(list))
    others: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """The share of the cores that other programs took meanwhile, by what was asked, one a round."""

    @contextlib.contextmanager
    def watched(self, what: str, *watched: Server) -> Iterator[None]:
        """Note what others take while one client asks these servers."""
        neighbours = machine.Neighbours([pid for server in watched for pid in machine.children(server.pid)])
        yield
        self.others[what].append(neighbours.share())

    def row(
        self,
        what: str,
        one: tuple[str, str, str],
        other: tuple[str, str, str],
        bound: float | None,
        aim: float | None,
        of: Callable[[Sequence[float]], float] = median,
    ) -> Row:
        """The median, or the p99, of each round against the other's."""
        waited = [of(some) for some in self.of[one]], [of(some) for some in self.of[other]]
        return Row(what, *waited, "ms", bound, aim, others=self.others[one[0]])

    def shown(self, *key: str) -> str:
        """The median and the p99 of a series, the median of the rounds."""
        rounds = self.of[key[0], key[1], key[2]]
        return f"{median(map(median, rounds)):.2f} / {median(map(p99, rounds)):.2f}"


# How it is measured.

SMALL_LEDGER, LARGE_LEDGER, YOUNG_LEDGER, TOY = "the small ledger", "the large ledger", "a new ledger", "the toy"
PLAIN, NEWEST, LAST = "GET /expenses?limit=100", "GET /transactions?limit=100, page 1", "GET /transactions, last page"
POST, POST_FULL = "POST /expenses, two members", "POST /expenses, with category, payee, tags and notes"


def run(options: Options) -> Reading:
    """Make both ledgers, then ask all servers in turn, round by round; writes come last in each."""
    loads, waits, in_flight = Loads(options), Waits(), 0
    with contextlib.ExitStack() as stack:
        small_url, small_said = stack.enter_context(household.ledger(options, household.SMALL, "small"))
        large_url, large_said = stack.enter_context(household.ledger(options, options.transactions, "large"))
        small = stack.enter_context(servers.cashman(small_url, parser=options.parser, name=SMALL_LEDGER))
        large = stack.enter_context(servers.cashman(large_url, parser=options.parser, name=LARGE_LEDGER))
        toy = stack.enter_context(servers.toy())
        paths = _paths((small, cursor_secret(small_url)), (large, cursor_secret(large_url)))
        _check(small, large, options)
        for _ in range(options.rounds):
            _load_pages(loads, toy, small, large, paths)
            _load_filters(loads, large, options)
            _wait_for_filters(waits, large, options, paths)
            _wait_for_reports(waits, small, large)
            in_flight += _load_writes(loads, toy, large)
        burst = post_batch(large)
        with Client(large) as client:
            after_burst = client.get(REPORTS["summary by month, five years"](0))
        memory = [machine.memory_megabytes(pid) for pid in machine.children(large.pid)]
    checks = [
        _memory_line(memory),
        *(
            f"**{name}**: one client waits {alone:,.0f} ms for it, so that {options.connections} were not set on it"
            for name, alone in loads.not_taken.items()
        ),
        f"a batch of {household.BATCH:,} was taken at {burst:,.0f} a second, and the first report after it came in "
        f"{after_burst:.1f} ms",
        f"no answer was outside 2xx; the new ledgers hold every acknowledged POST, and {in_flight} more that "
        "were in flight when wrk hung up",
    ]
    return Reading(
        TITLE,
        [*options.conditions(), *_explanations(paths), small_said, large_said],
        _rows(loads, waits, options),
        loads.cells(),
        _report_cells(waits),
        checks,
    )


def _explanations(paths: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    different = min(len(some) for some in paths.values())
    return [
        f"the small ledger: {household.SMALL - household.PLANTED:,} transactions over five years and those of the "
        f"planted month, {household.PLANTED:,}, which the large one holds alike; {len(household.ACCOUNTS)} accounts, "
        f"{len(household.CATEGORIES)} categories, {len(household.PAYEES)} payees, {len(household.TAGS)} tags",
        f"{AGAIN}: one URL, whose answer the service may keep; {DIFFERENT}: {different:,} pages or more in turn, or "
        "as many queries as are made",
        f"reports: one client alone, {ASKED} times a round each way, the two ledgers in turn; a write before each",
    ]


def _paths(small: tuple[Server, bytes], large: tuple[Server, bytes]) -> dict[tuple[str, str], list[str]]:
    expense = TransactionType.EXPENSE
    return {
        (PLAIN, SMALL_LEDGER): pages(*small, "-date", expense),
        (PLAIN, LARGE_LEDGER): pages(*large, "-date", expense),
        (NEWEST, LARGE_LEDGER): pages(*large, "-date"),
        (LAST, LARGE_LEDGER): pages(*large, "date"),
    }


def _check(small: Server, large: Server, options: Options) -> None:
    """A rare word has its hits, and what both ledgers hold alike reads alike."""
    path = filters(options.transactions)[f"q with {household.RARE_HITS} hits"](0)
    hits = len(json.loads(large.request("GET", path)[2]))
    if hits != household.RARE_HITS:
        raise Unusable(f"{path} has {hits} hits, not {household.RARE_HITS}")
    for name in REPORTS:
        if "planted" in name:
            one, other = (server.request("GET", REPORTS[name](0)) for server in (small, large))
            if one[0] != 200 or one[2] != other[2]:
                raise Unusable(f"{name}: the two ledgers differ")


def _load_pages(
    loads: Loads, toy: Server, small: Server, large: Server, paths: Mapping[tuple[str, str], list[str]]
) -> None:
    loads.take(f"{PLAIN}: {AGAIN}", toy, PAGE, broken_max=TOY_BROKEN_MAX)
    for server in (small, large):
        loads.take(f"{PLAIN}: {AGAIN}", server, PAGE)
        loads.take(f"{PLAIN}: {DIFFERENT}", server, paths[PLAIN, server.name])
    loads.take(f"{NEWEST}: {AGAIN}", large, "/transactions?limit=100")
    loads.take(f"{LAST}: {AGAIN}", large, paths[LAST, large.name][0])
    loads.take(f"{NEWEST}: {DIFFERENT}", large, paths[NEWEST, large.name])
    loads.take(f"{LAST}: {DIFFERENT}", large, paths[LAST, large.name])


def _load_filters(loads: Loads, large: Server, options: Options) -> None:
    for name, path in filters(options.transactions).items():
        with Client(large) as client:
            alone = min(client.get(path(number)) for number in range(2))
        # What is that slow would make so many clients wait until wrk gives up, and say nothing but that.
        if name in loads.not_taken or alone * options.connections > TOO_LONG_MS:
            loads.not_taken.setdefault(name, alone)
            continue
        loads.take(f"{name}: {AGAIN}", large, path(0))
        loads.take(f"{name}: {DIFFERENT}", large, [path(number) for number in range(3_000)])


def _wait_for_filters(
    waits: Waits, large: Server, options: Options, paths: Mapping[tuple[str, str], Sequence[str]]
) -> None:
    """One client asks for a page and by a filter in turn, never twice for the same; then by the next filter."""
    plain = paths[PLAIN, large.name]
    series: dict[str, list[float]] = defaultdict(list)
    for name, path in filters(options.transactions).items():
        with waits.watched(name, large), Client(large) as client:
            for number in range(ASKED * 5):
                series[PLAIN].append(client.get(plain[len(series[PLAIN]) % len(plain)]))
                series[name].append(client.get(path(number)))
                if sum(series[name]) > TOO_LONG_MS:
                    break
    for name, some in series.items():
        waits.of[name, DIFFERENT, large.name].append(some)


def _wait_for_reports(waits: Waits, small: Server, large: Server) -> None:
    """One client asks both ledgers in turn: after a write, again, and for another that was never asked before."""
    for name, path in {**REPORTS, PART_MONTHS: part_months}.items():
        series: dict[tuple[str, str], list[float]] = defaultdict(list)
        asked_before = len(waits.of[name, AGAIN, small.name]) * ASKED
        with waits.watched(name, small, large), Client(small) as first, Client(large) as second:
            for number in range(ASKED):
                for client in (first, second) if number % 2 else (second, first):
                    client.post("/expenses", EARLIER_EXPENSE)
                    series[AFTER_WRITE, client.server.name].append(client.get(path(0)))
                    series[AGAIN, client.server.name].append(client.get(path(0)))
                    series[DIFFERENT, client.server.name].append(client.get(path(asked_before + number + 1)))
                if sum(map(sum, series.values())) > TOO_LONG_MS:
                    break
        for (way, server), some in series.items():
            waits.of[name, way, server].append(some)


def _load_writes(loads: Loads, toy: Server, large: Server) -> int:
    """Writes to the toy, to a new ledger and to the large one; returns how many were in flight at the end."""
    options = loads.options
    loads.take(POST, toy, "/expenses", EXPENSE, broken_max=TOY_BROKEN_MAX)
    in_flight = 0
    for what, body in ((POST, EXPENSE), (POST_FULL, FULL_EXPENSE)):
        with (
            options.fresh_ledger("young") as url,
            servers.cashman(url, parser=options.parser, name=YOUNG_LEDGER) as young,
        ):
            in_flight += check_rows(young, loads.take(what, young, "/expenses", body), options.connections)
        loads.take(what, large, "/expenses", body)
    return in_flight


def _rows(loads: Loads, waits: Waits, options: Options) -> list[Row]:
    """The table: what has to hold, in the order of the promises."""
    rows = []
    for way in (AGAIN, DIFFERENT):
        plain, toy = f"{PLAIN}: {way}", (f"{PLAIN}: {AGAIN}", TOY)
        rows += [
            loads.row(f"{plain}, small beside the toy", (plain, SMALL_LEDGER), toy, 1.5, 2.4),
            loads.row(f"{plain}, large beside the toy", (plain, LARGE_LEDGER), toy, 1.5, 2.4),
            loads.row(f"{plain}, large beside small", (plain, LARGE_LEDGER), (plain, SMALL_LEDGER), 0.8, 1.0),
            loads.row(
                f"page {options.transactions // ROWS:,} beside page 1: {way}",
                (f"{LAST}: {way}", LARGE_LEDGER),
                (f"{NEWEST}: {way}", LARGE_LEDGER),
                0.8,
                1.0,
            ),
        ]
    for name in filters(options.transactions):
        bound, aim = (None, None) if name in UNBOUNDED_FILTERS else (3.0, 1.5)
        for way in (AGAIN, DIFFERENT) if name not in loads.not_taken else ():
            one, other = (f"{name}: {way}", LARGE_LEDGER), (f"{PLAIN}: {way}", LARGE_LEDGER)
            rows.append(loads.p99_row(f"{name}, p99 beside the page's: {way}", one, other, bound, aim))
        one, other = (name, DIFFERENT, LARGE_LEDGER), (PLAIN, DIFFERENT, LARGE_LEDGER)
        rows.append(waits.row(f"{name}, p99 beside the page's: one client, {DIFFERENT}", one, other, bound, aim, p99))
    for name in (*REPORTS, PART_MONTHS):
        bound, aim = (None, None) if name == PART_MONTHS else (2.0, 1.1)
        for way in WAYS:
            large, small = (name, way, LARGE_LEDGER), (name, way, SMALL_LEDGER)
            rows.append(waits.row(f"{name}: {way}, large beside small", large, small, bound, aim))
    for name in REPORTS:
        after, before = (name, AFTER_WRITE, LARGE_LEDGER), (name, DIFFERENT, LARGE_LEDGER)
        rows.append(waits.row(f"{name}: first after a write beside before", after, before, 1.2, 1.0))
    toy = (POST, TOY)
    for what, server in (
        (POST, YOUNG_LEDGER),
        (POST, LARGE_LEDGER),
        (POST_FULL, YOUNG_LEDGER),
        (POST_FULL, LARGE_LEDGER),
    ):
        bound, aim = POST_BOUNDS[options.database_url is not None] if what == POST else (None, None)
        rows.append(loads.row(f"{what}: {server} beside the toy", (what, server), toy, bound, aim))
    return rows


def _report_cells(waits: Waits) -> list[tuple[str, ...]]:
    return [
        (name, way, waits.shown(name, way, SMALL_LEDGER), waits.shown(name, way, LARGE_LEDGER))
        for name in (*REPORTS, PART_MONTHS)
        for way in WAYS
    ]


def _memory_line(workers: Sequence[Mapping[str, float]]) -> str:
    most = max(worker["VmRSS"] for worker in workers)
    held = "holds" if most < MEMORY_MB_MAX else "**does not hold**"
    each = "; ".join(
        f"{worker['VmRSS']:.0f} MB, {worker['RssAnon']:.0f} MB without mapped files, {worker['VmHWM']:.0f} MB at most"
        for worker in workers
    )
    return f"memory of the workers of {LARGE_LEDGER} after all of this: {each} (under {MEMORY_MB_MAX} MB: {held})"
