"""What an audit reads beside the leaves: whole tables in order, in parts that fit into memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Subquery, Table, exists, func, literal_column, not_, or_, select, tuple_

from ledger import tables
from ledger.entry import EntryKind, Side
from ledger.sql import Connection, chunks
from ledger.state import HoldStatus
from voucher import tables as voucher_tables

PART = 2_000
ENTRY, ACCOUNT, NAME, BALANCE = tables.entry.c, tables.account.c, tables.account_name.c, tables.balance.c
HOLD, TOUCHED, DATED, DAY = tables.hold.c, tables.touched.c, tables.dated.c, tables.dated_day.c
TILE, CHECKPOINT, FAILED = tables.tile.c, tables.checkpoint.c, tables.failed.c


async def stream(conn: Connection, query: Select[Any]) -> AsyncIterator[Any]:
    """Rows of a query in its order, fetched in parts."""
    result = await conn.stream(query.execution_options(yield_per=PART))
    async for part in result.partitions():
        for row in part:
            yield row


def in_order(table: Table) -> Select[Any]:
    """Every row of a table in the order of its primary key."""
    return select(table).order_by(*table.primary_key.columns)


async def count(conn: Connection, table: Table) -> int:
    """Rows of a table."""
    return int((await conn.execute(select(func.count()).select_from(table))).scalar_one())


class AccountRow(NamedTuple):
    """An account with its name and its balance; None where a row is missing. A last entry of -1 is none."""

    number: int
    public_id: bytes
    asset: int
    name: str | None
    floor: int | None
    ceiling: int | None
    restriction: int | None
    debits_posted: int
    credits_posted: int
    debits_held: int
    credits_held: int
    last_seq: int
    recent: bytes

    @property
    def title(self) -> str:
        """What to call it in a report."""
        return f"account {self.name or self.number}"


_ACCOUNTS = (
    select(
        ACCOUNT.number,
        ACCOUNT.public_id,
        ACCOUNT.asset,
        NAME.name,
        *(column for column in BALANCE if column.name != "account"),
    )
    .join_from(tables.account, tables.account_name, NAME.account == ACCOUNT.number, isouter=True)
    .outerjoin(tables.balance, BALANCE.account == ACCOUNT.number)
)


async def accounts(conn: Connection) -> AsyncIterator[AccountRow]:
    """Every account in order of number."""
    async for row in stream(conn, _ACCOUNTS.order_by(ACCOUNT.number)):
        yield AccountRow(*row)


async def accounts_of(conn: Connection, public_ids: Iterable[bytes]) -> list[AccountRow]:
    """The accounts of these public ids."""
    found: list[AccountRow] = []
    for part in chunks(public_ids):
        rows = await conn.execute(_ACCOUNTS.where(ACCOUNT.public_id.in_(part)))
        found.extend(AccountRow(*row) for row in rows)
    return found


HoldRow = tuple[int, int, int, int, int, int, int | None, int]


async def holds(conn: Connection, seqs: Iterable[int]) -> dict[int, list[HoldRow]]:
    """Lines of holds, in order."""
    found: dict[int, list[HoldRow]] = {}
    for part in chunks(seqs):
        query = select(tables.hold).where(HOLD.seq.in_(part)).order_by(HOLD.seq, HOLD.line)
        for row in await conn.execute(query):
            found.setdefault(row.seq, []).append(tuple(row))
    return found


async def hold_of_nobody(conn: Connection) -> int | None:
    """A stored hold that no entry of the log opens."""
    opened = exists().where(ENTRY.shard == 0, ENTRY.seq == HOLD.seq, ENTRY.kind == EntryKind.HOLD)
    found: int | None = (await conn.execute(select(func.min(HOLD.seq)).where(not_(opened)))).scalar_one()
    return found


async def open_lines(conn: Connection) -> list[HoldRow]:
    """Every line of an open hold."""
    rows = await conn.execute(select(tables.hold).where(HOLD.status == HoldStatus.OPEN))
    return [tuple(row) for row in rows]


async def held(conn: Connection) -> dict[int, tuple[int, int]]:
    """Held debits and credits of the accounts that have any, as their balances say."""
    query = select(BALANCE.account, BALANCE.debits_held, BALANCE.credits_held)
    rows = await conn.execute(query.where(or_(BALANCE.debits_held != 0, BALANCE.credits_held != 0)))
    return {account: (debits, credits_) for account, debits, credits_ in rows}


async def sums(conn: Connection) -> dict[int, tuple[int, int, int, int]]:
    """Totals of all balances per asset, added up in two halves: the whole may not fit the database's numbers."""
    totals = (BALANCE.debits_posted, BALANCE.credits_posted, BALANCE.debits_held, BALANCE.credits_held)
    halves = [half for total in totals for half in _halves(total)]
    query = select(ACCOUNT.asset, *halves).join_from(tables.account, tables.balance, BALANCE.account == ACCOUNT.number)
    rows = await conn.execute(query.group_by(ACCOUNT.asset))
    found = {}
    for asset, *parts in rows:
        high, low = map(int, parts[::2]), map(int, parts[1::2])
        dp, cp, dh, ch = ((one << 32) + two for one, two in zip(high, low, strict=True))
        found[int(asset)] = (dp, cp, dh, ch)
    return found


