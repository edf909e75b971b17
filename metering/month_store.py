"""SQL of months: which a centre has usage of, and what of the months that it declared has not arrived."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from ledger.sql import Connection, execute_all
from metering import tables


async def months_used(conn: Connection, centre: str) -> list[int]:
    """Months such as 202611 of which a centre has usage, newest first."""
    c = tables.usage_month.c
    query = select(c.month).where(c.centre == centre).distinct().order_by(c.month.desc())
    return [int(one) for one in (await conn.execute(query)).scalars()]


_COMPLETE = """
SELECT d.centre, d.month, COUNT(*), SUM(CASE WHEN d.segments > COALESCE(u.records, 0) OR d.gpu_ms > COALESCE(u.high * 4294967296 + u.low, 0)
  THEN 1 ELSE 0 END) FROM declaration d LEFT JOIN (
  SELECT centre, month, account, SUM(records) AS records, SUM(gpu_ms / 4294967296) AS high, SUM(gpu_ms % 4294967296) AS low
  FROM usage_month GROUP BY centre, month, account
) u ON u.centre = d.centre AND u.month = d.month AND u.account = d.account
WHERE NOT EXISTS (SELECT 1 FROM declaration l WHERE l.centre = d.centre AND l.month = d.month AND l.account = d.account AND l.number > d.number)
GROUP BY d.centre, d.month
"""


async def count_declared(conn: Connection) -> list[tuple[str, int, int, int]]:
    """By centre and month: accounts that were declared, and of these the ones that lack something."""
    [declared] = await execute_all(conn, [("SELECT 1 FROM declaration LIMIT 1", ())])
    if not declared:
        return []
    [rows] = await execute_all(conn, [(_COMPLETE, ())])
    return [(str(centre), int(month), int(count), int(missing)) for centre, month, count, missing in rows]


async def count_gaps(conn: Connection) -> dict[str, int]:
    """By centre: account-months whose newest declaration says more than has arrived (`completeness.State.MISSING`)."""
    found: dict[str, int] = {}
    for centre, _, _, missing in await count_declared(conn):
        if missing:
            found[centre] = found.get(centre, 0) + missing
    return found


class Declared(NamedTuple):
    """An account's month as its centre declared it, and what of it has arrived: records, GPU-milliseconds."""

    centre: str
    month: int
    account: str
    records: int
    gpu_ms: int
    arrived: int
    arrived_ms: int

    @property
    def lacks(self) -> bool:
        """Whether less arrived than was declared, as `count_declared` counts it."""
        return self.records > self.arrived or self.gpu_ms > self.arrived_ms


_DECLARED = """
SELECT d.centre, d.month, d.account, d.segments, d.gpu_ms, COALESCE(u.records, 0), COALESCE(u.high, 0), COALESCE(u.low, 0)
FROM declaration d LEFT JOIN (
  SELECT centre, month, account, SUM(records) AS records, SUM(gpu_ms / 4294967296) AS high, SUM(gpu_ms % 4294967296) AS low
  FROM usage_month GROUP BY centre, month, account
) u ON u.centre = d.centre AND u.month = d.month AND u.account = d.account
WHERE NOT EXISTS (SELECT 1 FROM declaration l WHERE l.centre = d.centre AND l.month = d.month AND l.account = d.account AND l.number > d.number)
"""


async def list_declared(conn: Connection, centre: str = "", month: int = 0) -> list[Declared]:
    """What was declared, newest month first, by centre and account; of one centre or month where given."""
    wanted = [(name, value) for name, value in (("centre", centre), ("month", month)) if value]
    text = (
        _DECLARED + "".join(f" AND d.{name} = ?" for name, _ in wanted) + " ORDER BY d.month DESC, d.centre, d.account"
    )
    [rows] = await execute_all(conn, [(text, [value for _, value in wanted])])
    return [
        Declared(str(at), int(when), str(who), int(count), int(gpu_ms), int(came), (int(high) << 32) + int(low))
        for at, when, who, count, gpu_ms, came, high, low in rows
    ]
