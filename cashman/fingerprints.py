"""The ids of what is imported, made of what the file says: the same every time, so that nothing is booked twice.

What a bank calls a movement is enough, together with the account; else it is what the file says of it, with a number
that tells two equal coffees on one day apart. The day comes first, so that a million of them go into their index in
order.
"""

import datetime as dt
import hashlib
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ulid import ULID

from cashman.bookings import Booking
from cashman.model.transaction import member_id
from cashman.model.transaction_type import TransactionType
from cashman.queries import State

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_EPOCH: Final = dt.date(1970, 1, 1)


def identify(booking: Booking, states: Sequence[State]) -> None:
    """Give the states their ids: those of the file, or made of what the file says, the same every time."""
    first = booking.movements[0]
    whole = booking.group or first.id or _made_id(booking, states)
    grouped = len(states) > 1 or booking.group is not None
    for place, (movement, state) in enumerate(zip(booking.movements, states, strict=True)):
        state["id"] = movement.id or (member_id(whole, place) if grouped else whole)
        if grouped:
            state["group"] = whole
        if booking.transfer:
            state["type"] = TransactionType.TRANSFER


def _made_id(booking: Booking, states: Sequence[State]) -> str:
    """A ULID of the day and a hash; of the hash alone where the bank's reference says what it is."""
    first, state = booking.movements[0], states[0]
    if first.reference is not None:
        return _ulid(_EPOCH, f"{state['account_id']}\0reference\0{first.reference}")
    said = [
        f"{state['account_id']}\0{state['minor_units']}\0{state['currency']}\0{_composed(state['description'])}\0"
        f"{_composed(state['payee'])}"
        for state in states
    ]
    return _ulid(state["date"], "\n".join([state["date"].isoformat(), str(booking.repeated), *said]))


def _composed(text: str | None) -> str | None:
    """One text for what looks alike: an é is one character of Unicode, or two."""
    return text if text is None or text.isascii() else unicodedata.normalize("NFC", text)


def _ulid(day: dt.date, content: str) -> str:
    # A reference is not kept, so it may be anything that JSON can spell.
    hash_ = int.from_bytes(hashlib.sha256(content.encode(errors="surrogatepass")).digest()[:10], "big")
    pairs = _PAIRS
    return _stamp(day) + (
        pairs[hash_ >> 70] + pairs[hash_ >> 60 & 1023] + pairs[hash_ >> 50 & 1023] + pairs[hash_ >> 40 & 1023]
        + pairs[hash_ >> 30 & 1023] + pairs[hash_ >> 20 & 1023] + pairs[hash_ >> 10 & 1023] + pairs[hash_ & 1023]
    )  # fmt: skip


@lru_cache(4096)
def _stamp(day: dt.date) -> str:
    """The first ten characters of a ULID of that day: milliseconds since 1970, or 0 before."""
    return str(ULID.from_bytes((max(0, (day - _EPOCH).days) * 86_400_000).to_bytes(6, "big") + bytes(10)))[:10]
