"""The tree and the entries of a log as static files, 256 to a file (c2sp.org/tlog-tiles).

A tile of level L holds heads of 256**L leaves each; full tiles never change. Nothing here reads or writes: who has the
files hands in a reader, and is handed what to write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from ledger.errors import Kind, LedgerError
from ledger.lines import HASH_BYTES
from ledger.tree import EMPTY_ROOT, hash_leaf, root_of

HEIGHT = 8
WIDTH = 1 << HEIGHT
LEVEL_MAX = 63
ENTRY_BYTES_MAX = 2**16 - 1
ENTRIES = -1
"""Level of the bundles of entries, in the place of hashes."""

_PATH = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)  # fmt: skip


class Tile(NamedTuple):
    """Which tile: level (`ENTRIES` for a bundle), number in its level from 0, and how many of its 256 places are taken."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def is_full(self) -> bool:
        """Whether the tile is complete and so never changes."""
        return self.width == WIDTH

    @property
    def path(self) -> str:
        """`tile/<L>/<N>[.p/<W>]`: the index in groups of three digits, all but the last after an x."""
        digits = str(self.number)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{name}" + ("" if self.is_full else f".p/{self.width}")

    @classmethod
    def parse(cls, path: str) -> Tile:
        """Tile of a path.

        Raises:
            LedgerError: `tile-path`: any other spelling than `path` has.

        """
        match = _PATH.fullmatch(path)
        if match:
            level, high, low, width = match.groups()
            number = int(high.replace("x", "").replace("/", "") + low)
            tile = cls(ENTRIES if level == "entries" else int(level), number, int(width or WIDTH))
            if tile.level <= LEVEL_MAX and tile.width <= WIDTH and tile.path == path:
                return tile
        raise LedgerError("tile-path", f"不是日志切片的路径：{path}", f"not the path of a tile: {path}")


