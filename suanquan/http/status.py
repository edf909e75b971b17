"""Status lists for anybody (draft-ietf-oauth-status-list-20 §8), QR codes and the standing of vouchers for officers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Header, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from suanquan.errors import ServiceError
from suanquan.http.auth import Caller, Scoped, may
from suanquan.http.fields import NeededKey
from suanquan.http.problem import PROBLEM
from suanquan.http.routers import api_router
from suanquan.http.routes import JTI, Opened
from suanquan.service import Service
from suanquan.use_cases import issue as issuing
from suanquan.use_cases.books import Order
from suanquan.use_cases.standing import change_standing
from voucher import qr, store
from voucher.status_list import CWT_TYPE, JWT_TYPE

public = api_router(tags=["status lists"])
officer = api_router(tags=["vouchers"])

JWT = f"application/{JWT_TYPE}"
ListId = Annotated[str, Field(pattern="^[0-9a-z-]{1,32}$")]
MAX_AGE_S = 60


class Reason(BaseModel):
    """Why. Who decides is whoever is logged in: a body cannot name anybody."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[str, Field(min_length=1, max_length=500)]


@public.get("/status-lists", dependencies=[may("status.read")])
async def get_lists(service: Opened) -> dict[str, list[str]]:
    """Addresses of all lists (§9)."""
    async with service.database.read() as connection:
        return {"status_lists": [row.uri for row in await store.lists_like(connection, "")]}


@public.get(
    "/status-lists/{name}",
    response_class=Response,
    dependencies=[may("status.read")],
    responses={304: {"description": "not changed"}, 501: PROBLEM},
)
async def get_list(
    name: ListId,
    service: Opened,
    accept: Annotated[str, Header()] = "*/*",
    if_none_match: Annotated[str, Header()] = "",
    time: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """A signed list as JWT, or as CWT for who accepts that alone; `time` asks for the past, which is not kept (501)."""
    if time is not None:
        raise ServiceError("status-list-past", "不提供过去时刻的状态列表", "lists of the past are not kept")
    form = _form(accept)
    signed = await service.statuses.get(service.database, service.issuer, name, service.now_us)
    data = signed.jwt if form == JWT else signed.cwt
    headers = {
        "ETag": signed.etag(data),
        "Cache-Control": f"public, max-age={MAX_AGE_S}",
        "Vary": "Accept",
        "Access-Control-Allow-Origin": "*",
    }
    if headers["ETag"] in (tag.strip() for tag in if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=form, headers=headers)


def _form(accept: str) -> str:
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for form in (JWT, CWT_TYPE):
        if {form, "application/*", "*/*", ""} & set(wanted):
            return form
    raise ServiceError("not-acceptable", f"只提供 {JWT} 与 {CWT_TYPE}", f"there are {JWT} and {CWT_TYPE} alone")


@officer.get("/v1/vouchers/{jti}/qr", response_class=Response, dependencies=[may("voucher.read", scoped=True)])
async def get_qr(
    jti: JTI, scope: Scoped, service: Opened, form: Annotated[Literal["svg", "png"], Query()] = "svg"
) -> Response:
    """The QR code of a released voucher, as SVG or PNG."""
    async with service.database.read() as connection:
        stored = await issuing.load(connection, jti, scope)
    media_type = {"svg": "image/svg+xml", "png": "image/png"}[form]
    return Response(qr.render(issuing.released(stored).cwt, form), media_type=media_type)


async def _change(service: Service, jti: str, what: str, order: Order) -> dict[str, Any]:
    return await change_standing(service.journal, order, jti, what, service.statuses)


@officer.post("/v1/vouchers/{jti}/suspend", dependencies=[may("voucher.suspend")])
async def suspend(jti: JTI, reason: Reason, caller: Caller, service: Opened, key: NeededKey) -> dict[str, Any]:
    """Let a voucher not be spent for now."""
    return await _change(service, jti, "suspend", Order(caller.name, reason.reason, key))


@officer.post("/v1/vouchers/{jti}/resume", dependencies=[may("voucher.resume")])
async def resume(jti: JTI, reason: Reason, caller: Caller, service: Opened, key: NeededKey) -> dict[str, Any]:
    """Let a suspended voucher be spent again."""
    return await _change(service, jti, "resume", Order(caller.name, reason.reason, key))


@officer.post("/v1/vouchers/{jti}/revoke", dependencies=[may("voucher.revoke")])
async def revoke(jti: JTI, reason: Reason, caller: Caller, service: Opened, key: NeededKey) -> dict[str, Any]:
    """Take back a voucher for ever; what it holds free goes back to the budget."""
    return await _change(service, jti, "revoke", Order(caller.name, reason.reason, key))
