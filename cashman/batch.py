"""The changes that one commit takes for one ledger: the states they touch, and what comes of them.

All of it is decided in Python while the journal's head is held, and written in bulk at the end. A change that
breaks a rule is rolled back here, in memory, so that it fails alone.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from cashman.db import table
from cashman.errors import IdTaken, Invalid, TotalTooLarge
from cashman.journal import Chain, Head
from cashman.limits import INT64_MAX, KEYED_ANSWERS_KEPT
from cashman.model.idempotency import KeyedAnswer
from cashman.model.ledger import Account, Category, JournalWords, Revision
from cashman.model.total import AccountTotal
from cashman.model.transaction import COLUMNS, FIGURES, REDACTED, WORDS, Transaction
from cashman.queries import State, states_by_id, versions

_accounts = select(Account.id, Account.name).where(Account.ledger_id == bindparam("ledger_id"))
_categories_by_path = select(Category.id, Category.path).where(
    Category.ledger_id == bindparam("ledger_id"), Category.path.in_(bindparam("keys", expanding=True))
)
_newest_category = select(func.coalesce(func.max(Category.id), 0)).where(Category.ledger_id == bindparam("ledger_id"))
_total = select(AccountTotal.minor_units, AccountTotal.count).where(
    AccountTotal.ledger_id == bindparam("ledger_id"),
    AccountTotal.account_id == bindparam("account_id"),
    AccountTotal.currency == bindparam("currency"),
)
_insert_total = insert(table(AccountTotal))
_update_total = (
    update(table(AccountTotal))
    .where(
        AccountTotal.ledger_id == bindparam("of_ledger"),
        AccountTotal.account_id == bindparam("of_account"),
        AccountTotal.currency == bindparam("of_currency"),
    )
    .values(minor_units=bindparam("minor_units"), count=bindparam("count"))
)
_insert_categories = insert(table(Category))
_insert_revisions = insert(table(Revision))
_insert_answers = insert(table(KeyedAnswer))
_insert_transactions = insert(table(Transaction))
_update_transaction = (
    update(table(Transaction))
    .where(
        Transaction.ledger_id == bindparam("of_ledger"),
        Transaction.id == bindparam("of_id"),
        Transaction.version == bindparam("of_version"),
    )
    .values({column.name: bindparam(column.name) for column in COLUMNS})
)
_keyed_answers = select(table(KeyedAnswer)).where(
    KeyedAnswer.ledger_id == bindparam("ledger_id"),
    KeyedAnswer.actor == bindparam("actor"),
    KeyedAnswer.key.in_(bindparam("keys", expanding=True)),
)
_forget_keyed_answers = delete(table(KeyedAnswer)).where(
    KeyedAnswer.ledger_id == bindparam("of_ledger"), KeyedAnswer.recorded_at < bindparam("before")
)
_erase_keyed_bodies = (
    update(table(KeyedAnswer)).where(KeyedAnswer.ledger_id == bindparam("of_ledger")).values(body=None)
)
_erase_words = delete(table(JournalWords)).where(
    JournalWords.ledger_id == bindparam("of_ledger"),
    JournalWords.sequence < bindparam("before"),
    JournalWords.sequence.in_(
        select(Revision.sequence).where(
            Revision.ledger_id == bindparam("of_ledger"), Revision.transaction_id == bindparam("of_id")
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it is kept for whoever repeats the request."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a write came to."""

    states: Sequence[State]
    """The transactions as they stand after it; None of them where an earlier answer is given again."""
    head: Head
    """The journal's head: the entry of this change, or the newest one where nothing had to change."""
    answer: Answer | None = None
    """What is answered: for a keyed request it is made once, and kept."""
    replayed: bool = False

    @property
    def state(self) -> State:
        """The one transaction that the change was about."""
        (state,) = self.states
        return state


@dataclass(slots=True)
class Outcome:
    """What the changes so far come to, not yet written; a copy of it is what a failed change goes back to."""

    states: dict[str, State]
    touched: dict[str, None] = field(default_factory=dict)
    firsts: dict[str, tuple[State, Head]] = field(default_factory=dict)
    revisions: list[dict[str, Any]] = field(default_factory=list)
    categories: dict[str, int] = field(default_factory=dict)
    new_categories: list[dict[str, Any]] = field(default_factory=list)
    totals: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    redacted: dict[str, int] = field(default_factory=dict)
    """By transaction, the sequence number before which its words go."""

    def copy(self) -> "Outcome":
        """A copy that later changes leave alone."""
        return Outcome(*(copy(getattr(self, name)) for name in self.__slots__))


