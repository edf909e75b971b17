"""Which fact to ask next so that few questions settle many clauses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from subsidy.evaluate import evaluate
from subsidy.facts import Fact, Facts
from subsidy.outcome import Outcome
from subsidy.policies import Policies
from subsidy.policy import AmountKind


@dataclass(frozen=True, slots=True)
class Asked:
    """A fact to ask, the clauses whose answer it can still change, and the most that these may pay together, in fen."""

    fact: Fact
    clauses: tuple[str, ...]
    stake_fen: int


def questions(policies: Policies, facts: Facts, on: date, clauses: Iterable[str]) -> list[Asked]:
    """The facts worth asking about these clauses, best first; empty once nothing can change any answer.

    First comes the fact that most clauses wait for; among equals the cheaper answer, then the higher stake.
    """
    waiting: dict[str, list[Outcome]] = {}
    for name in clauses:
        outcome = evaluate(policies, name, facts, on)
        for missing in outcome.missing:
            waiting.setdefault(missing, []).append(outcome)
    asked = [
        Asked(
            policies.facts[name],
            tuple(outcome.rule.clause.id for outcome in outcomes),
            sum(outcome.bounds_fen()[1] or 0 for outcome in outcomes),
        )
        for name, outcomes in waiting.items()
        if name in policies.facts  # papers that an application lacks are no questions
    ]
    return sorted(asked, key=lambda item: (-len(item.clauses), item.fact.effort, -item.stake_fen))


def beneficial(policies: Policies) -> tuple[str, ...]:
    """The clauses that give something, without those that carry out a higher one: they are evaluated together with it."""
    return tuple(
        clause.id
        for clause in policies.clauses.values()
        if clause.implements is None and clause.benefit.kind is not AmountKind.NONE
    )
