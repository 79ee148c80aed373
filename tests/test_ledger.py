"""The ledger: what goes in stands as it was given, and comes out as it was asked for."""

import dataclasses
import datetime as dt
import threading
import zoneinfo
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from ulid import ULID

from cashman import db, journal
from cashman.changes import Change, Record, Replace, Request, Target, Void
from cashman.chart import Chart
from cashman.errors import (
    AlreadyChanged,
    AnswerErased,
    ConfigurationError,
    IdTaken,
    Invalid,
    KeyReused,
    NotFound,
    TotalTooLarge,
)
from cashman.journal import Head
from cashman.ledger import OWNERS_OWN, Books, Ledger
from cashman.limits import MINOR_UNITS_MAX
from cashman.model.expense import Expense, ExpenseSchema
from cashman.model.filter import Filter
from cashman.model.income import Income
from cashman.model.money import to_decimal
from cashman.model.transaction_type import TransactionType
from cashman.receipts import Answer, Receipt

ID = "01K0A1B2C3D4E5F6G7H8J9KMNP"
OTHER_ID = "01K0A1B2C3D4E5F6G7H8J9KMNQ"
DAY = dt.date(2026, 11, 20)
EVERY_FIELD = {
    "account": "yen",
    "currency": "JPY",
    "date": DAY,
    "category": "Food:Restaurant",
    "tags": ["night out", "é"],
    "payee": "Luigi",
    "notes": "with olives 🫒",
}


def open_accounts(ledger: Ledger, *currencies: str) -> None:
    """Open an account for each currency, with its name in small letters; `yen` for JPY."""
    for currency in currencies:
        name = "yen" if currency == "JPY" else currency.lower()
        ledger.open_account({"name": name, "currency": currency})


def named(state: Mapping[str, Any], chart: Chart) -> dict[str, Any]:
    """A state with the names behind its ids."""
    account, category = chart.accounts[state["account_id"]]["name"], chart.categories.get(state["category_id"])
    return {**state, "account": account, "category": category}


def head_of(ledger: Ledger) -> Head:
    """The newest entry of a ledger's journal."""
    return ledger.find(Filter(limit=1)).head


def descriptions(ledger: Ledger, **asked: Any) -> list[str]:
    """What a filter finds, by description."""
    return [row.description for row in ledger.find(Filter(**asked)).rows]


def in_one_commit(ledger: Ledger, *changes: Change) -> list[Any]:
    """Commit changes as the writer does when they have gathered: the outcome or the error of each."""
    return list(ledger.books._commit(changes))


def record(ledger: Ledger, *transactions: Any) -> Record:
    """The change that books transactions."""
    return Record(ledger.id, OWNERS_OWN, [[transaction] for transaction in transactions])


def replace(ledger: Ledger, id_: str, **values: Any) -> Replace:
    """The change that gives fields new values."""
    return Replace(ledger.id, OWNERS_OWN, Target(id_), values)


# Record and get.


def test_a_new_ledger_is_empty_and_its_journal_is_not(ledger: Ledger) -> None:
    page = ledger.find(Filter())
    assert (list(page.rows), page.next_cursor) == ([], None)
    assert page.head.sequence == 2  # the ledger itself, and its main account
    assert str(page.head) == f"2:{page.head.hash.hex()}"


def test_what_is_recorded_is_read_back_to_the_last_field(ledger: Ledger) -> None:
    open_accounts(ledger, "JPY")
    before = dt.datetime.now(dt.UTC)
    receipt = ledger.record(Expense("pizza", "50", id=ID, **EVERY_FIELD))
    (row,), chart = ledger.get(ID)
    assert row == receipt.state
    assert receipt.chart is not None
    assert (chart.accounts, chart.categories) == (receipt.chart.accounts, receipt.chart.categories)
    row = named(row, chart)
    assert {name: row[name] for name in EVERY_FIELD} == EVERY_FIELD
    assert (row["id"], row["type"], row["status"]) == (ID, TransactionType.EXPENSE, "posted")
    assert (row["minor_units"], row["version"], row["group"]) == (-50, 1, None)
    assert (row["expires_at"], row["sequence"]) == (None, receipt.head.sequence)
    assert before <= row["created_at"] <= dt.datetime.now(dt.UTC)
    assert receipt.head == head_of(ledger)


