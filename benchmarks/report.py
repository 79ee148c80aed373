"""What a benchmark came to: medians, their spread and their ratios, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.load import Sample

HEADINGS = (
    "what",
    "toy: req/s (min to max)",
    "Cashman: req/s (min to max)",
    "ratio (of rounds)",
    "p99 ms: toy / Cashman",
    "server CPU µs a request: toy / Cashman",
    "others' CPU",
)


@dataclass
class Comparison:
    """One kind of request, measured on the toy and on Cashman in turns."""

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

    def text(self) -> str:
        """The report as Markdown that a terminal can show as well."""
        lines = table([HEADINGS, *(comparison.cells() for comparison in self.comparisons)])
        listed = [*(f"- {line}" for line in self.conditions), "", *lines, "", *(f"- {line}" for line in self.checks)]
        return "\n".join([f"## {self.title}", "", *listed, ""])


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
