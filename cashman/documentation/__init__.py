"""The OpenAPI 3.1 document, made from the views' contracts and the schemas, and the service's front page."""

import re
from functools import cache, partial
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Blueprint, Flask, Response, current_app, render_template, request
from markupsafe import Markup
from marshmallow import Schema, fields

from cashman import __version__, errors
from cashman.answers import encode_json
from cashman.contracts import A_PAGE, JSON, NDJSON, Contract, contract
from cashman.documentation import examples, words
from cashman.documentation import page as documentation_page
from cashman.door import needs_of
from cashman.formats import EXPORTS, IMPORTS
from cashman.language import asked_for, page
from cashman.limits import BATCH_TRANSACTIONS_MAX, MAPPING_NAME_CHARACTERS_MAX
from cashman.model.access import ROLES
from cashman.model.account import AccountSchema
from cashman.model.api_key import ApiKeySchema
from cashman.model.fields import ULID_PATTERN, Amount
from cashman.model.transaction import BookedFields, TransactionFields
from cashman.model.transfer import TransferFields
from cashman.model.user import UserSchema
from cashman.translations import translate

bp = Blueprint("documentation", __name__)

OF_A_NAMED_LEDGER: Final = "of_ledger"
"""Where the routes of a ledger are registered a second time: in the document they are another server's."""

PROBLEM_JSON: Final = "application/problem+json"
_HEADERS: Final = {
    "ETag": "The entity tag of what is shown, for If-Match and If-None-Match.",
    "Cashman-Head": "SEQUENCE:HASH, the head of the ledger's journal: a write's receipt, or what a read was made at.",
    "Link": 'The next page, where there is one: <…>; rel="next" (RFC 8288).',
    "Location": "Where the transaction is.",
    "Idempotency-Replayed": "`true` where the answer is the one that a first request with this key was given.",
    "Preference-Applied": "The preference that was honoured (RFC 7240).",
    "Retry-After": "Seconds after which to try again.",
}
_REQUEST_HEADERS: Final = {
    "If-Match": "Do it only where the transaction has this ETag.",
    "If-None-Match": "Show it only where it has another ETag.",
    "Idempotency-Key": "Up to 255 printable characters; a repeated request gets the first one's answer for 7 days.",
    "Prefer": "`return=representation` or `return=minimal` (RFC 7240).",
}


_PATH_PARTS: Final = {
    "id": {"type": "string", "pattern": f"^{ULID_PATTERN}$"},
    "account_id": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "slug": {"type": "string"},
    "release": {"type": "string"},
    "file": {"type": "string"},
    "name": {"type": "string", "minLength": 1, "maxLength": MAPPING_NAME_CHARACTERS_MAX},
    "format_name": {"type": "string", "enum": sorted({*IMPORTS, *EXPORTS})},
    "ledger_ulid": {"type": "string", "pattern": f"^{ULID_PATTERN}$"},
}


_NEW: Final = ("ApiKey", "SharedLedger", "Member")
"""What a POST takes, where what is shown has the plain name."""