def test_a_transaction_without_a_date_is_booked_today_in_the_time_zone_of_the_books(database_url: str) -> None:
    """The two zones are 26 hours apart, so that today is never the same day in both."""
    days = []
    for name in ("Pacific/Kiritimati", "Etc/GMT+12"):
        books = Books(db.connect(database_url), timezone=name)
        before = dt.datetime.now(zoneinfo.ZoneInfo(name)).date()
        day = books.own_ledger().record(Income("salary", 1)).state["date"]
        assert before <= day <= dt.datetime.now(zoneinfo.ZoneInfo(name)).date()
        days.append(day)
        books.database.close()
    assert days[0] > days[1]


def test_the_currency_of_a_ledger_is_fixed_once_it_is_made(empty_url: str) -> None:
    for books in (Books(db.connect(empty_url), currency="JPY"), Books(db.connect(empty_url))):
        chart, _ = books.own_ledger().chart()
        assert (books.currency, chart.currency, chart.account("main")["currency"]) == ("JPY", "JPY", "JPY")
        assert books.own_ledger().currency_of("main") == "JPY"
        books.database.close()
    other = Books(db.connect(empty_url), currency="USD")
    with pytest.raises(ConfigurationError, match="CASHMAN_CURRENCY is USD, but this ledger keeps JPY"):
        other.database.open()
    other.database.close()


def test_an_unknown_account_is_refused_and_nothing_is_booked(ledger: Ledger) -> None:
    before = head_of(ledger)
    with pytest.raises(Invalid) as refused:
        ledger.record(Income("salary", 1, account="savings", category="New"))
    assert refused.value.errors == {"account": ["There is no account of this name."]}
    assert (head_of(ledger), descriptions(ledger)) == (before, [])


def test_an_unknown_id_is_not_found(ledger: Ledger) -> None:
    ledger.record(Income("salary", 1, id=ID))
    for wrong in (OTHER_ID, "", "nonsense", ID.lower()):
        for ask in (ledger.get, ledger.history):
            with pytest.raises(NotFound):
                ask(wrong)
        for change in (ledger.void, ledger.restore, ledger.redact):
            with pytest.raises(NotFound):
                change(Target(wrong))
        with pytest.raises(NotFound):
            ledger.replace(Target(wrong), {"payee": "x"})


def test_a_transaction_of_another_type_is_not_found(ledger: Ledger) -> None:
    ledger.record(Income("salary", 1, id=ID))
    wrong = Target(ID, TransactionType.EXPENSE)
    for attempt in (
        lambda: ledger.get(ID, TransactionType.EXPENSE),
        lambda: ledger.history(ID, TransactionType.EXPENSE),
        lambda: ledger.void(wrong),
        lambda: ledger.restore(wrong),
        lambda: ledger.redact(wrong),
        lambda: ledger.replace(wrong, {"payee": "x"}),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert ledger.get(ID, TransactionType.INCOME)[0][0]["version"] == 1


# Ids that the client chooses.


def test_the_same_id_with_the_same_content_gets_the_first_answer_again(ledger: Ledger) -> None:
    open_accounts(ledger, "JPY")
    first = ledger.record(Expense("pizza", 50, id=ID, **EVERY_FIELD))
    again = ledger.record(Expense("pizza", "-50", id=ID, **EVERY_FIELD))
    assert (again.state, again.head) == (first.state, first.head)
    assert (head_of(ledger), len(descriptions(ledger))) == (first.head, 1)


OTHER_CONTENT: list[dict[str, Any]] = [
    {"description": "pasta"}, {"amount": 51}, {"account": "krw", "currency": "KRW"}, {"date": dt.date(2026, 11, 21)},
    {"category": "Food"}, {"category": None}, {"tags": ["night out"]}, {"tags": None}, {"payee": "Mario"},
    {"payee": None}, {"notes": None},
]  # fmt: skip


def test_the_same_id_with_other_content_is_taken(ledger: Ledger) -> None:
    open_accounts(ledger, "JPY", "KRW")
    given: dict[str, Any] = {"description": "pizza", "amount": 50, "id": ID, **EVERY_FIELD}
    first = ledger.record(Expense(**given))
    for other in OTHER_CONTENT:
        with pytest.raises(IdTaken):
            ledger.record(Expense(**{**given, **other}))
    assert head_of(ledger) == first.head


def test_the_same_id_for_another_type_is_taken(ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50, id=ID))
    with pytest.raises(IdTaken):
        ledger.record(Income("pizza", 50, id=ID))


