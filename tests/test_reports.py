"""Balances and reports over HTTP, against the same books in plain Python."""

import csv
import datetime as dt
import io
import itertools
import json
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from plain_books import PERIODS, Account, Movement, PlainBooks

from cashman import current
from cashman.index import create_app
from cashman.ledger import Ledger
from cashman.model.money import parse_json_number
from cashman.model.report import DIMENSIONS
from cashman.stems import stems_of

SHOWN = {"Prefer": "return=representation"}
CSV = {"Accept": "text/csv"}
FIRST, LAST = dt.date(1, 1, 1), dt.date(9999, 12, 31)
ALL_BY = [(), *((name,) for name in DIMENSIONS)]
PAIRS = [
    pair for pair in itertools.permutations(DIMENSIONS, 2) if sum(name in PERIODS for name in pair) < 2
]  # fmt: skip

ACCOUNTS = {"main": "USD", "card": "USD", "yen": "JPY", "dinar": "KWD"}
PATHS = [None, "Food", "Food:Coffee", "Food:Coffee:Beans", "Foodstuff", "Home"]
TAGS = ["a", "b", "night out"]
DAYS = [
    FIRST, dt.date(1, 12, 31), dt.date(2020, 12, 28), dt.date(2020, 12, 31), dt.date(2021, 1, 1), dt.date(2021, 1, 3),
    dt.date(2021, 1, 4), dt.date(2024, 2, 29), dt.date(2024, 3, 31), dt.date(2024, 12, 29), dt.date(2024, 12, 30),
    dt.date(2025, 1, 31), dt.date(2025, 6, 30), dt.date(2025, 7, 1), dt.date(2026, 1, 1), dt.date(2026, 11, 15),
    dt.date(2026, 11, 16), dt.date(2026, 11, 30), dt.date(2026, 12, 1), LAST,
]  # fmt: skip
"""Around New Year, leap days, quarters and the ends of the calendar."""


def listed(answer: Any) -> Any:
    """A body with exact amounts."""
    assert answer.status_code == 200, answer.data
    return json.loads(answer.data, parse_float=parse_json_number, parse_int=int)


def summary(client: FlaskClient, **query: Any) -> Any:
    """The lines of a summary."""
    return listed(client.get("/reports/summary", query_string=query))


def errors_of(client: FlaskClient, path: str, **query: Any) -> Any:
    """What is said against a query."""
    answer = client.get(path, query_string=query)
    assert answer.status_code == 422, answer.data
    assert answer.mimetype == "application/problem+json"
    return answer.json["errors"]


def book(client: FlaskClient, path: str = "/expenses", **fields: Any) -> Any:
    """Book one and give back what is shown of it."""
    document = {"description": "pizza", "amount": 5, "date": "2026-11-20", **fields}
    answer = client.post(path, json=document, headers=SHOWN)
    assert answer.status_code == 201, answer.json
    return answer.json


