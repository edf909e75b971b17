"""SQL of API tokens: only digests are kept, so a stolen database opens nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from ledger.sql import Connection, Statement, execute_all
from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db.tables import api_token

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


_PRINCIPAL = (
    "SELECT t.role, t.label, t.tenant, t.actions FROM api_token t LEFT JOIN person p ON p.name = t.label "
    "WHERE t.digest = ? AND t.revoked_us IS NULL AND (t.expires_us IS NULL OR t.expires_us > ?) "
    "AND (p.state IS NULL OR p.state = 'active')"
)


async def principal_of(conn: Connection, token: str, now_us: int) -> Principal | None:
    """Who a token in force stands for; the token of an account that was ended stands for nobody.

    A look-up by digest takes the same time whether the token is close to a real one or not.
    """
    return (await principal_beside(conn, token, now_us, ()))[0]


async def principal_beside(
    conn: Connection, token: str, now_us: int, statements: Sequence[Statement]
) -> tuple[Principal | None, list[list[tuple[Any, ...]]]]:
    """Who a token stands for, and what other statements give in the same visit to the database."""
    asked = _PRINCIPAL, (sha256(token.encode()).digest(), now_us)
    rows, *others = await execute_all(conn, [asked, *statements])
    role = Role.parse(rows[0][0]) if rows else None
    if role is None:
        return None, others
    _, label, tenant, actions = rows[0]
    return Principal(label, role, tenant, frozenset(actions.split()) or None), others


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
