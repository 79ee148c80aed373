"""What a command says of what it could not do, and its exit status."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from cashman.cli.service import Refused
from cashman.cli.tables import plain

BROKEN: Final = 1
"""The exit status where a rule was broken, or some lines of a file were refused."""
CANNOT: Final = 2
"""The exit status for what could not be done at all."""

_BROKEN_RULES: Final = (400, 404, 409, 410, 412, 422)
_NO_RULES: Final = ("unreadable-file",)


def status_of(error: Exception) -> int:
    """The exit status for an error."""
    breaks = isinstance(error, Refused) and error.status in _BROKEN_RULES and error.slug not in _NO_RULES
    return BROKEN if breaks else CANNOT


def tell(error: Exception, about: str = "") -> int:
    """Say what went wrong: one line, and one more for each field; gives the exit status."""
    detail = getattr(error, "detail", None) or str(error)
    click.echo(f"cashman: {about}{plain(detail)}", err=True)
    for field, rule in fields(getattr(error, "errors", None) or {}):
        click.echo(f"  {plain(field)}: {plain(rule)}", err=True)
    return status_of(error)


def fields(errors: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The rules that are broken, each with the field, or the path to it."""
    if isinstance(errors, Mapping):
        for name, told in errors.items():
            yield from fields(told, f"{path}.{name}" if path else str(name))
    elif isinstance(errors, list):
        for told in errors:
            yield from fields(told, path)
    else:
        yield path, str(errors)
