"""`ledger verify`: recompute the whole ledger from its leaves and compare every projection with it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger import store as ledger_store
from ledger import tables
from ledger.budget import ROOT, budget_faults
from ledger.changes import LogHead
from ledger.entry import ZERO32, EntryKind, genesis_payload, public_id_of
from ledger.invariants import judge
from ledger.leaf import accounts_in, commitment, decode, heading
from ledger.sql import Connection
from ledger.standing import Fault, Wrong
from ledger.store import EntryRow
from ledger.tree import hash_leaf
from ledger.verify import Replay
from suanquan.db import audit
from suanquan.use_cases import verify_projections as projections
from suanquan.use_cases.verify_decisions import DecisionsTold, verify_decisions
from suanquan.use_cases.verify_procedure import ProcedureTold, verify_procedure
from suanquan.use_cases.verify_settlement import SettlementTold, verify_settlement
from suanquan.use_cases.verify_usage import UsageTold, note_usage, verify_usage
from suanquan.use_cases.watch import view_of_projections

PAGE = 2_048
Progress = Callable[[int, int], None]

_HEAD = Wrong("日志头缺失或损坏", "the head of the log is missing or damaged", "root")
_COLUMNS = Wrong("列与叶子不符", "its columns do not say what its leaf says")
_PAYLOAD = Wrong("附件与承诺不符或缺失", "the payload is missing or not what was committed to")
_KEPT = Wrong("附件已登记删除却仍在", "is said to be erased and is not")
_GENESIS = Wrong("日志名或资产与首条分录不符", "the log's name or assets are not those of its first entry")
_NAME = Wrong("与开户分录不符", "is not what its first entry says")
_ERASED = Wrong("删除登记与日志不符", "is not what the log says of erasures")
_CHECKPOINT = Wrong("检查点与日志不符", "is not a checkpoint of this log", "root")
_DATED = {EntryKind.POST, EntryKind.REVERSE, EntryKind.CAPTURE}
_TOLD_BY_PAYLOAD = {EntryKind.OPEN, EntryKind.LIMIT, EntryKind.ASSET}


@dataclass(slots=True)
class _Pass:
    """One pass over the leaves: what they add up to so far, and what the database says beside them."""

    conn: Connection
    head: LogHead
    erased: dict[int, tuple[int | None, int]]
    replay: Replay = field(default_factory=Replay)
    indexes: projections.Indexes = field(default_factory=projections.Indexes)
    decisions: DecisionsTold = field(default_factory=DecisionsTold)
    usage: UsageTold = field(default_factory=lambda: UsageTold({}, {}))
    procedure: ProcedureTold = field(default_factory=ProcedureTold)
    settlement: SettlementTold = field(default_factory=SettlementTold)
    unnamed: set[int] = field(default_factory=set)
    payloads: int = 0
    checkpoints: int = 0

    async def run(self, progress: Progress) -> Fault | None:
        """Fold every leaf, then compare what is left to compare."""
        after = -1
        while rows := await ledger_store.load_page(self.conn, after, PAGE):
            fault = await self._page(rows)
            if fault is not None:
                return fault
            after = rows[-1].seq
            progress(after + 1, self.head.size)
        conn, replay = self.conn, self.replay
        return (
            projections.check_head(replay, self.head)
            or await self._check_checkpoints(self.head.size)
            or await projections.check_accounts(conn, replay, self.indexes, self.head, self.unnamed)
            or await projections.check_open_holds(conn, replay)
            or await projections.check_reversals(conn, replay)
            or await projections.check_touched(conn, self.indexes)
            or await projections.check_dated(conn, self.indexes)
            or await projections.check_registers(conn, replay, self.erased, self.payloads)
            or await verify_procedure(conn, self.procedure)
            or await verify_settlement(conn, self.settlement, named=not self.unnamed)
            or next(filter(None, judge(await view_of_projections(conn)).values()), None)
            or await self._check_budgets()
        )

    async def _check_budgets(self) -> Fault | None:
        """Caps hold, and each is the sum of those under it; without the name of an erased account nobody can tell."""
        if not self.unnamed:
            for found in budget_faults(await ledger_store.accounts_under(self.conn, f"{ROOT}/")):
                return Fault(found.where, found.zh, found.en, "conservation")
        return None

    async def _page(self, rows: Sequence[EntryRow]) -> Fault | None:
        replay, first = self.replay, self.replay.size
        told = {
            row.seq: row.body
            for row in rows
            if row.body is not None
            and row.kind in _TOLD_BY_PAYLOAD
            and commitment(row.salt, row.body) == row.leaf[-len(ZERO32) :]
        }
        fault = replay.fold((row.leaf for row in rows), told)
        rows = rows[: replay.size - first]
        hashes = [hash_leaf(row.leaf) for row in rows]
        fault = (
            next(filter(None, map(self._row, rows, range(first, replay.size))), None)
            or fault
            or await self._grow(first, hashes)
        )
        if fault is None:
            fault = await projections.check_tiles(self.conn, replay)
            fault = fault or await projections.check_holds(self.conn, replay, replay.ended)
        replay.tiles.clear()
        replay.ended.clear()
        return fault

    async def _grow(self, first: int, hashes: list[bytes]) -> Fault | None:
        """Grow the tree, and compare its head with the checkpoints on the way."""
        replay, at = self.replay, 0
        for size, root, note in await audit.checkpoints(self.conn, first, first + len(hashes)):
            replay.tiles += replay.edge.extend(hashes[at : size - first])
            at = size - first
            if root != replay.frontier.root() or not _says(note, self.head.origin, size, root):
                return _CHECKPOINT.at(f"checkpoint {size}")
            self.checkpoints += 1
        replay.tiles += replay.edge.extend(hashes[at:])
        return None

    async def _check_checkpoints(self, size: int) -> Fault | None:
        """No checkpoint stands outside the log: one beyond its end means that the log was cut."""
        if await audit.count(self.conn, tables.checkpoint) == self.checkpoints:
            return None
        beyond = await audit.checkpoints(self.conn, size, 2**63 - 1)
        return _CHECKPOINT.at(f"checkpoint {beyond[0][0] if beyond else 0}")

    def _row(self, row: EntryRow, at: int) -> Fault | None:
        """An entry's columns and payload say what its leaf says; notes what its indexes must say."""
        leaf, seq = row.leaf, row.seq
        kind, event_id, recorded, effective = heading(leaf)
        if (seq, row.kind, row.event_id, row.recorded_ns) != (at, kind, event_id, recorded):
            return _COLUMNS.at(f"entry {seq}")
        fault = self._payload(row, leaf[-len(ZERO32) :]) or self._origin(row, leaf)
        if fault is not None:
            return fault
        accounts = self.replay.accounts
        if kind == EntryKind.OPEN:
            self.indexes.open()
        self.indexes.touch([accounts[public].number for public in accounts_in(leaf)], seq, recorded)
        if recorded != effective and kind in _DATED:
            self.indexes.date(decode(leaf)[0], accounts)
        return None

    def _payload(self, row: EntryRow, committed: bytes) -> Fault | None:
        """The payload is there and is what the leaf commits to, unless the log says that it was erased."""
        where = f"payload {row.seq}"
        if row.seq in self.erased:
            self.decisions.silent.add(row.event_id)
            self.procedure.erased.add(row.event_id)
            self.settlement.erased.add(row.event_id)
            return None if row.body is None else _KEPT.at(where)
        if committed != (ZERO32 if row.body is None else commitment(row.salt, row.body)):
            return _PAYLOAD.at(where)
        if row.body is not None:
            self.payloads += 1
            note_usage(row.body, row.leaf[52:84], self.usage)
            self.decisions.note(row.body, row.event_id)
            self.procedure.note(row.body, row.event_id)
            self.settlement.note(row.body, row.event_id)
        return None

    def _origin(self, row: EntryRow, leaf: bytes) -> Fault | None:
        """The log bears the name, and each account the pseudonym of the name, that its first entry gave it."""
        erased = row.seq in self.erased
        if row.kind == EntryKind.GENESIS and not erased and row.body != genesis_payload(self.head.origin):
            return _GENESIS.at("log_state")
        public = accounts_in(leaf)[0] if row.kind == EntryKind.OPEN else None
        number = None if public is None else self.replay.accounts[public].number
        if erased:
            self.unnamed |= set() if number is None else {number}
            return None if self.erased[row.seq][0] == number else _ERASED.at(f"erased {row.seq}")
        if public is None or row.body is None:
            return None
        name = row.body.decode().partition("\n")[2]
        return (
            None
            if public_id_of(name, self.head.pseudonym_key) == public
            else _NAME.at(f"entry {row.seq}, account {name}")
        )


