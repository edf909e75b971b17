"""The tree of RFC 6962: its head by definition, by levels, by frontier, and by an implementation that is not ours."""

import base64
from hashlib import sha256
from random import Random

import pytest
from pymerkle import InmemoryTree

from ledger.tree import EMPTY_ROOT, Frontier, hash_leaf, root_of
from tests.shared_data import SHARED, needs_shared

SIZE = 300
LEAVES = [index.to_bytes(2) * (index % 5) for index in range(SIZE)]
HASHES = [hash_leaf(leaf) for leaf in LEAVES]


def head_by_definition(hashes: list[bytes]) -> bytes:
    """RFC 6962 §2.1: split at the largest power of two below the size."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else sha256(b"").digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + head_by_definition(hashes[:split]) + head_by_definition(hashes[split:])).digest()


def grown(hashes: list[bytes]) -> Frontier:
    frontier = Frontier()
    for leaf_hash in hashes:
        frontier.append(leaf_hash)
    return frontier


def test_the_empty_tree_has_the_head_that_the_rfc_gives():
    """The head of no leaves is SHA-256 of nothing."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of([]) == Frontier().root() == EMPTY_ROOT


def test_all_ways_to_a_head_agree_for_every_small_tree():
    """For every size to 300 the definition, our two ways and another implementation give one head."""
    frontier, other = Frontier(), InmemoryTree(algorithm="sha256")
    for size in range(1, SIZE + 1):
        frontier.append(HASHES[size - 1])
        other.append_entry(LEAVES[size - 1])
        heads = {head_by_definition(HASHES[:size]), root_of(HASHES[:size]), frontier.root(), other.get_root(size)}
        assert len(heads) == 1, size


def test_large_trees_agree_too(seed):
    """Frontier and levels agree with the definition for sizes of a real log."""
    random = Random(seed)
    hashes = [random.randbytes(32) for _ in range(40_000)]
    for size in {len(hashes), 1 << 15, *(random.randrange(len(hashes)) for _ in range(2))}:
        assert head_by_definition(hashes[:size]) == root_of(hashes[:size]) == grown(hashes[:size]).root(), size


def test_a_frontier_goes_through_its_stored_form():
    """A tree read back from its stored frontier grows on to the same head, and holds no more than it must."""
    for size in range(100):
        stored = grown(HASHES[:size]).to_bytes()
        assert len(stored) == 32 * size.bit_count()
        resumed = Frontier.from_bytes(size, stored)
        resumed.append(HASHES[size])
        assert resumed.root() == root_of(HASHES[: size + 1])


@pytest.mark.parametrize(("size", "length"), [(0, 32), (1, 0), (3, 32), (4, 64), (7, 95)])
def test_a_frontier_that_is_not_of_its_size_is_refused(size, length):
    """Stored hashes and size must belong together: a cut or padded frontier is no tree."""
    with pytest.raises(ValueError, match="perfect subtrees"):
        Frontier.from_bytes(size, bytes(length))


def test_a_copy_grows_alone():
    """A commit that fails leaves the frontier it started from as it was."""
    frontier = grown(HASHES[:5])
    frontier.copy().append(HASHES[5])
    assert (frontier.size, frontier.root()) == (5, root_of(HASHES[:5]))


@needs_shared
@pytest.mark.parametrize("size", range(1, 9))
def test_another_log_has_the_heads_we_compute(size):
    """The entries of a published test log hash to the tile and the checkpoint that its own software wrote."""
    folder = SHARED / "vectors" / "tlog" / "tessera-testlog"
    bundle = (folder / "tile" / "entries" / "000.p" / str(size)).read_bytes()
    entries = []
    while bundle:
        length = int.from_bytes(bundle[:2])
        entries.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    hashes = [hash_leaf(entry) for entry in entries]
    assert b"".join(hashes) == (folder / "tile" / "0" / "000.p" / str(size)).read_bytes()
    _, count, root, *_ = (folder / f"checkpoint.{size}").read_text().splitlines()
    assert (int(count), base64.b64decode(root)) == (len(hashes), root_of(hashes))
