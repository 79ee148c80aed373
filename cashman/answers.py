"""What goes out over HTTP: encoders, entity tags, receipts, pages."""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from flask import Response, request
from werkzeug.datastructures import Headers

from cashman import current
from cashman.changes import Request
from cashman.chart import Chart
from cashman.contracts import JSON
from cashman.db import rfc3339
from cashman.journal import Head
from cashman.ledger import Ledger
from cashman.listing import Page
from cashman.model.fields import Amount, RecordedAt
from cashman.model.money import to_decimal
from cashman.model.transaction import TransactionFields
from cashman.pages import EncodedPage
from cashman.queries import COLUMN_NAMES, State, Version
from cashman.receipts import Answer, Receipt
from cashman.wire import idempotency_key, preferred_return

encode_json = msgspec.json.Encoder(decimal_format="number").encode


def _row_encoder() -> Callable[[Sequence[Any], Chart], Any]:
    """From a row of COLUMN_NAMES to what is encoded: built once from the schema's own fields.

    The schema stays the one definition; a page does not pay for a hundred objects and their dumps. What a page
    leaves as the text that is stored goes out as it is.
    """
    dumped = TransactionFields().dump_fields
    amounts = [place for place, field in enumerate(dumped.values()) if isinstance(field, Amount)]
    instants = [place for place, field in enumerate(dumped.values()) if isinstance(field, RecordedAt)]
    account, category, tags = (list(dumped).index(name) for name in ("account", "category", "tags"))
    columns = {"amount": "minor_units", "account": "account_id", "category": "category_id"}
    take = itemgetter(*(COLUMN_NAMES.index(columns.get(name, name)) for name in dumped))
    currency = COLUMN_NAMES.index("currency")
    make = msgspec.defstruct("TransactionRow", list(dumped))

    def encode_row(row: Sequence[Any], chart: Chart) -> Any:
        values = list(take(row))
        for place in amounts:
            values[place] = to_decimal(values[place], row[currency])
        for place in instants:
            if isinstance(values[place], dt.datetime):
                values[place] = rfc3339(values[place])
        if isinstance(values[tags], str):
            values[tags] = msgspec.Raw(values[tags])
        named = chart.accounts.get(values[account])
        values[account] = named and named["name"]  # an old revision may name one that was deleted since
        values[category] = chart.categories.get(values[category])
        return make(*values)

    return encode_row


encode_row: Final = _row_encoder()


def show_state(state: State, chart: Chart) -> Any:
    """A transaction as it is encoded."""
    return encode_row([state[name] for name in COLUMN_NAMES], chart)


def show_transfer(legs: Sequence[Sequence[Any]], chart: Chart) -> dict[str, Any]:
    """A transfer as it is encoded, from the rows of its legs, what goes out first."""
    out, into = (msgspec.structs.asdict(encode_row(leg, chart)) for leg in legs)
    own = {
        "from": out["account"],
        "to": into["account"],
        "amount": -out["amount"],
        "currency": out["currency"],
        "to_amount": into["amount"],
        "to_currency": into["currency"],
    }
    return {name: own.get(name, out.get(name)) for name in TRANSFER_NAMES}


TRANSFER_NAMES: Final = (
    "id", "status", "description", "from", "to", "amount", "currency", "to_amount", "to_currency", "date", "tags",
    "payee", "notes", "expires_at", "created_at", "version",
)  # fmt: skip


def etag(version: int, chart: Chart) -> str:
    """The strong entity tag of what has a version, and is shown with names of the chart."""
    return f'"{version}.{chart.renamed_sequence}"' if chart.renamed_sequence else f'"{version}"'


class EmptyResponse(Response):
    """An answer without a body, and so without a media type."""

    default_mimetype = None

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """The headers as they are where no length belongs to them: the paths in them are ours, and need no escaping."""
        return self.headers if self.status_code in (204, 304) else super().get_wsgi_headers(environ)


