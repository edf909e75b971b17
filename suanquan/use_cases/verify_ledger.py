"""`ledger verify`: recompute the whole ledger from its leaves and compare every projection with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import astuple
from operator import ge
from typing import Any, NamedTuple

import cbor2

from ledger import store as ledger_store
from ledger.apply import Account
from ledger.entry import Entry, EntryKind, genesis_payload, opening_payload, public_id_of
from ledger.errors import DomainError
from ledger.sql import Connection
from ledger.tree import hash_leaf, root_of
from ledger.verify import Fault, Replay, Trail, check_payload
from metering import segment
from metering import store as metering_store
from metering.store import DIGEST_BYTES, PLACES

PAGE = 2_000
BATCHES_PAGE = 20
Progress = Callable[[int, int], None]


class _Batch(NamedTuple):
    """What an entry says about a batch it posts."""

    root: bytes
    body_digest: bytes
    source: str


class _Known(NamedTuple):
    """What the database says beside the leaves, and what the entries say about batches."""

    head: ledger_store.LogHead
    accounts: dict[bytes, Account]
    batches: dict[int, set[_Batch]]


async def verify_ledger(conn: Connection, progress: Progress) -> dict[str, Any]:
    """Everything there is to say about the ledger in one snapshot; `ok` and, if not, the first bad place."""
    accounts = {account.public_id: account for account in await ledger_store.accounts_under(conn, "")}
    replay = Replay({public: account.floor for public, account in accounts.items()})
    try:
        head = await ledger_store.load_head(conn)
    except ValueError:
        head = None
    if head is None:
        return _report(replay, 0, Fault("log_state", "日志头缺失或损坏", "the head of the log is missing or damaged"))
    known = _Known(head, accounts, {})
    fault = await _replay(conn, replay, known, progress)
    if fault is None:
        fault = _check_head(replay, known) or _check_balances(replay, accounts) or await _check_holds(conn, replay)
        fault = fault or await _check_index(conn, replay)
    records = in_table = 0
    if fault is None:
        async for found in _check_batches(conn, known.batches):
            if isinstance(found, Fault):
                fault = found
                break
            records += found.records
            in_table += found.in_table
        if fault is None and in_table != await metering_store.count_ids(conn):
            fault = Fault("usage_id", "记录编号表中有多余的行", "the table of ids holds rows of no batch")
    return _report(replay, records, fault)


def _report(replay: Replay, records: int, fault: Fault | None) -> dict[str, Any]:
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


async def _replay(conn: Connection, replay: Replay, known: _Known, progress: Progress) -> Fault | None:
    """Fold every leaf; collect what entries say about batches."""
    after = -1
    while rows := await ledger_store.load_page(conn, after, PAGE):
        for row in rows:
            found = replay.add(row.leaf)
            if isinstance(found, Fault):
                return found
            stored = None if row.body is None else (row.salt, row.body)
            fault = _check_row(row, found) or check_payload(found, stored) or _check_origin(row, found, known)
            if fault is not None:
                return fault
            _note_batch(row.body, found, known.batches)
        after = rows[-1].seq
        progress(after + 1, known.head.size)
    return None


def _check_row(row: ledger_store.EntryRow, entry: Entry) -> Fault | None:
    """The columns beside a leaf say what the leaf says."""
    if (row.seq, row.event_id, row.kind, row.recorded_ns) != (entry.seq, entry.event_id, entry.kind, entry.recorded_ns):
        return Fault(f"entry {row.seq}", "列与叶子不符", "its columns do not say what its leaf says")
    return None


def _check_origin(row: ledger_store.EntryRow, entry: Entry, known: _Known) -> Fault | None:
    """The log bears the name, and each account the name, floor and asset, that its first entry gave it."""
    if entry.kind == EntryKind.GENESIS and row.body != genesis_payload(known.head.origin):
        return Fault(
            "log_state", "日志名或资产与首条分录不符", "the log's name or assets are not those of its first entry"
        )
    if entry.kind != EntryKind.OPEN:
        return None
    leg = entry.legs[0]
    account = known.accounts.get(leg.public_id)
    if account is None:
        return Fault(f"account {leg.public_id.hex()}", "账户或其余额行缺失", "its row or its balance is missing")
    if (row.body, leg.asset, leg.public_id) != (
        opening_payload(account.name, account.floor),
        account.asset,
        public_id_of(account.name, known.head.pseudonym_key),
    ):
        return Fault(f"account {account.name}", "与开户分录不符", "is not what its first entry says")
    return None


def _note_batch(body: bytes | None, entry: Entry, batches: dict[int, set[_Batch]]) -> None:
    if body is None or not body.startswith(b"\xa5"):  # only usage payloads are maps of five members
        return
    content = cbor2.loads(body)
    if content.get("type") == "usage":
        about = _Batch(content["root"], entry.digest, content["source"])
        batches.setdefault(content["batch"], set()).add(about)


def _check_head(replay: Replay, known: _Known) -> Fault | None:
    frontier, head = replay.frontier, known.head
    if (frontier.size, frontier.root()) != (head.size, head.root):
        return Fault(
            f"log_state, entry {frontier.size}",
            f"日志头记 {head.size} 条，重算为 {frontier.size} 条，或根不符",
            f"the head says {head.size} entries, there are {frontier.size}, or the roots differ",
        )
    next_account = 1 + max((account.number for account in known.accounts.values()), default=0)
    if (frontier.nodes, replay.last_ns, next_account) != (head.frontier.nodes, head.last_ns, head.next_account):
        return Fault(
            "log_state", "日志边界、时间或账户数不符", "the frontier, time or account number of the head is wrong"
        )
    return None


def _check_balances(replay: Replay, accounts: dict[bytes, Account]) -> Fault | None:
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
        return Fault(
            f"account {accounts[extra.pop()].name}", "日志中没有这个账户", "the log does not know this account"
        )
    return None


async def _check_index(conn: Connection, replay: Replay) -> Fault | None:
    """The index from accounts to entries holds exactly the entries whose legs name the account."""
    trails: dict[bytes | None, Trail] = {}
    async for public, seq in ledger_store.stream_touched(conn):
        trails.setdefault(public, Trail()).add(seq)
    for public, totals in replay.accounts.items():
        if trails.pop(public, Trail()) != totals.trail:
            return Fault(
                f"touched, account {public.hex()}", "账户索引与日志不符", "the index does not say what the log says"
            )
    return Fault("touched", "账户索引有多余的行", "the index names unknown accounts") if trails else None


async def _check_holds(conn: Connection, replay: Replay) -> Fault | None:
    stored = await ledger_store.load_hold_rows(conn)
    told = {seq: astuple(hold) for seq, hold in replay.holds.items()}
    for seq in sorted(told.keys() | stored.keys()):
        if stored.get(seq) != told.get(seq):
            return Fault(f"hold {seq}", "冻结与日志不符", "the hold is not what the log says")
    return None


class _Checked(NamedTuple):
    """Records of a batch, and how many of their ids stand in the table of ids."""

    records: int
    in_table: int


async def _check_batches(conn: Connection, told: dict[int, set[_Batch]]) -> AsyncIterator[_Checked | Fault]:
    """Every batch's records hash to the root that its entries commit to."""
    ranges = await metering_store.load_ranges(conn)
    sources = {source.number: source.urn for source in await metering_store.load_sources(conn)}
    after = 0
    while batches := await metering_store.load_batches(conn, after, BATCHES_PAGE):
        for source, batch in batches:
            about = _Batch(batch.root, batch.body_digest, sources.get(source, ""))
            kept = ranges.pop(batch.number, None)
            yield await _check_batch(conn, source, batch, about, (told.pop(batch.number, set()), kept))
        after = batches[-1][1].number
    if ranges:
        yield Fault(
            f"id_range of batch {min(ranges)}", "编号区间没有对应的批次", "the range of ids belongs to no batch"
        )
    if told:
        yield Fault(f"usage_batch {min(told)}", "日志提到的批次不存在", "the log speaks of a batch that is not there")


