"""OFX 1 and 2, in and out."""

import datetime as dt
import io
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import missing
from hypothesis import given, settings
from hypothesis import strategies as st

from cashman.errors import UnreadableFile
from cashman.formats import ofx, sgml
from cashman.formats.records import Account, Booked, Books, Item, Movement, Options, Refused, Skipped, in_units
from cashman.formats.source import Source

SAMPLES = Path(__file__).parent / "data" / "import"
SHARED = Path(os.environ.get("CASHMAN_TEST_SHARED", Path(__file__).parents[2] / "shared")) / "data"


def read(data: str | bytes, account: str | None = None) -> list[Item]:
    data = data.encode() if isinstance(data, str) else data
    return list(ofx.read(Source(io.BytesIO(data)), Options(account=account)))


def movements(data: str | bytes, account: str | None = None) -> list[Movement]:
    items = read(data, account)
    assert not [item for item in items if isinstance(item, (Refused, Skipped))], items
    return [item for item in items if isinstance(item, Movement)]


def fault(data: str | bytes, account: str | None = None) -> tuple[str, int | None]:
    """What is told of a file that cannot be read, and of which line."""
    with pytest.raises(UnreadableFile) as raised:
        read(data, account)
    return str(raised.value.detail), next(iter(raised.value.errors or [None]))


def statement(*rows: str, account: str = "1", currency: str = "USD") -> str:
    """A statement, whose rows begin in the line after it."""
    return (
        f"<STMTTRNRS><STMTRS><CURDEF>{currency}<BANKACCTFROM><ACCTID>{account}</BANKACCTFROM><BANKTRANLIST>\n"
        + "\n".join(rows)
        + "\n</BANKTRANLIST></STMTRS></STMTTRNRS>"
    )


def file(*statements: str) -> str:
    """OFX 1, in which the first statement begins in line 3."""
    return "OFXHEADER:100\n<OFX>\n<BANKMSGSRSV1>" + "".join(statements) + "</BANKMSGSRSV1></OFX>"


def row(more: str = "<NAME>Joe", amount: str = "-1.00", posted: str = "20240131", id: str | None = "a") -> str:
    fitid = "" if id is None else f"<FITID>{id}"
    return f"<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>{posted}<TRNAMT>{amount}{fitid}{more}</STMTTRN>"


def only(more: str = "<NAME>Joe", **values: Any) -> Movement:
    """The movement of a file of one."""
    (found,) = movements(file(statement(row(more, **values))))
    return found


def refused(more: str = "<NAME>Joe", currency: str = "USD", **values: Any) -> dict[str, list[str]]:
    """What is told of the movement of a file of one."""
    *_, found = read(file(statement(row(more, **values), currency=currency)))
    assert isinstance(found, Refused), found
    assert found.line == 4
    return found.errors


# Real statements. Counts and sums were worked out by hand, and by ofxtools where it takes the file.


REAL = {
    "checking.ofx": ("1452687~7", "USD", 3, "-59.50"),
    "bank_medium.ofx": ("12300 000012345678", "CAD", 3, "-345.27"),
    "stmtrs.ofx": ("999988", "USD", 2, "-500.00"),
    "suncorp.ofx": ("123456789", "AUD", 1, "-16.85"),
}


def real(name: str) -> bytes:
    if not (SHARED / name).exists():
        missing(f"{name} in the folder that CASHMAN_TEST_SHARED names")
    return (SHARED / name).read_bytes()


@pytest.mark.parametrize("name", REAL)
def test_a_real_statement_comes_to_the_right_count_and_sum(name: str) -> None:
    account, currency, count, total = REAL[name]
    opened, *found = read(real(name))
    assert isinstance(opened, Account)
    assert (opened.name, opened.currency, opened.kind) == (account, currency, "bank")
    assert len(found) == count
    assert sum(one.amount for one in found if isinstance(one, Movement)) == Decimal(total)
    assert {(one.account, one.currency) for one in found if isinstance(one, Movement)} == {(account, currency)}


