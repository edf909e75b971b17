"""Merkle proofs: the published vectors, a second implementation, every pair of small sizes, and mutations."""

import json
from base64 import b64decode
from functools import cache
from hashlib import sha256
from random import Random

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import proof
from ledger.errors import Kind, LedgerError
from ledger.lines import PATH_MAX
from ledger.tree import EMPTY_ROOT, Frontier, hash_leaf, hash_node, root_of
from tests.conftest import ALL
from tests.shared_data import SHARED, needs_shared

VECTORS = SHARED / "vectors" / "merkle-rfc6962"
N_MAX = 300
LEAVES = [hash_leaf(str(n).encode()) for n in range(N_MAX)]
ROOTS = [root_of(LEAVES[:n]) for n in range(N_MAX + 1)]


@cache
def node(level, index):
    """Hash of a complete subtree of the test's leaves."""
    if level == 0:
        return LEAVES[index]
    return hash_node(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


def holds(check, *arguments) -> bool:
    """Whether a verification passes; it may only ever refuse as a proof."""
    try:
        check(*arguments)
    except LedgerError as error:
        refusal = error.code, error.kind
    else:
        return True
    assert refusal == ("proof-invalid", Kind.PROOF)
    return False


def verdict(family: str, case: dict) -> bool:
    """What our verification says about a published case."""
    path = [b64decode(line) for line in case["proof"] or ()]
    root = {name: b64decode(case[name]) for name in ("root", "root1", "root2", "leafHash") if name in case}
    match family:
        case "inclusion":
            return holds(
                proof.verify_inclusion, root["leafHash"], case["leafIdx"], case["treeSize"], path, root["root"]
            )
        case "consistency":
            return holds(proof.verify_consistency, case["size1"], case["size2"], path, root["root1"], root["root2"])
        case "subtreeinclusion":
            where = case["leafIdx"], case["start"], case["end"]
            return holds(proof.verify_subtree_inclusion, root["leafHash"], *where, path, root["root"])
    where = case["start"], case["end"], case["size"]
    return holds(proof.verify_subtree, *where, path, root["root1"], root["root2"])


@needs_shared
@pytest.mark.parametrize(
    ("family", "count"),
    [("inclusion", 51), ("consistency", 48), ("subtreeinclusion", 111), ("subtreeconsistency", 57)],
)
def test_every_published_vector_has_its_stated_outcome(family, count):
    """All cases of transparency-dev/merkle are accepted or refused as they say."""
    files = sorted((VECTORS / family).rglob("*.json"))
    assert len(files) == count
    wrong = [path.name for path in files if verdict(family, case := json.loads(path.read_text())) == case["wantErr"]]
    assert wrong == []


def test_a_second_implementation_makes_the_same_heads_and_proofs():
    """pymerkle, which knows nothing of us, agrees on every head of up to 70 leaves, every inclusion path and every continuation."""
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    for size in range(1, 71):
        theirs.append_entry(str(size - 1).encode())
        assert theirs.get_root() == ROOTS[size]
        for index in range(size):
            path = theirs.prove_inclusion(index + 1, size).path
            assert path[1:] == proof.inclusion_path(index, size, node)
        for old in range(1, size):
            made = theirs.prove_consistency(old, size)
            pymerkle.verify_consistency(ROOTS[old], ROOTS[size], made)


@pytest.mark.parametrize("size", range(1, N_MAX + 1, 1 if ALL else 3))
def test_every_proof_of_a_size_verifies(size):
    """Each leaf of a tree has a proof that holds, and so has each earlier tree and each subtree of two leaves or more."""
    for index in range(size):
        proof.verify_inclusion(LEAVES[index], index, size, proof.inclusion_path(index, size, node), ROOTS[size])
    for old in range(1, size + 1):
        path = proof.consistency_path(old, size, node)
        proof.verify_consistency(old, size, path, ROOTS[old], ROOTS[size])
    for width in (2, 3, 7, 8):
        for start in range(0, size - width + 1, 1 << (width - 1).bit_length()):
            path = proof.subtree_path(start, start + width, size, node)
            proof.verify_subtree(start, start + width, size, path, root_of(LEAVES[start : start + width]), ROOTS[size])


@pytest.mark.parametrize("old", range(1, 70))
def test_a_tree_is_continued_by_its_frontier_and_the_leaves_since(old):
    """Who keeps no more than the frontier of an earlier tree makes the same consistency proofs as who keeps every node."""
    earlier = Frontier()
    for leaf in LEAVES[:old]:
        earlier.append(leaf)
    for new in range(old, 140):
        made = proof.consistency_path(old, new, proof.read_since(earlier, LEAVES[old:new]))
        assert made == proof.consistency_path(old, new, node)


@given(st.integers(1, N_MAX), st.data())
def test_a_changed_proof_is_refused(size, data):
    """A proof with a bit turned, a hash more or less, two hashes exchanged, or for another place does not verify."""
    old = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, size - 1))
    cases = [
        (proof.consistency_path(old, size, node), lambda p: (proof.verify_consistency, old, size, p, ROOTS[old], ROOTS[size])),
        (proof.inclusion_path(index, size, node), lambda p: (proof.verify_inclusion, LEAVES[index], index, size, p, ROOTS[size])),
    ]  # fmt: skip
    for path, call in cases:
        assert holds(*call(path))
        assert not holds(*call([*path, ROOTS[1]]))
        assert not holds(*call([ROOTS[1], *path]))
        if path:
            at, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
            turned = (int.from_bytes(path[at]) ^ 1 << bit).to_bytes(32)
            assert not holds(*call([*path[:at], turned, *path[at + 1 :]]))
            assert not holds(*call(path[:at] + path[at + 1 :]))
            assert not holds(*call([*path[:at], path[at][:31], *path[at + 1 :]]))
        if len(path) > 1:
            assert not holds(*call([path[1], path[0], *path[2:]]))
    other = data.draw(st.integers(0, size - 1).filter(lambda other: other != index) if size > 1 else st.just(size))
    path = proof.inclusion_path(index, size, node)
    assert not holds(proof.verify_inclusion, LEAVES[index], other, size, path, ROOTS[size])


