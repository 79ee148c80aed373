"""What a view takes and gives, as its mark says: for the OpenAPI document, and for the door, which knows who may."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from marshmallow import Schema

from cashman.errors import AccountClosed, AnswerErased, BooksClosed, IdTaken, KeyReused, Problem, TotalTooLarge

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


# Terms that several views have in common, by what each of them does: contract(**REPLACES, body=…, gives=…).

Terms: TypeAlias = Mapping[str, Any]

BOOKING_PROBLEMS: Final = (KeyReused, TotalTooLarge, AnswerErased, AccountClosed, BooksClosed)
"""What can be wrong with anything that is booked."""

READS_ONE: Final[Terms] = {"headers": ("ETag",), "takes_headers": ("If-None-Match",)}
READS_AT_HEAD: Final[Terms] = {"headers": ("ETag", "Cashman-Head"), "takes_headers": ("If-None-Match",)}
READS_PAGES: Final[Terms] = {
    "answers": {200: "One page, newest first.", 304: "The page is the one that the client has."},
    "headers": ("ETag", "Cashman-Head", "Link"),
    "takes_headers": ("If-None-Match",),
}
WRITES: Final[Terms] = {
    "headers": ("Cashman-Head", "Preference-Applied", "Idempotency-Replayed"),
    "takes_headers": ("Prefer", "Idempotency-Key"),
}
ADDS_ONE: Final[Terms] = {**WRITES, "headers": ("Location", "ETag", *WRITES["headers"])}
RECORDS_ONE: Final[Terms] = {
    **ADDS_ONE,
    "answers": {204: "Recorded.", 201: "Recorded, and shown as `Prefer: return=representation` asks."},
    "problems": (IdTaken, *BOOKING_PROBLEMS),
}
REVISES: Final[Terms] = {
    "headers": ("ETag", *WRITES["headers"]),
    "takes_headers": ("If-Match", *WRITES["takes_headers"]),
}
REPLACES: Final[Terms] = {
    **REVISES,
    "answers": {200: "Replaced.", 204: "Replaced, and not shown, as `Prefer: return=minimal` asks."},
}
CHANGES: Final[Terms] = {
    **REVISES,
    "media_types": (MERGE_PATCH, JSON),
    "answers": {200: "Changed.", 204: "Changed, and not shown, as `Prefer: return=minimal` asks."},
}
RESTORES: Final[Terms] = {
    **REVISES,
    "answers": {200: "Restored, or never void.", 204: "The same, and not shown, as `Prefer: return=minimal` asks."},
}
VOIDS: Final[Terms] = {
    "answers": {204: "Void, now or already."},
    "headers": ("Cashman-Head", "ETag", "Idempotency-Replayed"),
    "takes_headers": ("If-Match", "Idempotency-Key"),
}
REDACTS: Final[Terms] = {**VOIDS, "needs": "owner", "answers": {204: "Erased."}}
