"""A procedure: its steps as data, and what has become of one application, folded from the steps that were recorded.

The machine knows no clause. A procedure says which step leads from which state to which, who may take it, whose work he must
not have done himself, what it takes, what must hold (guards) and what it brings about (effects); voucher schemes use the same
machine with other lists. `steps` decides whether a step may be taken; nothing here has a clock.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from subsidy.fields import parse_day
from subsidy.materials import Basis, Material
from subsidy.unit import YUAN, Unit, amount_in, unit_of


class Role(enum.Enum):
    """Who acts: the applicant, the department that runs the procedure, the finance bureau, experts or a third party.

    SERVICE is the running program itself, for steps that only carry out what was decided; nobody is registered as it.
    """

    APPLICANT = "applicant"
    DEPARTMENT = "department"
    FINANCE = "finance"
    REVIEWER = "reviewer"
    SERVICE = "service"


PERSONS = tuple(role for role in Role if role is not Role.SERVICE)
"""Roles that somebody can be registered in."""


class Guard(enum.Enum):
    """What must hold for a step, beyond state, role and different people."""

    WINDOW = "window"
    MATERIALS = "materials"
    NOT_REFUSED = "not_refused"
    WITHIN_CEILING = "within_ceiling"
    WITHIN_PAID = "within_paid"
    CALENDAR_KNOWN = "calendar_known"
    NOTICE_RUNNING = "notice_running"
    NOTICE_OVER = "notice_over"
    NO_OPEN_OBJECTION = "no_open_objection"
    OBJECTION_OPEN = "objection_open"
    FUTURE_UNTIL = "future_until"
    BEFORE_UNTIL = "before_until"
    NEEDED_FACTS = "needed_facts"
    ROUND_CLOSED = "round_closed"
    WITHIN_ALLOCATION = "within_allocation"
    SOMETHING_DUE = "something_due"
    OVERRIDE_PROVIDED = "override_provided"
    OVERRIDE_ASKED = "override_asked"


class Effect(enum.Enum):
    """What a step brings about. COMMIT, PAY, RECOVER and RELEASE move money; CLAIM and RELEASE change the register.

    ISSUE makes a voucher of what was committed and is released by now. ASK_OVERRIDE names a cap in place of the rules' for this
    one case (一事一议), and OVERRIDE, another person's, makes it count.
    """

    CLAIM = "claim"
    RELEASE = "release"
    NOTICE = "notice"
    WAIVE_NOTICE = "waive_notice"
    OBJECTION = "objection"
    CLOSE_OBJECTION = "close_objection"
    COMMIT = "commit"
    PAY = "pay"
    DEMAND = "demand"
    RECOVER = "recover"
    ISSUE = "issue"
    ASK_OVERRIDE = "ask_override"
    OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class State:
    """Where an application may stand; nothing follows a final one."""

    id: str
    zh: str
    en: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step, as its file has it.

    `sources` are the states it may be taken in (none: it begins an application), `target` the state it leads to (None: the
    same). Whoever did a step of `apart_from` may not take it. `words` bound the inputs that are words. `reaches` is the event
    that releases a tranche (`approval`). An `automatic` step is taken by the program once it is possible.
    """

    id: str
    zh: str
    en: str
    sources: frozenset[str]
    target: str | None
    roles: frozenset[Role]
    apart_from: tuple[str, ...]
    takes: tuple[str, ...]
    may_take: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    needs_facts: Mapping[str, object]
    guards: tuple[Guard, ...]
    effects: tuple[Effect, ...]
    basis: Basis
    reaches: str = ""
    automatic: bool = False

    @property
    def begins(self) -> bool:
        """Whether it begins an application."""
        return not self.sources


@dataclass(frozen=True, slots=True)
class Procedure:
    """How applications under some clauses of a document are made, reviewed, noticed and paid; `digest` is that of its file.

    A procedure of voucher schemes has no `document`; its `clauses` are the ids of the schemes.
    """

    id: str
    revision: int
    document: str
    title_zh: str
    title_en: str
    clauses: tuple[str, ...]
    notice_working_days: int
    rounds_per_year: int
    round_basis: Basis
    call_basis: Basis
    material_basis: Basis
    duplicate_basis: Basis
    materials: tuple[Material, ...]
    states: Mapping[str, State]
    steps: Mapping[str, Step]
    digest: str

    @property
    def for_schemes(self) -> bool:
        """Whether its applications are for vouchers."""
        return not self.document

    def next_steps(self, state: str) -> list[Step]:
        """The steps that may follow a state."""
        return [step for step in self.steps.values() if state in step.sources]


