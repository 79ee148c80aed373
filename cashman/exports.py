"""The ledger in other programs' formats over HTTP: /export."""

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response
from marshmallow import fields, post_load
from marshmallow.validate import OneOf

from cashman.contracts import JSON, contract
from cashman.current import ledger
from cashman.errors import NotFound
from cashman.exporting import Export
from cashman.formats import EXPORTS
from cashman.model.filter import FilterSchema
from cashman.model.transaction_type import TransactionType
from cashman.translations import message
from cashman.wire import load_query

bp = Blueprint("exports", __name__, url_prefix="/export")

FORMS = ("safe", "lossless")


class ExportSchema(FilterSchema):
    """The query parameters of an export: those of a list that say which transactions."""

    type_ = fields.String(
        data_key="type",
        attribute="type",
        validate=OneOf(("INCOME", "EXPENSE"), error=message("Must be one of: {choices}.")),
        metadata={"description": "Only incomes, or only expenses."},
    )
    form = fields.String(
        validate=OneOf(FORMS, error=message("Must be one of: {choices}.")),
        metadata={"description": "Of CSV: safe for spreadsheets (the default), or lossless, to import it again."},
    )

    class Meta:
        exclude = ("sort", "limit", "cursor")

    @post_load
    def make_filter(self, data: dict[str, Any], **options: Any) -> Any:
        form, type_ = data.pop("form", FORMS[0]), data.pop("type", None)
        filter_ = super().make_filter(data, **options)
        return form, filter_ if type_ is None else replace(filter_, type=TransactionType(type_))


def _schema_of(media_type: str) -> dict[str, str]:
    return {"type": "object" if media_type == JSON else "string"}


@bp.get(f"/<any({','.join(EXPORTS)}):format_name>")
@contract(
    query=ExportSchema,
    gives={format_.media_type: {"schema": _schema_of(format_.media_type)} for format_ in EXPORTS.values()},
    answers={200: "All that the filter leaves, the oldest first, as one snapshot."},
    headers=("Cashman-Head",),
    problems=(NotFound,),
)
def get_export(format_name: str) -> Response:
    """Write all transactions, or what a filter leaves of them, in a format that other programs read."""
    form, filter_ = load_query(ExportSchema)
    format_, books = EXPORTS[format_name], ledger()
    parts = Export(books, filter_, format_name, lossless=form == "lossless")
    name = f"cashman-{books.today.isoformat()}{format_.suffixes[0]}"
    headers = {
        "Cashman-Head": str(parts.head),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return Response(parts, headers=headers, content_type=f"{format_.media_type}; charset=utf-8")
