"""Exactly once: the answers that repeated requests get again, and the first totals."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "keyed_answers",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("actor", bytewise(100), nullable=False),
        sa.Column("key", bytewise(255), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("recorded_at", bytewise(27), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "actor", "key", name="pk_keyed_answers"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_keyed_answers_ledger_id_recorded_at", "keyed_answers", ["ledger_id", "recorded_at"])
    op.create_table(
        "account_totals",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("account_id", sa.Integer, nullable=False),
        sa.Column("currency", bytewise(3), nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "account_id", "currency", name="pk_account_totals"),
        sqlite_with_rowid=False,
    )
    op.execute(
        """INSERT INTO account_totals (ledger_id, account_id, currency, minor_units, count)
           SELECT ledger_id, account_id, currency, sum(minor_units), count(*)
           FROM transactions WHERE status = 'posted' GROUP BY ledger_id, account_id, currency"""
    )


def bytewise(length: int) -> sa.types.TypeEngine[str]:
    """Text that is compared by its bytes."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
