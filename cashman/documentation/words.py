"""What the names in the OpenAPI document mean, where the field itself does not say: each once, for every schema."""

from collections.abc import Iterator
from typing import Any, Final

MEANINGS: Final = {
    # Of transactions and transfers.
    "id": "Its id.",
    "type": "INCOME, EXPENSE or, for one leg of a transfer, TRANSFER; never changes.",
    "description": "What it was, in your words.",
    "date": "The day in the books; today where none is given.",
    "account": "The name of the account that it moves money on: `main` where none is given.",
    "category": "What it was for, from the general to the special: `Food:Restaurant`.",
    "tags": "Words to find it by, each once.",
    "payee": "Who was paid, or who paid.",
    "notes": "Whatever else is to be kept with it.",
    "from": "The account that the money leaves.",
    "to": "The account that the money goes to.",
    "created_at": "When it was recorded, in UTC.",
    "version": "How many revisions there are; its ETag is made of it.",
    "lines": "The lines of a split receipt.",
    # Of accounts.
    "kind": "What sort of account it is.",
    "closed": "Whether nothing can be booked on it any more.",
    # Of who may.
    "email": "The address to sign in with; no other user has it.",
    "password": "What to sign in with; never shown.",
    "current_password": "Your own, where you change your password or address.",
    "setup_code": "For the first user: it stands in the service's log.",
    "refresh_token": "The refresh token that is good next.",
    "expires_at": "When it is good no more; null: never.",
    "name": "What it is called.",
    "role": "viewer reads, editor writes too, owner shares it too.",
    "user": "The user's id.",
    "currency": "A code of ISO 4217.",
    "closed_until": "The last closed day; null where all days are open.",
    # Of problems.
    "title": "What went wrong, in short.",
    "status": "The HTTP status.",
    "detail": "What went wrong in this case.",
    # Of mappings.
    "separator": "What stands between two columns.",
    "decimal": "The decimal sign.",
    "date_order": "In which order a date has day, month and year.",
    "account_id": "The number of the account.",
    "slug": "The last part of a problem's `type`.",
    "format_name": "The format of the file.",
    "ledger_ulid": "The ledger's id.",
    "release": "Which files: whatever is asked for, those that there are now.",
    "file": "The path of the file.",
    "limit": "Rows on a page.",
    "cursor": "Where the page starts.",
}
_OF_PARAMETERS: Final = {
    "account": "Only what is on this account.",
    "payee": "Only what has this payee.",
    "id": "The id, as Location and the lists show it.",
    "name": "What the mapping is called.",
}
_OF_ONE_SCHEMA: Final = {
    "Move.from": "The path that it has now.",
    "Move.to": "The path that it will have.",
}
TAGS: Final = {
    "expenses": "What you spend. An expense is negative, however it is written.",
    "incomes": "What you earn.",
    "transactions": "Incomes, expenses and the legs of transfers in one list; many at once.",
    "entry": "A line as people type it, read before it is booked.",
    "transfers": "Money that goes from one of your accounts to another: neither earned nor spent.",
    "accounts": "Where the money lies. The account `main` is there from the start.",
    "categories": "What the money was for.",
    "tags": "Words to find transactions by.",
    "reports": "Balances, sums by period or category, cash flow: JSON, or CSV for a spreadsheet.",
    "imports": "Files of banks and of other programs.",
    "exports": "Everything, for other programs.",
    "ledger": "The ledger that the routes without a prefix are about.",
    "ledgers": "Ledgers that are shared. What is about transactions, accounts and reports is also at "
    "`/ledgers/{ledger}/…`.",
    "journal": "The hash chain itself, as a feed.",
    "users": "Who may come in. The first user takes over the books.",
    "tokens": "Signing in and out.",
    "api_keys": "For machines.",
    "problems": "What each error means.",
    "health": "For whoever runs the service.",
    "documentation": "What you read here.",
}
"""The groups of operations, in the order in which one learns them."""

NEEDS: Final = {
    "anyone": "For anyone.",
    "member": "For whoever is somebody.",
    "account": "For a user, or a key of one that is good for every ledger.",
    "admin": "For an administrator.",
    "viewer": "For whoever may read the ledger (viewer).",
    "editor": "For whoever may write to the ledger (editor).",
    "owner": "For an owner of the ledger.",
}
"""Who may, by what a contract needs."""

_COLUMN: Final = "The column that holds it: its name, or its number from 1."


def describe(document: dict[str, Any]) -> None:
    """Say in a document what each property and parameter means that says nothing of itself."""
    used = {tag for operation in _operations(document) for tag in operation["tags"]}
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    for schema_name, schema in document["components"]["schemas"].items():
        for name, described in schema.get("properties", {}).items():
            if "description" not in described and "$ref" not in described:
                column = _COLUMN if schema_name == "MappingColumns" else None
                described["description"] = (
                    _OF_ONE_SCHEMA.get(f"{schema_name}.{name}") or column or MEANINGS.get(name, "")
                )
    for parameter in _parameters(document):
        if "description" not in parameter:
            name = parameter["name"]
            parameter["description"] = _OF_PARAMETERS.get(name) or MEANINGS.get(name, "")


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operation in _operations(document):
        yield from operation["parameters"]