def empty_response(status: int, headers: Mapping[str, str]) -> Response:
    """An answer without a body, such as 204 or 304."""
    return EmptyResponse(status=status, headers=headers)


def resource_response(document: Any, tag: str) -> Response:
    """One resource, or 304 where the client has it."""
    return not_modified(tag) or Response(encode_json(document), headers={"ETag": tag}, mimetype=JSON)


@dataclass(frozen=True, slots=True)
class Shown:
    """How the receipt of a write becomes its answer."""

    document: Callable[[Receipt], Any]
    tag: Callable[[Receipt], str] | None = None
    id: Callable[[Receipt], Any] | None = None
    """What stands behind the path in Location."""


def _chart(receipt: Receipt) -> Chart:
    assert receipt.chart is not None, "a write tells the names that go with what it wrote"
    return receipt.chart


ONE_SHOWN: Final = Shown(
    document=lambda receipt: show_state(receipt.state, _chart(receipt)),
    tag=lambda receipt: etag(receipt.state["version"], _chart(receipt)),
    id=lambda receipt: receipt.state["id"],
)
MANY_SHOWN: Final = Shown(
    document=lambda receipt: [show_state(state, _chart(receipt)) for state in receipt.states],
)
LINES_SHOWN: Final = Shown(document=MANY_SHOWN.document, id=ONE_SHOWN.id)
TRANSFER_SHOWN: Final = Shown(
    document=lambda receipt: show_transfer(
        [[state[name] for name in COLUMN_NAMES] for state in receipt.states], _chart(receipt)
    ),
    tag=ONE_SHOWN.tag,
    id=ONE_SHOWN.id,
)


def write_request(
    asked: Any,
    shown: Shown = ONE_SHOWN,
    *,
    path: str | None = None,
    minimal_by_default: bool = False,
    always_minimal: bool = False,
) -> Request:
    """This request, for the ledger: its key, a fingerprint of what it asks for, and how it is answered.

    `path` is where a new resource is found, and makes the answer 201. The answer is made while the write is
    committed, so what it depends on is read from the request here.
    """
    preference = None if always_minimal else preferred_return()
    applied = {} if preference is None else {"Preference-Applied": f"return={preference}"}
    minimal = always_minimal or preference == "minimal" or (minimal_by_default and preference is None)

    prefix = current.prefix()

    def render(receipt: Receipt) -> Answer:
        headers = {"Cashman-Head": str(receipt.head), **applied}
        if shown.tag is not None:
            headers["ETag"] = shown.tag(receipt)
        if path is not None and shown.id is not None:
            headers["Location"] = f"{prefix}{path}/{shown.id(receipt)}"
        if minimal:
            return Answer(204, headers, None)
        return Answer(200 if path is None else 201, headers, encode_json(shown.document(receipt)))

    key = idempotency_key()
    fingerprint = b"" if key is None else _fingerprint(asked)
    caller = current.caller()
    return Request(caller.actor, render, key, fingerprint, caller.principal)


def _fingerprint(asked: Any) -> bytes:
    """A hash of the method, the path and the loaded fields: 50 and 50.00 ask for the same."""
    path = request.path.rstrip("/")
    return hashlib.sha256(msgspec.json.encode([request.method, path, _without_trailing_zeros(asked)])).digest()


def _without_trailing_zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_trailing_zeros(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_without_trailing_zeros(item) for item in value]
    return str(value.normalize()) if isinstance(value, Decimal) else value


def written(receipt: Receipt) -> Response:
    """The answer to a write, now or as it was first given."""
    answer = receipt.answer
    assert answer is not None, "a write over HTTP says how it is answered"
    if answer.body is None:
        response = empty_response(answer.status, answer.headers)
    else:
        response = Response(answer.body, answer.status, answer.headers, mimetype=JSON)
    if receipt.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def not_modified(tag: str, head: Head | None = None) -> Response | None:
    """304 where If-None-Match names the tag."""
    if not (request.if_none_match.star_tag or request.if_none_match.contains_weak(tag.removeprefix("W/").strip('"'))):
        return None
    return empty_response(304, {"ETag": tag} if head is None else {"ETag": tag, "Cashman-Head": str(head)})


