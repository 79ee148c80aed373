"""Balances and reports over HTTP, as JSON or as CSV (RFC 4180)."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flask import Blueprint, Response, request

from cashman.answers import at_head, encode_json
from cashman.contracts import JSON, READS_AT_HEAD, contract
from cashman.current import ledger
from cashman.model.report import BalancesSchema, RangeSchema, SummarySchema
from cashman.reporting import Line, Report
from cashman.wire import load_query

bp = Blueprint("reports", __name__)

CSV: Final = "text/csv"
_NUMBER: Final = {"type": "number"}
_TEXT: Final = {"type": "string"}
_FIGURES: Final = {"income": _NUMBER, "expense": _NUMBER, "net": _NUMBER, "count": {"type": "integer"}}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def _gives(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    lines = {"type": "array", "items": {"type": "object", "required": list(required), "properties": properties}}
    return {JSON: {"schema": lines}, CSV: {"schema": _TEXT}}


def _answer(report: Report, names: Sequence[str], *, also: object = "") -> Response:
    """A report in the form that the caller prefers; `names` are the members of a line, for where there is none."""
    mimetype = request.accept_mimetypes.best_match([JSON, CSV]) or JSON
    if mimetype == CSV:
        response = at_head(report.head, lambda: _csv(report.lines, names), CSV, also=also)
    else:
        response = at_head(report.head, lambda: encode_json(report.lines), also=also)
    response.vary.add("Accept")
    return response


def _csv(lines: Sequence[Line], names: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    for line in lines:
        flat = {**line, **{f"previous_{name}": value for name, value in line.get("previous", {}).items()}}
        writer.writerow([_cell(flat[name]) for name in names])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A cell; text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@bp.get("/balances")
@contract(
    **READS_AT_HEAD,
    query=BalancesSchema,
    gives=_gives(
        ["account", "currency", "balance", "available", "as_of"],
        account=_TEXT,
        currency=_TEXT,
        balance=_NUMBER,
        available={**_NUMBER, "description": "The balance once what is pending is booked."},
        as_of={**_TEXT, "format": "date"},
    ),
    answers={200: "Every account, by name.", 304: "It is what the client has."},
)
def get_balances() -> Response:
    """Show what is in each account at the end of a day, with its opening balance."""
    books = ledger()
    as_of = load_query(BalancesSchema).get("as_of") or books.today
    return _answer(books.balances(as_of), ["account", "currency", "balance", "available", "as_of"], also=as_of)


@bp.get("/reports/summary")
@contract(
    **READS_AT_HEAD,
    query=SummarySchema,
    gives=_gives(
        ["currency", "income", "expense", "net", "count"],
        currency=_TEXT,
        **_FIGURES,
        previous={"type": "object", "properties": _FIGURES, "description": "The same for the period before."},
    ),
    answers={200: "The lines, by their keys; one total for each currency without `by`.", 304: "As the client has it."},
)
def get_summary() -> Response:
    """Add up incomes and expenses by period, category, account, payee, tag or currency."""
    query = load_query(SummarySchema)
    keys: Mapping[str, None] = dict.fromkeys([*query.by, "currency"])
    before = [f"previous_{name}" for name in _FIGURES] if query.compare else []
    return _answer(ledger().summary(query), [*keys, *_FIGURES, *before])


@bp.get("/reports/cashflow")
@contract(
    **READS_AT_HEAD,
    query=RangeSchema,
    gives=_gives(
        ["month", "currency", "opening", "income", "expense", "transfers", "closing"],
        month=_TEXT,
        currency=_TEXT,
        opening=_NUMBER,
        income=_NUMBER,
        expense=_NUMBER,
        transfers={**_NUMBER, "description": "Between currencies, and opening balances of accounts."},
        closing=_NUMBER,
    ),
    answers={200: "Each month, by currency.", 304: "It is what the client has."},
)
def get_cashflow() -> Response:
    """Show what each month began with, what came, went and moved, and what it ended with."""
    days = load_query(RangeSchema)
    report = ledger().cashflow(days.get("first_day"), days.get("last_day"))
    return _answer(report, ["month", "currency", "opening", "income", "expense", "transfers", "closing"])
