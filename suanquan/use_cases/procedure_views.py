"""Procedures, rounds and applications as surfaces show them: every step and every requirement with its clause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from ledger.scope import EVERYTHING
from ledger.sql import Connection
from metering.zones import rfc3339
from suanquan.office import Office
from suanquan.use_cases.applications import Application, Round, load_application
from subsidy import step_body, store
from subsidy.materials import Basis, Checked, Verdict
from subsidy.procedure import Case, Effect, Procedure, State, Step
from subsidy.procedure_guards import Setting
from subsidy.unit import YUAN, Unit, amount_in, of_pot
from voucher.programme import Award


def cited(office: Office, procedure: Procedure, basis: Basis) -> dict[str, Any]:
    """The words of the text that something rests on; of a scheme's procedure its source, which is `clause`."""
    if procedure.for_schemes:
        document = "、".join(office.series[name].latest.name_zh for name in procedure.clauses)
        return {"document": document, "clause": basis.clause, "quote": None, "line": None}
    return {
        "document": office.policies.documents[procedure.document].number,
        "clause": basis.clause,
        "quote": basis.quote.text,
        "line": basis.quote.lines[0],
    }


def step_object(office: Office, procedure: Procedure, step: Step) -> dict[str, Any]:
    """What a step is, who takes it and what it takes."""
    return {
        "step": step.id,
        "zh": step.zh,
        "en": step.en,
        "from": sorted(step.sources),
        "to": step.target,
        "roles": sorted(role.value for role in step.roles),
        "apart_from": list(step.apart_from),
        "takes": list(step.takes),
        "may_take": list(step.may_take),
        "words": {name: list(words) for name, words in step.words.items()},
        "basis": cited(office, procedure, step.basis),
    }


def procedure_object(office: Office, procedure: Procedure) -> dict[str, Any]:
    """A procedure as it is on file."""
    return {
        "id": procedure.id,
        "revision": procedure.revision,
        "digest": procedure.digest,
        "title_zh": procedure.title_zh,
        "title_en": procedure.title_en,
        "clauses": list(procedure.clauses),
        "notice_working_days": procedure.notice_working_days,
        "rounds_per_year": procedure.rounds_per_year,
        "round_basis": cited(office, procedure, procedure.round_basis),
        "call_basis": cited(office, procedure, procedure.call_basis),
        "materials": [
            {
                "id": material.id,
                "zh": material.zh,
                "en": material.en,
                "required_when": material.required_when,
                "optional": material.optional,
                "fields": sorted({check.field for check in material.checks}),
                "basis": cited(office, procedure, material.basis),
            }
            for material in procedure.materials
        ],
        "states": [_state(state) for state in procedure.states.values()],
        "steps": [step_object(office, procedure, step) for step in procedure.steps.values()],
    }


def _state(state: State) -> dict[str, Any]:
    return {"id": state.id, "zh": state.zh, "en": state.en, "final": state.final}


def round_object(office: Office, found: Round) -> dict[str, Any]:
    """A round as called."""
    budgets = [(name, unit, unit.text(has)) for name, has in found.budgets.items() if (unit := of_pot(name)[1])]
    return {
        "id": found.id,
        "procedure": found.procedure.id,
        "title": found.title,
        "called": found.called.isoformat(),
        "opens": found.opens.isoformat(),
        "closes": found.closes.isoformat(),
        "budgets_yuan": {name: amount for name, unit, amount in budgets if unit is YUAN},
        "budgets": [{"clause": of_pot(name)[0], "unit": unit.code, "amount": amount} for name, unit, amount in budgets],
        "decision": found.decision or None,
        "basis": cited(office, found.procedure, found.procedure.call_basis),
        "round_basis": cited(office, found.procedure, found.procedure.round_basis),
    }


def application_line(office: Office, found: Application) -> dict[str, Any]:
    """An application in a list."""
    procedure, case = found.round.procedure, found.case
    last = procedure.steps[found.rows[-1].step]
    return {
        "id": found.id,
        "round": found.round.id,
        "clause": found.clause,
        "applicant": case.applicant,
        "applicant_name": found.applicant_name,
        "project": found.project,
        "received": case.received.isoformat() if case.received else None,
        "state": _state(procedure.states[case.state]),
        **_amounts(case.unit, case.amount),
        "basis": cited(office, procedure, last.basis),
    }


def _amounts(unit: Unit, amount: int | None) -> dict[str, str | None]:
    """An amount with its unit, and as yuan where it is yuan."""
    text = None if amount is None else unit.text(amount)
    return {"unit": unit.code, "amount": text, "amount_yuan": text if unit is YUAN else None}


def application_object(office: Office, found: Application, setting: Setting) -> dict[str, Any]:
    """Everything about an application: where it stands, what the rules say, what is lacking, what may follow, what was done."""
    procedure, case = found.round.procedure, found.case
    return {
        **application_line(office, found),
        "evaluation": dict(setting.judged.shown),
        "materials": [_material(office, procedure, one) for one in setting.materials],
        "notice": _notice(case),
        "objections": [{"number": number, "open": is_open} for number, is_open in case.objections.items()],
        **_standing(found, setting),
        **({"contract": dict(case.contract), "vouchers": list(case.vouchers)} if procedure.for_schemes else {}),
        "next": [step_object(office, procedure, step) for step in procedure.next_steps(case.state)],
        "steps": _history(office, found),
    }


