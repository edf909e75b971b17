"""Rounds on a page: each with whether it takes applications today; calling one, adding to its budgets, planning and ending it.

Who does what is the procedure's: the department calls and plans, finance adds and ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError, Finding
from suanquan.access.policy import Reach
from suanquan.http.auth import may, principal
from suanquan.http.routers import page_router
from suanquan.portal import figures, frame
from suanquan.portal.forms import BACK
from suanquan.portal.frame import language_of, link, or_failure, reading, service_of
from suanquan.portal.office import size_of
from suanquan.portal.round_text import TEXTS
from suanquan.portal.stamps import version_of
from suanquan.portal.table import Cell, Column, Row, exported, table
from suanquan.portal.work import status_for, to
from suanquan.service import Service
from suanquan.use_cases.applications import SETTLE, Round, load_rounds
from suanquan.use_cases.officers import actor_of
from subsidy import store
from subsidy.procedure import Procedure
from subsidy.unit import UNITS, YUAN, Unit, of_pot

ROUNDS = (
    Column("id", "round_no", key=True), Column("title", "call"), Column("state", "round_state"), Column("opens", "opens"),
    Column("closes", "closes"), Column("budget", "round_budget"), Column("count", "received_count", number=True),
)  # fmt: skip
TEXT = ("procedure", "title", "opens", "closes", "decision", "basis", "round")
DEEDS = {"fund": "finance", "allocate": "department", "settle": "finance"}
"""What is done to a round that was called, and whose it is."""
BUDGET = "budget."
TYPED_MAX = 400
router = page_router()


@router.get("/office/rounds", dependencies=[may("programme.read")])
async def get_rounds(request: Request) -> Response:
    """Every round, newest first, and what somebody may do."""
    return await or_failure(request, _rounds(request))


@router.post("/office/rounds", dependencies=[may("round.call")])
async def post_round(request: Request) -> Response:
    """`call` a round, or `fund`, `allocate` or `settle` one; what stands against it is said, and all that was typed stays."""
    return await or_failure(request, _act(request))


async def _rounds(
    request: Request, acted: str = "", typed: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None, status: int = 200,
) -> Response:  # fmt: skip
    service, who = service_of(request), await principal(request)
    office, today = service.proceedings.office, service.proceedings.today
    with reading():
        async with service.database.read() as conn:
            found = await load_rounds(conn, office)
            ended = {one.id for one in found if (await store.steps_of(conn, one.id))[-1].step == SETTLE}
            counts = Counter(one.round.id for one in await service.cases.applications(conn))
            stamp = await version_of(request, conn, "/office/rounds", who)
            size = await size_of(conn)
    texts = figures.texts_in(TEXTS[language_of(request)])
    rows = [
        _row(
            one,
            texts,
            _state(one, today, ended),
            counts[one.id],
            link(request, "/office/queue", round=one.id, stage="every"),
        )
        for one in reversed(found)
    ]
    if (file := exported(request, "rounds", ROUNDS, rows, TEXTS)) is not None:
        return file
    acts = who.reach("round.call") is Reach.EVERYTHING
    return frame.render(
        request, "office/rounds.html", status=status, t=texts, stamp=stamp, table=table(request, "rounds", ROUNDS, rows), size=size,
        acts=acts, role=who.role.value, deeds=DEEDS, going=[one for one in found if one.id not in ended], pots=_pots(found),
        procedures=[(one, _clauses(service, one, language_of(request))) for one in office.procedures.values()],
        closed=[one for one in found if one.closes < today and one.id not in ended],
        acted=acted, typed=typed or {}, problems=problems or {}, units=[unit for unit in UNITS.values() if unit is not YUAN],
    )  # fmt: skip


def _state(one: Round, today: date, ended: set[str]) -> str:
    if one.id in ended:
        return "ended"
    if today < one.opens:
        return "called"
    return "open" if today <= one.closes else "closed"


def _row(one: Round, texts: Mapping[str, str], state: str, count: int, queue: str) -> Row:
    budgets = [(of_pot(name), has) for name, has in one.budgets.items()]
    said = [f"{clause} {_amount(unit, has)} {texts[f'unit_{unit.code}']}" for (clause, unit), has in budgets if unit]
    return {
        "id": Cell(one.id, code=True),
        "title": Cell(one.title),
        "state": Cell(texts[f"round_{state}"]),
        "opens": Cell(one.opens.isoformat()),
        "closes": Cell(one.closes.isoformat()),
        "budget": Cell("; ".join(said)),
        "count": Cell(f"{count:,}", order=count, href=queue if count else ""),
    }


def _amount(unit: Unit, has: int) -> str:
    return figures.yuan(unit.text(has)) if unit is YUAN else figures.grouped(unit.text(has))


def _pots(found: list[Round]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one.budgets))


def _clauses(service: Service, procedure: Procedure, language: str) -> dict[str, str]:
    """What a call of a procedure may be for, each with its name."""
    names = {}
    for clause in procedure.clauses:
        series = service.catalog.series.get(clause)
        names[clause] = (
            clause if series is None else series.latest.name_en if language == "en" else series.latest.name_zh
        )
    return names


async def _act(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    form = await request.form(max_files=0, max_fields=80)
    typed = {name: str(value).strip()[:TYPED_MAX] for name, value in form.items()}
    act = typed.get("deed", "")
    if BACK in form:
        return await _rounds(request, act, typed)
    actor = actor_of(who)
    try:
        await _do(service, actor, act, typed)
    except DomainError as error:
        return await _rounds(request, act, typed, _problems(error, act, language_of(request)), status_for(error))
    return to(request, "/office/rounds")


async def _do(service: Service, actor: Any, act: str, typed: Mapping[str, str]) -> None:
    proceedings, round_ = service.proceedings, typed.get("round", "")
    if act == "call":
        prefix = f"{BUDGET}{typed.get('procedure', '')}."
        given: dict[str, Any] = {name: typed[name] for name in ("procedure", "title", "opens", "closes", "decision") if typed.get(name)}  # fmt: skip
        await proceedings.call(actor, given | {"budgets": _budgets(typed, prefix)})
    elif act == "fund":
        await proceedings.fund(actor, round_, {"budgets": _budgets(typed, BUDGET), "basis": typed.get("basis", "")})
    elif act == "allocate":
        await proceedings.allocate(actor, round_, {"basis": typed.get("basis", "")})
    else:
        await proceedings.settle_round(actor, round_, {"basis": typed.get("basis", "")})


def _budgets(typed: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Budgets that were typed, by clause or scheme and unit; thousands may be separated."""
    return {
        name.removeprefix(prefix): value.replace(",", "")
        for name, value in typed.items()
        if name.startswith(prefix) and value
    }


def _problems(error: DomainError, act: str, language: str) -> dict[str, str]:
    """Each finding at the field that it is about."""
    problems: dict[str, str] = {}
    for one in error.findings or (Finding(error.code, error.zh, error.en),):
        field = one.where.strip("/").partition("/")[0]
        at = f"{act}-{field}" if field in TEXT or field == "budgets" else f"{act}-form"
        problems.setdefault(at, one.en if language == "en" else one.zh)
    return problems
