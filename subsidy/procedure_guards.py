"""What must hold for a step: each guard looks at the case, what is asked and the setting, and says why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from ledger.errors import Finding
from subsidy.calendar import Calendar
from subsidy.calendar import publicity as publicity_of
from subsidy.fields import parse_day
from subsidy.materials import Checked, for_person, lacking
from subsidy.outcome import Outcome, Status
from subsidy.policies import Closed
from subsidy.procedure import Case, Guard, Procedure, Step
from subsidy.unit import YUAN, amount_in


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules make of a case: of a clause, or of a scheme.

    `closed` says why nothing is taken (code, Chinese, English). `refused` are the reasons for which it gets nothing, `missing` the
    facts without which nothing can be said, `ceiling` the most it may get in steps of its unit (None where the text names no sum). `told` is what
    a step records of it, `shown` what surfaces show. `no_override` says why no cap of it may be lifted. `findings` say the same as `refused` with place, rule and source.
    """

    closed: tuple[str, str, str] | None = None
    refused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    ceiling: int | None = None
    findings: tuple[Finding, ...] = ()
    no_override: tuple[str, str, str] | None = (
        "override-not-provided",
        "规则没有一事一议",
        "the rules lift no cap case by case",
    )
    told: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)

    def with_told(self, told: Mapping[str, Any], shown: Mapping[str, Any]) -> Judged:
        """The same with what is recorded and what is shown of it."""
        return replace(self, told=told, shown=shown)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the world says on the day of a step (Asia/Shanghai): calendar, the round's window, and what the rules make of the case.

    `materials` and `judged` already count what the step brings; the rules are those of the day on which the application was
    received. `notice_days` are the working days of a notice, `allocation` what the closed round leaves for the application
    (None where the round does not allocate), `due` what was committed, is released by now and not issued yet.
    """

    today: date
    calendar: Calendar
    window: tuple[date, date]
    materials: Sequence[Checked]
    judged: Judged
    notice_days: int
    allocation: int | None = None
    due: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A step that is asked for, with its inputs as read."""

    procedure: Procedure
    step: Step
    inputs: Mapping[str, Any]


def guard_findings(asked: Asked, case: Case, setting: Setting) -> list[Finding]:
    """Everything that stands against the step."""
    return [finding for guard in asked.step.guards for finding in _GUARDS[guard](asked, case, setting)]


def judged_by_clause(outcome: Outcome) -> Judged:
    """What the answer of a clause means for a case: a ceiling, never a promise."""
    rule, closed = outcome.rule, None
    if isinstance(rule, Closed):
        number = rule.document.number
        closed = ("clause-closed", f"{number} 不受理：{rule.reason}", f"{number} takes nothing: {rule.reason}")
    refused = outcome.status in {Status.NOT_ELIGIBLE, Status.NOT_OPEN}
    return Judged(
        closed,
        (outcome.reasons or (outcome.status.value,)) if refused else (),
        outcome.missing if outcome.status is Status.NEED_MORE_INFO else (),
        outcome.bounds_fen()[1],
    )


def yuan(fen: int) -> str:
    """An amount of fen as a decimal string of yuan."""
    return YUAN.text(fen)


def _window(asked: Asked, _case: Case, setting: Setting) -> list[Finding]:
    closed, (first, last) = setting.judged.closed, setting.window
    if closed is not None:
        code, zh, en = closed
        return [_found(asked, code, f"{setting.today}：{zh}", f"{setting.today}: {en}")]
    if first <= setting.today <= last:
        return []
    return [
        _found(
            asked,
            "outside-window",
            f"申报期为 {first} 至 {last}，今天是 {setting.today}",
            f"applications are received from {first} to {last}; today is {setting.today}",
        )
    ]


def _materials(asked: Asked, _case: Case, setting: Setting) -> list[Finding]:
    found = lacking(setting.materials)
    if not found and "basis" not in asked.inputs:
        found = for_person(setting.materials)
        if found:
            found.append(
                Finding(
                    "basis-needed",
                    "由人判断的事项须写明依据（basis）",
                    "what a person judges needs a `basis`",
                    "/basis",
                )
            )
    return found


