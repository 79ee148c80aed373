"""What columns are called: banks and programs of seven languages."""

import io

import pytest

from cashman.formats import csv
from cashman.formats.headings import (
    IN,
    NAMES,
    OUT,
    ROLES,
    columns_of,
    currency_in,
    is_currency,
    is_total,
    pair_of,
    sign_of,
)
from cashman.formats.records import Movement, Options
from cashman.formats.source import Source


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "date,type,amount,currency,account,category,payee,description",
            "date type amount currency account category payee description",
        ),
        (
            "Transaction ID,Booking Date,Value Date,Amount,CCY,Account Number,Payee,Notes,Tags,Reference,Balance",
            "reference date value_date amount currency account_number payee notes tags remark -",
        ),
        ("Date,Narrative,Money Out,Money In,Balance", "date description debit credit -"),
        ("Posting Date;Details;Debit Amount;Credit Amount;To account", "date description debit credit to_account"),
        (
            "Buchungstag;Wertstellung;Auftraggeber / Begünstigter;Verwendungszweck;Kontonummer;Betrag (EUR);Notiz",
            "date value_date payee description account_number amount notes",
        ),
        ("Datum;Soll;Haben;Buchungstext;Währung;Kategorie;Saldo", "date debit credit description currency category -"),
        ("BUCHUNGSTAG;UMSATZ;S/H;WAEHRUNG", "date amount type currency"),
        (
            "Date opération;Date de valeur;Libellé;Débit euros;Crédit euros;Catégorie;Bénéficiaire",
            "date value_date description debit credit category payee",
        ),
        ("Date;Montant (EUR);Devise;Compte;Commentaire;Étiquettes", "date amount currency account notes tags"),
        (
            "Fecha operación;Fecha valor;Concepto;Importe;Divisa;Cuenta;Beneficiario;Categoría",
            "date value_date description amount currency account payee category",
        ),
        ("Fecha;Descripción;Cargo;Abono;Saldo;Observaciones", "date description debit credit - notes"),
        (
            "Data;Histórico;Valor;Moeda;Conta;Favorecido;Observação",
            "date description amount currency account payee notes",
        ),
        ("Data Lançamento;Descrição;Crédito;Débito;Tipo", "date description credit debit type"),
        (
            "Data contabile;Data valuta;Descrizione;Importo;Divisa;Conto",
            "date value_date description amount currency account",
        ),
        ("Data operazione;Causale;Dare;Avere;Categoria;Esercente", "date description debit credit category payee"),
        (
            "Boekdatum;Rekeningnummer;Bedrag;Af Bij;Omschrijving;Naam tegenpartij",
            "date account_number amount type description payee",
        ),
        ("Datum;Rekening;Uitgaven;Inkomsten;Mededelingen;Munt", "date account debit credit description currency"),
    ],
)  # fmt: skip
def test_the_columns_of_many_headers_are_known(header: str, expected: str) -> None:
    names = header.split(";" if ";" in header else ",")
    places = {role: place for place, role in enumerate(expected.split()) if role != "-"}
    assert columns_of(names) == places
    assert csv.recognizes(header.replace(",", ";") + "\n")


@pytest.mark.parametrize(
    "name", ["Betrag", "BETRAG", " betrag ", "Betrag (EUR)", "Betrag in EUR", "Betrag_", "„Betrag“:"]
)
def test_case_accents_punctuation_and_a_currency_do_not_matter(name: str) -> None:
    assert columns_of(["x", name]) == {"amount": 1}


@pytest.mark.parametrize(
    ("name", "currency"),
    [
        ("Betrag (EUR)", "EUR"), ("Amount in USD", "USD"), ("Montant (€)", "EUR"), ("Amount £", "GBP"),
        ("Amount", None),
        ("Amount (XXY)", None), ("Débit euros", None), ("Valor em BRL", "BRL"), ("Importe Euro", "EUR"), ("Usd", None),
    ],
)  # fmt: skip
def test_a_currency_behind_a_name_is_that_of_the_amounts(name: str, currency: str | None) -> None:
    assert currency_in(name) == currency


