"""SQL that every store shares: many rows a statement, on a connection that the caller owns, for either database.

Statements are written once: `?` stands for a parameter, and ` IN ?` for a list of any length. Both go to the driver itself,
past SQLAlchemy: on SQLite all statements of a call in one visit to its thread, on PostgreSQL rows by COPY or `unnest`.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import itertools
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import LargeBinary, SmallInteger, Table, Text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncTransaction

Connection = AsyncConnection
"""A connection inside a transaction that the caller owns; modules without SQL pass it on under this name."""

ROWS_PER_STATEMENT = 1000
"""Rows of one multi-row INSERT. SQLite's driver gives up the interpreter lock once a *statement*: row by row beside a busy
event loop it fell from 280,000 to 350 rows/s, with 1,000 rows a statement it keeps its speed (docs/decisions/0003)."""
_LOOKUP_MAX = 4_096
LOCK = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'suanquan')})"
"""Takes the right to write on PostgreSQL until the transaction ends."""

Statement = tuple[str, Sequence[Any]]
"""SQL text and its parameters."""


class Conflict(enum.Enum):
    """What an insert does with a primary key that exists: refuse for facts, replace or add up for projections."""

    REFUSE = "refuse"
    REPLACE = "replace"
    ADD = "add"


Rows = tuple[Table, Sequence[tuple[Any, ...]], Conflict]
"""Rows for a table, and what to do with those that exist."""


async def insert_rows(
    conn: Connection, table: Table, rows: Sequence[tuple[Any, ...]], conflict: Conflict = Conflict.REFUSE
) -> None:
    """Insert rows given in the table's column order; of several with one key the last is kept, or all are added up."""
    await insert_tables(conn, [(table, rows, conflict)])


async def insert_tables(conn: Connection, rows: Sequence[Rows]) -> None:
    """`insert_rows` for several tables, in order."""
    if _is_postgresql(conn):
        for part in rows:
            if part[1]:
                await _insert(_driver(conn), *part)
    else:
        await execute_all(conn, _all_statements(rows))


async def insert_new(conn: Connection, table: Table, row: tuple[Any, ...]) -> bool:
    """Insert a row unless its key, or another unique one, exists; whether it was new."""
    [found] = await execute_all(conn, [(f"{_insert_sql(table, 1)} ON CONFLICT DO NOTHING RETURNING 1", row)])
    return bool(found)


