"""Decisions on subsidies, and the documents that they applied."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables; their rows are never changed."""
    op.create_table(
        "decision",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("applicant", TEXT, nullable=False),
        sa.Column("decided_us", INT, nullable=False),
        sa.Column("corrects", TEXT),
        sa.Column("event_id", BYTES, nullable=False),
        sa.Column("record", BYTES, nullable=False),
        sa.Column("facts", BYTES, nullable=False),
        sa.Column("signature", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("corrects"),
        sa.UniqueConstraint("event_id"),
        sqlite_strict=True,
    )
    op.create_index("decision_applicant", "decision", ["applicant", "decided_us"])
    op.create_table(
        "decision_document",
        sa.Column("sha256", BYTES, nullable=False),
        sa.Column("body", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
        sqlite_strict=True,
    )
    for table in ("decision", "decision_document"):
        protect(op, table)
