"""CAMT.053: entries, batches of them, and whatever banks leave out."""

import datetime as dt
import io
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cashman.errors import UnreadableFile
from cashman.formats import camt053
from cashman.formats.records import Account, Item, Movement, Options, Refused, Skipped
from cashman.formats.source import Source

SAMPLE = (Path(__file__).parent / "data" / "import" / "statement.camt.xml").read_bytes()
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"
IBAN = "DE02100100100006820101"


def read(data: str | bytes, account: str | None = None) -> list[Item]:
    data = data.encode() if isinstance(data, str) else data
    return list(camt053.read(Source(io.BytesIO(data)), Options(account=account)))


def fault(data: str | bytes, account: str | None = None) -> tuple[str, int | None]:
    """What is told of a file that cannot be read, and of which line."""
    with pytest.raises(UnreadableFile) as raised:
        read(data, account)
    return str(raised.value.detail), next(iter(raised.value.errors or [None]))


def statement(*entries: str, iban: str = IBAN, currency: str = "<Ccy>EUR</Ccy>") -> str:
    return f"<Stmt><Acct><Id><IBAN>{iban}</IBAN></Id>{currency}</Acct>" + "".join(entries) + "</Stmt>"


def file(*statements: str) -> str:
    return f'<Document xmlns="{NAMESPACE}">\n<BkToCstmrStmt>' + "".join(statements) + "</BkToCstmrStmt></Document>"


def entry(
    more: str = "",
    *,
    amount: str = '<Amt Ccy="EUR">1.00</Amt>',
    side: str = "<CdtDbtInd>DBIT</CdtDbtInd>",
    status: str = "<Sts>BOOK</Sts>",
    day: str = "<BookgDt><Dt>2024-01-31</Dt></BookgDt>",
    reference: str = "",
) -> str:
    named = reference and f"<AcctSvcrRef>{reference}</AcctSvcrRef>"
    return f"\n<Ntry>{amount}{side}{status}{day}{named}{more}</Ntry>"


def details(*inner: str) -> str:
    return "<NtryDtls>" + "".join(f"\n<TxDtls>{one}</TxDtls>" for one in inner) + "</NtryDtls>"


def items(*args: Any, **values: Any) -> list[Item]:
    """What a file of one entry comes to, beside its account."""
    account, *found = read(file(statement(entry(*args, **values))))
    assert account == Account(line=2, name=IBAN, currency="EUR", kind="bank")
    return found


def only(*args: Any, **values: Any) -> Movement:
    (found,) = items(*args, **values)
    assert isinstance(found, Movement), found
    return found


def refused(*args: Any, **values: Any) -> dict[str, list[str]]:
    (found,) = items(*args, **values)
    assert isinstance(found, Refused), found
    assert found.line == 3
    return found.errors


EXPECTED = [
    Account(line=7, name=IBAN, currency="EUR", kind="bank"),
    Movement(
        line=13, date=dt.date(2024, 1, 31), amount=Decimal("-45.90"), account=IBAN, currency="EUR",
        payee="Stadtwerke & Söhne", description="Strom Januar", reference="A1 2024-01-31 -45.90",
        notes="End-to-end reference E2E-77\nMandate M-9\nAccount DE75512108001245126199\nLastschrift",
    ),
    Movement(
        line=40, date=dt.date(2024, 1, 31), amount=Decimal("100.00"), account=IBAN, currency="EUR", payee="Bo",
        description="Sammelgutschrift", notes="Creditor reference RF18539007547034",
        reference="A2 2024-01-31 300.00/1",
    ),
    Movement(
        line=45, date=dt.date(2024, 1, 31), amount=Decimal("200.00"), account=IBAN, currency="EUR", payee="Cy",
        description="Rent", notes="Sammelgutschrift", reference="A2 2024-01-31 300.00/2",
    ),
    Skipped(53, "The bank has not booked it: its status is PDNG."),
    Skipped(60, "The bank has not booked it: its status is INFO."),
]  # fmt: skip


def test_a_statement_comes_to_its_movements() -> None:
    assert read(SAMPLE) == EXPECTED


