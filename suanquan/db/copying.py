"""Copy a whole database into an empty one, whichever kinds they are: what backups, restores and moves are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from ledger.errors import Kind
from ledger.sql import Connection, insert_rows
from ledger.tables import metadata
from suanquan.db.database import Database
from suanquan.db.schema import upgrade
from suanquan.db.tables import lease
from suanquan.errors import ServiceError

ROWS = 2_000
Progress = Callable[[int, int], None]


async def copy_database(source: Database, target: Database, progress: Progress) -> int:
    """Copy every row of a snapshot in one transaction; the number of rows.

    Raises:
        ServiceError: `database-not-empty`.

    """
    async with source.read() as origin, target.write() as goal:
        await _require_empty(goal)
        total = sum([await _count(origin, name) for name in _NAMES])
        done = 0
        for table in _TABLES:
            result = await origin.stream(select(table).order_by(*table.primary_key.columns))
            async for rows in result.partitions(ROWS):
                await insert_rows(goal, table, [tuple(row) for row in rows])
                done += len(rows)
                progress(done, total)
    return done


_TABLES = [table for table in metadata.sorted_tables if table.name != lease.name]  # who writes here says nothing there
_NAMES = [table.name for table in _TABLES]


async def _require_empty(conn: Connection) -> None:
    for name in _NAMES:
        if await _count(conn, name):
            raise ServiceError(
                "database-not-empty",
                f"目标数据库的表 {name} 不为空；请给一个空库",
                f"the table {name} of the target holds rows; name an empty database",
                kind=Kind.CONFLICT,
            )


async def _count(conn: Connection, name: str) -> int:
    table = metadata.tables[name]
    return int((await conn.execute(select(func.count()).select_from(table))).scalar_one())


async def snapshot(source: Database, file: Path, progress: Progress) -> None:
    """Write a snapshot of a database into a new file of its own, whole or not at all, while others go on writing."""
    upgrade(file)
    target = Database(file)
    try:
        await copy_database(source, target, progress)
    finally:
        await target.close()
