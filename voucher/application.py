"""An application for a voucher as its scheme judges it: the facts it may state, what it could get, and what is due to be issued.

What the ledger and the contract know better than an applicant (sums, earlier claims, days and cost of the contract) is not taken
from it. Everything is a value in and a value out; amounts count steps of the application's unit (`subsidy.unit`), which for money
are fen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

from ledger.errors import Finding
from subsidy.operators import names_read
from subsidy.procedure import Case, Lifted
from subsidy.procedure_guards import Judged
from subsidy.unit import YUAN, Unit
from voucher.claim import Claim, read_claim
from voucher.decide import Decision, decide
from voucher.programme import Award, Round, RoundClaim, award, released
from voucher.scheme import ISSUING_MODES, Scheme, SchemeStatus, Series, Terms
from voucher.scheme_cases import decision_object

OF_THE_CONTRACT = ("contract.signed_on", "contract.starts_on", "contract.ends_on")
_ELSEWHERE = {
    "contract": ("写在 contract 中", "stands in `contract`"),
    "cost_items": ("写在 contract.items 中", "stands in `contract.items`"),
    "application": ("为受理之日", "is the day on which the application was received"),
    "year_to_date": ("由账本得知", "is known from the ledger"),
    "to_date": ("由账本得知", "is known from the ledger"),
    "programme": ("由账本得知", "is known from the ledger"),
    "override": ("由经办人决定", "is for an officer to decide"),
}


class Sums(NamedTuple):
    """What the ledger knows of a beneficiary without this application, and how often its contract was claimed.

    Sums are fen, but for `year_given`: what it was given this year in the unit of the application, where that is not money.
    """

    year_claimed: int = 0
    year_redeemed: int = 0
    claimed: int = 0
    redeemed: int = 0
    prior_claims: int = 0
    year_given: int = 0


class Standing(NamedTuple):
    """An application under its scheme: the decision, what a procedure's guards see of it, and what is due to be issued."""

    decision: Decision
    judged: Judged
    due: int


def read_stated(
    series: Series, written: Mapping[str, Any], where: str, on: date
) -> tuple[dict[str, Any], list[Finding]]:
    """Facts as an applicant or officer states them, by full name and plain, with a finding for each that cannot be taken."""
    findings, stated = [], {}
    for name, value in _flat(written, ""):
        place = f"{where}/{name.replace('.', '/')}"
        if (why := _ELSEWHERE.get(name.partition(".")[0])) is not None:
            findings.append(Finding("fact-reserved", f"“{name}”{why[0]}，不在此填写", f"`{name}` {why[1]}", place))
        elif value is not None:
            stated[name] = value.isoformat() if isinstance(value, date) else value
    _, found = read_claim(series.latest.facts, stated, on, lambda path: f"{where}/{path}")
    return stated, findings + found


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and prefix.count(".") < 3:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def stated_claim(case: Case, sums: Sums) -> dict[str, Any]:
    """The claim of an application in the form of cases and quotes: what was stated, the contract, and what the ledger knows."""
    contract = case.contract
    raw: dict[str, Any] = dict(case.facts)
    if contract:
        raw |= {name: contract[name.partition(".")[2]] for name in OF_THE_CONTRACT}
        raw["contract.prior_claims"] = sums.prior_claims
        raw["cost_items"] = contract["items"]
    for group, claimed, redeemed in (
        ("year_to_date", sums.year_claimed, sums.year_redeemed),
        ("to_date", sums.claimed, sums.redeemed),
    ):
        raw[group] = {"claimed_yuan": YUAN.text(claimed), "redeemed_yuan": YUAN.text(redeemed)}
    if (lifted := case.override) is not None and case.unit is YUAN:
        by = f"{lifted.basis}，{lifted.asked_by} 提出，{lifted.confirmed_by} 核准"
        raw["override"] = {"cap_yuan": YUAN.text(lifted.cap), "approved_by": by, "reason": lifted.reason}
    return raw


