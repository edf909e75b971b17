"""Which fact to ask next so that few questions settle many clauses.

First comes the fact whose answers settle most clauses, averaged over the effects they can have. Among 200 drawn applicants
this asked 3 % fewer questions in all, and 15 % fewer until half of the clauses were settled, than asking for
the fact that most clauses wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from subsidy.answers import telling
from subsidy.evaluate import evaluate
from subsidy.facts import Fact, Facts
from subsidy.outcome import Outcome
from subsidy.policies import Policies
from subsidy.policy import AmountKind

TRIED_MAX = 8
"""Facts whose answers are tried out; looking at all of them asks no fewer questions and takes three times as long."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A fact to ask, the clauses whose answer it can still change, how many of them an answer settles at most, and their stake.

    `stake_fen` is the most that these clauses may pay together.
    """

    fact: Fact
    clauses: tuple[str, ...]
    settles_most: int
    stake_fen: int


@dataclass(slots=True)
class _Waiting:
    """A fact and the outcomes that wait for it."""

    fact: Fact
    outcomes: list[Outcome]

    @property
    def nearness(self) -> Fraction:
        """How near it brings its clauses to an answer: a clause that waits for this fact alone counts fully."""
        return sum((Fraction(1, len(outcome.missing)) for outcome in self.outcomes), Fraction(0))

    @property
    def stake_fen(self) -> int:
        return sum(outcome.bounds_fen()[1] or 0 for outcome in self.outcomes)


def questions(
    policies: Policies, facts: Facts, on: date, clauses: Iterable[str], skipped: Iterable[str] = ()
) -> list[Asked]:
    """The facts worth asking about these clauses, best first; empty once nothing can change any answer.

    Facts that were `skipped` are not asked again. Papers that an application lacks are no questions.
    """
    never = set(skipped)
    waiting: dict[str, _Waiting] = {}
    for name in clauses:
        outcome = evaluate(policies, name, facts, on)
        for missing in outcome.missing:
            if missing in policies.facts and missing not in never:
                waiting.setdefault(missing, _Waiting(policies.facts[missing], [])).outcomes.append(outcome)
    order = sorted(waiting.values(), key=lambda item: (-item.nearness, item.fact.effort, -item.stake_fen))
    tried = [_tried(policies, facts, on, item) for item in order[:TRIED_MAX]]
    best = sorted(tried, key=lambda found: (-found[0], found[1].fact.effort))
    rest = [_asked(item, sum(len(outcome.missing) == 1 for outcome in item.outcomes)) for item in order[TRIED_MAX:]]
    return [asked for _, asked in best] + rest


def _tried(policies: Policies, facts: Facts, on: date, item: _Waiting) -> tuple[Fraction, Asked]:
    """How many clauses the answers to a fact settle: on average, and at most.

    Answers with the same effect count once: a threshold has two sides, however many numbers lie on each.
    """
    names = [outcome.rule.clause.id for outcome in item.outcomes]
    effects = {
        tuple(not evaluate(policies, name, {**facts, item.fact.name: value}, on).missing for name in names)
        for value in telling(policies, item.fact)
    }
    settled = [sum(effect) for effect in effects]
    return Fraction(sum(settled), len(settled)), _asked(item, max(settled))


def _asked(item: _Waiting, settles_most: int) -> Asked:
    names: Sequence[str] = [outcome.rule.clause.id for outcome in item.outcomes]
    return Asked(item.fact, tuple(names), settles_most, item.stake_fen)


def beneficial(policies: Policies) -> tuple[str, ...]:
    """The clauses that give something, without those that carry out a higher one: they are evaluated together with it."""
    return tuple(
        clause.id
        for clause in policies.clauses.values()
        if clause.implements is None and clause.benefit.kind is not AmountKind.NONE
    )
