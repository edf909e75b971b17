"""The single writer: callers queue work, one task commits whatever has queued up in one durable transaction.

A reply means committed. The batch grows by itself while the previous commit runs; nothing waits when the writer is idle.
Reasons and measurements: docs/decisions/0003-one-writer-group-commit.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from ledger import sql, store
from ledger.amount import Asset
from ledger.apply import Account, HoldStatus, Refusal, State, apply
from ledger.entry import NO_SEQ, Entry, EntryKind, Event, Opening, genesis_payload, opening_payload, public_id_of
from ledger.errors import Kind, LedgerError
from ledger.tree import Frontier, hash_leaf

QUEUE_MAX = 4096
"""Work waiting for the writer; beyond it callers are told to come back."""
GROUP_MAX = 512
"""Work committed together."""
ACCOUNTS_CACHED_MAX = 200_000
EXPIRIES_MAX = 1000

T = TypeVar("T")
Work = Callable[["Transaction"], Awaitable[T]]


class Database(Protocol):
    """What the journal needs of a database: one exclusive writing transaction at a time."""

    def write(self) -> contextlib.AbstractAsyncContextManager[sql.Connection]:
        """Begin an exclusive transaction; commit on leaving, roll back on an exception."""


@dataclass(slots=True)
class _Job:
    """Queued work. `own_sql` work writes rows of its own and so needs a savepoint to be taken back alone."""

    work: Work[Any]
    done: asyncio.Future[Any]
    own_sql: bool
    keeps_memo: bool


class Transaction:
    """What one piece of work may do inside the writer's transaction: append events, and run SQL of its own.

    Work runs alone and sees everything committed before it. If it raises, its events and its SQL are taken back.
    """

    def __init__(self, journal: Journal, connection: sql.Connection, now_ns: int) -> None:
        self.connection = connection
        self.now_ns = now_ns
        self._journal = journal
        self._state = journal.state
        self.recorded: list[tuple[Entry, Event]] = []

    @property
    def size(self) -> int:
        """Number of log entries including this transaction's."""
        return self._state.size

    @property
    def entropy(self) -> Callable[[int], bytes]:
        """Source of random bytes, for salts."""
        return self._journal.entropy

    @property
    def memo(self) -> dict[str, Any]:
        """What work has read and may use again, until other work or another process writes."""
        return self._journal.memo

    @property
    def genesis(self) -> bytes:
        """Payload of the first entry."""
        return genesis_payload(self._journal.origin)

    async def accounts(self, names: Iterable[str]) -> dict[str, Account]:
        """The accounts of these names that exist."""
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if name not in self._state.numbers]
        if missing:
            for account in await store.load_accounts_by_name(self.connection, missing):
                self._state.add(account)
        numbers, known = self._state.numbers, self._state.accounts
        return {name: known[numbers[name]] for name in wanted if name in numbers}

    async def accounts_by_number(self, numbers: Iterable[int]) -> dict[int, Account]:
        """The accounts of these numbers that exist."""
        known = self._state.accounts
        wanted = list(numbers)
        missing = [number for number in wanted if number not in known]
        if missing:
            for account in await store.load_accounts(self.connection, missing):
                self._state.add(account)
        return {number: known[number] for number in wanted if number in known}

    async def open(self, openings: Sequence[tuple[str, Asset, int | None]]) -> dict[str, Account]:
        """Accounts by name, opened first where they do not exist: (name, asset, floor)."""
        found = await self.accounts(name for name, _, _ in openings)
        for name, asset, floor in openings:
            if name not in found:
                public = public_id_of(name, self._journal.pseudonym_key)
                digest = hmac.digest(self._journal.pseudonym_key, b"open\x00" + name.encode(), "sha256")
                self._apply(
                    Event(
                        EntryKind.OPEN,
                        digest[:16],
                        digest,
                        salt=self.entropy(32),
                        payload=opening_payload(name, floor),
                        opening=Opening(name, public, asset, floor),
                    )
                )
                found[name] = self._state.accounts[self._state.numbers[name]]
        return found

    async def append(self, events: Sequence[Event], *, fresh: bool = False) -> list[Entry]:
        """Record events as one atomic chain.

        A repeated event id with the same digest answers with the original entry. `fresh` says that the caller made the
        ids and knows them to be new, which saves looking them up.

        Raises:
            LedgerError: an event is refused, or its id was used for another request; nothing of the work remains.

        """
        known = {} if fresh else await self._known([event.event_id for event in events])
        await self._load_named(events)
        entries: list[Entry] = []
        for event in events:
            earlier = known.get(event.event_id)
            if earlier is None:
                entry = self._apply(event)
                known[event.event_id] = entry
                entries.append(entry)
            elif earlier.digest == event.digest:
                entries.append(earlier._replace(replayed=True))
            else:
                raise LedgerError(
                    "event-conflict",
                    "同一事件编号已用于内容不同的请求",
                    "this event id was already used for a different request",
                    kind=Kind.CONFLICT,
                )
        return entries

    async def _known(self, event_ids: Sequence[bytes]) -> dict[bytes, Entry]:
        """Entries already recorded under these ids, in this transaction or before."""
        unwritten = {entry.event_id: entry for entry, _ in self.recorded} | self._journal.unwritten
        known = {event_id: unwritten[event_id] for event_id in event_ids if event_id in unwritten}
        return known | await store.load_entries(self.connection, event_ids)

    async def _load_named(self, events: Sequence[Event]) -> None:
        """Make the accounts and holds that events name known."""
        numbers = {leg.account for event in events for leg in event.legs}
        seqs = {event.ref_seq for event in events} - self._state.holds.keys() - {NO_SEQ}
        if seqs:
            holds = await store.load_holds(self.connection, seqs)
            self._state.holds.update({hold.seq: hold for hold in holds})
            numbers.update(number for hold in holds for number in (hold.debit, hold.credit))
        await self.accounts_by_number(numbers)

    def _apply(self, event: Event) -> Entry:
        outcome = apply(self._state, event, self.now_ns)
        if isinstance(outcome, Refusal):
            raise _refused(outcome)
        self.recorded.append((outcome, event))
        return outcome


