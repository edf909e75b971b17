"""SQL of notices: the outbox, channels, choices, and deliveries on their way."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from ledger.sql import Connection, chunks
from suanquan.access.policy import BENEFICIARY, CENTRE, Role
from suanquan.db.tables import notice, notice_channel, notice_choice, notice_delivery, person, person_role
from suanquan.notices.model import OFFICE, Notice, State


class Channel(NamedTuple):
    """Where an audience is told things; `target` and `secret` are sealed, `wanted` are kinds, all if empty."""

    number: int
    way: str
    audience: str
    shown: str
    target: bytes
    secret: bytes
    wanted: tuple[str, ...]
    made_by: str
    made_us: int
    ended_us: int | None


class Stored(NamedTuple):
    """A notice of the outbox."""

    number: int
    kind: str
    audience: str
    subject: str
    zh: str
    en: str
    data: dict[str, Any]
    at_us: int


class Delivery(NamedTuple):
    """A notice on its way over a channel, or by mail to a person."""

    number: int
    notice: int
    channel: int
    person: str
    state: str
    tries: int
    next_us: int
    tried_us: int
    fault: str


class Choice(NamedTuple):
    """What somebody wants by mail, does not want in the inbox, and has read."""

    email: str = ""
    mailed: tuple[str, ...] = ()
    muted: tuple[str, ...] = ()
    seen: int = 0


async def _next(conn: Connection, column: ColumnElement[int]) -> int:
    newest = await conn.execute(select(func.coalesce(func.max(column), 0)))
    return int(newest.scalar_one()) + 1


async def put(conn: Connection, one: Notice, at_us: int) -> int:
    """Add a notice and its deliveries, in the transaction of what it tells of; its number."""
    number = await _next(conn, notice.c.number)
    row = {"number": number, "kind": one.kind.value, "audience": one.audience, "subject": one.subject}
    data = json.dumps(one.data, ensure_ascii=False, sort_keys=True)
    await conn.execute(insert(notice).values(row | {"zh": one.zh, "en": one.en, "data": data, "at_us": at_us}))
    found = await channels_of(conn, one.audience)
    ways = [(channel.number, "") for channel in found if not channel.wanted or one.kind.value in channel.wanted]
    ways += [(0, name) for name in await _mailed(conn, one)]
    for channel, name in ways:
        await _add_delivery(conn, number, channel, name, at_us)
    return number


async def _add_delivery(conn: Connection, number: int, channel: int, name: str, at_us: int) -> None:
    row = {"number": await _next(conn, notice_delivery.c.number), "notice": number, "channel": channel, "person": name}
    rest = {"state": State.WAITING.value, "tries": 0, "next_us": at_us, "tried_us": 0, "fault": ""}
    await conn.execute(insert(notice_delivery).values(row | rest))


async def given(conn: Connection, kind: str, subjects: Collection[str]) -> set[tuple[str, str]]:
    """Audience and subject of the notices of a kind that are about one of these."""
    c, found = notice.c, set[tuple[str, str]]()
    for part in chunks(subjects):
        rows = await conn.execute(select(c.audience, c.subject).where(c.kind == kind, c.subject.in_(part)))
        found.update((row.audience, row.subject) for row in rows)
    return found


async def newest_subject(conn: Connection, kind: str) -> str | None:
    """The last subject, by order of text, that a notice of a kind is about."""
    found: str | None = (await conn.execute(select(func.max(notice.c.subject)).where(notice.c.kind == kind))).scalar()
    return found


async def newest_about(conn: Connection, kind: str) -> dict[tuple[str, str], Stored]:
    """The newest notice of a kind by audience and subject."""
    newest = (
        select(func.max(notice.c.number)).where(notice.c.kind == kind).group_by(notice.c.audience, notice.c.subject)
    )
    rows = await conn.execute(select(*notice.c).where(notice.c.number.in_(newest)))
    return {(one.audience, one.subject): one for one in map(_stored, rows)}


async def add_test(conn: Connection, channel: int, one: Notice, at_us: int) -> int:
    """A notice for one channel alone; its number."""
    number = await _next(conn, notice.c.number)
    row = {"number": number, "kind": one.kind.value, "audience": f"channel:{channel}", "subject": one.subject}
    await conn.execute(insert(notice).values(row | {"zh": one.zh, "en": one.en, "data": "{}", "at_us": at_us}))
    await _add_delivery(conn, number, channel, "", at_us)
    return number


async def _mailed(conn: Connection, one: Notice) -> list[str]:
    """Who of the audience wants this kind by mail."""
    c, r = notice_choice.c, person_role.c
    query = (
        select(c.person, c.mailed)
        .join(person_role, r.person == c.person)
        .join(person, person.c.name == c.person)
        .where(c.email != "", person.c.state == "active", _among(one.audience))
        .distinct()
    )
    rows = await conn.execute(query.order_by(c.person))
    return [row.person for row in rows if one.kind.value in row.mailed.split()]


def _among(audience: str) -> ColumnElement[bool]:
    """Grants of an audience."""
    r = person_role.c
    side, _, tenant = audience.partition(":")
    if audience == OFFICE:
        return r.role.in_([role.value for role in Role if role.is_official])
    roles = CENTRE if side == "centre" else BENEFICIARY
    return r.role.in_([role.value for role in roles]) & (r.tenant == tenant)


async def add_channel(conn: Connection, way: str, audience: str, shown: str, wanted: Sequence[str], by: str, now_us: int) -> int:  # fmt: skip
    """Make a channel without its secrets, which are sealed under its number; the number."""
    number = await _next(conn, notice_channel.c.number)
    row = {"number": number, "way": way, "audience": audience, "shown": shown, "wanted": " ".join(sorted(wanted))}
    rest = {"made_by": by, "made_us": now_us, "target": b"", "secret": b""}
    await conn.execute(insert(notice_channel).values(row | rest))
    return number


async def seal_channel(conn: Connection, number: int, target: bytes, secret: bytes) -> None:
    """Give a channel its sealed target and secret."""
    await conn.execute(
        update(notice_channel).where(notice_channel.c.number == number).values(target=target, secret=secret)
    )


async def end_channel(conn: Connection, number: int, now_us: int) -> None:
    """Deliver nothing more over a channel; what still waits is dead."""
    await conn.execute(update(notice_channel).where(notice_channel.c.number == number).values(ended_us=now_us))
    waiting = (notice_delivery.c.channel == number) & (notice_delivery.c.state == State.WAITING.value)
    await conn.execute(update(notice_delivery).where(waiting).values(state=State.DEAD.value, fault="channel ended"))


async def channels_of(conn: Connection, audience: str | None, *, every: bool = False) -> list[Channel]:
    """Channels in force of an audience, or of all; `every` gives ended ones too."""
    query = select(*notice_channel.c)
    if audience is not None:
        query = query.where(notice_channel.c.audience == audience)
    if not every:
        query = query.where(notice_channel.c.ended_us.is_(None))
    rows = await conn.execute(query.order_by(notice_channel.c.number))
    return [_channel(row) for row in rows]


def _channel(row: Any) -> Channel:
    return Channel(*row)._replace(wanted=tuple(row.wanted.split()))


async def find_channel(conn: Connection, number: int) -> Channel | None:
    """The channel of a number."""
    row = (await conn.execute(select(*notice_channel.c).where(notice_channel.c.number == number))).one_or_none()
    return None if row is None else _channel(row)


async def list_notices(
    conn: Connection, audience: str, muted: Sequence[str], before: int, limit: int
) -> list[Stored]:  # fmt: skip
    """Notices of an audience, newest first, from just below a number."""
    query = select(*notice.c).where(notice.c.audience == audience, notice.c.number < before)
    if muted:
        query = query.where(notice.c.kind.not_in(muted))
    rows = await conn.execute(query.order_by(notice.c.number.desc()).limit(limit))
    return [_stored(row) for row in rows]


async def count_after(conn: Connection, audience: str, muted: Sequence[str], seen: int) -> int:
    """Notices of an audience that came after a number."""
    query = select(func.count()).where(notice.c.audience == audience, notice.c.number > seen)
    if muted:
        query = query.where(notice.c.kind.not_in(muted))
    return int((await conn.execute(query)).scalar_one())


def _stored(row: Any) -> Stored:
    return Stored(*row)._replace(data=json.loads(row.data))


async def due(conn: Connection, now_us: int, limit: int) -> list[tuple[Delivery, Stored]]:
    """Deliveries whose time has come, oldest first, with their notices."""
    d = notice_delivery.c
    query = (
        select(*(column.label(f"d_{column.name}") for column in d), *notice.c)
        .join_from(notice_delivery, notice, notice.c.number == d.notice)
        .where(d.state == State.WAITING.value, d.next_us <= now_us)
        .order_by(d.number)
        .limit(limit)
    )
    width = len(d)
    return [(Delivery(*row[:width]), Stored(*row[width:])._replace(data=json.loads(row.data))) for row in await conn.execute(query)]  # fmt: skip


async def tried_since(conn: Connection, channel: int, since_us: int) -> int:
    """Messages that were sent over a channel since an instant; those of one message have one time."""
    d = notice_delivery.c
    query = select(func.count(func.distinct(d.tried_us))).where(d.channel == channel, d.tried_us > since_us)
    return int((await conn.execute(query)).scalar_one())


async def record(conn: Connection, numbers: Sequence[int], values: dict[str, Any]) -> None:
    """Write what came of deliveries that still waited."""
    d = notice_delivery.c
    query = update(notice_delivery).where(d.number.in_(numbers), d.state == State.WAITING.value)
    await conn.execute(query.values(values))


async def deliveries_of(conn: Connection, channel: int, state: str | None, after: int, limit: int) -> list[Delivery]:
    """Deliveries over a channel by number."""
    d = notice_delivery.c
    query = select(*d).where(d.channel == channel, d.number > after)
    if state is not None:
        query = query.where(d.state == state)
    return [Delivery(*row) for row in await conn.execute(query.order_by(d.number).limit(limit))]


async def newest_deliveries(conn: Connection, channel: int, limit: int) -> list[Delivery]:
    """The last deliveries over a channel, newest first."""
    d = notice_delivery.c
    query = select(*d).where(d.channel == channel).order_by(d.number.desc()).limit(limit)
    return [Delivery(*row) for row in await conn.execute(query)]


async def revive(conn: Connection, channel: int, number: int, now_us: int) -> bool:
    """Have a dead or delivered notice sent again; whether there is such a delivery."""
    d = notice_delivery.c
    query = update(notice_delivery).where(d.number == number, d.channel == channel)
    done = await conn.execute(query.values(state=State.WAITING.value, tries=0, next_us=now_us, fault=""))
    return bool(done.rowcount)


async def choice_of(conn: Connection, name: str) -> Choice:
    """What somebody chose; without a choice, everything in the inbox and nothing by mail."""
    c = notice_choice.c
    query = select(c.email, c.mailed, c.muted, c.seen).where(c.person == name)
    row = (await conn.execute(query)).one_or_none()
    return Choice() if row is None else Choice(row.email, tuple(row.mailed.split()), tuple(row.muted.split()), row.seen)


async def choose(conn: Connection, name: str, chosen: Choice) -> None:
    """Write what somebody chose."""
    values = {"email": chosen.email, "mailed": " ".join(chosen.mailed), "muted": " ".join(chosen.muted), "seen": chosen.seen}  # fmt: skip
    done = await conn.execute(update(notice_choice).where(notice_choice.c.person == name).values(values))
    if not done.rowcount:
        await conn.execute(insert(notice_choice).values(values | {"person": name}))


async def drop_choice(conn: Connection, name: str) -> None:
    """Forget what somebody chose, the address among it."""
    await conn.execute(delete(notice_choice).where(notice_choice.c.person == name))
