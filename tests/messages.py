"""Every message that a client can be told, found in the source: what the catalogs have to hold, and nothing else."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import marshmallow
import werkzeug.exceptions
from marshmallow import Schema, fields

import cashman
from cashman import errors
from cashman.errors import Problem
from cashman.translations import LANGUAGES, SOURCE, Message, catalog, parameter_names

PACKAGE = Path(cashman.__file__).parent

TOLD_TO_OPERATORS = ("config.py", "cli/", "verify/", "migrations/", "translations/")
"""What these say stays English: it is told at the start, on the command line and in the log."""

TELLERS = ("ValidationError", "AmountError", "unavailable")
"""What is called with a message, besides the problems themselves."""

FAULTS_OF_JSON = (
    "Expecting value",
    "Expecting ',' delimiter",
    "Expecting ':' delimiter",
    "Expecting property name enclosed in double quotes",
    "Extra data",
    "Illegal trailing comma before end of array",
    "Illegal trailing comma before end of object",
    "Invalid \\escape",
    "Invalid \\uXXXX escape",
    "Invalid control character",
    "Unterminated string starting",
)
"""What Python's decoder of JSON finds wrong; the two commas only from 3.13 on."""


EXTERNAL = frozenset(
    str(error.description) for error in vars(werkzeug.exceptions).values() if hasattr(error, "description")
)
"""What is told in words that are not ours: werkzeug's, in an HTTP error that no problem stands for."""


class Untranslatable(AssertionError):
    """A message is put together where no catalog can know it."""


@cache
def expected() -> frozenset[str]:
    """Every message there is, as a catalog knows it."""
    found = set(FAULTS_OF_JSON)
    for problem in problems():
        found |= {problem.title, problem.explanation}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if not name.startswith(TOLD_TO_OPERATORS):
            found |= {text for text, _ in in_source(path.read_text(encoding="utf-8"), name)}
    for path in templates():
        found |= set(in_template(path.read_text(encoding="utf-8"), path.name))
    return frozenset(found | set(of_schemas()))


def templates() -> list[Path]:
    """Every template of a page."""
    return sorted(path for path in PACKAGE.rglob("*.html") if path.parent.name == "templates")


SAID = re.compile(r'\bsay\((?:"([^"]+)"(?=[,)])|([a-z_.]+)\))')


def in_template(source: str, name: str) -> Iterator[str]:
    """Each message that a template says; Untranslatable where one is put together there.

    What stands in a variable, such as the title of a problem, was said to be a message where it was made.
    """
    source = re.sub(r"(?s)\{#.*?#\}", "", source)
    for call in re.finditer(r"\bsay\(", source):
        found = SAID.match(source, call.start())
        if found is None:
            told = source[call.start() :].partition("\n")[0]
            raise Untranslatable(f'{name}: write out what is said, as say("… {{name}} …", name=…): {told}')
        if found[1]:
            _check_said(found[1], source[found.end() :], name)
            yield found[1]


def _check_said(template: str, rest: str, name: str) -> None:
    """What a message names is given with it."""
    given = set() if rest.startswith(")") else set(re.findall(r"\b([a-z_]+)=", rest.partition("}}")[0]))
    if not parameter_names(template) <= given:
        raise Untranslatable(f"{name}: {template!r} is not given what it names")


