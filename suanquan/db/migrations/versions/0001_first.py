"""The first schema: journal, metering, vouchers and tokens, with facts that triggers keep from being changed.

Frozen: later changes are migrations of their own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
SMALL = sa.SmallInteger().with_variant(sa.INTEGER(), "sqlite")
BYTES = sa.LargeBinary().with_variant(sa.BLOB(), "sqlite")
TEXT = sa.Text()

APPEND_ONLY = ("account", "entry", "touched", "usage_batch", "usage_id", "batch_account", "voucher", "released")


def upgrade() -> None:
    """Create every table, then the triggers."""
    _create_tables()
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _create_tables() -> None:
    op.create_table(
        "account",
        sa.Column("number", INT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("public_id", BYTES, nullable=False),
        sa.Column("asset", INT, nullable=False),
        sa.Column("floor", INT, nullable=True),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("public_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "agent_key",
        sa.Column("kid", TEXT, nullable=False),
        sa.Column("public", BYTES, nullable=False),
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("revoked_us", INT, nullable=True),
        sa.PrimaryKeyConstraint("kid"),
        sqlite_strict=True,
    )
    op.create_table(
        "api_token",
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("created_us", INT, nullable=False),
        sa.Column("revoked_us", INT, nullable=True),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_strict=True,
    )
    op.create_table(
        "balance",
        sa.Column("account", INT, autoincrement=False, nullable=False),
        sa.Column("debits_posted", INT, nullable=False),
        sa.Column("credits_posted", INT, nullable=False),
        sa.Column("debits_held", INT, nullable=False),
        sa.Column("credits_held", INT, nullable=False),
        sa.Column("last_seq", INT, nullable=False),
        sa.PrimaryKeyConstraint("account"),
        sqlite_strict=True,
    )
    op.create_table(
        "batch_account",
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("batch", INT, nullable=False),
        sa.PrimaryKeyConstraint("centre", "account", "batch"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "binding",
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("centre", "account"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "capacity",
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("count_milli", INT, nullable=False),
        sa.PrimaryKeyConstraint("centre", "model"),
        sqlite_strict=True,
    )
    op.create_table(
        "centre",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_table(
        "entry",
        sa.Column("shard", INT, nullable=False),
        sa.Column("seq", INT, nullable=False),
        sa.Column("event_id", BYTES, nullable=False),
        sa.Column("kind", SMALL, nullable=False),
        sa.Column("recorded_ns", INT, nullable=False),
        sa.Column("leaf", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("shard", "seq"),
        sa.UniqueConstraint("event_id", name="entry_event_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "hold",
        sa.Column("seq", INT, autoincrement=False, nullable=False),
        sa.Column("debit", INT, nullable=False),
        sa.Column("credit", INT, nullable=False),
        sa.Column("amount", INT, nullable=False),
        sa.Column("remaining", INT, nullable=False),
        sa.Column("expires_ns", INT, nullable=True),
        sa.Column("status", SMALL, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_strict=True,
    )
    op.create_index(
        "hold_due",
        "hold",
        ["expires_ns", "seq"],
        unique=False,
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    op.create_table(
        "log_state",
        sa.Column("shard", INT, autoincrement=False, nullable=False),
        sa.Column("origin", TEXT, nullable=False),
        sa.Column("size", INT, nullable=False),
        sa.Column("root", BYTES, nullable=False),
        sa.Column("frontier", BYTES, nullable=False),
        sa.Column("last_ns", INT, nullable=False),
        sa.Column("next_account", INT, nullable=False),
        sa.Column("pseudonym_key", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("shard"),
        sqlite_strict=True,
    )
    op.create_table(
        "nonce",
        sa.Column("kid", TEXT, nullable=False),
        sa.Column("nonce", TEXT, nullable=False),
        sa.Column("until_us", INT, nullable=False),
        sa.PrimaryKeyConstraint("kid", "nonce"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "payload",
        sa.Column("shard", INT, nullable=False),
        sa.Column("seq", INT, nullable=False),
        sa.Column("salt", BYTES, nullable=False),
        sa.Column("body", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("shard", "seq"),
        sqlite_strict=True,
    )
    op.create_table(
        "quarantine",
        sa.Column("batch", INT, nullable=False),
        sa.Column("position", INT, nullable=False),
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("record", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("batch", "position"),
        sqlite_strict=True,
    )
    op.create_table(
        "redeemed",
        sa.Column("scheme", TEXT, nullable=False),
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("units", INT, nullable=False),
        sa.PrimaryKeyConstraint("scheme", "centre"),
        sqlite_strict=True,
    )
    op.create_table(
        "released",
        sa.Column("jti", TEXT, nullable=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("cwt", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("jti"),
        sqlite_strict=True,
    )
    op.create_table(
        "source",
        sa.Column("number", INT, autoincrement=False, nullable=False),
        sa.Column("urn", TEXT, nullable=False),
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("last_sequence", INT, nullable=False),
        sa.Column("last_id", TEXT, nullable=False),
        sa.Column("first_us", INT, nullable=False),
        sa.Column("last_us", INT, nullable=False),
        sa.Column("received_us", INT, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("urn"),
        sqlite_strict=True,
    )
    op.create_table(
        "status_count",
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("records", INT, nullable=False),
        sa.PrimaryKeyConstraint("centre", "status"),
        sqlite_strict=True,
    )
    op.create_table(
        "touched",
        sa.Column("account", INT, nullable=False),
        sa.Column("shard", INT, nullable=False),
        sa.Column("seq", INT, nullable=False),
        sa.PrimaryKeyConstraint("account", "shard", "seq"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_batch",
        sa.Column("number", INT, autoincrement=False, nullable=False),
        sa.Column("source", INT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("body_digest", BYTES, nullable=False),
        sa.Column("received_us", INT, nullable=False),
        sa.Column("records", INT, nullable=False),
        sa.Column("root", BYTES, nullable=False),
        sa.Column("log_first", INT, nullable=False),
        sa.Column("log_size", INT, nullable=False),
        sa.Column("segment", BYTES, nullable=False),
        sa.Column("answer", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("source", "key", name="usage_batch_key"),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_id",
        sa.Column("source", INT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("batch", INT, nullable=False),
        sa.Column("position", INT, nullable=False),
        sa.Column("digest", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("source", "id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_month",
        sa.Column("centre", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("month", INT, nullable=False),
        sa.Column("records", INT, nullable=False),
        sa.Column("gpu_ms", INT, nullable=False),
        sa.Column("compute_units", INT, nullable=False),
        sa.Column("rated_units", INT, nullable=False),
        sa.PrimaryKeyConstraint("centre", "account", "model", "month"),
        sqlite_strict=True,
    )
    op.create_table(
        "voucher",
        sa.Column("jti", TEXT, nullable=False),
        sa.Column("scheme", TEXT, nullable=False),
        sa.Column("scheme_digest", TEXT, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("asset", INT, nullable=False),
        sa.Column("units", INT, nullable=False),
        sa.Column("account", INT, nullable=False),
        sa.Column("year", INT, nullable=False),
        sa.Column("issued_us", INT, nullable=False),
        sa.Column("from_us", INT, nullable=False),
        sa.Column("until_us", INT, nullable=False),
        sa.Column("priority", INT, nullable=False),
        sa.Column("kid", TEXT, nullable=False),
        sa.Column("jwt_input", BYTES, nullable=False),
        sa.Column("cwt_input", BYTES, nullable=False),
        sa.Column("event_id", BYTES, nullable=False),
        sa.Column("request_digest", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("jti"),
        sa.UniqueConstraint("event_id"),
        sqlite_strict=True,
    )
    op.create_index("voucher_holder", "voucher", ["holder", "scheme", "year"], unique=False)
