"""Notices are found by what they are about: a reminder is given once."""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("notice_subject", "notice", ["kind", "subject"])
