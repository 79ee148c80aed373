"""The settings: `cashman config`."""

import os
from dataclasses import asdict

import click
import msgspec

from cashman.cli.service import refuse_url
from cashman.cli.tables import Column, as_json, show_table


@click.command("config")
@click.option("--markdown", is_flag=True, help="The README's table instead: every setting, its default, its meaning.")
@as_json
def show_config(markdown: bool, json: bool) -> None:
    """Show which settings are in force here, and which of them come from the environment.

    What is secret is hidden, passwords in URLs too. Exit status 0: they are right. 2: some are not, and which.
    """
    from cashman import config, db

    refuse_url()
    if markdown:
        click.echo(config.markdown(), nl=False)
        return
    settings = [asdict(setting) for setting in config.in_force(os.environ)]
    db.connect(config.load(os.environ).database_url)  # which reaches nothing yet, and refuses what can be no books
    if json:
        click.echo(msgspec.json.encode(settings))
        return
    show_table(settings, [Column("setting"), Column("value"), Column("source")])
