"""Amounts as people write them, in each language: 50, 12.50, 1.234,56 €, EUR 50, +2500."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cashman.limits import AMOUNT_CHARACTERS_MAX
from cashman.model.currency import CURRENCIES
from cashman.one_line.words import Word, fold

WORDS_MAX: Final = 4
"""A sign, a currency, a number, and a currency again."""

_COMMA_LANGUAGES: Final = ("de", "es", "fr", "pt_BR")

_MARKS: Final = {
    "$": "USD CAD AUD NZD MXN ARS CLP COP HKD SGD", "US$": "USD", "R$": "BRL", "C$": "CAD", "A$": "AUD",
    "€": "EUR", "£": "GBP EGP", "¥": "JPY CNY", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₪": "ILS",
    "₴": "UAH", "₫": "VND", "₱": "PHP", "₦": "NGN", "฿": "THB", "zł": "PLN", "kč": "CZK", "ft": "HUF",
    "kr": "SEK NOK DKK ISK", "fr.": "CHF",
    "euro": "EUR", "euros": "EUR", "dollar": "USD CAD AUD NZD", "dollars": "USD CAD AUD NZD",
    "dolares": "USD CAD AUD NZD", "reais": "BRL", "franken": "CHF",
}  # fmt: skip
"""What a currency is called, folded or as it is; of several currencies the one that the books keep is meant."""
_BY_MARK: Final = {fold(mark): tuple(codes.split()) for mark, codes in _MARKS.items()}

_WRITTEN: Final = re.compile(
    r"(?P<sign>[-+])?(?P<before>[^-+0-9.,'\s][^-+0-9,'\s]{0,7})?(?P<late>[-+])?"
    r"(?P<number>[.,]?[0-9][0-9.,']*?)(?P<end>[.,][-–]+)?(?P<after>[^-+0-9,.'\s][^-+0-9,'\s]{0,7})?[,;.]?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Written:
    """A number that may be the amount."""

    place: int
    """Its first word, of so many."""
    length: int
    amount: Decimal
    """Without its sign."""
    sign: str
    """"+", "-" or nothing."""
    currencies: tuple[str, ...]
    """What its mark can mean, the likeliest first; nothing where it has none."""

    @property
    def marked(self) -> bool:
        """Whether a sign or a currency says that it is money."""
        return bool(self.sign or self.currencies)


def amount_at(words: Sequence[Word], place: int, language: str, kept: Collection[str]) -> Written | None:
    """The number that stands at a word, with its sign and its currency; `kept` are the currencies of the books."""
    for length in range(min(WORDS_MAX, len(words) - place), 0, -1):
        pieces = [word.plain for word in words[place : place + length]]
        if any(word.quoted for word in words[place : place + length]):
            continue
        with_digits = [any("0" <= character <= "9" for character in piece) for piece in pieces]
        if sum(with_digits) != 1:
            continue
        apart = [piece for piece, digits in zip(pieces, with_digits, strict=True) if not digits]
        if all(piece in ("+", "-") or currencies_of(piece, kept) for piece in apart):
            found = _read("".join(pieces), place, length, language, kept)
            if found is not None:
                return found
    return None


def currencies_of(mark: str, kept: Collection[str], *, glued: bool = False) -> tuple[str, ...]:
    """What a sign, a name or a code can mean.

    A code in small letters counts where the books keep it, or where it is written at the number: "50 try" is no money.
    """
    known = _BY_MARK.get(mark) or _BY_MARK.get(fold(mark)) or _BY_MARK.get(fold(mark).rstrip("."))
    if known is not None:
        return known
    code = mark.upper() if mark.isascii() else ""
    return (code,) if code in CURRENCIES and (mark == code or glued or code in kept) else ()


def _read(text: str, place: int, length: int, language: str, kept: Collection[str]) -> Written | None:
    found = _WRITTEN.fullmatch(text) if len(text) <= 2 * AMOUNT_CHARACTERS_MAX else None
    if found is None or (found["sign"] and found["late"]):
        return None
    marks = [mark for mark in (found["before"], found["after"]) if mark]
    currencies = [currencies_of(mark, kept, glued=True) for mark in marks]
    number = parse_number(found["number"], language)
    if number is None or not all(currencies) or len(set(currencies)) > 1:
        return None
    return Written(place, length, number, found["sign"] or found["late"] or "", currencies[0] if currencies else ())


def parse_number(text: str, language: str) -> Decimal | None:
    """A number with the separators of a language, or else, where it cannot be that, with the others."""
    if len(text) > AMOUNT_CHARACTERS_MAX:
        return None
    separators = (".", ",") if language in _COMMA_LANGUAGES else (",", ".")
    for group, point in (separators, separators[::-1]):
        pattern = rf"([1-9][0-9]{{0,2}}(?:[{group}'][0-9]{{3}})+|[0-9]+)?(?:[{point}]([0-9]+))?"
        found = re.fullmatch(pattern, text, re.ASCII)
        if found is not None and (found[1] or found[2]):
            whole = re.sub("[.,']", "", found[1] or "0")
            return Decimal(f"{whole}.{found[2]}" if found[2] else whole)
    return None