def oracle(data: bytes) -> list[tuple[Any, ...]]:
    """What ofxtools finds: account, currency, day, amount, reference."""
    from ofxtools.Parser import OFXTree

    tree = OFXTree()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of private tags, and of names that are long
        tree.parse(io.BytesIO(data))
        statements = tree.convert().statements
    return [
        (one.account.acctid, one.curdef, row.dtposted.date(), row.trnamt, row.fitid)
        for one in statements
        for row in one.transactions
    ]


def simply(found: Iterable[Movement]) -> list[tuple[Any, ...]]:
    return [(one.account, one.currency, one.date, one.amount, one.reference) for one in found]


# ofxtools refuses checking.ofx, whose bank has a number that is too long for the standard.
@pytest.mark.parametrize("name", ["bank_medium.ofx", "stmtrs.ofx", "suncorp.ofx"])
def test_a_real_statement_is_read_as_by_ofxtools(name: str) -> None:
    assert simply(movements(real(name))) == oracle(real(name))


def test_what_a_real_statement_says_of_a_movement() -> None:
    *_, check = movements(real("checking.ofx"))
    assert check == Movement(
        line=62, date=dt.date(2011, 4, 7), amount=Decimal("-25.00"), account="1452687~7", currency="USD",
        payee="RETURNED CHECK FEE, CHECK # 319", notes="Check 319", reference="0000488",
        description="RETURNED CHECK FEE, CHECK # 319 FOR $45.33 ON 04/07/11",
    )  # fmt: skip


def test_a_real_movement_without_a_name_is_called_after_its_type() -> None:
    assert [one.description for one in movements(real("stmtrs.ofx"))] == ["Check 1000", "ATM"]


def test_real_names_in_cdata_are_read() -> None:
    (found,) = movements(real("suncorp.ofx"))
    assert found.payee == "EFTPOS WDL HANDYWAY ALDI STORE"


# A statement of our own: two accounts, a transfer between them, every kind of oddity that is none.


def test_several_accounts_of_one_file_are_told_apart_and_a_transfer_stays_two_movements() -> None:
    assert read((SAMPLES / "two_accounts.ofx").read_bytes()) == [
        Account(line=14, name="100-1", currency="EUR", kind="bank"),
        Movement(
            line=16, date=dt.date(2024, 1, 31), amount=Decimal("-50.00"), account="100-1", currency="EUR",
            payee="To savings", description="To savings", notes="Other account 100-2", reference="1",
        ),
        Movement(
            line=17, date=dt.date(2024, 1, 30), amount=Decimal("-12.5"), account="100-1", currency="EUR",
            payee="Smith & Sons €", description="Smith & Sons €", notes="Check 0319", reference="2",
        ),
        Skipped(18, "Zero is not a movement of money."),
        Account(line=21, name="100-2", currency="EUR", kind="savings"),
        Movement(
            line=23, date=dt.date(2024, 1, 31), amount=Decimal("50.00"), account="100-2", currency="EUR",
            payee="From checking", description="From checking", reference="1",
        ),
    ]  # fmt: skip


def test_one_account_goes_where_whoever_imports_it_says() -> None:
    (found,) = read(file(statement(row())), account="Giro")
    assert isinstance(found, Movement)
    assert found.account == "Giro"
    # The same account, named again, is still one.
    assert len(read(file(statement(row()), statement(row(id="b"))), account="Giro")) == 2


def test_several_accounts_cannot_all_go_to_one() -> None:
    told = ("The file is about several accounts, and cannot all go to Giro.", 21)
    assert fault((SAMPLES / "two_accounts.ofx").read_bytes(), account="Giro") == told


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("CHECKING", "bank"),
        ("SAVINGS", "savings"),
        ("MONEYMRKT", "savings"),
        ("CD", "savings"),
        ("CREDITLINE", "loan"),
        ("ELSE", "bank"),
    ],
)
def test_an_account_has_the_kind_of_its_type(type_: str, kind: str) -> None:
    text = file(statement(row())).replace("<ACCTID>1", f"<ACCTID>1<ACCTTYPE>{type_}")
    assert read(text)[0] == Account(line=3, name="1", currency="USD", kind=kind)


