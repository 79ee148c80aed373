"""Transactions over HTTP: /transactions, and the same for one type at /incomes and /expenses."""

from typing import Any

import msgspec
from flask import Blueprint, Response

from cashman.changes import Target
from cashman.current import ledger
from cashman.errors import AlreadyChanged, AnswerErased, IdTaken, KeyReused, NotFound, TotalTooLarge
from cashman.model.expense import ExpenseSchema
from cashman.model.filter import FilterSchema
from cashman.model.income import IncomeSchema
from cashman.model.transaction import DEFAULTS, NewTransactionFields, RevisionSchema, Transaction, TransactionSchema
from cashman.queries import STATE_NAMES, Version
from cashman.wire import (
    JSON,
    MANY_TRANSACTIONS,
    MERGE_PATCH,
    NDJSON,
    ONE_TRANSACTION,
    contract,
    encode_json,
    encode_row,
    etag,
    expected_versions,
    list_response,
    load_body,
    load_many,
    load_query,
    not_modified,
    transaction_response,
    write_request,
    written,
)

WRITE_HEADERS = ("ETag", "Cashman-Head", "Preference-Applied", "Idempotency-Replayed")
WRITE_TAKES = ("Prefer", "Idempotency-Key")
WRITE_PROBLEMS = (KeyReused, TotalTooLarge, AnswerErased)
REVISE_PROBLEMS = (NotFound, AlreadyChanged, *WRITE_PROBLEMS)


def resource(name: str, schema: type[NewTransactionFields]) -> Blueprint:  # noqa: C901  a function a route
    """The routes under /<name>, for the transactions that the schema makes."""
    bp = Blueprint(name, __name__, url_prefix=f"/{name}")
    type_ = None if schema.model is Transaction else schema.model.kind()

    def target(id: str) -> Target:
        return Target(id, type_, expected_versions())

    @bp.get("")
    @contract(
        query=FilterSchema,
        gives=MANY_TRANSACTIONS,
        answers={200: "One page, newest first.", 304: "The page is the one that the client has."},
        headers=("ETag", "Cashman-Head", "Link"),
        takes_headers=("If-None-Match",),
    )
    def get_list() -> Response:
        """List what stands, filtered, sorted and in pages."""
        wanted = load_query(FilterSchema, type=type_)
        page = ledger().find(wanted)
        return list_response(page.rows, page.head, None if page.next_key is None else wanted.cursor(page.next_key))

    @bp.post("")
    @contract(
        body=schema,
        gives=ONE_TRANSACTION,
        answers={204: "Recorded.", 201: "Recorded, and shown as `Prefer: return=representation` asks."},
        headers=("Location", *WRITE_HEADERS),
        takes_headers=WRITE_TAKES,
        problems=(IdTaken, *WRITE_PROBLEMS),
    )
    def add() -> Response:
        """Record one; with an `id` of the client's, or an Idempotency-Key, the request can be repeated safely."""
        books = ledger()
        transaction = load_body(schema, default_currency=books.currency)
        request = write_request(transaction.content(), path=f"/{name}", minimal_by_default=True)
        return written(books.record(transaction, request=request))

    @bp.get("/<ulid:id>")
    @contract(
        gives=ONE_TRANSACTION,
        answers={200: "The transaction.", 304: "It is as the client has it."},
        headers=("ETag",),
        takes_headers=("If-None-Match",),
        problems=(NotFound,),
    )
    def get_one(id: str) -> Response:
        """Show one that stands."""
        row = ledger().get(id, type_)
        return not_modified(etag(row.version)) or transaction_response(row)

    @bp.put("/<ulid:id>")
    @contract(
        body=RevisionSchema,
        gives=ONE_TRANSACTION,
        answers={200: "Replaced.", 204: "Replaced, and not shown, as `Prefer: return=minimal` asks."},
        headers=WRITE_HEADERS,
        takes_headers=("If-Match", *WRITE_TAKES),
        problems=REVISE_PROBLEMS,
    )
    def put_one(id: str) -> Response:
        """Replace one as a whole: what is left out goes back to its default."""
        books = ledger()
        given = load_body(RevisionSchema)
        values = {**DEFAULTS, "currency": books.currency, **given}
        return written(books.replace(target(id), values, write_request(given)))

    @bp.patch("/<ulid:id>")
    @contract(
        body=RevisionSchema(partial=True),
        media_types=(MERGE_PATCH, JSON),
        gives=ONE_TRANSACTION,
        answers={200: "Changed.", 204: "Changed, and not shown, as `Prefer: return=minimal` asks."},
        headers=WRITE_HEADERS,
        takes_headers=("If-Match", *WRITE_TAKES),
        problems=REVISE_PROBLEMS,
    )
    def patch_one(id: str) -> Response:
        """Change the fields that are given, and no other (RFC 7396)."""
        given = load_body(RevisionSchema, (MERGE_PATCH, JSON), partial=True)
        return written(ledger().replace(target(id), given, write_request(given)))

    @bp.delete("/<ulid:id>")
    @contract(
        answers={204: "Void, now or already."},
        headers=("Cashman-Head", "ETag", "Idempotency-Replayed"),
        takes_headers=("If-Match", "Idempotency-Key"),
        problems=REVISE_PROBLEMS,
    )
    def delete_one(id: str) -> Response:
        """Void one: it leaves lists and totals, and its history stays."""
        return written(ledger().void(target(id), write_request(None, always_minimal=True)))

    @bp.post("/<ulid:id>/restore")
    @contract(
        gives=ONE_TRANSACTION,
        answers={200: "Restored, or never void.", 204: "The same, and not shown, as `Prefer: return=minimal` asks."},
        headers=WRITE_HEADERS,
        takes_headers=("If-Match", *WRITE_TAKES),
        problems=REVISE_PROBLEMS,
    )
    def restore_one(id: str) -> Response:
        """Bring a void one back, as a new revision."""
        return written(ledger().restore(target(id), write_request(None)))

    @bp.post("/<ulid:id>/redact")
    @contract(
        answers={204: "Erased."},
        headers=("Cashman-Head", "ETag", "Idempotency-Replayed"),
        takes_headers=("If-Match", "Idempotency-Key"),
        problems=REVISE_PROBLEMS,
    )
    def redact_one(id: str) -> Response:
        """Erase the words of one for ever, in every revision; its figures and the chain stay."""
        return written(ledger().redact(target(id), write_request(None, always_minimal=True)))

    @bp.get("/<ulid:id>/history")
    @contract(
        gives={JSON: {"schema": HISTORY}},
        answers={200: "Every revision, oldest first; of a void one too."},
        problems=(NotFound,),
    )
    def get_history(id: str) -> Response:
        """Show what happened to one: when, by whom, and what changed."""
        return Response(encode_json(list(_revisions(ledger().history(id, type_)))), mimetype=JSON)

    return bp


