"""SQL that every store shares: many rows a statement, on a connection that the caller owns, for either database."""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncTransaction

Connection = AsyncConnection
"""A connection inside a transaction that the caller owns; modules without SQL pass it on under this name."""

ROWS_PER_STATEMENT = 1000
"""Rows of one multi-row INSERT. SQLite's driver gives up the interpreter lock once a *statement*: row by row beside a busy
event loop it fell from 280,000 to 350 rows/s, with 1,000 rows a statement it keeps its speed (docs/decisions/0003)."""
_LOOKUP_MAX = 5_000


class Conflict(enum.Enum):
    """What an insert does with a primary key that exists: refuse for facts, replace or add up for projections."""

    REFUSE = "refuse"
    REPLACE = "replace"
    ADD = "add"


async def insert_rows(
    conn: Connection, table: Table, rows: Sequence[tuple[Any, ...]], conflict: Conflict = Conflict.REFUSE
) -> None:
    """Insert rows given in the table's column order, many to a statement."""
    for at in range(0, len(rows), ROWS_PER_STATEMENT):
        part = rows[at : at + ROWS_PER_STATEMENT]
        values = tuple([value for row in part for value in row])
        await conn.exec_driver_sql(_insert_sql(table, len(part), conflict), values)


@functools.lru_cache(maxsize=512)
def _insert_sql(table: Table, rows: int, conflict: Conflict) -> str:
    columns = [f'"{column.name}"' for column in table.columns]
    one = f"({','.join('?' * len(columns))})"
    sql = f'INSERT INTO "{table.name}" ({",".join(columns)}) VALUES {",".join([one] * rows)}'  # noqa: S608 -- own names
    if conflict is Conflict.REFUSE:
        return sql
    keys = [f'"{column.name}"' for column in table.primary_key.columns]
    before = f'"{table.name}".' if conflict is Conflict.ADD else ""
    sets = ",".join(
        f"{name}={before}{name}+excluded.{name}" if before else f"{name}=excluded.{name}"
        for name in columns
        if name not in keys
    )
    return f"{sql} ON CONFLICT ({','.join(keys)}) DO UPDATE SET {sets}"


def chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    """Values in lists small enough for one IN clause."""
    items = list(values)
    return (items[at : at + _LOOKUP_MAX] for at in range(0, len(items), _LOOKUP_MAX))


def savepoint(conn: Connection) -> AsyncTransaction:
    """Part of a transaction that can be taken back alone: rolled back when its block raises."""
    return conn.begin_nested()


def is_storage_fault(error: Exception) -> bool:
    """Whether the database failed (disk, lock, memory), not the work: SQLite may then have dropped the whole transaction."""
    return isinstance(error, DatabaseError | MemoryError) and not isinstance(error, IntegrityError)
