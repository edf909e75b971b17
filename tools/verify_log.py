#!/usr/bin/env python3
"""只用 Python 标准库核对导出的账本日志或凭据。Check an exported log or a receipt with the standard library alone.

    verify_log.py DIR --key VKEY-or-FILE                        the whole log: signature, every tile, every entry
    verify_log.py receipt FILE --key VKEY-or-FILE               one .tlog-proof receipt, with the content that it discloses
    verify_log.py receipt FILE --leaf FILE --key VKEY-or-FILE   the same for the bytes of a leaf of your own

An export is laid out as c2sp.org/tlog-tiles says; entries are CVL1 leaves (docs/ledger.md). Exit status 0: all of it
holds; 8: something does not, and the first place is named; 2: wrong use. Take the key from elsewhere than the export.
Not looked at: kinds and holds beyond their sums, floors, the payloads that leaves commit to, signatures of witnesses.
An older export is whole in itself: compare the size and root that are printed with ones that you have kept.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path
from typing import NoReturn


class BadError(Exception):
    """Something that does not hold, and where."""

    def __init__(self, where: str, zh: str, en: str) -> None:
        super().__init__(f"{where}：{zh} / {en}")
        self.zh, self.en = f"{where}：{zh}", f"{where}: {en}"


def bad(where: str, zh: str, en: str) -> NoReturn:
    """Stop at the first place that does not hold."""
    raise BadError(where, zh, en)


# ---- Ed25519 (RFC 8032 §5.1), strict: one spelling of points and scalars, no key of small order ----

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    """Sum of two points in extended coordinates (X, Y, Z, T); the formula is complete."""
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    u, v = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, v - u, v + u, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar: int, point: Point) -> Point:
    """Multiple of a point, by doubling and adding: nothing here is secret."""
    total = IDENTITY
    for bit in f"{scalar:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def encode_point(point: Point) -> bytes:
    """The 32 bytes of a point: y, with the lowest bit of x on top."""
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode_point(data: bytes) -> Point | None:
    """Point of its one spelling; None for any other bytes."""
    encoded = int.from_bytes(data, "little")
    y = encoded & (2**255 - 1)
    u, v = y * y - 1, D * y * y + 1
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x & 1 != encoded >> 255:
        x = -x % P
    point = (x, y, 1, x * y % P)
    return point if (v * x * x - u) % P == 0 and encode_point(point) == data else None


def signature_holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether R = S·B - k·A, where the signature is R ‖ S and k = SHA-512(R ‖ A ‖ message)."""
    key, scalar = decode_point(public), int.from_bytes(signature[32:], "little")
    base = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    if key is None or base is None or len(signature) != 64 or scalar >= ORDER:
        return False
    if encode_point(times(8, key)) == encode_point(IDENTITY):
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    minus = (-key[0] % P, key[1], 1, -key[3] % P)
    return encode_point(add(times(scalar, base), times(challenge, minus))) == signature[:32]


# ---- Signed checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint) ----


def decode64(text: str) -> bytes:
    """Bytes of standard base64 in its one spelling; ValueError for any other."""
    data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError(text)
    return data


def parse_key(text: str, where: str = "--key") -> tuple[str, bytes, bytes]:
    """Name, key id and Ed25519 public key of `name+id+base64`; the id must be that of name and key."""
    try:
        name, key_id, encoded = text.split("+", 2)
        material = decode64(encoded)
    except ValueError:
        bad(where, "不是“名称+编号+base64”的公钥", "not a public key name+id+base64")
    expected = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    if material[:1] != b"\x01" or len(material) != 33 or expected.hex() != key_id:
        bad(where, "不是 Ed25519 公钥，或编号不符", "not an Ed25519 key, or its id is another's")
    return name, expected, material[1:]


def read_key(text: str) -> str:
    """A key from the command line: itself, or the file that holds it."""
    return text if "+" in text else Path(text).read_text("utf-8").strip()


