"""The mappings of CSV files that a ledger keeps under a name."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from cashman.db import table
from cashman.errors import Invalid, NotFound
from cashman.ledger import Ledger
from cashman.limits import MAPPINGS_MAX
from cashman.model.mapping import ImportMapping
from cashman.translations import message

_of_ledger = ImportMapping.ledger_id == bindparam("of_ledger")
_named = ImportMapping.name == bindparam("of_name")
_all = select(ImportMapping.name, ImportMapping.mapping).where(_of_ledger).order_by(ImportMapping.name)
_one = select(ImportMapping.mapping).where(_of_ledger, _named)
_count = select(func.count()).select_from(table(ImportMapping)).where(_of_ledger)
_delete = delete(table(ImportMapping)).where(_of_ledger, _named)
_insert = insert(table(ImportMapping))

Found = Mapping[str, Any]
_NAME: Final = "of_name"


def find_all(ledger: Ledger) -> dict[str, Found]:
    """Every mapping by its name."""
    rows = ledger.books.database.read(lambda connection: connection.execute(_all, {"of_ledger": ledger.id}).all())
    return {row.name: row.mapping for row in rows}


def find(ledger: Ledger, name: str) -> Found:
    """One mapping; NotFound where there is none of this name."""
    names = {"of_ledger": ledger.id, _NAME: name}
    found: Found | None = ledger.books.database.read(lambda connection: connection.execute(_one, names).scalar())
    if found is None:
        raise NotFound()
    return found


def save(ledger: Ledger, name: str, mapping: Found) -> None:
    """Keep a mapping, in place of one of the same name."""

    def work(connection: Connection) -> None:
        names = {"of_ledger": ledger.id, _NAME: name}
        replaced = connection.execute(_delete, names).rowcount
        if not replaced and connection.execute(_count, names).scalar_one() >= MAPPINGS_MAX:
            raise Invalid(
                errors={"name": [message("A ledger keeps at most {maximum} mappings.", maximum=MAPPINGS_MAX)]}
            )
        connection.execute(_insert, {"ledger_id": ledger.id, "name": name, "mapping": dict(mapping)})

    ledger.books.database.write(work)


def forget(ledger: Ledger, name: str) -> None:
    """Keep a mapping no longer; it may be gone already."""
    names = {"of_ledger": ledger.id, _NAME: name}
    ledger.books.database.write(lambda connection: connection.execute(_delete, names))
