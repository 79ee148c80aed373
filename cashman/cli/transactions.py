"""Record, and look up: `cashman add`, `cashman list`."""

import re
import time
import uuid
from http import HTTPStatus
from typing import Any, Final

import click
import msgspec

from cashman.cli.filters import DAY, filters, query_of
from cashman.cli.service import Answer, Refused, Service, Unreachable, open_service, read_row
from cashman.cli.tables import Column, JsonArray, as_json, plain, show_table, text_of
from cashman.limits import PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX

RESOURCES: Final = {"income": "/incomes", "expense": "/expenses", "transfer": "/transfers"}
RETRY_SECONDS: Final = 1.0

_NEGATIVE: Final = re.compile(r"-[0-9][0-9.,]*", re.ASCII)
_MINUS: Final = "\N{MINUS SIGN}"
"""What stands for a minus while options are looked for; typed as itself, it means the same."""

TRANSACTIONS: Final = (
    Column("date"),
    Column("description", shrinks=True),
    Column("payee", shrinks=True),
    Column("category", shrinks=True),
    Column("tags", shrinks=True),
    Column("status"),
    Column("amount", number=True),
    Column("currency", ""),
    Column("account", shrinks=True),
    Column("id", dropped=True),
)
TRANSFERS: Final = (
    Column("date"),
    Column("description", shrinks=True),
    Column("from", shrinks=True),
    Column("amount", number=True),
    Column("currency", ""),
    Column("to", shrinks=True),
    Column("to_amount", "amount", number=True),
    Column("to_currency", ""),
    Column("status"),
    Column("id", dropped=True),
)


class Signed(click.Command):
    """A command whose amount may begin with a minus, as it is shown, and is no option for that."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before = ["", *(argument.lower() for argument in args)]
        pairs = zip(before, args, strict=False)
        hidden = [
            f"{_MINUS}{argument[1:]}" if type_ in RESOURCES and _NEGATIVE.fullmatch(argument) else argument
            for type_, argument in pairs
        ]
        return super().parse_args(ctx, hidden)


@click.command(cls=Signed)
@click.argument("type_", metavar="expense|income", type=click.Choice(["expense", "income"], case_sensitive=False))
@click.argument("amount")
@click.argument("words", nargs=-1, required=True)
@click.option("--account", metavar="NAME", help="The account; main without it.")
@click.option("--category", metavar="PATH", help="As Food:Restaurant.")
@click.option("--tag", multiple=True, metavar="TAG", help="May be repeated.")
@click.option("--payee", metavar="NAME", help="Who got it, or gave it.")
@click.option("--date", metavar=DAY, help="The day; today without it.")
@click.option("--notes", metavar="TEXT")
@click.option("--currency", metavar="CODE", help="That of the account without it.")
@click.option("--status", type=click.Choice(["posted", "pending"]))
@click.option("--key", metavar="KEY", help="A key of your own: under the same one nothing is booked twice.")
@as_json
def add(
    type_: str, amount: str, words: tuple[str, ...], tag: tuple[str, ...], key: str | None, json: bool, **given: Any
) -> None:
    """Record an expense or an income: `cashman add expense 50 pizza`.

    The words at the end are what it is called.
    """
    document = {name: value for name, value in given.items() if value is not None}
    document |= {"description": " ".join(words), "amount": amount.replace(_MINUS, "-")}
    if tag:
        document["tags"] = tag
    headers = {
        "Content-Type": "application/json",
        "Prefer": "return=representation",
        "Idempotency-Key": key or str(uuid.uuid4()),
    }
    answer = _write(open_service(makes=True), RESOURCES[type_], msgspec.json.encode(document), headers)
    body = answer.body()
    if json:
        click.echo(body)
        return
    booked = read_row(msgspec.Raw(body))
    again = " (booked before, under this key)" if answer.headers.get("Idempotency-Replayed") else ""
    click.echo(
        f"{booked['date']}  {plain(booked['description'])}  {text_of(booked['amount'])} {booked['currency']}  "
        f"{plain(booked['account'])}  {booked['id']}{again}"
    )


def _write(service: Service, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Send a write, and once more where it may not have arrived: its key keeps it from being booked twice."""
    try:
        return service.request("POST", path, body=body, headers=headers)
    except Unreachable:
        pass
    except Refused as refused:
        if refused.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
    time.sleep(RETRY_SECONDS)
    return service.request("POST", path, body=body, headers=headers)


@click.command("list")
@click.option("--type", "type_", type=click.Choice(list(RESOURCES), case_sensitive=False), help="Only these.")
@filters
@click.option("--sort", metavar="ORDER", help="date, amount or created_at; with - in front the other way round.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=PAGE_ROWS_DEFAULT, show_default=True, help="At most so many."
)
@click.option("--all", "all_", is_flag=True, help="All of them.")
@as_json
def list_transactions(type_: str | None, limit: int, all_: bool, json: bool, **given: Any) -> None:
    """List transactions, the newest first, filtered by the options."""
    path = "/transactions" if type_ is None else RESOURCES[type_]
    left = None if all_ else limit
    query = [*query_of(given), ("limit", str(min(PAGE_ROWS_MAX, left or PAGE_ROWS_MAX)))]
    shown: list[dict[str, Any]] = []
    array = JsonArray()
    more = False
    for page in open_service().pages(path, query):
        rows = page.rows()
        if left is not None:
            more = page.next_query() is not None or len(rows) > left
            rows = rows[:left]
            left -= len(rows)
        if json:
            array.add(rows)
        else:
            shown += map(_shown, rows)
        if left == 0:
            break
    if json:
        array.end()
        return
    if not shown:
        click.echo("There are none.", err=True)
    show_table(shown, TRANSFERS if type_ == "transfer" else TRANSACTIONS)
    if more:
        click.echo(f"… and more: these are the first {limit}; --limit or --all shows the others.", err=True)


def _shown(row: msgspec.Raw) -> dict[str, Any]:
    """A row of the table; that it is posted goes without saying."""
    read: dict[str, Any] = read_row(row)
    return read if read["status"] != "posted" else {**read, "status": None}
