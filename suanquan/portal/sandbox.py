"""A sandbox's clock on a page: what day it is there, and setting it forwards. A real home has no such page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import DomainError
from suanquan.access.acting import act_of
from suanquan.access.policy import Reach
from suanquan.http.auth import may, principal
from suanquan.http.routers import page_router
from suanquan.portal.frame import or_failure, reading, service_of
from suanquan.portal.work import render, said_of, status_for, to, typed_of
from suanquan.use_cases.sandbox_clock import advance, clock_object

SPANS = ("1d", "7d", "30d", "90d")
router = page_router()


@router.get("/clock", dependencies=[may("clock.read")])
async def get_clock(request: Request) -> Response:
    """What time it is in the sandbox, and how far it is ahead."""
    return await or_failure(request, _clock(request))


@router.post("/clock", dependencies=[may("clock.set")])
async def post_clock(request: Request) -> Response:
    """Set it forwards; what falls due meanwhile happens at once."""
    return await or_failure(request, _advance(request))


async def _clock(request: Request, problem: str = "", typed: str = "", status: int = 200) -> Response:
    service = service_of(request)
    with reading():
        found, who = clock_object(service), await principal(request)
    able = who.reach("clock.set") is Reach.EVERYTHING
    ahead = divmod(found["ahead_seconds"], 86_400)
    return render(
        request, "clock.html", status=status, stamp=str(found["ahead_seconds"]), ahead=ahead, spans=SPANS, able=able, problem=problem, typed={"span": typed},
        today=service.proceedings.today,
    )  # fmt: skip


async def _advance(request: Request) -> Response:
    service, who = service_of(request), await principal(request)
    span = (await typed_of(request, "span"))["span"]
    try:
        await advance(service, span, act_of(who, "clock.set", request=request.scope["suanquan.request_id"]))
    except DomainError as error:
        return await _clock(request, said_of(request, error), span, status_for(error))
    return to(request, "/clock")
