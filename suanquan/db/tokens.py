"""SQL of API tokens: only digests are kept, so a stolen database opens nothing."""

from __future__ import annotations

import secrets
from hashlib import sha256

from sqlalchemy import insert, select

from ledger.sql import Connection
from suanquan.db.tables import api_token

PREFIX = "sqt_"


async def create_token(conn: Connection, role: str, label: str, now_us: int) -> str:
    """Make a token of 256 random bits; it is shown once and cannot be read back."""
    token = PREFIX + secrets.token_urlsafe(32)
    digest = sha256(token.encode()).digest()
    await conn.execute(insert(api_token).values(digest=digest, role=role, label=label, created_us=now_us))
    return token


async def role_of(conn: Connection, token: str) -> str | None:
    """Role of a token in force. A look-up by digest takes the same time whether the token is close to a real one or not."""
    digest = sha256(token.encode()).digest()
    query = select(api_token.c.role).where(api_token.c.digest == digest, api_token.c.revoked_us.is_(None))
    found: str | None = (await conn.execute(query)).scalar()
    return found
