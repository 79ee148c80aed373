"""What comes in over HTTP: strict JSON, queries, preconditions, preferences, keys."""

import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NoReturn, cast
from urllib.request import parse_http_list

from flask import Flask, current_app
from flask import Request as FlaskRequest
from marshmallow import Schema, ValidationError, fields
from werkzeug.routing import BaseConverter

from cashman import current
from cashman.contracts import JSON, NDJSON
from cashman.db import off_loop
from cashman.errors import BadRequest, Invalid, MalformedDocument, UnsupportedMediaType
from cashman.limits import (
    BATCH_BYTES_MAX,
    BATCH_TRANSACTIONS_MAX,
    BODY_SECONDS,
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    JSON_DEPTH_MAX,
    MAPPING_NAME_CHARACTERS_MAX,
    OBJECT_MEMBERS_MAX,
)
from cashman.model.fields import ULID_PATTERN
from cashman.model.money import parse_json_number
from cashman.translations import Message, message

_VERSION: Final = re.compile(r"([1-9][0-9]{0,8})(?:\.([1-9][0-9]{0,18}))?", re.ASCII)


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


class App(Flask):
    """Flask, without a question that it would ask of each function of each request."""

    request_class = InMemory

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """A function as it is: none of ours is a coroutine."""
        return func


class UlidConverter(BaseConverter):
    """A path segment that is a ULID; any other is no resource, and never reaches the database."""

    regex = ULID_PATTERN


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
    request = current.asked()
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
    request = current.asked()
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
    request, schema = current.asked(), _schema(schema_class, **options)
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
    request = current.asked()
    if not request.query_string:
        return
    try:
        request.query_string.decode()
    except UnicodeDecodeError:
        raise BadRequest(message("The query string is not UTF-8.")) from None
    if request.url_rule is not None:
        terms = getattr(current_app.view_functions[request.url_rule.endpoint], "contract", None)
        if terms is None or terms.query is None:
            raise Invalid(errors={name: ["Unknown query parameter."] for name in request.args})


def refuse_stray_key() -> None:
    """Run before every request: where nothing keeps an answer under a key, none is promised in silence."""
    request = current.asked()
    if request.method != "POST" or "HTTP_IDEMPOTENCY_KEY" not in request.environ or request.url_rule is None:
        return
    terms = getattr(current_app.view_functions[request.url_rule.endpoint], "contract", None)
    if terms is not None and terms.needs != "anyone" and "Idempotency-Key" not in terms.takes_headers:
        raise Invalid(errors={"Idempotency-Key": [message("Not taken here: what this makes is made anew each time.")]})


def expected_versions() -> frozenset[tuple[int, int]] | None:
    """The tags, as (version, newest rename), that If-Match names; None where any will do.

    Weak tags never match (RFC 9110, 13.1.1).
    """
    request = current.asked()
    if "HTTP_IF_MATCH" not in request.environ or request.if_match.star_tag:
        return None
    found = (_VERSION.fullmatch(tag) for tag in request.if_match if tag)
    return frozenset((int(tag[1]), int(tag[2] or 0)) for tag in found if tag)


def preferred_return() -> str | None:
    """What `Prefer: return=…` asks for (RFC 7240): "representation", "minimal" or nothing."""
    given = current.asked().environ.get("HTTP_PREFER", "")
    for item in parse_http_list(given) if given else ():
        name, _, value = item.partition(";")[0].partition("=")
        if name.strip().lower() == "return":  # of several the first counts
            preference = value.strip().strip('"')
            return preference if preference in ("representation", "minimal") else None
    return None


def idempotency_key() -> str | None:
    """The Idempotency-Key of this request, quoted as in the IETF draft or bare."""
    key: str | None = current.asked().environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > IDEMPOTENCY_KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
        rule = message("1 to {maximum} printable ASCII characters.", maximum=IDEMPOTENCY_KEY_CHARACTERS_MAX)
        raise Invalid(errors={"Idempotency-Key": [rule]})
    return key