def _own_properties(_converter: OpenAPIConverter, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    """What our own fields say of themselves."""
    properties: dict[str, Any] = getattr(field, "openapi", {})
    if field.allow_none and isinstance(properties.get("type"), str):
        return {**properties, "type": [properties["type"], "null"]}
    return properties


def _component_name(schema: Any) -> str:
    schema_class = schema if isinstance(schema, type) else type(schema)
    name: str = schema_class.__name__.removesuffix("Schema")
    if name in _NEW:
        return f"New{name}"
    if name.endswith("Revision"):
        of = name.removesuffix("Revision") or "Transaction"
        return f"{of}Patch" if isinstance(schema, Schema) and schema.partial else f"{of}Replacement"
    return f"New{name}" if issubclass(schema_class, (BookedFields, AccountSchema)) else name


def make_document(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of an app."""
    plugin = MarshmallowPlugin(schema_name_resolver=_component_name)
    spec = APISpec(
        title="Cashman",
        version=__version__,
        openapi_version="3.1.0",
        plugins=[plugin],
        security=[{"bearer": []}, {}],
        servers=[
            {"url": "/", "description": "The caller's own ledger."},
            {
                "url": "/ledgers/{ledger}",
                "description": "Another ledger: what is about transactions, accounts, reports and the journal.",
                "variables": {"ledger": {"default": "0" * 26, "description": "The id that GET /ledgers shows."}},
            },
        ],
        info={
            "description": "A finance ledger: incomes and expenses over HTTP, exact, durable, never silently changed."
        },
    )
    converter = plugin.converter
    assert converter is not None  # the plugin makes it when it meets its document
    converter.add_attribute_function(_own_properties)
    transaction = _shown(converter, TransactionFields)
    balance = {"type": "number", "description": "The account's balance after it, in currency units."}
    balanced = {**transaction["properties"], "balance": balance}
    spec.components.schema("Transaction", transaction)
    spec.components.schema("BalancedTransaction", {**transaction, "required": list(balanced), "properties": balanced})
    spec.components.schema("Transfer", _shown(converter, TransferFields))
    spec.components.schema("Account", _shown(converter, AccountSchema))
    spec.components.schema("User", _shown(converter, UserSchema))
    api_key = _shown(converter, ApiKeySchema)
    key = {"type": "string", "description": "The key itself: it is kept nowhere else."}
    made = {**api_key["properties"], "key": key}
    spec.components.schema("ApiKey", api_key)
    spec.components.schema("MadeApiKey", {**api_key, "required": list(made), "properties": made})
    spec.components.schema("Ledger", LEDGER)
    spec.components.schema("Member", MEMBER)
    spec.components.schema("Problem", _PROBLEM)
    spec.components.security_scheme(
        "bearer",
        {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token from POST /tokens, or an API key. Until there is a user this machine needs "
            "none.",
        },
    )
    forms = []
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        terms = getattr(app.view_functions[rule.endpoint], "contract", None)
        if terms is None or rule.endpoint.startswith(f"{OF_A_NAMED_LEDGER}."):
            continue
        path = re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", rule.rule)
        names = sorted(rule.arguments)
        parameters = [{"name": name, "in": "path", "required": True, "schema": _PATH_PARTS[name]} for name in names]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            view = app.view_functions[rule.endpoint]
            operation = _operation(terms, view.__doc__ or "", rule.endpoint, parameters)
            operation["description"] = words.NEEDS[needs_of(view, method)]
            spec.path(path, operations={method.lower(): operation})
            if getattr(terms.query, "leaves_out_blanks", False):
                forms.append((path, method.lower()))
    document = spec.to_dict()
    for path, method in forms:
        _allow_blanks(document["paths"][path][method])
    words.describe(document)
    examples.put_into(document)
    return document


def _allow_blanks(operation: dict[str, Any]) -> None:
    """Say of a form's fields that they may be left blank."""
    for parameter in operation["parameters"]:
        if parameter["in"] == "query":
            parameter["schema"] = {"anyOf": [parameter["schema"], {"type": "string", "pattern": r"^\s*$"}]}


_WITH_RETRY_AFTER: Final = (errors.StoreUnavailable, errors.TooManyRequests)
_AMOUNT: Final = {"type": "number", "description": "In currency units; negative for an expense."}


LEDGER: Final = {
    "type": "object",
    "required": ["id", "name", "currency", "role", "own", "closed_until", "created_at"],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": ["string", "null"]},
        "currency": {"type": "string"},
        "role": {"type": "string", "enum": list(ROLES), "description": "What the caller may do in it."},
        "own": {"type": "boolean", "description": "Whether unprefixed routes mean it."},
        "closed_until": {"type": ["string", "null"], "format": "date"},
        "created_at": {"type": "string", "format": "date-time"},
    },
}
MEMBER: Final = {
    "type": "object",
    "required": ["user", "name", "email", "role"],
    "properties": {
        "user": {"type": "string"},
        "name": {"type": ["string", "null"]},
        "email": {"type": "string"},
        "role": {"type": "string", "enum": list(ROLES)},
    },
}


def _shown(converter: OpenAPIConverter, schema_class: type[Schema]) -> dict[str, Any]:
    """A resource as it is shown: every field is there, and an amount is a number."""
    schema = schema_class()
    shown: dict[str, Any] = converter.schema2jsonschema(schema)
    for field in schema.fields.values():
        name = field.data_key or field.name or ""
        if field.load_only:
            del shown["properties"][name]
        elif isinstance(field, Amount):
            shown["properties"][name] = _AMOUNT
    shown["required"] = list(shown["properties"])
    return shown


_PROBLEM: Final = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The page that explains it."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "object", "description": "The rules that are broken, keyed by field."},
    },
}


