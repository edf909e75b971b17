"""SQL of offline leases and what centres say they spent, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledger.sql import Connection, execute_all, insert_rows, select_in
from voucher import tables
from voucher.lease import Spend


class LeaseRow(NamedTuple):
    """A hold that is a lease: of which voucher, for which centre, in what; UTC epoch seconds of its begin and its end."""

    hold: str
    seq: int
    jti: str
    centre: str
    asset: int
    from_s: int
    ends_s: int


_OUT = """
SELECT COALESCE(SUM(h.remaining), 0) FROM offline_lease l JOIN hold h ON h.seq = l.seq AND h.line = 0 AND h.status = 0
WHERE l.asset = ? AND l."""


async def write_lease(conn: Connection, row: LeaseRow) -> None:
    """Note that a hold is a lease."""
    await insert_rows(conn, tables.offline_lease, [row])


async def load_lease(conn: Connection, hold: str) -> LeaseRow | None:
    """The lease that a hold is, if it is one."""
    names = ", ".join(LeaseRow._fields)
    [rows] = await execute_all(conn, [(f"SELECT {names} FROM offline_lease WHERE hold = ?", (hold,))])  # noqa: S608 -- own names
    return LeaseRow(*rows[0]) if rows else None


async def units_out(conn: Connection, asset: int, jti: str, centre: str) -> tuple[int, int]:
    """Units of an asset in open leases: of a voucher, and at a centre."""
    of_voucher, of_centre = await execute_all(
        conn, [(f"{_OUT}jti = ?", (asset, jti)), (f"{_OUT}centre = ?", (asset, centre))]
    )
    return int(of_voucher[0][0]), int(of_centre[0][0])


async def load_spends(conn: Connection, hold: str, numbers: Sequence[int] | None = None) -> dict[int, Spend]:
    """What was reported of a lease: all, or what stands under these numbers."""
    text = "SELECT number, units, at_s, reference FROM offline_spend WHERE hold = ?"
    asked = (
        [(f"{text} ORDER BY number", (hold,))] if numbers is None else select_in(f"{text} AND number", numbers, hold)
    )
    rows = await execute_all(conn, asked)
    return {row[0]: Spend(*row) for some in rows for row in some}


async def write_spends(conn: Connection, hold: str, spends: Sequence[Spend], seq: int) -> None:
    """Keep what a centre reported, with the entry that captured it."""
    await insert_rows(conn, tables.offline_spend, [(hold, *one, seq) for one in spends])
