"""Tables of the journal.

Facts are appended: `entry` (its leaf bytes are the only record of what was posted), `account`, `payload`. `touched` is
the index from an account to its entries. `balance`, `hold` and `log_state` are projections that a check recomputes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, SmallInteger, Table, Text, UniqueConstraint
from sqlalchemy.dialects import sqlite

metadata = MetaData()
"""One metadata object for every package, so that one migration history describes one database."""

INT = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
SMALL = SmallInteger().with_variant(sqlite.INTEGER(), "sqlite")
BYTES = LargeBinary().with_variant(sqlite.BLOB(), "sqlite")
TEXT = Text()


def table(name: str, *items: Column[Any] | UniqueConstraint, clustered: bool = False) -> Table:
    """A table that takes no value of another type; `clustered` keeps its rows in the order of the primary key."""
    return Table(name, metadata, *items, sqlite_strict=True, sqlite_with_rowid=not clustered)


account = table(
    "account",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("name", TEXT, nullable=False, unique=True),
    Column("public_id", BYTES, nullable=False, unique=True),
    Column("asset", INT, nullable=False),
    Column("floor", INT),
)

balance = table(
    "balance",
    Column("account", INT, primary_key=True, autoincrement=False),
    Column("debits_posted", INT, nullable=False),
    Column("credits_posted", INT, nullable=False),
    Column("debits_held", INT, nullable=False),
    Column("credits_held", INT, nullable=False),
    Column("last_seq", INT, nullable=False),
)

entry = table(
    "entry",
    Column("shard", INT, primary_key=True),
    Column("seq", INT, primary_key=True),
    Column("event_id", BYTES, nullable=False),
    Column("kind", SMALL, nullable=False),
    Column("recorded_ns", INT, nullable=False),
    Column("leaf", BYTES, nullable=False),
    UniqueConstraint("event_id", name="entry_event_id"),
)

touched = table(
    "touched",
    Column("account", INT, primary_key=True),
    Column("shard", INT, primary_key=True),
    Column("seq", INT, primary_key=True),
    clustered=True,
)

payload = table(
    "payload",
    Column("shard", INT, primary_key=True),
    Column("seq", INT, primary_key=True),
    Column("salt", BYTES, nullable=False),
    Column("body", BYTES, nullable=False),
)

hold = table(
    "hold",
    Column("seq", INT, primary_key=True, autoincrement=False),
    Column("debit", INT, nullable=False),
    Column("credit", INT, nullable=False),
    Column("amount", INT, nullable=False),
    Column("remaining", INT, nullable=False),
    Column("expires_ns", INT),
    Column("status", SMALL, nullable=False),
)
Index("hold_due", hold.c.expires_ns, hold.c.seq, sqlite_where=hold.c.status == 0, postgresql_where=hold.c.status == 0)

log_state = table(
    "log_state",
    Column("shard", INT, primary_key=True, autoincrement=False),
    Column("origin", TEXT, nullable=False),
    Column("size", INT, nullable=False),
    Column("root", BYTES, nullable=False),
    Column("frontier", BYTES, nullable=False),
    Column("last_ns", INT, nullable=False),
    Column("next_account", INT, nullable=False),
    Column("pseudonym_key", BYTES, nullable=False),
)

APPEND_ONLY = ("account", "entry", "touched")
"""Tables whose rows triggers refuse to change or delete; packages above add their own."""
