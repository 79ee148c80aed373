"""Plain-text accounting: what double entries of beancount and hledger mean here.

One money leg and one leg of a category make a movement, two money legs a transfer, several legs of categories a
split. Whatever is no money of ISO 4217, lots, and what cannot be told apart is skipped with the reason.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from cashman.formats.balancing import balance
from cashman.formats.entries import EXACT, ZERO, BadLine, Entry, Posting, day_of, is_money
from cashman.formats.records import Account, Item, Movement, Skipped, Split, Transfer
from cashman.model.account import KINDS
from cashman.model.fields import ULID_PATTERN
from cashman.model.transaction import STATUSES
from cashman.translations import Message, message

MONEY: Final = "money"
CATEGORY: Final = "category"
OPENING: Final = "opening"
EQUITY: Final = "equity"
UNKNOWN: Final = "unknown"

_ULID: Final = re.compile(ULID_PATTERN, re.ASCII)


class Leg(msgspec.Struct):
    """What the postings come to on one account and in one currency, as money or in a category."""

    line: int
    name: str | None
    amount: Decimal
    """As the file has it: positive where money comes in."""
    currency: str | None
    words: dict[str, str] | None


# What accounts are.


class Opening(msgspec.Struct):
    """The first opening balance of an account."""

    line: int
    amount: Decimal
    currency: str | None
    date: dt.date


class Names:
    """What the accounts of a file are to Cashman, and what they are called there."""

    def __init__(self, kind_of: Callable[[str], tuple[str, str]]) -> None:
        self._kind_of = kind_of
        self._known: dict[str, tuple[str, str | None]] = {}
        self.openings: dict[str, Opening] = {}
        """By Cashman's name."""
        self.declared: set[str] = set()
        """Accounts of money that have told of themselves."""

    def declare(self, name: str, words: Mapping[str, str]) -> None:
        """Learn what Cashman itself has said of an account."""
        kind, own = self._kind_of(name)
        if kind == MONEY and "name" in words:
            self._known[name] = (MONEY, words["name"])
        elif kind == CATEGORY and "category" in words:
            self._known[name] = (CATEGORY, words["category"] or None)
        else:
            self._known[name] = (kind, own or None)

    def of(self, name: str) -> tuple[str, str | None]:
        """(MONEY, the account), (CATEGORY, the category), or what else it is and its name."""
        found = self._known.get(name)
        if found is None:
            kind, own = self._kind_of(name)
            found = self._known[name] = (kind, own or None)
        return found

    def account(self, line: int, name: str, currency: str | None, words: Mapping[str, str]) -> Item | None:
        """What a declaration of an account of money comes to; None where it says too little to open it."""
        kind, own = self.of(name)
        if kind != MONEY or own is None or own in self.declared:
            return None
        opening = self.openings.get(own)
        currency = currency or (opening.currency if opening else None)
        if currency is None and not words:
            return None
        kind_word = words.get("kind")
        if kind_word is not None and kind_word not in KINDS:
            raise BadLine(line, "account", message("Not one of {choices}.", choices=", ".join(KINDS)))
        if opening is not None and opening.currency is not None and opening.currency != currency:
            del self.openings[own]
            opening = None
        self.declared.add(own)
        day = words.get("opening-date")
        return Account(
            line=line,
            name=own,
            currency=currency,
            kind=kind_word,
            opening_balance=opening.amount if opening else None,
            opening_date=opening.date if opening else None if day is None else day_of(line, day),
            closed=words.get("closed") == "yes",
        )

    def note_openings(self, entry: Entry) -> None:
        """Remember what opening balances an entry gives; the first of an account is the one that counts."""
        try:
            legs = opening_legs(entry, self)
        except BadLine:
            return
        for leg in legs or ():
            self.openings.setdefault(leg.name or "", Opening(entry.line, leg.amount, leg.currency, entry.date))


# From an entry to what is booked.


def items_of(entry: Entry, names: Names) -> list[Item]:
    """What an entry comes to."""
    try:
        return _simple(entry, names) or _items(entry, names)
    except BadLine as bad:
        return [bad.refused]


def _simple(entry: Entry, names: Names) -> list[Item] | None:
    """The one movement of the most common entry: one money leg, one leg of a category, one currency."""
    if len(entry.postings) != 2:
        return None
    money, other = entry.postings
    kind, account = names.of(money.account)
    other_kind, category = names.of(other.account)
    if kind == CATEGORY:
        money, other, kind, account, other_kind, category = other, money, other_kind, category, kind, account
    if kind != MONEY or other_kind != CATEGORY or money.priced or other.priced:
        return None
    amount, currency = money.number, money.currency
    if amount is None:
        if other.number is None or currency is not None:
            return None
        amount, currency = other.number.copy_negate(), other.currency
    elif other.number is None:
        if other.currency is not None:
            return None
    elif currency != other.currency or other.number.copy_negate() != amount:
        return None
    if not amount or not is_money(currency):
        return None
    words = {**entry.words, **other.words} if other.words else entry.words
    return [_grouped(entry, [_movement(entry, entry.line, account, amount, currency, category, words)])]


