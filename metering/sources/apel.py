"""Source `apel`: grid accounting records (APEL individual jobs and accelerator records, CAR), in text, JSON or XML.

A job record says nothing about cards: how many there were is a key of the record named with `--map gpus=KEY`, or a constant
(`--set gpus=1`); without either the file is refused. Its account is the VO of its FQAN (`/vo/Role=…`), else `VO` or, in CAR,
`Group`; `--map account=KEY` names another. Its identity is its site and submit host, its job and its start.

An accelerator record (APEL pull request 264) is a month: `Count` cards available for `AvailableDuration` seconds. What was
available is charged, what was active is evidence only. Summaries and sync records are no usage and are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

from metering.model import UsageRecord
from metering.sources.apel_forms import Fields, apel_records
from metering.sources.faults import RowFault, Skipped, columns_missing
from metering.sources.options import SourceOptions
from metering.sources.seen import Seen
from metering.sources.source import Item, UsageFile
from metering.sources.values import (
    CLOSED,
    UNKNOWN_MODEL,
    cards,
    ended_state,
    gpu_count_milli,
    name_in,
    thousandths,
)
from metering.sources.wall_clock import InstantReader
from metering.zones import INSTANT_US_MAX, US, instant_us, zone_of

CARD_TYPES = frozenset({"gpu", "npu", "dcu", "mlu", "gcu"})
"""Types of accelerator that are cards; an FPGA is none that we rate."""

_KEYS = {
    "start": "StartTime",
    "end": "EndTime",
    "duration": "WallDuration",
    "model": "Model",
    "job": "LocalJobId",
    "state": "Status",
}
_ACCOUNTS = ("FQAN", "VO", "Group")
_NONE = frozenset({"", "None", "NULL", "null"})
_FQAN = re.compile(r"/([^/]+)(?:/.*)?")
_ISO_DURATION = re.compile(
    r"P(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,9})(?:\.([0-9]{1,3}))?S)?)?"
)
_SUMMARIES = frozenset({"NumberOfJobs", "EarliestEndTime", "LatestEndTime"})


def read_apel(file: UsageFile, options: SourceOptions) -> Iterator[Item]:
    """Every job and every month of cards in a file."""
    return _ApelReader(file, options).records()


class _ApelReader:
    def __init__(self, file: UsageFile, options: SourceOptions) -> None:
        self._file = file
        self._key = {**_KEYS, **options.mapping}
        self._constants = options.constants
        self._instants = InstantReader(file.name, options.timezone)
        self._zone: tzinfo = UTC if options.timezone is None else zone_of(options.timezone)
        self._seen = Seen()

    def records(self) -> Iterator[Item]:
        for item in apel_records(self._file):
            if isinstance(item, Skipped):
                yield item
                continue
            line, fields = item
            try:
                yield self._record(line, fields)
            except RowFault as fault:
                yield fault.skipped(self._file.name, line)

    def _record(self, line: int, fields: Fields) -> UsageRecord:
        if "AvailableDuration" in fields:
            record = self._month(fields)
        elif fields.keys() & _SUMMARIES:
            raise RowFault("summary-record")
        else:
            record = self._job(line, fields)
        self._seen.refuse_repeated(record.id, record)
        return record

    def _job(self, line: int, fields: Fields) -> UsageRecord:
        count_milli = gpu_count_milli(self._count(fields))
        if count_milli == 0:
            raise RowFault("no-gpu")
        start_us, end_us, active_ms = self._interval(fields)
        job = self._value(fields, "job")
        where = ":".join(fields.get(name, "") for name in ("Site", "SubmitHost"))
        record_id = f"apel:{where}:{job}:{start_us // US}" if job else f"apel:{self._file.name}:{line:09d}"
        return UsageRecord(
            id=name_in(record_id, "job"),
            account=self._account(fields),
            job=name_in(job or f"{self._file.name}:{line:09d}", "job"),
            attempt=start_us // US,
            start_us=start_us,
            end_us=end_us,
            active_ms=active_ms,
            accelerators=cards(self._model(fields), count_milli),
            state=self._state(fields),
        )

    def _month(self, fields: Fields) -> UsageRecord:
        """Make the record of a month of cards; its id names everything that such a record is grouped by."""
        if fields.get("Type", "").casefold() not in CARD_TYPES:
            raise RowFault("other-type", fields.get("Type", ""))
        start_us, end_us, month = self._month_span(fields)
        active_ms = thousandths(fields["AvailableDuration"], "duration")
        if active_ms * 1000 > end_us - start_us:
            raise RowFault("duration-exceeds-interval")
        if active_ms == 0:
            raise RowFault("zero-duration")
        names = ("SiteName", "AssociatedRecordType", "AssociatedRecord", "GlobalUserName", "FQAN", "Type", "Model")
        job = name_in(":".join((month, *(fields.get(name, "") for name in names))), "job")
        return UsageRecord(
            id=f"apel:{job}",
            account=self._account(fields),
            job=job,
            attempt=start_us // US,
            start_us=start_us,
            end_us=end_us,
            active_ms=active_ms,
            accelerators=cards(self._model(fields), gpu_count_milli(self._count(fields, "Count"))),
            state=CLOSED,
        )

    def _month_span(self, fields: Fields) -> tuple[int, int, str]:
        year, month = (fields.get(f"Measurement{name}", "") for name in ("Year", "Month"))
        if not (re.fullmatch(r"20[0-9]{2}", year) and re.fullmatch(r"0?[1-9]|1[0-2]", month)):
            raise RowFault("bad-time", f"{year}-{month}")
        first = int(year) * 12 + int(month) - 1
        edges = [
            instant_us(datetime(place // 12, place % 12 + 1, 1, tzinfo=self._zone)) for place in (first, first + 1)
        ]
        return edges[0], edges[1], f"{year}-{int(month):02d}"

    def _interval(self, fields: Fields) -> tuple[int, int, int]:
        start_us = self._instants.us(self._value(fields, "start"))
        duration, end = self._value(fields, "duration"), self._value(fields, "end")
        active_ms = _duration_ms(duration) if duration else None
        if not end and active_ms is None:
            raise RowFault("bad-end")
        end_us = self._instants.us(end) if end else start_us + (active_ms or 0) * 1000
        if end_us < start_us:
            raise RowFault("end-before-start")
        if end_us > INSTANT_US_MAX:
            raise RowFault("bad-duration")
        if active_ms is None:
            active_ms = (end_us - start_us) // 1000
        if active_ms * 1000 > end_us - start_us:
            raise RowFault("duration-exceeds-interval")
        if active_ms == 0:
            raise RowFault("zero-duration")
        return start_us, end_us, active_ms

    def _count(self, fields: Fields, usual: str = "") -> str:
        if "gpus" in self._constants:
            return self._constants["gpus"]
        key = self._key.get("gpus", usual)
        if not key:
            raise columns_missing(
                self._file.name,
                ["gpus"],
                "作业记录不含卡数，请用 --map gpus=键名 或 --set gpus=数量 说明",
                "A job record has no count of cards: name its key with --map gpus=KEY or give one with --set gpus=N",
            )
        return fields.get(key, "")

    def _account(self, fields: Fields) -> str:
        if "account" in self._constants:
            return name_in(self._constants["account"], "account")
        if "account" in self._key:
            return name_in(fields.get(self._key["account"], ""), "account")
        value = next((fields[name] for name in _ACCOUNTS if fields.get(name, "") not in _NONE), "")
        match = _FQAN.fullmatch(value)
        return name_in(match.group(1) if match else value, "account")

    def _model(self, fields: Fields) -> str:
        value = self._constants.get("model", fields.get(self._key["model"], ""))
        return UNKNOWN_MODEL if value in _NONE else value

    def _state(self, fields: Fields) -> str:
        value = self._constants.get("state", fields.get(self._key["state"], ""))
        return CLOSED if value in _NONE else ended_state(value)

    def _value(self, fields: Fields, field: str) -> str:
        value = fields.get(self._key[field], "")
        return "" if value in _NONE else value


def _duration_ms(text: str) -> int:
    """Milliseconds of `3600`, `3600.5` or ISO 8601 `PT1H`, `P1DT2H3M4.5S`."""
    if not text.startswith("P"):
        return thousandths(text, "duration")
    match = _ISO_DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise RowFault("bad-duration", text)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + int((match.group(5) or "").ljust(3, "0"))
