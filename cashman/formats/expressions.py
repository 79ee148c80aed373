"""Arithmetic as beancount's amounts may have it: numbers, + - * / and brackets, exactly and without recursion."""

import re
from decimal import Decimal, DecimalException
from typing import Final

from cashman.formats.entries import EXACT, BadLine, number_of
from cashman.limits import AMOUNT_CHARACTERS_MAX
from cashman.translations import message

_CHARACTERS_MAX: Final = 10 * AMOUNT_CHARACTERS_MAX
_PIECE: Final = re.compile(r"[ \t]*(?:([0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)|([-+*/()]))[ \t]*")
_BINDS: Final = {"(": 0, "+": 1, "-": 1, "*": 2, "/": 2, "negative": 3, "positive": 3}
_BEFORE: Final = {"(": "(", "-": "negative", "+": "positive"}
"""What may stand before a number."""
_COMBINE: Final = {"+": EXACT.add, "-": EXACT.subtract, "*": EXACT.multiply, "/": EXACT.divide}


def evaluate(line: int, text: str) -> Decimal:
    """What an expression of numbers, + - * / and brackets comes to, exactly; BadLine where it is endless."""
    if len(text) > _CHARACTERS_MAX:
        raise BadLine(line, "amount", message("Not an amount, or longer than any amount."))
    sum_, place = _Sum(), 0
    try:
        while place < len(text):
            found = _PIECE.match(text, place)
            if found is None:
                raise _NotASum
            if found[1] is not None:
                sum_.add_number(number_of(line, found[1].replace(",", "")))
            else:
                sum_.add_sign(found[2])
            place = found.end()
        result = sum_.result()
    except _NotASum:
        raise BadLine(line, "amount", message("Not an amount: {text}.", text=text.strip()[:40])) from None
    except DecimalException:
        raise BadLine(line, "amount", message("This has no exact amount: {text}.", text=text.strip()[:40])) from None
    if len(result.as_tuple().digits) > AMOUNT_CHARACTERS_MAX:
        raise BadLine(line, "amount", message("Not an amount, or longer than any amount."))
    return result


class _NotASum(Exception):
    """What stands there is no expression."""


class _Sum:
    """An expression as it is read, without recursion: operators wait until those that bind closer are done."""

    def __init__(self) -> None:
        self._numbers: list[Decimal] = []
        self._waiting: list[str] = []
        self._complete = False
        """Whether a number was last, so that an operator may follow."""

    def add_number(self, number: Decimal) -> None:
        if self._complete:
            raise _NotASum
        self._numbers.append(number)
        self._complete = True

    def add_sign(self, sign: str) -> None:
        if sign == ")":
            self._close()
        elif self._complete:
            if sign == "(":
                raise _NotASum
            while self._waiting and _BINDS[self._waiting[-1]] >= _BINDS[sign]:
                self._apply(self._waiting.pop())
            self._waiting.append(sign)
            self._complete = False
        elif sign in _BEFORE:
            self._waiting.append(_BEFORE[sign])
        else:
            raise _NotASum

    def result(self) -> Decimal:
        while self._waiting:
            self._apply(self._waiting.pop())
        if not self._complete:
            raise _NotASum
        return self._numbers[0]

    def _close(self) -> None:
        while self._waiting and self._waiting[-1] != "(":
            self._apply(self._waiting.pop())
        if not self._waiting or not self._complete:
            raise _NotASum
        self._waiting.pop()

    def _apply(self, sign: str) -> None:
        if sign == "(" or not self._complete:
            raise _NotASum
        last = self._numbers.pop()
        if sign == "negative":
            self._numbers.append(last.copy_negate())
        elif sign == "positive":
            self._numbers.append(last)
        else:
            self._numbers.append(_COMBINE[sign](self._numbers.pop(), last))
