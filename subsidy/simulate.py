"""What clauses would cost over many applicants: exact sums in fen, with a low and a high end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from subsidy.evaluate import evaluate
from subsidy.facts import Facts
from subsidy.outcome import Outcome, Status
from subsidy.policies import Policies


@dataclass(slots=True)
class Budget:
    """What one clause comes to in one year: `low_fen` is sure, `high_fen` adds what questions, missing facts and ranges may bring.

    Where a text names no sum nothing can be added; `without_figure` counts those applicants. `asks` counts the questions
    for a person that stand, by their id.
    """

    applicants: int = 0
    eligible: int = 0
    undecided: int = 0
    needs_human: int = 0
    without_figure: int = 0
    low_fen: int = 0
    high_fen: int = 0
    asks: Counter[str] = field(default_factory=Counter)

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
        if outcome.needs_human:
            self.asks.update([question.id for question in outcome.questions if question.person])

    def include(self, other: Budget) -> None:
        """Add what another budget came to."""
        self.applicants += other.applicants
        self.eligible += other.eligible
        self.undecided += other.undecided
        self.needs_human += other.needs_human
        self.without_figure += other.without_figure
        self.low_fen += other.low_fen
        self.high_fen += other.high_fen
        self.asks.update(other.asks)


Budgets = dict[tuple[str, int], Budget]
"""By clause and year of receipt."""


def simulate(policies: Policies, applicants: Iterable[tuple[Facts, date]], clauses: Sequence[str]) -> Iterator[Budgets]:
    """Budgets by clause and year. The one mapping is yielded after each applicant, so that progress can be shown."""
    budgets: Budgets = {}
    for facts, on in applicants:
        for name in clauses:
            budget = budgets.get((name, on.year))
            if budget is None:
                budget = budgets[name, on.year] = Budget()
            budget.add(evaluate(policies, name, facts, on))
        yield budgets


def by_department(policies: Policies, budgets: Mapping[tuple[str, int], Budget]) -> dict[tuple[str, int], Budget]:
    """Sums by the department that leads the clause (the first it names), so that no yuan counts twice, and year."""
    sums: dict[tuple[str, int], Budget] = {}
    for (name, year), budget in budgets.items():
        clause = policies.clause(name)
        sums.setdefault((clause.departments[0], year), Budget()).include(budget)
    return sums
