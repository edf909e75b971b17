"""SQL of what users see beside their statements, on a connection that the caller owns: alerts, and disputes of lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select

from ledger.sql import Connection, chunks, insert_rows
from metering import tables
from metering.dispute import Step


class AlertRow(NamedTuple):
    """An alert as it was given."""

    number: int
    kind: str
    voucher: str
    threshold: int
    scheme: str
    holder: str
    asset: int
    amount: int
    available: int
    until_us: int
    noticed_us: int


async def alerts_given(conn: Connection, vouchers: Iterable[str]) -> set[tuple[str, str, int]]:
    """Kind, voucher and threshold of every alert that these vouchers were given."""
    table, found = tables.usage_alert.c, set[tuple[str, str, int]]()
    for part in chunks(vouchers):
        rows = await conn.execute(select(table.kind, table.voucher, table.threshold).where(table.voucher.in_(part)))
        found.update((row.kind, row.voucher, row.threshold) for row in rows)
    return found


async def write_alerts(conn: Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Append alerts (without their numbers)."""
    newest = await conn.execute(select(func.coalesce(func.max(tables.usage_alert.c.number), 0)))
    first = int(newest.scalar_one()) + 1
    await insert_rows(conn, tables.usage_alert, [(first + at, *row) for at, row in enumerate(rows)])


async def load_alerts(conn: Connection, after: int, limit: int, holder: str | None = None) -> list[AlertRow]:
    """Alerts in the order given, from just above number `after`."""
    table = tables.usage_alert.c
    query = select(tables.usage_alert).where(table.number > after)
    if holder is not None:
        query = query.where(table.holder == holder)
    return [AlertRow(*row) for row in await conn.execute(query.order_by(table.number).limit(limit))]


async def next_dispute(conn: Connection) -> int:
    """Number of the next dispute."""
    newest = await conn.execute(select(func.coalesce(func.max(tables.usage_dispute.c.dispute), 0)))
    return int(newest.scalar_one()) + 1


async def write_step(conn: Connection, step: Step) -> None:
    """Append a step."""
    await insert_rows(conn, tables.usage_dispute, [tuple(step)])


async def load_steps(conn: Connection, dispute: int) -> list[Step]:
    """Every step of a dispute, in order."""
    table = tables.usage_dispute.c
    query = select(tables.usage_dispute).where(table.dispute == dispute).order_by(table.step)
    return [Step(*row) for row in await conn.execute(query)]


async def steps_of_account(conn: Connection, centre: str, account: str) -> list[Step]:
    """Every step of the disputes of an account, in the order in which they were taken."""
    table = tables.usage_dispute.c
    query = select(tables.usage_dispute).where(table.centre == centre, table.account == account)
    return [Step(*row) for row in await conn.execute(query.order_by(table.at_us, table.dispute, table.step))]


async def newest_steps(
    conn: Connection, *, centre: str | None = None, account: str | None = None, state: str | None = None, after: int = 0,
    limit: int = 1000, below: int = 0,
) -> list[Step]:  # fmt: skip
    """The newest step of each dispute, by number from just above `after`; with `below`, the newest disputes below it, downwards."""
    table = tables.usage_dispute.c
    newest = select(table.dispute, func.max(table.step).label("step")).group_by(table.dispute).subquery()
    query = (
        select(tables.usage_dispute)
        .join(newest, (newest.c.dispute == table.dispute) & (newest.c.step == table.step))
        .where(table.dispute > after)
    )
    for column, wanted in ((table.centre, centre), (table.account, account), (table.state, state)):
        if wanted is not None:
            query = query.where(column == wanted)
    query = (
        query.where(table.dispute < below).order_by(table.dispute.desc()) if below else query.order_by(table.dispute)
    )
    return [Step(*row) for row in await conn.execute(query.limit(limit))]


async def count_states(conn: Connection) -> Counter[str]:
    """How many disputes stand in each state."""
    table = tables.usage_dispute.c
    newest = select(table.dispute, func.max(table.step).label("step")).group_by(table.dispute).subquery()
    query = (
        select(table.state, func.count())
        .join(newest, (newest.c.dispute == table.dispute) & (newest.c.step == table.step))
        .group_by(table.state)
    )
    return Counter({state: int(count) for state, count in await conn.execute(query)})


async def urns_of(conn: Connection, batches: Iterable[int]) -> dict[int, str]:
    """URN of the source of each batch."""
    batch, source = tables.usage_batch.c, tables.source.c
    found: dict[int, str] = {}
    for part in chunks(batches):
        query = select(batch.number, source.urn).join_from(
            tables.usage_batch, tables.source, batch.source == source.number
        )
        found.update((row.number, row.urn) for row in await conn.execute(query.where(batch.number.in_(part))))
    return found
