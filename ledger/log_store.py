"""SQL of the log's tree and of its signed heads: a few index seeks each, whatever the size of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from sqlalchemy import delete, insert, select, update

from ledger import tables
from ledger.errors import Kind, LedgerError
from ledger.lines import HASH_BYTES, SIZE_MAX
from ledger.places import Place, unpack_places
from ledger.proof import NodeReader, range_root
from ledger.sql import Connection, chunks
from ledger.tiles import WIDTH, Tile, TileHashes, place_of
from ledger.tree import hash_leaf

CHECKPOINTS_KEPT = 1000
"""Signed heads that are kept of each grade: a receipt carries its own."""

T = TypeVar("T")


class SignedHead(NamedTuple):
    """A checkpoint as kept, with its note. `witnessed` is 1 where the quorum of witnesses has cosigned it.

    `signed_us` is in UTC epoch microseconds.
    """

    size: int
    root: bytes
    signed_us: int
    note: str
    witnessed: int = 0

    @property
    def origin(self) -> str:
        """Name under which it was signed."""
        return self.note.partition("\n")[0]


async def newest_head(conn: Connection, *, witnessed: bool = False, until: int = SIZE_MAX) -> SignedHead | None:
    """The newest signed head of at most a size, or the newest that the quorum of witnesses has cosigned."""
    checkpoint = tables.checkpoint
    query = select(checkpoint).where(checkpoint.c.size <= until).order_by(checkpoint.c.size.desc()).limit(1)
    row = (await conn.execute(query.where(checkpoint.c.witnessed == 1) if witnessed else query)).first()
    return None if row is None else SignedHead(*row)


async def newest_heads(conn: Connection, most: int) -> list[SignedHead]:
    """The newest kept heads, witnessed or not, newest first."""
    checkpoint = tables.checkpoint
    query = select(checkpoint).order_by(checkpoint.c.size.desc()).limit(most)
    return [SignedHead(*row) for row in await conn.execute(query)]


async def add_head(conn: Connection, head: SignedHead) -> None:
    """Keep a new signed head, and let go of old ones."""
    checkpoint = tables.checkpoint
    await conn.execute(insert(checkpoint).values(**head._asdict()))
    for grade in (0, 1):
        of_grade = checkpoint.c.witnessed == grade
        last = select(checkpoint.c.size).where(of_grade).order_by(checkpoint.c.size.desc()).offset(CHECKPOINTS_KEPT)
        await conn.execute(delete(checkpoint).where(of_grade, checkpoint.c.size <= last.limit(1).scalar_subquery()))


async def set_cosigned(conn: Connection, size: int, note: str, *, witnessed: bool) -> None:
    """Replace the note of a signed head by one with more cosignatures."""
    checkpoint = tables.checkpoint
    await conn.execute(update(checkpoint).where(checkpoint.c.size == size).values(note=note, witnessed=int(witnessed)))


async def load_bundle(conn: Connection, number: int, width: int = WIDTH) -> list[bytes]:
    """Leaves of a bundle of entries."""
    entry = tables.entry.c
    first = number * WIDTH
    query = select(entry.leaf).where(entry.shard == 0, entry.seq >= first, entry.seq < first + width)
    return [leaf for (leaf,) in await conn.execute(query.order_by(entry.seq))]


async def load_tiles(conn: Connection, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
    """Contents of tiles of hashes, which the log must have: full ones as stored, others from leaves or lower tiles.

    Raises:
        LedgerError: `tile-missing`.

    """
    found: dict[Tile, bytes] = {}
    levels: dict[int, list[Tile]] = {}
    for tile in wanted:
        levels.setdefault(tile.level, []).append(tile)
    stored = tables.tile.c
    for level, tiles in levels.items():
        full: dict[int, bytes] = {}
        for part in chunks({tile.number for tile in tiles}):
            query = select(stored.number, stored.hashes).where(stored.level == level, stored.number.in_(part))
            full.update((number, hashes) for number, hashes in await conn.execute(query))
        for tile in tiles:
            hashes = full.get(tile.number)
            if hashes is None and not tile.is_full:
                hashes = await _unfinished(conn, tile)
            if hashes is None or len(hashes) < tile.width * HASH_BYTES:
                raise _missing(tile)
            found[tile] = hashes[: tile.width * HASH_BYTES]
    return found


async def _unfinished(conn: Connection, tile: Tile) -> bytes:
    if tile.level == 0:
        return b"".join(map(hash_leaf, await load_bundle(conn, tile.number, tile.width)))
    below, first = tables.tile.c, tile.number * WIDTH
    query = select(below.root).where(
        below.level == tile.level - 1, below.number >= first, below.number < first + tile.width
    )
    return b"".join([root for (root,) in await conn.execute(query.order_by(below.number))])


async def with_nodes(conn: Connection, size: int, work: Callable[[NodeReader], T]) -> T:
    """Result of work on the nodes of the tree of `size` leaves, which the log must have.

    The work is run twice, and must ask for the same nodes both times: first to learn which tiles it needs.
    """
    wanted: set[Tile] = set()

    def note(level: int, index: int) -> bytes:
        wanted.add(place_of(size, level, index)[0])
        return bytes(HASH_BYTES)

    work(note)
    found = await load_tiles(conn, wanted)
    return work(TileHashes(size, found.__getitem__))


async def root_at(conn: Connection, size: int) -> bytes:
    """Head of the tree that the log had at a size not above its present one, from its tiles."""
    return await with_nodes(conn, size, lambda node: range_root(0, size, node))


async def load_places_from(conn: Connection, account: int, from_ns: int) -> list[list[Place]]:
    """The first index row of an account that begins after a moment, where there is one."""
    touched = tables.touched.c
    query = select(touched.places).where(touched.account == account, touched.first_ns > from_ns)
    return [unpack_places(places) for (places,) in await conn.execute(query.order_by(touched.first_ns).limit(1))]


async def load_erasure(conn: Connection, seq: int) -> int | None:
    """The entry that says that the payload of another was erased, None where it was not."""
    erased = tables.erased.c
    found: int | None = (await conn.execute(select(erased.by_seq).where(erased.seq == seq))).scalar()
    return found


def _missing(tile: Tile) -> LedgerError:
    return LedgerError(
        "tile-missing",
        f"缺少日志切片 {tile.path}；请运行 suanquan ledger verify",
        f"the tile {tile.path} is missing; run suanquan ledger verify",
        kind=Kind.PROOF,
    )