_REFUSALS = {
    Refusal.INSUFFICIENT: (Kind.INSUFFICIENT, "余额不足", "insufficient balance"),
    Refusal.HOLD_UNKNOWN: (Kind.NOT_FOUND, "没有这笔冻结", "no such hold"),
    Refusal.HOLD_CLOSED: (Kind.CONFLICT, "冻结已结束", "the hold is closed"),
    Refusal.HOLD_EXPIRED: (Kind.CONFLICT, "冻结已到期", "the hold has expired"),
    Refusal.HOLD_EXCEEDED: (Kind.INSUFFICIENT, "超出冻结余额", "more than the hold has left"),
}


def _refused(refusal: Refusal) -> LedgerError:
    kind, zh, en = _REFUSALS.get(
        refusal, (Kind.INVALID, f"账务请求无效（{refusal.value}）", f"refused: {refusal.value}")
    )
    return LedgerError(refusal.value, zh, en, kind=kind)


class Journal:
    """The writer of one log. `clock_ns` and `entropy` are injected; `database` gives exclusive transactions."""

    def __init__(self, database: Database, clock_ns: Callable[[], int], entropy: Callable[[int], bytes]) -> None:
        self.state = State()
        self.entropy = entropy
        self.pseudonym_key = b""
        self.unwritten: dict[bytes, Entry] = {}
        self.memo: dict[str, Any] = {}
        self.origin = ""
        self._database = database
        self._clock_ns = clock_ns
        self._frontier = Frontier()
        self._recorded: list[tuple[Entry, Event]] = []
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(QUEUE_MAX)
        self._task: asyncio.Task[None] | None = None
        self._next_due_ns = 0
        self._stale = True

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Journal]:
        """Run the writer task; on leaving, finish what is queued and stop."""
        self._task = asyncio.create_task(self._run(), name="ledger-writer")
        try:
            yield self
        finally:
            await self._queue.join()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def transact(self, work: Work[T], *, own_sql: bool = True, keeps_memo: bool = False) -> T:
        """Run `work` in the writer's next transaction and return its result once that is durable.

        Work that `keeps_memo` promises to change nothing that `Transaction.memo` remembers.

        Raises:
            LedgerError: kind UNAVAILABLE when too much is queued, the writer has stopped or the database failed; nothing
                was recorded.

        """
        if self._task is None or self._task.done():
            raise LedgerError("stopped", "服务未在运行", "the writer is not running", kind=Kind.UNAVAILABLE)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Job(work, done, own_sql, keeps_memo))
        except asyncio.QueueFull:
            raise LedgerError(
                "busy", "系统繁忙，请稍后重试", "too much work is queued; retry later", kind=Kind.UNAVAILABLE
            ) from None
        return await asyncio.shield(done)

    async def submit(self, *events: Event) -> list[Entry]:
        """Record events as one atomic chain (see `Transaction.append`)."""
        return await self.transact(lambda tx: tx.append(events), own_sql=False, keeps_memo=True)

    async def _run(self) -> None:
        while True:
            group = [await self._queue.get()]
            while len(group) < GROUP_MAX and not self._queue.empty():
                group.append(self._queue.get_nowait())
            try:
                await self._commit(group)
            finally:
                for _ in group:
                    self._queue.task_done()

    async def _commit(self, group: list[_Job]) -> None:
        outcomes: list[tuple[_Job, Any, BaseException | None]] = []
        try:
            async with self._database.write() as connection:
                await self._refresh(connection)
                await self._expire_due(connection)
                outcomes.extend([(job, *(await self._perform(job, connection))) for job in group])
                await self._flush(connection)
        except Exception as fault:  # noqa: BLE001 -- whatever the database said, callers must hear and caches must go
            self._stale = True
            self._recorded, self.unwritten = [], {}
            outcomes = [(job, None, _unavailable(fault)) for job in group]
        for job, result, error in outcomes:
            if job.done.done():
                continue
            if error is None:
                job.done.set_result(result)
            else:
                job.done.set_exception(error)

    async def _perform(self, job: _Job, connection: sql.Connection) -> tuple[Any, Exception | None]:
        tx = Transaction(self, connection, self._clock_ns())
        mark = len(self.state.undo)
        try:
            async with sql.savepoint(connection) if job.own_sql else contextlib.nullcontext():
                result = await job.work(tx)
        except Exception as error:
            if sql.is_storage_fault(error):
                raise
            self.state.rollback(mark)
            return None, error
        self._keep(tx)
        if not job.keeps_memo:
            self.memo.clear()
        return result, None

    def _keep(self, tx: Transaction) -> None:
        self._recorded.extend(tx.recorded)
        self.unwritten.update((entry.event_id, entry) for entry, _ in tx.recorded)

    async def _expire_due(self, connection: sql.Connection) -> None:
        """Log the expiry of holds whose time has come before anything else, so that none can be captured late."""
        now = self._clock_ns()
        if now < self._next_due_ns:
            return
        tx = Transaction(self, connection, now)
        due = await store.due_holds(connection, now, EXPIRIES_MAX)
        await tx.append([_expiry(hold.seq) for hold in due], fresh=True)
        self._keep(tx)
        self._next_due_ns = now if len(due) == EXPIRIES_MAX else await store.next_due(connection, now)

    async def _refresh(self, connection: sql.Connection) -> None:
        """Start from what is committed: caches go when another process has written, or a commit failed."""
        if not self._stale and await store.load_size(connection) == self.state.size:
            if len(self.state.accounts) > ACCOUNTS_CACHED_MAX:
                self._forget()
            return
        head = await store.load_head(connection)
        if head is None:
            raise LedgerError("no-ledger", "数据库中没有账本", "the database holds no ledger", kind=Kind.UNAVAILABLE)
        self.state.size, self.state.last_ns, self.state.next_account = head.size, head.last_ns, head.next_account
        self._forget()
        self._frontier, self._next_due_ns = head.frontier, 0
        self.pseudonym_key, self.origin = head.pseudonym_key, head.origin
        self._stale = False

    def _forget(self) -> None:
        self.memo.clear()
        self.state.accounts.clear()
        self.state.numbers.clear()
        self.state.holds.clear()

    async def _flush(self, connection: sql.Connection) -> None:
        """Write what was applied, then the head; a failed commit leaves the frontier as it was."""
        state, recorded = self.state, self._recorded
        state.undo.clear()
        if not recorded:
            return
        frontier = self._frontier.copy()
        for entry, _ in recorded:
            frontier.append(hash_leaf(entry.leaf))
        await store.write_entries(connection, recorded)
        touched = {leg.account for entry, _ in recorded for leg in entry.legs}
        await store.write_balances(connection, [state.accounts[number] for number in touched])
        held = {seq for entry, _ in recorded for seq in (entry.seq, entry.ref_seq) if seq in state.holds}
        await store.write_holds(connection, [state.holds[seq] for seq in held])
        for seq in held:
            if state.holds[seq].status is not HoldStatus.OPEN:
                del state.holds[seq]
            elif (expires := state.holds[seq].expires_ns) is not None:
                self._next_due_ns = min(self._next_due_ns, expires)
        await store.write_head(connection, frontier, state.last_ns, state.next_account)
        self._frontier = frontier
        self._recorded, self.unwritten = [], {}


def _expiry(seq: int) -> Event:
    digest = sha256(b"expire\x00" + seq.to_bytes(8)).digest()
    return Event(EntryKind.EXPIRE, digest[:16], digest, ref_seq=seq)


def _unavailable(fault: BaseException) -> BaseException:
    if isinstance(fault, LedgerError):
        return fault
    error = LedgerError(
        "storage-unavailable",
        "数据库暂不可用，本次请求未写入任何内容",
        "the database is unavailable; nothing of this request was written",
        kind=Kind.UNAVAILABLE,
    )
    error.__cause__ = fault
    return error
