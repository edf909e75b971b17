"""Are the centres used, and can today's data be trusted: usage and reports by centre, day and hour (charts 8 and 10).

A batch's records never change, so that its hours are worked out once in the life of a process; what counts instead of a report
(corrections, records that wait) is looked up for each page, in its snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

from ledger.sql import Connection
from metering import centre_store, hourly_store, segment, sight_store
from metering import store as metering_store
from metering.hourly import Hours, added, capacity_ms, hour_of, hours_of, hours_of_segment
from metering.hourly_store import Head
from metering.telemetry import HOUR_US
from metering.zones import shanghai_day_us
from suanquan.use_cases.subsidies import day_of

DAYS = 28
HOURS_PER_DAY = 24
Steps = Mapping[str, Sequence[tuple[int, int]]]
"""Thousandths of cards by model, from instants on."""


class Day(NamedTuple):
    """A centre's day in Shanghai: GPU-milliseconds used and there to be used, hours that something was heard of, hours that passed.

    `heard` are hours with usage or with a report of monitors; of the rest nobody said anything. `steps` says that cards came or
    left. `known` is False for days before the first record, and after the last word of the centre: there is no figure, which is not 0.
    """

    centre: str
    day: date
    gpu_ms: int
    capacity_ms: int
    heard: int
    passed: int
    monitors: bool
    steps: bool
    known: bool
    is_open: bool


class Hour(NamedTuple):
    """An hour of a centre: GPU-milliseconds of records, and those that monitors saw busy and saw at all (None: no report)."""

    hour: int
    gpu_ms: int
    busy_ms: int | None
    seen_ms: int | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of centres: hours of usage, of monitors, cards, the first and the last word of each."""

    used: Mapping[str, Hours]
    seen: Mapping[str, Mapping[int, tuple[int, int]]]
    cards: Mapping[str, Steps]
    first_us: Mapping[str, int]
    last_us: Mapping[str, int]


def days_of(centres: Iterable[str], heard: Heard, now_us: int, days: int = DAYS) -> dict[str, list[Day]]:
    """The last days of each centre, oldest first; the last one runs."""
    today = day_of(now_us)
    return {
        centre: [_day(centre, today - timedelta(days=back), heard, now_us) for back in range(days - 1, -1, -1)]
        for centre in centres
    }