def test_a_date_that_is_left_out_means_the_day_of_the_first_answer(ledger: Ledger) -> None:
    """A retry past midnight is still the same request."""
    first = ledger.record(Expense("pizza", 50, id=ID, date=DAY))
    again = ledger.record(Expense("pizza", 50, id=ID))
    assert (again.state["date"], again.head) == (DAY, first.head)


def test_the_first_answer_stands_whatever_has_happened_since(ledger: Ledger) -> None:
    open_accounts(ledger, "JPY")
    first = ledger.record(Expense("pizza", 50, id=ID, **EVERY_FIELD))
    ledger.replace(Target(ID), {"description": "pasta", "category": "Food", "amount": Decimal(7)})
    ledger.void(Target(ID))
    again = ledger.record(Expense("pizza", 50, id=ID, **EVERY_FIELD))
    assert (again.state, again.head) == (first.state, first.head)
    with pytest.raises(NotFound):
        ledger.get(ID)


def test_one_id_twice_in_one_commit_is_booked_once(ledger: Ledger) -> None:
    pizza = {"description": "pizza", "amount": 50, "id": ID}
    first, again, other = in_one_commit(
        ledger,
        record(ledger, Expense(**pizza)),
        record(ledger, Expense(**pizza)),
        record(ledger, Expense(**{**pizza, "amount": 51})),
    )
    assert (again.state, again.head) == (first.state, first.head)
    assert isinstance(other, IdTaken)
    assert descriptions(ledger) == ["pizza"]


# Void and restore.


def test_a_void_transaction_leaves_the_lists_and_comes_back(ledger: Ledger) -> None:
    ledger.record(Income("salary", 1, id=ID))
    ledger.record(Income("bonus", 1))
    voided = ledger.void(Target(ID))
    assert (voided.state["status"], voided.state["version"]) == ("void", 2)
    assert descriptions(ledger) == ["bonus"]
    with pytest.raises(NotFound):
        ledger.get(ID)
    restored = ledger.restore(Target(ID))
    assert (restored.state["status"], restored.state["version"]) == ("posted", 3)
    assert sorted(descriptions(ledger)) == ["bonus", "salary"]
    assert ledger.get(ID)[0] == [restored.state]


def test_a_second_void_and_a_second_restore_change_nothing(ledger: Ledger) -> None:
    ledger.record(Income("salary", 1, id=ID))
    standing = head_of(ledger)
    assert ledger.restore(Target(ID)).head == standing == head_of(ledger)
    voided = ledger.void(Target(ID))
    again = ledger.void(Target(ID))
    assert (again.state, again.head) == (voided.state, voided.head)
    assert head_of(ledger) == voided.head


def test_a_void_transaction_cannot_be_replaced(ledger: Ledger) -> None:
    ledger.record(Income("salary", 1, id=ID))
    head = ledger.void(Target(ID)).head
    with pytest.raises(NotFound):
        ledger.replace(Target(ID), {"payee": "x"})
    assert head_of(ledger) == head


# Replace.


def test_a_replacement_changes_what_it_names_and_no_more(ledger: Ledger) -> None:
    open_accounts(ledger, "JPY")
    first = ledger.record(Expense("pizza", 50, id=ID, **EVERY_FIELD)).state
    values = {"description": "pasta", "category": "Food:Home", "payee": None, "tags": []}
    receipt = ledger.replace(Target(ID), values)
    assert receipt.chart is not None
    changed = {**values, "version": 2, "account": "yen", "category_id": receipt.state["category_id"]}
    assert named(receipt.state, receipt.chart) == {**first, **changed}
    assert ledger.get(ID)[0] == [receipt.state]
    assert receipt.state["category_id"] != first["category_id"]
    assert receipt.head == head_of(ledger)


def test_a_new_amount_keeps_the_sign_of_the_type(ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50, id=ID))
    assert ledger.replace(Target(ID), {"amount": Decimal(7)}).state["minor_units"] == -700
    assert ledger.replace(Target(ID), {"amount": Decimal(-8)}).state["minor_units"] == -800


