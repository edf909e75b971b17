"""Source `sacct`, text form: `sacct -P` or `-p` with a header, or without one under `--format`.

The rows must carry JobIDRaw, Cluster, Account, Start, End, State, AllocTRES and one of ElapsedRaw, Elapsed or Suspended;
a file that lacks one is refused. JobID does not do: an array's tasks print `5_1`, other rows know them as 6. ReqTRES does
not do either: it is what was asked for. Without End nothing tells how much of the interval was suspended. What a row
means stands in `slurm.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import replace

from metering.errors import MeteringError
from metering.model import Accelerator, UsageRecord
from metering.sources.faults import RowFault, Skipped, columns_missing, running
from metering.sources.options import SourceOptions
from metering.sources.rows import Table
from metering.sources.seen import Seen
from metering.sources.slurm import accelerators, allocation_id, attempt_record, checkpoint_record
from metering.sources.values import UNKNOWN_MODEL, elapsed_s, ended_state, live_reason
from metering.sources.wall_clock import InstantReader
from metering.zones import US

NEEDED = ("JobIDRaw", "Cluster", "Account", "Start", "End", "State", "AllocTRES")
ELAPSED = ("ElapsedRaw", "Elapsed", "Suspended")
"""Where charged seconds come from, best first; suspended time is what the interval has too much."""

NO_TIME = frozenset({"", "None", "Unknown"})

_WHOLE = re.compile(r"[0-9]{1,9}")
_COMMAND = "sacct -a -D -X -P --format=JobIDRaw,Cluster,Account,Start,End,ElapsedRaw,State,AllocTRES"


class SacctReader:
    """Reads the rows of one accounting table."""

    def __init__(self, table: Table, options: SourceOptions) -> None:
        self._width = len(table.columns)
        self._table = table = _named(table, options)
        self._constants = [options.constants[field] for field in _set_columns(options)]
        self._untyped_model = options.constants.get("model", UNKNOWN_MODEL)
        self._instants = InstantReader(table.file, options.timezone)
        self._seen = Seen()
        self._elapsed = next(name.casefold() for name in ELAPSED if name.casefold() in table.columns)
        self._elapsed_at = table.at(self._elapsed)
        self._needed_at = tuple(table.at(name.casefold()) for name in NEEDED)

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Every attempt, in the order of the file."""
        for row in self._table.rows:
            if isinstance(row, Skipped):
                yield row
                continue
            line, cells = row
            try:
                yield self._record([*cells[: self._width], *self._constants])
            except RowFault as fault:
                yield fault.skipped(self._table.file, line)

    def _record(self, cells: list[str]) -> UsageRecord:
        job, cluster, account, start, end, state, tres = (cells[at] for at in self._needed_at)
        job_id = allocation_id(job)
        if start in NO_TIME:
            raise RowFault("never-started")
        cards = cards_of(tres, self._untyped_model)
        if reason := live_reason(state) or ("running" if end in NO_TIME else ""):
            raise self._running(cells, cards) if reason == "running" else RowFault(reason, state)
        start_us, end_us = self._instants.us(start), self._instants.us(end)
        record = attempt_record(
            cluster=cluster,
            job_id=job_id,
            account=account,
            start_us=start_us,
            end_us=end_us,
            active_s=self._active_s(cells[self._elapsed_at], (end_us - start_us) // US),
            state=ended_state(state),
            cards=cards,
        )
        self._seen.refuse_repeated(record.id, record)
        return record

    def _running(self, cells: list[str], cards: tuple[Accelerator, ...]) -> RowFault:
        """Make the checkpoint of an attempt that runs: up to what its elapsed time says; without one it only runs."""
        job, cluster, account, start, _end, _state, _tres = (cells[at] for at in self._needed_at)
        if self._elapsed == "suspended":
            return RowFault("running")
        try:
            start_us, so_far_s = self._instants.us(start), self._active_s(cells[self._elapsed_at], 0)
            return running(checkpoint_record(cluster, job, account, start_us, so_far_s, cards))
        except RowFault:
            return RowFault("running")

    def _active_s(self, text: str, interval_s: int) -> int:
        if self._elapsed == "elapsedraw":
            if not _WHOLE.fullmatch(text):
                raise RowFault("bad-elapsed", text)
            return int(text)
        seconds = elapsed_s(text)
        return seconds if self._elapsed == "elapsed" else interval_s - seconds


def _set_columns(options: SourceOptions) -> list[str]:
    return [field for field in ("cluster", "account") if field in options.constants]


def _named(table: Table, options: SourceOptions) -> Table:
    """Give the table lower-case names without print widths (`JobName%30`), constants as columns after the last."""
    columns = [column.partition("%")[0].casefold() for column in table.columns]
    constants = _set_columns(options)
    if present := [field for field in constants if field in columns]:
        raise MeteringError(
            "field-given-twice",
            f"{table.file} 已有列 {'、'.join(present)}，不要再用 --set",
            f"{table.file} has its own column {', '.join(present)}: leave out --set",
        )
    columns += constants
    missing = [name for name in NEEDED if name.casefold() not in columns]
    if not any(name.casefold() in columns for name in ELAPSED):
        missing.append(ELAPSED[0])
    if missing:
        raise columns_missing(
            table.file,
            missing,
            f"请这样导出：{_COMMAND}；Cluster 与 Account 也可用 --set cluster=名称 给出；无表头的文件用 --format 给出列名",
            f"Export it with: {_COMMAND}; Cluster and Account may also be given with --set cluster=NAME; "
            "name the columns of a file without header with --format",
        )
    return replace(table, columns=tuple(columns))


@functools.lru_cache(maxsize=4096)
def cards_of(tres: str, untyped_model: str) -> tuple[Accelerator, ...]:
    """Cards in an AllocTRES such as `billing=38,cpu=2,gres/gpu:a100=2,gres/gpu=2,node=1`.

    Raises:
        RowFault: as `slurm.accelerators` says.

    """
    gres = []
    for entry in tres.split(","):
        if entry.startswith("gres/"):
            name, _, count = entry.removeprefix("gres/").partition("=")
            gres.append((name, int(count) if _WHOLE.fullmatch(count) else -1))
    return accelerators(gres, untyped_model)
