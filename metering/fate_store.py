"""SQL of what is said of usage beside its reports, on a connection that the caller owns: facts, what counts now, verdicts."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import and_, func, or_, select

from ledger.scope import Scope
from ledger.sql import Conflict, Connection, chunks, insert_rows
from metering import tables

CLOSED = ("release", "drop")
"""Verdicts: a record that waited was rated after all, or stays as it is."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing said of a record: `kind` is checkpoint, report (of an attempt with checkpoints), void, revise, release, drop.

    `record` is canonical bytes, empty where the fact has none; `revision` the number of a correction, else 0.
    """

    number: int
    source: int
    id: str
    kind: str
    revision: int
    record: bytes
    reason: str
    requested_by: str
    approved_by: str
    recorded_us: int

    @property
    def digest(self) -> bytes:
        """What the log commits to: SHA-256 of every value with its length."""
        parts = [value if isinstance(value, bytes) else str(value).encode() for value in astuple(self)]
        return sha256(b"".join(len(part).to_bytes(4) + part for part in parts)).digest()


@dataclass(frozen=True, slots=True)
class State:
    """What counts of a record: its canonical bytes (none after a void), the last revision, its own entries in the log."""

    source: int
    id: str
    centre: str
    account: str
    revision: int
    record: bytes
    posted: tuple[int, ...]


async def next_fact(conn: Connection) -> int:
    """Number of the next fact."""
    return int((await conn.execute(select(func.coalesce(func.max(tables.usage_fact.c.number), 0)))).scalar_one()) + 1


async def write_facts(conn: Connection, facts: Iterable[Fact]) -> None:
    """Append facts."""
    await insert_rows(conn, tables.usage_fact, [astuple(fact) for fact in facts])


async def load_facts(conn: Connection, after: int, limit: int) -> list[Fact]:
    """Facts in order, from just above number `after`."""
    table = tables.usage_fact
    rows = await conn.execute(select(table).where(table.c.number > after).order_by(table.c.number).limit(limit))
    return [Fact(*row) for row in rows]


async def facts_of(conn: Connection, source: int, ids: Iterable[str]) -> list[Fact]:
    """Every fact about these records, oldest first."""
    table, found = tables.usage_fact, []
    for part in chunks(ids):
        rows = await conn.execute(select(table).where(table.c.source == source, table.c.id.in_(part)))
        found += [Fact(*row) for row in rows]
    return sorted(found, key=lambda fact: fact.number)


async def put_states(conn: Connection, states: Iterable[State]) -> None:
    """Say what counts from now on."""
    rows = [(*astuple(state)[:-1], struct.pack(f">{len(state.posted)}Q", *state.posted)) for state in states]
    await insert_rows(conn, tables.usage_state, rows, Conflict.REPLACE)


async def load_states(conn: Connection, source: int, ids: Iterable[str]) -> dict[str, State]:
    """What counts of those of these records of which more is known than their report."""
    table, found = tables.usage_state, {}
    for part in chunks(ids):
        for row in await conn.execute(select(table).where(table.c.source == source, table.c.id.in_(part))):
            found[row.id] = _state(row)
    return found


async def account_states(conn: Connection, centre: str, account: str) -> list[State]:
    """What counts of an account's records of which more is known than their report, by source and id."""
    table = tables.usage_state
    query = select(table).where(table.c.centre == centre, table.c.account == account)
    return [_state(row) for row in await conn.execute(query.order_by(table.c.source, table.c.id))]


def _state(row: Any) -> State:
    posted = tuple(number for (number,) in struct.iter_unpack(">Q", row.posted))
    return State(row.source, row.id, row.centre, row.account, row.revision, row.record, posted)


async def has_states(conn: Connection, source: int) -> bool:
    """Whether more than reports is known of any record of a source."""
    table = tables.usage_state
    return (await conn.execute(select(table.c.id).where(table.c.source == source).limit(1))).first() is not None


async def write_verdict(conn: Connection, batch: int, position: int, verdict: str, fact: int) -> None:
    """Close a record that waited."""
    await insert_rows(conn, tables.verdict, [(batch, position, verdict, fact)])


async def waiting(
    conn: Connection,
    scope: Scope,
    *,
    centre: str | None = None,
    statuses: Sequence[str] = (),
    limit: int = 1000,
    every: bool = False,
) -> list[dict[str, Any]]:
    """Records in quarantine inside the scope, newest first; those with a verdict only where `every` one is asked for."""
    held, verdict = tables.quarantine, tables.verdict
    joined = and_(verdict.c.batch == held.c.batch, verdict.c.position == held.c.position)
    query = select(held, verdict.c.verdict).join_from(held, verdict, joined, isouter=True)
    if not every:
        query = query.where(verdict.c.verdict.is_(None))
    if centre is not None:
        query = query.where(held.c.centre == centre)
    if not scope.everything:
        query = query.where(held.c.centre == scope.centre)
    if statuses:
        query = query.where(or_(*(held.c.status == status for status in statuses)))
    rows = await conn.execute(query.order_by(held.c.batch.desc(), held.c.position).limit(limit))
    return [dict(row) for row in rows.mappings()]


async def waiting_at(conn: Connection, batch: int, position: int) -> dict[str, Any] | None:
    """One record in quarantine with its verdict, if there is such a record."""
    held, verdict = tables.quarantine, tables.verdict
    joined = and_(verdict.c.batch == held.c.batch, verdict.c.position == held.c.position)
    query = select(held, verdict.c.verdict).join_from(held, verdict, joined, isouter=True)
    row = (await conn.execute(query.where(held.c.batch == batch, held.c.position == position))).mappings().first()
    return None if row is None else dict(row)


async def count_waiting(conn: Connection) -> dict[str, int]:
    """Number of records that wait for a person, by centre."""
    held, verdict = tables.quarantine, tables.verdict
    joined = and_(verdict.c.batch == held.c.batch, verdict.c.position == held.c.position)
    query = (
        select(held.c.centre, func.count())
        .join_from(held, verdict, joined, isouter=True)
        .where(verdict.c.verdict.is_(None))
        .group_by(held.c.centre)
    )
    return {row[0]: row[1] for row in await conn.execute(query)}