@pytest.fixture
def mixed(client: FlaskClient) -> tuple[FlaskClient, PlainBooks]:
    """Some of everything: three currencies, opening balances, transfers, pending ones, void ones; and the same in
    Python."""
    plain = PlainBooks(stems_of)
    openings = {"card": (Decimal("-100.50"), dt.date(2021, 1, 1)), "dinar": (Decimal("7.001"), dt.date(2025, 6, 15))}
    for name, currency in list(ACCOUNTS.items())[1:]:
        document = {"name": name, "currency": currency}
        opening, day = openings.get(name, (Decimal(0), None))
        if day:
            document |= {"opening_balance": str(opening), "opening_date": day.isoformat()}
        id_ = client.post("/accounts", json=document).json["id"]
        plain.accounts[id_] = Account(id_, name, currency, opening, day)
    ids = {account.name: account.id for account in plain.accounts.values()}
    cells = {path: [path] for path in PATHS if path}
    documents: list[dict[str, Any]] = []
    for number in range(200):
        account = list(ACCOUNTS)[number * 5 % 11 % 4]
        amount: Any = {"JPY": number + 1, "KWD": Decimal(number + 1) / 1000}.get(ACCOUNTS[account], number + 1)
        documents.append(
            {
                "type": "INCOME" if number % 7 < 2 else "EXPENSE",
                "description": "x",
                "amount": str(
                    {"JPY": number + 1, "KWD": Decimal(number + 1) / 1000}.get(ACCOUNTS[account], number + 1)
                ),
                "date": DAYS[number * 13 % len(DAYS)].isoformat(),
                "account": account,
                "category": PATHS[number * 7 % 6],
                "payee": [None, "Luigi", "=SUM(A1)"][number % 3],
                "tags": [tag for place, tag in enumerate(TAGS) if number >> place & 1],
                "status": "pending" if number % 9 == 0 else "posted",
            }
        )
    answer = client.post("/transactions/batch", json=documents, headers=SHOWN)
    assert answer.status_code == 201, answer.json
    for shown, of in zip(answer.json, documents, strict=True):
        sign = 1 if of["type"] == "INCOME" else -1
        plain.movements[shown["id"]] = Movement(
            shown["id"], of["type"], "x", Decimal(of["amount"]) * sign, dt.date.fromisoformat(of["date"]),
            ids[of["account"]], of["status"], cells.get(of["category"]), of["tags"], of["payee"],
        )  # fmt: skip
    for id_ in list(plain.movements)[5::10]:
        assert client.delete(f"/transactions/{id_}").status_code == 204
        plain.movements[id_].status = "void"
    for source, sink, amount, to_amount, day in (
        ("main", "card", "20", "20", "2024-12-31"), ("main", "yen", "10", "1500", "2025-01-31"),
        ("dinar", "card", "1.001", "3.25", "2026-11-16"),
    ):  # fmt: skip
        shown = book(
            client, "/transfers", **{"from": source, "to": sink, "amount": amount, "to_amount": to_amount, "date": day}
        )
        for place, (name, own) in enumerate(((source, -Decimal(amount)), (sink, Decimal(to_amount)))):
            leg = f"{shown['id']}/{place}"
            plain.movements[leg] = Movement(leg, "TRANSFER", "Transfer", own, dt.date.fromisoformat(day), ids[name])
    return client, plain


# Summaries.


def test_a_summary_by_anything_alone_or_by_two_of_them_is_a_plain_recomputation(
    mixed: tuple[FlaskClient, PlainBooks],
) -> None:
    client, plain = mixed
    for by in [*ALL_BY, *PAIRS]:
        assert summary(client, by=by) == plain.summary(by), by


RANGES = [
    (dt.date(2020, 12, 31), dt.date(2021, 1, 3)), (dt.date(2024, 2, 29), dt.date(2026, 11, 15)),
    (dt.date(2026, 11, 16), dt.date(2026, 11, 30)), (FIRST, dt.date(1, 12, 30)), (dt.date(9999, 12, 31), LAST),
    (dt.date(2021, 1, 1), dt.date(2025, 12, 31)), (dt.date(2022, 1, 2), dt.date(2022, 1, 2)), (FIRST, LAST),
]  # fmt: skip


def test_ranges_that_begin_and_end_anywhere_count_their_days_and_no_other(
    mixed: tuple[FlaskClient, PlainBooks],
) -> None:
    client, plain = mixed
    for first, last in RANGES:
        days = {"from": first.isoformat(), "to": last.isoformat()}
        for by in [*ALL_BY, ("month", "category"), ("category", "week"), ("account", "category"), ("tag", "payee")]:
            assert summary(client, by=by, **days) == plain.summary(by, first, last), (by, first, last)
    assert summary(client, **{"from": "2025-07-01"}) == plain.summary((), dt.date(2025, 7, 1))
    assert summary(client, to="2025-06-30", by="category") == plain.summary(("category",), FIRST, dt.date(2025, 6, 30))


