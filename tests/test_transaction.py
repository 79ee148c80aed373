"""Incomes, expenses and their schemas: the contract that people know, and every input that is refused."""

import datetime as dt
import time
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from marshmallow import Schema, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from cashman.db import rfc3339
from cashman.ledger import Ledger
from cashman.model.expense import Expense, ExpenseSchema
from cashman.model.income import Income, IncomeSchema
from cashman.model.money import AmountError, parse_json_number
from cashman.model.transaction import (
    COLUMNS,
    FIGURES,
    WORDS,
    RevisionSchema,
    Transaction,
    TransactionSchema,
    read_figures,
)
from cashman.model.transaction_type import TransactionType

ULID = "01K0A1B2C3D4E5F6G7H8J9KMNP"


def errors_of(schema: Schema, data: Any, **options: Any) -> Any:
    """What a schema says against data."""
    with pytest.raises(ValidationError) as refused:
        schema.load(data, **options)
    return refused.value.messages


# The classes.


def test_an_income_and_an_expense_are_made_of_a_description_and_an_amount() -> None:
    income, expense = Income("salary", 5000), Expense("pizza", 50)
    assert (income.description, income.amount, income.type) == ("salary", Decimal("5000.00"), TransactionType.INCOME)
    assert (expense.description, expense.amount, expense.type) == ("pizza", Decimal("-50.00"), TransactionType.EXPENSE)
    assert isinstance(income, Transaction)
    assert isinstance(expense, Transaction)


def test_a_new_transaction_has_defaults_for_all_the_rest() -> None:
    before = dt.datetime.now(dt.UTC)
    income = Income("salary", "5000")
    assert (income.currency, income.account, income.category, income.tags) == ("USD", "main", None, [])
    assert (income.payee, income.notes, income.group, income.status, income.version) == (None, None, None, "posted", 1)
    assert before <= income.created_at <= dt.datetime.now(dt.UTC)
    assert income.date == income.created_at.date()
    assert len(income.id) == 26
    assert Income("salary", "5000").id != income.id


@pytest.mark.parametrize("amount", [50, -50, 50.0, -50.0, "50", "-50.00", Decimal("50"), Decimal("-50")], ids=repr)
def test_the_amount_of_an_expense_is_forced_negative(amount: Any) -> None:
    assert Expense("pizza", amount).amount == Decimal("-50.00")


@pytest.mark.parametrize("amount", [-5, -0.01, "-5", Decimal("-5")], ids=repr)
def test_a_negative_income_is_refused(amount: Any) -> None:
    with pytest.raises(AmountError, match="An income is positive"):
        Income("salary", amount)


@pytest.mark.parametrize("model", [Income, Expense])
@pytest.mark.parametrize("amount", [0, 0.0, "-0.00", Decimal("0e5")], ids=repr)
def test_zero_is_no_movement_of_money(model: type[Transaction], amount: Any) -> None:
    with pytest.raises(AmountError, match="Zero is not a movement of money"):
        model("nothing", amount)


@pytest.mark.parametrize(("amount", "currency"), [("12.345", "USD"), ("1.5", "JPY"), (1e15, "USD"), (0.1 + 0.2, "USD")])
def test_an_amount_that_does_not_fit_its_currency_is_refused(amount: Any, currency: str) -> None:
    with pytest.raises(AmountError):
        Expense("pizza", amount, currency=currency)


def test_a_transaction_remembers_what_was_given() -> None:
    assert Income("salary", 1).given == ("description", "amount")
    given = Income(
        "salary", 1, id=ULID, date=dt.date(2026, 1, 2), category="Work", tags=["a"], payee="b", notes="c"
    ).given
    assert given == ("description", "amount", "id", "date", "category", "tags", "payee", "notes")


def test_its_content_is_what_was_given_before_any_default() -> None:
    loaded = ExpenseSchema().load({"description": "pizza", "amount": "50", "payee": None})
    assert loaded.content() == {"description": "pizza", "amount": Decimal("-50.00"), "payee": None}
    assert Expense("pizza", 50).content() == {"description": "pizza", "amount": Decimal("-50.00")}


def test_a_transaction_shows_itself_in_one_line() -> None:
    pizza = Expense("pizza", 50, date=dt.date(2026, 11, 20))
    assert repr(pizza) == "<Expense 'pizza' -50.00 USD on 2026-11-20>"


