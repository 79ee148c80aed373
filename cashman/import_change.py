"""What a file comes to in the ledger: what is new, what was imported before, what opens, what is refused, line by line.

`Import` is one change as any other: it decides what a file says against what stands, and books it as one commit, or
nothing of it.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, select

from cashman.batch import Batch, in_currency
from cashman.bookings import Booking, Line
from cashman.changes import Change, Request
from cashman.chart import Chart
from cashman.db import give_way
from cashman.errors import Invalid, Problem, TotalTooLarge
from cashman.fingerprints import identify
from cashman.formats.records import Account, Movement
from cashman.journal import Entry
from cashman.limits import CATEGORIES_MAX, IMPORT_FAULTS_MAX
from cashman.model.account import DEFAULTS, MAIN_ACCOUNT, MAIN_ACCOUNT_ID
from cashman.model.ledger import JournalEntry
from cashman.model.money import AmountError, to_minor_units
from cashman.model.transaction import member_id
from cashman.model.transaction_type import TransactionType
from cashman.queries import State, states_by_group
from cashman.receipts import Receipt
from cashman.translations import message

_GIVE_WAY_BOOKINGS: Final = 500
_GROUPS_AT_ONCE: Final = 10_000
"""A statement has at most 65,535 parameters on PostgreSQL."""
_entries = select(JournalEntry.sequence, JournalEntry.entry).where(
    JournalEntry.ledger_id == bindparam("ledger_id"), JournalEntry.sequence.in_(bindparam("sequences", expanding=True))
)
_IMPORTED_BEFORE: Final = message("Imported before.")
_THERE_ALREADY: Final = message("A transaction with this id is there already.")


@dataclass(slots=True)
class Outcome:
    """What an import came to, or would come to."""

    format: str = ""
    encoding: str = ""
    booked: int = 0
    """Transactions: of a transfer both legs."""
    skipped: int = 0
    refused: int = 0
    opened: dict[str, str] = field(default_factory=dict)
    """The currency by the name of each account that was not there before."""
    sums: Counter[str] = field(default_factory=Counter)
    """By currency what was booked comes to in minor units, but for transfers."""
    chart: Chart | None = None
    """The names that go with the states of the lines."""
    lines: list[Line] = field(default_factory=list)
    """What was skipped and refused, and of a preview what would be booked; not more than IMPORT_FAULTS_MAX of each."""

    def note(self, line: Line) -> None:
        """Count a line that is not booked, and keep it where it is one of the first."""
        if line.outcome == "skipped":
            self.skipped += 1
            told = self.skipped
        else:
            self.refused += 1
            told = self.refused
        if told <= IMPORT_FAULTS_MAX:
            self.lines.append(line)

    def add(self, other: "Outcome") -> None:
        """Add what the next chunk came to."""
        self.booked, self.skipped, self.refused = (
            self.booked + other.booked,
            self.skipped + other.skipped,
            self.refused + other.refused,
        )
        self.opened |= other.opened
        self.sums.update(other.sums)
        self.lines += other.lines[: max(0, 3 * IMPORT_FAULTS_MAX - len(self.lines))]

    def undo(self) -> None:
        """Nothing of it was booked after all."""
        self.booked, self.opened = 0, {}
        self.sums.clear()

    def errors(self) -> dict[int, dict[str, list[str]]]:
        """What was refused, by line."""
        found: dict[int, dict[str, list[str]]] = {}
        for line in self.lines:
            for name, rules in (line.errors or {}).items():
                found.setdefault(line.line, {}).setdefault(name, []).extend(rules)
        return found


class Import(Change):
    """Book what a file holds: all of it, or with `partial` what can be booked; with `preview` nothing."""

    def __init__(
        self,
        ledger_id: int,
        request: Request,
        items: Sequence[Booking | Account | Line],
        *,
        partial: bool = False,
        preview: bool = False,
        closes: bool = False,
        today: dt.date,
    ) -> None:
        """`closes`: the accounts that it describes as closed are those of a file whose rows are booked by now."""
        super().__init__(ledger_id, request)
        self.items = items
        self.closes = closes
        self.partial = partial
        self.preview = preview
        self.today = today
        self.outcome = Outcome()
        """What it came to; nothing of it stands where something was refused and it is not `partial`."""

    def decide(self, batch: Batch) -> Receipt:
        try:
            with batch.all_or_nothing():
                booker = _Booker(batch, self.request.actor, self.today, keeps=self.preview, closes=self.closes)
                self.outcome = booker.book(self.items)
                if self.preview or (self.outcome.refused and not self.partial):
                    raise _Undone()
        except _Undone:
            if not self.preview:
                self.outcome.undo()
        return Receipt((), batch.chain.head, batch.chart)


class _Undone(Exception):
    """What was decided is to leave nothing behind."""


class _Booker:
    """Books the items of a file into a batch; what cannot be booked is noted, and the rest goes on."""

    def __init__(self, batch: Batch, actor: str, today: dt.date, *, keeps: bool, closes: bool) -> None:
        self.batch = batch
        self.actor = actor
        self.today = today
        self.keeps = keeps
        """Whether what would be booked is to be shown."""
        self.closes = closes
        self.outcome = Outcome()
        self._taken = 0
        self._seen: dict[str, State] = {}
        """What this change books, by id."""
        self._groups: set[str] = set()
        """The groups of the file that have members already."""
        self._former: dict[str, int] = {}
        """By the name that it was opened with, an account that has another name now."""

    def book(self, items: Sequence[Booking | Account | Line]) -> Outcome:
        """Open the accounts that are not there, and book what was not imported before."""
        outcome, batch = self.outcome, self.batch
        for item in items:
            if isinstance(item, Line):
                outcome.note(item)
        closing = self._open_accounts(items)
        drafts = [(item, self._draft(item)) for item in items if isinstance(item, Booking)]
        batch.learn([state["id"] for _, states in drafts for state in states])
        self._learn_groups(booking.group for booking, _ in drafts if booking.group is not None)
        new = [draft for draft in drafts if draft[1] and self._is_new(*draft) and self._may_book(*draft)]
        new = self._within_limits(new)
        self._open_categories(new)
        for booking, states in new:
            self._give_way()
            batch.create(states, self.actor)
            for state in states:
                if not booking.transfer:
                    outcome.sums[state["currency"]] += state["minor_units"]
            if self.keeps and outcome.booked < IMPORT_FAULTS_MAX:
                outcome.lines.append(Line(booking.line, "booked", states=states))
            outcome.booked += len(states)
        for account in closing:
            batch.save_account({**batch.chart.accounts[account], "closed": True}, self.actor)
        outcome.chart = batch.chart
        outcome.lines.sort(key=lambda line: line.line)
        return outcome

    def _give_way(self) -> None:
        """Now and then let others be served."""
        self._taken += 1
        if self._taken % _GIVE_WAY_BOOKINGS == 0:
            give_way(self.batch.connection)

    def _refuse(self, line: int, errors: dict[str, list[str]]) -> None:
        self.outcome.note(Line(line, "refused", errors=errors))

    # Accounts.

    def _open_accounts(self, items: Sequence[Booking | Account | Line]) -> list[int]:
        """Open what is not there yet; gives the ids of those that are to be closed at the end."""
        described: dict[str, Account] = {}
        for item in items:
            if isinstance(item, Account):
                described.setdefault(item.name, item)
        needed = _needed_accounts(items)
        if not self.batch.chart.account_ids.keys() >= {*described, *needed}:
            self._former = self._former_names()
        closing = []
        for name, account in described.items():
            opened = self._account_id(name) is None
            if not opened:
                self._adopt(account)
            elif not self._open(account, needed.get(name, (0, None))[1]):
                continue
            id_ = self._account_id(name)
            if account.closed and id_ is not None and (opened or self._is_as_opened(id_)):
                closing.append(id_)
        for name, (line, currency) in needed.items():
            if self._account_id(name) is None and name not in described:
                self._open(Account(line=line, name=name, currency=currency), None)
        return closing

    def _account_id(self, name: str) -> int | None:
        """The account of a name, or else the one that was opened with it: the next statement still calls it so."""
        return self.batch.chart.account_ids.get(name) or self._former.get(name)

    def _former_names(self) -> dict[str, int]:
        """The accounts that had another name once, by the one that they were opened with."""
        accounts = self.batch.chart.accounts  # main is numbered otherwise, and keeps its name
        changed = [id_ for id_, row in accounts.items() if row["version"] > 1 and id_ != MAIN_ACCOUNT_ID]
        names = {"ledger_id": self.batch.ledger_id, "sequences": changed}
        rows = self.batch.connection.execute(_entries, names).all() if changed else ()
        return {msgspec.json.decode(row.entry, type=Entry).figures["name"]: row.sequence for row in rows}

    def _is_as_opened(self, id_: int) -> bool:
        """Whether an earlier part of the same file has opened an account, and nobody has changed it since."""
        account = self.batch.chart.accounts[id_]
        return self.closes and id_ != MAIN_ACCOUNT_ID and account["version"] == 1

    def _open(self, described: Account, currency: str | None) -> bool:
        currency = described.currency or currency or self.batch.chart.currency
        row = {"name": described.name, "currency": currency, **DEFAULTS, "kind": described.kind}
        try:
            opening = self._opening(described, currency)
            self.batch.check_day(opening.get("opening_date"))
            account = self.batch.save_account({**row, **opening}, self.actor)
        except Problem as problem:
            self._refuse(described.line, {"account": _rules(problem)})
            return False
        self.outcome.opened[account["name"]] = account["currency"]
        return True

    def _opening(self, described: Account, currency: str) -> dict[str, Any]:
        if not described.opening_balance and (described.opening_balance is None or described.opening_date is None):
            return {}
        try:
            minor_units = to_minor_units(described.opening_balance, currency)
        except AmountError as error:
            raise Invalid(errors={"account": [error.rule]}) from None
        return {"opening_minor_units": minor_units, "opening_date": described.opening_date or self.today}

    def _adopt(self, described: Account) -> None:
        """Give an account that is there, and untouched, what the file says of it."""
        id_ = self._account_id(described.name)
        assert id_ is not None
        account = self.batch.chart.accounts[id_]
        if described.currency not in (None, account["currency"]):
            return self._refuse(described.line, {"currency": [in_currency(account)]})
        try:
            opening = self._opening(described, account["currency"])
            told = {**opening, "kind": account["kind"] or described.kind}
            if all(account[name] == value for name, value in told.items()):
                return None
            if account["opening_minor_units"] or self.batch.is_used(id_):
                if any(account[name] != value for name, value in opening.items()):
                    kept = message("The account is there already, and keeps its opening balance.")
                    self.outcome.note(Line(described.line, "skipped", kept))
                return None
            self.batch.check_day(opening.get("opening_date"))
            self.batch.save_account({**account, **told}, self.actor)
        except Problem as problem:
            self._refuse(described.line, {"account": _rules(problem)})
        return None

    # Transactions.

    def _draft(self, booking: Booking) -> list[State]:
        """The states that a booking is to become, but for what booking adds; none where it breaks a rule."""
        self._give_way()
        try:
            states = [self._state(movement) for movement in booking.movements]
            if booking.transfer:
                _check_legs(states)
        except Problem as problem:
            self._refuse(booking.line, _errors(problem))
            return []
        identify(booking, states)
        return states

    def _state(self, movement: Movement) -> State:
        chart = self.batch.chart
        account_id = self._account_id(movement.account or MAIN_ACCOUNT)
        if account_id is None:
            raise Invalid(errors={"account": [message("The account could not be opened.")]})
        account = chart.accounts[account_id]
        currency = account["currency"]
        if movement.currency is not None and movement.currency != currency:
            raise Invalid(errors={"currency": [in_currency(account)]})
        try:
            minor_units = to_minor_units(movement.amount, currency)
        except AmountError as error:
            raise Invalid(errors={"amount": [error.rule]}) from None
        if not minor_units:
            raise Invalid(errors={"amount": ["Zero is not a movement of money."]})
        return {
            "id": "",
            "type": TransactionType.INCOME if minor_units > 0 else TransactionType.EXPENSE,
            "status": movement.status,
            "minor_units": minor_units,
            "currency": currency,
            "date": movement.date,
            "account_id": account_id,
            "category_id": None,
            "group": None,
            "expires_at": movement.expires_at,
            "description": movement.description,
            "payee": movement.payee,
            "notes": movement.notes,
            "tags": movement.tags,
        }

    def _is_new(self, booking: Booking, states: Sequence[State]) -> bool:
        """Whether nothing of it was booked before; else it is noted as skipped."""
        if len(states) == 1 and (id_ := states[0]["id"]) not in self._seen and not self.batch.find(id_):  # as most are
            self._seen[id_] = states[0]
            return True
        ids = {state["id"] for state in states}
        if not (ids & self._seen.keys() or any(self.batch.find(id_) for id_ in ids)) and len(ids) == len(states):
            self._seen |= {state["id"]: state for state in states}
            return True
        if booking.movements[0].reference is not None and not self._was_booked_so(states[0]):
            rule = message("Another transaction of this account has this reference, with another amount.")
            self._refuse(booking.line, {"reference": [rule]})
            return False
        told = _IMPORTED_BEFORE if booking.movements[0].id is None else _THERE_ALREADY
        self.outcome.note(Line(booking.line, "skipped", told))
        return False

    def _was_booked_so(self, state: State) -> bool:
        """Whether what has its id was first booked with its amount: a bank may change the day, and people the rest."""
        found = self._seen.get(state["id"]) or self.batch.find(state["id"])
        if found is None or found["minor_units"] == state["minor_units"]:
            return True
        if state["id"] in self._seen:
            return False
        first = self.batch.first_state(state["id"])
        return first is None or first["minor_units"] == state["minor_units"]

    def _learn_groups(self, groups: Iterable[str]) -> None:
        """Note which groups of the file have members in the ledger."""
        named = [*dict.fromkeys(groups)]
        for start in range(0, len(named), _GROUPS_AT_ONCE):
            asked = named[start : start + _GROUPS_AT_ONCE]
            rows = states_by_group(self.batch.connection, self.batch.ledger_id, asked)
            self._groups.update(row.group for row in rows)

    def _may_book(self, booking: Booking, states: Sequence[State]) -> bool:
        """Whether what is new may be booked: what was imported before is past these rules; else it is refused."""
        first = states[0]
        try:
            self.batch.check_open(*states)
            if first["expires_at"] is not None and first["expires_at"] <= self.batch.chain.now():
                raise Invalid(errors={"expires_at": ["Has to be in the future."]})
            if booking.group is not None:
                self._check_group(booking, states)
        except Problem as problem:
            self._refuse(booking.line, _errors(problem))
            return False
        return True

    def _check_group(self, booking: Booking, states: Sequence[State]) -> None:
        """A group is booked at once, and never grows; that of a transfer decides the ids of the legs."""
        group = states[0]["group"]
        if group in self._groups or len(self.batch.members(states[0])) > 1:
            raise Invalid(errors={"group": [message("Others were booked together under this group.")]})
        self._groups.add(group)
        if booking.transfer and any(state["id"] != member_id(group, place) for place, state in enumerate(states)):
            raise Invalid(errors={"group": [message("The ids of the two legs of a transfer follow from its group.")]})

    def _within_limits(self, drafts: list[tuple[Booking, list[State]]]) -> list[tuple[Booking, list[State]]]:
        """Those that the ledger has room for, which the turnovers count from here on; the others are refused."""
        room = CATEGORIES_MAX - len(self.batch.chart.categories)
        try:
            if len(self._new_paths(drafts)) <= room:
                self.batch.spend(_sizes(drafts))
                return drafts
        except TotalTooLarge:
            pass
        fitting, opened = [], set[str]()
        for draft in drafts:
            paths = opened.union(self._new_paths([draft]))
            try:
                if len(paths) > max(room, len(opened)):
                    told = message("A ledger has at most {maximum} categories.", maximum=CATEGORIES_MAX)
                    raise Invalid(errors={"category": [told]})
                self.batch.spend(_sizes([draft]))
            except Problem as problem:
                self._refuse(draft[0].line, _errors(problem))
                continue
            fitting.append(draft)
            opened = paths
        return fitting

    def _new_paths(self, drafts: Iterable[tuple[Booking, list[State]]]) -> dict[str, None]:
        known = self.batch.chart.category_ids
        paths = (m.category for booking, _ in drafts if not booking.transfer for m in booking.movements)
        return {path: None for path in paths if path is not None and path not in known}

    def _open_categories(self, drafts: list[tuple[Booking, list[State]]]) -> None:
        """Give every state its category, after those that are new are opened, all at once."""
        self.batch.open_categories([*self._new_paths(drafts)], self.actor)
        ids = self.batch.chart.category_ids
        for booking, states in drafts:
            if not booking.transfer:
                for movement, state in zip(booking.movements, states, strict=True):
                    if movement.category is not None:
                        state["category_id"] = ids[movement.category]


def _needed_accounts(items: Sequence[Booking | Account | Line]) -> dict[str, tuple[int, str | None]]:
    """By its name of each account that is booked on the first line, and the currency where one says it."""
    needed: dict[str, tuple[int, str | None]] = {}
    for item in items:
        if isinstance(item, Booking):
            for movement in item.movements:
                name, currency = movement.account or MAIN_ACCOUNT, movement.currency
                if name not in needed:
                    needed[name] = (item.line, currency)
                elif currency is not None and needed[name][1] is None:
                    needed[name] = (needed[name][0], currency)
    return needed


def _errors(problem: Problem) -> dict[str, list[str]]:
    return dict(problem.errors or {problem.field: [problem.detail or problem.title]})


def _rules(problem: Problem) -> list[str]:
    return [rule for rules in _errors(problem).values() for rule in rules]


def _sizes(drafts: Iterable[tuple[Booking, list[State]]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for _, states in drafts:
        for state in states:
            currency = state["currency"]
            sizes[currency] = sizes.get(currency, 0) + abs(state["minor_units"])
    return sizes


def _check_legs(states: Sequence[State]) -> None:
    out, into = states
    if out["currency"] == into["currency"] and out["minor_units"] != -into["minor_units"]:
        raise Invalid(errors={"amount": ["In one currency what goes out comes in."]})
