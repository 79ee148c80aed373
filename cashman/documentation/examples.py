"""The examples of the OpenAPI document: one for each operation, which all work, in this order and on a new ledger.

A test makes these requests and holds the answers to the ones that stand here, but for what the service chooses itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from cashman.contracts import JSON, NDJSON

PIZZA_ID: Final = "01KAHBJ5V0000000000000P1ZZ"
BREAD_ID: Final = "01KAHBJ5V00000000000BREAD0"
WAGES_ID: Final = "01KAHBJ5V000000000000WAGES"
SAVED_ID: Final = "01KAHBJ5V000000000000SAVED"
# The service chooses these.
LEDGER_ID: Final = "01KAHBJ5V0000000000000B00K"
SHARED_ID: Final = "01KAHBJ5V00000000000SHARED"
ANN_ID: Final = "01KAHBJ5V000000000000000AN"
BEN_ID: Final = "01KAHBJ5V000000000000000BE"
KEY_ID: Final = "01KAHBJ5V0000000000000KEYS"
SETUP_CODE: Final = "ABCD-EFGH-IJKL-MNOP-QRST"
ACCESS_TOKEN: Final = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl"
REFRESH_TOKEN: Final = "the-refresh-token"
KEY: Final = "the-api-key"
INSTANT: Final = "2026-11-20T10:18:02.890002Z"
HASH: Final = "726dfe73faed857c6eabf058710e0708ab14512b1fc102b95d7999990883d2f2"

_WITHOUT_EXAMPLE: Final = (NDJSON, "multipart/form-data")
"""What OpenAPI 3.1, and the tools that read it, cannot write an example of; the same stands there as JSON, or plain."""
_SHOWN: Final = {"Prefer": "return=representation"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """One request, and what it is answered with."""

    status: int = 200
    body: Any = None
    """A JSON document, or the text of a file."""
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Any = None
    """The JSON document, where it is shown."""


def _booked(type_: str, id_: str, description: str, amount: Decimal, **others: Any) -> dict[str, Any]:
    """A transaction as it is shown."""
    return {
        "id": id_,
        "type": type_,
        "status": "posted",
        "description": description,
        "amount": amount,
        "currency": "USD",
        "date": "2026-11-20",
        "account": "main",
        "category": None,
        "tags": [],
        "payee": None,
        "notes": None,
        "group": None,
        "expires_at": None,
        "created_at": INSTANT,
        "version": 1,
        **others,
    }


_PIZZA: Final = {
    "id": PIZZA_ID,
    "description": "pizza",
    "amount": 50,
    "date": "2026-11-20",
    "category": "Food:Restaurant",
    "tags": ["night out"],
    "payee": "Luigi",
}
_PIZZA_SHOWN: Final = _booked(
    "EXPENSE", PIZZA_ID, "pizza", Decimal("-50.00"), category="Food:Restaurant", tags=["night out"], payee="Luigi"
)
_WAGES: Final = {
    "id": WAGES_ID,
    "description": "wages",
    "amount": 3200,
    "date": "2026-11-02",
    "category": "Work",
    "payee": "Example Ltd",
}
_WAGES_SHOWN: Final = _booked(
    "INCOME", WAGES_ID, "wages", Decimal("3200.00"), date="2026-11-02", category="Work", payee="Example Ltd"
)
_BREAD: Final = {
    "id": BREAD_ID,
    "type": "EXPENSE",
    "description": "bread",
    "amount": "4.20",
    "date": "2026-11-21",
    "category": "Food:Bakery",
}
_BREAD_SHOWN: Final = _booked("EXPENSE", BREAD_ID, "bread", Decimal("-4.20"), date="2026-11-21", category="Food:Bakery")
_SAVED: Final = {"id": SAVED_ID, "from": "main", "to": "savings", "amount": 250, "date": "2026-11-03"}
_SAVED_SHOWN: Final = {
    "id": SAVED_ID,
    "status": "posted",
    "description": "Transfer",
    "from": "main",
    "to": "savings",
    "amount": Decimal("250.00"),
    "currency": "USD",
    "to_amount": Decimal("250.00"),
    "to_currency": "USD",
    "date": "2026-11-03",
    "tags": [],
    "payee": None,
    "notes": None,
    "expires_at": None,
    "created_at": INSTANT,
    "version": 1,
}
_SAVINGS: Final = {
    "id": 3,
    "name": "savings",
    "kind": "savings",
    "currency": "USD",
    "opening_balance": Decimal("1000.00"),
    "opening_date": "2026-11-01",
    "closed": False,
    "version": 1,
}
_MAIN: Final = {
    "id": 1,
    "name": "main",
    "kind": None,
    "currency": "USD",
    "opening_balance": Decimal("0.00"),
    "opening_date": None,
    "closed": False,
    "version": 1,
}

_CSV: Final = "date,description,amount\n2026-11-22,coffee,-3.50\n2026-11-23,refund,12.00\n"
_MAPPING: Final = {"separator": ",", "columns": {"date": "date", "amount": "amount", "description": "description"}}
_LEDGER: Final = {"id": LEDGER_ID, "currency": "USD", "closed_until": None, "created_at": INSTANT}
_SHARED_LEDGER: Final = {
    "id": SHARED_ID,
    "name": "Household",
    "currency": "USD",
    "role": "owner",
    "own": False,
    "closed_until": None,
    "created_at": INSTANT,
}
_CREDENTIALS: Final = {"email": "ann@example.com", "password": "correct horse battery"}
_ANN: Final = {
    "id": ANN_ID,
    "email": "ann@example.com",
    "name": "Ann",
    "admin": True,
    "revoked": False,
    "subject": None,
    "ledger": LEDGER_ID,
    "created_at": INSTANT,
    "version": 1,
}
_TOKENS: Final = {
    "access_token": ACCESS_TOKEN,
    "token_type": "Bearer",
    "expires_in": 900,
    "refresh_token": REFRESH_TOKEN,
}
_KEY: Final = {
    "id": KEY_ID,
    "name": "a script",
    "scope": "write",
    "ledger": None,
    "expires_at": None,
    "created_at": INSTANT,
    "last_used_at": None,
}


_Resource = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]
_RESOURCES: Final[Mapping[str, _Resource]] = {
    "incomes": (_WAGES, _WAGES_SHOWN, {"amount": 3300}, {"amount": Decimal("3300.00")}),
    "expenses": (_PIZZA, _PIZZA_SHOWN, {"amount": 55}, {"amount": Decimal("-55.00")}),
    "transactions": (_BREAD, _BREAD_SHOWN, {"category": "Food:Groceries"}, {"category": "Food:Groceries"}),
    "transfers": (_SAVED, _SAVED_SHOWN, {"amount": 300}, {"amount": Decimal("300.00"), "to_amount": Decimal("300.00")}),
}
"""Of each resource: what makes one, how it is shown, what PATCH changes, and how that is shown."""


def _of_resource(name: str) -> Iterator[tuple[str, Example]]:
    """What is done with an income, an expense, a transaction of either type, or a transfer."""
    new, shown, change, changed = _RESOURCES[name]
    one = {"id": new["id"]}
    replacement = {**new, "notes": "checked"}
    replaced = {**shown, "notes": "checked", "version": 2}
    yield f"{name}_add", Example(status=201, body=new, headers=_SHOWN, answer=shown)
    yield f"{name}_get_list", Example(query={"from": "2026-11-01", "to": "2026-11-30", "limit": "10"})
    yield f"{name}_get_one", Example(path=one, answer=shown)
    yield f"{name}_put_one", Example(path=one, body=replacement, answer=replaced)
    yield f"{name}_patch_one", Example(path=one, body=change, answer={**replaced, **changed, "version": 3})
    yield f"{name}_get_history", Example(path=one)
    yield f"{name}_delete_one", Example(path=one, status=204)
    yield f"{name}_restore_one", Example(path=one, answer={**replaced, **changed, "version": 5})
    yield f"{name}_redact_one", Example(path=one, status=204)


_PERIOD: Final = {"from": "2026-11-01", "to": "2026-11-30"}
_SAVINGS_ID: Final = {"account_id": 3}
_BANK: Final = {"name": "bank"}
_ANN_PATH: Final = {"id": ANN_ID}
_KEY_PATH: Final = {"id": KEY_ID}
_SHARED_PATH: Final = {"ledger_ulid": SHARED_ID}
_MEMBER_PATH: Final = {"ledger_ulid": SHARED_ID, "id": BEN_ID}
_LUNCH: Final = [
    {
        "id": "01KAHBJ5V00000000000BATCH1",
        "type": "EXPENSE",
        "description": "lunch",
        "amount": 12.5,
        "date": "2026-11-24",
        "category": "Food:Restaurant",
    },
    {
        "id": "01KAHBJ5V00000000000BATCH2",
        "type": "INCOME",
        "description": "sold a bicycle",
        "amount": 80,
        "date": "2026-11-24",
    },
]

EXAMPLES: Final[Mapping[str, Example]] = {
    "index_get_index": Example(),
    "health_get_health": Example(answer={"status": "alive"}),
    "health_get_readiness": Example(),
    "health_get_metrics": Example(),
    "accounts_add": Example(
        status=201,
        body={key: _SAVINGS[key] for key in ("name", "kind", "opening_balance", "opening_date")},
        headers=_SHOWN,
        answer=_SAVINGS,
    ),
    "accounts_get_list": Example(answer=[_MAIN, _SAVINGS]),
    "accounts_get_one": Example(path=_SAVINGS_ID, answer=_SAVINGS),
    "accounts_patch_one": Example(
        path=_SAVINGS_ID,
        body={"opening_balance": 900},
        answer={**_SAVINGS, "opening_balance": Decimal("900.00"), "version": 2},
    ),
    "accounts_put_one": Example(
        path=_SAVINGS_ID,
        body={key: _SAVINGS[key] for key in ("name", "kind", "currency", "opening_balance", "opening_date")},
        answer={**_SAVINGS, "version": 3},
    ),
    **dict(_of_resource("incomes")),
    **dict(_of_resource("expenses")),
    **dict(_of_resource("transactions")),
    "transactions_add_batch": Example(status=201, body=_LUNCH, headers=_SHOWN),
    **dict(_of_resource("transfers")),
    "accounts_get_transactions": Example(path=_SAVINGS_ID, query=_PERIOD),
    "accounts_delete_one": Example(path=_SAVINGS_ID, status=204),
    "reports_get_balances": Example(
        query={"as_of": "2026-11-30"},
        answer=[
            {
                "account": "main",
                "currency": "USD",
                "balance": Decimal("3008.30"),
                "available": Decimal("3008.30"),
                "as_of": "2026-11-30",
            },
            {
                "account": "savings",
                "currency": "USD",
                "balance": Decimal("1300.00"),
                "available": Decimal("1300.00"),
                "as_of": "2026-11-30",
            },
        ],
    ),
    "reports_get_summary": Example(
        query={**_PERIOD, "by": "month"},
        answer=[
            {
                "month": "2026-11",
                "currency": "USD",
                "income": Decimal("3380.00"),
                "expense": Decimal("-71.70"),
                "net": Decimal("3308.30"),
                "count": 5,
            }
        ],
    ),
    "reports_get_cashflow": Example(
        query=_PERIOD,
        answer=[
            {
                "month": "2026-11",
                "currency": "USD",
                "opening": Decimal("0.00"),
                "income": Decimal("3380.00"),
                "expense": Decimal("-71.70"),
                "transfers": Decimal("1000.00"),
                "closing": Decimal("4308.30"),
            }
        ],
    ),
    "categories_get_list": Example(),
    "categories_rename": Example(
        body={"from": "Food:Restaurant", "to": "Food:Out"}, answer={"from": "Food:Restaurant", "to": "Food:Out"}
    ),
    "categories_merge": Example(
        body={"from": "Food:Groceries", "to": "Food"}, answer={"from": "Food:Groceries", "to": "Food"}
    ),
    "tags_get_tags": Example(answer=[]),
    "entry_get_reading": Example(
        query={"text": "50 pizza #night-out 2026-11-20"},
        answer={
            "type": "EXPENSE",
            "post_to": "/expenses",
            "draft": {
                "description": "pizza",
                "amount": 50,
                "currency": "USD",
                "date": "2026-11-20",
                "account": "main",
                "tags": ["night out"],
            },
            "parts": [
                {"text": "50", "field": "amount", "value": 50, "new": False},
                {"text": "pizza", "field": "description", "value": "pizza", "new": False},
                {"text": "#night-out", "field": "tags", "value": "night out", "new": True},
                {"text": "2026-11-20", "field": "date", "value": "2026-11-20", "new": False},
                {"text": None, "field": "currency", "value": "USD", "new": False},
                {"text": None, "field": "account", "value": "main", "new": False},
            ],
            "errors": {},
            "remarks": [],
        },
    ),
    "imports_add": Example(body=_CSV, query={"preview": "true", "account": "main"}),
    "imports_add_as": Example(body=_CSV, path={"format_name": "csv"}, query={"account": "main"}),
    "imports_put_mapping": Example(body=_MAPPING, path=_BANK, status=204),
    "imports_get_mappings": Example(answer={"bank": _MAPPING}),
    "imports_get_mapping": Example(path=_BANK, answer=_MAPPING),
    "imports_delete_mapping": Example(path=_BANK, status=204),
    "exports_get_export": Example(path={"format_name": "csv"}, query=_PERIOD),
    "journal_get_journal": Example(query={"after": "0", "limit": "10"}),
    "ledger_get_ledger": Example(answer=_LEDGER),
    "ledger_patch_ledger": Example(
        body={"closed_until": "2026-10-31"}, answer={**_LEDGER, "closed_until": "2026-10-31"}
    ),
    "problems_get_problems": Example(),
    "problems_get_problem": Example(path={"slug": "invalid"}),
    "documentation_get_docs": Example(),
    "documentation_get_openapi": Example(),
    "users_add_user": Example(status=201, body={**_CREDENTIALS, "name": "Ann", "setup_code": SETUP_CODE}, answer=_ANN),
    "tokens_add_tokens": Example(body=_CREDENTIALS, answer=_TOKENS),
    "tokens_refresh_tokens": Example(body={"refresh_token": REFRESH_TOKEN}, answer=_TOKENS),
    "users_get_users": Example(query={"limit": "10"}),
    "users_get_me": Example(answer=_ANN),
    "users_get_user": Example(path=_ANN_PATH, answer=_ANN),
    "users_patch_user": Example(
        path=_ANN_PATH, body={"name": "Ann B."}, answer={**_ANN, "name": "Ann B.", "version": 2}
    ),
    "users_put_user": Example(
        path=_ANN_PATH,
        body={"email": "ann@example.com", "name": "Ann", "admin": True},
        answer={**_ANN, "version": 3},
    ),
    "api_keys_add_key": Example(status=201, body={"name": "a script", "scope": "write"}, answer={**_KEY, "key": KEY}),
    "api_keys_get_keys": Example(answer=[_KEY]),
    "api_keys_get_key": Example(path=_KEY_PATH, answer=_KEY),
    "api_keys_delete_key": Example(path=_KEY_PATH, status=204),
    "ledgers_add_ledger": Example(status=201, body={"name": "Household", "currency": "USD"}, answer=_SHARED_LEDGER),
    "ledgers_get_ledgers": Example(),
    "ledgers_get_shared": Example(path=_SHARED_PATH, answer=_SHARED_LEDGER),
    "ledgers_patch_shared": Example(
        path=_SHARED_PATH, body={"name": "Home"}, answer={**_SHARED_LEDGER, "name": "Home"}
    ),
    "ledgers_put_member": Example(path=_MEMBER_PATH, body={"role": "editor"}, status=201),
    "ledgers_get_members": Example(path=_SHARED_PATH),
    "ledgers_delete_member": Example(path=_MEMBER_PATH, status=204),
    "users_delete_sessions": Example(path={"id": BEN_ID}, status=204),
    "users_delete_user": Example(path={"id": BEN_ID}, status=204),
    "tokens_delete_tokens": Example(status=204),
}


def put_into(document: dict[str, Any]) -> None:
    """Give the operations of a document their examples."""
    for methods in document["paths"].values():
        for operation in methods.values():
            example = EXAMPLES.get(operation["operationId"])
            if example is not None:
                _put(example, operation)


def _put(example: Example, operation: dict[str, Any]) -> None:
    given = {"path": example.path, "query": example.query, "header": example.headers}
    for parameter in operation["parameters"]:
        if parameter["name"] in given[parameter["in"]]:
            parameter["example"] = given[parameter["in"]][parameter["name"]]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        if media_type not in _WITHOUT_EXAMPLE:
            content["example"] = example.body
    answer = operation["responses"][str(example.status)].get("content", {})
    if example.answer is not None:
        answer[JSON]["example"] = example.answer
