"""What a reader says about a line that it does not bill, and about a file that it cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.errors import Finding
from metering.errors import MeteringError
from metering.model import UsageRecord

DETAIL_CHARACTERS_MAX = 80


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that became no record: a stable kebab-case reason, the file, the line (in JSON: the job's place, from 1).

    A line of an attempt that still runs carries its `checkpoint`: what it used up to now, a record that is not final, under
    the id that the closed attempt will have, ending at the instant it speaks for.
    """

    reason: str
    file: str
    line: int
    detail: str = ""
    checkpoint: UsageRecord | None = None


class RowFault(Exception):  # noqa: N818 - it ends as a `Skipped` value and never leaves a reader
    """Raised where one row cannot be billed, so that parsers stay plain functions; the reader's loop catches it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.checkpoint: UsageRecord | None = None

    def skipped(self, file: str, line: int) -> Skipped:
        """Tell the caller which line was left out, and why."""
        return Skipped(self.reason, file, line, self.detail[:DETAIL_CHARACTERS_MAX], self.checkpoint)


def running(record: UsageRecord) -> RowFault:
    """Say that a row's attempt still runs, with what it used up to now."""
    fault = RowFault("running", record.state)
    fault.checkpoint = record
    return fault


class Truncated(Exception):  # noqa: N818 - readers turn it into a `Skipped` of the line at which they were
    """Raised by the lines of a packed file that ends early; those before it are whole."""


def unreadable(file: str, zh: str, en: str) -> MeteringError:
    """Refuse a whole file."""
    return MeteringError("file-unreadable", f"{file}：{zh}", f"{file}: {en}")


def columns_missing(file: str, names: Sequence[str], zh: str, en: str) -> MeteringError:
    """Refuse a file that lacks columns: each is named; `zh` and `en` say how to get them."""
    return MeteringError(
        "column-missing",
        f"{file} 缺少列 {'、'.join(names)}。{zh}",
        f"{file} lacks the column {', '.join(names)}. {en}",
        findings=[Finding("column-missing", f"缺少列 {name}", f"column {name} is missing", file) for name in names],
    )
