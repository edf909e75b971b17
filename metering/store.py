"""SQL of metering, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from ledger.store import Conflict, Connection, chunks, insert_rows
from metering import tables
from metering.rating import Line, LineKey


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a stream of records: an agent of a centre, how far it has reported, and the time its records span."""

    number: int
    urn: str
    centre: str
    last_sequence: int = 0
    last_id: str = ""
    first_us: int = 0
    last_us: int = 0
    received_us: int = 0


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as committed: enough to give the same answer again and to prove every record in it."""

    number: int
    key: str
    body_digest: bytes
    received_us: int
    records: int
    root: bytes
    log_first: int
    log_size: int
    segment: bytes
    answer: bytes


async def put_centre(conn: Connection, centre: str, name: str, capacity: Mapping[str, int]) -> None:
    """Register a centre, or change its name and its capacity (thousandths of a card by canonical model)."""
    await insert_rows(conn, tables.centre, [(centre, name)], Conflict.REPLACE)
    await conn.execute(delete(tables.capacity).where(tables.capacity.c.centre == centre))
    await insert_rows(conn, tables.capacity, [(centre, model, count) for model, count in capacity.items()])


async def load_centres(conn: Connection) -> dict[str, str]:
    """Names of all centres by id."""
    rows = await conn.execute(select(tables.centre.c.id, tables.centre.c.name).order_by(tables.centre.c.id))
    return dict(rows.tuples().all())


async def load_capacity(conn: Connection) -> dict[str, dict[str, int]]:
    """Thousandths of cards by centre and canonical model."""
    found: dict[str, dict[str, int]] = {}
    for centre, model, count in await conn.execute(select(tables.capacity)):
        found.setdefault(centre, {})[model] = count
    return found


async def add_agent_key(conn: Connection, kid: str, public: bytes, centre: str) -> None:
    """Let a key report for a centre."""
    await conn.execute(
        upsert(tables.agent_key).values(kid=kid, public=public, centre=centre).on_conflict_do_nothing()
    )


async def load_agent_keys(conn: Connection) -> dict[str, tuple[bytes, str]]:
    """Public key and centre of every agent key in force, by key id."""
    query = select(tables.agent_key).where(tables.agent_key.c.revoked_us.is_(None))
    return {row.kid: (row.public, row.centre) for row in await conn.execute(query)}


async def use_nonce(conn: Connection, kid: str, nonce: str, until_us: int) -> bool:
    """Take a nonce; False when it was taken before."""
    taken = await conn.execute(
        upsert(tables.nonce).values(kid=kid, nonce=nonce, until_us=until_us).on_conflict_do_nothing()
    )
    return bool(taken.rowcount)


async def forget_nonces(conn: Connection, before_us: int) -> None:
    """Drop nonces whose signatures have long expired."""
    await conn.execute(delete(tables.nonce).where(tables.nonce.c.until_us < before_us))


async def open_source(conn: Connection, urn: str, centre: str) -> Source:
    """The source of this URN, registered on first sight."""
    row = (await conn.execute(select(tables.source).where(tables.source.c.urn == urn))).one_or_none()
    if row is not None:
        return Source(*row)
    number = int((await conn.execute(select(func.coalesce(func.max(tables.source.c.number), 0)))).scalar_one()) + 1
    source = Source(number, urn, centre)
    await put_source(conn, source)
    return source


async def put_source(conn: Connection, source: Source) -> None:
    """Remember how far a source has reported."""
    row = tuple(getattr(source, name) for name in Source.__dataclass_fields__)
    await insert_rows(conn, tables.source, [row], Conflict.REPLACE)


async def load_sources(conn: Connection) -> list[Source]:
    """Every source."""
    return [Source(*row) for row in await conn.execute(select(tables.source))]


async def load_batch(conn: Connection, source: int, key: str) -> StoredBatch | None:
    """The batch a source sent under an idempotency key."""
    query = select(tables.usage_batch).where(tables.usage_batch.c.source == source, tables.usage_batch.c.key == key)
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else _batch(row)


def _batch(row: Mapping[Any, Any]) -> StoredBatch:
    return StoredBatch(**{name: row[name] for name in StoredBatch.__dataclass_fields__})


async def next_batch_number(conn: Connection) -> int:
    """Number of the next batch."""
    return int((await conn.execute(select(func.coalesce(func.max(tables.usage_batch.c.number), 0)))).scalar_one()) + 1


async def write_batch(conn: Connection, source: int, batch: StoredBatch) -> None:
    """Append a batch."""
    row = (
        batch.number, source, batch.key, batch.body_digest, batch.received_us, batch.records, batch.root,
        batch.log_first, batch.log_size, batch.segment, batch.answer,
    )  # fmt: skip
    await insert_rows(conn, tables.usage_batch, [row])


async def load_batches(conn: Connection, after: int, limit: int) -> list[tuple[int, StoredBatch]]:
    """Source number and batch, in order, from just above number `after`."""
    query = select(tables.usage_batch).where(tables.usage_batch.c.number > after)
    rows = await conn.execute(query.order_by(tables.usage_batch.c.number).limit(limit))
    return [(row["source"], _batch(row)) for row in rows.mappings()]


async def known_ids(conn: Connection, source: int, ids: Iterable[str]) -> dict[str, bytes]:
    """Digests of the ids that this source has reported before."""
    found: dict[str, bytes] = {}
    for part in chunks(ids):
        query = select(tables.usage_id.c.id, tables.usage_id.c.digest).where(
            tables.usage_id.c.source == source, tables.usage_id.c.id.in_(part)
        )
        found.update((await conn.execute(query)).tuples().all())
    return found


async def write_ids(
    conn: Connection, source: int, batch: int, ids: Sequence[str], digests: Sequence[bytes]
) -> None:
    """Keep the identity of new records for ever; `position` is their place in the batch's segment."""
    rows = [(source, name, batch, at, digest) for at, (name, digest) in enumerate(zip(ids, digests, strict=True))]
    await insert_rows(conn, tables.usage_id, rows)


