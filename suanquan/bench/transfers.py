"""`bench transfers`: durable double-entry transfers, each a leaf of the log.

The raw limit is the same database writing plain double entry in the same commits: an entry with these bytes, a row for each
leg, the balances; no rules, no hashes, no lookups. `rows_per_second` is the same for the rows that the ledger writes, which
are fewer, for it packs eight places of an account into one.
"""

from __future__ import annotations

import asyncio
import gc
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ledger.amount import CNY
from ledger.entry import EntryKind, Event, credit, debit
from ledger.history import balance_effective_at, lines_before, totals_at
from ledger.journal import Journal
from ledger.leaf import decode
from ledger.sql import Rows
from ledger.store import load_accounts_by_name
from suanquan.bench.figures import median_run, percentile, rss_mb
from suanquan.bench.places import NewPlace, new_places
from suanquan.db.database import Database
from suanquan.db.place import Place
from suanquan.db.plain import Transfer, create_plain, plain_rows
from suanquan.db.schema import upgrade
from suanquan.home import Home
from suanquan.server import run_loop
from suanquan.service import create_ledger

ACCOUNTS = 1_000
CALLERS = 64
"""Single callers at once; bulk requests are sent by four."""
BULK_CALLERS = 4
READS = 300
PAGE = 50


class Plan(NamedTuple):
    """What is measured: on which database, transfers a request, transfers, and entries that are there before."""

    backend: str
    batch: int
    transfers: int
    preload: int


def measure(plan: Plan, runs: int) -> dict[str, Any]:
    """Transfers a second in process, from the first call to the last answer; median of the runs by their ratio."""
    with new_places(plan.backend) as new:
        found = [run_loop(_run(plan, new, number)) for number in range(runs)]
    return median_run(found, "ratio") | {"runs": runs}


class _Recording(Database):
    """A database that remembers what was written to it, so that the same rows can be written without any rules."""

    written: list[Sequence[Rows]] | None = None

    async def write_rows(self, expected: Sequence[tuple[str, int]], rows: Sequence[Rows]) -> bool:
        if self.written is not None:
            self.written.append(rows)
        return await super().write_rows(expected, rows)


async def _run(plan: Plan, new: NewPlace, number: int) -> dict[str, Any]:
    database = _Recording(await _ledger(new(f"ledger_{number}")))
    try:
        async with Journal(database, time.time_ns, secrets.token_bytes).running() as journal:
            found = await _measure(journal, database, plan)
    finally:
        await database.close()
    memory = rss_mb()
    written = database.written or []
    raw = plan.transfers / await _plain(new(f"raw_{number}"), written)
    rows = plan.transfers / await _rows(new(f"rows_{number}"), written)
    per_second = found.pop("per_second")
    return {
        "workload": "transfers",
        "backend": plan.backend,
        "per_second": round(per_second),
        "raw_per_second": round(raw),
        "ratio": round(per_second / raw, 3),
        "rows_per_second": round(rows),
        "rows_ratio": round(per_second / rows, 3),
        **found,
        "rss_mb": memory,
        "batch": plan.batch,
        "transfers": plan.transfers,
        "preload": plan.preload,
        "accounts": ACCOUNTS,
    }


async def _ledger(place: Place) -> Place:
    await create_ledger(Home(Path()), place, "bench/ledger/0")
    return place


async def _measure(journal: Journal, database: _Recording, plan: Plan) -> dict[str, Any]:
    wanted = [(f"bench/{number}", CNY, None) for number in range(ACCOUNTS)]
    accounts = await journal.transact(lambda tx: tx.open(wanted))
    numbers = [account.number for account in accounts.values()]
    for at in range(0, plan.preload, 100_000):
        await _send(journal, _events(numbers, min(100_000, plan.preload - at)), 8_192)
    hot = await _timed(journal, _events(numbers, plan.transfers, hot=True), plan.batch)
    database.written = []
    spread = await _timed(journal, _events(numbers, plan.transfers), plan.batch)
    return {
        "per_second": plan.transfers / spread.seconds,
        "hot_per_second": round(plan.transfers / hot.seconds),
        "hot_ratio": round(spread.seconds / hot.seconds, 3),
        "p50_ms": percentile(spread.answers_ms, 50),
        "p99_ms": percentile(spread.answers_ms, 99),
        "read_p99_ms": await _reads(database),
    }


