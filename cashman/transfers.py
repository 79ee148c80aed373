"""Transfers over HTTP: money from one account to another, two legs that nothing can part."""

from flask import Blueprint, Response

from cashman.answers import (
    HISTORY,
    TRANSFER_SHOWN,
    etag,
    history_response,
    list_response,
    resource_response,
    show_transfer,
    write_request,
    written,
)
from cashman.changes import Target
from cashman.contracts import (
    BOOKING_PROBLEMS,
    CHANGES,
    JSON,
    MERGE_PATCH,
    READS_ONE,
    READS_PAGES,
    RECORDS_ONE,
    REDACTS,
    REPLACES,
    RESTORES,
    VOIDS,
    array_of,
    contract,
    refers_to,
)
from cashman.current import ledger
from cashman.errors import AlreadyChanged, Expired, NotFound
from cashman.model.filter import FilterSchema
from cashman.model.transaction import member_id
from cashman.model.transaction_type import TransactionType
from cashman.model.transfer import DEFAULTS, TransferRevisionSchema, TransferSchema
from cashman.queries import COLUMN_NAMES
from cashman.wire import expected_versions, load_body, load_query

bp = Blueprint("transfers", __name__, url_prefix="/transfers")

ONE_TRANSFER = {JSON: {"schema": refers_to("Transfer")}}
REVISE_PROBLEMS = (NotFound, AlreadyChanged, Expired, *BOOKING_PROBLEMS)


def _target(id: str) -> Target:
    """A transfer has the id of the leg that goes out; that of the other is no transfer."""
    return Target(id, TransactionType.TRANSFER, expected_versions(), leads=True)


@bp.get("")
@contract(**READS_PAGES, query=FilterSchema, gives={JSON: {"schema": array_of("Transfer")}})
def get_list() -> Response:
    """List transfers in pages; `account` is either end, amounts and currency are those of what goes out."""
    books = ledger()
    return list_response(books, lambda: books.find_transfers(load_query(FilterSchema, type=TransactionType.TRANSFER)))


@bp.post("")
@contract(**RECORDS_ONE, body=TransferSchema, gives=ONE_TRANSFER)
def add() -> Response:
    """Move money; neither income nor expense. With an `id`, or an Idempotency-Key, it can be repeated safely."""
    books = ledger()
    legs = load_body(TransferSchema, currency_of=books.currency_of)
    asked = [leg.content() for leg in legs]
    request = write_request(asked, TRANSFER_SHOWN, path="/transfers", minimal_by_default=True)
    return written(books.record(legs, request=request))


@bp.get("/<ulid:id>")
@contract(
    **READS_ONE,
    gives=ONE_TRANSFER,
    answers={200: "The transfer.", 304: "It is as the client has it."},
    problems=(NotFound,),
)
def get_one(id: str) -> Response:
    """Show one that stands."""
    states, chart = ledger().get(id, TransactionType.TRANSFER)
    if states[0]["group"] != id:
        raise NotFound()
    legs = [[state[name] for name in COLUMN_NAMES] for state in states]
    return resource_response(show_transfer(legs, chart), etag(states[0]["version"], chart))


@bp.put("/<ulid:id>")
@contract(**REPLACES, body=TransferRevisionSchema, gives=ONE_TRANSFER, problems=REVISE_PROBLEMS)
def put_one(id: str) -> Response:
    """Replace one as a whole: what is left out goes back to its default."""
    given = load_body(TransferRevisionSchema)
    request = write_request(given, TRANSFER_SHOWN)
    return written(ledger().replace_transfer(_target(id), {**DEFAULTS, **given}, request))


@bp.patch("/<ulid:id>")
@contract(**CHANGES, body=TransferRevisionSchema(partial=True), gives=ONE_TRANSFER, problems=REVISE_PROBLEMS)
def patch_one(id: str) -> Response:
    """Change the fields that are given, and no other (RFC 7396)."""
    given = load_body(TransferRevisionSchema, (MERGE_PATCH, JSON), partial=True)
    return written(ledger().replace_transfer(_target(id), given, write_request(given, TRANSFER_SHOWN)))


@bp.delete("/<ulid:id>")
@contract(**VOIDS, problems=REVISE_PROBLEMS)
def delete_one(id: str) -> Response:
    """Void both legs: they leave lists and totals, and their history stays."""
    return written(ledger().void(_target(id), write_request(None, TRANSFER_SHOWN, always_minimal=True)))


@bp.post("/<ulid:id>/restore")
@contract(**RESTORES, gives=ONE_TRANSFER, problems=REVISE_PROBLEMS)
def restore_one(id: str) -> Response:
    """Bring a void one back, as a new revision."""
    return written(ledger().restore(_target(id), write_request(None, TRANSFER_SHOWN)))


@bp.post("/<ulid:id>/redact")
@contract(**REDACTS, problems=REVISE_PROBLEMS)
def redact_one(id: str) -> Response:
    """Erase the words of one for ever, in every revision of both legs; the figures and the chain stay."""
    return written(ledger().redact(_target(id), write_request(None, TRANSFER_SHOWN, always_minimal=True)))


@bp.get("/<ulid:id>/history")
@contract(
    gives={JSON: {"schema": HISTORY}},
    answers={200: "Every revision, oldest first; of a void one too."},
    problems=(NotFound,),
)
def get_history(id: str) -> Response:
    """Show what happened to one: when, by whom, and what changed."""
    versions, chart = ledger().history(id, TransactionType.TRANSFER)
    if versions[0].state["group"] != id:
        raise NotFound()
    others, _ = ledger().history(member_id(id, 1), TransactionType.TRANSFER)
    legs = (
        [[leg.state[name] for name in COLUMN_NAMES] for leg in pair] for pair in zip(versions, others, strict=False)
    )
    return history_response((version, show_transfer(own, chart)) for version, own in zip(versions, legs, strict=False))
