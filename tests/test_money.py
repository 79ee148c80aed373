"""Exact money: what fits is kept to the last digit, what does not is refused."""

import time
from decimal import Decimal

import pytest

from cashman.limits import MINOR_UNITS_MAX
from cashman.model.money import (
    AmountError,
    exact_decimal,
    minor_unit_range,
    parse_amount,
    parse_json_number,
    to_decimal,
    to_minor_units,
)

BEYOND_ALL_BOUNDS = ["1e1000000", "-1e1000000", "1e999999999999", "1e-999999999999", "1e-1000000"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", "0"),
        ("5", "5"),
        ("-5", "-5"),
        ("007", "7"),
        ("1000.0", "1000.0"),
        ("-0.10", "-0.10"),
        ("9" * 40, "9" * 40),
    ],
)
def test_plain_digits_are_an_amount(text: str, amount: str) -> None:
    assert str(parse_amount(text)) == amount


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-", ".", "5.", ".5", "+5", "--5", " 5", "5 ", " 5 ", "5\n", "1_000", "1,000", "1e3", "1E3", "0x10",
        "NaN", "Infinity", "-inf", "\u0665", "\uff15", "1.\u0665", "5\0", "$5", "5 USD", "9" * 41, "0." + "0" * 39,
    ],
)  # fmt: skip
def test_any_other_text_is_no_amount(text: str) -> None:
    with pytest.raises(AmountError, match="Not an amount"):
        parse_amount(text)


@pytest.mark.parametrize("token", ["1000.0", "1e3", "1E+3", "-0.5e-2", "0"])
def test_a_json_number_is_taken_exactly_in_any_spelling(token: str) -> None:
    assert parse_json_number(token) == Decimal(token)


@pytest.mark.parametrize("token", ["1" * 41, "1e9999999999999999999999999", "0." + "1" * 39])
def test_a_json_number_longer_than_any_amount_is_no_number(token: str) -> None:
    assert parse_json_number(token).is_nan()


@pytest.mark.parametrize(
    ("given", "amount"),
    [(Decimal("1.10"), "1.10"), (7, "7"), (0.1, "0.1"), (1000.0, "1000.0"), (1e22, "1E+22"), ("12.30", "12.30")],
)
def test_a_python_number_stands_for_what_it_prints_as(given: Decimal | int | float | str, amount: str) -> None:
    assert str(exact_decimal(given)) == amount


@pytest.mark.parametrize("given", [True, False, "1e3", "abc"])
def test_a_truth_value_and_other_text_are_no_amount(given: bool | str) -> None:
    with pytest.raises(AmountError):
        exact_decimal(given)


@pytest.mark.parametrize(
    ("amount", "currency", "minor_units"),
    [
        ("50", "USD", 5_000),
        ("-50.00", "USD", -5_000),
        ("0.01", "USD", 1),
        ("0.0100000", "USD", 1),
        ("1E+3", "USD", 100_000),
        ("1000.0", "JPY", 1_000),
        ("1.234", "BHD", 1_234),
        ("1.2345", "CLF", 12_345),
        ("9999999999999.99", "USD", MINOR_UNITS_MAX),
        ("-999999999999999", "JPY", -MINOR_UNITS_MAX),
        ("0", "USD", 0),
        ("0e1000000", "USD", 0),
        ("0e-1000000", "USD", 0),
        ("1." + "0" * 500, "USD", 100),
    ],
)
def test_currency_units_become_whole_minor_units(amount: str, currency: str, minor_units: int) -> None:
    assert to_minor_units(Decimal(amount), currency) == minor_units


@pytest.mark.parametrize(
    ("amount", "currency", "rule"),
    [
        ("12.345", "USD", "USD has 2 decimals, and nothing is rounded."),
        ("1.5", "JPY", "JPY has 0 decimals, and nothing is rounded."),
        ("0.0001", "BHD", "BHD has 3 decimals, and nothing is rounded."),
        ("1e-30", "USD", "USD has 2 decimals, and nothing is rounded."),
        ("1." + "0" * 90 + "1", "USD", "USD has 2 decimals, and nothing is rounded."),
        ("9999999999999.995", "USD", "USD has 2 decimals, and nothing is rounded."),
        ("10000000000000", "USD", "At most 9999999999999.99 USD."),
        ("-10000000000000.00", "USD", "At most 9999999999999.99 USD."),
        ("1000000000000000", "JPY", "At most 999999999999999 JPY."),
        ("1" * 31, "USD", "At most 9999999999999.99 USD."),
        ("NaN", "USD", "Not an amount, or longer than any amount."),
        ("sNaN", "USD", "Not an amount, or longer than any amount."),
        ("-Infinity", "USD", "Not an amount, or longer than any amount."),
    ],
)
def test_what_does_not_fit_is_refused_and_never_rounded(amount: str, currency: str, rule: str) -> None:
    with pytest.raises(AmountError) as refused:
        to_minor_units(Decimal(amount), currency)
    assert str(refused.value) == rule


@pytest.mark.parametrize("token", BEYOND_ALL_BOUNDS)
def test_a_huge_exponent_is_refused_at_once(token: str) -> None:
    begun = time.thread_time()
    with pytest.raises(AmountError):
        to_minor_units(parse_json_number(token), "USD")
    assert time.thread_time() - begun < 0.05


@pytest.mark.parametrize(
    ("minor_units", "currency", "text"),
    [(-5_000, "USD", "-50.00"), (-50, "JPY", "-50"), (1, "CLF", "0.0001"), (2**63 - 1, "USD", "92233720368547758.07")],
)
def test_minor_units_come_back_with_exactly_the_decimals_of_the_currency(
    minor_units: int, currency: str, text: str
) -> None:
    assert str(to_decimal(minor_units, currency)) == text


@pytest.mark.parametrize(
    ("minimum", "maximum", "decimals", "expected"),
    [
        (None, None, 2, (0, MINOR_UNITS_MAX)),
        ("1", "2", 2, (100, 200)),
        ("1.001", "1.999", 2, (101, 199)),
        ("0.1", "0.9", 0, (1, 0)),
        ("1.0", None, 0, (1, MINOR_UNITS_MAX)),
        (None, "9" * 40, 4, (0, MINOR_UNITS_MAX)),
        ("9" * 40, None, 2, (MINOR_UNITS_MAX + 1, MINOR_UNITS_MAX)),
        ("9999999999999.99", "9999999999999.99", 2, (MINOR_UNITS_MAX, MINOR_UNITS_MAX)),
    ],
)
def test_a_range_of_magnitudes_holds_the_whole_minor_units_between(
    minimum: str | None, maximum: str | None, decimals: int, expected: tuple[int, int]
) -> None:
    low, high = (None if bound is None else Decimal(bound) for bound in (minimum, maximum))
    assert minor_unit_range(low, high, decimals) == expected
