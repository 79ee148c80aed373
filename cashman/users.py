"""Users over HTTP: /users."""

from typing import Any, Final

from flask import Blueprint, Response, request

from cashman import current, door
from cashman.access import OPEN_DOOR
from cashman.answers import empty_response, encode_json, resource_response
from cashman.contracts import JSON, MERGE_PATCH, NO_STORE, READS_ONE, Terms, array_of, contract, refers_to
from cashman.db import AnyRow, rfc3339
from cashman.errors import (
    AlreadyChanged,
    EmailTaken,
    Forbidden,
    Invalid,
    LastAdministrator,
    LastOwner,
    NotFound,
    SubjectTaken,
    TooManyRequests,
    Unauthenticated,
)
from cashman.model.user import READ_ONLY, NewUserSchema, UserRevisionSchema, UsersQuerySchema
from cashman.translations import message
from cashman.wire import expected_versions, load_body, load_query

bp = Blueprint("users", __name__, url_prefix="/users")

ONE_USER: Final = {JSON: {"schema": refers_to("User")}}
ADMINISTRATORS_OWN: Final = ("admin", "revoked", "subject")
"""What only an administrator gives to a user."""
GUARDED: Final = ("email", "password")
"""What users change of themselves only with their password."""


def _document(user: AnyRow) -> dict[str, Any]:
    names = ("id", "email", "name", "admin", "revoked", "subject", "ledger", "created_at", "version")
    return {name: rfc3339(user.created_at) if name == "created_at" else getattr(user, name) for name in names}


def _response(user: AnyRow, status: int = 200, **headers: str) -> Response:
    headers = {"ETag": f'"{user.version}"', **headers}
    return Response(encode_json(_document(user)), status, headers, mimetype=JSON)


def _may_see(user_id: str) -> bool:
    """Whether the caller is an administrator; NotFound where neither that nor the user."""
    caller = current.caller()
    if not caller.admin and caller.user_id != user_id:
        raise NotFound()
    return caller.admin


def _expected() -> frozenset[int] | None:
    tags = expected_versions()
    return None if tags is None else frozenset(version for version, renamed in tags if not renamed)


@bp.get("")
@contract(
    needs="admin",
    query=UsersQuerySchema,
    gives={JSON: {"schema": array_of("User")}},
    answers={200: "One page, in the order in which they were made."},
    headers=("Link",),
)
def get_users() -> Response:
    """List the users."""
    asked = load_query(UsersQuerySchema)
    found = current.access().users(asked["cursor"], asked["limit"] + 1)
    shown = found[: asked["limit"]]
    response = Response(encode_json([_document(user) for user in shown]), mimetype=JSON)
    if len(found) > len(shown):
        response.headers["Link"] = f'<{request.path}?limit={asked["limit"]}&cursor={shown[-1].id}>; rel="next"'
    return response


@bp.post("")
@contract(
    needs="anyone",
    body=NewUserSchema,
    gives=ONE_USER,
    answers={201: "Made, with a ledger; the first user takes over the one that is there, and shuts the open door."},
    headers=("Location", "ETag"),
    problems=(EmailTaken, SubjectTaken, Unauthenticated, Forbidden, TooManyRequests),
)
def add_user() -> Response:
    """Make a user: for an administrator to do, or with the setup code for whoever runs the service."""
    values = load_body(NewUserSchema)
    code = values.pop("setup_code", None)
    if code is None:
        caller = door.identify()
        if caller is OPEN_DOOR and not current.access().founded:
            raise Forbidden(message("The first user needs the `setup_code` that stands in the log."))
        door.check_account(caller, "admin")
        door.check_administrator(caller)
        actor = caller.actor
    else:
        current.access().catch_up()
        actor = "setup"
    user = current.access().make_user(values, actor=actor, setup_code=code, address=door.client_address())
    return _response(user, 201, Location=f"/users/{user.id}")


_SHOWS: Final[Terms] = {
    **READS_ONE,
    "needs": "account",
    "gives": ONE_USER,
    "answers": {200: "The user.", 304: "It is as the client has it."},
}


