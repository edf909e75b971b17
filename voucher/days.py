"""Days of contracts and periods in Asia/Shanghai: months, overlaps, and amounts split by calendar year."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from ledger.split import split
from metering.zones import SHANGHAI, shanghai_day_us

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day_of(instant_us: int) -> date:
    """The day in Shanghai of a UTC instant: local midnight is 16:00 UTC."""
    return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(SHANGHAI).date()


def minute_of(at_s: int) -> str:
    """The minute in Shanghai of a UTC instant, as texts for people have it; which zone it is, they say themselves."""
    return f"{(_EPOCH + timedelta(seconds=at_s)).astimezone(SHANGHAI):%Y-%m-%d %H:%M}"


def add_months(day: date, months: int) -> date:
    """The same day so many months later; the first of the next month where that day does not exist."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    try:
        return date(year, month + 1, day.day)
    except ValueError:
        return date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)


def longer_than(starts_on: date, ends_on: date, months: int) -> bool:
    """Whether a contract with both of these days takes more than so many months: 2024-02-01 to 2025-01-31 are twelve."""
    return ends_on + _DAY > add_months(starts_on, months)


def days_between(first: date, last: date, *, inclusive: bool) -> int:
    """Days of a span: the difference of the dates, plus one if both ends count; zero if it is empty."""
    return max((last - first).days + inclusive, 0)


def overlap_days(first: tuple[date, date], second: tuple[date, date], *, inclusive: bool) -> int:
    """Days that two spans have in common, counted as `days_between` does."""
    return days_between(max(first[0], second[0]), min(first[1], second[1]), inclusive=inclusive)


def split_by_year(total: int, start_us: int, end_us: int) -> dict[int, int]:
    """A total by calendar year in Shanghai, in proportion to the time (half-open, UTC epoch microseconds); the parts add up.

    Caps count in the year of use: what runs across 31 December is split before they apply.
    """
    first, last = day_of(start_us).year, day_of(max(end_us - 1, start_us)).year
    edges = [start_us, *(shanghai_day_us(date(year, 1, 1)) for year in range(first + 1, last + 1)), end_us]
    weights = [later - earlier for earlier, later in pairwise(edges)]
    return dict(zip(range(first, last + 1), split(total, weights), strict=True))