def test_a_credit_card_is_an_account_of_its_kind() -> None:
    text = file(statement(row())).replace("STMTRS>", "CCSTMTRS>").replace("BANKACCTFROM", "CCACCTFROM")
    assert read(text.replace("</CCACCTFROM>", "<ACCTTYPE>CHECKING</CCACCTFROM>"))[0] == Account(
        line=3, name="1", currency="USD", kind="card"
    )


def test_a_statement_that_names_no_account_leaves_that_to_whoever_imports_it() -> None:
    text = file(statement(row()).replace("<ACCTID>1", ""))
    (found,) = read(text)
    assert isinstance(found, Movement)
    assert found.account is None
    text = file(statement(row()).replace("<BANKACCTFROM><ACCTID>1</BANKACCTFROM>", ""))
    assert [one.account for one in movements(text)] == [None]
    assert [one.account for one in movements(text, account="Giro")] == ["Giro"]


def test_an_account_that_is_named_after_movements_is_unreadable() -> None:
    text = file(statement(row()).replace("</BANKTRANLIST>", "<BANKACCTFROM><ACCTID>2</BANKACCTFROM>"))
    assert fault(text) == ("A statement names its account once, and before its movements.", 5)


# One movement.


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1", "1"), ("+1.50", "1.50"), ("-1,50", "-1.50"), (".5", "0.5"), ("-,5", "-0.5"), ("7.", "7"),
        ("1234567890123.45", "1234567890123.45"), ("0.001", "0.001"),
    ],
)  # fmt: skip
def test_an_amount_is_exact_with_point_or_comma(written: str, amount: str) -> None:
    assert str(only(amount=written).amount) == amount


@pytest.mark.parametrize(
    "written",
    ["1,000,00", "1.000.00", "1,000.00", "1.2,3", "1 000", "1e3", "NaN", "--1", "1-", ".", "-", "٣", "$1", "9" * 41],
)
def test_an_amount_that_is_none_is_refused(written: str) -> None:
    shown = written if len(written) < 41 else "9" * 39 + "…"
    assert refused(amount=written) == {"amount": [f"{shown} is not an amount."]}


def test_no_amount_and_no_date_are_refused_together() -> None:
    assert refused(amount="", posted="") == {"amount": ["There is no amount."], "date": ["There is no date."]}


@pytest.mark.parametrize(
    "written",
    [
        "20240229",
        "2024022923",
        "202402292359",
        "20240229235959",
        "20240229235959.999",
        "20240229235959.999[-5:EST]",
        "20240229000000[+14:LINT]",
        "20240229 [0:GMT]",
    ],
)
def test_the_date_is_the_day_as_it_is_written(written: str) -> None:
    assert only(posted=written).date == dt.date(2024, 2, 29)


@pytest.mark.parametrize(
    "written",
    [
        "20230229", "20241301", "20240100", "00000101", "2024-01-31", "240131", "20240131x", "2024013", "20240131[",
        "202401312", "٢٠٢٤٠١٣١",
    ],
)  # fmt: skip
def test_a_date_that_does_not_exist_is_refused(written: str) -> None:
    assert refused(posted=written) == {"date": [f"{written} is not a date of the calendar."]}


def test_the_name_is_the_payee_and_the_memo_the_description() -> None:
    found = only("<NAME> Joe's \n<MEMO>Lunch\nfor two</MEMO>")
    assert (found.payee, found.description, found.notes) == ("Joe's", "Lunch for two", None)
    found = only("<PAYEE><NAME>Joe<ADDR1>Street 1<CITY>X</PAYEE><MEMO>Lunch")
    assert (found.payee, found.description) == ("Joe", "Lunch")
    found = only("<NAME>Joe's restaurant in the old<EXTDNAME>Joe's restaurant in the old town of Berne")
    assert found.payee == found.description == "Joe's restaurant in the old town of Berne"
    found = only("<MEMO>Lunch")
    assert (found.payee, found.description) == (None, "Lunch")


def test_a_movement_without_name_and_memo_is_called_after_check_or_type() -> None:
    assert (only("").description, only("").notes) == ("Debit", None)
    assert (only("<CHECKNUM>17").description, only("<CHECKNUM>17").notes) == ("Check 17", None)
    assert only("<CHECKNUM>000").description == "Debit"


