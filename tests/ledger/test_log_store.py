"""What the database says of the tree, at every size it has had, is what the leaves say; and it says so in a few seeks."""

import asyncio
import functools
import re
import time
from random import Random

import pytest

from ledger import log_store, proof
from ledger.entry import EntryKind
from ledger.errors import LedgerError
from ledger.log_store import CHECKPOINTS_KEPT, SignedHead
from ledger.store import load_head, load_page
from ledger.tiles import tiles_of
from ledger.tree import Frontier, hash_leaf
from suanquan.db.place import Place
from tests.ledger.desk import Desk, make_ledger
from tests.ledger.notation import event

SMALL, LARGE = 700, 66_000
"""Entries on both sides of a full tile, and beyond one tile of tiles."""


async def grow(place: Place, size: int) -> None:
    """Notes up to a size."""
    await make_ledger(place)
    async with Desk(place) as desk:
        for first in range(desk.size(), size, 4000):
            await desk.journal.bulk([(event(str(n), EntryKind.NOTE),) for n in range(first, min(size, first + 4000))])


def small(place: Place) -> None:
    """A ledger with entries on both sides of a full tile."""
    asyncio.run(grow(place, SMALL))


def large(place: Place) -> None:
    """A ledger beyond one tile of tiles."""
    asyncio.run(grow(place, LARGE))


@pytest.fixture(params=[small, large], ids=["small", "large"])
async def grown(request, new_database):
    async with Desk(new_database(request.param)) as desk:
        yield desk


async def leaves_of(conn) -> list[bytes]:
    found: list[bytes] = []
    while page := await load_page(conn, len(found) - 1, 10_000):
        found += [row.leaf for row in page]
    return found


async def test_the_root_of_every_size_is_known(grown):
    """At sizes around every tile and at random ones, the root from tiles is that of the leaves; so is the present one."""
    async with grown.database.read() as conn:
        leaves = await leaves_of(conn)
        sizes = {1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, len(leaves)}
        sizes |= {Random(0).randrange(1, len(leaves)) for _ in range(20)}
        frontier = Frontier()
        for leaf in leaves:
            frontier.append(hash_leaf(leaf))
            if frontier.size in sizes:
                assert await log_store.root_at(conn, frontier.size) == frontier.root(), frontier.size
        assert (await load_head(conn)).root == frontier.root()


async def test_proofs_from_the_database_verify(grown):
    """Inclusion of random entries in random earlier sizes, and consistency of random pairs of sizes."""
    random, size = Random(1), grown.size()
    async with grown.database.read() as conn:
        for _ in range(30):
            until = random.randrange(1, size + 1)
            at, old = random.randrange(until), random.randrange(1, until + 1)
            root = await log_store.root_at(conn, until)
            [leaf] = (
                await log_store.load_bundle(conn, 0, 1) if at == 0 else [(await load_page(conn, at - 1, 1))[0].leaf]
            )
            path = await log_store.with_nodes(conn, until, functools.partial(proof.inclusion_path, at, until))
            proof.verify_inclusion(hash_leaf(leaf), at, until, path, root)
            path = await log_store.with_nodes(conn, until, functools.partial(proof.consistency_path, old, until))
            proof.verify_consistency(old, until, path, await log_store.root_at(conn, old), root)


async def plan_of(desk: Desk, statement: str) -> str:
    """How the database would run a statement; PostgreSQL is told to spare the index only where there is none."""
    async with desk.database.peek() as conn:
        if conn.dialect.name == "sqlite":
            return " ".join(row[3] for row in await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}"))
        await conn.exec_driver_sql("SET enable_seqscan = off")
        return " ".join(row[0] for row in await conn.exec_driver_sql(f"EXPLAIN {statement}"))


async def test_proofs_are_a_few_index_seeks(grown):
    """Each takes a few milliseconds, and no statement scans a table: the query plans say SEARCH."""
    size = grown.size()
    async with grown.database.read() as conn:
        begun = time.thread_time()
        for at in range(0, size, size // 20):
            await log_store.with_nodes(conn, size, functools.partial(proof.inclusion_path, at, size))
        assert (time.thread_time() - begun) / 20 < 0.05
    for statement in (
        "SELECT hashes FROM tile WHERE level = 0 AND number IN (1, 2)",
        "SELECT root FROM tile WHERE level = 0 AND number >= 0 AND number < 5 ORDER BY number",
        "SELECT leaf FROM entry WHERE shard = 0 AND seq >= 5 AND seq < 9 ORDER BY seq",
        "SELECT * FROM checkpoint WHERE size <= 9 ORDER BY size DESC LIMIT 1",
        "SELECT * FROM checkpoint WHERE size <= 9 AND witnessed = 1 ORDER BY size DESC LIMIT 1",
    ):
        plan = await plan_of(grown, statement)
        assert re.search("SEARCH|Index", plan), plan
        assert not re.search("SCAN|Seq Scan", plan), plan


async def test_a_missing_tile_is_said(desk):
    """A tile that the log should have and has not is an error of the proof, with its path."""
    async with desk.database.read() as conn:
        with pytest.raises(LedgerError, match="tile/0/000"):
            await log_store.load_tiles(conn, tiles_of(256))


async def test_old_heads_are_let_go(desk):
    """Of each grade only the newest are kept, however often the log is signed; the newest of each is found."""
    async with desk.database.write() as conn:
        for size in range(1, CHECKPOINTS_KEPT + 50):
            witnessed = int(size <= 20)
            await log_store.add_head(conn, SignedHead(size, bytes(32), size, "x\n", witnessed))
        newest = await log_store.newest_head(conn)
        assert newest.size == CHECKPOINTS_KEPT + 49
        assert (await log_store.newest_head(conn, witnessed=True)).size == 20
        assert (await log_store.newest_head(conn, until=500)).size == 500
        await log_store.set_cosigned(conn, newest.size, "y\n", witnessed=True)
        assert await log_store.newest_head(conn, witnessed=True) == newest._replace(note="y\n", witnessed=1)
        count = (await conn.exec_driver_sql("SELECT count(*) FROM checkpoint WHERE witnessed = 0")).scalar()
        assert count <= CHECKPOINTS_KEPT
        await conn.exec_driver_sql("DELETE FROM checkpoint")