def test_every_column_is_a_figure_or_words_or_kept_by_the_ledger() -> None:
    assert {column.name for column in COLUMNS} == {*FIGURES, *WORDS, "id", "created_at", "version", "sequence"}
    assert set(WORDS) == {"description", "payee", "notes", "tags"}


def test_figures_are_read_back_as_the_columns_hold_them() -> None:
    figures = {"type": "EXPENSE", "date": "2026-11-20", "expires_at": None, "minor_units": -5000}
    assert read_figures(figures) == {
        "type": TransactionType.EXPENSE,
        "date": dt.date(2026, 11, 20),
        "expires_at": None,
        "minor_units": -5000,
    }
    expiring = read_figures({**figures, "expires_at": "2026-11-21T00:00:00.000000Z"})
    assert expiring["expires_at"] == dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def test_the_model_is_the_table(ledger: Ledger) -> None:
    """Single-table inheritance: the ORM gives back objects of the right class, with the names behind the ids."""
    ledger.record(Income("salary", 5000, category="Work"))
    ledger.record(Expense("pizza", 50))

    def work(connection: Any) -> list[tuple[Any, ...]]:
        with Session(connection) as session:
            found = session.scalars(select(Transaction).order_by(Transaction.id)).all()
            return [(type(one), one.description, one.amount, one.account, one.category) for one in found]

    assert sorted(ledger.books.database.read(work), key=lambda one: one[1]) == [
        (Expense, "pizza", Decimal("-50.00"), "main", None),
        (Income, "salary", Decimal("5000.00"), "main", "Work"),
    ]


# The schemas load.


@pytest.mark.parametrize(("schema", "model"), [(IncomeSchema, Income), (ExpenseSchema, Expense)])
def test_a_schema_loads_an_object_of_its_class(schema: type[Schema], model: type[Transaction]) -> None:
    loaded = schema().load({"description": "lottery", "amount": 1000.0})
    assert type(loaded) is model
    assert (loaded.description, abs(loaded.amount)) == ("lottery", Decimal("1000.00"))


@pytest.mark.parametrize(("type_", "model"), [("INCOME", Income), ("EXPENSE", Expense)])
def test_the_schema_of_all_types_makes_what_the_type_names(type_: str, model: type[Transaction]) -> None:
    loaded = TransactionSchema().load({"type": type_, "description": "lottery", "amount": 5})
    assert (type(loaded), loaded.type.value) == (model, type_)


def test_every_field_that_a_client_may_choose_is_loaded() -> None:
    given = {
        "id": ULID,
        "type": "EXPENSE",
        "description": "pizza",
        "amount": "50",
        "currency": "JPY",
        "date": "2026-11-20",
        "account": "main",
        "category": "Food:Restaurant",
        "tags": ["night out"],
        "payee": "Luigi",
        "notes": "with olives",
    }
    loaded = ExpenseSchema().load(given)
    assert loaded.given == tuple(given)
    dumped = ExpenseSchema().dump(loaded)
    assert {name: dumped[name] for name in given} == {**given, "amount": Decimal("-50")}


def test_a_missing_currency_is_that_of_the_account() -> None:
    schema = IncomeSchema(currency_of={"yen": "JPY", None: "KWD"}.__getitem__)
    assert schema.load({"description": "rent", "amount": 5, "account": "yen"}).minor_units == 5
    assert schema.load({"description": "rent", "amount": 5}).minor_units == 5_000, "no account is the main one"
    assert schema.load({"description": "rent", "amount": 5, "account": "yen"}).currency == "JPY"
    assert errors_of(schema, {"description": "yen", "amount": 1.5, "account": "yen"}) == {
        "amount": ["JPY has 0 decimals, and nothing is rounded."]
    }


@pytest.mark.parametrize("amount", [1000, 1000.0, "1000", "1000.00", "1000.000000", Decimal("1E+3")], ids=repr)
def test_trailing_zeros_beyond_the_decimals_are_fine(amount: Any) -> None:
    assert IncomeSchema().load({"description": "yen", "amount": amount, "currency": "JPY"}).minor_units == 1000


