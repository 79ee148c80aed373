"""The ledger: the one way in (record, replace, void, restore, redact) and the one way out (find, get, history)."""

import datetime as dt
import logging
import secrets
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, bindparam, insert, select
from ulid import ULID

from cashman import journal, listing, queries, reporting
from cashman.batch import Batch
from cashman.cashflow import cashflow
from cashman.changes import (
    OWNER,
    Change,
    Expire,
    Record,
    Redact,
    Replace,
    ReplaceTransfer,
    Request,
    Restore,
    Target,
    Void,
)
from cashman.chart import AccountRow, Chart, Charts, Standing
from cashman.chart_changes import CloseBooks, DeleteAccount, MoveCategories, OpenAccount, ReplaceAccount
from cashman.db import Database, Instant, rfc3339, table, utc_now
from cashman.errors import ConfigurationError, NotFound, Problem, StoreUnavailable
from cashman.journal import Chain, Head
from cashman.listing import Page
from cashman.model.access import Member
from cashman.model.account import DEFAULTS, MAIN_ACCOUNT, MAIN_ACCOUNT_ID, Account
from cashman.model.filter import Filter
from cashman.model.ledger import JournalHead, LedgerRecord
from cashman.model.report import SummaryQuery
from cashman.model.transaction import DEFAULT_CURRENCY, Transaction
from cashman.model.transaction_type import TransactionType
from cashman.queries import State, Version
from cashman.receipts import Receipt
from cashman.reporting import Report
from cashman.writer import Writer

Result = TypeVar("Result")

log = logging.getLogger(__name__)

OWN_LEDGER: Final = 1
ENTRIES_AT_FIRST: Final = 2
"""A ledger's journal opens the ledger, and its main account."""
OWNERS_OWN: Final = Request(OWNER)
"""What stands behind a change that is not made over HTTP."""


_due = select(JournalHead.ledger_id).where(JournalHead.next_expiry <= bindparam("now", type_=Instant()))


class Books:
    """The ledgers of one database, and the writer that all of them share."""

    def __init__(self, database: Database, *, currency: str | None = None, timezone: str = "UTC") -> None:
        self.database = database
        self.timezone = zoneinfo.ZoneInfo(timezone)
        self.currency = currency or DEFAULT_CURRENCY
        self._currency_asked_for = currency
        self.charts = Charts()
        self._ledgers: dict[int, Ledger] = {}
        self.writer = Writer[Change, Receipt](self._commit)
        database.founding = self._found

    def own_ledger(self) -> "Ledger":
        """The ledger of the open door, and of the first user."""
        return self.ledger(OWN_LEDGER)

    def ledger(self, ledger_id: int) -> "Ledger":
        """A ledger by its number; whether the caller may use it is not asked here."""
        return self._ledgers.get(ledger_id) or self._ledgers.setdefault(ledger_id, Ledger(self, ledger_id))

    def submit(self, change: Change) -> Receipt:
        """Commit a change; raises the Problem that it meets."""
        return self.writer.submit(change)

    def expire(self) -> None:
        """Record what has expired by now, in every ledger: for whoever looks at the journal, if nobody else does."""
        now = utc_now()
        due = self.database.read(lambda connection: connection.execute(_due, {"now": now}).scalars().all())
        for ledger_id in due:
            self.submit(Expire(ledger_id, OWNERS_OWN))

    def _commit(self, changes: Sequence[Change]) -> Sequence[Receipt | Exception]:
        """One transaction for all of them; where that fails for a reason unforeseen, one for each."""
        try:
            outcomes = self.database.write(lambda connection: _decide_and_store(connection, self.charts, changes))
            if any(isinstance(change, Redact) for change in changes):
                self.database.scrub()
            return outcomes
        except StoreUnavailable as error:
            return [error] * len(changes)
        except Exception as error:
            if len(changes) == 1:
                return [error]
            log.exception("a batch of %d changes failed; each is tried alone", len(changes))
            return [outcome for change in changes for outcome in self._commit([change])]

    def _found(self, connection: Connection) -> None:
        """Make the own ledger and its main account where the database is new."""
        self.charts.forget()  # it may be another database than before
        made_with = connection.execute(select(LedgerRecord.currency).where(LedgerRecord.id == OWN_LEDGER)).scalar()
        if made_with is None:
            found_ledger(connection, OWN_LEDGER, self.currency, OWNER, OWNER)
        elif self._currency_asked_for not in (None, made_with):
            raise ConfigurationError(
                f"CASHMAN_CURRENCY is {self._currency_asked_for}, but this ledger keeps {made_with}, as it was made"
            )
        else:
            self.currency = made_with