def at_head(head: Head, body: Callable[[], bytes], mimetype: str = JSON, *, also: object = "") -> Response:
    """What was read at a head, with a weak tag made of that and the query; the body only where it is needed.

    `also` is what it depends on besides, such as the day that it is.
    """
    tag = _tag(head, f"{mimetype} {also}")
    return not_modified(tag, head) or Response(body(), headers=_read_at(head, tag), mimetype=mimetype)


def _tag(head: Head, form: str = JSON) -> str:
    query = hashlib.sha256(f"{form} {request.full_path}".encode()).hexdigest()[:16]
    return f'W/"{head.sequence}-{head.hash.hex()[:16]}-{query}"'


def _read_at(head: Head, tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cashman-Head": str(head)}


def list_response(books: Ledger, find: Callable[[], Page]) -> Response:
    """A page of transactions as a bare array; what belongs to the list travels in headers.

    The page is found only where this worker has not encoded it before.
    """
    head, query = books.head(), request.full_path
    settled = head is not None  # else something has expired, and the head may not say so yet
    known = None if head is None else current.pages().get((books.id, head.hash, query))
    if head is None or known is None:
        page = find()
        head, known = page.head, EncodedPage(_page_body(page), _next_link(page))
        if settled:
            current.pages().put((books.id, head.hash, query), known)
    tag = _tag(head)
    unchanged = not_modified(tag, head) if settled else None
    response = unchanged or Response(known.body, headers=_read_at(head, tag), mimetype=JSON)
    if known.link is not None:
        response.headers["Link"] = known.link
    return response


def _next_link(page: Page) -> str | None:
    if page.next_cursor is None:
        return None
    parameters = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    return f'<{request.path}?{urlencode([*parameters, ("cursor", page.next_cursor)])}>; rel="next"'


def _page_body(page: Page) -> bytes:
    chart = page.chart
    if page.counterparts is not None:
        return encode_json([show_transfer([row, page.counterparts[row.group]], chart) for row in page.rows])
    shown = [encode_row(row, chart) for row in page.rows]
    if page.balances is None:
        return encode_json(shown)
    return encode_json(
        [
            {**msgspec.structs.asdict(one), "balance": to_decimal(balance, chart.accounts[row.account_id]["currency"])}
            for one, row, balance in zip(shown, page.rows, page.balances, strict=True)
        ]
    )


HISTORY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["version", "kind", "recorded_at", "actor", "changes"],
        "properties": {
            "version": {"type": "integer"},
            "kind": {"type": "string"},
            "recorded_at": {"type": "string", "format": "date-time"},
            "actor": {"type": "string"},
            "changes": {
                "type": "object",
                "description": "The old and the new value of each field that changed.",
                "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2},
            },
        },
    },
}


def history_response(versions: Iterable[tuple[Version, dict[str, Any]]]) -> Response:
    """Every revision, with what it changed, from each version and what it showed then."""
    return Response(encode_json(list(revisions(versions))), mimetype=JSON)


def shown_versions(versions: Sequence[Version], chart: Chart) -> Iterator[tuple[Version, dict[str, Any]]]:
    """Each version of a transaction, and what it showed then."""
    return ((version, msgspec.structs.asdict(show_state(version.state, chart))) for version in versions)


def revisions(versions: Iterable[tuple[Version, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Each revision as it is shown: when, by whom, and the old and the new value of what changed."""
    before: dict[str, Any] = {}
    for version, after in versions:
        yield {
            "version": after.pop("version"),
            "kind": version.kind,
            "recorded_at": version.recorded_at,
            "actor": version.actor,
            "changes": {name: [before.get(name), new] for name, new in after.items() if before.get(name) != new},
        }
        before = after