async def verify_ledger(conn: Connection, progress: Progress) -> dict[str, Any]:
    """Everything there is to say about the ledger in one snapshot; `ok` and, if not, the first bad place."""
    try:
        head = await ledger_store.load_head(conn)
    except ValueError:
        head = None
    if head is None or await audit.count(conn, tables.log_state) != 1:
        return _report(Replay(), 0, _HEAD.at("log_state"))
    over = _Pass(conn, head, await audit.erasures(conn))
    records, fault = 0, await over.run(progress)
    if fault is None:
        records, fault = await verify_usage(conn, over.usage, erasures=bool(over.erased))
        fault = fault or await verify_decisions(conn, over.decisions)
    return _report(over.replay, records, fault)


def _report(replay: Replay, records: int, fault: Fault | None) -> dict[str, Any]:
    report: dict[str, Any] = {
        "ok": fault is None,
        "entries": replay.frontier.size,
        "accounts": len(replay.accounts),
        "usage_records": records,
        "root": replay.frontier.root().hex(),
    }
    if fault is not None:
        report["fault"] = {
            "where": fault.where, "title": fault.zh, "detail": fault.en, "invariant": fault.invariant,
        }  # fmt: skip
    return report


def _says(note: str, origin: str, size: int, root: bytes) -> bool:
    """Whether the signed text of a note is of this log, size and root (c2sp.org/tlog-checkpoint).

    After an accepted rollback the log signs under a name that continues its own (see `log.accept_rollback`).
    """
    try:
        named, count, encoded = note.partition("\n\n")[0].split("\n")[:3]
        ours = named == origin or named.startswith(f"{origin}/")
        return ours and (count, base64.b64decode(encoded, validate=True)) == (str(size), root)
    except (ValueError, binascii.Error):
        return False