@pytest.mark.parametrize("by", ["month", "quarter", "year", "week"])
def test_days_partition_into_longer_periods_without_a_gap_or_an_overlap(
    mixed: tuple[FlaskClient, PlainBooks], by: str
) -> None:
    client, _ = mixed
    added: dict[tuple[str, str], list[Any]] = {}
    for line in summary(client, by="day"):
        key = PERIODS[by](dt.date.fromisoformat(line["day"])), line["currency"]
        sums = added.setdefault(key, [0, 0, 0, 0])
        for place, name in enumerate(("income", "expense", "net", "count")):
            sums[place] += line[name]
    lines = summary(client, by=by)
    assert {(line[by], line["currency"]): [line[name] for name in ("income", "expense", "net", "count")]
            for line in lines} == added  # fmt: skip
    assert [(line[by], line["currency"]) for line in lines] == sorted(added)


def test_weeks_are_those_of_iso_8601_around_new_year(client: FlaskClient) -> None:
    weeks = {
        "2020-12-28": "2020-W53", "2021-01-03": "2020-W53", "2021-01-04": "2021-W01", "2024-12-29": "2024-W52",
        "2024-12-30": "2025-W01", "2026-11-20": "2026-W47", "0001-01-01": "0001-W01", "9999-12-31": "9999-W52",
        "2027-01-01": "2026-W53",
    }  # fmt: skip
    for day in weeks:
        book(client, date=day)
    assert {line["week"]: line["count"] for line in summary(client, by="week")} == {
        week: list(weeks.values()).count(week) for week in weeks.values()
    }
    days = {"from": "2020-12-31", "to": "2021-01-03"}
    assert [(line["week"], line["count"]) for line in summary(client, by="week", **days)] == [("2020-W53", 1)]


def test_the_filters_of_a_summary_leave_only_what_they_name(mixed: tuple[FlaskClient, PlainBooks]) -> None:
    client, plain = mixed
    filters = [
        {"account": "card"}, {"category": "Food"}, {"category": "Food:Coffee"}, {"category": "Unheard"},
        {"currency": "JPY"}, {"currency": "EUR"}, {"account": "main", "category": "Food", "currency": "USD"},
        {"account": "yen", "currency": "USD"},
    ]  # fmt: skip
    first, last = dt.date(2020, 12, 30), dt.date(2026, 11, 15)
    for wanted in filters:
        for by in [(), ("month",), ("day",), ("week",), ("category",), ("account",), ("tag",), ("category", "year")]:
            assert summary(client, by=by, **wanted) == plain.summary(by, **wanted), (by, wanted)
            days = {"from": first.isoformat(), "to": last.isoformat()}
            assert summary(client, by=by, **wanted, **days) == plain.summary(by, first, last, **wanted), (by, wanted)


def test_depth_cuts_the_paths_of_categories(mixed: tuple[FlaskClient, PlainBooks]) -> None:
    client, plain = mixed
    for depth in (1, 2, 3, 100):
        for by in (("category",), ("category", "month"), ("payee", "category")):
            assert summary(client, by=by, depth=depth) == plain.summary(by, depth=depth)
    assert {line["category"] for line in summary(client, by="category", depth=1)} == {None, "Food", "Foodstuff", "Home"}


def test_each_line_is_compared_with_the_period_before(mixed: tuple[FlaskClient, PlainBooks]) -> None:
    client, plain = mixed
    ranges = [*RANGES[:3], (dt.date(2021, 1, 1), dt.date(2021, 12, 31)), (dt.date(2024, 3, 1), dt.date(2025, 1, 31))]
    for first, last in ranges:
        days = {"from": first.isoformat(), "to": last.isoformat(), "compare": "previous"}
        for by in [*ALL_BY, ("month", "category"), ("account", "week"), ("tag", "payee")]:
            expected = plain.summary(by, first, last, compare=True)
            assert summary(client, by=by, **days) == expected, (by, first, last)


