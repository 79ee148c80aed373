"""The one-line entry: `50 pizza #night-out @card Food:Restaurant yesterday`, in each language.

It says what each word was taken for, and what it could not understand: nothing is guessed in silence. What stands in
quotes is description, whatever it looks like.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cashman.model.account import MAIN_ACCOUNT
from cashman.model.transaction_type import TransactionType
from cashman.one_line.amounts import Written, amount_at
from cashman.one_line.days import day_at
from cashman.one_line.names import Names, Paths
from cashman.one_line.words import Word, cut, fold
from cashman.translations import message

_PENDING: Final = frozenset(("*", "*pending", "*offen", "*ausstehend", "*pendiente", "*attente", "*pendente"))
_PATH: Final = re.compile(r"[^:\s/][^:]*(:[^:/][^:]*)+")
_LETTER: Final = re.compile(r"[^\W\d_]")
NEAREST_MAX: Final = 5
"""How many accounts are named where one could be any of them."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the books know, which a line may name."""

    today: dt.date
    currency: str
    accounts: Mapping[str, str] = field(default_factory=dict)
    """The currency of each open account, by its name."""
    categories: Sequence[str] = ()
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """Some words of a line, and what they were taken for; no text is what goes without saying."""

    text: str | None
    field: str
    value: Any
    new: bool = False
    """Whether the books have no such category or tag yet."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a line means: a document for the resource of its type, as far as it is one."""

    type: TransactionType
    draft: Mapping[str, Any]
    parts: Sequence[Part]
    errors: Mapping[str, Sequence[str]]
    """What keeps it from being booked, by field."""
    remarks: Sequence[str]
    """What could have been meant differently."""


def read(line: str, language: str, known: Known, *, day_first: bool | None = None) -> Reading:
    """What a line means; `day_first` where English is spoken that way, too."""
    reader = _Reader(line, language, known, day_first=language != "en" if day_first is None else day_first)
    reader.take_marks()
    reader.take_day()
    reader.take_amount()
    reader.take_category()
    return reader.reading()


