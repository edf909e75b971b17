"""An export is believed for its public key alone: signature, tiles, root, and every rule that leaves can show."""

import itertools

import pytest

from ledger.checkpoint import Checkpoint
from ledger.entry import EntryKind
from ledger.errors import DomainError, Kind
from ledger.tiles import tile_log
from ledger.tree import hash_leaf, root_of
from suanquan.use_cases.verify_export import verify_export
from tests.ledger.notes import LOG, ORIGIN, data_of, note_of
from tests.ledger.test_replay import BOOK, CAPTURE, FORGED, FREES, H1, PAID, REVERSE, SIZE, next_leaf, replayed

NOTES = 600


def leaves_with(*moves) -> list[bytes]:
    """The story of every kind of entry, some more entries, and notes for two tiles and a part."""
    replay = replayed(BOOK.entries)
    leaves = [entry.leaf for entry in BOOK.entries]
    for kind, legs, fields in moves:
        leaves.append(next_leaf(replay, kind, legs, fields))
        replay.add(leaves[-1])
    for at in range(NOTES):
        if replay.size == len(leaves):
            leaves.append(next_leaf(replay, EntryKind.NOTE, "", {"digest": at.to_bytes(32)}))
            replay.add(leaves[-1])
    return leaves


def export(folder, leaves, *, size=None, root=None):
    """Files of a log, and a checkpoint that the log has signed."""
    for tile, data in tile_log(leaves):
        path = folder / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    size, root = size or len(leaves), root or root_of([hash_leaf(leaf) for leaf in leaves])
    (folder / "checkpoint").write_bytes(data_of(note_of(Checkpoint(ORIGIN, size, root))))
    return folder


def refused(folder) -> str:
    with pytest.raises(DomainError) as error:
        verify_export(folder, LOG.key)
    assert (error.value.code, error.value.kind) == ("export-invalid", Kind.PROOF)
    return error.value.en


SOUND = leaves_with((CAPTURE, FREES + ", -v1 5, +centre 5", {"ref_seq": H1}))


def test_a_sound_export_is_believed(tmp_path):
    """What it holds is the checkpoint's log."""
    found = verify_export(export(tmp_path, SOUND), LOG.key)
    assert (found.size, found.root) == (len(SOUND), root_of([hash_leaf(leaf) for leaf in SOUND]))


def test_a_root_that_is_not_of_the_leaves_is_refused(tmp_path):
    """A signature makes no root true."""
    assert "root is not that of the checkpoint" in refused(export(tmp_path, SOUND, root=bytes(32)))


def test_an_export_of_another_key_is_refused(tmp_path):
    """Only the log's key says what the log is."""
    export(tmp_path, SOUND)
    (tmp_path / "checkpoint").write_bytes((tmp_path / "checkpoint").read_bytes().replace(b"\n6", b"\n7", 1))
    assert "to be trusted" in refused(tmp_path)


@pytest.mark.parametrize("at", range(8))
def test_a_changed_or_missing_file_is_named(tmp_path, at, seed):
    """One bit of any file of the tree, or the whole file: it is found, and the tile or the entry named."""
    paths = [path for path in export(tmp_path, SOUND).rglob("tile/**/*") if path.is_file()]
    path = sorted(paths)[at % len(paths)]
    data = bytearray(path.read_bytes())
    data[(seed + 997 * at) % len(data)] ^= 1 << at
    path.write_bytes(bytes(data))
    assert any(word in refused(tmp_path) for word in ("tile", "entry", "checkpoint"))
    path.unlink()
    assert any(word in refused(tmp_path) for word in ("cannot be read", "is missing"))


RULES = [case for case in FORGED if "payload" not in case[3]]


@pytest.mark.parametrize("case", [RULES[at] for at in range(0, len(RULES), 9)], ids=lambda case: case[0])
def test_a_signed_log_that_breaks_a_rule_is_refused(tmp_path, case):
    """The log signed it, the tree is right, and still it is not believed."""
    _, kind, moves, fields, fault = case
    found = refused(export(tmp_path, leaves_with((kind, moves, fields))))
    assert found.partition(f"entry {SIZE}")[2].endswith(fault)


def test_reversals_beyond_their_original_are_refused(tmp_path):
    """Each alone would be right: together they take back more than was moved."""
    twice = itertools.repeat((REVERSE, "-centre 3, +treasury 3", {"ref_seq": PAID}), 2)
    assert f"entry {PAID}: its reversals" in refused(export(tmp_path, leaves_with(*twice)))
