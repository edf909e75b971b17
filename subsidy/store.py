"""SQL of procedures, of the register and of decisions, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, select

from ledger.scope import Scope
from ledger.sql import Connection, chunks, insert_new, insert_rows
from subsidy import tables
from subsidy.register import Claim

STEP, CLAIM = tables.procedure_step.c, tables.support_claim.c
PART = 2_000


class StepRow(NamedTuple):
    """A step as stored; `body` is the payload of its NOTE."""

    number: int
    subject: str
    round: str
    step: str
    person: str
    role: str
    at_us: int
    event_id: bytes
    body: bytes


async def next_step_number(conn: Connection) -> int:
    """Number of the next step: 1, 2, 3 … without gaps."""
    return int((await conn.execute(select(func.coalesce(func.max(STEP.number), 0)))).scalar_one()) + 1


async def add_step(conn: Connection, row: StepRow) -> None:
    """Append a step."""
    await insert_rows(conn, tables.procedure_step, [tuple(row)])


async def find_step(conn: Connection, event_id: bytes) -> StepRow | None:
    """The step that an event recorded."""
    row = (await conn.execute(select(tables.procedure_step).where(STEP.event_id == event_id))).one_or_none()
    return None if row is None else StepRow(*row)


async def steps_of(conn: Connection, subject: str) -> list[StepRow]:
    """The steps of one round or application, in order."""
    query = select(tables.procedure_step).where(STEP.subject == subject).order_by(STEP.number)
    return [StepRow(*row) for row in await conn.execute(query)]


async def steps_since(conn: Connection, number: int) -> list[StepRow]:
    """Every step from a number on, in order."""
    query = select(tables.procedure_step).where(STEP.number >= number).order_by(STEP.number)
    return [StepRow(*row) for row in await conn.execute(query)]


async def steps_of_round(conn: Connection, round_: str) -> list[StepRow]:
    """The steps of a round and of all its applications, in order."""
    query = select(tables.procedure_step).where(STEP.round == round_).order_by(STEP.number)
    return [StepRow(*row) for row in await conn.execute(query)]


async def count_applications(conn: Connection, round_: str) -> int:
    """Applications of a round, withdrawn ones included."""
    query = select(func.count(STEP.subject.distinct())).where(STEP.round == round_, STEP.subject != round_)
    return int((await conn.execute(query)).scalar_one())


async def steps_named(conn: Connection, step: str) -> list[StepRow]:
    """Every step of this name, in order: all calls, for example."""
    query = select(tables.procedure_step).where(STEP.step == step).order_by(STEP.number)
    return [StepRow(*row) for row in await conn.execute(query)]


async def every_step(conn: Connection) -> AsyncIterator[StepRow]:
    """All steps in order, fetched in parts."""
    query = select(tables.procedure_step).order_by(STEP.number).execution_options(yield_per=PART)
    async for part in (await conn.stream(query)).partitions():
        for row in part:
            yield StepRow(*row)


async def next_claim_number(conn: Connection) -> int:
    """Number of the next row of the register."""
    return int((await conn.execute(select(func.coalesce(func.max(CLAIM.number), 0)))).scalar_one()) + 1


async def add_claims(conn: Connection, claims: Sequence[Claim]) -> None:
    """Append rows to the register."""
    await insert_rows(conn, tables.support_claim, [tuple(claim) for claim in claims])


async def claims_on(conn: Connection, digests: Iterable[bytes]) -> list[Claim]:
    """Rows of the register about these commitments, in order."""
    found: list[Claim] = []
    for part in chunks(digests):
        query = select(tables.support_claim).where(CLAIM.digest.in_(part)).order_by(CLAIM.number)
        found.extend(Claim(*row) for row in await conn.execute(query))
    return found


async def claims_of(conn: Connection, subject: str) -> list[Claim]:
    """Rows of the register of one subject, in order."""
    query = select(tables.support_claim).where(CLAIM.subject == subject).order_by(CLAIM.number)
    return [Claim(*row) for row in await conn.execute(query)]


async def every_claim(conn: Connection) -> AsyncIterator[Claim]:
    """The whole register in order, fetched in parts."""
    query = select(tables.support_claim).order_by(CLAIM.number).execution_options(yield_per=PART)
    async for part in (await conn.stream(query)).partitions():
        for row in part:
            yield Claim(*row)


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as recorded: its id, whom it concerns, which one it corrects, its log event, and what was signed."""

    id: str
    applicant: str
    decided_us: int
    corrects: str | None
    event_id: bytes
    record: bytes
    facts: bytes
    signature: bytes


