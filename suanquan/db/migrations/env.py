"""Alembic's entry: run migrations on the connection that `suanquan.db.schema` hands over."""

from alembic import context

import suanquan.db.tables  # noqa: F401 -- makes every table known
from ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