def _not_refused(asked: Asked, _case: Case, setting: Setting) -> list[Finding]:
    if not setting.judged.refused:
        return []
    if setting.judged.findings:
        return list(setting.judged.findings)
    reasons = ", ".join(setting.judged.refused)
    return [_found(asked, "not-eligible", f"不符合条件：{reasons}", f"not eligible: {reasons}")]


def _within_ceiling(asked: Asked, case: Case, setting: Setting) -> list[Finding]:
    refused = _not_refused(asked, case, setting)
    if refused:
        return refused
    if setting.judged.missing:
        names = ", ".join(setting.judged.missing)
        return [_found(asked, "facts-missing", f"尚缺事实：{names}", f"facts are missing: {names}", "/facts")]
    unit, said = case.unit, amount_in(asked.inputs)
    wanted, where = (case.amount or 0) if said is None else said, f"/{case.unit.said}"
    most = setting.judged.ceiling
    if most is not None and wanted > most:
        return [
            _found(
                asked,
                "above-ceiling",
                f"{unit.in_zh(wanted)}超过按条款可给予的最高额 {unit.in_zh(most)}",
                f"{unit.in_en(wanted)} is more than the clause allows, {unit.in_en(most)}",
                where,
            )
        ]
    if case.earliest_next_step is not None and wanted > (case.amount or 0):
        return [
            _found(
                asked,
                "above-noticed",
                f"公示的金额为 {unit.in_zh(case.amount or 0)}，批准时只能减少",
                f"the notice said {unit.in_en(case.amount or 0)}; it can only be lowered",
                where,
            )
        ]
    return [] if wanted > 0 else [_found(asked, "amount-zero", "金额应大于零", "the amount must be above zero", where)]


def _within_paid(asked: Asked, case: Case, _setting: Setting) -> list[Finding]:
    wanted = amount_in(asked.inputs) or 0
    if 0 < wanted <= case.net_paid:
        return []
    paid = yuan(case.net_paid)
    return [
        _found(
            asked,
            "above-paid",
            f"应大于零且不超过已拨付未退回的 {paid} 元",
            f"must be above zero and at most what was paid, {paid} yuan",
            "/amount_yuan",
        )
    ]


def _calendar_known(asked: Asked, _case: Case, setting: Setting) -> list[Finding]:
    period = publicity_of(setting.calendar, setting.today, setting.notice_days)
    if not period.needs_human:
        return []
    return [
        _found(
            asked,
            "calendar-unknown",
            f"自 {setting.today} 起的公示期涉及尚未载入放假通知的年度，请先载入该年日历",
            f"a notice posted on {setting.today} runs into a year whose calendar is not loaded; load it first",
        )
    ]


def _notice_running(asked: Asked, case: Case, setting: Setting) -> list[Finding]:
    if case.last_notice_day is not None and setting.today <= case.last_notice_day:
        return []
    return [
        _found(
            asked,
            "objection-late",
            f"公示已于 {case.last_notice_day} 结束",
            f"the public notice ended on {case.last_notice_day}",
        )
    ]


def _notice_over(asked: Asked, case: Case, setting: Setting) -> list[Finding]:
    if case.notice_waived or (case.earliest_next_step is not None and setting.today >= case.earliest_next_step):
        return []
    return [
        _found(
            asked,
            "notice-running",
            f"公示至 {case.last_notice_day}，最早 {case.earliest_next_step} 可进行下一步",
            f"the public notice lasts until {case.last_notice_day}; the next step may be taken on {case.earliest_next_step}",
        )
    ]


def _no_open_objection(asked: Asked, case: Case, _setting: Setting) -> list[Finding]:
    if not case.open_objections:
        return []
    numbers = ", ".join(map(str, case.open_objections))
    return [_found(asked, "objection-open", f"异议 {numbers} 尚未处理完", f"objection {numbers} is still open")]


def _objection_open(asked: Asked, case: Case, _setting: Setting) -> list[Finding]:
    number = asked.inputs["objection_number"]
    if number in case.open_objections:
        return []
    return [
        _found(
            asked,
            "objection-unknown",
            f"没有未处理的异议 {number}",
            f"there is no open objection {number}",
            "/objection_number",
        )
    ]


def _future_until(asked: Asked, _case: Case, setting: Setting) -> list[Finding]:
    until = parse_day(asked.inputs["until"])
    if until is not None and until >= setting.today:
        return []
    return [
        _found(asked, "until-past", "补正期限不能早于今天", "the last day to supplement must not be past", "/until")
    ]