def _items(entry: Entry, names: Names) -> list[Item]:
    opening = opening_legs(entry, names)
    if opening is not None:
        return list(_opened(entry, opening, names))
    return _from_legs(entry, *_legs(entry, names))


def opening_legs(entry: Entry, names: Names) -> list[Leg] | None:
    """The money legs of an entry that does nothing but open accounts; None for any other."""
    kinds = {names.of(posting.account)[0] for posting in entry.postings}
    if kinds != {MONEY, OPENING}:
        return None
    legs, others, _, _ = _legs(entry, names)
    return None if others else [leg for leg in legs if leg.amount]


def _opened(entry: Entry, legs: list[Leg], names: Names) -> Iterator[Item]:
    for leg in legs:
        opening = names.openings.get(leg.name or "")
        if opening is None or opening.line != entry.line or opening.currency != leg.currency:
            yield Skipped(leg.line, message("Only the first opening balance of {account} counts.", account=leg.name))
        elif leg.name not in names.declared:
            names.declared.add(opening_name := leg.name or "")
            yield Account(
                line=entry.line,
                name=opening_name,
                currency=leg.currency,
                opening_balance=leg.amount,
                opening_date=entry.date,
            )
    if not legs:
        yield Skipped(entry.line, message("Zero is not a movement of money."))


def _legs(entry: Entry, names: Names) -> tuple[list[Leg], list[Posting], list[Leg], bool]:
    """Money legs added up by account, postings that are no money here, legs of categories, whether equity takes part.

    BadLine where the entry does not balance.
    """
    balance(entry)
    money: dict[tuple[str | None, str | None], Leg] = {}
    categories: list[Leg] = []
    others: list[Posting] = []
    equity = False
    for posting in entry.postings:
        kind, name = names.of(posting.account)
        if kind == UNKNOWN:
            told = message("{account} is none of assets, liabilities, equity, income and expenses.", account=name)
            raise BadLine(posting.line, "account", told)
        # An amount is still left out here only where nobody knows what a lot was bought for.
        if posting.number is None or posting.lot or not is_money(posting.currency):
            others.append(posting)
        elif kind == MONEY:
            leg = money.get((name, posting.currency))
            if leg is None:
                leg = Leg(posting.line, name, posting.number, posting.currency, posting.words)
                money[name, posting.currency] = leg
            else:
                leg.amount = EXACT.add(leg.amount, posting.number)
        elif kind == CATEGORY:
            number, currency = posting.counts()
            categories.append(Leg(posting.line, name, number or ZERO, currency, posting.words))
        else:
            equity = True
    return list(money.values()), others, categories, equity


def _from_legs(
    entry: Entry, money: list[Leg], others: list[Posting], categories: list[Leg], equity: bool
) -> list[Item]:
    parts = [leg for leg in categories if leg.amount]
    skipped = _skip_whole(entry, money, others, parts, equity)
    if skipped is not None:
        return [skipped]
    moved = [leg for leg in money if leg.amount]
    items: list[Item] = [Skipped(leg.line, _NOTHING) for leg in categories if not leg.amount]
    if not parts:
        return [_transfer(entry, moved), *items] if len(moved) == 2 else [Skipped(entry.line, _NOTHING)]
    leg = (moved or money)[0]
    amounts = [(part, part.amount.copy_negate()) for part in parts]
    if len(amounts) == 1 and not others and leg.amount:
        amounts = [(amounts[0][0], leg.amount)]
    elif not others and _sum(amount for _, amount in amounts) != leg.amount:
        told = message("The parts do not add up exactly to what {account} moves by.", account=leg.name)
        return [Skipped(entry.line, told)]
    movements = [
        _movement(
            entry, part.line if len(amounts) > 1 else entry.line, leg.name, amount, leg.currency, part.name, words
        )
        for part, amount in amounts
        for words in [{**entry.words, **part.words} if part.words else entry.words]
    ]
    for sign in (True, False):  # the parts of a split are of one sign: what came in, and what was taken off
        same = [movement for movement in movements if (movement.amount > 0) is sign]
        if same:
            items.append(_grouped(entry, same))
    if others:
        items.append(Skipped(others[0].line, _of_no_money(others[0])))
    items.sort(key=_line_of)
    return items


_NOTHING: Final = message("Zero is not a movement of money.")


def _line_of(item: Item) -> int:
    return item.line


def _of_no_money(posting: Posting) -> Message:
    if is_money(posting.currency):
        return message("Lots (what was held at a cost) are not kept here.")
    return message("{commodity} is no currency of ISO 4217.", commodity=posting.currency)


