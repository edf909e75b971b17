"""What a scheme gives for a claim on a day, and why: one pure function behind quotes, cases and decisions.

Rules come from the version in force on its decisive date. A definite failure refuses; an unknown fact that could still
change the answer is asked for; a draft gives a figure only where its texts fix base, ratio and cap, and never pays.
Arithmetic is exact until the one rounding at the end of `voucher.figure`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from subsidy.operators import SYMBOLS, Compare, Condition
from voucher.claim import Claim
from voucher.days import longer_than
from voucher.figure import Figure, Step, figure
from voucher.scheme import Scheme, SchemeStatus, Series


class Status(enum.Enum):
    """Where a claim stands. Eligible with nothing is not the same as not eligible."""

    ELIGIBLE = "eligible"
    NOT_ELIGIBLE = "not_eligible"
    NEED_MORE_INFO = "need_more_info"
    DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that is not met: the fact or rule (`contract.duration`), what it demands, and the text that says so."""

    id: str
    zh: str
    en: str
    source: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `decisive_on` is the day that chose the version, None if it is unknown.

    `amount_fen` is None where nothing is given or nothing can be said; `limits` name what bound it. `missing` are exactly
    the facts that were asked for and not given. `payable` only under a usable scheme.
    """

    scheme: Scheme
    decisive_on: date | None
    status: Status
    amount_fen: int | None
    limits: tuple[str, ...]
    failed: tuple[Failure, ...]
    missing: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def payable(self) -> bool:
        """Whether money may follow: never from a draft or a sandbox."""
        return self.status is Status.ELIGIBLE and self.scheme.status is SchemeStatus.USABLE


def decide(series: Series, claim: Claim, on: date) -> Decision:
    """The decision for a claim received on a day in Shanghai."""
    scheme, day, missing = _version(series, claim)
    failed = [] if missing or day is None or scheme.in_force.holds(day) else [_not_in_force(scheme, day)]
    for failure, names in _judged(scheme, claim, on):
        failed += [failure] if failure else []
        missing += names
    worked = figure(scheme, claim) if scheme.simulates and not failed else None
    if worked is not None:
        failed += [Failure(*worked.refused)] if worked.refused else []
        missing += worked.missing
    return _answer(scheme, day, failed, missing, worked)


def _version(series: Series, claim: Claim) -> tuple[Scheme, date | None, list[str]]:
    """The version whose decisive date lies in its own time in force; else the last one, with its date or what is missing."""
    for version in reversed(series.versions):
        day = claim.day(version.decisive)
        if day is not None and version.in_force.holds(day):
            return version, day, []
    latest = series.latest
    day = claim.day(latest.decisive)
    return latest, day, [] if day is not None else [latest.decisive]


def _answer(
    scheme: Scheme, day: date | None, failed: list[Failure], missing: list[str], worked: Figure | None
) -> Decision:
    if scheme.status is SchemeStatus.DRAFT:
        status = Status.DRAFT
    elif failed:
        status = Status.NOT_ELIGIBLE
    else:
        status = Status.NEED_MORE_INFO if missing else Status.ELIGIBLE
    final = worked is not None and not failed and not missing
    return Decision(
        scheme=scheme,
        decisive_on=day,
        status=status,
        amount_fen=worked.fen if worked is not None and final else None,
        limits=worked.limits if worked is not None and final else (),
        failed=tuple({failure.id: failure for failure in failed}.values()),
        missing=tuple(dict.fromkeys(missing)),
        steps=worked.steps if worked is not None else (),
    )


def _not_in_force(scheme: Scheme, day: date) -> Failure:
    return Failure(
        "application.window",
        f"{day} 没有施行中的版本；最近的版本 {scheme.version} 自 {scheme.in_force.first or '始'} 至 {scheme.in_force.last or '今'}",
        f"no version is in force on {day}; {scheme.version} is from {scheme.in_force.first or 'ever'} to {scheme.in_force.last or 'now'}",
        scheme.source(""),
    )


def _judged(scheme: Scheme, claim: Claim, on: date) -> Iterator[tuple[Failure | None, list[str]]]:
    """Each rule: what failed, and which facts are missing to tell."""
    for requirement in scheme.requirements:
        verdict = requirement.condition.test(claim.facts)
        if verdict is None:
            yield None, list(requirement.condition.unknown(claim.facts))
        elif verdict is False:
            zh, en = _demand(requirement.condition, requirement.id)
            yield Failure(requirement.id, zh, en, requirement.source), []
    span = scheme.application
    if span is not None and not span.holds(on):
        zh, en = f"申请期为 {span.first} 至 {span.last}", f"applications are taken from {span.first} to {span.last}"
        yield Failure("application.window", zh, en, scheme.source("application")), []
    yield from _contract(scheme, claim)
    yield from _target(scheme, claim)


def _demand(condition: Condition, name: str) -> tuple[str, str]:
    if isinstance(condition, Compare):
        operand = condition.operand
        wanted = "、".join(sorted(map(str, operand))) if isinstance(operand, frozenset) else str(operand)
        text = f"{condition.name} {SYMBOLS[condition.operator]} {wanted}"
        return f"须满足 {text}", f"requires {text}"
    return f"不符合关于 {name} 的条件", f"the condition on {name} is not met"


def _contract(scheme: Scheme, claim: Claim) -> Iterator[tuple[Failure | None, list[str]]]:
    rule = scheme.contract
    if rule is None:
        return
    if rule.max_months is not None:
        starts, ends = claim.day("contract.starts_on"), claim.day("contract.ends_on")
        if starts is None or ends is None:
            names = ("contract.starts_on", "contract.ends_on")
            yield None, [name for name in names if claim.day(name) is None]
        elif longer_than(starts, ends, rule.max_months):
            zh, en = f"合同期限至多 {rule.max_months} 个月", f"a contract may run for {rule.max_months} months at most"
            yield Failure("contract.duration", zh, en, rule.source), []
    if rule.claims_max is not None:
        claims = claim.number("contract.prior_claims")
        if claims is None:
            yield None, ["contract.prior_claims"]
        elif claims >= rule.claims_max:
            zh, en = f"同一合同至多申领 {rule.claims_max} 次", f"one contract may be claimed {rule.claims_max} time(s)"
            yield Failure("contract.prior_claims", zh, en, rule.source), []


def _target(scheme: Scheme, claim: Claim) -> Iterator[tuple[Failure | None, list[str]]]:
    """Target responsibility: the measured scale reaches the target, and only one side claims."""
    rule = scheme.target
    if rule is None:
        return
    measured = claim.number("target.measured")
    if measured is None:
        yield None, ["target.measured"]
    elif measured < rule.least:
        zh, en = f"{rule.measure} 须达到 {rule.least}", f"{rule.measure} must reach {rule.least}"
        yield Failure("target.measured", zh, en, rule.source), []
    if rule.exclusive:
        other = claim.facts.get("target.other_side_claims")
        if other is None:
            yield None, ["target.other_side_claims"]
        elif other:
            zh, en = "供需双方只能有一方申领", "supplier and demander may not both claim"
            yield Failure("target.other_side_claims", zh, en, rule.source), []
