"""Completeness: what a centre says it sent for a period, against what arrived; and gaps in a source's numbers.

A loss that no deduplication can see (a file never read, an account never exported) shows only against a second count. A
centre declares, per period and account, how many jobs, segments and GPU-milliseconds there were (after APEL's sync record); a
source numbers its records without gaps. What differs is told on the statement of the period: complete, missing, surplus, or
not declared.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from ledger.errors import Finding


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a centre says of one account in one period (`2026-11` or `2026-11-22`, of its own calendar); account "" is all."""

    period: str
    account: str
    jobs: int
    segments: int
    gpu_ms: int


class State(enum.Enum):
    """What a declaration and the arrived records come to."""

    COMPLETE = "complete"
    MISSING = "missing"
    SURPLUS = "surplus"
    UNDECLARED = "undeclared"


@dataclass(frozen=True, slots=True)
class Completeness:
    """A period of an account: the state, and what the declaration has more than arrived (negative: less)."""

    state: State
    jobs: int = 0
    segments: int = 0
    gpu_ms: int = 0


def compare(declared: Declaration | None, arrived: Declaration) -> Completeness:
    """Compare a declaration with what arrived, counted in the same way."""
    if declared is None:
        return Completeness(State.UNDECLARED)
    differences = (
        declared.jobs - arrived.jobs,
        declared.segments - arrived.segments,
        declared.gpu_ms - arrived.gpu_ms,
    )
    if not any(differences):
        return Completeness(State.COMPLETE)
    state = State.MISSING if max(differences) > 0 else State.SURPLUS
    return Completeness(state, *differences)


def completeness_finding(result: Completeness, period: str, account: str) -> Finding | None:
    """Say on a statement what is not complete; None where nothing is to be said."""
    where = f"{period} {account}".strip()
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


class Sequences:
    """Which numbers of a source have arrived, as runs: numbers come in any order, and mostly the next one."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in runs:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Take note of the numbers `first..last`; those that were there already change nothing."""
        assert 0 < first <= last, "numbers ascend from 1"
        low = bisect_left(self._lasts, first - 1)
        high = low
        while high < len(self._firsts) and self._firsts[high] <= last + 1:
            first, last = min(first, self._firsts[high]), max(last, self._lasts[high])
            high += 1
        self._firsts[low:high], self._lasts[low:high] = [first], [last]

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Runs of numbers that have arrived, in order."""
        return list(zip(self._firsts, self._lasts, strict=True))

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Runs of numbers below the highest that have not arrived: the source is incomplete while there are any."""
        after = [1, *(last + 1 for last in self._lasts)]
        return [(begin, first - 1) for begin, first in zip(after, self._firsts, strict=False) if begin < first]
