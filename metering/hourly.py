"""GPU time of usage records by the hour in which it was used: spread evenly over each record, so that its hours add up to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from metering import segment
from metering.model import UsageRecord
from metering.telemetry import HOUR_US

SECOND_US = 1_000_000
HOUR_S = 3_600
Hours = Mapping[int, int]
"""GPU-milliseconds by hour, which is counted from 1970 (UTC)."""
_PRODUCT_MAX = 2**62
_SPAN_MAX_S = 2**31 - 1
_FIELDS = (("parts", 5, "u1"), ("start", 6, ">i8"), ("end", 14, ">i8"), ("active", 22, ">u8"), ("count", 38, ">u8"))
"""Fields of a record's bytes (`metering.segment`) by name: where each stands, and its type."""


def hours_of(record: UsageRecord) -> dict[int, int]:
    """One record, by whole seconds: what had been used up to each full hour, rounded down, less what had been before."""
    first, last = _seconds(record.start_us, record.end_us)
    total, found, before = record.gpu_ms, {}, 0
    for hour in range(first // HOUR_S, (last - 1) // HOUR_S + 1):
        upto = total * (min(last, (hour + 1) * HOUR_S) - first) // (last - first)
        found[hour] = upto - before
        before = upto
    return found


def _seconds(start_us: int, end_us: int) -> tuple[int, int]:
    first = start_us // SECOND_US
    return first, max(first + 1, -(-end_us // SECOND_US))


def hours_of_segment(stored: bytes) -> dict[int, int]:
    """All records of a segment together, as `hours_of` has each."""
    begins = segment.places_of(stored)
    if not len(begins):
        return {}
    columns = _columns(stored, begins)
    plain = (columns["parts"] == 1) & (columns["end"] - columns["start"] < _SPAN_MAX_S * SECOND_US)
    if int(columns["count"].max()) * int(columns["active"].max()) >= _PRODUCT_MAX:
        plain[:] = False
    found: Counter[int] = Counter(_spread({name: column[plain] for name, column in columns.items()}))
    if not plain.all():
        for leaf, is_plain in zip(segment.unpack(stored), plain.tolist(), strict=True):
            if not is_plain:
                found.update(hours_of(segment.decode(leaf)))
    return dict(found)


def _columns(stored: bytes, begins: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    data = np.frombuffer(stored, np.uint8)
    found = {}
    for name, at, kind in _FIELDS:
        size = np.dtype(kind).itemsize
        found[name] = data[begins[:, None] + np.arange(at, at + size)].copy().view(kind)[:, 0].astype(np.int64)
    return found


def _spread(columns: Mapping[str, NDArray[np.int64]]) -> dict[int, int]:
    """Records with one kind of cards each, whose products fit 63 bits."""
    total = columns["count"] * columns["active"] // 1000
    if not len(total):
        return {}
    first = columns["start"] // SECOND_US
    last = np.maximum(first + 1, -(-columns["end"] // SECOND_US))
    low = first // HOUR_S
    many = (last - 1) // HOUR_S + 1 - low
    ends = np.cumsum(many)
    steps = np.arange(ends[-1]) - np.repeat(ends - many, many)
    hour = np.repeat(low, many) + steps
    whole, rest, length = (
        np.repeat(one, many) for one in (total // (last - first), total % (last - first), last - first)
    )
    start, end = np.repeat(first, many), np.repeat(last, many)
    before, upto = np.maximum(start, hour * HOUR_S) - start, np.minimum(end, (hour + 1) * HOUR_S) - start
    used = whole * (upto - before) + rest * upto // length - rest * before // length
    names, places = np.unique(hour, return_inverse=True)
    sums = np.zeros(len(names), np.int64)
    np.add.at(sums, places, used)
    return dict(zip(names.tolist(), sums.tolist(), strict=True))


def added(some: Iterable[tuple[int, Hours]]) -> dict[int, int]:
    """Hours together, each set with its sign (1 or -1)."""
    found: dict[int, int] = {}
    for sign, hours in some:
        for hour, gpu_ms in hours.items():
            found[hour] = found.get(hour, 0) + sign * gpu_ms
    return found


def capacity_ms(steps: Iterable[tuple[int, int]], from_us: int, until_us: int) -> int:
    """GPU-milliseconds that cards of one model could give in `[from_us, until_us)`: steps of thousandths of cards, in order of time."""
    known = [*steps]
    total = 0
    for at, (since, milli) in enumerate(known):
        until = known[at + 1][0] if at + 1 < len(known) else until_us
        total += milli * max(0, min(until, until_us) - max(since, from_us))
    return total // (1000 * 1000)


def hour_of(at_us: int) -> int:
    """The hour of an instant, counted from 1970 (UTC)."""
    return at_us // HOUR_US
