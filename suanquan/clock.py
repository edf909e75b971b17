"""The clock of an opened home, asked for in one place, so that rules, journal and use cases agree on what day it is.

A sandbox may rehearse a round on other days than today: `SUANQUAN_SANDBOX_CLOCK` says at which instant its clock starts. No
other home takes it: who could set the clock could shorten a public notice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime

from metering.instants import parse_instant
from metering.zones import SHANGHAI
from suanquan.errors import ServiceError
from suanquan.settings import Settings

VARIABLE = "SUANQUAN_SANDBOX_CLOCK"
ClockNs = Callable[[], int]
"""UTC epoch nanoseconds."""


def clock_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> ClockNs:
    """The system's clock, or that of a rehearsal in a sandbox.

    Raises:
        ServiceError: `clock-not-sandbox` or `clock-malformed`.

    """
    text = environment.get(VARIABLE, "")
    if not text:
        return time.time_ns
    if not settings.sandbox:
        raise ServiceError(
            "clock-not-sandbox",
            f"{VARIABLE} 只能用于沙箱；请取消该变量",
            f"{VARIABLE} is for sandbox homes alone; unset it",
        )
    try:
        ahead = parse_instant(text) * 1000 - time.time_ns()
    except ValueError:
        raise ServiceError(
            "clock-malformed",
            f"{VARIABLE} 应形如 2025-09-26T09:00:00+08:00，现为“{text[:40]}”",
            f"{VARIABLE} must look like 2025-09-26T09:00:00+08:00, not {text[:40]!r}",
        ) from None
    return lambda: time.time_ns() + ahead


def shanghai_day(now_ns: int) -> date:
    """The policy day of an instant: the date in Shanghai."""
    return datetime.fromtimestamp(now_ns // 1_000_000_000, SHANGHAI).date()
