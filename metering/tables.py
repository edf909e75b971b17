"""Tables of metering. A usage record lives in its batch's segment; `usage_id` is its identity, kept for ever."""

from __future__ import annotations

from sqlalchemy import Column, Table, UniqueConstraint

from ledger.tables import BYTES, CLUSTERED, INT, STRICT, TEXT, metadata

centre = Table(
    "centre",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    **STRICT,
)

capacity = Table(
    "capacity",
    metadata,
    Column("centre", TEXT, primary_key=True),
    Column("model", TEXT, primary_key=True),
    Column("count_milli", INT, nullable=False),
    **STRICT,
)

agent_key = Table(
    "agent_key",
    metadata,
    Column("kid", TEXT, primary_key=True),
    Column("public", BYTES, nullable=False),
    Column("centre", TEXT, nullable=False),
    Column("revoked_us", INT),
    **STRICT,
)

nonce = Table(
    "nonce",
    metadata,
    Column("kid", TEXT, primary_key=True),
    Column("nonce", TEXT, primary_key=True),
    Column("until_us", INT, nullable=False),
    **CLUSTERED,
)

source = Table(
    "source",
    metadata,
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("urn", TEXT, nullable=False, unique=True),
    Column("centre", TEXT, nullable=False),
    Column("last_sequence", INT, nullable=False),
    Column("last_id", TEXT, nullable=False),
    Column("first_us", INT, nullable=False),
    Column("last_us", INT, nullable=False),
    Column("received_us", INT, nullable=False),
    **STRICT,
)

usage_batch = Table(
    "usage_batch",
    metadata,
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("source", INT, nullable=False),
    Column("key", TEXT, nullable=False),
    Column("body_digest", BYTES, nullable=False),
    Column("received_us", INT, nullable=False),
    Column("records", INT, nullable=False),
    Column("root", BYTES, nullable=False),
    Column("log_first", INT, nullable=False),
    Column("log_size", INT, nullable=False),
    Column("segment", BYTES, nullable=False),
    Column("answer", BYTES, nullable=False),
    UniqueConstraint("source", "key", name="usage_batch_key"),
    **STRICT,
)

usage_id = Table(
    "usage_id",
    metadata,
    Column("source", INT, primary_key=True),
    Column("id", TEXT, primary_key=True),
    Column("batch", INT, nullable=False),
    Column("position", INT, nullable=False),
    Column("digest", BYTES, nullable=False),
    **CLUSTERED,
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("batch", INT, primary_key=True),
    Column("position", INT, primary_key=True),
    Column("centre", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("record", BYTES, nullable=False),
    **STRICT,
)

usage_month = Table(
    "usage_month",
    metadata,
    Column("centre", TEXT, primary_key=True),
    Column("account", TEXT, primary_key=True),
    Column("model", TEXT, primary_key=True),
    Column("month", INT, primary_key=True),
    Column("records", INT, nullable=False),
    Column("gpu_ms", INT, nullable=False),
    Column("compute_units", INT, nullable=False),
    Column("rated_units", INT, nullable=False),
    **STRICT,
)

batch_account = Table(
    "batch_account",
    metadata,
    Column("centre", TEXT, primary_key=True),
    Column("account", TEXT, primary_key=True),
    Column("batch", INT, primary_key=True),
    **CLUSTERED,
)

status_count = Table(
    "status_count",
    metadata,
    Column("centre", TEXT, primary_key=True),
    Column("status", TEXT, primary_key=True),
    Column("records", INT, nullable=False),
    **STRICT,
)

APPEND_ONLY = ("usage_batch", "usage_id", "batch_account")
