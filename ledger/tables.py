"""Tables of the journal.

Facts are appended: `entry` (its leaf bytes are the only record of what was posted), `account`, `asset`, `payload`. An
`account_name` and a `payload` may be deleted, and only once a logged ERASE stands in `erased`. `touched` and `dated` are
indexes from an account to its entries; `balance`, `hold`, `reversal`, `dated_day` and `log_state` are projections that a
check recomputes. `failed` keeps the ids of refused events.
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
TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Ordered by bytes on every database, whatever language the server was made for."""


def table(name: str, *items: Column[Any] | UniqueConstraint, clustered: bool = False) -> Table:
    """A table that takes no value of another type; `clustered` keeps its rows in the order of the primary key."""
    return Table(name, metadata, *items, sqlite_strict=True, sqlite_with_rowid=not clustered)


account = table(
    "account",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("public_id", BYTES, nullable=False, unique=True),
    Column("asset", INT, nullable=False),
)

account_name = table(
    "account_name",
    Column("account", INT, primary_key=True, autoincrement=False),
    Column("name", TEXT, nullable=False, unique=True),
)

asset = table(
    "asset",
    Column("number", INT, primary_key=True, autoincrement=False),
    Column("code", TEXT, nullable=False, unique=True),
    Column("scale", SMALL, nullable=False),
)

balance = table(
    "balance",
    Column("account", INT, primary_key=True, autoincrement=False),
    Column("floor", INT),
    Column("ceiling", INT),
    Column("restriction", SMALL, nullable=False),
    Column("debits_posted", INT, nullable=False),
    Column("credits_posted", INT, nullable=False),
    Column("debits_held", INT, nullable=False),
    Column("credits_held", INT, nullable=False),
    Column("last_seq", INT, nullable=False),
    Column("recent", BYTES, nullable=False),
)

entry = table(
    "entry",
    Column("shard", INT, primary_key=True),
    Column("seq", INT, primary_key=True),
    Column("event_id", BYTES, nullable=False),
    Column("kind", SMALL, nullable=False),
    Column("recorded_ns", INT, nullable=False),
    Column("leaf", BYTES, nullable=False),
    UniqueConstraint("event_id"),
    clustered=True,
)

touched = table(
    "touched",
    Column("account", INT, primary_key=True),
    Column("first_ns", INT, primary_key=True),
    Column("places", BYTES, nullable=False),
    clustered=True,
)

payload = table(
    "payload",
    Column("shard", INT, primary_key=True),
    Column("seq", INT, primary_key=True),
    Column("salt", BYTES, nullable=False),
    Column("body", BYTES, nullable=False),
)

erased = table(
    "erased",
    Column("seq", INT, primary_key=True, autoincrement=False),
    Column("account", INT),
    Column("by_seq", INT, nullable=False),
)

failed = table(
    "failed",
    Column("event_id", BYTES, primary_key=True),
    Column("digest", BYTES, nullable=False),
    Column("code", TEXT, nullable=False),
    clustered=True,
)

hold = table(
    "hold",
    Column("seq", INT, primary_key=True),
    Column("line", SMALL, primary_key=True),
    Column("debit", INT, nullable=False),
    Column("credit", INT, nullable=False),
    Column("amount", INT, nullable=False),
    Column("remaining", INT, nullable=False),
    Column("expires_ns", INT),
    Column("status", SMALL, nullable=False),
)
Index("hold_due", hold.c.expires_ns, hold.c.seq, sqlite_where=hold.c.status == 0, postgresql_where=hold.c.status == 0)

reversal = table(
    "reversal",
    Column("seq", INT, primary_key=True),
    Column("account", INT, primary_key=True),
    Column("side", SMALL, primary_key=True),
    Column("amount", INT, nullable=False),
)

dated = table(
    "dated",
    Column("account", INT, primary_key=True),
    Column("axis", SMALL, primary_key=True),
    Column("at_ns", INT, primary_key=True),
    Column("seq", INT, primary_key=True),
    Column("debits", INT, nullable=False),
    Column("credits", INT, nullable=False),
    clustered=True,
)

dated_day = table(
    "dated_day",
    Column("account", INT, primary_key=True),
    Column("axis", SMALL, primary_key=True),
    Column("day", INT, primary_key=True),
    Column("debits", INT, nullable=False),
    Column("credits", INT, nullable=False),
    clustered=True,
)

log_state = table(
    "log_state",
    Column("shard", INT, primary_key=True, autoincrement=False),
    Column("origin", TEXT, nullable=False),
    Column("size", INT, nullable=False),
    Column("root", BYTES, nullable=False),
    Column("frontier", BYTES, nullable=False),
    Column("last_ns", INT, nullable=False),
    Column("next_account", INT, nullable=False),
    Column("closed_ns", INT, nullable=False),
    Column("closed_seq", INT, nullable=False),
    Column("pseudonym_key", BYTES, nullable=False),
)

tile = table(
    "tile",
    Column("level", SMALL, primary_key=True),
    Column("number", INT, primary_key=True),
    Column("hashes", BYTES, nullable=False),
    Column("root", BYTES, nullable=False),
)

checkpoint = table(
    "checkpoint",
    Column("size", INT, primary_key=True, autoincrement=False),
    Column("root", BYTES, nullable=False),
    Column("signed_us", INT, nullable=False),
    Column("note", TEXT, nullable=False),
    Column("witnessed", SMALL, nullable=False, server_default="0"),
)
Index(
    "checkpoint_witnessed",
    checkpoint.c.size,
    sqlite_where=checkpoint.c.witnessed == 1,
    postgresql_where=checkpoint.c.witnessed == 1,
)

APPEND_ONLY = ("account", "asset", "entry", "touched", "erased", "failed", "dated", "tile")
"""Tables whose rows triggers refuse to change or delete; packages above add their own."""
ERASABLE = {"payload": "seq", "account_name": "account"}
"""Tables whose rows triggers refuse to change, and to delete unless `erased` names them by this column."""
