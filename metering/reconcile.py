"""Second sight: what the scheduler says was allocated, against what telemetry saw busy, and energy; by model and hour.

Three questions, each a finding with its numbers: were cards held and left idle, were cards busy that nobody reported, was
usage reported while the meter stood still. Nothing is debited or refused by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger.errors import Finding
from ledger.split import split
from metering.model import UsageRecord
from metering.telemetry import HOUR_US, Hour
from metering.zones import rfc3339

Pool = tuple[str, int]
"""A card model and an hour, by the UTC epoch microseconds of its start."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on a difference is told, in integers.

    Busy below `idle_permille` of what was allocated is hoarding; busy above allocated by more than `unreported_permille` of
    what was seen is unreported; less than `idle_millijoules` a GPU-millisecond is less than a card takes that does nothing
    (30 W: 30 mJ a millisecond).
    """

    idle_permille: int = 50
    unreported_permille: int = 20
    idle_millijoules: int = 30


def allocated_ms(records: Iterable[UsageRecord]) -> dict[Pool, int]:
    """GPU-milliseconds by model and hour; the parts of a record add up to the last unit."""
    found: dict[Pool, int] = {}
    for record in records:
        hours = _hours(record.start_us, record.end_us)
        weights = [length_us * card.count_milli for _, length_us in hours for card in record.accelerators]
        pools = [(card.model, hour_us) for hour_us, _ in hours for card in record.accelerators]
        for pool, share in zip(pools, split(record.gpu_ms, weights), strict=True):
            found[pool] = found.get(pool, 0) + share
    return found


def reconcile(
    allocated: Mapping[Pool, int], seen: Mapping[Pool, Hour], thresholds: Thresholds | None = None
) -> list[Finding]:
    """Tell where allocation, activity and energy of a pool contradict each other, in the order of models and hours."""
    limits = thresholds or Thresholds()
    found: list[Finding] = []
    for model, hour_us in sorted(allocated.keys() | seen.keys()):
        held_ms, hour = allocated.get((model, hour_us), 0), seen.get((model, hour_us))
        where = f"{model} {rfc3339(hour_us)}"
        if hour is None:
            found.append(_finding("telemetry-missing", "没有遥测", "no telemetry", where, held_ms, Hour()))
            continue
        if hour.busy_ms - held_ms > hour.seen_ms * limits.unreported_permille // 1000:
            found.append(
                _finding("usage-unreported", "忙而未报", "busy beyond what was reported", where, held_ms, hour)
            )
        elif hour.seen_ms and hour.busy_ms * 1000 < held_ms * limits.idle_permille:
            found.append(_finding("idle-held", "占用而闲置", "held and left idle", where, held_ms, hour))
        if hour.energy_mj and hour.energy_mj < held_ms * limits.idle_millijoules:
            found.append(
                _finding("energy-flat", "电量与上报不符", "less energy than idle cards take", where, held_ms, hour)
            )
    return found


def _finding(code: str, zh: str, en: str, where: str, held_ms: int, hour: Hour) -> Finding:
    numbers = f"allocated_ms={held_ms} busy_ms={hour.busy_ms} energy_mj={hour.energy_mj}"
    return Finding(code, f"{zh}：{numbers}", f"{en}: {numbers}", where)


def _hours(start_us: int, end_us: int) -> list[tuple[int, int]]:
    """Hours of an interval with the microseconds in each; an empty one lies in the hour of its start."""
    found: list[tuple[int, int]] = []
    at_us = start_us
    while at_us < end_us or not found:
        hour_us = at_us // HOUR_US * HOUR_US
        until_us = min(end_us, hour_us + HOUR_US)
        found.append((hour_us, until_us - at_us))
        at_us = max(until_us, hour_us + HOUR_US)
    return found
