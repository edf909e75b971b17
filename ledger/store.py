"""SQL of the journal, on a connection that the caller owns: nothing here begins or commits a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select, update
from sqlalchemy.engine import RowMapping

from ledger import tables
from ledger.amount import INT64_MAX
from ledger.apply import Account, Hold, HoldStatus
from ledger.entry import Entry, Event
from ledger.leaf import decode
from ledger.sql import Conflict, Connection, chunks, insert_rows
from ledger.tree import Frontier


@dataclass(frozen=True, slots=True)
class LogHead:
    """The committed end of the log."""

    origin: str
    size: int
    root: bytes
    frontier: Frontier
    last_ns: int
    next_account: int
    pseudonym_key: bytes


async def load_head(conn: Connection, shard: int = 0) -> LogHead | None:
    """The end of the log, None in a database without a ledger."""
    row = (await conn.execute(select(tables.log_state).where(tables.log_state.c.shard == shard))).mappings().first()
    if row is None:
        return None
    return LogHead(
        row["origin"],
        row["size"],
        row["root"],
        Frontier.from_bytes(row["size"], row["frontier"]),
        row["last_ns"],
        row["next_account"],
        row["pseudonym_key"],
    )


_SIZE = select(tables.log_state.c.size).where(tables.log_state.c.shard == 0)


async def load_size(conn: Connection) -> int:
    """Size of the committed log: tells a writer whether another process has written since."""
    return int((await conn.execute(_SIZE)).scalar_one())


async def create_log(conn: Connection, origin: str, pseudonym_key: bytes) -> None:
    """An empty log; its first entry is the GENESIS the journal appends."""
    empty = Frontier()
    await conn.execute(
        insert(tables.log_state).values(
            shard=0,
            origin=origin,
            size=0,
            root=empty.root(),
            frontier=b"",
            last_ns=0,
            next_account=1,
            pseudonym_key=pseudonym_key,
        )
    )


_ACCOUNTS = select(tables.account, tables.balance).join_from(
    tables.account, tables.balance, tables.balance.c.account == tables.account.c.number
)


def _account(row: RowMapping) -> Account:
    return Account(
        row["number"],
        row["name"],
        row["public_id"],
        row["asset"],
        row["floor"],
        row["debits_posted"],
        row["credits_posted"],
        row["debits_held"],
        row["credits_held"],
        row["last_seq"] if row["last_seq"] >= 0 else 2**64 - 1,
    )


async def load_accounts_by_name(conn: Connection, names: Iterable[str]) -> list[Account]:
    """The accounts of these names that exist."""
    found: list[Account] = []
    for part in chunks(names):
        rows = await conn.execute(_ACCOUNTS.where(tables.account.c.name.in_(part)))
        found.extend(_account(row) for row in rows.mappings())
    return found


async def load_accounts(conn: Connection, numbers: Iterable[int]) -> list[Account]:
    """The accounts of these numbers that exist."""
    found: list[Account] = []
    for part in chunks(numbers):
        rows = await conn.execute(_ACCOUNTS.where(tables.account.c.number.in_(part)))
        found.extend(_account(row) for row in rows.mappings())
    return found


async def accounts_under(conn: Connection, prefix: str) -> list[Account]:
    """Accounts whose name starts with `prefix`, in name order."""
    query = _ACCOUNTS.where(tables.account.c.name.startswith(prefix, autoescape=True)).order_by(tables.account.c.name)
    return [_account(row) for row in (await conn.execute(query)).mappings()]


async def load_entries(conn: Connection, event_ids: Iterable[bytes]) -> dict[bytes, Entry]:
    """Recorded entries of these event ids."""
    found: dict[bytes, Entry] = {}
    for part in chunks(event_ids):
        rows = await conn.execute(select(tables.entry.c.leaf).where(tables.entry.c.event_id.in_(part)))
        for (leaf,) in rows:
            recorded, _ = decode(leaf)
            found[recorded.event_id] = recorded
    return found


async def load_holds(conn: Connection, seqs: Iterable[int]) -> list[Hold]:
    """The holds of these sequence numbers that exist."""
    found: list[Hold] = []
    for part in chunks(seqs):
        rows = await conn.execute(select(tables.hold).where(tables.hold.c.seq.in_(part)))
        found.extend(_hold(row) for row in rows.mappings())
    return found


async def load_hold_rows(conn: Connection) -> dict[int, tuple[bytes | None, bytes | None, int, int, int, int]]:
    """Every hold as stored, by sequence number: public ids of both accounts, amount, remaining, expiry, status."""
    hold, debit, credit = tables.hold, tables.account.alias(), tables.account.alias()
    query = (
        select(hold.c.seq, debit.c.public_id, credit.c.public_id)
        .add_columns(hold.c.amount, hold.c.remaining, func.coalesce(hold.c.expires_ns, INT64_MAX), hold.c.status)
        .outerjoin_from(hold, debit, debit.c.number == hold.c.debit)
        .outerjoin(credit, credit.c.number == hold.c.credit)
    )
    return {row[0]: tuple(row[1:]) for row in await conn.execute(query)}


async def due_holds(conn: Connection, now_ns: int, limit: int) -> list[Hold]:
    """Open holds whose time has come, in order of expiry."""
    query = (
        select(tables.hold)
        .where(tables.hold.c.status == HoldStatus.OPEN, tables.hold.c.expires_ns <= now_ns)
        .order_by(tables.hold.c.expires_ns, tables.hold.c.seq)
        .limit(limit)
    )
    return [_hold(row) for row in (await conn.execute(query)).mappings()]


async def next_due(conn: Connection, now_ns: int) -> int:
    """When the next open hold expires; far away when none does."""
    query = select(func.min(tables.hold.c.expires_ns)).where(
        tables.hold.c.status == HoldStatus.OPEN, tables.hold.c.expires_ns > now_ns
    )
    due = (await conn.execute(query)).scalar()
    return INT64_MAX if due is None else int(due)


def _hold(row: RowMapping) -> Hold:
    return Hold(
        row["seq"],
        row["debit"],
        row["credit"],
        row["amount"],
        row["remaining"],
        row["expires_ns"],
        HoldStatus(row["status"]),
    )


async def write_entries(conn: Connection, recorded: Sequence[tuple[Entry, Event]]) -> None:
    """Append entries, their legs, payloads and newly opened accounts."""
    opened = [
        (leg.account, event.opening.name, leg.public_id, leg.asset, event.opening.floor)
        for entry, event in recorded
        if event.opening
        for leg in entry.legs
    ]
    await insert_rows(conn, tables.account, opened)
    await insert_rows(conn, tables.balance, [(row[0], 0, 0, 0, 0, -1) for row in opened])
    await insert_rows(
        conn, tables.entry, [(0, e.seq, e.event_id, int(e.kind), e.recorded_ns, e.leaf) for e, _ in recorded]
    )
    touched = {(leg[0], 0, entry.seq) for entry, _ in recorded for leg in entry.legs}
    await insert_rows(conn, tables.touched, sorted(touched))
    payloads = [(0, entry.seq, event.salt, event.payload) for entry, event in recorded if event.payload]
    await insert_rows(conn, tables.payload, payloads)


async def write_balances(conn: Connection, accounts: Iterable[Account]) -> None:
    """Bring the cached totals of touched accounts up to date: one statement for all."""
    rows = [(a.number, a.debits_posted, a.credits_posted, a.debits_held, a.credits_held, a.last_seq) for a in accounts]
    await insert_rows(conn, tables.balance, rows, Conflict.REPLACE)


async def write_holds(conn: Connection, holds: Iterable[Hold]) -> None:
    """Bring touched holds up to date."""
    rows = [(h.seq, h.debit, h.credit, h.amount, h.remaining, h.expires_ns, int(h.status)) for h in holds]
    await insert_rows(conn, tables.hold, rows, Conflict.REPLACE)


async def write_head(conn: Connection, frontier: Frontier, last_ns: int, next_account: int) -> None:
    """Advance the end of the log in the same transaction as its entries: the root is never behind the data."""
    await conn.execute(
        update(tables.log_state)
        .where(tables.log_state.c.shard == 0)
        .values(
            size=frontier.size,
            root=frontier.root(),
            frontier=frontier.to_bytes(),
            last_ns=last_ns,
            next_account=next_account,
        )
    )


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry as stored, with its payload where it has one."""

    seq: int
    event_id: bytes
    kind: int
    recorded_ns: int
    leaf: bytes
    salt: bytes
    body: bytes | None


async def load_page(conn: Connection, after: int, limit: int) -> list[EntryRow]:
    """Entries in order from just above `after`."""
    entry, payload = tables.entry, tables.payload
    query = (
        select(entry.c.seq, entry.c.event_id, entry.c.kind, entry.c.recorded_ns, entry.c.leaf)
        .add_columns(payload.c.salt, payload.c.body)
        .outerjoin_from(entry, payload, (payload.c.shard == entry.c.shard) & (payload.c.seq == entry.c.seq))
        .where(entry.c.shard == 0, entry.c.seq > after)
        .order_by(entry.c.seq)
        .limit(limit)
    )
    return [EntryRow(*row) for row in await conn.execute(query)]


async def stream_touched(conn: Connection) -> AsyncIterator[tuple[bytes | None, int]]:
    """Public id of an account and entry that touched it, in order of both: the whole index, as reads use it."""
    touched, account = tables.touched, tables.account
    query = (
        select(account.c.public_id, touched.c.seq)
        .outerjoin_from(touched, account, account.c.number == touched.c.account)
        .where(touched.c.shard == 0)
        .order_by(touched.c.account, touched.c.seq)
    )
    async for public, seq in await conn.stream(query):
        yield public, seq
