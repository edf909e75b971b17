"""Source `sacct`, `--json` form.

Its shape differs between versions of Slurm: a number is plain or `{"set": …, "infinite": …, "number": …}`, a state a word
or a list of words. Both are read; a member that is needed and absent refuses the file, because another version may have
moved it. The list is read a job at a time. A `Skipped.line` is the job's place in the list, from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metering.errors import MeteringError
from metering.model import Accelerator, UsageRecord
from metering.sources.faults import RowFault, Skipped, columns_missing, running
from metering.sources.json_stream import JsonArray
from metering.sources.options import SourceOptions
from metering.sources.seen import Seen
from metering.sources.slurm import accelerators, allocation_id, attempt_record, checkpoint_record
from metering.sources.values import UNKNOWN_MODEL, WORD_CHARACTERS_MAX, ended_state, live_reason, name_in
from metering.zones import INSTANT_US_MAX, US


class SacctJsonReader:
    """Reads the jobs of one `sacct --json` document."""

    def __init__(self, file: str, chunks: Iterator[bytes], options: SourceOptions) -> None:
        if given := sorted(options.constants.keys() - {"model"}):
            raise MeteringError(
                "field-given-twice",
                f"JSON 形式自带 {'、'.join(given)}，不要再用 --set",
                f"the JSON form has its own {', '.join(given)}: leave out --set",
            )
        self._file = file
        self._jobs = JsonArray(file, chunks, ("jobs",))
        self._untyped_model = options.constants.get("model", UNKNOWN_MODEL)
        self._seen = Seen()

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Every attempt, in the order of the document."""
        for element in self._jobs.elements():
            if isinstance(element, Skipped):
                yield element
                continue
            place, job = element
            try:
                yield self._record(job)
            except RowFault as fault:
                yield fault.skipped(self._file, place)
        if not self._jobs.found:
            raise columns_missing(self._file, ["jobs"], "请用 sacct --json 导出", "Export it with sacct --json")

    def _record(self, job: Any) -> UsageRecord:
        job_id = allocation_id(str(self._member(job, "job_id")))
        start_us = _instant_us(self._member(job, "time", "start"))
        if start_us is None:
            raise RowFault("never-started")
        allocated = _items(self._member(job, "tres", "allocated"))
        cards = accelerators(
            [
                (str(self._member(tres, "name")), _number(self._member(tres, "count"), "tres") or 0)
                for tres in allocated
                if self._member(tres, "type") == "gres"
            ],
            self._untyped_model,
        )
        states = _states(self._member(job, "state", "current"))
        end_us = _instant_us(self._member(job, "time", "end"))
        elapsed = self._member(job, "time", "elapsed")
        reasons = [reason for state in states if (reason := live_reason(state))]
        if end_us is None and not reasons:
            reasons = ["running"]
        if reasons:
            raise self._running(job, job_id, start_us, cards) if reasons[0] == "running" else RowFault(reasons[0])
        assert end_us is not None, "an attempt without an end runs"
        record = attempt_record(
            cluster=_text(self._member(job, "cluster")),
            job_id=job_id,
            account=_text(self._member(job, "account")),
            start_us=start_us,
            end_us=end_us,
            active_s=_number(elapsed, "elapsed") or 0,
            state=ended_state(states[0]),
            cards=cards,
        )
        self._seen.refuse_repeated(record.id, record)
        return record

    def _running(self, job: Any, job_id: str, start_us: int, cards: tuple[Accelerator, ...]) -> RowFault:
        cluster, account = _text(self._member(job, "cluster")), _text(self._member(job, "account"))
        try:
            so_far_s = _number(self._member(job, "time", "elapsed"), "elapsed") or 0
            return running(checkpoint_record(cluster, job_id, account, start_us, so_far_s, cards))
        except RowFault:
            return RowFault("running")

    def _member(self, node: Any, *path: str) -> Any:
        for name in path:
            if not isinstance(node, dict) or name not in node:
                raise columns_missing(
                    self._file,
                    [".".join(path)],
                    "此版本 sacct --json 的结构不同，请改用文本形式 sacct -P",
                    "This version of sacct --json is shaped differently: use the text form, sacct -P",
                )
            node = node[name]
        return node


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise RowFault("bad-tres")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any, field: str) -> int | None:
    """Read a plain integer, or the one in Slurm's `{"set": true, "infinite": false, "number": 5}`; None where it is unset."""
    if isinstance(value, dict) and value.get("infinite") is not True:
        value = value.get("number") if value.get("set") is True else None
    if value is None or type(value) is int:
        return value
    raise RowFault(f"bad-{field}", str(value))


def _instant_us(value: Any) -> int | None:
    """UTC epoch microseconds; None where the moment has not come, which is printed as null or 0."""
    seconds = _number(value, "time")
    if seconds is not None and not 0 <= seconds < INSTANT_US_MAX // US:
        raise RowFault("bad-time", str(seconds))
    return seconds * US if seconds else None


def _states(value: Any) -> list[str]:
    states = [
        name_in(_text(word), "state", WORD_CHARACTERS_MAX) for word in (value if isinstance(value, list) else [value])
    ]
    if not states:
        raise RowFault("bad-state")
    return states
