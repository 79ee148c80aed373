"""Transfers that a file tells of twice, once for each of the two accounts, put together again."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from cashman.formats import headings
from cashman.formats.records import Item, Movement, Transfer

_HALVES_MAX: Final = 10_000
"""How many halves of transfers wait for the other."""


class Halves:
    """To 'Savings' and From 'Cash': each half of a transfer waits for the other."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Any, ...], deque[Movement]] = {}
        self._count = 0

    def add(self, movement: Movement) -> Iterator[Item]:
        """What a movement comes to: itself; or a transfer with the half that was there before; or nothing yet."""
        found = headings.pair_of(movement.category or "") or headings.pair_of(movement.description)
        if found is None or movement.account is None or (movement.amount < 0) != (found[0] == headings.OUT):
            yield movement
            return
        sign, other = found
        day, amount, currency = movement.date, abs(movement.amount), movement.currency
        mates = self._waiting.get(key := (day, amount, currency, other, movement.account, -sign))
        if mates:
            mate = mates.popleft()
            if not mates:
                del self._waiting[key]
            self._count -= 1
            yield _transfer(mate, movement)
            return
        self._waiting.setdefault((day, amount, currency, movement.account, other, sign), deque()).append(movement)
        self._count += 1
        if self._count > _HALVES_MAX:
            yield from self._oldest()

    def _oldest(self) -> Iterator[Item]:
        key = next(iter(self._waiting))
        mates = self._waiting.pop(key)
        self._count -= len(mates)
        yield from mates

    def left(self) -> Iterator[Item]:
        """Those that found no other."""
        yield from sorted((one for mates in self._waiting.values() for one in mates), key=lambda one: one.line)


def _transfer(first: Movement, second: Movement) -> Transfer:
    out, into = (first, second) if first.amount < 0 else (second, first)
    for half in (out, into):
        if headings.pair_of(half.category or ""):
            half.description = half.description or half.category or ""
            half.category = None
    return Transfer(line=min(first.line, second.line), out=out, into=into)
