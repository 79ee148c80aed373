"""The filters of every list as options."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DAY: Final = "YYYY-MM-DD"

_OPTIONS: Final = (
    click.option("--from", "from_", metavar=DAY, help="The first day."),
    click.option("--to", metavar=DAY, help="The last day."),
    click.option("--min-amount", metavar="AMOUNT", help="At least so much, without a sign."),
    click.option("--max-amount", metavar="AMOUNT", help="At most so much, without a sign."),
    click.option("--currency", metavar="CODE", help="As EUR."),
    click.option("--account", metavar="NAME", help="On this account."),
    click.option("--category", metavar="PATH", help="In this category, or below it."),
    click.option("--tag", multiple=True, metavar="TAG", help="With this tag; with all of them, if repeated."),
    click.option("--payee", metavar="NAME", help="Exactly this payee."),
    click.option("--status", type=click.Choice(["posted", "pending"])),
    click.option("--group", metavar="ID", help="What was booked together."),
    click.option("--q", metavar="WORDS", help="With these words, in description, payee, notes or tags."),
)


def filters(command: Command) -> Command:
    """Give a command the options that say which transactions."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def query_of(given: dict[str, Any]) -> list[tuple[str, str]]:
    """What was given as the parameters of a query."""
    query = []
    for name, value in given.items():
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        query += [(name.rstrip("_"), str(one)) for one in values]
    return query
