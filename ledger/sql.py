"""SQL that every store shares: many rows a statement, on a connection that the caller owns, for either database."""

from __future__ import annotations

import enum
import functools
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncTransaction

Connection = AsyncConnection
"""A connection inside a transaction that the caller owns; modules without SQL pass it on under this name."""

ROWS_PER_STATEMENT = 1000
"""Rows of one multi-row INSERT. SQLite's driver gives up the interpreter lock once a *statement*: row by row beside a busy
event loop it fell from 280,000 to 350 rows/s, with 1,000 rows a statement it keeps its speed (docs/decisions/0003)."""
_LOOKUP_MAX = 4_096


Statement = tuple[str, Sequence[Any]]
"""SQL text and its parameters."""


class Conflict(enum.Enum):
    """What an insert does with a primary key that exists: refuse for facts, replace or add up for projections."""

    REFUSE = "refuse"
    REPLACE = "replace"
    ADD = "add"


async def insert_rows(
    conn: Connection, table: Table, rows: Sequence[tuple[Any, ...]], conflict: Conflict = Conflict.REFUSE
) -> None:
    """Insert rows given in the table's column order, many to a statement."""
    await execute_all(conn, insert_statements(table, rows, conflict))


Rows = tuple[Table, Sequence[tuple[Any, ...]], Conflict]
"""Rows for a table, and what to do with those that exist."""


async def insert_tables(conn: Connection, rows: Sequence[Rows]) -> None:
    """`insert_rows` for several tables, in order."""
    await execute_all(conn, [statement for part in rows if part[1] for statement in insert_statements(*part)])


def insert_statements(
    table: Table, rows: Sequence[tuple[Any, ...]], conflict: Conflict = Conflict.REFUSE
) -> list[Statement]:
    """What `insert_rows` executes."""
    parts = (rows[at : at + ROWS_PER_STATEMENT] for at in range(0, len(rows), ROWS_PER_STATEMENT))
    return [(_insert_sql(table, len(part), conflict), [value for row in part for value in row]) for part in parts]


async def execute_all(conn: Connection, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
    """Rows of each statement, all run in one visit to the driver's thread: a visit costs more than a small statement."""
    return list(await _visit(conn, _run, statements)) if statements else []


async def execute_transaction(
    conn: Connection, expected: Sequence[tuple[str, int]], statements: Sequence[Statement]
) -> bool:
    """Run statements as one transaction in one visit, unless a query finds another number than it should."""
    return bool(await _visit(conn, _run_transaction, expected, statements))


async def _visit(conn: Connection, work: Callable[..., Any], *arguments: Any) -> Any:
    assert conn.sync_connection is not None
    driver: Any = conn.sync_connection.connection.driver_connection
    return await driver._execute(work, driver._conn, *arguments)  # noqa: SLF001 -- aiosqlite offers no public way to its thread


def _run(connection: sqlite3.Connection, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
    text = ""
    try:
        found = []
        for text, values in statements:
            found.append(connection.execute(text, values).fetchall())
    except sqlite3.Error as error:
        raise DBAPIError.instance(text, None, error, sqlite3.Error, hide_parameters=True) from error
    return found


def _run_transaction(
    connection: sqlite3.Connection, expected: Sequence[tuple[str, int]], statements: Sequence[Statement]
) -> bool:
    _run(connection, [("BEGIN IMMEDIATE", ())])
    found = _run(connection, [(query, ()) for query, _ in expected])
    if found != [[(number,)] for _, number in expected]:
        _run(connection, [("ROLLBACK", ())])
        return False
    _run(connection, [*statements, ("COMMIT", ())])
    return True


def select_in(text: str, values: Iterable[Any]) -> list[Statement]:
    """Statements that look values up: `text` ends in front of the list.

    Lists are filled up to a few lengths, so that the driver knows the statement already.
    """
    items = list(values)
    found: list[Statement] = []
    for at in range(0, len(items), _LOOKUP_MAX):
        part = items[at : at + _LOOKUP_MAX]
        width = 1 << (len(part) - 1).bit_length()
        part += part[-1:] * (width - len(part))
        found.append((_in_sql(text, width), part))
    return found


@functools.lru_cache(maxsize=512)
def _in_sql(text: str, width: int) -> str:
    return f"{text} IN ({','.join('?' * width)})"


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
