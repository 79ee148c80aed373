"""The chart: names behind ids, the nearest of them, what lies below a category; copies never change the original."""

import contextlib
import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from cashman import db
from cashman.chart import Chart, Charts
from cashman.errors import Invalid, NameTaken
from cashman.ledger import OWN_LEDGER, Books, found_ledger
from cashman.model.income import Income

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def account(id_: int, name: str, currency: str = "USD", **figures: Any) -> dict[str, Any]:
    own = {"id": id_, "name": name, "currency": currency, "kind": None, "opening_minor_units": 0}
    return {**own, "opening_date": None, "closed": False, "version": 1, **figures}


def a_chart(accounts: list[dict[str, Any]] | None = None, categories: dict[int, str] | None = None) -> Chart:
    rows = accounts if accounts is not None else [account(1, "main"), account(7, "card", "EUR")]
    bare = Chart(
        sequence=1,
        ulid="01ARZ3NDEKTSV4RRFFQ69G5FAV",
        currency="USD",
        created_at=NOW,
        closed_until=None,
        version=1,
        cursor_secret=b"secret",
        renamed_sequence=0,
        accounts={},
        categories={},
        account_ids={},
        category_ids={},
    )
    for row in rows:
        bare = bare.with_account(row)
    return bare.with_categories(categories or {})


def told(error: Invalid) -> Any:
    return error.errors


def test_an_account_is_found_by_its_name() -> None:
    assert a_chart().account("card")["id"] == 7


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("crad", "There is no account of this name; did you mean card?"),
        ("Main", "There is no account of this name; did you mean main?"),
        ("", "There is no account of this name."),
        ("zzz", "There is no account of this name."),
        ("card\0", "There is no account of this name; did you mean card?"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(name: str, rule: str) -> None:
    with pytest.raises(Invalid) as raised:
        a_chart().account(name, "from")
    assert told(raised.value) == {"from": [rule]}


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("Fod", "There is no category of this path; did you mean Food?"),
        ("Food:Cofee", "There is no category of this path; did you mean Food:Coffee?"),
        ("Household:Repair", "There is no category of this path; did you mean Household:Repairs?"),
        ("Houshold", "There is no category of this path; did you mean Household?"),
        ("Q", "There is no category of this path."),
    ],
)
def test_an_unknown_category_is_told_with_the_nearest_also_of_those_above(path: str, rule: str) -> None:
    chart = a_chart(categories={1: "Food:Coffee", 2: "Household:Repairs:Roof"})
    assert told(chart.unknown_category(path, "from")) == {"from": [rule]}


def test_a_category_covers_what_is_below_it_and_nothing_that_only_begins_alike() -> None:
    paths = {1: "Food", 2: "Food:Coffee", 3: "Foodstuff", 4: "Food:Coffee:Beans", 5: "Pet:Food", 6: "food"}
    chart = a_chart(categories=paths)
    assert chart.categories_below("Food") == {1: "Food", 2: "Food:Coffee", 4: "Food:Coffee:Beans"}
    assert chart.categories_below("Food:Coffee") == {2: "Food:Coffee", 4: "Food:Coffee:Beans"}
    assert chart.categories_below("Pet") == {5: "Pet:Food"}
    for path in ("Foo", "Food:", ":", "", "Food:Cof", "Food:%", "F_od"):
        assert chart.categories_below(path) == {}


def test_of_merged_categories_the_oldest_takes_what_is_new() -> None:
    chart = a_chart(categories={3: "Food", 11: "Meals", 20: "Food"})
    assert chart.category_ids == {"Food": 3, "Meals": 11}
    assert chart.categories_below("Food") == {3: "Food", 20: "Food"}
    assert chart.with_categories({3: "Meals"}).category_ids == {"Food": 20, "Meals": 3}


@pytest.mark.parametrize("name", [None, "nowhere", 5, [], {}, True, ""])
def test_the_currency_of_no_known_account_is_the_ledgers(name: Any) -> None:
    assert a_chart().currency_of(name) == "USD"


