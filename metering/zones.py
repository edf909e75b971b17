"""Instants: UTC epoch microseconds, and the zones and days that people write them in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from metering.errors import MeteringError

US = 1_000_000
INSTANT_US_MAX = 7_258_118_400 * US
"""2200-01-01: GPU-milliseconds of a million cards up to then still fit 63 bits."""

SHANGHAI = timezone(timedelta(hours=8))
"""The clock of policy days, prices and registers; it has stood at +08:00 since 1991."""

MICROSECOND = timedelta(microseconds=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"([+-])(0[0-9]|1[0-4]):?([0-5][0-9])")


def zone_of(name: str) -> tzinfo:
    """Find the zone of an IANA name (`Asia/Shanghai`) or a fixed offset (`+08:00`).

    Raises:
        MeteringError: no such zone.

    """
    if match := _OFFSET.fullmatch(name):
        sign = -1 if match.group(1) == "-" else 1
        return timezone(sign * timedelta(hours=int(match.group(2)), minutes=int(match.group(3))))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise MeteringError(
            "timezone-unknown",
            f"时区“{name}”不存在，请写 Asia/Shanghai、UTC 或 +08:00",
            f"time zone {name!r} does not exist: write Asia/Shanghai, UTC or +08:00",
        ) from error


def instant_us(moment: datetime) -> int:
    """UTC epoch microseconds of an aware time."""
    return (moment - _EPOCH) // MICROSECOND


def rfc3339(at_us: int) -> str:
    """`2026-11-22T01:15:37Z`; microseconds are printed only where there are any."""
    return (_EPOCH + at_us * MICROSECOND).isoformat().replace("+00:00", "Z")


def shanghai_day_us(day: date) -> int:
    """Give the instant at which a day begins in Shanghai."""
    return instant_us(datetime(day.year, day.month, day.day, tzinfo=SHANGHAI))
