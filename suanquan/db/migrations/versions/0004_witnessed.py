"""Signed heads of the log that the quorum of witnesses has cosigned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SMALL = sa.SmallInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    """Add the mark, and a way to the newest head that has it."""
    op.add_column("checkpoint", sa.Column("witnessed", SMALL, nullable=False, server_default="0"))
    op.create_index(
        "checkpoint_witnessed",
        "checkpoint",
        ["size"],
        sqlite_where=sa.text("witnessed = 1"),
        postgresql_where=sa.text("witnessed = 1"),
    )
