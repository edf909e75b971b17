"""Policy months: calendar months of Asia/Shanghai, by which usage is summed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metering.zones import shanghai_day_us

Column = NDArray[Any]


def month_shares(start_us: int, end_us: int) -> list[tuple[int, int]]:
    """Policy months of an interval with the microseconds in each; an empty interval lies in the month of its start."""
    found: list[tuple[int, int]] = []
    at = start_us
    while at < end_us or not found:
        index = int(month_index(np.array([at], dtype=np.int64))[0])
        upto = min(end_us, int(MONTH_STARTS[index + 1]))
        found.append((month_name(index), upto - at))
        at = upto
    return found


def month_index(instants: Column) -> Column:
    """Number of the policy month of each instant, since January 1970."""
    return np.searchsorted(MONTH_STARTS, instants, side="right") - 1


def month_name(index: int) -> int:
    """A month as totals name it: 2017-09 is 201709."""
    return (1970 + index // 12) * 100 + index % 12 + 1


MONTH_STARTS = np.array(
    [shanghai_day_us(dt.date(1970 + index // 12, index % 12 + 1, 1)) for index in range(231 * 12)], dtype=np.int64
)
"""Starts of policy months; records before 2000 and beyond our clock never come this far."""