def test_proofs_of_a_huge_tree_verify(seed):
    """In a tree of up to 2^63 - 1 equal leaves proofs of random places hold, so nothing overflows or walks every leaf."""
    random = Random(seed)
    level_hash = [hash_leaf(b"")]
    for _ in range(63):
        level_hash.append(hash_node(level_hash[-1], level_hash[-1]))

    def uniform(level, _index):
        return level_hash[level]

    for bits in range(1, 64):
        size = random.randrange(1 << bits - 1, 1 << bits)
        old, index = random.randint(1, size), random.randrange(size)
        root = proof.range_root(0, size, uniform)
        path = proof.inclusion_path(index, size, uniform)
        proof.verify_inclusion(level_hash[0], index, size, path, root)
        assert len(path) <= PATH_MAX
        path = proof.consistency_path(old, size, uniform)
        proof.verify_consistency(old, size, path, proof.range_root(0, old, uniform), root)


def test_the_empty_tree_has_no_proofs():
    """Nothing is in the empty tree, whose head is SHA-256 of nothing, and no consistency is shown from or to it."""
    assert sha256(b"").hexdigest().startswith("e3b0c442")
    assert proof.range_root(0, 0, node) == EMPTY_ROOT == sha256(b"").digest()
    assert not holds(proof.verify_inclusion, EMPTY_ROOT, 0, 0, [], EMPTY_ROOT)
    assert not holds(proof.verify_consistency, 0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    assert not holds(proof.verify_consistency, 0, 1, [], EMPTY_ROOT, ROOTS[1])
    assert not holds(proof.verify_inclusion, b"", 0, 1, [], b"")
    assert proof.consistency_path(0, 5, node) == []


@pytest.mark.parametrize(("start", "end", "size"), [(0, 6, 5), (1, 3, 8), (-1, 0, 3), (3, 2, 8), (0, 1, 2**63)])
def test_a_range_that_is_no_subtree_is_refused(start, end, size):
    """A proof can be made and checked for subtrees within the tree only."""
    with pytest.raises(ValueError):
        proof.subtree_path(start, end, size, node)
    assert not holds(proof.verify_subtree, start, end, size, [], ROOTS[1], ROOTS[1])
