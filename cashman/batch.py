"""The changes that one commit takes for one ledger: the states they touch, and what comes of them.

All of it is decided in Python while the journal's head is held, and written in bulk at the end. A change that
breaks a rule is rolled back here, in memory, so that it fails alone.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from cashman import search, storing, totals
from cashman.chart import AccountRow, Chart, Charts
from cashman.db import give_way, insert_rows, table
from cashman.errors import AccountClosed, BooksClosed, IdTaken, Invalid, NameTaken, TotalTooLarge
from cashman.journal import Chain, Head
from cashman.limits import ACCOUNTS_MAX, CATEGORIES_MAX, INT64_MAX, KEYED_ANSWERS_KEPT
from cashman.model import account as account_model
from cashman.model.idempotency import KeyedAnswer
from cashman.model.ledger import Revision
from cashman.model.money import AmountError
from cashman.model.total import ACCOUNT, Total, Turnover
from cashman.model.transaction import REDACTED, WORDS, Transaction, write_figures
from cashman.queries import State, Version, pending_until, states_by_group, states_by_id, versions
from cashman.receipts import Answer, Outcome, Planned, Receipt
from cashman.translations import message

SYSTEM: Final = "cashman"
"""The actor behind what happens by itself."""

_IDS_AT_ONCE: Final = 10_000
"""A statement has at most 65,535 parameters on PostgreSQL."""

_turnovers = select(Turnover.currency, Turnover.minor_units).where(Turnover.ledger_id == bindparam("ledger_id"))
_asked = select(Revision.asked).where(
    Revision.ledger_id == bindparam("ledger_id"),
    Revision.transaction_id == bindparam("transaction_id"),
    Revision.revision == 1,
)
_has_transactions = (
    select(Transaction.id)
    .where(Transaction.ledger_id == bindparam("ledger_id"), Transaction.account_id == bindparam("account_id"))
    .limit(1)
)
_had_transactions = (  # a total stays when what it counted is moved away or void
    select(Total.of_id)
    .where(
        Total.ledger_id == bindparam("ledger_id"),
        Total.dimension == ACCOUNT,
        Total.grain == "month",
        Total.of_id == bindparam("account_id"),
    )
    .limit(1)
)
_keyed_answers = select(table(KeyedAnswer)).where(
    KeyedAnswer.ledger_id == bindparam("ledger_id"),
    KeyedAnswer.actor == bindparam("principal"),
    KeyedAnswer.key.in_(bindparam("keys", expanding=True)),
)


class Batch:
    """The changes of one ledger that one commit takes."""

    _KEPT: Final = dt.timedelta(days=KEYED_ANSWERS_KEPT)

    def __init__(
        self,
        connection: Connection,
        ledger_id: int,
        charts: Charts,
        *,
        ids: Sequence[str],
        keys: Sequence[tuple[str, str]],
    ) -> None:
        self.connection = connection
        self.ledger_id = ledger_id
        self.chain = Chain.lock(connection, ledger_id)
        self._chart_before = charts.get(
            connection,
            ledger_id,
            self.chain.chart_sequence,
            self.chain.chart_hash,
            self.chain.renamed_sequence,
        )
        rows = states_by_id(connection, ledger_id, ids)
        groups = {row.group for row in rows if row.group is not None}
        if groups:
            rows = [*rows, *states_by_group(connection, ledger_id, sorted(groups))]
        self._so_far = Outcome(self._chart_before, {row.id: dict(row._mapping) for row in rows})
        self._before = dict(self._so_far.states)
        for state in sorted(self._so_far.states.values(), key=lambda state: state["sequence"]):
            if state["group"] is not None:
                self._so_far.groups.setdefault(state["group"], []).append(state["id"])
        self._stored_turnovers: dict[str, int] | None = None
        self._answers: dict[tuple[str, str], dict[str, Any]] = {}
        for principal in {principal for principal, _ in keys}:
            own = {
                "ledger_id": ledger_id,
                "principal": principal,
                "keys": [key for of, key in keys if of == principal],
            }
            for row in connection.execute(_keyed_answers, own):
                self._answers[(row.actor, row.key)] = dict(row._mapping)
        self._new_answers: list[dict[str, Any]] = []

    @contextmanager
    def all_or_nothing(self) -> Any:
        """Go back to before where the block raises, so that what it did so far counts for nothing."""
        before, chain = self._so_far.copy(), self.chain.mark()
        try:
            yield
        except BaseException:
            self._so_far = before
            self.chain.go_back(chain)
            raise

    # What a change asks.

    @property
    def chart(self) -> Chart:
        """The ledger's accounts and categories, as they stand after the changes so far."""
        return self._so_far.chart

    def find(self, transaction_id: str) -> State | None:
        """A transaction as it is, void or not; None where the id was never booked in this ledger."""
        return self._so_far.states.get(transaction_id)

    def members(self, state: State) -> list[State]:
        """A transaction and those that were booked together with it, itself first."""
        others = self._so_far.groups.get(state["group"], []) if state["group"] is not None else []
        return [state, *(self._so_far.states[id_] for id_ in others if id_ != state["id"])]

    def first_answer(self, transactions: Sequence[Transaction]) -> Receipt:
        """The answer to a POST whose id is known: the first one again where the content is the same, else IdTaken.

        A date that is left out means the day of the first POST.
        """
        firsts = []
        for transaction in transactions:
            first = self._first_state(transaction.id)
            if first is None or not self._is_content_of(transaction, first[0]):
                raise IdTaken()
            firsts.append(first)
        group = firsts[0][0]["group"]
        if group is not None and len(self._so_far.groups[group]) != len(firsts):
            raise IdTaken()
        return Receipt([state for state, _ in firsts], firsts[-1][1], self.chart)

    def first_state(self, transaction_id: str) -> State | None:
        """A transaction as it was first booked."""
        first = self._first_state(transaction_id)
        return None if first is None else first[0]

    def _first_state(self, transaction_id: str) -> tuple[State, Head] | None:
        if transaction_id in self._so_far.firsts:
            return self._so_far.firsts[transaction_id]
        history = self.history(transaction_id)
        return (history[0].state, history[0].head) if history else None

    def history(self, transaction_id: str) -> list[Version]:
        """The revisions of a transaction from before this batch."""
        return versions(self.connection, self.ledger_id, transaction_id)

    def _is_content_of(self, transaction: Transaction, first: State) -> bool:
        asked = self._asked(transaction.id)
        if asked is None:  # its id was made here, or it is from before names were kept: they are compared as they are
            path = None if first["category_id"] is None else self.chart.categories[first["category_id"]]
            named = self.chart.accounts[first["account_id"]]["name"], path
            if named != (transaction.account, transaction.category):
                return False
        elif asked != asked_names(transaction):
            return False
        currency = first["currency"]
        if "currency" in transaction.given and transaction.currency != currency:
            return False
        try:
            minor_units = transaction.minor_units_of(transaction.amount, currency)
        except AmountError:
            return False
        if (transaction.expires_at is None) != (first["expires_at"] is None):
            return False
        compared = ["type", "status", "group", *WORDS]
        compared += [name for name in ("date", "expires_at") if name in transaction.given]
        same = all(getattr(transaction, name) == first[name] for name in compared)
        return same and minor_units == first["minor_units"]

    def _asked(self, transaction_id: str) -> bytes | None:
        """The hash of the names that a transaction was first asked for with."""
        for row in self._so_far.revisions:
            if (row["transaction_id"], row["revision"]) == (transaction_id, 1):
                found: bytes | None = row["asked"]
                return found
        names = {"ledger_id": self.ledger_id, "transaction_id": transaction_id}
        return self.connection.execute(_asked, names).scalar()

    def status_before_void(self, state: State) -> str:
        """The status that a void transaction had before."""
        status: str = self._so_far.before_void.get(state["id"]) or next(
            version.state["status"]
            for version in reversed(self.history(state["id"]))
            if version.state["status"] != "void"
        )
        return status

    def state_of(self, transaction: Transaction) -> State:
        """A new transaction as its row will be, but for what booking it adds, and for its category."""
        account = self.chart.account(transaction.account, transaction.account_field)
        minor_units = transaction.minor_units
        if transaction.currency != account["currency"]:
            if "currency" in transaction.given:
                raise Invalid(errors={"currency": [in_currency(account)]})
            try:
                minor_units = transaction.minor_units_of(transaction.amount, account["currency"])
            except AmountError as error:
                raise Invalid(errors={"amount": [error.rule]}) from None
        return {
            "id": transaction.id,
            "type": transaction.type,
            "status": transaction.status,
            "minor_units": minor_units,
            "currency": account["currency"],
            "date": transaction.date,
            "account_id": account["id"],
            "category_id": None,
            "group": transaction.group,
            "expires_at": transaction.expires_at,
            **{name: getattr(transaction, name) for name in WORDS},
        }

    def category_of(self, path: str | None) -> tuple[int | None, str | None]:
        """The id of a category, or the path that is to be opened; both None for no category."""
        if path is None:
            return None, None
        id_ = self.chart.category_ids.get(path)
        if id_ is None and len(self.chart.categories) >= CATEGORIES_MAX:
            raise Invalid(errors={"category": [_too_many_categories()]})
        return (id_, None) if id_ is not None else (None, path)

    def learn(self, ids: Sequence[str]) -> None:
        """Look up transactions that nobody named beforehand; `find` knows them then."""
        unknown = [id_ for id_ in ids if id_ not in self._so_far.states]
        for start in range(0, len(unknown), _IDS_AT_ONCE):
            for row in states_by_id(self.connection, self.ledger_id, unknown[start : start + _IDS_AT_ONCE]):
                self._so_far.states[row.id] = self._before[row.id] = dict(row._mapping)

    # What a change does to transactions.

    def append(self, actor: str, *planned: Planned, guarded: bool = True) -> Head:
        """Book revisions that belong together, after all that could refuse any of them.

        What is not `guarded` touches also closed accounts and closed days.
        """
        if guarded:
            for plan in planned:
                self.check_open(self.find(plan.state["id"]), plan.state)
        self._so_far.turnovers = self._turnovers_after(planned)
        for plan in planned:
            if plan.opens is not None:
                plan.state["category_id"] = self._open_category(plan.opens, actor)
            self._book(plan, actor)
        return self.chain.head

    def create(self, states: Sequence[State], actor: str) -> None:
        """Book new transactions of which nothing has to be checked any more: see `check_open` and `spend`."""
        for state in states:
            self._book(Planned("create", state, with_words=True), actor)

    def spend(self, sizes: Mapping[str, int]) -> None:
        """Take amounts without their signs into the turnovers; TotalTooLarge where one would not fit any more."""
        self._so_far.turnovers = self._changed_turnovers(sizes)

    def _book(self, plan: Planned, actor: str) -> None:
        so_far, state, id_ = self._so_far, plan.state, plan.state["id"]
        before = so_far.states.get(id_)
        state["version"] = before["version"] + 1 if before else 1
        head = self.chain.append(
            kind=plan.kind,
            entity="transaction",
            entity_id=id_,
            revision=state["version"],
            actor=actor,
            figures=write_figures(state),
            words={name: state[name] for name in WORDS} if plan.with_words else None,
        )
        if before is None:
            state["created_at"], state["sequence"] = self.chain.recorded_at, head.sequence
            so_far.firsts[id_] = state, head
            if state["group"] is not None:
                so_far.groups[state["group"]] = [*so_far.groups.get(state["group"], ()), id_]
        elif state["status"] == "void" and before["status"] != "void":
            so_far.before_void[id_] = before["status"]
        so_far.states[id_] = state
        so_far.touched[id_] = None
        so_far.revisions.append(
            {
                "ledger_id": self.ledger_id,
                "transaction_id": id_,
                "revision": state["version"],
                "sequence": head.sequence,
                "asked": plan.asked,
            }
        )

    def redact(self, states: Sequence[State], actor: str) -> Head:
        """Book revisions without words, and erase those of every revision before them."""
        plans = [Planned("redact", {**state, **REDACTED}) for state in states]
        head = self.append(actor, *plans, guarded=False)
        for state in states:
            self._so_far.redacted[state["id"]] = head.sequence
        return head

    def expire(self) -> None:
        """Void the pending transactions whose time is over."""
        first = self.chain.next_expiry
        if first is None or first > (now := self.chain.now()):
            return
        for row in pending_until(self.connection, self.ledger_id, now):
            if row.id not in self._so_far.states:
                self._so_far.states[row.id] = self._before[row.id] = dict(row._mapping)
            state = {**self._so_far.states[row.id], "status": "void"}
            self.append(SYSTEM, Planned("void", state), guarded=False)

    def check_open(self, *states: State | None) -> None:
        """Neither a closed account nor a closed day is touched."""
        chart = self.chart
        for state in states:
            if state is None:
                continue
            self.check_day(state["date"])
            account = chart.accounts[state["account_id"]]
            if account["closed"]:
                raise AccountClosed(message("The account {account} is closed.", account=account["name"]))

    def check_day(self, day: dt.date | None) -> None:
        """BooksClosed for a day that is closed."""
        closed_until = self.chart.closed_until
        if closed_until is not None and day is not None and day <= closed_until:
            raise BooksClosed(message("The books are closed until {day}.", day=closed_until))

    def _turnovers_after(self, planned: Sequence[Planned]) -> dict[str, int]:
        """The turnovers after some revisions; TotalTooLarge where one would not fit any more."""
        changes: dict[str, int] = {}
        for plan in planned:
            for state, sign in ((self.find(plan.state["id"]), -1), (plan.state, +1)):
                if search.stands(state):
                    currency = state["currency"]  # type: ignore[index]  # a state stands only where there is one
                    changes[currency] = changes.get(currency, 0) + sign * abs(state["minor_units"])  # type: ignore[index]
        return self._changed_turnovers(changes)

    def _changed_turnovers(self, changes: Mapping[str, int], field_name: str = "amount") -> dict[str, int]:
        if self._stored_turnovers is None:
            rows = self.connection.execute(_turnovers, {"ledger_id": self.ledger_id})
            self._stored_turnovers = {row.currency: row.minor_units for row in rows}
        turnovers = dict(self._so_far.turnovers)
        for currency, change in changes.items():
            if change:
                now = turnovers.get(currency, self._stored_turnovers.get(currency, 0)) + change
                if change > 0 and now > INT64_MAX:
                    rule = message("The totals of this currency would pass 64 bits of minor units.")
                    raise TotalTooLarge(errors={field_name: [rule]})
                turnovers[currency] = now
        return turnovers

    # What a change does to the chart.

    def _append_about(self, entity: str, id_: str, kind: str, actor: str, revision: int, figures: Any) -> Head:
        return self.chain.append(
            kind=kind, entity=entity, entity_id=id_, revision=revision, actor=actor, figures=dict(figures)
        )

    def _open_category(self, path: str, actor: str) -> int:
        known = self.chart.category_ids.get(path)
        if known is not None:  # another revision of the same change has opened it
            return known
        self.open_categories([path], actor)
        return self.chart.category_ids[path]

    def open_categories(self, paths: Sequence[str], actor: str) -> None:
        """Open categories that are not there yet; whoever asks has seen that they are not too many."""
        if not paths:
            return
        first = max(self.chart.categories, default=0) + 1
        opened = dict(enumerate(paths, first))
        for id_, path in opened.items():
            self._append_about("category", str(id_), "open", actor, 1, {"path": path})
        self._so_far.chart = self.chart.with_categories(opened)

    def move_categories(self, paths: Mapping[int, str], figures: Mapping[str, str], actor: str) -> Head:
        """Give categories new paths, as one entry."""
        head = self._append_about("ledger", self.chain.ulid, "rename", actor, self.chart.version + 1, figures)
        self._so_far.chart = self._named(self.chart.with_categories(paths).revised())
        return head

    def _named(self, chart: Chart) -> Chart:
        """A chart with the newest rename, which is part of how a transaction is tagged."""
        return replace(chart, renamed_sequence=self.chain.renamed_sequence)

    def close_books(self, until: dt.date | None, actor: str) -> Head:
        """Set the last day that no write may touch any more."""
        figures = {"closed_until": until}
        head = self._append_about("ledger", self.chain.ulid, "close", actor, self.chart.version + 1, figures)
        self._so_far.chart = self.chart.revised(closed_until=until)
        return head

    def save_account(self, account: AccountRow, actor: str) -> AccountRow:
        """Open an account, or give it other figures; NameTaken where another has its name."""
        before = self.chart.accounts.get(account.get("id", 0))
        if self.chart.account_ids.get(account["name"], account.get("id")) != account.get("id"):
            raise NameTaken(errors={"name": ["Another account has this name."]})
        if before is None and len(self.chart.accounts) >= ACCOUNTS_MAX:
            raise Invalid(errors={"name": [message("A ledger has at most {maximum} accounts.", maximum=ACCOUNTS_MAX)]})
        self._so_far.turnovers = self._turnovers_with(before, account)
        figures = {name: account[name] for name in account_model.FIGURES}
        if before is None:
            id_ = self.chain.head.sequence + 1
            account = {"id": id_, **account, "version": 1}
            kind = "open"
        else:
            id_ = before["id"]
            account = {**account, "version": before["version"] + 1}
            kind = "rename" if before["name"] != account["name"] else "replace"
        self._append_about("account", str(id_), kind, actor, account["version"], figures)
        self._so_far.chart = self._named(self.chart.with_account(account))
        return account

    def _turnovers_with(self, before: AccountRow | None, after: AccountRow | None) -> dict[str, int]:
        changes: dict[str, int] = {}
        for account, sign in ((before, -1), (after, +1)):
            if account is not None:
                change = sign * abs(account["opening_minor_units"])
                changes[account["currency"]] = changes.get(account["currency"], 0) + change
        return self._changed_turnovers(changes, "opening_balance")

    def delete_account(self, account: AccountRow, actor: str) -> Head:
        """Take an account away that nothing was ever booked on."""
        self._so_far.turnovers = self._turnovers_with(account, None)
        head = self._append_about("account", str(account["id"]), "delete", actor, account["version"] + 1, {})
        self._so_far.chart = self.chart.without_account(account["id"])
        return head

    def is_used(self, account_id: int) -> bool:
        """Whether a transaction was ever booked on an account, or moved to it; a pending one only while it is there."""
        if any(state["account_id"] == account_id for state in self._so_far.states.values()):
            return True
        names = {"ledger_id": self.ledger_id, "account_id": account_id}
        return any(self.connection.execute(query, names).first() for query in (_has_transactions, _had_transactions))

    # Repeated requests.

    def kept_answer(self, principal: str, key: str) -> tuple[bytes, Answer] | None:
        """The fingerprint and the answer of the first request under a key."""
        row = self._answers.get((principal, key))
        return None if row is None else (row["fingerprint"], Answer(row["status"], row["headers"], row["body"]))

    def keep_answer(self, principal: str, key: str, fingerprint: bytes, answer: Answer) -> None:
        """Keep the answer of the first request under a key, in the same commit as what it did."""
        row = {
            "ledger_id": self.ledger_id,
            "actor": principal,
            "key": key,
            "fingerprint": fingerprint,
            "status": answer.status,
            "headers": dict(answer.headers),
            "body": answer.body,
            "recorded_at": self.chain.recorded_at,
        }
        self._answers[(principal, key)] = row
        self._new_answers.append(row)

    # The end.

    def store(self) -> None:
        """Write everything that the changes have come to."""
        so_far, connection, ledger_id = self._so_far, self.connection, self.ledger_id
        revised = [(self._before.get(id_), so_far.states[id_]) for id_ in so_far.touched]
        storing.store_chart(connection, ledger_id, self._chart_before, self.chart)
        if storing.store_transactions(connection, ledger_id, revised):
            self.chain.next_expiry = storing.next_expiry(connection, ledger_id)
        insert_rows(connection, table(Revision), so_far.revisions)
        self.chain.store(connection)
        search.store(connection, ledger_id, revised)
        give_way(connection)
        totals.store(connection, ledger_id, totals.fold(revised), so_far.turnovers)
        forgotten_before = None
        if self.chain.head.sequence % 1000 < len(self._new_answers):  # now and then
            forgotten_before = self.chain.recorded_at - self._KEPT
        storing.store_answers(connection, ledger_id, self._new_answers, forgotten_before)
        storing.erase(connection, ledger_id, so_far.redacted)


def _too_many_categories() -> str:
    return message("A ledger has at most {maximum} categories.", maximum=CATEGORIES_MAX)


def in_currency(account: AccountRow) -> str:
    """The rule that a currency breaks which is not the account's."""
    return message("The account {account} is in {currency}.", account=account["name"], currency=account["currency"])


def asked_names(transaction: Transaction) -> bytes:
    """A hash of the account and the category that a transaction names, as they are called in the request."""
    return hashlib.sha256(msgspec.json.encode([transaction.account, transaction.category])).digest()
