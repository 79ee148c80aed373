"""Users, their sessions and keys, the members of ledgers, and names for ledgers."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("ledgers", sa.Column("name", bytewise(100)))
    op.create_table(
        "access_heads",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("founded", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_heads"),
    )
    # From a number of its own, so that a worker sees when another database stands where the first one was.
    op.execute(
        sa.text("INSERT INTO access_heads (id, version, founded) VALUES (1, :version, false)").bindparams(
            version=secrets.randbits(48)
        )
    )
    op.create_table(
        "users",
        sa.Column("id", bytewise(26), nullable=False),
        sa.Column("principal", bytewise(26), nullable=False),
        sa.Column("email", bytewise(254), nullable=False),
        sa.Column("email_key", bytewise(762), nullable=False),
        sa.Column("name", bytewise(100)),
        sa.Column("password_hash", sa.Text),
        sa.Column("subject", bytewise(255)),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("created_at", bytewise(27), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="fk_users_ledger_id_ledgers"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email_key", name="uq_users_email_key"),
        sa.UniqueConstraint("principal", name="uq_users_principal"),
        sa.UniqueConstraint("subject", name="uq_users_subject"),
    )
    op.create_table(
        "members",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("principal", bytewise(26), nullable=False),
        sa.Column("role", bytewise(6), nullable=False),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="fk_members_ledger_id_ledgers"),
        sa.PrimaryKeyConstraint("ledger_id", "principal", name="pk_members"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_members_principal_ledger_id", "members", ["principal", "ledger_id"])
    op.execute("INSERT INTO members (ledger_id, principal, role) SELECT id, 'owner', 'owner' FROM ledgers")
    op.create_table(
        "sessions",
        sa.Column("id", bytewise(26), nullable=False),
        sa.Column("user_id", bytewise(26), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("created_at", bytewise(27), nullable=False),
        sa.Column("expires_at", bytewise(27), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_user_id_id", "sessions", ["user_id", "id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_table(
        "api_keys",
        sa.Column("id", bytewise(26), nullable=False),
        sa.Column("user_id", bytewise(26), nullable=False),
        sa.Column("name", bytewise(100), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("scope", bytewise(5), nullable=False),
        sa.Column("ledger_id", sa.Integer),
        sa.Column("created_at", bytewise(27), nullable=False),
        sa.Column("expires_at", bytewise(27)),
        sa.Column("last_used_at", bytewise(27)),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_keys_user_id_users"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="fk_api_keys_ledger_id_ledgers"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_index("ix_api_keys_user_id_id", "api_keys", ["user_id", "id"])
    op.create_table(
        "tries",
        sa.Column("subject", sa.LargeBinary(32), nullable=False),
        sa.Column("times", sa.Text, nullable=False),
        sa.Column("expires_at", bytewise(27), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_tries"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tries_expires_at", "tries", ["expires_at"])
    op.create_table(
        "signing_keys",
        sa.Column("kid", bytewise(16), nullable=False),
        sa.Column("secret", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", bytewise(27), nullable=False),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
    )


def bytewise(length: int) -> sa.types.TypeEngine[str]:
    """Text that is compared by its bytes."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