def test_a_new_amount_that_breaks_a_rule_is_refused(ledger: Ledger) -> None:
    head = ledger.record(Income("salary", 50, id=ID)).head
    for amount in ("0", "-7", "12.345", "1e99", "NaN"):
        with pytest.raises(Invalid) as refused:
            ledger.replace(Target(ID), {"amount": Decimal(amount)})
        assert list(refused.value.errors or {}) == ["amount"]
    assert head_of(ledger) == head


def test_a_new_currency_keeps_the_amount_where_it_fits(ledger: Ledger) -> None:
    open_accounts(ledger, "JPY")
    ledger.record(Expense("pizza", "12.00", id=ID))
    assert ledger.replace(Target(ID), {"account": "yen", "currency": "JPY"}).state["minor_units"] == -12
    ledger.replace(Target(ID), {"account": "main", "currency": None, "amount": Decimal("12.34")})
    for currency in ("JPY", None):
        with pytest.raises(Invalid) as refused:
            ledger.replace(Target(ID), {"account": "yen", "currency": currency})
        assert refused.value.errors == {"amount": ["JPY has 0 decimals, and nothing is rounded."]}


def test_a_currency_is_that_of_the_account(ledger: Ledger) -> None:
    open_accounts(ledger, "JPY")
    head = ledger.record(Expense("pizza", "12.00", id=ID)).head
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: ledger.record(Expense("ramen", 12, currency="JPY")), "The account main is in USD."),
        (lambda: ledger.record(Expense("ramen", 12, account="yen", currency="USD")), "The account yen is in JPY."),
        (lambda: ledger.replace(Target(ID), {"currency": "JPY"}), "The account main is in USD."),
        (lambda: ledger.replace(Target(ID), {"account": "yen"}), "The account yen is in JPY."),
    ]
    for attempt, rule in wrong:
        with pytest.raises(Invalid) as refused:
            attempt()
        assert refused.value.errors == {"currency": [rule]}
    assert head_of(ledger) == head
    state = ledger.record(Expense("ramen", 12, account="yen")).state
    assert (state["currency"], state["minor_units"]) == ("JPY", -12)


def test_a_replacement_that_changes_nothing_is_no_revision(ledger: Ledger) -> None:
    open_accounts(ledger, "JPY")
    first = ledger.record(Expense("pizza", 50, id=ID, **EVERY_FIELD))
    same = ledger.replace(Target(ID), {"description": "pizza", "amount": Decimal(-50), **EVERY_FIELD})
    assert (same.state, same.head) == (first.state, first.head)
    assert head_of(ledger) == first.head


def test_read_only_members_may_be_sent_back_as_they_were_read(ledger: Ledger) -> None:
    first = ledger.record(Expense("pizza", 50, id=ID)).state
    read = {name: first[name] for name in ("id", "type", "status", "group", "created_at", "version")}
    assert ledger.replace(Target(ID), {**read, "payee": "Luigi"}).state["version"] == 2


OTHER_READ_ONLY: list[dict[str, Any]] = [
    {"id": OTHER_ID}, {"type": TransactionType.INCOME}, {"status": "void"}, {"group": OTHER_ID}, {"version": 2},
    {"created_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
]  # fmt: skip


def test_read_only_members_cannot_be_changed(ledger: Ledger) -> None:
    head = ledger.record(Expense("pizza", 50, id=ID)).head
    for wrong in OTHER_READ_ONLY:
        with pytest.raises(Invalid) as refused:
            ledger.replace(Target(ID), {**wrong, "payee": "Luigi"})
        assert list(refused.value.errors or {}) == list(wrong)
    assert head_of(ledger) == head


def test_a_replacement_may_take_the_category_away_and_name_no_unknown_account(ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50, id=ID, category="Food"))
    assert ledger.replace(Target(ID), {"category": None}).state["category_id"] is None
    with pytest.raises(Invalid) as refused:
        ledger.replace(Target(ID), {"account": "savings"})
    assert list(refused.value.errors or {}) == ["account"]


# Versions.


