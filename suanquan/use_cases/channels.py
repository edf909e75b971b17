"""Channels: where an audience is told things besides its inbox. Secrets are sealed, and shown once if we made them."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from ledger.errors import Kind as ErrorKind
from metering.zones import rfc3339
from suanquan import outbound
from suanquan.access.policy import BENEFICIARY, CENTRE
from suanquan.access.principal import Principal
from suanquan.db import notices
from suanquan.db.notices import Channel, Delivery
from suanquan.errors import ServiceError
from suanquan.notices import webhook
from suanquan.notices.model import OFFICE, Kind, Notice, State, Way, of_centre, of_holder
from suanquan.service import Service
from suanquan.use_cases.send_notices import rules_of

CHANNELS_MAX = 20
"""Channels in force of one audience."""


class NewChannel(NamedTuple):
    """A channel as asked for; `secret` is that of a 钉钉 robot with 加签."""

    way: str
    url: str
    kinds: list[str]
    secret: str = ""


def audience_of(who: Principal) -> str:
    """Whom somebody belongs to."""
    if who.role in CENTRE:
        return of_centre(who.tenant)
    return of_holder(who.tenant) if who.role in BENEFICIARY else OFFICE


def check_kinds(kinds: list[str]) -> None:
    """Refuse kinds that there are not.

    Raises:
        ServiceError: `kind-unknown`.

    """
    known = {kind.value for kind in Kind}
    for kind in kinds:
        if kind not in known:
            raise ServiceError(
                "kind-unknown", f"没有通知种类“{kind[:40]}”", f"there is no kind of notice {kind[:40]!r}"
            )


async def add_channel(
    service: Service, who: Principal, asked: NewChannel, resolver: outbound.Resolver = outbound.resolve
) -> dict[str, Any]:
    """Register a channel for the audience of its maker; the secret of a webhook is in the answer, this once.

    Raises:
        ServiceError: `target-refused`, `target-unresolved`, `kind-unknown`, `channels-too-many`.

    """
    check_kinds(asked.kinds)
    url = outbound.read_url(asked.url, rules_of(service))
    await outbound.checked_address(url, rules_of(service), resolver)
    way, audience = Way(asked.way), audience_of(who)
    secret = secrets.token_bytes(webhook.SECRET_BYTES) if way is Way.WEBHOOK else asked.secret.encode()
    async with service.database.write() as conn:
        if len(await notices.channels_of(conn, audience)) >= CHANNELS_MAX:
            zh, en = f"至多 {CHANNELS_MAX} 个通道，请先停用一个", f"at most {CHANNELS_MAX} channels; end one first"
            raise ServiceError("channels-too-many", zh, en, kind=ErrorKind.CONFLICT)
        shown = f"{url.scheme}://{url.netloc}/…"
        number = await notices.add_channel(conn, way.value, audience, shown, asked.kinds, who.name, service.now_us)
        seal = service.access.seal
        target = seal.close(asked.url.encode(), f"channel-target {number}")
        await notices.seal_channel(conn, number, target, seal.close(secret, f"channel-secret {number}"))
        await service.leave_trace(conn)
        made = await notices.find_channel(conn, number)
    assert made is not None
    return channel_object(made) | ({"secret": webhook.secret_text(secret)} if way is Way.WEBHOOK else {})


async def load_own(conn: Any, who: Principal, number: int) -> Channel:
    """A channel of one's own audience; another's is as unknown as one that is not there.

    Raises:
        ServiceError: `channel-unknown`.

    """
    found = await notices.find_channel(conn, number)
    if found is None or found.audience != audience_of(who):
        raise ServiceError(
            "channel-unknown", f"没有通道 {number}", f"there is no channel {number}", kind=ErrorKind.NOT_FOUND
        )
    return found


async def end_channel(service: Service, who: Principal, number: int) -> dict[str, Any]:
    """Deliver nothing more over a channel.

    Raises:
        ServiceError: `channel-unknown`.

    """
    async with service.database.write() as conn:
        found = await load_own(conn, who, number)
        if found.ended_us is None:
            await notices.end_channel(conn, number, service.now_us)
            await service.leave_trace(conn)
        ended = await load_own(conn, who, number)
    return channel_object(ended)


async def test_channel(service: Service, who: Principal, number: int) -> dict[str, int]:
    """Put a test notice on its way.

    Raises:
        ServiceError: `channel-unknown`.

    """
    async with service.database.write() as conn:
        found = await load_own(conn, who, number)
        zh, en = f"通道 {number} 的测试消息", f"a test of channel {number}"
        notice = await notices.add_test(conn, found.number, Notice(Kind.CHANNEL_TEST, "", "", zh, en), service.now_us)
        await service.leave_trace(conn)
    return {"notice": notice}


async def send_again(service: Service, who: Principal, number: int, delivery: int) -> dict[str, int]:
    """Have a delivery sent again, dead or not.

    Raises:
        ServiceError: `channel-unknown`, `delivery-unknown`.

    """
    async with service.database.write() as conn:
        await load_own(conn, who, number)
        if not await notices.revive(conn, number, delivery, service.now_us):
            zh, en = f"没有投递 {delivery}", f"there is no delivery {delivery}"
            raise ServiceError("delivery-unknown", zh, en, kind=ErrorKind.NOT_FOUND)
        await service.leave_trace(conn)
    return {"delivery": delivery}


def channel_object(one: Channel) -> dict[str, Any]:
    """A channel as it is shown: without its secret, and of its address the host alone."""
    ended = None if one.ended_us is None else rfc3339(one.ended_us)
    return {
        "channel": one.number,
        "way": one.way,
        "url": one.shown,
        "kinds": list(one.wanted),
        "made_by": one.made_by,
        "made": rfc3339(one.made_us),
        "ended": ended,
    }


def delivery_object(one: Delivery) -> dict[str, Any]:
    """What became of a delivery."""
    waiting = one.state == State.WAITING.value
    return {
        "delivery": one.number,
        "notice": one.notice,
        "state": one.state,
        "tries": one.tries,
        "tried": rfc3339(one.tried_us) if one.tried_us else None,
        "next": rfc3339(one.next_us) if waiting else None,
        "fault": one.fault,
    }