def test_what_else_a_movement_says_goes_to_the_notes() -> None:
    found = only(
        "<CHECKNUM>7<REFNUM>R<NAME>J<CCACCTTO><ACCTID>C</CCACCTTO><ORIGCURRENCY><CURRATE>2<CURSYM>EUR</ORIGCURRENCY>"
    )
    assert found.notes == "Check 7\nReference R\nOther account C\nOriginally in EUR, at 2"
    assert found.currency == "USD"


def test_a_long_memo_is_whole_in_the_notes() -> None:
    found = only(f"<NAME>J<MEMO>{'word ' * 150}")
    assert len(found.description) <= 500
    assert found.description.endswith("…")
    assert found.notes == ("word " * 150).strip()


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("A &amp; B", "A & B"),
        ("A & B", "A & B"),
        ("AT&T; R&D", "AT&T; R&D"),
        ("&lt;b&gt;&quot;&apos;&#228;&#xE4;", "<b>\"'ää"),
        ("&amp;lt;", "&lt;"),
        ("&copy;&bomb;", "&copy;&bomb;"),
        ("&#0;&#xD800;&#1114112;&#7;", "&#0;&#xD800;&#1114112;&#7;"),
        ("1 < 2", "1 < 2"),
        ("<![CDATA[a <b> & &amp; c]]> d&amp;e", "a <b> & &amp; c d&e"),
        ("a<!-- <NAME>x -->b", "ab"),
        ("a<?pi x?>b", "ab"),
    ],
)
def test_text_is_read_as_it_is_meant(written: str, text: str) -> None:
    assert only(f"<MEMO>{written}").description == text
    assert only(f"<MEMO>{written}</MEMO>").description == text


def test_tags_may_be_small_and_have_attributes() -> None:
    assert movements(file(statement(row("<><//></ >"))))[0].payee is None
    text = file(statement(row())).replace("<OFX>", "<ofx xmlns='urn:x'>").replace("</OFX>", "</ofx>")
    assert len(movements(text.replace("STMTTRN>", "StmtTrn>").replace("<NAME>Joe", "<MEMO/><name >Joe"))) == 1


def test_a_currency_of_the_movements_own_is_refused_and_the_accounts_is_not() -> None:
    assert only("<CURRENCY><CURRATE>1<CURSYM>USD</CURRENCY>").currency == "USD"
    told = {"currency": ["This is in EUR, and the account in USD."]}
    assert refused("<CURRENCY><CURRATE>1<CURSYM>EUR</CURRENCY>") == told


def test_two_currencies_of_one_account_are_refused() -> None:
    items = read(file(statement(row()), statement(row(id="b"), currency="EUR")))
    told = {"currency": ["This is in EUR, and the account in USD."]}
    assert items[2:] == [Refused(6, told)]
    assert len(movements(file(statement(row()), statement(row(id="b"), currency="EUR", account="2")))) == 2


def test_a_currency_that_is_none_is_refused() -> None:
    told = {"currency": ["Not a currency code of ISO 4217 (three capital letters, such as USD)."]}
    assert refused(currency="usd") == told


def test_an_element_with_two_values_is_refused() -> None:
    assert refused("<TRNAMT>-2.00") == {"line": ["TRNAMT stands twice in it."]}
    assert only("<TRNAMT>-1.00").amount == -1


def test_a_movement_that_is_not_closed_is_refused_and_the_next_one_is_read() -> None:
    told = {"line": ["It breaks off before its end."]}
    open_row = row(id="b").removesuffix("</STMTTRN>")
    _, first, second = read(file(statement(open_row, row())))
    assert (first, isinstance(second, Movement)) == (Refused(4, told), True)
    assert read(file(statement(row(), open_row)))[-1] == Refused(5, told)


def test_an_account_that_is_named_outside_a_statement_is_passed_over() -> None:
    account = "<BANKACCTFROM><ACCTID>9</BANKACCTFROM>"
    assert len(read(file(account, statement(row()), account))) == 2
    # Nor does a status that holds text and no values take what comes after it.
    opened, _ = read(file("<STATUS>x</STATUS>", statement(row())))
    assert opened == Account(line=3, name="1", currency="USD", kind="bank")


