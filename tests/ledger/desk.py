"""A journal at work on a real database, with a clock that tests set and transactions that they count."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from random import Random
from typing import Any, Self

from ledger.entry import Entry
from ledger.journal import Journal
from ledger.sql import Connection, insert_rows
from ledger.store import create_log
from metering.tables import nonce as metering_nonce
from suanquan.db.database import Database
from suanquan.db.place import Place
from suanquan.db.schema import upgrade
from suanquan.service import _genesis
from suanquan.use_cases.verify_ledger import verify_ledger
from tests.back_ends import rows
from tests.ledger.notation import Book, play

FUNDED = """
    open treasury
    open v1 floor 0
    open centre
    treasury → v1 40
"""


async def use_nonce(connection: Connection, nonce: str) -> None:
    """A row that work may write beside its entries."""
    await insert_rows(connection, metering_nonce, [("key", nonce, 1)])


async def gathered(*tasks) -> list:
    return await asyncio.gather(*tasks, return_exceptions=True)


def codes(outcomes: list) -> list[str]:
    """What each caller was told: an error's code, or nothing."""
    return [getattr(outcome, "code", "") for outcome in outcomes]


class CountedDatabase(Database):
    """A database that counts the transactions it was asked for."""

    transactions = 0

    @contextlib.asynccontextmanager
    async def write(self):
        self.transactions += 1
        async with super().write() as connection:
            yield connection

    async def write_rows(self, expected, rows) -> bool:
        self.transactions += 1
        return await super().write_rows(expected, rows)


class Desk:
    """One process's worth of ledger: a database, a journal and its running writer."""

    def __init__(self, path: Place) -> None:
        self.path = path
        self.now_ns = 1_000
        self.database = CountedDatabase(path)
        self.journal = Journal(self.database, lambda: self.now_ns, Random(0).randbytes)
        self.stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.stack.enter_async_context(self.journal.running())
        return self

    async def __aexit__(self, *_) -> None:
        await self.stack.aclose()
        await self.database.close()

    async def play(self, text: str, book: Book | None = None) -> Book:
        return await play(self.journal, text, book)

    async def submit(self, *events) -> Entry:
        """The last entry of a chain."""
        return (await self.journal.submit(*events))[-1]

    def rows(self, sql: str) -> list[tuple]:
        """What another process sees in the database."""
        return rows(self.path, sql)

    def size(self) -> int:
        """Number of entries on disk, as the head says; the rows must agree."""
        [(size, rows, last)] = self.rows("SELECT max(size), count(*), max(seq) + 1 FROM log_state, entry")
        assert size == rows == last
        return size

    @contextlib.asynccontextmanager
    async def held_up(self):
        """Keep the writer busy: what is asked meanwhile lands in one group."""
        go, begun = asyncio.Event(), asyncio.Event()

        async def wait(_tx) -> None:
            begun.set()
            await go.wait()

        blocked = asyncio.create_task(self.journal.transact(wait, own_sql=False))
        await begun.wait()
        try:
            yield
        finally:
            await asyncio.sleep(0)  # what was asked has been queued
            go.set()
            await blocked


async def make_ledger(path: Place) -> None:
    """A new ledger whose genesis is recorded at one nanosecond."""
    upgrade(path)
    if isinstance(path, Path):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM")  # a disk is full only once no page is free
    desk = Desk(path)
    desk.now_ns = 1
    async with desk.database.write() as connection:
        await create_log(connection, "test.example/ledger/0", bytes(32))
    async with desk:
        await desk.journal.transact(_genesis)


def new_ledger(place: Place) -> None:
    """`make_ledger` for those who make databases: `new_database(new_ledger)`."""
    asyncio.run(make_ledger(place))


async def audit(path: Place) -> dict[str, Any]:
    """What `ledger verify` says about a database."""
    database = Database(path)
    try:
        async with database.read() as connection:
            return await verify_ledger(connection, lambda done, size: None)
    finally:
        await database.close()
