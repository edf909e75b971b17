"""A computer to crash: SQLite without threads on virtual time, where every statement and every wait is a place to fail."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import selectors
import sqlite3
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import aiosqlite

from ledger.journal import Journal
from ledger.transaction import Transaction
from suanquan.db.database import BUSY_MS, Database
from tests.simulation.auditor import Asked

NS = 10**9
START_NS = 1_767_225_600 * NS
TICK_NS = 10**6
"""The clock of a simulation moves in milliseconds, so that an expiry and a reading often meet at one nanosecond."""


class StuckError(AssertionError):
    """Nothing will ever happen again, and somebody still waits."""


class _Selector(selectors.SelectSelector):
    """Where a real loop would sleep, time jumps."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StuckError("everybody waits for nobody")
        self.loop.seconds += max(timeout, 0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which a minute takes no time."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.seconds = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.seconds


class CrashError(BaseException):
    """The process ends here."""


class Faults:
    """What goes wrong at a statement. By default nothing does."""

    def before(self, process: Process, sql: str) -> None:
        """Raise `sqlite3.OperationalError` for a fault, `CrashError` for the end; the statement is not run then."""

    def after(self, process: Process, sql: str) -> None:
        """The same, when the statement has been run."""

    async def pause(self, process: Process) -> None:
        """What a visit to the database takes."""
        await asyncio.sleep(0)


_CHEAP = {
    "PRAGMA synchronous=FULL": "PRAGMA synchronous=OFF",
    f"PRAGMA busy_timeout={BUSY_MS}": "PRAGMA busy_timeout=0",
}
"""Processes crash here, not machines; and nobody waits for a lock in real time."""


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        process = self.connection.process
        if process.dead:
            raise CrashError
        if sql.startswith("PRAGMA"):
            return super().execute(_CHEAP.get(sql, sql), *values)
        process.machine.faults.before(process, sql)
        super().execute(sql, *values)
        if sql == "BEGIN IMMEDIATE":
            self.connection.writes = True
        elif sql == "COMMIT" and self.connection.writes:
            process.has_committed()
        process.machine.faults.after(process, sql)
        return self


class _Raw(sqlite3.Connection):
    process: Process
    writes = is_closed = False

    def __init__(self, *values: Any, **options: Any) -> None:
        super().__init__(*values, **options)
        self._cursors: weakref.WeakSet[_Cursor] = weakref.WeakSet()

    def cursor(self, *_: Any) -> sqlite3.Cursor:
        cursor = super().cursor(_Cursor)
        self._cursors.add(cursor)
        return cursor

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:  # the driver's own would make a plain cursor
        return self.cursor().execute(sql, *values)

    def close(self) -> None:
        """Close at once: a statement that a traceback still holds would keep the file locked."""
        for cursor in [] if self.is_closed else list(self._cursors):
            cursor.close()
        self.is_closed = True
        super().close()


class _Inline:
    """Stands where aiosqlite keeps the queue of its thread."""

    def put_nowait(self, item: tuple[Any, Callable[[], Any]]) -> None:
        future, work = item
        future.set_result(work())


class Connection(aiosqlite.Connection):
    """aiosqlite's connection, run in the loop's own thread."""

    def __init__(self, process: Process, path: str) -> None:
        super().__init__(lambda: None, 64)
        self.process, self._path = process, path
        self._tx = _Inline()

    @property
    def raw(self) -> _Raw | None:
        """The connection, while it is open."""
        return self._connection if self._connection and not self._connection.is_closed else None

    def __await__(self) -> Any:
        return self._open().__await__()

    async def _open(self) -> Connection:
        await self.process.alive()
        raw = sqlite3.connect(self._path, timeout=0, factory=_Raw, isolation_level=None, check_same_thread=False)
        raw.process = self.process
        self._connection = raw
        if self.process.machine.pages_max:
            sqlite3.Connection.cursor(raw).execute(f"PRAGMA max_page_count={self.process.machine.pages_max}")
        self.process.connections = [*(other for other in self.process.connections if other.raw), self]
        return self

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._connection:
            raise ValueError("Connection closed")
        process = self.process
        await process.machine.faults.pause(process)
        await process.alive()
        if not self._conn.in_transaction:
            await process.machine.unlocked(process)
        try:
            found = fn(*args, **kwargs)
        except CrashError:
            process.die()
        await process.machine.faults.pause(process)
        await process.alive()
        return found

    def stop(self) -> None:
        self.kill()

    def __del__(self) -> None:
        self.kill()

    def kill(self) -> None:
        """As the end of a process does: what was not committed is rolled back by the next who opens the file."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()  # a statement that nobody has finished would keep the lock
            self._connection.close()
        self._connection = None


class Process:
    """One process: a database, a journal and its writer; `end` makes it orderly, `crash` at once.

    The name of its folder, a link, tells connections to the one file apart.
    """

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.dead = machine, False
        self.connections: list[Connection] = []
        self._grave = asyncio.Event()
        folder = machine.path.parent / name
        folder.symlink_to(".")
        machine.processes[str(folder)] = self
        self.database = Database(folder / machine.path.name)
        self.journal = _Journal(self.database, machine.clock_ns, machine.random.randbytes)
        self._stack = contextlib.AsyncExitStack()
        self.asking: dict[asyncio.Task[Any], None] = {}

    async def start(self) -> Process:
        await self._stack.enter_async_context(self.journal.running())
        return self

    def ask(self, asking: Any) -> asyncio.Task[Any]:
        """A caller of this process, who goes when it does."""
        task = asyncio.create_task(asking)
        self.asking[task] = None
        task.add_done_callback(self.asking.pop)
        return task

    async def alive(self) -> None:
        """A dead process gets no further than here."""
        if self.dead:
            await self._grave.wait()
            raise ValueError("Connection closed")

    async def end(self) -> None:
        """Finish what is queued, and close."""
        await self._stack.aclose()
        await self.database.close()

    def die(self) -> None:
        """The end, at once: locks are free, and nothing gets further than its next wait."""
        self.dead = True
        for connection in self.connections:
            connection.kill()

    async def crash(self) -> None:
        """Throw the process away: nothing of it runs any more, and nobody gets an answer from it."""
        self.die()
        flight = self.journal._flight
        tasks = [task for task in (self.journal._task, flight and flight.task, *self.asking) if task]
        self._grave.set()
        while tasks := [task for task in tasks if not task.done()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.001)
        self.journal._queue, self.journal._flight = asyncio.Queue(), None
        await self.end()

    def has_committed(self) -> None:
        """What is on its way to the disk is there."""
        for job in self.journal.writing:
            (job.work or job.chains).asked.is_committed = True

    async def bulk(self, asked: Asked) -> list[Any]:
        """Ask for a request; it remembers where the writer decided it, and whether that was committed."""
        asked.process = self
        if asked.is_work:
            return await self.journal.transact(_Work(self.machine, asked))
        return await self.journal.bulk(_Chains(self.machine, asked), all_or_nothing=asked.all_or_nothing)


class WorkError(Exception):
    """Work that ends badly."""

    code = "work-failed"


class _Chains(list[Any]):
    """A request's chains, which know it."""

    def __init__(self, machine: Machine, asked: Asked) -> None:
        super().__init__(asked.chains)
        self.machine, self.asked = machine, asked


class _Work:
    """A request's work, which knows it."""

    def __init__(self, machine: Machine, asked: Asked) -> None:
        self.machine, self.asked = machine, asked

    async def __call__(self, tx: Transaction) -> list[Any]:
        self.asked.decided(self.machine.count(), tx.size, tx.now_ns)
        await tx.open(self.asked.opens)
        entries = await tx.append(self.asked.chains[0])
        if self.asked.fails:
            raise WorkError
        return entries


class _Journal(Journal):
    """A journal of which is known what it is writing."""

    writing: Sequence[Any] = ()

    async def _fly(self, flight: Any) -> bool:
        self.writing = [job for job, _, _ in flight.answers]
        return await super()._fly(flight)

    async def _commit(self, group: list[Any]) -> None:
        self.writing = group
        await super()._commit(group)


class Machine:
    """One file, its processes, one clock, and what goes wrong."""

    def __init__(self, path: Path, random: Random, faults: Faults | None = None) -> None:
        self.path, self.random = path, random
        self.faults = faults or Faults()
        self.skew_ns = 0
        self.pages_max = 0
        self.processes: dict[str, Process] = {}
        self._decisions = 0

    def clock_ns(self) -> int:
        """What the clock on the wall shows; it may have been set."""
        seconds = asyncio.get_running_loop().time()
        return START_NS + int(seconds * NS) // TICK_NS * TICK_NS + self.skew_ns

    def count(self) -> int:
        self._decisions += 1
        return self._decisions

    async def unlocked(self, process: Process) -> None:
        """Wait, for ten seconds at most, while another process is in a transaction."""
        for _ in range(1000):
            others = [other for other in self.processes.values() if other is not process and not other.dead]
            if not any(c.raw and c.raw.in_transaction for other in others for c in other.connections):
                return
            await asyncio.sleep(0.01)

    def connect(self, path: str, **_: Any) -> Connection:
        return Connection(self.processes[str(Path(path).parent)], path)

    @contextlib.contextmanager
    def running(self) -> Iterator[Machine]:
        """While it runs, connections are the machine's, and decisions are noted."""
        connect, record = aiosqlite.connect, Transaction.record

        def noted(tx: Transaction, chains: Any, **how: bool) -> Any:
            if isinstance(chains, _Chains):
                chains.asked.decided(chains.machine.count(), tx.size, tx.now_ns)
            return record(tx, chains, **how)

        aiosqlite.connect, Transaction.record = self.connect, noted
        logging.disable(logging.ERROR)  # the pool tells of every connection that breaks
        try:
            yield self
        finally:
            aiosqlite.connect, Transaction.record = connect, record
            logging.disable(logging.NOTSET)

    def rows(self, *queries: str) -> list[list[tuple]]:
        """What is committed, in one snapshot."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            return [connection.execute(query).fetchall() for query in queries]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on virtual time; if it fails, what it left running is dropped, for it may wait for ever."""
    loop = VirtualLoop()
    gc.collect()
    gc.disable()  # connections that it finds are closed, and when it looks depends on what ran before
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(work)
    finally:
        gc.enable()
        asyncio.set_event_loop(None)
        loop.close()
