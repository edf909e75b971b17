"""Applying for a voucher on pages that ask one thing each, then show every answer with what the scheme says, then send.

What was typed goes along in the form from page to page, so that nothing is kept of who never sends. Every page looks at its
own fields; nothing is submitted before the last one. Of files only the SHA-256 goes along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ledger.errors import DomainError, Finding
from suanquan.http.auth import may, principal
from suanquan.http.routers import page_router
from suanquan.portal import apply_form
from suanquan.portal.apply_form import CALL, CHECK, Form, Walk, body_of, pages_of
from suanquan.portal.apply_text import TEXTS
from suanquan.portal.forms import BACK, FIELDS_MAX, FILES_MAX
from suanquan.portal.frame import language_of, link, or_failure, reading, render, service_of
from suanquan.portal.material_fields import hash_files
from suanquan.use_cases.applications import Round, load_round, load_rounds
from suanquan.use_cases.catalogue import find_scheme, quote
from suanquan.use_cases.officers import actor_of
from subsidy import store as step_store
from subsidy.errors import SubsidyError
from subsidy.unit import UNITS, YUAN, of_pot, pot

TYPED_MAX = 2_000
HERE = "/applications/new"
KEPT = {"Cache-Control": "private, no-cache"}
"""So that going back in the browser finds what was typed."""

router = page_router()


@router.get(HERE, dependencies=[may("application.act", scoped=True)])
async def get_form(request: Request) -> Response:
    """The open rounds to choose from; of a chosen one, a page of its form, empty."""
    return await or_failure(request, _show(request))


@router.post(HERE, dependencies=[may("application.act", scoped=True)])
async def post_form(request: Request) -> Response:
    """On to the next page, back, to a page that is to be changed, or to submit; the same content twice is one application."""
    return await or_failure(request, _take(request))


async def _show(request: Request) -> Response:
    who, query = await principal(request), request.query_params
    if not query.get("round") and not query.get(CALL):
        return await _choose(request, None, status=422 if query.get("step") == CALL else 200)
    form = await _form(request, _chosen(query))
    walk = Walk(form, pages_of(form, language_of(request)), {}, who.tenant)
    wanted = "" if query.get(CALL) or query.get("step") == CHECK else query.get("step", "")
    return await _page(request, walk, walk.at(wanted))


async def _take(request: Request) -> Response:
    who, step = await principal(request), request.query_params.get("step", "")
    async with request.form(max_files=FILES_MAX, max_fields=FIELDS_MAX) as sent:
        typed = {name: value.strip()[:TYPED_MAX] for name, value in sent.items() if isinstance(value, str)}
        await hash_files(sent, typed)
    step = step or typed.get("step", "")
    if BACK in typed and not typed.get(CALL) and not request.query_params.get("round"):
        return await _choose(request, None)
    form = await _form(request, _chosen(typed if typed.get(CALL) else request.query_params))
    walk = Walk(form, pages_of(form, language_of(request)), typed, who.tenant)
    at = walk.at(step)
    act, _, target = typed.get("act", "submit").partition(".")
    if BACK in typed:
        return await _page(request, walk, at)
    if act == "back":
        return await _page(request, walk, max(0, at - 1))
    if act == "change":
        return await _page(request, walk, walk.at(target), changing=True)
    return await _go_on(request, walk, at, act)


async def _go_on(request: Request, walk: Walk, at: int, act: str) -> Response:
    """To the next page, to all answers or away with them, if nothing before it is at fault; else where the fault is."""
    service, body, last = service_of(request), body_of(walk), len(walk.pages) - 1
    problems = apply_form.faults_of(service, walk, body, language_of(request))
    if (wrong := walk.at_fault(problems, at if act == "next" else last)) is not None:
        return await _page(request, walk, wrong, walk.of_page(problems, wrong), changing=act != "next")
    if act in {"next", CHECK}:
        return await _page(request, walk, min(at + 1, last) if act == "next" else last)
    try:
        application = await service.proceedings.submit(actor_of(await principal(request)), body, None)
    except DomainError as error:
        if not error.findings and error.code not in {"inputs-malformed", "uscc-malformed"}:
            raise
        found = list(error.findings) or [Finding(error.code, error.zh, error.en)]
        problems = apply_form.problems_of(found, [one["id"] for one in body["materials"]], language_of(request))
        wrong = walk.at_fault(problems, last) or last
        return await _page(request, walk, wrong, walk.of_page(problems, wrong), changing=True)
    return RedirectResponse(link(request, f"/applications/{application}"), 303)


def _chosen(said: Mapping[str, str]) -> tuple[str, str, str]:
    """Round, clause and unit as chosen on the first page, or as an address names them."""
    if said.get(CALL):
        round_, clause, unit = [*said[CALL][:240].split(" "), "", ""][:3]
        return round_, clause, unit
    round_, clause, unit = (said.get(name, "")[:80] for name in ("round", "clause", "unit"))
    return round_, clause, unit


async def _form(request: Request, chosen: tuple[str, str, str]) -> Form:
    service = service_of(request)
    round_, clause, unit_code = chosen
    with reading():
        async with service.database.read() as conn:
            found = await load_round(conn, service.proceedings.office, round_)
            version = str(len(await step_store.steps_of(conn, round_)))
    unit = UNITS.get(unit_code or YUAN.code, YUAN)
    if pot(clause, unit) not in found.budgets or not found.procedure.for_schemes:
        zh, en = "请从“我的申报”选择一轮", "choose a round under “My applications”"
        raise SubsidyError("clause-not-called", zh, en)
    today = service.proceedings.today
    asked = quote(find_scheme(service.catalog.series, clause), {}, today)["missing"]
    facts = [name for name in asked if name.startswith("beneficiary.")]
    return Form(found, clause, unit, facts, today, version)


async def _page(
    request: Request, walk: Walk, at: int, problems: Mapping[str, str] | None = None, *, changing: bool = False
) -> Response:
    """A page of the form; `changing` leads back to where all answers are shown."""
    if walk.pages[at].name == CALL:
        return await _choose(request, walk, act=CHECK if changing else "next")
    form, body = walk.form, body_of(walk)
    last = walk.pages[at].name == CHECK
    checked = apply_form.precheck(service_of(request), walk, body) if last else None
    lacking = apply_form.incomplete(walk, body) if last else ()
    return render(
        request, "apply.html", status=422 if problems else 200, t=TEXTS[language_of(request)], headers=KEPT, stamp=form.version, form=form,
        pages=walk.pages, shown=walk.pages[at], at=at, typed=walk.typed, hidden=walk.elsewhere(at), problems=problems or {},
        changing=changing, checked=checked, lacking=lacking, here=_address(request, form, walk.pages[at].name),
    )  # fmt: skip


async def _choose(request: Request, walk: Walk | None, status: int = 200, act: str = "") -> Response:
    """The first page: the rounds that are open, the chosen one marked; what was typed before goes along."""
    t, form = TEXTS[language_of(request)], walk.form if walk else None
    chosen = f"{form.round.id} {form.clause} {form.unit.code}" if form else ""
    problems = {CALL: t["call_missing"]} if status == 422 else {}
    return render(
        request, "apply_call.html", status=status, t=t, headers=KEPT, stamp=form.version if form else "", calls=await _calls(request), chosen=chosen,
        hidden=walk.elsewhere(0) if walk else {}, problems=problems, here=_address(request, form, CALL) if form else HERE,
        act=act,
    )  # fmt: skip


async def _calls(request: Request) -> Sequence[tuple[str, Round, str, str]]:
    """What can be applied for today: the value of its choice, its round, scheme and unit."""
    proceedings = service_of(request).proceedings
    with reading():
        async with service_of(request).database.read() as conn:
            rounds = await load_rounds(conn, proceedings.office)
    found = []
    for one in rounds:
        if one.procedure.for_schemes and one.opens <= proceedings.today <= one.closes:
            for clause, unit in map(of_pot, one.budgets):
                code = unit.code if unit else YUAN.code
                found.append((f"{one.id} {clause} {code}", one, clause, code))
    return found


def _address(request: Request, form: Form, step: str) -> str:
    more: dict[str, Any] = {"round": form.round.id, "clause": form.clause, "unit": form.unit.code, "step": step}
    return link(request, HERE, **more)
