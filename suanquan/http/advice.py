"""Advice to schedulers: for a Slurm prolog, and as a Kubernetes admission webhook."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ledger.errors import Kind
from suanquan.errors import ServiceError
from suanquan.http.auth import may, principal
from suanquan.http.routes import Name
from suanquan.use_cases.admission_review import Cluster, review
from suanquan.use_cases.advice import Desk, in_words, question


async def _own(centre: Name, request: Request) -> None:
    """A centre's scheduler asks about its own centre alone.

    Raises:
        ServiceError: `foreign-centre`.

    """
    if not (await principal(request)).may("advice.ask", centre=centre):
        raise ServiceError(
            "foreign-centre", "该令牌属于另一中心", "this token is another centre's", kind=Kind.NOT_ALLOWED
        )


scheduler = APIRouter(tags=["schedulers"])

Decimals = Annotated[str, Query(max_length=20)]
Label = Annotated[str, Query(max_length=255)]


def desk_of(request: Request) -> Desk:
    """The desk of a service."""
    desk: Desk = request.app.state.advice
    return desk


@scheduler.get("/v1/advice/{centre}", response_model=None, dependencies=[may("advice.ask", scoped=True), Depends(_own)])
async def get_advice(
    centre: Name,
    request: Request,
    account: Annotated[str, Query(description="调度系统中的账户 / account in the scheduler", max_length=255)],
    model: Annotated[list[str], Query(description="型号，可有几个 / one or more models")],
    cards: Annotated[list[str], Query(description="各型号的卡数 / cards of each model")],
    hours: Annotated[str, Query(description="时长，小时 / how long, in hours", max_length=20)] = "",
    seconds: Annotated[str, Query(description="或者以秒计 / or in seconds", max_length=12)] = "",
    need: Annotated[str, Query(description="full some none", max_length=8)] = "full",
) -> dict[str, Any] | Response:
    """May this account start a job of N cards of model M for T hours? `Accept: text/plain` gives words for scripts."""
    found = await desk_of(request).ask(
        question(centre, account, model, cards, hours or seconds, need, in_hours=not seconds)
    )
    if "text/plain" in request.headers.get("accept", ""):
        return PlainTextResponse(in_words(found))
    return found


@scheduler.post("/v1/admission/kubernetes/{centre}", dependencies=[may("advice.ask", scoped=True), Depends(_own)])
async def post_review(
    centre: Name,
    document: dict[str, Any],
    request: Request,
    account_label: Label = "",
    model_label: Label = "",
    model: Label = "",
    hours: Decimals = "1",
    need: Annotated[str, Query(max_length=8)] = "full",
) -> dict[str, Any]:
    """A validating admission webhook: AdmissionReview v1 of a pod, answered by the advice on the cards it asks for."""
    return await review(desk_of(request), document, Cluster(centre, account_label, model_label, model, hours, need))
