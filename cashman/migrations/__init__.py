"""The schema's history, one file a step in `versions/`, and how a database is brought up to date.

A revision is the number that its file name starts with; they run in that order.
"""

import importlib
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, MetaData, inspect, text

from cashman.errors import ConfigurationError

log = logging.getLogger(__name__)

FOLDER: Final = Path(__file__).parent
HEAD: Final = max((path.name.split("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py")), default="")
"""The schema revision that this release works with."""


def current(connection: Connection) -> str | None:
    """The revision that a database stands at; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def upgrade(engine: Engine, may: Callable[[Connection], bool] = lambda _: True) -> None:
    """Run the migrations that are missing, where this role may; ConfigurationError for a database to keep away from."""
    with engine.connect() as connection:
        found = current(connection)
        if found == HEAD:
            return  # the usual start does not even load Alembic
        if found is not None and found > HEAD:
            _check_works_with(connection, found)
            return
        if found is None and inspect(connection).get_table_names():
            raise ConfigurationError("the database holds another program's tables: give Cashman one of its own")
        if not may(connection):
            told = "is empty" if found is None else f"is at schema {found}"
            raise ConfigurationError(
                f"the database {told}, this release works with schema {HEAD}, and this role does not own it: "
                "run `cashman migrate` as the role that does"
            )
    from alembic import command

    with engine.connect().execution_options(cashman_writing=True) as connection, connection.begin():
        config = alembic_config(connection)
        command.upgrade(config, "head")
        connection.execute(text("UPDATE alembic_version SET works_with = :oldest"), {"oldest": works_with(config)})


def works_with(config: Any) -> str:
    """The oldest schema whose release still works on the newest one, as its migration says."""
    from alembic.script import ScriptDirectory

    oldest: str = ScriptDirectory.from_config(config).get_revision(HEAD).module.works_with
    return oldest


def _check_works_with(connection: Connection, found: str) -> None:
    """Let a release go on whose next one has migrated already, while the schema was only added to."""
    columns = {column["name"] for column in inspect(connection).get_columns("alembic_version")}
    if re.fullmatch("[0-9]{4}", found) is None or "works_with" not in columns:
        raise ConfigurationError(f"the database is at schema {found}, which is not one of Cashman's")
    oldest = connection.execute(text("SELECT works_with FROM alembic_version")).scalar()
    if oldest is None or oldest > HEAD:
        raise ConfigurationError(
            f"the database is at schema {found}, made by a newer Cashman; this release knows schemas up to {HEAD}"
        )
    log.warning("the database is at schema %s, of the next release; this one, of schema %s, still works", found, HEAD)


def drift(connection: Connection, metadata: MetaData) -> list[Any]:
    """What Alembic would have to change for a database to be what the models say; nothing where they agree."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    know_every_table()
    options = {"compare_type": True, "compare_server_default": True, "include_object": _is_modelled}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _is_modelled(_: Any, name: str | None, kind: str, _reflected: bool, _compared_to: Any) -> bool:
    """Whether a model describes it: on SQLite the index of stems is a virtual table with others behind it."""
    return not (kind == "table" and name is not None and name.startswith("stems"))


def know_every_table() -> None:
    """Import every model: a table that nobody imported would look like drift."""
    for path in (FOLDER.parent / "model").glob("*.py"):
        importlib.import_module(f"cashman.model.{path.stem}")


def alembic_config(connection: Connection) -> Any:
    """Alembic's own configuration, on a connection that is open already."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    return config
