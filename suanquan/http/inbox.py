"""`/v1/inbox` and `/v1/channels`: what one is told in the page, by mail, and over webhooks and robots."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from metering.zones import rfc3339
from suanquan.db import notices
from suanquan.db.notices import Choice, Stored
from suanquan.http.auth import Caller, may
from suanquan.http.routers import api_router
from suanquan.http.routes import Opened
from suanquan.notices.mail import ADDRESS
from suanquan.use_cases import channels
from suanquan.use_cases.channels import NewChannel, audience_of

router = api_router(tags=["notices"])

Kinds = Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=50)]
Number = Annotated[int, Field(ge=0, le=2**62)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class ChannelOrder(_Strict):
    """Where to deliver, and which kinds of notices (all, if none is named); the secret of a 钉钉 robot with 加签."""

    way: Literal["webhook", "wecom", "dingtalk"]
    url: Annotated[str, Field(min_length=8, max_length=2000)]
    kinds: Kinds = Field(default_factory=list)
    secret: Annotated[str, Field(max_length=200, pattern=r"^[!-~]*$")] = ""


class ChoiceOrder(_Strict):
    """An address and the kinds that go there; kinds that are kept out of the inbox."""

    email: Annotated[str, Field(pattern=rf"^({ADDRESS.pattern})?$", max_length=254)]
    mailed: Kinds
    muted: Kinds


class Seen(_Strict):
    """Up to which notice one has read."""

    up_to: Number


@router.get("/v1/inbox", dependencies=[may("account.self")])
async def get_inbox(
    caller: Caller,
    service: Opened,
    before: Annotated[int, Query(ge=0, le=2**62)] = 2**62,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """Notices of the own company, centre or office, newest first; `next` continues, `unread` counts what came since `read`."""
    audience = audience_of(caller)
    async with service.database.read() as conn:
        chosen = await notices.choice_of(conn, caller.name)
        found = await notices.list_notices(conn, audience, chosen.muted, before, limit)
        unread = await notices.count_after(conn, audience, chosen.muted, chosen.seen)
    listed = [_notice_object(one) | {"unread": one.number > chosen.seen} for one in found]
    return {"notices": listed, "unread": unread, "next": found[-1].number if len(found) == limit else None}


@router.post("/v1/inbox/read", dependencies=[may("account.self")])
async def post_read(order: Seen, caller: Caller, service: Opened) -> dict[str, int]:
    """Remember up to which notice the inbox was read."""
    async with service.database.write() as conn:
        chosen = await notices.choice_of(conn, caller.name)
        await notices.choose(conn, caller.name, chosen._replace(seen=max(order.up_to, chosen.seen)))
        await service.leave_trace(conn)
    return {"up_to": max(order.up_to, chosen.seen)}


@router.get("/v1/me/notices", dependencies=[may("account.self")])
async def get_choice(caller: Caller, service: Opened) -> dict[str, Any]:
    """What one is told by mail, and what is kept out of the inbox."""
    async with service.database.read() as conn:
        return _choice_object(await notices.choice_of(conn, caller.name))


@router.post("/v1/me/notices", dependencies=[may("account.self")])
async def post_choice(order: ChoiceOrder, caller: Caller, service: Opened) -> dict[str, Any]:
    """Choose by kind: by mail, or not even in the inbox."""
    channels.check_kinds([*order.mailed, *order.muted])
    async with service.database.write() as conn:
        seen = (await notices.choice_of(conn, caller.name)).seen
        chosen = Choice(order.email, tuple(order.mailed), tuple(order.muted), seen)
        await notices.choose(conn, caller.name, chosen)
        await service.leave_trace(conn)
    return _choice_object(chosen)


@router.get("/v1/channels", dependencies=[may("channel.list", scoped=True)])
async def get_channels(caller: Caller, service: Opened) -> list[dict[str, Any]]:
    """Channels of the own audience, ended ones too; their secrets are not shown."""
    async with service.database.read() as conn:
        found = await notices.channels_of(conn, audience_of(caller), every=True)
    return [channels.channel_object(one) for one in found]


@router.post("/v1/channels", status_code=201, dependencies=[may("channel.act", scoped=True)])
async def post_channel(order: ChannelOrder, caller: Caller, service: Opened) -> dict[str, Any]:
    """Register a webhook or a robot; the secret of a webhook is shown this once."""
    asked = NewChannel(order.way, order.url, order.kinds, order.secret)
    return await channels.add_channel(service, caller, asked)


@router.post("/v1/channels/{channel}/end", dependencies=[may("channel.act", scoped=True)])
async def post_end(channel: Number, caller: Caller, service: Opened) -> dict[str, Any]:
    """Deliver nothing more over a channel."""
    return await channels.end_channel(service, caller, channel)


@router.post("/v1/channels/{channel}/test", status_code=202, dependencies=[may("channel.act", scoped=True)])
async def post_test(channel: Number, caller: Caller, service: Opened) -> dict[str, int]:
    """Send a test notice; what became of it is among the deliveries."""
    return await channels.test_channel(service, caller, channel)


@router.get("/v1/channels/{channel}/deliveries", dependencies=[may("channel.list", scoped=True)])
async def get_deliveries(
    channel: Number,
    caller: Caller,
    service: Opened,
    state: Literal["waiting", "delivered", "dead"] | None = None,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """What became of notices over a channel, dead ones with the reason; `next` continues."""
    async with service.database.read() as conn:
        await channels.load_own(conn, caller, channel)
        found = await notices.deliveries_of(conn, channel, state, after, limit)
    listed = [channels.delivery_object(one) for one in found]
    return {"deliveries": listed, "next": found[-1].number if len(found) == limit else None}


@router.post(
    "/v1/channels/{channel}/deliveries/{delivery}/again",
    status_code=202,
    dependencies=[may("channel.act", scoped=True)],
)
async def post_again(channel: Number, delivery: Number, caller: Caller, service: Opened) -> dict[str, int]:
    """Send a notice again."""
    return await channels.send_again(service, caller, channel, delivery)


def _notice_object(one: Stored) -> dict[str, Any]:
    return {
        "number": one.number,
        "kind": one.kind,
        "subject": one.subject,
        "title": one.zh,
        "detail": one.en,
        "data": one.data,
        "at": rfc3339(one.at_us),
    }


def _choice_object(chosen: Choice) -> dict[str, Any]:
    return {"email": chosen.email, "mailed": list(chosen.mailed), "muted": list(chosen.muted)}
