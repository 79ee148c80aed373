"""Charts as plain geometry, which a template draws as SVG; every figure in them is exact, only places are rounded.

Across, places are in percent, so that a chart is as wide as its card and its words keep their size; down, in pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

HEIGHT: Final = 220
TOP: Final = 8
BOTTOM: Final = 22
"""Room for what stands below the columns."""
LABELS_MAX: Final = 12
"""How many columns are named; half as many where it is narrow, and of weeks, whose names are days of months."""
_STEPS: Final = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across, and the amount that it stands for."""

    amount: Decimal
    y: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar, or a point of a line, of one series."""

    series: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """What belongs to one place across: its marks, and whether there is room to name it, also where it is narrow."""

    key: str
    x: float
    width: float
    marks: tuple[Mark, ...]
    named: bool
    named_where_narrow: bool

    @property
    def middle(self) -> float:
        return round(self.x + self.width / 2, 3)


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it."""

    columns: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    zero: float
    """Where the amount 0 is."""
    height: int = HEIGHT
    plot_height: int = HEIGHT - BOTTOM


def bars(rows: Sequence[tuple[str, Sequence[tuple[str, Decimal]]]]) -> Chart:
    """Columns of bars beside each other, from (key, [(series, amount), …]); those below 0 hang down from it."""
    ticks, place = _scale(amount for _, marks in rows for _, amount in marks)
    zero = place(Decimal(0))
    width = 100 / len(rows) if rows else 100.0
    columns = []
    for number, (key, series) in enumerate(rows):
        bar = width * 0.72 / max(len(series), 1)
        left = number * width + width * 0.14
        marks = []
        for order, (name, amount) in enumerate(series):
            y = place(amount)
            marks.append(Mark(name, *_rounded(left + order * bar, min(y, zero), bar * 0.92, abs(zero - y))))
        columns.append(_column(number, len(rows), key, width, marks))
    return Chart(tuple(columns), ticks, zero)


def line(rows: Sequence[tuple[str, Decimal]], series: str) -> Chart:
    """Points from (key, amount), in the middle of their columns, to be joined."""
    ticks, place = _scale(amount for _, amount in rows)
    width = 100 / len(rows) if rows else 100.0
    columns = [
        _column(
            number,
            len(rows),
            key,
            width,
            [Mark(series, *_rounded(number * width + width / 2, place(amount), 0, 0))],
        )
        for number, (key, amount) in enumerate(rows)
    ]
    return Chart(tuple(columns), ticks, place(Decimal(0)))


def share(amount: Decimal, of: Decimal) -> float:
    """How much of another an amount is, in percent, from 0 to 100; for the length of a bar in a table."""
    return 0.0 if of <= 0 or amount <= 0 else round(float(min(amount / of, Decimal(1)) * 100), 2)


def _column(number: int, count: int, key: str, width: float, marks: Sequence[Mark]) -> Column:
    most = LABELS_MAX // 2 if "W" in key else LABELS_MAX
    every = -(-count // most)
    named = number % every == 0
    narrow = named and (-(-count // every) <= most // 2 or number // every % 2 == 0)
    return Column(key, round(number * width, 3), round(width, 3), tuple(marks), named, narrow)


def _scale(amounts: Iterable[Decimal]) -> tuple[tuple[Tick, ...], "_Place"]:
    """The lines across, and where an amount is: 0 is always among them."""
    found = list(amounts)
    low, high = min([Decimal(0), *found]), max([Decimal(0), *found])
    step = _step(high - low)
    bottom, top = low // step, high // step  # which cuts towards 0
    bottom -= 1 if bottom * step > low else 0
    top += 1 if top * step < high else 0
    if bottom == top:
        top += 1
    place = _Place(bottom * step, top * step)
    lines = [step * number for number in range(int(bottom), int(top) + 1)]
    return tuple(Tick(amount, place(amount)) for amount in lines), place


def _step(range_: Decimal) -> Decimal:
    """A round amount of which three to six make a range."""
    if range_ <= 0:
        return Decimal(1)
    raw = range_ / 4
    power = Decimal(1).scaleb(raw.adjusted())
    return next(step * power for step in _STEPS if step * power >= raw)


class _Place:
    """How far down an amount is."""

    def __init__(self, low: Decimal, high: Decimal) -> None:
        self.low, self.high = low, high

    def __call__(self, amount: Decimal) -> float:
        part = float((self.high - amount) / (self.high - self.low))
        return round(TOP + part * (HEIGHT - BOTTOM - TOP), 2)


def _rounded(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return round(x, 3), round(y, 2), round(width, 3), round(height, 2)