class _Reader:
    """One line, word by word: each is taken once, by whatever is looked for first."""

    def __init__(self, line: str, language: str, known: Known, *, day_first: bool) -> None:
        self.words: list[Word] = cut(line, language)
        self.language = language
        self.known = known
        self.day_first = day_first
        self.accounts = Names(list(known.accounts))
        self.categories = Paths(known.categories)
        self.known_tags = Names(known.tags)
        self.taken: list[Part | None] = [None] * len(self.words)
        """By word; a part of several words stands at its first, and `_FOLLOWS` at the others."""
        self.found: dict[str, Any] = {}
        self.tags: list[str] = []
        self.account_typed: str | None = None
        self.errors: dict[str, list[str]] = {}
        self.remarks: list[str] = []
        self.amount: Written | None = None

    def _take(self, place: int, length: int, field_name: str, value: Any, *, new: bool = False) -> None:
        text = " ".join(word.text for word in self.words[place : place + length])
        self.taken[place] = Part(text, field_name, value, new)
        for following in range(place + 1, place + length):
            self.taken[following] = _FOLLOWS

    def _free(self, place: int) -> bool:
        return self.taken[place] is None and not self.words[place].quoted

    def take_marks(self) -> None:
        """What says itself what it is: tags, the account, a path of categories, whether it is pending."""
        for place, word in enumerate(self.words):
            if not self._free(place):
                continue
            if word.plain[:1] == "#" and len(word.plain) > 1:
                self._take_tag(place, word)
            elif word.plain[:1] == "@" and len(word.plain) > 1:
                self._take_account(place, word)
            elif word.key in _PENDING:
                self._once("status", place, 1, "pending")
            elif _PATH.fullmatch(word.plain) and all(map(_LETTER.search, word.plain.split(":"))):
                self._take_path(place, word)

    def _once(self, field_name: str, place: int, length: int, value: Any, *, new: bool = False) -> None:
        if field_name in self.found and self.found[field_name] != value:
            self._say_twice(field_name, str(self.found[field_name]), str(value))
        else:
            self.found[field_name] = value
        self._take(place, length, field_name, value, new=new)

    def _say_twice(self, field_name: str, first: str, second: str) -> None:
        told = message("There are two of these in the line: {first}, {second}.", first=first, second=second)
        self.errors[field_name] = [told]

    def _take_tag(self, place: int, word: Word) -> None:
        written = word.plain[1:]
        spaced = written if '"' in word.text or word.plain != word.text else written.replace("-", " ").strip()
        known = self.known_tags.known(written) or self.known_tags.known(spaced)
        tag = known or spaced or written
        if tag not in self.tags:
            self.tags.append(tag)
        self._take(place, 1, "tags", tag, new=known is None)

    def _take_account(self, place: int, word: Word) -> None:
        typed = word.plain[1:]
        if self.account_typed is not None and fold(typed) != fold(self.account_typed):
            # Not looked for: that takes long where there are many.
            self._say_twice("account", f"@{self.account_typed}", word.text)
            self._take(place, 1, "account", None)
            return
        again, self.account_typed = self.account_typed is not None, typed
        whole = self.accounts.longest(self.words, place, typed)
        if whole is not None:
            self._once("account", place, whole[0], whole[1])
            return
        if again:
            self._take(place, 1, "account", self.found.get("account"))
            return
        found = self.accounts.nearest(typed)
        if len(found) == 1:
            self._once("account", place, 1, found[0])
            return
        if found:
            told = message(
                "{typed} can be any of: {accounts}.", typed=word.text, accounts=", ".join(found[:NEAREST_MAX])
            )
        else:
            told = message("There is no open account like {typed}.", typed=word.text)
        self.errors["account"] = [told]
        self._take(place, 1, "account", None)

    def _take_path(self, place: int, word: Word) -> None:
        whole = self.categories.longest(self.words, place)
        if whole is not None:
            self._once("category", place, whole[0], whole[1])
            return
        path = self.categories.spelt(":".join(part.strip() for part in word.plain.split(":")))
        self._once("category", place, 1, path, new=self.categories.known(path) is None)

    def take_day(self) -> None:
        """The day, which may have several words."""
        place = 0
        while place < len(self.words):
            length = 0
            if self._free(place):
                ahead = self.words[place : self._end_of_run(place)]
                said = day_at(ahead, 0, self.language, self.known.today, day_first=self.day_first)
                if said is not None:
                    length = said[0]
                    self._once("date", place, length, said[1])
            place += max(1, length)

    def _end_of_run(self, place: int) -> int:
        """Where the words end that nothing has taken yet."""
        while place < len(self.words) and self._free(place):
            place += 1
        return place

    def take_amount(self) -> None:
        """The amount: what a sign or a currency marks; or the first word; or what has decimals; or the last number."""
        numbers: list[Written] = []
        place = 0
        kept = {self.known.currency, *self.known.accounts.values()}
        while place < len(self.words):
            number = None
            if self._free(place):
                ahead = self.words[: self._end_of_run(place)]
                number = amount_at(ahead, place, self.language, kept)
            if number is not None:
                numbers.append(number)
            place += number.length if number is not None else 1
        if not numbers:
            return
        marked = [number for number in numbers if number.marked]
        exact = [number for number in numbers if number.amount.as_tuple().exponent != 0]
        first = [number for number in numbers if number.place == 0]
        chosen = (marked or first or exact or numbers[-1:])[0]
        if len(numbers) > 1:
            self.remarks.append(
                message(
                    "Of several numbers {amount} was taken for the amount.",
                    amount=" ".join(word.text for word in self.words[chosen.place : chosen.place + chosen.length]),
                )
            )
        self.amount = chosen
        self._take(chosen.place, chosen.length, "amount", chosen.amount)

    def take_category(self) -> None:
        """A category that is named by one word with a capital: the last before a mark, or before the end."""
        if "category" in self.found:
            return
        for place in reversed(range(len(self.words))):
            word = self.words[place]
            ends_run = place + 1 == len(self.words) or self.taken[place + 1] is not None
            if self._free(place) and ends_run and word.plain[:1].isupper():
                path = self.categories.of_word(word.plain)
                if path is not None:
                    self._once("category", place, 1, path)
                    return

    def reading(self) -> Reading:
        """What all of it comes to; what the line does not say is named, too."""
        income = self.amount is not None and self.amount.sign == "+"
        type_ = TransactionType.INCOME if income else TransactionType.EXPENSE
        parts = self._parts()
        description = " ".join(part.value for part in parts if part.field == "description")
        draft: dict[str, Any] = {}
        unsaid: list[Part] = []
        if not description and "category" in self.found:
            description = self.found["category"].rpartition(":")[2]
            unsaid.append(Part(None, "description", description))
        if description:
            draft["description"] = description
        else:
            self.errors["description"] = ["It takes a word or two of what it was for."]
        account = self.found.get("account", MAIN_ACCOUNT)
        if self.amount is None:
            self.errors["amount"] = ["There is no amount in the line."]
        else:
            draft["amount"] = self.amount.amount
            draft["currency"] = self._currency(self.amount, account)
            unsaid.append(Part(None, "currency", draft["currency"]))
        for name, value in (("date", self.known.today), ("account", account)):
            if name not in self.errors:
                draft[name] = self.found.get(name, value)
                if name not in self.found:
                    unsaid.append(Part(None, name, value))
        draft |= {name: self.found[name] for name in ("category", "status") if name in self.found}
        if self.tags:
            draft["tags"] = self.tags
        return Reading(type_, draft, [*parts, *unsaid], self.errors, self.remarks)

    def _parts(self) -> list[Part]:
        """The parts in the order of the line; words that follow each other are one."""
        parts: list[Part] = []
        last = -1
        for place, (word, part) in enumerate(zip(self.words, self.taken, strict=True)):
            if part is _FOLLOWS:
                continue
            if part is not None:
                parts.append(part)
            elif parts and parts[-1].field == "description" and last == place - 1:
                before = parts.pop()
                parts.append(Part(f"{before.text} {word.text}", "description", f"{before.value} {word.shown}"))
            else:
                parts.append(Part(word.text, "description", word.shown))
            last = place
        return parts

    def _currency(self, amount: Written, account: str) -> str:
        """The currency of the account; told where the line names another."""
        own = self.known.accounts.get(account, self.known.currency)
        if not amount.currencies or own in amount.currencies:
            return own
        kept = [code for code in (self.known.currency, *self.known.accounts.values()) if code in amount.currencies]
        meant = kept[0] if kept else amount.currencies[0]
        fitting = [name for name, currency in self.known.accounts.items() if currency == meant]
        if fitting:
            told = message(
                "{account} is in {currency}; in {meant} there is: {accounts}.",
                account=account,
                currency=own,
                meant=meant,
                accounts=", ".join(fitting[:NEAREST_MAX]),
            )
        else:
            told = message(
                "{account} is in {currency}, and no account is in {meant}.", account=account, currency=own, meant=meant
            )
        self.errors["currency"] = [told]
        return meant


_FOLLOWS: Final = Part(None, "", None)
