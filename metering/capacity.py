"""Capacity: what a centre has, from its card inventory, and whether its reported usage fits in.

Cards have serial numbers, each with its model and the days it was there. The sweep goes over usage in the order of its starts: a segment that begins while its pool
is full is found with the evidence, and does not itself count as filling it. Findings, never silent refusals.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ledger.errors import Finding
from metering.model import UsageRecord

WHOLE_MILLI = 1000


@dataclass(frozen=True, slots=True)
class Card:
    """One card of an inventory: its serial number, its model as the centre names it, and while `[from_us, to_us)` it was there."""

    serial: str
    model: str
    from_us: int
    to_us: int


def inventory_findings(cards: Iterable[Card]) -> list[Finding]:
    """What is wrong with an inventory: a serial number that is in two places at a time would count twice."""
    found = []
    by_serial: dict[str, list[Card]] = {}
    for card in cards:
        if card.from_us >= card.to_us:
            found.append(Finding("card-period", "止期应晚于起期", "it ends before it begins", card.serial))
        by_serial.setdefault(card.serial, []).append(card)
    for serial, entries in sorted(by_serial.items()):
        entries.sort(key=lambda card: card.from_us)
        if any(before.to_us > after.from_us for before, after in itertools.pairwise(entries)):
            found.append(
                Finding("serial-repeated", "序列号在同一时间出现两次", "one serial number twice at a time", serial)
            )
    return found


class Pools:
    """What a centre has of each model over time, in thousandths of cards.

    Of a centre with an inventory it is what its cards count to, and nothing of a model that is not among them; else as declared,
    where a model that was not declared is not limited (None).
    """

    def __init__(self, declared: Mapping[str, int], steps: Mapping[str, Sequence[tuple[int, int]]] | None) -> None:
        self._declared, self._steps = declared, steps

    def __bool__(self) -> bool:
        return bool(self._declared) or self._steps is not None

    def most(self, model: str, from_us: int, until_us: int) -> int | None:
        """The most that there was at an instant of `[from_us, until_us)`."""
        return self._declared.get(model) if self._steps is None else max(self._levels(model, from_us, until_us))

    def least(self, model: str, from_us: int, until_us: int) -> int | None:
        """What there was at every instant of `[from_us, until_us)`."""
        return self._declared.get(model) if self._steps is None else min(self._levels(model, from_us, until_us))

    def _levels(self, model: str, from_us: int, until_us: int) -> list[int]:
        level, found = 0, []
        for at_us, count in (self._steps or {}).get(model, ()):
            if at_us <= from_us:
                level = count
            elif at_us < until_us:
                found.append(count)
        return [level, *found]


@dataclass(frozen=True, slots=True)
class Breach:
    """A segment that began while its pool was full: what was in use with it, and what the pool has, in thousandths."""

    record_id: str
    model: str
    at_us: int
    used_milli: int
    capacity_milli: int


def sweep(records: Iterable[UsageRecord], capacity_milli: Callable[[str, int], int]) -> list[Breach]:
    """Find segments beyond a centre's capacity; `capacity_milli(model, at_us)` says how much of a model it had when.

    The result depends on the records alone, not on their order: of segments with one start the id decides.
    """
    parts = sorted(
        (record.start_us, record.id, card.model, card.count_milli, record.end_us)
        for record in records
        if record.start_us < record.end_us
        for card in record.accelerators
    )
    used: dict[str, int] = {}
    ending: dict[str, list[tuple[int, int]]] = {}
    found: list[Breach] = []
    for start_us, record_id, model, count_milli, end_us in parts:
        ends = ending.setdefault(model, [])
        while ends and ends[0][0] <= start_us:
            used[model] -= heapq.heappop(ends)[1]
        wanted = used.get(model, 0) + count_milli
        has = capacity_milli(model, start_us)
        if wanted > has:
            found.append(Breach(record_id, model, start_us, wanted, has))
            continue
        used[model] = wanted
        heapq.heappush(ends, (end_us, count_milli))
    return found


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that was in use at once, in thousandths of cards, and when first."""

    count_milli: int
    at_us: int


def peak(records: Iterable[UsageRecord]) -> Peak:
    """Find the peak of concurrent cards over all models; at one instant what ends makes room for what begins."""
    edges: dict[int, int] = {}
    for record in records:
        count_milli = sum(card.count_milli for card in record.accelerators)
        edges[record.start_us] = edges.get(record.start_us, 0) + count_milli
        edges[record.end_us] = edges.get(record.end_us, 0) - count_milli
    level, best = 0, Peak(0, 0)
    for at_us, change in sorted(edges.items()):
        level += change
        if level > best.count_milli:
            best = Peak(level, at_us)
    return best
