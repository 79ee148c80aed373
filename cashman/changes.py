"""What can happen to transactions: each change decides, against the state that stands, what it comes to."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cashman.batch import Batch, asked_names, in_currency
from cashman.chart import AccountRow
from cashman.errors import AlreadyChanged, AnswerErased, Expired, Grouped, Invalid, KeyReused, NotFound, Problem
from cashman.model.money import AmountError, to_decimal, to_minor_units
from cashman.model.transaction import READ_ONLY, WORDS, Transaction
from cashman.model.transaction_type import TransactionType
from cashman.queries import State
from cashman.receipts import Answer, Planned, Receipt
from cashman.translations import message

_TYPES = Transaction.__mapper__.polymorphic_map

OWNER: Final = "owner"
"""The actor and principal behind the open door."""
SHARED: Final = ("date", "payee", "account", "currency", "status", "expires_at", "expires_in")
"""What the lines of a split receipt have in common."""
SHARED_BY_LEGS: Final = ("date", "description", "payee", "notes", "tags", "status", "expires_at", "expires_in")
"""What the two legs of a transfer have in common."""


@dataclass(frozen=True, slots=True)
class Request:
    """The HTTP request behind a change: who makes it, and how it is answered, and under which key if it has one."""

    actor: str
    render: Callable[[Receipt], Answer] | None = None
    key: str | None = None
    fingerprint: bytes = b""
    """A hash of what is asked for, before any default."""
    principal: str = OWNER
    """Whose the key is: all that one person signs in with shares its keys."""


class Change(ABC):
    """Something that is to happen to a ledger; `decide` says what it comes to, and raises the rule that it breaks."""

    def __init__(self, ledger_id: int, request: Request) -> None:
        self.ledger_id = ledger_id
        self.request = request

    def ids(self) -> Iterable[str]:
        """The transactions that it has to know."""
        return ()

    @abstractmethod
    def decide(self, batch: Batch) -> Receipt:
        """What it comes to; raises the Problem of the rule that it breaks, before anything of it is done."""

    def answer(self, batch: Batch) -> Receipt:
        """Decide, once for all requests under one key; the others get the first one's answer."""
        request = self.request
        if request.key is not None:
            kept = batch.kept_answer(request.principal, request.key)
            if kept is not None:
                fingerprint, answer = kept
                if fingerprint != request.fingerprint:
                    raise KeyReused()
                if answer.body is None and answer.status != 204:
                    raise AnswerErased()
                return Receipt((), batch.chain.head, answer=answer, replayed=True)
        receipt = self.decide(batch)
        if request.render is None:
            return receipt
        answer = request.render(receipt)
        if request.key is not None:
            batch.keep_answer(request.principal, request.key, request.fingerprint, answer)
        return replace(receipt, answer=answer)


class Record(Change):
    """Book new transactions: all of them, or none. Those of one item belong together."""

    def __init__(self, ledger_id: int, request: Request, items: Sequence[Sequence[Transaction]]) -> None:
        super().__init__(ledger_id, request)
        self.items = items

    def ids(self) -> Iterable[str]:
        return [transaction.id for item in self.items if "id" in item[0].given for transaction in item]

    def decide(self, batch: Batch) -> Receipt:
        if len(self.items) == 1:
            return self._book(batch, self.items[0])
        states: list[State] = []
        errors: dict[int, Any] = {}
        with batch.all_or_nothing():
            for place, item in enumerate(self.items):
                try:
                    states += self._book(batch, item).states
                except Problem as problem:
                    errors[place] = problem.errors or {problem.field: [problem.detail or problem.title]}
            if errors:
                raise Invalid(errors=errors)
        return Receipt(states, batch.chain.head, batch.chart)

    def _book(self, batch: Batch, item: Sequence[Transaction]) -> Receipt:
        if any(batch.find(transaction.id) is not None for transaction in item):
            return batch.first_answer(item)
        if item[0].expires_at is not None and item[0].expires_at <= batch.chain.now():
            raise Invalid(errors={"expires_at": ["Has to be in the future."]})
        if item[0].type is TransactionType.TRANSFER:
            _check_legs(batch, item)
        planned = []
        for transaction in item:
            state = batch.state_of(transaction)
            state["category_id"], opens = batch.category_of(transaction.category)
            asked = asked_names(transaction) if "id" in item[0].given else None
            planned.append(Planned("create", state, with_words=True, opens=opens, asked=asked))
        states = [plan.state for plan in planned]
        head = batch.append(self.request.actor, *planned)
        return Receipt(states, head, batch.chart)


