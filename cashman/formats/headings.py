"""What the columns of a CSV file are called: one table, by what they hold, in seven languages.

A name is compared without case, accents and punctuation; behind it may stand a currency ("Betrag in EUR"). Of several
columns for one role that counts whose name stands first here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from cashman.formats.figures import currency_of, plain
from cashman.model.currency import CURRENCIES

ROLES: Final = (
    "date", "value_date", "amount", "debit", "credit", "currency", "account", "category", "payee", "description",
    "notes", "tags", "reference", "type", "to_account",
)  # fmt: skip
"""What a column can hold. `reference` is what a bank gives once only, so that it tells transactions apart."""

NAMES: Final[Mapping[str, str]] = {
    # English; German; French; Spanish; Portuguese; Italian; Dutch: one line each, where a language has some.
    "date": """
        booking date, date posted, posted date, posting date, post date, transaction date, completed date
        date, day
        date of transaction, trans date, date booked, operation date, entry date, created at, datetime, date time
        timestamp
        buchungstag, buchungsdatum, datum, buchung, transaktionsdatum, umsatzdatum, belegdatum
        dateop, date comptable, date de comptabilisation, date d operation, date operation, date de l operation
        date de transaction, jour
        fecha contable, fecha de operacion, fecha operacion, f operacion, fecha, fecha de la operacion
        fecha movimiento, dia
        data de lancamento, data do lancamento, data lancamento, data, data da transacao, data movimento
        data do movimento
        data contabile, data operazione, data registrazione, data di registrazione, data transazione, giorno
        boekdatum, boekingsdatum, datum transactie, transactiedatum, dag
    """,
    "value_date": """
        value date, valutadatum, wertstellung, wertstellungsdatum, valuta datum, wertstellungstag, date de valeur
        date valeur, fecha valor, fecha de valor, f valor, data valor, data de valor, data valuta, valuta date
        rentedatum
        settlement date, started date, dateval
    """,
    # German: the value date. Italian, Dutch: the currency. Its cells tell.
    "valuta": "valuta",
    "amount": """
        amount, transaction amount, value, sum, total amount, net amount, amt, account currency amount, net
        betrag, umsatz, buchungsbetrag, summe, wert, netto
        montant, montant de l operation, somme, valeur
        importe, monto, cantidad, valor, importe de la operacion, suma
        quantia, montante, valor da transacao, valor do lancamento
        importo, ammontare, valore, somma
        bedrag, transactiebedrag, waarde
    """,
    "debit": """
        debit, debits, debit amount, money out, paid out, withdrawal, withdrawals, expense, expenses, outflow, spent
        withdrawal amount
        soll, belastung, lastschrift, ausgang, ausgabe, ausgaben, auszahlung
        debit euros, montant debit, depense, depenses, sortie, retrait
        debe, cargo, cargos, gasto, gastos, egreso, egresos, salida, retiro, adeudo
        debito, debitos, saida, saidas, despesa, despesas
        dare, addebito, addebiti, uscita, uscite, spesa
        af, uitgave, uitgaven, debet
    """,
    "credit": """
        credit, credits, credit amount, money in, paid in, deposit, deposits, income, inflow, received, deposit amount
        haben, gutschrift, eingang, einnahme, einnahmen, einzahlung
        credit euros, montant credit, recette, recettes, entree, revenu, revenus
        haber, abono, abonos, ingreso, ingresos, entrada
        credito, creditos, entradas, receita, receitas
        avere, accredito, accrediti, entrata, entrate
        bij, inkomst, inkomsten
    """,
    "currency": """
        currency, currency code, ccy, account currency, transaction currency
        wahrung, devise, moneda, divisa, moeda, valuta code, valuta isocode, munt, muntsoort, monnaie
    """,
    "account": """
        account, account name, from account, wallet, source account, accountlabel, account label
        auftragskonto, iban auftragskonto, bezeichnung auftragskonto, konto, kontoname, von konto
        compte, nom du compte, compte source, compte debite
        cuenta, cuenta origen, nombre de la cuenta
        conta, nome da conta, conta de origem
        conto, nome conto, conto di origine
        rekening, iban bban, van rekening
    """,
    # Of the account itself; or of the other party, where there is a column for that one's name, too.
    "account_number": """
        account number, account no, iban, accountnum
        kontonummer, numero de compte, numero de cuenta, numero da conta, numero conto, rekeningnummer
    """,
    "category": """
        category, category name, spending category, kategorie, categorie, categoria, rubrik, rubrique, rubro
    """,
    "payee": """
        payee, payee name, partner name, merchant, merchant name, counterparty, counter party, counterparty name, name
        beneficiary, recipient
        payer
        begunstigter zahlungspflichtiger, zahlungsempfanger in, zahlungspflichtige r, auftraggeber empfanger
        auftraggeber begunstigter, empfanger
        zahlungsempfanger
        name zahlungsbeteiligter, begunstigter, auftraggeber, zahlungspflichtiger, gegenpartei, handler
        name empfanger
        beneficiaire, tiers, supplierfound, commercant, marchand, contrepartie, nom de la contrepartie
        beneficiario, comercio, ordenante, tercero, contraparte, destinatario, pagador, ordenante beneficiario
        favorecido, estabelecimento, recebedor
        esercente, controparte, ordinante
        begunstigde, tegenpartij, naam tegenpartij, winkel, naam omschrijving
    """,
    "description": """
        description, details, transaction description, transaction details, narrative, narration, particulars
        purpose, text
        verwendungszweck, beschreibung, buchungsdetails, betreff, bezeichnung, verwendung, buchungstext
        libelle, description de l operation, libelle de l operation, libelle operation, designation, objet, detail
        intitule
        concepto, descripcion, detalle, descripcion de la operacion
        descricao, historico, lancamento, descricao do lancamento, titulo, title
        descrizione, causale, descrizione operazione, descrizione estesa, dettagli
        omschrijving, mededelingen, beschrijving, omschrijving 1
        label, item1, item
    """,
    "notes": """
        notes, note, memo, comment, comments, remark, remarks, additional information
        notiz, notizen, anmerkung, anmerkungen, kommentar, bemerkung, bemerkungen
        commentaire, commentaires, remarque, remarques
        nota, notas, observaciones, comentario, comentarios
        observacao, observacoes, anotacao
        annotazioni, commento, commenti
        notitie, notities, opmerking, opmerkingen
    """,
    "tags": """
        tags, tag, labels, schlagworte, schlagworter, schlagwort, etiketten, etiquettes, etiquette
        etiquetas, etiqueta
        marcadores, etichette, etichetta
    """,
    "reference": """
        transaction id, transactionid, id, fitid, transaction reference, bank reference, unique id
        transaction number, transferwise id
        transactie id, transaktions id, transaktionsnummer, umsatz id, buchungs id
        identifiant, identifiant de transaction, id de transaction, numero de transaction
        id de transaccion, id transaccion, numero de transaccion, identificador
        id da transacao, id transacao
        id transazione, numero transazione
        transactienummer, volgnr, volgnummer
    """,
    "type": """
        type, transaction type, debit credit, credit debit, debit or credit, dr cr, cr dr, d c, c d, sign, direction
        income expense, debit credit indicator, credit debit indicator
        typ, art, soll haben, s h, soll haben kennzeichen, umsatztyp, kennzeichen, buchungsart, transaktionstyp
        sens, type d operation, type de transaction, debit ou credit, sens de l operation
        tipo, tipo de movimiento, tipo de operacion, debe haber, signo, tipo de transaccion
        tipo de transacao, debito credito, tipo de lancamento
        tipo transazione, tipo operazione, dare avere, segno
        af bij, soort, debet credit, type transactie
    """,
    "to_account": """
        to account, transfer account, destination account, target account, to wallet, transfer to
        zielkonto, auf konto, an konto, nach konto
        compte de destination, vers compte, compte destinataire
        cuenta destino, cuenta de destino
        conta de destino, conta destino
        conto di destinazione, conto destinazione
        naar rekening, doelrekening
    """,
    # Whether the bank has booked it.
    "state": """
        state, status, transaction status, buchungsstatus, statut, estado, situacao, stato
    """,
    # What may be the same in many payments, so that it tells nothing apart: it goes to the notes.
    "remark": """
        reference, ref, payment reference, customer reference, end to end reference, document number, cheque number
        check number, item2, reference1
        referenz, kundenreferenz, kundenreferenz end to end, mandatsreferenz
        reference de l operation, reference client
        referencia, numero de documento, documento, docto
        riferimento
        kenmerk, betalingskenmerk
    """,
}

DAY_FIRST: Final = frozenset(
    {("date", "account", "category", "amount", "currency", "converted amount", "currency", "description")}
)
"""The headers of programs that always write the day first (Monefy), where a file's own dates leave that open."""

