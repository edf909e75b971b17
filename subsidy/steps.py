"""Whether a step may be taken, and the record of it: the one place that decides, for every surface and every procedure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ledger.errors import Finding, Kind
from subsidy.calendar import publicity
from subsidy.errors import SubsidyError
from subsidy.fields import nearest
from subsidy.policies import Closed, Policies
from subsidy.procedure import Case, Effect, Procedure, Record, Role, Step
from subsidy.procedure_guards import Asked, Setting, guard_findings
from subsidy.procedure_inputs import Reader
from subsidy.unit import of_pot

_KINDS = {
    "objection-open": Kind.CONFLICT,
    "objection-late": Kind.CONFLICT,
    "notice-running": Kind.CONFLICT,
    "outside-window": Kind.CONFLICT,
    "round-open": Kind.CONFLICT,
    "nothing-due": Kind.CONFLICT,
    "above-allocation": Kind.INSUFFICIENT,
    "override-not-provided": Kind.NOT_ALLOWED,
    "override-not-for-whom": Kind.NOT_ALLOWED,
    "override-not-asked": Kind.CONFLICT,
    "scheme-draft": Kind.NOT_ALLOWED,
    "supplement-late": Kind.CONFLICT,
    "calendar-unknown": Kind.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and in which role."""

    person: str
    role: Role


def step_named(procedure: Procedure, name: str) -> Step:
    """A step of a procedure.

    Raises:
        SubsidyError: `step-unknown`.

    """
    step = procedure.steps.get(name)
    if step is None:
        zh, en = nearest(name, list(procedure.steps))
        raise SubsidyError(
            "step-unknown", f"没有“{name[:60]}”这一步{zh}", f"there is no step {name[:60]!r}{en}", kind=Kind.NOT_FOUND
        )
    return step


def require_possible(procedure: Procedure, case: Case, step: Step, actor: Actor) -> None:
    """Refuse a step that does not follow the state, that the role may not take, or that needs another person.

    Raises:
        SubsidyError: `step-not-possible`, `role-not-allowed`, `not-your-application` or `four-eyes`.

    """
    if case.state not in (step.sources or {""}):
        possible = ", ".join(other.id for other in procedure.next_steps(case.state)) or "-"
        state = procedure.states.get(case.state)
        zh, en = (state.zh, state.en) if state else ("尚未申报", "not begun")
        raise SubsidyError(
            "step-not-possible",
            f"目前“{zh}”，不能“{step.zh}”；可以：{possible}",
            f"the application is {en}: {step.id} cannot follow; possible: {possible}",
            kind=Kind.CONFLICT,
        )
    if actor.role not in step.roles:
        roles = ", ".join(sorted(role.value for role in step.roles))
        raise SubsidyError(
            "role-not-allowed",
            f"“{step.zh}”由 {roles} 办理（{step.basis.cited}），不是 {actor.role.value}",
            f"{step.id} is for {roles} ({step.basis.clause}), not for {actor.role.value}",
            kind=Kind.NOT_ALLOWED,
        )
    if actor.role is Role.APPLICANT and not step.begins and actor.person != case.applicant:
        raise SubsidyError(
            "not-your-application",
            "只能办理本单位的申报",
            "this is another applicant's application",
            kind=Kind.NOT_ALLOWED,
        )
    before = [other for other in step.apart_from if actor.person in case.persons.get(other, ())]
    if before:
        names = "、".join(procedure.steps[other].zh for other in before)
        raise SubsidyError(
            "four-eyes",
            f"“{actor.person}”已办理“{names}”，“{step.zh}”须由另一人办理",
            f"{actor.person!r} did {', '.join(before)}; {step.id} needs another person",
            kind=Kind.NOT_ALLOWED,
        )


