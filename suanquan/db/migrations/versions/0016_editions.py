"""Editions of the registers that usage was rated by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")


def upgrade() -> None:
    """Make the table, and keep its rows."""
    op.create_table(
        "register_edition",
        sa.Column("number", INT, primary_key=True, autoincrement=False),
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("accelerators", BYTES, nullable=False),
        sa.Column("prices", BYTES, nullable=False),
        sa.Column("first_us", INT, nullable=False),
        sqlite_strict=True,
    )
    protect(op, "register_edition")
