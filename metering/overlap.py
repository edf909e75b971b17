"""One card, one holder: overlapping holds of a device, and jobs that look like one job told twice.

Both are findings with the evidence. Equal rows can be distinct jobs (Philly has 65 of them), so a fingerprint says where a
person should look, and refuses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from metering.model import UsageRecord


@dataclass(frozen=True, slots=True)
class Hold:
    """A device (UUID or serial number, with its MIG instance) held by an account's job in `[start_us, end_us)`."""

    device: str
    account: str
    job: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two holds of one device that share time, the earlier first, and the microseconds they share."""

    first: Hold
    second: Hold
    shared_us: int


def overlaps(holds: Iterable[Hold]) -> list[Overlap]:
    """Every pair of different jobs that held one device at the same time, in the order of devices and starts."""
    found: list[Overlap] = []
    current: list[Hold] = []
    device = None
    for hold in sorted(set(holds), key=lambda one: (one.device, one.start_us, one.end_us, one.account, one.job)):
        if hold.device != device:
            device, current = hold.device, []
        current = [one for one in current if one.end_us > hold.start_us]
        found += [
            Overlap(one, hold, min(one.end_us, hold.end_us) - hold.start_us)
            for one in current
            if (one.account, one.job) != (hold.account, hold.job) and hold.end_us > hold.start_us
        ]
        current.append(hold)
    return found


def fingerprint(record: UsageRecord) -> str:
    """What makes a job look the same from two sources: who, when, how long and which cards; not its id or its name."""
    cards = sorted((card.model, card.count_milli) for card in record.accelerators)
    seen = repr((record.account, record.start_us, record.end_us, record.active_ms, cards))
    return hashlib.sha256(seen.encode()).hexdigest()
