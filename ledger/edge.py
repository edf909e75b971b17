"""The growing edge of the log's tree: the frontier, and the tiles that are not full yet.

A tile holds 256 hashes of one level (C2SP tlog-tiles): level 0 the leaves, level 1 the roots of full level-0 tiles, and so
on. Full tiles are stored once; the roots that grow the frontier are the hashes of the next level, so nothing is hashed
twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from ledger.tree import Frontier

TILE_WIDTH = 256
_TILE_BITS = 8
_NODE = sha256(b"\x01")


class Tile(NamedTuple):
    """A full tile: 256 hashes, and their root, which is a hash of the tile's parent."""

    level: int
    number: int
    hashes: bytes
    root: bytes


class Edge:
    """Frontier and unfinished tiles of a tree, lowest level first."""

    __slots__ = ("frontier", "rows")

    def __init__(self, frontier: Frontier | None = None, rows: Iterable[Sequence[bytes]] = ()) -> None:
        self.frontier = frontier or Frontier()
        self.rows = [list(row) for row in rows]
        size = self.frontier.size
        if [len(row) for row in self.rows if row] != [width for width in widths(size) if width]:
            raise ValueError(f"these are not the unfinished tiles of a tree of {size} leaves")

    def extend(self, leaf_hashes: Iterable[bytes]) -> list[Tile]:
        """Add leaves; the tiles that became full."""
        full: list[Tile] = []
        frontier = self.frontier
        nodes, size, copy = frontier.nodes, frontier.size, _NODE.copy
        rows = self.rows or [[]]
        lowest = rows[0]
        for leaf_hash in leaf_hashes:
            lowest.append(leaf_hash)
            node, rest, level = leaf_hash, size, 0
            while rest & 1:
                merged = copy()
                merged.update(nodes.pop() + node)
                node = merged.digest()
                rest >>= 1
                level += 1
                if not level & (_TILE_BITS - 1):
                    self._fill(rows, level // _TILE_BITS - 1, size, node, full)
            nodes.append(node)
            size += 1
        self.rows, frontier.size = rows, size
        return full

    @staticmethod
    def _fill(rows: list[list[bytes]], level: int, last: int, root: bytes, full: list[Tile]) -> None:
        """A subtree of a whole tile's width is complete: its hashes leave the edge, its root joins the next level."""
        full.append(Tile(level, last >> _TILE_BITS * (level + 1), b"".join(rows[level]), root))
        rows[level].clear()
        if len(rows) == level + 1:
            rows.append([])
        rows[level + 1].append(root)

    def copy(self) -> Edge:
        """Independent edge of the same tree."""
        return Edge(self.frontier.copy(), self.rows)


def widths(size: int) -> list[int]:
    """Hashes in the unfinished tile of each level, lowest first, up to the highest level that has any hash."""
    found = []
    while size:
        found.append(size % TILE_WIDTH)
        size >>= _TILE_BITS
    return found
