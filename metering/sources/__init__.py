"""Sources of usage: files as centres really have them, read into exact usage records.

`read` is the one entry. Readers are pure: bytes and options in, records and skipped lines out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import BinaryIO

from metering.model import UsageRecord
from metering.sources.csv_jobs import JobReader
from metering.sources.faults import Skipped, unreadable
from metering.sources.gauge import GaugeReader
from metering.sources.options import SourceOptions
from metering.sources.rows import base_name, chunks_of, open_table, text_lines
from metering.sources.sacct import SacctReader
from metering.sources.sacct_json import SacctJsonReader
from metering.sources.values import NAME_CHARACTERS_MAX

JSON_BYTES_MAX = 1 << 29
"""Half a gibibyte; a larger accounting file is read as text (`sacct -P`), a line at a time."""


def read(name: str, stream: BinaryIO, options: SourceOptions) -> Iterator[UsageRecord | Skipped]:
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
    first = next(chunks, b"")
    chunks = itertools.chain([first] if first else [], chunks)
    if options.source == "sacct" and first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return SacctJsonReader(file, _whole(file, chunks), options).records()
    table = open_table(file, text_lines(file, chunks), options)
    if options.source == "sacct":
        return SacctReader(table, options).records()
    if options.source == "csv":
        return JobReader(table, options).records()
    return GaugeReader(table, options).records()


def _whole(file: str, chunks: Iterator[bytes]) -> bytes:
    document = bytearray()
    for chunk in chunks:
        document += chunk
        if len(document) > JSON_BYTES_MAX:
            raise unreadable(file, "JSON 过大，请改用 sacct -P", "this JSON is too large: use sacct -P")
    return bytes(document)
