"""Every statement of a list or a report goes by an index, on both engines: none of them reads a whole table."""

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from cashman.errors import Invalid
from cashman.ledger import Books, Ledger
from cashman.model.expense import Expense
from cashman.model.filter import SORT_KEYS, Filter
from cashman.model.income import Income
from cashman.model.report import DIMENSIONS, PERIODS, SummaryQuery
from cashman.model.transaction_type import TransactionType
from cashman.model.transfer import Transfer

BIG = ("transactions", "totals", "transaction_tags", "stems", "revisions", "journal", "journal_words")
"""The tables that grow with history."""
FIRST, LAST = dt.date(2026, 1, 2), dt.date(2026, 3, 30)

Statement = tuple[str, Any]


@contextmanager
def captured(books: Books) -> Iterator[list[Statement]]:
    """The statements that reach the database meanwhile, each text once."""
    seen: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            seen.setdefault(statement, parameters)

    engine = books.database.engine
    event.listen(engine, "before_cursor_execute", note)
    found: list[Statement] = []
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)
        found += seen.items()


def scans(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """What of a statement's plan reads a whole table that grows with history."""
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return [step for *_, step in plan if is_scan(step)]
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a plan that has one still fits no index
    [[document]] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
    plans = json.loads(document) if isinstance(document, str) else document
    return [f"{node['Node Type']} {node['Relation Name']}" for node in nodes(plans[0]["Plan"]) if is_whole(node)]


def is_scan(step: str) -> bool:
    """Whether a step of SQLite's plan goes through a big table from end to end, by its rows or by an index.

    FTS5 shows every search as a scan of its virtual table: one with a query has it behind the colon.
    """
    name = step.removeprefix("SCAN ").split(" ")[0]
    return step.startswith("SCAN ") and name.startswith(BIG) and not ("VIRTUAL TABLE" in step and ":M" in step)


def indexes(connection: Connection, statement: str, parameters: Any) -> str:
    """The plan of a statement as text, which names its indexes."""
    if connection.dialect.name == "sqlite":
        return "\n".join(step for *_, step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    return "\n".join(line for (line,) in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each node of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def is_whole(node: dict[str, Any]) -> bool:
    """Whether a node of PostgreSQL's plan reads a whole big table: row by row, or an index without a condition."""
    if node.get("Relation Name") not in BIG:
        return False
    if node["Node Type"] == "Seq Scan":
        return True
    return node["Node Type"] in ("Index Scan", "Index Only Scan") and "Index Cond" not in node


@pytest.fixture
def filled(books: Books) -> Books:
    """Enough to choose plans by: three currencies, categories, payees, tags, transfers, groups, pending ones."""
    ledger = books.own_ledger()
    for name, currency in (("card", "USD"), ("euro", "EUR")):
        ledger.open_account({"name": name, "currency": currency})
    batch: list[Any] = []
    for number in range(600):
        make = Income if number % 5 == 0 else Expense
        batch.append(
            make(
                f"pizza {number}", number + 1, date=dt.date(2026, 1, 1) + dt.timedelta(days=number % 90),
                account=["main", "card"][number % 2], currency="USD", payee=f"payee {number % 20}",
                category=["Food", "Food:Coffee", "Home", None][number % 4], tags=[f"tag {number % 7}"],
                status="pending" if number % 50 == 0 else "posted",
            )
        )  # fmt: skip
    ledger.record(*batch)
    out = Transfer("Transfer", -5, date=FIRST, group="01K0A1B2C3D4E5F6G7H8J9KMNP", id="01K0A1B2C3D4E5F6G7H8J9KMNP")
    into = Transfer("Transfer", 5, date=FIRST, account="card", group=out.group)
    ledger.record([out, into])

    def analyze(connection: Connection) -> None:
        connection.execute(text("ANALYZE"))

    books.database.write(analyze)
    return books


def whole_tables(books: Books, *reads: Callable[[Ledger], Any]) -> dict[str, list[str]]:
    """The statements of some reads that read a whole table, with what of their plans does."""
    with captured(books) as statements:
        for read in reads:
            read(books.own_ledger())
    assert any("transactions" in statement or "totals" in statement for statement, _ in statements)
    found = {}
    with books.database.engine.connect() as connection:
        for statement, parameters in statements:
            whole = scans(connection, statement, parameters)
            if whole:
                found[statement] = whole
    return found


FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "days": {"first_day": FIRST, "last_day": LAST},
    "from": {"first_day": FIRST},
    "amounts": {"min_amount": Decimal(5), "max_amount": Decimal(9)},
    "least": {"min_amount": Decimal(5)},
    "currency": {"currency": "USD"},
    "account": {"account": "card"},
    "category": {"category": "Home"},
    "categories": {"category": "Food"},
    "tag": {"tags": ("tag 1",)},
    "tags": {"tags": ("tag 1", "tag 2")},
    "payee": {"payee": "payee 1"},
    "posted": {"status": "posted"},
    "pending": {"status": "pending"},
    "group": {"group": "01K0A1B2C3D4E5F6G7H8J9KMNP"},
    "word": {"stems": ("pizza",)},
    "words": {"stems": ("17", "pizza")},
}


@pytest.mark.parametrize("sort", list(SORT_KEYS))
def test_a_list_with_every_filter_and_every_two_of_them_goes_by_an_index(filled: Books, sort: str) -> None:
    reads: list[Callable[[Ledger], Any]] = []
    pairs = [({}, of) for of in FILTERS.values()] + list(itertools.combinations(FILTERS.values(), 2))
    for one, other in pairs:
        asked = {**one, **other}
        for type_ in (None, TransactionType.EXPENSE):
            filter_ = Filter(**asked, type=type_, sort=sort, limit=2)
            reads.append(lambda ledger, filter_=filter_: ledger.find(filter_))
    assert whole_tables(filled, *reads) == {}


def test_the_next_page_goes_by_an_index_too(filled: Books) -> None:
    reads: list[Callable[[Ledger], Any]] = []
    for sort, descending in itertools.product(SORT_KEYS, (True, False)):
        for asked in FILTERS.values():
            filter_ = Filter(**asked, sort=sort, descending=descending, limit=1)
            cursor = filled.own_ledger().find(filter_).next_cursor
            if cursor is not None:
                following = Filter(**asked, sort=sort, descending=descending, limit=1, cursor=cursor)
                reads.append(lambda ledger, filter_=following: ledger.find(filter_))
    assert len(reads) > 50
    assert whole_tables(filled, *reads) == {}


def test_transfers_and_an_accounts_own_list_go_by_an_index(filled: Books) -> None:
    reads: list[Callable[[Ledger], Any]] = []
    for asked in FILTERS.values():
        filter_ = Filter(**asked, type=TransactionType.TRANSFER)
        reads.append(lambda ledger, filter_=filter_: ledger.find_transfers(filter_))
    for asked in ({}, FILTERS["days"], FILTERS["from"]):
        on_account = Filter(**{**asked, "account": "card"})
        reads.append(lambda ledger, filter_=on_account: ledger.find_on_account(filter_))
    assert whole_tables(filled, *reads) == {}


def test_every_summary_goes_by_an_index(filled: Books) -> None:
    reads: list[Callable[[Ledger], Any]] = []
    pairs = [pair for pair in itertools.combinations(DIMENSIONS, 2) if sum(name in PERIODS for name in pair) < 2]
    for by in [(), *((name,) for name in DIMENSIONS), *pairs]:
        for asked in (
            {}, {"first_day": FIRST, "last_day": LAST}, {"account": "card"}, {"category": "Food"}, {"currency": "USD"},
            {"first_day": FIRST, "last_day": LAST, "account": "card", "category": "Food", "compare": True},
        ):  # fmt: skip
            query = SummaryQuery(by=by, **asked)
            reads.append(lambda ledger, query=query: ledger.summary(query))
    assert whole_tables(filled, *reads) == {}


def test_balances_cash_flow_tags_and_one_transaction_go_by_an_index(filled: Books) -> None:
    ledger = filled.own_ledger()
    id_ = ledger.find(Filter(limit=1)).rows[0].id
    assert (
        whole_tables(
            filled,
            lambda ledger: ledger.balances(dt.date(2026, 2, 15)),
            lambda ledger: ledger.cashflow(),
            lambda ledger: ledger.cashflow(FIRST, LAST),
            lambda ledger: ledger.tags(),
            lambda ledger: ledger.get(id_),
            lambda ledger: ledger.get("01K0A1B2C3D4E5F6G7H8J9KMNP"),
            lambda ledger: ledger.history(id_),
            lambda ledger: ledger.journal(3, 10),
        )
        == {}
    )


OWN_INDEXES = {
    "nothing": "ix_transactions_ledger_id_date",
    "account": "ix_transactions_ledger_id_account_id",
    "category": "ix_transactions_category",
    "payee": "ix_transactions_payee",
    "group": "ix_transactions_group",
}


def test_what_names_a_few_rows_goes_by_the_index_that_is_made_for_it(filled: Books) -> None:
    found = {}
    for name in OWN_INDEXES:
        with captured(filled) as statements:
            filled.own_ledger().find(Filter(**FILTERS[name]))
        [(statement, parameters)] = [one for one in statements if "FROM transactions" in one[0]]
        with filled.database.engine.connect() as connection:
            found[name] = indexes(connection, statement, parameters)
    assert {name: OWN_INDEXES[name] in plan for name, plan in found.items()} == dict.fromkeys(OWN_INDEXES, True), found


def test_a_statement_that_no_index_fits_is_told(filled: Books) -> None:
    """The control of the tests above."""
    statements = {
        "SELECT id FROM transactions WHERE description = 'pizza 1'": 1,
        "SELECT id FROM transactions WHERE notes IS NULL": 1,
        "SELECT sum(minor_units) FROM totals WHERE minor_units > 5": 1,
        "SELECT words FROM stems": 1,
        "SELECT id FROM transactions WHERE ledger_id = 1 AND id = 'x'": 0,
        "SELECT a.id FROM accounts a": 0,
    }
    with filled.database.engine.connect() as connection:
        found = {statement: len(scans(connection, statement, ())) for statement in statements}
    assert found == statements


def test_what_is_captured_is_what_is_asked(filled: Books) -> None:
    with captured(filled) as statements:
        filled.own_ledger().find(Filter(payee="payee 1"))
        with pytest.raises(Invalid):
            filled.own_ledger().find(Filter(account="nowhere"))
    assert any("payee" in statement.split("WHERE")[-1] for statement, _ in statements)
    with captured(filled) as nothing:
        pass
    assert nothing == []
