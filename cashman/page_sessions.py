"""Signing in and out on a page: /pages/session, which gives the browser a cookie where /tokens gives tokens."""

from flask import Blueprint, Response

from cashman import cookies, current
from cashman.answers import empty_response
from cashman.contracts import NO_STORE, contract
from cashman.door import client_address
from cashman.errors import Forbidden, TooManyRequests, WrongCredentials
from cashman.model.user import CredentialsSchema
from cashman.wire import load_body

bp = Blueprint("page_sessions", __name__, url_prefix="/pages/session")


@bp.post("")
@contract(
    needs="anyone",
    body=CredentialsSchema,
    answers={204: "Signed in: the cookie is set. It counts for the pages of this service alone."},
    problems=(Forbidden, WrongCredentials, TooManyRequests),
)
def add_page_session() -> Response:
    """Sign in on a page. It takes the header `Cashman-Page`, and a browser that says that one of our pages asks."""
    given, before = load_body(CredentialsSchema), cookies.token()
    cookies.check_own_page()
    token = current.access().sign_in_page(given["email"], given["password"], client_address())
    if before is not None:
        current.access().sign_out_page(before)
    response = empty_response(204, NO_STORE)
    cookies.keep(response, token)
    return response


@bp.delete("")
@contract(needs="anyone", answers={204: "Signed out, and the cookie is gone."}, problems=(Forbidden,))
def delete_page_session() -> Response:
    """Sign out on a page."""
    cookies.check_own_page()
    token = cookies.token()
    if token is not None:
        current.access().catch_up()
        current.access().sign_out_page(token)
    response = empty_response(204, NO_STORE)
    cookies.drop(response)
    return response