def test_a_change_for_an_expected_version_is_made_for_that_version_only(ledger: Ledger) -> None:
    ledger.record(Income("salary", 1, id=ID))
    second = Target(ID, expected=frozenset({(2, 0)}))
    changes: list[Callable[[], Any]] = [
        lambda: ledger.replace(second, {"payee": "x"}),
        lambda: ledger.void(second),
        lambda: ledger.redact(second),
    ]
    for change in changes:
        with pytest.raises(AlreadyChanged) as refused:
            change()
        assert refused.value.detail == "It is at version 1 now."
    with pytest.raises(AlreadyChanged):
        ledger.replace(Target(ID, expected=frozenset()), {"payee": "x"})
    assert ledger.replace(Target(ID, expected=frozenset({(1, 0), (7, 0)})), {"payee": "x"}).state["version"] == 2
    assert ledger.void(second).state["version"] == 3
    with pytest.raises(AlreadyChanged):
        ledger.restore(second)


def test_of_many_writers_on_one_version_one_succeeds(ledger: Ledger) -> None:
    ledger.record(Income("salary", 1, id=ID))
    writers = 50
    start = threading.Barrier(writers)

    def write(number: int) -> str:
        start.wait()
        try:
            ledger.replace(Target(ID, expected=frozenset({(1, 0)})), {"payee": str(number)})
        except AlreadyChanged:
            return "refused"
        return str(number)

    with ThreadPoolExecutor(writers) as pool:
        outcomes = list(pool.map(write, range(writers)))
    (winner,) = [outcome for outcome in outcomes if outcome != "refused"]
    (row,), _ = ledger.get(ID)
    assert (row["payee"], row["version"]) == (winner, 2)


# Several changes in one commit.


def test_changes_of_one_commit_see_each_other(ledger: Ledger) -> None:
    created, replaced, voided = in_one_commit(
        ledger,
        record(ledger, Expense("pizza", 50, id=ID)),
        replace(ledger, ID, payee="Luigi"),
        Void(ledger.id, OWNERS_OWN, Target(ID)),
    )
    assert [receipt.head.sequence for receipt in (created, replaced, voided)] == [3, 4, 5]
    assert created.state["version"] == 1
    assert (voided.state["version"], voided.state["payee"]) == (3, "Luigi")
    assert [version.kind for version in ledger.history(ID)[0]] == ["create", "replace", "void"]


def test_a_bad_change_fails_alone(ledger: Ledger) -> None:
    outcomes = in_one_commit(
        ledger,
        record(ledger, Expense("one", 1)),
        record(ledger, Expense("two", 2, account="nowhere", category="Never")),
        replace(ledger, OTHER_ID, payee="x"),
        record(ledger, Expense("three", 3, category="Food")),
        record(ledger, Expense("four", 4, category="Food:Coffee")),
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Receipt", "Invalid", "NotFound", "Receipt", "Receipt"]
    assert sorted(descriptions(ledger)) == ["four", "one", "three"]
    assert sorted(descriptions(ledger, category="Food")) == ["four", "three"]


def test_several_transactions_are_recorded_all_or_none(ledger: Ledger) -> None:
    receipt = ledger.record(Expense("one", 1, category="A"), Income("two", 2, category="A"))
    assert [state["description"] for state in receipt.states] == ["one", "two"]
    assert [state["version"] for state in receipt.states] == [1, 1]
    assert receipt.head == head_of(ledger)
    with pytest.raises(Invalid) as refused:
        ledger.record(Income("three", 3, category="B"), Income("four", 4, account="x"), Expense("five", 5, account="y"))
    assert sorted(refused.value.errors or {}) == [1, 2]
    assert head_of(ledger) == receipt.head
    assert sorted(descriptions(ledger)) == ["one", "two"]
    assert descriptions(ledger, category="B") == []


def test_a_total_that_would_pass_64_bits_is_refused_and_changes_nothing(ledger: Ledger) -> None:
    """All amounts count without their signs: what is added up out of some of them fits into 64 bits, too."""
    largest = to_decimal(MINOR_UNITS_MAX, "USD")
    ledger.record(Income("salary", largest))
    with ledger.books.database.engine.begin() as connection:
        connection.execute(text("UPDATE turnovers SET minor_units = :most"), {"most": 2**63 - 1 - 5})
    before = head_of(ledger)
    with pytest.raises(TotalTooLarge):
        ledger.record(Income("more", "0.06"))
    assert head_of(ledger) == before
    outcomes = in_one_commit(
        ledger,
        record(ledger, Income("more", "0.06")),
        record(ledger, Income("just as much", "0.05", id=ID)),
        record(ledger, Income("one more", "0.01")),
        record(ledger, Expense("one less", "0.01")),
        replace(ledger, ID, amount=Decimal("0.04")),
        record(ledger, Expense("room again", "0.01")),
        record(ledger, Income("one more", "0.01")),
    )
    assert [isinstance(outcome, TotalTooLarge) for outcome in outcomes] == [True, False, True, True, False, False, True]
    query = text("SELECT currency, minor_units FROM turnovers")
    assert ledger.books.database.read(lambda c: c.execute(query).all()) == [("USD", 2**63 - 1)]
    ledger.void(Target(ID))
    ledger.record(Income("one more", "0.01"))
    assert ledger.books.database.read(lambda c: c.execute(query).all()) == [("USD", 2**63 - 4)]


# Requests that are repeated.


def request(key: str | None, content: str = "content", principal: str = "owner", status: int = 201) -> Request:
    """A request behind a change, answered with the ids and the head that it came to."""

    def render(receipt: Receipt) -> Answer:
        body = " ".join(state["id"] for state in receipt.states).encode()
        return Answer(status, {"Cashman-Head": str(receipt.head)}, body if status != 204 else None)

    return Request("owner", render, key, content.encode().ljust(32), principal)


def test_a_repeated_request_gets_the_first_answer_and_books_nothing(ledger: Ledger) -> None:
    first = ledger.record(Expense("pizza", 50), request=request("k"))
    again = ledger.record(Expense("pizza", 50), request=request("k"))
    assert (first.replayed, again.replayed) == (False, True)
    assert again.answer == first.answer
    assert first.answer is not None
    assert first.answer.body == first.state["id"].encode()
    assert head_of(ledger) == first.head
    assert descriptions(ledger) == ["pizza"]


def test_a_key_stands_for_one_request_of_one_principal(ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50), request=request("k"))
    with pytest.raises(KeyReused):
        ledger.record(Expense("pasta", 50), request=request("k", "other content"))
    ledger.record(Expense("rice", 50), request=request("K"))
    ledger.record(Expense("soup", 50), request=request("k", "other content", principal="somebody else"))
    ledger.record(Expense("tea", 50), request=request(None))
    assert sorted(descriptions(ledger)) == ["pizza", "rice", "soup", "tea"]


