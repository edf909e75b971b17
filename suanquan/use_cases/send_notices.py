"""Deliver what waits in the outbox: once it is due, in order, by each way's own rules, until it is taken or dead.

A delivery is at least once: what was sent and not recorded before a stop is sent again, under the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from ledger.errors import DomainError, Kind
from metering.zones import rfc3339
from suanquan import outbound
from suanquan.db import notices
from suanquan.db.notices import Channel, Delivery, Stored
from suanquan.errors import ServiceError
from suanquan.home import read_secret
from suanquan.notices import mail, robots, webhook
from suanquan.notices.model import DIGEST_MAX, ROBOT_PER_MINUTE, State, Way, next_try_us
from suanquan.outbound import Resolver
from suanquan.service import Service

ROUND = 500
MINUTE_US = 60_000_000
FAULT_MAX = 200

Due = tuple[Delivery, Stored]


class _Way(NamedTuple):
    """Where deliveries go: a channel, or a person by mail."""

    channel: int
    person: str


async def send_due(service: Service, resolver: Resolver = outbound.resolve) -> int:
    """Send what is due; how many notices were taken. One way that fails does not hold up another."""
    async with service.database.read() as conn:
        found = await notices.due(conn, service.now_us, ROUND)
        channels = {channel.number: channel for channel in await notices.channels_of(conn, None)}

    def way(one: Due) -> _Way:
        return _Way(one[0].channel, one[0].person)

    ways = [(key, list(group)) for key, group in groupby(sorted(found, key=lambda one: (way(one), one[0].number)), way)]
    done = await asyncio.gather(
        *(_send_all(service, resolver, channels.get(key.channel), key.person, group) for key, group in ways)
    )
    return sum(done)


async def _send_all(
    service: Service, resolver: Resolver, channel: Channel | None, person: str, group: Sequence[Due]
) -> int:
    """Send the deliveries of one way in order, and stop at the first that fails: its others wait as long."""
    taken = 0
    step = DIGEST_MAX if channel is None or Way(channel.way).digests else 1
    for at in range(0, len(group), step):
        part = group[at : at + step]
        if channel is not None and await _too_many(service, channel):
            break
        now_us = service.now_us
        try:
            fault = await (_mail(service, person, part) if channel is None else _post(service, resolver, channel, part))
        except DomainError as error:
            fault = f"{error.code}: {error.en}"
        await _record(service, part if not fault else group[at:], fault, now_us)
        if fault:
            break
        taken += len(part)
    return taken


async def _too_many(service: Service, channel: Channel) -> bool:
    """Whether a robot has had its messages of this minute: the rest waits, and comes as one."""
    if channel.way not in {Way.WECOM.value, Way.DINGTALK.value}:
        return False
    async with service.database.read() as conn:
        return await notices.tried_since(conn, channel.number, service.now_us - MINUTE_US) >= ROBOT_PER_MINUTE


async def _record(service: Service, part: Sequence[Due], fault: str, now_us: int) -> None:
    async with service.database.write() as conn:
        if not fault:
            values: dict[str, Any] = {"state": State.DELIVERED.value, "tried_us": now_us, "fault": ""}
            await notices.record(conn, [one.number for one, _ in part], values)
            return
        for tries in {one.tries for one, _ in part}:
            next_us = next_try_us(tries + 1, now_us)
            values = {"tries": tries + 1, "tried_us": now_us, "fault": fault[:FAULT_MAX]}
            values |= {"state": State.DEAD.value} if next_us is None else {"next_us": next_us}
            await notices.record(conn, [one.number for one, _ in part if one.tries == tries], values)


def rules_of(service: Service) -> outbound.Rules:
    """Where this installation may post to."""
    settings = service.settings
    return outbound.Rules(outbound.networks_of(settings.outbound_networks), settings.sandbox)


def _line(one: Stored) -> str:
    return f"{one.zh} / {one.en}"


async def _post(service: Service, resolver: Resolver, channel: Channel, part: Sequence[Due]) -> str:
    """Post to a webhook or a robot; what went wrong, or nothing."""
    target = service.access.seal.open(channel.target, f"channel-target {channel.number}").decode()
    secret = service.access.seal.open(channel.secret, f"channel-secret {channel.number}")
    json = {"Content-Type": "application/json; charset=utf-8"}
    rules = rules_of(service)
    if channel.way == Way.WEBHOOK.value:
        one = part[0][1]
        data = {"notice": one.number, "subject": one.subject, "title": one.zh, "detail": one.en, **one.data}
        body = webhook.body_of(one.kind, rfc3339(one.at_us), data)
        signed = webhook.headers(f"msg_{part[0][0].number}", service.now_us // 1_000_000, body, secret)
        reply = await outbound.post(target, body, json | signed, rules, resolver)
        return "" if 200 <= reply.status < 300 else f"HTTP {reply.status}"
    if channel.way == Way.DINGTALK.value:
        target = robots.signed_url(target, secret.decode(), service.now_us // 1000)
    body = robots.body_of([_line(one) for _, one in part])
    reply = await outbound.post(target, body, json, rules, resolver)
    return robots.fault_of(reply.status, reply.body)


async def _mail(service: Service, person: str, part: Sequence[Due]) -> str:
    """Mail to a person, if an address is there still; what went wrong, or nothing."""
    server = smtp_of(service)
    async with service.database.read() as conn:
        chosen = await notices.choice_of(conn, person)
    if not chosen.email:
        return "no address"
    identity = f"<{part[0][0].number}.{part[0][1].at_us}@{server.sender.partition('@')[2]}>"
    made = mail.message(server.sender, chosen.email, [_line(one) for _, one in part], service.settings.url, identity)
    try:
        await asyncio.to_thread(mail.send, server, made)
    except OSError as fault:  # smtplib's errors among them
        return type(fault).__name__
    return ""


def smtp_of(service: Service) -> mail.Server:
    """Where this installation hands in mail.

    Raises:
        ServiceError: `mail-unset`, or what `read_secret` refuses.

    """
    s = service.settings
    if not s.smtp_host or not s.smtp_sender:
        zh, en = "未设置 smtp_host 与 smtp_sender", "smtp_host and smtp_sender are not set"
        raise ServiceError("mail-unset", zh, en, kind=Kind.UNAVAILABLE)
    file = s.smtp_password_file
    password = read_secret(service.home.path / file).decode() if file else ""
    return mail.Server(s.smtp_host, s.smtp_port, s.smtp_sender, s.smtp_security, s.smtp_user, password)
