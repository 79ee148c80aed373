"""Plain-text accounting: an entry comes to nothing, once the amount that one posting may leave out is filled in.

Beancount leaves a tolerance, which follows from how exactly an entry is written; hledger does where it has a price.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from cashman.formats.entries import EXACT, ZERO, BadLine, Entry, Posting
from cashman.model.currency import CURRENCIES
from cashman.translations import Message, message

_ROUNDING: Final = Context(prec=1_000)
_HALF: Final = Decimal("0.5")


def balance(entry: Entry) -> None:
    """Fill in the amount that is left out, if one is; BadLine where an entry does not come to nothing.

    What a lot was bought for may be written nowhere in the entry: then nobody can tell.
    """
    sums: dict[str | None, Decimal] = {}
    missing: list[Posting] = []
    unknown = False
    for posting in entry.postings:
        if posting.number is None:
            missing.append(posting)
            continue
        number, currency = posting.counts()
        if number is None:
            unknown = True
        else:
            sums[currency] = EXACT.add(sums.get(currency, ZERO), number)
    if len(missing) > 1:
        raise BadLine(missing[1].line, "amount", message("Only one posting may leave its amount out."))
    left = {currency: number for currency, number in sums.items() if number}
    if unknown:
        return
    if missing:
        _fill_in(entry, missing[0], left)
    elif left and not (entry.implicit_price and _price_each_other(entry, left)):
        _check_rest(entry, left)


def _fill_in(entry: Entry, posting: Posting, left: dict[str | None, Decimal]) -> None:
    if posting.currency is not None and set(left) - {posting.currency}:
        raise BadLine(posting.line, "amount", _unbalanced(left))
    if not left:
        left = {posting.currency: ZERO}
    tolerances = {} if entry.implicit_price else _tolerances(entry)
    added = [
        Posting(posting.line, posting.account, _fitted(number, currency, tolerances), currency, words=posting.words)
        for currency, number in left.items()
    ]
    place = entry.postings.index(posting)
    entry.postings = [*entry.postings[:place], *added, *entry.postings[place + 1 :]]


def _fitted(left: Decimal, currency: str | None, tolerances: Mapping[str | None, Decimal]) -> Decimal:
    """What balances an entry; where that has more decimals than its currency, as Beancount fits it to the others."""
    number, tolerance = left.copy_negate(), tolerances.get(currency)
    decimals = CURRENCIES.get(currency or "")
    exponent = number.as_tuple().exponent
    if tolerance is None or decimals is None or not isinstance(exponent, int) or exponent >= -decimals:
        return number
    return number.quantize((2 * tolerance).normalize(), ROUND_HALF_EVEN, _ROUNDING)


def _tolerances(entry: Entry) -> dict[str | None, Decimal]:
    """By currency half of the last decimal that an entry writes it with."""
    tolerances: dict[str | None, Decimal] = {}
    for posting in entry.postings:
        exponent = posting.number.as_tuple().exponent if posting.number is not None else 0
        if isinstance(exponent, int) and exponent < 0:
            tolerance = _HALF.scaleb(exponent)
            tolerances[posting.currency] = max(tolerance, tolerances.get(posting.currency, ZERO))
    return tolerances


def _price_each_other(entry: Entry, left: dict[str | None, Decimal]) -> bool:
    """Whether it balances because two currencies are all that is left, one for the other."""
    if len(left) != 2 or any(posting.priced for posting in entry.postings):
        return False
    one, other = left.values()
    return (one > 0) is not (other > 0)


def _check_rest(entry: Entry, left: dict[str | None, Decimal]) -> None:
    """Half of the last decimal of a currency may be left, where a price or a cost has been multiplied out."""
    exact = entry.implicit_price and not any(posting.priced for posting in entry.postings)
    tolerances = {} if exact else _tolerances(entry)
    if any(number.copy_abs() > tolerances.get(currency, ZERO) for currency, number in left.items()):
        raise BadLine(entry.line, "amount", _unbalanced(left))


def _unbalanced(left: Mapping[str | None, Decimal]) -> Message:
    rest = ", ".join(f"{number:f} {currency or ''}".strip()[:60] for currency, number in list(left.items())[:3])
    return message("The transaction does not balance: {rest} are left.", rest=rest)
