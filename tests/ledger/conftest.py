"""A journal at work on a real database file, with a clock that tests set and transactions that they count."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from random import Random
from typing import Self

import pytest

from ledger.entry import Entry
from ledger.journal import Journal
from ledger.store import create_log
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.service import _genesis
from suanquan.use_cases.verify_ledger import verify_ledger
from tests.ledger.notation import Book, play


class CountedDatabase(Database):
    """A database that counts the transactions it was asked for."""

    transactions = 0

    @contextlib.asynccontextmanager
    async def write(self):
        self.transactions += 1
        async with super().write() as connection:
            yield connection


class Desk:
    """One process's worth of ledger: a database, a journal and its running writer."""

    def __init__(self, path: Path) -> None:
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
        """What another process sees in the file."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def size(self) -> int:
        """Number of entries on disk, as the head says; the rows must agree."""
        [(size, rows, last)] = self.rows("SELECT size, count(*), max(seq) + 1 FROM log_state, entry")
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


async def make_ledger(path: Path) -> None:
    """A new ledger whose genesis is recorded at one nanosecond."""
    upgrade(path)
    desk = Desk(path)
    desk.now_ns = 1
    async with desk.database.write() as connection:
        await create_log(connection, "test.example/ledger/0", bytes(32))
    async with desk:
        await desk.journal.transact(_genesis)


@pytest.fixture(scope="session")
def blank_ledger(tmp_path_factory) -> bytes:
    """The database file of a new ledger: schema, triggers and genesis."""
    path = tmp_path_factory.mktemp("blank") / "ledger.db"
    asyncio.run(make_ledger(path))
    return path.read_bytes()


@pytest.fixture
async def desk(tmp_path, blank_ledger):
    """A desk with a new ledger; when the test is done, the whole ledger must verify."""
    path = tmp_path / "ledger.db"
    path.write_bytes(blank_ledger)
    async with Desk(path) as desk:
        yield desk
    database = Database(path)
    async with database.read() as connection:
        report = await verify_ledger(connection, lambda done, size: None)
    await database.close()
    assert report["ok"], report
