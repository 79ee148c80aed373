"""What the tests of import and export share: files in and out of a ledger, and what a ledger holds."""

import io
import itertools
import json
from typing import Any

from cashman import ledger as kernel
from cashman.exporting import Export
from cashman.formats import Options, Source
from cashman.import_change import Outcome
from cashman.importing import import_file
from cashman.ledger import Books, Ledger
from cashman.model.filter import Filter
from cashman.verify import verify

_numbers = itertools.count(1_000)

OVER_ANEW = ("created_at", "version")
"""What no import restores."""


def rows(*documents: dict[str, Any]) -> bytes:
    """A JSON file of transactions."""
    return json.dumps(documents).encode()


def coffee(day: int = 1, amount: Any = -3, description: str = "coffee", **fields: Any) -> dict[str, Any]:
    """A movement as a file without ids says it."""
    return {"date": f"2026-01-{day:02}", "amount": amount, "description": description, **fields}


def imported(
    ledger: Ledger,
    data: bytes | str,
    format_name: str | None = None,
    *,
    account: str | None = None,
    mapping: dict[str, Any] | None = None,
    **how: Any,
) -> Outcome:
    """What an import of a file came to."""
    source = Source(io.BytesIO(data.encode() if isinstance(data, str) else data))
    return import_file(ledger, source, format_name, Options(account, mapping), **how)


def exported(ledger: Ledger, format_name: str = "json", asked: Filter | None = None, *, lossless: bool = True) -> bytes:
    """An export as a whole."""
    export = Export(ledger, asked or Filter(), format_name, lossless=lossless)
    try:
        return b"".join(export)
    finally:
        export.close()


def content(ledger: Ledger) -> dict[str, Any]:
    """Accounts and transactions that stand, as a JSON export names them, but for what an import makes anew."""
    document = json.loads(exported(ledger), parse_float=str)
    accounts = {account["name"]: account for account in document["accounts"]}
    transactions = {
        row["id"]: {name: value for name, value in row.items() if name not in OVER_ANEW}
        for row in document["transactions"]
    }
    return {"accounts": accounts, "transactions": transactions}


def standing(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """The transactions that stand, by their ids."""
    found: dict[str, dict[str, Any]] = content(ledger)["transactions"]
    return found


def position(ledger: Ledger) -> int:
    """How many entries the journal has."""
    head = ledger.head()
    assert head is not None
    return head.sequence


def another_ledger(books: Books, currency: str = "USD") -> Ledger:
    """An empty ledger beside the others of a database."""
    number = next(_numbers)
    books.database.open()
    books.database.write(lambda connection: kernel.found_ledger(connection, number, currency, "owner", "owner"))
    return Ledger(books, number)


def outcomes(outcome: Outcome) -> list[tuple[int, str]]:
    """What became of which line."""
    return [(line.line, line.outcome) for line in outcome.lines]


def sound(ledger: Ledger) -> None:
    """Prove all books of the database."""
    verify(ledger.books.database)
