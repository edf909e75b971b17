"""Application materials: which are needed, and the check of each, as data with a closed set of rules.

A material that lacks something makes an application incomplete, which is cured by supplementing it; what only a person may
judge is said as such. Nothing here refuses an application.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ledger.errors import Finding
from subsidy.policy import Quote


@dataclass(frozen=True, slots=True)
class Basis:
    """The words of a clause that a part of a procedure rests on; a scheme's procedure names its source instead, without a quote."""

    clause: str
    quote: Quote

    @property
    def cited(self) -> str:
        """The clause with its words; a source that is not quoted stands alone."""
        return f"{self.clause}“{self.quote.text}”" if self.quote.text else self.clause


class Rule(enum.Enum):
    """How a field of a material is checked."""

    EQUALS_APPLICANT = "equals_applicant"
    ONE_OF = "one_of"
    IS_FALSE = "is_false"
    PREVIOUS_YEAR = "previous_year"
    COVERS = "covers"
    EQUALS_COSTS = "equals_costs"
    EQUALS_FACTS = "equals_facts"
    EQUALS_CONTRACT = "equals_contract"


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a field; a failure is lacking unless `person` must judge it."""

    field: str
    rule: Rule
    values: tuple[str, ...] = ()
    person: bool = False


@dataclass(frozen=True, slots=True)
class Material:
    """One of the materials: always needed, only if the fact `required_when` is true (or unknown), or never (`optional`)."""

    id: str
    zh: str
    en: str
    basis: Basis
    required_when: str | None = None
    optional: bool = False
    checks: tuple[Check, ...] = ()


class Verdict(enum.Enum):
    """What a check of a material found."""

    MET = "met"
    LACKING = "lacking"
    PERSON = "person"
    NOT_NEEDED = "not_needed"


@dataclass(frozen=True, slots=True)
class Checked:
    """A material with its verdict and what is at fault."""

    material: Material
    verdict: Verdict
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Submitted:
    """What materials are checked against: the applicant's code, the year of the application; costs, facts and contract as given."""

    applicant: str
    year: int
    materials: Mapping[str, Mapping[str, Any]]
    costs: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any]
    contract: Mapping[str, Any] = field(default_factory=dict)


def check_materials(materials: Sequence[Material], given: Submitted) -> list[Checked]:
    """Every material with its verdict, in order."""
    return [_check(material, given) for material in materials]


def lacking(checked: Sequence[Checked]) -> list[Finding]:
    """What must be supplied before the application is complete."""
    return [finding for one in checked if one.verdict is Verdict.LACKING for finding in one.findings]


def for_person(checked: Sequence[Checked]) -> list[Finding]:
    """What a person must judge."""
    return [finding for one in checked if one.verdict is Verdict.PERSON for finding in one.findings]


def _check(material: Material, given: Submitted) -> Checked:
    found = given.materials.get(material.id)
    if found is None:
        if material.optional or (material.required_when and given.facts.get(material.required_when) is False):
            return Checked(material, Verdict.NOT_NEEDED)
        return Checked(material, Verdict.LACKING, (_finding(material, "", "缺少", "is missing"),))
    findings = _formal(material, found)
    judged: list[Finding] = []
    for check in material.checks:
        fault = _RULES[check.rule](check, found.get(check.field), given)
        if fault is not None:
            (judged if check.person else findings).append(_finding(material, check.field, *fault))
    verdict = Verdict.LACKING if findings else Verdict.PERSON if judged else Verdict.MET
    return Checked(material, verdict, (*findings, *judged))


def _formal(material: Material, found: Mapping[str, Any]) -> list[Finding]:
    """Seal and agreement with the original, which every material needs."""
    findings = []
    if not found["sealed"]:
        findings.append(_finding(material, "sealed", "未加盖公章", "bears no company seal"))
    if not found["matches_original"]:
        findings.append(_finding(material, "matches_original", "与原件不一致", "does not match the original"))
    return findings


def _finding(material: Material, field: str, zh: str, en: str) -> Finding:
    where = f"/materials/{material.id}" + (f"/{field}" if field else "")
    cited_zh = f"{material.zh}：{zh}（{material.basis.cited}）"
    return Finding("material-lacking", cited_zh, f"{material.en}: {en} ({material.basis.clause})", where)


_Fault = tuple[str, str] | None


def _equals_applicant(_check: Check, value: Any, given: Submitted) -> _Fault:
    if value == given.applicant:
        return None
    return (
        f"登记号应为申报单位的 {given.applicant}，现为“{value}”",
        f"the number must be the applicant's, {given.applicant}, not {value!r}",
    )


def _one_of(check: Check, value: Any, _given: Submitted) -> _Fault:
    words = ", ".join(check.values)
    return (
        None
        if value in check.values
        else (f"“{check.field}”应为 {words}，现为“{value}”", f"`{check.field}` must be {words}, not {value!r}")
    )


def _is_false(check: Check, value: Any, _given: Submitted) -> _Fault:
    return (
        None
        if value is False
        else (f"“{check.field}”不为 false，须由人判断", f"`{check.field}` is not false: a person must judge it")
    )


def _previous_year(check: Check, value: Any, given: Submitted) -> _Fault:
    wanted = given.year - 1
    return (
        None
        if value == wanted
        else (
            f"“{check.field}”应为上一年度 {wanted}，现为“{value}”",
            f"`{check.field}` must be {wanted}, not {value!r}",
        )
    )


def _covers(check: Check, value: Any, _given: Submitted) -> _Fault:
    has = set(value) if isinstance(value, list) else set()
    missing = ", ".join(part for part in check.values if part not in has)
    return (f"“{check.field}”缺少：{missing}", f"`{check.field}` lacks: {missing}") if missing else None


def _equals_costs(check: Check, value: Any, given: Submitted) -> _Fault:
    return _equals(check, value, sum((Decimal(cost["yuan"]) for cost in given.costs), Decimal(0)), "costs")


def _equals_facts(check: Check, value: Any, given: Submitted) -> _Fault:
    """The total of the facts named, as far as they are given; without any there is nothing to compare with."""
    claimed = [given.facts[name] for name in check.values if isinstance(given.facts.get(name), int)]
    return _equals(check, value, Decimal(sum(claimed)), "facts") if claimed else None


def _equals_contract(check: Check, value: Any, given: Submitted) -> _Fault:
    wanted = given.contract.get(check.field)
    if wanted is None or value == wanted:
        return None
    return (
        f"“{check.field}”应与所报合同的 {wanted} 相同，现为“{value}”",
        f"`{check.field}` must be that of the contract, {wanted}, not {value!r}",
    )


def _equals(check: Check, value: Any, wanted: Decimal, what: str) -> _Fault:
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal() and Decimal(value) == wanted:
        return None
    return (
        f"“{check.field}”应写成文字并等于 {what} 之和 {wanted}，现为“{value}”",
        f"`{check.field}` must be the sum of {what} as text, {wanted}, not {value!r}",
    )


_RULES: Mapping[Rule, Callable[[Check, Any, Submitted], _Fault]] = {
    Rule.EQUALS_APPLICANT: _equals_applicant,
    Rule.ONE_OF: _one_of,
    Rule.IS_FALSE: _is_false,
    Rule.PREVIOUS_YEAR: _previous_year,
    Rule.COVERS: _covers,
    Rule.EQUALS_COSTS: _equals_costs,
    Rule.EQUALS_FACTS: _equals_facts,
    Rule.EQUALS_CONTRACT: _equals_contract,
}