@pytest.mark.parametrize("version", ["04", "08", "13"])
def test_newer_versions_are_read_whose_names_and_statuses_lie_deeper(version: str) -> None:
    text = SAMPLE.decode().replace("001.02", f"001.{version}")
    for role in ("Dbtr", "Cdtr"):
        text = text.replace(f"<{role}><Nm>", f"<{role}><Pty><Nm>").replace(f"</Nm></{role}>", f"</Nm></Pty></{role}>")
    for status in ("BOOK", "PDNG", "INFO"):
        text = text.replace(f"<Sts>{status}</Sts>", f"<Sts><Cd>{status}</Cd></Sts>")
    text = text.replace("<AmtDtls><TxAmt>", "").replace("</TxAmt></AmtDtls>", "<CdtDbtInd>CRDT</CdtDbtInd>")
    assert "TxAmt" not in text
    assert read(text) == EXPECTED


def test_prefixes_and_wrapping_do_not_matter() -> None:
    text = SAMPLE.decode().replace("</", "</n:").replace("<", "<n:")
    text = text.replace("<n:/n:", "</n:").replace("<n:?", "<?").replace("xmlns=", "xmlns:n=")
    wrapped = text.replace("<n:Document", '<w:Data xmlns:w="urn:w"><n:Document').replace(
        "</n:Document>", "</n:Document></w:Data>"
    )
    assert read(text) == EXPECTED
    assert read(wrapped) == EXPECTED


def test_one_account_goes_where_whoever_imports_it_says() -> None:
    found = read(SAMPLE, account="Giro")
    assert {item.account for item in found if isinstance(item, Movement)} == {"Giro"}
    assert not [item for item in found if isinstance(item, Account)]
    assert len(read(file(statement(entry()), statement(entry())), account="Giro")) == 2


def test_several_accounts_are_told_apart_and_cannot_all_go_to_one() -> None:
    text = file(statement(entry()), statement(entry(), iban="FR7"))
    assert [item.account for item in read(text) if isinstance(item, Movement)] == [IBAN, "FR7"]
    told = ("The file is about several accounts, and cannot all go to Giro.", 3)
    assert fault(text, account="Giro") == told


def test_an_account_without_iban_has_its_banks_number_and_a_kind_of_its_type() -> None:
    text = file(statement(entry())).replace(f"<IBAN>{IBAN}</IBAN>", "<Othr><Id> 12-3 </Id></Othr>")
    assert read(text)[0] == Account(line=2, name="12-3", currency="EUR", kind="bank")
    for code, kind in (("SVGS", "savings"), ("LOAN", "loan"), ("CACC", "bank")):
        typed = file(statement(entry())).replace("</Acct>", f"<Tp><Cd>{code}</Cd></Tp></Acct>")
        assert read(typed)[0] == Account(line=2, name=IBAN, currency="EUR", kind=kind)


def test_a_statement_without_an_account_leaves_that_to_whoever_imports_it() -> None:
    (found,) = read(file(f"<Stmt>{entry()}</Stmt>"))
    assert isinstance(found, Movement)
    assert found.account is None


def test_an_account_without_currency_has_that_of_its_balance() -> None:
    balance = '<Bal><Amt Ccy="CHF">1.00</Amt></Bal>'
    text = file(statement(balance, entry(amount='<Amt Ccy="CHF">1</Amt>'), currency=""))
    account, found = read(text)
    assert isinstance(account, Account)
    assert isinstance(found, Movement)
    assert (account.currency, found.currency) == ("CHF", "CHF")


def test_an_account_without_entries_is_told() -> None:
    assert read(file(statement())) == [Account(line=2, name=IBAN, currency="EUR", kind="bank")]


# One entry.


def test_the_side_is_the_sign() -> None:
    assert only().amount == Decimal("-1.00")
    assert only(side="<CdtDbtInd>CRDT</CdtDbtInd>").amount == Decimal("1.00")
    for side in ("", "<CdtDbtInd>X</CdtDbtInd>"):
        assert refused(side=side) == {
            "amount": ["It does not say whether it is a credit (CRDT) or a debit (DBIT)."]
        }  # fmt: skip


