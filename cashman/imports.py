"""Files of other programs over HTTP: /import, with a preview, and the mappings of CSV files that are kept."""

import io
import threading
from collections.abc import Mapping
from typing import IO, Any, Final

from flask import Blueprint, Response, request
from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from cashman import mappings
from cashman.answers import empty_response, encode_json, show_state
from cashman.bookings import Line
from cashman.changes import Request
from cashman.contracts import JSON, array_of, contract
from cashman.current import ask_again, caller, ledger
from cashman.db import off_loop, unavailable
from cashman.errors import AccountClosed, BooksClosed, Invalid, NotFound, TotalTooLarge, UnreadableFile
from cashman.formats import IMPORTS, Options, Source
from cashman.formats.mapping import MappingSchema
from cashman.import_change import Outcome
from cashman.importing import import_file
from cashman.language import asked_for, spoken, told
from cashman.limits import (
    ACCOUNT_CHARACTERS_MAX,
    IMPORT_BYTES_MAX,
    IMPORTS_AT_ONCE_MAX,
    MAPPING_NAME_CHARACTERS_MAX,
)
from cashman.model.fields import Text
from cashman.model.money import to_decimal
from cashman.translations import message
from cashman.wire import load_body, load_query, parse_json

bp = Blueprint("imports", __name__, url_prefix="/import")

_slots: Final = threading.BoundedSemaphore(IMPORTS_AT_ONCE_MAX)

_FILE: Final = {"type": "string", "format": "binary", "description": "The file itself."}
_FORM: Final = "multipart/form-data"
_LINE: Final = {
    "type": "object",
    "required": ["line", "outcome"],
    "properties": {
        "line": {"type": "integer"},
        "outcome": {"type": "string", "enum": ["booked", "skipped", "refused"]},
        "reason": {"type": "string"},
        "errors": {"type": "object"},
        "transactions": array_of("Transaction"),
    },
}
_OUTCOME: Final = {
    JSON: {
        "schema": {
            "type": "object",
            "required": [
                "format", "encoding", "preview", "booked", "skipped", "refused", "accounts", "sums", "lines",
            ],
            "properties": {
                "format": {"type": "string", "enum": list(IMPORTS)},
                "encoding": {"type": "string"},
                "preview": {"type": "boolean"},
                "booked": {"type": "integer", "description": "Transactions: of a transfer both legs."},
                "skipped": {"type": "integer"},
                "refused": {"type": "integer"},
                "accounts": {"type": "array", "items": {"type": "object"}, "description": "What was opened."},
                "sums": {"type": "object", "description": "What came and went, by currency; without transfers."},
                "lines": {"type": "array", "items": _LINE},
            },
        }
    }
}  # fmt: skip


class _Switch(fields.String):
    """true or false, as a query parameter."""

    def __init__(self, description: str, **kwargs: Any) -> None:
        rule = message("Not true or false.")
        metadata = {"description": description}
        super().__init__(validate=OneOf(("true", "false"), error=rule), metadata=metadata, **kwargs)


class ImportSchema(Schema):
    """The query parameters of an import."""

    preview = _Switch("Only tell what would be booked.")
    partial_ = _Switch(
        "Book what can be booked, although something is refused.", data_key="partial", attribute="partial"
    )
    account = Text(
        maximum=ACCOUNT_CHARACTERS_MAX,
        metadata={"description": "Where movements go that name no account; of a statement, the account that it is of."},
    )
    mapping = Text(maximum=MAPPING_NAME_CHARACTERS_MAX, metadata={"description": "A kept mapping, for a CSV file."})


_TERMS: Final[Mapping[str, Any]] = {
    "query": ImportSchema,
    "body": _FILE,
    "media_types": ("application/octet-stream", _FORM),
    "gives": _OUTCOME,
    "answers": {200: "What was booked, or with `preview` would be."},
    "problems": (NotFound, UnreadableFile, AccountClosed, BooksClosed, TotalTooLarge),
}


@bp.post("")
@contract(**_TERMS)
def add() -> Response:
    """Import a file of any format: what was imported before is skipped, and all the rest is one commit, or nothing."""
    return _import(None)


@bp.post(f"/<any({','.join(IMPORTS)}):format_name>")
@contract(**_TERMS)
def add_as(format_name: str) -> Response:
    """Import a file of one format: what was imported before is skipped, and all the rest is one commit, or nothing."""
    return _import(format_name)


