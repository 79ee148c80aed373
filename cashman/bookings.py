"""What a file says, held to the model's rules before the ledger is asked: bookings, and what cannot be one.

Nothing here knows which accounts there are, or what was imported before.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from marshmallow import ValidationError

from cashman.errors import Invalid
from cashman.formats.records import Account, Item, Movement, Refused, Skipped, Split, Transfer
from cashman.limits import IMPORT_FAULTS_MAX, IMPORT_ROWS_MAX, LINES_MAX
from cashman.model.account import MAIN_ACCOUNT, AccountSchema
from cashman.model.currency import CURRENCIES
from cashman.model.fields import ULID_PATTERN
from cashman.model.money import AmountError, to_minor_units
from cashman.model.transaction import TransactionFields
from cashman.translations import message

_ULID: Final = re.compile(ULID_PATTERN, re.ASCII)
_CALLED_CHARACTERS_MAX: Final = 100
_KNOWN_MAX: Final = 10_000
"""So many different names of a kind are remembered as good."""
_PLAIN: Final = re.compile(r"[!-~](?:[ -~]{0,398}[!-~])?", re.ASCII)
"""What needs no further look: it keeps every rule of a description."""


class Booking(msgspec.Struct):
    """What is booked together: one movement, the two legs of a transfer, or the lines of a receipt."""

    line: int
    movements: list[Movement]
    transfer: bool = False
    group: str | None = None
    repeated: int = 0
    """How many equal ones stand before it in the file."""


@dataclass(slots=True)
class Line:
    """What became of a part of a file."""

    line: int
    outcome: str
    """booked, skipped or refused"""
    reason: str | None = None
    errors: dict[str, list[str]] | None = None
    states: Sequence[Mapping[str, Any]] = ()
    """What was booked of it, as rows of transactions."""


class Rules:
    """The model's own rules for what a file says; a name that was good once is good again."""

    def __init__(self) -> None:
        fields = {**TransactionFields().fields, "name": AccountSchema().fields["name"]}
        self._check = {name: fields[name].deserialize for name in fields}
        self._good: dict[str, set[Any]] = {
            name: set() for name in ("account", "category", "payee", "currency", "status")
        }
        self._good_tags: set[tuple[str, ...]] = set()

    def broken(self, movement: Movement) -> dict[str, list[str]] | None:
        """The rules that a movement breaks, by field."""
        errors: dict[str, list[str]] = {}
        if not (_PLAIN.fullmatch(movement.description) and len(movement.description) <= 400):
            self._hold("description", movement.description, errors)
        for name, good in self._good.items():
            value = getattr(movement, name)
            if value is not None and value not in good:
                self._remember(name, value, errors)
        tags = tuple(movement.tags)
        if tags and tags not in self._good_tags and self._hold("tags", movement.tags, errors):
            _remember(self._good_tags, tags)
        for name in ("notes", "id"):
            if getattr(movement, name) is not None:
                self._hold(name, getattr(movement, name), errors)
        if movement.expires_at is not None and movement.status != "pending":
            errors["expires_at"] = ["Only a pending transaction expires."]
        if movement.currency in CURRENCIES:
            try:
                to_minor_units(movement.amount, movement.currency)
            except AmountError as error:
                errors["amount"] = [error.rule]
        return errors or None

    def broken_by_account(self, account: Account) -> dict[str, list[str]] | None:
        """The same for an account."""
        given = {
            name: getattr(account, name) for name in ("name", "kind", "currency", "opening_balance", "opening_date")
        }
        named = {name: value for name, value in given.items() if value is not None}
        if account.opening_date is not None:
            named["opening_date"] = account.opening_date.isoformat()
        found: dict[str, list[str]] = AccountSchema().validate(named)
        return found or None

    def _remember(self, name: str, value: Any, errors: dict[str, list[str]]) -> None:
        if self._hold(name, value, errors):
            _remember(self._good[name], value)

    def _hold(self, name: str, value: Any, errors: dict[str, list[str]]) -> bool:
        try:
            self._check[name](value)
        except ValidationError as error:
            rules = error.messages
            errors[name] = rules if isinstance(rules, list) else [rule for rules in rules.values() for rule in rules]
            return False
        return True


def _remember(good: set[Any], value: Any) -> None:
    if len(good) >= _KNOWN_MAX:
        good.clear()
    good.add(value)


class Repeated:
    """How many equal movements came before in a file; of one in the order of its days only a day's are remembered."""

    def __init__(self, *, ordered: bool = False) -> None:
        self.counts = True
        self._ordered = ordered
        self._day: dt.date | None = None
        self._counts: dict[int, int] = {}

    def stop(self) -> None:
        """Count no further: nobody will book it."""
        self.counts = False
        self._counts.clear()

    def count(self, booking: Booking) -> int:
        """How often the same was there before."""
        first = booking.movements[0]
        if not self.counts or booking.group is not None or (first.id or first.reference) is not None:
            return 0
        if self._ordered and first.date != self._day:
            self._day = first.date
            self._counts.clear()
        # The amount as text: Python's -1 and -2 have one hash.
        key = hash(
            tuple((m.account, m.date, str(m.amount.normalize()), m.description, m.payee) for m in booking.movements)
        )
        before = self._counts.get(key, 0)
        self._counts[key] = before + 1
        return before


