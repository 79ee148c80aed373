"""Commodities of a journal: which decimal mark each is written with, and the amounts that people write with it."""

import re
from decimal import Decimal
from typing import Final

from cashman.formats.entries import EXACT, BadLine
from cashman.limits import AMOUNT_CHARACTERS_MAX
from cashman.translations import message

_SYMBOL: Final = r'"[^"]*"|[^-+.,;@*"{}=()\s0-9]+'
_AMOUNT: Final = re.compile(
    rf"([-+]?)[ \t]*({_SYMBOL})?[ \t]*([-+]?)[ \t]*([0-9.,][0-9.,\u00a0\u202f]*(?: [0-9]{{3}}(?![0-9])[0-9.,]*)*)"
    rf"(?:[eE]([-+]?[0-9]{{1,2}})(?![0-9]))?[ \t]*({_SYMBOL})?[ \t]*"
)
_GROUPS: Final = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{2,3})*[.,][0-9]{3}")
_THOUSANDS_OR_DECIMALS: Final = re.compile(r"[1-9][0-9]{0,2},[0-9]{3}")
_ISO: Final = {"$": "USD", "€": "EUR", "£": "GBP"}


class Commodities:
    """What the directives of a journal have said so far of how amounts are written."""

    def __init__(self) -> None:
        self.mark: str | None = None
        """The decimal mark of every commodity that has none of its own."""
        self.marks: dict[str, str] = {}
        self.default: str | None = None
        """The commodity of a number that names none."""

    def mark_of(self, symbol: str) -> str | None:
        """The decimal mark of a commodity; None where no directive says it."""
        return self.marks.get(symbol, self.mark)

    def note(self, word: str, rest: str, body: list[tuple[int, str]]) -> None:
        """Learn from a directive how its commodity is written; `D` makes it the one of numbers that name none."""
        for text in (rest, *(line.strip()[7:] for _, line in body if line.strip().startswith("format "))):
            found = _AMOUNT.match(" ".join(text.split()))
            if found is None:
                continue
            symbol = (found[2] or found[6] or "").strip('"')
            marks = [character for character in found[4] if character in ".,"]
            if marks:
                self.marks[symbol] = marks[-1]
            if word == "D":
                self.default = symbol

    def amount(self, line: int, text: str) -> tuple[Decimal, str | None]:
        """A number and its commodity, None for that of the account."""
        text = " ".join(text.split())
        found = _AMOUNT.fullmatch(text)
        if found is None or (found[2] and found[6]) or (found[1] and found[3]):
            raise BadLine(line, "amount", message("Not an amount: {text}.", text=text[:40]))
        symbol = (found[2] or found[6] or "").strip('"')
        number = self._number(line, found[4], symbol)
        if found[5]:
            number = number.scaleb(int(found[5]), EXACT)
        if "-" in (found[1], found[3]):
            number = number.copy_negate()
        symbol = symbol or self.default or ""
        return number, _ISO.get(symbol, symbol) or None

    def _number(self, line: int, text: str, symbol: str) -> Decimal:
        """What digits mean: the decimal mark is the one that is declared, or the last of two, or the only one."""
        digits = re.sub(r"[ \u00a0\u202f]", "", text)
        wrong = BadLine(line, "amount", message("Not an amount: {text}.", text=text[:40]))
        if len(digits) > AMOUNT_CHARACTERS_MAX:
            raise BadLine(line, "amount", message("Not an amount, or longer than any amount."))
        points, commas = digits.count("."), digits.count(",")
        mark = self.mark_of(symbol)
        if points and commas:
            mark = max(".,", key=digits.rfind)
        elif mark is None:
            if points + commas > 1:
                mark = "," if points else "."
            else:
                mark = "," if commas else "."
                if _THOUSANDS_OR_DECIMALS.fullmatch(digits):
                    told = message("{text}: thousands or decimals? A line before it can say: decimal-mark .", text=text)
                    raise BadLine(line, "amount", told)
        whole, _, decimals = digits.rpartition(mark) if mark in digits else (digits, "", "")
        grouping = "," if mark == "." else "."
        if mark in whole or grouping in decimals or (grouping in whole and not _GROUPS.fullmatch(whole)):
            raise wrong
        plain = whole.replace(grouping, "")
        if not (plain or decimals):
            raise wrong
        return Decimal(f"{plain or '0'}.{decimals}")
