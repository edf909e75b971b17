"""Advice that follows from an outcome: which fact to ask next, and what would have to change for a pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from subsidy.facts import Fact, Facts
from subsidy.operators import Compare, Condition, Count, Junction, Not
from subsidy.outcome import Outcome
from subsidy.policies import Policies


def next_question(policies: Policies, outcome: Outcome) -> Fact | None:
    """The missing fact to ask first: a single no to it can settle most, and it costs least to answer."""
    missing = [policies.facts[name] for name in outcome.missing if name in policies.facts]
    undecided = Counter(
        name
        for requirement, verdict in outcome.judged()
        if verdict is None
        for name in dict.fromkeys(requirement.condition.unknown(outcome.known or {}))
    )
    return min(
        missing, key=lambda fact: (-(undecided[fact.name] > 0), fact.effort, -undecided[fact.name]), default=None
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One comparison that would have to come out as `wanted`."""

    test: Compare | Count
    wanted: bool


def nearest_pass(outcome: Outcome) -> tuple[Change, ...]:
    """The fewest comparisons that would have to come out otherwise, such as PUE below 1.25; empty if nothing failed."""
    known = outcome.known or {}
    failed = [requirement.condition for requirement, verdict in outcome.judged() if verdict is False]
    changes = [change for condition in failed for change in _changes(condition, known, wanted=True)]
    return tuple({(id(change.test), change.wanted): change for change in changes}.values())


def _changes(condition: Condition, known: Facts, *, wanted: bool) -> list[Change]:
    match condition:
        case Not():
            return _changes(condition.part, known, wanted=not wanted)
        case Junction():
            needed = [_changes(part, known, wanted=wanted) for part in condition.parts]
            if wanted is condition.decisive:
                return min(needed, key=len, default=[])
            return [change for changes in needed for change in changes]
        case _:
            return [] if condition.test(known) is wanted else [Change(condition, wanted)]
