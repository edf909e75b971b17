"""Status lists, vouchers that were revoked, and tokens with a second signature."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add tables and a column; vouchers issued before have no place in a list."""
    op.add_column("released", sa.Column("dual", TEXT))
    op.create_table(
        "status_list",
        sa.Column("list", TEXT, primary_key=True),
        sa.Column("uri", TEXT, nullable=False, unique=True),
        sa.Column("entries", INT, nullable=False),
        sa.Column("used", INT, nullable=False),
        sa.Column("opened_us", INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "status_place",
        sa.Column("list", TEXT, primary_key=True),
        sa.Column("place", INT, primary_key=True),
        sa.Column("jti", TEXT, nullable=False, unique=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "revoked",
        sa.Column("jti", TEXT, primary_key=True),
        sa.Column("revoked_us", INT, nullable=False),
        sa.Column("returned", INT, nullable=False),
        sqlite_strict=True,
    )
    for table in ("status_place", "revoked"):
        protect(op, table)