def test_what_closes_nothing_is_passed_over() -> None:
    assert len(read(file(statement(row(), "</STMTTRN></PAYEE></STATUS></BANKACCTFROM>")))) == 2


def test_a_movement_outside_a_statement_is_refused() -> None:
    assert read(file("\n" + row())) == [Refused(4, {"line": ["It stands outside a statement."]})]


# References.


def test_the_same_movement_twice_in_a_file_is_skipped() -> None:
    items = read(file(statement(row(), row(), row(id="b"), row(id=None), row(id=None))))
    assert [item for item in items if isinstance(item, Skipped)] == [Skipped(5, "It stands twice in this file.")]
    assert len([item for item in items if isinstance(item, Movement)]) == 4
    assert read(file(statement(row()), statement(row())))[2:] == [Skipped(6, "It stands twice in this file.")]


@pytest.mark.parametrize("other", [row(amount="-2.00"), row(posted="20240130"), row("<NAME>Jim")])
def test_a_reference_that_another_movement_has_is_refused(other: str) -> None:
    told = {"line": ["Another movement of this account has the reference a."]}
    assert read(file(statement(row(), other)))[2:] == [Refused(5, told)]
    assert len(movements(file(statement(row()), statement(other, account="2")))) == 2


# What is no movement.


def test_investments_are_skipped_once_and_the_rest_is_read() -> None:
    investments = f"<INVSTMTMSGSRSV1><INVSTMTTRNRS><INVBANKTRAN>{row()}</INVBANKTRAN></INVSTMTTRNRS></INVSTMTMSGSRSV1>"
    securities = "<SECLISTMSGSRSV1><SECLIST></SECLIST></SECLISTMSGSRSV1>"
    text = file(statement(row())).replace("</OFX>", f"\n{investments}\n{securities}</OFX>")
    told = "Investments and securities are not imported."
    assert read(text)[2:] == [Skipped(6, told), Skipped(7, told)]


def test_pending_movements_are_skipped_once() -> None:
    pending = f"<BANKTRANLISTP>\n{row().replace('STMTTRN>', 'STMTTRNP>')}</BANKTRANLISTP>"
    items = read(file(statement(row()).replace("</STMTRS>", f"{pending}</STMTRS>")))
    assert items[2:] == [Skipped(5, "The bank has not booked these movements yet.")]


def test_other_messages_are_skipped_and_the_customers_accounts_opened_by_none_of_them() -> None:
    account = "<BANKACCTFROM><ACCTID>9</BANKACCTFROM>"
    more = f"<SIGNUPMSGSRSV1>{account}</SIGNUPMSGSRSV1><BILLPAYMSGSRSV1>{account}</BILLPAYMSGSRSV1>"
    items = read(file(statement(row()), f"<INTRATRNRS>{account}</INTRATRNRS>").replace("</OFX>", f"{more}</OFX>"))
    told = "{} holds no movements of an account."
    assert items[2:] == [Skipped(5, told.format("INTRATRNRS")), Skipped(5, told.format("BILLPAYMSGSRSV1"))]


ERROR = "<STATUS>\n<CODE>15500<SEVERITY>ERROR<MESSAGE>Signon invalid</STATUS>"


def test_an_error_of_the_bank_alone_is_unreadable() -> None:
    told = "The file holds no transactions, only an error of the bank: 15500 ERROR Signon invalid."
    assert fault(f"OFXHEADER:100\n<OFX>\n<SIGNONMSGSRSV1>{ERROR}</SIGNONMSGSRSV1></OFX>") == (told, 3)
    assert read(f"OFXHEADER:100\n<OFX>{ERROR.replace('ERROR', 'INFO')}</OFX>") == []


def test_an_error_beside_transactions_is_skipped() -> None:
    items = read(file(statement(row()), f"\n<STMTTRNRS>{ERROR}</STMTTRNRS>"))
    assert items[2:] == [Skipped(6, "The bank tells of an error: 15500 ERROR Signon invalid.")]


# What is not OFX, or not whole.