def judge(series: Series, case: Case, sums: Sums, received: date) -> tuple[Standing | None, list[Finding]]:
    """What the version in force on the decisive date makes of an application; findings where facts cannot be used."""
    claim, findings = read_claim(series.latest.facts, stated_claim(case, sums), received, _place)
    if findings:
        return None, findings
    decision = decide(series, claim, received)
    judged = replace(_judged(decision, sums, case), no_override=no_override(decision.scheme, claim))
    return Standing(decision, judged, due(decision.scheme, case)), []


def no_override(scheme: Scheme, claim: Claim) -> tuple[str, str, str] | None:
    """Why no cap may be lifted for a claim case by case (一事一议): its code, in Chinese and in English; None where it may."""
    rule = scheme.override
    if rule is None:
        source = scheme.source("")
        return (
            "override-not-provided",
            f"方案 {scheme.id} 没有一事一议的规定（{source}）",
            f"the scheme {scheme.id} lifts no cap case by case ({source})",
        )
    if rule.when is None or rule.when.test(claim.facts) is True:
        return None
    facts = ", ".join(dict.fromkeys(names_read(rule.when)))
    return (
        "override-not-for-whom",
        f"一事一议只适用于符合条件的单位，须由 {facts} 证明（{rule.source}）",
        f"caps are lifted only for whom {facts} shows to be meant ({rule.source})",
    )


def lifted(scheme: Scheme, override: Lifted | None, unit: Unit = YUAN) -> Scheme:
    """A version with a holder's cap of the year, and its largest voucher, as they were lifted for one application in a unit."""
    if override is None:
        return scheme
    units = unit.units(override.cap)
    terms = tuple(_lift(one, units) if one.asset is unit.asset else one for one in scheme.terms)
    return replace(scheme, terms=terms)


def _lift(terms: Terms, units: int) -> Terms:
    cap, largest = max(terms.cap_holder_year_units, units), max(terms.max_units, units)
    return replace(terms, cap_holder_year_units=cap, max_units=largest)


def _place(path: str) -> str:
    """Where a member of the claim stands in the application."""
    if path.startswith("cost_items"):
        return f"/contract/items{path.removeprefix('cost_items')}"
    if path in {"min_spend", "min_voucher"}:
        return "/contract/items"
    return f"/{path}" if path.startswith("contract/") else f"/facts/{path}"


def _judged(decision: Decision, sums: Sums, case: Case) -> Judged:
    told = decision_object(decision)
    refused = tuple(
        Finding(
            "not-eligible",
            f"{failure.id}：{failure.zh}（{failure.source}）",
            f"{failure.id}: {failure.en} ({failure.source})",
            _place(failure.id.replace(".", "/")),
        )
        for failure in decision.failed
    )
    most = None if decision.failed or decision.missing else _ceiling(decision, sums, case)
    unit, shown = case.unit, None if most is None else case.unit.text(most)
    in_kind = {} if unit is YUAN else {"unit": unit.code, "ceiling": shown, **_lifted_told(case)}
    return Judged(
        closed=closed(decision.scheme, unit),
        refused=tuple(failure.id for failure in decision.failed),
        missing=decision.missing,
        ceiling=most,
        told={**told, **in_kind},
        shown={**told, "ceiling_yuan": shown if unit is YUAN else None, **in_kind, "promise": False},
        findings=refused,
    )


def _lifted_told(case: Case) -> dict[str, Any]:
    """Whose decision lifted a cap that no figure in yuan explains."""
    one = case.override
    if one is None:
        return {}
    said = {"cap": case.unit.text(one.cap), "basis": one.basis, "reason": one.reason}
    return {"override": {**said, "asked_by": one.asked_by, "confirmed_by": one.confirmed_by}}


