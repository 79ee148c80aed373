"""Random money, documents and queries, against plain Python models."""

import datetime as dt
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError
from ulid import ULID

from cashman import ledger as kernel
from cashman.answers import encode_json, encode_row, show_state
from cashman.changes import Target
from cashman.chart import Chart
from cashman.ledger import Ledger
from cashman.limits import DESCRIPTION_CHARACTERS_MAX, MINOR_UNITS_MAX
from cashman.model.currency import CURRENCIES
from cashman.model.expense import Expense, ExpenseSchema
from cashman.model.filter import SORT_KEYS, Filter, FilterSchema
from cashman.model.income import Income, IncomeSchema
from cashman.model.money import AmountError, parse_amount, parse_json_number, to_decimal, to_minor_units
from cashman.model.transaction import Transaction, TransactionSchema
from cashman.model.transaction_type import TransactionType
from cashman.queries import COLUMN_NAMES
from cashman.stems import stems_of

# The same examples in every run: a failure is never only somebody else's.
pure = settings(derandomize=True, deadline=None, max_examples=100)
stored = settings(
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

currencies = st.sampled_from(sorted(CURRENCIES))
minor_units = st.integers(-MINOR_UNITS_MAX, MINOR_UNITS_MAX)
days = st.dates()
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
filled = texts.filter(str.strip)


# Money.


@pure
@given(minor_units, currencies)
def test_minor_units_survive_the_way_out_and_in_again(units: int, currency: str) -> None:
    amount = to_decimal(units, currency)
    assert to_minor_units(amount, currency) == units
    assert to_minor_units(parse_amount(str(amount)), currency) == units
    assert to_minor_units(parse_json_number(str(amount)), currency) == units
    digits = str(amount).partition(".")[2]
    assert len(digits) == CURRENCIES[currency]


@pure
@given(minor_units, currencies)
def test_a_client_that_reads_numbers_as_doubles_recovers_the_exact_amount(units: int, currency: str) -> None:
    as_double = float(str(to_decimal(units, currency)))
    assert to_minor_units(Decimal(repr(as_double)), currency) == units


@pure
@given(st.decimals(allow_nan=True, allow_infinity=True), currencies)
def test_an_amount_is_kept_exactly_or_refused(amount: Decimal, currency: str) -> None:
    try:
        units = to_minor_units(amount, currency)
    except AmountError:
        if amount.is_finite():
            whole = amount.normalize().as_tuple().exponent
            assert isinstance(whole, int)
            too_fine = whole < -CURRENCIES[currency]
            assert too_fine or abs(amount) > to_decimal(MINOR_UNITS_MAX, currency)
    else:
        assert to_decimal(units, currency) == amount


@pure
@given(st.text(st.sampled_from("0123456789-.eE+_ \u0665"), max_size=50))
def test_what_is_read_as_an_amount_is_what_python_reads_and_nothing_else(text: str) -> None:
    try:
        amount = parse_amount(text)
    except AmountError:
        return
    assert text.isascii()
    assert amount == Decimal(text)
    assert set(text) <= set("0123456789-.")


@pure
@given(minor_units, currencies)
def test_the_sign_is_set_in_one_place(units: int, currency: str) -> None:
    amount = to_decimal(units, currency)
    if units == 0:
        for model in (Income, Expense):
            with pytest.raises(AmountError):
                model("x", amount, currency=currency)
        return
    assert Expense("x", amount, currency=currency).minor_units == -abs(units)
    if units > 0:
        assert Income("x", amount, currency=currency).minor_units == units
    else:
        with pytest.raises(AmountError):
            Income("x", amount, currency=currency)


# Schemas.


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """What a client may send for a new transaction."""
    currency = draw(currencies)
    units = draw(st.integers(1, MINOR_UNITS_MAX))
    required = {"description": draw(filled), "amount": str(to_decimal(units, currency)), "currency": currency}
    optional = {
        "id": st.integers(0, 2**128 - 1).map(lambda n: str(ULID.from_int(n))),
        "date": days.map(dt.date.isoformat),
        "category": st.none()
        | st.lists(st.text("abc é", min_size=1, max_size=8).filter(_trimmed), min_size=1).map(":".join),
        "tags": st.lists(filled, max_size=20, unique=True),
        "payee": st.none() | filled,
        "notes": st.none() | filled,
        "account": st.just("main"),
    }
    chosen = draw(st.fixed_dictionaries({}, optional=optional))
    assume(len((chosen.get("category") or "").encode()) <= 200)
    return {**required, **chosen}


def _trimmed(text: str) -> bool:
    return text == text.strip()


@pure
@given(documents(), st.sampled_from([(IncomeSchema, 1), (ExpenseSchema, -1)]))
def test_what_is_loaded_is_dumped_as_it_was_given(document: dict[str, Any], kind: tuple[Any, int]) -> None:
    schema, sign = kind
    dumped = schema().dump(schema().load(document))
    defaults = {"category": None, "tags": [], "payee": None, "notes": None, "account": "main"}
    expected = {**defaults, **document, "amount": sign * Decimal(document["amount"])}
    assert {name: dumped[name] for name in expected} == expected
    assert str(dumped["amount"]).lstrip("-") == document["amount"]


@pure
@given(documents(), st.sampled_from([TransactionType.INCOME, TransactionType.EXPENSE]))
def test_the_schema_of_all_types_agrees_with_that_of_one(document: dict[str, Any], type_: TransactionType) -> None:
    own = IncomeSchema() if type_ is TransactionType.INCOME else ExpenseSchema()
    loaded = TransactionSchema().load({**document, "type": type_.value})
    again = own.load({**document, "type": type_.value})
    made_anew = {"id", "created_at", "date"} - set(document)
    left, right = own.dump(loaded), own.dump(again)
    assert {name: left[name] for name in left if name not in made_anew | {"created_at"}} == {
        name: right[name] for name in right if name not in made_anew | {"created_at"}
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*TransactionSchema().fields, "descripton", "minor_units", ""])


