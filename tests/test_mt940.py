"""MT940: fields, statement lines, balances, and what banks write into their information."""

import contextlib
import datetime as dt
import io
from decimal import Decimal
from pathlib import Path

import mt940 as library
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cashman.errors import UnreadableFile
from cashman.formats import mt940
from cashman.formats.records import Account, Item, Movement, Options, Refused, Skipped
from cashman.formats.source import Source

SAMPLE = (Path(__file__).parent / "data" / "import" / "statement.sta").read_bytes()
ACCOUNT = "10020030/1234567"


def read(data: str | bytes, account: str | None = None) -> list[Item]:
    data = data.encode() if isinstance(data, str) else data
    return list(mt940.read(Source(io.BytesIO(data)), Options(account=account)))


def fault(data: str | bytes, account: str | None = None) -> tuple[str, int | None]:
    """What is told of a file that cannot be read, and of which line."""
    with pytest.raises(UnreadableFile) as raised:
        read(data, account)
    return str(raised.value.detail), next(iter(raised.value.errors or [None]))


def statement(*lines: str, closing: str, opening: str = "C240101EUR0,00", account: str = "1", end: str = "62F") -> str:
    """A statement of seven lines around those that are given."""
    return "\n".join([":20:S", f":25:{account}", ":28C:1", f":60F:{opening}", *lines, f":{end}:{closing}", "-", ""])


def items(*lines: str, closing: str) -> list[Item]:
    """What a statement comes to, beside its account; its first line is line 5."""
    account, *found = read(statement(*lines, closing=closing))
    assert account == Account(line=4, name="1", currency="EUR", kind="bank")
    return found


def only(*lines: str, closing: str = "C240131EUR1,00") -> Movement:
    (found,) = items(*lines, closing=closing)
    assert isinstance(found, Movement), found
    return found


def refused(line: str) -> dict[str, list[str]]:
    found, *_ = items(line, closing="C240131EUR1,00")
    assert isinstance(found, Refused), found
    assert found.line == 5
    return found.errors


def informed(*lines: str) -> Movement:
    """The movement of 1.00 EUR with that information."""
    return only(":61:240131C1,00NTRFNONREF", *lines)


EXPECTED = [
    Account(line=5, name=ACCOUNT, currency="EUR", kind="bank"),
    Movement(
        line=6, date=dt.date(2023, 12, 31), amount=Decimal("-45.90"), account=ACCOUNT, currency="EUR",
        payee="Stadtwerke und Soehne", description="Strom Januar Was? nun", reference="DEUT-1 2023-12-31 -45.90",
        notes="End-to-end reference E2E-77\nAccount DE75512108001245126199\nSEPA-UEBERWEISUNG",
    ),
    Movement(
        line=10, date=dt.date(2024, 1, 2), amount=Decimal("300"), account=ACCOUNT, currency="EUR",
        description="Rent of January from Bo", reference="BR-2 2024-01-02 300",
        notes="Customer reference RENT-24\nStanding order",
    ),
    Movement(
        line=14, date=dt.date(2024, 1, 3), amount=Decimal("-20.00"), account=ACCOUNT, currency="EUR",
        payee="J. JANSEN", description="Back again", notes="Account NL91ABNA0417164300\nSEPA OVERBOEKING",
    ),
    Skipped(17, "Zero is not a movement of money."),
]  # fmt: skip


def test_a_statement_comes_to_its_movements() -> None:
    assert read(SAMPLE) == EXPECTED


