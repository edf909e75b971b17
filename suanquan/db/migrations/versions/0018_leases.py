"""Offline leases of centres, and what was spent from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the two tables, which only grow."""
    op.create_table(
        "offline_lease",
        sa.Column("hold", TEXT, primary_key=True),
        sa.Column("seq", INT, nullable=False),
        sa.Column("jti", TEXT, nullable=False),
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("asset", INT, nullable=False),
        sa.Column("from_s", INT, nullable=False),
        sa.Column("ends_s", INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "offline_spend",
        sa.Column("hold", TEXT, primary_key=True),
        sa.Column("number", INT, primary_key=True, autoincrement=False),
        sa.Column("units", INT, nullable=False),
        sa.Column("at_s", INT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("seq", INT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("offline_lease_jti", "offline_lease", ["jti"])
    op.create_index("offline_lease_centre", "offline_lease", ["centre"])
    for table in ("offline_lease", "offline_spend"):
        protect(op, table)
