"""SQL of what vouchers have to spend, for whoever asks before or besides the debit, on a connection that the caller owns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select

from ledger.sql import Connection, Statement, chunks, execute_all
from voucher import tables
from voucher.store import BoundVoucher

_SPENDABLE = (
    "SELECT v.jti, v.scheme, v.account, v.asset, v.from_us, v.until_us, v.priority, v.issued_us, "
    "b.credits_posted - b.debits_posted - b.debits_held FROM binding g JOIN voucher v ON v.holder = g.holder "
    "JOIN balance b ON b.account = v.account WHERE g.centre = ? AND g.account = ? AND b.restriction = 0"
)


async def spendable_by(conn: Connection, centre: str, account: str) -> tuple[bool, list[tuple[BoundVoucher, int]]]:
    """Whether an account of a centre belongs to a holder, and its unrestricted vouchers with what they have available.

    One visit to the database: schedulers wait for it.
    """
    return spendable_in(account, *await execute_all(conn, spendable_statements(centre, account)))


def spendable_statements(centre: str, account: str) -> list[Statement]:
    """What `spendable_by` asks, for whoever asks more in the same visit."""
    bound = "SELECT 1 FROM binding WHERE centre = ? AND account = ? LIMIT 1"
    return [(bound, (centre, account)), (_SPENDABLE, (centre, account))]


def spendable_in(
    account: str, bound: Sequence[object], rows: Sequence[tuple[Any, ...]]
) -> tuple[bool, list[tuple[BoundVoucher, int]]]:
    """What `spendable_by` gives, of the rows of its statements."""
    return bool(bound), [(BoundVoucher(account, *row[:-1]), row[-1]) for row in rows]


async def flows_of(conn: Connection, jtis: Iterable[str]) -> list[tuple[str, int, int]]:
    """Voucher, units and instant of all that left these vouchers without paying: expired, split off, given back."""
    flow, gone = tables.outflow.c, tables.revoked.c
    found: list[tuple[str, int, int]] = []
    for part in chunks(jtis):
        for query in (
            select(flow.jti, flow.units, flow.at_us).where(flow.jti.in_(part)),
            select(gone.jti, gone.returned, gone.revoked_us).where(gone.jti.in_(part)),
        ):
            found.extend((row[0], row[1], row[2]) for row in await conn.execute(query))
    return found
