"""Sources of usage: files as centres really have them, read into exact usage records.

`read` is the one entry. Readers are pure: bytes and options in, records and skipped lines out. A centre adds its own with
`add_source`, or names it under the entry point group `suanquan.sources` of a package that it installs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import BinaryIO

from metering.errors import MeteringError
from metering.sources.apel import read_apel
from metering.sources.cloudevents import read_cloudevents
from metering.sources.csv_jobs import JobReader
from metering.sources.faults import Truncated, unreadable
from metering.sources.gauge import GaugeReader
from metering.sources.json_stream import starts_json
from metering.sources.kubernetes import read_kubernetes
from metering.sources.options import FIELDS, Fields, SourceOptions
from metering.sources.prometheus import read_prometheus
from metering.sources.rows import base_name, chunks_of, damaged, open_table, text_lines
from metering.sources.sacct import SacctReader
from metering.sources.sacct_json import SacctJsonReader
from metering.sources.source import Item, Source, UsageFile
from metering.sources.values import NAME_CHARACTERS_MAX


def _read_sacct(file: UsageFile, options: SourceOptions) -> Iterator[Item]:
    chunks, is_json = starts_json(file.chunks)
    if is_json:
        return SacctJsonReader(file.name, chunks, options).records()
    return SacctReader(open_table(file.name, text_lines(file.name, chunks), options), options).records()


def _read_csv(file: UsageFile, options: SourceOptions) -> Iterator[Item]:
    return JobReader(open_table(file.name, text_lines(file.name, file.chunks), options), options).records()


def _read_gauge(file: UsageFile, options: SourceOptions) -> Iterator[Item]:
    return GaugeReader(open_table(file.name, text_lines(file.name, file.chunks), options), options).records()


SOURCES: dict[str, Source] = {
    "sacct": _read_sacct,
    "csv": _read_csv,
    "gauge-csv": _read_gauge,
    "cloudevents": read_cloudevents,
    "apel": read_apel,
    "prometheus": read_prometheus,
    "kubernetes": read_kubernetes,
}


def add_source(name: str, source: Source, fields: Fields) -> None:
    """Let a centre's own source be named like a built-in one.

    Raises:
        MeteringError: the name is taken by another source.

    """
    if SOURCES.get(name, source) is not source:
        raise MeteringError(
            "source-taken",
            f"来源“{name}”已存在，请另起名称",
            f"there is a source {name!r} already: choose another name",
        )
    SOURCES[name] = source
    FIELDS[name] = fields


def read(name: str, stream: BinaryIO, options: SourceOptions) -> Iterator[Item]:
    """Every closed interval of usage in a file, and every line that is none, with its reason.

    `name` is the file's name or path: its last part without `.gz` identifies rows, and `.gz` says that it is packed.

    Raises:
        MeteringError: at once or while iterating, when the file as a whole cannot be read: a needed column is missing,
            times carry no zone and none was declared, the file is damaged.

    """
    file = base_name(name)
    if not file.isprintable() or len(file) > NAME_CHARACTERS_MAX:
        raise unreadable(
            ascii(file),
            f"文件名是记录编号的一部分，须可打印且不超过 {NAME_CHARACTERS_MAX} 字",
            f"a file's name is part of its records' ids: at most {NAME_CHARACTERS_MAX} printable characters",
        )
    chunks = chunks_of(name, stream)
    try:
        first = next(chunks, b"")
    except Truncated:
        raise damaged(file) from None
    chunks = itertools.chain([first] if first else [], chunks)
    return SOURCES[options.source](UsageFile(file, chunks), options)
