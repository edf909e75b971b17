"""SQL of the editions of the registers that usage was rated by."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, select

from ledger.sql import Connection, insert_rows
from metering import tables


class Edition(NamedTuple):
    """Register of accelerators and price list as files, named by their digest."""

    number: int
    digest: bytes
    accelerators: bytes
    prices: bytes
    first_us: int


async def newest_edition(conn: Connection) -> Edition | None:
    """The edition in use, None before the first."""
    query = select(tables.register_edition).order_by(tables.register_edition.c.number.desc()).limit(1)
    row = (await conn.execute(query)).first()
    return None if row is None else Edition(*row)


async def write_edition(conn: Connection, edition: Edition) -> None:
    """Append an edition."""
    await insert_rows(conn, tables.register_edition, [tuple(edition)])


async def used_until_us(conn: Connection) -> int:
    """End of the latest usage that was rated; 0 before any."""
    return int((await conn.execute(select(func.coalesce(func.max(tables.source.c.last_us), 0)))).scalar_one())
