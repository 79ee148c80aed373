"""Everything out and in again: each lossless format gives an equal ledger, for random ledgers too."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from filing import another_ledger, content, exported, imported, position, sound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cashman.changes import Target
from cashman.formats import EXPORTS
from cashman.ledger import Ledger
from cashman.model.account import KINDS
from cashman.model.expense import Expense, ExpenseSchema
from cashman.model.filter import Filter
from cashman.model.income import Income
from cashman.model.money import to_decimal
from cashman.model.transfer import TransferSchema

LOSSLESS = [name for name in ("json", "ndjson", "csv", "beancount", "hledger") if name in EXPORTS]
WITH_ACCOUNTS = ("json", "beancount", "hledger")
"""What also carries an account's kind, opening balance and end."""

stored = settings(
    derandomize=True,
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

ACCOUNTS = {
    "main": "USD",
    "Café ☕": "USD",
    "yen": "JPY",
    "دينار": "KWD",
    'a "quoted, name"; #x': "EUR",
    "A:B c": "EUR",
}
SPECIAL = [
    "=1+1",
    "-x",
    "+49",
    "@here",
    "'",
    '"',
    "\\",
    ";",
    "|",
    "#tag",
    "^link",
    "a,b",
    "tab\there",
    "Ünï €",
    "😀",
    "{}",
    "~",
]
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12) | st.sampled_from(SPECIAL)
words = text.map(str.strip).filter(bool)
lines = st.lists(words, min_size=1, max_size=3).map("\n".join)
days = st.dates(dt.date(1999, 12, 30), dt.date(2000, 1, 3))
names = text.map(lambda part: part.replace(":", "").strip()).filter(bool)
paths = st.lists(names, min_size=1, max_size=3).map(":".join).filter(lambda path: len(path.encode()) <= 200)
tags = st.lists(words, max_size=3, unique=True)
statuses = st.sampled_from(["posted", "posted", "pending"])
_FAR = dt.datetime(2900, 1, 1, tzinfo=dt.UTC)
expiries = st.none() | st.integers(0, 10**12).map(lambda number: _FAR + dt.timedelta(microseconds=number))


@st.composite
def movements(draw: st.DrawFn) -> Any:
    """An income or an expense."""
    account = draw(st.sampled_from(sorted(ACCOUNTS)))
    amount = to_decimal(draw(st.integers(1, 10**7) | st.just(999_999_999_999_999)), ACCOUNTS[account])
    status = draw(statuses)
    return draw(st.sampled_from([Income, Expense]))(
        draw(words),
        amount,
        status=status,
        expires_at=draw(expiries) if status == "pending" else None,
        account=account,
        currency=ACCOUNTS[account],
        date=draw(days),
        category=draw(st.none() | paths),
        tags=draw(tags),
        payee=draw(st.none() | words),
        notes=draw(st.none() | lines),
    )


@st.composite
def transfers(draw: st.DrawFn) -> Any:
    """A transfer, perhaps between two currencies."""
    source, sink = draw(st.lists(st.sampled_from(sorted(ACCOUNTS)), min_size=2, max_size=2, unique=True))
    amount = draw(st.integers(1, 10**6))
    document = {
        "from": source, "to": sink, "amount": str(to_decimal(amount, ACCOUNTS[source])), "date": draw(days).isoformat(),
        "description": draw(words), "tags": draw(tags), "payee": draw(st.none() | words),
        "notes": draw(st.none() | lines), "status": draw(statuses),
    }  # fmt: skip
    if ACCOUNTS[source] != ACCOUNTS[sink]:
        document["to_amount"] = str(to_decimal(draw(st.integers(1, 10**6)), ACCOUNTS[sink]))
    return TransferSchema(currency_of=ACCOUNTS.__getitem__).load(document)


@st.composite
def receipts(draw: st.DrawFn) -> Any:
    """A receipt over several categories."""
    account = draw(st.sampled_from(["main", "A:B c"]))
    document = {
        "description": draw(words), "account": account, "date": draw(days).isoformat(),
        "payee": draw(st.none() | words), "status": draw(statuses),
        "lines": [
            {
                "amount": str(to_decimal(draw(st.integers(1, 10**6)), ACCOUNTS[account])),
                "category": draw(st.none() | paths), "tags": draw(tags), "notes": draw(st.none() | lines),
                **draw(st.just({}) | st.fixed_dictionaries({"description": words})),
            }
            for _ in range(draw(st.integers(1, 4)))
        ],
    }  # fmt: skip
    return ExpenseSchema(currency_of=ACCOUNTS.__getitem__).load(document)


openings = st.fixed_dictionaries(
    {name: st.tuples(st.sampled_from([None, *KINDS]), st.integers(-(10**6), 10**6), st.booleans()) for name in ACCOUNTS}
)


def fill(ledger: Ledger, booked: Sequence[Any], opened: dict[str, tuple[str | None, int, bool]], gone: int) -> None:
    """Make a ledger of what was drawn; of every so many transactions one is void."""
    for name, (kind, opening, _) in opened.items():
        told = {
            "kind": kind,
            "opening_balance": to_decimal(opening, ACCOUNTS[name]),
            "opening_date": dt.date(1999, 12, 29),
        }
        told = told if opening else {"kind": kind}
        if name == "main":
            ledger.replace_account(1, told)
        else:
            ledger.open_account({"name": name, "currency": ACCOUNTS[name], **told})
    if booked:
        states = ledger.record(*booked).states
        if gone < len(states):
            ledger.void(Target(states[gone]["id"]))
    for name, (_, _, closed) in opened.items():
        if closed and name != "main":
            ledger.replace_account(ledger.chart()[0].account(name)["id"], {"closed": True})


