"""Signing in and out: /tokens."""

from typing import Any, Final

from flask import Blueprint, Response
from marshmallow import Schema

from cashman import current
from cashman.access import SignedIn
from cashman.answers import empty_response, encode_json
from cashman.contracts import JSON, NO_STORE, contract
from cashman.door import client_address
from cashman.errors import Forbidden, InvalidToken, TooManyRequests, WrongCredentials
from cashman.limits import TOKEN_CHARACTERS_MAX
from cashman.model.fields import Text
from cashman.model.user import CredentialsSchema
from cashman.translations import message
from cashman.wire import load_body

bp = Blueprint("tokens", __name__, url_prefix="/tokens")


class RefreshSchema(Schema):
    """A refresh token, which is good once."""

    error_messages = {"type": "Has to be a JSON object."}

    refresh_token = Text(maximum=TOKEN_CHARACTERS_MAX, required=True, load_only=True)


TOKENS: Final = {
    JSON: {
        "schema": {
            "type": "object",
            "required": ["access_token", "token_type", "expires_in", "refresh_token"],
            "properties": {
                "access_token": {"type": "string", "description": "For `Authorization: Bearer …`."},
                "token_type": {"type": "string", "enum": ["Bearer"]},
                "expires_in": {"type": "integer", "description": "Seconds until the access token is good no more."},
                "refresh_token": {"type": "string", "description": "Good once, for POST /tokens/refresh."},
            },
        }
    }
}


def _shown(signed_in: SignedIn) -> Response:
    document: dict[str, Any] = {
        "access_token": signed_in.access_token,
        "token_type": "Bearer",
        "expires_in": signed_in.expires_in,
        "refresh_token": signed_in.refresh_token,
    }
    return Response(encode_json(document), headers=NO_STORE, mimetype=JSON)


@bp.post("")
@contract(
    needs="anyone",
    body=CredentialsSchema,
    gives=TOKENS,
    answers={200: "Signed in."},
    problems=(WrongCredentials, TooManyRequests),
)
def add_tokens() -> Response:
    """Sign in: an access token for 15 minutes, and a refresh token for the next one."""
    given = load_body(CredentialsSchema)
    return _shown(current.access().sign_in(given["email"], given["password"], client_address()))


@bp.post("/refresh")
@contract(
    needs="anyone",
    body=RefreshSchema,
    gives=TOKENS,
    answers={200: "Here are the next ones."},
    problems=(InvalidToken,),
)
def refresh_tokens() -> Response:
    """Give a refresh token back for new tokens; one that was used before ends the session."""
    return _shown(current.access().refresh(load_body(RefreshSchema)["refresh_token"]))


@bp.delete("")
@contract(needs="account", answers={204: "Signed out."})
def delete_tokens() -> Response:
    """Sign out: the session's tokens are good for nothing any more."""
    session_id = current.caller().session_id
    if session_id is None:
        raise Forbidden(message("It takes an access token from `POST /tokens`: nothing else can be signed out."))
    current.access().sign_out(session_id)
    return empty_response(204, NO_STORE)
