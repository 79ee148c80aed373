"""The OpenAPI document as a page shows it: grouped, with types in words, and each request as a curl command."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup, escape

from cashman.answers import encode_json

CHOICES_MAX: Final = 12
"""So many choices are written out; more, as those of the currencies, are only counted."""
_REFERENCE: Final = "#/components/schemas/"


def groups(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations under their tags, in the order of the tags; what has none of them, as pages, is left out."""
    found: dict[str, dict[str, Any]] = {tag["name"]: {**tag, "operations": []} for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["tags"][0] in found:
                found[operation["tags"][0]]["operations"].append(_operation(method.upper(), path, operation))
    return list(found.values())


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    answers, problems = [], []
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        if int(status) < 400:
            answers.append({"status": status, **answer, "bodies": _bodies(content)})
        else:
            told = (media["examples"] for media in content.values() if "examples" in media)
            problems += [{"status": status, "slug": slug, **one} for examples in told for slug, one in examples.items()]
    return {
        "method": method,
        "path": path,
        "id": operation["operationId"],
        "summary": operation["summary"],
        "needs": operation["description"],
        "parameters": operation["parameters"],
        "bodies": _bodies(operation.get("requestBody", {}).get("content", {})),
        "answers": answers,
        "problems": problems,
        "curl": curl(method, path, operation),
    }


def _bodies(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a body can be, by media type; a second media type of the same is named with the first."""
    bodies: list[dict[str, Any]] = []
    for media_type, media in content.items():
        same = next((body for body in bodies if body["schema"] == media["schema"]), None)
        if same is not None:
            same["media_types"].append(media_type)
        else:
            bodies.append({"media_types": [media_type], "schema": media["schema"], "example": _text(media)})
    return bodies


def _text(media: Mapping[str, Any]) -> str | None:
    """The example of a body as it is written."""
    if "example" not in media:
        return None
    example = media["example"]
    return example if isinstance(example, str) else msgspec.json.format(encode_json(example), indent=2).decode()


def curl(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """An operation's example as a command for the shell, in which $CASHMAN is where the service is."""
    given = [one for one in operation["parameters"] if "example" in one]
    values = {one["name"]: one["example"] for one in given if one["in"] == "path"}
    query = urlencode({one["name"]: one["example"] for one in given if one["in"] == "query"})
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", str(value))
    url = f'"$CASHMAN{path}{"?" if query else ""}{query}"'
    words = ["curl", *([] if method == "GET" else ["-X", method]), url]
    words += [f"-H {shlex.quote(one['name'] + ': ' + one['example'])}" for one in given if one["in"] == "header"]
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        if "example" in media:
            example = media["example"]
            text = example if isinstance(example, str) else msgspec.json.format(encode_json(example), indent=0).decode()
            words += [f"-H {shlex.quote('Content-Type: ' + media_type)}", f"--data-binary {shlex.quote(text)}"]
            break
    return " ".join(words)


def schemas(document: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas by name."""
    return dict(sorted(document["components"]["schemas"].items()))


def type_of(schema: Mapping[str, Any]) -> Markup:
    """A type in words, with links to the schemas that it names."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "oneOf" in schema or "anyOf" in schema:
        return Markup(" or ").join(type_of(one) for one in schema.get("oneOf") or schema["anyOf"])
    names = schema.get("type", "any")
    words = Markup(" or ").join([names] if isinstance(names, str) else names)
    if "items" in schema:
        words += Markup(" of {}").format(type_of(schema["items"]))
    return Markup(", ").join([words, *_limits(schema)])


def _limits(schema: Mapping[str, Any]) -> Iterator[Markup]:
    if "format" in schema:
        yield escape(schema["format"])
    choices = schema.get("enum", ())
    if 0 < len(choices) <= CHOICES_MAX:
        yield Markup("one of ") + Markup(", ").join(Markup("<code>{}</code>").format(_written(one)) for one in choices)
    for name, words in (("maxLength", "at most {} characters"), ("maxItems", "at most {} items")):
        if name in schema:
            yield escape(words.format(schema[name]))
    if "minimum" in schema and "maximum" in schema:
        yield escape(f"from {schema['minimum']} to {schema['maximum']}")


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
