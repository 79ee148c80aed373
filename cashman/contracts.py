"""What a view takes and gives, as its mark says: for the OpenAPI document, and for the door, which knows who may."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from marshmallow import Schema

from cashman.errors import Problem

View = TypeVar("View", bound=Callable[..., Any])
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
MERGE_PATCH: Final = "application/merge-patch+json"
NO_STORE: Final = {"Cache-Control": "no-store"}
"""For answers that hold a secret."""


def refers_to(component: str) -> dict[str, Any]:
    """A schema of the OpenAPI document, by its name."""
    return {"$ref": f"#/components/schemas/{component}"}


def array_of(component: str) -> dict[str, Any]:
    """An array of what a schema of the OpenAPI document describes."""
    return {"type": "array", "items": refers_to(component)}


ONE_TRANSACTION: Final = {JSON: {"schema": refers_to("Transaction")}}
MANY_TRANSACTIONS: Final = {JSON: {"schema": array_of("Transaction")}}
A_PAGE: Final = {"text/html": {"schema": {"type": "string"}}}


@dataclass(frozen=True)
class Contract:
    """What a view takes and gives."""

    answers: Mapping[int, str]
    """What each status of success means; a status with a body answers with `gives`."""
    gives: Mapping[str, Any] | None = None
    """The body of a success: OpenAPI's media type objects by media type."""
    body: Any = None
    media_types: tuple[str, ...] = (JSON,)
    query: type[Schema] | None = None
    problems: tuple[type[Problem], ...] = ()
    headers: tuple[str, ...] = ()
    takes_headers: tuple[str, ...] = ()
    needs: str | None = None
    """Who may: "anyone", "member" (whoever is somebody), "account" (the same, and no
    key of one ledger only), "admin", or a role in the ledger that the request is about.
    Where it does not say, that is a viewer to read and an editor to write."""
    many: bool = False
    """Whether the body is an array of what `body` describes, or NDJSON."""


def contract(**terms: Any) -> Callable[[View], View]:
    """Mark a view with its Contract."""

    def mark(view: View) -> View:
        view.contract = Contract(**terms)  # type: ignore[attr-defined]
        return view

    return mark
