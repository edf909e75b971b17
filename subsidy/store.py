"""SQL of subsidies, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from ledger.sql import Connection, chunks, insert_new, insert_rows
from subsidy import tables

# Decisions


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


async def load_decision(conn: Connection, decision_id: str) -> StoredDecision | None:
    """The decision of this id."""
    return await _load_one(conn, tables.decision.c.id == decision_id)


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
    conn: Connection, *, applicant: str = "", after: str = "", limit: int = 100
) -> list[StoredDecision]:
    """Decisions in order of id, which begins with the day; of one applicant, or of all."""
    query = select(tables.decision).where(tables.decision.c.id > after)
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
