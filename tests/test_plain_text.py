"""Plain-text accounting: what entries mean here, and random books that both formats give back as they were."""

import datetime as dt
import io
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cashman.errors import UnreadableFile
from cashman.formats import beancount, hledger
from cashman.formats.entries import BadLine
from cashman.formats.plain_text import MONEY, UNKNOWN, Names
from cashman.formats.records import Account, Booked, Books, Item, Movement, Options, Skipped, Split, Transfer
from cashman.formats.source import Source
from cashman.limits import MINOR_UNITS_MAX
from cashman.model.account import KINDS
from cashman.model.currency import CURRENCIES

LEDGER = "01K9ZZZZZZZZZZZZZZZZZZZZZZ"
FORMATS = {"beancount": beancount, "hledger": hledger}
FIRST_DAY = dt.date.min


def items_in(format_: Any, text: str | bytes) -> list[Item]:
    """What a format reads in a text."""
    data = text if isinstance(text, bytes) else text.encode()
    return list(format_.read(Source(io.BytesIO(data)), Options()))


def plain(items: Iterable[Item]) -> list[Any]:
    """Items as plain values, without the lines on which they stand."""

    def without_lines(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without_lines(one) for name, one in value.items() if name != "line"}
        return [without_lines(one) for one in value] if isinstance(value, list) else value

    return [(type(item).__name__, without_lines(_fields(item))) for item in items]


def _fields(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _fields(getattr(value, name)) for name in value.__struct_fields__}
    return [_fields(one) for one in value] if isinstance(value, list) else value


# A row, and random books.

ROW = Booked(
    id="", type="EXPENSE", status="posted", minor_units=-1, currency="USD", date="2024-01-01", account="main",
    category=None, group=None, expires_at=None, description="x", payee=None, notes=None,
    tags="[]", created_at="", version=1,
)  # fmt: skip

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
awkward = st.text(
    st.sampled_from(list('"\\\n\r\t ;|,:[](){}*!=#^@&~-_.aBé食😀\u00a0\u2028\x85\x0b\x0c\x1f')), max_size=12
)
filled = st.one_of(texts, awkward, st.sampled_from(["pizza", "Kin Soy", "a  b", "date:x", "cashman-id:1"])).filter(
    str.strip
)
part = filled.map(lambda text: text.replace(":", "").strip()).filter(bool)
paths = st.lists(part, min_size=1, max_size=3).map(":".join)
codes = st.sampled_from(["USD", "EUR", "JPY", "KRW", "BHD", "CLF", "XAU"])
names = st.one_of(
    filled, st.sampled_from(["main", "Assets:US:BofA", "Liabilities:Card", "Assets:a", "assets:b", "A:b:c"])
)
days = st.dates()
instants = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1)).map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S.%f}Z")  # noqa: DTZ001 - rows hold text
tags = st.lists(st.one_of(filled, st.sampled_from(["trip", "a-b", "x/y.z"])), unique=True, max_size=3)
units = st.one_of(st.integers(1, 99_999), st.integers(1, MINOR_UNITS_MAX))


@st.composite
def accounts(draw: st.DrawFn) -> dict[str, Any]:
    opening = draw(st.one_of(st.just(0), units, units.map(int.__neg__)))
    return {
        "name": draw(names),
        "currency": draw(codes),
        "kind": draw(st.one_of(st.none(), st.sampled_from(KINDS))),
        "opening_minor_units": opening,
        "opening_date": draw(days) if opening else draw(st.one_of(st.none(), days)),
        "closed": draw(st.booleans()),
    }


@st.composite
def books_with_rows(draw: st.DrawFn) -> tuple[Books, list[Booked]]:
    """Books as an export gets them, and their rows, to go through once more."""
    charted = draw(st.lists(accounts(), min_size=1, max_size=4, unique_by=lambda account: account["name"]))
    rows: list[Booked] = []
    for number in range(draw(st.integers(0, 5))):
        rows += _group(draw, charted, number)
    rows.sort(key=lambda row: (row.date, row.id))
    used = sorted({(row.type, row.category) for row in rows if row.category is not None})
    first = Books(LEDGER, "USD", FIRST_DAY, charted, used, iter(rows))  # type: ignore[arg-type]
    return first, rows


