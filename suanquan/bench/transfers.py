"""`bench transfers`: durable double-entry transfers, each a leaf of the log.

The raw limit is the same database writing plain double entry in the same commits: an entry with these bytes, a row for each
leg, the balances summed up, and the tree over the entries; no rules, no lookups, no answers, one thing after another.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import secrets
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ledger import tables
from ledger.amount import CNY
from ledger.edge import Edge
from ledger.entry import EntryKind, Event, credit, debit
from ledger.history import balance_effective_at, lines_before, totals_at
from ledger.journal import Journal
from ledger.leaf import decode
from ledger.log_store import with_nodes
from ledger.proof import inclusion_path
from ledger.sql import Rows
from ledger.store import EntryRow, load_accounts_by_name, load_page, load_size
from ledger.tree import hash_leaf
from suanquan.bench.figures import median_run, percentile, rss_mb
from suanquan.bench.places import NewPlace, new_places
from suanquan.db.database import Database
from suanquan.db.place import Place
from suanquan.db.plain import Transfer, create_plain, plain_rows
from suanquan.home import Home
from suanquan.server import run_loop
from suanquan.service import create_ledger

ACCOUNTS = 1_000
CALLERS = 64
"""Single callers at once; bulk requests are sent by four."""
BULK_CALLERS = 4
READS = 300
PART = 100_000
"""Transfers made at a time: the memory of those that wait to be sent is the bench's, not the ledger's."""
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


class _Counting(Database):
    """A database that remembers how many entries each commit brought, so that plain rows can be written in the same ones."""

    commits: list[int] | None = None

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.parts: list[tuple[int, list[int]]] = []

    async def write_rows(self, expected: Sequence[tuple[str, int]], rows: Sequence[Rows]) -> bool:
        if self.commits is not None:
            self.commits.append(sum(len(part) for table, part, _ in rows if table is tables.entry))
        return await super().write_rows(expected, rows)


async def _run(plan: Plan, new: NewPlace, number: int) -> dict[str, Any]:
    database = _Counting(await _ledger(new(f"ledger_{number}")))
    try:
        async with Journal(database, time.time_ns, secrets.token_bytes).running() as journal:
            found = await _measure(journal, database, plan)
        memory = rss_mb()
        commits = [count for _, counts in database.parts for count in counts]
        transfers = await _stored(database)
    finally:
        await database.close()
    raw = plan.transfers / await _plain(new(f"raw_{number}"), transfers, commits)
    per_second = found.pop("per_second")
    return {
        "workload": "transfers",
        "backend": plan.backend,
        "per_second": round(per_second),
        "raw_per_second": round(raw),
        "ratio": round(per_second / raw, 3),
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


async def _measure(journal: Journal, database: _Counting, plan: Plan) -> dict[str, Any]:
    wanted = [(f"bench/{number}", CNY, None) for number in range(ACCOUNTS)]
    accounts = await journal.transact(lambda tx: tx.open(wanted))
    numbers = [account.number for account in accounts.values()]
    for at in range(0, plan.preload, PART):
        await _send(journal, _events(numbers, min(PART, plan.preload - at)), 8_192)
    spread, hot = await _both(journal, database, numbers, plan)
    return {
        "per_second": plan.transfers / spread.seconds,
        "hot_per_second": round(plan.transfers / hot.seconds),
        "hot_ratio": round(spread.seconds / hot.seconds, 3),
        "p50_ms": percentile(spread.answers_ms, 50),
        "p99_ms": percentile(spread.answers_ms, 99),
        "read_p99_ms": await _reads(database),
    }


async def _both(journal: Journal, database: _Counting, numbers: Sequence[int], plan: Plan) -> tuple[_Timed, _Timed]:
    """Between random accounts, and with a hot one: in turns, for what goes on first has the fresher memory and tables."""
    spread, hot = _Timed(0, []), _Timed(0, [])
    for at in range(0, plan.transfers, PART):
        count = min(PART, plan.transfers - at)
        spread = spread.then(await _counted(journal, database, _events(numbers, count), plan.batch))
        hot = hot.then(await _timed(journal, _events(numbers, count, hot=True), plan.batch))
    return spread, hot


async def _counted(journal: Journal, database: _Counting, events: Sequence[Event], batch: int) -> _Timed:
    commits: list[int] = []
    database.parts.append((journal.state.size, commits))
    database.commits = commits
    found = await _timed(journal, events, batch)
    database.commits = None
    return found


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

    def then(self, more: _Timed) -> _Timed:
        return _Timed(self.seconds + more.seconds, self.answers_ms + more.answers_ms)


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
    """Milliseconds (p99) of balances at random moments, by effective time, of pages, and of proofs of random entries."""
    times = []
    async with database.read() as connection:
        size = await load_size(connection)
        for _ in range(READS):
            [account] = await load_accounts_by_name(connection, [f"bench/{random.randrange(ACCOUNTS)}"])  # noqa: S311
            until, seq = time.time_ns() - random.randrange(10**10), random.randrange(size)  # noqa: S311
            for ask in (
                lambda account=account, until=until: totals_at(connection, account, until),
                lambda account=account, until=until: balance_effective_at(connection, account, until),
                lambda account=account, until=until: lines_before(connection, account, until, PAGE),
                lambda seq=seq: with_nodes(connection, size, partial(inclusion_path, seq, size)),
            ):
                started = time.perf_counter()
                await ask()
                times.append((time.perf_counter() - started) * 1000)
    return percentile(times, 99)


async def _stored(database: _Counting) -> list[Transfer]:
    """The transfers that were counted, as plain rows."""
    numbers: dict[bytes, int] = {}
    found: list[Transfer] = []
    async with database.read() as connection:
        for first, counts in database.parts:
            for after in range(first - 1, first - 1 + sum(counts), 10_000):
                rows = await load_page(connection, after, min(10_000, first - 1 + sum(counts) - after))
                found += [_transfer(row, numbers) for row in rows]
    return found


def _transfer(row: EntryRow, numbers: dict[bytes, int]) -> Transfer:
    taken, given = decode(row.leaf)[0].legs
    one, two = (numbers.setdefault(leg.public_id, len(numbers)) for leg in (taken, given))
    return row.seq, row.event_id, row.recorded_ns, row.leaf, one, two, taken.amount


async def _plain(place: Place, transfers: Sequence[Transfer], commits: Sequence[int]) -> float:
    """Seconds in which a plain program sums, hashes and writes these transfers, in the same commits."""
    database = Database(place)
    balances: dict[int, list[int]] = {}
    rest = iter(transfers)
    try:
        await create_plain(database)
        parts = [list(itertools.islice(rest, count)) for count in commits]
        edge = Edge()
        gc.collect()
        gc.freeze()
        started = time.perf_counter()
        for part in parts:
            edge.extend([hash_leaf(transfer[3]) for transfer in part])
            await database.write_rows((), plain_rows(part, balances))
        seconds = time.perf_counter() - started
        gc.unfreeze()
        return seconds
    finally:
        await database.close()