def read_inputs(step: Step, reader: Reader, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a step as they are recorded.

    Raises:
        SubsidyError: `inputs-malformed`.

    """
    return reader.read(given, step.takes, step.may_take, step.words)


def take(asked: Asked, case: Case, actor: Actor, setting: Setting, inputs: Mapping[str, Any] | None = None) -> Record:
    """The record of a step, once its guards hold. `inputs` are what is recorded, where that is more than the step takes.

    Raises:
        SubsidyError: with the code of the first guard that does not hold, and a finding for each.

    """
    refuse_any(guard_findings(asked, case, setting))
    return Record(
        asked.step.id,
        actor.person,
        actor.role.value,
        setting.today,
        inputs if inputs is not None else asked.inputs,
        _derived(asked, case, setting),
    )


def refuse_any(findings: list[Finding]) -> None:
    """Raise the first of these findings, with all of them.

    Raises:
        SubsidyError: if there are any.

    """
    if findings:
        first = findings[0]
        raise SubsidyError(first.code, first.zh, first.en, kind=_KINDS.get(first.code), findings=findings)


def _derived(asked: Asked, case: Case, setting: Setting) -> dict[str, Any]:
    """What follows from a step on the day it is taken, kept so that a later calendar changes nothing."""
    derived: dict[str, Any] = {}
    if Effect.NOTICE in asked.step.effects:
        period = publicity(setting.calendar, setting.today, setting.notice_days)
        for name in ("last_publicity_day", "earliest_next_step"):
            derived[name] = getattr(period, name).isoformat()
    if Effect.OBJECTION in asked.step.effects:
        derived["objection_number"] = len(case.objections) + 1
    return derived


ClosedOn = Callable[[str, date], list[Finding]]


@dataclass(frozen=True, slots=True)
class Call:
    """A call for applications: its budgets (see `unit.pot`) with what is set aside for each, and the days on which it receives them."""

    title: str
    budgets: Mapping[str, int]
    opens: date
    closes: date
    decision: str = ""


def require_call(procedure: Procedure, closed_on: ClosedOn, call: Call, today: date, held_this_year: int) -> None:
    """Refuse a call for other clauses, for clauses that take nothing on its days, or a further one of the year without a decision.

    `closed_on` says why a clause (or scheme) takes nothing on a day.

    Raises:
        SubsidyError: `call-refused`, with a finding for each fault.

    """
    basis = procedure.round_basis
    findings = []
    if not call.budgets:
        findings.append(
            Finding("clauses-missing", "至少写一条及其预算", "name at least one clause with its budget", "/budgets")
        )
    for name in call.budgets:
        clause = of_pot(name)[0] if procedure.for_schemes else name
        if clause not in procedure.clauses:
            zh, en = nearest(clause, procedure.clauses)
            findings.append(
                Finding(
                    "clause-foreign",
                    f"本流程不办理“{clause}”{zh}",
                    f"this procedure is not for {clause}{en}",
                    f"/budgets/{name}",
                )
            )
        else:
            findings += [found for day in (call.opens, call.closes) for found in closed_on(clause, day)]
    if call.opens > call.closes or call.closes < today:
        findings.append(
            Finding(
                "window-malformed", "申报期应先后有序且尚未过去", "the window must be in order, and not past", "/closes"
            )
        )
    if held_this_year >= procedure.rounds_per_year and not call.decision.strip():
        findings.append(
            Finding(
                "round-needs-decision",
                f"本年度已组织 {held_this_year} 次申报（{basis.cited}），再次组织须写明决定（decision）",
                f"{held_this_year} rounds were called this year ({basis.clause}); a further one needs a `decision`",
                "/decision",
            )
        )
    if findings:
        first = findings[0]
        raise SubsidyError(
            "call-refused", f"不能发布：{first.zh}", f"the call is refused: {first.en}", findings=findings
        )


def clause_closed_on(policies: Policies, clause: str, day: date) -> list[Finding]:
    """Why a clause takes nothing on a day; nothing where it does."""
    rule = policies.rule(clause, day)
    if not isinstance(rule, Closed):
        return []
    zh = f"“{clause}”在 {day} 不受理：{rule.document.number} {rule.reason}"
    return [
        Finding(
            "clause-closed",
            zh,
            f"{clause} takes nothing on {day}: {rule.reason} ({rule.document.number})",
            f"/budgets/{clause}",
        )
    ]
