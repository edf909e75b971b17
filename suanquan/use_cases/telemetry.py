"""What agents report of their monitors: kept as evidence beside the usage, under the register's names of cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ledger.transaction import Transaction
from metering import sight_store
from metering import store as metering_store
from metering.observe import joined
from metering.signature import SignatureError
from metering.telemetry import DeviceRun, PoolHour
from suanquan.catalog import Catalog
from suanquan.use_cases.ingest import check_source


class Report(NamedTuple):
    """A verified report: whose it is, what makes it unique, and what it says."""

    centre: str
    kid: str
    nonce: str
    nonce_until_us: int
    source: str
    gap_us: int
    hours: Sequence[PoolHour]
    runs: Sequence[DeviceRun]


async def take_report(tx: Transaction, catalog: Catalog, report: Report) -> dict[str, Any]:
    """Keep a report; the same again changes nothing, a later one of the same hour replaces it.

    Raises:
        MeteringError: `nonce-replayed`, `foreign-source`.

    """
    conn, now_us = tx.connection, tx.now_ns // 1000
    if not await metering_store.use_nonce(conn, report.kid, report.nonce, report.nonce_until_us):
        raise SignatureError("nonce-replayed", "该签名请求已被使用", "this signed request was used before")
    check_source(report.source, report.centre)
    hours = _summed([_canonical_hour(catalog, one) for one in report.hours])
    await sight_store.put_hours(conn, report.centre, report.source, hours, now_us)
    if report.runs:
        first = min(run.start_us for run in report.runs) - report.gap_us - 1
        last = max(run.end_us for run in report.runs) + 1
        known = await sight_store.load_runs(conn, report.centre, first, last)
        new = joined(known, [_canonical_run(catalog, run) for run in report.runs], report.gap_us)
        await sight_store.put_runs(conn, report.centre, report.source, new, now_us)
    return {"hours": len(hours), "runs": len(report.runs)}


def _name(catalog: Catalog, word: str, at_us: int) -> str:
    card = catalog.accelerators.resolve(word, at_us)
    return card.model if card else word


def _canonical_hour(catalog: Catalog, hour: PoolHour) -> PoolHour:
    return replace(hour, model=_name(catalog, hour.model, hour.hour_us))


def _canonical_run(catalog: Catalog, run: DeviceRun) -> DeviceRun:
    return replace(run, model=_name(catalog, run.model, run.start_us))


def _summed(hours: Sequence[PoolHour]) -> list[PoolHour]:
    """Two words of one model in one hour are one pool."""
    found: dict[tuple[str, int], PoolHour] = {}
    for one in hours:
        known = found.get((one.model, one.hour_us), replace(one, busy_ms=0, seen_ms=0, energy_mj=0))
        found[one.model, one.hour_us] = replace(
            one,
            busy_ms=known.busy_ms + one.busy_ms,
            seen_ms=known.seen_ms + one.seen_ms,
            energy_mj=known.energy_mj + one.energy_mj,
        )
    return list(found.values())
