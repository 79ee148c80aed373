"""The ledger itself over HTTP: its currency, and until which day its books are closed."""

from typing import Any

from flask import Blueprint, Response
from marshmallow import Schema

from cashman.batch import Receipt
from cashman.chart import Chart
from cashman.current import ledger
from cashman.db import rfc3339
from cashman.errors import AnswerErased, KeyReused
from cashman.model.fields import Day
from cashman.wire import JSON, MERGE_PATCH, Shown, at_head, contract, encode_json, load_body, write_request, written

bp = Blueprint("ledger", __name__, url_prefix="/ledger")


class LedgerPatchSchema(Schema):
    """What can be changed of a ledger."""

    error_messages = {"type": "Has to be a JSON object."}

    closed_until = Day(
        required=True, allow_none=True, metadata={"description": "The last closed day; null opens all days."}
    )


LEDGER = {
    JSON: {
        "schema": {
            "type": "object",
            "required": ["id", "currency", "closed_until", "created_at"],
            "properties": {
                "id": {"type": "string"},
                "currency": {"type": "string"},
                "closed_until": {"type": ["string", "null"], "format": "date"},
                "created_at": {"type": "string", "format": "date-time"},
            },
        }
    }
}


def _shown(chart: Chart) -> dict[str, Any]:
    return {
        "id": chart.ulid,
        "currency": chart.currency,
        "closed_until": chart.closed_until,
        "created_at": rfc3339(chart.created_at),
    }


def _after(receipt: Receipt) -> dict[str, Any]:
    assert receipt.chart is not None, "a change of the ledger tells what it led to"
    return _shown(receipt.chart)


@bp.get("")
@contract(
    gives=LEDGER,
    answers={200: "The ledger.", 304: "It is as the client has it."},
    headers=("ETag", "Cashman-Head"),
    takes_headers=("If-None-Match",),
)
def get_ledger() -> Response:
    """Show the ledger that the other routes are about."""
    chart, head = ledger().chart()
    return at_head(head, lambda: encode_json(_shown(chart)))


@bp.patch("")
@contract(
    body=LedgerPatchSchema,
    media_types=(MERGE_PATCH, JSON),
    gives=LEDGER,
    answers={200: "Changed.", 204: "Changed, and not shown, as `Prefer: return=minimal` asks."},
    headers=("Cashman-Head", "Preference-Applied", "Idempotency-Replayed"),
    takes_headers=("Prefer", "Idempotency-Key"),
    problems=(KeyReused, AnswerErased),
)
def patch_ledger() -> Response:
    """Close the books up to a day: no write touches a day until then."""
    values = load_body(LedgerPatchSchema, (MERGE_PATCH, JSON))
    return written(ledger().close_until(values["closed_until"], write_request(values, Shown(document=_after))))
