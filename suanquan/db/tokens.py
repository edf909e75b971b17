"""SQL of API tokens: only digests are kept, so a stolen database opens nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import ColumnElement, insert, or_, select, update

from ledger.sql import Connection
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db.tables import api_token, person

PREFIX = "sqt_"


class Token(NamedTuple):
    """A token without its secret; `id` begins its digest."""

    id: str
    role: str
    label: str
    created_us: int
    revoked_us: int | None
    tenant: str
    actions: tuple[str, ...]
    expires_us: int | None


async def create_token(
    conn: Connection, role: str, label: str, now_us: int, *, tenant: str = "", actions: Iterable[str] = (),
    expires_us: int | None = None,
) -> str:  # fmt: skip
    """Make a token of 256 random bits; it is shown once and cannot be read back. Without `actions` it may do what its role may."""
    token = PREFIX + secrets.token_urlsafe(32)
    row = {
        "digest": sha256(token.encode()).digest(),
        "role": role,
        "label": label,
        "created_us": now_us,
        "tenant": tenant,
        "actions": " ".join(sorted(actions)),
        "expires_us": expires_us,
    }
    await conn.execute(insert(api_token).values(row))
    return token


async def principal_of(conn: Connection, token: str, now_us: int) -> Principal | None:
    """Who a token in force stands for; the token of an account that was ended stands for nobody.

    A look-up by digest takes the same time whether the token is close to a real one or not.
    """
    digest = sha256(token.encode()).digest()
    columns = api_token.c.role, api_token.c.label, api_token.c.tenant, api_token.c.actions
    query = (
        select(*columns)
        .join_from(api_token, person, person.c.name == api_token.c.label, isouter=True)
        .where(
            api_token.c.digest == digest, *_in_force(now_us), or_(person.c.state.is_(None), person.c.state == "active")
        )
    )
    row = (await conn.execute(query)).one_or_none()
    role = None if row is None else Role.parse(row.role)
    if row is None or role is None:
        return None
    return Principal(row.label, role, row.tenant, frozenset(row.actions.split()) or None)


def _in_force(now_us: int) -> tuple[ColumnElement[bool], ...]:
    return api_token.c.revoked_us.is_(None), or_(api_token.c.expires_us.is_(None), api_token.c.expires_us > now_us)


async def roles_of(conn: Connection, label: str) -> set[str]:
    """Roles in which somebody may act by a token."""
    query = select(api_token.c.role).where(api_token.c.label == label, api_token.c.revoked_us.is_(None))
    return set((await conn.execute(query)).scalars())


async def list_tokens(conn: Connection, label: str | None = None) -> list[Token]:
    """Every token, or those of one person, oldest first."""
    c = api_token.c
    query = select(c.digest, c.role, c.label, c.created_us, c.revoked_us, c.tenant, c.actions, c.expires_us)
    if label is not None:
        query = query.where(c.label == label)
    rows = await conn.execute(query.order_by(c.created_us, c.label, c.digest))
    return [Token(bytes(row[0]).hex()[:16], *row[1:6], tuple(row[6].split()), row[7]) for row in rows]


async def revoke_tokens(conn: Connection, label: str, now_us: int) -> int:
    """End every token of a label; how many there were."""
    query = update(api_token).where(api_token.c.label == label, api_token.c.revoked_us.is_(None))
    return (await conn.execute(query.values(revoked_us=now_us))).rowcount


async def revoke_token(conn: Connection, label: str, token_id: str, now_us: int) -> bool:
    """End one token of a label; whether there was one."""
    for digest in (await conn.execute(select(api_token.c.digest).where(api_token.c.label == label))).scalars().all():
        if bytes(digest).hex()[:16] == token_id:
            query = update(api_token).where(api_token.c.digest == digest, api_token.c.revoked_us.is_(None))
            return (await conn.execute(query.values(revoked_us=now_us))).rowcount == 1
    return False
