"""Dispute of a statement line: opened, answered, then upheld or refused by somebody who did neither.

Nothing moves by it. One that is upheld is followed by a correction of its own; until it is decided, its line is marked.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from ledger.errors import Kind
from metering.errors import MeteringError


class Step(NamedTuple):
    """A step of a dispute: what it came to, whose line it is about, who took it in which role, and why."""

    dispute: int
    step: int
    state: str
    centre: str
    account: str
    source: str
    record: str
    who: str
    role: str
    reason: str
    at_us: int


class Act(enum.Enum):
    """What may be done, and the state that it leads to."""

    OPEN = "open"
    ANSWER = "answered"
    UPHOLD = "upheld"
    REFUSE = "refused"


_AFTER = {Act.ANSWER: "open", Act.UPHOLD: "answered", Act.REFUSE: "answered"}
DECIDED = (Act.UPHOLD.value, Act.REFUSE.value)


def check_step(steps: Sequence[Step], act: Act, who: str) -> None:
    """Refuse an act that does not follow from what was done, or by somebody who took part.

    Raises:
        MeteringError: `dispute-state` or `four-eyes`.

    """
    assert act is not Act.OPEN, "a dispute begins with it"
    if steps[-1].state != _AFTER[act]:
        raise MeteringError(
            "dispute-state",
            f"争议现为 {steps[-1].state}，此时不能改为 {act.value}",
            f"the dispute is {steps[-1].state}, and cannot become {act.value}",
            kind=Kind.CONFLICT,
        )
    if act in (Act.UPHOLD, Act.REFUSE) and who in {step.who for step in steps}:
        raise MeteringError(
            "four-eyes",
            "须由未参与该争议的另一人裁定",
            "somebody who took no part in it must decide",
            kind=Kind.NOT_ALLOWED,
        )
