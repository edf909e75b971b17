"""Applying for a voucher on a page: the form follows the procedure's materials and the scheme's open questions.

What was typed comes back with every fault beside its field; nothing is submitted by a check. Of files only the SHA-256 is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ledger.errors import DomainError, Finding
from suanquan.http.auth import may, principal
from suanquan.portal.forms import BACK, digest_of
from suanquan.portal.frame import language_of, link, or_failure, reading, render, service_of
from suanquan.service import Service
from suanquan.use_cases.applications import Round, load_round
from suanquan.use_cases.catalogue import find_scheme, quote
from suanquan.use_cases.officers import actor_of
from subsidy.errors import SubsidyError
from subsidy.materials import Material
from subsidy.unit import UNITS, YUAN, Unit, pot

TYPED_MAX = 2_000
FILES_MAX = 40
CONTRACT = ("number", "provider", "signed_on", "starts_on", "ends_on")
YES_NO = {"yes": True, "no": False}

router = APIRouter()


class Form(NamedTuple):
    """What the form of one round and scheme asks for."""

    round: Round
    clause: str
    unit: Unit
    facts: list[str]
    today: date

    @property
    def asks(self) -> bool:
        """Whether the applicant says how much it asks for."""
        first = next(step for step in self.round.procedure.steps.values() if step.begins)
        return YUAN.said in {*first.takes, *first.may_take}

    @property
    def materials(self) -> tuple[Material, ...]:
        """The materials that the procedure names."""
        return tuple(self.round.procedure.materials)


@router.get("/applications/new", dependencies=[may("application.act", scoped=True)])
async def get_form(request: Request) -> Response:
    """The empty form."""
    return await or_failure(request, _show(request))


@router.post("/applications/new", dependencies=[may("application.act", scoped=True)])
async def post_form(request: Request) -> Response:
    """Check what was typed, or submit it; the same content twice is one application."""
    return await or_failure(request, _take(request))


async def _show(request: Request) -> Response:
    return _page(request, await _form(request))


async def _form(request: Request) -> Form:
    service = service_of(request)
    round_, clause = (request.query_params.get(name, "")[:80] for name in ("round", "clause"))
    office = service.proceedings.office
    with reading():
        async with service.database.read() as conn:
            found = await load_round(conn, office, round_)
    unit = UNITS.get(request.query_params.get("unit", YUAN.code), YUAN)
    if pot(clause, unit) not in found.budgets or not found.procedure.for_schemes:
        zh, en = "请从“我的申报”选择一轮", "choose a round under “My applications”"
        raise SubsidyError("clause-not-called", zh, en)
    today = service.proceedings.today
    asked = quote(find_scheme(service.catalog.series, clause), {}, today)["missing"]
    facts = [name for name in asked if name.startswith("beneficiary.")]
    return Form(found, clause, unit, facts, today)


def _page(
    request: Request,
    form: Form,
    typed: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
    checked: Mapping[str, Any] | None = None,
    status: int = 200,
) -> Response:
    here = link(request, "/applications/new", round=form.round.id, clause=form.clause, unit=form.unit.code)
    return render(
        request,
        "apply.html",
        status=status,
        form=form,
        typed=typed or {},
        problems=problems or {},
        checked=checked,
        contract=CONTRACT,
        here=here,
        headers={"Cache-Control": "private, no-cache"},  # so that going back finds what was typed
    )


async def _take(request: Request) -> Response:
    who = await principal(request)
    form = await _form(request)
    async with request.form(max_files=FILES_MAX, max_fields=200) as sent:
        typed = {name: value.strip()[:TYPED_MAX] for name, value in sent.items() if isinstance(value, str)}
        await hash_files(sent, typed)
    if BACK in typed:
        return _page(request, form, typed)
    body = _body(form, typed, who.tenant)
    service = service_of(request)
    if typed.get("act") == "check":
        return _page(request, form, typed, checked=_check(service, form, body))
    try:
        application = await service.proceedings.submit(actor_of(who), body, None)
    except DomainError as error:
        if not error.findings and error.code not in {"inputs-malformed", "uscc-malformed"}:
            raise
        return _page(
            request,
            form,
            typed,
            _problems(error, [one["id"] for one in body["materials"]], language_of(request)),
            status=422,
        )
    return RedirectResponse(link(request, f"/applications/{application}"), 303)


async def hash_files(sent: FormData, typed: dict[str, str]) -> None:
    """The SHA-256 of each file that came along, as if it had been typed."""
    for name, value in sent.multi_items():
        if isinstance(value, UploadFile) and value.filename:
            typed[name.removesuffix(":file")] = await digest_of(value)


def _body(form: Form, typed: Mapping[str, str], applicant: str) -> dict[str, Any]:
    contract: dict[str, Any] = {name: typed.get(f"contract.{name}", "") for name in CONTRACT}
    contract["sha256"] = typed.get("contract.sha256", "")
    contract["items"] = [{"kind": "compute", "amount_yuan": typed.get("contract.yuan", "")}]
    asked = {form.unit.said: typed["amount"]} if form.asks and typed.get("amount") else {}
    in_kind = {} if form.unit is YUAN else {"unit": form.unit.code}
    return {
        **asked,
        **in_kind,
        "round": form.round.id,
        "scheme": form.clause,
        "applicant": applicant,
        "applicant_name": typed.get("applicant_name", ""),
        "project": typed.get("project", ""),
        "facts": _facts(form, typed),
        "contract": contract,
        "materials": [found for one in form.materials if (found := _material(one, typed, applicant)) is not None],
    }


def _facts(form: Form, typed: Mapping[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name in form.facts:
        if said := typed.get(name, ""):
            first, _, rest = name.partition(".")
            facts.setdefault(first, {})[rest] = YES_NO.get(said, said)
    return facts


def _material(one: Material, typed: Mapping[str, str], applicant: str) -> dict[str, Any] | None:
    digest = typed.get("contract.sha256" if is_contract(one) else f"material.{one.id}", "")
    if not digest:
        return None
    found: dict[str, Any] = {"id": one.id, "sha256": digest}
    for flag in ("sealed", "matches_original"):
        found[flag] = typed.get(f"material.{one.id}.{flag}") == "yes"
    for check in one.checks:
        if check.field != "sha256" and (said := typed.get(f"material.{one.id}.{check.field}", "")):
            found[check.field] = YES_NO.get(said, said)
        elif check.field != "sha256" and _rule(check) == "equals_applicant":
            found[check.field] = applicant
    return found


def is_contract(one: Material) -> bool:
    """Whether a material is the contract itself, whose file is named once."""
    return any(_rule(check) == "equals_contract" for check in one.checks)


def _rule(check: Any) -> str:
    return str(getattr(check.rule, "value", check.rule))


def _check(service: Service, form: Form, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the scheme says of a first claim of the year, as far as it is told: status, amount and each step. Nothing is recorded."""
    contract = body["contract"]
    days = {name: contract[name] for name in ("signed_on", "starts_on", "ends_on") if contract[name]}
    facts = {**body["facts"], "contract": {**days, "prior_claims": 0}, "year_to_date": {"claimed_yuan": "0"}}
    if contract["items"][0]["amount_yuan"]:
        facts["cost_items"] = contract["items"]
    try:
        return quote(find_scheme(service.catalog.series, form.clause), facts, form.today)
    except DomainError as error:
        return {"status": "malformed", "findings": [*error.findings] or [Finding(error.code, error.zh, error.en)]}


def _problems(error: DomainError, sent: list[str], language: str) -> dict[str, str]:
    """Each finding beside the field that it is about, in the order found."""
    found = list(error.findings) or [Finding(error.code, error.zh, error.en)]
    problems: dict[str, str] = {}
    for one in found:
        problems.setdefault(_field(one.where, sent), one.en if language == "en" else one.zh)
    return problems


def _field(where: str, sent: list[str]) -> str:
    parts = where.strip("/").split("/")
    if parts[0] == "contract":
        return "contract.yuan" if parts[1:2] == ["items"] else ".".join(parts[:2])
    if parts[0] == "materials" and len(parts) > 1 and parts[1].isdigit() and int(parts[1]) < len(sent):
        return ".".join(["material", sent[int(parts[1])], *parts[2:3]]).removesuffix(".sha256")
    if parts[0] == "facts":
        return ".".join(parts[1:]) or "project"
    if parts[0] in {YUAN.said, "amount"}:
        return "amount"
    return parts[0] if parts[0] in {"applicant_name", "project"} else "project"