@dataclass(frozen=True, slots=True)
class Target:
    """The transaction that a change is for: of `type` where that is given, as one of the `expected` tags names it.

    A tag is the version and the newest rename, which changes how a transaction is shown.
    """

    id: str
    type: TransactionType | None = None
    expected: frozenset[tuple[int, int]] | None = None
    leads: bool = False
    """Whether it has to be the first of its group, which the whole has its id from."""


class Revise(Change):
    """A change of a transaction that is there, and of those that were booked together with it."""

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
        if self.target.leads and state["group"] != state["id"]:
            raise NotFound()
        return state

    def expected(self, batch: Batch, state: State) -> State:
        """The same, provided that it is at an expected version."""
        expected, stands = self.target.expected, (state["version"], batch.chart.renamed_sequence)
        if expected is not None and stands not in expected:
            told = message("It is at version {version} now.", version=stands[0])
            if stands[1]:
                told = message(
                    "It is at version {version} now, and shows names as of journal entry {sequence}.",
                    version=stands[0],
                    sequence=stands[1],
                )
            raise AlreadyChanged(told)
        return state

    def standing(self, batch: Batch) -> State:
        """The transaction, provided that it stands and is at an expected version."""
        state = self.current(batch)
        if _has_expired(batch, state):
            raise Expired()
        if state["status"] == "void":
            raise NotFound()
        return self.expected(batch, state)

    def receipt(self, batch: Batch, states: Sequence[State]) -> Receipt:
        """What stands where nothing had to change."""
        return Receipt(states, batch.chain.head, batch.chart)

    def revise(self, batch: Batch, kind: str, states: Sequence[State]) -> Receipt:
        """Book the states as one, and give them back."""
        head = batch.append(self.request.actor, *(Planned(kind, state) for state in states))
        return Receipt(states, head, batch.chart)


class Replace(Revise):
    """Give some fields of a transaction new `values`, in currency units and names."""

    def __init__(self, ledger_id: int, request: Request, target: Target, values: Mapping[str, Any]) -> None:
        super().__init__(ledger_id, request, target)
        self.values = values

    def decide(self, batch: Batch) -> Receipt:
        current = self.standing(batch)
        members, now = batch.members(current), batch.chain.now()
        plans = [self._plan(batch, members[0], self.values, now)]
        if len(members) > 1:
            shared = SHARED_BY_LEGS if current["type"] is TransactionType.TRANSFER else SHARED
            values = {name: value for name, value in self.values.items() if name in shared}
            if current["type"] is TransactionType.TRANSFER:
                _refuse_parting(current, plans[0])
            plans += [self._plan(batch, member, values, now) for member in members[1:]]
        return self.book(batch, members, plans)

    def book(self, batch: Batch, members: Sequence[State], plans: Sequence[Planned]) -> Receipt:
        """Book the plans that change something."""
        changed = [plan for plan, member in zip(plans, members, strict=True) if plan.opens or plan.state != member]
        if changed:
            batch.append(self.request.actor, *changed)
        return Receipt([plan.state for plan in plans], batch.chain.head, batch.chart)

    def _plan(self, batch: Batch, current: State, values: Mapping[str, Any], now: dt.datetime) -> Planned:
        """The revision of one transaction that some values come to; all of a group go by the same `now`."""
        values = dict(values)
        amount = values.pop("amount", None)
        account = batch.chart.accounts[current["account_id"]]
        if "account" in values:
            account = batch.chart.account(values.pop("account"))
        currency = values.pop("currency", current["currency"]) or account["currency"]
        if currency != account["currency"] and (currency, account["id"]) != (
            current["currency"],
            current["account_id"],
        ):
            raise Invalid(errors={"currency": [in_currency(account)]})
        state = {**current, "account_id": account["id"], "currency": currency}
        opens = None
        if "category" in values:
            state["category_id"], opens = batch.category_of(values.pop("category"))
        _set_status(state, values, now)
        _refuse_read_only(current, {**state, **values})
        state |= values
        if amount is not None or currency != current["currency"]:
            if amount is None:
                amount = to_decimal(current["minor_units"], current["currency"])
            try:
                state["minor_units"] = _TYPES[state["type"]].class_.minor_units_of(amount, currency)
            except AmountError as error:
                raise Invalid(errors={"amount": [error.rule]}) from None
        return Planned("replace", state, any(state[name] != current[name] for name in WORDS), opens)


