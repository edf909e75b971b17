"""What is said of usage beside its reports: checkpoints, corrections, decisions on records that wait; and what counts now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")


def upgrade() -> None:
    """Make the tables, and keep the rows of what is a fact."""
    op.create_table(
        "usage_fact",
        sa.Column("number", INT, primary_key=True, autoincrement=False),
        sa.Column("source", INT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("revision", INT, nullable=False),
        sa.Column("record", BYTES, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("requested_by", TEXT, nullable=False),
        sa.Column("approved_by", TEXT, nullable=False),
        sa.Column("recorded_us", INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("usage_fact_id", "usage_fact", ["source", "id"])
    op.create_table(
        "usage_state",
        sa.Column("source", INT, primary_key=True),
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("revision", INT, nullable=False),
        sa.Column("record", BYTES, nullable=False),
        sa.Column("posted", BYTES, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("usage_state_account", "usage_state", ["centre", "account"])
    op.create_table(
        "verdict",
        sa.Column("batch", INT, primary_key=True),
        sa.Column("position", INT, primary_key=True),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("fact", INT, nullable=False),
        sqlite_strict=True,
    )
    for table in ("usage_fact", "verdict"):
        protect(op, table)