def _import(format_name: str | None) -> Response:
    books, asked = ledger(), load_query(ImportSchema)
    preview, partial = (asked.get(name) == "true" for name in ("preview", "partial"))
    file, name, mapping = _file()
    if "mapping" in asked:
        if mapping is not None:
            raise Invalid(errors={"mapping": [message("Either a kept one, or one that comes with the file.")]})
        mapping = mappings.find(books, asked["mapping"])
    if mapping is not None:
        format_name = format_name or "csv"
    if not _slots.acquire(blocking=False):
        raise unavailable(message("Too many imports are under way."))
    try:
        source = off_loop(lambda: Source(file, name))
        outcome = import_file(
            books,
            source,
            format_name,
            Options(asked.get("account"), mapping),
            request=Request(caller().actor),
            partial=partial,
            preview=preview,
        )
    finally:
        _slots.release()
        file.close()  # an error's traceback may keep it, but then it holds nothing any more
    if outcome.refused and not (partial or preview):
        raise Invalid(errors=outcome.errors())
    language = asked_for()
    return spoken(Response(encode_json(_shown(outcome, language, preview=preview)), mimetype=JSON), language)


def _file() -> tuple[IO[bytes], str, Mapping[str, Any] | None]:
    """The file that was sent, its name, and the mapping that came with it."""
    request.max_content_length = IMPORT_BYTES_MAX
    if request.mimetype != _FORM:
        data = request.get_data(cache=False)
        ask_again()
        return io.BytesIO(data), "", None
    given = next((file for name, file in request.files.items() if name != "mapping"), None)
    ask_again()
    if given is None:
        raise Invalid(errors={"file": [message("The form holds no file.")]})
    mapping = request.form["mapping"].encode() if "mapping" in request.form else None
    if "mapping" in request.files:  # as most programs send what they have in a file
        mapping = request.files["mapping"].read()
    loaded = None if mapping is None else MappingSchema().load(parse_json(mapping))
    return given.stream, given.filename or "", loaded


def _shown(outcome: Outcome, language: str, *, preview: bool) -> dict[str, Any]:
    return {
        "format": outcome.format,
        "encoding": outcome.encoding,
        "preview": preview,
        "booked": outcome.booked,
        "skipped": outcome.skipped,
        "refused": outcome.refused,
        "accounts": [{"name": name, "currency": currency} for name, currency in outcome.opened.items()],
        "sums": {currency: to_decimal(units, currency) for currency, units in sorted(outcome.sums.items())},
        "lines": [_shown_line(line, outcome, language) for line in outcome.lines],
    }


def _shown_line(line: Line, outcome: Outcome, language: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"line": line.line, "outcome": line.outcome}
    if line.reason is not None:
        shown["reason"] = told(line.reason, language)
    if line.errors is not None:
        shown["errors"] = told(line.errors, language)
    if line.states and outcome.chart is not None:
        shown["transactions"] = [show_state(dict(state), outcome.chart) for state in line.states]
    return shown


# Mappings.


@bp.get("/mappings")
@contract(answers={200: "Every mapping, by its name."}, gives={JSON: {"schema": {"type": "object"}}})
def get_mappings() -> Response:
    """Show the mappings of CSV files that the ledger keeps."""
    return Response(encode_json(mappings.find_all(ledger())), mimetype=JSON)


@bp.get("/mappings/<mapping_name:name>")
@contract(answers={200: "The mapping."}, gives={JSON: {"schema": {"type": "object"}}}, problems=(NotFound,))
def get_mapping(name: str) -> Response:
    """Show one mapping."""
    return Response(encode_json(mappings.find(ledger(), name)), mimetype=JSON)


@bp.put("/mappings/<mapping_name:name>")
@contract(body=MappingSchema, answers={204: "Kept."}, problems=(NotFound,))
def put_mapping(name: str) -> Response:
    """Keep a mapping under a name, in place of the one before."""
    mappings.save(ledger(), name, load_body(MappingSchema))
    return empty_response(204, {})


@bp.delete("/mappings/<mapping_name:name>")
@contract(answers={204: "Kept no longer."}, problems=(NotFound,))
def delete_mapping(name: str) -> Response:
    """Forget a mapping."""
    mappings.forget(ledger(), name)
    return empty_response(204, {})
