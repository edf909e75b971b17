"""The second sight of metering: what schedulers reported, against cards, devices and monitors. Numbers as evidence, no debit.

What was found in a day (Asia/Shanghai), of one model, is one finding: a fault of configuration repeats every hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ledger.errors import Finding
from metering.capacity import Breach
from metering.overlap import Overlap
from metering.zones import rfc3339
from voucher.finding import Evidence, Suspicion, Thresholds

MS_PER_HOUR = 3_600_000
DayOf = Callable[[int], str]
"""The day, or month, in Shanghai of an instant."""

_CONTRADICTIONS = {
    "idle-held": ("占用而闲置", "held and left idle"),
    "usage-unreported": ("忙而未报", "busy beyond what was reported"),
    "energy-flat": ("电量少于空闲的卡", "less energy than idle cards take"),
    "telemetry-missing": ("没有监控数据", "no telemetry"),
}


def over_capacity(centre: str, breaches: Iterable[Breach], day_of: DayOf) -> Iterator[Suspicion]:
    """S1: segments that began while all cards of their model were in use already."""
    found: dict[tuple[str, str], list[Breach]] = defaultdict(list)
    for breach in breaches:
        found[breach.model, day_of(breach.at_us)].append(breach)
    for (model, day), group in sorted(found.items()):
        most = max(group, key=lambda one: one.used_milli - one.capacity_milli)
        numbers = f"{_cards(most.used_milli)} / {_cards(most.capacity_milli)}"
        evidence = [Evidence("used_and_capacity", numbers, f"{model} {day}")]
        evidence += [
            Evidence("usage_record", f"{_cards(one.used_milli)} {rfc3339(one.at_us)}", one.record_id) for one in group
        ]
        yield Suspicion(
            "S1",
            centre,
            f"{day} {model} 同时占用 {_cards(most.used_milli)} 卡，登记 {_cards(most.capacity_milli)} 卡",
            f"{_cards(most.used_milli)} cards of {model} in use at once on {day}; {_cards(most.capacity_milli)} are registered",
            "清点卡数，核对上报 / count the cards, check the reports",
            tuple(evidence),
            f"{model} {day}",
        )


def _cards(milli: int) -> str:
    whole, part = divmod(milli, 1000)
    return f"{whole}.{part:03d}" if part else str(whole)


def shared_devices(centre: str, overlaps: Iterable[Overlap]) -> Iterator[Suspicion]:
    """S2: one device was held by two jobs at the same time."""
    for one in overlaps:
        first, second = one.first, one.second
        evidence = tuple(
            Evidence("held", f"{rfc3339(hold.start_us)} – {rfc3339(hold.end_us)}", f"{hold.account} {hold.job}")
            for hold in (first, second)
        )
        yield Suspicion(
            "S2",
            centre,
            f"设备 {first.device} 同时属于 {first.account} 的 {first.job} 与 {second.account} 的 {second.job}",
            f"the device {first.device} was held by {first.job} of {first.account} and by {second.job} of {second.account}",
            "是否重复计量 / whether one use is reported twice",
            (*evidence, Evidence("shared_us", str(one.shared_us), first.device)),
            f"{first.device} {first.account} {first.job} {second.account} {second.job}",
        )


def look_alike(groups: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[Suspicion]:
    """S3: records with one fingerprint: same account, times and cards. Groups are records by account and fingerprint."""
    for (account, fingerprint), records in sorted(groups.items()):
        if len(records) > 1:
            yield Suspicion(
                "S3",
                account,
                f"{len(records)} 条用量的起止、卡数完全相同",
                f"{len(records)} records have the same times and cards",
                "是否同一作业报了两次 / whether one job was reported twice",
                tuple(Evidence("usage_record", fingerprint[:16], record) for record in sorted(records)),
                fingerprint,
            )


def contradictions(centre: str, found: Iterable[tuple[str, int, Finding]], day_of: DayOf) -> Iterator[Suspicion]:
    """S4: allocation, activity and energy of a pool contradict each other. `found` are model, hour and what it is."""
    groups: dict[tuple[str, str, str], list[tuple[int, Finding]]] = defaultdict(list)
    for model, hour_us, finding in found:
        groups[finding.code, model, day_of(hour_us)].append((hour_us, finding))
    for (code, model, day), hours in sorted(groups.items()):
        zh, en = _CONTRADICTIONS[code]
        yield Suspicion(
            "S4",
            centre,
            f"{day} {model} {len(hours)} 小时{zh}",
            f"{model} on {day}, {len(hours)} hour(s): {en}",
            "核对调度记录与监控 / compare the scheduler's records with the monitor",
            tuple(Evidence(code, one.en.partition(": ")[2], rfc3339(hour_us)) for hour_us, one in sorted(hours)),
            f"{code} {model} {day}",
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A device under one holder without a break: how long, how long it was seen, and how much of that it was busy."""

    device: str
    account: str
    job: str
    start_us: int
    end_us: int
    busy_ms: int
    seen_ms: int


def hoarding(centre: str, runs: Iterable[Run], month_of: DayOf, limits: Thresholds) -> Iterator[Suspicion]:
    """S5: an account that held devices for long in a month and left them idle, as far as they were seen at all."""
    found: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        if run.seen_ms and run.busy_ms * 1000 < run.seen_ms * limits.idle_permille:
            found[run.account, month_of(run.start_us)].append(run)
    for (account, month), idle in sorted(found.items()):
        hours = sum(run.seen_ms - run.busy_ms for run in idle) // MS_PER_HOUR
        if hours >= limits.hoard_card_hours:
            evidence = [Evidence("idle_card_hours", str(hours), month)]
            evidence += [
                Evidence("idle_run", f"busy_ms={run.busy_ms} seen_ms={run.seen_ms}", f"{run.device} {run.job}".rstrip())
                for run in sorted(idle, key=lambda run: (run.busy_ms - run.seen_ms, run.device, run.start_us))
            ]
            yield Suspicion(
                "S5",
                f"{centre} {account}",
                f"{month} 占用而闲置 {hours} 卡时",
                f"held {hours} card-hours in {month} and left them idle",
                "提醒单位释放 / ask the user to release them",
                tuple(evidence),
                month,
            )
