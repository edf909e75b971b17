"""Tables of vouchers. A voucher's balance is its ledger account's; nothing here is money.

A voucher has one place in one status list. What stands there follows from the ledger (restriction, balance), its validity
and `revoked`, which also says what was then given back to the budget; nothing else keeps it.
"""

from __future__ import annotations

from sqlalchemy import Column, Index

from ledger.tables import BYTES, INT, TEXT, table

voucher = table(
    "voucher",
    Column("jti", TEXT, primary_key=True),
    Column("scheme", TEXT, nullable=False),
    Column("scheme_digest", TEXT, nullable=False),
    Column("holder", TEXT, nullable=False),
    Column("asset", INT, nullable=False),
    Column("units", INT, nullable=False),
    Column("account", INT, nullable=False),
    Column("year", INT, nullable=False),
    Column("issued_us", INT, nullable=False),
    Column("from_us", INT, nullable=False),
    Column("until_us", INT, nullable=False),
    Column("priority", INT, nullable=False),
    Column("kid", TEXT, nullable=False),
    Column("jwt_input", BYTES, nullable=False),
    Column("cwt_input", BYTES, nullable=False),
    Column("event_id", BYTES, nullable=False, unique=True),
    Column("request_digest", BYTES, nullable=False),
)
Index("voucher_holder", voucher.c.holder, voucher.c.scheme, voucher.c.year)

released = table(
    "released",
    Column("jti", TEXT, primary_key=True),
    Column("token", TEXT, nullable=False),
    Column("cwt", TEXT, nullable=False),
    Column("dual", TEXT),
)

status_list = table(
    "status_list",
    Column("list", TEXT, primary_key=True),
    Column("uri", TEXT, nullable=False, unique=True),
    Column("entries", INT, nullable=False),
    Column("used", INT, nullable=False),
    Column("opened_us", INT, nullable=False),
)

status_place = table(
    "status_place",
    Column("list", TEXT, primary_key=True),
    Column("place", INT, primary_key=True),
    Column("jti", TEXT, nullable=False, unique=True),
    clustered=True,
)

revoked = table(
    "revoked",
    Column("jti", TEXT, primary_key=True),
    Column("revoked_us", INT, nullable=False),
    Column("returned", INT, nullable=False),
)

binding = table(
    "binding",
    Column("centre", TEXT, primary_key=True),
    Column("account", TEXT, primary_key=True),
    Column("holder", TEXT, nullable=False),
    clustered=True,
)

redeemed = table(
    "redeemed",
    Column("scheme", TEXT, primary_key=True),
    Column("centre", TEXT, primary_key=True),
    Column("units", INT, nullable=False),
)

