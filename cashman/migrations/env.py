"""What Alembic runs to migrate, on the connection that `cashman.migrations` hands over."""

from alembic import context

from cashman.db import Base
from cashman.migrations import know_every_table

know_every_table()

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transaction_per_migration=False,
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()
