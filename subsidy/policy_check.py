"""What documents must keep to together: unique clauses, and implementing rules that narrow the higher text, never widen it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from subsidy.fields import Faults
from subsidy.operators import Quantity
from subsidy.policy import Clause, Document


def check_together(documents: Mapping[str, Document]) -> None:
    """Refuse documents that contradict one another.

    Raises:
        SubsidyError: `document-malformed`.

    """
    faults = Faults("policies")
    clauses: dict[str, Clause] = {}
    for clause in (clause for document in documents.values() for clause in document.clauses):
        for name in (clause.id, *clause.also):
            if name in clauses:
                faults.add(clause.id, f"“{name}”已另有条款", f"`{name}` is the name of another clause")
            clauses[name] = clause
    for document in documents.values():
        _check_document(faults, document, documents)
    for clause in {clause.id: clause for clause in clauses.values() if clause.implements}.values():
        _check_implementing(faults, clause, clauses, documents)
    for first, second in itertools.combinations(documents.values(), 2):
        for name in _both_implement(first, second):
            if first.first_day <= second.last_day and second.first_day <= first.last_day:
                zh, en = f"与 {first.id} 同时实施 {name}", f"carries out {name} in the same time as {first.id}"
                faults.add(second.id, zh, en)
    faults.raise_any()


def _check_document(faults: Faults, document: Document, documents: Mapping[str, Document]) -> None:
    higher = documents.get(document.implements or "")
    if higher is not None and document.precedence <= higher.precedence:
        faults.add(
            document.id,
            "precedence 应大于上位文件",
            "`precedence` must be larger than that of the document it implements",
        )


def _check_implementing(
    faults: Faults, clause: Clause, clauses: Mapping[str, Clause], documents: Mapping[str, Document]
) -> None:
    higher = clauses.get(clause.implements or "")
    if higher is None or higher.document != documents[clause.document].implements:
        faults.add(
            clause.id,
            "implements 应是上位文件的条款",
            "`implements` must name a clause of the document that this one implements",
        )
        return
    if clause.benefit.rate > higher.benefit.rate:
        faults.add(clause.id, "比例高于上位条款", f"`rate` widens {higher.id}; it may be at most {higher.benefit.rate}")
    cap, limit = _fixed(clause.benefit.cap), _fixed(higher.benefit.cap)
    if cap is not None and limit is not None and cap > limit:
        faults.add(clause.id, "上限高于上位条款", f"`cap` widens {higher.id}; it may be at most {limit}")


def _fixed(cap: Quantity | None) -> int | None:
    value = cap.value({}) if cap is not None else None
    return None if value is None else int(value)


def _both_implement(first: Document, second: Document) -> Iterator[str]:
    theirs = {clause.implements for clause in second.clauses}
    return (clause.implements for clause in first.clauses if clause.implements and clause.implements in theirs)