@pure
@given(st.dictionaries(names, json_values) | json_values)
def test_any_document_is_loaded_or_refused_and_never_a_crash(document: Any) -> None:
    for schema in (IncomeSchema(), ExpenseSchema(), TransactionSchema()):
        try:
            loaded = schema.load(document)
        except ValidationError:
            continue
        for one in loaded if isinstance(loaded, list) else [loaded]:
            assert isinstance(one, Transaction)
            assert 0 < abs(one.minor_units) <= MINOR_UNITS_MAX
            assert (one.minor_units > 0) == (one.type is TransactionType.INCOME)
            assert 1 <= len(one.description) <= DESCRIPTION_CHARACTERS_MAX


@pure
@given(st.dictionaries(st.sampled_from([*FilterSchema().fields, "from", "x"]), st.text(max_size=40), max_size=4))
def test_any_query_is_loaded_or_refused_and_never_a_crash(query: dict[str, str]) -> None:
    try:
        found = FilterSchema().load(query)
    except ValidationError:
        return
    assert isinstance(found, Filter)
    assert 1 <= found.limit <= 1000


# Filters: the database against a list comprehension.

_few_categories = [None, "Food", "Food:Coffee", "Food:Coffee:Iced", "Food Court", "Food;x", "Foodstuff", "Home", "food"]
_few_accounts = {"main": "USD", "cash": "USD", "yen": "JPY", "dinar": "KWD", "unused": "USD"}
_few_days = st.dates(dt.date(2026, 1, 1), dt.date(2026, 1, 10))


