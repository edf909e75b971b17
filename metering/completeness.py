"""Completeness: what a centre says it sent for a month, against what arrived; and gaps in a source's numbers.

A loss that no deduplication can see (a file never read, an account never exported) shows only against a second count. A
centre declares, per month and account, how many jobs, segments and GPU-milliseconds there were (after APEL's sync record); a
source numbers its records without gaps. What differs is told on the statement of the month: complete, missing, surplus, or
not declared.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ledger.errors import Finding
from ledger.split import split
from metering.model import UsageRecord
from metering.zones import SHANGHAI, shanghai_day_us

_EPOCH_SHANGHAI = datetime.fromtimestamp(0, SHANGHAI)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a centre says of one account in one policy month (2026-11 is 202611).

    A segment is a record; one that spans months counts in the month of its start, and its GPU-milliseconds where they fall.
    Jobs are kept as evidence: records do not tell how many there were.
    """

    month: int
    account: str
    jobs: int
    segments: int
    gpu_ms: int


def declarations(records: Iterable[UsageRecord], month: int) -> list[Declaration]:
    """Count what records say of one policy month (202611), by account: as the service counts what arrives."""
    begin_us, end_us = (shanghai_day_us(day) for day in _month_days(month))
    jobs: dict[str, set[str]] = {}
    sums: dict[str, list[int]] = {}
    for record in records:
        if record.start_us >= end_us or max(record.end_us, record.start_us + 1) <= begin_us:
            continue
        counted = sums.setdefault(record.account, [0, 0])
        counted[0] += record.start_us >= begin_us
        counted[1] += _share_ms(record, begin_us, end_us)
        jobs.setdefault(record.account, set()).add(record.job)
    return [
        Declaration(month, account, len(jobs[account]), segments, gpu_ms)
        for account, (segments, gpu_ms) in sorted(sums.items())
    ]


def _month_days(month: int) -> tuple[date, date]:
    following = month + 1 if month % 100 < 12 else month + 89
    return date(month // 100, month % 100, 1), date(following // 100, following % 100, 1)


def _share_ms(record: UsageRecord, begin_us: int, end_us: int) -> int:
    """GPU-milliseconds of a record in `[begin_us, end_us)`, split over all its months and cards by largest remainder."""
    total = sum(card.count_milli * record.active_ms // 1000 for card in record.accelerators)
    if begin_us <= record.start_us and record.end_us <= end_us:
        return total
    places, weights = [], []
    at_us = record.start_us
    while at_us < record.end_us:
        local = _EPOCH_SHANGHAI + timedelta(microseconds=at_us)
        until_us = min(record.end_us, shanghai_day_us(_month_days(local.year * 100 + local.month)[1]))
        places += [at_us] * len(record.accelerators)
        weights += [(until_us - at_us) * card.count_milli for card in record.accelerators]
        at_us = until_us
    return sum(part for place, part in zip(places, split(total, weights), strict=True) if begin_us <= place < end_us)


class State(enum.Enum):
    """What a declaration and the arrived records come to."""

    COMPLETE = "complete"
    MISSING = "missing"
    SURPLUS = "surplus"
    UNDECLARED = "undeclared"


@dataclass(frozen=True, slots=True)
class Completeness:
    """A month of an account: the state, and what the declaration has more than arrived (negative: less)."""

    state: State
    segments: int = 0
    gpu_ms: int = 0


def compare(declared: Declaration | None, segments: int, gpu_ms: int) -> Completeness:
    """Compare a declaration with the records that arrived and their GPU-milliseconds."""
    if declared is None:
        return Completeness(State.UNDECLARED)
    differences = declared.segments - segments, declared.gpu_ms - gpu_ms
    if not any(differences):
        return Completeness(State.COMPLETE)
    return Completeness(State.MISSING if max(differences) > 0 else State.SURPLUS, *differences)


def completeness_finding(result: Completeness, month: int, account: str) -> Finding | None:
    """Say on a statement what is not complete; None where nothing is to be said."""
    where = f"{month // 100}-{month % 100:02d} {account}"
    if result.state is State.COMPLETE:
        return None
    if result.state is State.UNDECLARED:
        return Finding("period-undeclared", "中心尚未申报该期用量", "the centre has not declared this period", where)
    gpu_ms, segments = abs(result.gpu_ms), abs(result.segments)
    if result.state is State.MISSING:
        return Finding(
            "period-incomplete",
            f"尚缺 {segments} 段、{gpu_ms} GPU 毫秒",
            f"{segments} segments and {gpu_ms} GPU-milliseconds are missing",
            where,
        )
    return Finding(
        "period-surplus",
        f"比申报多 {segments} 段、{gpu_ms} GPU 毫秒",
        f"{segments} segments and {gpu_ms} GPU-milliseconds more than declared",
        where,
    )
