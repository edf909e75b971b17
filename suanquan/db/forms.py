"""SQL of forms that were sent: each is claimed before its act, so that the same form sent twice is one act."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ledger.sql import Connection
from suanquan.db.database import Database
from suanquan.db.tables import form_sent

KEPT_US = 7 * 86_400_000_000
"""For how long a form is known again."""


async def claim(database: Database, digest: bytes, now_us: int) -> str | None:
    """Take a form on: None where it is new, else where its act is shown, empty while nobody knows what came of it."""
    c = form_sent.c
    try:
        async with database.write() as conn:
            await conn.execute(delete(form_sent).where(c.sent_us < now_us - KEPT_US))
            if (place := await _place(conn, digest)) is not None:
                return place
            await conn.execute(insert(form_sent).values(digest=digest, place="", sent_us=now_us))
    except IntegrityError:  # another process took it on in this moment
        return ""
    return None


async def _place(conn: Connection, digest: bytes) -> str | None:
    found: str | None = (await conn.execute(select(form_sent.c.place).where(form_sent.c.digest == digest))).scalar()
    return found


async def settle(database: Database, digest: bytes, place: str) -> None:
    """Say where the act of a form is shown."""
    async with database.write() as conn:
        await conn.execute(update(form_sent).where(form_sent.c.digest == digest).values(place=place))


async def release(database: Database, digest: bytes) -> None:
    """Give a form back that led to no act."""
    async with database.write() as conn:
        await conn.execute(delete(form_sent).where(form_sent.c.digest == digest))
