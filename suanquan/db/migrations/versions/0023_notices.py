"""The outbox of notices, the channels that carry them, who wants what, and what became of each delivery."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0018"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")


def _need(name: str, kind: Any, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, primary_key=key, autoincrement=False)


def upgrade() -> None:
    """Make the tables."""
    texts = [_need(name, TEXT) for name in ("kind", "audience", "subject", "zh", "en", "data")]
    op.create_table("notice", _need("number", INT, key=True), *texts, _need("at_us", INT), sqlite_strict=True)
    op.create_index("notice_audience", "notice", ["audience", "number"])
    op.create_table(
        "notice_channel",
        _need("number", INT, key=True),
        *(_need(name, TEXT) for name in ("way", "audience", "shown")),
        *(_need(name, BYTES) for name in ("target", "secret")),
        *(_need(name, TEXT) for name in ("wanted", "made_by")),
        _need("made_us", INT),
        sa.Column("ended_us", INT),
        sqlite_strict=True,
    )
    op.create_index("ix_notice_channel_audience", "notice_channel", ["audience"])
    op.create_table(
        "notice_choice",
        _need("person", TEXT, key=True),
        *(_need(name, TEXT) for name in ("email", "mailed", "muted")),
        _need("seen", INT),
        sqlite_strict=True,
    )
    op.create_table(
        "notice_delivery",
        _need("number", INT, key=True),
        _need("notice", INT),
        _need("channel", INT),
        *(_need(name, TEXT) for name in ("person", "state")),
        *(_need(name, INT) for name in ("tries", "next_us", "tried_us")),
        _need("fault", TEXT),
        sqlite_strict=True,
    )
    op.create_index("notice_delivery_due", "notice_delivery", ["state", "next_us"])
    op.create_index("notice_delivery_channel", "notice_delivery", ["channel", "tried_us"])
