"""Quarantine: records that wait for a person, why, and what the person may decide.

A record is held, never dropped and never rated as zero, where something about it needs an eye: its card is not registered,
it lasts longer than any job should, it fills a pool beyond what is there, its agent's clock is off, its centre is suspended, its
holder has a hold that it does not name, or its id was said with other content. A release rates it by the time of its usage; a rejection keeps it, unrated, with the reason.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ledger.errors import Finding
from metering.model import UsageRecord

DAY_US = 86_400_000_000
DURATION_US_MAX = 30 * DAY_US
SKEW_WARNED_US = 2_000_000
SKEW_HELD_US = 300_000_000


class Cause(enum.Enum):
    """Why a record waits; the value is the stable code that its result carries."""

    CONFLICT = "id-reused"
    MODEL = "model-unknown"
    CAPACITY = "over-capacity"
    SKEW = "clock-skew"
    DURATION = "implausible-duration"
    OVERLAP = "device-overlap"
    SUSPENDED = "centre-suspended"
    HOLD = "hold-unnamed"


class Verdict(enum.Enum):
    """What a person decides of a record that waits."""

    RELEASE = "release"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a record waits: how long it may last, how far its agent's clock may be off (a warning, and a hold)."""

    duration_us: int = DURATION_US_MAX
    skew_warned_us: int = SKEW_WARNED_US
    skew_held_us: int = SKEW_HELD_US


def causes_of(record: UsageRecord, limits: Limits | None = None, skew_us: int = 0) -> list[Cause]:
    """Why a record must wait, by itself and by the clock of its agent; an empty list: it need not."""
    limits = limits or Limits()
    found = []
    if record.end_us - record.start_us > limits.duration_us:
        found.append(Cause.DURATION)
    if abs(skew_us) > limits.skew_held_us:
        found.append(Cause.SKEW)
    return found


def skew_finding(skew_us: int, limits: Limits | None = None) -> Finding | None:
    """Warn of a clock that is off, long before it matters; `skew_us` is the agent's clock minus ours."""
    limits = limits or Limits()
    if abs(skew_us) <= limits.skew_warned_us:
        return None
    seconds = skew_us // 1_000_000
    return Finding(
        "clock-skew",
        f"代理时钟偏差 {seconds} 秒，请校时（NTP）",
        f"the agent's clock is off by {seconds} seconds: set it by NTP",
    )


def releasable(cause: Cause, verdict: Verdict, *, model_known: bool) -> str | None:
    """Say why a decision cannot be taken now, as a stable code; None: it can.

    A record without a registered card cannot be released, for it has no price; one with the id of another only by a
    correction of that other.
    """
    if verdict is Verdict.REJECT:
        return None
    if cause is Cause.CONFLICT:
        return "correction-needed"
    if cause is Cause.MODEL and not model_known:
        return "model-unknown"
    return None
