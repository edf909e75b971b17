"""How long a name must wait after failed log-ins: nothing for a few, then twice as long each time, up to a quarter of an hour.

It counts names that exist and names that do not alike, so that the wait tells nobody which is which.
"""

from __future__ import annotations

FREE_FAILURES = 5
FIRST_WAIT_S = 1
LONGEST_WAIT_S = 900
FORGET_S = 86_400
"""After a day without a failure a name starts anew."""


def wait_s(failures: int) -> int:
    """Seconds to wait after so many failures in a row."""
    if failures < FREE_FAILURES:
        return 0
    return min(FIRST_WAIT_S << min(failures - FREE_FAILURES, 20), LONGEST_WAIT_S)


def left_s(failures: int, last_us: int, now_us: int) -> int:
    """Whole seconds that are still to wait, rounded up; zero where a try is free."""
    left_us = last_us + wait_s(failures) * 1_000_000 - now_us
    return max(-(-left_us // 1_000_000), 0)