def test_a_period_is_compared_with_the_whole_one_before_it(client: FlaskClient) -> None:
    for day, amount in (("2026-10-05", 1), ("2026-10-31", 2), ("2026-11-02", 4), ("2026-11-20", 8)):
        book(client, date=day, amount=amount)
    nothing = {"income": 0, "expense": 0, "net": 0, "count": 0}
    days = {"from": "2026-11-15", "to": "2026-11-30", "compare": "previous"}
    assert summary(client, by="month", **days) == [
        {
            "month": "2026-11", "currency": "USD", "income": 0, "expense": -8, "net": -8, "count": 1,
            "previous": {"income": 0, "expense": -3, "net": -3, "count": 2},
        }
    ]  # fmt: skip
    [line] = summary(client, **days)
    assert (line["net"], line["previous"]["net"]) == (-8, -6)  # sixteen days against the sixteen before
    [line] = summary(client, **{"from": "2026-11-01", "to": "2026-11-30", "compare": "previous"})
    assert (line["net"], line["previous"]["net"]) == (-12, -3)  # a whole month against the month before
    [line] = summary(client, by="year", compare="previous", to="2026-12-31")
    assert line["previous"] == nothing


def test_the_ends_of_the_calendar_have_nothing_before_or_after_them(client: FlaskClient) -> None:
    book(client, date=FIRST.isoformat())
    book(client, date=LAST.isoformat())
    for by in PERIODS:
        lines = summary(client, by=by, compare="previous")
        assert [(line["count"], line["previous"]["count"]) for line in lines if line["count"]] == [(1, 0), (1, 0)]
        for day in (FIRST, LAST):
            days = {"from": day.isoformat(), "to": day.isoformat()}
            assert [line["count"] for line in summary(client, by=by, compare="previous", **days)] == [1]
            assert [line["count"] for line in summary(client, compare="previous", **days)] == [1]
    assert [line["count"] for line in summary(client, **{"from": FIRST, "to": LAST}, compare="previous")] == [2]


def test_an_empty_ledger_has_empty_reports(client: FlaskClient) -> None:
    for by in ALL_BY:
        assert summary(client, by=by) == []
    assert summary(client, by="month", compare="previous") == []
    assert listed(client.get("/reports/cashflow")) == []
    assert listed(client.get("/reports/cashflow?from=0001-01-01&to=9999-12-31")) == []
    [line] = listed(client.get("/balances"))
    assert (line["account"], line["balance"], line["available"]) == ("main", 0, 0)


def test_amounts_have_their_currencys_decimals_and_are_never_added_across_currencies(client: FlaskClient) -> None:
    client.post("/accounts", json={"name": "yen", "currency": "JPY"})
    client.post("/accounts", json={"name": "dinar", "currency": "KWD"})
    for account, amount in (("main", "999999999.99"), ("yen", "7"), ("dinar", "0.001")):
        book(client, account=account, amount=amount)
    assert client.get("/reports/summary").data == (
        b'[{"currency":"JPY","income":0,"expense":-7,"net":-7,"count":1},'
        b'{"currency":"KWD","income":0.000,"expense":-0.001,"net":-0.001,"count":1},'
        b'{"currency":"USD","income":0.00,"expense":-999999999.99,"net":-999999999.99,"count":1}]'
    )


def test_a_transaction_with_two_tags_counts_under_both_and_one_without_under_none(client: FlaskClient) -> None:
    book(client, tags=["a", "b"], amount=1)
    book(client, amount=2)
    assert [(line["tag"], line["net"]) for line in summary(client, by="tag")] == [(None, -2), ("a", -1), ("b", -1)]


# Balances and cash flow.


def test_balances_at_the_end_of_any_day_are_a_plain_recomputation(mixed: tuple[FlaskClient, PlainBooks]) -> None:
    client, plain = mixed
    for day in {*DAYS, dt.date(2020, 12, 30), dt.date(2025, 6, 14), dt.date(2025, 6, 15), dt.date(2026, 11, 20)}:
        assert listed(client.get(f"/balances?as_of={day}")) == plain.balances(day), day


