"""OFX 1 (SGML, whose values have no closing tags) and OFX 2 (XML), in; OFX 2 out.

Both are read by one tokenizer, `sgml.Elements`. What is exported leaves out pending transactions, which a statement
does not have, and is one statement an account: its balance is what the opening balance and the exported rows come to,
its ACCTID the account's whole name.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, Final

from cashman.formats.records import Booked, Books, Item, Movement, Options, Refused, Skipped, in_units, unreadable
from cashman.formats.sgml import Elements
from cashman.formats.source import Source
from cashman.formats.statements import (
    ZERO,
    Accounts,
    Errors,
    References,
    check_currency,
    fitting,
    follow,
    one_line,
    read_amount,
    read_day,
    shown,
)
from cashman.translations import message

NAME: Final = "ofx"
MEDIA_TYPE: Final = "application/x-ofx"
SUFFIXES: Final = (".ofx", ".qfx")

_HEADER: Final = re.compile(r"\s*(?:OFXHEADER\s*:|<\?OFX\b|<OFX>)", re.ASCII | re.IGNORECASE)
_XML_DECLARATION: Final = re.compile(r"\s*<\?xml\b[^<>]{0,500}\?>", re.ASCII | re.IGNORECASE)
_ENCODING: Final = re.compile(r"""(?:CHARSET\s*:\s*|encoding\s*=\s*["'])([\w.-]{1,40})""", re.ASCII | re.IGNORECASE)


def recognizes(head: str) -> bool:
    """Whether a file that begins so is OFX."""
    declaration = _XML_DECLARATION.match(head)
    return _HEADER.match(head, declaration.end() if declaration else 0) is not None


# In.

_TWICE: Final = "twice"
"""In the values of a transaction: which element stands in it with two values."""

_WRITTEN: Final = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{8}(?:[0-9]{2}(?:[0-9]{2}){0,2}(?:\.[0-9]{0,6})?)?\s*(?:\[[^\[\]]{0,20}\])?", re.ASCII)
_KINDS: Final = {
    "CHECKING": "bank", "SAVINGS": "savings", "MONEYMRKT": "savings", "CD": "savings", "CREDITLINE": "loan"
}  # fmt: skip
_READ: Final = frozenset("SIGNONMSGSRSV1 BANKMSGSRSV1 CREDITCARDMSGSRSV1 STMTTRNRS CCSTMTTRNRS".split())
_SILENT: Final = frozenset(["PROFMSGSRSV1", "SIGNUPMSGSRSV1"])
"""What tells of the bank and its customer only."""
_INNER: Final = frozenset(["PAYEE", "CURRENCY", "ORIGCURRENCY", "BANKACCTTO", "CCACCTTO"])
"""What holds values of its own within a transaction."""
_VALUES: Final = frozenset(
    "TRNTYPE DTPOSTED TRNAMT FITID CHECKNUM REFNUM NAME EXTDNAME MEMO PAYEE.NAME CURRENCY.CURSYM "
    "ORIGCURRENCY.CURSYM ORIGCURRENCY.CURRATE BANKACCTTO.ACCTID CCACCTTO.ACCTID".split()
)
_TYPES: Final = {
    "CREDIT": "Credit", "DEBIT": "Debit", "INT": "Interest", "DIV": "Dividend", "FEE": "Fee",
    "SRVCHG": "Service charge", "DEP": "Deposit", "ATM": "ATM", "POS": "Point of sale", "XFER": "Transfer",
    "CHECK": "Check", "PAYMENT": "Payment", "CASH": "Cash", "DIRECTDEP": "Direct deposit",
    "DIRECTDEBIT": "Direct debit", "REPEATPMT": "Standing order", "HOLD": "Hold",
}  # fmt: skip
"""What a movement is called that has no other name."""


def read(source: Source, options: Options) -> Iterator[Item]:
    """The accounts and movements of the statements in a file; UnreadableFile where it is not OFX, or not whole."""
    if not recognizes(source.head):
        raise unreadable(message("This is no OFX file: it does not begin as one."))
    declared = _ENCODING.search(source.head, 0, max(source.head.find("<OFX"), 0))
    if declared:
        follow(source, declared[1])
    return _Reader(Elements(source), options).items()


class _Reader:
    """Goes along the elements; for some tags a method gives the items that follow from what was read until there."""

    def __init__(self, elements: Elements, options: Options) -> None:
        self._elements = elements
        self._accounts = Accounts(options)
        self._references = References()
        self._depth = 0  # of OFX, the outermost element
        self._is_whole = False
        self._until = ""  # the tag that ends what is left out
        self._in_statement = self._in_account = False
        self._currency: str | None = None  # of the statement
        self._account: str | None = None
        self._kind = "bank"
        self._is_named = False  # whether the statement has said which account it is about
        self._status: dict[str, str] | None = None  # the values of the open one
        self._transaction: dict[str, str] | None = None  # the same
        self._begins = 0  # the line of what is open
        self._inner = ""  # what is open within the transaction
        self._transactions = 0
        self._error: tuple[int, str] | None = None  # the first that the bank tells, and its line
        self._methods: dict[str, Callable[[int], Iterable[Item]]] = {
            "OFX": self._open, "/OFX": self._close,
            "STMTRS": self._open_statement, "CCSTMTRS": self._open_card_statement,
            "/STMTRS": self._close_statement, "/CCSTMTRS": self._close_statement,
            "BANKACCTFROM": self._open_account, "CCACCTFROM": self._open_account,
            "/BANKACCTFROM": self._close_account, "/CCACCTFROM": self._close_account,
            "STMTTRN": self._open_transaction, "/STMTTRN": self._close_transaction,
            "STATUS": self._open_status, "/STATUS": self._close_status,
        }  # fmt: skip

    def items(self) -> Iterator[Item]:
        """What the elements come to."""
        methods = self._methods
        for line, tag, text in self._elements:
            if self._until:
                if tag == self._until:
                    self._until = ""
            elif tag in methods:
                yield from methods[tag](line)
            elif self._transaction is not None:
                self._add_to_transaction(self._transaction, tag, text)
            elif text and not text.isspace():
                self._add_value(tag, text.strip())
            elif tag.endswith(("MSGSRSV1", "MSGSRQV1", "TRNRS", "TRANLISTP")) and not tag.startswith("/"):
                yield from self._leave_out(line, tag)
        self._check()

    def _check(self) -> None:
        """Refuse what is not whole, or only carries an error."""
        if self._until or not self._is_whole:
            missing = self._until or "/OFX"
            told = message("The file breaks off before its end: it lacks {tag}.", tag=f"<{missing}>")
            raise unreadable(told, self._elements.line)
        if self._error is not None and not self._transactions:
            line, status = self._error
            told = message("The file holds no transactions, only an error of the bank: {status}.", status=status)
            raise unreadable(told, line)

    def _leave_out(self, line: int, tag: str) -> Iterable[Item]:
        if tag in _READ:
            return
        self._until = f"/{tag}"
        if tag in _SILENT:
            return
        if tag.startswith(("INV", "SECLIST")):
            yield Skipped(line, message("Investments and securities are not imported."))
        elif tag.endswith("TRANLISTP"):
            yield Skipped(line, message("The bank has not booked these movements yet."))
        else:
            yield Skipped(line, message("{element} holds no movements of an account.", element=shown(tag)))

    # Files, statements, and what they say beside movements.

    def _open(self, line: int) -> Iterable[Item]:
        if self._depth:
            raise unreadable(message("The file breaks off before its end: it lacks {tag}.", tag="</OFX>"), line)
        self._depth, self._is_whole = 1, False
        return ()

    def _close(self, line: int) -> Iterable[Item]:
        self._is_whole, self._depth = self._depth == 1, 0
        return self._close_statement(line)

    def _open_statement(self, line: int) -> Iterable[Item]:
        items = self._close_statement(line)
        self._in_statement, self._is_named, self._status = True, False, None
        self._currency, self._account, self._kind = None, None, "bank"
        return items

    def _open_card_statement(self, line: int) -> Iterable[Item]:
        items = self._open_statement(line)
        self._kind = "card"
        return items

    def _close_statement(self, line: int) -> Iterable[Item]:
        items = self._abandon()
        self._in_statement = self._in_account = False
        return items

    def _open_account(self, line: int) -> Iterable[Item]:
        self._in_account, self._begins = self._in_statement, line
        return ()

    def _close_account(self, line: int) -> Iterable[Item]:
        if not self._in_account:
            return ()
        self._in_account = False
        if self._is_named:
            raise unreadable(message("A statement names its account once, and before its movements."), line)
        return self._name_account(self._begins)

    def _name_account(self, line: int) -> Iterable[Item]:
        self._is_named = True
        return self._accounts.meet(line, self._account, self._currency, self._kind)

    def _open_status(self, line: int) -> Iterable[Item]:
        self._status, self._begins = {}, line
        return ()

    def _close_status(self, line: int) -> Iterable[Item]:
        status, self._status = self._status, None
        if status and status.get("SEVERITY", "").upper() == "ERROR":
            told = [status.get(name, "") for name in ("CODE", "SEVERITY", "MESSAGE")]
            error = shown(" ".join(filter(None, told)))
            self._error = self._error or (self._begins, error)
            yield Skipped(self._begins, message("The bank tells of an error: {status}.", status=error))

    def _add_value(self, tag: str, value: str) -> None:
        if self._status is not None:
            self._status[tag] = one_line(value)
        elif self._in_account:
            if tag == "ACCTID":
                self._account = one_line(value)
            elif tag == "ACCTTYPE" and self._kind != "card":
                self._kind = _KINDS.get(value.upper(), "bank")
        elif self._in_statement and tag == "CURDEF":
            self._currency = value

    # Movements.

    def _abandon(self) -> Iterable[Item]:
        """Refuse the transaction that is open where it cannot be."""
        if self._transaction is None:
            return ()
        self._transaction = None
        self._transactions += 1
        return (Refused(self._begins, {"line": [message("It breaks off before its end.")]}),)

    def _open_transaction(self, line: int) -> Iterable[Item]:
        items = self._abandon()
        self._transaction, self._begins, self._inner = {}, line, ""
        return items

    def _add_to_transaction(self, values: dict[str, str], tag: str, text: str) -> None:
        if tag in _INNER:
            self._inner = tag
        elif tag.startswith("/"):
            if tag[1:] == self._inner:
                self._inner = ""
        elif value := text.strip():
            name = f"{self._inner}.{tag}" if self._inner else tag
            if name in _VALUES and values.setdefault(name, value) != value:
                values[_TWICE] = tag

    def _close_transaction(self, line: int) -> Iterable[Item]:
        values, self._transaction = self._transaction, None
        if values is not None:
            self._transactions += 1
            if self._in_statement and not self._is_named:
                yield from self._name_account(self._begins)
            yield self._movement(self._begins, values)

    def _movement(self, line: int, values: dict[str, str]) -> Item:
        errors: Errors = {}
        if not self._in_statement:
            errors["line"] = [message("It stands outside a statement.")]
        elif _TWICE in values:
            errors["line"] = [message("{element} stands twice in it.", element=values[_TWICE])]
        posted = values.get("DTPOSTED", "")
        date = read_day(posted, posted if _DATE.fullmatch(posted) else "", errors)
        amount = read_amount(values.get("TRNAMT", ""), _WRITTEN, errors)
        check_currency(self._currency, self._accounts.currency_of(self._account), errors)
        check_currency(values.get("CURRENCY.CURSYM"), self._currency, errors)
        if errors or date is None or amount is None:
            return Refused(line, errors)
        if not amount:
            return Skipped(line, ZERO)
        payee, description, notes = _texts(values)
        reference = values.get("FITID")
        if reference is not None:
            content = (date, amount, payee, description, notes)
            before = self._references.meet((self._account, reference), content)
            if before is None:
                return Skipped(line, message("It stands twice in this file."))
            if before:
                told = message("Another movement of this account has the reference {reference}.",
                               reference=shown(reference))  # fmt: skip
                return Refused(line, {"line": [told]})
        return Movement(
            line=line, date=date, amount=amount, description=description, payee=payee, notes=notes,
            account=self._accounts.booked_on(self._account), currency=self._currency, reference=reference,
        )  # fmt: skip


def _texts(values: dict[str, str]) -> tuple[str | None, str, str | None]:
    """Payee, description and notes."""
    notes = []
    check = values.get("CHECKNUM", "")
    check = f"Check {check}" if check.strip("0") else ""
    name = values.get("EXTDNAME") or values.get("NAME") or values.get("PAYEE.NAME")
    payee = one_line(name) if name else None
    description = (
        one_line(values.get("MEMO", "")) or payee or check or _TYPES.get(values.get("TRNTYPE", "").upper(), "")
    )
    if check and check != description:
        notes.append(check)
    if "REFNUM" in values:
        notes.append(f"Reference {values['REFNUM']}")
    for other in ("BANKACCTTO.ACCTID", "CCACCTTO.ACCTID"):
        if other in values:
            notes.append(f"Other account {values[other]}")
    if "ORIGCURRENCY.CURSYM" in values:
        notes.append(f"Originally in {values['ORIGCURRENCY.CURSYM']}, at {values.get('ORIGCURRENCY.CURRATE', '?')}")
    return payee, *fitting(description, notes)


# Out.

_NAME_CHARACTERS_MAX: Final = 32
_EXTENDED_NAME_CHARACTERS_MAX: Final = 100
_MEMO_CHARACTERS_MAX: Final = 255
_WAITING_CHARACTERS_MAX: Final = 4 * 1_048_576
_ACCOUNT_TYPES: Final = {"savings": "SAVINGS", "loan": "CREDITLINE"}
_PART_BYTES: Final = 262_144
_SPECIAL: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_NOT_IN_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD: Final = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<?OFX OFXHEADER="200" VERSION="211" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>
<OFX>
<SIGNONMSGSRSV1><SONRS><STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS><DTSERVER>{day}</DTSERVER>\
<LANGUAGE>ENG</LANGUAGE></SONRS></SIGNONMSGSRSV1>
"""


class _Statement:
    """What is known of an account's statement while rows come."""

    def __init__(self) -> None:
        self.first = self.last = ""
        self.minor_units = 0
        self.waiting: list[str] = []  # rows that are not in the file yet
        self.places: list[tuple[int, int]] = []  # of those that are: their offset and length in bytes


def write(books: Books) -> Iterator[str]:
    """The text of an export: rows come by date and a statement is of one account, so a temporary file sorts them."""
    statements: dict[str, _Statement] = {}
    waiting = 0
    with tempfile.SpooledTemporaryFile(_WAITING_CHARACTERS_MAX) as file:
        for row in books.rows:
            if row.status == "pending":
                continue
            statement = statements.get(row.account)
            if statement is None:
                statement = statements[row.account] = _Statement()
                statement.first = row.date
            statement.last = row.date
            statement.minor_units += row.minor_units
            text = _transaction(row)
            statement.waiting.append(text)
            waiting += len(text)
            if waiting > _WAITING_CHARACTERS_MAX:
                _put_down(statements.values(), file)
                waiting = 0
        _put_down(statements.values(), file)
        yield _HEAD.format(
            day=_day(max((one.last for one in statements.values()), default=books.first_day.isoformat()))
        )
        accounts = [account for account in books.accounts if account["name"] in statements]
        for name, is_card in (("BANKMSGSRSV1", False), ("CREDITCARDMSGSRSV1", True)):
            chosen = [account for account in accounts if (account["kind"] == "card") == is_card]
            if chosen:
                yield f"<{name}>\n"
                for account in chosen:
                    yield from _statement(account, statements[account["name"]], file)
                yield f"</{name}>\n"
        yield "</OFX>\n"


def _put_down(statements: Iterable[_Statement], file: IO[bytes]) -> None:
    """Write the rows that wait into the file, those of an account together."""
    for statement in statements:
        if statement.waiting:
            text = "".join(statement.waiting).encode()
            statement.places.append((file.tell(), len(text)))
            file.write(text)
            statement.waiting.clear()


def _statement(account: Mapping[str, Any], statement: _Statement, file: IO[bytes]) -> Iterator[str]:
    prefix, named = "", f"<ACCTID>{_escaped(account['name'])}</ACCTID>"
    if account["kind"] == "card":
        prefix, named = "CC", f"<CCACCTFROM>{named}</CCACCTFROM>"
    else:
        type_ = _ACCOUNT_TYPES.get(account["kind"], "CHECKING")
        named = f"<BANKACCTFROM><BANKID>CASHMAN</BANKID>{named}<ACCTTYPE>{type_}</ACCTTYPE></BANKACCTFROM>"
    first, last = _day(statement.first), _day(statement.last)
    balance = in_units(account["opening_minor_units"] + statement.minor_units, account["currency"])
    yield (
        f"<{prefix}STMTTRNRS><TRNUID>0</TRNUID><STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS>\n"
        f"<{prefix}STMTRS><CURDEF>{account['currency']}</CURDEF>{named}\n"
        f"<BANKTRANLIST><DTSTART>{first}</DTSTART><DTEND>{last}</DTEND>\n"
    )
    for offset, length in statement.places:
        file.seek(offset)
        yield file.read(length).decode()
    yield (
        f"</BANKTRANLIST>\n<LEDGERBAL><BALAMT>{balance}</BALAMT><DTASOF>{last}</DTASOF></LEDGERBAL>"
        f"</{prefix}STMTRS></{prefix}STMTTRNRS>\n"
    )


def _transaction(row: Booked) -> str:
    kind = "XFER" if row.type == "TRANSFER" else "DEBIT" if row.minor_units < 0 else "CREDIT"
    name = row.payee or row.description
    extended = ""
    if len(name) > _NAME_CHARACTERS_MAX:
        extended = f"<EXTDNAME>{_escaped(name[:_EXTENDED_NAME_CHARACTERS_MAX])}</EXTDNAME>"
        name = name[:_NAME_CHARACTERS_MAX]
    return (
        f"<STMTTRN><TRNTYPE>{kind}</TRNTYPE><DTPOSTED>{_day(row.date)}</DTPOSTED><TRNAMT>{row.amount}</TRNAMT>"
        f"<FITID>{row.id}</FITID><NAME>{_escaped(name)}</NAME>{extended}"
        f"<MEMO>{_escaped(row.description[:_MEMO_CHARACTERS_MAX])}</MEMO></STMTTRN>\n"
    )


def _day(date: str) -> str:
    return date.replace("-", "")


def _escaped(text: str) -> str:
    text = text if text.isprintable() else _NOT_IN_XML.sub(" ", text)
    return text.translate(_SPECIAL)
