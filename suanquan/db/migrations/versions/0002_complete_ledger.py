"""The complete ledger: limits and restrictions, holds of many lines, reversals, dates, erasure, assets, tiles, checkpoints.

Accounts lose their name and floor to tables of their own, and the index from accounts to entries is packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from itertools import groupby, islice
from typing import Any

import sqlalchemy as sa
from alembic import op

from suanquan.db.protection import protect, unprotect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TYPES: dict[str, Any] = {
    "int": sa.BigInteger().with_variant(sa.INTEGER(), "sqlite"),
    "small": sa.SmallInteger().with_variant(sa.INTEGER(), "sqlite"),
    "bytes": sa.LargeBinary().with_variant(sa.BLOB(), "sqlite"),
    "text": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
}
PLACES_PER_ROW = 8
TILE_WIDTH = 256
CHANGED = ("account", "balance", "entry", "hold", "touched", "log_state")


def upgrade() -> None:
    """Make new tables, carry over what the old ones held, and drop those."""
    for table in ("account", "entry", "touched"):
        unprotect(op, table)
    op.drop_index("hold_due", "hold")
    for table in CHANGED:
        op.rename_table(table, f"{table}_1")
    _create_tables()
    op.create_index(
        "hold_due",
        "hold",
        ["expires_ns", "seq"],
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    kind = TYPES["bytes"].compile(op.get_bind().dialect)
    for statement in CARRIED:
        op.execute(statement.format(bytes=kind))
    _pack_touched()
    _hash_tiles()
    for table in CHANGED:
        op.drop_table(f"{table}_1")
    for table in ("account", "asset", "entry", "touched", "erased", "failed", "dated", "tile"):
        protect(op, table)
    for table, key in (("payload", "seq"), ("account_name", "account")):
        protect(op, table, unless=f"EXISTS (SELECT 1 FROM erased WHERE erased.{key} = OLD.{key})")  # noqa: S608 -- own names


def _create_tables() -> None:
    _create("account", "number int, public_id bytes, asset int", "number", unique="public_id")
    _create("account_name", "account int, name text", "account", unique="name")
    _create("asset", "number int, code text, scale small", "number", unique="code")
    _create(
        "balance",
        "account int, floor int?, ceiling int?, restriction small, debits_posted int, credits_posted int, debits_held int, "
        "credits_held int, last_seq int, recent bytes",
        "account",
    )
    _create(
        "entry",
        "shard int, seq int, event_id bytes, kind small, recorded_ns int, leaf bytes",
        "shard seq",
        unique="event_id",
        clustered=True,
    )
    _create("touched", "account int, first_ns int, places bytes", "account first_ns", clustered=True)
    _create("erased", "seq int, account int?, by_seq int", "seq")
    _create("failed", "event_id bytes, digest bytes, code text", "event_id", clustered=True)
    _create(
        "hold",
        "seq int, line small, debit int, credit int, amount int, remaining int, expires_ns int?, status small",
        "seq line",
    )
    _create("reversal", "seq int, account int, side small, amount int", "seq account side")
    _create(
        "dated",
        "account int, axis small, at_ns int, seq int, debits int, credits int",
        "account axis at_ns seq",
        clustered=True,
    )
    _create(
        "dated_day", "account int, axis small, day int, debits int, credits int", "account axis day", clustered=True
    )
    _create(
        "log_state",
        "shard int, origin text, size int, root bytes, frontier bytes, last_ns int, next_account int, closed_ns int, "
        "closed_seq int, pseudonym_key bytes",
        "shard",
    )
    _create("tile", "level small, number int, hashes bytes, root bytes", "level number")
    _create("checkpoint", "size int, root bytes, signed_us int, note text", "size")


CARRIED = (
    "INSERT INTO account SELECT number, public_id, asset FROM account_1",
    "INSERT INTO account_name SELECT number, name FROM account_1",
    """INSERT INTO balance SELECT account, floor, NULL, 0, debits_posted, credits_posted, debits_held, credits_held, last_seq, CAST('' AS {bytes})
    FROM balance_1 JOIN account_1 ON account_1.number = balance_1.account""",
    "INSERT INTO entry SELECT * FROM entry_1",
    "INSERT INTO hold SELECT seq, 0, debit, credit, amount, remaining, expires_ns, status FROM hold_1",
    """INSERT INTO log_state SELECT shard, origin, size, root, frontier, last_ns, next_account, 0, -1, pseudonym_key
    FROM log_state_1""",
)


def _pack_touched() -> None:
    """One row for eight entries of an account, instead of one for each; what is left over stands with the balance."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text("SELECT account, seq, recorded_ns FROM touched_1 JOIN entry USING (shard, seq) ORDER BY account, seq")
    )
    for account, places in groupby(rows.fetchall(), lambda row: row[0]):
        flat = [number for _, seq, recorded in places for number in (seq, recorded)]
        for at in range(0, len(flat), 2 * PLACES_PER_ROW):
            part = flat[at : at + 2 * PLACES_PER_ROW]
            values = {"account": account, "first_ns": part[1], "places": struct.pack(f">{len(part)}Q", *part)}
            if len(part) == 2 * PLACES_PER_ROW:
                connection.execute(sa.text("INSERT INTO touched VALUES (:account, :first_ns, :places)"), values)
            else:
                connection.execute(sa.text("UPDATE balance SET recent = :places WHERE account = :account"), values)


def _hash_tiles() -> None:
    """Tiles of the log so far: 256 leaf hashes each, and above them 256 roots of tiles each (RFC 6962 §2.1)."""
    leaves = op.get_bind().execute(sa.text("SELECT leaf FROM entry WHERE shard = 0 ORDER BY seq"))
    hashes: Iterator[bytes] = (sha256(b"\0" + leaf).digest() for (leaf,) in leaves)
    level = 0
    while roots := list(_full_tiles(level, hashes)):
        hashes, level = iter(roots), level + 1


def _full_tiles(level: int, hashes: Iterator[bytes]) -> Iterator[bytes]:
    number = 0
    while len(tile := list(islice(hashes, TILE_WIDTH))) == TILE_WIDTH:
        root = tile
        while len(root) > 1:
            root = [sha256(b"\1" + one + two).digest() for one, two in zip(root[::2], root[1::2], strict=True)]
        values = {"level": level, "number": number, "hashes": b"".join(tile), "root": root[0]}
        op.get_bind().execute(sa.text("INSERT INTO tile VALUES (:level, :number, :hashes, :root)"), values)
        yield root[0]
        number += 1


def _create(name: str, columns: str, key: str, *, unique: str = "", clustered: bool = False) -> None:
    named = [column.split(" ") for column in columns.split(", ")]
    op.create_table(
        name,
        *(
            sa.Column(column, TYPES[kind.rstrip("?")], nullable=kind.endswith("?"), autoincrement=False)
            for column, kind in named
        ),
        sa.PrimaryKeyConstraint(*key.split(" ")),
        *([sa.UniqueConstraint(unique)] if unique else []),
        sqlite_strict=True,
        sqlite_with_rowid=not clustered,
    )
