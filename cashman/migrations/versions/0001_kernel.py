"""The kernel: ledgers, accounts, categories, transactions, and the journal that nothing can change."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

JOURNAL_TRIGGERS = {
    "sqlite": [
        f"""CREATE TRIGGER journal_refuses_{verb.lower()} BEFORE {verb} ON journal
            BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"""
        for verb in ("UPDATE", "DELETE")
    ]
    + [
        # INSERT OR REPLACE deletes a row without asking the trigger for DELETE.
        """CREATE TRIGGER journal_refuses_replace BEFORE INSERT ON journal
           WHEN EXISTS (SELECT 1 FROM journal WHERE ledger_id = NEW.ledger_id AND sequence = NEW.sequence)
           BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"""
    ],
    "postgresql": [
        """CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
        """CREATE TRIGGER journal_refuses_update BEFORE UPDATE ON journal
           FOR EACH ROW EXECUTE FUNCTION journal_is_append_only()""",
        """CREATE TRIGGER journal_refuses_delete BEFORE DELETE ON journal
           FOR EACH ROW EXECUTE FUNCTION journal_is_append_only()""",
        """CREATE TRIGGER journal_refuses_truncate BEFORE TRUNCATE ON journal
           FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()""",
    ],
}


def upgrade() -> None:
    op.create_table(
        "ledgers",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("ulid", bytewise(26), nullable=False),
        sa.Column("currency", bytewise(3), nullable=False),
        sa.Column("created_at", bytewise(27), nullable=False),
        sa.UniqueConstraint("ulid", name="uq_ledgers_ulid"),
        sa.PrimaryKeyConstraint("id", name="pk_ledgers"),
    )
    op.create_table(
        "accounts",
        ledger_id(),
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", bytewise(100), nullable=False),
        sa.Column("currency", bytewise(3), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="pk_accounts"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="fk_accounts_ledger_id"),
    )
    op.create_index("ix_accounts_ledger_id_name", "accounts", ["ledger_id", "name"], unique=True)
    op.create_table(
        "categories",
        ledger_id(),
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("path", bytewise(200), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="pk_categories"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="fk_categories_ledger_id"),
    )
    op.create_index("ix_categories_ledger_id_path", "categories", ["ledger_id", "path"], unique=True)
    op.create_table(
        "journal_heads",
        ledger_id(),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("recorded_at", bytewise(27), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", name="pk_journal_heads"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="fk_journal_heads_ledger_id"),
    )
    op.create_table(
        "journal",
        ledger_id(),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "sequence", name="pk_journal"),
    )
    for statement in JOURNAL_TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
    op.create_table(
        "journal_words",
        ledger_id(),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "sequence", name="pk_journal_words"),
    )
    op.create_table(
        "revisions",
        ledger_id(),
        sa.Column("transaction_id", bytewise(26), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "transaction_id", "revision", name="pk_revisions"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "transactions",
        ledger_id(),
        sa.Column("id", bytewise(26), nullable=False),
        sa.Column("type", sa.String(8), nullable=False),
        sa.Column("status", bytewise(8), nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.Column("currency", bytewise(3), nullable=False),
        sa.Column("date", sa.Date, nullable=False),
        sa.Column("account_id", sa.Integer, nullable=False),
        sa.Column("category_id", sa.Integer),
        sa.Column("group", bytewise(26)),
        sa.Column("expires_at", bytewise(27)),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("payee", bytewise(200)),
        sa.Column("notes", sa.Text),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("created_at", bytewise(27), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "id", name="pk_transactions"),
        sa.CheckConstraint("type <> 'INCOME' OR minor_units > 0", name=op.f("ck_transactions_income_positive")),
        sa.CheckConstraint("type <> 'EXPENSE' OR minor_units < 0", name=op.f("ck_transactions_expense_negative")),
        sa.CheckConstraint(
            "minor_units BETWEEN -999999999999999 AND 999999999999999", name=op.f("ck_transactions_minor_units_fit")
        ),
    )
    for columns in (
        ["date", "id"],
        ["type", "date", "id"],
        ["currency", "minor_units", "id"],
        ["created_at", "id"],
        ["category_id", "date", "id"],
    ):
        op.create_index("_".join(["ix_transactions_ledger_id", *columns]), "transactions", ["ledger_id", *columns])


def ledger_id() -> sa.Column[int]:
    """What every key starts with."""
    return sa.Column("ledger_id", sa.Integer, nullable=False)


def bytewise(length: int) -> sa.types.TypeEngine[str]:
    """Text that is compared by its bytes."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