async def write_decision(conn: Connection, stored: StoredDecision) -> None:
    """Append a decision."""
    row = tuple(getattr(stored, name) for name in StoredDecision.__dataclass_fields__)
    await insert_rows(conn, tables.decision, [row])


async def write_documents(conn: Connection, bodies: Mapping[bytes, bytes]) -> None:
    """Keep documents by their SHA-256; one that is kept already stays as it is."""
    for digest, body in bodies.items():
        await insert_new(conn, tables.decision_document, (digest, body))


def _within(scope: Scope) -> tuple[ColumnElement[bool], ...]:
    """Condition of a scope on decisions, which belong to applicants."""
    return () if scope.everything else (tables.decision.c.applicant == scope.holder,)


async def load_decision(conn: Connection, decision_id: str, scope: Scope) -> StoredDecision | None:
    """The decision of this id, if it is inside the scope."""
    return await _load_one(conn, and_(tables.decision.c.id == decision_id, *_within(scope)))


async def find_decision(conn: Connection, event_id: bytes) -> StoredDecision | None:
    """The decision that an event of the log recorded."""
    return await _load_one(conn, tables.decision.c.event_id == event_id)


async def find_correction(conn: Connection, decision_id: str) -> StoredDecision | None:
    """The decision that corrects this one."""
    return await _load_one(conn, tables.decision.c.corrects == decision_id)


async def _load_one(conn: Connection, condition: Any) -> StoredDecision | None:
    row = (await conn.execute(select(tables.decision).where(condition))).one_or_none()
    return None if row is None else StoredDecision(*row)


async def list_decisions(
    conn: Connection, scope: Scope, *, applicant: str = "", after: str = "", limit: int = 100
) -> list[StoredDecision]:
    """Decisions in order of id, which begins with the day; of one applicant, or of all."""
    query = select(tables.decision).where(tables.decision.c.id > after, *_within(scope))
    if applicant:
        query = query.where(tables.decision.c.applicant == applicant)
    rows = await conn.execute(query.order_by(tables.decision.c.id).limit(limit))
    return [StoredDecision(*row) for row in rows]


async def load_documents(conn: Connection, digests: Iterable[bytes]) -> dict[bytes, bytes]:
    """Kept documents by their SHA-256."""
    found: dict[bytes, bytes] = {}
    for part in chunks(digests):
        query = select(tables.decision_document).where(tables.decision_document.c.sha256.in_(part))
        found.update((digest, body) for digest, body in await conn.execute(query))
    return found


async def all_decisions(conn: Connection) -> AsyncIterator[StoredDecision]:
    """Every decision in order of id, fetched in parts."""
    result = await conn.stream(select(tables.decision).order_by(tables.decision.c.id).execution_options(yield_per=200))
    async for part in result.partitions():
        for row in part:
            yield StoredDecision(*row)


async def all_documents(conn: Connection) -> AsyncIterator[tuple[bytes, bytes]]:
    """Every kept document with its SHA-256, fetched in parts."""
    query = select(tables.decision_document).order_by(tables.decision_document.c.sha256)
    result = await conn.stream(query.execution_options(yield_per=20))
    async for part in result.partitions():
        for digest, body in part:
            yield digest, body