def open_checkpoint(data: bytes, key: tuple[str, bytes, bytes]) -> tuple[int, bytes]:
    """Size and root of a checkpoint that `key` has signed under its own name. Lines of other keys are passed over."""
    name, key_id, public = key
    try:
        text, _, below = data.decode().rpartition("\n\n")
        origin, size, root = text.split("\n")[:3]
        *lines, end = below.split("\n")
        found = [decode64(line.split(" ")[2]) for line in lines if line.startswith(f"— {name} ")]
        head = int(size), decode64(root)
    except (ValueError, IndexError):
        bad("checkpoint", "格式不对", "malformed")
    if end or str(head[0]) != size or head[0] < 0 or len(head[1]) != 32:
        bad("checkpoint", "格式不对", "malformed")
    ours = [signature[4:] for signature in found if signature[:4] == key_id]
    if origin != name or not ours:
        bad("checkpoint", f"没有 {name} 以该公钥的签名", f"not signed by {name} with this key")
    if not all(signature_holds(public, signature, text.encode() + b"\n") for signature in ours):
        bad("checkpoint", "签名无效", "the signature does not hold")
    return head


# ---- The tree (RFC 6962 §2.1) and its files (c2sp.org/tlog-tiles) ----

WIDTH = 256


def hash_leaf(leaf: bytes) -> bytes:
    """Hash of a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Hash of a node over two."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: list[bytes]) -> bytes:
    """Tree head over hashes; an odd last one moves up a level unchanged."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        hashes = [hash_node(left, right) for left, right in pairs] + hashes[len(hashes) & ~1 :]
    return hashes[0] if hashes else hashlib.sha256(b"").digest()