def _group(draw: st.DrawFn, charted: list[dict[str, Any]], number: int) -> list[Booked]:
    shared = {
        "status": draw(st.sampled_from(["posted", "pending"])),
        "date": draw(days).isoformat(),
        "payee": draw(st.one_of(st.none(), filled)),
        "expires_at": draw(st.one_of(st.none(), instants)),
        "created_at": "2026-11-21T00:00:00.000000Z",
        "version": 1,
    }
    words = lambda: {  # noqa: E731 - drawn anew for each row
        "description": draw(filled),
        "notes": draw(st.one_of(st.none(), filled)),
        "tags": msgspec.json.encode(draw(tags)).decode(),
    }
    ids = [f"01K9{number:010}{place:012}" for place in range(4)]
    account = draw(st.sampled_from(charted))
    here = {"account": account["name"], "currency": account["currency"]}
    kind = draw(st.sampled_from(["single", "split", "transfer"]))
    if kind == "transfer" and len(charted) > 1:
        other = draw(st.sampled_from([one for one in charted if one is not account]))
        there = {"account": other["name"], "currency": other["currency"]}
        out = draw(units)
        into = out if here["currency"] == there["currency"] else draw(units)
        common = {**shared, **words(), "type": "TRANSFER", "category": None, "group": ids[0]}
        return [
            Booked(id=ids[0], minor_units=-out, **here, **common),
            Booked(id=ids[1], minor_units=into, **there, **common),
        ]
    sign = draw(st.sampled_from([1, -1]))
    many = draw(st.integers(1, 3)) if kind == "split" else 1
    common = {**shared, **here, "type": "INCOME" if sign > 0 else "EXPENSE"}
    group = ids[0] if kind == "split" else None
    category = st.one_of(st.none(), paths)
    return [
        Booked(id=ids[place], minor_units=sign * draw(units), category=draw(category), group=group, **common, **words())
        for place in range(many)
    ]


def expected(books: Books, rows: list[Booked]) -> list[Any]:
    """What has to be read again, worked out from the rows and not from the text."""
    opened = [
        Account(
            line=0,
            name=account["name"],
            currency=account["currency"],
            kind=account["kind"],
            opening_balance=_money(account["opening_minor_units"], account["currency"])
            if account["opening_minor_units"]
            else None,
            opening_date=account["opening_date"],
            closed=account["closed"],
        )
        for account in books.accounts
    ]
    found: list[Item] = []
    for group in dict.fromkeys(row.group or row.id for row in rows):
        together = [row for row in rows if (row.group or row.id) == group]
        movements = [_movement(row) for row in together]
        if together[0].type == "TRANSFER":
            out, into = sorted(movements, key=lambda movement: movement.amount)
            found.append(Transfer(line=0, out=out, into=into, group=group))
        elif together[0].group is not None:
            found.append(Split(line=0, movements=movements, group=group))
        else:
            found += movements
    return plain([*sorted(opened, key=lambda account: account.name), *found])


def _money(minor_units: int, currency: str) -> Decimal:
    return Decimal(f"{minor_units}e-{CURRENCIES[currency]}")


def _movement(row: Booked) -> Movement:
    return Movement(
        line=0,
        date=dt.date.fromisoformat(row.date),
        amount=_money(row.minor_units, row.currency),
        description=row.description,
        account=row.account,
        currency=row.currency,
        category=row.category,
        payee=row.payee,
        notes=row.notes,
        tags=msgspec.json.decode(row.tags),
        id=row.id,
        status=row.status,
        expires_at=None if row.expires_at is None else dt.datetime.fromisoformat(row.expires_at),
    )


def read_again(format_: Any, text: str) -> list[Any]:
    """What is read of an export: accounts by name, then the rest in its order."""
    found = items_in(format_, text)
    opened = sorted((item for item in found if isinstance(item, Account)), key=lambda account: account.name)
    return plain([*opened, *(item for item in found if isinstance(item, (Movement, Transfer, Split)))])


def sums(books: Books, rows: list[Booked]) -> tuple[dict[Any, Decimal], dict[Any, Decimal]]:
    """What the accounts come to by name and currency, and the categories by type, path and currency."""
    by_account: dict[Any, Decimal] = {}
    by_category: dict[Any, Decimal] = {}
    for account in books.accounts:
        if account["opening_minor_units"]:
            amount = _money(account["opening_minor_units"], account["currency"])
            by_account[account["name"], account["currency"]] = amount
    for row in rows:
        amount = _money(row.minor_units, row.currency)
        key = (row.account, row.currency)
        by_account[key] = by_account.get(key, Decimal(0)) + amount
        if row.type != "TRANSFER":
            place = (row.type, row.category, row.currency)
            by_category[place] = by_category.get(place, Decimal(0)) - amount
    return by_account, by_category


def written_books() -> tuple[Books, list[Booked]]:
    """Three accounts, a split over categories whose names collide, a transfer over currencies, a pending income."""
    columns = ("name", "currency", "kind", "opening_minor_units", "opening_date", "closed")
    accounts = [
        dict(zip(columns, values, strict=True))
        for values in (
            ("Giro Konto", "EUR", "bank", 100_000, None, False),
            ("Assets:US:BofA", "USD", None, 0, None, False),
            ("card", "JPY", "card", -1_500, None, True),
        )
    ]

    def row(number: int, type_: str, units: int, account: str, currency: str, **more: Any) -> Booked:
        fields = {
            "id": f"01K9000000000000000000000{number}", "type": type_, "status": "posted", "minor_units": units,
            "currency": currency, "date": "2024-05-01", "account": account, "category": None, "group": None,
            "expires_at": None, "description": "Something", "payee": None, "notes": None, "tags": "[]",
            "created_at": "2026-11-21T00:00:00.000000Z", "version": 1,
        }  # fmt: skip
        return Booked(**{**fields, **more})

    split, transfer = "01K90000000000000000000001", "01K90000000000000000000003"
    rows = [
        row(1, "EXPENSE", -2_400, "Giro Konto", "EUR", category="Food:Eat out", group=split),
        row(2, "EXPENSE", -600, "Giro Konto", "EUR", category="Food:Eat-out!", group=split, description="Other"),
        row(3, "TRANSFER", -9_000, "Giro Konto", "EUR", group=transfer),
        row(4, "TRANSFER", 10_000, "Assets:US:BofA", "USD", group=transfer),
        row(5, "EXPENSE", -450, "Giro Konto", "EUR", tags='["a b","trip"]', notes="two\nlines"),
        row(6, "INCOME", 9_000, "Giro Konto", "EUR", category="Salary", status="pending", payee='"Boss"'),
    ]
    used = [("EXPENSE", "Food:Eat out"), ("EXPENSE", "Food:Eat-out!"), ("INCOME", "Salary")]
    return Books(LEDGER, "EUR", dt.date(2024, 1, 1), accounts, used, rows), rows


