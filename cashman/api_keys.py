"""API keys over HTTP: /api-keys."""

from typing import Any, Final

from flask import Blueprint, Response

from cashman import current, door
from cashman.answers import empty_response, encode_json
from cashman.contracts import JSON, NO_STORE, array_of, contract, refers_to
from cashman.db import AnyRow, rfc3339
from cashman.errors import Forbidden, NotFound, TooMany
from cashman.model.api_key import ApiKeySchema
from cashman.translations import message
from cashman.wire import load_body

bp = Blueprint("api_keys", __name__, url_prefix="/api-keys")

ONE_KEY: Final = {JSON: {"schema": refers_to("ApiKey")}}


def _document(row: AnyRow, **more: str) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in ("id", "name", "scope", "ledger")}
    for name in ("expires_at", "created_at", "last_used_at"):
        instant = getattr(row, name)
        shown[name] = None if instant is None else rfc3339(instant)
    return {**shown, **more}


@bp.get("")
@contract(needs="account", gives={JSON: {"schema": array_of("ApiKey")}}, answers={200: "The caller's keys."})
def get_keys() -> Response:
    """List one's API keys, oldest first."""
    door.user_id(current.caller())
    return Response(encode_json([_document(row) for row in current.access().keys_of(current.caller())]), mimetype=JSON)


@bp.post("")
@contract(
    needs="account",
    body=ApiKeySchema,
    gives={JSON: {"schema": refers_to("MadeApiKey")}},
    answers={201: "Made. `key` is shown this once."},
    headers=("Location",),
    problems=(Forbidden, TooMany),
)
def add_key() -> Response:
    """Make an API key for a machine. It takes a person: a key makes no keys, which would outlive it."""
    door.user_id(current.caller())
    if current.caller().key_id is not None:
        raise Forbidden(message("It takes an access token: a key makes no keys."))
    row, key = current.access().make_key(current.caller(), load_body(ApiKeySchema))
    headers = {"Location": f"/api-keys/{row.id}", **NO_STORE}
    return Response(encode_json(_document(row, key=key)), 201, headers, mimetype=JSON)


@bp.get("/<ulid:id>")
@contract(needs="account", gives=ONE_KEY, answers={200: "The key, but for what it is."}, problems=(NotFound,))
def get_key(id: str) -> Response:
    """Show one of one's API keys: what it may do, and when it was last used."""
    door.user_id(current.caller())
    return Response(encode_json(_document(current.access().key(current.caller(), id))), mimetype=JSON)


@bp.delete("/<ulid:id>")
@contract(needs="account", answers={204: "Revoked, from this moment on."}, problems=(NotFound,))
def delete_key(id: str) -> Response:
    """Revoke one of one's API keys."""
    door.user_id(current.caller())
    current.access().revoke_key(current.caller(), id)
    return empty_response(204, NO_STORE)
