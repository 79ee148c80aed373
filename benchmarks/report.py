"""What a benchmark came to: medians, their spread and their ratios, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.load import Sample


def headings(rival: str = "toy", own: str = "Cashman") -> tuple[str, ...]:
    """What stands above the columns of comparisons."""
    return (
        "what",
        f"{rival}: req/s (min to max)",
        f"{own}: req/s (min to max)",
        "ratio (of rounds)",
        f"p99 ms: {rival} / {own}",
        f"server CPU µs a request: {rival} / {own}",
        "others' CPU",
    )


@dataclass
class Comparison:
    """One kind of request, measured on the toy, or another rival, and on Cashman in turns."""

    what: str
    toy: list[Sample] = field(default_factory=list)
    cashman: list[Sample] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Cashman's median throughput in units of the toy's."""
        return _median(self.cashman) / _median(self.toy)

    @property
    def ratios(self) -> list[float]:
        """The same for each round on its own: how far the figure can be trusted."""
        return [ours.per_second / theirs.per_second for theirs, ours in zip(self.toy, self.cashman, strict=True)]

    @property
    def p99_ratio(self) -> float:
        """Cashman's median p99 in units of the toy's; less is better."""
        return median(s.p99_ms for s in self.cashman) / median(s.p99_ms for s in self.toy)

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        others = [sample.others for sample in (*self.toy, *self.cashman)]
        return (
            self.what,
            spread(self.toy),
            spread(self.cashman),
            f"**{self.ratio:.2f}** ({min(self.ratios):.2f} to {max(self.ratios):.2f})",
            f"{median(s.p99_ms for s in self.toy):.1f} / {median(s.p99_ms for s in self.cashman):.1f}",
            f"{median(s.server_cpu_us for s in self.toy):.0f} / {median(s.server_cpu_us for s in self.cashman):.0f}",
            f"{median(others):.0%} (at most {max(others):.0%})",
        )


@dataclass
class Report:
    """A benchmark's comparisons, and what was checked besides."""

    title: str
    conditions: list[str]
    comparisons: list[Comparison]
    checks: list[str]
    headings: tuple[str, ...] = headings()

    def text(self) -> str:
        """The report as Markdown that a terminal can show as well."""
        lines = table([self.headings, *(comparison.cells() for comparison in self.comparisons)])
        listed = [*(f"- {line}" for line in self.conditions), "", *lines, "", *(f"- {line}" for line in self.checks)]
        return "\n".join([f"## {self.title}", "", *listed, ""])


@dataclass
class Row:
    """One line of the table: a figure of each round, beside what it is measured against."""

    what: str
    subject: Sequence[float]
    beside: Sequence[float]
    unit: str
    bound: float | None = None
    aim: float | None = None
    at_most: bool = True
    """Whether less is better, as with milliseconds."""
    others: Sequence[float] = ()

    @property
    def ratio(self) -> float:
        return median(self.subject) / median(self.beside)

    @property
    def ratios(self) -> list[float]:
        return [one / other for one, other in zip(self.subject, self.beside, strict=True)]

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept; None where there is none."""
        if self.bound is None:
            return None
        return self.ratio <= self.bound if self.at_most else self.ratio >= self.bound

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        sign = "≤" if self.at_most else "≥"
        return (
            self.what,
            f"{figure(self.subject)} {self.unit}",
            f"{figure(self.beside)} {self.unit}",
            f"**{self.ratio:.2f}** ({min(self.ratios):.2f} to {max(self.ratios):.2f})",
            "" if self.bound is None else f"{sign} {self.bound:g}",
            "" if self.aim is None else f"{self.aim:.1f}",
            {True: "yes", False: "**no**", None: ""}[self.holds],
            f"{median(self.others):.0%} (at most {max(self.others):.0%})" if self.others else "",
        )


ROW_HEADINGS = ("what", "measured", "beside", "ratio (of rounds)", "must", "aim", "holds", "others' CPU")


def figure(values: Sequence[float]) -> str:
    """The median and how far the rounds lie apart, with as many digits as say something."""
    digits = 0 if median(values) >= 100 else 2
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred passes."""
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def _median(samples: Sequence[Sample]) -> float:
    return median(sample.per_second for sample in samples)


def spread(samples: Sequence[Sample]) -> str:
    """The median of the rates, and how far they lie apart."""
    rates = [sample.per_second for sample in samples]
    return f"{median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; the first row heads it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
