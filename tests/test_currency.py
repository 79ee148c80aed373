"""The table of ISO 4217."""

import re

import pytest

from cashman.model import currency
from cashman.model.currency import CURRENCIES


def test_every_code_is_three_capital_letters_and_stands_once() -> None:
    listed = [code for codes in currency._CODES_BY_DECIMALS.values() for code in codes.split()]
    assert [code for code in listed if not re.fullmatch("[A-Z]{3}", code)] == []
    assert sorted(listed) == sorted(set(listed)) == sorted(CURRENCIES)


def test_decimals_are_those_of_the_standard() -> None:
    """The minor units of table A.1 that are not 2, as the standard lists them."""
    lists = {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }
    in_force = {code: decimals for decimals, codes in lists.items() for code in codes.split()}
    assert {code: CURRENCIES[code] for code in in_force} == in_force
    assert {code for code, decimals in CURRENCIES.items() if decimals > 2} == {
        code for code, decimals in in_force.items() if decimals > 2
    }


@pytest.mark.parametrize("code", ["AFN", "ALL", "HUF", "IRR", "LAK", "MMK", "RSD", "SOS", "SYP", "YER", "MGA", "COP"])
def test_the_standard_holds_where_other_tables_drop_the_decimals(code: str) -> None:
    assert CURRENCIES[code] == 2


@pytest.mark.parametrize(
    ("code", "decimals"), [("DEM", 2), ("ITL", 0), ("ZWL", 2), ("HRK", 2), ("TRL", 0), ("CSK", 2), ("BYR", 0)]
)
def test_withdrawn_currencies_are_kept(code: str, decimals: int) -> None:
    assert CURRENCIES[code] == decimals


@pytest.mark.parametrize("code", ["XAU", "XXX", "XTS", "XDR"])
def test_what_has_no_minor_unit_is_counted_whole(code: str) -> None:
    assert CURRENCIES[code] == 0


@pytest.mark.parametrize("code", ["", "usd", "US", "USDT", "BTC", "ZZZ"])
def test_what_is_no_currency_is_not_there(code: str) -> None:
    assert code not in CURRENCIES
