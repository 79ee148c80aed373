"""Something to look at: `cashman demo`."""

import click

from cashman.changes import Request
from cashman.cli.service import COMMAND_LINE, open_local
from cashman.demo import fill
from cashman.errors import ConfigurationError


@click.command()
def demo() -> None:
    """Give an empty ledger a made-up year of a household, to look at.

    Only a ledger in which nothing was ever done; in any other nothing is booked, and the exit status is 2.
    """
    service = open_local(makes=True)
    ledger = service.books.ledger(service.caller.home)
    made = fill(ledger, Request(COMMAND_LINE))
    if not made:
        raise ConfigurationError("the ledger has been used: a year is made up in an empty one only")
    click.echo(f"{made} transactions of a made-up year are booked: try `cashman balance`, `cashman report --by month`")