OUT: Final = -1
IN: Final = 1
_MARKS: Final = {
    OUT: """
        expense, debit, d, dr, db, withdrawal, out, outflow, spending, -
        ausgabe, soll, s, lastschrift, belastung, ausgang, auszahlung
        depense, debit
        gasto, cargo, egreso, debe, adeudo
        despesa, debito, saida
        uscita, spesa, addebito, dare
        af, uitgave, debet
    """,
    IN: """
        income, credit, c, cr, deposit, in, inflow, +
        einnahme, haben, h, gutschrift, eingang, einzahlung
        recette, revenu, credit
        ingreso, abono, haber
        receita, credito, entrada
        entrata, accredito, avere
        bij, inkomst, inkomsten
    """,
}
"""What a column of types says: the money goes out, or comes in."""

_TOTALS: Final = """
    total, totals, sum, subtotal, balance, running balance, running bal, opening balance, closing balance, grand total
    summe, gesamt, gesamtsumme, saldo, anfangssaldo, endsaldo, kontostand, alter kontostand, neuer kontostand
    solde, solde initial, solde final, totaux
    saldo inicial, saldo final, suma, totales
    totais, saldo anterior, saldo do dia
    totale, saldo iniziale, saldo finale
    totaal, beginsaldo, eindsaldo
"""
"""How a line begins that adds up others."""

