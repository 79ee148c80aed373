"""The ledgers that one may use, to look at: which there are, and who shares one with whom."""

from typing import Final

from flask import Blueprint, Response

from cashman import current
from cashman.access import OPEN_DOOR
from cashman.contracts import A_PAGE, contract
from cashman.dashboard.frame import page
from cashman.db import AnyRow
from cashman.model.access import ROLES

bp = Blueprint("sharing", __name__, url_prefix="/pages", template_folder="templates")
of_ledger = Blueprint("sharing_of_ledger", __name__, url_prefix="/pages", template_folder="templates")

USERS_OFFERED: Final = 200
"""So many users an administrator is offered to share a ledger with; whom else, they name by the id."""


@bp.get("/ledgers")
@contract(needs="member", answers={200: "The page."}, gives=A_PAGE)
def get_ledgers() -> Response:
    """Show the ledgers that the caller may use, to go to one or to make another."""
    caller, access = current.caller(), current.access()
    may_make = caller.may_scope("admin") and not caller.only_home
    return page(
        "ledgers.html",
        ledgers=access.ledgers(caller),
        home=caller.home,
        may_make=may_make,
        currency=current.books().currency,
    )


@of_ledger.get("/ledger")
@contract(answers={200: "The page."}, gives=A_PAGE)
def get_ledger() -> Response:
    """Show a ledger's settings: its name, its closed days, and who shares it."""
    caller, access = current.caller(), current.access()
    (ledger,) = access.ledgers(caller, current.ledger().id)
    members = access.members(ledger.id)
    known = {member.id for member in members}
    offered = access.users("", USERS_OFFERED) if caller.admin else []
    return page(
        "ledger.html",
        ledger=ledger,
        owns=caller.may_as(ledger.role, "owner"),
        shares=caller is not OPEN_DOOR,
        members=members,
        me=caller.user_id,
        offered=[(user.id, _called(user)) for user in offered if user.id not in known and not user.revoked],
        roles=ROLES,
    )


def _called(user: AnyRow) -> str:
    return f"{user.name} ({user.email})" if user.name else str(user.email)
