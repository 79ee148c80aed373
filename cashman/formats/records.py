"""What every format is read into and written from: movements of money, and what a file says beside them."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from cashman.errors import UnreadableFile
from cashman.model.currency import CURRENCIES

# What is read. Structs of msgspec, because a million of them are made.


class Movement(msgspec.Struct, kw_only=True):
    """One income or expense, or one leg of a transfer, as a file names it."""

    line: int
    """Where it begins in the file, from 1."""
    date: dt.date
    amount: Decimal
    """In currency units; negative where the money leaves the account."""
    description: str = ""
    """Empty where the file says nothing: then whoever books it takes the payee, or the category."""
    account: str | None = None
    """By name; None where the file does not say which one."""
    currency: str | None = None
    """None for that of the account."""
    category: str | None = None
    payee: str | None = None
    notes: str | None = None
    tags: list[str] = []
    reference: str | None = None
    """What the bank calls it, such as OFX's FITID: the same in every statement, and once in an account."""
    id: str | None = None
    """The ULID that it has in Cashman's own exports."""
    status: str = "posted"
    expires_at: dt.datetime | None = None


class Transfer(msgspec.Struct, kw_only=True):
    """Money that goes from one account to another."""

    line: int
    out: Movement
    """Negative."""
    into: Movement
    """Positive; in the same currency as much as went out."""
    group: str | None = None
    """The ULID that both have in Cashman's own exports."""


class Split(msgspec.Struct, kw_only=True):
    """One receipt over several categories: movements on one account and one day, all of one sign."""

    line: int
    movements: list[Movement]
    group: str | None = None


class Account(msgspec.Struct, kw_only=True):
    """An account as a file describes it; opened where it is not there yet."""

    line: int
    name: str
    currency: str | None = None
    kind: str | None = None
    opening_balance: Decimal | None = None
    opening_date: dt.date | None = None
    closed: bool = False


class Skipped(msgspec.Struct):
    """A part of the file that is no movement of money here."""

    line: int
    reason: str


class Refused(msgspec.Struct):
    """A part of the file that cannot be taken as it is: rules by field."""

    line: int
    errors: dict[str, list[str]]


Item: TypeAlias = Movement | Transfer | Split | Account | Skipped | Refused


@dataclass(frozen=True, slots=True)
class Options:
    """What whoever imports a file says about it."""

    account: str | None = None
    """Where movements go that name no account; None for the main account."""
    mapping: "Mapping[str, Any] | None" = None
    """Of a CSV file: see `cashman.formats.mapping.MappingSchema`."""


# What is written.


class Booked(msgspec.Struct):
    """A transaction as it stands, with the names behind its ids; what is only shown is text."""

    id: str
    type: str
    status: str
    minor_units: int
    currency: str
    date: str
    account: str
    category: str | None
    group: str | None
    expires_at: str | None
    """RFC 3339, in UTC."""
    description: str
    payee: str | None
    notes: str | None
    tags: str
    """A JSON array."""
    created_at: str
    version: int

    @property
    def amount(self) -> str:
        """In currency units, with the currency's decimals."""
        return in_units(self.minor_units, self.currency)

    def tag_list(self) -> list[str]:
        """The tags."""
        return [] if self.tags == "[]" else list(msgspec.json.decode(self.tags, type=list[str]))


def in_units(minor_units: int, currency: str) -> str:
    """Minor units as a decimal in currency units, exactly."""
    decimals = CURRENCIES[currency]
    if not decimals:
        return str(minor_units)
    digits = f"{abs(minor_units):0{decimals + 1}d}"
    return f"{'-' if minor_units < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


@dataclass(frozen=True, slots=True)
class Books:
    """What an export writes: a ledger, or what a filter leaves of it."""

    ledger: str
    """Its ULID."""
    currency: str
    first_day: dt.date
    """No transaction and no opening balance is earlier."""
    accounts: Sequence[Mapping[str, Any]]
    """Every account by its columns, `opening_minor_units` in minor units."""
    categories: Sequence[tuple[str, str]]
    """(type, path) of what is used: INCOME or EXPENSE, and the category."""
    rows: Iterable[Booked] = field(default=())
    """In the order of date and id; can be gone through once."""

    def together(self) -> Iterator[list[Booked]]:
        """The rows, those of one group together, in the order of the first of them; a group lies on one day."""
        day, groups = "", {}  # type: str, dict[str, list[Booked]]
        for row in self.rows:
            if row.date != day:
                yield from groups.values()
                day, groups = row.date, {}
            groups.setdefault(row.group or row.id, []).append(row)
        yield from groups.values()


def unreadable(detail: str, line: int | None = None) -> UnreadableFile:
    """The error for a file that cannot be imported at all, and where it breaks off."""
    return UnreadableFile(detail, errors=None if line is None else {line: {"file": [detail]}})