# What both share.


def test_names_are_what_they_were_declared_as() -> None:
    names_ = Names(lambda name: (MONEY, name) if name.startswith("Assets") else (UNKNOWN, name))
    names_.declare("Assets:A", {"name": "main"})
    assert names_.of("Assets:A") == (MONEY, "main")
    assert names_.of("Assets:B") == (MONEY, "Assets:B")
    assert names_.of("What") == (UNKNOWN, "What")
    assert names_.account(1, "Assets:B", None, {}) is None
    assert names_.account(1, "What", "USD", {}) is None
    opened = names_.account(1, "Assets:A", "USD", {"kind": "cash", "closed": "yes", "opening-date": "2024-01-01"})
    assert opened == Account(
        line=1, name="main", currency="USD", kind="cash", opening_date=dt.date(2024, 1, 1), closed=True
    )  # fmt: skip
    assert names_.account(2, "Assets:A", "USD", {}) is None  # it has told of itself
    with pytest.raises(BadLine):
        names_.account(3, "Assets:C", "USD", {"opening-date": "2024-02-30"})


def test_an_opening_balance_in_another_currency_than_the_account_s_is_not_its_own() -> None:
    text = (
        "2020-01-01 open Assets:A USD\n"
        '2020-01-01 * "Start"\n  Assets:A  5 EUR\n  Equity:Opening-Balances\n'
        '2020-01-02 * "x"\n  Assets:A  5 USD\n  Income:B\n'
    )
    opened, skipped, booked = items_in(beancount, text)
    assert isinstance(opened, Account)
    assert opened.opening_balance is None
    assert skipped == Skipped(3, "Only the first opening balance of Assets:A counts.")
    assert isinstance(booked, Movement)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_part_of_a_receipt_that_a_filter_leaves_is_still_of_its_group(name: str) -> None:
    group = "01K90000000000000000000001"
    row = msgspec.structs.replace(ROW, id="01K90000000000000000000002", group=group)
    columns = {"kind": None, "opening_minor_units": 0, "opening_date": None, "closed": False}
    books = Books(LEDGER, "USD", FIRST_DAY, [{**columns, "name": "main", "currency": "USD"}], [], [row])
    split = items_in(FORMATS[name], "".join(FORMATS[name].write(books)))[-1]
    assert isinstance(split, Split)
    assert (split.group, [part.id for part in split.movements]) == (group, [row.id])


@settings(derandomize=True, deadline=None, max_examples=30)
@given(books_with_rows())
def test_reading_and_writing_once_more_changes_nothing(given_books: tuple[Books, list[Booked]]) -> None:
    books, rows = given_books
    for format_ in FORMATS.values():
        first = "".join(format_.write(once_more(books, rows)))
        assert "".join(format_.write(once_more(books, rows))) == first
        assert read_again(format_, first.replace("\n", "\r\n")) == read_again(format_, first)


def once_more(books: Books, rows: list[Booked]) -> Books:
    """The books, with rows that were not gone through."""
    return Books(books.ledger, books.currency, books.first_day, books.accounts, books.categories, iter(rows))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_line_that_would_fill_the_memory_is_no_line(name: str) -> None:
    with pytest.raises(UnreadableFile, match="A line is longer than 100000 characters"):
        items_in(FORMATS[name], "; said\n" + "x" * 100_001)


def test_a_string_that_would_fill_the_memory_is_no_string() -> None:
    with pytest.raises(UnreadableFile, match="A string begins here") as caught:
        items_in(beancount, '; said\n2024-01-01 * "' + ("x" * 40_000 + "\n") * 4 + '"\n')
    assert list(caught.value.errors or ()) == [2]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_entry_of_countless_lines_is_none(name: str) -> None:
    with pytest.raises(UnreadableFile, match="At most 5000 lines in one entry") as caught:
        items_in(FORMATS[name], '2024-01-01 * "x"\n' + "  Assets:A  1 USD\n" * 5_001)
    assert list(caught.value.errors or ()) == [1]