def test_a_request_that_was_refused_may_be_repeated(ledger: Ledger) -> None:
    """Only what was carried out is kept: the same request may find a better ledger tomorrow."""
    asked = request("k")
    with pytest.raises(NotFound):
        ledger.void(Target(ID), asked)
    ledger.record(Expense("pizza", 50, id=ID))
    receipt = ledger.void(Target(ID), asked)
    assert (receipt.replayed, receipt.state["status"]) == (False, "void")


def test_one_key_many_times_in_one_commit_is_booked_once(ledger: Ledger) -> None:
    changes = [Record(ledger.id, request("k"), [[Expense("pizza", 50)]]) for _ in range(5)]
    first, *others = in_one_commit(ledger, *changes)
    assert [other.answer for other in others] == [first.answer] * 4
    assert [other.replayed for other in others] == [True] * 4
    assert descriptions(ledger) == ["pizza"]


def test_an_answer_that_may_quote_erased_words_is_erased_with_them(ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50, id=ID), request=request("with words"))
    ledger.record(Expense("rent", 50), request=request("without", status=204))
    ledger.redact(Target(ID))
    with pytest.raises(AnswerErased):
        ledger.record(Expense("pizza", 50, id=ID), request=request("with words"))
    assert ledger.record(Expense("rent", 50), request=request("without", status=204)).replayed
    assert sorted(descriptions(ledger)) == ["[redacted]", "rent"]