def _events(numbers: Sequence[int], count: int, *, hot: bool = False) -> list[Event]:
    """Transfers between random accounts or, where one is hot, all with it; ids ascend with time, as UUIDv7 do."""
    events = []
    now = time.time_ns()
    for at in range(count):
        one, two = random.sample(numbers, 2)
        legs = (
            debit(numbers[0] if hot else one, at % 1000 + 1),
            credit(two if two != numbers[0] else numbers[1], at % 1000 + 1),
        )
        events.append(
            Event(EntryKind.POST, (now + at).to_bytes(8) + secrets.token_bytes(8), secrets.token_bytes(32), legs)
        )
    return events


class _Timed(NamedTuple):
    seconds: float
    answers_ms: list[float]


async def _timed(journal: Journal, events: Sequence[Event], batch: int) -> _Timed:
    # What is about to be sent are a million live objects that no program would hold: the collector leaves them alone.
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    answers = await _send(journal, events, batch)
    seconds = time.perf_counter() - started
    gc.unfreeze()
    return _Timed(seconds, answers)


async def _send(journal: Journal, events: Sequence[Event], batch: int) -> list[float]:
    """Send events singly or in batches from several callers at once; milliseconds of each answer."""
    answers: list[float] = []
    parts = iter(range(0, len(events), batch))

    async def call() -> None:
        for at in parts:
            started = time.perf_counter()
            if batch == 1:
                await journal.submit(events[at])
            else:
                outcomes = await journal.bulk([(event,) for event in events[at : at + batch]])
                if any(outcome.error for outcome in outcomes):
                    raise RuntimeError("a transfer was refused")
            answers.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(call() for _ in range(CALLERS if batch == 1 else BULK_CALLERS)))
    return answers


async def _reads(database: Database) -> float:
    """Milliseconds (p99) of balances at random moments, by effective time, and of pages."""
    times = []
    async with database.read() as connection:
        for _ in range(READS):
            [account] = await load_accounts_by_name(connection, [f"bench/{random.randrange(ACCOUNTS)}"])  # noqa: S311
            until = time.time_ns() - random.randrange(10**10)  # noqa: S311
            for ask in (
                lambda account=account, until=until: totals_at(connection, account, until),
                lambda account=account, until=until: balance_effective_at(connection, account, until),
                lambda account=account, until=until: lines_before(connection, account, until, PAGE),
            ):
                started = time.perf_counter()
                await ask()
                times.append((time.perf_counter() - started) * 1000)
    return percentile(times, 99)


async def _plain(place: Place, written: Sequence[Sequence[Rows]]) -> float:
    """Seconds in which the database alone takes plain rows of these transfers, in the same commits."""
    database = Database(place)
    numbers: dict[bytes, int] = {}
    balances: dict[int, list[int]] = {}
    try:
        await create_plain(database)
        commits = [plain_rows([_transfer(row, numbers) for row in _entries(rows)], balances) for rows in written]
        return await _write(database, commits)
    finally:
        await database.close()


def _entries(rows: Sequence[Rows]) -> Iterator[tuple[Any, ...]]:
    return (row for table, part, _ in rows if table.name == "entry" for row in part)


def _transfer(row: tuple[Any, ...], numbers: dict[bytes, int]) -> Transfer:
    _, seq, event_id, _, recorded, leaf = row
    taken, given = decode(leaf)[0].legs
    one, two = (numbers.setdefault(leg.public_id, len(numbers)) for leg in (taken, given))
    return seq, event_id, recorded, leaf, one, two, taken.amount


async def _rows(place: Place, written: Sequence[Sequence[Rows]]) -> float:
    """Seconds in which the database alone takes the ledger's own rows."""
    upgrade(place)
    database = Database(place)
    try:
        async with database.write():
            pass  # connected
        return await _write(database, written)
    finally:
        await database.close()


async def _write(database: Database, commits: Sequence[Sequence[Rows]]) -> float:
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    for rows in commits:
        await database.write_rows((), rows)
    seconds = time.perf_counter() - started
    gc.unfreeze()
    return seconds