def _decide_and_store(connection: Connection, charts: Charts, changes: Sequence[Change]) -> list[Receipt | Exception]:
    """Decide every change in order, ledger by ledger, and write what they come to."""
    outcomes: dict[int, Receipt | Exception] = {}
    # In the order of their ids, so that two batches never wait for each other's heads.
    for ledger_id in sorted({change.ledger_id for change in changes}):
        own = [(place, change) for place, change in enumerate(changes) if change.ledger_id == ledger_id]
        batch = Batch(
            connection,
            ledger_id,
            charts,
            ids=[id_ for _, change in own for id_ in change.ids()],
            keys=[(of.principal, of.key) for of in (change.request for _, change in own) if of.key is not None],
        )
        batch.expire()
        for place, change in own:
            try:
                outcomes[place] = change.answer(batch)
            except Problem as problem:
                outcomes[place] = problem
        batch.store()
    return [outcomes[place] for place in range(len(changes))]


def found_ledger(
    connection: Connection, ledger_id: int, currency: str, actor: str, owner: str, name: str | None = None
) -> str:
    """Make a ledger with its first account, and give its ULID; both are the first entries of its journal."""
    now = utc_now()
    ulid = str(ULID.from_datetime(now))
    chain = Chain(ledger_id, ulid, Head(0, journal.GENESIS), now)
    chain.append(kind="open", entity="ledger", entity_id=ulid, revision=1, actor=actor, figures={"currency": currency})
    ledger = {"id": ledger_id, "ulid": ulid, "currency": currency, "created_at": chain.recorded_at, "name": name}
    connection.execute(insert(table(LedgerRecord)), {**ledger, "cursor_secret": secrets.token_bytes(32)})
    account = {"name": MAIN_ACCOUNT, "currency": currency, **DEFAULTS}
    chain.append(
        kind="open", entity="account", entity_id=str(MAIN_ACCOUNT_ID), revision=1, actor=actor, figures=account
    )
    connection.execute(insert(table(Account)), {"ledger_id": ledger_id, "id": MAIN_ACCOUNT_ID, **account})
    connection.execute(insert(table(Member)), {"ledger_id": ledger_id, "principal": owner, "role": "owner"})
    head = {"ledger_id": ledger_id, "sequence": 0, "hash": journal.GENESIS, "recorded_at": now}
    connection.execute(insert(table(JournalHead)), head)
    chain.store(connection)
    return ulid


