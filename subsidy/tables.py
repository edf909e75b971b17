"""Tables of procedures and decisions: steps taken, what is supported, decisions and their documents. All only grow.

A row of `procedure_step` is what a NOTE of the log says, whose payload is its `body`; rows of `support_claim` are what NOTEs of
claims say. `suanquan ledger verify` compares them, and decisions with the NOTE of each.
"""

from __future__ import annotations

from sqlalchemy import Column, Index

from ledger.tables import BYTES, INT, SMALL, TEXT, table

procedure_step = table(
    "procedure_step",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("subject", TEXT, nullable=False),
    Column("round", TEXT, nullable=False),
    Column("step", TEXT, nullable=False),
    Column("person", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("at_us", INT, nullable=False),
    Column("event_id", BYTES, nullable=False, unique=True),
    Column("body", BYTES, nullable=False),
)
Index("procedure_step_subject", procedure_step.c.subject, procedure_step.c.number)
Index("procedure_step_step", procedure_step.c.step, procedure_step.c.number)
Index("procedure_step_round", procedure_step.c.round, procedure_step.c.number)

support_claim = table(
    "support_claim",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("digest", BYTES, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    Column("clause", BYTES, nullable=False),
    Column("released", SMALL, nullable=False),
    Column("event_id", BYTES, nullable=False),
)
Index("support_claim_digest", support_claim.c.digest, support_claim.c.number)
Index("support_claim_subject", support_claim.c.subject, support_claim.c.number)

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

APPEND_ONLY = ("procedure_step", "support_claim", "decision", "decision_document")
