"""A ledger's world in one process and one number: clients, retries, crashes, full disks, odd clocks and other processes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from ledger.entry import Entry
from ledger.errors import DomainError
from ledger.leaf import decode
from ledger.sql import execute_all
from ledger.tree import hash_leaf, root_of
from tests.simulation.auditor import Asked, Auditor, Reply, Seen, check_invariants, check_projections
from tests.simulation.history import History, disorder
from tests.simulation.machine import CrashError, Faults, Machine, Process, WorkError, run
from tests.simulation.wishes import Wishes

CALM_S = 60.0
"""How long, at most, a request may wait for its answer once nothing fails any more."""
CRASHES_MAX = 12
"""A world that has seen so many has peace: a new process costs what a hundred requests do."""
PROJECTIONS = {
    "account": "SELECT number, public_id, asset FROM account ORDER BY number",
    "balance": "SELECT account, floor, ceiling, restriction, debits_posted, credits_posted, debits_held, credits_held, "
    "last_seq FROM balance ORDER BY account",
    "hold": "SELECT * FROM hold ORDER BY seq, line",
    "reversal": "SELECT * FROM reversal ORDER BY seq, account, side",
    "log_state": "SELECT size, last_ns, next_account, closed_ns, closed_seq FROM log_state",
}


class Chaos(Faults):
    """Errors and crashes by chance; the rates change while the world turns."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.errors = self.crashes = self.stalls = 0.0
        self.lost_commits = 0.0

    def before(self, process: Process, sql: str) -> None:
        draw = self.random.random()
        if draw < self.crashes:
            raise CrashError
        if draw < self.crashes + self.errors:
            raise sqlite3.OperationalError("disk I/O error")

    def after(self, process: Process, sql: str) -> None:
        draw = self.random.random()
        if draw < self.crashes * (20 if sql == "COMMIT" else 1):
            raise CrashError
        if sql == "COMMIT" and draw > 1 - self.lost_commits:
            raise sqlite3.OperationalError("the answer to a commit was lost")

    async def pause(self, process: Process) -> None:
        draw = self.random.random()
        if draw < self.crashes / 10:
            process.die()
        await asyncio.sleep(0 if draw < 0.8 else 3 if draw < 0.8 + self.stalls else self.random.random() / 500)

    def calm(self) -> None:
        self.errors = self.crashes = self.stalls = self.lost_commits = 0.0