class Batch:
    """The changes of one ledger that one commit takes."""

    _KEPT: Final = dt.timedelta(days=KEYED_ANSWERS_KEPT)

    def __init__(
        self,
        connection: Connection,
        ledger_id: int,
        *,
        ids: Sequence[str],
        category_paths: Iterable[str],
        keys: Sequence[tuple[str, str]],
    ) -> None:
        self.connection = connection
        self.ledger_id = ledger_id
        self.chain = Chain.lock(connection, ledger_id)
        self._so_far = Outcome({row.id: dict(row._mapping) for row in states_by_id(connection, ledger_id, ids)})
        self._stored_versions = {id_: state["version"] for id_, state in self._so_far.states.items()}
        accounts = connection.execute(_accounts, {"ledger_id": ledger_id})
        self._accounts: dict[str, int] = {row.name: row.id for row in accounts}
        paths = list(category_paths)
        if paths:
            rows = connection.execute(_categories_by_path, {"ledger_id": ledger_id, "keys": paths})
            self._so_far.categories = {row.path: row.id for row in rows}
        self._stored_totals: dict[tuple[int, str], tuple[int, int] | None] = {}
        self._answers: dict[tuple[str, str], dict[str, Any]] = {}
        for actor in {actor for actor, _ in keys}:
            own = {"ledger_id": ledger_id, "actor": actor, "keys": [key for of, key in keys if of == actor]}
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

    def find(self, transaction_id: str) -> State | None:
        """A transaction as it is, void or not; None where the id was never booked in this ledger."""
        return self._so_far.states.get(transaction_id)

    def first_answer(self, transaction: Transaction) -> Receipt:
        """The answer to a POST whose id is known: the first one again where the content is the same, else IdTaken.

        A date that is left out means the day of the first POST.
        """
        first = self._so_far.firsts.get(transaction.id)
        if first is None:
            version = versions(self.connection, self.ledger_id, transaction.id)[0]
            first = version.state, version.head
        state, head = first
        compared = ["type", "minor_units", "currency", "account", "category", *WORDS]
        if "date" in transaction.given:
            compared.append("date")
        if any(getattr(transaction, name) != state[name] for name in compared):
            raise IdTaken()
        return Receipt([state], head)

    # What a change does.

    def append(
        self, kind: str, state: State, actor: str, *, with_words: bool = False, with_names: bool = False
    ) -> Head:
        """Book one revision of a transaction, after all that could refuse it.

        `with_names` gives the state the ids of the account and the category that it names.
        """
        before = self.find(state["id"])
        if with_names:
            state["account_id"] = self._account_id(state["account"])
        totals = self._totals_after(before, state)
        if with_names:
            state["category_id"] = self._category_id(state["category"], actor) if state["category"] else None
        self._so_far.totals.update(totals)
        state["version"] = before["version"] + 1 if before else 1
        head = self.chain.append(
            kind=kind,
            entity="transaction",
            entity_id=state["id"],
            revision=state["version"],
            actor=actor,
            figures={name: state[name] for name in FIGURES},
            words={name: state[name] for name in WORDS} if with_words else None,
        )
        so_far = self._so_far
        if before is None:
            state["created_at"] = self.chain.recorded_at
            so_far.firsts[state["id"]] = dict(state), head
        so_far.states[state["id"]] = state
        so_far.touched[state["id"]] = None
        so_far.revisions.append(
            {
                "ledger_id": self.ledger_id,
                "transaction_id": state["id"],
                "revision": state["version"],
                "sequence": head.sequence,
            }
        )
        return head

    def redact(self, state: State, actor: str) -> Head:
        """Book a revision without words, and erase those of every revision before it."""
        head = self.append("redact", {**state, **REDACTED}, actor)
        self._so_far.redacted[state["id"]] = head.sequence
        return head

    def _account_id(self, name: str) -> int:
        id_ = self._accounts.get(name)
        if id_ is None:
            raise Invalid(errors={"account": ["There is no account of this name."]})
        return id_

    def _category_id(self, path: str, actor: str) -> int:
        """The id of a category, which its first use opens."""
        so_far = self._so_far
        known = so_far.categories.get(path)
        if known is not None:
            return known
        if so_far.new_categories:
            id_: int = so_far.new_categories[-1]["id"] + 1
        else:
            id_ = self.connection.execute(_newest_category, {"ledger_id": self.ledger_id}).scalar_one() + 1
        self.chain.append(
            kind="open", entity="category", entity_id=str(id_), revision=1, actor=actor, figures={"path": path}
        )
        so_far.new_categories.append({"ledger_id": self.ledger_id, "id": id_, "path": path})
        so_far.categories[path] = id_
        return id_

    def _totals_after(self, before: State | None, after: State) -> dict[tuple[int, str], tuple[int, int]]:
        """The totals that a revision changes; TotalTooLarge where one would not fit any more."""
        totals: dict[tuple[int, str], tuple[int, int]] = {}
        for state, sign in ((before, -1), (after, +1)):
            if state is None or state["status"] != "posted":
                continue
            of = state["account_id"], state["currency"]
            total, count = totals.get(of) or self._so_far.totals.get(of) or self._stored_total(of)
            totals[of] = total + sign * state["minor_units"], count + sign
        if any(abs(total) > INT64_MAX for total, _ in totals.values()):
            raise TotalTooLarge(errors={"amount": ["The account's total would pass 64 bits of minor units."]})
        return totals

    def _stored_total(self, of: tuple[int, str]) -> tuple[int, int]:
        if of not in self._stored_totals:
            names = {"ledger_id": self.ledger_id, "account_id": of[0], "currency": of[1]}
            row = self.connection.execute(_total, names).one_or_none()
            self._stored_totals[of] = None if row is None else (row[0], row[1])
        return self._stored_totals[of] or (0, 0)

    # Repeated requests.

    def kept_answer(self, actor: str, key: str) -> tuple[bytes, Answer] | None:
        """The fingerprint and the answer of the first request under a key."""
        row = self._answers.get((actor, key))
        return None if row is None else (row["fingerprint"], Answer(row["status"], row["headers"], row["body"]))

    def keep_answer(self, actor: str, key: str, fingerprint: bytes, answer: Answer) -> None:
        """Keep the answer of the first request under a key, in the same commit as what it did."""
        row = {
            "ledger_id": self.ledger_id,
            "actor": actor,
            "key": key,
            "fingerprint": fingerprint,
            "status": answer.status,
            "headers": dict(answer.headers),
            "body": answer.body,
            "recorded_at": self.chain.recorded_at,
        }
        self._answers[(actor, key)] = row
        self._new_answers.append(row)

    # The end.

    def store(self) -> None:
        """Write everything that the changes have come to."""
        so_far, execute = self._so_far, self.connection.execute
        if so_far.new_categories:
            execute(_insert_categories, so_far.new_categories)
        self._store_transactions()
        if so_far.revisions:
            execute(_insert_revisions, so_far.revisions)
        self.chain.store(self.connection)
        self._store_totals()
        for id_, before in so_far.redacted.items():
            execute(_erase_words, {"of_ledger": self.ledger_id, "of_id": id_, "before": before})
        if self._new_answers:
            execute(_insert_answers, self._new_answers)
            if self.chain.head.sequence % 1000 < len(self._new_answers):  # now and then
                execute(
                    _forget_keyed_answers,
                    {"of_ledger": self.ledger_id, "before": self.chain.recorded_at - self._KEPT},
                )

        if so_far.redacted:  # an answer that is kept may quote what was erased
            execute(_erase_keyed_bodies, {"of_ledger": self.ledger_id})

    def _store_transactions(self) -> None:
        inserts, updates = [], []
        for id_ in self._so_far.touched:
            state = self._so_far.states[id_]
            row = {column.name: state[column.name] for column in COLUMNS}
            version = self._stored_versions.get(id_)
            if version is None:
                inserts.append({**row, "ledger_id": self.ledger_id})
            else:
                updates.append({**row, "of_ledger": self.ledger_id, "of_id": id_, "of_version": version})
        if inserts:
            self.connection.execute(_insert_transactions, inserts)
        for row in updates:
            changed = self.connection.execute(_update_transaction, row).rowcount
            assert changed == 1, "a transaction changed under the held head"

    def _store_totals(self) -> None:
        inserts, updates = [], []
        for (account_id, currency), (minor_units, count) in self._so_far.totals.items():
            values = {"minor_units": minor_units, "count": count}
            if self._stored_totals.get((account_id, currency)) is None:
                inserts.append({"ledger_id": self.ledger_id, "account_id": account_id, "currency": currency, **values})
            else:
                updates.append(
                    {"of_ledger": self.ledger_id, "of_account": account_id, "of_currency": currency, **values}
                )
        if inserts:
            self.connection.execute(_insert_total, inserts)
        if updates:
            self.connection.execute(_update_total, updates)
