"""The answers that repeated requests get again."""

import datetime as dt

from sqlalchemy import Index, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from cashman.db import Base, Instant, JsonText, key_text
from cashman.limits import IDEMPOTENCY_KEY_CHARACTERS_MAX


class KeyedAnswer(Base):
    """The answer to the first request with an Idempotency-Key, committed together with what it did."""

    __tablename__ = "keyed_answers"

    ledger_id: Mapped[int] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(key_text(100), primary_key=True)
    """Whose key it is: a principal, which in the first releases was the actor as well."""
    key: Mapped[str] = mapped_column(key_text(IDEMPOTENCY_KEY_CHARACTERS_MAX), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    """What was asked for: another request under the same key is a mistake."""
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, str]] = mapped_column(JsonText)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    """None where there is none, or where its words were erased."""
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)

    __table_args__ = (Index(None, "ledger_id", "recorded_at"), {"sqlite_with_rowid": False})