class Ledger:
    """One set of books. What changes it takes the Request behind the change; without one, the owner acts."""

    def __init__(self, books: Books, ledger_id: int) -> None:
        self.books = books
        self.id = ledger_id

    @property
    def today(self) -> dt.date:
        """The day that it is in the ledger's time zone."""
        return dt.datetime.now(self.books.timezone).date()

    # What goes in: transactions.

    def record(self, *items: Transaction | Sequence[Transaction], request: Request = OWNERS_OWN) -> Receipt:
        """Book new transactions, all or none; those of one sequence belong together. Without a date it is today."""
        groups = [[item] if isinstance(item, Transaction) else item for item in items]
        today = None
        for group in groups:
            for transaction in group:
                if "date" not in transaction.given:
                    transaction.date = today = today or self.today
        return self.books.submit(Record(self.id, request, groups))

    def replace(self, target: Target, values: Mapping[str, Any], request: Request = OWNERS_OWN) -> Receipt:
        """Give some fields new values: amounts in currency units, accounts and categories by name."""
        return self.books.submit(Replace(self.id, request, target, values))

    def replace_transfer(self, target: Target, values: Mapping[str, Any], request: Request = OWNERS_OWN) -> Receipt:
        """The same for both legs of a transfer, by the names of TransferSchema."""
        return self.books.submit(ReplaceTransfer(self.id, request, target, values))

    def void(self, target: Target, request: Request = OWNERS_OWN) -> Receipt:
        """Take a transaction out of lists and totals, and its group with it; their history stays."""
        return self.books.submit(Void(self.id, request, target))

    def restore(self, target: Target, request: Request = OWNERS_OWN) -> Receipt:
        """Bring a void transaction back, and its group with it."""
        return self.books.submit(Restore(self.id, request, target))

    def redact(self, target: Target, request: Request = OWNERS_OWN) -> Receipt:
        """Erase the words of a transaction for ever, in every revision."""
        return self.books.submit(Redact(self.id, request, target))

    # What goes in: accounts, categories, days.

    def open_account(self, values: Mapping[str, Any], request: Request = OWNERS_OWN) -> Receipt:
        """Open an account; values by the names of AccountSchema, the opening balance in currency units."""
        return self.books.submit(OpenAccount(self.id, request, values, self.today))

    def replace_account(
        self,
        account_id: int,
        values: Mapping[str, Any],
        request: Request = OWNERS_OWN,
        expected: frozenset[tuple[int, int]] | None = None,
    ) -> Receipt:
        """Give some fields of an account new values."""
        return self.books.submit(ReplaceAccount(self.id, request, account_id, expected, values, self.today))

    def delete_account(
        self, account_id: int, request: Request = OWNERS_OWN, expected: frozenset[tuple[int, int]] | None = None
    ) -> Receipt:
        """Take an account away that nothing was booked on."""
        return self.books.submit(DeleteAccount(self.id, request, account_id, expected))

    def rename_category(self, source: str, sink: str, request: Request = OWNERS_OWN, *, merge: bool = False) -> Receipt:
        """Give a category and all below it another path; `merge` allows one that is there already."""
        return self.books.submit(MoveCategories(self.id, request, source, sink, merge=merge))

    def close_until(self, day: dt.date | None, request: Request = OWNERS_OWN) -> Receipt:
        """Close the days up to one, or with None open all again."""
        return self.books.submit(CloseBooks(self.id, request, day))

    # What comes out.

    def head(self) -> Head | None:
        """The head that a read would be made at now; None where something has expired that is not recorded yet."""
        sequence, hash_, next_expiry = self.books.database.peek(_PEEK.format(self.id))
        if next_expiry is not None and next_expiry <= rfc3339(utc_now()):
            return None
        return Head(sequence, bytes(hash_))

    def _read(self, work: Callable[[Connection, Standing], Result], *, long: bool = False) -> Result:
        """Run a read in one snapshot, after what has expired by now is recorded.

        Where it cannot be recorded, the read goes by the clock alone: what has expired is left out anyway.
        """

        def read(connection: Connection, *, recorded: bool = False) -> Result:
            standing = self.books.charts.at(connection, self.id)
            if not recorded and standing.next_expiry is not None and standing.next_expiry <= utc_now():
                raise _Due()
            return work(connection, standing)

        try:
            return self.books.database.read(read, long=long)
        except _Due:
            try:
                self.books.submit(Expire(self.id, OWNERS_OWN))
            except StoreUnavailable:
                log.warning("what has expired cannot be recorded right now")
            return self.books.database.read(lambda connection: read(connection, recorded=True), long=long)

    def chart(self) -> tuple[Chart, Head]:
        """The accounts and categories, and the head that they were read at."""
        return self._read(lambda _, standing: (standing.chart, standing.head))

    def currency_of(self, account: Any) -> str:
        """What a transaction on an account, by name, is in when it says nothing; of an unknown one, the ledger's.

        It may be a moment old: the ledger itself looks again when it books.
        """
        known = self.books.charts.known(self.id)
        if known is None or (isinstance(account, str) and account not in known.account_ids):
            known = self.chart()[0]
        return known.currency_of(account)

    def account(self, account_id: int) -> AccountRow:
        """One account; NotFound where there is none of this id."""
        account = self.chart()[0].accounts.get(account_id)
        if account is None:
            raise NotFound()
        return account

    def get(self, transaction_id: str, type_: TransactionType | None = None) -> tuple[list[State], Chart]:
        """One transaction that stands, and then those that belong to it; else NotFound."""

        def work(connection: Connection, standing: Standing) -> tuple[list[State], Chart]:
            rows: Sequence[Row[Any]] = queries.states_by_id(connection, self.id, [transaction_id])
            if rows and rows[0].group is not None:
                others = queries.states_by_group(connection, self.id, [rows[0].group])
                rows = [*rows, *(row for row in others if row.id != transaction_id)]
            return [dict(row._mapping) for row in rows], standing.chart

        states, chart = self._read(work)
        if not states or not _stands(states[0]) or type_ not in (None, states[0]["type"]):
            raise NotFound()
        return states, chart

    def history(self, transaction_id: str, type_: TransactionType | None = None) -> tuple[list[Version], Chart]:
        """Every revision of a transaction, oldest first, also of a void one; NotFound where there is none."""
        found, chart = self._read(
            lambda connection, standing: (queries.versions(connection, self.id, transaction_id), standing.chart)
        )
        if not found or type_ not in (None, found[0].state["type"]):
            raise NotFound()
        return found, chart

    def find(self, filter_: Filter) -> Page:
        """The page of transactions that a filter asks for, and what it was read at."""
        return self._read(partial(listing.page, self.id, filter_))

    def find_transfers(self, filter_: Filter) -> Page:
        """The same for transfers, both of whose legs are in the page."""
        return self._read(partial(listing.transfers_page, self.id, filter_))

    def find_on_account(self, filter_: Filter) -> Page:
        """The newest transactions of the filter's account, with the balance after each of them."""
        return self._read(partial(reporting.account_page, self.id, filter_))

    def tags(self) -> tuple[list[str], Head]:
        """The tags in use, and the head that they were read at."""
        return self._read(lambda connection, standing: (queries.tags(connection, self.id), standing.head))

    def balances(self, as_of: dt.date | None = None) -> Report:
        """What is in each account at the end of a day, by default of today, and what is available there."""
        return self._read(partial(reporting.balances, self.id, as_of or self.today))

    def summary(self, query: SummaryQuery) -> Report:
        """Income, expense and net by what the query names."""
        return self._read(partial(reporting.summary, self.id, query), long=reporting.reads_rows(query))

    def cashflow(self, first_day: dt.date | None = None, last_day: dt.date | None = None) -> Report:
        """What each month began with, what came, went and moved, and what it ended with."""
        return self._read(partial(cashflow, self.id, first_day, last_day))

    def journal(self, after: int, limit: int) -> tuple[Sequence[Any], journal.Head]:
        """The journal's entries after a sequence number, as (entry, hash, words), and its head."""
        return self._read(lambda connection, _: journal.feed(connection, self.id, after, limit), long=True)


_PEEK: Final = "SELECT sequence, hash, next_expiry FROM journal_heads WHERE ledger_id = {}"


class _Due(Exception):
    """A pending transaction has expired, and that is not recorded yet."""


def _stands(state: State) -> bool:
    expired = state["expires_at"] is not None and state["expires_at"] <= utc_now()
    return state["status"] != "void" and not expired