def test_the_currency_of_an_account_is_its_own() -> None:
    assert a_chart().currency_of("card") == "EUR"


def test_copies_never_change_the_original() -> None:
    original = a_chart(categories={1: "Food"})
    said = repr(original)
    copies = [
        original.with_account(account(9, "purse")),
        original.with_account(account(7, "plastic")),
        original.without_account(7),
        original.with_categories({1: "Meals", 2: "Rent"}),
        original.revised(closed_until=dt.date(2026, 1, 1)),
    ]
    assert repr(original) == said
    assert [sorted(copy.account_ids) for copy in copies[:3]] == [
        ["card", "main", "purse"],
        ["main", "plastic"],
        ["main"],
    ]
    assert copies[3].category_ids == {"Meals": 1, "Rent": 2}
    assert (copies[4].closed_until, copies[4].version) == (dt.date(2026, 1, 1), 2)


def test_a_chart_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        a_chart().currency = "EUR"  # type: ignore[misc]


def test_the_secret_of_cursors_is_not_in_what_a_chart_prints() -> None:
    assert "secret" not in repr(a_chart())


def test_a_chart_is_read_once_until_something_about_it_changes(books: Books) -> None:
    ledger = books.own_ledger()
    chart, _ = ledger.chart()
    assert ledger.chart()[0] is chart
    ledger.open_account({"name": "card"})
    assert "card" not in chart.account_ids
    assert "card" in ledger.chart()[0].account_ids


def test_what_failed_leaves_no_trace_in_the_chart(books: Books) -> None:
    ledger = books.own_ledger()
    before = repr(ledger.chart())
    for values, problem in (
        ({"name": "main"}, NameTaken),
        ({"name": "x", "opening_balance": Decimal("0.001")}, Invalid),
    ):
        with pytest.raises(problem):
            ledger.open_account(values)
    assert repr(ledger.chart()) == before


def test_nothing_is_known_of_a_ledger_that_was_not_read(books: Books) -> None:
    charts = Charts()
    assert charts.known(OWN_LEDGER) is None
    standing = books.database.read(lambda connection: charts.at(connection, OWN_LEDGER))
    assert charts.known(OWN_LEDGER) is standing.chart
    assert (standing.head.sequence, standing.next_expiry) == (2, None)
    charts.forget()
    assert charts.known(OWN_LEDGER) is None


def test_only_so_many_ledgers_are_known_at_once(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cashman.chart.CHARTS_MAX", 2)
    number = iter(range(2, 5))

    def found(connection: Connection) -> None:
        found_ledger(connection, next(number), "USD", "owner", "owner")

    books.own_ledger().chart()
    for _ in range(3):
        books.database.write(found)
    for ledger_id in (2, 3, 4):
        assert books.ledger(ledger_id).chart()[0].currency == "USD"
    known = [ledger_id for ledger_id in (OWN_LEDGER, 2, 3, 4) if books.charts.known(ledger_id) is not None]
    assert known == [3, 4]
    assert books.own_ledger().chart()[0].ulid  # and who is forgotten is read again


def test_an_entry_of_the_same_number_in_another_history_is_another_chart(
    books: Books, engine_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """As on a standby that was promoted without the newest entries: its next ones have their numbers."""
    with contextlib.ExitStack() as closing:
        if engine_name == "sqlite":
            url = f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), tmp_path / 'other.db')}"
        else:
            url = closing.enter_context(request.getfixturevalue("postgresql_databases").one())
        other = Books(db.connect(url))
        closing.callback(other.database.close)
        for kept, category in ((books, "Food"), (other, "Fuel")):
            kept.own_ledger().record(Income("lottery", 1, category=category))
        charts = Charts()
        shown = [
            kept.database.read(lambda connection: charts.at(connection, OWN_LEDGER).chart) for kept in (books, other)
        ]
        assert shown[0].sequence == shown[1].sequence
        assert [list(chart.categories.values()) for chart in shown] == [["Food"], ["Fuel"]]