def test_the_library_finds_the_same_days_and_amounts() -> None:
    found = library.parse(SAMPLE.decode(), options=library.Options.all())
    days = [one.data.get("entry_date", one.data["date"]) for one in found]
    ours = [(one.date, one.amount) for one in EXPECTED if isinstance(one, Movement)]
    assert [(day, one.data["amount"].amount) for day, one in zip(days, found, strict=True)][:3] == ours


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 3, 262_144])
def test_items_do_not_depend_on_line_ends_and_on_where_the_text_is_cut(
    end: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cashman.formats.statements.CHUNK_CHARACTERS", size)
    assert read(SAMPLE.replace(b"\n", end.encode())) == EXPECTED


def test_items_do_not_depend_on_the_envelope() -> None:
    body = SAMPLE.split(b"{4:\n")[1]
    bare = read(b"\n940\n\n" + body.replace(b"-}", b"-"))
    assert next(one for one in bare if isinstance(one, Movement)).line == 8
    inline = SAMPLE.replace(b"{4:\n:20:", b"{4::20:")
    assert len(read(inline)) == len(EXPECTED)
    assert len(read(body)) == len(read(body.replace(b"-}", b""))) == len(EXPECTED)


def test_one_account_goes_where_whoever_imports_it_says() -> None:
    found = read(SAMPLE, account="Giro")
    assert {one.account for one in found if isinstance(one, Movement)} == {"Giro"}
    assert not [one for one in found if isinstance(one, Account)]
    assert len(read(SAMPLE + SAMPLE, account="Giro")) == 2 * len(found)


def test_several_accounts_are_told_apart_and_cannot_all_go_to_one() -> None:
    line = ":61:240131C1,00NTRFNONREF"
    text = statement(line, closing="C240131EUR1,00") + statement(line, closing="C240131EUR1,00", account="2")
    assert [one.account for one in read(text) if isinstance(one, Movement)] == ["1", "2"]
    told = ("The file is about several accounts, and cannot all go to Giro.", 11)
    assert fault(text, account="Giro") == told


def test_an_account_may_come_with_a_bank_and_may_be_missing() -> None:
    text = statement(":61:240131C1,00NTRFNONREF", closing="C240131EUR1,00")
    assert isinstance(opened := read(text.replace(":25:1", ":25P:1\nBANKDEFF"))[0], Account)
    assert opened.name == "1"
    assert [one.account for one in read(text.replace(":25:1\n", "")) if isinstance(one, Movement)] == [None]


# One statement line.


@pytest.mark.parametrize(
    ("mark", "sign"), [("C", 1), ("D", -1), ("RC", -1), ("RD", 1), ("CR", 1), ("DR", -1), ("RCR", -1), ("RDD", 1)]
)
def test_the_mark_is_the_sign_with_or_without_a_funds_code(mark: str, sign: int) -> None:
    found = only(f":61:240131{mark}1,00NTRFNONREF", closing=f"{'C' if sign > 0 else 'D'}240131EUR1,00")
    assert found.amount == sign


@pytest.mark.parametrize(
    ("written", "amount"),
    [("1,", "1"), ("1", "1"), ("1,50", "1.50"), (",5", "0.5"), ("123456789012,34", "123456789012.34")],
)
def test_an_amount_is_exact_with_a_comma(written: str, amount: str) -> None:
    found = only(f":61:240131C{written}NTRFNONREF", closing=f"C240131EUR{written}")
    assert str(found.amount) == amount


@pytest.mark.parametrize("written", ["1,000,00", "1.000,00", "1.00", ",", "1,,0"])
def test_an_amount_that_is_none_is_refused(written: str) -> None:
    assert refused(f":61:240131C{written}NTRFNONREF") == {"amount": [f"{written} is not an amount."]}


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("240131", "2024-01-31"),
        ("2401310130", "2024-01-30"),
        ("240131    ", "2024-01-31"),
        ("2401021231", "2023-12-31"),
        ("2312310102", "2024-01-02"),
        ("2312301229", "2023-12-29"),
        ("2402290229", "2024-02-29"),
        ("991231", "1999-12-31"),
        ("791231", "2079-12-31"),
        ("9912310101", "2000-01-01"),
    ],
)
def test_the_day_is_that_of_the_entry_in_the_year_next_to_that_of_value(written: str, day: str) -> None:
    assert only(f":61:{written}C1,00NTRFNONREF").date == dt.date.fromisoformat(day)


@pytest.mark.parametrize(
    ("written", "shown"), [("230229", "230229"), ("241301", "241301"), ("2401310230", "0230"), ("2401310000", "0000")]
)
def test_a_date_that_does_not_exist_is_refused(written: str, shown: str) -> None:
    assert refused(f":61:{written}C1,00NTRFNONREF") == {"date": [f"{shown} is not a date of the calendar."]}


@pytest.mark.parametrize(
    "line", ["", "24013", "240131", "240131X1,00", "240131C", "C1,00", "2401311C1,00", "٢٤٠١٣١C1,00"]
)
def test_what_is_no_statement_line_is_refused(line: str) -> None:
    told = "A statement line (field :61:) is a date, a mark (C, D, RC or RD), an amount and references."
    assert refused(f":61:{line}") == {"line": [told]}


def test_zero_is_skipped() -> None:
    assert items(":61:240131C0,00NTRFNONREF", closing="C240131EUR0,00") == [
        Skipped(5, "Zero is not a movement of money.")
    ]  # fmt: skip


def test_the_banks_reference_is_one_with_day_and_amount_and_how_often_it_was_there() -> None:
    lines = [
        ":61:240131C1,00NTRFNONREF//B",
        ":61:240131C1,00NTRFX//B",
        ":61:240130C2,00NTRFX//B",
        ":61:240131C1,00NTRFB//NONREF",
    ]
    found = items(*lines, ":61:240131C1,00NTRFB", closing="C240131EUR6,00")
    assert [(one.reference, one.notes) for one in found if isinstance(one, Movement)] == [
        ("B 2024-01-31 1.00", None),
        ("B 2024-01-31 1.00 2", "Customer reference X"),
        ("B 2024-01-30 2.00", "Customer reference X"),
        (None, "Customer reference B"),
        (None, "Customer reference B"),
    ]


