"""HTTP's side of a view: what a request may say, and how an answer says it.

A view is marked with `contract`, from which the OpenAPI document is made; it loads what came in with
`load_body` and `load_query`, asks the ledger, and answers with the functions at the end.
"""

import datetime as dt
import hashlib
import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NoReturn, TypeVar, cast
from urllib.parse import urlencode
from urllib.request import parse_http_list

import msgspec
from flask import Request as FlaskRequest
from flask import Response, current_app, request
from marshmallow import Schema, ValidationError, fields
from werkzeug.routing import BaseConverter

from cashman import current
from cashman.batch import Answer, Receipt
from cashman.changes import Request
from cashman.chart import Chart
from cashman.db import off_loop, rfc3339
from cashman.errors import BadRequest, Invalid, MalformedDocument, Problem, UnsupportedMediaType
from cashman.journal import Head
from cashman.ledger import Ledger
from cashman.limits import (
    BATCH_BYTES_MAX,
    BATCH_TRANSACTIONS_MAX,
    BODY_SECONDS,
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    JSON_DEPTH_MAX,
    MAPPING_NAME_CHARACTERS_MAX,
    OBJECT_MEMBERS_MAX,
)
from cashman.listing import Page
from cashman.model.fields import ULID_PATTERN, Amount, RecordedAt
from cashman.model.money import parse_json_number, to_decimal
from cashman.model.transaction import TransactionFields
from cashman.pages import EncodedPage
from cashman.queries import COLUMN_NAMES, State, Version
from cashman.translations import Message, message

View = TypeVar("View", bound=Callable[..., Any])

_VERSION: Final = re.compile(r"([1-9][0-9]{0,8})(?:\.([1-9][0-9]{0,18}))?", re.ASCII)

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


class NumberConverter(BaseConverter):
    """A path segment that is the number of an account; any other is no resource."""

    regex = "[1-9][0-9]{0,8}"

    def to_python(self, value: str) -> int:
        return int(value)


class NameConverter(BaseConverter):
    """A path segment that is the name of a mapping."""

    regex = rf"[^/\x00]{{1,{MAPPING_NAME_CHARACTERS_MAX}}}"


