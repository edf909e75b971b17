"""Advice to schedulers: for a Slurm prolog, and as a Kubernetes admission webhook."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ledger.errors import Kind
from suanquan.errors import ServiceError
from suanquan.http.auth import TOKEN_MAX, may, permit, principal
from suanquan.http.routers import api_router
from suanquan.http.routes import Name
from suanquan.use_cases.admission_review import Cluster, review
from suanquan.use_cases.advice import Desk, Question, in_words, question


async def _own(centre: Name, request: Request) -> None:
    """A centre's scheduler asks about its own centre alone.

    Raises:
        ServiceError: `foreign-centre`.

    """
    if not (await principal(request)).may("advice.ask", centre=centre):
        raise ServiceError(
            "foreign-centre", "该令牌属于另一中心", "this token is another centre's", kind=Kind.NOT_ALLOWED
        )


scheduler = api_router(tags=["schedulers"])
CENTRE_MAX = 255
LENGTHS = {"account": 255, "hours": 20, "seconds": 12, "need": 8}
"""Members of a question that come once, and how long each may be."""

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


async def quick_advice(request: Request) -> Response | None:
    """`get_advice` for schedulers that ask as they should: past the framework, in one visit to the database.

    Whatever else it is (a session, a member that is missing or twice, a question that cannot be understood) is handed on.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    asked = _asked(request)
    if asked is None or scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_MAX:
        return None
    desk = desk_of(request)
    who, spendable = await desk.look(asked, token)
    if who is None:
        return None
    request.state.principal = who
    await permit(request, "advice.ask", scoped=True)
    await _own(asked.centre, request)
    found = await desk.advise(asked, spendable)
    if "text/plain" in request.headers.get("accept", ""):
        return PlainTextResponse(in_words(found))
    return JSONResponse(found)


def _asked(request: Request) -> Question | None:
    """The question of a request, where it is one; the framework says what is wrong with any other."""
    members: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        members.setdefault(name, []).append(value)
    models, cards = members.pop("model", []), members.pop("cards", [])
    if not members.keys() <= LENGTHS.keys() or any(len(one) > 1 for one in members.values()):
        return None
    known = {name: values[0] for name, values in members.items()}
    if "account" not in known or any(len(value) > LENGTHS[name] for name, value in known.items()):
        return None
    centre, hours, seconds = request.path_params["centre"], known.get("hours", ""), known.get("seconds", "")
    if len(centre) > CENTRE_MAX:
        return None
    try:
        return question(
            centre, known["account"], models, cards, hours or seconds, known.get("need", "full"), in_hours=not seconds
        )
    except ServiceError:
        return None


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
