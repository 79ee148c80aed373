"""Which release is the oldest that works on a schema, for rolling upgrades and for going back."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
works_with = "0005"


def upgrade() -> None:
    op.add_column("alembic_version", sa.Column("works_with", sa.String(32)))
