"""Plain double entry: the tables that a ledger has at least, as the raw limit of `bench transfers`. No home has them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, MetaData, Table, UniqueConstraint

from ledger.sql import Conflict, Rows
from ledger.tables import BYTES, INT, SMALL
from suanquan.db.database import Database

metadata = MetaData()

_entry = Table(
    "plain_entry",
    metadata,
    Column("seq", INT, primary_key=True, autoincrement=False),
    Column("event_id", BYTES, nullable=False),
    Column("recorded_ns", INT, nullable=False),
    Column("leaf", BYTES, nullable=False),
    UniqueConstraint("event_id"),
    sqlite_strict=True,
)
_leg = Table(
    "plain_leg",
    metadata,
    Column("account", INT, primary_key=True),
    Column("seq", INT, primary_key=True),
    Column("side", SMALL, primary_key=True),
    Column("amount", INT, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
_balance = Table(
    "plain_balance",
    metadata,
    Column("account", INT, primary_key=True, autoincrement=False),
    Column("debits", INT, nullable=False),
    Column("credits", INT, nullable=False),
    sqlite_strict=True,
)


async def create_plain(database: Database) -> None:
    """Make the tables."""
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)


Transfer = tuple[int, bytes, int, bytes, int, int, int]
"""Number, event id, time, leaf, debited and credited account, amount."""


def plain_rows(transfers: Sequence[Transfer], balances: dict[int, list[int]]) -> list[Rows]:
    """Rows of one commit: an entry each, a leg for each account, and the balances of the accounts it touches."""
    legs: list[tuple[int, int, int, int]] = []
    touched: set[int] = set()
    for seq, _, _, _, debited, credited, amount in transfers:
        balances.setdefault(debited, [0, 0])[0] += amount
        balances.setdefault(credited, [0, 0])[1] += amount
        legs += ((debited, seq, 0, amount), (credited, seq, 1, amount))
        touched |= {debited, credited}
    return [
        (_entry, [transfer[:4] for transfer in transfers], Conflict.REFUSE),
        (_leg, legs, Conflict.REFUSE),
        (_balance, [(account, *balances[account]) for account in sorted(touched)], Conflict.REPLACE),
    ]
