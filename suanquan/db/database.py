"""One embedded SQLite database: many readers, one exclusive writing transaction at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ledger.errors import Kind
from ledger.sql import Rows, execute_all, execute_transaction, insert_statements
from suanquan.errors import ServiceError

BUSY_MS = 10_000
"""How long a writer waits for another process (a command beside the service) before it gives up."""


class Database:
    """The database file of a home. Opened lazily; `close` releases every connection.

    The writer keeps its one connection and begins and commits itself: a commit takes two visits to the driver's thread
    (0.1 ms each), where a pool with its resets takes nine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = _engine(path, pool_size=2)
        self._readers = _engine(path, pool_size=4, begin="BEGIN")
        self._connection: AsyncConnection | None = None
        self._peeking: AsyncConnection | None = None
        self._writing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Exclusive transaction, durable once the block is left; rolled back when it raises."""
        async with self._writing:
            with reported():
                connection = self._connection = self._connection or await self._writer.connect()
                try:
                    await execute_all(connection, [("BEGIN IMMEDIATE", ())])
                    yield connection
                    await execute_all(connection, [("COMMIT", ())])
                except BaseException:
                    await self._abandon(connection)
                    raise
                if connection.in_transaction():  # SQLAlchemy's own idea of one; the database is past it
                    await connection.commit()

    async def write_rows(self, expected: Sequence[tuple[str, int]], rows: Sequence[Rows]) -> bool:
        """One whole transaction in one visit: False, and nothing written, unless each query still finds its number."""
        async with self._writing:
            with reported():
                connection = self._connection = self._connection or await self._writer.connect()
                statements = [statement for part in rows if part[1] for statement in insert_statements(*part)]
                try:
                    return await execute_transaction(connection, expected, statements)
                except BaseException:
                    await self._abandon(connection)
                    raise

    async def _abandon(self, connection: AsyncConnection) -> None:
        """Closing a connection rolls back what is open on it, whatever state it is in."""
        self._connection = None
        with contextlib.suppress(DBAPIError, ValueError):
            await connection.invalidate()
        await connection.close()

    @contextlib.asynccontextmanager
    async def peek(self) -> AsyncIterator[AsyncConnection]:
        """A kept connection outside transactions, for one reader at a time: each statement sees what is committed."""
        with reported():
            connection = self._peeking = self._peeking or await self._writer.connect()
            try:
                yield connection
            except BaseException:
                self._peeking = None
                await connection.close()
                raise

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Read-only snapshot."""
        with reported():
            async with self._readers.connect() as connection:
                await connection.begin()  # or statements that go past SQLAlchemy would each see another moment
                yield connection

    async def close(self) -> None:
        """Close every connection."""
        for connection in (self._connection, self._peeking):
            if connection is not None:
                await connection.close()
        self._connection = self._peeking = None
        await self._writer.dispose()
        await self._readers.dispose()


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn what the database complains about (disk, lock, damage, permissions) into one error; its words are the cause."""
    try:
        yield
    except DBAPIError as fault:
        raise ServiceError(
            "storage-unavailable",
            "数据库暂不可用；请运行 suanquan doctor",
            "the database is unavailable; run suanquan doctor",
            kind=Kind.UNAVAILABLE,
        ) from fault


def _engine(path: Path, *, pool_size: int, begin: str = "") -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=pool_size, max_overflow=0, connect_args={"timeout": BUSY_MS // 1000}
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(dbapi_connection: Any, _record: object) -> None:
        # The driver must not begin transactions of its own: it would take the write lock only at the first INSERT,
        # after the balances were read.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_MS}",
            "wal_autocheckpoint=4000",
            "cache_size=-65536",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    if begin:

        @event.listens_for(engine.sync_engine, "begin")
        def begin_transaction(connection: Any) -> None:
            connection.exec_driver_sql(begin)

    return engine
