"""What alembic runs: migrations on the connection that the store gave it."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
# The transaction is the store's: all of an upgrade is committed, or none of it.
context.run_migrations()
