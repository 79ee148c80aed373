"""A transaction and an account as JSON, in an export and back: what json.py and ndjson.py share."""

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, Final

import msgspec

from cashman.formats.records import Account, Booked, Item, Movement, Refused, Split, Transfer, in_units
from cashman.limits import AMOUNT_CHARACTERS_MAX, HINTS_MAX
from cashman.translations import message

_WRITTEN: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_DATE: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

_encode = msgspec.json.Encoder().encode

_TEXTS: Final = ("description", "account", "currency", "category", "payee", "notes", "reference", "id", "status")
_KNOWN: Final = {*_TEXTS, "type", "amount", "date", "tags", "group", "expires_at", "created_at", "version"}


class _Shown(msgspec.Struct):
    """The members of a transaction, in the order of the wire."""

    id: str
    type: str
    status: str
    description: str
    amount: msgspec.Raw
    currency: str
    date: str
    account: str
    category: str | None
    tags: msgspec.Raw
    payee: str | None
    notes: str | None
    group: str | None
    expires_at: str | None
    created_at: str
    version: int


def shown(row: Booked) -> str:
    """A transaction as a line of JSON; the amount is a number with the currency's decimals."""
    return _encode(
        _Shown(
            row.id, row.type, row.status, row.description,
            msgspec.Raw(in_units(row.minor_units, row.currency).encode()),
            row.currency, row.date, row.account, row.category, msgspec.Raw(row.tags.encode()), row.payee, row.notes,
            row.group, row.expires_at, row.created_at, row.version,
        )
    ).decode()  # fmt: skip


def shown_account(account: Mapping[str, Any]) -> dict[str, Any]:
    """An account as it is exported."""
    day = account["opening_date"]
    return {
        "name": account["name"],
        "currency": account["currency"],
        "kind": account["kind"],
        "opening_balance": msgspec.Raw(in_units(account["opening_minor_units"], account["currency"]).encode()),
        "opening_date": None if day is None else day.isoformat(),
        "closed": account["closed"],
    }


class Number(str):
    """A number of JSON with decimals, as it is written: no text, where text is asked for."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


@dataclass(frozen=True, slots=True)
class Twice:
    """What stands in the place of an object in which a member stands twice, so that nobody knows which counts."""

    name: str


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Twice:
    """An object of JSON, of which each member stands there once."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    return Twice(next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1))


def read_documents(documents: Iterable[tuple[int, Any]]) -> Iterator[Item]:
    """The movements of documents with their places; those of one group, which lie on one day, come together."""
    day: Any = None
    groups: dict[str, list[tuple[str, Movement]]] = {}
    for line, document in documents:
        read = _movement(line, document)
        if isinstance(read, Refused):
            yield read
            continue
        type_, group, movement = read
        if movement.date != day:
            yield from _together(groups)
            day, groups = movement.date, {}
        if group is None and type_ != "TRANSFER":
            yield movement
        else:
            groups.setdefault(group or f"alone {line}", []).append((type_, movement))
    yield from _together(groups)


def _together(groups: dict[str, list[tuple[str, Movement]]]) -> Iterator[Item]:
    for group, members in groups.items():
        movements = [movement for _, movement in members]
        line = movements[0].line
        if all(type_ != "TRANSFER" for type_, _ in members):
            yield Split(line=line, movements=movements, group=group)
            continue
        movements.sort(key=lambda movement: movement.amount)
        if len(movements) == 2 and movements[0].amount < 0 < movements[1].amount:
            yield Transfer(line=line, out=movements[0], into=movements[1], group=group)
        else:
            yield Refused(line, {"group": [message("A transfer has two legs, one out and one in, on the same day.")]})


