"""Source `gauge-csv`: one row is a level, so many cards of an account held from its time on for one step.

Equal levels that follow each other without a gap become one interval; a gap is not filled and a level of zero is no
usage. Only runs are kept in memory, so a month of minutes costs what its changes cost. Rows may come in any order. One
that says again what is known is skipped as `duplicate`; another level for a known step is a `conflict` and a step that
begins within another an `overlap`: the row read first stands, the later one is skipped, nothing is averaged.

An interval's identity is the file and the line of its first step.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge
from itertools import repeat
from typing import NamedTuple

from metering.model import UsageRecord
from metering.sources.columns import Columns
from metering.sources.faults import RowFault, Skipped
from metering.sources.options import SourceOptions
from metering.sources.rows import Table
from metering.sources.values import CLOSED, UNKNOWN_MODEL, WORD_CHARACTERS_MAX, cards, gpu_count_milli, name_in
from metering.sources.wall_clock import InstantReader
from metering.zones import US


class Run(NamedTuple):
    """Steps of one level without a gap: `[start_us, end_us)`; `line` is that of the first step."""

    start_us: int
    end_us: int
    level_milli: int
    line: int


class Runs:
    """The steps of one account and model, run-length coded: disjoint runs in the order of time, 32 bytes each."""

    def __init__(self, step_us: int) -> None:
        self._step_us = step_us
        self._starts, self._ends, self._levels, self._lines = (array("q") for _ in range(4))

    def __iter__(self) -> Iterator[Run]:
        return map(Run, self._starts, self._ends, self._levels, self._lines)

    def add(self, at_us: int, level_milli: int, line: int) -> None:
        """Add a step, at whatever time; the usual one, the next, only moves the end of the last run.

        Raises:
            RowFault: `duplicate`, `conflict` or `overlap` with a step that is already here.

        """
        starts, ends, levels, end_us = self._starts, self._ends, self._levels, at_us + self._step_us
        after = len(starts) if not starts or at_us >= starts[-1] else bisect_right(starts, at_us)
        before, has_after = after - 1, after < len(starts)
        if after and at_us < ends[before]:
            raise self._clash(before, at_us, level_milli)
        if has_after and end_us > starts[after]:
            raise RowFault("overlap")
        goes_on = after > 0 and (ends[before], levels[before]) == (at_us, level_milli)
        meets = has_after and (starts[after], levels[after]) == (end_us, level_milli)
        if goes_on and meets:
            ends[before] = ends[after]
            for column in (starts, ends, levels, self._lines):
                del column[after]
        elif goes_on:
            ends[before] = end_us
        elif meets:
            starts[after], self._lines[after] = at_us, line
        else:
            for column, value in ((starts, at_us), (ends, end_us), (levels, level_milli), (self._lines, line)):
                column.insert(after, value)

    def _clash(self, place: int, at_us: int, level_milli: int) -> RowFault:
        if (at_us - self._starts[place]) % self._step_us:
            return RowFault("overlap")
        return RowFault("duplicate" if level_milli == self._levels[place] else "conflict")


def _first(place: tuple[Run, tuple[str, str]]) -> tuple[int, tuple[str, str]]:
    run, key = place
    return run.start_us, key


class GaugeReader:
    """Reads the levels of one file."""

    def __init__(self, table: Table, options: SourceOptions) -> None:
        columns = Columns(table, options)
        self._table = table
        self._constants = columns.constants
        self._time, self._gpus, self._account = (columns.needed(field) for field in ("time", "gpus", "account"))
        self._model = columns.optional("model")
        self._instants = InstantReader(table.file, options.timezone)
        self._step_us = (options.step_s or 0) * US
        self._runs: dict[tuple[str, str], Runs] = {}

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """First what was skipped, while the file is read; then the intervals, in the order of their starts."""
        for row in self._table.rows:
            if isinstance(row, Skipped):
                yield row
                continue
            line, cells = row
            try:
                self._take(line, [*cells, *self._constants])
            except RowFault as fault:
                yield fault.skipped(self._table.file, line)
        for run, key in merge(
            *(zip(runs, repeat(key), strict=False) for key, runs in sorted(self._runs.items())), key=_first
        ):
            if run.level_milli:
                yield self._record(key, run)

    def _take(self, line: int, cells: list[str]) -> None:
        key = (cells[self._account].strip(), UNKNOWN_MODEL if self._model is None else cells[self._model].strip())
        level_milli = gpu_count_milli(cells[self._gpus].strip())
        at_us = self._instants.us(cells[self._time].strip())
        if key not in self._runs:
            name_in(key[0], "account")
            name_in(key[1], "model", WORD_CHARACTERS_MAX)
            self._runs[key] = Runs(self._step_us)
        self._runs[key].add(at_us, level_milli, line)

    def _record(self, key: tuple[str, str], run: Run) -> UsageRecord:
        job = f"{self._table.file}:{run.line:09d}"
        return UsageRecord(
            id=f"gauge-csv:{job}",
            account=key[0],
            job=job,
            attempt=run.start_us // US,
            start_us=run.start_us,
            end_us=run.end_us,
            active_ms=(run.end_us - run.start_us) // 1000,
            accelerators=cards(key[1], run.level_milli),
            state=CLOSED,
        )
