"""Ledgers over HTTP: /ledger, until which day its books are closed; /ledgers, who shares them with whom."""

from typing import Any, Final

from flask import Blueprint, Response
from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from cashman import current, door
from cashman.answers import Shown, at_head, empty_response, encode_json, write_request, written
from cashman.chart import Chart
from cashman.contracts import JSON, MERGE_PATCH, NO_STORE, READS_AT_HEAD, WRITES, array_of, contract, refers_to
from cashman.current import ledger
from cashman.db import AnyRow, rfc3339
from cashman.errors import AnswerErased, Forbidden, KeyReused, LastOwner, NotFound, TooMany
from cashman.limits import NAME_CHARACTERS_MAX
from cashman.model.access import ROLES
from cashman.model.fields import CurrencyCode, Day, Text
from cashman.receipts import Receipt
from cashman.translations import message
from cashman.wire import load_body

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
@contract(**READS_AT_HEAD, gives=LEDGER, answers={200: "The ledger.", 304: "It is as the client has it."})
def get_ledger() -> Response:
    """Show the ledger that the other routes are about."""
    chart, head = ledger().chart()
    return at_head(head, lambda: encode_json(_shown(chart)))


@bp.patch("")
@contract(
    **WRITES,
    needs="owner",
    body=LedgerPatchSchema,
    media_types=(MERGE_PATCH, JSON),
    gives=LEDGER,
    answers={200: "Changed.", 204: "Changed, and not shown, as `Prefer: return=minimal` asks."},
    problems=(KeyReused, AnswerErased),
)
def patch_ledger() -> Response:
    """Close the books up to a day: no write touches a day until then."""
    values = load_body(LedgerPatchSchema, (MERGE_PATCH, JSON))
    return written(ledger().close_until(values["closed_until"], write_request(values, Shown(document=_after))))


# The ledgers that one may use, and their members.

shared = Blueprint("ledgers", __name__, url_prefix="/ledgers")


class SharedLedgerSchema(Schema):
    """A ledger as its members see it."""

    error_messages = {"type": "Has to be a JSON object."}

    name = Text(maximum=NAME_CHARACTERS_MAX, required=True)
    currency = CurrencyCode(load_default=None, allow_none=False)


class LedgerNameSchema(Schema):
    """What can be changed of how a ledger is shared."""

    error_messages = {"type": "Has to be a JSON object."}

    name = Text(maximum=NAME_CHARACTERS_MAX, required=True, allow_none=True)


class MemberSchema(Schema):
    """What a member may do."""

    error_messages = {"type": "Has to be a JSON object."}

    role = fields.String(
        required=True,
        validate=OneOf(ROLES, error=message("Not one of {choices}.")),
        metadata={"enum": list(ROLES)},
    )


ONE_LEDGER: Final = {JSON: {"schema": refers_to("Ledger")}}


def _summary(ledger: AnyRow) -> dict[str, Any]:
    """A ledger as the caller sees it."""
    return {
        "id": ledger.ulid,
        "name": ledger.name,
        "currency": ledger.currency,
        "role": ledger.role,
        "own": ledger.id == current.caller().home,
        "closed_until": ledger.closed_until,
        "created_at": rfc3339(ledger.created_at),
    }


@shared.get("")
@contract(
    needs="member",
    gives={JSON: {"schema": array_of("Ledger")}},
    answers={200: "The ledgers, oldest first. `own` is the one that unprefixed routes mean."},
)
def get_ledgers() -> Response:
    """List the ledgers that the caller may use, each with the caller's role."""
    found = current.access().ledgers(current.caller())
    return Response(encode_json([_summary(ledger) for ledger in found]), mimetype=JSON)


@shared.post("")
@contract(
    needs="account",
    body=SharedLedgerSchema,
    gives=ONE_LEDGER,
    answers={201: "Made; the caller is its owner."},
    headers=("Location",),
    problems=(TooMany,),
)
def add_ledger() -> Response:
    """Make another ledger, with a main account in its currency."""
    values = load_body(SharedLedgerSchema)
    made = current.access().make_ledger(current.caller(), values["name"], values["currency"])
    return Response(encode_json(_summary(made)), 201, {"Location": f"/ledgers/{made.ulid}"}, mimetype=JSON)


def _one() -> dict[str, Any]:
    (found,) = current.access().ledgers(current.caller(), current.ledger().id)
    return _summary(found)


@shared.get("/<ulid:ledger_ulid>")
@contract(needs="viewer", gives=ONE_LEDGER, answers={200: "The ledger."}, problems=(NotFound,))
def get_shared() -> Response:
    """Show one ledger, and the caller's role in it."""
    return Response(encode_json(_one()), mimetype=JSON)


@shared.patch("/<ulid:ledger_ulid>")
@contract(
    needs="owner",
    body=LedgerNameSchema,
    media_types=(MERGE_PATCH, JSON),
    gives=ONE_LEDGER,
    answers={200: "Changed."},
    problems=(NotFound,),
)
def patch_shared() -> Response:
    """Call a ledger something else."""
    values = load_body(LedgerNameSchema, (MERGE_PATCH, JSON))
    current.access().name_ledger(current.ledger().id, values["name"])
    return Response(encode_json(_one()), mimetype=JSON)


@shared.get("/<ulid:ledger_ulid>/members")
@contract(
    needs="viewer",
    gives={JSON: {"schema": array_of("Member")}},
    answers={200: "The users who share it, each with their role."},
    problems=(NotFound,),
)
def get_members() -> Response:
    """List who shares a ledger."""
    found = current.access().members(current.ledger().id)
    shown = [{"user": one.id, "name": one.name, "email": one.email, "role": one.role} for one in found]
    return Response(encode_json(shown), mimetype=JSON)


@shared.put("/<ulid:ledger_ulid>/members/<ulid:id>")
@contract(
    needs="owner",
    body=MemberSchema,
    answers={201: "The user is a member now.", 204: "The member has that role now."},
    problems=(NotFound, LastOwner, TooMany),
)
def put_member(id: str) -> Response:
    """Share a ledger with a user, whose id `GET /users/me` shows them; or give a member another role."""
    door.refuse_open_door(current.caller())
    role = load_body(MemberSchema)["role"]
    new = current.access().put_member(current.ledger().id, id, role)
    return empty_response(201 if new else 204, NO_STORE)


@shared.delete("/<ulid:ledger_ulid>/members/<ulid:id>")
@contract(
    needs="viewer",
    answers={204: "The user is no member any more."},
    problems=(NotFound, Forbidden, LastOwner),
)
def delete_member(id: str) -> Response:
    """Stop sharing a ledger with a member: for an owner to do, or for the member."""
    caller = current.caller()
    door.refuse_open_door(caller)
    if caller.user_id != id or not caller.may_scope("admin"):
        current.access().ledger(caller, current.ledger_ulid(), "owner")
    current.access().remove_member(current.ledger().id, id)
    return empty_response(204, NO_STORE)
