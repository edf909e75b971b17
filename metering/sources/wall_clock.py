"""Times as usage files print them: with an offset, as epoch seconds, or as a wall clock whose zone must be declared."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from metering.errors import MeteringError
from metering.sources.faults import RowFault
from metering.zones import INSTANT_US_MAX, MICROSECOND, US, instant_us, zone_of

_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock is compared with a wall clock
_DAY = timedelta(days=1)

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_EPOCH_SECONDS = re.compile(r"([0-9]{9,10})(?:\.([0-9]{1,6}))?")
"""Nine or ten digits: 1973 to 2286. `20170904` is a day, thirteen digits are milliseconds; neither is taken for seconds."""


class InstantReader:
    """Reads the instants of one file: ISO 8601 with or without offset, or epoch seconds.

    A time without offset is a wall clock in the declared zone; one that this clock showed twice or never (a change to or
    from summer time) is a fault of its row.
    """

    def __init__(self, file: str, timezone: str | None) -> None:
        self._file = file
        self._zone = None if timezone is None else zone_of(timezone)
        self._offset_us_by_day: dict[int, int | None] = {}

    def us(self, text: str) -> int:
        """UTC epoch microseconds of `2017-10-09 07:01:55`, `2017-10-09T07:01:55.5+08:00` or `1795310097`.

        Raises:
            RowFault: not an instant between 1970 and 2200, or not one instant.
            MeteringError: a wall clock, and no zone was declared.

        """
        at_us = self._iso_us(text) if _ISO.fullmatch(text) else _epoch_us(text)
        if not 0 <= at_us < INSTANT_US_MAX:
            raise RowFault("bad-time", text)
        return at_us

    def _iso_us(self, text: str) -> int:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise RowFault("bad-time", text) from None
        if moment.tzinfo is not None:
            return instant_us(moment)
        day = moment.toordinal()
        if day not in self._offset_us_by_day:
            self._offset_us_by_day[day] = self._whole_day_offset_us(moment)
        offset_us = self._offset_us_by_day[day]
        return (moment - _NAIVE_EPOCH) // MICROSECOND - (self._offset_us(moment) if offset_us is None else offset_us)

    def _whole_day_offset_us(self, moment: datetime) -> int | None:
        """Find the offset of that day's wall clock; None on a day on which it changes."""
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            return self._offset_us(midnight) if self._offset_us(midnight) == self._offset_us(midnight + _DAY) else None
        except (RowFault, OverflowError):
            return None

    def _offset_us(self, moment: datetime) -> int:
        if self._zone is None:
            raise MeteringError(
                "timezone-missing",
                f"{self._file} 中的时间不带时区，请用 --timezone 说明，例如 --timezone Asia/Shanghai 或 --timezone UTC",
                f"times in {self._file} carry no offset: say whose clock it was with --timezone, "
                "for example --timezone Asia/Shanghai or --timezone UTC",
            )
        first, second = (self._zone.utcoffset(moment.replace(fold=fold)) for fold in (0, 1))
        if first is None or first != second:
            raise RowFault("ambiguous-time", moment.isoformat(" "))
        return first // MICROSECOND


def _epoch_us(text: str) -> int:
    match = _EPOCH_SECONDS.fullmatch(text)
    if match is None:
        raise RowFault("bad-time", text)
    return int(match.group(1)) * US + int((match.group(2) or "").ljust(6, "0"))