class ReplaceTransfer(Replace):
    """Give some fields of a transfer new `values`: accounts by name, amounts positive, in currency units."""

    def decide(self, batch: Batch) -> Receipt:
        current = self.standing(batch)
        source, sink = batch.members(current)
        values = dict(self.values)
        accounts = batch.chart.accounts
        names = [
            values.pop("from", accounts[source["account_id"]]["name"]),
            values.pop("to", accounts[sink["account_id"]]["name"]),
        ]
        if names[0] == names[1]:
            raise Invalid(errors={"to": ["A transfer goes to another account."]})
        ends = [batch.chart.account(name, field) for name, field in zip(names, ("from", "to"), strict=True)]
        _refuse_foreign(values, ends)
        amounts = self._amounts(values, source, sink, [account["currency"] for account in ends])
        shared = {name: value for name, value in values.items() if name in SHARED_BY_LEGS}
        plans, now = [], batch.chain.now()
        for leg, own, account, amount, sign in zip(
            (source, sink), (values, shared), ends, amounts, (-1, +1), strict=True
        ):
            figures = {"account": account["name"], "currency": account["currency"], "amount": sign * amount}
            plans.append(self._plan(batch, leg, {**own, **figures}, now))
        return self.book(batch, (source, sink), plans)

    def book(self, batch: Batch, members: Sequence[State], plans: Sequence[Planned]) -> Receipt:
        """Book both plans where one of them changes something: the transfer has the version of what goes out."""
        if any(plan.state != member for plan, member in zip(plans, members, strict=True)):
            batch.append(self.request.actor, *plans)
        return Receipt([plan.state for plan in plans], batch.chain.head, batch.chart)

    def _amounts(
        self, values: dict[str, Any], source: State, sink: State, currencies: Sequence[str]
    ) -> tuple[Any, Any]:
        """What goes out and what comes in, in currency units."""
        same = currencies[0] == currencies[1]
        amount = values.pop("amount", None)
        to_amount = values.pop("to_amount", None)
        if amount is None:
            if currencies[0] != source["currency"]:
                raise Invalid(errors={"amount": ["The account is in another currency: say what goes out, too."]})
            amount = -to_decimal(source["minor_units"], source["currency"])
        if to_amount is None:
            if not same and (currencies[1] != sink["currency"] or source["currency"] == sink["currency"]):
                raise Invalid(errors={"to_amount": ["The accounts have two currencies: say what comes in, too."]})
            to_amount = amount if same else to_decimal(sink["minor_units"], sink["currency"])
        elif same and to_amount != amount:
            raise Invalid(errors={"to_amount": ["In one currency what goes out comes in."]})
        for name, given, currency in zip(("amount", "to_amount"), (amount, to_amount), currencies, strict=True):
            try:
                to_minor_units(given, currency)
            except AmountError as error:
                raise Invalid(errors={name: [error.rule]}) from None
        return amount, to_amount


class Void(Revise):
    """Take a transaction out of lists and totals; its history stays. Voiding twice is voiding once."""

    def decide(self, batch: Batch) -> Receipt:
        current = self.current(batch)
        if current["status"] == "void":
            return self.receipt(batch, batch.members(current))
        self.expected(batch, current)
        return self.revise(batch, "void", [{**state, "status": "void"} for state in batch.members(current)])


