"""Tables of subsidies. Facts are appended; the log has a NOTE for each decision."""

from __future__ import annotations

from sqlalchemy import Column, Index

from ledger.tables import BYTES, INT, TEXT, table

# Decisions: signed records, and the documents that they applied.
#
# `record` is canonical JSON and holds all that was decided; the columns beside it are there to search by. `facts` are the
# facts as written, `signature` is over a JWS that follows from the record.

decision = table(
    "decision",
    Column("id", TEXT, primary_key=True),
    Column("applicant", TEXT, nullable=False),
    Column("decided_us", INT, nullable=False),
    Column("corrects", TEXT, unique=True),
    Column("event_id", BYTES, nullable=False, unique=True),
    Column("record", BYTES, nullable=False),
    Column("facts", BYTES, nullable=False),
    Column("signature", BYTES, nullable=False),
)

Index("decision_applicant", decision.c.applicant, decision.c.decided_us)

decision_document = table(
    "decision_document",
    Column("sha256", BYTES, primary_key=True),
    Column("body", BYTES, nullable=False),
)

DECISIONS_APPEND_ONLY = ("decision", "decision_document")
APPEND_ONLY = (*DECISIONS_APPEND_ONLY,)
