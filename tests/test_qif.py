"""QIF, in and out."""

import datetime as dt
import io
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cashman import formats
from cashman.errors import UnreadableFile
from cashman.formats import qif
from cashman.formats.mapping import MappingSchema
from cashman.formats.records import Account, Booked, Books, Item, Movement, Options, Refused, Skipped, Split, Transfer
from cashman.formats.source import Source

SAMPLES = Path(__file__).parent / "data" / "import"
ZERO = "Zero is not a movement of money."


def read(data: str | bytes, account: str | None = None, mapping: dict[str, Any] | None = None) -> list[Item]:
    data = data.encode() if isinstance(data, str) else data
    loaded = None if mapping is None else MappingSchema().load(mapping)
    return list(qif.read(Source(io.BytesIO(data)), Options(account=account, mapping=loaded)))


def only(*records: str, **options: Any) -> list[Item]:
    """What the records of one bank account come to; the first begins in line 2."""
    return read("!Type:Bank\n" + "".join(f"{record}\n^\n" for record in records), **options)


def fault(data: str, **options: Any) -> tuple[str, int | None]:
    """What is told of a file that cannot be read, and of which line."""
    with pytest.raises(UnreadableFile) as raised:
        read(data, **options)
    return str(raised.value.detail), next(iter(raised.value.errors or [None]))


# In.


