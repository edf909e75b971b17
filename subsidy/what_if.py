"""What if: the same clause with another fact, on another day, under another document or reading; the difference by condition."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from subsidy.evaluate import evaluate
from subsidy.facts import Facts
from subsidy.outcome import Outcome
from subsidy.policies import Policies
from subsidy.policy import Requirement


@dataclass(frozen=True, slots=True)
class Situation:
    """What an answer depends on: the documents under a choice of readings, the facts, and the day of receipt."""

    policies: Policies
    facts: Facts
    on: date


@dataclass(frozen=True, slots=True)
class Changed:
    """A condition whose verdict differs between two answers; None is unknown, and also that one answer lacks the condition.

    `requirement` is the condition as it stands after the change, or before it where it is gone.
    """

    document: str
    condition: str
    before: bool | None
    after: bool | None
    requirement: Requirement


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one clause, and the conditions that come out otherwise."""

    before: Outcome
    after: Outcome
    conditions: tuple[Changed, ...]

    @property
    def same(self) -> bool:
        """Whether the answers agree in all that matters to an applicant."""
        return not self.conditions and _answer(self.before) == _answer(self.after)


def _answer(outcome: Outcome) -> tuple[object, ...]:
    names = [question.id for question in outcome.questions], [gift.id for gift in outcome.gifts]
    return outcome.status, outcome.eligible, outcome.amount, outcome.missing, names, outcome.reasons


def compare(clause: str, before: Situation, after: Situation) -> Comparison:
    """One clause in two situations.

    Raises:
        SubsidyError: `clause-unknown`, also where only one of the situations has the clause.

    """
    first, second = (evaluate(case.policies, clause, case.facts, case.on) for case in (before, after))
    return Comparison(first, second, difference(first, second))


def difference(before: Outcome, after: Outcome) -> tuple[Changed, ...]:
    """Where two answers to one clause differ: with other facts, on another day, or under another version of a document."""
    first, second = (
        {(requirement.document, requirement.id): (requirement, verdict) for requirement, verdict in outcome.judged()}
        for outcome in (before, after)
    )
    changed = []
    for key in {**first, **second}:
        was, is_ = first.get(key), second.get(key)
        verdicts = (None if was is None else was[1], None if is_ is None else is_[1])
        if verdicts[0] is not verdicts[1] or (was is None) is not (is_ is None):
            requirement, _ = is_ or was  # type: ignore[misc]
            changed.append(Changed(*key, *verdicts, requirement))
    return tuple(changed)