def compared(ledger: Ledger, format_name: str) -> Any:
    """What a format carries of a ledger."""
    found = content(ledger)
    if format_name in WITH_ACCOUNTS:
        return found
    used = {row["account"] for row in found["transactions"].values()}
    accounts = {name: account["currency"] for name, account in found["accounts"].items() if name in used}
    return {**found, "accounts": accounts}


def without_what_is_made_anew(data: bytes, ledger: Ledger) -> str:
    """An export, but for when its rows were made and which ledger it is of."""
    kept = []
    for line in data.decode().replace(ledger.chart()[0].ulid, "").splitlines():
        comma, document = line.endswith(","), line.removesuffix(",")
        if document.startswith('{"id"'):
            row = json.loads(document, parse_float=str)
            row["created_at"] = row["version"] = None
            document = json.dumps(row)
        kept.append(document + "," * comma)
    return "\n".join(kept)


@pytest.mark.parametrize("format_name", LOSSLESS)
@stored
@given(booked=st.lists(movements() | transfers() | receipts(), max_size=8), opened=openings, gone=st.integers(0, 20))
def test_a_random_ledger_comes_back_as_it_was(
    ledger: Ledger, format_name: str, booked: Any, opened: Any, gone: int
) -> None:
    first, second = another_ledger(ledger.books), another_ledger(ledger.books)
    fill(first, booked, opened, gone)
    file = exported(first, format_name)
    if not file:  # a file without a line is none
        return
    outcome = imported(second, file, format_name, partial=True)
    assert outcome.refused == 0, (outcome.errors(), file.decode())
    assert compared(second, format_name) == compared(first, format_name), file.decode()
    there = exported(second, format_name)
    if format_name in ("json", "ndjson"):
        assert without_what_is_made_anew(there, second) == without_what_is_made_anew(file, first)
    before = position(second)
    again = imported(second, file, format_name)
    assert (again.booked, again.refused) == (0, 0)
    assert position(second) == before


@pytest.mark.parametrize("format_name", LOSSLESS)
def test_the_books_that_came_back_are_sound(ledger: Ledger, format_name: str) -> None:
    first, second = another_ledger(ledger.books), another_ledger(ledger.books)
    opened = {name: (None, place, place % 2 == 0) for place, name in enumerate(ACCOUNTS)}
    transfer = {
        "from": "main", "to": "yen", "amount": "1.25", "to_amount": "200", "date": "2000-01-02",
        "tags": ["trip", "a b"],
    }  # fmt: skip
    receipt = {
        "description": "market", "account": "main", "date": "2000-01-02", "payee": "Luigi", "status": "pending",
        "expires_at": "2990-01-01T00:00:00.123456Z",
        "lines": [{"amount": 1, "category": "Food:Fruit"}, {"amount": 2, "notes": "two\nlines"}],
    }  # fmt: skip
    booked = [
        Income("salary", 5000, date=dt.date(2000, 1, 1), category="Work"),
        TransferSchema(currency_of=ACCOUNTS.__getitem__).load(transfer),
        ExpenseSchema(currency_of=ACCOUNTS.__getitem__).load(receipt),
    ]
    fill(first, booked, opened, 99)
    outcome = imported(second, exported(first, format_name))
    assert (outcome.format, outcome.booked, outcome.refused) == (format_name, 5, 0)
    assert compared(second, format_name) == compared(first, format_name)
    sound(ledger)


@pytest.mark.parametrize("format_name", LOSSLESS)
def test_an_empty_ledger_comes_back_empty(ledger: Ledger, format_name: str) -> None:
    second = another_ledger(ledger.books)
    file = exported(ledger, format_name)
    if file.strip():
        assert imported(second, file, format_name).booked == 0
    assert content(second) == content(ledger)


@pytest.mark.parametrize("format_name", LOSSLESS)
def test_what_was_redacted_comes_back_without_its_words(ledger: Ledger, format_name: str) -> None:
    (state,) = ledger.record(Expense("secret", 5, payee="nobody", notes="secret", tags=["secret"])).states
    ledger.redact(Target(state["id"]))
    file = exported(ledger, format_name)
    assert b"secret" not in file
    second = another_ledger(ledger.books)
    assert imported(second, file, format_name).booked == 1
    assert compared(second, format_name) == compared(ledger, format_name)


@pytest.mark.parametrize("format_name", LOSSLESS)
def test_a_part_comes_back_as_that_part_and_then_the_rest(ledger: Ledger, format_name: str) -> None:
    for number in range(1, 7):
        ledger.record(Expense(f"pizza {number}", number, date=dt.date(2026, 1, number), category="Food"))
    second = another_ledger(ledger.books)
    part = replace(Filter(), first_day=dt.date(2026, 1, 3), max_amount=Decimal(5))
    assert imported(second, exported(ledger, format_name, part), format_name).booked == 3
    rest = imported(second, exported(ledger, format_name), format_name)
    assert (rest.booked, rest.refused) == (3, 0)
    assert compared(second, format_name) == compared(ledger, format_name)


def test_the_safe_form_of_csv_keeps_the_figures(ledger: Ledger) -> None:
    ledger.record(Expense("=cmd", 5, payee="@you", notes="-x"), Income("+49", 7, tags=["=1"]))
    second = another_ledger(ledger.books)
    file = exported(ledger, "csv", lossless=False)
    for cell in file.decode().replace("\r\n", ",").replace('"', "").split(","):
        assert not cell.startswith(("=", "+", "@")), file
    outcome = imported(second, file)
    assert (outcome.format, outcome.booked, outcome.refused) == ("csv", 2, 0)
    assert {(row["id"], row["amount"]) for row in content(second)["transactions"].values()} == {
        (row["id"], row["amount"]) for row in content(ledger)["transactions"].values()
    }