# Balances.


def test_a_statement_that_does_not_add_up_is_refused_where_it_closes() -> None:
    found = items(":61:240131C1,00NTRFNONREF", ":61:240131D0,40NTRFNONREF", closing="C240131EUR1,00")
    told = "The statement is damaged: its movements come to 0.60, and its balances to 1.00."
    assert found[2:] == [Refused(7, {"line": [told]})]
    assert len(items(":61:240131C1,00NTRFNONREF", ":61:240131D0,40NTRFNONREF", closing="C240131EUR0,60")) == 2


def test_balances_may_be_debts() -> None:
    text = statement(":61:240131C1,00NTRFNONREF", opening="D240101EUR3,00", closing="D240131EUR2,00")
    assert not [one for one in read(text) if isinstance(one, Refused)]


def test_pages_add_up_each_for_itself() -> None:
    line = ":61:240131C1,00NTRFNONREF"
    first = statement(line, closing="C240131EUR1,00", end="62M")
    second = statement(line, opening="C240131EUR1,00", closing="C240131EUR2,00").replace(":60F:", ":60M:")
    assert [type(one) for one in read(first + second)] == [Account, Movement, Movement]
    # A page may follow without a header of its own.
    assert len(read(first + second[second.index(":60M:") :])) == 3


def test_a_sum_is_not_told_wrong_where_a_line_was_not_understood() -> None:
    found = items(":61:240131C1.00NTRFNONREF", closing="C240131EUR1,00")
    assert [type(one) for one in found] == [Refused]


def test_a_line_with_a_wrong_day_still_counts() -> None:
    found = items(":61:240231C1,00NTRFNONREF", closing="C240131EUR1,00")
    assert [type(one) for one in found] == [Refused]


@pytest.mark.parametrize(
    ("opening", "errors"),
    [
        ("X240101EUR0,00", {"line": ["A balance is a mark (C or D), a date, a currency and an amount."]}),
        ("C240101eur0,00", {"line": ["A balance is a mark (C or D), a date, a currency and an amount."]}),
        ("C240231EUR0,00", {"date": ["240231 is not a date of the calendar."]}),
        ("C240101EUR0,0,0", {"amount": ["0,0,0 is not an amount."]}),
    ],
)
def test_a_balance_that_is_none_is_refused(opening: str, errors: dict[str, list[str]]) -> None:
    line = ":61:240131C1,00NTRFNONREF"
    opened = read(statement(line, opening=opening, closing="C240131EUR1,00"))
    assert [one for one in opened if isinstance(one, Refused)] == [Refused(4, errors)]
    closed = read(statement(line, closing=opening))
    assert [one for one in closed if isinstance(one, Refused)] == [Refused(6, errors)]


def test_two_currencies_of_one_account_are_refused() -> None:
    line = ":61:240131C1,00NTRFNONREF"
    other = statement(line, opening="C240101USD0,00", closing="C240131USD1,00")
    told = {"currency": ["This is in USD, and the account in EUR."]}
    assert read(statement(line, closing="C240131EUR1,00") + other)[2:] == [Refused(12, told)]
    assert items(line, closing="C240131USD1,00")[1:] == [Refused(6, told)]
    assert len(read(statement(line, closing="C240131EUR1,00") + other.replace(":25:1", ":25:2"))) == 4


def test_a_line_outside_the_balances_is_refused() -> None:
    line = ":61:240131C1,00NTRFNONREF"
    found = read(statement(line, closing="C240131EUR1,00") + line)
    assert found[2:] == [Refused(8, {"line": ["It stands outside a statement."]})]


# Information.


def test_plain_information_is_the_description() -> None:
    assert informed(":86:Lunch", " for two ").description == "Lunch for two"
    assert informed(":86:Lunch", ":86:for two").description == "Lunch for two"
    assert informed().description == ""
    assert informed(":86:Why: 10:30?", ":99:x").description == "Why: 10:30? :99:x"


def test_what_stands_below_a_statement_line_is_the_description_where_there_is_no_other() -> None:
    found = informed("Card 1")
    assert (found.description, found.notes) == ("Card 1", None)
    found = informed("Card 1", ":86:Lunch")
    assert (found.description, found.notes) == ("Lunch", "Card 1")


