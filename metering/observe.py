"""What samples of monitors come to: hours of pools, and runs of devices under one holder. Pure; the sums are integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from metering.sources.devices import ACCOUNT, JOB, device_of, first_of, is_exporters_own
from metering.sources.faults import RowFault, Skipped
from metering.sources.samples import Sample, is_missing
from metering.sources.values import UNKNOWN_MODEL
from metering.telemetry import PERCENT, RATIO, DeviceRun, PoolHour, add_up

US_PER_S = 1_000_000
MISSED = 1
"""Samples that may be missing inside a run: a scrape is lost now and then."""


@dataclass(slots=True)
class Observation:
    """Hours and runs of a batch of samples, and how many samples could not be read, by reason."""

    hours: list[PoolHour] = field(default_factory=list)
    runs: list[DeviceRun] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    account: str
    job: str
    model: str
    start_us: int
    end_us: int
    busy_ms: int = 0
    seen_ms: int = 0


def observe(items: Iterable[Sample | Skipped], step_s: int, account: str = "") -> Observation:
    """Sum samples that lie in time for each card; `account` names the label that says who holds it, else the usual ones."""
    found = Observation()
    samples: list[Sample] = []
    for item in items:
        reason = item.reason if isinstance(item, Skipped) else _fault(item)
        if reason:
            found.skipped[reason] = found.skipped.get(reason, 0) + 1
        elif isinstance(item, Sample):
            samples.append(item)
    added = add_up(samples, step_s)
    found.hours = [
        PoolHour(model or UNKNOWN_MODEL, hour_us, hour.busy_ms, hour.seen_ms, hour.energy_mj)
        for (model, hour_us), hour in sorted(added.hours.items())
        if hour.seen_ms or hour.energy_mj
    ]
    found.runs = _runs(samples, step_s, (account,) if account else ACCOUNT)
    return found


def _fault(sample: Sample) -> str:
    """Why a sample cannot be summed; empty where it can, or where it speaks of no card at all."""
    try:
        device_of(sample.labels)
        is_missing(sample.value)
    except RowFault as fault:
        return fault.reason
    return "no-time" if sample.at_us is None else ""


def _runs(samples: Sequence[Sample], step_s: int, accounts: tuple[str, ...]) -> list[DeviceRun]:
    """Runs of devices that somebody held, in the order of devices and starts."""
    kinds: dict[str, str] = {}
    going: dict[str, _Open] = {}
    done: list[DeviceRun] = []
    for sample in samples:
        device = device_of(sample.labels) if sample.metric in PERCENT | RATIO else None
        if device is None or sample.at_us is None or is_missing(sample.value):
            continue
        if kinds.setdefault(device.key, sample.metric) != sample.metric:
            continue
        own = is_exporters_own(sample.labels)
        holder = ("", "") if own else (first_of(sample.labels, accounts), first_of(sample.labels, JOB))
        run = going.get(device.key)
        late_us = (1 + MISSED) * step_s * US_PER_S
        if run is None or (run.account, run.job) != holder or sample.at_us - run.end_us >= late_us:
            if run is not None:
                done += _closed(device.key, run)
            run = going[device.key] = _Open(*holder, device.model or UNKNOWN_MODEL, sample.at_us, sample.at_us)
        whole_ms = device.count_milli * step_s
        scale = 100 if sample.metric in PERCENT else 1
        run.busy_ms += min(int(Decimal(sample.value) * whole_ms) // scale, whole_ms)
        run.seen_ms += whole_ms
        run.end_us = max(run.end_us, sample.at_us + step_s * US_PER_S)
    for key, run in going.items():
        done += _closed(key, run)
    return sorted(done, key=lambda one: (one.device, one.start_us))


def _closed(device: str, run: _Open) -> list[DeviceRun]:
    if not run.account and not run.job:
        return []
    return [DeviceRun(device, run.start_us, run.account, run.job, run.end_us, run.model, run.busy_ms, run.seen_ms)]


def joined(known: Iterable[DeviceRun], new: Iterable[DeviceRun], gap_us: int) -> list[DeviceRun]:
    """What of new runs is to be written: a run that goes on is put together with the one before it, whose start it keeps.

    What lies inside a known run of the same holder was told before and changes nothing.
    """
    by_holder: dict[tuple[str, str, str], list[DeviceRun]] = {}
    for run in known:
        by_holder.setdefault((run.device, run.account, run.job), []).append(run)
    changed: dict[tuple[str, int, str, str], DeviceRun] = {}
    for run in sorted(new, key=lambda one: (one.device, one.start_us)):
        own = by_holder.setdefault((run.device, run.account, run.job), [])
        if any(one.start_us <= run.start_us and run.end_us <= one.end_us for one in own):
            continue
        before = next(
            (one for one in own if one.start_us < run.start_us <= one.end_us + gap_us <= run.end_us + gap_us), None
        )
        if before is not None and run.start_us >= before.end_us:
            own.remove(before)
            busy_ms, seen_ms = before.busy_ms + run.busy_ms, before.seen_ms + run.seen_ms
            run = DeviceRun(  # noqa: PLW2901 -- the same run, longer
                run.device, before.start_us, run.account, run.job, run.end_us, run.model, busy_ms, seen_ms
            )
        own.append(run)
        changed[run.device, run.start_us, run.account, run.job] = run
    return list(changed.values())
