"""SQL of metering, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, update

from ledger.sql import Conflict, Connection, Rows, execute_all, insert_new, insert_rows, select_in
from ledger.tree import hash_leaf
from metering import segment, tables
from metering.completeness import Declaration
from metering.rating import Line, LineKey

PLACES = 1 << 14
"""A record's place is batch number × PLACES + index in the batch's segment; a batch holds at most 10,000."""
DIGEST_BYTES = 16
"""Kept of a record's digest: enough to tell other content under the same id, half the size of the table."""


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
    return {row.id: row.name for row in rows}


async def load_capacity(conn: Connection) -> dict[str, dict[str, int]]:
    """Thousandths of cards by centre and canonical model."""
    found: dict[str, dict[str, int]] = {}
    for centre, model, count in await conn.execute(select(tables.capacity)):
        found.setdefault(centre, {})[model] = count
    return found


async def add_agent_key(conn: Connection, kid: str, public: bytes, centre: str) -> None:
    """Let a key report for a centre."""
    await insert_new(conn, tables.agent_key, (kid, public, centre, None))


class RegisteredKey(NamedTuple):
    """Whose key it is, and when it was ended."""

    centre: str
    revoked_us: int | None


async def find_agent_key(conn: Connection, kid: str) -> RegisteredKey | None:
    """A key that is registered or was."""
    c = tables.agent_key.c
    row = (await conn.execute(select(c.centre, c.revoked_us).where(c.kid == kid))).first()
    return None if row is None else RegisteredKey(row.centre, row.revoked_us)


async def end_agent_key(conn: Connection, kid: str, now_us: int) -> None:
    """Let a key report no more."""
    await conn.execute(update(tables.agent_key).where(tables.agent_key.c.kid == kid).values(revoked_us=now_us))


async def load_agent_keys(conn: Connection) -> dict[str, tuple[bytes, str]]:
    """Public key and centre of every agent key in force, by key id."""
    query = select(tables.agent_key).where(tables.agent_key.c.revoked_us.is_(None))
    return {row.kid: (row.public, row.centre) for row in await conn.execute(query)}


async def use_nonce(conn: Connection, kid: str, nonce: str, until_us: int) -> bool:
    """Take a nonce; False when it was taken before."""
    return await insert_new(conn, tables.nonce, (kid, nonce, until_us))


def nonce_rows(rows: Sequence[tuple[str, str, int]]) -> Rows:
    """Nonces that were looked up and are new, to be written with other rows."""
    return tables.nonce, rows, Conflict.REFUSE


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


async def source_of(conn: Connection, urn: str) -> Source | None:
    """The source of this URN, if it ever reported."""
    row = (await conn.execute(select(tables.source).where(tables.source.c.urn == urn))).one_or_none()
    return None if row is None else Source(*row)


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


async def batch_numbered(conn: Connection, number: int) -> tuple[int, StoredBatch] | None:
    """Source number and batch of a number."""
    query = select(tables.usage_batch).where(tables.usage_batch.c.number == number)
    row = (await conn.execute(query)).mappings().one_or_none()
    return None if row is None else (row["source"], _batch(row))


async def write_range(conn: Connection, source: int, batch: int, ids: Sequence[str]) -> None:
    """Keep the identity of a batch whose ids ascend above all that its source had sent: one row for all of them."""
    await insert_rows(conn, tables.id_range, [(source, ids[0], ids[-1], batch, 0)])


async def index_ranges(conn: Connection, source: int, first_id: str, last_id: str) -> None:
    """Put the ids of every batch into `usage_id` whose range meets [first_id, last_id]; each batch at most once."""
    table, batch = tables.id_range.c, tables.usage_batch.c
    met = (table.source == source, table.indexed == 0, table.first_id <= last_id, table.last_id >= first_id)
    numbers = [number for (number,) in await conn.execute(select(table.batch).where(*met))]
    for number in numbers:
        stored = (await conn.execute(select(batch.segment).where(batch.number == number))).scalar_one()
        leaves = list(segment.unpack(stored))
        ids, digests = [segment.decode(leaf).id for leaf in leaves], [hash_leaf(leaf) for leaf in leaves]
        await write_ids(conn, source, number, ids, digests)
    if numbers:
        await conn.execute(update(tables.id_range).where(*met).values(indexed=1))


async def load_ranges(conn: Connection) -> dict[int, tuple[int, str, str]]:
    """Source, first and last id by number of the batches whose ids stand in their segments alone."""
    table = tables.id_range.c
    rows = await conn.execute(
        select(table.batch, table.source, table.first_id, table.last_id).where(table.indexed == 0)
    )
    return {row.batch: (row.source, row.first_id, row.last_id) for row in rows}


async def known_ids(conn: Connection, source: int, ids: Iterable[str]) -> dict[str, bytes]:
    """Starts of the digests of the ids that this source has reported before."""
    found = await execute_all(conn, select_in("SELECT id, digest FROM usage_id WHERE source = ? AND id", ids, source))
    return {name: digest for rows in found for name, digest in rows}


async def write_ids(conn: Connection, source: int, batch: int, ids: Sequence[str], digests: Sequence[bytes]) -> None:
    """Keep the identity of new records for ever, with their place and the start of their digest."""
    rows = [
        (source, name, place, digest[:DIGEST_BYTES])
        for place, (name, digest) in enumerate(zip(ids, digests, strict=True), batch * PLACES)
    ]
    await insert_rows(conn, tables.usage_id, rows)


