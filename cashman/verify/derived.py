"""What has to follow from the transactions: totals, turnovers, tags, stems, and when the next one expires."""

from array import array
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, String, select, type_coerce

from cashman import search
from cashman.db import table
from cashman.model.tag import TransactionTag
from cashman.model.total import ACCOUNT, CATEGORY, GRAINS, NO_CATEGORY, Total, Turnover
from cashman.model.transaction import FIGURES, WORDS
from cashman.stems import stems_of
from cashman.totals import PERIOD_CHARACTERS
from cashman.verify.findings import CHUNK_ROWS, Tampered, readable, require

STORED_NAMES: Final = (*FIGURES, *WORDS, "created_at", "version", "sequence")
_TYPE, _STATUS, _MINOR_UNITS, _CURRENCY, _DATE, _ACCOUNT, _CATEGORY, _GROUP, _EXPIRES_AT, _TAGS, _SEQUENCE = map(
    STORED_NAMES.index,
    (
        "type", "status", "minor_units", "currency", "date", "account_id", "category_id", "group", "expires_at",
        "tags", "sequence",
    ),
)  # fmt: skip
_SEARCHED: Final = tuple(STORED_NAMES.index(name) for name in ("description", "payee", "notes"))


@dataclass
class Derived:
    """What has to follow from the transactions: totals, turnovers, stems, and when the next one expires."""

    sequence_max: int
    turnovers: dict[str, int]
    next_expiry: str | None = None
    days: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    months: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    transfers: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By group the leg whose other leg has not come yet, as (currency, minor units)."""

    def __post_init__(self) -> None:
        self.stems = array("q", bytes(8 * (self.sequence_max + 1)))
        """By sequence a hash of the stems that a transaction is found by; 0 for none."""

    def add(self, state: list[Any]) -> None:
        """Note what follows from a transaction."""
        status = state[_STATUS]
        if status == "void":
            return
        currency, minor_units = state[_CURRENCY], state[_MINOR_UNITS]
        self.turnovers[currency] = self.turnovers.get(currency, 0) + abs(minor_units)
        tags = state[_TAGS]
        texts = [state[place] for place in _SEARCHED]
        stems = stems_of(texts if tags == "[]" else [*texts, *msgspec.json.decode(tags)])
        if stems:
            self.stems[state[_SEQUENCE]] = _hash(stems)
        if status == "pending":
            expires_at = state[_EXPIRES_AT]
            if expires_at is not None and (self.next_expiry is None or expires_at < self.next_expiry):
                self.next_expiry = expires_at
        else:
            day, type_ = state[_DATE], state[_TYPE]
            _add(self.days, (day, state[_ACCOUNT], type_, currency), minor_units, 1)
            if type_ != "TRANSFER":
                _add(self.months, (day[:7], state[_CATEGORY] or NO_CATEGORY, type_, currency), minor_units, 1)
        if state[_TYPE] == "TRANSFER":
            self._add_leg(state[_GROUP], currency, minor_units)

    def _add_leg(self, group: str, currency: str, minor_units: int) -> None:
        other = self.transfers.pop(group, None)
        if other is None:
            self.transfers[group] = currency, minor_units
        elif (other[0] == currency and other[1] + minor_units != 0) or (other[1] < 0) == (minor_units < 0):
            raise Tampered(f"transactions: the legs of the transfer {group} are not net zero")

    def check(self, connection: Connection, ledger_id: int) -> None:
        """Check what is stored against it."""
        for group in self.transfers:
            raise Tampered(f"transactions {ledger_id}: the transfer {group} has one leg")
        self._check_totals(connection, ledger_id)
        stored_turnovers = connection.execute(select(table(Turnover)).where(Turnover.ledger_id == ledger_id))
        turnovers = {row.currency: row.minor_units for row in stored_turnovers}
        for currency in sorted(turnovers.keys() | self.turnovers.keys()):
            stored, expected = turnovers.get(currency, 0), self.turnovers.get(currency, 0)
            require(stored == expected, f"turnovers {ledger_id}/{currency}: is {stored}, has to be {expected}")
        with closing(search.stored_stems(connection, ledger_id)) as rows, readable(lambda: f"stems {ledger_id}"):
            for sequence, stems in rows:
                fits = sequence <= self.sequence_max and self.stems[sequence] == _hash(stems)
                require(fits, f"stems {ledger_id}/{sequence}: not those of the transaction that entry booked")
                self.stems[sequence] = 0
        missing = next((sequence for sequence, hash_ in enumerate(self.stems) if hash_), None)
        require(missing is None, f"stems {ledger_id}/{missing}: missing")

    def _check_totals(self, connection: Connection, ledger_id: int) -> None:
        expected: dict[tuple[Any, ...], list[int]] = {}
        for dimension, cells in ((ACCOUNT, self.days), (CATEGORY, self.months)):
            for (period, *of), (minor_units, count) in cells.items():
                for grain in GRAINS[dimension]:
                    _add(expected, (dimension, grain, period[: PERIOD_CHARACTERS[grain]], *of), minor_units, count)
        rows = connection.execute(
            select(table(Total)).where(Total.ledger_id == ledger_id).execution_options(yield_per=CHUNK_ROWS)
        )
        with rows:
            for _, *columns, minor_units, count in rows:
                key = tuple(columns)
                wanted = expected.pop(key, [0, 0])
                require(
                    [minor_units, count] == wanted,
                    f"totals {ledger_id}/{'/'.join(map(str, key))}: is {[minor_units, count]}, has to be {wanted}",
                )
        for key, wanted in expected.items():
            raise Tampered(f"totals {ledger_id}/{'/'.join(map(str, key))}: missing, has to be {wanted}")


def _add(cells: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], minor_units: int, count: int) -> None:
    cell = cells.get(key)
    if cell is None:
        cells[key] = [minor_units, count]
    else:
        cell[0] += minor_units
        cell[1] += count


def _hash(stems: list[str]) -> int:
    return hash(" ".join(stems)) or 1


class Tags:
    """The stored tags, beside the transactions in the order of their ids."""

    def __init__(self, connection: Connection, ledger_id: int) -> None:
        self.ledger_id = ledger_id
        own = table(TransactionTag).c
        date = type_coerce(own.date, String)
        self.rows = connection.execute(
            select(own.transaction_id, own.tag, date)
            .where(own.ledger_id == ledger_id)
            .order_by(own.transaction_id, own.tag)
            .execution_options(yield_per=CHUNK_ROWS)
        )
        self._next: Any = self.rows.fetchone()

    def check(self, id_: str, state: list[Any]) -> None:
        """Check the tags of one transaction."""
        if state[_TAGS] == "[]" and (self._next is None or self._next[0] != id_):
            return
        expected = [] if state[_STATUS] == "void" else sorted(msgspec.json.decode(state[_TAGS]), key=str.encode)
        stored = []
        while self._next is not None and self._next[0] <= id_:
            stored.append((self._next[0], self._next[1], str(self._next[2])))
            self._next = self.rows.fetchone()
        require(
            stored == [(id_, tag, state[_DATE]) for tag in expected],
            f"transaction_tags {self.ledger_id}/{id_}: not those of the transaction",
        )

    def check_end(self) -> None:
        """Check that no tag is left over."""
        require(self._next is None, f"transaction_tags {self.ledger_id}: a tag of no transaction")
