"""Balances and reports: `cashman balance`, `cashman report`."""

from collections.abc import Sequence
from typing import Any, Final

import click

from cashman.cli.filters import DAY, query_of
from cashman.cli.service import open_service
from cashman.cli.tables import Column, as_json, show_table

BALANCES: Final = (
    Column("account", shrinks=True),
    Column("balance", number=True),
    Column("available", number=True),
    Column("currency", ""),
    Column("as_of"),
)
FIGURES: Final = ("income", "expense", "net", "count")
CASHFLOW: Final = (
    Column("month"),
    Column("currency"),
    *(Column(name, number=True) for name in ("opening", "income", "expense", "transfers", "closing")),
)


@click.command()
@click.option("--as-of", metavar=DAY, help="At the end of this day; today without it.")
@as_json
def balance(json: bool, **given: Any) -> None:
    """Show what is in each account, and what is available once all that is pending is booked."""
    _show("/balances", given, BALANCES, json=json)


@click.command()
@click.argument("which", type=click.Choice(["summary", "cashflow"]), default="summary")
@click.option("--from", "from_", metavar=DAY, help="The first day.")
@click.option("--to", metavar=DAY, help="The last day.")
@click.option(
    "--by", multiple=True, metavar="WHAT",
    help="month, quarter, year, week or day; category, account, payee, tag or currency. May be given twice.",
)  # fmt: skip
@click.option("--depth", type=int, help="How many names of a category's path are kept.")
@click.option("--account", metavar="NAME", help="Only this account.")
@click.option("--category", metavar="PATH", help="Only this category, and all below it.")
@click.option("--currency", metavar="CODE", help="Only this currency.")
@click.option("--compare", type=click.Choice(["previous"]), help="Beside the period before.")
@as_json
def report(which: str, by: tuple[str, ...], json: bool, **given: Any) -> None:
    """Add up what came in and went out: `cashman report --by month`.

    `cashman report cashflow` shows what each month began with, what came, went and moved, and what it ended with.
    """
    if which == "cashflow":
        _show("/reports/cashflow", {**given, "by": by}, CASHFLOW, json=json)
        return
    keys = [Column(name, shrinks=True) for name in dict.fromkeys((*by, "currency"))]
    figures = [Column(name, number=True) for name in FIGURES]
    before = [Column(f"previous_{name}", number=True) for name in FIGURES]
    _show("/reports/summary", {**given, "by": by}, (*keys, *figures, *before), json=json)


def _show(path: str, given: dict[str, Any], columns: Sequence[Column], *, json: bool) -> None:
    answer = open_service().request("GET", path, query_of(given))
    if json:
        click.echo(answer.body())
        return
    rows = [
        {**row, **{f"previous_{name}": value for name, value in row.get("previous", {}).items()}}
        for row in answer.document()
    ]
    if not rows:
        click.echo("There is nothing to add up.", err=True)
    show_table(rows, columns)
