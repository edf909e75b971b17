"""Signed heads of the audit log, and who an account is to a provider of identities."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0022"
down_revision = "0023"
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
        "audit_head",
        _need("size", INT, key=True),
        _need("root", BYTES),
        _need("nodes", BYTES),
        _need("signed_us", INT),
        _need("note", TEXT),
        sqlite_strict=True,
    )
    protect(op, "audit_head")
    op.create_table(
        "identity",
        _need("issuer", TEXT, key=True),
        _need("subject", TEXT, key=True),
        _need("person", TEXT),
        _need("linked_us", INT),
        sqlite_strict=True,
    )
    op.create_index("ix_identity_person", "identity", ["person"])
