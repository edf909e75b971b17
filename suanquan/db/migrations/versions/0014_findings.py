"""What is registered of centres, what monitors saw, and findings with their evidence and reviews."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")

PROTECTED = ("centre_fact", "finding", "finding_evidence", "finding_review", "finding_run", "sanction", "tip")


def _table(name: str, keys: str, others: str, *, clustered: bool = False) -> None:
    """Columns are `name:type`; keys make the primary key."""
    kinds: dict[str, Any] = {"i": INT, "t": TEXT, "b": BYTES}

    def column(spec: str, *, key: bool) -> sa.Column[object]:
        title, kind = spec.split(":")
        if key:
            return sa.Column(title, kinds[kind], primary_key=True, autoincrement=False)
        return sa.Column(title, kinds[kind], nullable=False)

    columns = [column(spec, key=True) for spec in keys.split()] + [column(spec, key=False) for spec in others.split()]
    op.create_table(name, *columns, sqlite_strict=True, sqlite_with_rowid=not clustered)


def upgrade() -> None:
    """Make the tables, and keep the rows of what is a fact."""
    _table("centre_fact", "number:i", "centre:t kind:t period:t from_us:i body:b evidence:t officer:t recorded_us:i")
    op.create_index("centre_fact_centre", "centre_fact", ["centre", "number"])
    _table("capacity_step", "centre:t model:t from_us:i", "count_milli:i", clustered=True)
    measured = "busy_ms:i seen_ms:i energy_mj:i received_us:i"
    _table("telemetry_hour", "centre:t agent:t model:t hour_us:i", measured, clustered=True)
    held = "end_us:i model:t busy_ms:i seen_ms:i received_us:i"
    _table("device_run", "centre:t agent:t device:t start_us:i account:t job:t", held, clustered=True)
    op.create_index("device_run_time", "device_run", ["centre", "start_us"])
    _table("batch_span", "batch:i", "centre:t first_us:i last_us:i")
    op.create_index("batch_span_time", "batch_span", ["centre", "last_us"])
    _table("finding", "id:t", "pattern:t subject:t zh:t en:t question:t found_us:i")
    op.create_index("finding_found", "finding", ["found_us", "id"])
    _table("finding_evidence", "finding:t number:i", "body:b seen_us:i", clustered=True)
    review = "state:t officer:t reason:t evidence:i at_us:i"
    _table("finding_review", "finding:t number:i", review, clustered=True)
    _table("finding_run", "number:i", "at_us:i last_batch:i judged_us:i raised:i renewed:i")
    _table("party_trait", "party:t kind:t blinded:t", "shown:t origin:t recorded_us:i", clustered=True)
    _table("sanction", "number:i", "party:t decision:t from_us:i until_us:i officer:t recorded_us:i")
    _table("tip", "number:i", "provider:t message:t officer:t recorded_us:i")
    for table in PROTECTED:
        protect(op, table)
