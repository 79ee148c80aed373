"""Plain-text accounting, the way out: transactions as postings, on accounts and categories under names of their own."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from cashman.formats.entries import EXACT
from cashman.formats.records import Booked, Books
from cashman.model.currency import CURRENCIES
from cashman.model.transaction_type import TransactionType

_PART_GROUPS: Final = 300
"""How many transactions are written at once."""
_LIABILITIES: Final = ("card", "loan")


class Declaration(msgspec.Struct):
    """An account or a category as it is declared in an export."""

    name: str
    """What it is called there."""
    words: dict[str, str]
    """What Cashman says of it."""
    currency: str | None = None


class OutgoingNames:
    """Under which names accounts and categories go out: each its own, whatever they are called here."""

    def __init__(self, books: Books, clean: Callable[[str], str], kept: Callable[[str], bool]) -> None:
        self._clean = clean
        self._taken = {"Equity:Opening-Balances"}
        self._next: dict[str, int] = {}
        self.accounts: dict[str, str] = {}
        self.categories: dict[tuple[str, str | None], str] = {}
        self.declarations: list[Declaration] = []
        # First those that keep their names, so that no other is given one of them.
        for account in sorted(books.accounts, key=lambda account: not kept(account["name"])):
            self._add_account(account, kept(account["name"]))
        for type_, root in (("EXPENSE", "Expenses"), ("INCOME", "Income")):
            self._add_category(type_, None, f"{root}:Uncategorized")
        chosen = [
            (type_, path, f"{'Expenses' if type_ == 'EXPENSE' else 'Income'}:{path}")
            for type_, path in books.categories
        ]
        for type_, path, full in sorted(chosen, key=lambda category: clean(category[2]) != category[2]):
            if (type_, path) not in self.categories:
                self._add_category(type_, path, full)

    def _add_account(self, account: Mapping[str, object], kept: bool) -> None:
        name = str(account["name"])
        root = "Liabilities" if account["kind"] in _LIABILITIES else "Assets"
        own = self._own(name if kept else self._clean(f"{root}:{name}"))
        words = {} if own == name else {"name": name}
        if account["kind"] is not None:
            words["kind"] = str(account["kind"])
        if account["closed"]:
            words["closed"] = "yes"
        if account["opening_date"] is not None and not account["opening_minor_units"]:
            words["opening-date"] = str(account["opening_date"])
        self.accounts[name] = own
        self.declarations.append(Declaration(own, words, str(account["currency"])))

    def _add_category(self, type_: str, path: str | None, full: str) -> None:
        own = self._own(self._clean(full))
        words = {} if path is not None and own == full else {"category": path or ""}
        self.categories[type_, path] = own
        self.declarations.append(Declaration(own, words))

    def _own(self, name: str) -> str:
        """The name, or the first with a number after it that nobody has."""
        chosen = name
        while chosen in self._taken:
            number = self._next[name] = self._next.get(name, 1) + 1
            chosen = f"{name}-{number}"
        self._taken.add(chosen)
        return chosen


class Line(msgspec.Struct):
    """One posting that goes out."""

    account: str
    amount: str
    currency: str
    words: dict[str, str] | None = None
    price: str | None = None
    """What it counts for as a whole, in another currency."""


def negated(amount: str) -> str:
    """The amount with the other sign."""
    return amount[1:] if amount.startswith("-") else f"-{amount}"


def lines_of(rows: list[Booked], names: OutgoingNames) -> list[Line]:
    """The postings of what belongs together; what differs from the first of the rows stands with the posting."""
    first = rows[0]
    if first.type == TransactionType.TRANSFER.value:
        return _transfer_lines(sorted(rows, key=lambda row: row.minor_units), names)
    total, lines = 0, []
    for row in rows:
        total += row.minor_units
        words = None if row.group is None else {"id": row.id, **_differing(row, first)}
        lines.append(Line(names.categories[row.type, row.category], negated(row.amount), row.currency, words))
    amount = first.amount if len(rows) == 1 else _units(total, first)
    return [Line(names.accounts[first.account], amount, first.currency), *lines]


def words_of(first: Booked, plain_tag: re.Pattern[str], more: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What Cashman says of what belongs together, `more` in it, and the tags that the format can hold by itself."""
    words = {} if first.type == TransactionType.TRANSFER.value or first.group else {"id": first.id}
    if first.group is not None:
        words["group"] = first.group
    words |= more
    plain: list[str] = []
    if first.tags != "[]":
        tags = first.tag_list()
        plain = [tag for tag in tags if plain_tag.fullmatch(tag)]
        if len(plain) < len(tags):
            words["tags"] = first.tags
    if first.status != "posted":
        words["status"] = first.status
    if first.expires_at is not None:
        words["expires-at"] = first.expires_at
    if first.notes is not None:
        words["notes"] = first.notes
    return words, plain


def _units(minor_units: int, like: Booked) -> str:
    return msgspec.structs.replace(like, minor_units=minor_units).amount


def _transfer_lines(rows: list[Booked], names: OutgoingNames) -> list[Line]:
    first = rows[0]
    lines = [
        Line(names.accounts[row.account], row.amount, row.currency, {"id": row.id, **_differing(row, first)})
        for row in rows
    ]
    out, into = lines
    if out.currency != into.currency:
        # The price stands with what has fewer decimals: there is then room for what dividing leaves over.
        cheap, dear = (out, into) if CURRENCIES[out.currency] <= CURRENCIES[into.currency] else (into, out)
        cheap.price = f"{dear.amount.removeprefix('-')} {dear.currency}"
    return lines


def _differing(row: Booked, first: Booked) -> dict[str, str]:
    if row is first:
        return {}
    words = {}
    for name in ("description", "payee", "notes", "status"):
        if getattr(row, name) != getattr(first, name):
            words[name] = getattr(row, name) or ""
    if row.tags != first.tags:
        words["tags"] = row.tags
    return words


def openings_of(books: Books, names: OutgoingNames) -> Iterator[tuple[str, str, str, str, str]]:
    """(day, Cashman's name, its name there, amount, currency) of each account that has an opening balance, by day."""
    opened = [account for account in books.accounts if account["opening_minor_units"]]
    for account in sorted(opened, key=lambda account: str(account["opening_date"] or books.first_day)):
        name, currency = str(account["name"]), str(account["currency"])
        amount = Decimal(account["opening_minor_units"]).scaleb(-CURRENCIES[currency], EXACT)
        yield str(account["opening_date"] or books.first_day), name, names.accounts[name], f"{amount:f}", currency


def currencies_of(books: Books) -> list[str]:
    """Every currency of the accounts and of the ledger."""
    return sorted({books.currency, *(str(account["currency"]) for account in books.accounts)})


def in_parts(books: Books, written: Callable[[list[Booked]], str]) -> Iterator[str]:
    """What is written of each group of rows, some hundred at once."""
    part: list[str] = []
    for rows in books.together():
        part.append(written(rows))
        if len(part) == _PART_GROUPS:
            yield "".join(part)
            part = []
    yield "".join(part)
