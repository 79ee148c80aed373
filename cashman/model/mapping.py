"""The mappings of CSV files that are kept under a name."""

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, JsonText, key_text
from cashman.limits import MAPPING_NAME_CHARACTERS_MAX


class ImportMapping(Base):
    """What a bank's CSV looks like, said once."""

    __tablename__ = "import_mappings"

    ledger_id: Mapped[int] = mapped_column(ForeignKey("ledgers.id"), primary_key=True)
    name: Mapped[str] = mapped_column(key_text(MAPPING_NAME_CHARACTERS_MAX), primary_key=True)
    mapping: Mapped[dict[str, Any]] = mapped_column(JsonText)
    """As `cashman.formats.mapping.MappingSchema` takes it."""

    __table_args__ = ({"sqlite_with_rowid": False},)