def test_ofx_is_recognized_by_how_it_begins() -> None:
    for head in ("OFXHEADER:100", "\n <OFX>", '<?xml version="1.0"?>\n<?OFX VERSION="200"?>', "<?xml?><ofx>"):
        assert ofx.recognizes(head), head
    for head in ("", "date;amount\n<OFX>", "<?xml?><Document>", "<OFXY>", "OFX", "x OFXHEADER:100"):
        assert not ofx.recognizes(head), head
        if head:
            assert fault(head) == ("This is no OFX file: it does not begin as one.", None)


@pytest.mark.parametrize("name", REAL)
def test_a_real_statement_that_is_cut_anywhere_is_unreadable(name: str) -> None:
    data = real(name)
    start, end = data.index(b"<OFX>") + 5, data.rindex(b"</OFX>") + 5
    for cut in (*range(start, end, 97), end):
        told, line = fault(data[:cut])
        assert told == "The file breaks off before its end: it lacks </OFX>."
        assert line == data[:cut].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1


@pytest.mark.parametrize("tail", ["<![CDATA[", "<!--", "<INVSTMTMSGSRSV1>"])
def test_what_swallows_the_end_of_the_file_is_unreadable(tail: str) -> None:
    told, _ = fault(file(statement(row())).replace("</OFX>", f"{tail}</OFX>"))
    assert told.startswith("The file breaks off before its end: it lacks </")


def test_several_files_in_one_are_read_and_one_of_them_that_is_cut_is_told() -> None:
    text = file(statement(row()))
    assert len(movements(f"{text}\n{file(statement(row(id='b')))}\n")) == 2
    assert fault(f"{text.removesuffix('</OFX>')}\n{text}") == (
        "The file breaks off before its end: it lacks </OFX>.", 7
    )  # fmt: skip


BOMB = '<!DOCTYPE OFX [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("document_type", [BOMB, '<!DOCTYPE OFX SYSTEM "file:///etc/passwd">', "<!doctype OFX>"])
def test_a_document_type_is_refused(document_type: str) -> None:
    told = ("A document type (DOCTYPE) is not taken.", 2)
    head = '<?xml version="1.0"?><?OFX VERSION="200"?>'
    body = file(statement(row("<NAME>&b;"))).removeprefix("OFXHEADER:100\n")
    assert fault(f"{head}\n{document_type}{body}") == told
    assert movements(f"{head}\n{body}")[0].payee == "&b;"  # an entity that nobody declares is text


@pytest.mark.parametrize(
    "garbage",
    [
        b"x",
        b"\n",
        b"\r",
        b"<",
        b"&",
        b"&#",
        b"<![CDATA[",
        b"<!--",
        b"<?",
        b"</",
        b"< >",
        b"\xe9",
        b"<NAME>x" + b"y" * 9_999,
    ],
    ids=repr,
)
def test_fifty_megabytes_of_garbage_are_refused(garbage: bytes) -> None:
    told, _ = fault(b"<OFX><STMTTRN>" + garbage * (50_000_000 // len(garbage)))
    assert told in (
        "At most 100000 characters in one value.",
        "The file breaks off before its end: it lacks </OFX>.",
    )


def test_what_is_nested_deeply_is_refused_item_by_item() -> None:
    items = read(file(statement("<STMTTRN>" * 100_000)))
    assert Counter(map(type, items)) == {Account: 1, Refused: 100_000}
    assert read(file(statement("<X>" * 100_000, row())))[1:] == movements(file(statement("", row())))
    assert fault("<OFX>" * 100_000) == ("The file breaks off before its end: it lacks </OFX>.", 1)


def test_many_different_tags_are_read_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    text = file(statement(*(f"<X{n}>1</X{n}>" + row(id=str(n)) for n in range(20))))
    expected = movements(text)
    monkeypatch.setattr(sgml, "_NAMES_MAX", 2)
    assert movements(text) == expected


def test_a_value_has_a_limit() -> None:
    assert len(only(f"<MEMO>{'x' * 90_000}").notes or "") == 5_000
    assert fault(file(statement(row("<MEMO>" + "x" * 100_000))))[0] == "At most 100000 characters in one value."


def test_nul_characters_are_refused() -> None:
    with pytest.raises(UnreadableFile, match="NUL"):
        read(file(statement(row("<NAME>a\0b"))))


# Encodings and line ends.


@pytest.mark.parametrize(
    ("charset", "encoding"), [("1252", "cp1252"), ("1250", "cp1250"), ("ISO-8859-1", "latin-1"), ("NONE", "utf-8")]
)
def test_names_are_read_in_the_charset_that_the_header_names(charset: str, encoding: str) -> None:
    text = file(statement(row("<NAME>Bär"))).replace("OFXHEADER:100\n", f"OFXHEADER:100\nCHARSET:{charset}\n")
    assert movements(text.encode(encoding))[0].payee == "Bär"


def test_a_charset_that_bytes_do_not_tell_is_followed_and_utf_8_is_stronger() -> None:
    text = file(statement(row("<NAME>Łódź"))).replace("OFXHEADER:100\n", "OFXHEADER:100\nCHARSET:1250\n")
    assert movements(text.encode("cp1250"))[0].payee == "Łódź"
    assert movements(text.encode())[0].payee == "Łódź"
    assert movements(text.encode("utf-16"))[0].payee == "Łódź"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 7, 262_144])
