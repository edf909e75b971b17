"""An application on its page: where it stands, and a form for each step that is the reader's to take, or why it is not his.

Four eyes come from the procedure and from the steps that were taken: nobody is offered a step that he must be apart from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.amount import CNY
from ledger.errors import DomainError
from ledger.sql import Connection
from suanquan.access.policy import BENEFICIARY, Reach, same_person
from suanquan.access.principal import Principal
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import frame
from suanquan.portal.colleagues import Barred, barred_by
from suanquan.portal.forms import FIELDS_MAX
from suanquan.portal.frame import language_of, or_failure, reading, service_of
from suanquan.portal.step_fields import OTHER, OTHER_SAID, PREFIX, fact_fields, facts_of, field_of, problems_of
from suanquan.portal.work import said_of, status_for, to, typed_of, with_form
from suanquan.portal.work_text import TEXTS
from suanquan.service import Service
from suanquan.use_cases.applications import Application, load_application
from suanquan.use_cases.officers import actor_of
from suanquan.use_cases.procedure_views import application_object, procedure_object
from suanquan.use_cases.standing_of_case import forward, limit, owners, working_days
from suanquan.use_cases.weighing import weigh
from subsidy.facts import Dictionary
from subsidy.procedure import Role
from subsidy.unit import YUAN

SIMPLE = (
    *("method", "score", "amount_yuan", "basis", "opinion", "reason", "until", "address"),
    *("objection", "objection_number", "reference"),
)
"""What a form asks for in a field of its own, beside facts (see `step_fields`); materials have a page of their own."""
NUMBERS = frozenset({"objection_number"})
router = page_router()


@router.get("/applications/{application}", dependencies=[may("application.read", scoped=True)])
async def get_application(application: str, request: Request) -> Response:
    """Where an application stands: who has it, since when, what is next and on which clause, and what the reader may do."""
    return await or_failure(request, _application(request, application))


@router.post("/applications/{application}/steps/{step}", dependencies=[may("application.act", scoped=True)])
async def post_step(application: str, step: str, request: Request) -> Response:
    """Take a step; what stands against it is said at its form, where what was typed stays."""
    return await or_failure(request, _take(request, application, step))


async def _application(
    request: Request, application: str, problem: str = "", typed: Mapping[str, str] | None = None,
    failed: str = "", status: int = 200, problems: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    service, who = service_of(request), await principal(request)
    proceedings = service.proceedings
    with reading():
        async with service.database.read() as conn:
            found = await load_application(conn, proceedings.office, application, scope_of(who))
            setting = await proceedings.setting(conn, found)
            said = application_object(proceedings.office, found, setting)
            decides = who.reach("application.read") is Reach.EVERYTHING
            weighed = await weigh(conn, found, setting, await service.cases.applications(conn)) if decides else None
            texts = TEXTS[language_of(request)]
            acts = await acts_of(conn, who, said, texts)
    dictionary = dictionary_of(service, found)
    lacking = [name for key in ("missing_facts", "missing") for name in said["evaluation"].get(key) or ()]
    asked = {
        one.id: fact_fields(one, dictionary, lacking) for one in found.round.procedure.next_steps(found.case.state)
    }
    return frame.render(
        request, "application.html", status=status, t=texts, stamp=str(len(found.rows)), said=said, asset=CNY, problem=problem, typed=defaultdict(str, typed or {}),
        asked=asked, every_fact=[field_of(dictionary[name]) for name in sorted(dictionary)], problems=problems or {}, language=language_of(request),
        mine=[act for act in acts if not act["barred"] and not _gives_up(found, who, act)],
        until=(until := limit(found.round.procedure, found.case)),
        owners=[role.value for role in owners(forward(found.round.procedure, found.case.state))],
        left=None if until is None else working_days(proceedings.office.calendar, proceedings.today, until),
        weighed=weighed, failed=failed, acts=acts, numbers=NUMBERS, official=who.reach("ledger.read") is Reach.EVERYTHING,
        procedure=procedure_object(proceedings.office, found.round.procedure),
    )  # fmt: skip


def dictionary_of(service: Service, found: Application) -> Dictionary:
    """The facts that an application's policy or scheme declares."""
    office = service.proceedings.office
    return office.series[found.clause].latest.facts if found.round.procedure.for_schemes else office.policies.facts