HISTORY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["version", "kind", "recorded_at", "actor", "changes"],
        "properties": {
            "version": {"type": "integer"},
            "kind": {"type": "string"},
            "recorded_at": {"type": "string", "format": "date-time"},
            "actor": {"type": "string"},
            "changes": {
                "type": "object",
                "description": "The old and the new value of each field that changed.",
                "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2},
            },
        },
    },
}


def _revisions(versions: list[Version]) -> Any:
    """What each revision changed, from the states that it led from and to."""
    before: dict[str, Any] = {}
    for version in versions:
        after = msgspec.structs.asdict(encode_row([version.state[name] for name in STATE_NAMES]))
        yield {
            "version": after.pop("version"),
            "kind": version.kind,
            "recorded_at": version.recorded_at,
            "actor": version.actor,
            "changes": {name: [before.get(name), new] for name, new in after.items() if before.get(name) != new},
        }
        before = after


incomes = resource("incomes", IncomeSchema)
expenses = resource("expenses", ExpenseSchema)
transactions = resource("transactions", TransactionSchema)


@transactions.post("/batch")
@contract(
    body=TransactionSchema,
    many=True,
    media_types=(JSON, NDJSON),
    gives=MANY_TRANSACTIONS,
    answers={204: "Recorded, all of them.", 201: "The same, and shown as `Prefer: return=representation` asks."},
    headers=("Cashman-Head", "Preference-Applied", "Idempotency-Replayed"),
    takes_headers=WRITE_TAKES,
    problems=(IdTaken, *WRITE_PROBLEMS),
)
def add_batch() -> Response:
    """Record up to 10,000 in one commit, all or none; every one that is refused is told at once."""
    books = ledger()
    batch = load_many(TransactionSchema, default_currency=books.currency)
    asked = [transaction.content() for transaction in batch]
    request = write_request(asked, path="/transactions", minimal_by_default=True, many=True)
    return written(books.record(*batch, request=request))


blueprints = (incomes, expenses, transactions)
