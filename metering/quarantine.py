"""Quarantine: records that wait for a person, why, and what the person may decide.

A record is held, never dropped and never rated as zero, where something about it needs an eye: its card is not registered,
it lasts longer than any job should, it fills a pool beyond what is there, its agent's clock is off, its centre is suspended, its
holder has a hold that it does not name, or its id was said with other content. A release rates it by the time of its usage; a rejection keeps it, unrated, with the reason.
"""

from __future__ import annotations

import enum

DAY_US = 86_400_000_000
DURATION_US_MAX = 90 * DAY_US
"""Longest interval that is rated unseen: real jobs of 53 days exist, so that 30 would hold true usage."""
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
