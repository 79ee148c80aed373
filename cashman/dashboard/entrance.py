"""Where one comes in: signing in, and making the first user."""

from urllib.parse import urlencode

from flask import Blueprint, Response
from marshmallow import Schema

from cashman import cookies, current, door
from cashman.contracts import A_PAGE, NO_STORE, contract
from cashman.dashboard.frame import page
from cashman.model.fields import Text
from cashman.wire import load_query

bp = Blueprint("entrance", __name__, url_prefix="/pages", template_folder="templates")


class EntranceQuerySchema(Schema):
    """Where to go from there."""

    next = Text(
        maximum=cookies.NEXT_CHARACTERS_MAX,
        load_default="/",
        metadata={"description": "A path of this service, to go to then; any other is taken for `/`."},
    )


@bp.get("/sign-in")
@contract(
    needs="anyone",
    query=EntranceQuerySchema,
    answers={200: "The page.", 303: "There is no user yet who could sign in."},
    gives=A_PAGE,
)
def get_sign_in() -> Response:
    """Show where one signs in."""
    following = _next()
    current.access().catch_up()
    if not current.access().founded:
        query = "" if following == "/" else f"?{urlencode({'next': following})}"
        return Response(status=303, headers={"Location": f"/pages/set-up{query}", **NO_STORE})
    return page("sign-in.html", following=following)


@bp.get("/set-up")
@contract(needs="anyone", query=EntranceQuerySchema, answers={200: "The page."}, gives=A_PAGE)
def get_set_up() -> Response:
    """Show where the first user is made, who takes over the books."""
    following = _next()
    current.access().catch_up()
    kept_out = None if current.access().founded else door.kept_out()
    return page("set-up.html", following=following, kept_out=kept_out, command=door.command())


def _next() -> str:
    following: str = load_query(EntranceQuerySchema)["next"]
    return following if cookies.is_own_path(following) else "/"
