"""Transactions as JSON, in an export and back: what is taken, and what is told of what is not."""

import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cashman.errors import UnreadableFile
from cashman.formats import Options, ndjson, recognize
from cashman.formats import json as whole
from cashman.formats.records import Account, Item, Movement, Refused, Split, Transfer
from cashman.formats.source import Source

GROUP = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def read(data: str | bytes, format_: Any = whole) -> list[Item]:
    data = data.encode() if isinstance(data, str) else data
    return list(format_.read(Source(io.BytesIO(data)), Options()))


def one(**fields: Any) -> Item:
    """What a document comes to beside a good one."""
    document = {"date": "2026-01-01", "amount": 1, **fields}
    (found,) = read(json.dumps([document]))
    (line,) = read(json.dumps(document), ndjson)
    assert type(found) is type(line)
    return found


def rules(**fields: Any) -> dict[str, list[str]]:
    found = one(**fields)
    assert isinstance(found, Refused), found
    return found.errors


@pytest.mark.parametrize(
    ("written", "amount"),
    [("1", "1"), ("-1.50", "-1.50"), ('"1.5"', "1.5"), ("15e-1", "1.5"), ("1E+2", "100"), ("0.30000000000000004",
     "0.30000000000000004"), ("-0", "0")],
)  # fmt: skip
def test_an_amount_is_exact(written: str, amount: str) -> None:
    (found,) = read(f'[{{"date": "2026-01-01", "amount": {written}}}]')
    assert isinstance(found, Movement)
    assert found.amount == Decimal(amount)


@pytest.mark.parametrize(
    "written",
    ["NaN", "Infinity", "-Infinity", '"NaN"', '"sNaN"', "1e999999", "1e-999999", "1e99999999999999999999", "9" * 41,
     '"1,5"', '"1.234,56"', '"1_000"', '" 5"', '"5 "', '"+5"', '"٥"', '"0x5"', '""', "null", "true", "[]", "{}",
     '"\\ud800"'],
)  # fmt: skip
def test_an_amount_that_is_none_is_refused(written: str) -> None:
    for format_, text in ((whole, "[%s]"), (ndjson, "%s")):
        (found,) = read(text % f'{{"date": "2026-01-01", "amount": {written}}}', format_)
        assert isinstance(found, Refused)
        assert found.errors == {"amount": ["Not an amount."]}


@pytest.mark.parametrize(
    "day", ["2026-02-30", "2026-1-1", "20260101", "2026-W01-1", "0000-01-01", "01.01.2026", "٢٠٢٦-٠١-٠١", "", 5,
    None, [], "2026-01-01 "]
)  # fmt: skip
def test_a_date_that_is_none_is_refused(day: Any) -> None:
    assert [*rules(date=day)] == ["date"]


def test_the_type_gives_the_sign_and_a_sign_of_its_own_stands() -> None:
    for type_, amount, signed in (
        ("EXPENSE", 5, -5),
        ("EXPENSE", -5, -5),
        ("INCOME", 5, 5),
        (None, -5, -5),
        (None, 5, 5),
    ):
        found = one(type=type_, amount=amount)
        assert isinstance(found, Movement)
        assert found.amount == signed
    assert rules(type="INCOME", amount=-5) == {"amount": ["An income is positive."]}
    assert [*rules(type="GIFT")] == ["type"]


@pytest.mark.parametrize(
    "name", ["description", "account", "currency", "category", "payee", "notes", "id", "status", "group"]
)
@pytest.mark.parametrize("value", [5, True, [], {}, 1.5])
def test_text_is_text(name: str, value: Any) -> None:
    assert rules(**{name: value}) == {name: ["Not a string."]}


@pytest.mark.parametrize("value", ["a", 5, True, {}, [1], [None], ["a", []]])
def test_tags_are_a_list_of_text(value: Any) -> None:
    assert rules(tags=value) == {"tags": ["Not a list of strings."]}


@pytest.mark.parametrize(
    "value", ["soon", 5, [], "2026-01-01", "2026-01-01T00:00:00", "9999-12-31T23:59:59-12:00", True]
)
def test_an_expiry_is_an_instant_with_its_offset(value: Any) -> None:
    assert [*rules(expires_at=value)] == ["expires_at"]


def test_an_expiry_is_kept_in_utc() -> None:
    found = one(status="pending", expires_at="2999-01-01T01:00:00+01:00")
    assert isinstance(found, Movement)
    assert found.expires_at == dt.datetime(2999, 1, 1, tzinfo=dt.UTC)


def test_every_rule_that_is_broken_is_told_at_once_and_few_unknown_names() -> None:
    assert rules(date="x", amount="x", tags="x", payee=5, odd=1).keys() == {"date", "amount", "tags", "payee", "odd"}
    assert len(rules(**{f"odd {number}": 1 for number in range(1_000)})) <= 20