def test_a_reversal_keeps_its_side_and_names_who_was_paid() -> None:
    parties = details("<RltdPties><Dbtr><Nm>Me</Nm></Dbtr><Cdtr><Nm>Shop</Nm></Cdtr></RltdPties>")
    for yes in ("true", "1"):
        found = only(f"<RvslInd>{yes}</RvslInd>{parties}", side="<CdtDbtInd>CRDT</CdtDbtInd>")
        assert (found.amount, found.payee, found.notes) == (1, "Shop", "Reversal")
    found = only(f"<RvslInd>false</RvslInd>{parties}")
    assert (found.amount, found.payee, found.notes) == (-1, "Shop", None)


@pytest.mark.parametrize(
    "written", ["1,00", "1,000,00", "1.2.3", "-1.00", "1e2", "NaN", "INF", "٣", ".", "1 000", "9" * 41]
)
def test_an_amount_that_is_none_is_refused(written: str) -> None:
    shown = written if len(written) < 41 else "9" * 39 + "…"
    assert refused(amount=f'<Amt Ccy="EUR">{written}</Amt>') == {"amount": [f"{shown} is not an amount."]}


@pytest.mark.parametrize(("written", "amount"), [("1", "1"), ("+1.5", "1.5"), (".05", "0.05"), ("7.", "7")])
def test_an_amount_is_exact(written: str, amount: str) -> None:
    assert str(only(amount=f'<Amt Ccy="EUR">{written}</Amt>').amount) == f"-{amount}"


def test_no_amount_and_no_day_are_refused_together() -> None:
    assert refused(amount="", day="") == {"amount": ["There is no amount."], "date": ["There is no date."]}


def test_zero_is_skipped() -> None:
    assert items(amount='<Amt Ccy="EUR">0.00</Amt>') == [Skipped(3, "Zero is not a movement of money.")]


@pytest.mark.parametrize(
    "day",
    [
        "<BookgDt><Dt>2024-02-29</Dt></BookgDt><ValDt><Dt>2024-03-01</Dt></ValDt>",
        "<ValDt><Dt>2024-03-01</Dt></ValDt><BookgDt><DtTm>2024-02-29T23:59:59.9-05:00</DtTm></BookgDt>",
        "<ValDt><Dt>2024-02-29Z</Dt></ValDt>",
        "<ValDt><DtTm>2024-02-29T00:00:00</DtTm></ValDt>",
    ],
)
def test_the_day_is_that_of_booking_as_it_is_written_or_else_of_value(day: str) -> None:
    assert only(day=day).date == dt.date(2024, 2, 29)


@pytest.mark.parametrize("written", ["2023-02-29", "2024-13-01", "20240131", "31.01.2024", "2024-01-31x", "0000-01-01"])
def test_a_date_that_does_not_exist_is_refused(written: str) -> None:
    told = {"date": [f"{written} is not a date of the calendar."]}
    assert refused(day=f"<BookgDt><Dt>{written}</Dt></BookgDt>") == told


def test_only_what_is_booked_is_a_movement() -> None:
    assert only(status="").status == "posted"
    for status in ("PDNG", "INFO", "FUTR"):
        assert items(status=f"<Sts>{status}</Sts>") == [
            Skipped(3, f"The bank has not booked it: its status is {status}.")
        ]  # fmt: skip
    assert refused(status="<Sts>X</Sts>") == {"status": ["X is no status of an entry."]}


def test_another_currency_than_the_accounts_is_refused() -> None:
    told = {"currency": ["This is in USD, and the account in EUR."]}
    assert refused(amount='<Amt Ccy="USD">1</Amt>') == told
    # Nor may the account come with another currency later in the file.
    again = statement(entry(amount='<Amt Ccy="USD">1</Amt>'), currency="<Ccy>USD</Ccy>")
    assert read(file(statement(entry()), again))[2:] == [Refused(4, told)]


def test_a_currency_that_is_none_is_refused() -> None:
    told = {"currency": ["Not a currency code of ISO 4217 (three capital letters, such as USD)."]}
    assert refused(amount='<Amt Ccy="eur">1</Amt>') == told


