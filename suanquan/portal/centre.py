"""Pages of a computing centre: whether its reports arrive, what it registered, what waits in quarantine and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import Kind
from metering.completeness import Completeness, completeness_finding
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal, scope_of
from suanquan.http.routers import page_router
from suanquan.portal import due, figures
from suanquan.portal.figures import DAY_US
from suanquan.portal.frame import language_of, or_failure, reading, render, service_of
from suanquan.portal.page import STATUSES
from suanquan.portal.table import Cell, Column, Row, exported, table
from suanquan.portal.text import TEXTS
from suanquan.use_cases.completeness import months_of
from suanquan.use_cases.overview import capacity_of, overview
from suanquan.use_cases.quarantine import list_waiting

WAITING_MAX = 1000
CAPACITY = (Column("model", "model"), Column("cards", "cards", number=True), Column("hours", "gpu_hours", number=True))
WAITING = (
    Column("id", "record"), Column("status", "state"), Column("code", "reason"), Column("account", "accounts"),
    Column("job", "job"), Column("start", "from"), Column("hours", "gpu_hours", number=True), Column("act", "what_to_do"),
)  # fmt: skip

router = page_router()


@router.get("/centre", dependencies=[may("centre.list", scoped=True)])
async def get_centre(request: Request) -> Response:
    """The centre of who asks."""
    return await or_failure(request, _centre(request))


async def _centre(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    scope = scope_of(who)
    with reading():
        async with service.database.read() as conn:
            read = await overview(conn, service.catalog, memo=service.memo)
            months = await months_of(conn, scope.centre)
            cards = await capacity_of(conn, scope.centre, service.now_us)
            told = _gaps(request, months)
            waits = await due.of_centre(service, conn, scope, read.quarantined.get(scope.centre, 0), len(told))
    found = next((one for one in read.centres if one.centre == scope.centre), None)
    if found is None:
        zh, en = "这个账号不属于任何算力中心", "this account belongs to no computing centre"
        raise ServiceError("centre-unknown", zh, en, kind=Kind.NOT_FOUND)
    rows = _models(cards, found.gpu_ms)
    if (file := exported(request, "capacity", CAPACITY, rows)) is not None:
        return file
    return render(
        request,
        "centre.html",
        centre=found,
        late=found.received_us and service.now_us - found.received_us > DAY_US,
        quarantined=read.quarantined.get(found.centre, 0),
        statuses=STATUSES,
        declared=len(months),
        gaps=told,
        due=waits,
        table=table(request, "capacity", CAPACITY, rows),
    )


def _gaps(request: Request, months: Mapping[tuple[int, str], tuple[Any, Completeness]]) -> list[tuple[str, str]]:
    """Where usage is lacking, and in words how much."""
    told = (completeness_finding(result, month, account) for (month, account), (_, result) in sorted(months.items()))
    return [(one.where, one.en if language_of(request) == "en" else one.zh) for one in told if one is not None]


def _models(cards: Mapping[str, int], gpu_ms: Mapping[str, int]) -> list[Row]:
    """A row for each model that is registered, in thousandths of cards, or was used."""
    return [
        {
            "model": Cell(model),
            "cards": Cell(f"{cards.get(model, 0) / 1000:,g}", order=cards.get(model, 0)),
            "hours": Cell(figures.hours(gpu_ms.get(model, 0)), order=gpu_ms.get(model, 0)),
        }
        for model in sorted({*cards, *gpu_ms})
    ]


@router.get("/centre/quarantine", dependencies=[may("quarantine.list", scoped=True)])
async def get_waiting(request: Request) -> Response:
    """Records of the centre that wait for a person, and what the centre can do about each."""
    return await or_failure(request, _waiting(request))


async def _waiting(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    with reading():
        async with service.database.read() as conn:
            found = await list_waiting(
                conn, scope_of(who), centre=request.query_params.get("centre") or None, limit=WAITING_MAX
            )
    rows = [_waiting_row(TEXTS[language_of(request)], one) for one in found]
    if (file := exported(request, "quarantine", WAITING, rows)) is not None:
        return file
    return render(
        request,
        "quarantine.html",
        most=WAITING_MAX if len(found) == WAITING_MAX else 0,
        table=table(request, "quarantine", WAITING, rows),
    )


def _waiting_row(texts: dict[str, str], one: dict[str, Any]) -> Row:
    milliseconds = int(one.get("gpu_ms", 0))
    return {
        "id": Cell(one["id"], code=True),
        "status": Cell(texts[STATUSES.get(one["status"], one["status"])]),
        "code": Cell(one["code"], code=True),
        "account": Cell(one.get("account", "—")),
        "job": Cell(one.get("job", "—")),
        "start": Cell(figures.shanghai(one["start"], texts) if one.get("start") else "—", one.get("start", "")),
        "hours": Cell(figures.hours(milliseconds), order=milliseconds),
        "act": Cell(texts[f"do_{one['status']}"]),
    }
