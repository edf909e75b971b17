"""SQL of what vouchers had at past moments, on a connection that the caller owns: the documents, and what left them when."""

from __future__ import annotations

from typing import NamedTuple

from ledger.sql import Connection, execute_all


class Paper(NamedTuple):
    """A voucher's document: whose account it has, of which scheme, unit and year, its units, and when it was issued."""

    jti: str
    account: int
    scheme: str
    asset: int
    year: int
    units: int
    issued_us: int


class Left(NamedTuple):
    """Units that left a voucher at an instant without paying: `split`, `expired` or `returned`."""

    jti: str
    kind: str
    units: int
    at_us: int


async def papers(conn: Connection, asset: int) -> list[Paper]:
    """Every voucher in a unit."""
    text = "SELECT jti, account, scheme, asset, year, units, issued_us FROM voucher WHERE asset = ? ORDER BY jti"
    [rows] = await execute_all(conn, [(text, (asset,))])
    return [Paper(*row) for row in rows]


async def all_left(conn: Connection) -> list[Left]:
    """What ever left vouchers otherwise than by paying."""
    flows = "SELECT jti, kind, units, at_us FROM outflow"
    revoked = "SELECT jti, 'returned', returned, revoked_us FROM revoked"
    [first, second] = await execute_all(conn, [(flows, ()), (revoked, ())])
    return [Left(*row) for row in (*first, *second)]


async def left_by(conn: Connection) -> set[bytes]:
    """Ids of the entries by which something left a voucher without paying: split off, expired, taken back."""
    [rows] = await execute_all(conn, [("SELECT event_id FROM outflow", ())])
    return {bytes(event_id) for (event_id,) in rows}
