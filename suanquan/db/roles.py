"""Grants for a PostgreSQL role that can append facts but neither change nor drop them, whatever its program does."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.tables import metadata
from suanquan.db.tables import APPEND_ONLY, ERASABLE


def grants(role: str) -> Iterator[str]:
    """SQL for the owner of the database; it holds until a migration makes new tables, and can be run again then."""
    name = '"' + role.replace('"', '""') + '"'
    yield f"GRANT USAGE ON SCHEMA public TO {name};"
    yield f"GRANT SELECT ON alembic_version TO {name};"
    for table in sorted(metadata.tables):
        rights = ["SELECT", "INSERT"]
        rights += [] if table in APPEND_ONLY else ["DELETE"] if table in ERASABLE else ["UPDATE", "DELETE"]
        yield f"REVOKE ALL ON {table} FROM {name}, PUBLIC;"
        yield f"GRANT {', '.join(rights)} ON {table} TO {name};"
