"""What applicants and the office are told of a step: that it was taken and where the application stands, never what was said in it."""

from __future__ import annotations

from collections.abc import Iterator

from suanquan.notices.model import OFFICE, Kind, Notice, of_holder
from suanquan.use_cases.applications import Application
from subsidy.procedure import Role, Step
from subsidy.steps import Actor


def step_notices(found: Application, step: Step, actor: Actor) -> Iterator[Notice]:
    """Notices of a step that moves an application on, and of an objection against one, which moves nothing yet."""
    if step.target is None:
        if "objection" in step.takes:
            yield from _objection(found, step)
        return
    data = {"application": found.id, "round": found.round.id, "step": step.id, "state": step.target}
    words = f"申报 {found.id}：{step.zh}", f"application {found.id}: {step.en}"
    yield Notice(Kind.APPLICATION_STEP, of_holder(found.case.applicant), found.id, *words, data)
    if actor.role is Role.APPLICANT:
        yield Notice(Kind.APPLICATION_SUBMITTED, OFFICE, found.id, *words, data)


def _objection(found: Application, step: Step) -> Iterator[Notice]:
    """What applicant and office are told of an objection: that there is one, and never whose or what it says."""
    data = {"application": found.id, "round": found.round.id, "step": step.id}
    words = f"申报 {found.id} 在公示期收到异议", f"an objection was received against application {found.id}"
    for audience in (of_holder(found.case.applicant), OFFICE):
        yield Notice(Kind.APPLICATION_OBJECTION, audience, found.id, *words, data)
