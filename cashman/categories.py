"""Categories and tags over HTTP: what there is, and how a category gets another name."""

from typing import Any

from flask import Blueprint, Response
from marshmallow import Schema

from cashman.answers import Shown, at_head, encode_json, write_request, written
from cashman.contracts import JSON, READS_AT_HEAD, WRITES, contract
from cashman.current import ledger
from cashman.errors import AnswerErased, CategoryExists, KeyReused
from cashman.model.fields import CategoryPath
from cashman.model.report import SummaryQuery
from cashman.wire import load_body

bp = Blueprint("categories", __name__, url_prefix="/categories")
tags_bp = Blueprint("tags", __name__, url_prefix="/tags")


class MoveSchema(Schema):
    """From which path to which; everything below goes along."""

    error_messages = {"type": "Has to be a JSON object."}

    from_ = CategoryPath(data_key="from", attribute="from", required=True)
    to = CategoryPath(required=True)


def _array(**properties: Any) -> dict[str, Any]:
    return {
        JSON: {
            "schema": {
                "type": "array",
                "items": {"type": "object", "required": list(properties), "properties": properties},
            }
        }
    }


_FIGURES = {name: {"type": "number"} for name in ("income", "expense", "net")}


@bp.get("")
@contract(
    **READS_AT_HEAD,
    gives=_array(category={"type": "string"}, currency={"type": "string"}, **_FIGURES, count={"type": "integer"}),
    answers={200: "Every category that is used, by path.", 304: "They are as the client has them."},
)
def get_list() -> Response:
    """List the categories with what their incomes and expenses come to, one line for each currency."""
    report = ledger().summary(SummaryQuery(by=("category",)))
    return at_head(report.head, lambda: encode_json([line for line in report.lines if line["category"] is not None]))


def _move(*, merge: bool) -> Response:
    values = load_body(MoveSchema)
    shown = Shown(document=lambda receipt: values)
    return written(ledger().rename_category(values["from"], values["to"], write_request(values, shown), merge=merge))


@bp.post("/rename")
@contract(
    **WRITES,
    body=MoveSchema,
    gives={JSON: {"schema": "Move"}},
    answers={200: "Renamed.", 204: "Renamed, as `Prefer: return=minimal` asks."},
    problems=(CategoryExists, KeyReused, AnswerErased),
)
def rename() -> Response:
    """Give a category another path, and all below it: one entry, and no transaction changes."""
    return _move(merge=False)


@bp.post("/merge")
@contract(
    **WRITES,
    body=MoveSchema,
    gives={JSON: {"schema": "Move"}},
    answers={200: "Merged.", 204: "Merged, as `Prefer: return=minimal` asks."},
    problems=(KeyReused, AnswerErased),
)
def merge() -> Response:
    """The same into a path that may be there already; that cannot be taken apart again."""
    return _move(merge=True)


@tags_bp.get("")
@contract(
    **READS_AT_HEAD,
    gives=_array(tag={"type": "string"}),
    answers={200: "Every tag in use.", 304: "They are as the client has them."},
)
def get_tags() -> Response:
    """List the tags of the transactions that stand."""
    tags, head = ledger().tags()
    return at_head(head, lambda: encode_json([{"tag": tag} for tag in tags]))