class InMemory(FlaskRequest):
    """A request whose files stay in memory, which `max_content_length` bounds: there may be no folder to write to."""

    def _get_file_stream(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO()


class UlidConverter(BaseConverter):
    """A path segment that is a ULID; any other is no resource, and never reaches the database."""

    regex = ULID_PATTERN


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


# What comes in.


def _refuse_constant(constant: str) -> NoReturn:
    raise MalformedDocument(message("{constant} is not JSON.", constant=constant))


def _distinct_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > OBJECT_MEMBERS_MAX:
        raise MalformedDocument(message("An object has at most {maximum} members.", maximum=OBJECT_MEMBERS_MAX))
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise MalformedDocument(message("The member {name} stands twice in one object.", name=json.dumps(twice)))
    return members


def _parse_integer(token: str) -> int | Decimal:
    number = parse_json_number(token)
    return int(number) if number.is_finite() else number


_decode = json.JSONDecoder(
    parse_float=parse_json_number,
    parse_int=_parse_integer,
    parse_constant=_refuse_constant,
    object_pairs_hook=_distinct_members,
).decode


def parse_json(data: bytes) -> Any:
    """A JSON document with exact numbers; MalformedDocument where RFC 8259, or sense, is broken."""
    try:
        document = _decode(data.decode())
    except UnicodeDecodeError as error:
        raise MalformedDocument(message("Not UTF-8 at byte {place}.", place=error.start)) from None
    except json.JSONDecodeError as error:
        fault, line, column = Message(error.msg.removesuffix(" at")), error.lineno, error.colno
        told = message("{fault} at line {line}, column {column}.", fault=fault, line=line, column=column)
        raise MalformedDocument(told) from None
    except RecursionError:
        raise MalformedDocument(message("Nested deeper than {maximum} levels.", maximum=JSON_DEPTH_MAX)) from None
    # Only what has that many brackets can be that deep.
    if data.count(b"[") + data.count(b"{") > JSON_DEPTH_MAX:
        _check_depth(document)
    return document


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(JSON_DEPTH_MAX):
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside.extend(value.values())
            elif isinstance(value, list):
                inside.extend(value)
        if not inside:
            return
        level = inside
    if any(isinstance(value, (dict, list)) for value in level):
        raise MalformedDocument(message("Nested deeper than {maximum} levels.", maximum=JSON_DEPTH_MAX))


@lru_cache
def _schema(schema_class: type[Schema], **options: Any) -> Schema:
    """A schema, made once: making it costs more than using it."""
    return schema_class(**options)


def read_body(media_types: Iterable[str] = (JSON,)) -> bytes:
    """The request's body, of one of the media types."""
    # Nearly every request names the bare media type, which needs no parsing.
    known = request.content_type in media_types or (
        request.mimetype in media_types and request.mimetype_params.get("charset", "utf-8").lower() == "utf-8"
    )
    if not known or "HTTP_CONTENT_ENCODING" in request.environ:
        raise UnsupportedMediaType(
            headers={"Accept-Post": ", ".join(media_types)} if request.method == "POST" else None
        )
    began = time.monotonic()
    body = request.get_data(cache=False)
    if time.monotonic() - began > BODY_SECONDS:
        current.ask_again()
    return body


def load_body(schema_class: type[Schema], media_types: Iterable[str] = (JSON,), **options: Any) -> Any:
    """The request's JSON body, loaded by a schema that is made with the options."""
    return _schema(schema_class, **options).load(parse_json(read_body(media_types)))


def load_many(schema_class: type[Schema], **options: Any) -> list[Any]:
    """The items of a JSON array or of NDJSON, each loaded by the schema; every item that it refuses is told at once.

    Errors are keyed by the place in the array, from 0, or by the line of the NDJSON, from 1. It is done beside
    gevent's loop, so no option may wait for what the loop serves.
    """
    request.max_content_length = BATCH_BYTES_MAX
    data = read_body((JSON, NDJSON))
    load = _parse_lines if request.mimetype == NDJSON else _parse_array
    return off_loop(lambda: load(data, schema_class(**options)))


def _parse_array(data: bytes, schema: Schema) -> list[Any]:
    document = parse_json(data)
    if not isinstance(document, list):
        raise ValidationError("Has to be a JSON array.")
    _check_count(sum(map(_count, document)))
    return cast(list[Any], schema.load(document, many=True))


def _parse_lines(data: bytes, schema: Schema) -> list[Any]:
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    _check_count(len(lines))
    items, errors, count = [], {}, 0
    for number, line in lines:
        try:
            document = parse_json(line)
            count += _count(document)
            items.append(schema.load(document) if count <= BATCH_TRANSACTIONS_MAX else None)
        except ValidationError as error:
            errors[number] = error.messages
        except MalformedDocument as error:
            errors[number] = {"document": [error.detail]}
    _check_count(count or 1)
    if errors:
        raise ValidationError(errors)
    return items


def _count(document: Any) -> int:
    """How many transactions a document comes to: a receipt has as many as it has lines."""
    lines = document.get("lines") if isinstance(document, dict) else None
    return len(lines) if isinstance(lines, list) and lines else 1


def _check_count(count: int) -> None:
    if not 1 <= count <= BATCH_TRANSACTIONS_MAX:
        raise ValidationError(message("From 1 to {maximum} transactions.", maximum=BATCH_TRANSACTIONS_MAX))


def load_query(schema_class: type[Schema], **options: Any) -> Any:
    """The request's query parameters, loaded by a schema that is made with the options."""
    schema = _schema(schema_class, **options)
    given: dict[str, Any] = {}
    twice = {}
    for name, values in request.args.lists():
        if isinstance(schema.load_fields.get(name), fields.List):
            given[name] = values
        elif len(values) == 1:
            given[name] = values[0]
        else:
            twice[name] = ["Once at most."]
    if twice:
        raise ValidationError(twice)
    return schema.load(given)


def refuse_stray_query() -> None:
    """Run before every request: a view without query parameters takes none."""
    try:
        request.query_string.decode()
    except UnicodeDecodeError:
        raise BadRequest(message("The query string is not UTF-8.")) from None
    if request.query_string and request.url_rule is not None:
        terms = getattr(current_app.view_functions[request.url_rule.endpoint], "contract", None)
        if terms is None or terms.query is None:
            raise Invalid(errors={name: ["Unknown query parameter."] for name in request.args})


def refuse_stray_key() -> None:
    """Run before every request: where nothing keeps an answer under a key, none is promised in silence."""
    if request.method != "POST" or "Idempotency-Key" not in request.headers or request.url_rule is None:
        return
    terms = getattr(current_app.view_functions[request.url_rule.endpoint], "contract", None)
    if terms is not None and terms.needs != "anyone" and "Idempotency-Key" not in terms.takes_headers:
        raise Invalid(errors={"Idempotency-Key": [message("Not taken here: what this makes is made anew each time.")]})


def expected_versions() -> frozenset[tuple[int, int]] | None:
    """The tags, as (version, newest rename), that If-Match names; None where any will do.

    Weak tags never match (RFC 9110, 13.1.1).
    """
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    found = (_VERSION.fullmatch(tag) for tag in request.if_match if tag)
    return frozenset((int(tag[1]), int(tag[2] or 0)) for tag in found if tag)


def preferred_return() -> str | None:
    """What `Prefer: return=…` asks for (RFC 7240): "representation", "minimal" or nothing."""
    for item in parse_http_list(request.headers.get("Prefer", "")):
        name, _, value = item.partition(";")[0].partition("=")
        if name.strip().lower() == "return":  # of several the first counts
            preference = value.strip().strip('"')
            return preference if preference in ("representation", "minimal") else None
    return None


# What goes out.

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


def empty_response(status: int, headers: Mapping[str, str]) -> Response:
    """An answer without a body, and so without a media type."""
    response = Response(status=status, headers=headers)
    del response.headers["Content-Type"]
    return response


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


def idempotency_key() -> str | None:
    """The Idempotency-Key of this request, quoted as in the IETF draft or bare."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > IDEMPOTENCY_KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
        rule = message("1 to {maximum} printable ASCII characters.", maximum=IDEMPOTENCY_KEY_CHARACTERS_MAX)
        raise Invalid(errors={"Idempotency-Key": [rule]})
    return key


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
    return Response(encode_json(list(_revisions(versions))), mimetype=JSON)


def shown_versions(versions: Sequence[Version], chart: Chart) -> Iterator[tuple[Version, dict[str, Any]]]:
    """Each version of a transaction, and what it showed then."""
    return ((version, msgspec.structs.asdict(show_state(version.state, chart))) for version in versions)


def _revisions(versions: Iterable[tuple[Version, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
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
