"""Tiles: the paths and widths of the specification, a log of another implementation, growth step by step."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import proof
from ledger.errors import LedgerError
from ledger.lines import decode_hash
from ledger.tiles import (
    ENTRIES,
    ENTRY_BYTES_MAX,
    WIDTH,
    Tile,
    TileHashes,
    Tiling,
    bundles_of,
    decode_bundle,
    encode_bundle,
    partial_tiles_of,
    split_tile,
    tile_log,
    tiles_of,
)
from ledger.tree import EMPTY_ROOT, hash_leaf, root_of
from tests.shared_data import SHARED, needs_shared

TESSERA = SHARED / "vectors" / "tlog" / "tessera-testlog"
SIZES = (0, 1, 2, 255, 256, 257, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 70_000)

any_tile = st.builds(
    Tile, st.integers(ENTRIES, 63), st.one_of(st.integers(0, 2000), st.integers(0, 2**63)), st.integers(1, WIDTH)
)


@pytest.fixture(scope="module")
def hashes() -> list[bytes]:
    return [hash_leaf(str(n).encode()) for n in range(SIZES[-1])]


@pytest.fixture(scope="module")
def files(hashes) -> dict[Tile, bytes]:
    """Tiles of every size in `SIZES`, as a store keeps them."""
    kept, tiling = {}, Tiling()
    for size in SIZES:
        kept.update(tiling.append(hashes[tiling.size : size]))
        kept.update(tiling.partial())
        assert tiling.root() == root_of(hashes[:size])
    return kept


def test_the_examples_of_the_specification_hold():
    """A log of 70 000 has 273 full tiles and one of 112, then 1 and 17, then one of width 1; 256 leaves have one of each."""
    widths = Counter((tile.level, tile.width) for tile in tiles_of(70_000))
    assert widths == {(0, 256): 273, (0, 112): 1, (1, 256): 1, (1, 17): 1, (2, 1): 1}
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == partial_tiles_of(0) == []
    assert [tile.path for tile in bundles_of(257)] == ["tile/entries/000", "tile/entries/001.p/1"]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(63, 0), "tile/63/000"),
        (Tile(1, 999, 7), "tile/1/999.p/7"),
        (Tile(ENTRIES, 1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_a_path_has_one_spelling(tile, path):
    """An index is written in groups of three digits, all but the last after an x."""
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(any_tile)
def test_a_path_names_one_tile(tile):
    """Every tile is read back from its path."""
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    ["tile/00/000", "tile/64/000", "tile/0/0", "tile/0/x000/001", "tile/0/001/002", "tile/0/000.p/0", "tile/0/000.p/256",
     "tile/0/000.p/01", "tile/0/000.p/999", "tile/0/000/", "/tile/0/000", "tile/entries/x01/000", "tile/data/000",
     "tile/0/٠٠٠", "tile/0/000\n", "tile/-1/000", "tile/0/../000"],
)  # fmt: skip
def test_another_spelling_is_no_path(path):
    """Leading zeros, a full width, other digits and folders are refused, so that a file has one address."""
    with pytest.raises(LedgerError) as refusal:
        Tile.parse(path)
    assert refusal.value.code == "tile-path"


def test_tiles_of_two_sizes_differ_by_what_was_added():
    """What a log has more than it had is exactly the full tiles completed since and the partial ones of the new size."""
    for old in SIZES:
        for new in SIZES:
            if old <= new:
                assert set(tiles_of(new, old)) == set(tiles_of(new)) - set(tiles_of(old))
    assert [tile for tile in tiles_of(70_000) if not tile.is_full] == partial_tiles_of(70_000)


def test_growth_makes_the_tiles_of_the_size(hashes, files):
    """Whatever the steps it grew by, a log has the tiles that its size asks for, and those are the heads of the tree."""
    for size in SIZES:
        for tile in tiles_of(size):
            span = WIDTH**tile.level
            if tile.level < 2:
                first = tile.number * WIDTH * span
                expected = [root_of(hashes[at : at + span]) for at in range(first, first + tile.width * span, span)]
                assert split_tile(files[tile], tile.width) == expected


@pytest.mark.parametrize("size", SIZES)
def test_an_edge_goes_on_from_its_partial_tiles(size, hashes, files):
    """A tiling restored from the partial tiles of a size has its root and completes the same tiles as one that never stopped."""
    restored = Tiling(size, {tile: files[tile] for tile in partial_tiles_of(size)})
    assert (restored.size, restored.root()) == (size, root_of(hashes[:size]))
    assert dict(restored.partial()) == {tile: files[tile] for tile in partial_tiles_of(size)}
    later = min(size + 600, SIZES[-1])
    completed = dict(restored.append(hashes[size:later]))
    assert completed == {tile: files[tile] for tile in tiles_of(later, size) if tile.is_full}
    assert restored.root() == root_of(hashes[:later])


@pytest.mark.parametrize("size", [size for size in SIZES if size])
def test_proofs_are_made_from_tiles(size, hashes, files, seed):
    """Inclusion and consistency of random places, read from the tiles of the size alone, verify against its head."""
    random, root = Random(seed), root_of(hashes[:size])
    reader = TileHashes(size, {tile: files[tile] for tile in tiles_of(size)}.__getitem__)
    assert proof.range_root(0, size, reader) == root
    for _ in range(20):
        index, old = random.randrange(size), random.randint(1, size)
        proof.verify_inclusion(hashes[index], index, size, proof.inclusion_path(index, size, reader), root)
        proof.verify_consistency(old, size, proof.consistency_path(old, size, reader), root_of(hashes[:old]), root)


def test_a_reader_gives_no_hash_that_could_still_change():
    """A subtree that the log has not filled has no hash yet."""
    reader = TileHashes(5, lambda tile: bytes(32 * tile.width))
    for level, index in ((0, 5), (2, 1), (3, 0), (0, -1)):
        with pytest.raises(ValueError):
            reader(level, index)


@given(st.lists(st.binary(max_size=40), max_size=WIDTH))
def test_a_bundle_gives_back_its_entries(entries):
    """What was put into a bundle comes out of it, and with another count it is refused."""
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries
    for wrong, width in ((data, len(entries) + 1), (data + b"\0", len(entries)), (data[:-1], len(entries))):
        if wrong or width:
            with pytest.raises(LedgerError):
                decode_bundle(wrong, width)


def test_an_entry_longer_than_its_prefix_can_say_is_refused():
    """65 535 bytes are the most that an entry can have."""
    assert decode_bundle(encode_bundle([bytes(ENTRY_BYTES_MAX)]), 1) == [bytes(ENTRY_BYTES_MAX)]
    with pytest.raises(OverflowError):
        encode_bundle([bytes(ENTRY_BYTES_MAX + 1)])


@pytest.mark.parametrize("size", [0, 1, 256, 700])
def test_a_whole_log_is_tiled_in_one_pass(size):
    """`tile_log` gives every bundle and tile of its size, once each, and the bundles hold the entries in order."""
    entries = [str(n).encode() for n in range(size)]
    made = list(tile_log(entries))
    assert len(dict(made)) == len(made)
    assert set(dict(made)) == {*tiles_of(size), *bundles_of(size)}
    found = [entry for tile in bundles_of(size) for entry in decode_bundle(dict(made)[tile], tile.width)]
    assert found == entries
    assert proof.range_root(0, size, TileHashes(size, dict(made).__getitem__)) == root_of(list(map(hash_leaf, entries)))


def test_a_tile_of_the_wrong_length_is_found():
    """An edge is not taken up from partial tiles that are missing, cut or too long."""
    for content in ({}, {Tile(0, 0, 3): bytes(95)}, {Tile(0, 0, 3): bytes(128)}):
        with pytest.raises(LedgerError) as refusal:
            Tiling(3, content)
        assert refusal.value.code == "tile-malformed"
    assert Tiling().root() == EMPTY_ROOT


@needs_shared
def test_the_log_of_another_implementation_is_rebuilt_from_its_entries():
    """From the entry bundles of tessera's log come its tiles, byte for byte, and the roots of its nine checkpoints."""
    for size in range(9):
        root = decode_hash((TESSERA / f"checkpoint.{size}").read_text().split("\n")[2])
        entries = [
            entry
            for tile in bundles_of(size)
            for entry in decode_bundle((TESSERA / tile.path).read_bytes(), tile.width)
        ]
        made = dict(tile_log(entries))
        assert all((TESSERA / tile.path).read_bytes() == data for tile, data in made.items())
        assert proof.range_root(0, size, TileHashes(size, made.__getitem__)) == root
