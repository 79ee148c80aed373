"""CSV of banks, apps and spreadsheets: told by its header or its cells, and read line by line."""

import datetime as dt
import io
import json
import os
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import missing
from hypothesis import given
from hypothesis import strategies as st

from cashman import formats
from cashman.errors import UnreadableFile
from cashman.formats import csv
from cashman.formats.mapping import MappingSchema
from cashman.formats.records import Item, Movement, Options, Refused, Skipped, Transfer
from cashman.formats.source import Source

SAMPLES = Path(__file__).parent / "data" / "import"
SHARED = Path(os.environ.get("CASHMAN_TEST_SHARED", Path(__file__).parents[2] / "shared")) / "data"


def read(data: str | bytes, mapping: dict[str, Any] | None = None) -> list[Item]:
    data = data.encode() if isinstance(data, str) else data
    loaded = None if mapping is None else MappingSchema().load(mapping)
    return list(csv.read(Source(io.BytesIO(data)), Options(mapping=loaded)))


def movements(data: str | bytes, mapping: dict[str, Any] | None = None) -> list[Movement]:
    items = read(data, mapping)
    assert [item for item in items if not isinstance(item, Movement)] == []
    return [item for item in items if isinstance(item, Movement)]


def figures(data: str | bytes, mapping: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    return [(movement.date.isoformat(), str(movement.amount)) for movement in movements(data, mapping)]


def refused(data: str | bytes, mapping: dict[str, Any] | None = None) -> dict[int, dict[str, list[str]]]:
    return {item.line: item.errors for item in read(data, mapping) if isinstance(item, Refused)}


def skipped(data: str | bytes) -> dict[int, str]:
    return {item.line: item.reason for item in read(data) if isinstance(item, Skipped)}


def fault(data: str | bytes, mapping: dict[str, Any] | None = None) -> tuple[str, int | None]:
    """What is told of a file that cannot be read, and of which line."""
    with pytest.raises(UnreadableFile) as raised:
        read(data, mapping)
    return str(raised.value.detail), next(iter(raised.value.errors or [None]))


def shared(name: str) -> bytes:
    if not (SHARED / name).exists():
        missing("the real input, whose folder CASHMAN_TEST_SHARED names,")
    return (SHARED / name).read_bytes()


# Real files.


def test_a_households_rows_come_to_what_somebody_else_has_worked_out() -> None:
    found = movements(shared("household.csv"))
    totals = json.loads(shared("household-totals.json"))
    by_type, by_category, by_month = Counter[str](), Counter[str](), Counter[str]()  # type: Any, Any, Any
    for movement in found:
        by_type["EXPENSE" if movement.amount < 0 else "INCOME"] += movement.amount
        by_category[movement.category] += movement.amount
        by_month[f"{movement.date:%Y-%m}"] += movement.amount
    assert len(found) == totals["rows"] == 843
    assert {kind: str(total) for kind, total in by_type.items()} == totals["by_type"]
    assert {category: str(total) for category, total in by_category.items()} == totals["by_category"]
    assert {month: str(total) for month, total in by_month.items()} == totals["by_month"]
    assert {movement.account for movement in found} >= {"Assets:US:BofA:Checking", "Liabilities:US:Chase:Slate"}
    assert found[7].description == "Eating out"
    assert found[1].payee is None


def test_a_phone_apps_rows_are_six_movements_and_one_transfer() -> None:
    items = read(shared("app-monefy.csv"))
    assert [(item.line, type(item).__name__) for item in items] == [
        (2, "Movement"), (3, "Movement"), (4, "Movement"), (5, "Movement"), (6, "Movement"), (7, "Movement"),
        (8, "Transfer"),
    ]  # fmt: skip
    found = [item for item in items if isinstance(item, Movement)]
    assert [str(movement.amount) for movement in found] == ["-55", "-25", "1280.8", "-180", "4884", "-12"]
    assert {movement.currency for movement in found} == {"USD"}
    transfer = items[-1]
    assert isinstance(transfer, Transfer)
    assert (transfer.out.account, transfer.out.amount) == ("Cash", -200)
    assert (transfer.into.account, transfer.into.amount) == ("Payment card", 200)
    assert {transfer.out.category, transfer.into.category} == {None}
    # Its dates leave open which of their numbers is the day; that program always writes the day first.
    assert {item.date for item in found} == {transfer.out.date} == {dt.date(2021, 12, 6)}


def test_a_spanish_banks_rows_are_two_movements() -> None:
    assert [
        (item.account, item.currency, item.date, str(item.amount), item.description, item.reference)
        for item in movements(shared("bank-csb43.csv"))
    ] == [
        ("1234567890", "EUR", dt.date(2019, 11, 2), "1500.00", "MY_INCOME_LINE", None),
        ("1234567890", "EUR", dt.date(2019, 11, 10), "-500.00", "MY_EXPENSE_LINE", None),
    ]


def test_every_real_file_is_recognized_by_its_content() -> None:
    for name in ("household.csv", "app-monefy.csv", "bank-csb43.csv"):
        assert formats.recognize(Source(io.BytesIO(shared(name)))).name == "csv"


def test_a_german_statement_is_read_with_its_preamble_its_faults_and_its_total() -> None:
    items = read((SAMPLES / "bank_de.csv").read_bytes())
    assert [(item.line, type(item).__name__) for item in items] == [
        (1, "Skipped"), (2, "Skipped"), (5, "Movement"), (6, "Movement"), (8, "Movement"), (9, "Refused"),
        (10, "Refused"), (11, "Skipped"), (12, "Skipped"),
    ]  # fmt: skip
    found = [item for item in items if isinstance(item, Movement)]
    assert [(str(item.date), str(item.amount), item.currency) for item in found] == [
        ("2024-01-31", "-1280.80", "EUR"), ("2024-02-05", "2950.00", "EUR"), ("2024-02-06", "-4.20", "EUR"),
    ]  # fmt: skip
    assert [item.description for item in found] == ["Miete Februar", "Lohn Januar", 'Brot; "dunkel"']
    assert found[0].payee == "Hausverwaltung Süd"
    assert [item.errors for item in items if isinstance(item, Refused)] == [
        {"date": ["There is no such day."]},
        {"amount": ["Not an amount."]},
    ]


# Transfers.


def test_halves_of_a_transfer_find_each_other_on_one_day_and_else_stay_what_they_are() -> None:
    items = read((SAMPLES / "two_accounts.csv").read_bytes())
    assert [(item.line, type(item).__name__) for item in items] == [
        (2, "Movement"), (3, "Transfer"), (6, "Movement"), (4, "Movement"),
    ]  # fmt: skip
    transfer, unmatched = items[1], items[3]
    assert isinstance(transfer, Transfer)
    assert transfer.into.line == 5
    assert isinstance(unmatched, Movement)
    assert (unmatched.category, unmatched.amount) == ("From 'Cash'", 200)


@pytest.mark.parametrize(
    "second",
    [
        "2024-01-05,B,199,From 'A'", "2024-01-05,B,200,From 'C'", "2024-01-05,C,200,From 'A'",
        "2024-01-05,B,-200,From 'A'", "2024-01-05,B,200,To 'A'", "2024-01-05,A,-200,To 'B'", "2024-01-05,,200,From 'A'",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_no_other_half(second: str) -> None:
    items = read(f"date,account,amount,description\n2024-01-05,A,-200,To 'B'\n{second}\n")
    assert [type(item) for item in items] == [Movement, Movement]


def test_of_two_equal_transfers_each_half_is_taken_once() -> None:
    out, into = "2024-01-05,A,-5,To 'B'\n", "2024-01-05,B,5,From 'A'\n"
    items = read("date,account,amount,description\n" + into + out + out + into + out)
    assert [(item.line, type(item).__name__) for item in items] == [
        (2, "Transfer"), (4, "Transfer"), (6, "Movement"),
    ]  # fmt: skip
    first = items[0]
    assert isinstance(first, Transfer)
    assert (first.out.account, first.out.description, first.into.line) == ("A", "To 'B'", 2)


def test_halves_that_wait_for_ever_do_not_fill_the_memory() -> None:
    rows = "".join(f"2024-01-05,A,-{1 + n}.50,To 'B'\n" for n in range(10_050))
    items = read(f"date,account,amount,description\n{rows}2024-01-06,A,-1.50,x\n")
    assert [item.line for item in items][:50] == [*range(2, 52)]
    assert sorted(item.line for item in items) == [*range(2, 10_053)]


def test_a_column_of_other_accounts_makes_transfers() -> None:
    items = read(
        "date,amount,account,to account\n2024-01-05,5,A,B\n2024-01-06,-6,A,\n2024-01-07,-7,A,A\n2024-01-08,-8,,B\n"
    )
    assert [type(item) for item in items] == [Transfer, Movement, Refused, Transfer]
    first = items[0]
    assert isinstance(first, Transfer)
    assert (first.out.account, first.out.amount, first.into.account, first.into.amount) == ("A", -5, "B", 5)


# Dates, amounts and signs of the whole file.


def test_the_order_of_dates_is_told_by_a_later_line() -> None:
    rows = "".join("06/12/2021,1.50\n" for _ in range(20))
    assert figures(f"date,amount\n{rows}13/12/2021,1.50\n")[0] == ("2021-12-06", "1.50")
    assert figures(f"date,amount\n{rows}12/13/2021,1.50\n")[0] == ("2021-06-12", "1.50")


def test_it_is_told_even_by_the_last_of_many_lines() -> None:
    rows = "".join("06/12/2021,1.5\n" for _ in range(12_000))
    assert figures(f"date,amount\n{rows}12/13/2021,1.5\n")[0] == ("2021-06-12", "1.5")


def test_dates_that_stay_open_are_refused_and_a_mapping_tells() -> None:
    data = "date,amount\n06/12/2021,5\n"
    assert "`date_order`" in fault(data)[0]
    assert figures(data, {"date_order": "DMY"}) == [("2021-12-06", "5")]
    assert figures(data, {"date_order": "MDY"}) == [("2021-06-12", "5")]


def test_amounts_are_told_by_the_whole_file() -> None:
    assert figures('date,amount\n2024-01-05,"4,884"\n2024-01-06,"1,280.8"\n') == [
        ("2024-01-05", "4884"),
        ("2024-01-06", "1280.8"),
    ]
    assert figures("date;amount\n2024-01-05;4,884\n2024-01-06;1.280,8\n") == [
        ("2024-01-05", "4.884"),
        ("2024-01-06", "1280.8"),
    ]


def test_amounts_that_stay_open_are_refused_unless_the_currency_or_a_mapping_tells() -> None:
    assert "`decimal`" in fault("date;amount\n2024-01-05;4.884\n")[0]
    assert figures("date;amount\n2024-01-05;4.884\n", {"decimal": "."}) == [("2024-01-05", "4.884")]
    assert figures("date;amount\n2024-01-05;4.884\n", {"decimal": ","}) == [("2024-01-05", "4884")]
    assert figures("date;amount;currency\n2024-01-05;4.884;EUR\n") == [("2024-01-05", "4884")]
    assert figures("date;amount (EUR)\n2024-01-05;4.884\n") == [("2024-01-05", "4884")]
    assert "`decimal`" in fault("date;amount;currency\n2024-01-05;4.884;KWD\n")[0]


def test_an_amount_with_two_commas_is_refused() -> None:
    data = 'date,amount\n2024-01-05,"1,2,3"\n2024-01-06,"1,234,567.00"\n2024-01-07,"1,23,45"\n'
    assert refused(data) == {2: {"amount": ["Not an amount."]}, 4: {"amount": ["Not an amount."]}}


def test_two_columns_make_one_amount_whatever_the_sign_of_the_debits() -> None:
    plain = "date,debit,credit\n2024-01-05,50.00,\n2024-01-06,,10.00\n2024-01-07,0.00,3.00\n2024-01-08,4.00,0.00\n"
    below = plain.replace("50.00", "-50.00").replace("4.00", "-4.00")
    assert figures(plain) == figures(below) == [*zip(dates(4), ["-50.00", "10.00", "3.00", "-4.00"], strict=True)]


def dates(count: int) -> Iterator[str]:
    return (f"2024-01-{day:02d}" for day in range(5, 5 + count))


def test_two_columns_that_contradict_each_other_are_refused() -> None:
    data = "date,debit,credit\n" + "".join(
        f"2024-01-05,{cells}\n" for cells in ("50.00,", "60.00,", "1.00,2.00", ",", "x,", "-5.00,", ",-5.00", "0.00,")
    )
    sign = {"amount": ["Its sign is not that of the other debits or credits."]}
    assert refused(data) == {
        4: {"amount": ["Both a debit and a credit."]},
        5: {"amount": ["There is no amount."]},
        6: {"amount": ["Not an amount."]},
        7: sign,
        8: sign,
    }
    assert skipped(data) == {9: "Zero is not a movement of money."}


def test_a_dash_in_a_column_of_debits_is_no_debit() -> None:
    data = "date;debit;credit\n2024-01-05;-;10.00\n2024-01-06;- ;3.00\n2024-01-07;4.00;-\n"
    assert figures(data) == [*zip(dates(3), ["10.00", "3.00", "-4.00"], strict=True)]


def test_one_column_of_debits_alone_will_do() -> None:
    assert figures("date,debit\n2024-01-05,50.00\n") == [("2024-01-05", "-50.00")]


@pytest.mark.parametrize(("out", "into"), [("D", "C"), ("S", "H"), ("EXPENSE", "INCOME"), ("Af", "Bij"), ("-", "+")])
def test_a_type_gives_the_sign_where_amounts_have_none(out: str, into: str) -> None:
    data = f"date,amount,type\n2024-01-05,50.00,{out}\n2024-01-06,10.00,{into}\n2024-01-07,1.00,?\n"
    assert figures(data) == [*zip(dates(3), ["-50.00", "10.00", "1.00"], strict=True)]


def test_a_type_and_a_sign_that_contradict_each_other_are_refused() -> None:
    rule = {"amount": ["Its sign is not what its type says."]}
    signed = (
        "date,type,amount\n2024-01-05,EXPENSE,-50\n2024-01-06,EXPENSE,20\n2024-01-07,INCOME,-1\n2024-01-08,INCOME,1\n"
    )
    assert refused(signed) == {3: rule, 4: rule}
    unsigned = "date,type,amount\n2024-01-05,D,50\n2024-01-06,D,20\n2024-01-07,D,-1\n2024-01-08,C,-1\n2024-01-08,C,1\n"
    assert refused(unsigned) == {4: rule, 5: rule}
    assert len(movements(unsigned, {"columns": {"type": None}})) == 5


def test_a_sign_may_be_reversed_by_a_mapping() -> None:
    mapping = {"sign": "reversed"}
    assert figures("date,amount\n2024-01-05,50.00\n2024-01-06,-1\n", mapping) == [
        *zip(dates(2), ["-50.00", "1"], strict=True)
    ]
    assert figures("date,amount,type\n2024-01-05,50.00,Debit\n", mapping) == [("2024-01-05", "-50.00")]
    assert figures("date,debit,credit\n2024-01-05,50.00,\n", mapping) == [("2024-01-05", "50.00")]


def test_what_the_bank_has_not_booked_is_skipped() -> None:
    data = (
        "date,amount,State\n2024-01-05,5,COMPLETED\n2024-01-06,6,REVERTED\n,7, Pending\n2024-01-08,8,\n2024-01-09,9,x\n"
    )
    assert skipped(data) == {
        3: "The bank has not booked it: its status is REVERTED.",
        4: "The bank has not booked it: its status is Pending.",
    }
    assert refused(data) == {}
    assert [item.line for item in read(data) if isinstance(item, Movement)] == [2, 5, 6]


def test_zero_is_no_movement_however_it_is_written() -> None:
    data = 'date,amount\n2024-01-05,0\n2024-01-06,-0.00\n2024-01-07,"0,000.00"\n2024-01-08,€ 0\n2024-01-09,1.00\n'
    assert skipped(data) == dict.fromkeys((2, 3, 4, 5), "Zero is not a movement of money.")


# Columns.


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends_are_told_apart(separator: str, end: str) -> None:
    cells = [["date", "amount", "description"], ["2024-01-05", "-1.50", '"a, b; c | d\te"'], ["2024-01-06", "2", "x"]]
    data = end.join(separator.join(row) for row in cells) + end
    assert [(item.line, item.description) for item in movements(data)] == [(2, "a, b; c | d\te"), (3, "x")]


def test_a_comma_in_each_line_is_no_separator_where_another_one_fits_better() -> None:
    assert figures("05.01.2024;Tea, green;-1,50\n06.01.2024;Tea, black;-2,50\n") == [
        *zip(dates(2), ["-1.50", "-2.50"], strict=True)
    ]


def test_the_line_of_a_spreadsheet_about_its_separator_is_no_header() -> None:
    assert [item.line for item in movements("sep=;\r\ndate;amount\r\n2024-01-05;5\r\n")] == [3]


def test_no_header_is_needed_where_each_column_tells_what_it_is() -> None:
    [first, second] = movements('2024-01-05,1001,"Tea, green",-1.50,EUR\n2024-01-06,1002,Milk,2.00,EUR\n')
    assert (first.line, str(first.amount), first.description, first.currency) == (1, "-1.50", "Tea, green", "EUR")
    assert second.date == dt.date(2024, 1, 6)


def test_a_header_in_no_known_language_is_skipped_where_the_columns_tell() -> None:
    data = "päivä;määrä;selite\n05.01.2024;-1,50;kahvi\n13.01.2024;2,00;tee\n"
    assert [type(item) for item in read(data)] == [Skipped, Movement, Movement]


def test_a_balance_is_never_taken_for_the_amount() -> None:
    body = "\n2024-01-05,Tea,-1.50,100.00\n2024-01-06,Milk,-2.00,98.00\n"
    assert [str(item.amount) for item in read(f"When,What,Sum of it,Balance{body}") if isinstance(item, Movement)] == [
        "-1.50", "-2.00",
    ]  # fmt: skip
    assert "`columns` in a mapping" in fault("When,What,Saldo\n2024-01-05,Tea,100.00\n2024-01-06,Milk,98.00\n")[0]


def test_two_columns_that_may_both_be_the_amount_are_refused_and_a_mapping_tells() -> None:
    data = "2024-01-05,Tea,-1.50,100.00\n2024-01-06,Milk,-2.00,98.00\n"
    assert "`columns` in a mapping" in fault(data)[0]
    mapping = {"columns": {"date": 1, "description": 2, "amount": 3}}
    assert figures(data, mapping) == [*zip(dates(2), ["-1.50", "-2.00"], strict=True)]


def test_the_booking_date_counts_and_the_value_date_where_there_is_no_other() -> None:
    both = "Wertstellung;Buchungstag;Betrag\n2024-01-06;2024-01-05;5\n"
    assert figures(both) == [("2024-01-05", "5")]
    assert figures("Wertstellung;Betrag\n2024-01-06;5\n") == [("2024-01-06", "5")]


def test_valuta_is_a_day_or_a_currency_by_what_it_holds() -> None:
    assert figures("Valuta;Betrag\n2024-01-06;5\n") == [("2024-01-06", "5")]
    assert movements("Data;Valuta;Importo\n2024-01-06;CHF;5\n")[0].currency == "CHF"
    assert movements("Data;Valuta;Importo\n2024-01-06;;5\n")[0].currency is None


def test_a_number_is_that_of_the_other_party_where_there_is_a_column_for_its_name() -> None:
    assert movements("date,amount,account number\n2024-01-05,5,77\n")[0].account == "77"
    assert movements("date,amount,account number,payee\n2024-01-05,5,77,Shop\n")[0].account is None
    [found] = movements("date,amount,IBAN,payee,account\n2024-01-05,5,77,Shop,Cash\n")
    assert found.account == "Cash"
    [found] = movements("date,amount,IBAN,payee\n2024-01-05,5,77,Shop\n", {"columns": {"account": "IBAN"}})
    assert found.account == "77"


def test_a_memo_is_the_description_where_there_is_no_other() -> None:
    [found] = movements("date,amount,memo\n2024-01-05,5,Tea\n")
    assert (found.description, found.notes) == ("Tea", None)
    [found] = movements("date,amount,memo,description\n2024-01-05,5,Tea,Shop\n")
    assert (found.description, found.notes) == ("Shop", "Tea")


def test_what_a_row_says_more_is_kept() -> None:
    [found] = movements(
        "date,amount,account,category,payee,description,notes,tags,transaction id,reference,balance\n"
        '2024-01-05,-5.00, Card ,Food:Tea, Shop ,"two\nlines","a\nnote","x, #y;x",F1,RF18,99\n'
    )
    assert found == Movement(
        line=2, date=dt.date(2024, 1, 5), amount=Decimal("-5.00"), account="Card", category="Food:Tea", payee="Shop",
        description="two lines", notes="a\nnote\nRF18", tags=["x", "y"], reference="F1",
    )  # fmt: skip


def test_currencies_come_from_a_column_the_amount_or_the_header() -> None:
    data = (
        "date,amount (EUR),currency\n2024-01-05,5.00,\n2024-01-05,5.00,usd\n2024-01-05,5.00,£\n2024-01-05,$5.00,USD\n"
    )
    assert [item.currency for item in movements(data)] == ["EUR", "USD", "GBP", "USD"]
    assert [item.currency for item in movements("date,amount\n2024-01-05,€ 5\n2024-01-05,5 CHF\n2024-01-05,$ 5\n")] == [
        "EUR", "CHF", None,
    ]  # fmt: skip
    wrong = "date,amount,currency\n2024-01-05,5,Dollars\n2024-01-05,5,XXY\n2024-01-05,€ 5,USD\n2024-01-05,5,EU\n"
    not_one = {"currency": ["Not a currency code of ISO 4217 (three capital letters, such as USD)."]}
    assert refused(wrong) == {
        2: not_one,
        3: not_one,
        4: {"currency": ["The amount names another currency."]},
        5: not_one,
    }


# Mappings.


def test_a_mapping_names_columns_by_name_or_number_and_the_header_tells_the_others() -> None:
    data = "ignored\nWhen;What;How much;Currency\n05.01.24;Tea;1,50;EUR\n"
    by_name = {"columns": {"date": "when", "amount": "How much", "description": "What"}}
    by_number = {"skip": 1, "header": True, "separator": ";", "columns": {"date": 1, "amount": 3, "description": 2}}
    for mapping in (by_name, by_number):
        [found] = [item for item in read(data, mapping) if isinstance(item, Movement)]
        assert (found.line, str(found.date), str(found.amount)) == (3, "2024-01-05", "1.50")
        assert (found.description, found.currency) == ("Tea", "EUR")


def test_a_mapping_may_say_that_there_is_no_header() -> None:
    mapping = {"header": False, "columns": {"date": 1, "amount": 2}}
    data = "date,amount\n2024-01-05,5\n"
    assert [type(item) for item in read(data, mapping)] == [Skipped, Movement]
    assert [type(item) for item in read(data)] == [Movement]


def test_a_column_that_a_mapping_names_and_the_file_lacks_is_told() -> None:
    data = "date,amount\n2024-01-05,5\n"
    assert fault(data, {"columns": {"payee": "Shop"}}) == ("It has no column Shop, which the mapping names.", None)
    assert fault(data, {"columns": {"payee": 3}}) == ("It has no column 3, which the mapping names.", None)
    assert "no column for the date" in fault(data, {"columns": {"date": None}})[0]


def test_a_column_that_a_mapping_gives_to_one_role_has_no_other() -> None:
    [found] = movements("date,amount,description\n2024-01-05,5,Tea\n", {"columns": {"payee": "description"}})
    assert (found.payee, found.description) == ("Tea", "")
    [found] = movements("date,amount,out,in\n2024-01-05,5,7,\n", {"columns": {"debit": 3, "credit": 4}})
    assert found.amount == -7


# What is bad.


def test_a_bad_line_is_refused_by_its_number_and_the_rest_is_read() -> None:
    data = (
        "date,amount,description\n"
        "2024-01-05,1.00,good\n"
        "2024-02-30,1.00,no such day\n"
        "soon,1.00,no date\n"
        ",1.00,none\n"
        "2024-01-05,much,no amount\n"
        "2024-01-05,,none\n"
        "2024-01-05\n"
        "2024-01-05,1.00,a,b\n"
        '2024-01-05,1.00,"quoted" and more\n'
        "\n"
        "  ,  ,\n"
        '2024-01-05,2.00,"two\nlines"\n'
        "2024-02-31,nothing,both\n"
        '2024-01-05,3.00,an "unquoted" word\n'
        "2024-01-05,4.00,trailing,,\n"
    )
    assert refused(data) == {
        3: {"date": ["There is no such day."]},
        4: {"date": ["Not a date."]},
        5: {"date": ["There is no date."]},
        6: {"amount": ["Not an amount."]},
        7: {"amount": ["There is no amount."]},
        8: {"line": ["It has 1 columns instead of 3."]},
        9: {"line": ["It has 4 columns instead of 3."]},
        10: {"line": ["There is something behind a closing quote."]},
        15: {"date": ["There is no such day."], "amount": ["Not an amount."]},
    }
    good = [item for item in read(data) if isinstance(item, Movement)]
    assert [(item.line, item.description) for item in good] == [
        (2, "good"), (13, "two lines"), (16, 'an "unquoted" word'), (17, "trailing"),
    ]  # fmt: skip
    assert skipped(data) == {}


def test_lines_that_hold_no_movement_are_skipped_with_a_reason() -> None:
    data = (
        "My bank\n\n;;;\nAccount;12345\ndate;amount;description\n2024-01-05;5;x\n;;Page 1 of 2\n"
        "date;amount;description\nTotal;5;\nTotal;5\nEnd;;\n"
    )
    assert skipped(data) == {
        1: "It stands before the header.",
        4: "It stands before the header.",
        7: "It has no date and no amount.",
        8: "It repeats the header.",
        9: "It only adds up others.",
        10: "It only adds up others.",
        11: "It has no date and no amount.",
    }
    assert refused(data) == {}


def test_a_row_may_lack_the_cells_of_columns_without_a_name() -> None:
    assert "`date_order`" in fault("date;amount;;\n06/12/2024;5\n")[0]
    assert figures("date;amount;;\n2024-01-05;5\n2024-01-06;6;;\n2024-01-07;7;x;\n") == [
        *zip(dates(3), "567", strict=True)
    ]


def test_a_file_that_ends_within_quotes_is_refused_with_the_line_where_they_begin() -> None:
    data = 'date,amount,description\n2024-01-05,1,x\n2024-01-06,2,"two\nthree\nfour\n'
    assert fault(data) == ("The file ends within quotes that begin here.", 3)


def test_a_quote_that_is_never_closed_in_a_large_file_swallows_no_more_than_a_field_may_hold() -> None:
    rows = "2024-01-06,2.00,plain\n" * 20_000
    data = f'date,amount,description\n2024-01-05,1.00,"open\n{rows}'
    [(line, errors)] = refused(data).items()
    assert (line, errors) == (2, {"line": ["A field is longer than 131072 characters."]})
    assert 13_000 < sum(isinstance(item, Movement) for item in read(data)) < 20_000


def test_no_row_is_lost_where_quotes_swallow_the_header() -> None:
    data = '"a"b,"open\n"foo,x\ndate,amount\n2024-01-05,5"\n2024-01-06,6\n2024-01-07,7\n'
    assert [item.line for item in read(data) if isinstance(item, Movement)] == [5, 6]


def test_only_a_header_is_a_file_without_movements() -> None:
    assert read("date,amount,description\n") == []
    assert read("date,amount,description") == []


@pytest.mark.parametrize(
    "data",
    [
        ";;;;\n;;;;\n", ",\n", "x\n", "Hello, world\nThis is, some text\n", '"', '"a,b\nc', "a,b\n1,2\n",
        "2024-01-05\n", "date", "{}", "[1, 2]\n", "\t\n\t\n.", "<a>, <b>\n", "date;description\n2024-01-05;x\n",
        "amount;description\n5;x\n",
    ],
)  # fmt: skip
def test_what_is_no_csv_of_movements_is_unreadable_and_not_recognized(data: str) -> None:
    fault(data)
    assert not csv.recognizes(data)


@pytest.mark.parametrize(
    "data", [b"", b"  \n", b"%PDF-1.4\n1 0 obj", b"PK\x03\x04abc", b"date,amount\n2024-01-05,5\0\n"]
)
def test_what_is_no_text_is_unreadable(data: bytes) -> None:
    fault(data)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_every_encoding_is_read(encoding: str) -> None:
    data = "Buchungstag;Betrag;Währung;Text\n05.01.2024;5,00;EUR;Überweisung é\n".encode(encoding)
    [found] = movements(data)
    assert (found.description, found.currency) == ("Überweisung é", "EUR")


def test_a_line_or_a_field_without_end_is_refused() -> None:
    good = "2024-01-06,6.00,y\n"
    field = f"date,amount,description\n2024-01-05,5.00,{'x' * 900_000}\n{good}"
    assert refused(field) == {2: {"line": ["A field is longer than 131072 characters."]}}
    assert [item.line for item in read(field) if isinstance(item, Movement)] == [3]
    line = f"date,amount,description\n2024-01-05,5.00,{'x' * 1_100_000}\n{good}"
    assert fault(line) == ("A line is longer than 1000000 characters.", 2)
    assert fault("x" * 3_000_000)[1] is None


def test_a_row_of_countless_fields_is_refused_and_one_of_separators_is_blank() -> None:
    data = f"date,amount\n2024-01-05,5\n{',' * 200_000}\n{'1,' * 200_000}\n2024-01-06,6\n"
    assert refused(data) == {4: {"line": ["It has 200001 columns instead of 2."]}}
    fault(",".join("x" * 60_000))


def test_cells_that_look_like_formulas_are_only_text() -> None:
    [found] = movements("date,amount,description,payee\n2024-01-05,5,=1+1,@SUM(A1)\n")
    assert (found.description, found.payee) == ("=1+1", "@SUM(A1)")


def test_memory_does_not_grow_with_the_file() -> None:
    def peak(rows: int) -> int:
        data = io.BytesIO(
            b"date,amount,description\n"
            + b"".join(b"2024-01-%02d,-%d.50,number %d\n" % (n * 28 // rows + 1, n, n) for n in range(rows))
        )
        tracemalloc.start()
        try:
            assert sum(1 for _ in csv.read(Source(data), Options())) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    assert peak(24_000) < peak(12_000) * 1.2 + 500_000


@given(st.text(alphabet=st.sampled_from("0123456789-/.,;\"\n\rab \t|€()'datemoun"), max_size=200), st.booleans())
def test_no_text_breaks_the_reader(text: str, with_header: bool) -> None:
    data = ("date,amount,description\n" if with_header else "") + text
    if not data.strip():
        return
    try:
        lines = [item.line for item in read(data)]
    except UnreadableFile:
        return
    assert all(1 <= line <= len(data) for line in lines)


def _in_german(text: str) -> str:
    return text.translate({ord(","): ".", ord("."): ","})


@given(
    st.lists(st.tuples(st.dates(dt.date(1970, 1, 1), dt.date(2069, 1, 1)), st.integers(-(10**9), 10**9).filter(bool))),
    st.sampled_from([";", "\t", "|"]),
    st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%y", "%d %b %Y", "%Y%m%d"]),
    st.booleans(),
    st.sampled_from(["signed", "brackets", "behind", "columns", "type"]),
)  # fmt: skip
def test_whatever_a_bank_writes_is_read_exactly(
    rows: list[tuple[dt.date, int]], separator: str, form: str, german: bool, style: str
) -> None:
    rows.append((dt.date(1999, 12, 31), 100))  # which has one reading only, however it is written
    lines = [["date", "debit", "credit"] if style == "columns" else ["date", "amount", "type"]]
    for day, cents in rows:
        text = f"{abs(cents) / Decimal(100):,.2f}"
        text, sign = _in_german(text) if german else text, "-" * (cents < 0)
        cells = {
            "signed": [f"{sign}{text}", ""],
            "brackets": [f"({text})" if sign else text, ""],
            "behind": [f"{text}{sign}", ""],
            "columns": [text, ""] if sign else ["", text],
            "type": [text, "Debit" if sign else "Credit"],
        }[style]
        lines.append([day.strftime(form), *cells])
    data = "\n".join(separator.join(line) for line in lines)
    assert figures(data) == [(day.isoformat(), f"{cents / Decimal(100):.2f}") for day, cents in rows]


def test_what_has_a_state_in_place_of_its_day_is_passed_over() -> None:
    found = read(
        "Buchungstag;Buchungstext;Umsatz in EUR\noffen;Karte;-5,00\n05.01.2024;Kiosk;-2,80\n07.01.2024;Bäcker;-3,00\n"
    )
    assert [(item.line, item.reason) for item in found if isinstance(item, Skipped)] == [
        (2, "The bank has not booked it: its status is offen."),
    ]
    assert [item.amount for item in found if isinstance(item, Movement)] == [Decimal("-2.80"), Decimal("-3.00")]
