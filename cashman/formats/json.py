"""JSON: a whole ledger as one document, or an array of transactions as GET /transactions gives them. Lossless."""

import json
from collections.abc import Iterator
from typing import Final

import msgspec

from cashman.formats.documents import Number, account_of, members, read_documents, shown, shown_account
from cashman.formats.records import Books, Item, Options, unreadable
from cashman.formats.source import Source
from cashman.translations import message

NAME: Final = "json"
MEDIA_TYPE: Final = "application/json"
SUFFIXES: Final = (".json",)

_ROWS_AT_ONCE: Final = 500


def recognizes(head: str) -> bool:
    """Whether a file begins as a document of JSON that holds others."""
    start = head.lstrip()
    return start.startswith("[") or (start.startswith("{") and not _is_line(start))


def _is_line(start: str) -> bool:
    """Whether the first line is a whole document, with another one after it, or alone and a transaction."""
    line, _, rest = start.partition("\n")
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return rest.lstrip().startswith("{") or "transactions" not in document


def read(source: Source, options: Options) -> Iterator[Item]:
    """The accounts and transactions of a document; `line` counts its transactions, from 1."""
    try:
        document = json.loads(source.text(), parse_float=Number, parse_constant=Number, object_pairs_hook=members)
    except json.JSONDecodeError as error:
        raise unreadable(message("Not a JSON document: it breaks off or is damaged here."), error.lineno) from None
    except (RecursionError, ValueError):
        raise unreadable(message("Not a JSON document that can be read.")) from None
    accounts = []
    if isinstance(document, dict):
        accounts, document = document.get("accounts", []), document.get("transactions")
    if not isinstance(document, list) or not isinstance(accounts, list):
        raise unreadable(message("A JSON array of transactions is needed, or an object with `transactions`."))
    for account in accounts:
        yield account_of(account, 1)
    yield from read_documents(enumerate(document, 1))


def write(books: Books) -> Iterator[str]:
    """One object: the ledger, its accounts, and its transactions, each on a line of its own."""
    encode = msgspec.json.Encoder().encode
    ledger = encode({"ledger": books.ledger, "currency": books.currency}).decode()
    accounts = ",\n".join(encode(shown_account(account)).decode() for account in books.accounts)
    yield f'{ledger[:-1]},\n"accounts":[\n{accounts}\n],\n"transactions":['
    mark, part = "\n", []
    for row in books.rows:
        part.append(mark + shown(row))
        mark = ",\n"
        if len(part) == _ROWS_AT_ONCE:
            yield "".join(part)
            part.clear()
    yield "".join([*part, "\n]}\n"])
