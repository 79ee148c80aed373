"""The chart of a ledger: its accounts and categories, with what else is known before any transaction is looked at.

It is small and changes seldom, so each worker keeps it in memory, and reads it again when the journal's head says
that something about it has changed. A row of a transaction holds ids; the chart gives them their names.
"""

import datetime as dt
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select

from cashman.db import table
from cashman.errors import Invalid
from cashman.journal import Head, chart_hash
from cashman.limits import CHARTS_MAX
from cashman.model.account import Account
from cashman.model.ledger import Category, JournalHead, LedgerRecord
from cashman.translations import message

_ledger = select(
    LedgerRecord.ulid,
    LedgerRecord.currency,
    LedgerRecord.created_at,
    LedgerRecord.closed_until,
    LedgerRecord.version,
    LedgerRecord.cursor_secret,
).where(LedgerRecord.id == bindparam("ledger_id"))
_accounts = select(*(column for column in table(Account).c if column.name != "ledger_id")).where(
    Account.ledger_id == bindparam("ledger_id")
)
_categories = (
    select(Category.id, Category.path)
    .where(Category.ledger_id == bindparam("ledger_id"))
    .order_by(Category.path, Category.id)
)
_standing = select(
    JournalHead.sequence,
    JournalHead.hash,
    JournalHead.chart_sequence,
    chart_hash,
    JournalHead.renamed_sequence,
    JournalHead.next_expiry,
).where(JournalHead.ledger_id == bindparam("ledger_id"))

AccountRow = dict[str, Any]
"""An account as its row is, without the ledger's id."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What the journal up to `sequence` says of a ledger's accounts and categories; never changed, only replaced."""

    sequence: int
    ulid: str
    currency: str
    created_at: dt.datetime
    closed_until: dt.date | None
    version: int
    """The ledger's own revision."""
    cursor_secret: bytes = field(repr=False)
    renamed_sequence: int
    accounts: Mapping[int, AccountRow]
    categories: Mapping[int, str]
    account_ids: Mapping[str, int]
    category_ids: Mapping[str, int]
    """Of merged categories the one that takes what is new."""
    hash: bytes | None = None
    """Of the entry `sequence`."""

    def with_account(self, account: AccountRow) -> "Chart":
        """The same with an account, new or changed."""
        accounts = {**self.accounts, account["id"]: account}
        if account["id"] in self.accounts:
            return self._with_accounts(accounts)
        # One of many that an import opens: each name is looked at once.
        return replace(self, accounts=accounts, account_ids={**self.account_ids, account["name"]: account["id"]})

    def without_account(self, id_: int) -> "Chart":
        """The same without an account."""
        return self._with_accounts({key: account for key, account in self.accounts.items() if key != id_})

    def _with_accounts(self, accounts: Mapping[int, AccountRow]) -> "Chart":
        return replace(self, accounts=accounts, account_ids={row["name"]: id_ for id_, row in accounts.items()})

    def with_categories(self, categories: Mapping[int, str]) -> "Chart":
        """The same with some categories, new or of another path."""
        merged = {**self.categories, **categories}
        return replace(self, categories=merged, category_ids=_ids_by_path(merged.items()))

    def revised(self, **changes: Any) -> "Chart":
        """The next revision of the ledger itself."""
        return replace(self, version=self.version + 1, **changes)

    def account(self, name: str, field_name: str = "account") -> AccountRow:
        """The account of a name; Invalid, naming the nearest, where there is none."""
        id_ = self.account_ids.get(name)
        if id_ is None:
            raise self.unknown_account(name, field_name)
        return self.accounts[id_]

    def unknown_account(self, name: str, field_name: str = "account") -> Invalid:
        """The error for a name that no account has, naming the nearest."""
        nearest = _nearest(name, self.account_ids)
        rule = message("There is no account of this name; did you mean {nearest}?", nearest=nearest)
        return Invalid(errors={field_name: [rule if nearest else "There is no account of this name."]})

    def categories_below(self, path: str) -> dict[int, str]:
        """The categories of a path and below it: `Food` covers `Food:Coffee`, and not `Foodstuff`."""
        below = path + ":"
        return {id_: own for id_, own in self.categories.items() if own == path or own.startswith(below)}

    def unknown_category(self, path: str, field_name: str) -> Invalid:
        """The error for a path that no category has, naming the nearest."""
        nearest = _nearest(path, {part for own in self.category_ids for part in _and_above(own)})
        rule = message("There is no category of this path; did you mean {nearest}?", nearest=nearest)
        return Invalid(errors={field_name: [rule if nearest else "There is no category of this path."]})

    def currency_of(self, account: Any) -> str:
        """What a transaction on an account is in when it says nothing; of an unknown account, the ledger's."""
        id_ = self.account_ids.get(account) if isinstance(account, str) else None
        found: str = self.currency if id_ is None else self.accounts[id_]["currency"]
        return found


