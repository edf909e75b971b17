"""SQL of the second sight: time spans of batches, hours of telemetry and runs of devices, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ledger.sql import Conflict, Connection, execute_all, insert_rows, select_in
from metering import tables
from metering.telemetry import DeviceRun, Hour, PoolHour


class Span(NamedTuple):
    """The time that a batch's records span, `[first_us, last_us)`, and how many they are."""

    batch: int
    centre: str
    first_us: int
    last_us: int
    records: int = 0


class Segment(NamedTuple):
    """The records of a batch, and whose they are."""

    batch: int
    source: int
    centre: str
    records: int
    segment: bytes


_SEGMENT = (
    "SELECT b.number, b.source, s.centre, b.records, b.segment FROM usage_batch b JOIN source s ON s.number = b.source"
)


async def segments_after(conn: Connection, after: int, limit: int) -> list[Segment]:
    """Batches in order from just above a number."""
    [rows] = await execute_all(conn, [(f"{_SEGMENT} WHERE b.number > ? ORDER BY b.number LIMIT ?", (after, limit))])
    return [Segment(*row) for row in rows]


async def load_segments(conn: Connection, batches: Iterable[int]) -> list[Segment]:
    """These batches, in order."""
    found = await execute_all(conn, select_in(f"{_SEGMENT} WHERE b.number", batches))
    return sorted(Segment(*row) for rows in found for row in rows)


async def write_spans(conn: Connection, spans: Sequence[Span]) -> None:
    """Note the time of batches that were looked at."""
    await insert_rows(conn, tables.batch_span, [tuple(span)[:4] for span in spans], Conflict.REPLACE)


async def spans_meeting(conn: Connection, centre: str, from_us: int, until_us: int) -> list[Span]:
    """Noted batches of a centre that have records in a time."""
    text = (
        "SELECT s.batch, s.centre, s.first_us, s.last_us, b.records FROM batch_span s "
        "JOIN usage_batch b ON b.number = s.batch WHERE s.centre = ? AND s.last_us > ? AND s.first_us < ?"
    )
    [rows] = await execute_all(conn, [(text, (centre, from_us, until_us))])
    return [Span(*row) for row in rows]


async def batches_of_account(conn: Connection, centre: str, account: str, from_us: int, until_us: int) -> list[int]:
    """Batches with records of an account that may meet a time: by their spans, or not noted yet."""
    text = (
        "SELECT a.batch FROM batch_account a LEFT JOIN batch_span s ON s.batch = a.batch WHERE a.centre = ? "
        "AND a.account = ? AND (s.batch IS NULL OR (s.last_us > ? AND s.first_us < ?)) ORDER BY a.batch"
    )
    [rows] = await execute_all(conn, [(text, (centre, account, from_us, until_us))])
    return [int(batch) for (batch,) in rows]


async def waiting_ids(conn: Connection, batches: Iterable[int]) -> set[tuple[int, str]]:
    """Batch and id of records that were not accepted and not released since."""
    text = (
        "SELECT q.batch, q.id FROM quarantine q LEFT JOIN verdict v ON v.batch = q.batch AND v.position = q.position "
        "WHERE (v.verdict IS NULL OR v.verdict <> 'release') AND q.batch"
    )
    return {(batch, name) for rows in await execute_all(conn, select_in(text, batches)) for batch, name in rows}


async def centre_states(conn: Connection, centre: str) -> list[tuple[int, str, bytes]]:
    """Source, id and present bytes (none where it was voided) of a centre's records of which more is known than a report."""
    [rows] = await execute_all(conn, [("SELECT source, id, record FROM usage_state WHERE centre = ?", (centre,))])
    return [(row[0], row[1], row[2]) for row in rows]


