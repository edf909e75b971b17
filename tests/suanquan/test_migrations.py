"""The migrations make exactly the schema that the code describes, once, and refuse what they do not know."""

import contextlib
import sqlite3
import stat

import pytest
import sqlalchemy

import suanquan.db.tables
from ledger.tables import metadata
from suanquan.db.schema import HEAD, require_head, revision, upgrade
from tests.suanquan.command import suanquan as command

APPEND_ONLY = suanquan.db.tables.APPEND_ONLY


def rows(database, statement):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(statement).fetchall()


def dump(database):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def schema(database):
    """Tables with their kind, columns and indexes as SQLite itself describes them."""
    tables = {
        name: {"clustered": without_rowid, "strict": strict}
        for _, name, kind, _, without_rowid, strict in rows(database, "PRAGMA table_list")
        if kind == "table" and not name.startswith("sqlite_") and name != "alembic_version"
    }
    for name, table in tables.items():
        table["columns"] = rows(database, f"PRAGMA table_xinfo({name})")
        indexes = rows(database, f"PRAGMA index_list({name})")
        table["indexes"] = sorted(
            (unique, origin, partial, [column for _, _, column in rows(database, f'PRAGMA index_info("{index}")')])
            for _, index, unique, origin, partial in indexes
        )
    return tables


@pytest.fixture
def migrated(tmp_path):
    upgrade(tmp_path / "suanquan.db")
    return tmp_path / "suanquan.db"


def test_an_empty_database_becomes_what_the_code_describes(migrated, tmp_path):
    """Tables, columns, types, keys, indexes: all as in the metadata, and every table takes values of its types alone."""
    described = tmp_path / "described.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{described}")
    metadata.create_all(engine)
    engine.dispose()
    assert schema(migrated) == schema(described)
    assert all(table["strict"] for table in schema(migrated).values())
    assert revision(migrated) == require_head(migrated) == HEAD


def test_an_entry_cannot_be_changed(installation):
    """Whoever opens the database with any tool is refused, too."""
    with contextlib.closing(sqlite3.connect(installation.home.database)) as connection:
        for statement in ("UPDATE entry SET kind = 9", "DELETE FROM entry"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_a_second_upgrade_changes_nothing(migrated):
    """Upgrading what is up to date leaves the schema and the data as they are."""
    before = dump(migrated)
    upgrade(migrated)
    assert dump(migrated) == before


def test_the_database_is_its_owners_alone(migrated):
    """The file is 0600 from the start."""
    assert stat.S_IMODE(migrated.stat().st_mode) == 0o600


def test_the_command_brings_a_home_up_to_date(installation, tmp_path):
    """`db upgrade` says from where to where; a lost database is not replaced by an empty one."""
    arguments = ("db", "upgrade", "--home", installation.home.path)
    assert f"{HEAD} → {HEAD}" in command(*arguments, cwd=tmp_path).err
    installation.home.database.unlink()
    done = command(*arguments, cwd=tmp_path)
    assert done.status == 7
    assert "database-missing" in done.err
    assert not installation.home.database.exists()
