"""CAMT.053 of ISO 20022, the statement of an account in XML, of any version: entries, one at a time in memory.

An entry is one movement. One that gathers several transactions is as many movements where each tells its own amount
and they add up to the entry's. What the bank calls an entry need not be unique in its life: the reference that a
movement is known by is made of that, the day and the amount.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from cashman.formats import xml
from cashman.formats.records import Item, Movement, Options, Refused, Skipped, unreadable
from cashman.formats.source import Source
from cashman.formats.statements import (
    ZERO,
    Accounts,
    Errors,
    References,
    check_currency,
    fitting,
    one_line,
    read_amount,
    read_day,
    shown,
)
from cashman.translations import message

NAME: Final = "camt053"
MEDIA_TYPE: Final = "application/xml"
SUFFIXES: Final = (".xml", ".camt", ".camt053", ".053")
LINES_A_ROW: Final = 60

_ROOT: Final = "BkToCstmrStmt"
_KINDS: Final = {"SVGS": "savings", "LOAN": "loan", "CASH": "cash", "CARD": "card"}
_WRITTEN: Final = re.compile(r"\+?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T[0-9:.]{1,20})?(?:Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII)
_NO_REFERENCE: Final = frozenset(["", "NOTPROVIDED", "NONREF", "NONE"])
_STATEMENT: Final = "/Stmt"
_ACCOUNT: Final = "/Stmt/Acct"
_ENTRY: Final = "/Stmt/Ntry"
_IN_ENTRY: Final = f"{_ENTRY}/"
_DETAILS: Final = "/Stmt/Ntry/NtryDtls/TxDtls"
_IN_DETAILS: Final = f"{_DETAILS}/"


class _Fields(msgspec.Struct):
    """The values of an entry, or of one transaction in it, by their paths within it."""

    line: int
    values: dict[str, list[str]] = {}

    def one(self, *names: str) -> str:
        """The first value of the first name that has one."""
        for name in names:
            if name in self.values:
                return self.values[name][0]
        return ""

    def all(self, name: str) -> str:
        """All values of a name."""
        return " ".join(self.values.get(name, ()))


_OF_ENTRY: Final = frozenset(
    "Amt CdtDbtInd RvslInd Sts Sts/Cd BookgDt/Dt BookgDt/DtTm ValDt/Dt ValDt/DtTm AcctSvcrRef AddtlNtryInf".split()
)
_OF_DETAILS: Final = frozenset(
    """
    Refs/AcctSvcrRef Refs/EndToEndId Refs/MndtId Amt CdtDbtInd AmtDtls/TxAmt/Amt AmtDtls/InstdAmt/Amt
    RltdPties/Cdtr/Nm RltdPties/Cdtr/Pty/Nm RltdPties/UltmtCdtr/Nm RltdPties/UltmtCdtr/Pty/Nm
    RltdPties/Dbtr/Nm RltdPties/Dbtr/Pty/Nm RltdPties/UltmtDbtr/Nm RltdPties/UltmtDbtr/Pty/Nm
    RltdPties/CdtrAcct/Id/IBAN RltdPties/CdtrAcct/Id/Othr/Id RltdPties/DbtrAcct/Id/IBAN RltdPties/DbtrAcct/Id/Othr/Id
    RmtInf/Ustrd RmtInf/Strd/CdtrRefInf/Ref RmtInf/Strd/AddtlRmtInf AddtlTxInf
    """.split()
)


def recognizes(head: str) -> bool:
    """Whether a file that begins so is CAMT.053."""
    return head.lstrip().startswith("<") and (_ROOT in head or "camt.053." in head)


def read(source: Source, options: Options) -> Iterator[Item]:
    """The accounts and movements of the statements; UnreadableFile where it is not CAMT.053, or not whole."""
    if not recognizes(source.head):
        raise unreadable(message("This is no statement of an account in CAMT.053."))
    wholes = frozenset([_STATEMENT, _ACCOUNT, _ENTRY, _DETAILS])
    return _Reader(options).items(xml.walk(source, _ROOT, wholes))


class _Reader:
    """Goes along the elements, and has at most one entry in memory."""

    def __init__(self, options: Options) -> None:
        self._accounts = Accounts(options)
        self._references = References()
        self._start_statement()
        self._entry: _Fields | None = None
        self._details: list[_Fields] = []

    def _start_statement(self) -> None:
        self._account: str | None = None
        self._currency: str | None = None
        self._kind = "bank"
        self._line = 0  # of the account
        self._is_named = False

    def items(self, elements: Iterable[xml.Element]) -> Iterator[Item]:
        """What the elements come to."""
        for element in elements:
            path, text = element.path, element.text
            if text is None:
                self._begin(path, element.line)
                if path == _ENTRY:
                    yield from self._name_account(element.line)
            elif path == _ENTRY:
                yield from self._end_entry()
            elif path.startswith(_IN_ENTRY):
                self._add_to_entry(path, text, element.attributes.get("Ccy"))
            elif path == _STATEMENT:
                yield from self._name_account(element.line)
            else:
                self._add(path, text.strip(), element.attributes.get("Ccy"))

    def _begin(self, path: str, line: int) -> None:
        if path == _STATEMENT:
            self._start_statement()
        elif path == _ACCOUNT:
            self._line = line
        elif path == _ENTRY:
            self._entry, self._details = _Fields(line, {}), []
        else:
            self._details.append(_Fields(line, {}))

    def _add(self, path: str, value: str, currency: str | None) -> None:
        """Take what a statement says beside its entries."""
        if path in ("/Stmt/Acct/Id/IBAN", "/Stmt/Acct/Id/Othr/Id"):
            self._account = one_line(value) or None
        elif path == "/Stmt/Acct/Ccy":
            self._currency = value
        elif path == "/Stmt/Acct/Tp/Cd":
            self._kind = _KINDS.get(value, "bank")
        elif path == "/Stmt/Bal/Amt":
            self._currency = self._currency or currency

    def _name_account(self, line: int) -> Iterable[Item]:
        if self._is_named:
            return ()
        self._is_named = True
        return self._accounts.meet(self._line or line, self._account, self._currency, self._kind)

    # Entries.

    def _add_to_entry(self, path: str, text: str, currency: str | None) -> None:
        if path.startswith(_IN_DETAILS):
            fields, name, known = self._details[-1], path[len(_IN_DETAILS) :], _OF_DETAILS
        else:
            assert self._entry is not None
            fields, name, known = self._entry, path[len(_IN_ENTRY) :], _OF_ENTRY
        if name in known:
            fields.values.setdefault(name, []).append(one_line(text))
            if currency is not None:
                fields.values.setdefault(f"{name}@Ccy", []).append(currency)

    def _end_entry(self) -> Iterable[Item]:
        entry, details = self._entry, self._details
        assert entry is not None
        self._entry, self._details = None, []
        status = entry.one("Sts/Cd", "Sts") or "BOOK"
        if status in ("PDNG", "INFO", "FUTR"):  # a pending one comes again once it is booked, often on another day
            yield Skipped(entry.line, message("The bank has not booked it: its status is {status}.", status=status))
            return
        errors: Errors = {}
        if status != "BOOK":
            errors["status"] = [message("{status} is no status of an entry.", status=shown(status))]
        date = _day(entry, errors)
        amount = _signed(entry, entry, ("Amt",), errors)
        check_currency(entry.one("Amt@Ccy") or None, self._currency, errors)
        check_currency(self._currency, self._accounts.currency_of(self._account), errors)
        if errors or date is None or amount is None:
            yield Refused(entry.line, errors)
        elif not amount:
            yield Skipped(entry.line, ZERO)
        else:
            yield from self._movements(entry, details, date, amount)

    def _movements(self, entry: _Fields, details: list[_Fields], date: dt.date, amount: Decimal) -> Iterable[Item]:
        """The movements of an entry in its currency units; none where the very same was there before."""
        parts = _parts(entry, details, amount)
        single = details[0] if len(details) == 1 else _Fields(entry.line, {})
        drafts = parts or [(entry.line, amount, single)]
        texts = [_texts(entry, part, money) for _, money, part in drafts]
        reference = self._reference(entry.one("AcctSvcrRef") or single.one("Refs/AcctSvcrRef"), date, amount, texts)
        if reference == "":
            yield Skipped(entry.line, message("It stands twice in this file."))
            return
        for place, ((line, money, _), (payee, description, notes)) in enumerate(zip(drafts, texts, strict=True), 1):
            if not money:
                yield Skipped(line, ZERO)
                continue
            yield Movement(
                line=line, date=date, amount=money, description=description, payee=payee, notes=notes,
                account=self._accounts.booked_on(self._account), currency=entry.one("Amt@Ccy") or self._currency,
                reference=f"{reference}/{place}" if reference and parts else reference,
            )  # fmt: skip

    def _reference(self, given: str, date: dt.date, amount: Decimal, texts: object) -> str | None:
        """What an entry is known by, None where the bank gives it no name; empty where it was met before."""
        if given.upper() in _NO_REFERENCE:
            return None
        reference = f"{given} {date} {amount}"
        before = self._references.meet((self._account, reference), texts)
        if before is None:
            return ""
        return f"{reference} {before + 1}" if before else reference


def _day(entry: _Fields, errors: Errors) -> dt.date | None:
    """The day on which it was booked; else the day from which it counts."""
    text = entry.one("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm")
    found = _DATE.fullmatch(text)
    return read_day(text, "".join(found.groups()) if found else "", errors)


def _signed(fields: _Fields, entry: _Fields, names: tuple[str, ...], errors: Errors) -> Decimal | None:
    """The amount in currency units, negative for a debit."""
    amount = read_amount(fields.one(*names), _WRITTEN, errors)
    side = fields.one("CdtDbtInd") or entry.one("CdtDbtInd")
    if side not in ("CRDT", "DBIT"):
        errors["amount"] = [message("It does not say whether it is a credit (CRDT) or a debit (DBIT).")]
        return None
    return amount if amount is None or side == "CRDT" else -amount


def _parts(entry: _Fields, details: list[_Fields], amount: Decimal) -> list[tuple[int, Decimal, _Fields]]:
    """The transactions of an entry that is several, with their amounts; none where they do not add up to it."""
    if len(details) < 2:
        return []
    parts = []
    for fields in details:
        name = "Amt" if "Amt" in fields.values else "AmtDtls/TxAmt/Amt"
        money = _signed(fields, entry, (name,), {})
        if money is None or fields.one(f"{name}@Ccy") != entry.one("Amt@Ccy"):
            return []
        parts.append((fields.line, money, fields))
    return parts if sum(money for _, money, _ in parts) == amount else []


def _texts(entry: _Fields, details: _Fields, amount: Decimal) -> tuple[str | None, str, str | None]:
    """Payee, description and notes."""
    is_reversal = entry.one("RvslInd") in ("true", "1")
    # Who pays whom is told of what is taken back, too.
    other = "Cdtr" if (amount < 0) != is_reversal else "Dbtr"
    payee = details.one(*(f"RltdPties/{role}{other}{name}" for role in ("", "Ultmt") for name in ("/Nm", "/Pty/Nm")))
    information = entry.one("AddtlNtryInf")
    description = (
        details.all("RmtInf/Ustrd")
        or details.all("RmtInf/Strd/AddtlRmtInf")
        or details.one("AddtlTxInf")
        or information
    )
    named = (
        ("Creditor reference", details.one("RmtInf/Strd/CdtrRefInf/Ref")),
        ("End-to-end reference", details.one("Refs/EndToEndId")),
        ("Mandate", details.one("Refs/MndtId")),
        ("Account", details.one(f"RltdPties/{other}Acct/Id/IBAN", f"RltdPties/{other}Acct/Id/Othr/Id")),
    )
    notes = ["Reversal"] if is_reversal else []
    notes += [f"{name} {value}" for name, value in named if value.upper() not in _NO_REFERENCE]
    original, currency = details.one("AmtDtls/InstdAmt/Amt"), details.one("AmtDtls/InstdAmt/Amt@Ccy")
    if original and currency not in ("", entry.one("Amt@Ccy")):
        notes.append(f"Originally {original} {currency}")
    if information and information != description:
        notes.append(information)
    return payee or None, *fitting(description, notes)
