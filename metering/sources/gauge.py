"""Source `gauge-csv`: one row is a level, so many cards of an account held from its time on for one step.

Equal levels that follow each other without a gap become one interval; a gap is not filled and a level of zero is no
usage. Only runs are kept in memory, so a month of minutes costs what its changes cost. Rows may come in any order. One
that says again what is known is skipped as `duplicate`; another level for a known step is a `conflict` and a step that
begins within another an `overlap`: the row read first stands, the later one is skipped, nothing is averaged.

An interval's identity is the file and the line of its first step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter, itemgetter

from metering.model import UsageRecord
from metering.sources.columns import Columns
from metering.sources.faults import RowFault, Skipped
from metering.sources.options import SourceOptions
from metering.sources.rows import Table
from metering.sources.values import CLOSED, UNKNOWN_MODEL, WORD_CHARACTERS_MAX, cards, gpu_count_milli, name_in
from metering.sources.wall_clock import InstantReader
from metering.zones import US


@dataclass(slots=True)
class Run:
    """Steps of one level without a gap: `[start_us, end_us)`; `line` is that of the first step."""

    start_us: int
    end_us: int
    level_milli: int
    line: int


_START = attrgetter("start_us")


class Runs:
    """The steps of one account and model, run-length coded: disjoint runs in the order of time."""

    def __init__(self, step_us: int) -> None:
        self._step_us = step_us
        self.runs: list[Run] = []

    def add(self, at_us: int, level_milli: int, line: int) -> None:
        """Add a step, at whatever time; the usual one, the next, only moves the end of the last run.

        Raises:
            RowFault: `duplicate`, `conflict` or `overlap` with a step that is already here.

        """
        runs, end_us = self.runs, at_us + self._step_us
        place = len(runs) if not runs or at_us >= runs[-1].start_us else bisect_right(runs, at_us, key=_START)
        before = runs[place - 1] if place else None
        after = runs[place] if place < len(runs) else None
        if before is not None and at_us < before.end_us:
            raise self._clash(before, at_us, level_milli)
        if after is not None and end_us > after.start_us:
            raise RowFault("overlap")
        if before is not None and (before.end_us, before.level_milli) == (at_us, level_milli):
            before.end_us = end_us
            if after is not None and (after.start_us, after.level_milli) == (end_us, level_milli):
                before.end_us = after.end_us
                del runs[place]
        elif after is not None and (after.start_us, after.level_milli) == (end_us, level_milli):
            after.start_us, after.line = at_us, line
        else:
            runs.insert(place, Run(at_us, end_us, level_milli, line))

    def _clash(self, run: Run, at_us: int, level_milli: int) -> RowFault:
        if (at_us - run.start_us) % self._step_us:
            return RowFault("overlap")
        return RowFault("duplicate" if level_milli == run.level_milli else "conflict")


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
        intervals = [
            (run.start_us, key, run) for key, runs in self._runs.items() for run in runs.runs if run.level_milli
        ]
        intervals.sort(key=itemgetter(0, 1))
        yield from (self._record(key, run) for _, key, run in intervals)

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
