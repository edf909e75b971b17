"""Corrections: a record that was wrong is voided or revised by its id; what was acknowledged stays as it was said.

A correction names the record and the revision that it makes of it: the report is revision 0, each correction takes the next
number. Whatever order corrections and reports come in, the highest revision counts. A void says that nothing was used; a
revision says what was. The same fact again after a void is a revision with the same content, and leaves no trace in any
balance.

How old the usage may be decides who may correct it: within the normal window the centre itself, later only with a reason,
later still only with the approval of a second person.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metering.model import UsageRecord

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
REASON_CHARACTERS_MAX = 400
REVISIONS_MAX = 100


class Window(enum.Enum):
    """How late a correction, or a first report, comes."""

    NORMAL = "normal"
    LATE = "late"
    OLD = "old"


@dataclass(frozen=True, slots=True)
class Windows:
    """Up to what age usage may be reported or corrected without a reason, and with one; microseconds since its end."""

    normal_us: int = 72 * HOUR_US
    late_us: int = 45 * DAY_US

    def of(self, end_us: int, now_us: int) -> Window:
        """Find the window of usage that ended at `end_us`."""
        age_us = now_us - end_us
        if age_us <= self.normal_us:
            return Window.NORMAL
        return Window.LATE if age_us <= self.late_us else Window.OLD


@dataclass(frozen=True, slots=True)
class Correction:
    """One revision of a record. `record` None voids it; else it replaces it, under the same id.

    `requested_by` and `approved_by` name who asked and, where that is needed, who agreed.
    """

    record_id: str
    revision: int
    record: UsageRecord | None
    reason: str = ""
    requested_by: str = ""
    approved_by: str = ""

    @property
    def is_void(self) -> bool:
        """Whether it says that nothing was used."""
        return self.record is None


def correction_fault(correction: Correction, end_us: int, now_us: int, windows: Windows | None = None) -> str | None:
    """Say, as a stable code, why a correction of usage that ended at `end_us` is not to be taken; None: take it."""
    record = correction.record
    if not 1 <= correction.revision <= REVISIONS_MAX:
        return "revision-invalid"
    if record is not None and record.id != correction.record_id:
        return "foreign-record"
    if record is not None and not record.final:
        return "not-final"
    if len(correction.reason) > REASON_CHARACTERS_MAX or not correction.reason.isprintable():
        return "reason-invalid"
    window = (windows or Windows()).of(end_us, now_us)
    if window is not Window.NORMAL and not correction.reason.strip():
        return "reason-missing"
    if window is Window.OLD and correction.approved_by in {"", correction.requested_by}:
        return "approval-missing"
    return None
