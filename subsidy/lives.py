"""The layers of a clause on a day, each with a life of its own: so that "alive but not open" and "expired" are answers.

Entitlement is the clause that gives, procedure the implementing rules that carry it out, duplicates the words against
double support. Which applications the calendar lets in follows from all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from subsidy.policies import Policies
from subsidy.policy import Clause, Document, Layer


@dataclass(frozen=True, slots=True)
class Life:
    """One layer: the clause and document on which it rests, and whether that document lives."""

    layer: Layer
    clause: Clause
    document: Document
    state: str


def lives(policies: Policies, clause: Clause, on: date) -> Iterator[Life]:
    """The layers of a clause; a clause that no rules carry out has no procedure of its own."""
    era = policies.era(on)
    clause = era.clauses.get(clause.id, clause)
    higher = era.clauses.get(clause.implements or "", clause)
    lower = [other for other in era.clauses.values() if other.implements == higher.id]
    for layer, parts in ((Layer.ENTITLEMENT, [higher]), (Layer.PROCEDURE, lower)):
        for part in parts:
            yield _life(era, layer, part, on)
    for part in (higher, *lower):
        if any(requirement.layer is Layer.DUPLICATES for requirement in part.requirements):
            yield _life(era, Layer.DUPLICATES, part, on)


def _life(policies: Policies, layer: Layer, clause: Clause, on: date) -> Life:
    document = policies.documents[clause.document]
    state = "expired" if on > document.last_day else "in_force" if document.in_force(on) else "not_yet_in_force"
    return Life(layer, clause, document, state)
