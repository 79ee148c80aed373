"""Proof of the books, and their journal to keep: `cashman verify`, `cashman journal`."""

import sys
from typing import Any

import click

from cashman.cli.service import open_books, open_service
from cashman.journal import Head
from cashman.limits import FEED_ENTRIES_MAX
from cashman.verify import Tampered, parse_receipt
from cashman.verify import verify as verify_books


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
def verify(head: Head | None) -> None:
    """Prove the books from their journal.

    Exit status 0: sound. 1: tampered, and the first bad row is named. 2: could not be checked.
    """
    try:
        for ledger in verify_books(open_books().database, head):
            click.echo(
                f"sound: ledger {ledger.ledger}, {ledger.entries} entries, "
                f"{ledger.transactions} transactions, head {ledger.head}"
            )
    except Tampered as finding:
        click.echo(f"TAMPERED: {finding}", err=True)
        sys.exit(1)


@click.command()
@click.option("--after", default=0, show_default=True, help="The sequence number of the last entry that you have.")
def journal(after: int) -> None:
    """Write the journal to standard output as NDJSON, as GET /journal gives it: to keep, and to check elsewhere."""
    for page in open_service().pages("/journal", [("after", str(after)), ("limit", str(FEED_ENTRIES_MAX))]):
        for row in page.rows():
            click.echo(bytes(row))
