"""Accounts over HTTP: where money is, what was there at first, and each account's own list."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response

from cashman.answers import Shown, at_head, encode_json, list_response, resource_response, write_request, written
from cashman.contracts import (
    ADDS_ONE,
    CHANGES,
    JSON,
    MERGE_PATCH,
    READS_AT_HEAD,
    READS_ONE,
    READS_PAGES,
    REPLACES,
    array_of,
    contract,
    refers_to,
)
from cashman.current import ledger
from cashman.errors import (
    AccountClosed,
    AccountNeeded,
    AccountUsed,
    AlreadyChanged,
    AnswerErased,
    BooksClosed,
    KeyReused,
    NameTaken,
    NotFound,
    TotalTooLarge,
)
from cashman.listing import Page
from cashman.model.account import AccountRevisionSchema, AccountSchema, shown
from cashman.model.filter import AccountFilterSchema
from cashman.receipts import Receipt
from cashman.wire import expected_versions, load_body, load_query

bp = Blueprint("accounts", __name__, url_prefix="/accounts")

ONE_ACCOUNT = {JSON: {"schema": refers_to("Account")}}
PUT_DEFAULTS = {"kind": None, "opening_balance": Decimal(0), "opening_date": None, "closed": False}
"""What a field of an account is that PUT leaves out."""


def _account(receipt: Receipt) -> Any:
    assert receipt.account is not None, "a change of an account tells which"
    return receipt.account


ACCOUNT_SHOWN = Shown(
    document=lambda receipt: shown(_account(receipt)),
    tag=lambda receipt: _tag(_account(receipt)),
    id=lambda receipt: _account(receipt)["id"],
)
WRITE_PROBLEMS = (KeyReused, NameTaken, BooksClosed, TotalTooLarge, AnswerErased)
REVISE_PROBLEMS = (NotFound, AlreadyChanged, AccountNeeded, AccountClosed, *WRITE_PROBLEMS)


def _tag(account: Any) -> str:
    return f'"{account["version"]}"'


@bp.get("")
@contract(
    **READS_AT_HEAD,
    gives={JSON: {"schema": array_of("Account")}},
    answers={200: "Every account, by name.", 304: "They are as the client has them."},
)
def get_list() -> Response:
    """List all accounts, closed ones too."""
    chart, head = ledger().chart()
    accounts = sorted(chart.accounts.values(), key=lambda account: account["name"])
    return at_head(head, lambda: encode_json([shown(account) for account in accounts]))


@bp.post("")
@contract(
    **ADDS_ONE,
    body=AccountSchema,
    gives=ONE_ACCOUNT,
    answers={201: "Opened.", 204: "Opened, and not shown, as `Prefer: return=minimal` asks."},
    problems=WRITE_PROBLEMS,
)
def add() -> Response:
    """Open an account; its currency is that of its transactions for ever."""
    values = load_body(AccountSchema)
    return written(ledger().open_account(values, write_request(values, ACCOUNT_SHOWN, path="/accounts")))


@bp.get("/<number:account_id>")
@contract(
    **READS_ONE,
    gives=ONE_ACCOUNT,
    answers={200: "The account.", 304: "It is as the client has it."},
    problems=(NotFound,),
)
def get_one(account_id: int) -> Response:
    """Show one."""
    account = ledger().account(account_id)
    return resource_response(shown(account), _tag(account))


@bp.put("/<number:account_id>")
@contract(**REPLACES, body=AccountRevisionSchema, gives=ONE_ACCOUNT, problems=REVISE_PROBLEMS)
def put_one(account_id: int) -> Response:
    """Replace one as a whole: what is left out goes back to its default; a new name changes no transaction."""
    given = load_body(AccountRevisionSchema)
    request = write_request(given, ACCOUNT_SHOWN)
    return written(ledger().replace_account(account_id, {**PUT_DEFAULTS, **given}, request, expected_versions()))


@bp.patch("/<number:account_id>")
@contract(**CHANGES, body=AccountRevisionSchema(partial=True), gives=ONE_ACCOUNT, problems=REVISE_PROBLEMS)
def patch_one(account_id: int) -> Response:
    """Change the fields that are given, and no other (RFC 7396)."""
    given = load_body(AccountRevisionSchema, (MERGE_PATCH, JSON), partial=True)
    request = write_request(given, ACCOUNT_SHOWN)
    return written(ledger().replace_account(account_id, given, request, expected_versions()))


@bp.delete("/<number:account_id>")
@contract(
    answers={204: "Deleted."},
    headers=("Cashman-Head", "Idempotency-Replayed"),
    takes_headers=("If-Match", "Idempotency-Key"),
    problems=(AccountUsed, *REVISE_PROBLEMS),
)
def delete_one(account_id: int) -> Response:
    """Delete one that nothing was ever booked on; any other can be closed."""
    request = write_request(None, Shown(document=lambda receipt: None), always_minimal=True)
    return written(ledger().delete_account(account_id, request, expected_versions()))


@bp.get("/<number:account_id>/transactions")
@contract(
    **READS_PAGES,
    query=AccountFilterSchema,
    gives={JSON: {"schema": array_of("BalancedTransaction")}},
    problems=(NotFound,),
)
def get_transactions(account_id: int) -> Response:
    """List an account's transactions, with the balance after each of them."""
    books = ledger()

    def find() -> Page:
        filter_ = replace(load_query(AccountFilterSchema), account=books.account(account_id)["name"])
        return books.find_on_account(filter_)

    return list_response(books, find)
