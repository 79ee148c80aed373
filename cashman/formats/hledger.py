"""Hledger's journals: read line by line, their includes never opened; and written."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from cashman.formats import cells
from cashman.formats.commodities import Commodities
from cashman.formats.entries import (
    EXACT,
    OWN,
    BadLine,
    Block,
    Entry,
    Posting,
    account_name,
    day_of,
    notes_of,
    number_of,
)
from cashman.formats.plain_text import CATEGORY, EQUITY, MONEY, OPENING, UNKNOWN, Names, is_beancount, items_of
from cashman.formats.postings import (
    Line,
    OutgoingNames,
    currencies_of,
    in_parts,
    lines_of,
    negated,
    openings_of,
    words_of,
)
from cashman.formats.records import Booked, Books, Item, Options, Refused, Skipped, unreadable
from cashman.formats.source import Source
from cashman.limits import CATEGORY_DEPTH_MAX
from cashman.model.currency import CURRENCIES
from cashman.translations import message

NAME: Final = "hledger"
MEDIA_TYPE: Final = "text/x-hledger"
SUFFIXES: Final = (".journal", ".hledger", ".j")

_ALIASES_MAX: Final = 1_000  # each is tried at every posting

_RECOGNIZED: Final = re.compile(
    r"""^(?:(?:[0-9]{4,}[-/.])?[0-9]{1,2}[-/.][0-9]{1,2}(?:=[0-9./-]+)?(?:[ \t][^\n]*)?\r?\n
        (?:[ \t]+;[^\n]*\n)*[ \t]+[^\s;0-9+-][^\n]*
    |account[ \t]+(?i:assets?|liabilit(?:y|ies)|debts?|expenses?|income|revenues?|equity)(?:[ \t\r\n:])
    |commodity[ \t]+["$€£0-9A-Z][^\n,]*[0-9][^\n]*$|decimal-mark[ \t]+[.,]|P[ \t]+[0-9]{4,}[-/.][0-9]
    |[~=][ \t]+\S[^\n]*\n[ \t]+\S|apply[ \t]+account[ \t]|Y[0-9]{4,}[ \t\r\n])""",
    re.MULTILINE | re.VERBOSE,
)

_DATE: Final = re.compile(
    r"(?:([0-9]{4,})([-/.]))?([0-9]{1,2})([-/.])([0-9]{1,2})(?:=[0-9/.-]+)?(?![^ \t])[ \t]*"
    r"(?:[*!][ \t]*)?(?:\(([^)]*)\)[ \t]*)?([^;]*)(?:;(.*))?"
)
_POSTING: Final = re.compile(r"[ \t]+(?:[*!][ \t]*)?([^\s;]\S*(?: \S+)*)(?:(?:  |[ ]?\t)[ \t]*(.*))?[ \t]?")
_PLAIN_AMOUNT: Final = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?) ([A-Z]{3})(?:[ \t]+;(.*))?")
_COMMENT: Final = re.compile(r'(?:[^;"]|"[^"]*")*')
_LOT: Final = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")

_OWN: Final = re.compile(rf'(?<![^\s,]){OWN}([a-z-]+):[ \t]*("(?:[^"\\]|\\.)*"|[^,]*)')
_TAG: Final = re.compile(r"(?<![^\s,])([^\s:,]+):[ \t]*(?=,|$)")
_TYPE: Final = re.compile(r"(?<![^\s,])type:[ \t]*([A-Za-z]+)")

_TYPES: Final = {
    "a": MONEY, "asset": MONEY, "c": MONEY, "cash": MONEY, "l": MONEY, "liability": MONEY,
    "r": CATEGORY, "revenue": CATEGORY, "income": CATEGORY, "x": CATEGORY, "expense": CATEGORY,
    "e": EQUITY, "equity": EQUITY, "v": EQUITY, "conversion": EQUITY,
}  # fmt: skip
_TOP_NAMES: Final = {
    "asset": MONEY, "assets": MONEY, "liability": MONEY, "liabilities": MONEY, "debt": MONEY, "debts": MONEY,
    "income": CATEGORY, "revenue": CATEGORY, "revenues": CATEGORY, "expense": CATEGORY, "expenses": CATEGORY,
    "equity": EQUITY,
}  # fmt: skip
_QUIET: Final = ("payee", "tag", "end", "apply", "Y", "decimal-mark", "commodity", "D")


def recognizes(head: str) -> bool:
    """Whether a file that begins so is a journal."""
    return _RECOGNIZED.search(head) is not None and not is_beancount(head)


def read(source: Source, options: Options) -> Iterator[Item]:
    """Every transaction as what it is here, in the file's order; what is none with the reason."""
    kinds = _Kinds()
    names = Names(kinds.of)
    ahead = _Reader(source, names, kinds)
    for block in ahead.blocks():
        ahead.look_ahead(block)
    reader = _Reader(source, names, kinds)
    for block in reader.blocks():
        yield from reader.items(block)


class _Kinds:
    """What the accounts of a journal are: as they are declared, or as the first part of their names says."""

    def __init__(self) -> None:
        self.declared: dict[str, str] = {}

    def of(self, account: str) -> tuple[str, str]:
        top, _, rest = account.partition(":")
        by_name = _TOP_NAMES.get(top.lower(), UNKNOWN)
        kind, part = by_name, account
        while part:
            if part in self.declared:
                kind = self.declared[part]
                break
            part = part.rpartition(":")[0]
        if kind == CATEGORY:
            return kind, rest if by_name == CATEGORY else account
        if kind == EQUITY and "opening" in account.lower():
            kind = OPENING
        return kind, account


class _Reader:
    """One way through a journal, with what its directives have said so far."""

    def __init__(self, source: Source, names: Names, kinds: _Kinds) -> None:
        self.source = source
        self.names = names
        self.kinds = kinds
        self.year: int | None = None
        self.commodities = Commodities()
        self.prefixes: list[str] = []
        self.aliases: list[tuple[str, str]] = []

    def blocks(self) -> Iterator[Block]:
        """The journal's parts, without comments."""
        block, skipping = None, False
        with self.source.open() as text:
            for number, raw in enumerate(cells.lines_of(text, maximum=cells.ENTRY_LINE_CHARACTERS_MAX), 1):
                line = raw.rstrip()
                if skipping:
                    skipping = line != "end comment"
                    continue
                if not line or line[0] not in " \t":
                    if block is not None:
                        yield block
                    block = None
                    if line in ("comment", "test"):
                        skipping = True
                    elif line and line[0] not in ";#*%|":
                        block = Block(number, line)
                elif block is not None:
                    block.body.append((number, line))
                    cells.check_lines(len(block.body), block.line)
                elif line.lstrip()[0] not in ";#*":
                    yield Block(number, line)
        if block is not None:
            yield block

    # Directives.

    def look_ahead(self, block: Block) -> None:
        """Learn what has to be known before the first transaction: names, kinds and opening balances."""
        if block.head[0].isdecimal():
            for _, line in block.body:
                if "pening" in line or "PENING" in line:
                    self._note_opening(block)
                    break
            return
        self._obey(block)
        if block.head.startswith("account "):
            try:
                account, comment = self._declared(block)
                found = _TYPE.search(comment)
                if found is not None and found[1].lower() in _TYPES:
                    self.kinds.declared[account] = _TYPES[found[1].lower()]
                self.names.declare(account, _own(block.line, comment))
            except BadLine:
                return

    def _note_opening(self, block: Block) -> None:
        try:
            self.names.note_openings(self._entry(block)[0])
        except BadLine:
            return  # it is told when the block is read

    def _declared(self, block: Block) -> tuple[str, str]:
        """An account that is declared, and what is said beside it."""
        name, _, comment = re.sub(r"[ \t]{2,}|\t", "\0", block.head[8:].strip(), count=1).partition("\0")
        beside = ", ".join([text.strip().lstrip(";") for text in (comment, *(text for _, text in block.body))])
        return self._full(block.line, name.strip()), beside

    def _obey(self, block: Block) -> None:
        """Do what a directive says about what comes after it."""
        if block.head[0] in " \t":
            return
        word, _, rest = block.head.partition(" ")
        rest = rest.strip()
        if word[0] == "Y" and (word[1:] or rest).isdecimal():
            self.year = int((word[1:] or rest)[:9])
        elif word == "decimal-mark" and rest[:1] in (".", ","):
            self.commodities.mark = rest[0]
        elif word in ("commodity", "D"):
            self.commodities.note(word, rest, block.body)
        elif word == "apply" and rest.startswith("account "):
            self._nest(block.line, rest[8:].strip())
        elif word == "apply" and rest.startswith("year "):
            self.year = int(rest[5:].strip()[:9]) if rest[5:].strip().isdecimal() else None
        elif block.head.startswith("end apply account") and self.prefixes:
            self.prefixes.pop()
        elif word == "alias":
            self._add_alias(block.line, rest)
        elif block.head.startswith("end aliases"):
            self.aliases.clear()

    def _nest(self, line: int, prefix: str) -> None:
        if len(self.prefixes) >= CATEGORY_DEPTH_MAX:
            told = message("At most {maximum} accounts one within the other.", maximum=CATEGORY_DEPTH_MAX)
            raise unreadable(told, line)
        self.prefixes.append(prefix)

    def _add_alias(self, line: int, rest: str) -> None:
        old, _, new = rest.partition("=")
        if old.lstrip().startswith("/"):
            told = message(
                "An alias that is a regular expression is not followed, so its accounts would be wrong ones."
            )
            raise unreadable(told, line)
        if len(self.aliases) >= _ALIASES_MAX:
            raise unreadable(message("At most {maximum} aliases.", maximum=_ALIASES_MAX), line)
        self.aliases.insert(0, (old.strip(), new.strip()))

    def _full(self, line: int, account: str) -> str:
        """An account as the directives before it make it."""
        account = account_name(line, ":".join([*self.prefixes, account]))
        for old, new in self.aliases:
            if account == old:
                account = new
            elif account.startswith(f"{old}:"):
                account = account_name(line, new + account[len(old) :])
        return account

    def items(self, block: Block) -> Iterator[Item]:
        """What a part of the journal comes to."""
        if block.head[0].isdecimal():
            yield from self._booked(block)
            return
        self._obey(block)
        word = block.head.split(None, 1)[0]
        if word == "account":
            yield from self._opened(block)
        elif word in ("include", "!include"):
            yield Skipped(block.line, message("This is another file, and is not read: import it, too."))
        elif word[0] in "~=":
            yield Skipped(block.line, message("A rule is not followed: only what is booked is read."))
        elif word in ("i", "o", "b", "h", "I", "O"):
            yield Refused(block.line, {"line": [message("A time entry is no movement of money.")]})
        elif word in ("P", "alias"):
            yield Skipped(block.line, message("{directive}: no movement of money.", directive=word))
        elif word not in _QUIET and word[0] != "Y":
            yield Refused(block.line, {"line": [message("This is nothing that stands in a journal.")]})

    def _opened(self, block: Block) -> Iterator[Item]:
        try:
            account, comment = self._declared(block)
            words = _own(block.line, comment)
            item = self.names.account(block.line, account, words.get("currency"), words)
        except BadLine as bad:
            yield bad.refused
            return
        if item is not None:
            yield item

    # Transactions.

    def _booked(self, block: Block) -> Iterator[Item]:
        try:
            entry, virtual = self._entry(block)
        except BadLine as bad:
            yield bad.refused
            return
        if entry.postings or virtual is None:
            yield from items_of(entry, self.names)
        if virtual is not None:
            yield Skipped(virtual, message("A virtual posting moves no money."))

    def _entry(self, block: Block) -> tuple[Entry, int | None]:
        """A transaction, and the first line of its virtual postings."""
        head = _DATE.fullmatch(block.head)
        if head is None:
            raise BadLine(block.line, "line", message("This is nothing that stands in a journal."))
        code, title, comment = head[6], head[7], head[8]
        payee, bar, description = title.partition("|")
        if not bar:
            payee, description = "", title
        date = self._date(block.line, head)
        entry = Entry(block.line, date, description.strip(), payee.strip() or None, [], None, [], {}, True)
        comments = [] if comment is None else [comment.strip()]
        virtual: int | None = None
        for line, text in block.body:
            start = text.lstrip()
            if start[0] == ";":
                self._add_comment(entry, comments, line, start[1:].strip())
                continue
            posting, said = self._posting(line, text)
            if said:
                self._add_comment(entry, comments, line, said, posting)
            if posting is None:
                virtual = virtual or line
            else:
                entry.postings.append(posting)
        if comments:
            self._tell(entry, comments)
        if not entry.words:
            entry.notes = notes_of([f"({code.strip()})" if code and code.strip() else "", *comments])
        return entry, virtual

    @staticmethod
    def _add_comment(entry: Entry, comments: list[str], line: int, text: str, posting: Posting | None = None) -> None:
        """A comment is about the posting above it, or beside it, where there is one."""
        posting = posting or (entry.postings[-1] if entry.postings else None)
        words = _own(line, text) if OWN in text else {}
        if words and posting is not None:
            posting.words = posting.words or {}
            posting.words.update(words)
        else:
            comments.append(text)

    @staticmethod
    def _tell(entry: Entry, comments: list[str]) -> None:
        """Take tags and Cashman's own words out of the comments of a transaction."""
        found: list[str] = []
        for comment in comments:
            if OWN in comment:
                entry.words.update(_own(entry.line, comment))
            if ":" in comment:
                found += [tag for tag in _TAG.findall(comment) if not tag.startswith(OWN)]
        entry.tags = list(dict.fromkeys(found))

    def _date(self, line: int, head: "re.Match[str]") -> dt.date:
        year = head[1] or (str(self.year) if self.year is not None else None)
        if year is None:
            raise BadLine(line, "date", message("The date has no year, and no line before says which: Y2026."))
        if head[2] and head[2] != head[4]:
            raise BadLine(line, "date", message("The numbers of a date are parted by the same sign."))
        return day_of(line, f"{year:>04}-{head[3]:>02}-{head[5]:>02}")

    def _posting(self, line: int, text: str) -> tuple[Posting | None, str]:
        """A posting, None where it is virtual, and the comment beside it."""
        found = _POSTING.fullmatch(text)
        if found is None:
            raise BadLine(line, "line", message("This is neither a posting nor a comment."))
        account, rest = found[1], found[2] or ""
        if account[0] in "([" and account[-1] in ")]":
            return None, ""
        account_name(line, account)
        if self.prefixes or self.aliases:
            account = self._full(line, account)
        plain = _PLAIN_AMOUNT.fullmatch(rest)
        if plain is not None and self.commodities.mark_of(plain[2]) != ",":
            return Posting(line, account, number_of(line, plain[1]), plain[2]), (plain[3] or "").strip()
        closed = _COMMENT.match(rest)
        end = closed.end() if closed is not None else 0
        posting = Posting(line, account)
        self._set_amount(posting, rest[:end].strip())
        return posting, rest[end + 1 :].strip()

    def _set_amount(self, posting: Posting, text: str) -> None:
        if "{" in text or "[" in text:
            text = _LOT.sub(" ", text)
            posting.lot = posting.priced = True
        amount, asserted, _ = text.partition("=")
        amount, at, price = amount.partition("@")
        if not amount.strip():
            if asserted or at or posting.lot:
                told = message("Only a balance is given here, and no amount: what was moved is not said.")
                raise BadLine(posting.line, "amount", told)
            return
        read = self.commodities.amount
        posting.number, posting.currency = read(posting.line, amount.strip().removesuffix("(").strip())
        if at:
            total = price.startswith("@")
            each, currency = read(posting.line, price.removeprefix("@").removeprefix(")").strip())
            posting.priced = True
            posting.weight_currency = currency
            number = posting.number
            posting.weight = each.copy_sign(number) if total else EXACT.multiply(number, each)


def _own(line: int, comment: str) -> dict[str, str]:
    """What Cashman itself has said in a comment."""
    if OWN not in comment:
        return {}
    words = {}
    for name, text in _OWN.findall(comment):
        if text.startswith('"'):
            try:
                words[name] = msgspec.json.decode(text, type=str)
            except msgspec.DecodeError:
                raise BadLine(
                    line, "line", message("What stands behind {name} has to be a JSON string.", name=OWN + name)
                ) from None
        else:
            words[name] = text.strip()
    return words


# What goes out.

_KEPT: Final = re.compile(r"(?:assets|liabilities):.+", re.IGNORECASE)
_PLAIN_TAG: Final = re.compile(r"(?!cashman-|date|type)[\w/.-]+")
_PLAIN_WORD: Final = re.compile(r"[A-Z0-9a-z.-]+")
_IN_COMMENTS: Final = str.maketrans({",": "\\u002c", ":": "\\u003a", "[": "\\u005b", "]": "\\u005d"})
_NOT_IN_NAMES: Final = re.compile(r"[;\s]+")


def write(books: Books) -> Iterator[str]:
    """A journal that hledger takes, and from which the same books can be read again."""
    names = OutgoingNames(books, _clean, lambda name: _KEPT.fullmatch(name) is not None and _clean(name) == name)
    yield "".join(_preamble(books, names))
    yield from in_parts(books, lambda rows: _transaction(rows, names))


def _clean(name: str) -> str:
    """An account's name as hledger takes it: without what ends it, in parts that are not empty."""
    parts = (_NOT_IN_NAMES.sub(" ", _printable(part)).strip() for part in name.split(":"))
    return ":".join(part or "X" for part in parts)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def _words(words: dict[str, str]) -> str:
    """What Cashman says, as tags of a comment."""
    return ", ".join(
        [f"{OWN}{name}:{text if _PLAIN_WORD.fullmatch(text) else _json(text)}" for name, text in words.items()]
    )


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode().translate(_IN_COMMENTS)


def _preamble(books: Books, names: OutgoingNames) -> Iterator[str]:
    yield f"; Cashman {books.ledger}\n\ndecimal-mark .\n"
    for currency in currencies_of(books):
        yield f"commodity 1000.{'0' * CURRENCIES[currency]} {currency}\n"
    yield "\naccount Equity:Opening-Balances\n"
    for declared in names.declarations:
        words = declared.words if declared.currency is None else {**declared.words, "currency": declared.currency}
        yield f"account {declared.name}{f'  ; {_words(words)}' if words else ''}\n"
    yield "\n"
    for opened, _, account, amount, currency in openings_of(books, names):
        yield f"{opened} * Opening balance\n    {account}  {amount} {currency}\n"
        yield f"    Equity:Opening-Balances  {negated(amount)} {currency}\n\n"


def _transaction(rows: list[Booked], names: OutgoingNames) -> str:
    first = rows[0]
    title, texts = _title(first)
    words, tags = words_of(first, _PLAIN_TAG, texts)
    marks = ", ".join([f"{tag}:" for tag in tags])
    flag = "*" if first.status == "posted" else "!"
    postings = "".join([_posting_text(line) for line in lines_of(rows, names)])
    said = f"{_words(words)}{', ' if marks else ''}{marks}"
    return f"{first.date} {flag} {title}  ; {said}\n{postings}\n"


def _title(row: Booked) -> tuple[str, dict[str, str]]:
    """Payee and description as hledger takes them, and as they are where they cannot stand there."""
    description, payee = row.description, row.payee
    text = description if payee is None else f"{payee} | {description}"
    if (
        text.isprintable()
        and ";" not in text
        and text[0] not in " (|"
        and text[-1] not in " |"
        and text.count("|") == (payee is not None)
        and (payee is None or (payee[-1] != " " and description[0] != " "))
    ):
        return text, {}
    cleaned = " ".join(_printable(text).replace(";", ",").split()).lstrip("(*!= ")
    return cleaned, {"description": description, "payee": payee or ""}


def _posting_text(line: Line) -> str:
    price = "" if line.price is None else f" @@ {line.price}"
    said = f"  ; {_words(line.words)}" if line.words else ""
    return f"    {line.account}  {line.amount} {line.currency}{price}{said}\n"