def _day(centre: str, day: date, heard: Heard, now_us: int) -> Day:
    begin = shanghai_day_us(day)
    end = min(shanghai_day_us(day + timedelta(days=1)), now_us)
    hours = range(hour_of(begin), hour_of(begin) + HOURS_PER_DAY)
    used, seen, steps = (
        heard.used.get(centre, {}),
        heard.seen.get(centre, {}),
        heard.cards.get(centre, {}),
    )
    first, last = heard.first_us.get(centre), heard.last_us.get(centre, 0)
    return Day(
        centre,
        day,
        sum(used.get(hour, 0) for hour in hours),
        sum(capacity_ms(some, begin, end) for some in steps.values()),
        sum(used.get(hour, 0) > 0 or hour in seen for hour in hours),
        min(HOURS_PER_DAY, (end - begin) // HOUR_US),
        any(hour in seen for hour in hours),
        any(begin <= since < end for some in steps.values() for since, _ in some if since > 0),
        known=first is not None and first < end and last >= begin,
        is_open=end == now_us,
    )


def hours_list(centre: str, day: date, heard: Heard, now_us: int) -> list[Hour]:
    """The hours of a day that have passed."""
    begin = shanghai_day_us(day)
    used, seen = heard.used.get(centre, {}), heard.seen.get(centre, {})
    found = []
    for hour in range(hour_of(begin), hour_of(begin) + HOURS_PER_DAY):
        if (hour + 1) * HOUR_US <= now_us:
            busy_ms, seen_ms = seen.get(hour, (None, None))
            found.append(Hour(hour, used.get(hour, 0), busy_ms, seen_ms))
    return found


def mean_use(days: Sequence[Day]) -> tuple[int, int]:
    """GPU-milliseconds used and there over the days of which there is a figure."""
    known = [one for one in days if one.known and one.capacity_ms]
    return sum(one.gpu_ms for one in known), sum(one.capacity_ms for one in known)


def by_mean(days: Mapping[str, Sequence[Day]]) -> list[str]:
    """Centres, those that are used most first; those without a figure last."""

    def order(centre: str) -> tuple[bool, int, str]:
        used, there = mean_use(days[centre])
        return not there, -(used * 10**6 // there) if there else 0, centre

    return sorted(days, key=order)


@dataclass(slots=True)
class Batches:
    """Hours of batches that were worked out, by number and root, and the ids of those that some record of is looked for."""

    _hours: dict[tuple[int, bytes], Hours] = field(default_factory=dict)
    _ids: dict[tuple[int, bytes], list[str]] = field(default_factory=dict)
    _without: dict[tuple[int, bytes, tuple[int, ...]], Hours] = field(default_factory=dict)

    async def heard(self, conn: Connection, now_us: int, days: int = DAYS) -> Heard:
        """What was heard in the last days, and before in records that reach into them."""
        from_us = shanghai_day_us(day_of(now_us) - timedelta(days=days - 1))
        heads = await hourly_store.heads_since(conn, from_us)
        sources = await metering_store.load_sources(conn)
        last: dict[str, int] = defaultdict(int)
        for one in sources:
            last[one.centre] = max(last[one.centre], one.received_us)
        seen = await hourly_store.seen_hours(conn, from_us, now_us)
        for centre, hours in seen.items():
            last[centre] = max(last[centre], (max(hours) + 1) * HOUR_US)
        steps = await centre_store.load_steps(conn)
        declared = {
            centre: {model: [(0, milli)] for model, milli in cards.items()}
            for centre, cards in (await metering_store.load_capacity(conn)).items()
        }
        used = await self._used(conn, heads)
        return Heard(used, seen, declared | steps, await hourly_store.first_heard(conn), last)

    async def _used(self, conn: Connection, heads: Sequence[Head]) -> dict[str, Hours]:
        await self._work_out(conn, heads)
        parts: dict[str, list[tuple[int, Hours]]] = defaultdict(list)
        for head in heads:
            parts[head.centre].append((1, self._hours[head.number, head.root]))
        states = await hourly_store.states(conn)
        for head, gone in await self._not_counted(conn, heads, states):
            parts[head.centre].append((-1, gone))
        for centre, _, _, record in states:
            if record:
                parts[centre].append((1, hours_of(segment.decode(record))))
        return {centre: added(some) for centre, some in parts.items()}

    async def _work_out(self, conn: Connection, heads: Sequence[Head]) -> None:
        """Read batches that are new; those that nobody asks for any more are forgotten."""
        keys = {(head.number, head.root) for head in heads}
        self._ids = {key: ids for key, ids in self._ids.items() if key in keys}
        self._hours = {key: hours for key, hours in self._hours.items() if key in keys}
        self._without = {key: hours for key, hours in self._without.items() if key[:2] in keys}
        missing = {head.number: head.root for head in heads if (head.number, head.root) not in self._hours}
        for row in await sight_store.load_segments(conn, missing):
            self._hours[row.batch, missing[row.batch]] = hours_of_segment(row.segment)

    async def _not_counted(
        self, conn: Connection, heads: Sequence[Head], states: Iterable[tuple[str, int, str, bytes]]
    ) -> list[tuple[Head, Hours]]:
        """Hours of the records of each batch that wait, or of which something else counts."""
        other: dict[int, set[str]] = defaultdict(set)
        for _, source, name, _ in states:
            other[source].add(name)
        waiting: dict[int, set[str]] = defaultdict(set)
        for batch, name in await sight_store.waiting_ids(conn, [head.number for head in heads]):
            waiting[batch].add(name)
        found = []
        for head in heads:
            names = other.get(head.source, set()) | waiting.get(head.number, set())
            if names and (hours := await self._hours_without(conn, head, names)):
                found.append((head, hours))
        return found

    async def _hours_without(self, conn: Connection, head: Head, names: set[str]) -> Hours:
        key = head.number, head.root
        if key not in self._ids:
            self._ids[key] = [segment.decode(leaf).id for leaf in await _leaves(conn, head.number)]
        at = tuple(place for place, name in enumerate(self._ids[key]) if name in names)
        if at and (*key, at) not in self._without:
            leaves = await _leaves(conn, head.number)
            self._without = {one: hours for one, hours in self._without.items() if one[:2] != key}
            self._without[*key, at] = added((1, hours_of(segment.decode(leaves[place]))) for place in at)
        return self._without[*key, at] if at else {}


async def _leaves(conn: Connection, batch: int) -> list[bytes]:
    [row] = await sight_store.load_segments(conn, [batch])
    return list(segment.unpack(row.segment))
