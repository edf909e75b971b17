"""The stand-alone verifier: it accepts what the ledger writes, and names the place of whatever was changed."""

import ast
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import leaf, proof
from ledger.checkpoint import Checkpoint
from ledger.entry import NO_SEQ, ZERO32, PostedLeg
from ledger.tiles import TileHashes, bundles_of, tile_log
from ledger.tlog_proof import TlogProof
from ledger.tree import EMPTY_ROOT, hash_leaf, root_of
from tests.ledger.notes import LOG, ORIGIN, Pair, data_of, note_of
from tests.ledger.test_ed25519 import GROUP_ORDER, SECOND_SPELLINGS, SMALL_ORDER
from tests.shared_data import SHARED, needs_shared
from tools import verify_log

TOOL = Path(verify_log.__file__)
GENESIS, OPEN, NOTE, POST, HOLD, CAPTURE, RELEASE, EXPIRE, REVERSE, LIMIT, STATUS, CLOSE, ASSET, ERASE, MARK = range(15)
DEBIT, CREDIT, POSTED, HELD = 0, 1, 0, 1


class Writer:
    """Writes leaves as a ledger would: keeps the accounts' totals and their last entries."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.accounts: dict[str, list] = {}

    def add(self, kind: int, *lines: tuple[str, int, int, int]) -> None:
        """One entry; a line is (account, side, layer, amount)."""
        seq, legs = len(self.leaves), []
        for name, side, layer, amount in lines:
            totals = self.accounts.setdefault(name, [NO_SEQ, 0, 0, 0, 0])
            sign = -1 if layer == HELD and kind in {CAPTURE, RELEASE, EXPIRE} else 1
            prev, totals[0] = totals[0], seq
            totals[1 + 2 * layer + side] += sign * amount
            public = sha256(name.encode()).digest()[:16]
            legs.append(PostedLeg(-1, public, 1, side, layer, amount, prev, *totals[1:]))
        digest = sha256(str(seq).encode()).digest()
        encoded = leaf.encode(
            seq, kind, digest[:16], digest, 1000 + seq, 0, NO_SEQ, ZERO32, bytes(8), tuple(legs), ZERO32
        )
        self.leaves.append(encoded)

    def move(self, source: str, target: str, amount: int, kind: int = POST, layer: int = POSTED) -> None:
        self.add(kind, (source, DEBIT, layer, amount), (target, CREDIT, layer, amount))


def written(size: int) -> list[bytes]:
    """A log of `size` entries of every kind."""
    writer = Writer()
    writer.add(GENESIS)
    for name in ("treasury", "v1", "centre"):
        writer.add(OPEN, (name, CREDIT, POSTED, 0))
    while len(writer.leaves) < size:
        writer.move("treasury", "v1", 100)
        writer.move("v1", "centre", 60, HOLD, HELD)
        writer.add(
            CAPTURE,
            *(("v1", DEBIT, HELD, 20), ("centre", CREDIT, HELD, 20)),
            *(("v1", DEBIT, POSTED, 20), ("centre", CREDIT, POSTED, 20)),
        )
        writer.move("v1", "centre", 30, RELEASE, HELD)
        writer.move("v1", "centre", 10, EXPIRE, HELD)
        writer.move("centre", "v1", 5, REVERSE)
        for kind in (LIMIT, STATUS):
            writer.add(kind, ("v1", CREDIT, POSTED, 0))
        for kind in (NOTE, CLOSE, ASSET, ERASE):
            writer.add(kind)
        writer.add(MARK, ("v1", CREDIT, POSTED, 0))
    return writer.leaves[:size]


def export(folder: Path, leaves: list[bytes], head: Checkpoint | None = None) -> Path:
    """The files of a log, as the service exports them."""
    for tile, data in tile_log(leaves):
        path = folder / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder.mkdir(exist_ok=True)
    head = head or Checkpoint(ORIGIN, len(leaves), root_of(list(map(hash_leaf, leaves))))
    (folder / "checkpoint").write_bytes(data_of(note_of(head)))
    (folder / "log.vkey").write_text(f"{LOG.key}\n")
    return folder


def check(folder: Path, key: str = str(LOG.key)) -> tuple[int, str]:
    """Exit status and the verifier's word."""
    try:
        return 0, verify_log.check_log(folder, verify_log.parse_key(key))
    except verify_log.BadError as error:
        return 8, str(error)