def _skip_whole(
    entry: Entry, money: list[Leg], others: list[Posting], categories: list[Leg], equity: bool
) -> Skipped | None:
    """Why nothing of an entry is booked, if so."""
    moved = [leg for leg in money if leg.amount]
    if not entry.postings:
        return Skipped(entry.line, message("The transaction has no postings."))
    if equity:
        return Skipped(entry.line, message("Equity is neither an account of money nor a category."))
    if categories and len(moved) > 1:
        return Skipped(entry.line, message("Several accounts of money and categories: who paid what is not said."))
    if others and not (moved and categories):
        return Skipped(entry.line, _of_no_money(others[0]))
    if not money:
        return Skipped(entry.line, message("No account of money takes part."))
    currencies = {leg.currency for leg in categories} | {(moved or money)[0].currency}
    if len(currencies) > 1 and (others or len(categories) > 1):
        return Skipped(entry.line, message("Several categories in several currencies."))
    if not categories and len(moved) > 2:
        return Skipped(entry.line, message("More than two accounts of money: what went where is not said."))
    if not categories and len(moved) == 2 and moved[0].name == moved[1].name:
        return Skipped(entry.line, message("Within one account no money moves."))
    return None


def _transfer(entry: Entry, legs: list[Leg]) -> Item:
    out, into = sorted(legs, key=lambda leg: leg.amount)
    if out.amount > 0 or into.amount < 0 or (out.currency == into.currency and out.amount.copy_negate() != into.amount):
        return Skipped(entry.line, message("What goes out of one account and what comes into the other differ."))
    parts = [
        _movement(entry, entry.line, leg.name, leg.amount, leg.currency, None, {**entry.words, **(leg.words or {})})
        for leg in (out, into)
    ]
    return Transfer(line=entry.line, out=parts[0], into=parts[1], group=_group(entry))


def _grouped(entry: Entry, movements: list[Movement]) -> Movement | Split:
    group = _group(entry)
    if len(movements) == 1 and group is None:
        return movements[0]
    return Split(line=entry.line, movements=movements, group=group)


def _group(entry: Entry) -> str | None:
    group = entry.words.get("group")
    return None if group is None else _ulid(entry.line, group)


def _ulid(line: int, text: str) -> str:
    if not _ULID.fullmatch(text):
        raise BadLine(line, "id", message("Not a ULID: 26 characters of Crockford's base 32, in capitals."))
    return text


def _movement(
    entry: Entry,
    line: int,
    account: str | None,
    amount: Decimal,
    currency: str | None,
    category: str | None,
    words: dict[str, str],
) -> Movement:
    """A movement, with what Cashman itself has said of it where it has."""
    if not words:
        return Movement(
            line=line, date=entry.date, amount=amount, description=entry.description, account=account,
            currency=currency, category=category, payee=entry.payee, notes=entry.notes, tags=entry.tags,
        )  # fmt: skip
    id_, expires = words.get("id"), words.get("expires-at")
    status = words.get("status", "posted")
    if status not in STATUSES:
        raise BadLine(line, "status", message("Not one of {choices}.", choices=", ".join(STATUSES)))
    return Movement(
        line=line,
        date=entry.date,
        amount=amount,
        description=words.get("description", entry.description),
        account=account,
        currency=currency,
        category=category,
        payee=words.get("payee", entry.payee) or None,
        notes=words.get("notes", None if id_ else entry.notes) or None,
        tags=_tags(line, words["tags"]) if "tags" in words else entry.tags,
        id=None if id_ is None else _ulid(line, id_),
        status=status,
        expires_at=None if expires is None else _instant(line, expires),
    )


def _tags(line: int, text: str) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise BadLine(line, "tags", message("Not a JSON array of strings.")) from None


def _instant(line: int, text: str) -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise BadLine(line, "expires_at", message("Not a date and time with an offset: {text}.", text=text[:40]))
    return instant


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for number in numbers:
        total = EXACT.add(total, number)
    return total


# What tells the formats apart.

_BEANCOUNT: Final = re.compile(
    r"""^(?:(?:option|plugin|include)[ \t]+"|(?:push|pop)(?:tag[ \t]+\#|meta[ \t]+[a-z])
    |[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}[ \t]+(?:
        (?:open|close|balance|pad|note|document)[ \t]+[^\W\d_a-z][^\s:;,]*:
        |(?:event|query|custom)[ \t]+"|commodity[ \t]+[A-Z]|price[ \t]+[A-Z][A-Z0-9'._-]*[ \t]+[-+0-9]
        |(?:txn|[*!])[ \t]+"(?:[^"\\\n]|\\.)*"(?:[ \t]*"(?:[^"\\\n]|\\.)*")?
            (?:[ \t]*[\#^][A-Za-z0-9_/.-]+)*[ \t]*(?:;[^\n]*)?\r?\n
            (?:[ \t][^\n]*\n)*?[ \t]+[^\W\d_a-z][^\s:;]*:\S
    ))""",
    re.MULTILINE | re.VERBOSE,
)


_JOURNAL: Final = re.compile(
    r"^(?:account[ \t]|commodity[ \t]|decimal-mark[ \t]|alias[ \t]|apply[ \t]|P[ \t]+[0-9]|Y[0-9])", re.MULTILINE
)


def is_beancount(head: str) -> bool:
    """Whether a file that begins so is beancount's: what hledger has no like of stands in it, and first."""
    found, other = _BEANCOUNT.search(head), _JOURNAL.search(head)
    return found is not None and (other is None or found.start() < other.start())