def test_nullable_fields_may_be_null() -> None:
    nothing = {"category": None, "payee": None, "notes": None}
    assert IncomeSchema().load({"description": "a", "amount": 1, **nothing}).category is None
    assert errors_of(IncomeSchema(), {"description": "a", "amount": 1, "date": None, "tags": None}) == {
        "date": ["Field may not be null."],
        "tags": ["Field may not be null."],
    }


def test_many_are_loaded_at_once_and_every_bad_one_is_named() -> None:
    good = {"description": "a", "amount": 1}
    assert [one.amount for one in ExpenseSchema(many=True).load([good, good])] == [Decimal("-1.00")] * 2
    assert errors_of(IncomeSchema(many=True), [good, {"descripton": "a", "amount": -5}, 5, {**good, "amount": 0}]) == {
        1: {
            "description": ["Missing data for required field."],
            "descripton": ["Unknown field; did you mean description?"],
            "amount": ["An income is positive."],
        },
        2: {"_schema": ["Has to be a JSON object."]},
        3: {"amount": ["Zero is not a movement of money."]},
    }


@pytest.mark.parametrize("data", [{"description": "a", "amount": 1}, {}, None, "text", 5], ids=repr)
def test_many_have_to_be_an_array(data: Any) -> None:
    assert errors_of(IncomeSchema(many=True), data) == {"_schema": ["Has to be a JSON array."]}