def test_a_balance_is_the_sum_of_its_openings_and_of_all_that_was_posted_since(client: FlaskClient) -> None:
    client.post("/accounts", json={"name": "card", "opening_balance": "-5.25", "opening_date": "2026-01-02"})
    book(client, account="card", amount=1, date="2026-01-01")
    book(client, account="card", amount=2, date="2026-01-02", status="pending")
    found = {}
    for day in ("2025-12-31", "2026-01-01", "2026-01-02"):
        card = listed(client.get(f"/balances?as_of={day}"))[0]
        found[day] = str(card["balance"]), str(card["available"])
    assert found == {
        "2025-12-31": ("0.00", "0.00"),
        "2026-01-01": ("-1.00", "-1.00"),
        "2026-01-02": ("-6.25", "-8.25"),
    }


def test_without_a_day_balances_are_those_of_today(client: FlaskClient) -> None:
    today = dt.datetime.now(dt.UTC).date()
    book(client, date=(today + dt.timedelta(days=2)).isoformat())
    book(client, date=(today - dt.timedelta(days=2)).isoformat())
    [line] = listed(client.get("/balances"))
    assert line["balance"] == -5
    assert line["as_of"] in {today.isoformat(), dt.datetime.now(dt.UTC).date().isoformat()}


FLOWS = [
    (dt.date(2020, 12, 1), dt.date(2026, 12, 31)), (dt.date(2020, 12, 31), dt.date(2026, 11, 15)),
    (dt.date(2024, 12, 31), dt.date(2025, 1, 30)), (dt.date(2026, 11, 16), dt.date(2026, 11, 16)),
    (dt.date(2022, 2, 2), dt.date(2023, 3, 3)), (dt.date(1, 1, 1), dt.date(1, 12, 31)), (LAST, LAST), (FIRST, FIRST),
]  # fmt: skip


def test_cash_flow_is_a_plain_recomputation(mixed: tuple[FlaskClient, PlainBooks]) -> None:
    client, plain = mixed
    for first, last in FLOWS:
        if last == LAST:  # plain Python has no month after the calendar's last
            continue
        found = listed(client.get(f"/reports/cashflow?from={first}&to={last}"))
        assert found == plain.cashflow(first, last), (first, last)
    assert listed(client.get("/reports/cashflow?to=0001-12-31")) == plain.cashflow(None, dt.date(1, 12, 31))


def test_what_a_month_closes_with_the_next_one_opens_with_and_the_balances_have(
    mixed: tuple[FlaskClient, PlainBooks],
) -> None:
    client, _ = mixed
    lines = listed(client.get("/reports/cashflow?from=2020-12-15&to=2026-12-31"))
    at_the_end: dict[str, Decimal] = {}
    for line in lines:
        moved = line["income"] + line["expense"] + line["transfers"]
        assert line["opening"] + moved == line["closing"]
        assert line["opening"] == at_the_end.get(line["currency"], line["opening"])
        at_the_end[line["currency"]] = line["closing"]
    assert len(lines) == 73 * 3
    balances: dict[str, Decimal] = {}
    for line in listed(client.get("/balances?as_of=2026-12-31")):
        balances[line["currency"]] = balances.get(line["currency"], Decimal(0)) + line["balance"]
    assert at_the_end == balances


def test_transfers_in_one_currency_move_nothing_and_between_two_they_do(client: FlaskClient) -> None:
    client.post("/accounts", json={"name": "card"})
    client.post("/accounts", json={"name": "euro", "currency": "EUR"})
    book(client, "/transfers", **{"from": "main", "to": "card"})
    assert listed(client.get("/reports/cashflow"))[0]["transfers"] == 0
    book(client, "/transfers", **{"from": "main", "to": "euro"}, to_amount=4)
    found = {line["currency"]: line["transfers"] for line in listed(client.get("/reports/cashflow"))}
    assert found == {"USD": -5, "EUR": 4}
    assert summary(client) == []


def test_more_than_a_hundred_years_of_months_are_refused(client: FlaskClient) -> None:
    book(client, date="2000-01-01")
    assert errors_of(client, "/reports/cashflow", **{"from": "0001-01-01", "to": "9999-12-31"}) == {
        "from": ["At most 1200 months."]
    }
    assert len(listed(client.get("/reports/cashflow?from=1950-01-01&to=2049-12-31"))) == 1_200
    assert list(errors_of(client, "/reports/cashflow", **{"from": "1949-12-31", "to": "2049-12-31"})) == ["from"]


