"""The result of one evaluation, with everything that explains it; `explain` turns it into JSON."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from subsidy.facts import Facts
from subsidy.policies import Closed, Rule
from subsidy.policy import AmountKind, Gift, Question, Requirement

FEN_PER_YUAN = 100


class Status(enum.Enum):
    """Where an application stands under one clause."""

    ELIGIBLE = "eligible"
    NOT_ELIGIBLE = "not_eligible"
    NEED_MORE_INFO = "need_more_info"
    NOT_OPEN = "not_open"


@dataclass(frozen=True, slots=True)
class Amount:
    """What may be paid: `fen` at most (exactly, if the kind says so), None where no figure can be given.

    `cap_hit` only if the figure without the cap is strictly above it.
    """

    kind: AmountKind
    fen: int | None = None
    cap_yuan: int | None = None
    cap_hit: bool = False
    range_yuan: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one clause, one set of facts and one day (the day on which the application is received).

    `eligible` is None while it is undecided. `questions` are for a person; `missing` names exactly the unknown facts that
    can still change status, eligibility, amount, gifts or the need of a person, and what an application lacks.
    `known` are the facts as used, named quantities included; `verdicts` those of the rule's requirements, in their order.
    """

    rule: Rule | Closed
    on: date
    status: Status
    eligible: bool | None
    amount: Amount
    reasons: tuple[str, ...]
    questions: tuple[Question, ...] = ()
    needs_human: bool = False
    missing: tuple[str, ...] = ()
    gifts: tuple[Gift, ...] = ()
    verdicts: tuple[bool | None, ...] = ()
    known: Facts | None = None

    def judged(self) -> Iterator[tuple[Requirement, bool | None]]:
        """Each requirement that was judged, with its verdict."""
        if isinstance(self.rule, Rule):
            yield from zip(self.rule.requirements, self.verdicts, strict=False)

    def bounds_fen(self) -> tuple[int, int | None]:
        """The least that is sure and the most that may be paid, in fen; None for the most where the text names no sum.

        Sure is what nothing missing and no question for a person can still take away.
        """
        amount = self.amount
        if self.eligible is False or not isinstance(self.rule, Rule):
            return 0, 0
        if amount.fen is not None:
            sure = self.status is Status.ELIGIBLE and not self.needs_human
            return (amount.fen if sure else 0), amount.fen
        benefit = self.rule.benefit
        if benefit.range_yuan is not None:
            low, high = benefit.range_yuan
            return (low * FEN_PER_YUAN if self.status is Status.ELIGIBLE else 0), high * FEN_PER_YUAN
        if benefit.cap is not None:
            return 0, int(benefit.cap.bounds(self.known or {})[1]) * FEN_PER_YUAN
        return 0, None if benefit.kind is AmountKind.UNDETERMINED else 0
