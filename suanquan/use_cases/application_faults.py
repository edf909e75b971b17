"""What is malformed about an application before it is submitted, so that a form can say so page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.errors import DomainError, Finding
from suanquan.use_cases.applications import Application, Round
from suanquan.use_cases.matter import Asking
from suanquan.use_cases.procedure import Proceedings
from suanquan.use_cases.procedure_requests import ABOUT, read_about
from subsidy.procedure import Case
from subsidy.procedure_inputs import Reader
from subsidy.steps import read_inputs
from subsidy.unit import Unit


def application_faults(proceedings: Proceedings, round_: Round, unit: Unit, given: Mapping[str, Any]) -> list[Finding]:
    """Findings for which `Proceedings.submit` would refuse what is typed, with the place of each. Nothing is looked up or written.

    What the members of a contract say of each other is looked at once each is well formed.
    """
    found: list[Finding] = []
    try:
        read_about(Reader(proceedings.office.policies.facts, ()), given)
    except DomainError as error:
        found += _findings(error)
    try:
        _read(proceedings, round_, unit, given)
    except DomainError as error:
        found += _findings(error)
    return found


def _read(proceedings: Proceedings, round_: Round, unit: Unit, given: Mapping[str, Any]) -> None:
    procedure, clause = round_.procedure, str(given.get("scheme", ""))
    matter = proceedings.matter(procedure)
    step = next(step for step in procedure.steps.values() if step.begins)
    rest = {name: value for name, value in given.items() if name not in {*ABOUT, "scheme", "unit"}}
    inputs = read_inputs(step, matter.reader(procedure, clause, unit), rest)
    case, today = Case(applicant=str(given.get("applicant", "")), unit=unit), proceedings.today
    matter.check(Asking(Application("", round_, clause, "", "", (), case, today), step, inputs, today))


def _findings(error: DomainError) -> list[Finding]:
    return list(error.findings) or [Finding(error.code, error.zh, error.en)]