_UNBOOKED: Final = """
    pending, reverted, declined, denied, failed, cancelled, canceled, rejected, refused, expired, void, voided, reversed
    vorgemerkt, ausstehend, offen, abgelehnt, storniert, fehlgeschlagen
    en attente, annule, annulee, refuse, refusee, rejete, rejetee
    pendiente, cancelado, cancelada, rechazado, rechazada, anulado, anulada
    pendente, recusado, recusada, estornado, estornada, cancelado
    in sospeso, in attesa, annullato, annullata, rifiutato, rifiutata
    in behandeling, geweigerd, geannuleerd
"""
"""The states of what has moved no money, or not yet."""

_PAIRS: Final = {
    OUT: "to, an, nach, vers, à, a, para, naar",
    IN: "from, von, aus, de, desde, da, van",
}
"""How the two halves of a transfer are called: To 'Savings', From 'Cash'."""


def _names_in(text: str) -> list[str]:
    """The names in a part of a table."""
    return [name.strip() for name in re.split(r"[,\n]", text) if name.strip()]


def _by_name(names: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """The role of each name, and its rank in the role."""
    found: dict[str, tuple[str, int]] = {}
    for role, text in names.items():
        for rank, name in enumerate(_names_in(text)):
            found.setdefault(name, (role, rank))
    return found


_ROLE_BY_NAME: Final = _by_name(NAMES)
_SIGN_BY_MARK: Final = {name: sign for sign, text in _MARKS.items() for name in _names_in(text)}
_SIGN_BY_PAIR: Final = {name: sign for sign, text in _PAIRS.items() for name in _names_in(text)}
_UNBOOKED_NAMES: Final = frozenset(_names_in(_UNBOOKED))
_TOTAL_NAMES: Final = frozenset(_names_in(_TOTALS))
_PAIR: Final = re.compile(r"""([^\W\d_]{1,5}) ['"‘“„«]\s?(.+?)\s?['"’”“»]""")
_EURO: Final = {"euro": "EUR", "euros": "EUR"}
_IN_BETWEEN: Final = frozenset({"in", "en", "em", "im"})


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """Which column of a header has which role, from 0; of two that are called the same the first."""
    ranked: dict[str, tuple[int, int]] = {}
    for place, name in enumerate(header):
        role, rank = _known(_bare(name)[0]) or ("", 0)
        if role and (rank, place) < ranked.get(role, (rank + 1, 0)):
            ranked[role] = (rank, place)
    return {role: place for role, (_, place) in ranked.items()}


def is_currency(cell: str) -> bool:
    """Whether a cell holds a currency and nothing else."""
    return currency_of(cell) in CURRENCIES


def currency_in(name: str) -> str | None:
    """The currency that a column's name ends in."""
    return _bare(name)[1]


def _bare(name: str) -> tuple[str, str | None]:
    """A column's name as the table has it, without the currency behind it; and that."""
    if len(name) > 200:
        return "", None
    bare = plain(name)
    if _known(bare):
        return bare, next((known for c in name if (known := currency_of(c))), None)
    words = bare.split()
    if len(words) > 1 and (code := _EURO.get(words[-1], words[-1].upper())) in CURRENCIES:
        del words[-1]
        if len(words) > 1 and words[-1] in _IN_BETWEEN:
            del words[-1]
        return " ".join(words), code
    return bare, None


def _known(bare: str) -> tuple[str, int] | None:
    """The role of a name, and its rank; also where German is written without its dots: Waehrung."""
    folded = bare.replace("ae", "a").replace("oe", "o").replace("ue", "u")
    return _ROLE_BY_NAME.get(bare) or _ROLE_BY_NAME.get(folded)


def sign_of(mark: str) -> int | None:
    """Whether a type says that the money goes out or comes in; None where it says neither."""
    return _SIGN_BY_MARK.get(plain(mark) or mark.strip())


def is_unbooked(state: str) -> bool:
    """Whether a state says that no money has moved, or not yet."""
    return len(state) < 100 and plain(state) in _UNBOOKED_NAMES


def is_total(cells: Sequence[str]) -> bool:
    """Whether a line only adds up others, by what it begins with."""
    first = next((cell for cell in cells if cell.strip()), "")
    return plain(first[:200]) in _TOTAL_NAMES


def pair_of(text: str) -> tuple[int, str] | None:
    """Whether a text says that the money goes to another account or comes from it, and which: To 'Savings'."""
    found = _PAIR.fullmatch(text.strip()) if len(text) < 200 else None
    sign = _SIGN_BY_PAIR.get(found[1].casefold()) if found else None
    return (sign, found[2]) if found and sign else None
