"""Bring a database to the newest schema, and refuse one that is not: forward only, one migration history for all packages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, inspect, text

from ledger.errors import Kind
from ledger.sql import LOCK
from suanquan.db.database import opened, reported, server_engine
from suanquan.db.place import Place, Server
from suanquan.errors import ServiceError

HEAD = "0031"
_MIGRATIONS = Path(__file__).parent / "migrations"
_SAFE = {"fsync": "on", "full_page_writes": "on", "server_encoding": "UTF8"}
SERVER_MIN = 130_000
"""PostgreSQL 13, as the server itself counts."""

T = TypeVar("T")


def upgrade(place: Place) -> None:
    """Run the migrations that a database lacks, in one exclusive transaction.

    Raises:
        ServiceError: `schema-newer`.

    """
    if isinstance(place, Path):
        place.touch(mode=0o600)  # SQLite gives its other files the mode of this one
    try:
        connected(place, _migrate)
    except CommandError as fault:  # it knows no such revision
        raise ServiceError(
            "schema-newer",
            "数据库来自更新的版本；请升级 suanquan",
            "the database comes from a newer version; upgrade suanquan",
            kind=Kind.UNAVAILABLE,
        ) from fault


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql(LOCK)
        command.upgrade(config, HEAD)
        connection.commit()
        return
    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    connection.exec_driver_sql("BEGIN EXCLUSIVE")
    command.upgrade(config, HEAD)
    connection.exec_driver_sql("COMMIT")


def connected(place: Place, work: Callable[[Connection], T]) -> T:
    """Do something on a connection of its own, also where a loop is running; what is not committed is taken back."""
    if isinstance(place, Server):
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _on_server(place, work)).result()
    engine = create_engine(f"sqlite:///{place}", connect_args={"timeout": 60, "isolation_level": None})
    try:
        with reported(), engine.connect() as connection:
            return work(connection)
    finally:
        engine.dispose()


async def _on_server(server: Server, work: Callable[[Connection], T]) -> T:
    engine = server_engine(server)
    try:
        with reported():
            async with opened(engine) as connection:
                return await connection.run_sync(work)
    finally:
        await engine.dispose()


def revision(place: Place) -> str | None:
    """Schema revision of a database, None when it has none."""
    if isinstance(place, Path) and not place.is_file():
        return None
    return connected(place, _revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: Any = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found else None


def require_present(place: Place) -> None:
    """Refuse a home without its database: making an empty one would hide the loss.

    Raises:
        ServiceError: `database-missing`.

    """
    if not place.is_file() if isinstance(place, Path) else revision(place) is None:
        raise ServiceError(
            "database-missing",
            f"没有数据库 {place}；请从备份恢复",
            f"there is no database {place}; restore it from a backup",
            kind=Kind.UNAVAILABLE,
        )


def require_head(place: Place) -> str:
    """Revision of a database that this version can use.

    Raises:
        ServiceError: `database-missing`, or `schema-outdated`.

    """
    require_present(place)
    found = revision(place)
    if found != HEAD:
        raise ServiceError(
            "schema-outdated",
            f"数据库结构版本为 {found}，需要 {HEAD}；请运行 suanquan db upgrade",
            f"the database has schema {found} and needs {HEAD}; run suanquan db upgrade",
            kind=Kind.UNAVAILABLE,
        )
    return HEAD


def check_server(server: Server) -> str:
    """Version of a server that keeps what it acknowledged and every character.

    Raises:
        ServiceError: `storage-unavailable`, or `server-unsafe` with what to change.

    """
    found = connected(server, _server_settings)
    wrong = [f"{name} = {found[name]}" for name, wanted in _SAFE.items() if found[name] != wanted]
    if int(found["server_version_num"]) < SERVER_MIN:
        wrong.append(f"server_version = {found['server_version']}")
    if wrong:
        needed = ", ".join(f"{name} = {wanted}" for name, wanted in _SAFE.items())
        raise ServiceError(
            "server-unsafe",
            f"数据库服务器设置不符：{'，'.join(wrong)}；需要 {needed}，版本 {SERVER_MIN // 10_000} 以上",
            f"the server is not set up for a ledger: {', '.join(wrong)}; it needs {needed}, version {SERVER_MIN // 10_000} or newer",
            kind=Kind.UNAVAILABLE,
        )
    return f"PostgreSQL {found['server_version']}"


def _server_settings(connection: Connection) -> dict[str, str]:
    names = ("server_version", "server_version_num", *_SAFE)
    return {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in names}