# CSV.


def read(answer: Any) -> list[list[str]]:
    """The cells of a CSV answer."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.reader(io.StringIO(answer.data.decode(), newline="")))


def test_a_report_as_csv_has_the_same_cells(mixed: tuple[FlaskClient, PlainBooks]) -> None:
    client, _ = mixed
    paths = ["/balances?as_of=2026-11-20", "/reports/cashflow?from=2024-12-15&to=2025-02-01", "/reports/summary"]
    paths += [f"/reports/summary?by={name}" for name in DIMENSIONS] + ["/reports/summary?by=month&by=category"]
    for path in paths:
        names, *rows = read(client.get(path, headers=CSV))
        lines = listed(client.get(path))
        assert names == list(lines[0])
        as_text = [["" if value is None else str(value) for value in line.values()] for line in lines]
        assert [[cell.removeprefix("'") for cell in row] for row in rows] == as_text


def test_csv_ends_its_lines_with_crlf_and_quotes_what_needs_it(client: FlaskClient) -> None:
    book(client, payee='Luigi "the cook", Rome\nItaly')
    data = client.get("/reports/summary?by=payee", headers=CSV).data
    assert data == (
        b"payee,currency,income,expense,net,count\r\n"
        b'"Luigi ""the cook"", Rome\nItaly",USD,0.00,-5.00,-5.00,1\r\n'
    )  # fmt: skip


def test_text_that_a_spreadsheet_would_calculate_gets_an_apostrophe_and_amounts_do_not(client: FlaskClient) -> None:
    for character in "=+-@\t\r":
        book(client, payee=f"{character}1+1", tags=[f"{character}A1"], category=f"c{character}c")
    for by in ("payee", "tag"):
        _, *rows = read(client.get(f"/reports/summary?by={by}", headers=CSV))
        assert [row[0][:2] for row in rows] == [f"'{character}" for character in sorted("=+-@\t\r")]
        assert {tuple(row[1:]) for row in rows} == {("USD", "0.00", "-5.00", "-5.00", "1")}
    assert "'" not in client.get("/reports/summary?by=category", headers=CSV).text


def test_csv_of_a_comparison_has_columns_for_the_period_before(client: FlaskClient) -> None:
    book(client, date="2026-10-01", amount=2)
    book(client, date="2026-11-01")
    names, october, november, _december = read(client.get("/reports/summary?by=month&compare=previous", headers=CSV))
    assert names[-4:] == ["previous_income", "previous_expense", "previous_net", "previous_count"]
    assert (october[-1], november[-3:]) == ("0", ["-2.00", "-2.00", "1"])


def test_an_empty_report_as_csv_has_its_header(client: FlaskClient) -> None:
    assert read(client.get("/reports/cashflow", headers=CSV)) == [
        ["month", "currency", "opening", "income", "expense", "transfers", "closing"]
    ]
    assert read(client.get("/reports/summary?by=tag&by=month", headers=CSV))[0][:3] == ["tag", "month", "currency"]


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("text/csv", "text/csv"), ("*/*", "application/json"), ("application/json, text/csv;q=0.5", "application/json"),
        ("text/csv, application/json;q=0.5", "text/csv"), ("text/html", "application/json"), ("", "application/json"),
        ("text/*", "text/csv"),
    ],
)  # fmt: skip
def test_the_form_of_a_report_is_what_accept_prefers(client: FlaskClient, accept: str, mimetype: str) -> None:
    answer = client.get("/balances", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, mimetype)
    assert "Accept" in answer.headers["Vary"]


# Entity tags.


def test_a_report_that_has_not_changed_is_304_and_one_that_has_is_not(client: FlaskClient) -> None:
    book(client)
    for path in ("/balances", "/reports/summary?by=month", "/reports/cashflow", "/categories", "/tags", "/ledger"):
        first = client.get(path)
        tag = first.headers["ETag"]
        assert tag.startswith('W/"')
        again = client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["Cashman-Head"] == first.headers["Cashman-Head"]
        book(client, category="Food", tags=["t"])
        changed = client.get(path, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag


def test_json_csv_and_other_queries_have_tags_of_their_own(client: FlaskClient) -> None:
    book(client)
    tags = [client.get("/reports/summary", headers=headers).headers["ETag"] for headers in ({}, CSV)]
    tags += [client.get(f"/reports/summary?by={by}").headers["ETag"] for by in ("month", "year")]
    assert len(set(tags)) == 4
    assert client.get("/reports/summary", headers={**CSV, "If-None-Match": tags[0]}).status_code == 200


def test_the_balances_of_another_day_are_not_those_that_the_client_has(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = client.get("/balances").headers["ETag"]
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    monkeypatch.setattr(Ledger, "today", tomorrow)
    answer = client.get("/balances", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer.json[0]["as_of"] == tomorrow.isoformat()


# Bad input.


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=colour", "by"), ("by=", "by"), ("by=Month", "by"), ("by=month&by=month", "by"), ("by=month&by=year", "by"),
        ("by=month&by=tag&by=payee", "by"), ("by=month,category", "by"), ("depth=1", "depth"),
        ("depth=1&by=month", "depth"), ("by=category&depth=0", "depth"), ("by=category&depth=x", "depth"),
        ("by=category&depth=101", "depth"), ("by=category&depth=1&depth=2", "depth"), ("from=2026-02-30", "from"),
        ("from=0000-01-01", "from"), ("to=10000-01-01", "to"), ("from=2026-01-02&to=2026-01-01", "from"),
        ("compare=previous", "compare"), ("compare=next&by=month", "compare"), ("compare=previous&by=tag", "compare"),
        ("compare=previous&from=2026-01-01", "compare"), ("account=nowhere", "account"), ("account=%00", "account"),
        ("category=Food:", "category"), ("category=::", "category"), ("currency=usd", "currency"),
        ("colour=red", "colour"), ("tag=a", "tag"), ("limit=5", "limit"), ("as_of=2026-01-01", "as_of"),
    ],
)  # fmt: skip
def test_a_bad_summary_is_refused_by_the_name_of_its_parameter(
    sqlite_client: FlaskClient, query: str, field: str
) -> None:
    answer = sqlite_client.get(f"/reports/summary?{query}")
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/balances?as_of=today", "as_of"), ("/balances?as_of=2026-02-29", "as_of"),
        ("/balances?from=2026-01-01", "from"),
        ("/reports/cashflow?from=2026-01-02&to=2026-01-01", "from"), ("/reports/cashflow?by=month", "by"),
        ("/reports/cashflow?to=x", "to"), ("/categories?by=month", "by"), ("/tags?limit=1", "limit"),
    ],
)  # fmt: skip
def test_any_other_bad_report_is_refused_too(sqlite_client: FlaskClient, path: str, field: str) -> None:
    answer = sqlite_client.get(path)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


@pytest.fixture
def sqlite_client(tmp_path: Any, request: pytest.FixtureRequest) -> Any:
    """A client of a service where the engine makes no difference: what is refused before a database is asked."""
    app = create_app({"CASHMAN_DATABASE_URL": f"sqlite:///{tmp_path / 'cashman.db'}"})
    yield app.test_client()
    current.books(app).database.close()


def test_the_nearest_dimension_is_named(sqlite_client: FlaskClient) -> None:
    refused = errors_of(sqlite_client, "/reports/summary", by="categories")
    assert "did you mean category?" in str(refused["by"])
    assert "did you mean month?" in str(errors_of(sqlite_client, "/reports/summary", by="mouth")["by"])
    assert "month, quarter, year" in str(errors_of(sqlite_client, "/reports/summary", by="colour")["by"])
    sqlite_client.post("/accounts", json={"name": "savings"})
    assert errors_of(sqlite_client, "/reports/summary", account="savigns") == {
        "account": ["There is no account of this name; did you mean savings?"]
    }