class Restore(Revise):
    """Bring a void transaction back as it was, as a new revision; one that stands stays as it is."""

    def decide(self, batch: Batch) -> Receipt:
        current = self.current(batch)
        members = batch.members(current)
        if current["status"] != "void":
            return self.receipt(batch, members)
        self.expected(batch, current)
        if _has_expired(batch, current):
            raise Expired()
        status = batch.status_before_void(current)
        return self.revise(batch, "restore", [{**state, "status": status} for state in members])


class Redact(Revise):
    """Erase the words of a transaction, in every revision; its figures and its history stay."""

    def decide(self, batch: Batch) -> Receipt:
        current = self.expected(batch, self.current(batch))
        members = batch.members(current) if current["type"] is TransactionType.TRANSFER else [current]
        head = batch.redact(members, self.request.actor)
        return Receipt([batch.find(state["id"]) or state for state in members], head, batch.chart)


class Expire(Change):
    """Void what is past its time: every batch begins with that, so there is nothing more to decide."""

    def decide(self, batch: Batch) -> Receipt:
        return Receipt((), batch.chain.head, batch.chart)


def _has_expired(batch: Batch, state: State) -> bool:
    return state["expires_at"] is not None and state["expires_at"] <= batch.chain.now()


def _check_legs(batch: Batch, legs: Sequence[Transaction]) -> None:
    """Two currencies take two amounts, and one takes one; the ledger alone knows which the accounts have."""
    source, sink = (batch.chart.account(leg.account, leg.account_field)["currency"] for leg in legs)
    if source != sink:
        if legs[0].currency == legs[1].currency:
            raise Invalid(errors={"to_amount": ["The accounts have two currencies: say what comes in, too."]})
    elif legs[0].amount + legs[1].amount != 0:
        raise Invalid(errors={"to_amount": ["In one currency what goes out comes in."]})


def _refuse_foreign(values: dict[str, Any], ends: Sequence[AccountRow]) -> None:
    """Take the currencies out of the values: they are those of the accounts."""
    errors = {}
    for name, account in zip(("currency", "to_currency"), ends, strict=True):
        if values.pop(name, account["currency"]) != account["currency"]:
            errors[name] = [in_currency(account)]
    if errors:
        raise Invalid(errors=errors)


def _set_status(state: State, values: dict[str, Any], now: dt.datetime) -> None:
    """Take status and expiry out of the values, where they change or keep what the state says."""
    status = values.get("status", state["status"])
    if status not in ("posted", "pending"):
        raise Invalid(errors={"status": ["Void it with DELETE."]})
    expires_in = values.pop("expires_in", None)
    expires_at = values.pop("expires_at", state["expires_at"])
    if expires_in is not None:
        expires_at = now + dt.timedelta(seconds=expires_in)
    if status == "posted":
        if expires_in is not None or (expires_at is not None and expires_at != state["expires_at"]):
            named = "expires_at" if expires_in is None else "expires_in"
            raise Invalid(errors={named: ["Only a pending transaction expires."]})
        expires_at = None
    elif expires_at is not None and expires_at != state["expires_at"] and expires_at <= now:
        raise Invalid(errors={"expires_at": ["Has to be in the future."]})
    values.pop("status", None)
    state["status"], state["expires_at"] = status, expires_at


def _refuse_parting(current: State, plan: Planned) -> None:
    """A leg alone can have neither another amount nor another account; and no category."""
    parting = ("minor_units", "currency", "account_id", "category_id")
    if plan.opens is not None or any(plan.state[name] != current[name] for name in parting):
        raise Grouped(message("Change it at /transfers/{group}.", group=current["group"]))


def _refuse_read_only(current: State, wanted: State) -> None:
    """Read-only members may be sent back as they were read, and not otherwise."""
    errors = {
        name: ["Read-only: it may be left out, or sent back as it was read."]
        for name in ("id", "type", *READ_ONLY)
        if wanted[name] != current[name]
    }
    if errors:
        raise Invalid(errors=errors)
