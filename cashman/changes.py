"""What can happen to transactions: each change decides, against the state that stands, what it comes to."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cashman.batch import Answer, Batch, Receipt
from cashman.errors import AlreadyChanged, AnswerErased, Invalid, KeyReused, NotFound, Problem
from cashman.model.money import AmountError, to_decimal
from cashman.model.transaction import READ_ONLY, WORDS, Transaction
from cashman.model.transaction_type import TransactionType
from cashman.queries import STATE_NAMES, State

_TYPES = Transaction.__mapper__.polymorphic_map


@dataclass(frozen=True, slots=True)
class Request:
    """The HTTP request behind a change: who makes it, and how it is answered, and under which key if it has one."""

    actor: str
    render: Callable[[Receipt], Answer] | None = None
    key: str | None = None
    fingerprint: bytes = b""
    """A hash of what is asked for, before any default."""


class Change(ABC):
    """Something that is to happen to a ledger; `decide` says what it comes to, and raises the rule that it breaks."""

    def __init__(self, ledger_id: int, request: Request) -> None:
        self.ledger_id = ledger_id
        self.request = request

    def ids(self) -> Iterable[str]:
        """The transactions that it has to know."""
        return ()

    def category_paths(self) -> Iterable[str]:
        """The categories that it names."""
        return ()

    @abstractmethod
    def decide(self, batch: Batch) -> Receipt:
        """What it comes to; raises the Problem of the rule that it breaks, before anything of it is done."""

    def answer(self, batch: Batch) -> Receipt:
        """Decide, once for all requests under one key; the others get the first one's answer."""
        request = self.request
        if request.key is not None:
            kept = batch.kept_answer(request.actor, request.key)
            if kept is not None:
                fingerprint, answer = kept
                if fingerprint != request.fingerprint:
                    raise KeyReused()
                if answer.body is None and answer.status != 204:
                    raise AnswerErased()
                return Receipt((), batch.chain.head, answer, replayed=True)
        receipt = self.decide(batch)
        if request.render is None:
            return receipt
        answer = request.render(receipt)
        if request.key is not None:
            batch.keep_answer(request.actor, request.key, request.fingerprint, answer)
        return Receipt(receipt.states, receipt.head, answer)


class Record(Change):
    """Book new transactions: all of them, or none."""

    def __init__(self, ledger_id: int, request: Request, transactions: Sequence[Transaction]) -> None:
        super().__init__(ledger_id, request)
        self.transactions = transactions

    def ids(self) -> Iterable[str]:
        return [transaction.id for transaction in self.transactions if "id" in transaction.given]

    def category_paths(self) -> Iterable[str]:
        return {transaction.category for transaction in self.transactions if transaction.category}

    def decide(self, batch: Batch) -> Receipt:
        if len(self.transactions) == 1:
            return self._book(batch, self.transactions[0])
        states, errors = [], {}
        with batch.all_or_nothing():
            for place, transaction in enumerate(self.transactions):
                try:
                    states.append(self._book(batch, transaction).state)
                except Problem as problem:
                    errors[place] = problem.errors or {"id": [problem.title]}
            if errors:
                raise Invalid(errors=errors)
        return Receipt(states, batch.chain.head)

    def _book(self, batch: Batch, transaction: Transaction) -> Receipt:
        if batch.find(transaction.id) is not None:
            return batch.first_answer(transaction)
        state = {name: getattr(transaction, name) for name in STATE_NAMES}
        head = batch.append("create", state, self.request.actor, with_words=True, with_names=True)
        return Receipt([state], head)


@dataclass(frozen=True, slots=True)
class Target:
    """The transaction that a change is for: of `type` where that is given, at one of the `expected` versions."""

    id: str
    type: TransactionType | None = None
    expected: frozenset[int] | None = None


class Revise(Change):
    """A change of a transaction that is there."""

    def __init__(self, ledger_id: int, request: Request, target: Target) -> None:
        super().__init__(ledger_id, request)
        self.target = target

    def ids(self) -> Iterable[str]:
        return [self.target.id]

    def current(self, batch: Batch) -> State:
        """The transaction as it is, void or not."""
        state = batch.find(self.target.id)
        if state is None or self.target.type not in (None, state["type"]):
            raise NotFound()
        return state

    def expected(self, state: State) -> State:
        """The same, provided that it is at an expected version."""
        if self.target.expected is not None and state["version"] not in self.target.expected:
            raise AlreadyChanged(f"It is at version {state['version']} now.")
        return state


class Replace(Revise):
    """Give some fields of a transaction new `values`, in currency units and names."""

    def __init__(self, ledger_id: int, request: Request, target: Target, values: Mapping[str, Any]) -> None:
        super().__init__(ledger_id, request, target)
        self.values = values

    def category_paths(self) -> Iterable[str]:
        return [self.values["category"]] if self.values.get("category") else ()

    def decide(self, batch: Batch) -> Receipt:
        current = self.current(batch)
        if current["status"] == "void":
            raise NotFound()
        self.expected(current)
        values = dict(self.values)
        amount = values.pop("amount", None)
        state = {**current, **values}
        _refuse_read_only(current, state)
        if amount is not None or state["currency"] != current["currency"]:
            if amount is None:
                amount = to_decimal(current["minor_units"], current["currency"])
            try:
                state["minor_units"] = _TYPES[state["type"]].class_.minor_units_of(amount, state["currency"])
            except AmountError as error:
                raise Invalid(errors={"amount": [str(error)]}) from None
        if state == current:
            return Receipt([current], batch.chain.head)
        head = batch.append(
            "replace",
            state,
            self.request.actor,
            with_words=any(state[name] != current[name] for name in WORDS),
            with_names=(state["account"], state["category"]) != (current["account"], current["category"]),
        )
        return Receipt([state], head)


class Void(Revise):
    """Take a transaction out of lists and totals; its history stays. Voiding twice is voiding once."""

    def decide(self, batch: Batch) -> Receipt:
        current = self.current(batch)
        if current["status"] == "void":
            return Receipt([current], batch.chain.head)
        state = {**self.expected(current), "status": "void"}
        return Receipt([state], batch.append("void", state, self.request.actor))


class Restore(Revise):
    """Bring a void transaction back, as a new revision; one that stands stays as it is."""

    def decide(self, batch: Batch) -> Receipt:
        current = self.current(batch)
        if current["status"] != "void":
            return Receipt([current], batch.chain.head)
        state = {**self.expected(current), "status": "posted"}
        return Receipt([state], batch.append("restore", state, self.request.actor))


class Redact(Revise):
    """Erase the words of a transaction, in every revision; its figures and its history stay."""

    def decide(self, batch: Batch) -> Receipt:
        current = self.expected(self.current(batch))
        head = batch.redact(current, self.request.actor)
        return Receipt([batch.find(self.target.id) or current], head)


def _refuse_read_only(current: State, wanted: State) -> None:
    """Read-only members may be sent back as they were read, and not otherwise."""
    errors = {
        name: ["Read-only: it may be left out, or sent back as it was read."]
        for name in ("id", "type", *READ_ONLY)
        if wanted[name] != current[name]
    }
    if errors:
        raise Invalid(errors=errors)
