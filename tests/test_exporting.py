"""Exports from inside: every filter, one snapshot, flat memory, and what they hold and give back."""

import datetime as dt
import itertools
import json
import threading
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from filing import another_ledger, coffee, exported, imported, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_properties import _few_accounts, filters, transactions, walk

from cashman import exporting
from cashman.changes import Target
from cashman.errors import Invalid, StoreUnavailable
from cashman.exporting import Export
from cashman.formats import EXPORTS
from cashman.ledger import Ledger
from cashman.limits import EXPORTS_AT_ONCE_MAX
from cashman.model.expense import Expense
from cashman.model.filter import Filter
from cashman.model.transaction import Transaction
from cashman.model.transfer import TransferSchema

stored = settings(
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def found(ledger: Ledger, asked: Filter) -> list[dict[str, Any]]:
    """The rows of an export, in its order."""
    return [json.loads(line, parse_float=str) for line in exported(ledger, "ndjson", asked).decode().splitlines()]


@stored
@given(booked=st.lists(transactions(), min_size=1, max_size=25), data=st.data())
def test_an_export_has_what_the_list_with_its_filter_has_the_oldest_first(
    ledger: Ledger, booked: Sequence[Transaction], data: st.DataObject
) -> None:
    own = another_ledger(ledger.books)
    for name, currency in list(_few_accounts.items())[1:]:
        own.open_account({"name": name, "currency": currency})
    states = [dict(state) for state in own.record(*booked).states]
    own.void(Target(states[0]["id"]))
    for asked in data.draw(st.lists(filters(states), min_size=3, max_size=6)):
        listed = walk(own, replace(asked, sort="date", descending=True, limit=7))
        assert [row["id"] for row in found(own, asked)] == listed[::-1]


def test_an_account_that_is_none_is_refused_and_gives_the_place_back(ledger: Ledger) -> None:
    for _ in range(2 * EXPORTS_AT_ONCE_MAX):
        with pytest.raises(Invalid):
            Export(ledger, Filter(account="nowhere"), "json")


def test_more_exports_at_once_than_there_may_be_are_unavailable(ledger: Ledger) -> None:
    under_way = [Export(ledger, Filter(), "json") for _ in range(EXPORTS_AT_ONCE_MAX)]
    try:
        with pytest.raises(StoreUnavailable):
            Export(ledger, Filter(), "json")
    finally:
        for one in under_way:
            one.close()
            one.close()  # a second time it gives nothing back
    for _ in range(EXPORTS_AT_ONCE_MAX + 1):
        assert exported(ledger)


def test_an_export_is_one_snapshot_while_others_write(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cashman.listing.EXPORT_ROWS_AT_ONCE", 10)
    monkeypatch.setattr(exporting, "EXPORT_PART_CHARACTERS", 1)
    monkeypatch.setattr("cashman.formats.ndjson._ROWS_AT_ONCE", 5)
    imported(ledger, rows(*(coffee(1 + number % 28, description=f"old {number}") for number in range(200))))
    head, expected = ledger.head(), found(ledger, Filter())
    export = Export(ledger, Filter(), "ndjson")
    parts = [next(export)]
    for number in range(5):
        ledger.record(Expense(f"new {number}", 5, date=dt.date(2026, 1, 3)))
        ledger.void(Target(expected[number]["id"]))
        parts.append(next(export))
    writer = threading.Thread(target=ledger.record, args=[Expense("later", 5, date=dt.date(2026, 1, 28))])
    writer.start()
    writer.join()
    parts += export
    assert export.head == head
    assert [json.loads(line, parse_float=str) for line in b"".join(parts).splitlines()] == expected
    assert len(found(ledger, Filter())) == 201


def test_what_expires_while_it_is_exported_stands_in_it_and_not_in_the_next(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cashman.formats.ndjson._ROWS_AT_ONCE", 1)
    monkeypatch.setattr(exporting, "EXPORT_PART_CHARACTERS", 1)
    for day in (1, 2):
        ledger.record(Expense(f"rent {day}", 5, date=dt.date(2026, 1, day), status="pending", expires_in=1_000))
    export = Export(ledger, Filter(), "ndjson")
    parts = [next(export)]
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2_000)
    for module in ("journal", "listing", "ledger", "batch"):
        monkeypatch.setattr(f"cashman.{module}.utc_now", lambda: later, raising=False)
    parts += export
    assert len(b"".join(parts).splitlines()) == 2
    assert found(ledger, Filter()) == []


def test_a_transfer_is_written_with_both_legs_where_the_format_needs_them(ledger: Ledger) -> None:
    ledger.open_account({"name": "savings", "currency": "USD"})
    for day in (2, 2, 3):
        document = {"from": "main", "to": "savings", "amount": day, "date": f"2026-01-0{day}"}
        ledger.record(TransferSchema().load(document))
    ledger.record(Expense("pizza", 7, date=dt.date(2026, 1, 2)))
    asked = Filter(account="savings")
    assert len(found(ledger, asked)) == 3
    for name in ("beancount", "hledger", "qif"):
        whole, part = exported(ledger, name).decode(), exported(ledger, name, asked).decode()
        assert "pizza" in whole
        assert "pizza" not in part
        if name != "qif":
            again = another_ledger(ledger.books)
            assert imported(again, part, name).booked == 6
            assert exported(again, "ndjson").count(b'"TRANSFER"') == 6


def test_memory_stays_flat_however_much_is_exported(ledger: Ledger) -> None:
    def peak(asked: Filter, name: str) -> int:
        tracemalloc.start()
        try:
            assert sum(map(len, Export(ledger, asked, name, lossless=True)))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = 2_000, 20_000
    imported(
        ledger,
        rows(*(coffee(1 + number * 28 // many, description=f"coffee number {number}") for number in range(many))),
    )
    part = Filter(last_day=dt.date(2026, 1, 1 + few * 28 // many))
    for name in sorted(EXPORTS.keys() - {"ofx"}):  # whose balances come before the rows: it waits in a file
        peak(part, name)  # what is loaded once
        small, large = peak(part, name), peak(Filter(), name)
        assert large < small + 4_000_000, (name, small, large)


def test_an_export_that_is_read_too_slowly_is_cut_off(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    places = exporting._slots._value
    export = Export(ledger, Filter(), "json")
    monkeypatch.setattr(export, "_deadline", 0.0)
    with pytest.raises(TimeoutError):
        next(export)
    assert exporting._slots._value == places


def test_the_first_day_and_the_categories_are_those_of_what_is_there(ledger: Ledger) -> None:
    ledger.record(
        Expense("pizza", 5, date=dt.date(1999, 12, 31), category="Food"),
        Expense("rent", 5, date=dt.date(2026, 1, 1), category="Home", status="pending"),
    )
    text = exported(ledger, "beancount").decode()
    assert "Food" in text
    assert "Home" in text
    assert min(line[:10] for line in text.splitlines() if line[:1].isdigit()) <= "1999-12-31"
    assert Decimal(found(ledger, Filter(status="pending"))[0]["amount"]) == -5
    assert [*itertools.islice(found(ledger, Filter(status="posted")), 1, None)] == []