def test_a_member_that_stands_twice_is_refused_wherever_it_stands() -> None:
    double = '{"date": "2026-01-01", "amount": 1, "amount": 2}'
    for format_, text in ((whole, f"[{double}]"), (ndjson, double)):
        (found,) = read(text, format_)
        assert isinstance(found, Refused)
        assert found.errors == {"line": ['The member "amount" stands twice in one object.']}
    (nested,) = read('[{"date": "2026-01-01", "amount": 1, "payee": {"a": 1, "a": 2}}]')
    assert isinstance(nested, Refused)
    with pytest.raises(UnreadableFile):
        read('{"transactions": [], "transactions": []}')


def leg(amount: int, **fields: Any) -> dict[str, Any]:
    return {"date": "2026-01-01", "type": "TRANSFER", "amount": amount, "group": GROUP, **fields}


def test_what_has_one_group_comes_together_where_its_first_stands() -> None:
    found = read(
        json.dumps(
            [leg(5, account="b"), {"date": "2026-01-01", "amount": 1}, leg(-5, account="a"),
             {"date": "2026-01-02", "amount": 1, "group": GROUP[:-1] + "W"}, {"date": "2026-01-02", "amount": 2,
             "group": GROUP[:-1] + "W"}]
        )
    )  # fmt: skip
    single, transfer, split = found
    assert isinstance(single, Movement)
    assert isinstance(transfer, Transfer)
    assert (transfer.line, transfer.out.account, transfer.into.account, transfer.group) == (1, "a", "b", GROUP)
    assert isinstance(split, Split)
    assert (split.line, len(split.movements)) == (4, 2)


@pytest.mark.parametrize(
    "legs",
    [[leg(-5)], [leg(-5), leg(-5)], [leg(-5), leg(5), leg(5)], [leg(-5), leg(5, date="2026-01-02")], [leg(-5,
     group=None)],
     [leg(-5), leg(5, type="INCOME"), leg(5)], [leg(0), leg(5)]],
)  # fmt: skip
def test_a_transfer_has_two_legs(legs: list[Any]) -> None:
    assert any(isinstance(item, Refused) and "group" in item.errors for item in read(json.dumps(legs)))
    assert not any(isinstance(item, Transfer) for item in read(json.dumps(legs)))


@pytest.mark.parametrize("text", ["[", "[{]", '{"transactions": [}', "[1,]", '["\x01"]', "[" * 100_000, "1" * 5_000])
def test_what_is_no_document_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableFile):
        read(text)


def test_a_document_that_breaks_off_is_told_with_its_line() -> None:
    with pytest.raises(UnreadableFile) as raised:
        read('[\n{"date": "2026-01-01", "amount": 1},\n{"date": ')
    assert [*(raised.value.errors or {})] == [3]


@pytest.mark.parametrize(
    "text", ["{}", "5", '"x"', "null", '{"transactions": 5}', '{"transactions": [], "accounts": {}}']
)
def test_a_document_of_something_else_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableFile):
        read(text)


def test_a_line_that_is_no_document_is_refused_and_the_next_is_read() -> None:
    good = '{"date": "2026-01-01", "amount": 1}'
    found = read(f"{good}\n{{\n\n5\n{'[' * 50_000}\n{good}\r\n{'1' * 5_000}", ndjson)
    assert [(type(item).__name__, item.line) for item in found] == [
        ("Movement", 1), ("Refused", 2), ("Refused", 4), ("Refused", 5), ("Movement", 6), ("Refused", 7),
    ]  # fmt: skip


def test_accounts_come_first_and_odd_ones_are_refused() -> None:
    told = {
        "name": "Loan",
        "currency": "EUR",
        "kind": "loan",
        "opening_balance": "-1.5",
        "opening_date": "2026-01-01",
        "closed": True,
    }
    odd = [
        None,
        {},
        {"name": 5},
        {"name": "x", "kind": 5},
        {"name": "x", "opening_balance": "x"},
        {"name": "x", "opening_date": "x"},
    ]
    first, *others = read(json.dumps({"accounts": [told, *odd], "transactions": []}))
    assert first == Account(
        line=1,
        name="Loan",
        currency="EUR",
        kind="loan",
        opening_balance=Decimal("-1.5"),
        opening_date=dt.date(2026, 1, 1),
        closed=True,
    )
    assert all(isinstance(other, Refused) for other in others)
    assert len(others) == len(odd)


@pytest.mark.parametrize(
    ("text", "name"),
    [('[{"date": 1}]', "json"), ('{"transactions": []}', "json"), ('{\n"a": 1}', "json"), ('{"date": 1}', "ndjson"),
     ('{"date": 1}\n{"date": 2}', "ndjson"), ('\n {"date": 1}\n', "ndjson"),
     ('{"ledger": "x", "transactions": []}\n', "json")],
)  # fmt: skip
def test_one_document_and_a_document_a_line_are_told_apart(text: str, name: str) -> None:
    assert recognize(Source(io.BytesIO(text.encode()))).name == name


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_any_document_is_read_or_refused(value: Any) -> None:
    for format_, document in (
        (whole, [value]),
        (ndjson, value),
        (whole, {"accounts": [value], "transactions": [value]}),
    ):
        for item in read(json.dumps(document), format_):
            assert isinstance(item, Refused | Movement | Split | Account)
