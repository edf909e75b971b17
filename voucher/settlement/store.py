"""SQL of settlement, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from sqlalchemy import func, select

from ledger.sql import Connection, chunks, insert_new, insert_rows
from voucher.settlement import tables
from voucher.settlement.fact import Fact, fact_of
from voucher.settlement.line import Line

FACT, LINE, FILE = tables.settlement_fact.c, tables.settlement_line.c, tables.evidence_file.c
PART = 2_000


async def next_number(conn: Connection) -> int:
    """Number of the next fact: 1, 2, 3 … without gaps."""
    return int((await conn.execute(select(func.coalesce(func.max(FACT.number), 0)))).scalar_one()) + 1


async def add_fact(conn: Connection, fact: Fact) -> None:
    """Append a fact."""
    await insert_rows(conn, tables.settlement_fact, [tuple(fact)])


async def find_fact(conn: Connection, event_id: bytes) -> Fact | None:
    """The fact that an event recorded."""
    row = (await conn.execute(select(tables.settlement_fact).where(FACT.event_id == event_id))).one_or_none()
    return None if row is None else Fact(*row)


async def facts_of(conn: Connection, subject: str) -> list[Fact]:
    """The facts of one subject, in order."""
    query = select(tables.settlement_fact).where(FACT.subject == subject).order_by(FACT.number)
    return [_told(row) for row in await conn.execute(query)]


def _told(row: Any) -> Fact:
    """A fact as its body has it, which is what the log commits to: who did it is read from nowhere else."""
    fact = fact_of(row.event_id, row.body)
    assert fact is not None, "what is stored as a fact is one"
    return fact


async def facts_of_all(conn: Connection, subjects: Iterable[str]) -> dict[str, list[Fact]]:
    """The facts of subjects, each in order."""
    found: dict[str, list[Fact]] = {}
    for part in chunks(subjects):
        query = select(tables.settlement_fact).where(FACT.subject.in_(part)).order_by(FACT.number)
        for row in await conn.execute(query):
            found.setdefault(row.subject, []).append(_told(row))
    return found


async def facts_named(conn: Connection, kind: str) -> list[Fact]:
    """Every fact of a kind, in order."""
    query = select(tables.settlement_fact).where(FACT.kind == kind).order_by(FACT.number)
    return [_told(row) for row in await conn.execute(query)]


async def every_fact(conn: Connection) -> AsyncIterator[Fact]:
    """All facts in order, fetched in parts."""
    query = select(tables.settlement_fact).order_by(FACT.number).execution_options(yield_per=PART)
    async for part in (await conn.stream(query)).partitions():
        for row in part:
            yield Fact(*row)


async def add_lines(conn: Connection, batch: str, lines: Sequence[Line]) -> None:
    """Keep the lines of a batch."""
    await insert_rows(conn, tables.settlement_line, [(batch, *line) for line in lines])


async def lines_of(conn: Connection, batch: str) -> list[Line]:
    """The lines of a batch, in order."""
    columns = (LINE.seq, LINE.jti, LINE.part, LINE.units, LINE.kind)
    query = select(*columns).where(LINE.batch == batch).order_by(LINE.seq, LINE.jti, LINE.part)
    return [Line(*row) for row in await conn.execute(query)]


async def batches_of_lines(conn: Connection, seqs: Iterable[int]) -> dict[tuple[int, str, str], list[str]]:
    """Batches by the places of their lines, of these entries."""
    found: dict[tuple[int, str, str], list[str]] = {}
    for part in chunks(seqs):
        query = select(LINE.seq, LINE.jti, LINE.part, LINE.batch).where(LINE.seq.in_(part))
        for seq, jti, piece, batch in await conn.execute(query):
            found.setdefault((seq, jti, piece), []).append(batch)
    return found


async def every_line(conn: Connection) -> AsyncIterator[tuple[str, Line]]:
    """All lines with their batch, by batch and place, fetched in parts."""
    order = (LINE.batch, LINE.seq, LINE.jti, LINE.part)
    query = select(tables.settlement_line).order_by(*order).execution_options(yield_per=PART)
    async for part in (await conn.stream(query)).partitions():
        for row in part:
            yield row[0], Line(*row[1:])


async def keep_file(conn: Connection, sha256: str, name: str, body: bytes) -> None:
    """Keep a file by its digest; one that is kept already stays as it is."""
    await insert_new(conn, tables.evidence_file, (sha256, name, body))


async def load_file(conn: Connection, sha256: str) -> bytes | None:
    """A kept file."""
    found: bytes | None = (await conn.execute(select(FILE.body).where(FILE.sha256 == sha256))).scalar_one_or_none()
    return found


async def every_file(conn: Connection) -> AsyncIterator[tuple[str, bytes]]:
    """All kept files with their digest, fetched one after another."""
    query = select(FILE.sha256, FILE.body).order_by(FILE.sha256).execution_options(yield_per=20)
    async for part in (await conn.stream(query)).partitions():
        for digest, body in part:
            yield digest, body
