"""What is to be used of a budget if all goes on as in the last weeks, with a band of 80 %. Integers alone.

Method: of the last 28 complete days (Shanghai) those since the first use count, in whole weeks, so that every weekday weighs
the same; at least 14, or nothing is said. What comes is the mean of a day times the days ahead, rounded down. The band takes the
residuals of the days (what was used, less the mean), the tenth and the ninetieth of a hundred, times the root of
h + h²/n: h days ahead vary as single days do, and the mean itself is known from n days only. It supposes that days do not
depend on each other and that the pace stays; it knows nothing of vouchers to come, nor of their ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

DAYS = 28
DAYS_MIN = 14
WEEK = 7
LOW, HIGH = 10, 90
"""Percentiles of the residuals: the band between them is that of 80 %."""
AHEAD_MAX = 3_660
_SCALE = 10**6


@dataclass(frozen=True, slots=True)
class Ahead:
    """What will have been used more after some days: expected, and the ends of the band."""

    low: int
    expected: int
    high: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """Days that are known, what was used in them, and the residuals at both ends, in units times days."""

    days: int
    used: int
    low: int
    high: int

    def after(self, ahead: int) -> Ahead:
        """What is used in so many days from now."""
        expected = self.used * ahead // self.days
        root = isqrt(_SCALE * _SCALE * (ahead * self.days + ahead * ahead) // self.days)
        low, high = (expected + residual * root // (self.days * _SCALE) for residual in (self.low, self.high))
        return Ahead(max(0, min(low, expected)), expected, max(high, expected))

    def lasts(self, budget: int) -> tuple[int | None, int | None, int | None]:
        """Whole days until a rest of a budget is used: at the earliest, as expected, at the latest; None beyond ten years."""
        first, middle, last = None, None, None
        for ahead in range(AHEAD_MAX + 1):
            then = self.after(ahead)
            first = ahead if first is None and then.high >= budget else first
            middle = ahead if middle is None and then.expected >= budget else middle
            last = ahead if last is None and then.low >= budget else last
            if last is not None:
                break
        return first, middle, last


def outlook(used_by_day: Sequence[int]) -> Outlook | None:
    """Say what comes by what was used on each complete day, oldest first; None: too little is known."""
    days = list(used_by_day[-DAYS:])
    while days and days[0] <= 0:
        del days[0]
    days = days[len(days) % WEEK :]
    total = sum(days)
    if len(days) < DAYS_MIN or total <= 0:
        return None
    residuals = sorted(one * len(days) - total for one in days)
    return Outlook(len(days), total, _percentile(residuals, LOW), _percentile(residuals, HIGH))


def _percentile(ordered: Sequence[int], percent: int) -> int:
    """The value that at least so many of a hundred do not exceed (nearest rank)."""
    return ordered[max(1, -(-len(ordered) * percent // 100)) - 1]
