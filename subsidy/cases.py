"""Files of cases: what does a clause say of these facts on that day? Each case is answered on its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from ledger.errors import Finding
from subsidy.evaluate import evaluate
from subsidy.facts import Facts, read_facts
from subsidy.fields import Faults, Fields, nearest
from subsidy.outcome import Outcome
from subsidy.policies import Policies
from subsidy.yaml_text import read_yaml


@dataclass(frozen=True, slots=True)
class Case:
    """One case as written: a clause, the day on which the application is received, facts, and the answer expected of them."""

    id: str
    clause: str
    on: date
    facts: Facts
    findings: tuple[Finding, ...]
    expect: Mapping[str, object] | None = None


def read_cases(policies: Policies, text: str, source: str) -> list[Case]:
    """The `cases` of a YAML or JSON file; members that are not known are left alone.

    A case with an unknown clause or wrong facts carries findings and cannot be evaluated; the others can.

    Raises:
        SubsidyError: `yaml-refused`, or `document-malformed`: a case without id, clause, day or facts.

    """
    faults = Faults(source)
    tables = Fields(faults, read_yaml(text, source), "").tables("cases", required=True)
    cases = [_read_case(policies, fields) for fields in tables]
    faults.raise_any()
    return cases


def _read_case(policies: Policies, fields: Fields) -> Case:
    clause, written = fields.text("clause"), fields.table("facts")
    facts, findings = read_facts(policies.facts, written.raw, written.place)
    if clause not in policies.clause_names:
        zh, en = nearest(clause, policies.clause_names)
        finding = Finding(
            "clause-unknown", f"没有“{clause}”这一条{zh}", f"there is no clause {clause}{en}", fields.place("clause")
        )
        findings.append(finding)
    expect = fields.raw.get("expect")
    return Case(
        fields.text("id"),
        clause,
        fields.day("date"),
        facts,
        tuple(findings),
        expect if isinstance(expect, Mapping) else None,
    )


def evaluate_case(policies: Policies, case: Case) -> Outcome | None:
    """The outcome of a case, or None where it carries findings."""
    return None if case.findings else evaluate(policies, case.clause, case.facts, case.on)