def _movement(line: int, document: Any) -> tuple[str, str | None, Movement] | Refused:  # noqa: C901  a rule a field
    if isinstance(document, Twice):
        rule = message("The member {name} stands twice in one object.", name=json.dumps(document.name[:50]))
        return Refused(line, {"line": [rule]})
    if not isinstance(document, dict):
        return Refused(line, {"line": [message("Not a JSON object.")]})
    errors: dict[str, list[str]] = {}
    for name in islice(document.keys() - _KNOWN, HINTS_MAX):
        errors[str(name)[:50]] = [message("Unknown field.")]
    given = {name: document[name] for name in _TEXTS if document.get(name) is not None}
    for name, value in given.items():
        if not _is_text(value):
            errors[name] = [message("Not a string.")]
    amount = _amount(document.get("amount"))
    if amount is None:
        errors["amount"] = [message("Not an amount.")]
    date = _day(document.get("date"))
    if date is None:
        errors["date"] = [message("Not a date of the calendar, written YYYY-MM-DD.")]
    type_, group, tags = document.get("type"), document.get("group"), document.get("tags")
    tags = [] if tags is None else tags
    if type_ not in (None, "INCOME", "EXPENSE", "TRANSFER"):
        errors["type"] = [message("Must be one of: {choices}.", choices="INCOME, EXPENSE, TRANSFER")]
    elif type_ == "INCOME" and amount is not None and amount < 0:
        errors["amount"] = [message("An income is positive.")]
    elif type_ == "EXPENSE" and amount is not None:
        amount = -abs(amount)
    if group is not None and not _is_text(group):
        errors["group"] = [message("Not a string.")]
    if not isinstance(tags, list) or not all(map(_is_text, tags)):
        errors["tags"] = [message("Not a list of strings.")]
    expires_at = None
    if document.get("expires_at") is not None:
        expires_at = _instant(document["expires_at"])
        if expires_at is None:
            errors["expires_at"] = [message("Not a valid datetime.")]
    if errors:
        return Refused(line, errors)
    assert amount is not None
    assert date is not None
    movement = Movement(line=line, date=date, amount=amount, tags=tags, expires_at=expires_at, **given)
    return type_ or "", group, movement


def account_of(document: Any, line: int) -> Item:
    """An account of an export."""
    if not isinstance(document, dict) or not _is_text(document.get("name")):
        return Refused(line, {"account": [message("Not an account: an object with a name.")]})
    errors: dict[str, list[str]] = {}
    for name in ("currency", "kind"):
        if document.get(name) is not None and not _is_text(document[name]):
            errors[name] = [message("Not a string.")]
    balance = None if document.get("opening_balance") is None else _amount(document["opening_balance"])
    if balance is None and document.get("opening_balance") is not None:
        errors["opening_balance"] = [message("Not an amount.")]
    day = None if document.get("opening_date") is None else _day(document["opening_date"])
    if day is None and document.get("opening_date") is not None:
        errors["opening_date"] = [message("Not a date of the calendar, written YYYY-MM-DD.")]
    if errors:
        return Refused(line, errors)
    return Account(
        line=line,
        name=document["name"],
        currency=document.get("currency"),
        kind=document.get("kind"),
        opening_balance=balance,
        opening_date=day,
        closed=document.get("closed") is True,
    )


def _amount(value: Any) -> Decimal | None:
    """A number of JSON, whose decimals are read as text; None for what is none, or longer than any amount."""
    if isinstance(value, bool) or not isinstance(value, int | str) or len(text := str(value)) > AMOUNT_CHARACTERS_MAX:
        return None
    try:
        amount = Decimal(text) if _WRITTEN.fullmatch(text) else Decimal("NaN")
    except InvalidOperation:  # an exponent that is itself past all bounds
        return None
    return amount if amount.is_finite() and abs(amount.adjusted()) < AMOUNT_CHARACTERS_MAX else None


def _day(value: Any) -> dt.date | None:
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) and _DATE.fullmatch(value) else None
    except ValueError:
        return None


def _instant(value: Any) -> dt.datetime | None:
    try:
        instant = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if instant is None or instant.tzinfo is None else instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
