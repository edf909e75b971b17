"""Messages of the usage stream that were taken, alerts that were given, and disputes of statement lines, step by step."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")


def upgrade() -> None:
    """Make the tables, and keep their rows."""
    op.create_table(
        "stream_message",
        sa.Column("stream", TEXT, primary_key=True),
        sa.Column("sequence", INT, primary_key=True),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("status", INT, nullable=False),
        sa.Column("answer", BYTES, nullable=False),
        sa.Column("recorded_us", INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_alert",
        sa.Column("number", INT, primary_key=True, autoincrement=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("voucher", TEXT, nullable=False),
        sa.Column("threshold", INT, nullable=False),
        sa.Column("scheme", TEXT, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("asset", INT, nullable=False),
        sa.Column("amount", INT, nullable=False),
        sa.Column("available", INT, nullable=False),
        sa.Column("until_us", INT, nullable=False),
        sa.Column("noticed_us", INT, nullable=False),
        sa.UniqueConstraint("kind", "voucher", "threshold", name="usage_alert_once"),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_dispute",
        sa.Column("dispute", INT, primary_key=True, autoincrement=False),
        sa.Column("step", INT, primary_key=True, autoincrement=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("record", TEXT, nullable=False),
        sa.Column("who", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("at_us", INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("usage_dispute_account", "usage_dispute", ["centre", "account"])
    for table in ("stream_message", "usage_alert", "usage_dispute"):
        protect(op, table)
