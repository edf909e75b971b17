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
"""Holds of the ledger by the id that a centre knows: the first, and one for each time that it was raised."""
Index("hold_part_hold", hold_part.c.hold)
Index("hold_part_jti", hold_part.c.jti)

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

APPEND_ONLY = ("voucher", "released", "status_place", "revoked", "spend_request", "hold_part", "outflow", "reclaim")