def test_items_do_not_depend_on_line_ends_and_on_where_the_text_is_cut(
    end: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (SAMPLES / "two_accounts.ofx").read_bytes()
    expected = read(data)
    monkeypatch.setattr("cashman.formats.statements.CHUNK_CHARACTERS", size)
    assert read(data.replace(b"\n", end.encode())) == expected


# Out.


ACCOUNTS = (
    {"name": "main", "kind": None, "currency": "USD", "opening_minor_units": 0},
    {"name": "Tages & Geld <1>", "kind": "savings", "currency": "EUR", "opening_minor_units": 1000},
    {"name": "Card", "kind": "card", "currency": "USD", "opening_minor_units": 0},
    {"name": "House", "kind": "loan", "currency": "JPY", "opening_minor_units": -5},
    {"name": "Unused", "kind": "bank", "currency": "USD", "opening_minor_units": 7},
)
CURRENCIES = {str(account["name"]): str(account["currency"]) for account in ACCOUNTS}
DAY = dt.date(2024, 1, 1)


def booked(number: int, minor_units: int, account: str = "main", **values: Any) -> Booked:
    type_ = "EXPENSE" if minor_units < 0 else "INCOME"
    return Booked(
        **{
            "id": f"{number:026d}", "type": type_, "status": "posted", "minor_units": minor_units,
            "currency": CURRENCIES[account], "date": "2024-01-31", "account": account, "category": None,
            "group": None, "expires_at": None, "description": "pizza", "payee": None, "notes": None, "tags": "[]",
            "created_at": "2024-01-31T00:00:00Z", "version": 1, **values,
        }
    )  # fmt: skip


def export(rows: Iterable[Booked]) -> bytes:
    return "".join(ofx.write(Books("L", "USD", DAY, ACCOUNTS, [], iter(rows)))).encode()


def test_an_export_is_read_by_ofxtools_and_by_us() -> None:
    data = export(
        [
            booked(1, -5000, date="2024-01-01", payee="Joe's", description="pizza & wine"),
            booked(2, 1234, "Tages & Geld <1>", date="2024-01-02"),
            booked(3, -1, "Card", date="2024-01-02"),
            booked(4, 200000, date="2024-01-03", type="TRANSFER"),
            booked(5, -200000, "House", date="2024-01-03", type="TRANSFER"),
            booked(6, -1, date="2024-01-04", status="pending"),
        ]
    )
    found = movements(data)
    assert simply(found) == oracle(data) == [
        ("main", "USD", dt.date(2024, 1, 1), Decimal("-50.00"), f"{1:026d}"),
        ("main", "USD", dt.date(2024, 1, 3), Decimal("2000.00"), f"{4:026d}"),
        ("Tages & Geld <1>", "EUR", dt.date(2024, 1, 2), Decimal("12.34"), f"{2:026d}"),
        ("House", "JPY", dt.date(2024, 1, 3), Decimal("-200000"), f"{5:026d}"),
        ("Card", "USD", dt.date(2024, 1, 2), Decimal("-0.01"), f"{3:026d}"),
    ]  # fmt: skip
    assert (found[0].payee, found[0].description) == ("Joe's", "pizza & wine")
    kinds = {item.name: item.kind for item in read(data) if isinstance(item, Account)}
    assert kinds == {"main": "bank", "Tages & Geld <1>": "savings", "House": "loan", "Card": "card"}


def test_an_export_tells_of_days_balances_and_types() -> None:
    text = export(
        [
            booked(1, 1234, "Tages & Geld <1>", date="2024-01-02"),
            booked(2, -34, "Tages & Geld <1>", date="2024-02-03", type="TRANSFER"),
            booked(3, -1, "Tages & Geld <1>", date="2024-02-03"),
        ]
    ).decode()
    assert "<DTSTART>20240102</DTSTART><DTEND>20240203</DTEND>" in text
    assert "<LEDGERBAL><BALAMT>21.99</BALAMT><DTASOF>20240203</DTASOF></LEDGERBAL>" in text
    types = [text[at + 9 : text.index("<", at + 9)] for at in range(len(text)) if text.startswith("<TRNTYPE>", at)]
    assert types == ["CREDIT", "XFER", "DEBIT"]


def test_a_long_name_is_whole_in_the_extended_one() -> None:
    name = "A restaurant with quite a long name, in the old town"
    data = export([booked(1, -1, payee=name, description="x" * 500)])
    assert f"<NAME>{name[:32]}</NAME><EXTDNAME>{name}</EXTDNAME><MEMO>{'x' * 255}</MEMO>".encode() in data
    assert [one.payee for one in movements(data)] == [name]
    assert len(oracle(data)) == 1


def test_an_empty_export_is_ofx_without_statements() -> None:
    data = export([])
    assert oracle(data) == read(data) == []
    assert b"<DTSERVER>20240101</DTSERVER>" in data
    assert export([booked(1, -1, status="pending")]) == data


def test_characters_that_xml_does_not_have_become_spaces() -> None:
    data = export([booked(1, -1, description="a\x01b\ufffec\td")])
    assert movements(data)[0].description == "a b c\td"
    assert len(oracle(data)) == 1


def test_rows_that_do_not_fit_into_memory_wait_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [booked(n, -n - 1, ("main", "Card", "House")[n % 3], date=f"2024-01-{n // 30 + 1:02d}") for n in range(900)]
    expected = export(rows)
    monkeypatch.setattr(ofx, "_WAITING_CHARACTERS_MAX", 1_000)
    assert export(rows) == expected
    assert len(movements(expected)) == 900


def test_an_export_is_written_while_rows_come_and_holds_few_of_them() -> None:
    alive: Counter[str] = Counter()

    class Counted(str):
        def __del__(self) -> None:
            alive["gone"] += 1

    def rows() -> Iterator[Booked]:
        for number in range(1_000):
            assert number - alive["gone"] < 10
            yield booked(number, -1, notes=Counted("x" * 10))

    assert len(movements(export(rows()))) == 1_000


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(CURRENCIES)),
            st.integers(-999_999_999_999_999, 999_999_999_999_999).filter(bool),
            st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
            TEXT.filter(str.strip),
            st.none() | TEXT.filter(str.strip),
            st.sampled_from(["INCOME", "EXPENSE", "TRANSFER"]),
        ),
        max_size=30,
    )
)
def test_whatever_is_written_is_read_back_with_its_days_and_amounts(rows: list[tuple[Any, ...]]) -> None:
    rows.sort(key=lambda row: row[2])
    data = export(
        booked(number, minor_units, account, date=day.isoformat(), description=description, payee=payee, type=type_)
        for number, (account, minor_units, day, description, payee, type_) in enumerate(rows)
    )
    found = sorted(simply(movements(data)), key=lambda one: one[-1])
    assert found == [
        (account, CURRENCIES[account], day, Decimal(in_units(minor_units, CURRENCIES[account])), f"{number:026d}")
        for number, (account, minor_units, day, *_) in enumerate(rows)
    ]
    assert sorted(oracle(data), key=lambda one: one[-1]) == found


@settings(derandomize=True, deadline=None)
@given(st.text(alphabet="<>/&;#x1]![CDATA-?OFX STMTRNAMEP\n", max_size=200))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    try:
        for item in read(f"<OFX>{text}"):
            assert not isinstance(item, Movement)
    except UnreadableFile:
        pass
