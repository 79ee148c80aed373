"""What the command line says about a run."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from benchmarks import machine
from benchmarks.servers import REPOSITORY, Unusable

OTHERS_MAX = 0.1
"""The share of the cores that other programs may take before a sample counts as disturbed."""


@dataclass(frozen=True)
class Options:
    """How long, how often, how many at once, and where."""

    seconds: int = 10
    rounds: int = 3
    connections: int = 64
    folder: Path = REPOSITORY / "instance"
    transactions: int = 1_000_000
    """How many the large ledger holds."""
    keep: Path | None = None
    """Where filled SQLite files are kept for the next run; filling takes minutes."""
    database_url: str | None = None
    """PostgreSQL instead of a SQLite file."""
    parser: str = "auto"
    quiet_seconds: int = 60
    """How long to wait at most for other programs to leave the cores alone, before each sample."""

    tries: int = 3
    """How often a sample is taken at most, while other programs take more than OTHERS_MAX of the cores."""

    def conditions(self) -> list[str]:
        """What a figure means only together with."""
        store = "PostgreSQL" if self.database_url else f"SQLite on {machine.file_system(self.folder)}"
        return [
            *machine.describe(),
            f"wrk -t1 -c{self.connections} -d{self.seconds}s, {self.rounds} rounds in turn, 2 workers on both sides",
            f"the toy: sync workers, HTTP parsed in Python; Cashman: as it ships, --http-parser {self.parser}, {store}",
        ]

    @contextlib.contextmanager
    def fresh_ledger(self, name: str = "benchmark") -> Iterator[str]:
        """The URL of a database with nothing in it, on a real disk; it is removed afterwards.

        Two at a time have to have two names.
        """
        if self.database_url is not None:
            with _fresh_postgresql(self.database_url, f"cashman_{name}") as url:
                yield url
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        kind = machine.file_system(self.folder)
        if kind in ("tmpfs", "ramfs"):
            raise Unusable(f"{self.folder} is on {kind}: a durable write costs nothing there (--folder names another)")
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=self.folder) as folder:
            yield f"sqlite:///{folder}/cashman.db"


@contextlib.contextmanager
def _fresh_postgresql(url: str, name: str) -> Iterator[str]:
    """A database of its own on the server that a URL names."""
    server = make_url(url).set(drivername="postgresql+psycopg")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    drop = text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    with engine.connect() as connection:
        connection.execute(drop)
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(drop)
        engine.dispose()