def test_structured_information_of_a_german_bank_is_taken_apart() -> None:
    found = informed(
        ":86:166?00GUTSCHRIFT?20MREF+M1?21SVWZ+Miete fuer die gross", "e Wohnung?32Anna?33 Meyer?60 im Mai"
    )
    assert found.payee == "Anna Meyer"
    assert found.description == "Miete fuer die grosse Wohnung"
    assert found.notes == "Mandate M1\nGUTSCHRIFT"
    found = informed(":86:166?00GUTSCHRIFT?20Miete ?21Mai?32Anna")
    assert (found.payee, found.description, found.notes) == ("Anna", "Miete Mai", "GUTSCHRIFT")
    assert informed(":86:166?00GUTSCHRIFT").description == "GUTSCHRIFT"
    assert informed(":86:166?20SVWZ+Wer?Wo?21??Wie?").description == "Wer?Wo??Wie?"


def test_structured_information_of_a_dutch_bank_is_taken_apart() -> None:
    found = informed(":86:/EREF/E1//CNTP/NL99INGB/INGBNL2A/Jan Jansen/Ede///REMI/USTD//Huur", "mei/")
    assert (found.payee, found.description) == ("Jan Jansen", "Huurmei")
    assert found.notes == "End-to-end reference E1\nAccount NL99INGB"
    found = informed(":86:/TRTP/IDEAL/NAME/Shop/MARF/M2/REMI/Order 1/2")
    assert (found.payee, found.description, found.notes) == ("Shop", "Order 1/2", "Mandate M2\nIDEAL")
    assert informed(":86:/bin/sh").description == "/bin/sh"


def test_information_about_the_account_belongs_to_no_movement() -> None:
    text = statement(":61:240131C1,00NTRFNONREF", closing="C240131EUR1,00\n:86:of the account")
    (found,) = [one for one in read(text) if isinstance(one, Movement)]
    assert found.description == ""


def test_long_information_is_whole_in_the_notes() -> None:
    found = informed(":86:" + "x" * 65, *["y" * 65] * 9)
    assert len(found.description) == 500
    assert found.notes == " ".join(["x" * 65, *["y" * 65] * 9])


# What is not MT940, or not whole.


def test_mt940_is_recognized_by_its_first_fields() -> None:
    assert mt940.recognizes(SAMPLE.decode())
    assert mt940.recognizes("x\r\n:20:1\r\n:25:1\r\n:60M:C")
    for head in ("", ":20:1\n:25:1\n:34F:EUR0,\n", "a\n:60F:C240101EUR1,00", "x:20:\n:60F:"):
        assert not mt940.recognizes(head)
        if head:
            assert fault(head) == ("This is no MT940 file: it lacks the fields :20: and :60F:.", None)


def test_a_statement_that_is_cut_before_its_closing_balance_is_unreadable() -> None:
    for cut in range(SAMPLE.index(b"EUR"), SAMPLE.index(b":62F:") + 5, 7):
        told, line = fault(SAMPLE[:cut])
        assert told == "The statement breaks off before its closing balance (field :62F:)."
        assert line == SAMPLE[:cut].count(b"\n") + 1
    told, line = fault(SAMPLE[: SAMPLE.index(b":62F:")] + SAMPLE)
    assert (told, line) == ("The statement breaks off before its closing balance (field :62F:).", 19)
    assert fault(SAMPLE.replace(b":62F:", b":60F:"))[1] == 18


def test_a_closing_balance_that_is_cut_is_refused() -> None:
    end = SAMPLE.index(b"EUR1234,10\n:64")
    for cut in range(SAMPLE.index(b":62F:") + 5, end + 9):
        assert isinstance(read(SAMPLE[:cut])[-1], Refused), SAMPLE[:cut]
    assert read(SAMPLE[: end + 9]) == EXPECTED


@pytest.mark.parametrize(
    "garbage", [b"x", b"\n", b"\r", b"{", b":86:" + b"?20" * 999 + b"\n", b"\xe9"], ids=lambda g: repr(g[:9])
)
def test_five_megabytes_of_garbage_are_refused(garbage: bytes) -> None:
    told, _ = fault(SAMPLE[: SAMPLE.index(b":62F:")] + garbage * (5_000_000 // len(garbage)))
    assert told in (
        "The statement breaks off before its closing balance (field :62F:).",
        "At most 10000 characters in one line.",
    )


def test_information_has_a_limit_of_lines() -> None:
    found = informed(":86:x", *["y"] * 100_000)
    assert len(found.notes or "") < 5_000


def test_nul_characters_are_refused() -> None:
    with pytest.raises(UnreadableFile, match="NUL"):
        read(SAMPLE + b"\0")


@settings(derandomize=True, deadline=None)
@given(st.text(alphabet=":{}-12345608FMSN\nCDREU,/?+ x", max_size=200))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(UnreadableFile):
        read(SAMPLE[: SAMPLE.index(b":61:")] + text.encode() + b"\n:62F:C240103EUR1000,00\n")
