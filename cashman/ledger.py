"""The ledger: the one way in (record, replace, void, restore, redact) and the one way out (find, get, history)."""

import datetime as dt
import logging
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select
from ulid import ULID

from cashman import journal, queries
from cashman.batch import Batch, Receipt
from cashman.changes import Change, Record, Redact, Replace, Request, Restore, Target, Void
from cashman.db import Database, table, utc_now
from cashman.errors import ConfigurationError, NotFound, Problem, StoreUnavailable
from cashman.journal import Chain, Head
from cashman.model.filter import Filter
from cashman.model.ledger import MAIN_ACCOUNT, Account, JournalHead, LedgerRecord
from cashman.model.transaction import DEFAULT_CURRENCY, Transaction
from cashman.model.transaction_type import TransactionType
from cashman.queries import Page, Version
from cashman.writer import Writer

log = logging.getLogger(__name__)

OWN_LEDGER: Final = 1
OWNER: Final = "owner"
"""The actor behind the open door."""
OWNERS_OWN: Final = Request(OWNER)
"""What stands behind a change that is not made over HTTP."""


class Books:
    """The ledgers of one database, and the writer that all of them share."""

    def __init__(self, database: Database, *, currency: str | None = None, timezone: str = "UTC") -> None:
        self.database = database
        self.timezone = zoneinfo.ZoneInfo(timezone)
        self.currency = currency or DEFAULT_CURRENCY
        self._currency_asked_for = currency
        self._writer = Writer[Change, Receipt](self._commit)
        database.founding = self._found

    def own_ledger(self) -> "Ledger":
        """The ledger that unprefixed routes mean."""
        return Ledger(self, OWN_LEDGER)

    def submit(self, change: Change) -> Receipt:
        """Commit a change; raises the Problem that it meets."""
        return self._writer.submit(change)

    def _commit(self, changes: Sequence[Change]) -> Sequence[Receipt | Exception]:
        """One transaction for all of them; where that fails for a reason unforeseen, one for each."""
        try:
            outcomes = self.database.write(lambda connection: _decide_and_store(connection, changes))
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
        made_with = connection.execute(select(LedgerRecord.currency).where(LedgerRecord.id == OWN_LEDGER)).scalar()
        if made_with is None:
            found_ledger(connection, OWN_LEDGER, self.currency, OWNER)
        elif self._currency_asked_for not in (None, made_with):
            raise ConfigurationError(
                f"CASHMAN_CURRENCY is {self._currency_asked_for}, but this ledger keeps {made_with}, as it was made"
            )
        else:
            self.currency = made_with


def _decide_and_store(connection: Connection, changes: Sequence[Change]) -> list[Receipt | Exception]:
    """Decide every change in order, ledger by ledger, and write what they come to."""
    outcomes: dict[int, Receipt | Exception] = {}
    # In the order of their ids, so that two batches never wait for each other's heads.
    for ledger_id in sorted({change.ledger_id for change in changes}):
        own = [(place, change) for place, change in enumerate(changes) if change.ledger_id == ledger_id]
        batch = Batch(
            connection,
            ledger_id,
            ids=[id_ for _, change in own for id_ in change.ids()],
            category_paths={path for _, change in own for path in change.category_paths()},
            keys=[(change.request.actor, change.request.key) for _, change in own if change.request.key is not None],
        )
        for place, change in own:
            try:
                outcomes[place] = change.answer(batch)
            except Problem as problem:
                outcomes[place] = problem
        batch.store()
    return [outcomes[place] for place in range(len(changes))]


def found_ledger(connection: Connection, ledger_id: int, currency: str, actor: str) -> None:
    """Make a ledger with its first account; both are the first entries of its journal."""
    now = utc_now()
    ulid = str(ULID.from_datetime(now))
    chain = Chain(ledger_id, ulid, Head(0, journal.GENESIS), now)
    chain.append(kind="open", entity="ledger", entity_id=ulid, revision=1, actor=actor, figures={"currency": currency})
    ledger = {"id": ledger_id, "ulid": ulid, "currency": currency, "created_at": chain.recorded_at}
    connection.execute(insert(table(LedgerRecord)), ledger)
    account = {"name": MAIN_ACCOUNT, "currency": currency}
    chain.append(kind="open", entity="account", entity_id="1", revision=1, actor=actor, figures=account)
    connection.execute(insert(table(Account)), {"ledger_id": ledger_id, "id": 1, **account})
    head = {"ledger_id": ledger_id, "sequence": 0, "hash": journal.GENESIS, "recorded_at": now}
    connection.execute(insert(table(JournalHead)), head)
    chain.store(connection)


class Ledger:
    """One set of books. What changes it takes the Request behind the change; without one, the owner acts."""

    def __init__(self, books: Books, ledger_id: int) -> None:
        self.books = books
        self.id = ledger_id

    @property
    def currency(self) -> str:
        """What a transaction is in when it names no currency."""
        self.books.database.open()
        return self.books.currency

    def record(self, *transactions: Transaction, request: Request = OWNERS_OWN) -> Receipt:
        """Book new transactions, all or none; one without a date is booked today in the ledger's time zone."""
        for transaction in transactions:
            if "date" not in transaction.given:
                transaction.date = dt.datetime.now(self.books.timezone).date()
        return self.books.submit(Record(self.id, request, transactions))

    def replace(self, target: Target, values: Mapping[str, Any], request: Request = OWNERS_OWN) -> Receipt:
        """Give some fields new values: amounts in currency units, accounts and categories by name."""
        return self.books.submit(Replace(self.id, request, target, values))

    def void(self, target: Target, request: Request = OWNERS_OWN) -> Receipt:
        """Take a transaction out of lists and totals; its history stays."""
        return self.books.submit(Void(self.id, request, target))

    def restore(self, target: Target, request: Request = OWNERS_OWN) -> Receipt:
        """Bring a void transaction back."""
        return self.books.submit(Restore(self.id, request, target))

    def redact(self, target: Target, request: Request = OWNERS_OWN) -> Receipt:
        """Erase the words of a transaction for ever, in every revision."""
        return self.books.submit(Redact(self.id, request, target))

    def get(self, transaction_id: str, type_: TransactionType | None = None) -> Row[Any]:
        """One transaction as a row of STATE_COLUMNS; NotFound where it is void, unknown or of another type."""
        rows = self.books.database.read(lambda connection: queries.states_by_id(connection, self.id, [transaction_id]))
        if not rows or rows[0].status == "void" or type_ not in (None, rows[0].type):
            raise NotFound()
        return rows[0]

    def history(self, transaction_id: str, type_: TransactionType | None = None) -> list[Version]:
        """Every revision of a transaction, oldest first, also of a void one; NotFound where there is none."""
        found = self.books.database.read(lambda connection: queries.versions(connection, self.id, transaction_id))
        if not found or type_ not in (None, found[0].state["type"]):
            raise NotFound()
        return found

    def find(self, filter_: Filter) -> Page:
        """The page of transactions that a filter asks for, and the head that it was read at."""
        return self.books.database.read(lambda connection: queries.page(connection, self.id, filter_))

    def journal(self, after: int, limit: int) -> tuple[Sequence[Any], journal.Head]:
        """The journal's entries after a sequence number, as (entry, hash, words), and its head."""
        return self.books.database.read(lambda connection: journal.feed(connection, self.id, after, limit), long=True)
