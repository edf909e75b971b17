"""Views that somebody saved, and forms that were sent once."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0022"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")


def _need(name: str, kind: Any, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, primary_key=key, autoincrement=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "saved_view",
        *(_need(name, TEXT, key=True) for name in ("owner", "path", "name")),
        _need("query", TEXT),
        _need("saved_us", INT),
        sqlite_strict=True,
    )
    op.create_table(
        "form_sent",
        _need("digest", BYTES, key=True),
        _need("place", TEXT),
        _need("sent_us", INT),
        sqlite_strict=True,
    )
    op.create_index("form_sent_at", "form_sent", ["sent_us"])
