"""Holds of vouchers as centres know them, what they asked, and what left a voucher without paying."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the three tables, which only grow."""
    op.create_table(
        "spend_request",
        sa.Column("centre", TEXT, primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("at_us", INT, nullable=False),
        sa.Column("answer", BYTES, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "hold_part",
        sa.Column("seq", INT, primary_key=True, autoincrement=False),
        sa.Column("hold", TEXT, nullable=False),
        sa.Column("jti", TEXT, nullable=False),
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("units", INT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("proof", TEXT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "outflow",
        sa.Column("event_id", BYTES, primary_key=True),
        sa.Column("jti", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("units", INT, nullable=False),
        sa.Column("at_us", INT, nullable=False),
        sa.Column("child", TEXT),
        sqlite_strict=True,
    )
    op.create_index("hold_part_hold", "hold_part", ["hold"])
    op.create_index("hold_part_jti", "hold_part", ["jti"])
    op.create_index("outflow_jti", "outflow", ["jti"])
    for table in ("spend_request", "hold_part", "outflow"):
        protect(op, table)
