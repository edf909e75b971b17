"""What a source of usage is, built in or a centre's own.

A source turns the bytes of one file, or of one answer of a scheduler or a monitor, into records and skipped lines. It is
pure: no clock, no network, the same bytes give the same records under the same ids. Transports stand in `metering.agent`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from metering.model import UsageRecord
from metering.sources.faults import Skipped
from metering.sources.options import SourceOptions

Item = UsageRecord | Skipped
"""One record, or one line that became none, with its reason."""


@dataclass(frozen=True, slots=True)
class UsageFile:
    """The bytes of one file: `name` identifies its rows, `chunks` are its lines (overlong ones in pieces), unpacked.

    Asking for the next line raises `faults.Truncated` where a packed file ends early.
    """

    name: str
    chunks: Iterator[bytes]


class Source(Protocol):
    """A reader of one kind of usage file. Its name and fields are declared with `metering.sources.add_source`."""

    def __call__(self, file: UsageFile, options: SourceOptions) -> Iterator[Item]:
        """Every closed interval of usage in a file, and every line that is none, with its reason.

        Raises:
            MeteringError: at once or while iterating, when the file as a whole cannot be read.

        """
