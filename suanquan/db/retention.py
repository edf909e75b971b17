"""What is past its time: rows that are over since before a moment, counted and dropped by a thousand at a time."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, or_, select, tuple_

from ledger.sql import Connection
from suanquan.db.tables import (
    api_token,
    audit_detail,
    audit_row,
    challenge,
    invitation,
    login_failure,
    notice,
    notice_delivery,
    session,
)
from suanquan.notices.model import State
from voucher.tables import party_trait

TOGETHER = 1_000
"""Rows of a table that one transaction drops: others wait for it."""


class What(enum.Enum):
    """What has a term of its own."""

    SESSIONS = "sessions"
    TOKENS = "tokens"
    SECRETS = "secrets"
    DELIVERIES = "deliveries"
    NOTICES = "notices"
    PARTY_TRAITS = "party_traits"
    AUDIT_DETAILS = "audit_details"


class _Part(NamedTuple):
    table: Table
    is_past: Callable[[int], ColumnElement[bool]]


def _newest(table: Table) -> ColumnElement[int]:
    """The newest number of a table, whose row stays: numbers go on from it, and readers remember up to which they read."""
    return select(func.max(table.c.number)).scalar_subquery()


def _sessions(until_us: int) -> ColumnElement[bool]:
    return or_(session.c.ended_us < until_us, session.c.expires_us < until_us)


def _tokens(until_us: int) -> ColumnElement[bool]:
    return or_(api_token.c.revoked_us < until_us, api_token.c.expires_us < until_us)


def _invitations(until_us: int) -> ColumnElement[bool]:
    over = or_(invitation.c.used_us < until_us, invitation.c.expires_us < until_us)
    return and_(over, invitation.c.number < _newest(invitation))


def _deliveries(until_us: int) -> ColumnElement[bool]:
    d = notice_delivery.c
    return and_(d.state != State.WAITING.value, d.tried_us < until_us, d.number < _newest(notice_delivery))


def _notices(until_us: int) -> ColumnElement[bool]:
    kept = exists().where(notice_delivery.c.notice == notice.c.number)
    return and_(notice.c.at_us < until_us, ~kept, notice.c.number < _newest(notice))


_PARTS: Mapping[What, tuple[_Part, ...]] = MappingProxyType(
    {
        What.SESSIONS: (_Part(session, _sessions),),
        What.TOKENS: (_Part(api_token, _tokens),),
        What.SECRETS: (
            _Part(invitation, _invitations),
            _Part(challenge, lambda until_us: challenge.c.expires_us < until_us),
            _Part(login_failure, lambda until_us: login_failure.c.last_us < until_us),
        ),
        What.DELIVERIES: (_Part(notice_delivery, _deliveries),),
        What.NOTICES: (_Part(notice, _notices),),
        What.PARTY_TRAITS: (_Part(party_trait, lambda until_us: party_trait.c.recorded_us < until_us),),
    }
)
"""Details of the audit log are none of these: they are erased, which is a fact of that log (see `trail.erase`)."""


async def count_past(conn: Connection, what: What, until_us: int) -> int:
    """How many rows are over since before a moment."""
    if what is What.AUDIT_DETAILS:
        query = select(func.count()).select_from(audit_row).join(audit_detail, audit_detail.c.seq == audit_row.c.seq)
        return int((await conn.execute(query.where(audit_row.c.at_us < until_us))).scalar_one())
    queries = [select(func.count()).select_from(part.table).where(part.is_past(until_us)) for part in _PARTS[what]]
    return sum([int((await conn.execute(query)).scalar_one()) for query in queries])


async def drop_past(conn: Connection, what: What, until_us: int) -> int:
    """Drop rows that are over since before a moment, `TOGETHER` of each table at most; how many those were."""
    count = 0
    for part in _PARTS[what]:
        keys = list(part.table.primary_key)
        found = await conn.execute(select(*keys).where(part.is_past(until_us)).limit(TOGETHER))
        if some := [tuple(row) for row in found]:
            await conn.execute(delete(part.table).where(tuple_(*keys).in_(some)))
        count += len(some)
    return count