async def numbers_of_sources(conn: Connection) -> list[tuple[str, str, int, int]]:
    """Centre, URN, highest sequence number and how many records came, of every source."""
    text = (
        "SELECT s.centre, s.urn, s.last_sequence, coalesce(sum(b.records), 0) FROM source s "
        "LEFT JOIN usage_batch b ON b.source = s.number GROUP BY s.centre, s.urn, s.last_sequence ORDER BY s.urn"
    )
    [rows] = await execute_all(conn, [(text, ())])
    return [(row[0], row[1], row[2], int(row[3])) for row in rows]


async def put_hours(conn: Connection, centre: str, agent: str, hours: Iterable[PoolHour], now_us: int) -> None:
    """Keep what an agent saw of hours; the later report of an hour counts."""
    rows = [(centre, agent, one.model, one.hour_us, one.busy_ms, one.seen_ms, one.energy_mj, now_us) for one in hours]
    await insert_rows(conn, tables.telemetry_hour, rows, Conflict.REPLACE)


async def load_hours(conn: Connection, centre: str, from_us: int, until_us: int) -> dict[tuple[str, int], Hour]:
    """Hours of a centre by model, summed over its agents."""
    text = (
        "SELECT model, hour_us, busy_ms, seen_ms, energy_mj FROM telemetry_hour "
        "WHERE centre = ? AND hour_us >= ? AND hour_us < ?"
    )
    [rows] = await execute_all(conn, [(text, (centre, from_us, until_us))])
    found: dict[tuple[str, int], Hour] = {}
    for model, hour_us, busy_ms, seen_ms, energy_mj in rows:
        hour = found.setdefault((model, hour_us), Hour())
        hour.busy_ms += busy_ms
        hour.seen_ms += seen_ms
        hour.energy_mj += energy_mj
    return found


async def telemetry_reach(
    conn: Connection, received_after_us: int
) -> dict[str, tuple[int, int, int | None, int | None]]:
    """By centre the first and last hour that was ever seen, and the first and last of those reported since an instant."""
    text = (
        "SELECT centre, min(hour_us), max(hour_us), min(CASE WHEN received_us > ? THEN hour_us END), "
        "max(CASE WHEN received_us > ? THEN hour_us END) FROM telemetry_hour GROUP BY centre"
    )
    [rows] = await execute_all(conn, [(text, (received_after_us, received_after_us))])
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


async def put_runs(conn: Connection, centre: str, agent: str, runs: Iterable[DeviceRun], now_us: int) -> None:
    """Keep runs of devices; one with the same start and holder replaces the shorter one that was reported before."""
    rows = [
        (
            centre, agent, run.device, run.start_us, run.account, run.job, run.end_us, run.model, run.busy_ms,
            run.seen_ms, now_us,
        )
        for run in runs
    ]  # fmt: skip
    await insert_rows(conn, tables.device_run, rows, Conflict.REPLACE)


async def load_runs(conn: Connection, centre: str, from_us: int, until_us: int) -> list[DeviceRun]:
    """Runs of a centre's devices that meet a time."""
    text = (
        "SELECT device, start_us, account, job, end_us, model, busy_ms, seen_ms FROM device_run "
        "WHERE centre = ? AND end_us > ? AND start_us < ? ORDER BY device, start_us, account, job"
    )
    [rows] = await execute_all(conn, [(text, (centre, from_us, until_us))])
    return [DeviceRun(*row) for row in rows]


async def runs_reach(conn: Connection, received_after_us: int) -> dict[str, tuple[int, int]]:
    """By centre the time that runs reported since an instant span."""
    text = "SELECT centre, min(start_us), max(end_us) FROM device_run WHERE received_us > ? GROUP BY centre"
    [rows] = await execute_all(conn, [(text, (received_after_us,))])
    return {row[0]: (row[1], row[2]) for row in rows}


async def energy_between(conn: Connection, centre: str, from_us: int, until_us: int) -> int:
    """Millijoules that devices of a centre took in a time."""
    text = "SELECT energy_mj FROM telemetry_hour WHERE centre = ? AND hour_us >= ? AND hour_us < ?"
    [rows] = await execute_all(conn, [(text, (centre, from_us, until_us))])
    return sum(int(row[0]) for row in rows)
