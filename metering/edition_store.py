"""SQL of the editions of the registers that usage was rated by."""

from __future__ import annotations

from typing import NamedTuple

from ledger.sql import Connection, execute_all, insert_rows
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
    query = "SELECT number, digest, accelerators, prices, first_us FROM register_edition ORDER BY number DESC LIMIT 1"
    [rows] = await execute_all(conn, [(query, ())])
    return Edition(*rows[0]) if rows else None


async def write_edition(conn: Connection, edition: Edition) -> None:
    """Append an edition."""
    await insert_rows(conn, tables.register_edition, [tuple(edition)])


async def used_until_us(conn: Connection) -> int:
    """End of the latest usage that was rated; 0 before any."""
    [[(last_us,)]] = await execute_all(conn, [("SELECT max(last_us) FROM source", ())])
    return int(last_us or 0)
