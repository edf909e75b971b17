"""Tables of metering. A usage record lives in its batch's segment, and its identity with it, for ever.

A batch whose ids ascend above all ids that its source had sent needs one row of `id_range`; only when an id inside that
range is asked for are its ids put into `usage_id`, where the ids of other batches stand from the start.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, UniqueConstraint

from ledger.tables import BYTES, INT, TEXT, table

centre = table(
    "centre",
    Column("id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
)

capacity = table(
    "capacity",
    Column("centre", TEXT, primary_key=True),
    Column("model", TEXT, primary_key=True),
    Column("count_milli", INT, nullable=False),
)

agent_key = table(
    "agent_key",
    Column("kid", TEXT, primary_key=True),
    Column("public", BYTES, nullable=False),
    Column("centre", TEXT, nullable=False),
    Column("revoked_us", INT),
)

nonce = table(
    "nonce",
    Column("kid", TEXT, primary_key=True),
    Column("nonce", TEXT, primary_key=True),
    Column("until_us", INT, nullable=False),
    clustered=True,
)

source = table(
    "source",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("urn", TEXT, nullable=False, unique=True),
    Column("centre", TEXT, nullable=False),
    Column("last_sequence", INT, nullable=False),
    Column("last_id", TEXT, nullable=False),
    Column("first_us", INT, nullable=False),
    Column("last_us", INT, nullable=False),
    Column("received_us", INT, nullable=False),
)

usage_batch = table(
    "usage_batch",
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
)

usage_id = table(
    "usage_id",
    Column("source", INT, primary_key=True),
    Column("id", TEXT, primary_key=True),
    Column("place", INT, nullable=False),
    Column("digest", BYTES, nullable=False),
    clustered=True,
)

id_range = table(
    "id_range",
    Column("source", INT, primary_key=True),
    Column("first_id", TEXT, primary_key=True),
    Column("last_id", TEXT, nullable=False),
    Column("batch", INT, nullable=False),
    Column("indexed", INT, nullable=False),
    clustered=True,
)

quarantine = table(
    "quarantine",
    Column("batch", INT, primary_key=True),
    Column("position", INT, primary_key=True),
    Column("centre", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("record", BYTES, nullable=False),
)

usage_month = table(
    "usage_month",
    Column("centre", TEXT, primary_key=True),
    Column("account", TEXT, primary_key=True),
    Column("model", TEXT, primary_key=True),
    Column("month", INT, primary_key=True),
    Column("records", INT, nullable=False),
    Column("gpu_ms", INT, nullable=False),
    Column("compute_units", INT, nullable=False),
    Column("rated_units", INT, nullable=False),
)

batch_account = table(
    "batch_account",
    Column("centre", TEXT, primary_key=True),
    Column("account", TEXT, primary_key=True),
    Column("batch", INT, primary_key=True),
    clustered=True,
)

status_count = table(
    "status_count",
    Column("centre", TEXT, primary_key=True),
    Column("status", TEXT, primary_key=True),
    Column("records", INT, nullable=False),
)

declaration = table(
    "declaration",
    Column("centre", TEXT, primary_key=True),
    Column("month", INT, primary_key=True),
    Column("account", TEXT, primary_key=True),
    Column("number", INT, primary_key=True),
    Column("jobs", INT, nullable=False),
    Column("segments", INT, nullable=False),
    Column("gpu_ms", INT, nullable=False),
    Column("kid", TEXT, nullable=False),
    Column("declared_us", INT, nullable=False),
)

# What was said of a record beside its report: checkpoints, corrections, decisions. The log commits to each row.
usage_fact = table(
    "usage_fact",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("source", INT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("revision", INT, nullable=False),
    Column("record", BYTES, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("requested_by", TEXT, nullable=False),
    Column("approved_by", TEXT, nullable=False),
    Column("recorded_us", INT, nullable=False),
)
Index("usage_fact_id", usage_fact.c.source, usage_fact.c.id)
# What counts of a record now, where that is not just its report: no bytes where it was voided; the entries it alone has.
usage_state = table(
    "usage_state",
    Column("source", INT, primary_key=True),
    Column("id", TEXT, primary_key=True),
    Column("centre", TEXT, nullable=False),
    Column("account", TEXT, nullable=False),
    Column("revision", INT, nullable=False),
    Column("record", BYTES, nullable=False),
    Column("posted", BYTES, nullable=False),
)
Index("usage_state_account", usage_state.c.centre, usage_state.c.account)
verdict = table(
    "verdict",
    Column("batch", INT, primary_key=True),
    Column("position", INT, primary_key=True),
    Column("verdict", TEXT, nullable=False),
    Column("fact", INT, nullable=False),
)

register_edition = table(
    "register_edition",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("digest", BYTES, nullable=False),
    Column("accelerators", BYTES, nullable=False),
    Column("prices", BYTES, nullable=False),
    Column("first_us", INT, nullable=False),
)
"""Editions of the registers that usage was rated by, as files; the digest stands in every entry of that usage."""

# What became of a message of the usage stream: written with what it debits, so that no redelivery debits again.
stream_message = table(
    "stream_message",
    Column("stream", TEXT, primary_key=True),
    Column("sequence", INT, primary_key=True),
    Column("source", TEXT, nullable=False),
    Column("key", TEXT, nullable=False),
    Column("status", INT, nullable=False),
    Column("answer", BYTES, nullable=False),
    Column("recorded_us", INT, nullable=False),
)

usage_dispute = table(
    "usage_dispute",
    Column("dispute", INT, primary_key=True, autoincrement=False),
    Column("step", INT, primary_key=True, autoincrement=False),
    Column("state", TEXT, nullable=False),
    Column("centre", TEXT, nullable=False),
    Column("account", TEXT, nullable=False),
    Column("source", TEXT, nullable=False),
    Column("record", TEXT, nullable=False),
    Column("who", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("at_us", INT, nullable=False),
)
Index("usage_dispute_account", usage_dispute.c.centre, usage_dispute.c.account)

usage_alert = table(
    "usage_alert",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("kind", TEXT, nullable=False),
    Column("voucher", TEXT, nullable=False),
    Column("threshold", INT, nullable=False),
    Column("scheme", TEXT, nullable=False),
    Column("holder", TEXT, nullable=False),
    Column("asset", INT, nullable=False),
    Column("amount", INT, nullable=False),
    Column("available", INT, nullable=False),
    Column("until_us", INT, nullable=False),
    Column("noticed_us", INT, nullable=False),
    UniqueConstraint("kind", "voucher", "threshold", name="usage_alert_once"),
)

# What is registered of a centre, each from a day on: cards, energy by month, statements, admission, suspension.
centre_fact = table(
    "centre_fact",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("centre", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("period", TEXT, nullable=False),
    Column("from_us", INT, nullable=False),
    Column("body", BYTES, nullable=False),
    Column("evidence", TEXT, nullable=False),
    Column("officer", TEXT, nullable=False),
    Column("recorded_us", INT, nullable=False),
)
Index("centre_fact_centre", centre_fact.c.centre, centre_fact.c.number)
# Cards that a centre has from an instant on, by canonical model: recomputed from its newest inventory.
capacity_step = table(
    "capacity_step",
    Column("centre", TEXT, primary_key=True),
    Column("model", TEXT, primary_key=True),
    Column("from_us", INT, primary_key=True),
    Column("count_milli", INT, nullable=False),
    clustered=True,
)
# What monitors saw, as agents report it: evidence, never what is billed. A later report of an hour replaces the earlier.
telemetry_hour = table(
    "telemetry_hour",
    Column("centre", TEXT, primary_key=True),
    Column("agent", TEXT, primary_key=True),
    Column("model", TEXT, primary_key=True),
    Column("hour_us", INT, primary_key=True),
    Column("busy_ms", INT, nullable=False),
    Column("seen_ms", INT, nullable=False),
    Column("energy_mj", INT, nullable=False),
    Column("received_us", INT, nullable=False),
    clustered=True,
)
# A device under one holder, without a break: who held it, and how busy it was.
device_run = table(
    "device_run",
    Column("centre", TEXT, primary_key=True),
    Column("agent", TEXT, primary_key=True),
    Column("device", TEXT, primary_key=True),
    Column("start_us", INT, primary_key=True),
    Column("account", TEXT, primary_key=True),
    Column("job", TEXT, primary_key=True),
    Column("end_us", INT, nullable=False),
    Column("model", TEXT, nullable=False),
    Column("busy_ms", INT, nullable=False),
    Column("seen_ms", INT, nullable=False),
    Column("received_us", INT, nullable=False),
    clustered=True,
)
Index("device_run_time", device_run.c.centre, device_run.c.start_us)
# The time that a batch's records span, noted when the checks first look at it.
batch_span = table(
    "batch_span",
    Column("batch", INT, primary_key=True, autoincrement=False),
    Column("centre", TEXT, nullable=False),
    Column("first_us", INT, nullable=False),
    Column("last_us", INT, nullable=False),
)
Index("batch_span_time", batch_span.c.centre, batch_span.c.last_us)

APPEND_ONLY = (
    "register_edition",
    "usage_batch",
    "usage_id",
    "batch_account",
    "declaration",
    "usage_fact",
    "verdict",
    "stream_message",
    "usage_dispute",
    "usage_alert",
    "centre_fact",
)
