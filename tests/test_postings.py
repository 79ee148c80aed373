"""Postings that go out: names of their own, and parts."""

import datetime as dt

import msgspec
from test_plain_text import FIRST_DAY, LEDGER, ROW

from cashman.formats import beancount, hledger
from cashman.formats.postings import OutgoingNames, in_parts
from cashman.formats.records import Books


def test_each_account_and_category_goes_out_under_a_name_of_its_own() -> None:
    columns = {"kind": None, "opening_minor_units": 0, "opening_date": None, "closed": False, "currency": "USD"}
    called = ["a b", "a-b", "Assets:A-b", "a?b", "a:b", "::", "é", "card"]
    charted = [{**columns, "name": name, "kind": "card" if name == "card" else None} for name in called]
    categories = [
        ("EXPENSE", "Uncategorized"),
        ("EXPENSE", "food"),
        ("EXPENSE", "Food"),
        ("INCOME", "Food"),
        ("INCOME", "食"),
    ]
    books = Books(LEDGER, "USD", FIRST_DAY, charted, categories)
    for format_, wanted in (
        (
            beancount,
            ["Assets:A-b-2", "Assets:A-b-3", "Assets:A-b", "Assets:A-b-4", "Assets:A:B", "Assets:X:X:X", "Assets:É"],
        ),
        (hledger, ["Assets:a b", "Assets:a-b", "Assets:A-b", "Assets:a?b", "Assets:a:b", "Assets:X:X:X", "Assets:é"]),
    ):
        outgoing = OutgoingNames(books, format_._clean, lambda name: name == "Assets:A-b")
        assert [outgoing.accounts[name] for name in called[:-1]] == wanted
        assert outgoing.accounts["card"] == ("Liabilities:Card" if format_ is beancount else "Liabilities:card")
        assert outgoing.categories["EXPENSE", None] == "Expenses:Uncategorized"
        assert outgoing.categories["EXPENSE", "Uncategorized"] == "Expenses:Uncategorized-2"
        assert outgoing.categories["INCOME", "Food"] == "Income:Food"
        given_names = [*outgoing.accounts.values(), *outgoing.categories.values()]
        assert len(set(given_names)) == len(given_names)


def test_ten_thousand_names_that_are_cleaned_to_one_are_told_apart() -> None:
    columns = {"kind": None, "opening_minor_units": 0, "opening_date": None, "closed": False, "currency": "USD"}
    charted = [{**columns, "name": "a" + chr(0x1F300 + number)} for number in range(10_000) if number < 0x400]
    outgoing = OutgoingNames(Books(LEDGER, "USD", FIRST_DAY, charted, ()), beancount._clean, lambda _: False)
    assert len(set(outgoing.accounts.values())) == len(charted)


def test_what_is_written_comes_in_parts_and_nothing_is_kept_of_them() -> None:
    day = dt.date(2024, 1, 1).toordinal()
    rows = (
        msgspec.structs.replace(ROW, id=f"01K9{number:022}", date=dt.date.fromordinal(day + number // 10).isoformat())
        for number in range(1_000)
    )
    books = Books(LEDGER, "USD", FIRST_DAY, [], [], rows)
    parts = in_parts(books, lambda together: together[0].id)
    assert len(next(parts)) == 26 * 300
    assert next(rows).id < f"01K9{320:022}"  # the next day, and no more, was read ahead
    assert sum(map(len, parts)) == 26 * 699
