"""The list of transactions, filtered and searched, and the page of one of them with its history."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, request
from marshmallow import ValidationError, fields, post_load, pre_load
from werkzeug.datastructures import MultiDict

from cashman.answers import encode_row, etag, revisions, show_state, shown_versions
from cashman.chart import Chart
from cashman.contracts import A_PAGE, contract
from cashman.current import ledger
from cashman.dashboard.frame import page
from cashman.errors import Invalid, NotFound
from cashman.language import link, of_page, told
from cashman.listing import Page
from cashman.model.filter import Filter, FilterSchema
from cashman.model.transaction_type import TransactionType
from cashman.translations import message
from cashman.wire import load_query

bp = Blueprint("transactions_pages", __name__, url_prefix="/pages/transactions", template_folder="templates")

ROWS: Final = 50
CATEGORIES_OFFERED_MAX: Final = 500
"""How many categories a field offers while one types; any other can be typed all the same."""


class ListSchema(FilterSchema):
    """The filters of a list as a form sends them: what is left blank filters nothing."""

    leaves_out_blanks = True
    """For the OpenAPI document."""

    type = fields.Enum(  # type: ignore[assignment]  # a field here; what FilterSchema keeps under the name, it sets itself
        TransactionType, error_messages={"unknown": message("Must be one of: {choices}.")}
    )

    @pre_load
    def leave_out_blanks(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        filled = {
            name: [one for one in value if one.strip()] if isinstance(value, list) else value
            for name, value in data.items()
        }
        return {name: value for name, value in filled.items() if isinstance(value, list) or value.strip()}

    @post_load
    def make_filter(self, data: dict[str, Any], **_: Any) -> Filter:
        type_ = data.pop("type", None)
        data.setdefault("limit", ROWS)
        made: Filter = super().make_filter(data)
        return replace(made, type=type_)


@bp.get("")
@contract(query=ListSchema, answers={200: "The page."}, gives=A_PAGE)
def get_list() -> Response:
    """Show the transactions that the filters leave, one page of them."""
    books = ledger()
    found, errors = _find()
    chart = books.chart()[0] if found is None else found.chart
    return page(
        "transactions.html",
        200 if found is not None else 422,
        rows=[] if found is None else [_row(row, chart) for row in found.rows],
        more=None if found is None else _more(found),
        errors={name: rules_of(rules) for name, rules in told(errors, of_page()).items()},
        asked=MultiDict((name, value) for name, value in request.args.items(multi=True) if value.strip()),
        **offered(chart),
    )


def _find() -> tuple[Page | None, Mapping[str, Any]]:
    """What the filters leave, or what is wrong with them, which the form shows beside its fields."""
    try:
        return ledger().find(load_query(ListSchema)), {}
    except ValidationError as error:
        return None, error.normalized_messages()
    except Invalid as error:
        return None, error.errors or {}


def rules_of(rules: Any) -> list[str]:
    """The rules that a field breaks, however deep they lie: those of a list are keyed by their place."""
    if isinstance(rules, str):
        return [rules]
    return [rule for inner in (rules.values() if isinstance(rules, dict) else rules) for rule in rules_of(inner)]


def offered(chart: Chart) -> dict[str, Any]:
    """The names that the fields of a form offer."""
    accounts = sorted(chart.accounts.values(), key=lambda account: (account["closed"], account["name"]))
    return {"accounts": accounts, "categories": list(chart.category_ids)[:CATEGORIES_OFFERED_MAX]}


def _row(row: Any, chart: Chart) -> dict[str, Any]:
    """A transaction as it is shown, with the tag of its version."""
    shown: dict[str, Any] = msgspec.structs.asdict(encode_row(row, chart))
    return {**_read(shown), "etag": etag(row.version, chart)}


def _read(shown: dict[str, Any]) -> dict[str, Any]:
    """The same with its type as text, and its tags as a list, which a row keeps as the text that is stored."""
    tags = shown["tags"]
    read = msgspec.json.decode(tags) if isinstance(tags, msgspec.Raw) else tags
    return {**shown, "type": TransactionType(shown["type"]).value, "tags": read}


def _more(found: Page) -> str | None:
    """Where the next page is."""
    if found.next_cursor is None:
        return None
    asked = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor" and value.strip()]
    return f"{link('/pages/transactions')}?{urlencode([*asked, ('cursor', found.next_cursor)])}"


@bp.get("/<ulid:id>")
@contract(answers={200: "The page."}, gives=A_PAGE, problems=(NotFound,))
def get_one(id: str) -> Response:
    """Show one transaction, void or not: what belongs to it, and all that happened to it."""
    books = ledger()
    versions, chart = books.history(id)
    shown = [(version, _read(state)) for version, state in shown_versions(versions, chart)]
    last = dict(shown[-1][1])
    stands = last["status"] != "void"
    return page(
        "transaction.html",
        one=last,
        mates=_mates(id, chart) if stands and last["group"] is not None else [],
        history=list(revisions((version, dict(state)) for version, state in shown)),
        currencies=[state["currency"] for _, state in shown],
    )


def _mates(id_: str, chart: Chart) -> Sequence[dict[str, Any]]:
    """What was booked together with one; nothing where it is gone since."""
    try:
        states = ledger().get(id_)[0][1:]
    except NotFound:
        return []
    return [_read(msgspec.structs.asdict(show_state(state, chart))) for state in states]