def test_who_gets_or_gives_the_money_is_the_payee() -> None:
    both = "<RltdPties>{}</RltdPties>".format("".join(f"<{r}><Nm>{r}</Nm></{r}>" for r in ("Dbtr", "Cdtr")))
    assert only(details(both)).payee == "Cdtr"
    assert only(details(both), side="<CdtDbtInd>CRDT</CdtDbtInd>").payee == "Dbtr"
    assert only(details("<RltdPties><UltmtCdtr><Nm> U\nV </Nm></UltmtCdtr></RltdPties>")).payee == "U V"
    assert only(details("<RltdPties><Dbtr><Nm>Me</Nm></Dbtr></RltdPties>")).payee is None


def test_the_description_is_the_remittance_or_else_what_the_bank_says() -> None:
    bank = "<AddtlNtryInf>Card</AddtlNtryInf>"
    found = only(details("<RmtInf><Ustrd>a</Ustrd><Ustrd>b</Ustrd></RmtInf>") + bank)
    assert (found.description, found.notes) == ("a b", "Card")
    assert only(details("<RmtInf><Strd><AddtlRmtInf>s</AddtlRmtInf></Strd></RmtInf>") + bank).description == "s"
    assert only(details("<AddtlTxInf>t</AddtlTxInf>") + bank).description == "t"
    assert (only(bank).description, only(bank).notes) == ("Card", None)
    assert only().description == ""


def test_a_long_remittance_is_whole_in_the_notes() -> None:
    found = only(details("<RmtInf>" + f"<Ustrd>{'x' * 140}</Ustrd>" * 5 + "</RmtInf>"))
    assert len(found.description) == 500
    assert found.notes == " ".join(["x" * 140] * 5)


def test_an_amount_in_another_currency_goes_to_the_notes() -> None:
    original = '<AmtDtls><InstdAmt><Amt Ccy="{}">9.99</Amt></InstdAmt></AmtDtls>'
    assert only(details(original.format("USD"))).notes == "Originally 9.99 USD"
    assert only(details(original.format("EUR"))).notes is None


def test_references_that_are_none_are_passed_over() -> None:
    found = only(details("<Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>"), reference="NONREF")
    assert (found.notes, found.reference) == (None, None)
    assert only("<NtryRef>1</NtryRef>").reference is None
    assert only(details("<Refs><AcctSvcrRef>T</AcctSvcrRef></Refs>")).reference == "T 2024-01-31 -1.00"


# Several transactions in one entry.


def part(amount: str, currency: str = "EUR", more: str = "") -> str:
    return f'<Amt Ccy="{currency}">{amount}</Amt>{more}'


def test_a_batch_is_as_many_movements_with_their_own_sides() -> None:
    back = part("0.50", more="<CdtDbtInd>CRDT</CdtDbtInd>")
    found = items(details(part("1.50"), back, part("0.00")), reference="R")
    assert [(one.line, one.amount, one.reference) for one in found if isinstance(one, Movement)] == [
        (4, Decimal("-1.50"), "R 2024-01-31 -1.00/1"),
        (5, Decimal("0.50"), "R 2024-01-31 -1.00/2"),
    ]
    assert found[2] == Skipped(6, "Zero is not a movement of money.")


@pytest.mark.parametrize(
    "parts",
    [
        (part("0.40"), part("0.50")),
        (part("0.50"), part("0.50", "USD")),
        (part("0.50"), ""),
        (part("0.50"), part("0,50")),
        ("", ""),
    ],
)
def test_a_batch_that_does_not_add_up_is_one_movement(parts: tuple[str, ...]) -> None:
    found = only(details(*parts) + "<AddtlNtryInf>Batch</AddtlNtryInf>", reference="R")
    assert (found.line, found.amount, found.description, found.reference) == (
        3, Decimal("-1.00"), "Batch", "R 2024-01-31 -1.00"
    )  # fmt: skip


# References.


def test_the_same_entry_twice_in_a_file_is_skipped_and_another_of_its_reference_is_not() -> None:
    other = entry("<AddtlNtryInf>Fee</AddtlNtryInf>", reference="R")
    text = file(statement(entry(reference="R"), other, entry(reference="R"), entry(), entry()))
    found = read(text)[1:]
    assert [one.reference for one in found if isinstance(one, Movement)] == [
        "R 2024-01-31 -1.00", "R 2024-01-31 -1.00 2", None, None
    ]  # fmt: skip
    assert [one for one in found if isinstance(one, Skipped)] == [Skipped(5, "It stands twice in this file.")]
    assert len(read(file(statement(entry(reference="R")), statement(entry(reference="R"), iban="FR7")))) == 4