async def load_places(conn: Connection, source: int, ids: Iterable[str]) -> dict[str, tuple[int, int, bytes]]:
    """Batch, position and digest by id, as the identity table has them."""
    table = tables.usage_id.c
    found: dict[str, tuple[int, int, bytes]] = {}
    for part in chunks(ids):
        query = select(table.id, table.batch, table.position, table.digest).where(table.source == source)
        rows = await conn.execute(query.where(table.id.in_(part)))
        found.update((row.id, (row.batch, row.position, row.digest)) for row in rows)
    return found


async def count_ids(conn: Connection) -> int:
    """Number of records whose identity is kept."""
    return int((await conn.execute(select(func.count()).select_from(tables.usage_id))).scalar_one())


async def write_quarantine(conn: Connection, rows: Sequence[tuple[int, int, str, str, str, str, bytes]]) -> None:
    """Keep records that wait for a person: batch, position in it, centre, id, status, code, the record as received."""
    await insert_rows(conn, tables.quarantine, rows)


async def load_quarantine(conn: Connection, limit: int) -> list[dict[str, Any]]:
    """Records that wait for a person, newest first."""
    query = select(tables.quarantine).order_by(tables.quarantine.c.batch.desc(), tables.quarantine.c.position)
    return [dict(row) for row in (await conn.execute(query.limit(limit))).mappings()]


async def count_quarantine(conn: Connection) -> dict[str, int]:
    """Number of records that wait for a person, by centre."""
    query = select(tables.quarantine.c.centre, func.count()).group_by(tables.quarantine.c.centre)
    return dict((await conn.execute(query)).tuples().all())


async def add_usage(conn: Connection, centre: str, lines: Mapping[LineKey, Line]) -> None:
    """Add a batch's sums to the monthly totals."""
    rows = [
        (centre, account, model, month, line.records, line.gpu_ms, line.compute, line.yuan)
        for (account, model, month), line in lines.items()
    ]
    await insert_rows(conn, tables.usage_month, rows, Conflict.ADD)


async def add_statuses(conn: Connection, centre: str, counts: Mapping[str, int]) -> None:
    """Count reported records by status."""
    rows = [(centre, status, count) for status, count in counts.items() if count]
    await insert_rows(conn, tables.status_count, rows, Conflict.ADD)


async def load_statuses(conn: Connection) -> list[tuple[str, str, int]]:
    """Centre, status, number of records."""
    return [(row.centre, row.status, row.records) for row in await conn.execute(select(tables.status_count))]


async def usage_by(conn: Connection, *columns: str, **where: str | int) -> list[dict[str, Any]]:
    """Monthly totals summed by the named columns (centre, account, model, month)."""
    table = tables.usage_month
    keys = [table.c[name] for name in columns]
    sums = [func.sum(table.c[name]).label(name) for name in ("records", "gpu_ms", "compute_units", "rated_units")]
    query = select(*keys, *sums).group_by(*keys).order_by(*keys)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    return [dict(row) for row in (await conn.execute(query)).mappings()]


async def write_batch_accounts(conn: Connection, rows: Sequence[tuple[str, str, int]]) -> None:
    """Index from an account to the batches that hold its records."""
    await insert_rows(conn, tables.batch_account, rows)


async def account_segments(
    conn: Connection, centre: str, account: str, before: int, limit: int
) -> list[tuple[int, bytes]]:
    """Number and segment of the newest batches that hold an account's records."""
    index, batch = tables.batch_account, tables.usage_batch
    query = (
        select(batch.c.number, batch.c.segment)
        .join_from(index, batch, index.c.batch == batch.c.number)
        .where(index.c.centre == centre, index.c.account == account, index.c.batch < before)
        .order_by(index.c.batch.desc())
        .limit(limit)
    )
    return list((await conn.execute(query)).tuples().all())


