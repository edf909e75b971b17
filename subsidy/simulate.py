"""What clauses would cost over many applicants, and what another day, document or fact would change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from subsidy.evaluate import evaluate
from subsidy.facts import Facts
from subsidy.outcome import Outcome, Status
from subsidy.policies import Policies


@dataclass(slots=True)
class Budget:
    """What one clause comes to in one year: `low_fen` is sure, `high_fen` adds what questions, missing facts and ranges may bring.

    Where a text names no sum nothing can be added; `without_figure` counts those applicants.
    """

    applicants: int = 0
    eligible: int = 0
    undecided: int = 0
    needs_human: int = 0
    without_figure: int = 0
    low_fen: int = 0
    high_fen: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        low, high = outcome.bounds_fen()
        self.applicants += 1
        self.eligible += outcome.status is Status.ELIGIBLE
        self.undecided += outcome.status is Status.NEED_MORE_INFO
        self.needs_human += outcome.needs_human
        self.without_figure += high is None
        self.low_fen += low
        self.high_fen += high or 0


def simulate(
    policies: Policies, applicants: Iterable[tuple[Facts, date]], clauses: Sequence[str]
) -> Iterator[dict[tuple[str, int], Budget]]:
    """Budgets by clause and year. The one mapping is yielded after each applicant, so that progress can be shown."""
    budgets: dict[tuple[str, int], Budget] = {}
    for facts, on in applicants:
        for name in clauses:
            budgets.setdefault((name, on.year), Budget()).add(evaluate(policies, name, facts, on))
        yield budgets


@dataclass(frozen=True, slots=True)
class Changed:
    """A condition whose verdict differs between two answers; None is unknown, and also that one answer lacks the condition."""

    document: str
    condition: str
    before: bool | None
    after: bool | None


def difference(before: Outcome, after: Outcome) -> tuple[Changed, ...]:
    """Where two answers to one clause differ: with other facts, on another day, or under another version of a document."""
    first, second = (
        {(requirement.document, requirement.id): verdict for requirement, verdict in outcome.judged()}
        for outcome in (before, after)
    )
    return tuple(
        Changed(*key, first.get(key), second.get(key))
        for key in {**first, **second}
        if first.get(key) is not second.get(key)
    )
