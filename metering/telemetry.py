"""Telemetry as evidence: how busy cards were and what energy they took, hour by hour. Never what is billed.

How busy a card is comes as a percentage at an instant, held for the step of the samples; energy as a counter of millijoules
since the driver was loaded, or as watts. A counter that falls was reset: what it shows then was used since. Sentinels are
passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from metering.sources.devices import device_of
from metering.sources.samples import Sample, is_missing

HOUR_US = 3_600_000_000
PERCENT = frozenset({"DCGM_FI_DEV_GPU_UTIL", "npu_chip_info_utilization"})
RATIO = frozenset({"DCGM_FI_PROF_GR_ENGINE_ACTIVE"})
ENERGY_MILLIJOULES = frozenset({"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"})
WATTS = frozenset({"npu_chip_info_power"})
"""Watts where there is no counter of energy; DCGM has both, and its counter loses nothing between two scrapes."""


@dataclass(slots=True)
class Hour:
    """A model in one hour: GPU-milliseconds that cards were busy and were seen at all, and millijoules."""

    busy_ms: int = 0
    seen_ms: int = 0
    energy_mj: int = 0


@dataclass(slots=True)
class Telemetry:
    """Sums by model and hour (UTC epoch microseconds of its start); `device_busy_ms` by card."""

    hours: dict[tuple[str, int], Hour] = field(default_factory=dict)
    device_busy_ms: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class PoolHour:
    """What one agent saw of the cards of a model in an hour, as canonical names and exact sums have it."""

    model: str
    hour_us: int
    busy_ms: int
    seen_ms: int
    energy_mj: int


@dataclass(frozen=True, slots=True)
class DeviceRun:
    """A device under one holder from one sample to another without a break."""

    device: str
    start_us: int
    account: str
    job: str
    end_us: int
    model: str
    busy_ms: int
    seen_ms: int


def add_up(samples: Iterable[Sample], step_s: int) -> Telemetry:
    """Sum samples, in the order of time for each card; `step_s` is how long one speaks for.

    Where a card tells both a percentage and a ratio, the first kind that it told counts.
    """
    found = Telemetry()
    kinds: dict[str, str] = {}
    counters: dict[tuple[str, str], int] = {}
    for sample in samples:
        device = device_of(sample.labels) if sample.at_us is not None else None
        if device is None or sample.at_us is None or is_missing(sample.value):
            continue
        hour = found.hours.setdefault((device.model, sample.at_us // HOUR_US * HOUR_US), Hour())
        if sample.metric in PERCENT | RATIO:
            if kinds.setdefault(device.key, sample.metric) != sample.metric:
                continue
            scale = 100 if sample.metric in PERCENT else 1
            busy_ms = min(
                int(Decimal(sample.value) * device.count_milli * step_s) // scale, device.count_milli * step_s
            )
            hour.busy_ms += busy_ms
            hour.seen_ms += device.count_milli * step_s
            found.device_busy_ms[device.key] += busy_ms
        elif sample.metric in ENERGY_MILLIJOULES:
            value = int(Decimal(sample.value))
            before = counters.get((device.key, sample.metric))
            counters[device.key, sample.metric] = value
            if before is not None:
                hour.energy_mj += value - before if value >= before else value
        elif sample.metric in WATTS:
            hour.energy_mj += int(Decimal(sample.value) * 1000 * step_s)
    return found