async def _check_batch(
    conn: Connection,
    source: int,
    batch: metering_store.StoredBatch,
    about: _Batch,
    claims: tuple[set[_Batch], tuple[int, str, str] | None],
) -> _Checked | Fault:
    told, kept = claims
    where = f"usage_batch {batch.number}"
    try:
        leaves = list(segment.unpack(batch.segment))
        ids = [segment.decode(leaf).id for leaf in leaves]
    except DomainError as error:
        return Fault(where, error.zh, error.en)
    hashes = [hash_leaf(leaf) for leaf in leaves]
    if root_of(hashes) != batch.root or told != ({about} if leaves else set()):
        return Fault(where, "用量记录、摘要或来源与日志不符", "its records, digest or source are not what the log says")
    if kept is not None:
        if not ids or kept != (source, ids[0], ids[-1]) or any(map(ge, ids, ids[1:])):
            return Fault(f"id_range of batch {batch.number}", "编号区间与记录不符", "the range is not that of its ids")
        return _Checked(len(leaves), 0)
    places = await metering_store.load_places(conn, source, ids)
    for at, (name, digest) in enumerate(zip(ids, hashes, strict=True)):
        if places.get(name) != (batch.number * PLACES + at, digest[:DIGEST_BYTES]):
            return Fault(
                f"usage_id {name}", "记录编号表与记录不符", "the table of ids does not say what the batch says"
            )
    return _Checked(len(leaves), len(leaves))
