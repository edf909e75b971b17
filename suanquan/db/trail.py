"""SQL of the audit log. A row is written in the transaction of what it tells of: both live, or neither."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from ledger.errors import Kind
from ledger.sql import Connection, is_storage_fault
from ledger.tree import Frontier
from suanquan.access.trail import ERASE, SALT_BYTES, Act, Checked, Row, check, commitment_of, pseudonym
from suanquan.db.tables import audit_detail, audit_erased, audit_head, audit_row, audit_state
from suanquan.errors import ServiceError

_PAGE = 2_000


class Wanted(NamedTuple):
    """What a search looks for; empty members match everything. Times are UTC epoch microseconds."""

    person: str = ""
    action: str = ""
    since_us: int = 0
    until_us: int = 2**62
    after: int = -1
    limit: int = 100


async def _load_state(conn: Connection) -> tuple[Frontier, bytes] | None:
    columns = audit_state.c.size, audit_state.c.nodes, audit_state.c.key
    row = (await conn.execute(select(*columns))).one_or_none()
    return None if row is None else (Frontier.from_bytes(row.size, row.nodes), row.key)


async def append(conn: Connection, act: Act, at_us: int) -> int:
    """Record an act; the number of its row. The connection holds the database's one writing transaction.

    Raises:
        ServiceError: `audit-unavailable`: it cannot be recorded, so that what it tells of must not happen.

    """
    try:
        return await _append(conn, act, at_us)
    except DBAPIError as fault:
        if is_storage_fault(fault):
            raise
        raise _unavailable() from fault
    except ValueError as fault:  # the stored head is no head
        raise _unavailable() from fault


def _unavailable() -> ServiceError:
    return ServiceError(
        "audit-unavailable",
        "无法写入审计日志，请求未执行；请运行 suanquan audit verify",
        "the audit log cannot be written, so nothing was done; run suanquan audit verify",
        kind=Kind.UNAVAILABLE,
    )


async def _append(conn: Connection, act: Act, at_us: int) -> int:
    found = await _load_state(conn)
    if found is None:
        found = Frontier(), secrets.token_bytes(32)
        await conn.execute(insert(audit_state).values(id=0, size=0, nodes=b"", key=found[1]))
    tree, key = found
    salt, body = secrets.token_bytes(SALT_BYTES), act.body()
    row = Row(tree.size, at_us, act.action, pseudonym(key, act.person), commitment_of(salt, body))
    tree.append(row.leaf())
    values = {"seq": row.seq, "at_us": at_us, "action": row.action, "person": row.person, "commitment": row.commitment}
    await conn.execute(insert(audit_row).values(values))
    await conn.execute(insert(audit_detail).values(seq=row.seq, salt=salt, body=body))
    await conn.execute(update(audit_state).values(size=tree.size, nodes=tree.to_bytes()))
    return row.seq


def _rows() -> Select[tuple[int, int, str, bytes, bytes, bytes | None, str | None]]:
    columns = (*audit_row.c, audit_detail.c.salt, audit_detail.c.body)
    return select(*columns).join_from(audit_row, audit_detail, audit_detail.c.seq == audit_row.c.seq, isouter=True)


async def search(conn: Connection, wanted: Wanted) -> list[Row]:
    """Rows of a person, an action (or its first word) and a time, oldest first."""
    c = audit_row.c
    query = _rows().where(c.seq > wanted.after, c.at_us >= wanted.since_us, c.at_us < wanted.until_us)
    if wanted.action:
        query = query.where((c.action == wanted.action) | c.action.startswith(f"{wanted.action}.", autoescape=True))
    if wanted.person:
        found = await _load_state(conn)
        query = query.where(c.person == pseudonym(b"" if found is None else found[1], wanted.person))
    rows = await conn.execute(query.order_by(c.seq).limit(wanted.limit))
    return [Row(r.seq, r.at_us, r.action, r.person, r.commitment, r.salt, r.body) for r in rows]


async def stream(conn: Connection, first: int = 0) -> AsyncIterator[Row]:
    """Rows from a number on, in order."""
    after = first - 1
    while True:
        page = await search(conn, Wanted(after=after, limit=_PAGE))
        for row in page:
            yield row
        if len(page) < _PAGE:
            return
        after = page[-1].seq


async def head(conn: Connection) -> tuple[int, bytes]:
    """Size and root of the audit log."""
    found = await _load_state(conn)
    tree = Frontier() if found is None else found[0]
    return tree.size, tree.root()


class SignedHead(NamedTuple):
    """A head of the audit log that was signed: size, root, what a tree of this size is continued by, when, and the note."""

    size: int
    root: bytes
    nodes: bytes
    signed_us: int
    note: str


async def signed_heads(conn: Connection) -> list[SignedHead]:
    """Every signed head, smallest first."""
    rows = await conn.execute(select(audit_head).order_by(audit_head.c.size))
    return [SignedHead(*row) for row in rows]


async def newest_head(conn: Connection) -> SignedHead | None:
    """The last signed head."""
    rows = await conn.execute(select(audit_head).order_by(audit_head.c.size.desc()).limit(1))
    row = rows.one_or_none()
    return None if row is None else SignedHead(*row)


async def head_at(conn: Connection, size: int) -> SignedHead | None:
    """The signed head of a size."""
    row = (await conn.execute(select(audit_head).where(audit_head.c.size == size))).one_or_none()
    return None if row is None else SignedHead(*row)


async def add_head(conn: Connection, signed: SignedHead) -> None:
    """Keep a signed head."""
    await conn.execute(insert(audit_head).values(signed._asdict()))


async def erased(conn: Connection) -> dict[int, int]:
    """Erasing row by the row whose detail is gone."""
    rows = (await conn.execute(select(audit_erased.c.seq, audit_erased.c.by_seq))).all()
    return {row.seq: row.by_seq for row in rows}


async def verify(conn: Connection, at: int | None = None, also: Mapping[int, bytes] = MappingProxyType({})) -> Checked:
    """Recompute everything and compare it with the head and every signed head; `at` asks for the root at an earlier size as well.

    `also` are roots by size that are known from elsewhere.
    """
    gone = await erased(conn)
    rows = [row async for row in stream(conn)]
    found = check(rows, frozenset(gone), at, {**also, **{one.size: one.root for one in await signed_heads(conn)}})
    fault = found.fault
    for seq, by in gone.items():
        if not (0 <= seq < by < len(rows)) or rows[by].action != ERASE:
            fault = fault or f"nobody erased row {seq}"
    try:
        stored = await head(conn)
    except ValueError:  # its parts do not belong together
        stored = -1, b""
    if (found.size, found.root) != stored:
        fault = fault or "the head is not that of the rows"
    return found if fault == found.fault else Checked(found.size, found.root, fault, found.earlier)


async def erase(conn: Connection, seqs: list[int], act: Act, at_us: int) -> int:
    """Drop the details of rows; the rows, and the erasure itself, stay. How many there were."""
    gone = await erased(conn)
    wanted = [seq for seq in seqs if seq not in gone]
    if not wanted:
        return 0
    by = await append(conn, act, at_us)
    await conn.execute(insert(audit_erased), [{"seq": seq, "by_seq": by} for seq in wanted])
    await conn.execute(delete(audit_detail).where(audit_detail.c.seq.in_(wanted)))
    return len(wanted)


async def before(conn: Connection, until_us: int) -> list[int]:
    """Rows before a moment that still have their detail."""
    query = (
        select(audit_row.c.seq)
        .join_from(audit_row, audit_detail, audit_detail.c.seq == audit_row.c.seq)
        .where(audit_row.c.at_us < until_us)
    )
    return list((await conn.execute(query.order_by(audit_row.c.seq))).scalars())
