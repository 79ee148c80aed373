"""POST /expenses with an Idempotency-Key on every request, against the toy's plain POST."""

from benchmarks import servers
from benchmarks.options import Options
from benchmarks.report import Comparison, Report
from benchmarks.writes_and_reads import EXPENSE, TOY_BROKEN_MAX, check_rows, measure

TITLE = "Durable writes, each with a key of its own"


def run(options: Options) -> Report:
    """Measure both servers in turn; the toy knows no keys and is sent none."""
    write = Comparison("POST /expenses, keyed")
    acknowledged = in_flight = 0
    for _ in range(options.rounds):
        with servers.toy() as toy:
            write.toy.append(measure(options, toy, "/expenses", EXPENSE, broken_max=TOY_BROKEN_MAX))
        with options.fresh_ledger() as url, servers.cashman(url, parser=options.parser) as cashman:
            sample = measure(options, cashman, "/expenses", EXPENSE, keyed=True)
            write.cashman.append(sample)
            in_flight += check_rows(cashman, sample, options.connections)
            acknowledged += sample.requests_of_all_tries
    checks = [
        "no answer was outside 2xx",
        f"{acknowledged:,} POSTs were acknowledged and each key made one row; "
        f"{in_flight} more were in flight when wrk hung up",
        f"p99: {write.p99_ratio:.2f} of the toy's",
    ]
    return Report(TITLE, options.conditions(), [write], checks)