@bp.get("/me")
@contract(**_SHOWS)
def get_me() -> Response:
    """Show who the caller is."""
    return _show(door.user_id(current.caller()))


@bp.get("/<ulid:id>")
@contract(**_SHOWS, problems=(NotFound,))
def get_user(id: str) -> Response:
    """Show a user: oneself, or to an administrator any."""
    _may_see(id)
    return _show(id)


def _show(user_id: str) -> Response:
    user = current.access().user(user_id)
    return resource_response(_document(user), f'"{user.version}"')


_REVISES: Final[Terms] = {
    "needs": "account",
    "gives": ONE_USER,
    "headers": ("ETag",),
    "takes_headers": ("If-Match",),
    "problems": (NotFound, AlreadyChanged, EmailTaken, SubjectTaken, LastAdministrator, TooManyRequests),
}


@bp.put("/<ulid:id>")
@contract(**_REVISES, body=UserRevisionSchema, answers={200: "Replaced; without a password it stays as it is."})
def put_user(id: str) -> Response:
    """Replace a user as a whole: what is left out goes back to its default."""
    _may_see(id)
    given = load_body(UserRevisionSchema)
    defaults = {"name": None} | ({"admin": False, "revoked": False, "subject": None} if _may_see(id) else {})
    return _revise(id, {**defaults, **given})


@bp.patch("/<ulid:id>")
@contract(
    **_REVISES,
    body=UserRevisionSchema(partial=True),
    media_types=(MERGE_PATCH, JSON),
    answers={200: "Changed."},
)
def patch_user(id: str) -> Response:
    """Change the fields that are given; another password, or being revoked, ends all sessions."""
    _may_see(id)
    return _revise(id, load_body(UserRevisionSchema, (MERGE_PATCH, JSON), partial=True))


def _revise(id: str, values: dict[str, Any]) -> Response:
    _may_see(id)  # as it is now: the body may have been held back
    caller, access = current.caller(), current.access()
    user = access.user(id)
    errors = {}
    for name in READ_ONLY:
        if values.pop(name, getattr(user, name)) != getattr(user, name):
            errors[name] = [message("Cannot be changed.")]
    if not caller.admin:
        for name in ADMINISTRATORS_OWN:
            if values.pop(name, getattr(user, name)) != getattr(user, name):
                errors[name] = [message("Only an administrator changes that.")]
    proof = values.pop("current_password", None)
    changes = [name for name in GUARDED if name in values and values[name] != getattr(user, name, None)]
    if "email" in changes and not caller.admin and user.password_hash is None:
        errors["email"] = [message("Only an administrator changes that.")]  # the outside issuer may go by it
    if changes and caller.user_id == id and user.password_hash is not None and proof is None:
        errors["current_password"] = [message("Is needed to change e-mail or password.")]
    if errors:
        raise Invalid(errors=errors)
    if changes and caller.user_id == id and user.password_hash is not None and proof is not None:
        access.check_password(id, proof, door.client_address())
    return _response(access.change_user(id, values, _expected()))


@bp.delete("/<ulid:id>")
@contract(
    needs="account",
    answers={204: "Erased; of ledgers that would be left without an owner the administrator is the owner now."},
    takes_headers=("If-Match",),
    problems=(NotFound, AlreadyChanged, LastAdministrator, LastOwner),
)
def delete_user(id: str) -> Response:
    """Erase a user. Oneself, but for the last owner of books; or for an administrator any, whose books pass on."""
    _may_see(id)
    caller = current.caller()
    heir = None if caller.user_id == id else caller.principal
    current.access().delete_user(id, _expected(), heir)
    return empty_response(204, NO_STORE)


@bp.delete("/<ulid:id>/sessions")
@contract(
    needs="account",
    answers={204: "Signed out everywhere: every token and every browser's session is good for nothing any more."},
    problems=(NotFound,),
)
def delete_sessions(id: str) -> Response:
    """End all sessions of a user: of oneself, or for an administrator of any. API keys stay."""
    _may_see(id)
    current.access().user(id)
    current.access().sign_out_everywhere(id)
    return empty_response(204, NO_STORE)