_few_amounts = [1, 2, 10, 100, 1000]


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    """A transaction that has many neighbours: few days, few categories, few amounts."""
    account = draw(st.sampled_from(["main", "cash", "yen", "dinar"]))
    currency = _few_accounts[account]
    return draw(st.sampled_from([Income, Expense]))(
        draw(st.sampled_from(["pizza", "rent", "é", "Pizzas for the café", "!"])),
        to_decimal(draw(st.sampled_from(_few_amounts)), currency),
        status=draw(st.sampled_from(["posted", "posted", "pending"])),
        account=account,
        currency=currency,
        tags=draw(st.lists(st.sampled_from(["a", "A", "pizza party"]), unique=True)),
        payee=draw(st.sampled_from([None, "Luigi", "luigi"])),
        date=draw(_few_days),
        category=draw(st.sampled_from(_few_categories)),
    )


_combinations = [
    names.split()
    for names in (
        "category", "category type", "category currency last_day", "min_amount", "max_amount", "min_amount max_amount",
        "currency min_amount", "type max_amount", "first_day", "last_day", "first_day last_day", "account",
        "account first_day", "tags", "tags category", "payee", "status", "status account", "stems", "stems tags",
        "stems category", "",
    )
]  # fmt: skip
_beside = [Decimal(0), Decimal("0.00001"), Decimal("-0.00001")]


@st.composite
def filters(draw: st.DrawFn, rows: Sequence[dict[str, Any]]) -> Filter:
    """A filter whose conditions lie at, or just beside, what some of the rows hold; few, so that it finds something."""
    near = [draw(st.sampled_from(rows)) for _ in range(2)]
    days = sorted(row["date"] for row in near)
    amounts = [abs(to_decimal(row["minor_units"], row["currency"])) for row in near]
    low, high = sorted(amount + draw(st.sampled_from(_beside)) for amount in amounts)
    conditions: dict[str, Any] = {
        "type": near[0]["type"],
        "first_day": days[0],
        "last_day": days[1],
        "min_amount": abs(low),
        "max_amount": abs(high),
        "currency": near[0]["currency"],
        "account": draw(st.sampled_from(["main", "cash", "yen", "unused"])),
        "category": draw(st.sampled_from(["Food", "Food:Coffee", "Home", "Fo"])),
        "tags": draw(st.sampled_from([("a",), ("A", "a"), ("pizza party",), ("b",)])),
        "payee": draw(st.sampled_from(["Luigi", "luigi", "LUIGI"])),
        "status": draw(st.sampled_from(["posted", "pending"])),
        "stems": draw(st.sampled_from([("pizza",), ("cafe", "pizza"), ("e",), ("a",), ("luigi",), ("nowher",), ()])),
    }
    chosen = draw(st.sampled_from(_combinations))
    return Filter(
        **{name: conditions[name] for name in chosen},
        sort=draw(st.sampled_from(list(SORT_KEYS))),
        descending=draw(st.booleans()),
        limit=draw(st.sampled_from([1, 2, 3, 5, 100])),
    )


def matches(row: dict[str, Any], asked: Filter, chart: Chart) -> bool:
    """What a filter means, in plain Python."""
    amount = abs(to_decimal(row["minor_units"], row["currency"]))
    category = chart.categories.get(row["category_id"])
    stems = stems_of([row["description"], row["payee"], row["notes"], *row["tags"]])
    return (
        row["status"] != "void"
        and asked.status in (None, row["status"])
        and asked.type in (None, row["type"])
        and (asked.first_day is None or row["date"] >= asked.first_day)
        and (asked.last_day is None or row["date"] <= asked.last_day)
        and (asked.min_amount is None or amount >= asked.min_amount)
        and (asked.max_amount is None or amount <= asked.max_amount)
        and asked.currency in (None, row["currency"])
        and asked.account in (None, chart.accounts[row["account_id"]]["name"])
        and asked.payee in (None, row["payee"])
        and set(asked.tags) <= set(row["tags"])
        and (asked.stems is None or (asked.stems != () and set(asked.stems) <= set(stems)))
        and (
            asked.category is None
            or category == asked.category
            or (category is not None and category.startswith(asked.category + ":"))
        )
    )


ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "date": lambda row: (row["date"], row["id"]),
    "amount": lambda row: (row["currency"], row["minor_units"], row["id"]),
    "created_at": lambda row: row["created_at"],
}


