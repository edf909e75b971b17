"""Rows that somebody acted on together, and spreadsheets that were looked through before they count."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0027"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")


def _need(name: str, kind: Any, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, primary_key=key, autoincrement=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "bulk_run",
        _need("run", TEXT, key=True),
        *(_need(name, TEXT) for name in ("owner", "kind", "act", "inputs")),
        _need("begun_us", INT),
        sqlite_strict=True,
    )
    op.create_index("bulk_run_owner", "bulk_run", ["owner", "begun_us"])
    op.create_table(
        "bulk_row",
        _need("run", TEXT, key=True),
        _need("number", INT, key=True),
        *(_need(name, TEXT) for name in ("subject", "outcome", "zh", "en")),
        _need("done_us", INT),
        sqlite_strict=True,
    )
    op.create_table(
        "sheet_draft",
        _need("draft", TEXT, key=True),
        *(_need(name, TEXT) for name in ("owner", "kind", "name", "sha256", "inputs")),
        _need("content", BYTES),
        _need("sent_us", INT),
        _need("done", TEXT),
        sqlite_strict=True,
    )
    op.create_index("sheet_draft_owner", "sheet_draft", ["owner", "sent_us"])