BAD_INPUT: list[tuple[dict[str, Any], str]] = [
    ({"amount": "1_000"}, "amount"),
    ({"amount": " 5 "}, "amount"),
    ({"amount": "\u0665"}, "amount"),
    ({"amount": "\u0665\u0660\u066b\u0662\u0665"}, "amount"),
    ({"amount": parse_json_number("1e1000000")}, "amount"),
    ({"amount": parse_json_number("1e99999999999999999999")}, "amount"),
    ({"amount": parse_json_number("-1e-1000000")}, "amount"),
    ({"amount": "1e1000000"}, "amount"),
    ({"amount": parse_json_number("1" * 31)}, "amount"),
    ({"amount": "1" * 31}, "amount"),
    ({"amount": int("1" * 31)}, "amount"),
    ({"amount": parse_json_number("1" * 100_000)}, "amount"),
    ({"amount": "1" * 900_000}, "amount"),
    ({"amount": float("nan")}, "amount"),
    ({"amount": float("inf")}, "amount"),
    ({"amount": 0}, "amount"),
    ({"amount": "-0.00"}, "amount"),
    ({"amount": -5}, "amount"),
    ({"amount": Decimal("12.345")}, "amount"),
    ({"amount": Decimal("1.5"), "currency": "JPY"}, "amount"),
    ({"amount": Decimal("10000000000000.00")}, "amount"),
    ({"amount": None}, "amount"),
    ({"amount": True}, "amount"),
    ({"amount": []}, "amount"),
    ({"amount": {}}, "amount"),
    ({"currency": "ZZZ"}, "currency"),
    ({"currency": "usd"}, "currency"),
    ({"currency": None}, "currency"),
    ({"currency": 840}, "currency"),
    ({"description": ""}, "description"),
    ({"description": " "}, "description"),
    ({"description": "a" * 501}, "description"),
    ({"description": "a" * 10_240}, "description"),
    ({"description": "a\0b"}, "description"),
    ({"description": "\ud800"}, "description"),
    ({"description": 5}, "description"),
    ({"description": None}, "description"),
    ({"date": "2026-02-30"}, "date"),
    ({"date": "20.11.2026"}, "date"),
    ({"date": 20261120}, "date"),
    ({"type": "EXPENSE"}, "type"),
    ({"type": "income"}, "type"),
    ({"type": 1}, "type"),
    ({"type": ["INCOME"]}, "type"),
    ({"id": "5"}, "id"),
    ({"id": ULID.lower()}, "id"),
    ({"id": None}, "id"),
    ({"account": ""}, "account"),
    ({"account": "a" * 101}, "account"),
    ({"category": "Food::Coffee"}, "category"),
    ({"category": "é" * 101}, "category"),
    ({"category": ""}, "category"),
    ({"tags": "a"}, "tags"),
    ({"tags": ["a"] * 2}, "tags"),
    ({"tags": [str(n) for n in range(21)]}, "tags"),
    ({"tags": ["a" * 51]}, "tags"),
    ({"tags": [["a"]]}, "tags"),
    ({"tags": [{}]}, "tags"),
    ({"tags": ["\0"]}, "tags"),
    ({"payee": "a" * 201}, "payee"),
    ({"payee": "\0"}, "payee"),
    ({"notes": "a" * 5_001}, "notes"),
    ({"notes": "\udfff"}, "notes"),
    ({"status": "void"}, "status"),
    ({"status": "POSTED"}, "status"),
    ({"status": None}, "status"),
    ({"status": 5}, "status"),
    ({"expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
    ({"expires_at": "2999-01-01T00:00:00", "status": "pending"}, "expires_at"),
    ({"expires_at": "tomorrow", "status": "pending"}, "expires_at"),
    ({"expires_in": 60}, "expires_in"),
    ({"expires_in": 60, "status": "posted"}, "expires_in"),
    ({"expires_in": 0, "status": "pending"}, "expires_in"),
    ({"expires_in": -1, "status": "pending"}, "expires_in"),
    ({"expires_in": 1.5, "status": "pending"}, "expires_in"),
    ({"expires_in": 10**30, "status": "pending"}, "expires_in"),
    ({"expires_in": "60", "status": "pending"}, "expires_in"),
    ({"expires_in": 60, "expires_at": "2999-01-01T00:00:00Z", "status": "pending"}, "expires_in"),
    ({"group": None}, "group"),
    ({"created_at": "2026-11-20T10:18:02.890002Z"}, "created_at"),
    ({"version": 1}, "version"),
    ({"minor_units": 5}, "minor_units"),
    ({"ledger_id": 2}, "ledger_id"),
    ({"": 1}, ""),
]


@pytest.mark.parametrize(("wrong", "field"), BAD_INPUT, ids=[f"{field}-{n}" for n, (_, field) in enumerate(BAD_INPUT)])
def test_bad_input_is_refused_by_field_at_once(wrong: dict[str, Any], field: str) -> None:
    schema = IncomeSchema()
    data = {"description": "lottery", "amount": 1000, **wrong}
    seconds = []
    for _ in range(3):  # one of them may meet the garbage collector
        begun = time.thread_time()
        messages = errors_of(schema, data)
        seconds.append(time.thread_time() - begun)
    assert min(seconds) < 0.05
    assert list(messages) == [field]
    assert messages[field]


def test_bad_amounts_do_not_grow_memory() -> None:
    schema = IncomeSchema()
    data = {"description": "lottery", "amount": parse_json_number("1e1000000")}
    errors_of(schema, data)
    tracemalloc.start()
    try:
        for _ in range(20):
            errors_of(schema, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("missing", ["description", "amount"])
def test_a_required_field_that_is_missing_is_named(missing: str) -> None:
    data = {"description": "lottery", "amount": 1000}
    del data[missing]
    assert errors_of(IncomeSchema(), data) == {missing: ["Missing data for required field."]}


def test_the_schema_of_all_types_wants_a_type() -> None:
    assert errors_of(TransactionSchema(), {"description": "lottery", "amount": 5}) == {
        "type": ["Missing data for required field."]
    }
    assert errors_of(TransactionSchema(), {"description": "lottery", "amount": 0, "type": "GIFT"}) == {
        "type": ["Must be one of: INCOME, EXPENSE."],
        "amount": ["Zero is not a movement of money."],
    }
    assert errors_of(TransactionSchema(), {"description": "lottery", "amount": 5, "type": "TRANSFER"}) == {
        "type": ["A transfer is made at /transfers."]
    }


def test_a_type_that_contradicts_the_schema_is_refused_and_the_right_one_taken() -> None:
    data = {"description": "lottery", "amount": 5}
    assert errors_of(IncomeSchema(), {**data, "type": "EXPENSE"}) == {"type": ["Has to be INCOME here."]}
    assert errors_of(ExpenseSchema(), {**data, "type": "INCOME"}) == {"type": ["Has to be EXPENSE here."]}
    assert type(ExpenseSchema().load({**data, "type": "EXPENSE"})) is Expense


@pytest.mark.parametrize("data", [None, [], "text", 5, True])
def test_what_is_no_object_is_refused(data: Any) -> None:
    assert errors_of(IncomeSchema(), data) == {"_schema": ["Has to be a JSON object."]}


def test_an_unknown_field_says_what_was_probably_meant() -> None:
    data = {"description": "lottery", "amount": 5, "curency": "USD", "xyzzy": 1, "version": 1}
    assert errors_of(IncomeSchema(), data) == {
        "curency": ["Unknown field; did you mean currency?"],
        "xyzzy": ["Unknown field."],
        "version": ["Read-only: the ledger sets it."],
    }


def test_every_bad_field_is_named_at_once() -> None:
    data = {"description": "", "amount": "x", "date": "never", "tags": ["a", "a"], "type": "EXPENSE", "currency": "X"}
    assert set(errors_of(IncomeSchema(), data)) == set(data)


# The schemas dump.


def test_an_expense_is_dumped_as_the_wire_shows_it() -> None:
    pizza = Expense(
        "pizza", 50, date=dt.date(2026, 11, 20), category="Food:Restaurant", tags=["night out"], payee="Luigi"
    )
    (dumped,) = ExpenseSchema(many=True).dump([pizza])
    assert list(dumped) == [
        "id", "type", "status", "description", "amount", "currency", "date", "account",
        "category", "tags", "payee", "notes", "group", "expires_at", "created_at", "version",
    ]  # fmt: skip
    assert dumped == {
        "id": pizza.id,
        "type": "EXPENSE",
        "status": "posted",
        "description": "pizza",
        "amount": Decimal("-50.00"),
        "currency": "USD",
        "date": "2026-11-20",
        "account": "main",
        "category": "Food:Restaurant",
        "tags": ["night out"],
        "payee": "Luigi",
        "notes": None,
        "group": None,
        "expires_at": None,
        "created_at": rfc3339(pizza.created_at),
        "version": 1,
    }
    assert str(dumped["amount"]) == "-50.00"


# What PUT and PATCH take.


def test_a_revision_is_whole() -> None:
    missing = ["Missing data for required field."]
    assert errors_of(RevisionSchema(), {}) == {"description": missing, "amount": missing, "date": missing}
    values = RevisionSchema().load({"description": "pizza", "amount": 5, "date": "2026-11-20"})
    assert values == {"description": "pizza", "amount": Decimal("5"), "date": dt.date(2026, 11, 20)}


def test_a_partial_revision_takes_any_field_alone() -> None:
    assert RevisionSchema(partial=True).load({}) == {}
    assert RevisionSchema(partial=True).load({"payee": None, "tags": None}) == {"payee": None, "tags": []}
    assert RevisionSchema(partial=True).load({"tags": ["a"]}) == {"tags": ["a"]}


def test_read_only_members_may_stand_in_a_revision() -> None:
    read = {
        "id": ULID,
        "type": "EXPENSE",
        "status": "posted",
        "group": None,
        "created_at": "2026-11-20T10:18:02.890002Z",
        "version": 3,
    }
    values = RevisionSchema(partial=True).load(read)
    assert values["type"] is TransactionType.EXPENSE
    assert values["created_at"] == dt.datetime(2026, 11, 20, 10, 18, 2, 890002, tzinfo=dt.UTC)
    assert (values["version"], values["group"], values["id"]) == (3, None, ULID)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"version": "3"}, "version"),
        ({"version": 1.5}, "version"),
        ({"status": 5}, "status"),
        ({"group": "x"}, "group"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": "2026-11-20T10:18:02"}, "created_at"),
        ({"description": None}, "description"),
        ({"amount": None}, "amount"),
        ({"currency": None}, "currency"),
        ({"date": None}, "date"),
        ({"tags": ["a", "a"]}, "tags"),
        ({"expires": 5}, "expires"),
        ({"status": "void"}, "status"),
        ({"expires_at": "2026-11-20T10:18:02"}, "expires_at"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 60, "expires_at": "2999-01-01T00:00:00Z"}, "expires_in"),
    ],
    ids=repr,
)
def test_a_bad_revision_is_refused_by_field(wrong: dict[str, Any], field: str) -> None:
    assert list(errors_of(RevisionSchema(partial=True), wrong)) == [field]
