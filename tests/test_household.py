"""A household's books of three years, booked over HTTP, against the totals that somebody else has worked out."""

import csv
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import missing
from flask import Flask
from flask.testing import FlaskClient

from cashman import current
from cashman.verify import verify

SHARED = Path(os.environ.get("CASHMAN_TEST_SHARED", Path(__file__).parents[2] / "shared")) / "data"


@pytest.fixture
def rows() -> list[dict[str, str]]:
    """The household's books, a document to post each, but for the amount's sign."""
    if not (SHARED / "household.csv").exists():
        missing("the household's books, whose folder CASHMAN_TEST_SHARED names,")
    with (SHARED / "household.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def totals() -> dict[str, Any]:
    """What they come to."""
    if not (SHARED / "household-totals.json").exists():
        missing("the household's totals, whose folder CASHMAN_TEST_SHARED names,")
    found: dict[str, Any] = json.loads((SHARED / "household-totals.json").read_text())
    return found


@pytest.fixture
def booked(client: FlaskClient, rows: list[dict[str, str]]) -> FlaskClient:
    """A service that has them: the accounts first, then every row as what its sign says."""
    for name in sorted({row["account"] for row in rows}):
        assert client.post("/accounts", json={"name": name, "currency": "USD"}).status_code == 201
    documents = []
    for row in rows:
        document = {name: value for name, value in row.items() if value}
        document["type"] = "EXPENSE" if row["amount"].startswith("-") else "INCOME"
        documents.append(document)
    assert client.post("/transactions/batch", json=documents).status_code == 204
    return client


def report(client: FlaskClient, query: str = "") -> Any:
    """A summary with exact amounts."""
    answer = client.get(f"/reports/summary{query}")
    assert answer.status_code == 200, answer.json
    return json.loads(answer.data, parse_float=Decimal, parse_int=int)


def test_the_households_totals_come_out_of_the_summaries(booked: FlaskClient, totals: dict[str, Any]) -> None:
    [total] = report(booked)
    assert (total["count"], str(total["net"])) == (totals["rows"], totals["total"])
    assert {"INCOME": str(total["income"]), "EXPENSE": str(total["expense"])} == totals["by_type"]
    by_category = report(booked, "?by=category")
    assert {line["category"]: str(line["net"]) for line in by_category} == totals["by_category"]
    by_month = report(booked, "?by=month")
    assert {line["month"]: str(line["net"]) for line in by_month} == totals["by_month"]
    assert sum(line["count"] for line in by_month) == sum(line["count"] for line in by_category) == totals["rows"]


def test_every_other_way_to_add_them_up_comes_to_the_same(
    booked: FlaskClient, rows: list[dict[str, str]], totals: dict[str, Any]
) -> None:
    for by in ("day", "week", "quarter", "year", "account", "payee", "tag", "currency", "month&by=category"):
        assert str(sum(line["net"] for line in report(booked, f"?by={by}"))) == totals["total"], by
    top: dict[str, Decimal] = {}
    for path, net in totals["by_category"].items():
        top[path.split(":")[0]] = top.get(path.split(":")[0], Decimal(0)) + Decimal(net)
    assert {line["category"]: line["net"] for line in report(booked, "?by=category&depth=1")} == top
    balances = json.loads(booked.get("/balances?as_of=2099-12-31").data, parse_float=Decimal)
    by_account: dict[str, Decimal] = {"main": Decimal(0)}
    for row in rows:
        by_account[row["account"]] = by_account.get(row["account"], Decimal(0)) + Decimal(row["amount"])
    assert {line["account"]: line["balance"] for line in balances} == by_account
    flows = json.loads(booked.get("/reports/cashflow").data, parse_float=Decimal)
    assert str(flows[-1]["closing"]) == totals["total"]
    assert {line["month"]: str(line["income"] + line["expense"]) for line in flows} == totals["by_month"]


def test_the_household_is_searched_and_proved(app: Flask, booked: FlaskClient, rows: list[dict[str, str]]) -> None:
    expected = [row for row in rows if "eating" in row["description"].lower() and "Bill" in row["description"]]
    assert expected
    found = booked.get("/expenses?q=bill eat&limit=1000").json
    assert len(found) == len(expected)
    verify(current.books(app).database)
