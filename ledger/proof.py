"""Merkle proofs: that a leaf is in a tree, and that a tree continues an earlier one (RFC 6962 §2.1, RFC 9162 §2.1).

Both are one construction. A subtree [start, end) of a tree is proved by the hashes beside the way from its root to the
tree's; a leaf is the subtree [index, index + 1), an earlier tree is the subtree [0, old). Subtrees: §4 of
draft-ietf-plants-merkle-tree-certs.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from ledger.errors import Kind, LedgerError
from ledger.lines import HASH_BYTES, SIZE_MAX
from ledger.tree import EMPTY_ROOT, Frontier, hash_node, root_of

NodeReader = Callable[[int, int], bytes]
"""Hash of the complete subtree of 2**level leaves that starts at leaf index * 2**level, given (level, index)."""


class _Side(enum.Enum):
    """Where the hash of one step stands: right or left of the way, or left of it and inside the proved subtree."""

    RIGHT = enum.auto()
    LEFT = enum.auto()
    INSIDE = enum.auto()


def range_root(start: int, end: int, node: NodeReader) -> bytes:
    """Tree head over leaves [start, end) of a larger tree; `start` is a multiple of a power of two that covers the range."""
    parts = []
    while start < end:
        level = (end - start).bit_length() - 1
        parts.append(node(level, start >> level))
        start += 1 << level
    head = parts.pop() if parts else EMPTY_ROOT
    while parts:
        head = hash_node(parts.pop(), head)
    return head


def inclusion_path(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Hashes that lead from leaf `index` to the head of a tree of `size` leaves, leaf's sibling first (RFC 6962 §2.1.1)."""
    return subtree_path(index, index + 1, size, node)


def consistency_path(old: int, new: int, node: NodeReader) -> list[bytes]:
    """Hashes that show a tree of `new` leaves to continue one of `old` (RFC 6962 §2.1.2); none where `old` is 0."""
    return subtree_path(0, old, new, node)


def read_since(earlier: Frontier, leaves: Sequence[bytes]) -> NodeReader:
    """What a consistency proof from an earlier tree asks for, out of its frontier and the leaf hashes since."""
    bits = [level for level in reversed(range(earlier.size.bit_length())) if earlier.size >> level & 1]
    known = dict(zip(bits, earlier.nodes, strict=True))

    def node(level: int, index: int) -> bytes:
        start = index << level
        if start >= earlier.size:
            return root_of(leaves[start - earlier.size : start - earlier.size + (1 << level)])
        assert start == earlier.size >> (level + 1) << (level + 1), (
            "no proof from this tree asks for another of its nodes"
        )
        return known[level]

    return node


def subtree_path(start: int, end: int, size: int, node: NodeReader) -> list[bytes]:
    """Hashes that lead from the subtree [start, end) to the head of a tree of `size` leaves.

    `node` is asked for complete subtrees of the tree of `size` only. ValueError where there is no such subtree.
    """
    if not 0 <= start <= end <= size <= SIZE_MAX or not _is_subtree(start, end):
        raise ValueError(f"a tree of {size} leaves has no subtree [{start}, {end})")
    if start == end:
        return []
    steps, rest = _steps(start, end, size)
    path = [range_root(low, high, node) for _, low, high in reversed(steps)]
    return path if rest == (start, end) else [range_root(*rest, node), *path]


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that `leaf_hash` is leaf `index` of the tree of `size` leaves under `root` (RFC 9162 §2.1.3.2).

    Raises:
        LedgerError: `proof-invalid`.

    """
    verify_subtree(index, index + 1, size, path, leaf_hash, root)


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree of `new` leaves continues the one of `old` (RFC 9162 §2.1.4.2).

    An empty tree is refused: everything continues it, so there is nothing that a proof could show.

    Raises:
        LedgerError: `proof-invalid`.

    """
    if old == 0:
        raise _invalid("空树没有一致性证明", "an empty tree has no consistency proof")
    verify_subtree(0, old, new, path, old_root, new_root)


def verify_subtree_inclusion(
    leaf_hash: bytes, index: int, start: int, end: int, path: Sequence[bytes], root: bytes
) -> None:
    """Check that `leaf_hash` is leaf `index` of a log whose subtree [start, end) has the head `root`.

    Raises:
        LedgerError: `proof-invalid`.

    """
    if not _is_subtree(start, end):
        raise _invalid(f"[{start}, {end}) 不是子树", f"[{start}, {end}) is no subtree")
    verify_inclusion(leaf_hash, index - start, end - start, path, root)


def verify_subtree(start: int, end: int, size: int, path: Sequence[bytes], subtree: bytes, root: bytes) -> None:
    """Check that `subtree` is the head of leaves [start, end) of the tree of `size` leaves under `root`.

    Raises:
        LedgerError: `proof-invalid`.

    """
    if not 0 <= start <= end <= size <= SIZE_MAX or not _is_subtree(start, end):
        raise _invalid(f"{size} 个叶子的树没有子树 [{start}, {end})", f"{size} leaves have no subtree [{start}, {end})")
    # Without a path nothing is hashed, and two equal heads of any length say the same; none at all says nothing.
    if not subtree or (path and any(len(node) != HASH_BYTES for node in (subtree, *path))):
        raise _invalid("哈希应为 32 字节", "a hash has 32 bytes")
    if start == end:
        if path or subtree != EMPTY_ROOT:
            raise _invalid("空子树只有空树的根", "an empty subtree has the head of the empty tree, and no proof")
        return
    steps, rest = _steps(start, end, size)
    hashes = list(path) if rest != (start, end) else [subtree, *path]
    if len(hashes) != len(steps) + 1:
        raise _invalid(
            f"{len(path)} 行哈希与编号、叶子数不符", f"{len(path)} hashes do not fit the number and the size"
        )
    if _fold(steps, hashes) != (subtree, root):
        raise _invalid(
            "内容、编号或哈希行与检查点的根不符",
            "content, index or a line of hashes does not lead to the checkpoint's root",
        )


def _is_subtree(start: int, end: int) -> bool:
    """Whether `start` is a multiple of the smallest power of two that covers the range: such ranges are subtrees."""
    return 0 <= start <= end and (start == end or start % (1 << (end - start - 1).bit_length()) == 0)


def _steps(start: int, end: int, size: int) -> tuple[list[tuple[_Side, int, int]], tuple[int, int]]:
    """The way from the tree's head down to the subtree, each step with its other half, and the range where it ends.

    That is the whole subtree, or where this is no node of the tree, the last of the nodes it consists of.
    """
    steps = []
    low, high = 0, size
    while (low, high) != (start, end):
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        if end <= middle:
            steps.append((_Side.RIGHT, middle, high))
            high = middle
        else:
            steps.append((_Side.LEFT if middle <= start else _Side.INSIDE, low, middle))
            low = middle
            start = max(start, middle)
    return steps, (low, high)


def _fold(steps: list[tuple[_Side, int, int]], hashes: list[bytes]) -> tuple[bytes, bytes]:
    """Heads of the subtree and of the tree, from the hash where the way ends and one for each step back up."""
    subtree = head = hashes[0]
    for (side, _, _), other in zip(reversed(steps), hashes[1:], strict=True):
        if side is _Side.INSIDE:
            subtree = hash_node(other, subtree)
        head = hash_node(head, other) if side is _Side.RIGHT else hash_node(other, head)
    return subtree, head


def _invalid(zh: str, en: str) -> LedgerError:
    return LedgerError("proof-invalid", f"默克尔证明不成立：{zh}", f"invalid Merkle proof: {en}", kind=Kind.PROOF)