def problems(of: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Every problem there is, however deep it derives."""
    for problem in of.__subclasses__():
        yield problem
        yield from problems(problem)


def in_source(source: str, name: str) -> Iterator[tuple[str, int]]:
    """Each message in a module, with its line; Untranslatable where one is put together there."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for told in _told_by(node):
            yield from _texts(told, name)


def _told_by(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that a node tells a client."""
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if called == "message":
            _check_parameters(node, given)
            yield node.args[0]
        if called in TELLERS or _is_problem(called):
            yield from node.args[:1]
            yield from (given[name] for name in ("detail", "errors") if name in given)
        if "error_messages" in given:
            yield given["error_messages"]
        if "error" in given:  # of marshmallow's validators
            yield given["error"]
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id.endswith("error_messages") for target in targets):
            assert node.value is not None
            yield node.value
    elif isinstance(node, ast.List) and len(node.elts) == 1 and _is_sentence(node.elts[0]):
        yield node.elts[0]  # errors of one field, wherever they are gathered


def _is_problem(called: str) -> bool:
    found = getattr(errors, called, None)
    return isinstance(found, type) and issubclass(found, Problem)


def _is_sentence(node: ast.expr) -> bool:
    last = node.values[-1] if isinstance(node, ast.JoinedStr) and node.values else node
    return isinstance(last, ast.Constant) and isinstance(last.value, str) and last.value.endswith((".", "?"))


def _texts(node: ast.expr, name: str) -> Iterator[tuple[str, int]]:
    """The texts of an expression: of literals whatever they hold, of a call or a name nothing."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, node.lineno
    elif isinstance(node, (ast.JoinedStr, ast.BinOp)) or _makes_text(node):
        raise Untranslatable(f'{name}:{node.lineno}: use message("… {{name}} …", name=…) for {ast.unparse(node)}')
    else:
        for inner in _inside(node):
            yield from _texts(inner, name)


def _inside(node: ast.expr) -> list[ast.expr]:
    """What a literal, or a choice between several, holds."""
    if isinstance(node, (ast.Dict, ast.BoolOp)):
        return node.values
    if isinstance(node, (ast.List, ast.Tuple)):
        return node.elts
    if isinstance(node, ast.DictComp):
        return [node.value]
    return [node.body, node.orelse] if isinstance(node, ast.IfExp) else []


def _makes_text(node: ast.expr) -> bool:
    """Whether an expression is a call of str, repr, format or join."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called in ("str", "repr", "format", "join")


def _check_parameters(call: ast.Call, given: dict[str | None, ast.expr]) -> None:
    """A message is filled in where it is made, or wholly by marshmallow, which calls `format`."""
    template = call.args[0]
    if not isinstance(template, ast.Constant) or not isinstance(template.value, str):
        raise Untranslatable(f"line {call.lineno}: a template is written out where it is used")
    if given and set(given) != parameter_names(template.value):
        raise Untranslatable(f"line {call.lineno}: {template.value!r} is not given what it names")


NEVER_TOLD = ("format", "invalid_utf8")
"""Messages of marshmallow's about what is dumped, and about bytes."""


def of_schemas() -> Iterator[str]:
    """What marshmallow says in our name: the messages of every field of every schema."""
    yield from Schema._default_error_messages.values()
    for schema_class in schemas():
        yield from getattr(schema_class, "error_messages", {}).values()
        for field in schema_class._declared_fields.values():
            yield from _of_field(field)


def schemas(of: type[Schema] = Schema) -> Iterator[type[Schema]]:
    """Every schema of the service."""
    for schema_class in of.__subclasses__():
        if schema_class.__module__.startswith("cashman.") and schema_class.__module__ != "cashman.config":
            yield schema_class
        yield from schemas(schema_class)


def _of_field(field: fields.Field) -> Iterator[str]:
    inner = getattr(field, "inner", None)
    for one in (field, inner) if inner is not None else (field,):
        for key, text in one.error_messages.items():
            if key not in NEVER_TOLD:
                yield _template(text, f"{one!r}: error_messages[{key!r}]")
        for validator in one.validators:
            if isinstance(validator, marshmallow.validate.Validator):
                yield _template(validator.error, f"{one!r}: error= of {validator!r}")


def _template(text: str | None, where: str) -> str:
    """The template of a message; a plain text must have no parameters, or it is lost once it is filled in."""
    if isinstance(text, Message):
        return text.template
    if text is None or parameter_names(text):
        raise Untranslatable(f"{where} has to be given as message(…), and not {text!r}")
    return text


def unknown(text: str) -> list[str]:
    """The languages whose catalog does not know a text, or a message within it."""
    if not isinstance(text, Message):
        return [language for language in LANGUAGES if language != SOURCE and text not in catalog(language)]
    inner = [value for value in text.parameters.values() if isinstance(value, Message)]
    return unknown(text.template) + [language for value in inner for language in unknown(value)]