def _before_until(asked: Asked, case: Case, setting: Setting) -> list[Finding]:
    if case.until is not None and setting.today <= case.until:
        return []
    return [
        _found(
            asked,
            "supplement-late",
            f"补正期限为 {case.until}",
            f"the application had to be supplemented by {case.until}",
        )
    ]


def _needed_facts(asked: Asked, case: Case, _setting: Setting) -> list[Finding]:
    """Facts that an officer must have established, now or before: what the applicant claims is not enough."""
    established = {name: case.facts[name] for name in case.decided} | asked.inputs.get("facts", {})
    return [
        _found(
            asked,
            "fact-needed",
            f"须由经办人确认 {name} 为 {wanted}",
            f"an officer must establish that `{name}` is {wanted}",
            f"/facts/{name}",
        )
        for name, wanted in asked.step.needs_facts.items()
        if established.get(name) != wanted
    ]


def _round_closed(asked: Asked, _case: Case, setting: Setting) -> list[Finding]:
    last = setting.window[1]
    if setting.today > last:
        return []
    return [
        _found(
            asked,
            "round-open",
            f"本轮至 {last} 截止：之后的申请可能排在前面，截止后才能平衡",
            f"the round takes applications until {last}: a later one may rank higher, so nothing is balanced before",
        )
    ]


def _within_allocation(asked: Asked, case: Case, setting: Setting) -> list[Finding]:
    left, wanted, unit = setting.allocation, amount_in(asked.inputs) or 0, case.unit
    if left is None or wanted <= left:
        return []
    return [
        _found(
            asked,
            "above-allocation",
            f"按方案的次序，本轮预算可给此份申请 {unit.in_zh(left)}",
            f"in the scheme's order the round's budget leaves {unit.in_en(left)} for this application",
            f"/{unit.said}",
        )
    ]


def _something_due(asked: Asked, case: Case, setting: Setting) -> list[Finding]:
    if setting.due > 0:
        return []
    left, unit = case.committed - case.issued, case.unit
    return [
        _found(
            asked,
            "nothing-due",
            f"没有应发的券；已批准而未发 {unit.in_zh(left)}",
            f"nothing is due to be issued; {unit.in_en(left)} were approved and not issued",
        )
    ]


def _override_provided(asked: Asked, _case: Case, setting: Setting) -> list[Finding]:
    if setting.judged.no_override is None:
        return []
    return [_found(asked, *setting.judged.no_override)]


def _override_asked(asked: Asked, case: Case, _setting: Setting) -> list[Finding]:
    if case.asked_override is not None:
        return []
    zh, en = "没有待核准的一事一议", "no cap waits to be lifted"
    return [_found(asked, "override-not-asked", zh, en)]


def _found(asked: Asked, code: str, zh: str, en: str, where: str = "") -> Finding:
    basis = asked.step.basis
    return Finding(code, f"{zh}（{basis.cited}）", f"{en} ({basis.clause})", where)


_GUARDS: Mapping[Guard, Callable[[Asked, Case, Setting], list[Finding]]] = {
    Guard.WINDOW: _window,
    Guard.MATERIALS: _materials,
    Guard.NOT_REFUSED: _not_refused,
    Guard.WITHIN_CEILING: _within_ceiling,
    Guard.WITHIN_PAID: _within_paid,
    Guard.CALENDAR_KNOWN: _calendar_known,
    Guard.NOTICE_RUNNING: _notice_running,
    Guard.NOTICE_OVER: _notice_over,
    Guard.NO_OPEN_OBJECTION: _no_open_objection,
    Guard.OBJECTION_OPEN: _objection_open,
    Guard.FUTURE_UNTIL: _future_until,
    Guard.BEFORE_UNTIL: _before_until,
    Guard.NEEDED_FACTS: _needed_facts,
    Guard.ROUND_CLOSED: _round_closed,
    Guard.WITHIN_ALLOCATION: _within_allocation,
    Guard.SOMETHING_DUE: _something_due,
    Guard.OVERRIDE_PROVIDED: _override_provided,
    Guard.OVERRIDE_ASKED: _override_asked,
}
