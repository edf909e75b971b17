"""The migrations make exactly the schema that the code describes, once, and refuse what they do not know."""

import asyncio
import contextlib
import sqlite3
import stat
from hashlib import sha256

import pytest
import sqlalchemy

import suanquan.db.tables
from ledger.apply import apply
from ledger.entry import EntryKind, genesis_payload, public_id_of
from ledger.tables import metadata
from ledger.tree import Frontier, hash_leaf
from suanquan.db import schema as schema_module
from suanquan.db.schema import HEAD, require_head, revision, upgrade
from tests.ledger.desk import Desk, audit
from tests.ledger.notation import Book, event, lines, payload_of
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


OLD_STORY = """
    genesis
    open treasury
    open v1 floor 0
    treasury → v1 100
    hold h1: v1 → treasury 9
    hold h2: v1 → treasury 9
    release h1
    capture h2 5
"""


def old_log():
    """What the first version kept of a log of some accounts, holds and many notes: rows by table."""
    book, key, kept = Book(), bytes(32), {"entry": [], "payload": [], "touched": set()}
    frontier = Frontier()
    for at, step in enumerate([*lines(OLD_STORY), *[("note", "")] * 600]):
        asked = book.event(step[0])
        payload = genesis_payload("test.example/ledger/0") if asked.kind == EntryKind.GENESIS else payload_of(asked)
        if asked.opening:
            asked = asked._replace(opening=asked.opening._replace(public_id=public_id_of(asked.opening.name, key)))
        digest = sha256(b"%d" % at).digest()
        asked = asked._replace(event_id=digest[:16], digest=digest, salt=b"salt", payload=payload or b"")
        entry = apply(book.state, asked, 100 + at)
        book.note(step[0], entry)
        frontier.append(hash_leaf(entry.leaf))
        kept["entry"].append((0, entry.seq, entry.event_id, int(entry.kind), entry.recorded_ns, entry.leaf))
        kept["payload"] += [(0, entry.seq, b"salt", payload)] if payload else []
        kept["touched"] |= {(leg.account, 0, entry.seq) for leg in entry.legs}
    accounts = book.state.accounts.values()
    kept["account"] = [(a.number, a.name, a.public_id, a.asset, a.limits.floor) for a in accounts]
    kept["balance"] = [
        (a.number, a.debits_posted, a.credits_posted, a.debits_held, a.credits_held, a.last_seq) for a in accounts
    ]
    kept["hold"] = [
        (h.seq, line.debit, line.credit, line.amount, line.remaining, h.expires_ns, int(h.status))
        for h in book.state.holds.values()
        for line in h.lines
    ]
    state = book.state
    head = (0, "test.example/ledger/0", state.size, frontier.root(), frontier.to_bytes(), state.last_ns, 3, key)
    return kept | {"log_state": [head]}


async def test_a_ledger_of_the_first_version_goes_on(tmp_path, monkeypatch):
    """Every projection that is new is made from the old log: the whole verifies, and grows."""
    path = tmp_path / "suanquan.db"
    monkeypatch.setattr(schema_module, "HEAD", "0001")
    upgrade(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table, content in old_log().items():
            for row in sorted(content):
                connection.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
        connection.commit()
    monkeypatch.undo()
    upgrade(path)
    assert (await audit(path))["ok"]
    assert rows(path, "SELECT level, number FROM tile") == [(0, 0), (0, 1)]
    async with Desk(path) as desk:
        await asyncio.gather(*(desk.submit(event(f"more {at}")) for at in range(300)))
        await desk.play("open v2\nopen v3\nv2 → v3 5")
    found = await audit(path)
    assert found["ok"], found
