"""The command line: `python -m cashman`, or `./bootstrap.sh cli`."""

import gc
import importlib
import logging
import sys
from typing import Any, Final

import click
from click.core import ParameterSource

from cashman.cli.problems import tell
from cashman.cli.service import Reach, Refused, Unreachable, key_of, ledger_of, url_of
from cashman.errors import ConfigurationError, Problem

_COMMANDS: Final = {
    "add": "transactions:add",
    "list": "transactions:list_transactions",
    "balance": "reports:balance",
    "report": "reports:report",
    "import": "files:import_files",
    "export": "files:export",
    "backup": "moves:backup",
    "restore": "moves:restore",
    "copy": "moves:copy",
    "migrate": "moves:migrate",
    "verify": "books:verify",
    "journal": "books:journal",
    "user": "users:user",
    "keys": "users:keys",
    "config": "settings:show_config",
    "demo": "demo:demo",
    "completion": "completion:completion",
}
"""In which module, and under which name, each command stands."""


class Commands(click.Group):
    """Commands whose modules are imported when they are asked for: most of a start would be for the other ones."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"cashman.cli.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it cannot do is said in one line, and in one more for each field that breaks a rule."""
        try:
            return super().invoke(ctx)
        except (ConfigurationError, Problem, Refused, Unreachable) as error:
            ctx.exit(tell(error))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", envvar="CASHMAN_URL", callback=url_of, help="A service to ask, instead of the books here.")
@click.option(
    "--key", envvar="CASHMAN_KEY", callback=key_of, help="An API key or token for it; better in CASHMAN_KEY, unseen."
)
@click.option("--ledger", envvar="CASHMAN_LEDGER", callback=ledger_of, help="The id of another ledger than one's own.")
@click.pass_context
def cashman(context: click.Context, url: str | None, key: str | None, ledger: str | None) -> None:
    """Keep the books from the command line; CASHMAN_DATABASE_URL says where they are.

    With --url, or CASHMAN_URL, it asks a service somewhere instead, with the key in CASHMAN_KEY.

    Exit status 0: done. 1: a rule was broken, or some lines were refused. 2: it could not be done at all.
    """
    if key is not None and url is None and context.get_parameter_source("key") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--key goes with --url: for the books here it takes none.")
    context.obj = Reach(url, key, ledger)


def main() -> None:
    """Run what the arguments of the process ask for."""
    # A command leaves few cycles, and an import has many objects in hand: looking at them again and again was a
    # quarter of what it cost.
    gc.set_threshold(50_000, 20, 20)
    logging.basicConfig(level=logging.WARNING, format="cashman: %(message)s")
    try:
        cashman(prog_name="cashman")
    except OSError as error:  # where it prints to is full
        sys.exit(tell(Unreachable(f"what is told cannot be written: {error.strerror or error}")))