def test_answers_are_forgotten_after_the_promised_week(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.record(Expense("pizza", 50), request=request("old"))
    now = dt.datetime.now(dt.UTC)
    monkeypatch.setattr(journal, "utc_now", lambda: now + dt.timedelta(days=7))
    assert ledger.record(Expense("pizza", 50), request=request("old")).replayed
    ledger.record(Expense("pasta", 50), request=request("young"))
    monkeypatch.setattr(journal, "utc_now", lambda: now + dt.timedelta(days=9))
    ledger.record(*[Expense("many", 1) for _ in range(999 - head_of(ledger).sequence)])
    ledger.record(Expense("the thousandth entry", 1), request=request("new"))  # now and then they are looked through
    replayed = [ledger.record(Expense("again", 50), request=request(key)).replayed for key in ("old", "young", "new")]
    assert replayed == [False, True, True]


# Find.


def test_a_list_shows_the_newest_day_first_and_ties_by_id(ledger: Ledger) -> None:
    ids = sorted(str(ULID()) for _ in range(4))
    for number, day in ((2, 1), (0, 1), (3, 2), (1, 1)):
        ledger.record(Income(str(number), 1, id=ids[number], date=dt.date(2026, 1, day)))
    assert descriptions(ledger) == ["3", "2", "1", "0"]
    assert descriptions(ledger, descending=False) == ["0", "1", "2", "3"]


@pytest.fixture
def household(ledger: Ledger) -> Ledger:
    """A ledger with a little of everything."""
    open_accounts(ledger, "JPY", "KWD", "AED", "ZWG")
    rows = [
        Income("salary", 5000, date=dt.date(2026, 1, 1), category="Work"),
        Expense("rent", "1200.50", date=dt.date(2026, 1, 2), category="Home:Rent"),
        Expense("espresso", "2.50", date=dt.date(2026, 1, 3), category="Food:Coffee"),
        Expense("market", 40, date=dt.date(2026, 1, 3), category="Food"),
        Expense("hay", 15, date=dt.date(2026, 1, 4), category="Foodstuff"),
        Expense("odd", 16, date=dt.date(2026, 1, 4), category="Food;Odd"),
        Expense("small letters", 17, date=dt.date(2026, 1, 4), category="food:Coffee"),
        Expense("ramen", 1500, account="yen", date=dt.date(2026, 1, 5), category="Food:Restaurant:Japanese"),
        Expense("dates", "1.250", account="kwd", date=dt.date(2026, 1, 6)),
        Income("refund", "1200.50", date=dt.date(2026, 2, 1), category="Home:Rent"),
    ]
    ledger.record(*rows)
    return ledger


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"type": TransactionType.INCOME}, "salary refund"),
    ({"first_day": dt.date(2026, 1, 5)}, "ramen dates refund"),
    ({"last_day": dt.date(2026, 1, 2)}, "salary rent"),
    ({"first_day": dt.date(2026, 1, 2), "last_day": dt.date(2026, 1, 3)}, "rent espresso market"),
    ({"currency": "JPY"}, "ramen"),
    ({"currency": "EUR"}, ""),
    ({"account": "kwd", "currency": "KWD"}, "dates"),
    ({"account": "main", "currency": "KWD"}, ""),
    ({"account": "yen"}, "ramen"),
    ({"account": "aed"}, ""),
    ({"category": "Food"}, "espresso market ramen"),
    ({"category": "Food:Restaurant"}, "ramen"),
    ({"category": "Food:Rest"}, ""),
    ({"category": "Home"}, "rent refund"),
    ({"category": "Never"}, ""),
    ({"min_amount": Decimal("1200.50")}, "salary rent ramen refund"),
    ({"max_amount": Decimal("2.499")}, "dates"),
    ({"min_amount": Decimal("1.25"), "max_amount": Decimal("2.5")}, "espresso dates"),
    ({"min_amount": Decimal("1.2501"), "max_amount": Decimal("2.4999")}, ""),
    ({"min_amount": Decimal("15.5"), "max_amount": Decimal("16.5")}, "odd"),
    ({"min_amount": Decimal("1" + "0" * 30)}, ""),
    ({"max_amount": Decimal("1" + "0" * 30), "currency": "KWD"}, "dates"),
    ({"max_amount": Decimal(0)}, ""),
    ({"type": TransactionType.EXPENSE, "category": "Home", "min_amount": Decimal(1)}, "rent"),
]


def test_a_filter_finds_what_it_asks_for(household: Ledger) -> None:
    for asked, found in FILTERS:
        assert descriptions(household, **asked, descending=False) == found.split(), asked


def test_a_filter_for_an_account_that_is_not_there_is_refused(household: Ledger) -> None:
    with pytest.raises(Invalid) as refused:
        household.find(Filter(account="kvd"))
    assert refused.value.errors == {"account": ["There is no account of this name; did you mean kwd?"]}


def test_categories_are_told_apart_by_their_bytes(household: Ledger) -> None:
    assert descriptions(household, category="food") == ["small letters"]
    assert descriptions(household, category="Foodstuff") == ["hay"]
    assert descriptions(household, category="Food;Odd") == ["odd"]


