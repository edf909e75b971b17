"""SQL of saved views: names that somebody gave to the address of a list."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, func, insert, select

from ledger.sql import Connection
from suanquan.db.tables import saved_view


class View(NamedTuple):
    """A page with what its address asks for, under a name."""

    path: str
    name: str
    query: str


async def views_of(conn: Connection, owner: str, path: str | None = None) -> list[View]:
    """Views of somebody, of one page or of all, by page and name."""
    c = saved_view.c
    query = select(c.path, c.name, c.query).where(c.owner == owner).order_by(c.path, c.name)
    rows = await conn.execute(query if path is None else query.where(c.path == path))
    return [View(row.path, row.name, row.query) for row in rows]


async def save(conn: Connection, owner: str, view: View, now_us: int, most: int) -> bool:
    """Keep a view; the same name takes the newer address. False where somebody has `most` of them already."""
    c = saved_view.c
    mine = (c.owner == owner) & (c.path == view.path) & (c.name == view.name)
    await conn.execute(delete(saved_view).where(mine))
    count = (await conn.execute(select(func.count()).select_from(saved_view).where(c.owner == owner))).scalar_one()
    if count >= most:
        return False
    values = view._asdict() | {"owner": owner, "saved_us": now_us}
    await conn.execute(insert(saved_view).values(values))
    return True


async def remove(conn: Connection, owner: str, path: str, name: str) -> None:
    """Forget a view."""
    c = saved_view.c
    await conn.execute(delete(saved_view).where(c.owner == owner, c.path == path, c.name == name))