def test_of_two_columns_of_one_name_the_first_counts() -> None:
    header = "date,account,category,amount,currency,converted amount,currency,description".split(",")
    assert columns_of(header) == {
        "date": 0, "account": 1, "category": 2, "amount": 3, "currency": 4, "description": 7,
    }  # fmt: skip


def test_of_two_names_for_one_role_the_better_one_counts() -> None:
    assert columns_of(["Date", "Booking date"]) == {"date": 1}
    assert columns_of(["Buchungstext", "Verwendungszweck"]) == {"description": 1}


def test_what_may_be_the_same_in_many_payments_is_no_reference() -> None:
    assert "reference" not in columns_of(["Reference", "Payment reference", "Referenz", "reference1", "Referencia"])


def test_a_name_has_one_role_only_and_every_role_has_names() -> None:
    assert {*ROLES} | {"valuta", "account_number", "remark", "state"} == {*NAMES}
    names = [name.strip() for text in NAMES.values() for line in text.split("\n") for name in line.split(",")]
    names = [name for name in names if name]
    assert [name for name in {*names} if names.count(name) > 1] == []
    assert all(columns_of([name]) for name in names)


def test_a_name_without_end_is_none() -> None:
    assert columns_of(["amount" * 100_000, "", "\n", "…"]) == {}


@pytest.mark.parametrize(
    "mark", ["EXPENSE", "Debit", "D", "S", "Soll", "Ausgabe", "Dépense", "Gasto", "Débito", "Uscita", "Af", "-"]
)
def test_a_type_may_say_that_money_goes_out(mark: str) -> None:
    assert sign_of(mark) == OUT


@pytest.mark.parametrize(
    "mark", ["Income", "CREDIT", "C", "H", "Haben", "Einnahme", "Crédit", "Abono", "Receita", "Entrata", "Bij", "+"]
)
def test_a_type_may_say_that_money_comes_in(mark: str) -> None:
    assert sign_of(mark) == IN


@pytest.mark.parametrize("mark", ["", "TRANSFER", "Card payment", "Credit card", "?", "--"])
def test_a_type_may_say_neither(mark: str) -> None:
    assert sign_of(mark) is None


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("To 'Payment card'", (OUT, "Payment card")), ("From 'Cash'", (IN, "Cash")), ('from "Cash"', (IN, "Cash")),
        ("An „Sparbuch“", (OUT, "Sparbuch")), ("Von 'Bar'", (IN, "Bar")), ("À « Livret »", (OUT, "Livret")),
        ("To 'Bob's card'", (OUT, "Bob's card")), ("To ''", None), ("To Cash", None), ("Toward 'Cash'", None),
        ("Paid to 'Cash'", None), ("'Cash'", None), ("", None), ("To '" + "x" * 1_000 + "'", None),
    ],
)  # fmt: skip
def test_a_half_of_a_transfer_names_the_other_account(text: str, pair: tuple[int, str] | None) -> None:
    assert pair_of(text) == pair


def test_totals_are_known_by_what_a_line_begins_with() -> None:
    assert is_total(["", " Total: ", "5"])
    assert is_total(["Alter Kontostand", "5"])
    assert not is_total(["Total war", "5"])
    assert not is_total(["5", "Total"])
    assert not is_total([])


