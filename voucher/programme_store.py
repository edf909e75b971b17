"""SQL of programmes: what became of vouchers by scheme and year, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ledger.sql import Connection, execute_all, insert_rows, select_in
from voucher import tables

_OUT = "(SELECT COALESCE(SUM(o.units), 0) FROM outflow o WHERE o.jti = v.jti)"
_BACK = "(SELECT COALESCE(SUM(o.units), 0) FROM outflow o WHERE o.jti = v.jti AND o.kind = 'returned')"
_GONE = "(SELECT COALESCE(SUM(o.units), 0) FROM outflow o WHERE o.jti = v.jti AND o.kind = 'expired')"
_CHILD = "EXISTS (SELECT 1 FROM outflow o WHERE o.child = v.jti)"

_REDEEMED = f"""
SELECT v.year, SUM(b.debits_posted - COALESCE(r.returned, 0) - {_OUT})
FROM voucher v JOIN balance b ON b.account = v.account LEFT JOIN revoked r ON r.jti = v.jti
WHERE v.scheme = ? AND v.asset = ? AND v.holder = ? GROUP BY v.year
"""  # noqa: S608 -- own text
_OF_YEAR = f"""
SELECT v.asset, COUNT(*), SUM(CASE WHEN {_CHILD} THEN 0 ELSE v.units END), SUM(b.debits_held),
  SUM(b.credits_posted - b.debits_posted - b.debits_held), SUM(b.debits_posted - COALESCE(r.returned, 0) - {_OUT}),
  SUM({_GONE}), SUM(COALESCE(r.returned, 0) + {_BACK})
FROM voucher v JOIN balance b ON b.account = v.account LEFT JOIN revoked r ON r.jti = v.jti
WHERE v.scheme = ? AND v.year = ? GROUP BY v.asset
"""  # noqa: S608 -- own text


class VoucherSums(NamedTuple):
    """What became of the vouchers of a scheme and a year, in units: `faces` are those that were issued, parts split off not counted again."""

    vouchers: int
    faces: int
    held: int
    available: int
    redeemed: int
    expired: int
    returned: int


async def redeemed_by_holder(conn: Connection, scheme: str, asset: int, holder: str) -> dict[int, int]:
    """Units that a holder's vouchers paid, by the year that bore them."""
    [rows] = await execute_all(conn, [(_REDEEMED, (scheme, asset, holder))])
    return {int(year): int(units) for year, units in rows}


async def sums_of_year(conn: Connection, scheme: str, year: int) -> dict[int, VoucherSums]:
    """Sums over the vouchers of a scheme and a year, by number of the asset."""
    [rows] = await execute_all(conn, [(_OF_YEAR, (scheme, year))])
    return {int(asset): VoucherSums(*map(int, sums)) for asset, *sums in rows}


class ReclaimRow(NamedTuple):
    """One row of what became of idle units; see `tables.reclaim`."""

    jti: str
    cycle: int
    stage: str
    units: int
    day: str
    effective_on: str
    event_id: bytes | None


async def add_reclaim(conn: Connection, row: ReclaimRow) -> None:
    """Append a row."""
    await insert_rows(conn, tables.reclaim, [tuple(row)])


async def reclaims_of(conn: Connection, jtis: Sequence[str]) -> dict[str, list[ReclaimRow]]:
    """Rows of these vouchers."""
    text = f"SELECT {', '.join(ReclaimRow._fields)} FROM reclaim WHERE jti"  # noqa: S608 -- own names
    found: dict[str, list[ReclaimRow]] = {}
    for rows in await execute_all(conn, select_in(text, jtis)):
        for row in rows:
            found.setdefault(row[0], []).append(ReclaimRow(*row))
    return found


async def reclaims_of_scheme(conn: Connection, scheme: str, limit: int) -> list[ReclaimRow]:
    """Notices under a scheme and what became of them, newest first."""
    names = ", ".join(f"c.{name}" for name in ReclaimRow._fields)
    text = (
        f"SELECT {names} FROM reclaim c JOIN voucher v ON v.jti = c.jti "  # noqa: S608 -- own names
        "WHERE v.scheme = ? AND c.stage <> 'looked' ORDER BY c.day DESC, c.jti, c.cycle, c.stage LIMIT ?"
    )
    [rows] = await execute_all(conn, [(text, (scheme, limit))])
    return [ReclaimRow(*row) for row in rows]


async def living_vouchers(
    conn: Connection, scheme: str, now_us: int, issued_by_us: int, after: str, limit: int
) -> list[tuple[str, int]]:
    """Vouchers of a scheme that are neither over nor revoked, with their time of issue, in order of id."""
    text = (
        "SELECT v.jti, v.issued_us FROM voucher v LEFT JOIN revoked r ON r.jti = v.jti WHERE v.scheme = ? "
        "AND r.jti IS NULL AND v.until_us > ? AND v.issued_us <= ? AND v.jti > ? ORDER BY v.jti LIMIT ?"
    )
    [rows] = await execute_all(conn, [(text, (scheme, now_us, issued_by_us, after, limit))])
    return [(str(jti), int(issued_us)) for jti, issued_us in rows]


async def waiting_for_release(conn: Connection, since: str, limit: int) -> list[str]:
    """Vouchers after an id that were recorded and not signed yet, oldest first."""
    text = (
        "SELECT v.jti FROM voucher v WHERE v.jti > ? "
        "AND NOT EXISTS (SELECT 1 FROM released r WHERE r.jti = v.jti) ORDER BY v.jti LIMIT ?"
    )
    [rows] = await execute_all(conn, [(text, (since, limit))])
    return [str(jti) for (jti,) in rows]


async def newest_after(conn: Connection, steps: Sequence[str]) -> list[str]:
    """Applications whose newest step is one of these, oldest first."""
    marks = ", ".join("?" for _ in steps)
    text = (
        f"SELECT s.subject FROM procedure_step s WHERE s.step IN ({marks}) AND NOT EXISTS "  # noqa: S608 -- own text
        "(SELECT 1 FROM procedure_step t WHERE t.subject = s.subject AND t.number > s.number) ORDER BY s.number"
    )
    rows: list[list[tuple[Any, ...]]] = await execute_all(conn, [(text, tuple(steps))])
    return [str(subject) for (subject,) in rows[0]]
