"""Tables of procedures: the steps that were taken and the register of what is supported. Both only grow.

A row of `procedure_step` is what a NOTE of the log says, whose payload is its `body`; rows of `support_claim` are what NOTEs of
claims say. `suanquan ledger verify` compares them.
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

APPEND_ONLY = ("procedure_step", "support_claim")
