"""Exact money: decimals in currency units outside, 64-bit integers of minor units inside, nothing rounded."""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, Inexact, InvalidOperation
from typing import Final

from cashman.limits import AMOUNT_CHARACTERS_MAX, MINOR_UNITS_MAX
from cashman.model.currency import CURRENCIES
from cashman.translations import message

_WRITTEN: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
# Wide enough for whatever the wire takes; a longer Decimal, from Python, is refused and never rounded.
_EXACT: Final = Context(prec=2 * AMOUNT_CHARACTERS_MAX, traps=[Inexact])
_POWER_OF_TEN_MAX: Final = 20


class AmountError(ValueError):
    """An amount that breaks a rule of money."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def parse_amount(text: str) -> Decimal:
    """The exact decimal that a string spells: ASCII digits, one optional minus and point, no exponent."""
    if len(text) > AMOUNT_CHARACTERS_MAX or not _WRITTEN.fullmatch(text):
        raise AmountError("Not an amount: write digits, with a point before the decimals.")
    return Decimal(text)


def parse_json_number(token: str) -> Decimal:
    """The exact decimal of a JSON number; NaN, which no field takes, where it is longer than any amount."""
    if len(token) > AMOUNT_CHARACTERS_MAX:
        return Decimal("NaN")
    try:
        return Decimal(token)
    except InvalidOperation:  # an exponent that is itself past all bounds
        return Decimal("NaN")


def exact_decimal(amount: Decimal | int | float | str) -> Decimal:
    """An amount as a Decimal; a float stands for the shortest decimal that it prints as."""
    if isinstance(amount, Decimal):
        return amount
    if isinstance(amount, bool):
        raise AmountError("Not an amount.")
    if isinstance(amount, str):
        return parse_amount(amount)
    return Decimal(amount) if isinstance(amount, int) else Decimal(repr(amount))


def to_minor_units(amount: Decimal, currency: str) -> int:
    """Currency units to minor units of an ISO 4217 currency; AmountError for whatever does not fit exactly."""
    decimals = CURRENCIES[currency]
    if not amount.is_finite():
        raise AmountError("Not an amount, or longer than any amount.")
    power = amount.adjusted() if amount else 0
    if power > _POWER_OF_TEN_MAX:  # before anything is computed: int(Decimal("1e1000000")) takes half a minute
        raise AmountError(_too_large(currency))
    try:
        scaled = _EXACT.scaleb(amount, decimals) if power > -_POWER_OF_TEN_MAX else Decimal("0.1")
    except Inexact:
        scaled = Decimal("0.1")
    units = int(scaled)
    if units != scaled:
        told = message(
            "{currency} has {decimals} decimals, and nothing is rounded.", currency=currency, decimals=decimals
        )
        raise AmountError(told)
    if abs(units) > MINOR_UNITS_MAX:
        raise AmountError(_too_large(currency))
    return units


def to_decimal(minor_units: int, currency: str) -> Decimal:
    """Minor units to currency units, with exactly the currency's decimals."""
    return Decimal(minor_units).scaleb(-CURRENCIES[currency])


def minor_unit_range(minimum: Decimal | None, maximum: Decimal | None, decimals: int) -> tuple[int, int]:
    """The whole minor units between two magnitudes in currency units, both included; every one where both are None."""
    low, high = 0, MINOR_UNITS_MAX
    if minimum is not None:
        low = min(int(_EXACT.scaleb(minimum, decimals).to_integral_value(ROUND_CEILING)), MINOR_UNITS_MAX + 1)
    if maximum is not None:
        high = min(int(_EXACT.scaleb(maximum, decimals).to_integral_value(ROUND_FLOOR)), MINOR_UNITS_MAX)
    return low, high


def _too_large(currency: str) -> str:
    return message("At most {amount} {currency}.", amount=to_decimal(MINOR_UNITS_MAX, currency), currency=currency)
