"""Completion for a shell: `cashman completion`."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options: `eval "$(cashman completion bash)"`."""
    root = context.find_root()
    class_ = get_completion_class(shell)
    assert class_ is not None
    click.echo(class_(root.command, {}, "cashman", "_CASHMAN_COMPLETE").source())