def tiles_of(size: int, old_size: int = 0) -> Iterator[Tile]:
    """Tiles of hashes, full and partial, that a log of `size` leaves has and the one of `old_size` had not."""
    level = 0
    while size:
        full, rest = divmod(size, WIDTH)
        yield from (Tile(level, number) for number in range(old_size // WIDTH, full))
        if rest and size != old_size:
            yield Tile(level, full, rest)
        level, size, old_size = level + 1, full, old_size // WIDTH


def bundles_of(size: int, old_size: int = 0) -> Iterator[Tile]:
    """Bundles of entries that a log of `size` leaves has and the one of `old_size` had not."""
    return (tile._replace(level=ENTRIES) for tile in tiles_of(size, old_size) if tile.level == 0)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Bytes of a bundle: each entry after its length in two bytes, big-endian; OverflowError beyond `ENTRY_BYTES_MAX`."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle.

    Raises:
        LedgerError: `tile-malformed` where the bytes are not exactly `width` entries.

    """
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != width:
        raise _malformed(f"应为 {width} 条记录", f"{width} entries are needed")
    return entries


def split_tile(data: bytes, width: int) -> list[bytes]:
    """The `width` hashes of a tile.

    Raises:
        LedgerError: `tile-malformed` where the length is another.

    """
    if len(data) != width * HASH_BYTES:
        raise _malformed(f"应为 {width} 个哈希", f"{width} hashes are needed")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


class TileHashes:
    """Hashes of complete subtrees, read from the tiles of a log of `size` leaves: what `proof` asks for.

    The tiles are believed; a proof that was made from false ones does not verify. For a partial tile a wider one of a
    larger log will do. The last `kept` tiles are not read again.
    """

    def __init__(self, size: int, read_tile: Callable[[Tile], bytes], kept: int = 64) -> None:
        self.size = size
        self._read = lru_cache(kept)(lambda tile: split_tile(read_tile(tile)[: tile.width * HASH_BYTES], tile.width))

    def __call__(self, level: int, index: int) -> bytes:
        """Head of leaves [index * 2**level, (index + 1) * 2**level), which must be leaves of the log."""
        tile, at, count = place_of(self.size, level, index)
        return root_of(self._read(tile)[at : at + count])


def place_of(size: int, level: int, index: int) -> tuple[Tile, int, int]:
    """Where a node of the tree of `size` leaves is found: its tile, and the place and number of the hashes below it."""
    if not 0 <= index < size >> level:
        raise ValueError(f"{size} leaves have no complete subtree {index} of level {level}")
    tile_level, height = divmod(level, HEIGHT)
    number, at = divmod(index << height, WIDTH)
    width = min(WIDTH, (size >> HEIGHT * tile_level) - number * WIDTH)
    return Tile(tile_level, number, width), at, 1 << height


class Tiling:
    """The right edge of a growing log's tiles: takes leaf hashes, hands out each tile that they complete."""

    def __init__(self, size: int = 0, partial: Mapping[Tile, bytes] | None = None) -> None:
        """Edge of a log of `size` leaves, from the contents of its partial tiles (see `partial_tiles_of`).

        Raises:
            LedgerError: `tile-malformed` where they are not of the right length.

        """
        self.size = size
        contents = partial or {}
        edge = {tile.level: split_tile(contents.get(tile, b""), tile.width) for tile in partial_tiles_of(size)}
        self._edge = [edge.get(level, []) for level in range(max(edge, default=-1) + 1)]

    def append(self, leaf_hashes: Iterable[bytes]) -> list[tuple[Tile, bytes]]:
        """Add leaves; the tiles that became full, each with its bytes, in the order they did."""
        full: list[tuple[Tile, bytes]] = []
        for leaf_hash in leaf_hashes:
            self._push(0, leaf_hash, full)
        return full

    def _push(self, level: int, node: bytes, full: list[tuple[Tile, bytes]]) -> None:
        if level == len(self._edge):
            self._edge.append([])
        hashes = self._edge[level]
        hashes.append(node)
        self.size += level == 0
        if len(hashes) == WIDTH:
            number = (self.size >> HEIGHT * (level + 1)) - 1
            full.append((Tile(level, number), b"".join(hashes)))
            self._edge[level] = []
            self._push(level + 1, root_of(hashes), full)

    def partial(self) -> list[tuple[Tile, bytes]]:
        """The partial tiles of the present size with their bytes: what a checkpoint of this size needs besides full ones."""
        return [(tile, b"".join(self._edge[tile.level])) for tile in partial_tiles_of(self.size)]

    def root(self) -> bytes:
        """Tree head of the present size, from the edge alone."""
        below: list[bytes] = []
        for hashes in self._edge:
            level = [*hashes, *below]
            below = [root_of(level)] if level else []
        return below[0] if below else EMPTY_ROOT


def partial_tiles_of(size: int) -> list[Tile]:
    """The tiles at the right edge of a log of `size` leaves that are not full, one for a level at most."""
    edge = ((level, size >> HEIGHT * level) for level in range(-(-size.bit_length() // HEIGHT)))
    return [Tile(level, count >> HEIGHT, count % WIDTH) for level, count in edge if count % WIDTH]


def tile_log(entries: Iterable[bytes]) -> Iterator[tuple[Tile, bytes]]:
    """All bundles and tiles of a whole log with their bytes, in one pass and in the memory of one bundle."""
    tiling, bundle = Tiling(), list[bytes]()
    for entry in entries:
        bundle.append(entry)
        if len(bundle) == WIDTH:
            yield Tile(ENTRIES, tiling.size // WIDTH), encode_bundle(bundle)
            yield from tiling.append(map(hash_leaf, bundle))
            bundle.clear()
    if bundle:
        yield Tile(ENTRIES, tiling.size // WIDTH, len(bundle)), encode_bundle(bundle)
        yield from tiling.append(map(hash_leaf, bundle))
    yield from tiling.partial()


def _malformed(zh: str, en: str) -> LedgerError:
    return LedgerError("tile-malformed", f"日志切片损坏：{zh}", f"a tile is malformed: {en}", kind=Kind.PROOF)