def _ceiling(decision: Decision, sums: Sums, case: Case) -> int:
    """What the rules give, at most one voucher's largest face; without base or ratio (free allocation) that and the year's cap.

    Ratios are of a cost in yuan, so that they bound no allocation of compute.
    """
    unit = case.unit
    terms = lifted(decision.scheme, case.override, unit).terms_in(unit.code)
    if terms is None:
        return 0
    largest = unit.of_units(terms.max_units)
    if unit is YUAN and decision.amount_fen is not None:
        return min(decision.amount_fen, largest)
    given = sums.year_claimed if unit is YUAN else sums.year_given
    return max(min(largest, unit.of_units(terms.cap_holder_year_units) - given), 0)


def closed(scheme: Scheme, unit: Unit = YUAN) -> tuple[str, str, str] | None:
    """Why nobody can apply for vouchers of a version of a scheme in a unit: its code, in Chinese and in English."""
    if scheme.status is SchemeStatus.DRAFT:
        return (
            "scheme-draft",
            f"方案 {scheme.id} 为草案，不发券",
            f"the scheme {scheme.id} is a draft and issues nothing",
        )
    if scheme.claim_mode not in ISSUING_MODES:
        mode = scheme.claim_mode
        return (
            "scheme-without-voucher",
            f"方案 {scheme.id} 的兑现方式 {mode} 不发券",
            f"with the claim mode {mode} of {scheme.id} no voucher is issued",
        )
    if scheme.lacks or scheme.terms_in(unit.code) is None:
        lacks = ", ".join(scheme.lacks) or unit.code
        return (
            "scheme-incomplete",
            f"方案 {scheme.id} 尚缺：{lacks}",
            f"the scheme {scheme.id} still needs {lacks} to issue under it",
        )
    return None


def due(scheme: Scheme, case: Case) -> int:
    """Of what was approved, what the tranches reached so far release and no voucher was issued for."""
    return released(case.committed, scheme.tranches, case.reached) - case.issued


def unpaid(case: Case) -> int:
    """What was approved and became no voucher."""
    return case.committed - case.issued


def claims_max(scheme: Scheme) -> int:
    """How often a contract may be claimed under a version; once where its text does not say."""
    return (scheme.contract.claims_max if scheme.contract else None) or 1


def least(scheme: Scheme, terms: Terms, unit: Unit) -> int:
    """The smallest award: one voucher of it must be allowed."""
    smallest = -(-terms.min_units // unit.step_units)
    stated = scheme.min_voucher_fen if unit is YUAN else None
    return max(stated or 1, smallest, 1)


def allocate(
    scheme: Scheme, unit: Unit, budget: int, closed_us: int | None, claims: Sequence[RoundClaim]
) -> dict[str, Award]:
    """What each application of a closed round gets of a budget in its unit, in the scheme's order; in full where it may over-issue.

    Raises:
        VoucherError: `round-open`, `claims-late`; see `programme.award`.

    """
    rule = scheme.budget
    asked = sum(claim.amount for claim in claims)
    budget = max(budget, asked) if rule is not None and rule.over_issue else budget
    order = (rule.on_exhaustion if rule else None) or "application_received_at_asc"
    terms = scheme.terms_in(unit.code)
    smallest = 1 if terms is None else least(scheme, terms, unit)
    awards = award(Round(budget, closed_us, tuple(claims)), order, least=smallest)
    return {one.claim: replace(one, unit=unit) for one in awards}


def call_faults(scheme: Scheme, unit: Unit, budget: int, where: str) -> list[Finding]:
    """Why a round of this budget cannot be called under a version of a scheme."""
    found = []
    if (why := closed(scheme, unit)) is not None:
        found.append(Finding(*why, where))
    rule = scheme.budget
    if unit is YUAN and rule is not None and rule.round_fen is not None and budget > rule.round_fen:
        most = YUAN.text(rule.round_fen)
        found.append(
            Finding(
                "round-budget-exceeded",
                f"每轮预算至多 {most} 元（{rule.source}）",
                f"a round's budget is {most} yuan at most ({rule.source})",
                where,
            )
        )
    return found