def path_of(level: str, number: int) -> str:
    """Path of a full tile: its number in groups of three digits, all but the last after an x."""
    digits = str(number).zfill(-(-len(str(number)) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join(["tile", level, *("x" + group for group in groups[:-1]), groups[-1]])


def split_bundle(data: bytes) -> list[bytes]:
    """Entries of a bundle, each still after the two bytes of its length; the last may be cut short."""
    parts, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        parts.append(data[at:end])
        at = end
    return parts


BESIDE = {"FORMAT.md", "verify_log.py", "log-ml-dsa-44.vkey"}
"""Files of an export that are no part of the log."""


class Export:
    """The files of an export. Each is looked at; what is left over at the end belongs to no log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        self.unseen = files - BESIDE
        self.levels: list[list[bytes]] = []
        self.completed: list[int] = []

    def read(self, name: str) -> bytes:
        """Contents of a file that must be there."""
        self.unseen.discard(name)
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            bad(name, "缺少这个文件", "the file is missing")

    def bundle(self, number: int, width: int) -> list[bytes]:
        """The `width` leaves of a bundle."""
        name = path_of("entries", number)
        parts = split_bundle(self.read(name if width == WIDTH else f"{name}.p/{width}"))
        if len(parts) != width or len(parts[-1]) != 2 + int.from_bytes(parts[-1][:2], "big"):
            bad(name, f"应有 {width} 条记录", f"{width} entries are needed")
        self.check_smaller(name, parts)
        return [part[2:] for part in parts]

    def check_smaller(self, name: str, parts: list[bytes]) -> None:
        """Check partial tiles that earlier checkpoints left behind: they hold the beginning of this one."""
        for width in range(1, len(parts)):
            partial = f"{name}.p/{width}"
            if partial in self.unseen and self.read(partial) != b"".join(parts[:width]):
                bad(partial, "与记录不符", "differs from the entries")

    def add(self, level: int, node: bytes) -> None:
        """Take the next hash of a level; a tile that it completes is checked and becomes a hash of the level above."""
        if level == len(self.levels):
            self.levels.append([])
            self.completed.append(0)
        self.levels[level].append(node)
        if len(self.levels[level]) == WIDTH:
            self.check_tile(level)
            hashes, self.levels[level] = self.levels[level], []
            self.completed[level] += 1
            self.add(level + 1, root_of(hashes))

    def check_tile(self, level: int) -> None:
        """Compare the tile at the right edge of a level with its file."""
        hashes, name = self.levels[level], path_of(str(level), self.completed[level])
        self.check_smaller(name, hashes)
        name += "" if len(hashes) == WIDTH else f".p/{len(hashes)}"
        data = self.read(name)
        if data != b"".join(hashes):
            at = next((at for at, node in enumerate(hashes) if data[at * 32 : at * 32 + 32] != node), len(hashes))
            bad(f"{name}[{at}]", "与记录不符", "differs from the entries")

    def root(self) -> bytes:
        """Check the partial tiles at the right edge; the tree head of all that was added."""
        below: list[bytes] = []
        for level, hashes in enumerate(self.levels):
            if hashes:
                self.check_tile(level)
            both = hashes + below
            below = [root_of(both)] if both else []
        return root_of(below)


# ---- Entries (CVL1) and what they add up to ----

HEAD = struct.Struct(">4sBBHIQQq16s32sQ32s8sH")
LEG = struct.Struct(">16sIBB16sQ16s16s16s16s")
COMMITMENT_BYTES = 32
NO_SEQ = 2**64 - 1
GENESIS, OPEN, NOTE, CAPTURE, RELEASE, EXPIRE, LIMIT, STATUS, MARK = 0, 1, 2, 5, 6, 7, 9, 10, 14
LEGLESS = {GENESIS, NOTE, 11, 12, 13}
ZERO_LEG = {OPEN, LIMIT, STATUS, MARK}
Leg = tuple[bytes, int, int, int, int, int, list[int]]


def parse_leaf(leaf: bytes, where: str) -> tuple[int, int, int, list[Leg]]:
    """Kind, seq, recorded time in nanoseconds and legs of a leaf; a leg ends with the account's four totals after it."""
    if len(leaf) < HEAD.size + COMMITMENT_BYTES:
        bad(where, "叶子过短", "the leaf is too short")
    magic, kind, flags, schema, shard, seq, recorded_ns, *_, legs_bytes = HEAD.unpack_from(leaf)
    if (magic, schema, shard) != (b"CVL1", 1, 0) or kind > MARK or (flags and kind != STATUS):
        bad(where, "标识、种类、标志或版本不对", "unknown magic, kind, flags, schema or shard")
    count, rest = divmod(legs_bytes, LEG.size)
    least, most = (0, 0) if kind in LEGLESS else (1, 1) if kind in ZERO_LEG else (2, 64)
    if rest or not least <= count <= most or len(leaf) != HEAD.size + legs_bytes + COMMITMENT_BYTES:
        bad(where, "长度或分录行数不对", "wrong length or number of legs")
    legs: list[Leg] = []
    for leg in LEG.iter_unpack(leaf[HEAD.size : HEAD.size + legs_bytes]):
        account, asset, side, layer, amount, prev_seq, *totals = leg
        numbers = [int.from_bytes(number, "big") for number in (amount, *totals)]
        if side > 1 or layer > 1 or max(numbers) >= 2**64 or (numbers[0] == 0) != (kind in ZERO_LEG):
            bad(where, "分录行的方向、层或金额不对", "wrong side, layer or amount of a leg")
        legs.append((account, asset, side, layer, numbers[0], prev_seq, numbers[1:]))
    return kind, seq, recorded_ns, legs


class Books:
    """What the entries so far add up to: for each account its asset, its last entry and its four totals."""

    def __init__(self) -> None:
        self.size = 0
        self.last_ns = 0
        self.accounts: dict[bytes, tuple[int, int, list[int]]] = {}

    def add(self, leaf: bytes) -> None:
        """Check the next entry against all before it."""
        where = f"entry {self.size}"
        kind, seq, recorded_ns, legs = parse_leaf(leaf, where)
        if seq != self.size or (kind == GENESIS) != (seq == 0):
            bad(where, "序号不连续，或创始记录不在首位", "not numbered in order, or genesis out of place")
        if recorded_ns <= self.last_ns:
            bad(where, "记录时间没有递增", "recorded time does not increase")
        sums: dict[tuple[int, int], int] = {}
        for leg in legs:
            _, asset, side, layer, amount, _, _ = leg
            sums[asset, layer] = sums.get((asset, layer), 0) + (amount if side else -amount)
            self.post(kind, seq, leg, where)
        if any(sums.values()):
            bad(where, "借贷不平", "debits and credits differ")
        self.size, self.last_ns = seq + 1, recorded_ns

    def post(self, kind: int, seq: int, leg: Leg, where: str) -> None:
        """Follow an account: its previous entry, its asset, and its totals after the leg."""
        account, asset, side, layer, amount, prev_seq, after = leg
        where = f"{where}, account {account.hex()}"
        if (kind == OPEN) == (account in self.accounts):
            bad(where, "账户重复开立或尚未开立", "opened twice or not at all")
        known = self.accounts.get(account, (asset, NO_SEQ, [0, 0, 0, 0]))
        if known[:2] != (asset, prev_seq):
            bad(where, "与该账户上一笔不衔接", "does not follow the account's previous entry")
        totals = list(known[2])
        frees = layer == 1 and kind in {CAPTURE, RELEASE, EXPIRE}
        totals[2 * layer + side] += -amount if frees else amount
        if totals != after:
            bad(where, "记账后的累计数不符", "the totals after the leg are wrong")
        self.accounts[account] = asset, seq, totals


# ---- What is asked for ----


def check_log(folder: Path, key: tuple[str, bytes, bytes]) -> str:
    """Check all of an export; a sentence about it."""
    size, root = check_export(folder, key)
    return f"核对通过：{size} 条记录，根 {root.hex()} / ok: {size} entries, root {root.hex()}"


def check_export(folder: Path, key: tuple[str, bytes, bytes]) -> tuple[int, bytes]:
    """Check all of an export; its size and root."""
    export, books = Export(folder), Books()
    if parse_key(export.read("log.vkey").decode("utf-8", "replace").removesuffix("\n"), "log.vkey") != key:
        bad("log.vkey", "不是所给的公钥", "not the key that was given")
    size, root = open_checkpoint(export.read("checkpoint"), key)
    for first in range(0, size, WIDTH):
        for leaf in export.bundle(first // WIDTH, min(WIDTH, size - first)):
            books.add(leaf)
            export.add(0, hash_leaf(leaf))
    if export.root() != root:
        bad("checkpoint", "根与记录不符", "its root is not that of the entries")
    if export.unseen:
        bad(min(export.unseen), "不是该日志的文件", "not a file of this log")
    return size, root


def disclosed_leaf(extra: bytes) -> bytes:
    """The leaf that a receipt brings along; the payload beside it, if any, is the one that the leaf commits to."""
    try:
        members = json.loads(extra)
        leaf, salt, payload = (bytes.fromhex(members.get(name, "")) for name in ("leaf", "salt", "payload"))
    except (ValueError, TypeError, AttributeError):
        bad("receipt", "extra 行不是分录内容", "its extra line is no content of an entry")
    if payload and hmac.digest(salt, payload, "sha256") != leaf[-COMMITMENT_BYTES:]:
        bad("receipt", "内容与叶子的承诺不符", "the payload is not what the leaf commits to")
    return leaf


def check_receipt(receipt: bytes, leaf: bytes | None, key: tuple[str, bytes, bytes]) -> str:
    """Check that a receipt proves `leaf`, or the one it discloses, to be in the log (c2sp.org/tlog-proof, RFC 9162 §2.1.3.2)."""
    top, _, checkpoint = receipt.partition(b"\n\n")
    try:
        first, *lines = top.decode("ascii").split("\n")
        extra = decode64(lines.pop(0)[6:]) if lines[0].startswith("extra ") else b""
        word, number = lines.pop(0).split(" ")
        index, path = int(number), [decode64(line) for line in lines]
    except (ValueError, IndexError):
        bad("receipt", "格式不对", "malformed")
    if (first, word, str(index)) != ("c2sp.org/tlog-proof@v1", "index", number) or any(
        len(node) != 32 for node in path
    ):
        bad("receipt", "格式不对", "malformed")
    size, root = open_checkpoint(checkpoint, key)
    leaf = disclosed_leaf(extra) if leaf is None else leaf
    if not 0 <= index < size or parse_leaf(leaf, "leaf")[1] != index:
        bad("receipt", "编号不是该叶子的，或超出日志", "its index is not the leaf's or is beyond the log")
    head, place, last = hash_leaf(leaf), index, size - 1
    for node in path:
        if last == 0:
            bad("receipt", "证明过长", "the proof is too long")
        if place & 1 or place == last:
            head = hash_node(node, head)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            head = hash_node(head, node)
        place, last = place >> 1, last >> 1
    if last or head != root:
        bad("receipt", "证明与根不符", "the proof does not lead to the root")
    return f"凭据有效：{size} 条记录中的第 {index} 号 / ok: entry {index} of {size}"


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", metavar="DIR | receipt FILE")
    parser.add_argument("--key", required=True, help="the log's verifier key, or a file with it")
    parser.add_argument("--leaf", type=Path, help="the bytes of the leaf that a receipt is for")
    asked = parser.parse_args(arguments)
    is_receipt = len(asked.what) == 2 and asked.what[0] == "receipt"
    if not is_receipt and (len(asked.what) != 1 or asked.leaf or not Path(asked.what[0]).is_dir()):
        parser.error("give a folder, or: receipt FILE")
    try:
        key = parse_key(read_key(asked.key))
        if is_receipt:
            leaf = asked.leaf.read_bytes() if asked.leaf else None
            print(check_receipt(Path(asked.what[1]).read_bytes(), leaf, key))
        else:
            print(check_log(Path(asked.what[0]), key))
    except BadError as error:
        print(f"不符：{error}", file=sys.stderr)
        return 8
    except OSError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