def _standing(found: Application, setting: Setting) -> dict[str, Any]:
    """What was approved and what became of it: `money_yuan`, or `in_kind` in the unit of the application."""
    case, text = found.case, found.unit.text
    issued = {"issued": text(case.issued), "due": text(setting.due)} if found.round.procedure.for_schemes else {}
    if found.unit is not YUAN:
        return {"in_kind": {"approved": text(case.committed), **issued}}
    paid = {"paid": text(case.paid), "recovery_demanded": text(case.demanded), "recovered": text(case.recovered)}
    return {"money_yuan": {"approved": text(case.committed), **paid, **issued}}


def _material(office: Office, procedure: Procedure, one: Checked) -> dict[str, Any]:
    return {
        "id": one.material.id,
        "zh": one.material.zh,
        "en": one.material.en,
        "verdict": one.verdict.value,
        "needed": one.verdict is not Verdict.NOT_NEEDED,
        "findings": [{"where": found.where, "zh": found.zh, "en": found.en} for found in one.findings],
        "basis": cited(office, procedure, one.material.basis),
    }


def _notice(case: Case) -> dict[str, Any] | None:
    if case.notice_waived:
        return {"waived": True, "last_publicity_day": None, "earliest_next_step": None}
    if case.last_notice_day is None or case.earliest_next_step is None:
        return None
    return {
        "waived": False,
        "last_publicity_day": case.last_notice_day.isoformat(),
        "earliest_next_step": case.earliest_next_step.isoformat(),
    }


_BULKY = {"facts", "materials", "costs", "contract", "holder_key"}


def _history(office: Office, found: Application) -> list[dict[str, Any]]:
    """What was done, read off the bodies that the log commits to: no name stands here that no entry has."""
    procedure, lines = found.round.procedure, []
    for row in found.rows:
        content, step = step_body.decode(row), procedure.steps[row.step]
        shown = {name: value for name, value in content["inputs"].items() if name not in _BULKY}
        if (amount := amount_in(shown)) is not None:
            del shown[found.unit.kept]
            shown[found.unit.said] = found.unit.text(amount)
        lines.append(
            {
                "number": row.number,
                "step": step.id,
                "zh": step.zh,
                "en": step.en,
                "person": content["person"],
                "role": content["role"],
                "automatic": step.automatic,
                "day": content["day"],
                "at": rfc3339(content["at_us"]),
                "to": None if step.target is None else _state(procedure.states[step.target]),
                "effects": sorted(effect.value for effect in step.effects),
                "inputs": shown,
                "evaluation": content["derived"].get("evaluation"),
                **({"voucher": content["derived"]["voucher"]} if "voucher" in content["derived"] else {}),
                "event_id": row.event_id.hex(),
                "basis": cited(office, procedure, step.basis),
            }
        )
    return lines


def award_objects(awards: Sequence[Award]) -> list[dict[str, Any]]:
    """What applications get of a round, in order."""
    return [
        {
            "application": one.claim,
            "rank": one.rank,
            **_amounts(one.unit, one.amount),
            "cut": one.unit.text(one.cut),
            "cut_yuan": one.unit.text(one.cut) if one.unit is YUAN else None,
            "zh": one.zh,
            "en": one.en,
        }
        for one in awards
    ]


async def public_notices(conn: Connection, office: Office, today: date) -> list[dict[str, Any]]:
    """What is in public notice on a day, in the order of posting."""
    posting = {
        step.id for one in office.procedures.values() for step in one.steps.values() if Effect.NOTICE in step.effects
    }
    posted = [row for name in sorted(posting) for row in await store.steps_named(conn, name)]
    running = [row for row in posted if step_body.decode(row)["derived"]["last_publicity_day"] >= today.isoformat()]
    notices = [
        notice_object(office, await load_application(conn, office, row.subject, EVERYTHING), today) for row in running
    ]
    return [notice for notice in notices if notice is not None]


def notice_object(office: Office, found: Application, today: date) -> dict[str, Any] | None:
    """What everybody may read of an application in public notice; None where it is in none, or its notice is over."""
    procedure, case = found.round.procedure, found.case
    if case.last_notice_day is None or today > case.last_notice_day:
        return None
    if procedure.states[case.state].final:
        return None
    posting = next(step for step in procedure.steps.values() if Effect.NOTICE in step.effects)
    row = next(row for row in reversed(found.rows) if row.step == posting.id)
    return {
        "application": found.id,
        "round": found.round.id,
        "clause": found.clause,
        "applicant_name": found.applicant_name,
        "project": found.project,
        **_amounts(case.unit, case.amount or 0),
        "posted_on": step_body.decode(row)["day"],
        "last_publicity_day": case.last_notice_day.isoformat(),
        "basis": cited(office, procedure, posting.basis),
    }