def _gives_up(found: Application, who: Principal, act: Mapping[str, Any]) -> bool:
    """Whether a step may be taken by an applicant at any time and must not be: it ends the case."""
    target = found.round.procedure.states.get(act["to"] or "")
    return who.role in BENEFICIARY and target is not None and target.final


async def acts_of(
    conn: Connection, who: Principal, said: Mapping[str, Any], texts: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The steps that may follow, for somebody who acts in cases: each with its fields, or with why it is not his to take."""
    role = Role.APPLICANT.value if who.role in BENEFICIARY else who.role.value
    if role not in {one.value for one in Role}:
        return []
    return [
        step
        | {
            "fields": _fields(step),
            "barred": await _barred(conn, who, step, said["steps"], texts),
            "page": _page_of(step, said),
        }
        for step in said["next"]
        if role in step["roles"]
    ]


def _page_of(step: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """The page of a step that has one of its own."""
    return f"/applications/{said['id']}/supplement" if "materials" in step["takes"] else ""


def _fields(step: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """What a form asks for: name, and whether it must be filled in."""
    asked = [(name, True) for name in step["takes"]] + [(name, False) for name in step["may_take"]]
    return sorted(((name, must) for name, must in asked if name in SIMPLE), key=lambda one: SIMPLE.index(one[0]))


async def _barred(
    conn: Connection, who: Principal, step: Mapping[str, Any], done: Sequence[Mapping[str, Any]], texts: Mapping[str, str]
) -> Barred | None:  # fmt: skip
    """Why somebody of the right role cannot take a step on the page, and who else can; None where he can."""
    mine = who.tenant if who.role in BENEFICIARY else who.name
    before = [one for one in done if one["step"] in step["apart_from"]]
    for one in before:
        if same_person(one["person"], mine):
            why = texts["did_before"].format(step=one[texts["lang_key"]], person=one["person"])
            others = {earlier["person"] for earlier in before}
            return Barred(why) if who.role in BENEFICIARY else await barred_by(conn, why, step["roles"], others, texts)
    able = set(step["takes"]) <= {*SIMPLE, "facts"} or "materials" in step["takes"]
    return None if able else Barred(texts["by_api"])


async def _take(request: Request, application: str, step: str) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=FIELDS_MAX)
    names = [*SIMPLE, OTHER, OTHER_SAID, *(name for name in form if name.startswith(PREFIX))]
    typed = await typed_of(request, *names)
    async with service.database.read() as conn:  # another's is as unknown as one that is not there
        found = await load_application(conn, service.proceedings.office, application, scope_of(who))
    given = _given(typed, dictionary_of(service, found))
    try:
        await service.proceedings.take(actor_of(who), application, step, given, None)
    except DomainError as error:
        status, problems = status_for(error), problems_of(error.findings, language_of(request))
        page = await _application(
            request, application, said_of(request, error), typed, step, status, _fields_at_fault(problems, typed)
        )
        return with_form(request, page, error)
    await service.try_to_issue(application)  # what stands against it is tried again by the job
    return to(request, f"/applications/{application}")


def _given(typed: Mapping[str, str], dictionary: Dictionary) -> dict[str, Any]:
    """What a step is given: its simple inputs, and facts."""
    given: dict[str, Any] = {name: typed[name] for name in SIMPLE if typed.get(name)}
    if YUAN.said in given:
        given["amount"] = given.pop(YUAN.said)  # in the unit of the application, whichever it is
    for name in NUMBERS & given.keys():
        given[name] = int(given[name]) if given[name].isdecimal() else given[name]
    facts = facts_of(typed, dictionary)
    return {**given, "facts": facts} if facts else given


def _fields_at_fault(problems: Mapping[str, str], typed: Mapping[str, str]) -> dict[str, str]:
    """Problems by the field of the page: a fact that was named in the last field is told there."""
    other = f"{PREFIX}{typed.get(OTHER, '')}"
    renamed = {"amount": YUAN.said, other: OTHER_SAID} if other not in typed else {"amount": YUAN.said}
    return {renamed.get(name, name): text for name, text in problems.items()}
