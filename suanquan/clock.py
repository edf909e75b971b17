"""The clock of an opened home, asked for in one place, so that rules, journal and use cases agree on what day it is.

A sandbox may live on other days than today: `suanquan sandbox clock advance` sets its clock forwards, for the service and every
command at once, and `SUANQUAN_SANDBOX_CLOCK` says for one process at which instant its clock starts. No other home takes
either: who could set the clock could shorten a public notice.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path

from metering.instants import parse_instant
from metering.zones import SHANGHAI
from suanquan.errors import ServiceError
from suanquan.settings import Settings

VARIABLE = "SUANQUAN_SANDBOX_CLOCK"
ClockNs = Callable[[], int]
"""UTC epoch nanoseconds."""


LOOK_NS = 200_000_000
"""How often a running process looks whether the sandbox's clock was set forwards."""
AHEAD_DAYS_MAX = 3660
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SPAN = re.compile(r"([1-9][0-9]{0,6})([dhms])")


class SandboxClock:
    """The system's clock and what a sandbox is ahead of it, which a file in the home says: a running service follows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looked_ns, self._stamp, self._ahead_s = -LOOK_NS, 0, 0

    @property
    def ahead_ns(self) -> int:
        """How far the sandbox is ahead, in nanoseconds."""
        now = time.monotonic_ns()
        if now - self._looked_ns >= LOOK_NS:
            self._looked_ns = now
            try:
                stamp = self._file.stat().st_mtime_ns
            except FileNotFoundError:
                stamp = self._ahead_s = 0
            if stamp != self._stamp:
                self._stamp, self._ahead_s = stamp, read_ahead(self._file)
        return self._ahead_s * 1_000_000_000

    def __call__(self) -> int:
        """UTC epoch nanoseconds, in the sandbox."""
        return time.time_ns() + self.ahead_ns


def read_ahead(file: Path) -> int:
    """How many seconds a sandbox is ahead by its file; 0 without one.

    Raises:
        ServiceError: `clock-malformed`.

    """
    try:
        seconds = json.loads(file.read_bytes())["ahead_s"]
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError):
        seconds = None
    if not isinstance(seconds, int) or not 0 <= seconds <= AHEAD_DAYS_MAX * _UNITS["d"]:
        raise ServiceError(
            "clock-malformed", f"{file} 损坏；请删除该文件", f"{file} is damaged; delete it: the clock is today's again"
        )
    return seconds


def parse_span(text: str) -> int:
    """Seconds of a span such as 30d, 12h, 90m or 45s.

    Raises:
        ServiceError: `span-malformed`.

    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ServiceError(
            "span-malformed",
            f"时长应形如 30d、12h、90m、45s，现为“{text[:40]}”；时钟只能向前",
            f"a span looks like 30d, 12h, 90m or 45s, not {text[:40]!r}; the clock goes forwards only",
        )
    return int(found[1]) * _UNITS[found[2]]


def wall_ns(clock: ClockNs) -> int:
    """The time outside: signatures, sessions and nonces are made and end by it, whatever day a sandbox is at."""
    return clock() - clock.ahead_ns if isinstance(clock, SandboxClock) else clock()


def clock_of(settings: Settings, file: Path, environment: Mapping[str, str] = os.environ) -> ClockNs:
    """The system's clock, or that of a sandbox, whose `file` says how far it is ahead.

    Raises:
        ServiceError: `clock-not-sandbox` or `clock-malformed`.

    """
    text = environment.get(VARIABLE, "")
    if not text:
        return SandboxClock(file) if settings.sandbox else time.time_ns
    if not settings.sandbox:
        raise ServiceError(
            "clock-not-sandbox",
            f"{VARIABLE} 只能用于沙箱；请去掉该变量",
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