def _halves(column: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    return func.sum(column.bitwise_rshift(literal_column("32"))), func.sum(column.bitwise_and(2**32 - 1))


async def tiles(conn: Connection, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], tuple[bytes, bytes]]:
    """Hashes and root of full tiles by level and number."""
    found: dict[tuple[int, int], tuple[bytes, bytes]] = {}
    for part in chunks(keys):
        rows = await conn.execute(select(tables.tile).where(tuple_(TILE.level, TILE.number).in_(part)))
        found.update(((level, number), (hashes, root)) for level, number, hashes, root in rows)
    return found


async def leaves(conn: Connection, seqs: Iterable[int]) -> AsyncIterator[bytes]:
    """Leaves of these entries, in order."""
    for part in chunks(sorted(seqs)):
        query = select(ENTRY.leaf).where(ENTRY.shard == 0, ENTRY.seq.in_(part)).order_by(ENTRY.seq)
        for (leaf,) in (await conn.execute(query)).all():
            yield leaf


async def leaves_from(conn: Connection, first: int, limit: int) -> list[bytes]:
    """Leaves from a number on, in order."""
    query = select(ENTRY.leaf).where(ENTRY.shard == 0, ENTRY.seq >= first).order_by(ENTRY.seq).limit(limit)
    return [leaf for (leaf,) in await conn.execute(query)]


async def checkpoints(conn: Connection, after: int, until: int) -> list[tuple[int, bytes, str]]:
    """Size, root and note of the checkpoints of sizes above `after` up to `until`, in order."""
    query = select(CHECKPOINT.size, CHECKPOINT.root, CHECKPOINT.note).where(
        CHECKPOINT.size > after, CHECKPOINT.size <= until
    )
    return [tuple(row) for row in await conn.execute(query.order_by(CHECKPOINT.size))]


async def erasures(conn: Connection) -> dict[int, tuple[int | None, int]]:
    """Account and erasing entry by the entry whose payload is gone."""
    return {seq: (account, by_seq) for seq, account, by_seq in await conn.execute(select(tables.erased))}


async def recorded_failure(conn: Connection) -> bytes | None:
    """An event id that counts as refused although it was recorded, or is not one."""
    recorded = exists().where(ENTRY.event_id == FAILED.event_id)
    misshapen = or_(func.length(FAILED.event_id) != 16, func.length(FAILED.digest) != 32)
    found: bytes | None = (
        await conn.execute(select(FAILED.event_id).where(or_(recorded, misshapen)).limit(1))
    ).scalar_one_or_none()
    return found


def _taken_back(side: Side) -> Subquery:
    """By account, what reversals took back of its debits or of its credits."""
    taken = tables.reversal.c
    return (
        select(taken.account, func.sum(taken.amount).label("amount"))
        .where(taken.side == side)
        .group_by(taken.account)
        .subquery()
    )


async def voucher_sums(conn: Connection) -> list[tuple[str, int, int, int, int, int, int, int]]:
    """By scheme, asset and year of vouchers: units issued by document; available, held, debited, and debits taken back.

    What one voucher was split into others was issued and debited once: it is left out of both.
    """
    taken = _taken_back(Side.DEBIT)
    flow = voucher_tables.outflow.c
    split = (
        select(flow.jti, func.sum(flow.units).label("units")).where(flow.kind == "split").group_by(flow.jti).subquery()
    )
    parted = func.coalesce(split.c.units, 0)
    voucher = voucher_tables.voucher.c
    balance = BALANCE.credits_posted - BALANCE.debits_posted
    debited_ = BALANCE.debits_posted - parted
    sums_ = (voucher.units - parted, balance - BALANCE.debits_held, BALANCE.debits_held, debited_, taken.c.amount)
    keys = voucher.scheme, voucher.asset, voucher.year
    query = (
        select(*keys, *(func.coalesce(func.sum(one), 0) for one in sums_))
        .join_from(voucher_tables.voucher, tables.balance, BALANCE.account == voucher.account, isouter=True)
        .outerjoin(taken, taken.c.account == voucher.account)
        .outerjoin(split, split.c.jti == voucher.jti)
        .group_by(*keys)
        .order_by(*keys)
    )
    rows = await conn.execute(query)
    return [
        (scheme, asset, year, int(issued), int(available), int(held_), int(debited), int(back))
        for scheme, asset, year, issued, available, held_, debited, back in rows
    ]


async def net_debits(conn: Connection, name: str) -> int:
    """Posted debits of an account by its name, less those that took a credit back; 0 where there is none."""
    taken = _taken_back(Side.CREDIT)
    query = (
        select(BALANCE.debits_posted - func.coalesce(taken.c.amount, 0))
        .join_from(tables.account_name, tables.balance, BALANCE.account == NAME.account)
        .outerjoin(taken, taken.c.account == NAME.account)
        .where(NAME.name == name)
    )
    return int((await conn.execute(query)).scalar_one_or_none() or 0)
