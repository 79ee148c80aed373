"""The command line: `python -m cashman`, or `./bootstrap.sh cli`."""

import importlib
import sys
from typing import Final

import click

from cashman.errors import ConfigurationError, Problem

CANNOT = 2
"""The exit status for what could not be done at all."""

_MODULES: Final = {"verify": "books", "journal": "books", "user": "users", "keys": "users"}
"""Where each command stands."""


class Commands(click.Group):
    """Commands whose modules are imported when they are asked for: most of a start would be for the other ones."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(importlib.import_module(f"cashman.cli.{_MODULES[cmd_name]}"), cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cashman() -> None:
    """Keep the books from the command line; CASHMAN_DATABASE_URL says where they are."""


def main() -> None:
    """Run a command; what it cannot do is said in one line."""
    try:
        cashman(prog_name="cashman")
    except (ConfigurationError, Problem) as error:
        detail = getattr(error, "detail", None) or str(error)
        click.echo(f"cashman: {detail}", err=True)
        sys.exit(CANNOT)