def test_it_stands_alone():
    """The file imports nothing but the standard library and runs without the project around it."""
    tree = ast.parse(TOOL.read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("size", [0, 1, 5, 255, 256, 257, 600])
def test_a_log_that_the_ledger_writes_holds(size, tmp_path):
    """Logs of every kind of entry hold, on both sides of a full tile."""
    folder = export(tmp_path / "log", written(size))
    status, word = check(folder)
    assert status == 0, word
    assert f"{size} entries" in word


def test_a_log_beyond_one_tile_of_tiles_holds(tmp_path):
    """At 65 793 entries there are three levels of tiles, all of them compared."""
    writer = Writer()
    writer.add(GENESIS)
    while len(writer.leaves) < 65_793:
        writer.add(NOTE)
    folder = export(tmp_path / "log", writer.leaves)
    assert (folder / "tile/2/000.p/1").is_file()
    assert check(folder)[0] == 0
    upper = folder / "tile/1/000"
    upper.write_bytes(bytes(32) + upper.read_bytes()[32:])
    assert check(folder) == (8, "tile/1/000[0]：与记录不符 / differs from the entries")


def test_any_flipped_bit_is_found(tmp_path, seed):
    """A bit turned anywhere in any file of an export is found, and the place that is named lies in that file or entry."""
    folder = export(tmp_path / "log", written(300))
    random = Random(seed)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for _ in range(12):
            at, bit = random.randrange(len(whole)), random.randrange(8)
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            status, word = check(folder)
            assert status == 8, (path, at, bit)
            name = path.relative_to(folder).as_posix()
            assert word.startswith((name, "entry ") if "tile/entries" not in name else ("tile/", "entry ")), word
        path.write_bytes(whole)
    assert check(folder)[0] == 0


def test_a_missing_a_foreign_and_an_older_file(tmp_path):
    """Each file must be there and none too many; partial tiles of earlier sizes are compared as far as they go."""
    leaves = written(300)
    folder = export(tmp_path / "log", leaves)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        path.unlink()
        assert check(folder)[0] == 8, path
        path.write_bytes(whole)
    older = export(tmp_path / "older", leaves[:280])
    for name in ("tile/0/001.p/24", "tile/entries/001.p/24"):
        data = (older / name).read_bytes()
        (folder / name).write_bytes(data)
        assert check(folder)[0] == 0
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert check(folder)[1].startswith(name)
        (folder / name).write_bytes(data)
    (folder / "tile/0/002").write_bytes(b"")
    assert check(folder)[1].startswith("tile/0/002")


def replaced(leaves: list[bytes], at: int, made: bytes) -> list[bytes]:
    return [*leaves[:at], made, *leaves[at + 1 :]]


def poked(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


LEG_AT = 134
WRONG_BOOKS = {
    "a gap in the numbers": (4, 12, (9).to_bytes(8), "numbered"),
    "time that stands still": (4, 20, (1003).to_bytes(8), "recorded time"),
    "another magic": (4, 0, b"CVL2", "unknown magic"),
    "an unknown kind": (4, 4, b"\x0f", "unknown magic"),
    "a flag": (4, 5, b"\x01", "unknown magic"),
    "another schema": (4, 6, b"\0\2", "unknown magic"),
    "another shard": (4, 8, b"\0\0\0\1", "unknown magic"),
    "a second genesis": (12, 4, b"\0", "genesis"),
    "a length of no legs": (4, 132, b"\0\1", "number of legs"),
    "a side of neither": (4, LEG_AT + 20, b"\2", "side, layer"),
    "an amount that is too large": (4, LEG_AT + 22, b"\1", "side, layer"),
    "an amount of nothing": (4, LEG_AT + 22, bytes(16), "side, layer"),
    "an amount of another size": (4, LEG_AT + 37, b"\x63", "totals after"),
    "an account that was never opened": (4, LEG_AT, bytes(16), "not at all"),
    "another asset": (4, LEG_AT + 19, b"\2", "previous entry"),
    "another previous entry": (4, LEG_AT + 38, bytes(8), "previous entry"),
    "totals that do not follow": (4, LEG_AT + 46 + 15, b"\x65", "totals after"),
}


@pytest.mark.parametrize("case", WRONG_BOOKS)
def test_a_log_with_wrong_books_is_refused_although_it_is_signed(case, tmp_path):
    """Even where the log itself signed it, a wrong entry is named: number, time, form, chain, totals."""
    at, offset, value, words = WRONG_BOOKS[case]
    leaves = written(16)
    status, word = check(export(tmp_path / "log", replaced(leaves, at, poked(leaves[at], offset, value))))
    assert status == 8
    assert word.startswith(f"entry {at}")
    assert words in word


def test_more_given_than_taken_is_refused(tmp_path):
    """Debits and credits must be equal in each asset and layer, whatever the totals say."""
    writer = Writer()
    writer.add(GENESIS)
    for name in ("a", "b"):
        writer.add(OPEN, (name, CREDIT, POSTED, 0))
    writer.add(POST, ("a", DEBIT, POSTED, 5), ("b", CREDIT, POSTED, 6))
    assert check(export(tmp_path / "log", writer.leaves))[1] == "entry 3：借贷不平 / debits and credits differ"


def test_an_account_is_opened_once(tmp_path):
    """A second opening would let totals begin anew."""
    writer = Writer()
    writer.add(GENESIS)
    for _ in range(2):
        writer.add(OPEN, ("a", CREDIT, POSTED, 0))
    assert "opened twice" in check(export(tmp_path / "log", writer.leaves))[1]


def test_flags_are_for_a_status_only(tmp_path):
    """A STATUS entry may carry flags, no other may."""
    leaves = written(16)
    at = next(n for n, one in enumerate(leaves) if one[4] == STATUS)
    assert check(export(tmp_path / "log", replaced(leaves, at, poked(leaves[at], 5, b"\3"))))[0] == 0


def test_a_cut_and_a_rewritten_log_do_not_fit_the_checkpoint(tmp_path):
    """Entries that are missing at the end or were rewritten with all their tiles differ from the signed head."""
    leaves = written(300)
    head = Checkpoint(ORIGIN, 300, root_of(list(map(hash_leaf, leaves))))
    assert check(export(tmp_path / "cut", leaves[:290], head))[0] == 8
    other = replaced(leaves, 299, poked(leaves[299], 40, b"other"))
    assert check(export(tmp_path / "rewritten", other, head))[1].startswith("checkpoint：根与记录不符")


def test_the_key_decides(tmp_path):
    """Another key, another name and a key that the export brings itself are of no use."""
    folder = export(tmp_path / "log", written(5))
    other = Pair(ORIGIN, seed=9)
    assert check(folder, str(other.key)) == (8, "log.vkey：不是所给的公钥 / not the key that was given")
    (folder / "log.vkey").write_text(f"{other.key}\n")
    assert check(folder, str(other.key))[1].startswith("checkpoint")
    assert check(folder)[1].startswith("log.vkey")


def test_receipts_are_checked(tmp_path):
    """A receipt proves its leaf under the key; a changed leaf, index, path, or signature is refused."""
    leaves = written(300)
    hashes = list(map(hash_leaf, leaves))
    tiles = {tile: data for tile, data in tile_log(leaves) if tile not in set(bundles_of(300))}
    reader = TileHashes(300, tiles.__getitem__)
    note = note_of(Checkpoint(ORIGIN, 300, root_of(hashes)))
    key = verify_log.parse_key(str(LOG.key))
    for index in (0, 1, 7, 255, 256, 298, 299):
        made = TlogProof(index, tuple(proof.inclusion_path(index, 300, reader)), note, b"salt")
        assert f"entry {index} of 300" in verify_log.check_receipt(made.to_bytes(), leaves[index], key)
        wrong = [
            (made, leaves[index - 1]),
            (made, poked(leaves[index], 40, b"xx")),
            (TlogProof(index, made.path[:-1], note), leaves[index]),
            (TlogProof(index, (*made.path, EMPTY_ROOT), note), leaves[index]),
            (TlogProof(index, (EMPTY_ROOT, *made.path[1:]), note), leaves[index]),
            (TlogProof(index + 1, made.path, note), leaves[index]),
            (TlogProof(index, made.path, note_of(Checkpoint(ORIGIN, 299, root_of(hashes[:299])))), leaves[index]),
            (TlogProof(index, made.path, note_of(Checkpoint(ORIGIN, 300, root_of(hashes)), Pair(ORIGIN, seed=4))), leaves[index]),
        ]  # fmt: skip
        for receipt, data in wrong:
            with pytest.raises(verify_log.BadError):
                verify_log.check_receipt(receipt.to_bytes(), data, key)


def test_a_changed_receipt_is_refused(seed):
    """No bit of a receipt without extra data can be turned."""
    leaves = written(9)
    hashes = list(map(hash_leaf, leaves))
    path = proof.inclusion_path(4, 9, lambda level, at: root_of(hashes[at << level : (at + 1) << level]))
    whole = TlogProof(4, tuple(path), note_of(Checkpoint(ORIGIN, 9, root_of(hashes)))).to_bytes()
    key, random = verify_log.parse_key(str(LOG.key)), Random(seed)
    verify_log.check_receipt(whole, leaves[4], key)
    for at in range(len(whole)):
        changed = whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :]
        with pytest.raises(verify_log.BadError):
            verify_log.check_receipt(changed, leaves[4], key)


def run(*arguments: object) -> subprocess.CompletedProcess:
    """The file as a program of its own, away from the project and from site packages."""
    command = [sys.executable, "-I", "-S", str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=TOOL.anchor)


def test_the_program_says_what_it_found(tmp_path):
    """Exit status 0 with a sentence, 8 with the first bad place, 2 for wrong use; a key may be given by a file."""
    leaves = written(9)
    folder = export(tmp_path / "log", leaves)
    done = run(folder, "--key", folder / "log.vkey")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("核对通过：9 条记录")
    receipt, one = tmp_path / "a.tlog-proof", tmp_path / "leaf"
    path = proof.inclusion_path(
        2, 9, lambda level, at: root_of(list(map(hash_leaf, leaves[at << level : (at + 1) << level])))
    )
    receipt.write_bytes(
        TlogProof(2, tuple(path), note_of(Checkpoint(ORIGIN, 9, root_of(list(map(hash_leaf, leaves)))))).to_bytes()
    )
    one.write_bytes(leaves[2])
    assert "entry 2 of 9" in run("receipt", receipt, "--leaf", one, "--key", LOG.key).stdout
    one.write_bytes(leaves[3])
    assert run("receipt", receipt, "--leaf", one, "--key", LOG.key).returncode == 8
    assert run("receipt", receipt, "--key", LOG.key).returncode == 8  # it brings no leaf along
    (folder / "tile/0/000.p/9").unlink()
    done = run(folder, "--key", LOG.key)
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr == "不符：tile/0/000.p/9：缺少这个文件 / the file is missing\n"
    for wrong in (
        [folder],
        [tmp_path / "none", "--key", LOG.key],
        [folder, "--key", "none"],
    ):
        assert run(*wrong).returncode == 2


def test_its_ed25519_agrees_with_another_implementation(seed):
    """Signatures of OpenSSL hold; with a bit turned in key, signature or message they do not."""
    random = Random(seed)
    for _ in range(8):
        private = Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
        public, message = private.public_key().public_bytes_raw(), random.randbytes(random.randrange(40))
        signature = private.sign(message)
        assert verify_log.signature_holds(public, signature, message)
        bit = 1 << random.randrange(512)
        turned = (int.from_bytes(signature) ^ bit).to_bytes(64)
        assert not verify_log.signature_holds(public, turned, message)
        assert not verify_log.signature_holds(public, signature, message + b"x")
        scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
        assert not verify_log.signature_holds(public, signature[:32] + scalar.to_bytes(32, "little"), message)


@pytest.mark.parametrize("encoded", SMALL_ORDER + SECOND_SPELLINGS)
def test_its_ed25519_refuses_weak_and_misspelt_keys(encoded):
    """Under a point of small order the zero signature would hold for every message."""
    identity = (1).to_bytes(32, "little")
    assert not verify_log.signature_holds(bytes.fromhex(encoded), identity + bytes(32), b"any")


@needs_shared
def test_its_ed25519_has_the_outcomes_of_wycheproof():
    """Every published Ed25519 case is accepted or refused as it says."""
    suite = json.loads((SHARED / "vectors/wycheproof/ed25519_test.json").read_text())
    wrong = [
        case["tcId"]
        for group in suite["testGroups"]
        for case in group["tests"]
        if verify_log.signature_holds(
            bytes.fromhex(group["publicKey"]["pk"]), bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
        )
        != (case["result"] == "valid")
    ]
    assert wrong == []
