"""What a file of usage adds up to: the object that `agent collect --json` prints. Integers only."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter
from datetime import UTC, datetime, tzinfo
from typing import Any

from ledger.split import split
from metering.model import UsageRecord
from metering.sources.faults import Skipped
from metering.zones import instant_us, rfc3339, zone_of


class Months:
    """Calendar months of one zone as instants: `edges[i]` is the start of the i-th month since January 1970."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._edges: list[int] = []

    def shares(self, gpu_ms: int, start_us: int, end_us: int) -> list[tuple[int, int]]:
        """Give each month (its place) what it gets of an interval's usage, by its part of the interval; the parts add up."""
        edges = self._edges
        while not edges or edges[-1] < end_us:
            year, month = divmod(len(edges), 12)
            edges.append(instant_us(datetime(1970 + year, month + 1, 1, tzinfo=self._zone)))
        first = bisect_right(edges, start_us)
        if end_us <= edges[first]:
            return [(first - 1, gpu_ms)]
        cuts = [start_us, *edges[first : bisect_left(edges, end_us)], end_us]
        lengths_us = [after - before for before, after in itertools.pairwise(cuts)]
        return list(enumerate(split(gpu_ms, lengths_us), first - 1))


class Summary:
    """Adds up records and skipped lines; months are those of `timezone`, UTC where none is given.

    A record that spans months gives each its share of the interval; shares are whole GPU-milliseconds and add up.
    """

    def __init__(self, timezone: str | None = None) -> None:
        self._months = Months(UTC if timezone is None else zone_of(timezone))
        self._records = 0
        self._gpu_ms_by_account: Counter[str] = Counter()
        self._gpu_ms_by_model: Counter[str] = Counter()
        self._gpu_ms_by_month: Counter[int] = Counter()
        self._skipped: Counter[str] = Counter()
        self._first_us: int | None = None
        self._last_us = 0

    def add(self, item: UsageRecord | Skipped) -> None:
        """Add one more item of a source."""
        if isinstance(item, Skipped):
            self._skipped[item.reason] += 1
            return
        self._records += 1
        gpu_ms = self._add_models(item)
        self._gpu_ms_by_account[item.account] += gpu_ms
        for month, share in self._months.shares(gpu_ms, item.start_us, item.end_us):
            self._gpu_ms_by_month[month] += share
        if self._first_us is None or item.start_us < self._first_us:
            self._first_us = item.start_us
        self._last_us = max(self._last_us, item.end_us)

    def _add_models(self, record: UsageRecord) -> int:
        """Books the models of a record and gives its GPU-milliseconds; a month of a big centre is millions of calls."""
        parts = record.accelerators
        gpu_ms = record.gpu_ms
        if len(parts) == 1:
            self._gpu_ms_by_model[parts[0].model] += gpu_ms
        else:
            shares = split(gpu_ms, [part.count_milli for part in parts])
            for part, share in zip(parts, shares, strict=True):
                self._gpu_ms_by_model[part.model] += share
        return gpu_ms

    def as_json(self) -> dict[str, Any]:
        """Give the totals, by account, model and month, what was skipped, and the span in time; keys are in order."""
        by_month = {f"{1970 + place // 12}-{place % 12 + 1:02d}": n for place, n in self._gpu_ms_by_month.items()}
        return {
            "records": self._records,
            "gpu_ms": self._gpu_ms_by_account.total(),
            "by_account": dict(sorted(self._gpu_ms_by_account.items())),
            "by_model": dict(sorted(self._gpu_ms_by_model.items())),
            "by_month": dict(sorted(by_month.items())),
            "skipped": dict(sorted(self._skipped.items())),
            "first": None if self._first_us is None else rfc3339(self._first_us),
            "last": None if self._first_us is None else rfc3339(self._last_us),
        }