def bookings(
    items: Iterable[Item], account: str | None = None, repeated: Repeated | None = None
) -> Iterator[Booking | Account | Line]:
    """What of a file's items can be booked; what breaks a rule of the model is refused here."""
    rules, repeated = Rules(), repeated or Repeated()
    for item in items:
        if isinstance(item, Skipped):
            yield Line(item.line, "skipped", item.reason)
            continue
        if isinstance(item, Refused):
            yield Line(item.line, "refused", errors=item.errors)
            continue
        if isinstance(item, Account):
            errors = rules.broken_by_account(item)
            yield item if errors is None else Line(item.line, "refused", errors=errors)
            continue
        booking = _booking(item)
        if booking.transfer:
            _share_words(*booking.movements)
        for movement in booking.movements:
            movement.account = movement.account or account or MAIN_ACCOUNT
            movement.description = (
                movement.description
                or movement.payee
                or _first(movement.notes)
                or _last(movement.category)
                or "Imported"
            )
            errors = rules.broken(movement)
            if errors is not None:
                break
        else:
            errors = _unfit(booking)
        if errors is not None:
            yield Line(booking.line, "refused", errors=errors)
            continue
        booking.repeated = repeated.count(booking)
        yield booking


def _booking(item: Movement | Transfer | Split) -> Booking:
    if isinstance(item, Movement):
        return Booking(item.line, [item])
    if isinstance(item, Transfer):
        return Booking(item.line, [item.out, item.into], True, item.group)
    return Booking(item.line, item.movements, False, item.group)


def _share_words(out: Movement, into: Movement) -> None:
    """The legs of a transfer have their words in common: what one lacks it has from the other."""
    out.description = into.description = out.description or into.description
    out.payee = into.payee = out.payee or into.payee
    out.notes = into.notes = out.notes or into.notes
    out.tags = into.tags = out.tags or into.tags


def _unfit(booking: Booking) -> dict[str, list[str]] | None:
    """The rules that its movements break together."""
    if booking.group is not None and not _ULID.fullmatch(booking.group):
        return {"group": ["Not a ULID: 26 characters of Crockford's base 32, in capitals."]}
    if len(booking.movements) == 1:
        return None
    if len(booking.movements) > LINES_MAX:
        return {"line": [message("Longer than maximum length {maximum}.", maximum=LINES_MAX)]}
    first, *others = booking.movements
    if any((other.status, other.expires_at) != (first.status, first.expires_at) for other in others):
        return {"status": [message("What belongs together is pending together, or booked together.")]}
    if booking.transfer:
        return _unfit_legs(first, others[0])
    if any((other.account, other.date) != (first.account, first.date) for other in others):
        return {"line": [message("The lines of one receipt lie on one account and one day.")]}
    if any((other.amount > 0) != (first.amount > 0) for other in others):
        return {"amount": [message("The lines of one receipt are all incomes, or all expenses.")]}
    return None


def _unfit_legs(out: Movement, into: Movement) -> dict[str, list[str]] | None:
    if out.account == into.account:
        return {"account": [message("A transfer goes to another account.")]}
    if out.date != into.date:
        return {"date": [message("The two legs of a transfer lie on one day.")]}
    if out.amount >= 0 or into.amount <= 0:
        return {"amount": [message("A transfer goes out of one account and into the other.")]}
    return None


def _first(notes: str | None) -> str | None:
    """What notes begin with, to call something by."""
    return None if notes is None else " ".join(notes[:_CALLED_CHARACTERS_MAX].split()) or None


def _last(category: str | None) -> str | None:
    return None if category is None else category.rpartition(":")[2]


class Scan:
    """A file gone through as a whole: what it holds where one commit takes that, and its first faults.

    Without `in_chunks`, Invalid as soon as that is too much.
    """

    def __init__(self, items: Iterable[Item], account: str | None, *, in_chunks: bool = False) -> None:
        self.found: list[Booking | Account | Line] | None = []
        self.faults: list[Line] = []
        self.ordered = True
        """Whether no day comes back after another one: the days go up, or they go down."""
        rises, day, repeated = 0, None, Repeated()
        for item in bookings(items, account, repeated):
            if isinstance(item, Line):
                if item.outcome == "refused" and len(self.faults) < IMPORT_FAULTS_MAX:
                    self.faults.append(item)
            elif isinstance(item, Booking):
                date = item.movements[0].date
                if day is not None and date != day:
                    direction = 1 if date > day else -1
                    self.ordered = self.ordered and direction * rises >= 0
                    rises = direction
                day = date
            if self.found is not None:
                self.found.append(item)
                if len(self.found) > IMPORT_ROWS_MAX:
                    if not in_chunks:
                        raise too_many_rows()
                    self.found = None
                    repeated.stop()


def too_many_rows() -> Invalid:
    """The error for a file that takes more than one commit."""
    rule = message(
        "At most {maximum} rows over HTTP: the command line imports more, in chunks.", maximum=IMPORT_ROWS_MAX
    )
    return Invalid(errors={"file": [rule]})
