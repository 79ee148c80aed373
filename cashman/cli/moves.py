"""All of the books at once: `cashman backup`, `cashman restore`, `cashman copy`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from cashman import config, db, migrations, moving
from cashman.cli.problems import BROKEN
from cashman.cli.tables import as_json, plain
from cashman.errors import ConfigurationError
from cashman.verify import Tampered

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@as_json
def backup(file: Path, force: bool, json: bool) -> None:
    """Write everything into FILE, while the service goes on to serve, and verify it.

    FILE holds all that was acknowledged before: every ledger with its journal, users, members, API keys as hashes,
    and kept answers. It is one SQLite file, whatever the database is, for `cashman restore`. What tokens are signed
    with is not in it.

    Exit status 0: done, and sound. 1: the books are not sound. 2: it could not be done. Only 0 leaves a file.
    """
    with _here() as database, _moving("Backing up") as progress:
        _check_existing(database)
        moved = moving.back_up(database, file, force=force, progress=progress)
    _show(moved, f"backed up to {file}", json=json)


@click.command()
@click.argument("file", type=_FILE)
@as_json
def restore(file: Path, json: bool) -> None:
    """Bring a backup into an empty place, and verify it there.

    The place is where CASHMAN_DATABASE_URL says, of either engine: nothing may be there, or books that were never
    used, and no service may run on it. Everybody signs in again; passwords and API keys are those of the backup.

    Exit status 0: done, and sound. 1: the file is damaged. 2: it could not be done. Only 0 changes the place.
    """
    with _here() as database, _moving("Restoring") as progress:
        moved = moving.restore(file, database, progress=progress)
    _show(moved, f"restored from {file}", json=json)


@click.command()
@click.option("--to", required=True, metavar="URL", help="A database of either engine, and empty.")
@as_json
def copy(to: str, json: bool) -> None:
    """Copy everything to another database, such as from SQLite to PostgreSQL, and prove that it is the same there.

    Books that go on to be written are copied as they were at the beginning: to move, stop the service first.

    Exit status 0: done, and equal. 1: the books are not sound. 2: it could not be done. Only 0 changes the other.
    """
    try:
        target = db.connect(to)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("CASHMAN_DATABASE_URL", "--to")) from None
    with _here() as database, closing(target), _moving("Copying") as progress:
        _check_existing(database)
        moved = moving.copy(database, target, progress=progress)
    _show(moved, "copied", json=json)


@click.command()
@click.option(
    "--service-role", metavar="NAME", help="A role of PostgreSQL's that may then serve, and no more than that."
)
def migrate(service_role: str | None) -> None:
    """Bring the database to this release's schema, as the role that owns it.

    Where the service's own role owns it too, as always on SQLite, each start does the same. NAME may then write all
    that a service writes, and neither change the schema nor update or delete what is in the journal.
    """
    with _here() as database:
        database.migrate()
        if service_role is not None:
            database.grant(service_role)
    click.echo(f"at schema {migrations.HEAD}")


@contextmanager
def _here() -> Iterator[db.Database]:
    """The database of the settings, which nothing founds."""
    reach = click.get_current_context().find_root().obj
    if reach is not None and (reach.url is not None or reach.ledger is not None):
        raise click.UsageError("This is about the database itself and all its ledgers: not with --url or --ledger.")
    with closing(db.connect(config.load(os.environ).database_url)) as database:
        yield database


def _check_existing(database: db.Database) -> None:
    if not database.exists():
        raise ConfigurationError("there are no books where CASHMAN_DATABASE_URL says")


@contextmanager
def _moving(label: str) -> Iterator[Any]:
    """A bar on standard error, where that is a terminal; what was begun is taken back where it ends early."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

            def progress(done: int, total: int) -> None:
                bar.length = total
                bar.update(max(0, done - bar.pos))

            yield progress
    except Tampered as finding:
        click.echo(f"cashman: {plain(str(finding))}", err=True)
        sys.exit(BROKEN)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: Any) -> NoReturn:
    sys.exit(128 + number)


def _show(moved: moving.Moved, what: str, *, json: bool) -> None:
    if json:
        ledgers = [
            {
                "ledger": ledger.ledger,
                "entries": ledger.entries,
                "transactions": ledger.transactions,
                "head": str(ledger.head),
            }
            for ledger in moved.ledgers
        ]
        told = {"ledgers": ledgers, "seconds": round(moved.seconds, 3), "bytes": moved.bytes}
        click.echo(msgspec.json.encode(told))
        return
    for ledger in moved.ledgers:
        click.echo(
            f"sound: ledger {ledger.ledger}, {ledger.entries} entries, "
            f"{ledger.transactions} transactions, head {ledger.head}"
        )
    click.echo(f"{plain(what)}: {moved.bytes} bytes in {moved.seconds:.1f} s")
