"""How tests of sources read: text in, records and skipped lines out."""

from __future__ import annotations

import io

from metering.model import UsageRecord
from metering.sources import read
from metering.sources.faults import Skipped
from metering.sources.options import SourceOptions
from metering.summary import Summary


def items(data: str | bytes, name: str = "usage.txt", **options) -> list[UsageRecord | Skipped]:
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return list(read(name, stream, SourceOptions(**options)))


def records(data: str | bytes, name: str = "usage.txt", **options) -> list[UsageRecord]:
    return [item for item in items(data, name, **options) if isinstance(item, UsageRecord)]


def skipped(data: str | bytes, name: str = "usage.txt", **options) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in items(data, name, **options) if isinstance(item, Skipped)]


def totals(data: str | bytes, name: str = "usage.txt", **options) -> dict:
    summary = Summary(options.get("timezone"))
    for item in items(data, name, **options):
        summary.add(item)
    return summary.as_json()
