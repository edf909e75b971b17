"""Declarations of what a centre used in a month: each is a fact, the newest of a month and account counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, and keep its rows."""
    op.create_table(
        "declaration",
        sa.Column("centre", TEXT, primary_key=True),
        sa.Column("month", INT, primary_key=True),
        sa.Column("account", TEXT, primary_key=True),
        sa.Column("number", INT, primary_key=True),
        sa.Column("jobs", INT, nullable=False),
        sa.Column("segments", INT, nullable=False),
        sa.Column("gpu_ms", INT, nullable=False),
        sa.Column("kid", TEXT, nullable=False),
        sa.Column("declared_us", INT, nullable=False),
        sqlite_strict=True,
    )
    protect(op, "declaration")
