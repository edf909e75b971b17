"""Source `csv`: one row is one closed job, with a start and a duration or an end.

A field's column is what `--map` says, nothing is taken by its name alone. With both a duration and an end, the duration is
the charged time within the interval (a suspended job). Without an end the interval is as long as the charged time.

A row's identity is its file and line: equal rows are distinct jobs (Philly has 63 groups of them). Where `job` is mapped
it is the job and its start, so that the same job in another file is known again; a row that repeats such an identity is
skipped, as `duplicate` where it says the same and as `conflict` where it does not.
"""

from __future__ import annotations

from collections.abc import Iterator

from metering.model import UsageRecord
from metering.sources.columns import Columns
from metering.sources.faults import RowFault, Skipped
from metering.sources.options import SourceOptions
from metering.sources.rows import Table
from metering.sources.seen import Seen
from metering.sources.values import CLOSED, UNKNOWN_MODEL, cards, ended_state, gpu_count_milli, name_in, thousandths
from metering.sources.wall_clock import InstantReader
from metering.zones import INSTANT_US_MAX, US


class JobReader:
    """Reads the rows of one job table."""

    def __init__(self, table: Table, options: SourceOptions) -> None:
        columns = Columns(table, options)
        self._table = table
        self._constants = columns.constants
        self._start = columns.needed("start")
        self._gpus = columns.needed("gpus")
        self._account = columns.needed("account")
        self._duration, self._end = columns.optional("duration"), columns.optional("end")
        if self._duration is None and self._end is None:
            columns.needed("duration")
        self._model, self._state, self._job = (columns.optional(field) for field in ("model", "state", "job"))
        self._instants = InstantReader(table.file, options.timezone)
        self._seen = Seen()

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Every job, in the order of the file."""
        for row in self._table.rows:
            if isinstance(row, Skipped):
                yield row
                continue
            line, cells = row
            try:
                yield self._record(line, [*cells, *self._constants])
            except RowFault as fault:
                yield fault.skipped(self._table.file, line)

    def _record(self, line: int, cells: list[str]) -> UsageRecord:
        state = CLOSED if self._state is None else ended_state(cells[self._state].strip())
        count_milli = gpu_count_milli(cells[self._gpus].strip())
        if count_milli == 0:
            raise RowFault("no-gpu")
        start_us, end_us, active_ms = self._interval(cells)
        model = UNKNOWN_MODEL if self._model is None else cells[self._model].strip()
        job, record_id = self._identity(line, cells, start_us)
        record = UsageRecord(
            id=record_id,
            account=name_in(cells[self._account].strip(), "account"),
            job=job,
            attempt=start_us // US,
            start_us=start_us,
            end_us=end_us,
            active_ms=active_ms,
            accelerators=cards(model, count_milli),
            state=state,
        )
        if self._job is not None:
            self._seen.refuse_repeated(record.id, record)
        return record

    def _identity(self, line: int, cells: list[str], start_us: int) -> tuple[str, str]:
        """Name the job and the record; line numbers are padded, so that ids sort in the order of reading."""
        if self._job is None:
            job = f"{self._table.file}:{line:09d}"
            return job, f"csv:{job}"
        job = name_in(cells[self._job].strip(), "job")
        return job, f"csv:job:{job}:{start_us}"

    def _interval(self, cells: list[str]) -> tuple[int, int, int]:
        """Start and end in microseconds and the charged milliseconds; parts of a millisecond are not charged."""
        start_us = self._instants.us(cells[self._start].strip())
        active_ms = None if self._duration is None else thousandths(cells[self._duration].strip(), "duration")
        if self._end is not None:
            end_us = self._instants.us(cells[self._end].strip())
        else:
            end_us = start_us + (active_ms or 0) * 1000
        if end_us < start_us:
            raise RowFault("end-before-start")
        if end_us > INSTANT_US_MAX:
            raise RowFault("bad-duration")
        interval_ms = (end_us - start_us) // 1000
        if active_ms is None:
            active_ms = interval_ms
        elif active_ms > interval_ms:
            raise RowFault("duration-exceeds-interval")
        if active_ms == 0:
            raise RowFault("zero-duration")
        return start_us, end_us, active_ms
