"""What can happen to a ledger's chart: accounts open, change and go, categories get other names, days are closed."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from cashman.batch import Batch
from cashman.changes import Change, Request
from cashman.chart import AccountRow
from cashman.errors import AccountClosed, AccountNeeded, AccountUsed, AlreadyChanged, CategoryExists, Invalid, NotFound
from cashman.limits import CATEGORY_BYTES_MAX
from cashman.model.account import DEFAULTS, MAIN_ACCOUNT_ID
from cashman.model.money import AmountError, to_minor_units
from cashman.receipts import Receipt
from cashman.translations import message


class OpenAccount(Change):
    """Open an account; `values` are those of AccountSchema, and `today` is the day of an undated opening balance."""

    def __init__(self, ledger_id: int, request: Request, values: Mapping[str, Any], today: dt.date) -> None:
        super().__init__(ledger_id, request)
        self.values = values
        self.today = today

    def decide(self, batch: Batch) -> Receipt:
        account = {**DEFAULTS, "currency": batch.chart.currency}
        _set(account, self.values, self.today)
        batch.check_day(account["opening_date"])
        account = batch.save_account(account, self.request.actor)
        return Receipt((), batch.chain.head, batch.chart, account)


class ReviseAccount(Change):
    """A change of an account that is there, at one of the `expected` versions."""

    def __init__(
        self, ledger_id: int, request: Request, account_id: int, expected: frozenset[tuple[int, int]] | None
    ) -> None:
        super().__init__(ledger_id, request)
        self.account_id = account_id
        self.versions = expected

    def current(self, batch: Batch) -> AccountRow:
        """The account as it is."""
        account = batch.chart.accounts.get(self.account_id)
        if account is None:
            raise NotFound()
        if self.versions is not None and (account["version"], 0) not in self.versions:
            raise AlreadyChanged(message("It is at version {version} now.", version=account["version"]))
        return account


class ReplaceAccount(ReviseAccount):
    """Give some fields of an account new `values`."""

    def __init__(
        self,
        ledger_id: int,
        request: Request,
        account_id: int,
        expected: frozenset[tuple[int, int]] | None,
        values: Mapping[str, Any],
        today: dt.date,
    ) -> None:
        super().__init__(ledger_id, request, account_id, expected)
        self.values = values
        self.today = today

    def decide(self, batch: Batch) -> Receipt:
        current = self.current(batch)
        account = dict(current)
        _set(account, self.values, self.today)
        read_only = {
            name: ["Read-only: it may be left out, or sent back as it was read."]
            for name in ("id", "currency", "version")
            if account[name] != current[name]
        }
        if read_only:
            raise Invalid(errors=read_only)
        if account == current:
            return Receipt((), batch.chain.head, batch.chart, current)
        if current["id"] == MAIN_ACCOUNT_ID and (account["name"] != current["name"] or account["closed"]):
            raise AccountNeeded()
        opening = ("opening_minor_units", "opening_date")
        if any(account[name] != current[name] for name in opening):
            batch.check_day(current["opening_date"])
            batch.check_day(account["opening_date"])
            if current["closed"] and account["closed"]:
                raise AccountClosed(message("The account {account} is closed.", account=current["name"]))
        account = batch.save_account(account, self.request.actor)
        return Receipt((), batch.chain.head, batch.chart, account)


class DeleteAccount(ReviseAccount):
    """Take an account away that nothing was booked on."""

    def decide(self, batch: Batch) -> Receipt:
        account = self.current(batch)
        if account["id"] == MAIN_ACCOUNT_ID:
            raise AccountNeeded()
        if batch.is_used(account["id"]):
            raise AccountUsed()
        batch.check_day(account["opening_date"])
        return Receipt((), batch.delete_account(account, self.request.actor), batch.chart, account)


def _set(account: AccountRow, values: Mapping[str, Any], today: dt.date) -> None:
    """Put the values of AccountSchema into an account; an opening balance has a day."""
    values = dict(values)
    opening = values.pop("opening_balance", None)
    account |= values
    if opening is not None:
        try:
            account["opening_minor_units"] = to_minor_units(opening, account["currency"])
        except AmountError as error:
            raise Invalid(errors={"opening_balance": [error.rule]}) from None
    if account["opening_minor_units"] != 0 and account["opening_date"] is None:
        account["opening_date"] = today


class MoveCategories(Change):
    """Give a category another path, and everything below it; with `merge` also one that exists already."""

    def __init__(self, ledger_id: int, request: Request, source: str, sink: str, *, merge: bool) -> None:
        super().__init__(ledger_id, request)
        self.source = source
        self.sink = sink
        self.merge = merge

    def decide(self, batch: Batch) -> Receipt:
        moved = batch.chart.categories_below(self.source)
        if not moved:
            raise batch.chart.unknown_category(self.source, "from")
        if self.source == self.sink:
            return Receipt((), batch.chain.head, batch.chart)
        paths = move(moved, self.source, self.sink)
        if any(len(path.encode()) > CATEGORY_BYTES_MAX for path in paths.values()):
            rule = message("A path below it would have more than {maximum} bytes in UTF-8.", maximum=CATEGORY_BYTES_MAX)
            raise Invalid(errors={"to": [rule]})
        there = batch.chart.categories_below(self.sink).keys() - moved.keys()
        if there and not self.merge:
            raise CategoryExists()
        head = batch.move_categories(paths, {"from": self.source, "to": self.sink}, self.request.actor)
        return Receipt((), head, batch.chart)


def move(categories: Mapping[int, str], source: str, sink: str) -> dict[int, str]:
    """The new paths of the categories at `source` and below it."""
    return {id_: sink + path.removeprefix(source) for id_, path in categories.items()}


class CloseBooks(Change):
    """Set the last day that no write may touch any more; None opens all days again."""

    def __init__(self, ledger_id: int, request: Request, until: dt.date | None) -> None:
        super().__init__(ledger_id, request)
        self.until = until

    def decide(self, batch: Batch) -> Receipt:
        if batch.chart.closed_until != self.until:
            batch.close_books(self.until, self.request.actor)
        return Receipt((), batch.chain.head, batch.chart)