def test_a_file_of_two_accounts_is_read_with_its_transfer_once() -> None:
    items = read((SAMPLES / "household.qif").read_bytes())
    out = Movement(
        line=28, date=dt.date(2024, 1, 16), amount=Decimal("-100.00"), account="Checking", description="Put by"
    )
    into = Movement(
        line=28, date=dt.date(2024, 1, 16), amount=Decimal("100.00"), account="Savings", description="Put by"
    )
    shop = {"line": 34, "date": dt.date(2024, 1, 17), "account": "Checking", "payee": "Shop"}
    assert items == [
        Account(
            line=3, name="Checking", kind="bank", opening_balance=Decimal("1000.00"), opening_date=dt.date(2024, 1, 1)
        ),
        Account(line=6, name="Savings", kind="bank"),
        Skipped(15, "It is the opening balance of the account."),
        Movement(
            line=21, date=dt.date(2024, 1, 15), amount=Decimal("-12.50"), account="Checking", payee="Café",
            description="Two coffees", category="Food:Coffee", tags=["Holiday"], notes="1001",
        ),
        Transfer(line=28, out=out, into=into),
        Split(
            line=34,
            movements=[
                Movement(**shop, amount=Decimal("-10.00"), category="Food", description="Bread"),
                Movement(**shop, amount=Decimal("-20.00"), category="Home"),
            ],
        ),
        Skipped(43, 'What is of type "cat" is not imported.'),
        Skipped(51, "It is the other side of a transfer that stands above."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dates", "days"),
    [
        (["1/15'24", "1/ 5' 4"], ["2024-01-15", "2004-01-05"]),
        (["15.1.2024", "5.1.2024"], ["2024-01-15", "2024-01-05"]),
        (["15/01/24", "05/01/24"], ["2024-01-15", "2024-01-05"]),
        (["01/15/2024", "01/05/2024"], ["2024-01-15", "2024-01-05"]),
        (["2024-01-15", "2024-1-5"], ["2024-01-15", "2024-01-05"]),
    ],
)
def test_the_order_of_dates_is_told_by_the_whole_file(dates: list[str], days: list[str]) -> None:
    found = [item for item in only(*(f"D{date}\nT1.00" for date in reversed(dates))) if isinstance(item, Movement)]
    assert [item.date.isoformat() for item in found] == days[::-1]


def test_dates_that_stay_open_are_refused_and_an_option_or_a_mapping_tells() -> None:
    data = "!Type:Bank\nD1/5/24\nT1.00\n^\n"
    assert "`date_order`" in fault(data)[0]
    for order, month in (("MDY", 1), ("DMY", 5)):
        [told] = read(data, mapping={"date_order": order})
        [said] = read(f"!Option:{order}\n{data}")
        assert isinstance(told, Movement)
        assert isinstance(said, Movement)
        assert told.date == said.date
        assert told.date.month == month


def test_amounts_are_grouped_as_the_whole_file_says() -> None:
    found = only("D2024-01-05\nT-1,280.8", "D2024-01-05\nT4,884", "D2024-01-05\nU5")
    assert [str(item.amount) for item in found if isinstance(item, Movement)] == ["-1280.8", "4884", "5"]
    [first, _] = only("D2024-01-05\nT-1.280,80", "D2024-01-05\nT1,00")
    assert isinstance(first, Movement)
    assert str(first.amount) == "-1280.80"


def test_a_bad_record_is_refused_by_its_first_line_and_the_rest_is_read() -> None:
    items = read(
        "!Type:Bank\n"
        "D2024-02-30\nT1.00\n^\n"
        "Dsoon\nTmuch\n^\n"
        "Pnothing\n^\n"
        "\n^\n"
        "D2024-01-05\nT1,2,3\n^\n"
        "D2024-01-05\nT0.00\nP**VOID**\n^\n"
        "D2024-01-05\nT-5.00\nSFood\n$-4.00\nSHome\n$-2.00\n^\n"
        "D2024-01-05\nT-5.00\nSFood\n$four\n^\n"
        "D2024-01-05\nT-5.00\nL[Self]\n"
        "!Type:Cash\n"
        "D2024-01-06\nT6.00\n^\n"
    )
    assert {item.line: item.errors for item in items if isinstance(item, Refused)} == {
        2: {"date": ["There is no such day."]},
        5: {"date": ["Not a date."], "amount": ["Not an amount."]},
        8: {"date": ["There is no date."], "amount": ["There is no amount."]},
        12: {"amount": ["Not an amount."]},
        19: {"amount": ["The parts do not come to the amount of the whole."]},
        26: {"amount": ["Not an amount."]},
        31: {"line": ["The record does not end with ^."]},
    }
    assert [item for item in items if isinstance(item, Skipped)] == [Skipped(15, ZERO)]
    assert [item.line for item in items if isinstance(item, Movement)] == [35]


def test_parts_of_several_signs_are_movements_of_their_own_and_a_transfer_among_them_is_one() -> None:
    items = only(
        "D2024-01-05\nT850.00\nPJob\nSSalary\n$1,000.00\nSTax\n$-100.00\nS[Savings]\n$-50.00\nSNothing\n$0.00",
        account="Checking",
    )
    assert [(type(item).__name__, item.line) for item in items] == [("Transfer", 2), ("Movement", 2), ("Movement", 2)]
    transfer, salary, tax = items
    assert isinstance(transfer, Transfer)
    assert (transfer.out.amount, transfer.into.account, transfer.into.amount) == (-50, "Savings", 50)
    assert isinstance(salary, Movement)
    assert isinstance(tax, Movement)
    assert [(item.category, item.amount, item.payee) for item in (salary, tax)] == [
        ("Salary", 1000, "Job"),
        ("Tax", -100, "Job"),
    ]


def test_two_equal_transfers_in_both_sections_are_two() -> None:
    record = "D2024-01-05\nT{}\nL[{}]\n^\n"
    a, b = "!Account\nNA\n^\n!Type:Bank\n", "!Account\nNB\n^\n!Type:Bank\n"
    out, into = record.format("-5.00", "B"), record.format("5.00", "A")
    for text in (a + out + out + b + into + into, b + into + into + a + out + out):
        transfers = [item for item in read(text) if isinstance(item, Transfer)]
        assert [(one.out.account, one.into.account) for one in transfers] == [("A", "B")] * 2
    assert sum(isinstance(item, Transfer) for item in read(a + out + b + into + into)) == 2
    assert sum(isinstance(item, Transfer) for item in read(a + out + out)) == 2


def test_an_opening_balance_opens_the_account_that_it_names() -> None:
    data = "!Type:CCard\nD2024-01-05\nT-70.00\nPOpening Balance\nL[Card]\n^\nD2024-01-06\nT-1.00\n^\n"
    account, opening, movement = read(data)
    assert account == Account(line=2, name="Card", opening_balance=Decimal("-70.00"), opening_date=dt.date(2024, 1, 5))
    assert isinstance(opening, Skipped)
    assert isinstance(movement, Movement)
    assert movement.account == "Card"
    assert {getattr(item, "name", None) or getattr(item, "account", "X") for item in read(data, account="X")} == {"X"}


def test_a_second_opening_balance_is_refused() -> None:
    opening = "D2024-01-05\nT5.00\nPOpening Balance\nL[A]\n^\n"
    items = read("!Account\nNA\nDEUR\nTCCard\n^\n!Type:CCard\n" + opening + opening)
    assert [type(item) for item in items] == [Account, Skipped, Refused]
    assert items[0] == Account(
        line=2, name="A", kind="card", currency="EUR", opening_balance=Decimal("5.00"), opening_date=dt.date(2024, 1, 5)
    )


def test_what_is_no_money_is_skipped_block_by_block() -> None:
    items = read(
        "!Type:Invst\nD1\nNBuy\n^\n!Type:Class\nNx\n^\n!Type:Memorized\nKD\n^\n!Type:Oth L\nD2024-01-05\nT1.00\n^\n"
    )
    assert [(type(item), item.line) for item in items] == [(Skipped, 1), (Skipped, 5), (Skipped, 8), (Movement, 12)]


@pytest.mark.parametrize("text", ["hello\n", "D1/1/24\nT5\n^\n", "!type\n", "date,amount\n", "!Accountant"[:5]])
def test_what_is_no_qif_is_unreadable_and_not_recognized(text: str) -> None:
    assert fault(text) == ("It does not begin with a header of QIF, such as !Type:Bank.", None)
    assert not qif.recognizes(text)


def test_a_file_that_breaks_off_is_unreadable_at_its_last_record() -> None:
    whole = "!Type:Bank\nD2024-01-05\nT-1200.00\n^\nD2024-01-06\nT-12"
    assert fault(whole) == ("The file ends within the record that begins here.", 5)
    assert fault("!Type:Bank\nD" + "x" * 1_100_000)[1] == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_and_line_end_is_read(encoding: str, end: str) -> None:
    data = end.join(["!type:bank ", "D2024-01-05", "T-5.00", "PCafé", "^", ""]).encode(encoding)
    source = Source(io.BytesIO(data))
    assert formats.recognize(source).name == "qif"
    [found] = read(data)
    assert isinstance(found, Movement)
    assert (found.payee, found.line) == ("Café", 2)


@given(st.text(alphabet=st.sampled_from("!TypeBank:AcountDNLSE$^\n[]/0123456789.,'-% "), max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        items = read(f"!Type:Bank\n{text}")
    except UnreadableFile:
        return
    assert all(item.line >= 1 for item in items)


# Out.

ACCOUNTS = [
    {"name": name, "kind": kind, "currency": currency, "opening_minor_units": opening, "opening_date": date}
    for name, kind, currency, opening, date in (
        ("Cash", "cash", "USD", 0, None), ("Bank [1]", "bank", "USD", 100_050, dt.date(2023, 12, 31)),
        ("Card", "card", "USD", -5_000, None), ("Yen", None, "JPY", 0, None),
    )
]  # fmt: skip


def booked(number: int = 1, **fields: Any) -> Booked:
    given = {
        "id": f"01KAHBJ5V0000000000000{number:04d}", "type": "EXPENSE", "status": "posted", "minor_units": -350,
        "currency": "USD", "date": "2024-01-05", "account": "Cash", "category": None, "group": None, "expires_at": None,
        "description": "tea", "payee": None, "notes": None, "tags": "[]", "created_at": "", "version": 1,
    }  # fmt: skip
    return Booked(**(given | fields))


def written(rows: Iterable[Booked], accounts: Any = ACCOUNTS) -> str:
    return "".join(
        qif.write(
            Books(ledger="", currency="USD", first_day=dt.date(2024, 1, 1), accounts=accounts, categories=[], rows=rows)
        )
    )


def test_a_file_that_is_written_is_this() -> None:
    rows = [
        booked(1, payee="Shop", category="Food/Drink:Tea", description="two\nlines"),
        booked(2, type="TRANSFER", group="g", minor_units=-500),
        booked(3, type="TRANSFER", group="g", minor_units=500, account="Bank [1]"),
        booked(4, group="h", category="Food", status="pending"),
        booked(5, group="h", category="Home", minor_units=-50),
        booked(6, account="Yen", currency="JPY", type="INCOME", minor_units=5),
    ]
    assert written(rows) == (
        "!Option:MDY\n"
        "!Account\nNBank (1)\nTBank\nDUSD\n^\n!Type:Bank\n"
        "D12/31/2023\nT1000.50\nC*\nPOpening Balance\nL[Bank (1)]\n^\n"
        "!Account\nNCard\nTCCard\nDUSD\n^\n!Type:CCard\n"
        "D01/01/2024\nT-50.00\nC*\nPOpening Balance\nL[Card]\n^\n"
        "!Account\nNCash\nTCash\nDUSD\n^\n!Type:Cash\n"
        "D01/05/2024\nT-3.50\nC*\nPShop\nMtwo lines\nLFood-Drink:Tea\n^\n"
        "D01/05/2024\nT-5.00\nC*\nMtea\nL[Bank (1)]\n^\n"
        "D01/05/2024\nT-4.00\nMtea\nSFood\nEtea\n$-3.50\nSHome\nEtea\n$-0.50\n^\n"
        "!Account\nNYen\nTOth A\nDJPY\n^\n!Type:Oth A\n"
        "D01/05/2024\nT5\nC*\nMtea\n^\n"
    )


def test_nothing_is_written_of_an_empty_ledger_but_that_it_is_one() -> None:
    assert written([], []) == "!Option:MDY\n"
    assert read(written([], [])) == []


def test_what_is_written_is_read_back() -> None:
    rows = [
        booked(1, payee="Shop", category="Food:Tea"),
        booked(2, type="TRANSFER", group="g", minor_units=-500),
        booked(3, type="TRANSFER", group="g", minor_units=500, account="Card"),
        booked(4, group="h", category="Food"),
        booked(5, group="h", category="Home", minor_units=-50),
    ]
    items = [item for item in read(written(rows)) if not isinstance(item, Skipped)]
    assert items == [
        Account(
            line=3, name="Bank (1)", currency="USD", kind="bank", opening_balance=Decimal("1000.50"),
            opening_date=dt.date(2023, 12, 31),
        ),
        Account(
            line=15, name="Card", currency="USD", kind="card", opening_balance=Decimal("-50.00"),
            opening_date=dt.date(2024, 1, 1),
        ),
        Account(line=27, name="Cash", currency="USD", kind="cash"),
        Movement(
            line=32, date=dt.date(2024, 1, 5), amount=Decimal("-3.50"), account="Cash", description="tea", payee="Shop",
            category="Food:Tea",
        ),
        Transfer(
            line=39,
            out=Movement(
                line=39, date=dt.date(2024, 1, 5), amount=Decimal("-5.00"), account="Cash", description="tea"
            ),
            into=Movement(line=39, date=dt.date(2024, 1, 5), amount=Decimal("5.00"), account="Card", description="tea"),
        ),
        Split(
            line=45,
            movements=[
                Movement(
                    line=45, date=dt.date(2024, 1, 5), amount=Decimal(amount), account="Cash", description="tea",
                    category=category,
                )
                for category, amount in (("Food", "-3.50"), ("Home", "-0.50"))
            ],
        ),
    ]  # fmt: skip


WORDS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=20).filter(
    lambda text: text.split() != []
)


@given(
    st.lists(
        st.tuples(
            st.dates(dt.date(1970, 1, 1), dt.date(2069, 1, 1)), st.integers(-(10**12), 10**12).filter(bool),
            st.sampled_from(["Cash", "Card", "Bank [1]"]), WORDS, WORDS,
        )
    )
)  # fmt: skip
def test_random_movements_come_back_with_their_day_account_and_amount(rows: list[Any]) -> None:
    made = [
        booked(n, date=date.isoformat(), minor_units=units, account=account, description=description, payee=payee)
        for n, (date, units, account, description, payee) in enumerate(sorted(rows, key=lambda row: row[0]))
    ]
    found = Counter(
        (item.date, item.amount, item.account, item.description, item.payee)
        for item in read(written(made))
        if isinstance(item, Movement)
    )
    assert found == Counter(
        (
            date, Decimal(units).scaleb(-2), account.replace("[", "(").replace("]", ")"), " ".join(description.split()),
            " ".join(payee.split()),
        )
        for date, units, account, description, payee in rows
    )  # fmt: skip


def test_of_many_rows_so_many_at_a_time_are_sorted_by_account() -> None:
    rows = [booked(n, account=("Cash", "Card")[n % 2], minor_units=-n, date="2024-01-05") for n in range(1, 6_000)]
    rows += [booked(n, account="Cash", minor_units=-n, date=f"2024-02-{n:02d}") for n in range(1, 29)]
    text = written(rows)
    assert text.count("!Account\n") == 5  # Bank; Card and Cash; and both again
    found = [item.amount for item in read(text) if isinstance(item, Movement)]
    assert sum(found) == Decimal(sum(row.minor_units for row in rows)).scaleb(-2)
    assert len(found) == len(rows)


def test_a_record_of_countless_lines_is_none() -> None:
    with pytest.raises(UnreadableFile, match="At most 5000 lines in one entry"):
        list(qif.read(Source(io.BytesIO(b"!Type:Bank\n" + b"Mx\n" * 5_001)), Options()))
