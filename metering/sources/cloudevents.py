"""Source `cloudevents`: usage records as they go over the wire, in a file.

A JSON array of CloudEvents (a batch of any size), one event alone, or one event a line. Each is checked by the rules of the
wire; a record's identity is its source and id, and an event that repeats one is skipped, as `duplicate` where it says the
same and as `conflict` where it does not. An event that is not final is a checkpoint of an attempt that runs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from metering.model import UsageRecord
from metering.sources.faults import RowFault, Skipped, running, unreadable
from metering.sources.json_stream import BOM, JsonArray
from metering.sources.options import SourceOptions
from metering.sources.rows import text_lines
from metering.sources.seen import Seen
from metering.sources.source import Item, UsageFile
from metering.wire import (
    ATTRIBUTES,
    CloudEvent,
    Interval,
    extension_fault,
    interval_of,
    is_number,
    record_of,
    text_fault,
)
from metering.zones import INSTANT_US_MAX


def read_cloudevents(file: UsageFile, options: SourceOptions) -> Iterator[Item]:  # noqa: ARG001 - a source takes options
    """Every interval of a file of events."""
    seen = Seen()
    for element in _events(file):
        if isinstance(element, Skipped):
            yield element
            continue
        place, members = element
        try:
            source, record = _record(members)
            if not record.final:
                raise running(record)
            seen.refuse_repeated(f"{source}\0{record.id}", record)
            yield record
        except RowFault as fault:
            yield fault.skipped(file.name, place)


def _events(file: UsageFile) -> Iterator[tuple[int, Any] | Skipped]:
    """Members of each event with its place: in an array from 1, else its line."""
    first = next(file.chunks, b"")
    chunks = itertools.chain([first] if first else [], file.chunks)
    if first.removeprefix(BOM).lstrip().startswith(b"["):
        yield from JsonArray(file.name, chunks).elements()
        return
    if not first.removeprefix(BOM).lstrip().startswith(b"{"):
        raise unreadable(
            file.name,
            "不是 CloudEvents JSON（数组，或每行一个事件）",
            "it is no JSON of CloudEvents: an array, or an event a line",
        )
    for line in text_lines(file.name, chunks):
        yield line if isinstance(line, Skipped) else _decoded(file.name, *line)


def _decoded(file: str, number: int, text: str) -> tuple[int, Any] | Skipped:
    try:
        return number, json.loads(text)
    except (ValueError, RecursionError):
        return Skipped("broken-json", file, number)


def _record(members: Any) -> tuple[str, UsageRecord]:
    """Check one event; its source, and the record.

    Raises:
        RowFault: whatever the wire would refuse, under the same code.

    """
    event = _event(members)
    if not is_number(event.sequence):
        raise RowFault("sequence-invalid", event.sequence)
    times = interval_of(event, INSTANT_US_MAX)
    fault = text_fault(event) if isinstance(times, Interval) else times
    if fault is not None:
        raise RowFault(fault[0], fault[1].rpartition(" / ")[2])
    assert isinstance(times, Interval), "else it was refused"
    return event.source, record_of(event, times)


def _event(members: Any) -> CloudEvent:
    if not isinstance(members, Mapping):
        raise RowFault("not-an-event", type(members).__name__)
    extensions = {name: value for name, value in members.items() if name not in ATTRIBUTES}
    if wrong := extension_fault(extensions):
        raise RowFault("extension-invalid", wrong.rpartition(" / ")[2])
    try:
        return msgspec.convert({name: value for name, value in members.items() if name in ATTRIBUTES}, CloudEvent)
    except msgspec.ValidationError as fault:
        raise RowFault("member-invalid", str(fault)) from None
