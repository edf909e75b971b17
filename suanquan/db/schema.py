"""Bring a database to the newest schema, and refuse one that is not: forward only, one migration history for all packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine, inspect, text

from ledger.errors import Kind
from suanquan.db.database import reported
from suanquan.errors import ServiceError

HEAD = "0002"
_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Path) -> None:
    """Run the migrations that a database lacks, in one exclusive transaction.

    Raises:
        ServiceError: `schema-newer`.

    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    database.touch(mode=0o600)  # SQLite gives its other files the mode of this one
    engine = create_engine(f"sqlite:///{database}", connect_args={"timeout": 60, "isolation_level": None})
    try:
        with reported(), engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)
            connection.exec_driver_sql("COMMIT")
    except CommandError as fault:  # it knows no such revision
        raise ServiceError(
            "schema-newer",
            "数据库来自更新的版本；请升级 suanquan",
            "the database comes from a newer version; upgrade suanquan",
            kind=Kind.UNAVAILABLE,
        ) from fault
    finally:
        engine.dispose()


def revision(database: Path) -> str | None:
    """Schema revision of a database, None when it has none."""
    if not database.is_file():
        return None
    engine = create_engine(f"sqlite:///{database}")
    try:
        with reported(), engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found: Any = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return str(found) if found else None
    finally:
        engine.dispose()


def require_file(database: Path) -> None:
    """Refuse a home without its database: making an empty one would hide the loss.

    Raises:
        ServiceError: `database-missing`.

    """
    if not database.is_file():
        raise ServiceError(
            "database-missing",
            f"没有数据库 {database}；请从备份恢复",
            f"there is no database {database}; restore it from a backup",
            kind=Kind.UNAVAILABLE,
        )


def require_head(database: Path) -> str:
    """Revision of a database that this version can use.

    Raises:
        ServiceError: `database-missing`, or `schema-outdated`.

    """
    require_file(database)
    found = revision(database)
    if found != HEAD:
        raise ServiceError(
            "schema-outdated",
            f"数据库结构版本为 {found}，需要 {HEAD}；请运行 suanquan db upgrade",
            f"the database has schema {found} and needs {HEAD}; run suanquan db upgrade",
            kind=Kind.UNAVAILABLE,
        )
    return HEAD
