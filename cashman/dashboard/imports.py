"""Import by dropping a file: the page asks the API what would be booked, shows it, and books."""

from flask import Blueprint, Response

from cashman import mappings
from cashman.contracts import A_PAGE, contract
from cashman.current import ledger
from cashman.dashboard.frame import page
from cashman.dashboard.transactions import offered
from cashman.formats import IMPORTS

bp = Blueprint("import_page", __name__, url_prefix="/pages/import", template_folder="templates")


@bp.get("")
@contract(answers={200: "The page."}, gives=A_PAGE)
def get_import() -> Response:
    """Show where a file can be dropped, and what can be said of it."""
    books = ledger()
    return page("import.html", formats=IMPORTS, mappings=sorted(mappings.find_all(books)), **offered(books.chart()[0]))
