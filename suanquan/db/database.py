"""One embedded SQLite database: many readers, one exclusive writing transaction at a time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ledger.errors import Kind
from suanquan.errors import ServiceError

BUSY_MS = 10_000
"""How long a writer waits for another process (a command beside the service) before it gives up."""


class Database:
    """The database file of a home. Opened lazily; `close` releases every connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = _engine(path, "BEGIN IMMEDIATE", pool_size=1)
        self._readers = _engine(path, "BEGIN", pool_size=4)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Exclusive transaction, durable once the block is left; rolled back when it raises."""
        with reported():
            async with self._writer.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Read-only snapshot."""
        with reported():
            async with self._readers.connect() as connection:
                yield connection

    async def close(self) -> None:
        """Close every connection."""
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


def _engine(path: Path, begin: str, *, pool_size: int) -> AsyncEngine:
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

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
