"""The single writer: callers queue work, one task commits whatever has queued up in one durable transaction.

A reply means committed. The batch grows by itself while the previous commit runs; nothing waits when the writer is idle.
Reasons and measurements: docs/decisions/0003-one-writer-group-commit.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any, Protocol, TypeVar

from ledger import sql, store
from ledger.changes import Changes, LogHead, changes_of
from ledger.edge import Edge
from ledger.entry import Entry, EntryKind, Event
from ledger.errors import Kind, LedgerError, storage_unavailable
from ledger.fresh import FreshIds
from ledger.outcome import Outcome, RefusedError
from ledger.state import HoldStatus
from ledger.transaction import Chain, Transaction, Writer
from ledger.tree import hash_leaves

QUEUE_MAX = 4096
"""Work waiting for the writer; beyond it callers are told to come back."""
GROUP_MAX = 512
"""Work committed together."""
CHAINS_TOGETHER_MAX = 4_096
"""Chains after which no further job joins a group: larger ones gain nothing, and keep the next from being applied."""
CHAINS_MAX = 16_384
"""Chains of one bulk request."""
ACCOUNTS_CACHED_MAX = 200_000
EXPIRIES_MAX = 1000
_HALVED = 16

T = TypeVar("T")
Work = Callable[["Transaction"], Awaitable[T]]


class Database(Protocol):
    """What the journal needs of a database: one exclusive writing transaction at a time."""

    def write(self) -> contextlib.AbstractAsyncContextManager[sql.Connection]:
        """Begin an exclusive transaction; commit on leaving, roll back on an exception."""

    def peek(self) -> contextlib.AbstractAsyncContextManager[sql.Connection]:
        """A connection that sees what is committed, statement by statement."""

    async def write_rows(self, expected: Sequence[tuple[str, int]], rows: Sequence[sql.Rows]) -> bool:
        """Write rows in one transaction unless a query finds another number than it should."""


@dataclass(slots=True)
class _Job:
    """Queued work: chains of events, looked up together with those of other jobs, or what a caller wants to do himself.

    Work that writes rows of its own gets a savepoint, so that it can be taken back alone; work that flies writes none itself.
    """

    work: Work[Any] | None
    done: asyncio.Future[Any]
    chains: Sequence[Chain] = ()
    all_or_nothing: bool = True
    own_sql: bool = False
    keeps_memo: bool = True
    flies: bool = False

    def record(self, tx: Transaction) -> list[Outcome]:
        return tx.record(self.chains, all_or_nothing=self.all_or_nothing, for_good=True)


_Answers = list[tuple[_Job, Any, BaseException | None]]


@dataclass(slots=True)
class _Flight:
    """A group of events on its way to the disk, while the next group is applied."""

    answers: _Answers
    changes: Changes
    known: dict[bytes, Entry]
    failed: store.Failures
    noted: dict[Any, Any]
    task: asyncio.Task[bool] | None = None


class Journal(Writer):
    """The writer of one log. `clock_ns` and `entropy` are injected; `database` gives exclusive transactions.

    `fences` are queries and the numbers that each transaction must find: a writer that lost its lease writes nothing.
    """

    def __init__(
        self,
        database: Database,
        clock_ns: Callable[[], int],
        entropy: Callable[[int], bytes],
        fences: Sequence[tuple[str, int]] = (),
    ) -> None:
        super().__init__(entropy)
        self.fences = fences
        self._database = database
        self._clock_ns = clock_ns
        self._edge = Edge()
        self._queue: asyncio.Queue[_Job | None] = asyncio.Queue(QUEUE_MAX)
        self._task: asyncio.Task[None] | None = None
        self._flight: _Flight | None = None
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
            await self._land()

    async def transact(
        self, work: Work[T], *, own_sql: bool = True, keeps_memo: bool = False, flies: bool = False
    ) -> T:
        """Run `work` in the writer's next transaction and return its result once that is durable.

        Work that `keeps_memo` promises to change nothing that `Transaction.memo` remembers. Work that `flies` reads alone, and
        gives its rows to `Transaction.write`: it may be done while the group before is on its way, and be done again.

        Raises:
            LedgerError: kind UNAVAILABLE when too much is queued, the writer has stopped or the database failed; nothing
                was recorded.

        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(_Job(work, done, own_sql=own_sql and not flies, keeps_memo=keeps_memo, flies=flies))
        return await done

    async def submit(self, *events: Event) -> list[Entry]:
        """Record events as one atomic chain (see `Transaction.append`)."""
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._enqueue(_Job(None, done, (events,), all_or_nothing=False))
        (outcome,) = await done
        return outcome.entries_or_raise()

    async def bulk(self, chains: Sequence[Chain], *, all_or_nothing: bool = False) -> list[Outcome]:
        """Record many chains in one transaction and say of each what became of it (see `Transaction.bulk`)."""
        if len(chains) > CHAINS_MAX:
            raise LedgerError("bulk-too-large", f"一次最多 {CHAINS_MAX} 组", f"at most {CHAINS_MAX} chains at a time")
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._enqueue(_Job(None, done, chains, all_or_nothing))
        return await done

    def _enqueue(self, job: _Job) -> None:
        if self._task is None or self._task.done():
            raise LedgerError("stopped", "服务未在运行", "the writer is not running", kind=Kind.UNAVAILABLE)
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise LedgerError(
                "busy", "系统繁忙，没有办理；请一秒后重试", "too much work is queued; try in 1 s", kind=Kind.UNAVAILABLE
            ) from None

    async def _run(self) -> None:
        while True:
            taken = [await self._queue.get()]
            waiting = self._queue.qsize()
            # Half of those who wait: while they are on their way to the disk the other half is applied.
            share = waiting if self._flight or waiting < _HALVED else waiting // 2
            chains = _chains(taken[0])
            while len(taken) <= min(share, GROUP_MAX - 1) and chains < CHAINS_TOGETHER_MAX:
                taken.append(self._queue.get_nowait())
                chains += _chains(taken[-1])
            try:
                await self._handle([job for job in taken if job is not None])
            finally:
                for _ in taken:
                    self._queue.task_done()

    async def _handle(self, group: list[_Job]) -> None:
        """Events alone go to the disk while the next group is looked up and applied; all else waits for its turn."""
        now = self._now()
        if not group or not self._may_fly(group, now):
            await self._land()
            for _, part in groupby(group, key=lambda job: job.work is None or job.flies):  # rows come last: see `flies`
                await self._commit(list(part))
            return
        try:
            flight = await self._apply(group, now)
        except Exception:  # noqa: BLE001 -- the group is tried again from what is committed
            self.drop_unwritten()
            self._stale, flight = True, None
        landed = await self._land(flight)
        if flight is None or not landed:
            await self._commit(group)
            return
        self._flight = flight
        flight.task = asyncio.create_task(self._fly(flight), name="ledger-commit")
        await asyncio.sleep(0)  # it takes off now: a next group of new ids is applied without any wait

    def _now(self) -> int:
        """The time that the next entry is recorded at: one reading decides what is due and when its group is recorded."""
        return max(self._clock_ns(), self.state.last_ns + 1)

    def _may_fly(self, group: list[_Job], now: int) -> bool:
        return (
            not self._stale
            and len(self.state.accounts) <= ACCOUNTS_CACHED_MAX
            and now < self._next_due_ns
            and all(job.work is None or job.flies for job in group)
            and not any(event[0] == _ERASE for job in group for chain in job.chains for event in chain)
        )

    async def _apply(self, group: list[_Job], now: int) -> _Flight:
        """Look up and apply a group while the one before may still be on its way: what that one recorded is known."""
        before: dict[Any, Any] = {}
        if self._flight is not None:
            self.known, self.failed_before = dict(self._flight.known), dict(self._flight.failed)
            before = self._flight.noted
            self.noted = dict(before)
        async with self._database.peek() as connection:
            await self._look_up(connection, group)
            answers: _Answers = [(job, *(await self._perform(job, connection, now))) for job in group]
        known = {entry[2]: entry for entry, _ in self.recorded}
        noted = {key: value for key, value in self.noted.items() if before.get(key) is not value}
        flight = _Flight(answers, self._changes(), known, self.failed, noted)
        self.drop_unwritten()
        return flight

    async def _fly(self, flight: _Flight) -> bool:
        """Commit a flight and answer it; False, with nobody answered, when it must be done again."""
        try:
            rows, size = flight.changes.rows, flight.changes.size
            written = not any(part for _, part, _ in rows) or await self._database.write_rows(
                [(store.SIZE, size), *self.fences], rows
            )
        except Exception:  # noqa: BLE001 -- whatever the database said, the group is tried again from what is committed
            written = False
        if written:
            _answer(flight.answers)
            return True
        self._stale = True
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)  # somebody must land it, also when nothing else is asked
        return False

    async def _land(self, following: _Flight | None = None) -> bool:
        """Wait for the group on its way, if any; one that failed is done again, and what was applied since is void."""
        flight, self._flight = self._flight, None
        if flight is None or flight.task is None:
            return True
        landed = await flight.task
        if landed:
            self._let_go(flight.changes, following.changes if following else None)
        else:
            await self._commit([job for job, _, _ in flight.answers])
        return landed

    async def _commit(self, group: list[_Job]) -> None:
        answers: _Answers = []
        try:
            async with self._database.write() as connection:
                await self._check_fences(connection)
                await self._refresh(connection)
                now = self._now()
                await self._expire_due(connection, now)
                await self._look_up(connection, group)
                answers.extend([(job, *(await self._perform(job, connection, now))) for job in group])
                changes = self._changes()
                await store.write(connection, changes)
            self.drop_unwritten()
            self._let_go(changes, None)
        except Exception as fault:  # noqa: BLE001 -- whatever the database said, callers must hear and caches must go
            self._stale = True
            self.drop_unwritten()
            answers = [(job, None, storage_unavailable(fault)) for job in group]
        _answer(answers)

    async def _check_fences(self, connection: sql.Connection) -> None:
        found = await sql.execute_all(connection, [(query, ()) for query, _ in self.fences])
        if found != [[(number,)] for _, number in self.fences]:
            raise LedgerError(
                "writer-fenced",
                "写入权已移交另一进程，本次请求未写入任何内容",
                "another process has taken over writing; nothing of this request was written",
                kind=Kind.UNAVAILABLE,
            )

    async def _look_up(self, connection: sql.Connection, group: list[_Job]) -> None:
        """Read what the events of all jobs name, at once."""
        events = [event for job in group for chain in job.chains for event in chain]
        if events:
            await self.load(connection, events)

    async def _perform(self, job: _Job, connection: sql.Connection, now: int) -> tuple[Any, Exception | None]:
        tx = Transaction(self, connection, now)
        if job.work is None:
            return job.record(tx), None
        mark, recorded, failed = len(self.state.undo), len(self.recorded), len(self.failed)
        rows, noted = len(self.rows), dict(self.noted)
        try:
            async with sql.savepoint(connection) if job.own_sql else contextlib.nullcontext():
                result = await job.work(tx)
        except Exception as error:
            if sql.is_storage_fault(error):
                raise
            self.take_back(mark, recorded, failed)
            del self.rows[rows:]
            self.noted = noted
            if isinstance(error, RefusedError):
                self.burn(error.event, error.refusal)
            return None, error
        if not job.keeps_memo:
            self.memo.clear()
        return result, None

    async def _expire_due(self, connection: sql.Connection, now: int) -> None:
        """Log the expiry of holds whose time has come before anything else, so that none can be captured late."""
        if now < self._next_due_ns:
            return
        due = await store.due_holds(connection, now, EXPIRIES_MAX)
        await Transaction(self, connection, now).append([_expiry(hold.seq) for hold in due], fresh=True)
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
        state = self.state
        state.size, state.last_ns, state.next_account = head.size, head.last_ns, head.next_account
        state.closed_ns, state.closed_seq = head.closed_ns, head.closed_seq
        self.fresh = FreshIds()
        self._forget()
        self.assets = await store.load_assets(connection)
        state.assets = {asset.code: asset.number for asset in self.assets.values()}
        self._edge, self._next_due_ns = await store.load_edge(connection, head.frontier), 0
        self.pseudonym_key, self.origin = head.pseudonym_key, head.origin
        self._stale = False

    def _forget(self) -> None:
        self.memo.clear()
        self.state.forget()
        self.state.assets = {asset.code: asset.number for asset in self.assets.values()}

    def _changes(self) -> Changes:
        """What was applied and is to be written; after a failed commit everything is read again."""
        state, recorded = self.state, self.recorded
        state.undo.clear()
        full = self._edge.extend(hash_leaves(entry[12] for entry, _ in recorded))
        frontier = self._edge.frontier
        head = LogHead(
            self.origin, frontier.size, frontier.root(), frontier, state.last_ns, state.next_account, state.closed_ns,
            state.closed_seq, self.pseudonym_key,
        )  # fmt: skip
        changes = changes_of(recorded, self.failed_rows(), state, full, head)
        changes.rows.extend(self.rows)
        expiries = (state.holds[seq].expires_ns for seq in changes.holds if state.holds[seq].status is HoldStatus.OPEN)
        self._next_due_ns = min([self._next_due_ns, *(at for at in expiries if at is not None)])
        return changes

    def _let_go(self, written: Changes, following: Changes | None) -> None:
        """Closed holds and reversed postings are seldom asked for again; those of the next group are not on disk yet."""
        state = self.state
        for seq in written.holds - (following.holds if following else frozenset()):
            if (hold := state.holds.get(seq)) is not None and hold.status is not HoldStatus.OPEN:
                del state.holds[seq]
        for seq in written.originals - (following.originals if following else frozenset()):
            state.originals.pop(seq, None)


def _answer(answers: _Answers) -> None:
    for job, result, error in answers:
        if job.done.done():
            continue
        if error is None:
            job.done.set_result(result)
        else:
            job.done.set_exception(error)


_ERASE = int(EntryKind.ERASE)


def _chains(job: _Job | None) -> int:
    return len(job.chains) if job else 0


def _expiry(seq: int) -> Event:
    digest = sha256(b"expire\x00" + seq.to_bytes(8)).digest()
    return Event(EntryKind.EXPIRE, digest[:16], digest, ref_seq=seq)
