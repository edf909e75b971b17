"""`ledger verify`: recompute the whole ledger from its leaves and compare every projection with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import cbor2

from ledger import store as ledger_store
from ledger.entry import Entry
from ledger.errors import DomainError
from ledger.leaf import hash_leaf
from ledger.store import Connection
from ledger.tree import root_of
from ledger.verify import Fault, Replay, Trail, check_payload
from metering import segment
from metering import store as metering_store

PAGE = 2_000
BATCHES_PAGE = 20
Progress = Callable[[int, int], None]


async def verify_ledger(conn: Connection, progress: Progress) -> dict[str, Any]:
    """Everything there is to say about the ledger in one snapshot; `ok` and, if not, the first bad place."""
    head = await ledger_store.load_head(conn)
    assert head is not None, "an opened home has a ledger"
    accounts = {account.public_id: account for account in await ledger_store.accounts_under(conn, "")}
    replay = Replay({public: account.floor for public, account in accounts.items()})
    roots: dict[int, set[bytes]] = {}
    fault = await _replay(conn, replay, roots, lambda done: progress(done, head.size))
    if fault is None:
        fault = _check_head(replay, head) or _check_balances(replay, accounts) or await _check_holds(conn, replay)
        fault = fault or await _check_index(conn, replay)
    records = 0
    if fault is None:
        async for found in _check_batches(conn, roots):
            if isinstance(found, Fault):
                fault = found
                break
            records += found
        if fault is None and records != await metering_store.count_ids(conn):
            fault = Fault("usage_id", "记录编号表中有多余的行", "the table of ids holds rows of no batch")
    report: dict[str, Any] = {
        "ok": fault is None,
        "entries": replay.frontier.size,
        "accounts": len(replay.accounts),
        "usage_records": records,
        "root": replay.frontier.root().hex(),
    }
    if fault is not None:
        report["fault"] = {"where": fault.where, "title": fault.zh, "detail": fault.en}
    return report


async def _replay(
    conn: Connection, replay: Replay, roots: dict[int, set[bytes]], progress: Callable[[int], None]
) -> Fault | None:
    """Fold every leaf; collect the batch roots that entries commit to."""
    after = -1
    while rows := await ledger_store.load_page(conn, after, PAGE):
        for row in rows:
            found = replay.add(row.leaf)
            if isinstance(found, Fault):
                return found
            stored = None if row.body is None else (row.salt, row.body)
            fault = _check_row(row, found) or check_payload(found, stored)
            if fault is not None:
                return fault
            _note_batch(row.body, roots)
        after = rows[-1].seq
        progress(after + 1)
    return None


def _check_row(row: ledger_store.EntryRow, entry: Entry) -> Fault | None:
    """The columns beside a leaf say what the leaf says."""
    if (row.seq, row.event_id, row.kind, row.recorded_ns) != (entry.seq, entry.event_id, entry.kind, entry.recorded_ns):
        return Fault(f"entry {row.seq}", "列与叶子不符", "its columns do not say what its leaf says")
    return None


def _note_batch(body: bytes | None, roots: dict[int, set[bytes]]) -> None:
    if body is None or not body.startswith(b"\xa5"):  # only usage payloads are maps of five members
        return
    content = cbor2.loads(body)
    if content.get("type") == "usage":
        roots.setdefault(content["batch"], set()).add(content["root"])


def _check_head(replay: Replay, head: ledger_store.LogHead) -> Fault | None:
    frontier = replay.frontier
    if (frontier.size, frontier.root()) != (head.size, head.root):
        return Fault(
            f"log_state, entry {frontier.size}",
            f"日志头记 {head.size} 条，重算为 {frontier.size} 条，或根不符",
            f"the head says {head.size} entries, there are {frontier.size}, or the roots differ",
        )
    if frontier.nodes != head.frontier.nodes or replay.last_ns != head.last_ns:
        return Fault("log_state", "日志边界或时间不符", "the frontier or the time of the head is wrong")
    return None


def _check_balances(replay: Replay, accounts: dict[bytes, Any]) -> Fault | None:
    for public, totals in replay.accounts.items():
        account = accounts.get(public)
        cached = account and (
            account.debits_posted, account.credits_posted, account.debits_held, account.credits_held, account.last_seq,
        )  # fmt: skip
        if cached != totals.as_tuple():
            name = account.name if account else public.hex()
            return Fault(f"balance {name}", "余额缓存与日志不符", "the cached balance is not what the log adds up to")
    extra = accounts.keys() - replay.accounts.keys()
    if extra:
        return Fault(f"account {accounts[extra.pop()].name}", "日志中没有这个账户", "the log does not know this account")
    return None


async def _check_index(conn: Connection, replay: Replay) -> Fault | None:
    """The index from accounts to entries holds exactly the entries whose legs name the account."""
    trails: dict[bytes, Trail] = {}
    async for public, seq in ledger_store.stream_touched(conn):
        trails.setdefault(public, Trail()).add(seq)
    for public, totals in replay.accounts.items():
        if trails.pop(public, Trail()) != totals.trail:
            return Fault(f"touched, account {public.hex()}", "账户索引与日志不符", "the index does not say what the log says")
    return Fault("touched", "账户索引有多余的行", "the index names unknown accounts") if trails else None


async def _check_holds(conn: Connection, replay: Replay) -> Fault | None:
    stored = {hold.seq: hold.remaining for hold in await ledger_store.load_holds(conn, replay.holds)}
    told = {seq: hold.remaining for seq, hold in replay.holds.items()}
    for seq in sorted(told.keys() | stored.keys()):
        if stored.get(seq) != told.get(seq):
            return Fault(f"hold {seq}", "冻结余额与日志不符", "what is left of the hold is not what the log says")
    return None


async def _check_batches(conn: Connection, roots: dict[int, set[bytes]]) -> AsyncIterator[int | Fault]:
    """Every batch's records hash to the root that its entries commit to; gives numbers of records."""
    after = 0
    while batches := await metering_store.load_batches(conn, after, BATCHES_PAGE):
        for source, batch in batches:
            yield await _check_batch(conn, source, batch, roots)
        after = batches[-1][1].number
    missing = sorted(number for number in roots if number > after)
    if missing:
        yield Fault(f"usage_batch {missing[0]}", "日志提到的批次不存在", "the log speaks of a batch that is not there")


async def _check_batch(
    conn: Connection, source: int, batch: metering_store.StoredBatch, roots: dict[int, set[bytes]]
) -> int | Fault:
    where = f"usage_batch {batch.number}"
    try:
        leaves = list(segment.unpack(batch.segment))
        ids = [segment.decode(leaf).id for leaf in leaves]
    except DomainError as error:
        return Fault(where, error.zh, error.en)
    hashes = [hash_leaf(leaf) for leaf in leaves]
    if root_of(hashes) != batch.root or (leaves and roots.get(batch.number) != {batch.root}):
        return Fault(where, "用量记录与日志中的根不符", "its records do not hash to the root in the log")
    places = await metering_store.load_places(conn, source, ids)
    for at, (name, digest) in enumerate(zip(ids, hashes, strict=True)):
        if places.get(name) != (batch.number, at, digest):
            return Fault(f"usage_id {name}", "记录编号表与记录不符", "the table of ids does not say what the batch says")
    return len(leaves)
