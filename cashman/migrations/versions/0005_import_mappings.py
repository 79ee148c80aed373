"""The mappings of CSV files that are kept under a name."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    bytewise = sa.String(50).with_variant(sa.String(50, collation="C"), "postgresql")
    op.create_table(
        "import_mappings",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("name", bytewise, nullable=False),
        sa.Column("mapping", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="fk_import_mappings_ledger_id_ledgers"),
        sa.PrimaryKeyConstraint("ledger_id", "name", name="pk_import_mappings"),
        sqlite_with_rowid=False,
    )
