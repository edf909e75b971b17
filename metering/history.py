"""All that was ever said of usage, and what counts of it: a pure state machine over reports, checkpoints and corrections.

`apply` takes one fact and says what changes: the record that counted before and the one that counts now. A caller reverses
the first exactly and posts the second, so that balances follow. The state depends on the set of facts, not on their order
or number: reports and corrections are known by id and revision for ever, of checkpoints the highest counts. Only a
contradiction (one id and revision with two contents) is settled by who came first; it is told as a conflict, changes
nothing, and waits for a person.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from metering.checkpoints import highest
from metering.corrections import Correction
from metering.model import UsageRecord

Fact = UsageRecord | Correction
"""A closed record, a checkpoint (a record that is not final), or a correction."""


class Status(enum.Enum):
    """What became of a fact."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    """True, and kept, but something that counts more was known already."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a fact came to: the record that counted for its id before, and the one that counts now."""

    status: Status
    before: UsageRecord | None
    after: UsageRecord | None


@dataclass(slots=True)
class _Fate:
    """Everything known of one id."""

    report: UsageRecord | None = None
    checkpoint: UsageRecord | None = None
    corrections: dict[int, Correction] = field(default_factory=dict)

    def effective(self) -> UsageRecord | None:
        if self.corrections:
            return self.corrections[max(self.corrections)].record
        return self.report or self.checkpoint


class History:
    """Facts of one source by record id."""

    def __init__(self) -> None:
        self._fates: dict[str, _Fate] = {}

    def apply(self, fact: Fact) -> Change:
        """Take one fact."""
        record_id = fact.record_id if isinstance(fact, Correction) else fact.id
        fate = self._fates.setdefault(record_id, _Fate())
        before = fate.effective()
        status = self._keep(fate, fact)
        after = fate.effective()
        if status is Status.ACCEPTED and before == after and not _is_first(fate, fact):
            status = Status.SUPERSEDED
        return Change(status, before, after)

    def effective(self) -> Iterator[UsageRecord]:
        """Every record that counts, in the order of ids."""
        for _, fate in sorted(self._fates.items()):
            if (record := fate.effective()) is not None:
                yield record

    def revision(self, record_id: str) -> int:
        """Give the highest revision of a record, 0 where it was never corrected."""
        fate = self._fates.get(record_id)
        return max(fate.corrections, default=0) if fate else 0

    def _keep(self, fate: _Fate, fact: Fact) -> Status:
        if isinstance(fact, Correction):
            earlier = fate.corrections.setdefault(fact.revision, fact)
            if earlier is fact:
                return Status.ACCEPTED
            return Status.DUPLICATE if earlier.record == fact.record else Status.CONFLICT
        if fact.final:
            if fate.report is None:
                fate.report = fact
                return Status.ACCEPTED
            return Status.DUPLICATE if fate.report == fact else Status.CONFLICT
        seen = fate.checkpoint
        fate.checkpoint = highest(seen, fact)
        if seen == fact:
            return Status.DUPLICATE
        return Status.ACCEPTED if fate.checkpoint is fact else Status.SUPERSEDED


def _is_first(fate: _Fate, fact: Fact) -> bool:
    """Whether a fact that changes nothing is the one that counts: a revision that says the same once more, for example."""
    if isinstance(fact, Correction):
        return fact.revision == max(fate.corrections)
    return fact.final and not fate.corrections
