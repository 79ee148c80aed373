"""Who may, to look at: users, and oneself; one's API keys."""

from flask import Blueprint, Response

from cashman import current
from cashman.contracts import A_PAGE, contract
from cashman.dashboard.frame import page
from cashman.model.user import UsersQuerySchema
from cashman.wire import load_query

bp = Blueprint("people", __name__, url_prefix="/pages", template_folder="templates")


@bp.get("/people")
@contract(needs="account", query=UsersQuerySchema, answers={200: "The page."}, gives=A_PAGE)
def get_people() -> Response:
    """Show oneself, and to administrators everybody."""
    asked, caller, access = load_query(UsersQuerySchema), current.caller(), current.access()
    found = access.users(asked["cursor"], asked["limit"] + 1) if caller.admin else []
    shown = found[: asked["limit"]]
    return page(
        "people.html",
        me=None if caller.user_id is None else access.user(caller.user_id),
        people=shown,
        all_people=caller.admin,
        following=shown[-1].id if len(found) > len(shown) else None,
        limit=asked["limit"],
    )


@bp.get("/keys")
@contract(needs="account", answers={200: "The page."}, gives=A_PAGE)
def get_keys() -> Response:
    """Show one's API keys."""
    caller, access = current.caller(), current.access()
    is_user = caller.user_id is not None
    named = {ledger.ulid: ledger.name or ledger.ulid for ledger in access.ledgers(caller)}
    return page(
        "keys.html",
        is_user=is_user,
        keys=access.keys_of(caller) if is_user else [],
        named=named,
    )
