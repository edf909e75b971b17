"""Guards of the rules: cases with known answers that a changed document has to meet, and how sharply they watch.

A folder of guards holds files of rows (`*.rows`) and of cases with `expect` (`*.yaml`). Their sharpness is the share of
small wrong changes that loading, a guard, or the check of figures against quotes notices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from subsidy.cases import read_cases
from subsidy.errors import SubsidyError
from subsidy.evaluate import evaluate
from subsidy.explain import summary
from subsidy.facts import Facts
from subsidy.mutants import mutants
from subsidy.outcome import Outcome
from subsidy.policies import Policies, assemble
from subsidy.quotes import unquoted
from subsidy.rows import agrees, read_rows
from subsidy.yaml_text import Table

COMPARED = ("status", "eligible", "amount_yuan", "amount_kind", "cap_hit", "needs_human", "missing_facts")


@dataclass(frozen=True, slots=True)
class Guard:
    """A clause, a day and facts, and whether an outcome is the one that is wanted."""

    id: str
    clause: str
    on: date
    facts: Facts
    agrees: Callable[[Outcome], bool]

    def holds(self, policies: Policies) -> bool:
        """Whether these policies answer as wanted."""
        return self.agrees(evaluate(policies, self.clause, self.facts, self.on))


@dataclass(frozen=True, slots=True)
class Sharpness:
    """How many small wrong changes were tried, and those that nothing noticed."""

    made: int
    survivors: tuple[str, ...]

    @property
    def per_mille(self) -> int:
        """Noticed changes of a thousand, rounded down; a file without any change to try counts as all noticed."""
        return (self.made - len(self.survivors)) * 1000 // self.made if self.made else 1000


def load_guards(policies: Policies, directory: Path) -> list[Guard]:
    """The guards of a folder, none if there is no such folder. Facts are read with the dictionary of `policies`.

    Raises:
        SubsidyError: `document-malformed` or `yaml-refused`, also for a guard with an unknown clause or wrong facts.

    """
    guards: list[Guard] = []
    for path in sorted((*directory.glob("*.rows"), *directory.glob("*.yaml"))):
        text = path.read_text(encoding="utf-8")
        read = _from_rows if path.suffix == ".rows" else _from_cases
        guards += read(policies, text, path.name)
    return guards


def _from_rows(policies: Policies, text: str, source: str) -> Iterator[Guard]:
    for row in read_rows(policies, text, source):
        yield Guard(row.id, row.clause, row.on, row.facts, partial(agrees, wanted=row.answer))


def _from_cases(policies: Policies, text: str, source: str) -> Iterator[Guard]:
    for case in read_cases(policies, text, source):
        if case.findings:
            first = case.findings[0]
            raise SubsidyError(
                "document-malformed", first.zh, f"{first.where} {first.en}", findings=list(case.findings)
            )
        if case.expect is not None:
            yield Guard(case.id, case.clause, case.on, case.facts, partial(_as_expected, expect=case.expect))


def _as_expected(outcome: Outcome, expect: Mapping[str, Any]) -> bool:
    said = summary(outcome)
    wanted = {"missing_facts": [], **expect}
    return all(said[name] == wanted[name] for name in COMPARED if name in wanted)


def sharpness(
    tables: Mapping[str, Table], name: str, guards: Sequence[Guard], step: Callable[[int], None]
) -> Sharpness:
    """Try every small wrong change of the file `name` among `tables`, whose readings are resolved; `step` is told how many.

    Guards and figures that disagree with the unchanged file notice nothing: they would disagree with every change.
    """
    policies = assemble(tables, dict.fromkeys(tables, ""))
    order = [guard for guard in guards if guard.holds(policies)]
    loose = _unquoted(policies)
    survivors, made = [], 0
    for label, mutant in mutants(tables[name]):
        made += 1
        step(made)
        at = _noticed_by({**tables, name: mutant}, order, loose)
        if at is None:
            survivors.append(label)
        elif at > 0:
            order.insert(0, order.pop(at))  # neighbouring changes are mostly noticed by the same guard
    return Sharpness(made, tuple(survivors))


def _unquoted(policies: Policies) -> set[str]:
    return {clause.id for clause in policies.clauses.values() if unquoted(clause.benefit)}


def _noticed_by(tables: Mapping[str, Table], guards: Sequence[Guard], loose: set[str]) -> int | None:
    """The number of the guard that notices; -1 if loading or the check of figures does, None if nothing does."""
    try:
        policies = assemble(tables, dict.fromkeys(tables, ""))
        if _unquoted(policies) - loose:
            return -1
        return next((at for at, guard in enumerate(guards) if not guard.holds(policies)), None)
    except SubsidyError:  # it does not load, or a clause that a guard speaks of is gone
        return -1