# What is not CAMT.053, or not whole.


def test_camt053_is_recognized_by_its_namespace_or_its_root() -> None:
    assert camt053.recognizes(f'<Document xmlns="{NAMESPACE}">')
    assert camt053.recognizes("\n<?xml version='1.0'?><BkToCstmrStmt>")
    for head in ("", "<Document>", '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.02">', "camt.053.001"):
        assert not camt053.recognizes(head)
        if head:
            assert fault(head) == ("This is no statement of an account in CAMT.053.", None)


def test_a_file_without_the_root_is_unreadable() -> None:
    assert fault(f'<Document xmlns="{NAMESPACE}"></Document>') == ("There is no BkToCstmrStmt in it.", 1)


def test_a_statement_that_is_cut_anywhere_is_unreadable() -> None:
    end = SAMPLE.rindex(b">")
    for cut in (*range(200, end, 97), end):
        told, line = fault(SAMPLE[:cut])
        assert told == "The XML is damaged here, or breaks off."
        assert line is not None
        assert abs(line - SAMPLE[:cut].count(b"\n") - 1) <= 1


@pytest.mark.parametrize(
    "document_type",
    [
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_a_document_type_is_refused(document_type: str) -> None:
    text = file(statement(entry("<AddtlNtryInf>&b;</AddtlNtryInf>")))
    assert fault(f"\n{document_type}{text}") == ("A document type (DOCTYPE) is not taken.", 2)
    assert len(read(f"\n{text}".replace("&b;", "&amp;"))) == 2


@pytest.mark.parametrize(
    "garbage", [b"x", b"\n", b"<", b"&", b"<!--", b"<![CDATA[", b"<a>", b"<a b='", b"\xe9"], ids=repr
)
def test_fifty_megabytes_of_garbage_are_refused(garbage: bytes) -> None:
    head = file(statement(entry())).removesuffix("</Stmt></BkToCstmrStmt></Document>")
    told, _ = fault(head.encode() + garbage * (50_000_000 // len(garbage)))
    assert told in (
        "The XML is damaged here, or breaks off.",
        "At most 100000 characters in one value.",
        "At most 100 elements within one another.",
    )


def test_what_is_nested_deeply_is_refused() -> None:
    deep = "<a>" * 100_000 + "</a>" * 100_000
    assert fault(file(statement(entry(deep)))) == ("At most 100 elements within one another.", 3)
    assert len(read(file(statement(entry("<a>" * 90 + "</a>" * 90))))) == 2


def test_nul_characters_are_refused() -> None:
    with pytest.raises(UnreadableFile, match="NUL"):
        read(file(statement(entry("<AddtlNtryInf>\0</AddtlNtryInf>"))))


def test_elements_with_names_like_those_of_entries_are_passed_over() -> None:
    inner = "<Ntry><NtryDtls><TxDtls><Amt>1</Amt></TxDtls></NtryDtls></Ntry>"
    strange = f"<NtryX><Amt>1</Amt></NtryX><Acct>{inner}</Acct><Bal>{inner}</Bal>"
    assert len(read(file(statement(entry(), strange)))) == 2


def test_entries_within_entries_and_details_come_to_no_movements() -> None:
    found = only(f"<Ntry>{details(part('9'))}</Ntry>")
    assert found.amount == Decimal("-1.00")


def test_a_long_statement_is_read_entry_by_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry(reference=str(n), amount=f'<Amt Ccy="EUR">{n}.01</Amt>') for n in range(2_000)]
    data = file(statement(*entries))
    expected = read(data)
    assert Counter(map(type, expected)) == {Account: 1, Movement: 2_000}
    monkeypatch.setattr("cashman.formats.statements.CHUNK_CHARACTERS", 999)
    assert read(data) == expected
    assert read(data.replace("\n", "\r\n")) == expected
    assert read(data.encode("utf-16")) == expected