def test_amounts_are_sorted_within_their_currency(household: Ledger) -> None:
    rows = household.find(Filter(sort="amount", descending=False)).rows
    amounts = [(row.currency, row.minor_units) for row in rows]
    assert amounts == sorted(amounts)
    assert [row.currency for row in rows[:2]] == ["JPY", "KWD"]
    assert list(household.find(Filter(sort="amount", descending=True)).rows) == list(reversed(rows))


def test_rows_are_sorted_by_when_they_were_recorded(household: Ledger) -> None:
    rows = household.find(Filter(sort="created_at", descending=False)).rows
    for column in ("created_at", "sequence"):
        values = [getattr(row, column) for row in rows]
        assert values == sorted(set(values))
    assert (rows[0].description, rows[-1].description) == ("salary", "refund")


def pages(ledger: Ledger, filter_: Filter, between: Callable[[int], object] = lambda page: None) -> list[str]:
    """Every id on every page, as a client follows the cursors."""
    found: list[str] = []
    for number in range(1000):
        page = ledger.find(filter_)
        assert len(page.rows) <= filter_.limit
        found += [row.id for row in page.rows]
        if page.next_cursor is None:
            return found
        filter_ = dataclasses.replace(filter_, cursor=page.next_cursor)
        between(number)
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("sort", ["date", "amount", "created_at"])
def test_pages_visit_every_row_exactly_once(household: Ledger, sort: str) -> None:
    for descending in (True, False):
        asked = Filter(sort=sort, descending=descending)
        whole = [row.id for row in household.find(asked).rows]
        assert len(whole) == 10
        for limit in (1, 3, 10):
            assert pages(household, dataclasses.replace(asked, limit=limit)) == whole


@pytest.mark.parametrize("sort", ["date", "amount", "created_at"])
def test_pages_visit_every_row_exactly_once_while_rows_come_and_go(household: Ledger, sort: str) -> None:
    before = {row.id for row in household.find(Filter()).rows}
    (victim,) = [row.id for row in household.find(Filter(category="Work")).rows]

    def between(number: int) -> None:
        if number == 0:
            household.void(Target(victim))
        if number < 3:
            household.record(
                Income(f"early {number}", 1, date=dt.date(2025, 1, 1), account="aed"),
                Expense(f"late {number}", 9999, date=dt.date(2027, 1, 1), account="zwg"),
                Expense(f"between {number}", 40, date=dt.date(2026, 1, 3)),
            )

    for descending in (True, False):
        found = pages(household, Filter(sort=sort, descending=descending, limit=2), between)
        assert len(found) == len(set(found))
        assert before - {victim} <= set(found)


def test_a_page_that_ends_with_the_last_row_has_no_next(household: Ledger) -> None:
    assert household.find(Filter(limit=10)).next_cursor is None
    assert household.find(Filter(limit=9)).next_cursor is not None


def test_a_list_carries_the_head_that_it_was_read_at(ledger: Ledger) -> None:
    receipt = ledger.record(Income("salary", 1))
    assert ledger.find(Filter()).head == receipt.head


def test_a_loaded_transaction_is_recorded_as_it_was_loaded(ledger: Ledger) -> None:
    given = {"description": "pizza", "amount": "12.30", "date": "2026-11-20", "tags": ["a", "b"]}
    state = ledger.record(ExpenseSchema().load(given)).state
    assert (state["minor_units"], state["date"], state["tags"]) == (-1230, DAY, ["a", "b"])


# History.


def test_the_history_shows_every_revision_also_of_a_void_one(ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 50, id=ID, category="Food", tags=["a"]))
    ledger.replace(Target(ID), {"amount": Decimal(60)})
    ledger.void(Target(ID))
    history, chart = ledger.history(ID)
    assert [version.kind for version in history] == ["create", "replace", "void"]
    assert [version.state["version"] for version in history] == [1, 2, 3]
    assert [version.state["minor_units"] for version in history] == [-5000, -6000, -6000]
    assert {version.state["description"] for version in history} == {"pizza"}
    assert {named(version.state, chart)["category"] for version in history} == {"Food"}
    assert {version.state["sequence"] for version in history} == {4}, "that which it was booked with"
    assert [version.head.sequence for version in history] == [4, 5, 6]
    assert {version.actor for version in history} == {"owner"}