def walk(ledger: Ledger, asked: Filter) -> list[str]:
    """The ids that a client finds who follows the cursors to the end."""
    found: list[str] = []
    while True:
        page = ledger.find(asked)
        found += [row.id for row in page.rows]
        if page.next_cursor is None:
            return found
        assert len(page.rows) == asked.limit
        asked = replace(asked, cursor=page.next_cursor)


_numbers = itertools.count(2)

LEFT_AS_TEXT = {"type", "date", "tags", "created_at", "expires_at"}
"""What of a page's row is the text that is stored."""


@pytest.fixture
def new_ledger(ledger: Ledger) -> Callable[[str], Ledger]:
    """A further ledger in the same database for each example; none may see another's rows."""
    books = ledger.books

    def found(currency: str) -> Ledger:
        number = next(_numbers)
        books.database.write(lambda connection: kernel.found_ledger(connection, number, currency, "owner", "owner"))
        return Ledger(books, number)

    return found


@stored
@given(booked=st.lists(transactions(), min_size=1, max_size=25), data=st.data())
def test_a_filter_finds_what_a_list_comprehension_finds(
    new_ledger: Callable[[str], Ledger], booked: Sequence[Transaction], data: st.DataObject
) -> None:
    ledger = new_ledger("USD")
    for name, currency in list(_few_accounts.items())[1:]:
        ledger.open_account({"name": name, "currency": currency})
    model = {state["id"]: dict(state) for state in ledger.record(*booked).states}
    for id_ in data.draw(st.sets(st.sampled_from(sorted(model)), max_size=3)):
        model[id_] = dict(ledger.void(Target(id_)).state)
    rows = list(model.values())
    chart, _ = ledger.chart()
    for asked in data.draw(st.lists(filters(rows), min_size=5, max_size=10)):
        expected = sorted(
            (row for row in rows if matches(row, asked, chart)), key=ORDERS[asked.sort], reverse=asked.descending
        )
        assert walk(ledger, asked) == [row["id"] for row in expected]
        page = ledger.find(asked)
        assert page.chart == chart
        for row, state in zip(page.rows, expected[: asked.limit], strict=True):
            assert encode_json(encode_row(row, chart)) == encode_json(show_state(state, chart))
            kept = [name for name in COLUMN_NAMES if name not in LEFT_AS_TEXT]
            assert {name: getattr(row, name) for name in kept} == {name: state[name] for name in kept}


def test_an_empty_ledger_has_nothing_to_find(ledger: Ledger) -> None:
    assert walk(ledger, Filter(category="Food", min_amount=Decimal(1))) == []


@stored
@given(document=documents(), kind=st.sampled_from([IncomeSchema, ExpenseSchema]))
def test_what_is_loaded_is_stored_and_read_back_to_the_last_character(
    new_ledger: Callable[[str], Ledger], document: dict[str, Any], kind: Any
) -> None:
    ledger = new_ledger(document["currency"])
    transaction = kind().load(document)
    sent = kind().dump(transaction)
    receipt = ledger.record(transaction)
    (state,), chart = ledger.get(receipt.state["id"])
    names = {"account": "main", "category": chart.categories.get(state["category_id"])}
    shown = kind().dump({**state, **names, "amount": to_decimal(state["minor_units"], state["currency"])})
    assert chart.accounts[state["account_id"]]["name"] == "main"
    changed_by_the_ledger = {"created_at"} | ({"date"} - set(document))
    assert {name: shown[name] for name in shown if name not in changed_by_the_ledger} == {
        name: sent[name] for name in sent if name not in changed_by_the_ledger
    }
    assert state == receipt.state