@dataclass(frozen=True, slots=True)
class Record:
    """A step that was taken: by whom, on which day (Asia/Shanghai), with which inputs, and what followed from them."""

    step: str
    person: str
    role: str
    day: date
    inputs: Mapping[str, Any]
    derived: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lifted:
    """A cap of one case in place of the rules' (一事一议), in its unit: whose decision it was (a document), why, and who asked for it."""

    cap: int
    basis: str
    reason: str
    asked_by: str
    confirmed_by: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """What has become of one application; `state` is empty before it begins.

    Amounts count steps of `unit`: fen, unless the application is for something else than money. `asked` is what the applicant
    asks for, where its procedure takes that.
    `decided` names the facts that an officer or reviewer established, which weigh more than what was claimed. `reached` are
    events that release tranches; of `committed`, `issued` became `vouchers` (their ids). `asked_override` is a cap that
    nobody confirmed yet, `override` the one that counts.
    """

    state: str = ""
    applicant: str = ""
    received: date | None = None
    persons: Mapping[str, frozenset[str]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    decided: frozenset[str] = frozenset()
    materials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    costs: Sequence[Mapping[str, Any]] = ()
    until: date | None = None
    last_notice_day: date | None = None
    earliest_next_step: date | None = None
    notice_waived: bool = False
    objections: Mapping[int, bool] = field(default_factory=dict)
    unit: Unit = YUAN
    asked: int | None = None
    amount: int | None = None
    committed: int = 0
    paid: int = 0
    demanded: int = 0
    recovered: int = 0
    entries: Mapping[str, str] = field(default_factory=dict)
    contract: Mapping[str, Any] = field(default_factory=dict)
    holder_key: Mapping[str, str] | None = None
    reached: frozenset[str] = frozenset()
    issued: int = 0
    vouchers: tuple[str, ...] = ()
    asked_override: Lifted | None = None
    override: Lifted | None = None

    @property
    def open_objections(self) -> tuple[int, ...]:
        """Numbers of the objections that nobody has decided."""
        return tuple(number for number, is_open in self.objections.items() if is_open)

    @property
    def net_paid(self) -> int:
        """What the applicant has got and not given back."""
        return self.paid - self.recovered


def issued_as(unit: Unit) -> str:
    """What the record of an issue calls what was issued, `issued_fen` for money."""
    return unit.kept.replace("amount", "issued")


def fold(procedure: Procedure, records: Iterable[Record]) -> Case:
    """What has become of an application after these steps, in order."""
    case = Case()
    for record in records:
        case = after(procedure, case, record)
    return case


def after(procedure: Procedure, case: Case, record: Record) -> Case:
    """The case once a step was taken."""
    step = procedure.steps[record.step]
    done = case.persons.get(step.id, frozenset()) | {record.person}
    entries = {**case.entries, **record.derived.get("entries", {})}
    case = replace(
        with_inputs(case, step, record.inputs, record.day),
        persons={**case.persons, step.id: done},
        state=step.target or case.state,
        entries=entries,
    )
    for effect in step.effects:
        if (change := _CHANGES.get(effect)) is not None:
            case = change(case, record)
    return case


def with_inputs(case: Case, step: Step, inputs: Mapping[str, Any], day: date) -> Case:
    """The case with what a step brings, before the step is taken: what guards look at."""
    changes: dict[str, Any] = {}
    if step.begins:
        changes |= {
            "applicant": inputs["applicant"],
            "received": day,
            "unit": unit_of(inputs),
        }
    if "facts" in inputs:
        claimed = "materials" in step.takes
        changes["facts"] = {**case.facts, **inputs["facts"]}
        changes["decided"] = case.decided if claimed else case.decided | inputs["facts"].keys()
    if "materials" in inputs:
        changes["materials"] = {**case.materials, **{item["id"]: item for item in inputs["materials"]}}
    changes |= {name: inputs[name] for name in ("costs", "contract", "holder_key") if name in inputs}
    if step.reaches:
        changes["reached"] = case.reached | {step.reaches}
    if "until" in inputs:
        changes["until"] = parse_day(inputs["until"])
    amount = amount_in(inputs)
    if amount is not None and "materials" in step.takes:
        changes["asked"] = amount
    if amount is not None and not {Effect.DEMAND, Effect.ASK_OVERRIDE}.intersection(step.effects):
        changes["amount"] = amount
    return replace(case, **changes)


def _noticed(case: Case, record: Record) -> Case:
    last, following = (parse_day(record.derived[name]) for name in ("last_publicity_day", "earliest_next_step"))
    return replace(case, last_notice_day=last, earliest_next_step=following)


def _waived(case: Case, _record: Record) -> Case:
    return replace(case, notice_waived=True)


def _objected(case: Case, record: Record) -> Case:
    return replace(case, objections={**case.objections, record.derived["objection_number"]: True})


def _objection_closed(case: Case, record: Record) -> Case:
    return replace(case, objections={**case.objections, record.inputs["objection_number"]: False})


def _committed(case: Case, _record: Record) -> Case:
    return replace(case, committed=case.amount or 0)


def _paid(case: Case, _record: Record) -> Case:
    return replace(case, paid=case.committed)


def _demanded(case: Case, record: Record) -> Case:
    return replace(case, demanded=amount_in(record.inputs) or 0)


def _recovered(case: Case, _record: Record) -> Case:
    return replace(case, recovered=case.recovered + case.demanded, demanded=0)


def _released(case: Case, _record: Record) -> Case:
    return replace(case, committed=case.issued)


def _issued(case: Case, record: Record) -> Case:
    derived = record.derived
    return replace(
        case, issued=case.issued + derived[issued_as(case.unit)], vouchers=(*case.vouchers, derived["voucher"])
    )


def _override_asked(case: Case, record: Record) -> Case:
    said = record.inputs
    return replace(case, asked_override=Lifted(amount_in(said) or 0, said["basis"], said["reason"], record.person))


def _overridden(case: Case, record: Record) -> Case:
    assert case.asked_override is not None, "a cap is confirmed that somebody asked for"
    return replace(case, asked_override=None, override=replace(case.asked_override, confirmed_by=record.person))


_CHANGES = {
    Effect.NOTICE: _noticed,
    Effect.WAIVE_NOTICE: _waived,
    Effect.OBJECTION: _objected,
    Effect.CLOSE_OBJECTION: _objection_closed,
    Effect.COMMIT: _committed,
    Effect.PAY: _paid,
    Effect.DEMAND: _demanded,
    Effect.RECOVER: _recovered,
    Effect.RELEASE: _released,
    Effect.ISSUE: _issued,
    Effect.ASK_OVERRIDE: _override_asked,
    Effect.OVERRIDE: _overridden,
}
