"""A database: many readers, one exclusive writing transaction at a time. SQLite in a file, or PostgreSQL on a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ledger.errors import Kind
from ledger.sql import Rows, begin, checkpoint, commit, execute_transaction, is_alive
from suanquan.db.place import Place, Server
from suanquan.errors import ServiceError
from suanquan.optional import load_asyncpg

BUSY_MS = 10_000
"""How long a writer waits for another process (a command beside the service) before it gives up."""
CONNECT_S = 10
STATEMENT_MS = 120_000
"""Longest statement that a PostgreSQL server is asked for; the driver waits five seconds more, then drops the connection."""
IDLE_MS = 60_000
"""How long a transaction may do nothing before the server takes it back, so that a lost process cannot keep others waiting."""
READERS = 4
KEPT = 6
"""Connections of a file beside its readers, one a name: write, peek, checkpoint, advice."""
WRITER_CACHE_KIB, READER_CACHE_KIB = 65_536, 16_384
"""Pages that SQLite keeps for a connection; the system keeps what a reader no longer has."""
CHECKPOINT_S = 0.1
"""How long after a commit SQLite's log is copied into its file, in a thread of its own. The writer did it itself before: one
commit in fifty took 20 ms (measured: p99 of 64 callers 19 ms, now 7)."""
WAL_PAGES = 16_000
"""Pages (64 MiB) of SQLite's log after which the writer waits for what little is left to copy, so that the log begins again."""


class Database:
    """The database of a home. Opened lazily, again after an outage; `close` releases every connection.

    The writer keeps its one connection and begins and commits itself: on SQLite a commit takes two visits to the driver's
    thread (0.1 ms each), where a pool with its resets takes nine.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._writer, self._readers = _engines(place)
        self._kept: dict[str, AsyncConnection] = {}
        self._writing = asyncio.Lock()
        self._tidying: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Exclusive transaction, durable once the block is left; rolled back when it raises."""
        async with self._writing, self._keeping("write") as connection:
            await begin(connection)
            yield connection
            await commit(connection)
            if connection.in_transaction():  # SQLAlchemy's own idea of one; the database is past it
                await connection.commit()
        self._tidy()

    async def write_rows(self, expected: Sequence[tuple[str, int]], rows: Sequence[Rows]) -> bool:
        """One whole transaction: False, and nothing written, unless each query still finds its number."""
        async with self._writing, self._keeping("write") as connection:
            written = await execute_transaction(connection, expected, rows)
        self._tidy()
        return written

    @contextlib.asynccontextmanager
    async def peek(self, name: str = "peek") -> AsyncIterator[AsyncConnection]:
        """A kept connection outside transactions, for one reader of a name at a time: each statement sees what is committed."""
        async with self._keeping(name) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def _keeping(self, name: str) -> AsyncIterator[AsyncConnection]:
        """A connection that is kept for the next time; closing one that failed takes back what is open on it."""
        with reported():
            connection = self._kept.pop(name, None)
            if connection is not None and not is_alive(connection):
                await _abandon(connection)
                connection = None
            if connection is None:
                connection = await _connect(self._writer)
            try:
                yield connection
            except BaseException:
                await _abandon(connection)
                raise
            self._kept[name] = connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Read-only snapshot."""
        with reported():
            async with opened(self._readers) as connection:
                await connection.begin()
                yield connection

    def _tidy(self) -> None:
        """See to it that what was written comes from SQLite's log into its file, beside the writer."""
        if self._tidying is None and not isinstance(self.place, Server):
            self._tidying = asyncio.create_task(self._checkpoint(), name="checkpoint")

    async def _checkpoint(self) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECKPOINT_S):
                    await self._closing.wait()
                    return
            with contextlib.suppress(DBAPIError, ServiceError):
                async with self._keeping("checkpoint") as connection:
                    if await checkpoint(connection) > WAL_PAGES:
                        async with self._writing:
                            await checkpoint(connection)
        finally:
            self._tidying = None

    async def close(self) -> None:
        """Close every connection."""
        if (
            self._tidying is not None
        ):  # waited for: the driver's thread would answer to a loop that may be closed by then
            self._closing.set()
            await asyncio.gather(self._tidying, return_exceptions=True)
            self._closing.clear()
        while self._kept:
            _, connection = self._kept.popitem()
            await connection.close()
        await self._writer.dispose()
        await self._readers.dispose()


async def _abandon(connection: AsyncConnection) -> None:
    with contextlib.suppress(DBAPIError, OSError, ValueError):
        await connection.invalidate()
    await connection.close()


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn what the database complains about (disk, lock, damage, permissions) into one error; its words are the cause."""
    try:
        yield
    except (DBAPIError, TimeoutError) as fault:
        raise _unavailable() from fault


@contextlib.asynccontextmanager
async def opened(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for as long as the block lasts; what is not committed is taken back."""
    connection = await _connect(engine)
    try:
        yield connection
    finally:
        await connection.close()


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except OSError as fault:  # while a server is away, its driver raises what the network says
        raise _unavailable() from fault


def _unavailable() -> ServiceError:
    return ServiceError(
        "storage-unavailable",
        "数据库暂不可用；请运行 suanquan doctor",
        "the database is unavailable; run suanquan doctor",
        kind=Kind.UNAVAILABLE,
    )


def _engines(place: Place) -> tuple[AsyncEngine, AsyncEngine]:
    if isinstance(place, Server):
        writer = server_engine(place).execution_options(isolation_level="AUTOCOMMIT")
        return writer, _begin_with(server_engine(place), "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    return _file_engine(place), _begin_with(_file_engine(place, readonly=True), "BEGIN")


def server_engine(server: Server) -> AsyncEngine:
    """Connections to a PostgreSQL server, of which dead ones are not handed out."""
    settings = {
        "application_name": "suanquan",
        "synchronous_commit": "on",
        "lock_timeout": str(BUSY_MS),
        "statement_timeout": str(STATEMENT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_MS),
    }
    driver = load_asyncpg()

    async def connect(*_: Any, **__: Any) -> Any:
        return await driver.connect(
            server.url,
            password=server.password(),
            server_settings=settings,
            timeout=CONNECT_S,
            command_timeout=STATEMENT_MS // 1000 + 5,
        )

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, pool_size=READERS, max_overflow=0, hide_parameters=True
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def check(connection: Any, *_: object) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    return engine


def _file_engine(path: Path, *, readonly: bool = False) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        pool_size=READERS if readonly else KEPT,
        max_overflow=0,
        connect_args={"timeout": BUSY_MS // 1000},
        hide_parameters=True,
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
            f"wal_autocheckpoint={4 * WAL_PAGES}",
            f"cache_size={-READER_CACHE_KIB if readonly else -WRITER_CACHE_KIB}",
            "temp_store=MEMORY",
            *(("query_only=ON",) if readonly else ()),
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _begin_with(engine: AsyncEngine, statement: str) -> AsyncEngine:
    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(statement)

    return engine
