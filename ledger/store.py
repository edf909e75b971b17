"""SQL of the journal, on a connection that the caller owns: nothing here begins or commits a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, delete, func, insert, select
from sqlalchemy.engine import RowMapping

from ledger import tables
from ledger.amount import BASE_ASSETS, INT64_MAX, Asset
from ledger.changes import Changes, LogHead
from ledger.edge import Edge, widths
from ledger.entry import NO_SEQ, Entry, EntryKind, Limits
from ledger.leaf import decode
from ledger.places import (
    NS_PER_DAY,
    Axis,
    Place,
    unpack_places,
)
from ledger.sql import Connection, chunks, execute_all, insert_rows, insert_tables, select_in
from ledger.state import REVERSIBLE, Account, Hold, HoldLine, HoldStatus, Original
from ledger.tree import Frontier, hash_leaf


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
        row["closed_ns"],
        _from_stored(row["closed_seq"]),
        row["pseudonym_key"],
    )


def _from_stored(seq: int) -> int:
    """A sequence number or, stored as -1, none."""
    return NO_SEQ if seq < 0 else seq


SIZE = "SELECT size FROM log_state WHERE shard = 0"


async def load_size(conn: Connection) -> int:
    """Size of the committed log: tells a writer whether another process has written since."""
    [[(size,)]] = await execute_all(conn, [(SIZE, ())])
    return int(size)


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
            closed_ns=0,
            closed_seq=-1,
            pseudonym_key=pseudonym_key,
        )
    )


async def load_edge(conn: Connection, frontier: Frontier) -> Edge:
    """The unfinished tiles of the log: leaves of the lowest are hashed anew, the others are roots of stored tiles."""
    rows: list[list[bytes]] = []
    size = frontier.size
    for level, width in enumerate(widths(size)):
        first = (size >> 8 * level) - width
        if level == 0:
            query = select(tables.entry.c.leaf).where(tables.entry.c.shard == 0, tables.entry.c.seq >= first)
            rows.append([hash_leaf(leaf) for (leaf,) in await conn.execute(query.order_by(tables.entry.c.seq))])
        else:
            tile = tables.tile.c
            query = select(tile.root).where(tile.level == level - 1, tile.number >= first).order_by(tile.number)
            rows.append([root for (root,) in await conn.execute(query)])
    return Edge(frontier, rows)


async def load_assets(conn: Connection) -> dict[str, Asset]:
    """Every asset of the log by code."""
    rows = await conn.execute(select(tables.asset.c.code, tables.asset.c.number, tables.asset.c.scale))
    return {asset.code: asset for asset in (*BASE_ASSETS, *(Asset(*row) for row in rows))}


_ACCOUNTS = (
    select(tables.account, tables.account_name.c.name, tables.balance)
    .join_from(tables.account, tables.balance, tables.balance.c.account == tables.account.c.number)
    .outerjoin(tables.account_name, tables.account_name.c.account == tables.account.c.number)
)


def _account(row: RowMapping) -> Account:
    return Account(
        row["number"],
        row["name"] or "",
        row["public_id"],
        row["asset"],
        Limits(row["floor"], row["ceiling"]),
        row["restriction"],
        row["debits_posted"],
        row["credits_posted"],
        row["debits_held"],
        row["credits_held"],
        _from_stored(row["last_seq"]),
        [number for place in unpack_places(row["recent"]) for number in place],
    )


async def load_accounts_by_name(conn: Connection, names: Iterable[str]) -> list[Account]:
    """The accounts of these names that exist."""
    found: list[Account] = []
    for part in chunks(names):
        rows = await conn.execute(_ACCOUNTS.where(tables.account_name.c.name.in_(part)))
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
    """Accounts whose name starts with `prefix`, in name order; with the empty prefix also those whose name was erased."""
    name = tables.account_name.c.name
    query = _ACCOUNTS
    if prefix:  # a range: LIKE takes capitals and small letters for the same on SQLite, and reads every name
        beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        query = query.where(name >= prefix, name < beyond)
    return [_account(row) for row in (await conn.execute(query.order_by(name))).mappings()]


async def balances_under(conn: Connection, prefix: str) -> list[tuple[str, int]]:
    """Name and balance of every account whose name starts with `prefix`, in name order: what a sum over many needs of them."""
    text = (
        "SELECT n.name, b.credits_posted - b.debits_posted FROM account_name n JOIN balance b ON b.account = n.account "
        "WHERE n.name >= ? AND n.name < ? ORDER BY n.name"
    )
    [rows] = await execute_all(conn, [(text, (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)))])
    return [(str(name), int(balance)) for name, balance in rows]


async def sum_under(conn: Connection, prefix: str) -> int:
    """Posted credits minus posted debits of all accounts whose name starts with `prefix`; they have one asset."""
    name = tables.account_name.c.name
    beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    query = (
        select(func.coalesce(func.sum(tables.balance.c.credits_posted - tables.balance.c.debits_posted), 0))
        .join_from(tables.account_name, tables.balance, tables.balance.c.account == tables.account_name.c.account)
        .where(name >= prefix, name < beyond)
    )
    return int((await conn.execute(query)).scalar_one())


async def load_entries(conn: Connection, event_ids: Iterable[bytes]) -> dict[bytes, Entry]:
    """Recorded entries of these event ids."""
    found = await execute_all(conn, select_in(_LEAVES, event_ids))
    entries = (decode(leaf)[0] for rows in found for (leaf,) in rows)
    return {recorded.event_id: recorded for recorded in entries}


_LEAVES = "SELECT leaf FROM entry WHERE event_id"
_NEXT, _NEXT_FAILED = (
    f"SELECT event_id FROM {table} WHERE event_id > ? ORDER BY event_id LIMIT 1"  # noqa: S608 -- own names
    for table in ("entry", "failed")
)
_FAILED = "SELECT event_id, digest, code FROM failed WHERE event_id"
Failures = dict[bytes, tuple[bytes, str]]


class Used(NamedTuple):
    """Event ids that were used: recorded entries, and digest and refusal of those that were refused for good.

    `following` are the first used ids, of either sort, above another.
    """

    entries: dict[bytes, Entry]
    failed: Failures
    following: list[bytes]


async def load_used(conn: Connection, event_ids: Sequence[bytes], above: bytes) -> Used:
    """What became of these event ids, and which used ones follow another."""
    leaves = select_in(_LEAVES, event_ids)
    following = [(query, (above,)) for query in (_NEXT, _NEXT_FAILED)]
    *found, any_failed, next_, next_failed = await execute_all(
        conn, [*leaves, ("SELECT 1 FROM failed LIMIT 1", ()), *following]
    )
    entries = (decode(leaf)[0] for rows in found for (leaf,) in rows)
    failed = await execute_all(conn, select_in(_FAILED, event_ids)) if any_failed else []
    return Used(
        {recorded.event_id: recorded for recorded in entries},
        {event_id: (digest, code) for rows in failed for event_id, digest, code in rows},
        [event_id for (event_id,) in next_ + next_failed],
    )


async def load_holds(conn: Connection, seqs: Iterable[int]) -> list[Hold]:
    """The holds of these sequence numbers that exist."""
    found: list[Hold] = []
    for part in chunks(seqs):
        found.extend(await _holds(conn, select(tables.hold).where(tables.hold.c.seq.in_(part))))
    return found


async def due_holds(conn: Connection, now_ns: int, limit: int) -> list[Hold]:
    """Open holds whose time has come, in order of expiry."""
    hold = tables.hold.c
    due = select(hold.seq).where(hold.status == HoldStatus.OPEN, hold.expires_ns <= now_ns, hold.line == 0)
    due = due.order_by(hold.expires_ns, hold.seq).limit(limit)
    found = await _holds(conn, select(tables.hold).where(hold.seq.in_(due)))
    return sorted(found, key=lambda hold: (hold.expires_ns, hold.seq))


async def _holds(conn: Connection, query: Select[Any]) -> list[Hold]:
    found: dict[int, Hold] = {}
    rows = await conn.execute(query.order_by(tables.hold.c.seq, tables.hold.c.line))
    for seq, _, debit, credit, amount, remaining, expires_ns, status in rows:
        hold = found.setdefault(seq, Hold(seq, [], expires_ns, HoldStatus(status)))
        hold.lines.append(HoldLine(debit, credit, amount, remaining))
    return list(found.values())


async def next_due(conn: Connection, now_ns: int) -> int:
    """When the next open hold expires; far away when none does."""
    query = select(func.min(tables.hold.c.expires_ns)).where(
        tables.hold.c.status == HoldStatus.OPEN, tables.hold.c.expires_ns > now_ns
    )
    due = (await conn.execute(query)).scalar()
    return INT64_MAX if due is None else int(due)


async def load_leaves(conn: Connection, seqs: Sequence[int]) -> list[bytes]:
    """Leaves of these entries, in order of their numbers."""
    found = await execute_all(conn, select_in("SELECT seq, leaf FROM entry WHERE shard = 0 AND seq", seqs))
    return [leaf for _, leaf in sorted({seq: leaf for rows in found for seq, leaf in rows}.items())]


async def load_places(conn: Connection, account: int, until_ns: int, limit: int) -> list[list[Place]]:
    """Index rows of an account that begin at or before a moment, newest first."""
    touched = tables.touched.c
    query = select(touched.places).where(touched.account == account, touched.first_ns <= until_ns)
    rows = await conn.execute(query.order_by(touched.first_ns.desc()).limit(limit))
    return [unpack_places(places) for (places,) in rows]


async def sum_dated(conn: Connection, account: int, axis: Axis, until_ns: int) -> int:
    """Credits less debits of what is dated otherwise than recorded, up to a moment on either axis."""
    days, rows, day = tables.dated_day.c, tables.dated.c, until_ns // NS_PER_DAY
    whole = select(func.coalesce(func.sum(days.credits - days.debits), 0)).where(
        days.account == account, days.axis == int(axis), days.day < day
    )
    part = select(func.coalesce(func.sum(rows.credits - rows.debits), 0)).where(
        rows.account == account, rows.axis == int(axis), rows.at_ns >= day * NS_PER_DAY, rows.at_ns <= until_ns
    )
    return int((await conn.execute(whole)).scalar_one()) + int((await conn.execute(part)).scalar_one())


async def load_entry(conn: Connection, seq: int) -> EntryRow | None:
    """One entry with its payload."""
    rows = await load_page(conn, seq - 1, 1)
    return rows[0] if rows and rows[0].seq == seq else None


async def load_originals(conn: Connection, seqs: Iterable[int]) -> dict[int, Original]:
    """What the postings of these sequence numbers moved, and what of that was taken back."""
    found: dict[int, Original] = {}
    for part in chunks(seqs):
        entry = tables.entry.c
        rows = await conn.execute(
            select(entry.seq, entry.leaf).where(entry.shard == 0, entry.seq.in_(part), entry.kind.in_(REVERSIBLE))
        )
        leaves = {seq: decode(leaf)[0] for seq, leaf in rows}
        numbers = await load_numbers(conn, {leg.public_id for recorded in leaves.values() for leg in recorded.legs})
        for seq, recorded in leaves.items():
            original = found[seq] = Original({})
            for leg in recorded.legs:
                if leg.layer == 0:
                    key = numbers[leg.public_id], leg.side
                    original.moved[key] = original.moved.get(key, 0) + leg.amount
        taken = await conn.execute(select(tables.reversal).where(tables.reversal.c.seq.in_(list(leaves))))
        for seq, account, side, amount in taken:
            found[seq].reversed[account, side] = amount
    return found


async def load_numbers(conn: Connection, public_ids: Iterable[bytes]) -> dict[bytes, int]:
    """Account numbers by public id."""
    found: dict[bytes, int] = {}
    account = tables.account.c
    for part in chunks(public_ids):
        rows = await conn.execute(select(account.public_id, account.number).where(account.public_id.in_(part)))
        found.update((row.public_id, row.number) for row in rows)
    return found


async def write(conn: Connection, changed: Changes) -> None:
    """Append and bring projections up to date, the end of the log with them: the root is never behind the data."""
    await insert_tables(conn, changed.rows)
    for entry in changed.erasures:
        await _erase(conn, entry)


async def _erase(conn: Connection, by: Entry) -> None:
    """Drop an entry's salt and payload and, of an opening, the account's name; what is gone already stays so."""
    erased = select(tables.erased.c.seq).where(tables.erased.c.seq == by.ref_seq)
    if (await conn.execute(erased)).first() is not None:
        return
    entry, account = tables.entry.c, tables.account.c
    leaf = (await conn.execute(select(entry.leaf).where(entry.shard == 0, entry.seq == by.ref_seq))).scalar_one()
    target, _ = decode(leaf)
    number = None
    if target.kind == EntryKind.OPEN:
        query = select(account.number).where(account.public_id == target.legs[0].public_id)
        number = (await conn.execute(query)).scalar_one()
    await insert_rows(conn, tables.erased, [(by.ref_seq, number, by.seq)])
    await conn.execute(delete(tables.payload).where(tables.payload.c.seq == by.ref_seq))
    if number is not None:
        await conn.execute(delete(tables.account_name).where(tables.account_name.c.account == number))


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
        .outerjoin_from(entry, payload, and_(payload.c.shard == entry.c.shard, payload.c.seq == entry.c.seq))
        .where(entry.c.shard == 0, entry.c.seq > after)
        .order_by(entry.c.seq)
        .limit(limit)
    )
    return [EntryRow(*row) for row in await conn.execute(query)]
