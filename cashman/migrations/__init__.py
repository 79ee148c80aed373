"""The schema's history, one file a step in `versions/`, and how a database is brought up to date.

A revision is the number that its file name starts with; they run in that order.
"""

import importlib
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, MetaData, inspect, text

from cashman.errors import ConfigurationError

FOLDER: Final = Path(__file__).parent
HEAD: Final = max((path.name.split("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py")), default="")
"""The schema revision that this release works with."""


def current(connection: Connection) -> str | None:
    """The revision that a database stands at; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def upgrade(engine: Engine) -> None:
    """Run the migrations that are missing; ConfigurationError where a newer release made the database."""
    with engine.connect() as connection:
        found = current(connection)
    if found == HEAD:
        return  # the usual start does not even load Alembic
    if found is not None and found > HEAD:
        raise ConfigurationError(
            f"the database is at schema {found}, made by a newer Cashman; this release knows schemas up to {HEAD}"
        )
    from alembic import command

    with engine.connect().execution_options(cashman_writing=True) as connection, connection.begin():
        command.upgrade(alembic_config(connection), "head")


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