def test_a_currency_is_a_code_or_a_sign_of_one() -> None:
    assert [is_currency(text) for text in ("EUR", "usd", "€", " GBP ")] == [True] * 4
    assert [is_currency(text) for text in ("", "XXY", "EURO", "$", "12", "E")] == [False] * 6


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        (
            '"Buchungsdatum";"Wertstellung";"Status";"Zahlungspflichtige*r";"Zahlungsempfänger*in";"Verwendungszweck";'
            '"Umsatztyp";"IBAN";"Betrag (€)";"Gläubiger-ID";"Mandatsreferenz";"Kundenreferenz"',
            '"31.01.24";"31.01.24";"Gebucht";"Me";"Shop";"Tea";"Ausgang";"DE1";"-1.250,50";"";"";""',
            ("2024-01-31", "-1250.50", "EUR", None, "Shop", "Tea"),
        ),
        (
            '"Auftragskonto";"Buchungstag";"Valutadatum";"Buchungstext";"Verwendungszweck";"Beguenstigter/Zahlungspflichtiger";'
            '"Kontonummer/IBAN";"BIC (SWIFT-Code)";"Betrag";"Waehrung";"Info"',
            '"DE0";"31.01.24";"31.01.24";"LASTSCHRIFT";"Tea";"Shop";"DE1";"X";"-12,50";"EUR";"Umsatz gebucht"',
            ("2024-01-31", "-12.50", "EUR", "DE0", "Shop", "Tea"),
        ),
        (
            '"Datum";"Naam / Omschrijving";"Rekening";"Tegenrekening";"Code";"Af Bij";"Bedrag (EUR)";"Mutatiesoort";'
            '"Mededelingen"',
            '"20240131";"Shop";"NL0";"NL1";"BA";"Af";"12,50";"Betaalautomaat";"Tea"',
            ("2024-01-31", "-12.50", "EUR", "NL0", "Shop", "Tea"),
        ),
        (
            "Transaction Date,Transaction Type,Sort Code,Account Number,Transaction Description,Debit Amount,"
            "Credit Amount,Balance",
            "31/01/2024,DEB,11-22-33,00112233,Tea,12.50,,99.10",
            ("2024-01-31", "-12.50", None, "00112233", None, "Tea"),
        ),
        (
            "Date,Counter Party,Reference,Type,Amount (GBP),Balance (GBP),Spending Category,Notes",
            "31/01/2024,Shop,1234,CARD PAYMENT,-12.50,99.10,GROCERIES,Tea",
            ("2024-01-31", "-12.50", "GBP", None, "Shop", "Tea"),
        ),
        (
            "Type,Product,Started Date,Completed Date,Description,Amount,Fee,Currency,State,Balance",
            "CARD_PAYMENT,Current,2024-01-30 08:00:00,2024-01-31 10:00:00,Tea,-12.50,0.00,EUR,COMPLETED,99.10",
            ("2024-01-31", "-12.50", "EUR", None, None, "Tea"),
        ),
        (
            '"Account","Flag","Date","Payee","Category Group/Category","Category","Memo","Outflow","Inflow","Cleared"',
            '"Cash","","01/31/2024","Shop","Food: Tea","Tea","Tea","$12.50",$0.00,"Cleared"',
            ("2024-01-31", "-12.50", None, "Cash", "Shop", "Tea"),
        ),
        (
            "Date;Libellé;Montant(EUROS)",
            "31/01/2024;Tea;-12,50",
            ("2024-01-31", "-12.50", "EUR", None, None, "Tea"),
        ),
        (
            "Data_Operazione;Data_Valuta;Entrate;Uscite;Descrizione",
            "31/01/2024;31/01/2024;;-12,50;Tea",
            ("2024-01-31", "-12.50", None, None, None, "Tea"),
        ),
        (
            "F.Valor;Fecha;Concepto;Importe;Divisa;Disponible;Divisa;Observaciones",
            "30/01/2024;31/01/2024;Tea;-12,50;EUR;99,10;EUR;",
            ("2024-01-31", "-12.50", "EUR", None, None, "Tea"),
        ),
        (
            "Data,Valor,Identificador,Descrição",
            "31/01/2024,-12.50,65b-1,Tea",
            ("2024-01-31", "-12.50", None, None, None, "Tea"),
        ),
    ],
)  # fmt: skip
def test_a_row_of_many_banks_is_read(header: str, row: str, expected: tuple[str | None, ...]) -> None:
    [found] = csv.read(Source(io.BytesIO(f"{header}\n{row}\n".encode())), Options())
    assert isinstance(found, Movement), found
    assert expected == (
        str(found.date), str(found.amount), found.currency, found.account, found.payee, found.description,
    )  # fmt: skip
