"""Charts: every mark is where its amount is, whatever the amounts are, and nothing lies outside."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cashman.dashboard import charts
from cashman.dashboard.charts import BOTTOM, HEIGHT, TOP, Chart

AMOUNTS = st.decimals(-(10**17), 10**17, allow_nan=False, allow_infinity=False, places=2)
LOWEST = HEIGHT - BOTTOM


def place(chart: Chart, amount: Decimal) -> float:
    """Where an amount is, by the chart's own lines."""
    low, high = chart.ticks[0], chart.ticks[-1]
    return low.y + float((amount - low.amount) / (high.amount - low.amount)) * (high.y - low.y)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=40))
def test_a_bar_reaches_from_zero_to_its_amount(rows: list[tuple[Decimal, Decimal]]) -> None:
    chart = charts.bars([(str(n), [("income", a), ("expense", b)]) for n, (a, b) in enumerate(rows)])
    assert len(chart.columns) == len(rows)
    for column, amounts in zip(chart.columns, rows, strict=True):
        assert [mark.series for mark in column.marks] == ["income", "expense"]
        for mark, amount in zip(column.marks, amounts, strict=True):
            top, bottom = mark.y, mark.y + mark.height
            end = top if amount >= 0 else bottom
            assert end == pytest.approx(place(chart, amount), abs=0.05)
            assert (bottom if amount >= 0 else top) == pytest.approx(chart.zero, abs=0.05)
            assert column.x - 0.01 <= mark.x
            assert mark.x + mark.width <= column.x + column.width + 0.01


@given(st.lists(AMOUNTS, min_size=1, max_size=40))
def test_nothing_lies_outside_and_zero_is_always_a_line(amounts: list[Decimal]) -> None:
    chart = charts.line([(str(n), amount) for n, amount in enumerate(amounts)], "balance")
    assert 2 <= len(chart.ticks) <= 8
    assert [tick.amount for tick in chart.ticks if tick.y == chart.zero] == [0]
    steps = {after.amount - before.amount for before, after in zip(chart.ticks, chart.ticks[1:], strict=False)}
    assert len(steps) == 1
    for column, amount in zip(chart.columns, amounts, strict=True):
        (mark,) = column.marks
        assert TOP - 0.01 <= mark.y <= LOWEST + 0.01
        assert mark.x == pytest.approx(column.middle, abs=0.01)
        assert mark.y == pytest.approx(place(chart, amount), abs=0.05)
    assert chart.columns[-1].x + chart.columns[-1].width == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("amounts", [[], [Decimal(0)], [Decimal("0.00")] * 12])
def test_nothing_and_zeros_are_a_chart_too(amounts: list[Decimal]) -> None:
    chart = charts.bars([(str(n), [("income", amount)]) for n, amount in enumerate(amounts)])
    assert [mark.height for column in chart.columns for mark in column.marks] == [0] * len(amounts)
    assert len(chart.ticks) >= 2


@pytest.mark.parametrize(
    ("high", "lines"),
    [("1", "0 0.25 0.5 0.75 1"), ("6000", "0 2000 4000 6000"), ("0.03", "0 0.01 0.02 0.03"), ("101", "0 50 100 150")],
)
def test_lines_stand_at_round_amounts(high: str, lines: str) -> None:
    chart = charts.line([("a", Decimal(high))], "balance")
    assert [tick.amount for tick in chart.ticks] == [Decimal(line) for line in lines.split()]


@given(st.integers(1, 60))
def test_no_more_columns_are_named_than_there_is_room_for(count: int) -> None:
    chart = charts.line([(str(n), Decimal(n)) for n in range(count)], "balance")
    named = [column for column in chart.columns if column.named]
    assert 1 <= len(named) <= charts.LABELS_MAX
    assert 1 <= sum(column.named_where_narrow for column in chart.columns) <= 6
    assert all(column.named for column in chart.columns if column.named_where_narrow)


@pytest.mark.parametrize("count", [4, 6, 11, 12, 14])
def test_half_as_many_weeks_are_named_because_their_names_are_days(count: int) -> None:
    chart = charts.line([(f"2026-W{week:02}", Decimal(week)) for week in range(1, count + 1)], "balance")
    assert 2 <= sum(column.named for column in chart.columns) <= charts.LABELS_MAX // 2
    assert 2 <= sum(column.named_where_narrow for column in chart.columns) <= charts.LABELS_MAX // 4


@pytest.mark.parametrize(
    ("amount", "of", "share"),
    [("1", "4", 25), ("0", "4", 0), ("-1", "4", 0), ("1", "0", 0), ("5", "4", 100), ("1", "-4", 0), ("1", "3", 33.33)],
)
def test_a_share_is_between_nothing_and_all(amount: str, of: str, share: float) -> None:
    assert charts.share(Decimal(amount), Decimal(of)) == share