class World:
    """Everything that happens to one ledger."""

    def __init__(self, seed: int, folder: Path, blank: bytes, *, clients: int = 5, requests: int = 25) -> None:
        self.random = Random(seed)
        path = folder / "ledger.db"
        path.write_bytes(blank)
        self.chaos = Chaos(self.random)
        self.machine = Machine(path, self.random, self.chaos)
        self.wishes = Wishes(self.random, self.machine.clock_ns)
        self.strange = Wishes(self.random, self.machine.clock_ns, "stranger")
        self.auditor, self.history = Auditor(), History()
        self.clients, self.requests = clients, requests
        self.log: list[Entry] = []
        self.waiting: list[Asked] = []
        self.counts: dict[str, int] = {}
        self.is_over = False
        self.buried: list[Process] = []
        self._names = 0
        self._reader = sqlite3.connect(path, isolation_level=None)

    async def run(self) -> None:
        """Let it all happen, then calm down, and look at everything."""
        with self.machine.running(), contextlib.closing(self._reader):
            self.process = await self.start()
            await self.ask(0, self.wishes.opening, patient=True)
            tasks = [asyncio.create_task(self.client(number)) for number in range(self.clients)]
            nemesis = asyncio.create_task(self.nemesis())
            watch = asyncio.create_task(self.supervise())
            gathered = asyncio.gather(*tasks)
            beside = {watch, nemesis}
            while not gathered.done():
                done, _ = await asyncio.wait({gathered, *beside}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & beside:
                    task.result()
                beside -= done
            await gathered
            nemesis.cancel()
            await asyncio.wait({nemesis})
            await self.finish()
            watch.cancel()
            await asyncio.wait({watch})

    async def start(self) -> Process:
        self._names += 1
        return await Process(self.machine, f"p{self._names}").start()

    async def client(self, number: int) -> None:
        """Asks for one thing after another, and looks."""
        for _ in range(self.requests):
            if self.random.random() < 0.2:
                await self.look(number)
            await self.ask(number, lambda: self.wishes.request(self.auditor.books), patient=self.random.random() < 0.8)
            await asyncio.sleep(self.random.choice([0, 0, 0, 0.001, 0.02]))

    async def ask(self, client: int, wish: Callable[[], Asked], *, patient: bool) -> None:
        """Ask until there is an answer that says what became of it; who is not patient asks once and goes away."""
        first = wish()
        operation = self.history.begin(client)
        while True:
            asked = Asked(first.chains, first.all_or_nothing, first.opens, first.is_work, first.fails)
            await self.deliver(asked, self.process, self.random.choice([0.05, 1, 20]))
            if asked.replies is not None and not asked.undone:
                rows = [row for reply in asked.replies for row in reply.rows]
                self.history.wrote(operation, [row.seq for row in rows if not row.replayed], [row.seq for row in rows])
                return
            if not patient and not self.is_over:
                return
            await asyncio.sleep(self.random.choice([0.002, 0.01, 0.3]))

    async def deliver(self, asked: Asked, process: Process, patience_s: float) -> None:
        """Send a request; without an answer in time it is sent again, or dropped, while this one is still on its way."""
        self.waiting.append(asked)
        asked.process = process
        task = process.ask(self.answer(asked, process))
        await asyncio.wait({task}, timeout=patience_s)
        if not task.done() and self.random.random() < 0.3:
            task.cancel()
        if task.done() and not task.cancelled():
            task.result()
            self.check()

    async def answer(self, asked: Asked, process: Process) -> None:
        try:
            outcomes = await process.bulk(asked)
        except (DomainError, WorkError) as error:
            asked.replies = [Reply(error.code)] * max(1, len(asked.chains))
        else:
            if asked.is_work:
                asked.replies = [Reply("created", tuple(outcomes))]
            else:
                asked.replies = [Reply(one.code, one.entries, one.at, one.detail) for one in outcomes]
        for reply in asked.replies:
            self.counts[reply.code] = self.counts.get(reply.code, 0) + 1

    async def look(self, client: int) -> None:
        """Read some balances and the size of the log in one snapshot."""
        process, operation = self.process, self.history.begin(client)
        task = process.ask(self.read(process))
        await asyncio.wait({task}, timeout=5)
        if task.done() and not task.cancelled() and task.result():
            self.history.read(operation, *task.result())

    async def read(self, process: Process) -> tuple[int, dict[int, tuple[int, ...]]] | None:
        numbers = self.random.sample(list(self.auditor.books.accounts), 3)
        queries = [
            f"SELECT debits_posted, credits_posted, debits_held, credits_held FROM balance WHERE account = {number}"
            for number in numbers
        ]
        try:
            async with process.database.read() as connection:
                found = await execute_all(connection, [(query, ()) for query in queries])
                [[(size,)]] = await execute_all(connection, [("SELECT size FROM log_state", ())])
        except (DomainError, ValueError):  # what the driver says of a connection that was closed
            return None
        return size, {number: rows[0] for number, rows in zip(numbers, found, strict=True) if rows}

    async def supervise(self) -> None:
        """Whatever dies is buried and started anew."""
        while True:
            await asyncio.sleep(0.002)
            for process in [process for process in self.machine.processes.values() if process.dead]:
                if process not in self.buried:
                    self.buried.append(process)
                    await process.crash()
                    self.counts["crash"] = self.counts.get("crash", 0) + 1
                    self.check()
                    if process is self.process:
                        self.process = await self.start()

    async def nemesis(self) -> None:
        """Good times and bad times."""
        random, chaos = self.random, self.chaos
        while self.counts.get("crash", 0) < CRASHES_MAX:
            await asyncio.sleep(random.random() / 10)
            if random.random() < 0.6:
                chaos.calm()
            match random.randrange(9):
                case 0:
                    chaos.errors = random.choice([0.002, 0.02, 0.2])
                case 1:
                    chaos.crashes = random.choice([0.0005, 0.002])
                case 2:
                    chaos.stalls = 0.01
                case 3:
                    self.machine.skew_ns += random.choice([-(10**12), -(10**7), -(10**6), 10**6, 10**8, 4 * 10**12])
                case 4:
                    self.fill(random.randint(0, 6))
                case 5:
                    await self.stranger()
                case 6:
                    if random.random() < 0.3:
                        self.process.die()
                case _:
                    chaos.calm()
                    self.fill(10**6)
        chaos.calm()
        self.fill(10**6)

    def fill(self, pages: int) -> None:
        """The disk has so many pages left."""
        [(used,)] = self._reader.execute("PRAGMA page_count").fetchall()
        self.machine.pages_max = used + pages
        for process in self.machine.processes.values():
            for connection in process.connections:
                if raw := connection.raw:
                    sqlite3.Connection.cursor(raw).execute(f"PRAGMA max_page_count={used + pages}")

    async def stranger(self) -> None:
        """Another process opens the file, writes a little under ids of its own, and goes."""
        process = await self.start()
        for _ in range(self.random.randint(1, 3)):
            if not process.dead:
                await self.deliver(self.strange.request(self.auditor.books), process, 20)
        if not process.dead and all(one.replies is not None for one in self.waiting if one.process is process):
            await process.end()
        process.die()

    def check(self) -> None:
        """The auditor agrees with everything that is committed now."""
        self._reader.execute("BEGIN")
        leaves = self._reader.execute("SELECT leaf FROM entry WHERE seq >= ? ORDER BY seq", (len(self.log),)).fetchall()
        failed = self._reader.execute("SELECT event_id, digest, code FROM failed").fetchall()
        tables = {name: self._reader.execute(query).fetchall() for name, query in PROJECTIONS.items()}
        self._reader.execute("COMMIT")
        self.log += [decode(leaf)[0] for (leaf,) in leaves]
        assert [entry.seq for entry in self.log[-len(leaves) :]] == list(range(len(self.log)))[-len(leaves) :]
        self.auditor.begin(self.log[0])
        seen = Seen(self.log, {event_id: (digest, code) for event_id, digest, code in failed})
        self.waiting = self.auditor.advance(self.waiting, seen)
        check_projections(self.auditor.books, tables)
        check_invariants(self.auditor.books)

    async def finish(self) -> None:
        """When nothing fails any more, everybody is answered, the books agree, and history is in order."""
        self.chaos.calm()
        self.fill(10**6)
        self.is_over = True
        for process in self.machine.processes.values():
            if process is not self.process:
                process.die()
        await asyncio.sleep(1)  # the dead are buried
        async with asyncio.timeout(CALM_S):
            await self.ask(0, lambda: self.wishes.request(self.auditor.books), patient=True)
            await asyncio.gather(*self.process.asking, return_exceptions=True)
        await self.process.end()
        self.process.die()
        self.check()
        assert not [one for one in self.waiting if not one.passed]
        [(root,)] = self.machine.rows("SELECT root FROM log_state")[0]
        assert root == root_of([hash_leaf(entry.leaf) for entry in self.log])
        assert not (found := disorder(self.history.operations)), found
        for operation in self.history.operations:
            for account, totals in operation.totals.items():
                assert totals == self.auditor.totals_at(account, operation.high), operation


def simulate(seed: int, blank: bytes, **sizes: Any) -> World:
    """Run one world; whoever fails names its seed."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        world = World(seed, Path(folder), blank, **sizes)
        run(world.run())
        return world


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
