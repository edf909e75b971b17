"""Tables of settlement. A row of `settlement_fact` is the payload of a NOTE; lines are what a batch's digest commits to.

What is claimed, payable, paid or given back is in accounts of the ledger; nothing here is money.
"""

from __future__ import annotations

from sqlalchemy import Column, Index

from ledger.tables import BYTES, INT, TEXT, table

settlement_fact = table(
    "settlement_fact",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("subject", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("person", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("at_us", INT, nullable=False),
    Column("event_id", BYTES, nullable=False, unique=True),
    Column("body", BYTES, nullable=False),
)
Index("settlement_fact_subject", settlement_fact.c.subject, settlement_fact.c.number)
Index("settlement_fact_kind", settlement_fact.c.kind, settlement_fact.c.number)

settlement_line = table(
    "settlement_line",
    Column("batch", TEXT, primary_key=True),
    Column("seq", INT, primary_key=True),
    Column("jti", TEXT, primary_key=True),
    Column("part", TEXT, primary_key=True),
    Column("units", INT, nullable=False),
    Column("kind", TEXT, nullable=False),
    clustered=True,
)
Index("settlement_line_place", settlement_line.c.seq, settlement_line.c.jti, settlement_line.c.part)

evidence_file = table(
    "evidence_file",
    Column("sha256", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("body", BYTES, nullable=False),
)

APPEND_ONLY = ("settlement_fact", "settlement_line", "evidence_file")
