"""Transactions over HTTP: /transactions, and the same for one type at /incomes and /expenses."""

from flask import Blueprint, Response

from cashman.answers import (
    HISTORY,
    LINES_SHOWN,
    MANY_SHOWN,
    ONE_SHOWN,
    etag,
    history_response,
    list_response,
    resource_response,
    show_state,
    shown_versions,
    write_request,
    written,
)
from cashman.changes import Target
from cashman.contracts import (
    BOOKING_PROBLEMS,
    CHANGES,
    JSON,
    MANY_TRANSACTIONS,
    MERGE_PATCH,
    NDJSON,
    ONE_TRANSACTION,
    READS_ONE,
    READS_PAGES,
    RECORDS_ONE,
    REDACTS,
    REPLACES,
    RESTORES,
    VOIDS,
    WRITES,
    contract,
)
from cashman.current import ledger
from cashman.errors import AlreadyChanged, Expired, Grouped, IdTaken, NotFound
from cashman.model.expense import ExpenseSchema
from cashman.model.filter import FilterSchema
from cashman.model.income import IncomeSchema
from cashman.model.transaction import DEFAULTS, NewTransactionFields, RevisionSchema, Transaction, TransactionSchema
from cashman.wire import expected_versions, load_body, load_many, load_query

REVISE_PROBLEMS = (NotFound, AlreadyChanged, Expired, Grouped, *BOOKING_PROBLEMS)


def resource(name: str, schema: type[NewTransactionFields]) -> Blueprint:  # noqa: C901  a function a route
    """The routes under /<name>, for the transactions that the schema makes."""
    bp = Blueprint(name, __name__, url_prefix=f"/{name}")
    type_ = None if schema.model is Transaction else schema.model.kind()

    def target(id: str) -> Target:
        return Target(id, type_, expected_versions())

    @bp.get("")
    @contract(**READS_PAGES, query=FilterSchema, gives=MANY_TRANSACTIONS)
    def get_list() -> Response:
        """List what stands, filtered, sorted and in pages."""
        books = ledger()
        return list_response(books, lambda: books.find(load_query(FilterSchema, type=type_)))

    @bp.post("")
    @contract(**RECORDS_ONE, body=schema, gives=ONE_TRANSACTION)
    def add() -> Response:
        """Record one; with an `id` of the client's, or an Idempotency-Key, the request can be repeated safely."""
        books = ledger()
        loaded = load_body(schema, currency_of=books.currency_of)
        lines = isinstance(loaded, list)
        asked = [line.content() for line in loaded] if lines else loaded.content()
        shown = LINES_SHOWN if lines else ONE_SHOWN
        request = write_request(asked, shown, path=f"/{name}", minimal_by_default=True)
        return written(books.record(loaded, request=request))

    @bp.get("/<ulid:id>")
    @contract(
        **READS_ONE,
        gives=ONE_TRANSACTION,
        answers={200: "The transaction.", 304: "It is as the client has it."},
        problems=(NotFound,),
    )
    def get_one(id: str) -> Response:
        """Show one that stands."""
        states, chart = ledger().get(id, type_)
        return resource_response(show_state(states[0], chart), etag(states[0]["version"], chart))

    @bp.put("/<ulid:id>")
    @contract(**REPLACES, body=RevisionSchema, gives=ONE_TRANSACTION, problems=REVISE_PROBLEMS)
    def put_one(id: str) -> Response:
        """Replace one as a whole: what is left out goes back to its default."""
        given = load_body(RevisionSchema)
        return written(ledger().replace(target(id), {**DEFAULTS, **given}, write_request(given)))

    @bp.patch("/<ulid:id>")
    @contract(**CHANGES, body=RevisionSchema(partial=True), gives=ONE_TRANSACTION, problems=REVISE_PROBLEMS)
    def patch_one(id: str) -> Response:
        """Change the fields that are given, and no other (RFC 7396)."""
        given = load_body(RevisionSchema, (MERGE_PATCH, JSON), partial=True)
        return written(ledger().replace(target(id), given, write_request(given)))

    @bp.delete("/<ulid:id>")
    @contract(**VOIDS, problems=REVISE_PROBLEMS)
    def delete_one(id: str) -> Response:
        """Void one: it leaves lists and totals, and its history stays."""
        return written(ledger().void(target(id), write_request(None, always_minimal=True)))

    @bp.post("/<ulid:id>/restore")
    @contract(**RESTORES, gives=ONE_TRANSACTION, problems=REVISE_PROBLEMS)
    def restore_one(id: str) -> Response:
        """Bring a void one back, as a new revision."""
        return written(ledger().restore(target(id), write_request(None)))

    @bp.post("/<ulid:id>/redact")
    @contract(**REDACTS, problems=REVISE_PROBLEMS)
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
        return history_response(shown_versions(*ledger().history(id, type_)))

    return bp


incomes = resource("incomes", IncomeSchema)
expenses = resource("expenses", ExpenseSchema)
transactions = resource("transactions", TransactionSchema)


@transactions.post("/batch")
@contract(
    **WRITES,
    body=TransactionSchema,
    many=True,
    media_types=(JSON, NDJSON),
    gives=MANY_TRANSACTIONS,
    answers={204: "Recorded, all of them.", 201: "The same, and shown as `Prefer: return=representation` asks."},
    problems=(IdTaken, *BOOKING_PROBLEMS),
)
def add_batch() -> Response:
    """Record up to 10,000 in one commit, all or none; every one that is refused is told at once."""
    books = ledger()
    # Read before, because a batch is loaded beside gevent's loop, where nothing may wait for the database.
    batch = load_many(TransactionSchema, currency_of=books.chart()[0].currency_of)
    asked = [[line.content() for line in item] if isinstance(item, list) else item.content() for item in batch]
    request = write_request(asked, MANY_SHOWN, path="/transactions", minimal_by_default=True)
    return written(books.record(*batch, request=request))


blueprints = (incomes, expenses, transactions)