async def execute_all(conn: Connection, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
    """Rows of each statement, in order."""
    if not statements:
        return []
    if _is_postgresql(conn):
        return [await _fetch(_driver(conn), text, values) for text, values in statements]
    return list(await _visit(conn, _run, [_spread(text, values) for text, values in statements]))


async def execute_transaction(conn: Connection, expected: Sequence[tuple[str, int]], rows: Sequence[Rows]) -> bool:
    """Write rows in one exclusive, durable transaction, unless a query finds another number than it should."""
    if not _is_postgresql(conn):
        return bool(await _visit(conn, _run_transaction, expected, _all_statements(rows)))
    await begin(conn)
    found = await execute_all(conn, [(query, ()) for query, _ in expected])
    fits = found == [[(number,)] for _, number in expected]
    if fits:
        await insert_tables(conn, rows)
    await commit(conn)
    return fits


async def checkpoint(conn: Connection) -> int:
    """Move what SQLite's log holds into its file, as far as readers allow, while others write; pages that the log has."""
    [[(_, pages, _)]] = await _visit(conn, _run, [("PRAGMA wal_checkpoint(PASSIVE)", ())])
    return int(pages)


async def begin(conn: Connection) -> None:
    """Begin an exclusive writing transaction on a connection outside any; others wait, readers do not."""
    if _is_postgresql(conn):
        driver = _driver(conn)
        with _translated(driver, "BEGIN"):
            await driver.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED; {LOCK}")
    else:
        await _visit(conn, _run, [("BEGIN IMMEDIATE", ())])


async def commit(conn: Connection) -> None:
    """Make a transaction that `begin` began durable.

    Raises:
        DBAPIError: it is not, also where the server took it back because a statement had failed.

    """
    if not _is_postgresql(conn):
        await _visit(conn, _run, [("COMMIT", ())])
        return
    driver = _driver(conn)
    with _translated(driver, "COMMIT"):
        status = await driver.execute("COMMIT")
    if status != "COMMIT":
        raise OperationalError("COMMIT", None, RuntimeError("the transaction had failed and was rolled back"))


def is_alive(conn: Connection) -> bool:
    """Whether a kept connection can be used, as far as is known without asking the server."""
    return not (_is_postgresql(conn) and (conn.invalidated or _driver(conn).is_closed()))


def select_in(text: str, values: Iterable[Any], *before: Any) -> list[Statement]:
    """Statements that look values up: `text` ends in front of the list, and `before` are its parameters."""
    return [(f"{text} IN ?", (*before, part)) for part in chunks(values)]


def chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    """Values in lists small enough for one IN clause."""
    items = list(values)
    return (items[at : at + _LOOKUP_MAX] for at in range(0, len(items), _LOOKUP_MAX))


def savepoint(conn: Connection) -> AsyncTransaction:
    """Part of a transaction that can be taken back alone: rolled back when its block raises."""
    return conn.begin_nested()


def is_storage_fault(error: Exception) -> bool:
    """Whether the database failed (disk, lock, memory, network), not the work: all of the transaction may then be gone."""
    if isinstance(error, DBAPIError):
        return not isinstance(error, IntegrityError | DataError) and not _is_of_data(error.orig)
    return isinstance(error, OSError | MemoryError)


def _is_of_data(fault: BaseException | None) -> bool:
    """Whether a value was at fault: out of range, or no text that the database can hold."""
    unfit = (ValueError, TypeError, OverflowError)
    return (
        isinstance(fault, unfit)
        or isinstance(getattr(fault, "__cause__", None), unfit)
        or (getattr(fault, "sqlstate", None) or "").startswith("22")
    )


@functools.lru_cache(maxsize=512)
def _insert_sql(table: Table, rows: int) -> str:
    one = f"({','.join('?' * len(table.columns))})"
    return f"INSERT INTO {_target(table)} VALUES {','.join([one] * rows)}"  # noqa: S608 -- own names


@functools.lru_cache
def _target(table: Table) -> str:
    return f'"{table.name}" ({",".join(_names(table))})'


def _names(table: Table) -> list[str]:
    return [f'"{column.name}"' for column in table.columns]


@functools.lru_cache
def _on_conflict(table: Table, conflict: Conflict) -> str:
    if conflict is Conflict.REFUSE:
        return ""
    keys = [f'"{column.name}"' for column in table.primary_key.columns]
    before = f'"{table.name}".' if conflict is Conflict.ADD else ""
    sets = ",".join(
        f"{name}={before}{name}+excluded.{name}" if before else f"{name}=excluded.{name}"
        for name in _names(table)
        if name not in keys
    )
    return f" ON CONFLICT ({','.join(keys)}) DO UPDATE SET {sets}"


# SQLite


def insert_statements(
    table: Table, rows: Sequence[tuple[Any, ...]], conflict: Conflict = Conflict.REFUSE
) -> list[Statement]:
    """What `insert_rows` executes on SQLite."""
    parts = (rows[at : at + ROWS_PER_STATEMENT] for at in range(0, len(rows), ROWS_PER_STATEMENT))
    after = _on_conflict(table, conflict)
    return [(_insert_sql(table, len(part)) + after, list(itertools.chain.from_iterable(part))) for part in parts]


def _all_statements(rows: Sequence[Rows]) -> list[Statement]:
    return [statement for part in rows for statement in insert_statements(*part)]


def _spread(text: str, values: Sequence[Any]) -> Statement:
    """A list as so many parameters; filled up to a few lengths, so that the driver knows the statement already."""
    if not values or not isinstance(values[-1], list):
        return text, values
    items = values[-1]
    width = 1 << (len(items) - 1).bit_length()
    return _in_sql(text, width), [*values[:-1], *items, *items[-1:] * (width - len(items))]


@functools.lru_cache(maxsize=512)
def _in_sql(text: str, width: int) -> str:
    return f"{text.removesuffix('?')}({','.join('?' * width)})"


async def _visit(conn: Connection, work: Callable[..., Any], *arguments: Any) -> Any:
    """Run `work` in the driver's thread: a visit costs more than a small statement."""
    driver = _driver(conn)
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


# PostgreSQL


def _is_postgresql(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


def _driver(conn: Connection) -> Any:
    assert conn.sync_connection is not None
    return conn.sync_connection.connection.driver_connection


async def _fetch(driver: Any, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with _translated(driver, text):
        return [tuple(record) for record in await driver.fetch(_numbered(text), *values)]


@functools.lru_cache(maxsize=512)
def _numbered(text: str) -> str:
    numbers = itertools.count(1)
    return re.sub(r"( IN )?\?", lambda found: f" = ANY(${next(numbers)})" if found[1] else f"${next(numbers)}", text)


async def _insert(driver: Any, table: Table, rows: Sequence[tuple[Any, ...]], conflict: Conflict) -> None:
    if conflict is Conflict.REFUSE:
        with _translated(driver, f"COPY {table.name}"):
            await driver.copy_records_to_table(
                table.name, records=rows, columns=[column.name for column in table.columns]
            )
        return
    columns = list(zip(*_merged(table, rows, conflict), strict=True))
    await _fetch(driver, _unnest_sql(table) + _on_conflict(table, conflict), columns)


def _merged(table: Table, rows: Sequence[tuple[Any, ...]], conflict: Conflict) -> list[tuple[Any, ...]]:
    """One row a key, in order of keys: one statement cannot touch a row twice."""
    places = _key_places(table)
    merged: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in rows:
        key = tuple([row[place] for place in places])
        before = merged.get(key) if conflict is Conflict.ADD else None
        merged[key] = row if before is None else _added(row, before, places)
    return [merged[key] for key in sorted(merged)]


def _added(row: tuple[Any, ...], before: tuple[Any, ...], places: tuple[int, ...]) -> tuple[Any, ...]:
    pairs = enumerate(zip(row, before, strict=True))
    return tuple(value if place in places else value + more for place, (value, more) in pairs)


@functools.lru_cache
def _key_places(table: Table) -> tuple[int, ...]:
    return tuple(place for place, column in enumerate(table.columns) if column.primary_key)


@functools.lru_cache
def _unnest_sql(table: Table) -> str:
    arrays = ",".join(f"?::{_array(column.type)}" for column in table.columns)
    return f"INSERT INTO {_target(table)} SELECT * FROM unnest({arrays})"  # noqa: S608 -- own names


def _array(kind: Any) -> str:
    names = ((SmallInteger, "int2[]"), (LargeBinary, "bytea[]"), (Text, "text[]"))
    return next((name for base, name in names if isinstance(kind, base)), "int8[]")


@contextlib.contextmanager
def _translated(driver: Any, text: str) -> Iterator[None]:
    """What the driver raises (its own errors, and those of the network as they come) as SQLAlchemy names it."""
    try:
        yield
    except Exception as fault:
        state = getattr(fault, "sqlstate", None) or ""
        kind = IntegrityError if state.startswith("23") else DataError if _is_of_data(fault) else OperationalError
        raise kind(text, None, fault, hide_parameters=True, connection_invalidated=driver.is_closed()) from fault
