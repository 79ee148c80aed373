"""Beancount's plain text: read line by line, its plugins never run and its includes never opened; and written."""

import datetime as dt
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from cashman.formats import cells
from cashman.formats.entries import (
    EXACT,
    OWN,
    BadLine,
    Block,
    Entry,
    Posting,
    account_name,
    day_of,
    is_money,
    notes_of,
    number_of,
    one_line,
)
from cashman.formats.expressions import evaluate
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
from cashman.limits import TAGS_MAX
from cashman.model.currency import CURRENCIES
from cashman.translations import message

NAME: Final = "beancount"
MEDIA_TYPE: Final = "text/x-beancount"
SUFFIXES: Final = (".beancount", ".bean")

_STRING_LINES_MAX: Final = 1_000  # of one string: else a file that lacks a quote would be one

# A line up to the first quote that is not closed, or to a comment.
_CLOSED: Final = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*")*', re.DOTALL)
_CLOSING: Final = re.compile(r'(?:[^"\\]|\\.)*\\?', re.DOTALL)

_HEADER: Final = re.compile(
    r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})[ \t]+(?:(txn|[*!&#?%A-Z])(?![A-Za-z])|([a-z]+)(?![A-Za-z]))[ \t]*(.*)",
    re.DOTALL,
)
_TAGS: Final = r"[A-Za-z0-9_/.-]+"
_PLAIN_WORDS: Final = re.compile(rf'"([^"\\]*)"(?:[ \t]*"([^"\\]*)")?[ \t]*((?:[#^]{_TAGS}[ \t]*)*)(?:;.*)?', re.DOTALL)
_WORD: Final = re.compile(rf'[ \t\n]+|"((?:[^"\\]|\\.)*)"|#({_TAGS})|\^({_TAGS})|\||(;.*)', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "b": "\b"}

_FLAG: Final = r"(?:[*!&#?%A-Z][ \t]+)?"
_ACCOUNT: Final = r"[^\W\d_a-z][^\s:;\"{}@,()]*(?::[^\s:;\"{}@,()]+)+"
_CURRENCY: Final = r"[A-Z][A-Z0-9'._-]*"
_PLAIN_POSTING: Final = re.compile(
    rf"[ \t]+{_FLAG}({_ACCOUNT})(?:[ \t]+([-+]?[0-9][0-9,]*(?:\.[0-9]*)?)[ \t]*({_CURRENCY}))?[ \t]*(?:;.*)?"
)
_POSTING: Final = re.compile(rf"[ \t]+{_FLAG}({_ACCOUNT})[ \t]*(.*)", re.DOTALL)
_METADATA: Final = re.compile(r"[ \t]+([a-z][a-zA-Z0-9_-]*):(?:[ \t]+(.*))?", re.DOTALL)
_AMOUNT: Final = re.compile(rf"([-+*/()., \t0-9]*)({_CURRENCY})?")
_OPEN: Final = re.compile(rf'({_ACCOUNT})(?![^\s;"])([^";]*)(?:"[A-Z_]*"[ \t]*)?(?:;.*)?')
_COMMODITY: Final = re.compile(_CURRENCY)
_SETTING: Final = re.compile(r'option[ \t]+"(name_[a-z]+)"[ \t]+"([^"\\]*)"')
_PUSHED: Final = re.compile(rf"(push|pop)tag[ \t]+#({_TAGS})")
_TOP: Final = ("option", "plugin", "include")
_QUIET: Final = ("pushtag", "poptag", "pushmeta", "popmeta")
_ORG: Final = "*:#!&?%;"
"""What a line begins with that Beancount passes over."""

_KNOWN_DIRECTIVES: Final = frozenset(
    ("close", "commodity", "pad", "balance", "note", "document", "price", "event", "query", "custom")
)


def recognizes(head: str) -> bool:
    """Whether a file that begins so is of Beancount."""
    return is_beancount(head)


def read(source: Source, options: Options) -> Iterator[Item]:
    """Every transaction as what it is here, in the file's order; what is none with the reason."""
    return _Reader(source).items()


def _blocks(source: Source) -> Iterator[Block]:
    """The directives of a file, strings over several lines in one piece."""
    block = None
    with source.open() as text:
        numbered = enumerate(cells.lines_of(text, maximum=cells.ENTRY_LINE_CHARACTERS_MAX), 1)
        for number, raw in numbered:
            line = raw.rstrip()
            if '"' in line and (line.count('"') & 1 or "\\" in line) and _is_open(line):
                line = _to_its_end(number, raw, numbered)
            if not line:
                continue
            if line[0] in " \t":
                if block is not None:
                    block.body.append((number, line))
                    cells.check_lines(len(block.body), block.line)
                elif line.strip()[0] != ";":
                    yield Block(number, line)
            elif line[0] != ";":
                if block is not None:
                    yield block
                block = Block(number, line)
    if block is not None:
        yield block


def _is_open(line: str) -> bool:
    """Whether a string begins in a line that does not end there."""
    found = _CLOSED.match(line)
    return found is not None and line[found.end() : found.end() + 1] == '"'


def _to_its_end(number: int, raw: str, numbered: "enumerate[str]") -> str:
    """A line with those after it, up to where its strings are closed."""
    parts, characters = [raw], 0
    for _, following in numbered:
        parts.append(following)
        closing = _CLOSING.match(following)
        end = closing.end() if closing is not None else 0
        if end < len(following) and not _is_open(following[end + 1 :]):
            return "".join(parts).rstrip().replace("\r\n", "\n").replace("\r", "\n")
        characters += len(following)
        if len(parts) > _STRING_LINES_MAX or characters > cells.ENTRY_LINE_CHARACTERS_MAX:
            break
    raise unreadable(message("A string begins here that is not closed: the file is damaged or breaks off."), number)


class _Reader:
    """One file: first along its accounts and opening balances, then along everything."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.names = Names(self._kind_of)
        self.roots = {"Assets": MONEY, "Liabilities": MONEY, "Income": CATEGORY, "Expenses": CATEGORY, "Equity": EQUITY}
        self.equity = "Equity"
        self.pushed: list[str] = []

    def _kind_of(self, account: str) -> tuple[str, str]:
        root, _, rest = account.partition(":")
        kind = self.roots.get(root, UNKNOWN)
        if kind == CATEGORY:
            return kind, rest
        if kind == EQUITY and rest.lower().startswith("opening"):
            kind = OPENING
        return kind, account

    def items(self) -> Iterator[Item]:
        for block in _blocks(self.source):
            self._look_ahead(block)
        for block in _blocks(self.source):
            if block.head[0].isdecimal():
                yield from self._dated(block)
            else:
                yield from self._undated(block)

    def _look_ahead(self, block: Block) -> None:
        """Learn what has to be known before the first transaction: names, and opening balances."""
        setting = _SETTING.match(block.head)
        if setting is not None:
            self._rename_root(*setting.groups())
        if " open " in block.head:
            opened = _HEADER.match(block.head)
            account = _OPEN.match(opened[6]) if opened is not None and opened[5] == "open" else None
            if account is not None:
                self.names.declare(account[1], self._words(block.body))
                return
        for _, line in block.body:
            if self.equity in line:
                self._note_opening(block)
                return

    def _note_opening(self, block: Block) -> None:
        head = _HEADER.match(block.head)
        if head is not None and head[4]:
            try:
                self.names.note_openings(self._entry(block, head))
            except BadLine:
                return  # it is told when the block is read

    def _rename_root(self, option: str, name: str) -> None:
        usual = {f"name_{root.lower()}": kind for root, kind in self.roots.items()}
        if option in usual:
            self.roots[name] = usual[option]
            if option == "name_equity":
                self.equity = name

    def _undated(self, block: Block) -> Iterator[Item]:
        word = block.head.split(None, 1)[0]
        pushed = _PUSHED.match(block.head)
        if pushed is not None:
            if pushed[1] == "push" and len(self.pushed) >= TAGS_MAX:  # each would be on every entry that follows
                told = message("Longer than maximum length {maximum}.", maximum=TAGS_MAX)
                yield Refused(block.line, {"tags": [told]})
            elif pushed[1] == "push":
                self.pushed.append(pushed[2])
            elif pushed[2] in self.pushed:
                self.pushed.remove(pushed[2])
        elif word == "include":
            yield Skipped(block.line, message("This is another file, and is not read: import it, too."))
        elif word == "plugin":
            yield Skipped(block.line, message("A plugin is a program, and is not run."))
        elif word == "option":
            yield Skipped(block.line, message("{directive}: no movement of money.", directive=word))
        elif word not in _QUIET and block.head[0] not in _ORG and not _is_heading(block.head):
            yield Refused(block.line, {"line": [message("This is no directive of Beancount.")]})

    def _dated(self, block: Block) -> Iterator[Item]:
        head = _HEADER.match(block.head)
        if head is None or not (head[4] or head[5] == "open" or head[5] in _KNOWN_DIRECTIVES):
            yield Refused(block.line, {"line": [message("This is no directive of Beancount.")]})
            return
        try:
            if head[4]:
                yield from items_of(self._entry(block, head), self.names)
            elif head[5] == "open":
                yield from self._opened(block, head)
            elif head[5] == "pad":
                told = message("pad is not followed: what it adds to the account is missing here.")
                yield Skipped(block.line, told)
            else:
                yield Skipped(block.line, message("{directive}: no movement of money.", directive=head[5]))
        except BadLine as bad:
            yield bad.refused

    def _opened(self, block: Block, head: "re.Match[str]") -> Iterator[Item]:
        _date(block.line, head)
        account = _OPEN.fullmatch(head[6])
        if account is None:
            raise BadLine(block.line, "account", message("This names no account."))
        account_name(block.line, account[1])
        currencies = account[2].replace(",", " ").split()
        if not all(map(_COMMODITY.fullmatch, currencies)):
            raise BadLine(block.line, "currency", message("What stands behind the account is no commodity."))
        kind, _ = self.names.of(account[1])
        if kind == UNKNOWN:
            told = message("{account} is none of assets, liabilities, equity, income and expenses.", account=account[1])
            raise BadLine(block.line, "account", told)
        if kind == MONEY and currencies and not any(map(is_money, currencies)):
            yield Skipped(block.line, message("{commodity} is no currency of ISO 4217.", commodity=currencies[0]))
            return
        currency = currencies[0] if len(currencies) == 1 else None
        item = self.names.account(block.line, account[1], currency, self._words(block.body))
        if item is not None:
            yield item

    @staticmethod
    def _words(body: list[tuple[int, str]]) -> dict[str, str]:
        """What Cashman itself has said of a directive."""
        words = {}
        for _, text in body:
            found = _METADATA.fullmatch(text)
            if found is not None and found[1].startswith(OWN) and found[2]:
                words[found[1].removeprefix(OWN)] = _string(found[2]) or ""
        return words

    def _entry(self, block: Block, head: "re.Match[str]") -> Entry:
        date = _date(block.line, head)
        plain = _PLAIN_WORDS.fullmatch(head[6])
        if plain is not None:
            first, second, marks = plain.groups()
            strings = [first] if second is None else [first, second]
            marked = marks.split() if marks.count("#") + marks.count("^") <= 1 else re.findall(rf"[#^]{_TAGS}", marks)
            tags = [mark[1:] for mark in marked if mark[0] == "#"]
            links = [mark for mark in marked if mark[0] == "^"]
        else:
            strings, tags, links = _words_of(block.line, head[6])
        entry = Entry(
            block.line,
            date,
            strings[-1] if strings else "",
            strings[0] if len(strings) > 1 else None,
            tags,
            None,
            [],
            {},
        )
        said = _Body(entry, links)
        for line, text in block.body:
            said.add(line, text)
        if not entry.words:
            entry.description = one_line(entry.description)
            entry.payee = one_line(entry.payee or "") or None
            if said.notes:
                entry.notes = notes_of(said.notes)
        if self.pushed or len(entry.tags) > 1:
            entry.tags = list(dict.fromkeys([*entry.tags, *self.pushed]))
        return entry


def _is_heading(line: str) -> bool:
    """Whether a line is passed over as Beancount does: a capital flag at its beginning, alone."""
    return line[0] in "PSTCURM" and line[1:2] in ("", " ", "\t")


class _Body:
    """The lines below a transaction, as they come."""

    __slots__ = ("entry", "notes")

    def __init__(self, entry: Entry, links: list[str]) -> None:
        self.entry = entry
        self.notes = links
        """What is kept beside what is booked."""

    def add(self, line: int, text: str) -> None:
        start = text.lstrip()[0]
        plain = None if "a" <= start <= "z" else _PLAIN_POSTING.fullmatch(text)
        if plain is not None:
            account, number, currency = plain.groups()
            value = None if number is None else number_of(line, number.replace(",", "") if "," in number else number)
            self.entry.postings.append(Posting(line, account_name(line, account), value, currency))
            return
        if start == ";":
            return
        metadata = _METADATA.fullmatch(text)
        if metadata is not None:
            self._add_metadata(line, metadata[1], metadata[2] or "")
        elif start in "#^":
            _, tags, links = _words_of(line, text)
            self.entry.tags += tags
            self.notes += links
        else:
            self.entry.postings.append(_posting(line, text))

    def _add_metadata(self, line: int, key: str, value: str) -> None:
        text = _string(value)
        if key.startswith(OWN):
            if text is None:
                raise BadLine(line, "line", message("What stands behind {name} has to be a string.", name=key))
            last = self.entry.postings[-1] if self.entry.postings else None
            if last is None:
                self.entry.words[key.removeprefix(OWN)] = text
            elif last.words is None:
                last.words = {key.removeprefix(OWN): text}
            else:
                last.words[key.removeprefix(OWN)] = text
        elif text is not None and text.strip():
            self.notes.append(text.strip() if key in ("note", "notes") else f"{key}: {one_line(text)}")


def _date(line: int, head: "re.Match[str]") -> dt.date:
    year, month, day = head[1], head[2], head[3]
    return day_of(line, f"{year}-{month:>02}-{day:>02}")


def _string(text: str) -> str | None:
    """What stands in quotes at the beginning of a text; None where nothing does."""
    found = _WORD.match(text)
    return None if found is None or found[1] is None else _unescaped(found[1])


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)


def _words_of(line: int, text: str) -> tuple[list[str], list[str], list[str]]:
    """Strings, tags and links of a text."""
    strings: list[str] = []
    tags: list[str] = []
    links: list[str] = []
    place = 0
    while place < len(text):
        found = _WORD.match(text, place)
        if found is None:
            raise BadLine(
                line, "line", message("What stands here is not understood: {text}.", text=text[place : place + 40])
            )
        if found[1] is not None:
            strings.append(_unescaped(found[1]))
        elif found[2]:
            tags.append(found[2])
        elif found[3]:
            links.append(f"^{found[3]}")
        place = found.end()
    if len(strings) > 2:
        raise BadLine(line, "line", message("More than a payee and a description."))
    return strings, tags, links


# Amounts that are more than a number.


def _posting(line: int, text: str) -> Posting:
    found = _POSTING.fullmatch(text)
    if found is None:
        raise BadLine(line, "line", message("This is neither a posting nor metadata."))
    posting = Posting(line, account_name(line, found[1]))
    closed = _CLOSED.match(found[2])
    amount = found[2][: closed.end()] if closed is not None else ""
    cost = price = ""
    opens, closes = amount.find("{"), amount.rfind("}")
    if opens >= 0:
        if closes < opens:
            raise BadLine(line, "amount", message("A cost is not closed."))
        amount, cost, price = amount[:opens], amount[opens : closes + 1], amount[closes + 1 :].strip()
    elif "@" in amount:
        place = amount.index("@")
        amount, price = amount[:place], amount[place:]
    posting.number, posting.currency = _amount(line, amount)
    if posting.number is not None and posting.currency is None:
        raise BadLine(line, "currency", message("A number needs a currency."))
    if cost:
        posting.lot = posting.priced = True
        _set_weight(posting, *_cost(line, cost))
    elif price:
        total = price.startswith("@@")
        posting.priced = True
        _set_weight(posting, *_amount(line, price.lstrip("@")), total=total)
        posting.lot = posting.weight is None
    return posting


def _amount(line: int, text: str) -> tuple[Decimal | None, str | None]:
    text = text.strip()
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise BadLine(line, "amount", message("Not an amount: {text}.", text=text[:40]))
    return (evaluate(line, found[1]) if found[1].strip() else None), found[2]


def _cost(line: int, text: str) -> tuple[Decimal | None, str | None, bool]:
    """What one unit, or all of them, cost; None where that is not said, or in two parts."""
    total = text.startswith("{{")
    for part in text.strip("{}").split(","):
        found = _AMOUNT.fullmatch(part.strip())
        if found is not None and found[1].strip() and found[2]:
            return evaluate(line, found[1]), found[2], total
    return None, None, total


def _set_weight(posting: Posting, each: Decimal | None, currency: str | None, total: bool = False) -> None:
    if posting.number is None:
        posting.number = Decimal(0)
        return
    if each is None or currency is None:
        return
    posting.weight = each.copy_sign(posting.number) if total else EXACT.multiply(posting.number, each)
    posting.weight_currency = currency


# What goes out.

_PLAIN_TAG: Final = re.compile(_TAGS)
_ACCOUNT_NAME: Final = re.compile(r"(?:Assets|Liabilities)(?::[A-Z0-9][A-Za-z0-9-]*)+")
_NOT_IN_NAMES: Final = re.compile(r"[^\w-]+|_+")
_IN_STRINGS: Final = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def write(books: Books) -> Iterator[str]:
    """A file that Beancount takes, and from which the same books can be read again."""
    names = OutgoingNames(books, _clean, lambda name: _ACCOUNT_NAME.fullmatch(name) is not None)
    yield "".join(_preamble(books, names))
    yield from in_parts(books, lambda rows: _transaction(rows, names))


def _clean(name: str) -> str:
    """An account's name as Beancount takes it: parts of letters, digits and hyphens, each with a capital or a digit."""
    root, *parts = name.split(":")
    cleaned = [_NOT_IN_NAMES.sub("-", part).strip("-") for part in parts]
    cleaned = [part if _may_begin(part) else part[:1].upper() + part[1:] for part in cleaned]
    return ":".join([root, *(part if _may_begin(part) else f"X{part}" for part in cleaned)])


def _may_begin(part: str) -> bool:
    first = part[:1]
    return "0" <= first <= "9" or ("A" <= first < "\u0250" and unicodedata.category(first) == "Lu")


def _quoted(text: str) -> str:
    if '"' in text or "\\" in text or not text.isprintable():
        text = text.translate(_IN_STRINGS)
    return f'"{text}"'


def _metadata(words: dict[str, str], indent: str) -> str:
    return "".join([f"{indent}{OWN}{name}: {_quoted(text)}\n" for name, text in words.items()])


def _preamble(books: Books, names: OutgoingNames) -> Iterator[str]:
    day = books.first_day.isoformat()
    yield f'option "title" {_quoted(f"Cashman {books.ledger}")}\noption "operating_currency" "{books.currency}"\n'
    currencies = currencies_of(books)
    for currency in currencies:
        if not CURRENCIES[currency]:  # of what has no decimals Beancount takes none, also not what dividing leaves
            yield f'option "inferred_tolerance_default" "{currency}:0.0001"\n'
    yield "\n"
    for currency in currencies:
        yield f"{day} commodity {currency}\n"
    yield f"\n{day} open Equity:Opening-Balances\n"
    for declared in names.declarations:
        yield f"{day} open {declared.name}{f' {declared.currency}' if declared.currency else ''}\n"
        yield _metadata(declared.words, "  ")
    yield "\n"
    for opened, name, account, amount, currency in openings_of(books, names):
        yield f"{opened} * {_quoted(f'Opening balance of {one_line(name)}')}\n  {account}  {amount} {currency}\n"
        yield f"  Equity:Opening-Balances  {negated(amount)} {currency}\n\n"


def _transaction(rows: list[Booked], names: OutgoingNames) -> str:
    first = rows[0]
    payee = "" if first.payee is None else f"{_quoted(first.payee)} "
    words, tags = words_of(first, _PLAIN_TAG, {})
    marks = "".join([f" #{tag}" for tag in tags])
    flag = "*" if first.status == "posted" else "!"
    postings = "".join([_posting_text(line) for line in lines_of(rows, names)])
    head = f"{first.date} {flag} {payee}{_quoted(first.description)}{marks}\n"
    return f"{head}{_metadata(words, '  ')}{postings}\n"


def _posting_text(line: Line) -> str:
    price = "" if line.price is None else f" @@ {line.price}"
    text = f"  {line.account}  {line.amount} {line.currency}{price}\n"
    return text + _metadata(line.words, "    ") if line.words else text
