"""The first page: what there is, what came and went, and the latest transactions."""

from flask import Blueprint, Response

from cashman import current, documentation
from cashman.contracts import A_PAGE, JSON, contract
from cashman.dashboard.frame import page, wants_page
from cashman.door import admit

index = Blueprint("index", __name__)
bp = Blueprint("overview", __name__, template_folder="templates")


@index.get("/")
@contract(
    needs="anyone",
    answers={200: "Links to everything else, or the overview where `Accept` asks for a page."},
    gives={JSON: {"schema": {"type": "object"}}, **A_PAGE},
)
def get_index() -> Response:
    """Show where everything is, and a browser the overview."""
    if wants_page():
        admit("viewer")
        response = get_overview()
    else:
        response = documentation.index()
    response.vary.add("Accept")
    return response


@bp.get("/pages/overview")
@contract(answers={200: "The page."}, gives=A_PAGE)
def get_overview() -> Response:
    """Show what there is, what came and went, and the latest transactions."""
    return page("overview.html", balances=current.ledger().balances().lines)
