"""Supplementing a returned application (补正): why it came back, and a form that has everything that was sent before.

What is lacking stands open with what passes; the rest (the contract, facts, costs, the amount) is there and may be left as it is.
What is not changed is not sent again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError, Finding, Kind
from suanquan.access.policy import BENEFICIARY
from suanquan.access.principal import Principal
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import frame
from suanquan.portal.apply_form import CONTRACT
from suanquan.portal.case import dictionary_of
from suanquan.portal.forms import BACK, FILES_MAX
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.material_fields import FLAGS, asks_of, hash_files, is_contract, material_of
from suanquan.portal.step_fields import PREFIX, FactField, fact_fields, facts_of, written
from suanquan.portal.work import status_for, to
from suanquan.portal.work_text import TEXTS
from suanquan.use_cases.applications import Application, load_application
from suanquan.use_cases.officers import actor_of
from subsidy.facts import Dictionary
from subsidy.materials import Checked, Verdict
from subsidy.procedure import Role, Step
from subsidy.step_body import decode
from subsidy.unit import YUAN

TYPED_MAX = 2_000
COSTS_MAX = 200_000
"""Characters of a list of costs."""
COSTS = ("issuer", "document", "yuan")
MORE = (YUAN.said, "costs", "holder_key")
"""What a supplement may bring beside materials, the contract and facts, in the order shown."""
_PARTS = re.compile(r"\s*[|｜\t]\s*")
router = page_router()


class Returned(NamedTuple):
    """An application that waits to be supplemented, with the step that does it, how each material stands, and why it came back."""

    found: Application
    step: Step
    checked: tuple[Checked, ...]
    reason: str
    dictionary: Dictionary
    facts: list[FactField]


@router.get("/applications/{application}/supplement", dependencies=[may("application.act", scoped=True)])
async def get_form(application: str, request: Request) -> Response:
    """What is lacking, and everything that was sent before."""
    return await or_failure(request, _show(request, application))


@router.post("/applications/{application}/supplement", dependencies=[may("application.act", scoped=True)])
async def post_form(application: str, request: Request) -> Response:
    """Supplement; what stands against it is said at its field, and all that was typed stays."""
    return await or_failure(request, _take(request, application))


async def _load(request: Request, application: str) -> Returned:
    """The application, if it waits for a supplement by who asks.

    Raises:
        DomainError: `application-unknown`, `nothing-to-supplement`.

    """
    service, who = service_of(request), await principal(request)
    proceedings = service.proceedings
    with reading():
        async with service.database.read() as conn:
            found = await load_application(conn, proceedings.office, application, scope_of(who))
            setting = await proceedings.setting(conn, found)
    step = supplement_of(found, who)
    if step is None:
        raise ServiceError(
            "nothing-to-supplement",
            "这件申报目前没有退回补正，或不由您补正",
            "this application was not returned, or it is not yours to supplement",
            kind=Kind.CONFLICT,
        )
    reasons = [str(said) for row in found.rows if (said := decode(row)["inputs"].get("reason"))]
    dictionary, told = dictionary_of(service, found), setting.judged.shown
    claimed = [name for name in found.case.facts if name not in found.case.decided]
    lacking = [str(name) for key in ("missing_facts", "missing") for name in told.get(key) or ()]
    facts = fact_fields(step, dictionary, [*lacking, *claimed])
    return Returned(found, step, tuple(setting.materials), reasons[-1] if reasons else "", dictionary, facts)


def supplement_of(found: Application, who: Principal) -> Step | None:
    """The step by which somebody may bring more materials now."""
    role = Role.APPLICANT.value if who.role in BENEFICIARY else who.role.value
    following = found.round.procedure.next_steps(found.case.state)
    return next(
        (one for one in following if "materials" in one.takes and role in {each.value for each in one.roles}), None
    )


async def _show(request: Request, application: str) -> Response:
    returned = await _load(request, application)
    return _page(request, returned, typed_before(returned.found))


def typed_before(found: Application) -> dict[str, str]:
    """What was sent before, as it would have been typed."""
    typed: dict[str, str] = {}
    for name, sent in found.case.materials.items():
        typed[f"material.{name}"] = str(sent.get("sha256", ""))
        typed |= {
            f"material.{name}.{field}": _text(value) for field, value in sent.items() if field not in {"id", "sha256"}
        }
    contract = dict(found.case.contract or {})
    typed |= {f"contract.{name}": str(contract[name]) for name in (*CONTRACT, "sha256") if name in contract}
    yuan = [item["amount_yuan"] for item in contract.get("items", ()) if item.get("kind") == "compute"]
    typed |= {f"{PREFIX}{name}": written(value) for name, value in found.case.facts.items()}
    typed["costs"] = "\n".join(" | ".join(str(one[name]) for name in COSTS) for one in found.case.costs)
    typed["amount"] = "" if found.case.asked is None else found.unit.text(found.case.asked)
    return typed | ({"contract.yuan": yuan[0]} if yuan else {})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "、".join(value) if isinstance(value, list) else str(value)


def _page(
    request: Request, returned: Returned, typed: Mapping[str, str],
    problems: Mapping[str, str] | None = None, status: int = 200,
) -> Response:  # fmt: skip
    found = returned.found
    lacking = [one for one in returned.checked if one.verdict in {Verdict.LACKING, Verdict.PERSON}]
    rest = [one for one in returned.checked if one not in lacking]
    with_contract = found.round.procedure.for_schemes and "contract" in returned.step.may_take
    return frame.render(
        request, "work/supplement.html", status=status, t=TEXTS[language_of(request)], stamp=str(len(found.rows)), found=found, step=returned.step,
        reason=returned.reason, lacking=lacking, rest=rest, typed=typed, problems=problems or {}, asks=asks_of, flags=FLAGS,
        contract=CONTRACT if with_contract else (), facts=returned.facts, more=[name for name in MORE if name in returned.step.may_take], unit=found.unit.code, here=link(request, f"/applications/{found.id}/supplement"),
        is_contract=is_contract, headers={"Cache-Control": "private, no-cache"},
    )  # fmt: skip


async def _take(request: Request, application: str) -> Response:
    who = await principal(request)
    returned = await _load(request, application)
    async with request.form(max_files=FILES_MAX, max_fields=200) as sent:
        limits = {"costs": COSTS_MAX}
        typed = {
            name: value.strip()[: limits.get(name, TYPED_MAX)] for name, value in sent.items() if isinstance(value, str)
        }
        await hash_files(sent, typed)
    if BACK in typed:
        return _page(request, returned, typed)
    found = returned.found
    given = _given(returned, typed)
    try:
        await service_of(request).proceedings.take(actor_of(who), found.id, returned.step.id, given, None)
    except DomainError as error:
        problems = _problems(error, [one["id"] for one in given["materials"]], language_of(request))
        return _page(request, returned, typed, problems, status_for(error))
    return to(request, f"/applications/{found.id}")


def _given(returned: Returned, typed: Mapping[str, str]) -> dict[str, Any]:
    """What is sent: materials that are new or changed, the contract if it is; where nothing is, all as they were."""
    found, before = returned.found, typed_before(returned.found)
    applicant = found.case.applicant
    every = {one.material.id: sent for one in returned.checked if (sent := material_of(one.material, typed, applicant))}
    changed = [sent for name, sent in every.items() if dict(found.case.materials.get(name, {})) != sent]
    given: dict[str, Any] = {"materials": changed or list(every.values())}
    names = [f"contract.{name}" for name in (*CONTRACT, "sha256", "yuan")]
    if found.case.contract and any(typed.get(name, "") != before.get(name, "") for name in names):
        contract: dict[str, Any] = {name: typed.get(f"contract.{name}", "") for name in (*CONTRACT, "sha256")}
        others = [item for item in found.case.contract.get("items", ()) if item.get("kind") != "compute"]
        contract["items"] = [{"kind": "compute", "amount_yuan": typed.get("contract.yuan", "")}, *map(dict, others)]
        given["contract"] = contract
    return given | _more(returned, typed, before)


def _more(returned: Returned, typed: Mapping[str, str], before: Mapping[str, str]) -> dict[str, Any]:
    """Facts, costs, the amount asked for and the holder's key, as far as the step takes them and they were changed."""
    changed = {name: said for name, said in typed.items() if said != before.get(name, "")}
    facts = facts_of(changed, returned.dictionary) if returned.facts else {}
    given: dict[str, Any] = {"facts": facts} if facts else {}
    takes = returned.step.may_take
    if "costs" in takes and "costs" in changed and _plain(changed["costs"]) != _plain(before.get("costs", "")):
        rows = [[part.strip() for part in _PARTS.split(line)] for line in changed["costs"].splitlines() if line.strip()]
        given["costs"] = [dict(zip(COSTS, row, strict=True)) if len(row) == len(COSTS) else {} for row in rows]
    if YUAN.said in takes and changed.get("amount"):
        given["amount"] = changed["amount"]
    if "holder_key" in takes and changed.get("holder_key"):
        given["holder_key"] = _json(changed["holder_key"])
    return given


def _plain(text: str) -> str:
    return "\n".join(text.split())


def _json(text: str) -> Any:
    """What a text says as JSON, or the text, of which the reader says that it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _problems(error: DomainError, sent: list[str], language: str) -> dict[str, str]:
    problems: dict[str, str] = {}
    for one in error.findings or (Finding(error.code, error.zh, error.en),):
        parts = one.where.strip("/").split("/")
        field = "first"
        if parts[0] == "contract":
            field = "contract.yuan" if parts[1:2] == ["items"] else ".".join(parts[:2])
        elif parts[0] == "materials" and len(parts) > 1:
            name = sent[int(parts[1])] if parts[1].isdigit() and int(parts[1]) < len(sent) else parts[1]
            field = ".".join(["material", name, *parts[2:3]]).removesuffix(".sha256")
        elif parts[0] == "facts" and len(parts) > 1:
            field = PREFIX + ".".join(parts[1:])
        elif parts[0] in {"costs", "holder_key", "amount", YUAN.said}:
            field = "amount" if parts[0] == YUAN.said else parts[0]
        problems.setdefault(field, one.en if language == "en" else one.zh)
    return problems
