"""Accounts with opening balances, closed days, search, tags, and the totals that reports are read from."""

import json
import secrets

import sqlalchemy as sa
from alembic import op

from cashman.stems import stems_of

revision = "0003"
down_revision = "0002"

CHUNK_ROWS = 5_000


def upgrade() -> None:
    op.add_column("ledgers", sa.Column("closed_until", sa.Date))
    op.add_column("ledgers", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.add_column(
        "ledgers", sa.Column("cursor_secret", sa.LargeBinary(32), nullable=False, server_default=sa.text("''"))
    )
    for (id_,) in op.get_bind().execute(sa.text("SELECT id FROM ledgers")).all():
        op.get_bind().execute(
            sa.text("UPDATE ledgers SET cursor_secret = :secret WHERE id = :id"),
            {"secret": secrets.token_bytes(32), "id": id_},
        )
    op.add_column("journal_heads", sa.Column("chart_sequence", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("journal_heads", sa.Column("renamed_sequence", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("journal_heads", sa.Column("next_expiry", bytewise(27)))
    op.execute(
        """UPDATE journal_heads SET chart_sequence = (
               SELECT max(j.sequence) FROM journal j
               WHERE j.ledger_id = journal_heads.ledger_id AND j.entry NOT LIKE '%"entity":"transaction"%')"""
    )
    op.add_column("revisions", sa.Column("asked", sa.LargeBinary(32)))
    op.add_column("accounts", sa.Column("kind", bytewise(10)))
    op.add_column("accounts", sa.Column("opening_minor_units", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("accounts", sa.Column("opening_date", sa.Date))
    op.add_column("accounts", sa.Column("closed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("accounts", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.drop_index("ix_categories_ledger_id_path", "categories")
    op.create_index("ix_categories_ledger_id_path_id", "categories", ["ledger_id", "path", "id"])
    _extend_transactions()
    _make_totals()
    _make_search()
    _fill_search()


def _extend_transactions() -> None:
    op.add_column("transactions", sa.Column("sequence", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        """UPDATE transactions SET sequence = (
               SELECT r.sequence FROM revisions r
               WHERE r.ledger_id = transactions.ledger_id AND r.transaction_id = transactions.id AND r.revision = 1)"""
    )
    op.drop_index("ix_transactions_ledger_id_created_at_id", "transactions")
    op.drop_index("ix_transactions_ledger_id_category_id_date_id", "transactions")
    for columns in (["date", "id"], ["type", "date", "id"]):
        longer = [*columns, "currency", "minor_units"]
        op.drop_index("_".join(["ix_transactions_ledger_id", *columns]), "transactions")
        op.create_index("_".join(["ix_transactions_ledger_id", *longer]), "transactions", ["ledger_id", *longer])
    op.create_index("ix_transactions_ledger_id_sequence", "transactions", ["ledger_id", "sequence"])
    op.create_index(
        "ix_transactions_ledger_id_account_id_date_id", "transactions", ["ledger_id", "account_id", "date", "id"]
    )
    for name, columns, condition in (
        ("category", ["category_id", "date", "id"], "category_id IS NOT NULL"),
        ("payee", ["payee", "date", "id"], "payee IS NOT NULL"),
        ("group", ["group"], '"group" IS NOT NULL'),
        ("pending", ["status", "expires_at"], "status = 'pending'"),
    ):
        op.create_index(
            f"ix_transactions_{name}",
            "transactions",
            ["ledger_id", *columns],
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )


def _make_totals() -> None:
    op.create_table(
        "totals",
        ledger_id(),
        sa.Column("dimension", bytewise(8), nullable=False),
        sa.Column("grain", bytewise(5), nullable=False),
        sa.Column("period", bytewise(10), nullable=False),
        sa.Column("of_id", sa.Integer, nullable=False),
        sa.Column("type", bytewise(8), nullable=False),
        sa.Column("currency", bytewise(3), nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "ledger_id", "dimension", "grain", "period", "of_id", "type", "currency", name="pk_totals"
        ),
        sqlite_with_rowid=False,
    )
    for dimension, of, grains in (
        ("account", "account_id", {"day": 10, "month": 7}),
        ("category", "coalesce(category_id, 0)", {"month": 7, "year": 4}),
    ):
        for grain, length in grains.items():
            op.execute(
                f"""INSERT INTO totals (ledger_id, dimension, grain, period, of_id, type, currency, minor_units, count)
                    SELECT ledger_id, '{dimension}', '{grain}', substr(CAST(date AS VARCHAR(10)), 1, {length}), {of},
                           type, currency, sum(minor_units), count(*)
                    FROM transactions WHERE status = 'posted' GROUP BY 1, 2, 3, 4, 5, 6, 7"""
            )
    op.create_table(
        "turnovers",
        ledger_id(),
        sa.Column("currency", bytewise(3), nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "currency", name="pk_turnovers"),
        sqlite_with_rowid=False,
    )
    op.execute(
        """INSERT INTO turnovers (ledger_id, currency, minor_units)
           SELECT ledger_id, currency, sum(abs(minor_units)) FROM transactions
           WHERE status = 'posted' GROUP BY ledger_id, currency"""
    )
    op.drop_table("account_totals")


def _make_search() -> None:
    op.create_table(
        "transaction_tags",
        ledger_id(),
        sa.Column("tag", bytewise(50), nullable=False),
        sa.Column("date", sa.Date, nullable=False),
        sa.Column("transaction_id", bytewise(26), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", "tag", "date", "transaction_id", name="pk_transaction_tags"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        # The ASCII tokenizer cuts at blanks and leaves the letters of every script together, as stems are.
        op.execute("CREATE VIRTUAL TABLE stems USING fts5(words, tokenize = 'ascii', detail = none, columnsize = 0)")
    else:
        op.execute(
            """CREATE TABLE stems (ledger_id integer NOT NULL, sequence bigint NOT NULL, words text[] NOT NULL,
               CONSTRAINT pk_stems PRIMARY KEY (ledger_id, sequence))"""
        )
        op.execute("CREATE INDEX ix_stems_words ON stems USING gin (words)")


def _fill_search() -> None:
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    rows = connection.execute(
        sa.text(
            """SELECT ledger_id, sequence, id, date, description, payee, notes, tags FROM transactions
               WHERE status <> 'void'"""
        ).execution_options(yield_per=CHUNK_ROWS)
    )
    for chunk in rows.partitions():
        stems, tags = [], []
        for row in chunk:
            own = json.loads(row.tags)
            words = stems_of([row.description, row.payee, row.notes, *own])
            if words:
                stems.append({"ledger_id": row.ledger_id, "sequence": row.sequence, "words": words})
            tags += [
                {"ledger_id": row.ledger_id, "tag": tag, "date": row.date, "transaction_id": row.id} for tag in own
            ]
        if stems and sqlite:
            connection.execute(
                sa.text("INSERT INTO stems (rowid, words) VALUES (:number, :words)"),
                [
                    {"number": row["ledger_id"] << 40 | row["sequence"], "words": " ".join(row["words"])}
                    for row in stems
                ],
            )
        elif stems:
            connection.execute(
                sa.text("INSERT INTO stems (ledger_id, sequence, words) VALUES (:ledger_id, :sequence, :words)"), stems
            )
        if tags:
            connection.execute(
                sa.text(
                    """INSERT INTO transaction_tags (ledger_id, tag, date, transaction_id)
                       VALUES (:ledger_id, :tag, :date, :transaction_id)"""
                ),
                tags,
            )


def ledger_id() -> sa.Column[int]:
    """What every key starts with."""
    return sa.Column("ledger_id", sa.Integer, nullable=False)


def bytewise(length: int) -> sa.types.TypeEngine[str]:
    """Text that is compared by its bytes."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
