"""Proof of the books, and their journal to keep: `cashman verify`, `cashman journal`."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final

import click
import msgspec
from sqlalchemy import Connection, func, select

from cashman.cli.service import open_books, open_service
from cashman.cli.tables import as_json, progress_bar
from cashman.db import table
from cashman.journal import Head
from cashman.limits import FEED_ENTRIES_MAX
from cashman.model.ledger import JournalHead
from cashman.model.transaction import Transaction
from cashman.verify import Tampered, parse_receipt
from cashman.verify import verify as verify_books

STEP_ROWS: Final = 1_000


class Receipt(click.ParamType[Head]):
    """SEQUENCE:HASH, as the header Cashman-Head gives it."""

    name = "SEQUENCE:HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        try:
            return parse_receipt(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--head", type=Receipt(), help="A receipt kept outside, which has to be in the chain.")
@as_json
def verify(head: Head | None, json: bool) -> None:
    """Prove the books from their journal.

    Exit status 0: sound. 1: tampered, and the first bad row is named. 2: could not be checked.
    """
    database = open_books().database
    try:
        with progress_bar("Verifying", database.read(_rows)) as bar:
            ledgers = verify_books(database, head, lambda rows: _followed(rows, bar))
    except Tampered as finding:
        click.echo(f"TAMPERED: {finding}", err=True)
        sys.exit(1)
    if json:
        told = ({**asdict(ledger), "head": str(ledger.head)} for ledger in ledgers)
        click.echo(msgspec.json.encode(list(told)))
        return
    for ledger in ledgers:
        click.echo(
            f"sound: ledger {ledger.ledger}, {ledger.entries} entries, "
            f"{ledger.transactions} transactions, head {ledger.head}"
        )


def _rows(connection: Connection) -> int:
    """How many rows a verification goes along."""
    entries = connection.execute(select(func.sum(table(JournalHead).c.sequence))).scalar() or 0
    return int(entries) + connection.execute(select(func.count()).select_from(table(Transaction))).scalar_one()


def _followed(rows: Iterable[Any], bar: Any) -> Iterator[Any]:
    """The rows as they are; now and then the bar is told how many."""
    count = 0
    for count, row in enumerate(rows, 1):
        if not count % STEP_ROWS:
            bar.update(STEP_ROWS)
        yield row
    bar.update(count % STEP_ROWS)


@click.command()
@click.option("--after", default=0, show_default=True, help="The sequence number of the last entry that you have.")
def journal(after: int) -> None:
    """Write the journal to standard output as NDJSON, as GET /journal gives it: to keep, and to check elsewhere."""
    for page in open_service().pages("/journal", [("after", str(after)), ("limit", str(FEED_ENTRIES_MAX))]):
        for row in page.rows():
            click.echo(bytes(row))
