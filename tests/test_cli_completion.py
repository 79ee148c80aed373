"""`cashman completion`, and what a shell then completes."""

import os
import shutil
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from conftest import missing

from cashman import cli
from torture.service import REPOSITORY


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_what_makes_it_complete(shell: str) -> None:
    result = CliRunner().invoke(cli.cashman, ["completion", shell])
    assert result.exit_code == 0
    assert f"_CASHMAN_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_2() -> None:
    assert CliRunner().invoke(cli.cashman, ["completion", "cmd"]).exit_code == 2


def test_bash_takes_the_script() -> None:
    bash = shutil.which("bash")
    if bash is None:
        missing("bash")
    script = CliRunner().invoke(cli.cashman, ["completion", "bash"]).stdout
    said = subprocess.run([bash, "-euc", f"{script}\ncomplete -p cashman"], text=True, capture_output=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.strip().endswith(" cashman")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cashman re", {"report", "restore"}),
        ("cashman add ", {"expense", "income"}),
        ("cashman export ", {"beancount", "csv", "hledger", "json", "ndjson", "ofx", "qif"}),
        ("cashman list --ta", {"--tag"}),
        ("cashman user re", {"revoke", "restore"}),
        ("cashman list --status p", {"posted", "pending"}),
    ],
)
def test_commands_options_and_choices_are_completed(words: str, found: set[str]) -> None:
    parts = words.split(" ")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CASHMAN_")},
        "_CASHMAN_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(parts) - 1),
    }
    said = subprocess.run(
        [sys.executable, "-m", "cashman"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert {line.partition(",")[2] for line in said.stdout.splitlines()} == found


def test_every_command_says_what_it_does() -> None:
    context = click.Context(cli.cashman)
    for name in cli.cashman.list_commands(context):
        command = cli.cashman.get_command(context, name)
        assert command is not None
        assert command.name == name
        result = CliRunner().invoke(cli.cashman, [name, "--help"])
        assert (result.exit_code, result.stderr) == (0, "")
        assert command.get_short_help_str(200).endswith(".")
    assert cli.cashman.get_command(context, "nothing") is None
    assert CliRunner().invoke(cli.cashman, ["nothing"]).exit_code == 2
