"""What lay idle in vouchers: looked at, announced, taken back or left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, which only grows."""
    op.create_table(
        "reclaim",
        sa.Column("jti", TEXT, primary_key=True),
        sa.Column("cycle", INT, primary_key=True),
        sa.Column("stage", TEXT, primary_key=True),
        sa.Column("units", INT, nullable=False),
        sa.Column("day", TEXT, nullable=False),
        sa.Column("effective_on", TEXT, nullable=False),
        sa.Column("event_id", BYTES),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    protect(op, "reclaim")
