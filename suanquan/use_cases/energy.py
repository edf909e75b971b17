"""Energy and carbon of an account's usage, from what monitors measured; what nobody measured is null, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from ledger.sql import Connection
from metering import centre_store, segment, sight_store
from metering import fate_store as fates
from metering.centre import CentreRecord, green_share, pue
from metering.energy import Measured, energy_of
from metering.grid import MILLIJOULES_PER_KWH, Factor
from metering.model import UsageRecord
from metering.reconcile import Pool, allocated_ms
from metering.telemetry import HOUR_US, Hour
from suanquan.catalog import Catalog
from suanquan.use_cases.focus_export import period_of
from suanquan.use_cases.sight import month_of

MILLIJOULES_PER_WH = MILLIJOULES_PER_KWH // 1000
BATCHES_AT_ONCE = 200


class Meter(NamedTuple):
    """What is known of a centre's energy in a time: hours of monitors, and of each month 2026-11 how much more it all takes."""

    catalog: Catalog
    centre: str
    seen: Mapping[Pool, Hour]
    pue: Mapping[str, Fraction]
    green: Mapping[str, Fraction]

    def of_record(self, record: UsageRecord) -> dict[str, str | None]:
        """Energy of a line and its carbon: each null unless all of it is known."""
        found = energy_of(allocated_ms([_named(self.catalog, record)]), self.seen) if self.seen else Measured(0, 0, 0)
        if not found.whole:
            return {"energy_wh": None, "carbon_g": None}
        carbon = self.carbon(found.energy_mj, record.start_us)
        return {"energy_wh": _thousandths(found.energy_mj, MILLIJOULES_PER_WH), "carbon_g": carbon and carbon[0]}

    def carbon(self, equipment_mj: int, at_us: int) -> tuple[str, Factor] | None:
        """Grams of CO2 of all electricity behind the equipment's, and the factor; None where PUE or factor is unknown."""
        ratio, factor = self.pue.get(month_of(at_us)), self.catalog.grid.at(self.centre, at_us)
        if ratio is None or factor is None:
            return None
        milligrams = factor.milligrams(equipment_mj * ratio.numerator // ratio.denominator)
        return _thousandths(milligrams, 1000), factor


def _thousandths(amount: int, unit: int) -> str:
    """An amount in units with three places, rounded down."""
    whole, rest = divmod(amount * 1000 // unit, 1000)
    return f"{whole}.{rest:03d}"


def _named(catalog: Catalog, record: UsageRecord) -> UsageRecord:
    """The record with the register's names of its cards, as monitors' hours have them."""
    cards = tuple(
        replace(card, model=known.model if known else card.model)
        for card in record.accelerators
        for known in [catalog.accelerators.resolve(card.model, record.start_us)]
    )
    return replace(record, accelerators=cards)


async def meter_of(conn: Connection, catalog: Catalog, centre: str, records: Iterable[UsageRecord]) -> Meter:
    """What is known of the time of these records."""
    spans = [(record.start_us, record.end_us) for record in records]
    if not spans:
        return Meter(catalog, centre, {}, {}, {})
    from_us = min(start for start, _ in spans) // HOUR_US * HOUR_US
    return await _meter(conn, catalog, centre, from_us, max(end for _, end in spans) + 1)


async def _meter(conn: Connection, catalog: Catalog, centre: str, from_us: int, until_us: int) -> Meter:
    seen = await sight_store.load_hours(conn, centre, from_us, until_us)
    if not any(hour.energy_mj for hour in seen.values()):
        return Meter(catalog, centre, {}, {}, {})
    known = CentreRecord(await centre_store.load_facts(conn, centre)).energy()
    ratios = {month: (pue([one]), green_share([one])) for month, one in known.items()}
    return Meter(
        catalog,
        centre,
        seen,
        {month: ratio for month, (ratio, _) in ratios.items() if ratio is not None},
        {month: green for month, (_, green) in ratios.items() if green is not None},
    )


async def month_energy(
    conn: Connection, catalog: Catalog, centre: str, account: str, month: int
) -> dict[str, Any] | None:
    """Watt-hours of what an account used in the policy month 202611, with the month's PUE, green share and grid factor."""
    period = period_of(month)
    meter = await _meter(conn, catalog, centre, *period)
    if not meter.seen:
        return None
    records = await _records(conn, centre, account, *period)
    held = allocated_ms(_named(catalog, record) for record in records)
    found = energy_of({pool: ms for pool, ms in held.items() if period.from_us <= pool[1] < period.to_us}, meter.seen)
    if not found.measured_ms:
        return None
    name = month_of(period.from_us)
    ratio, green = meter.pue.get(name), meter.green.get(name)
    equipment_wh = found.energy_mj // MILLIJOULES_PER_WH
    carbon = meter.carbon(found.energy_mj, period.from_us)
    return {
        "equipment_wh": str(equipment_wh),
        "facility_wh": None if ratio is None else str(equipment_wh * ratio.numerator // ratio.denominator),
        "green_wh": None if ratio is None or green is None else str(int(equipment_wh * ratio * green)),
        "carbon_g": carbon and carbon[0],
        "carbon_basis": carbon and carbon[1].basis,
        "measured_gpu_ms": found.measured_ms,
        "used_gpu_ms": found.held_ms,
    }


async def _records(conn: Connection, centre: str, account: str, from_us: int, until_us: int) -> list[UsageRecord]:
    """An account's records that count and meet a time: reports as they stand, and what counts of those settled apart."""
    batches = await sight_store.batches_of_account(conn, centre, account, from_us, until_us)
    waiting = await sight_store.waiting_ids(conn, batches)
    found: list[UsageRecord] = []
    for at in range(0, len(batches), BATCHES_AT_ONCE):
        for row in await sight_store.load_segments(conn, batches[at : at + BATCHES_AT_ONCE]):
            times = zip(segment.times_of(row.segment), segment.unpack(row.segment), strict=True)
            meeting = (segment.decode(leaf) for (start, end), leaf in times if start < until_us and end > from_us)
            own = [one for one in meeting if one.account == account and (row.batch, one.id) not in waiting]
            settled = await fates.load_states(conn, row.source, [one.id for one in own])
            found += [one for one in own if one.id not in settled]
    states = await fates.account_states(conn, centre, account)
    known = (segment.decode(state.record) for state in states if state.record)
    return found + [one for one in known if one.start_us < until_us and one.end_us > from_us]