async def load_places(conn: Connection, source: int, ids: Iterable[str]) -> dict[str, tuple[int, bytes]]:
    """Place and digest by id, as the identity table has them."""
    query = "SELECT id, place, digest FROM usage_id WHERE source = ? AND id"
    found = await execute_all(conn, select_in(query, ids, source))
    return {name: (place, digest) for rows in found for name, place, digest in rows}


async def count_ids(conn: Connection) -> int:
    """Number of records whose identity is kept."""
    return int((await conn.execute(select(func.count()).select_from(tables.usage_id))).scalar_one())


async def write_quarantine(conn: Connection, rows: Sequence[tuple[int, int, str, str, str, str, bytes]]) -> None:
    """Keep records that wait for a person: batch, position in it, centre, id, status, code, the record as received.

    An id may be anything that was sent: no database text can hold a NUL, which the record itself keeps.
    """
    rows = [(*row[:3], row[3].replace("\0", "\ufffd"), *row[4:]) for row in rows]
    await insert_rows(conn, tables.quarantine, rows)


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
    names = ("records", "gpu_ms", "compute_units", "rated_units")
    # In two halves: SQLite refuses to add up beyond int64, and one centre's nonsense must not close everybody's page.
    high = [func.sum(table.c[name] // 2**32) for name in names]
    low = [func.sum(table.c[name] % 2**32) for name in names]
    query = select(*keys, *high, *low).group_by(*keys).order_by(*keys)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    at, size = len(keys), len(names)
    return [
        dict(zip(columns, row[:at], strict=True))
        | {name: (int(row[at + n]) << 32) + int(row[at + size + n]) for n, name in enumerate(names)}
        for row in await conn.execute(query)
    ]


_BY_MODEL = """
SELECT centre, model, SUM(gpu / 4294967296), SUM(gpu % 4294967296), SUM(yuan / 4294967296), SUM(yuan % 4294967296) FROM (
  SELECT centre, model, CAST(SUM(gpu_ms) AS BIGINT) AS gpu, CAST(SUM(rated_units) AS BIGINT) AS yuan
  FROM usage_month GROUP BY centre, account, model
) s GROUP BY centre, model ORDER BY centre, model
"""
"""Of one account the sums fit 63 bits; those of all are taken in two halves, so that no database overflows."""


async def usage_by_model(conn: Connection) -> list[tuple[str, str, int, int]]:
    """Centre, model, GPU-milliseconds and yuan units rated, over all accounts and months.

    Summed by account first, which is the order of the rows: three times as fast as `usage_by` on SQLite.
    """
    [rows] = await execute_all(conn, [(_BY_MODEL, ())])
    return [
        (centre, model, (int(gpu[0]) << 32) + int(gpu[1]), (int(yuan[0]) << 32) + int(yuan[1]))
        for centre, model, *sums in rows
        for gpu, yuan in [(sums[:2], sums[2:])]
    ]


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
    return [(row.number, row.segment) for row in await conn.execute(query)]


async def declare(conn: Connection, centre: str, kid: str, now_us: int, new: Sequence[Declaration]) -> None:
    """Append declarations; one that says what the newest of its month and account says changes nothing."""
    rows = []
    newest = await load_declarations(conn, centre)
    for one in new:
        number, earlier = newest.get((one.month, one.account), (0, None))
        if one != earlier:
            rows.append((centre, one.month, one.account, number + 1, one.jobs, one.segments, one.gpu_ms, kid, now_us))
    await insert_rows(conn, tables.declaration, rows)


async def load_declarations(conn: Connection, centre: str) -> dict[tuple[int, str], tuple[int, Declaration]]:
    """Number and content of the newest declaration by month and account."""
    table = tables.declaration.c
    query = select(tables.declaration).where(table.centre == centre).order_by(table.number)
    return {
        (row.month, row.account): (row.number, Declaration(row.month, row.account, row.jobs, row.segments, row.gpu_ms))
        for row in await conn.execute(query)
    }


USAGE_PART = 2_000


class UsagePart(NamedTuple):
    """Which monthly totals: of a centre, an account, a model, a month such as 202611; what is empty counts for all."""

    centre: str = ""
    account: str = ""
    model: str = ""
    month: int = 0

    def wanted(self) -> dict[str, str | int]:
        """What is given, by column."""
        return {name: value for name, value in self._asdict().items() if value}


ALL_USAGE = UsagePart()
UsageRow = tuple[str, str, str, int, int, int, int]
"""Centre, account, model, month, records, GPU-milliseconds, yuan units rated."""
UsageKey = tuple[str, str, str, int]


async def usage_page(conn: Connection, part: UsagePart, after: UsageKey, limit: int) -> list[UsageRow]:
    """Monthly totals of a part in order of centre, account, model and month, from just above `after`."""
    wanted = part.wanted()
    where = "".join(f" AND {name} = ?" for name in wanted)
    text = (
        "SELECT centre, account, model, month, records, gpu_ms, rated_units FROM usage_month "  # noqa: S608 -- own names
        f"WHERE (centre, account, model, month) > (?, ?, ?, ?){where} ORDER BY centre, account, model, month LIMIT ?"
    )
    [rows] = await execute_all(conn, [(text, (*after, *wanted.values(), limit))])
    return [(str(a), str(b), str(c), int(d), int(e), int(f), int(g)) for a, b, c, d, e, f, g in rows]


async def usage_rows(conn: Connection, part: UsagePart = ALL_USAGE) -> AsyncIterator[list[UsageRow]]:
    """Every monthly total of a part, some at a time."""
    after: UsageKey = ("", "", "", 0)
    while rows := await usage_page(conn, part, after, USAGE_PART):
        yield rows
        after = rows[-1][:4]
