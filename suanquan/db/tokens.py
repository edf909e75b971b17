"""SQL of API tokens: only digests are kept, so a stolen database opens nothing."""

from __future__ import annotations

import secrets
from hashlib import sha256

from sqlalchemy import insert, select, update

from ledger.sql import Connection
from suanquan.access.policy import BENEFICIARY, Role
from suanquan.access.principal import Principal
from suanquan.db.tables import api_token

PREFIX = "sqt_"


async def create_token(conn: Connection, role: str, label: str, now_us: int) -> str:
    """Make a token of 256 random bits; it is shown once and cannot be read back."""
    token = PREFIX + secrets.token_urlsafe(32)
    digest = sha256(token.encode()).digest()
    await conn.execute(insert(api_token).values(digest=digest, role=role, label=label, created_us=now_us))
    return token


async def principal_of(conn: Connection, token: str) -> Principal | None:
    """Who a token in force stands for; an applicant is its own tenant.

    A look-up by digest takes the same time whether the token is close to a real one or not.
    """
    digest = sha256(token.encode()).digest()
    columns = api_token.c.role, api_token.c.label
    query = select(*columns).where(api_token.c.digest == digest, api_token.c.revoked_us.is_(None))
    row = (await conn.execute(query)).one_or_none()
    role = None if row is None else Role.parse(row.role)
    if row is None or role is None:
        return None
    return Principal(row.label, role, row.label if role in BENEFICIARY else "")


async def roles_of(conn: Connection, label: str) -> set[str]:
    """Roles in which somebody may act."""
    query = select(api_token.c.role).where(api_token.c.label == label, api_token.c.revoked_us.is_(None))
    return set((await conn.execute(query)).scalars())


async def list_tokens(conn: Connection) -> list[tuple[str, str, int, int | None]]:
    """Role, label, when made and when revoked, of every token, oldest first."""
    columns = api_token.c.role, api_token.c.label, api_token.c.created_us, api_token.c.revoked_us
    rows = await conn.execute(select(*columns).order_by(api_token.c.created_us, api_token.c.label))
    return [tuple(row) for row in rows]


async def revoke_tokens(conn: Connection, label: str, now_us: int) -> int:
    """End every token of a label; how many there were."""
    query = update(api_token).where(api_token.c.label == label, api_token.c.revoked_us.is_(None))
    return (await conn.execute(query.values(revoked_us=now_us))).rowcount