spend_request = table(
    "spend_request",
    Column("centre", TEXT, primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("digest", BYTES, nullable=False),
    Column("at_us", INT, nullable=False),
    Column("answer", BYTES, nullable=False),
    clustered=True,
)
"""What a centre asked under an Idempotency-Key, and what it was told."""

hold_part = table(
    "hold_part",
    Column("seq", INT, primary_key=True, autoincrement=False),
    Column("hold", TEXT, nullable=False),
    Column("jti", TEXT, nullable=False),
    Column("centre", TEXT, nullable=False),
    Column("units", INT, nullable=False),
    Column("reference", TEXT, nullable=False),
    Column("proof", TEXT, nullable=False),
)
"""Holds of the ledger by the id that a centre knows: the first, one for each time that it was raised or that metering held it
again, and a note of the first capture by hand."""
Index("hold_part_hold", hold_part.c.hold)
Index("hold_part_jti", hold_part.c.jti)

offline_lease = table(
    "offline_lease",
    Column("hold", TEXT, primary_key=True),
    Column("seq", INT, nullable=False),
    Column("jti", TEXT, nullable=False),
    Column("centre", TEXT, nullable=False),
    Column("asset", INT, nullable=False),
    Column("from_s", INT, nullable=False),
    Column("ends_s", INT, nullable=False),
)
"""Holds that are leases of one centre, and when they may be spent offline."""
Index("offline_lease_jti", offline_lease.c.jti)
Index("offline_lease_centre", offline_lease.c.centre)

offline_spend = table(
    "offline_spend",
    Column("hold", TEXT, primary_key=True),
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("units", INT, nullable=False),
    Column("at_s", INT, nullable=False),
    Column("reference", TEXT, nullable=False),
    Column("seq", INT, nullable=False),
    clustered=True,
)
"""What a centre says it spent of a lease; `seq` is the entry that captured it."""

outflow = table(
    "outflow",
    Column("event_id", BYTES, primary_key=True),
    Column("jti", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("units", INT, nullable=False),
    Column("at_us", INT, nullable=False),
    Column("child", TEXT),
)
"""What left a voucher without paying for anything: expired unused, or split into a voucher of its own."""
Index("outflow_jti", outflow.c.jti)

reclaim = table(
    "reclaim",
    Column("jti", TEXT, primary_key=True),
    Column("cycle", INT, primary_key=True),
    Column("stage", TEXT, primary_key=True),
    Column("units", INT, nullable=False),
    Column("day", TEXT, nullable=False),
    Column("effective_on", TEXT, nullable=False),
    Column("event_id", BYTES),
    clustered=True,
)
"""What lay idle, by voucher and cycle: `looked` at (units 0), `notice` of what will be taken, `taken` or `spared`. Days are Shanghai's."""

# Findings: what a check pointed out, the evidence of each run that saw something new, and what reviewers decided.
finding = table(
    "finding",
    Column("id", TEXT, primary_key=True),
    Column("pattern", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("zh", TEXT, nullable=False),
    Column("en", TEXT, nullable=False),
    Column("question", TEXT, nullable=False),
    Column("found_us", INT, nullable=False),
)
Index("finding_found", finding.c.found_us, finding.c.id)

finding_evidence = table(
    "finding_evidence",
    Column("finding", TEXT, primary_key=True),
    Column("number", INT, primary_key=True),
    Column("body", BYTES, nullable=False),
    Column("seen_us", INT, nullable=False),
    clustered=True,
)

finding_review = table(
    "finding_review",
    Column("finding", TEXT, primary_key=True),
    Column("number", INT, primary_key=True),
    Column("state", TEXT, nullable=False),
    Column("officer", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("evidence", INT, nullable=False),
    Column("at_us", INT, nullable=False),
    clustered=True,
)
"""`evidence` is the number of the newest evidence that the reviewer had before him."""

finding_run = table(
    "finding_run",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("at_us", INT, nullable=False),
    Column("last_batch", INT, nullable=False),
    Column("judged_us", INT, nullable=False),
    Column("raised", INT, nullable=False),
    Column("renewed", INT, nullable=False),
)
"""What a run of the checks had looked at: batches up to `last_batch`, hours of telemetry before `judged_us`."""

party_trait = table(
    "party_trait",
    Column("party", TEXT, primary_key=True),
    Column("kind", TEXT, primary_key=True),
    Column("blinded", TEXT, primary_key=True),
    Column("shown", TEXT, nullable=False),
    Column("origin", TEXT, nullable=False),
    Column("recorded_us", INT, nullable=False),
    clustered=True,
)
"""What ties parties together; values stand there blinded by the ledger's key, and masked for a reviewer."""

sanction = table(
    "sanction",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("party", TEXT, nullable=False),
    Column("decision", TEXT, nullable=False),
    Column("from_us", INT, nullable=False),
    Column("until_us", INT, nullable=False),
    Column("officer", TEXT, nullable=False),
    Column("recorded_us", INT, nullable=False),
)

tip = table(
    "tip",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("provider", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    Column("officer", TEXT, nullable=False),
    Column("recorded_us", INT, nullable=False),
)

APPEND_ONLY = (
    *("voucher", "released", "status_place", "revoked", "spend_request", "hold_part", "outflow", "reclaim"),
    *("offline_lease", "offline_spend"),
    *("finding", "finding_evidence", "finding_review", "finding_run", "sanction", "tip"),
)
