"""Cashman's own CSV: nothing is lost in one form, and nothing runs in a spreadsheet in the other."""

import csv as standard
import datetime as dt
import io
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cashman import formats
from cashman.errors import UnreadableFile
from cashman.formats import csv, own_csv
from cashman.formats.records import Booked, Books, Item, Movement, Options, Refused, Split, Transfer, in_units
from cashman.formats.source import Source

ID = "01KAHBJ5V00000000000000000"
GROUP = "01KAHBJ5V0000000000000000G"
HEADER = "id,type,group,status,expires_at,date,amount,currency,account,category,tags,payee,description,notes"


def booked(number: int = 1, **fields: Any) -> Booked:
    given = {
        "id": f"{ID[:-4]}{number:04d}", "type": "EXPENSE", "status": "posted", "minor_units": -350, "currency": "USD",
        "date": "2024-01-05", "account": "main", "category": None, "group": None, "expires_at": None,
        "description": "tea", "payee": None, "notes": None, "tags": "[]", "created_at": "2024-01-05T10:00:00Z",
        "version": 1,
    }  # fmt: skip
    return Booked(**(given | fields))


def books(rows: Iterable[Booked]) -> Books:
    return Books(ledger=ID, currency="USD", first_day=dt.date(2024, 1, 1), accounts=[], categories=[], rows=rows)


def lossless(*rows: Booked) -> str:
    return "".join(csv.write_lossless(books(rows)))


def safe(*rows: Booked) -> str:
    return "".join(csv.write(books(rows)))


def read(text: str) -> list[Item]:
    return list(csv.read(Source(io.BytesIO(text.encode())), Options()))


def as_read(row: Booked, line: int) -> Movement:
    """A row as it has to come back."""
    return Movement(
        line=line,
        date=dt.date.fromisoformat(row.date),
        amount=Decimal(in_units(row.minor_units, row.currency)),
        description=row.description,
        account=row.account,
        currency=row.currency,
        category=row.category,
        payee=row.payee,
        notes=row.notes,
        tags=row.tag_list(),
        id=row.id,
        status=row.status,
        expires_at=None if row.expires_at is None else dt.datetime.fromisoformat(row.expires_at),
    )


WORDS = st.text(
    alphabet=st.one_of(
        st.sampled_from("'\"=+-@,;|\t\r\n #[]éß€🍕\u2028\x1c\ufeff"),
        st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"),
    ),
    min_size=1,
    max_size=30,
).filter(str.strip)
ROWS = st.lists(
    st.builds(
        booked,
        number=st.just(0),
        status=st.sampled_from(["posted", "pending"]),
        minor_units=st.integers(-(10**15) + 1, -1),
        currency=st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
        date=st.dates(dt.date(1900, 1, 1)).map(dt.date.isoformat),
        account=WORDS,
        category=st.none() | WORDS,
        payee=st.none() | WORDS,
        description=WORDS,
        notes=st.none() | WORDS,
        tags=st.lists(WORDS, max_size=3, unique=True).map(lambda tags: msgspec.json.encode(tags).decode()),
        expires_at=st.none() | st.just("2031-01-05T10:00:00.000001Z"),
    ),
    max_size=6,
)


@given(ROWS)
def test_random_rows_come_back_as_they_were(rows: list[Booked]) -> None:
    rows = [msgspec.structs.replace(row, id=f"{ID[:-4]}{place:04d}") for place, row in enumerate(rows)]
    text = lossless(*rows)
    found = read(text)
    assert found == [as_read(row, item.line) for row, item in zip(rows, found, strict=True)]
    assert [*map(len, standard.reader(io.StringIO(text, newline=""), strict=True))] == [14] * (len(rows) + 1)


@given(ROWS)
def test_the_safe_form_comes_back_but_for_commas_in_tags(rows: list[Booked]) -> None:
    rows = [
        msgspec.structs.replace(row, id=f"{ID[:-4]}{place:04d}", tags='["a","b c"]') for place, row in enumerate(rows)
    ]
    found = read(safe(*rows))
    assert found == [as_read(row, item.line) for row, item in zip(rows, found, strict=True)]