def _nearest(name: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, list(known)[:2_000], 1)  # looking through more would take too long
    return close[0] if close else None


def _and_above(path: str) -> Iterator[str]:
    parts = path.split(":")
    return (":".join(parts[:length]) for length in range(1, len(parts) + 1))


def _ids_by_path(categories: Iterable[tuple[int, str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for id_, path in sorted(categories, reverse=True):
        found[path] = id_
    return found


class Standing(NamedTuple):
    """What a read begins with: the head it is made at, the chart there, and when the next pending one expires."""

    head: Head
    chart: Chart
    next_expiry: dt.datetime | None


class Charts:
    """The charts that a worker knows, by ledger."""

    def __init__(self) -> None:
        self._known: dict[int, Chart] = {}

    def forget(self) -> None:
        """Know nothing any more."""
        self._known.clear()

    def known(self, ledger_id: int) -> Chart | None:
        """The chart as it was last read."""
        return self._known.get(ledger_id)

    def at(self, connection: Connection, ledger_id: int) -> Standing:
        """Where a ledger stands in this transaction."""
        row = connection.execute(_standing, {"ledger_id": ledger_id}).one()
        chart = self.get(connection, ledger_id, row.chart_sequence, row.chart_hash, row.renamed_sequence)
        return Standing(Head(row.sequence, row.hash), chart, row.next_expiry)

    def get(
        self, connection: Connection, ledger_id: int, sequence: int, hash_: bytes | None, renamed_sequence: int
    ) -> Chart:
        """The chart as it is after a journal entry, which is the newest about it in this transaction."""
        known = self._known.get(ledger_id)
        if known is None or hash_ is None or (known.sequence, known.hash) != (sequence, hash_):
            self._known.pop(ledger_id, None)
            if len(self._known) >= CHARTS_MAX:
                self._known.pop(next(iter(self._known)))
            known = self._known[ledger_id] = _load(connection, ledger_id, sequence, hash_, renamed_sequence)
        return known


def _load(connection: Connection, ledger_id: int, sequence: int, hash_: bytes | None, renamed_sequence: int) -> Chart:
    named = {"ledger_id": ledger_id}
    ledger = connection.execute(_ledger, named).one()
    accounts = {row.id: dict(row._mapping) for row in connection.execute(_accounts, named)}
    categories = {row.id: row.path for row in connection.execute(_categories, named)}
    return Chart(
        sequence=sequence,
        ulid=ledger.ulid,
        currency=ledger.currency,
        created_at=ledger.created_at,
        closed_until=ledger.closed_until,
        version=ledger.version,
        cursor_secret=ledger.cursor_secret,
        renamed_sequence=renamed_sequence,
        accounts=accounts,
        categories=categories,
        account_ids={row["name"]: id_ for id_, row in accounts.items()},
        category_ids=_ids_by_path(categories.items()),
        hash=hash_,
    )
