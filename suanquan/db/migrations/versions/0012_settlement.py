"""Settlement: facts of batches, claims, payees and receipts; lines of batches; kept evidence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")


def upgrade() -> None:
    """Make the tables, whose rows stay."""
    op.create_table(
        "settlement_fact",
        sa.Column("number", INT, primary_key=True, autoincrement=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("at_us", INT, nullable=False),
        sa.Column("event_id", BYTES, nullable=False, unique=True),
        sa.Column("body", BYTES, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("settlement_fact_subject", "settlement_fact", ["subject", "number"])
    op.create_index("settlement_fact_kind", "settlement_fact", ["kind", "number"])
    op.create_table(
        "settlement_line",
        sa.Column("batch", TEXT, primary_key=True),
        sa.Column("seq", INT, primary_key=True),
        sa.Column("jti", TEXT, primary_key=True),
        sa.Column("part", TEXT, primary_key=True),
        sa.Column("units", INT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("settlement_line_place", "settlement_line", ["seq", "jti", "part"])
    op.create_table(
        "evidence_file",
        sa.Column("sha256", TEXT, primary_key=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("body", BYTES, nullable=False),
        sqlite_strict=True,
    )
    for table in ("settlement_fact", "settlement_line", "evidence_file"):
        protect(op, table)