@given(ROWS)
def test_no_cell_of_the_safe_form_is_a_formula(rows: list[Booked]) -> None:
    table = [*standard.reader(io.StringIO(safe(*rows), newline=""), strict=True)]
    for cells in table[1:]:
        named = dict(zip(table[0], cells, strict=True))
        assert Decimal(named.pop("amount")) < 0
        assert [cell for cell in named.values() if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []


def test_the_lossless_form_is_this() -> None:
    row = booked(
        group=None, category="Food:Tea", tags='["a","b"]', payee='The "Shop"', notes="two\nlines", currency="JPY",
        status="pending", expires_at="2031-01-05T10:00:00Z",
    )  # fmt: skip
    assert lossless(row) == (
        f"{HEADER}\r\n"
        f"{ID[:-4]}0001,EXPENSE,,pending,2031-01-05T10:00:00Z,2024-01-05,-350,JPY,main,Food:Tea,"
        '"[""a"",""b""]","The ""Shop""",tea,"two\nlines"\r\n'
    )
    assert HEADER.split(",") == [*own_csv.COLUMNS]


def test_the_safe_form_is_this() -> None:
    row = booked(description="=1+1", payee="@SUM(A1)", notes="-5", tags='["+a","b"]', category="\tx", account="main")
    assert safe(row) == (
        "date,id,type,group,status,expires_at,amount,currency,account,category,payee,description,notes,tags\r\n"
        f"2024-01-05,{ID[:-4]}0001,EXPENSE,,posted,,-3.50,USD,main,'\tx,'@SUM(A1),'=1+1,'-5,\"'+a, b\"\r\n"
    )


@pytest.mark.parametrize(
    ("word", "cell"),
    [
        ("=1", "'=1"), (" =1", "' =1"), ("'=1", "''=1"), ("''=1", "'''=1"), ("\n=1", "'\n=1"), ("＝1", "'＝1"),
        ("'t Huis", "'t Huis"), ("1=1", "1=1"), ("tea", "tea"), ("'", "'"), (" ", " "),
    ],
)  # fmt: skip
def test_a_formula_is_neutralized_and_read_back(word: str, cell: str) -> None:
    text = safe(booked(description=word))
    rows = [*standard.DictReader(io.StringIO(text, newline=""))]
    assert rows[0]["description"] == cell
    [found] = read(text)
    assert isinstance(found, Movement)
    assert found.description == word


@pytest.mark.parametrize(
    ("minor_units", "currency", "amount"),
    [
        (-1, "USD", "-0.01"), (-10, "USD", "-0.10"), (-100, "USD", "-1.00"), (-123456, "USD", "-1234.56"),
        (-5, "JPY", "-5"), (-1, "KWD", "-0.001"), (-12345, "CLF", "-1.2345"),
        (-999_999_999_999_999, "USD", "-9999999999999.99"),
    ],
)  # fmt: skip
def test_amounts_have_the_decimals_of_their_currency(minor_units: int, currency: str, amount: str) -> None:
    row = booked(minor_units=minor_units, currency=currency)
    for text in (lossless(row), safe(row)):
        assert next(standard.DictReader(io.StringIO(text)))["amount"] == amount
    income = booked(minor_units=-minor_units, currency=currency, type="INCOME")
    assert next(standard.DictReader(io.StringIO(lossless(income))))["amount"] == amount[1:]


def test_transfers_and_receipts_come_back_together_although_others_stand_between() -> None:
    other = GROUP[:-1] + "H"
    rows = [
        booked(1, type="TRANSFER", group=GROUP, account="A", minor_units=-500),
        booked(2, group=other, category="Food"),
        booked(3),
        booked(4, type="TRANSFER", group=GROUP, account="B", minor_units=500),
        booked(5, group=other, category="Home"),
        booked(6, date="2024-01-06"),
    ]
    for text in (lossless(*rows), safe(*rows)):
        assert sorted(read(text), key=lambda item: item.line) == [
            Transfer(line=2, out=as_read(rows[0], 2), into=as_read(rows[3], 5), group=GROUP),
            Split(line=3, movements=[as_read(rows[1], 3), as_read(rows[4], 6)], group=other),
            as_read(rows[2], 4),
            as_read(rows[5], 7),
        ]


def test_a_leg_without_the_other_is_refused() -> None:
    rule = {"line": ["The other leg of this transfer is not in the file."]}
    leg = booked(1, type="TRANSFER", group=GROUP, account="A")
    assert read(lossless(leg)) == [Refused(2, rule)]
    two = (leg, booked(2, type="TRANSFER", group=GROUP, account="B"))
    assert read(lossless(*two)) == [Refused(2, rule)]
    mixed = (leg, booked(2, group=GROUP))
    assert read(lossless(*mixed)) == [Refused(2, rule)]
    apart = (leg, booked(2, date="2024-01-06"), booked(3, type="TRANSFER", group=GROUP, minor_units=350))
    assert [item for item in read(lossless(*apart)) if isinstance(item, Refused)] == [
        Refused(2, rule),
        Refused(4, rule),
    ]


@pytest.mark.parametrize(
    ("column", "cell", "field"),
    [
        ("id", "", "id"), ("id", "x", "id"), ("id", ID.lower(), "id"), ("group", "x", "id"),
        ("type", "expense", "type"),
        ("type", "INCOME", "type"), ("status", "void", "status"), ("expires_at", "soon", "expires_at"),
        ("expires_at", "2024-01-05T10:00:00", "expires_at"), ("date", "2024-02-30", "date"),
        ("date", "5.1.2024", "date"),
        ("date", "", "date"), ("amount", "0.00", "amount"), ("amount", "-3,50", "amount"), ("amount", "1e5", "amount"),
        ("amount", "", "amount"), ("currency", "XXY", "currency"), ("currency", "", "currency"),
        ("account", "", "account"),
        ("tags", "a", "tags"), ("tags", "[1]", "tags"), ("tags", "{}", "tags"),
    ],
)  # fmt: skip
def test_a_cell_that_was_spoilt_is_refused_by_its_field(column: str, cell: str, field: str) -> None:
    rows = [*standard.DictReader(io.StringIO(lossless(booked(1), booked(2))))]
    rows[0][column] = cell
    part = io.StringIO()
    writer = standard.DictWriter(part, own_csv.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    first, second = read(part.getvalue())
    assert isinstance(first, Refused)
    assert (first.line, [*first.errors]) == (2, [field])
    assert second == as_read(booked(2), 3)


def test_broken_rows_are_refused_and_blank_ones_passed_over() -> None:
    text = lossless(booked(1)) + '\r\na,b\r\n"x"y\r\n' + lossless(booked(2)).partition("\r\n")[2]
    assert read(text) == [
        as_read(booked(1), 2),
        Refused(4, {"line": ["It has 2 columns instead of 14."]}),
        Refused(5, {"line": ["There is something behind a closing quote."]}),
        as_read(booked(2), 6),
    ]
    with pytest.raises(UnreadableFile, match="ends within quotes"):
        read(lossless(booked(1, notes="a\nb"))[:-4])


def test_only_a_header_is_an_empty_ledger_in_both_forms() -> None:
    assert lossless() == f"{HEADER}\r\n"
    assert read(lossless()) == read(safe()) == []
    for text in (lossless(), safe()):
        assert formats.recognize(Source(io.BytesIO(text.encode()))).name == "csv"


def test_another_separator_does_not_hide_whose_it_is() -> None:
    text = lossless(booked(1)).replace(",", ";")
    assert read(text) == [as_read(booked(1), 2)]


def test_many_rows_are_written_in_parts_and_read_as_they_come() -> None:
    rows = [booked(number) for number in range(1_234)]
    parts = [*csv.write_lossless(books(iter(rows)))]
    assert len(parts) == 4
    assert len(read("".join(parts))) == 1_234
