"""Steps of procedures, and the register of what is supported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.INTEGER(), "sqlite")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make both tables, which only grow."""
    op.create_table(
        "procedure_step",
        sa.Column("number", INT, primary_key=True, autoincrement=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("round", TEXT, nullable=False),
        sa.Column("step", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("at_us", INT, nullable=False),
        sa.Column("event_id", BYTES, nullable=False, unique=True),
        sa.Column("body", BYTES, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "support_claim",
        sa.Column("number", INT, primary_key=True, autoincrement=False),
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("clause", BYTES, nullable=False),
        sa.Column("released", SMALL, nullable=False),
        sa.Column("event_id", BYTES, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("procedure_step_subject", "procedure_step", ["subject", "number"])
    op.create_index("procedure_step_step", "procedure_step", ["step", "number"])
    op.create_index("procedure_step_round", "procedure_step", ["round", "number"])
    op.create_index("support_claim_digest", "support_claim", ["digest", "number"])
    op.create_index("support_claim_subject", "support_claim", ["subject", "number"])
    for table in ("procedure_step", "support_claim"):
        protect(op, table)