def _operation(terms: Contract, doc: str, endpoint: str, path_parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """One operation, from its view's contract."""
    parameters: list[dict[str, Any]] = list(path_parameters)
    if terms.query is not None:
        parameters.append({"in": "query", "schema": terms.query})
    parameters += [
        {"name": name, "in": "header", "schema": {"type": "string"}, "description": _REQUEST_HEADERS[name]}
        for name in terms.takes_headers
    ]
    operation: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "summary": " ".join(doc.split()),
        "tags": [endpoint.split(".")[0]],
        "parameters": parameters,
        "responses": {str(status): _answer(terms, status, meaning) for status, meaning in terms.answers.items()},
    }
    problems: set[type[errors.Problem]] = {
        errors.Invalid,
        errors.StoreUnavailable,
        errors.ServiceFault,
        *terms.problems,
    }
    if terms.needs == "anyone":
        if errors.Unauthenticated not in terms.problems:
            operation["security"] = []
    else:
        problems |= {errors.Unauthenticated, errors.Forbidden, errors.TooManyRequests}
    if terms.body is not None:
        problems |= {errors.MalformedDocument, errors.TooLarge, errors.UnsupportedMediaType}
        operation["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": _body(terms, media_type)} for media_type in terms.media_types},
        }
    for status, told in groupby(sorted(problems, key=lambda one: (one.status, one.slug)), lambda one: one.status):
        operation["responses"][str(status)] = _problem_answer(tuple(told), of_page="text/html" in (terms.gives or ()))
    return operation


def _problem_answer(told: tuple[type[errors.Problem], ...], *, of_page: bool) -> dict[str, Any]:
    """The answer of one status, with an example of each problem that it can be; who looks at pages is told on one."""
    examples = {
        problem.slug: {
            "summary": problem.title,
            "value": {"type": f"/problems/{problem.slug}", "title": problem.title, "status": problem.status},
        }
        for problem in told
    }
    answer: dict[str, Any] = {
        "description": " ".join(dict.fromkeys(problem.title for problem in told)),
        "content": {PROBLEM_JSON: {"schema": "Problem", "examples": examples}, **(A_PAGE if of_page else {})},
    }
    if any(problem in _WITH_RETRY_AFTER for problem in told):
        answer["headers"] = _headers(("Retry-After",))
    return answer


def _body(terms: Contract, media_type: str) -> Any:
    """The schema of a body; NDJSON has none in OpenAPI 3.1, so its lines are described in words."""
    if not terms.many:
        return terms.body
    if media_type == NDJSON:
        return {"type": "string", "description": "One JSON document a line, each as in the array."}
    return {"type": "array", "minItems": 1, "maxItems": BATCH_TRANSACTIONS_MAX, "items": terms.body}


def _answer(terms: Contract, status: int, meaning: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": meaning}
    if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) and terms.gives is not None:
        answer["content"] = terms.gives
    if terms.headers:
        answer["headers"] = _headers(terms.headers)
    return answer


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}


_document = cache(make_document)


@cache
def _document_bytes(app: Flask) -> bytes:
    return encode_json(_document(app))


@bp.get("/openapi.json")
@contract(needs="anyone", answers={200: "This document."}, gives={JSON: {"schema": {"type": "object"}}})
def get_openapi() -> Response:
    """Describe the API in OpenAPI 3.1."""
    return Response(_document_bytes(current_app._get_current_object()), mimetype=JSON)  # type: ignore[attr-defined]


@bp.get("/docs")
@contract(needs="anyone", answers={200: "The same for people."}, gives=A_PAGE)
def get_docs() -> Response:
    """Show the API as a page: every route with an example, and a way to try it."""
    reference = _reference(current_app._get_current_object(), asked_for())  # type: ignore[attr-defined]
    return page("docs.html", url=request.host_url.rstrip("/"), reference=reference)


@cache
def _reference(app: Flask, language: str) -> Markup:
    """The part of the page that is the same for everybody, which takes a fifth of a second to make."""
    document = _document(app)
    shown = {"groups": documentation_page.groups(document), "schemas": documentation_page.schemas(document)}
    say = partial(translate, language=language)
    return Markup(render_template("reference.html", say=say, type_of=documentation_page.type_of, **shown))


def index() -> Response:
    """Where everything is, for whoever asks for no page."""
    links = {
        name: request.host_url + name.replace("_", ".")
        for name in (
            "incomes",
            "expenses",
            "transactions",
            "transfers",
            "accounts",
            "balances",
            "categories",
            "tags",
            "reports/summary",
            "reports/cashflow",
            "ledger",
            "ledgers",
            "users",
            "api-keys",
            "journal",
            "docs",
            "openapi_json",
            "problems",
            "healthz",
            "readyz",
        )
    }
    return Response(encode_json({"service": "Cashman", "version": __version__, **links}), mimetype=JSON)
