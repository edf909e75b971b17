"""SQL of usage by the hour: newest batches without their records, what monitors saw, and what counts instead of a report."""

from __future__ import annotations

from typing import NamedTuple

from ledger.sql import Connection, execute_all

ROWS = 500


class Head(NamedTuple):
    """A batch without its records: its number, the root of its records, its centre and source, when it came."""

    number: int
    root: bytes
    centre: str
    source: int
    received_us: int


async def heads_since(conn: Connection, from_us: int) -> list[Head]:
    """Batches that came at or after an instant, newest first."""
    text = (
        "SELECT b.number, b.root, s.centre, b.source, b.received_us FROM usage_batch b JOIN source s ON s.number = b.source "
        "WHERE b.number < ? ORDER BY b.number DESC LIMIT ?"
    )
    found: list[Head] = []
    before = 2**62
    while True:
        [rows] = await execute_all(conn, [(text, (before, ROWS))])
        some = [Head(int(row[0]), bytes(row[1]), *row[2:]) for row in rows]
        found += [one for one in some if one.received_us >= from_us]
        if len(some) < ROWS or some[-1].received_us < from_us:
            return found
        before = some[-1].number


async def states(conn: Connection) -> list[tuple[str, int, str, bytes]]:
    """Centre, source, id and bytes (none: voided) of every record of which more is known than a report."""
    [rows] = await execute_all(conn, [("SELECT centre, source, id, record FROM usage_state", ())])
    return [(str(row[0]), int(row[1]), str(row[2]), bytes(row[3])) for row in rows]


async def seen_hours(conn: Connection, from_us: int, until_us: int) -> dict[str, dict[int, tuple[int, int]]]:
    """By centre and hour what monitors saw: GPU-milliseconds busy, and seen at all."""
    text = (
        "SELECT centre, hour_us / 3600000000, CAST(SUM(busy_ms) AS BIGINT), CAST(SUM(seen_ms) AS BIGINT) FROM telemetry_hour "
        "WHERE hour_us >= ? AND hour_us < ? GROUP BY 1, 2"
    )
    [rows] = await execute_all(conn, [(text, (from_us, until_us))])
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for centre, hour, busy_ms, seen_ms in rows:
        found.setdefault(str(centre), {})[int(hour)] = int(busy_ms), int(seen_ms)
    return found


async def first_heard(conn: Connection) -> dict[str, int]:
    """By centre the start of its first record ever, UTC epoch microseconds."""
    text = "SELECT centre, MIN(first_us) FROM source WHERE last_us > 0 GROUP BY centre"
    [rows] = await execute_all(conn, [(text, ())])
    return {str(centre): int(at_us) for centre, at_us in rows}
