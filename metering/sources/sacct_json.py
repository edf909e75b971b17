"""Source `sacct`, `--json` form.

Its shape differs between versions of Slurm: a number is plain or `{"set": …, "infinite": …, "number": …}`, a state a word
or a list of words. Both are read; a member that is needed and absent refuses the file, because another version may have
moved it. The document is loaded whole, up to a limit. A `Skipped.line` is the job's place in the list, from 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

from metering.errors import MeteringError
from metering.model import UsageRecord
from metering.sources.faults import RowFault, Skipped, columns_missing, unreadable
from metering.sources.options import SourceOptions
from metering.sources.seen import Seen
from metering.sources.slurm import accelerators, allocation_id, attempt_record
from metering.sources.values import UNKNOWN_MODEL, ended_state
from metering.zones import INSTANT_US_MAX, US


class SacctJsonReader:
    """Reads the jobs of one `sacct --json` document."""

    def __init__(self, file: str, document: bytes, options: SourceOptions) -> None:
        if given := sorted(options.constants.keys() - {"model"}):
            raise MeteringError(
                "field-given-twice",
                f"JSON 形式自带 {'、'.join(given)}，不要再用 --set",
                f"the JSON form has its own {', '.join(given)}: leave out --set",
            )
        self._file = file
        self._jobs = _jobs(file, document)
        self._untyped_model = options.constants.get("model", UNKNOWN_MODEL)
        self._seen = Seen()

    def records(self) -> Iterator[UsageRecord | Skipped]:
        """Every attempt, in the order of the document."""
        for place, job in enumerate(self._jobs, 1):
            try:
                yield self._record(job)
            except RowFault as fault:
                yield fault.skipped(self._file, place)

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
        state = _state(self._member(job, "state", "current"))
        end_us = _instant_us(self._member(job, "time", "end"))
        if end_us is None:
            raise RowFault("running")
        record = attempt_record(
            cluster=_text(self._member(job, "cluster")),
            job_id=job_id,
            account=_text(self._member(job, "account")),
            start_us=start_us,
            end_us=end_us,
            active_s=_number(self._member(job, "time", "elapsed"), "elapsed") or 0,
            state=state,
            cards=cards,
        )
        self._seen.refuse_repeated(record.id, record)
        return record

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


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _jobs(file: str, document: bytes) -> list[Any]:
    """Find the list of jobs; bytes that are no UTF-8 are kept apart, and matter only in a name that is used."""
    try:
        content = json.loads(
            document.decode("utf-8-sig", "surrogateescape"), parse_float=Decimal, parse_constant=_refuse_constant
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise unreadable(file, "不是完整的 JSON", "it is not a whole JSON document") from error
    jobs = content.get("jobs") if isinstance(content, dict) else None
    if not isinstance(jobs, list):
        raise columns_missing(file, ["jobs"], "请用 sacct --json 导出", "Export it with sacct --json")
    return jobs


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


def _state(value: Any) -> str:
    words = value if isinstance(value, list) else [value]
    ended = [ended_state(_text(word)) for word in words]
    if not ended:
        raise RowFault("bad-state")
    return ended[0]
