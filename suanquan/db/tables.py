"""Tables of the service itself, and the whole schema: importing this module makes every table known to `metadata`."""

from __future__ import annotations

from sqlalchemy import Column

from ledger import tables as ledger_tables
from ledger.tables import BYTES, INT, TEXT, table
from metering import tables as metering_tables
from subsidy import tables as subsidy_tables
from voucher import tables as voucher_tables
from voucher.settlement import tables as settlement_tables

api_token = table(
    "api_token",
    Column("digest", BYTES, primary_key=True),
    Column("role", TEXT, nullable=False),
    Column("label", TEXT, nullable=False),
    Column("created_us", INT, nullable=False),
    Column("revoked_us", INT),
)

lease = table(
    "lease",
    Column("name", TEXT, primary_key=True),
    Column("owner", TEXT, nullable=False),
    Column("epoch", INT, nullable=False),
    Column("until_us", INT, nullable=False),
)

APPEND_ONLY = (
    *ledger_tables.APPEND_ONLY,
    *metering_tables.APPEND_ONLY,
    *subsidy_tables.APPEND_ONLY,
    *voucher_tables.APPEND_ONLY,
    *settlement_tables.APPEND_ONLY,
)
