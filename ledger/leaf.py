"""Canonical leaf bytes "CVL1" of an entry, and of its salted payload commitment.

One binary form, big-endian, fixed fields, no maps, no floats, no optional fields: what is hashed is never the accident of
a serialiser. Grammar and test vectors: docs/ledger.md.
"""

from __future__ import annotations

import struct

from ledger.entry import LEGS_MAX, ZERO32, Entry, EntryKind, PostedLeg
from ledger.errors import Kind, LedgerError
from ledger.mac import mac

MAGIC = b"CVL1"
SCHEMA = 1

_HEAD = struct.Struct(">4sBBHIQQq16s32sQ32s8sH")
_LEG = struct.Struct(">16sIBBQQQQQQQQQQQ")
_TAIL_BYTES = 32
TWO_LEGS = struct.Struct(_HEAD.format + "16sIBB8xQQ8xQ8xQ8xQ8xQ" * 2 + "32s")
"""The whole leaf of an entry of two legs, as most are; amounts below 2^64, whose high halves are zero."""
TWO_LEGS_BYTES = 2 * _LEG.size
TWO_LEGS_FOLDED = struct.Struct(_HEAD.format.replace("16s32sQ32s8s", "48xQ40x") + _LEG.format[1:] * 2 + "32x")
"""What a replay folds of such a leaf: all but ids, digests and the commitment."""
_KINDS = frozenset(EntryKind)
_FLAGS = {EntryKind.STATUS: 7}
"""Bits that an entry of a kind may set; any other flag is zero."""


def encode(
    seq: int,
    kind: int,
    event_id: bytes,
    digest: bytes,
    recorded_ns: int,
    effective_ns: int,
    ref_seq: int,
    ruleset: bytes,
    actor: bytes,
    legs: tuple[PostedLeg, ...],
    committed: bytes,
    flags: int = 0,
    shard: int = 0,
) -> bytes:
    """Bytes of the leaf at index `seq`, fields in the order of `Entry`: 134 + 110 × legs + 32."""
    # 128-bit amounts: the high halves are zero while amounts are int64, and leaves stay as they are if amounts widen.
    if len(legs) == 2:  # most entries: one call packs all, in half the time
        _, p1, a1, s1, l1, m1, v1, d1, c1, g1, h1 = legs[0]
        _, p2, a2, s2, l2, m2, v2, d2, c2, g2, h2 = legs[1]
        return TWO_LEGS.pack(
            MAGIC, kind, flags, SCHEMA, shard, seq, recorded_ns, effective_ns, event_id, digest, ref_seq, ruleset,
            actor, TWO_LEGS_BYTES, p1, a1, s1, l1, m1, v1, d1, c1, g1, h1, p2, a2, s2, l2, m2, v2, d2, c2, g2, h2, committed,
        )  # fmt: skip
    parts = [
        _HEAD.pack(
            MAGIC, kind, flags, SCHEMA, shard, seq, recorded_ns, effective_ns, event_id, digest, ref_seq, ruleset,
            actor, len(legs) * _LEG.size,
        )
    ]  # fmt: skip
    for _, public, asset, side, layer, amount, prev, dp, cp, dh, ch in legs:
        parts.append(_LEG.pack(public, asset, side, layer, 0, amount, prev, 0, dp, 0, cp, 0, dh, 0, ch))
    parts.append(committed)
    return b"".join(parts)


def decode(leaf: bytes) -> tuple[Entry, int]:
    """Entry and shard of a leaf; account numbers are unknown to outsiders and read as -1.

    Raises:
        LedgerError: any other length, magic, schema, kind, flag or range than `encode` writes.

    """
    if len(leaf) < _HEAD.size + _TAIL_BYTES:
        raise _malformed("too short")
    head = _HEAD.unpack_from(leaf)
    magic, kind, flags, schema, shard, seq, recorded, effective, event_id, digest, ref, ruleset, actor, legs_bytes = (
        head
    )
    if (magic, schema) != (MAGIC, SCHEMA) or kind not in _KINDS or flags & ~_FLAGS.get(kind, 0):
        raise _malformed("unknown magic, flags, schema or kind")
    count, rest = divmod(legs_bytes, _LEG.size)
    if rest or count > LEGS_MAX or len(leaf) != _HEAD.size + legs_bytes + _TAIL_BYTES:
        raise _malformed("length")
    legs = tuple(_decode_leg(leaf, _HEAD.size + index * _LEG.size) for index in range(count))
    entry = Entry(
        seq, kind, event_id, digest, recorded, effective, ref, ruleset, actor, legs, leaf[-_TAIL_BYTES:], flags, leaf
    )
    return entry, shard


def heading(leaf: bytes) -> tuple[int, bytes, int, int]:
    """Kind, event id, recorded and effective time of a leaf that was decoded before."""
    return leaf[4], leaf[36:52], int.from_bytes(leaf[20:28]), int.from_bytes(leaf[28:36], signed=True)


def accounts_in(leaf: bytes) -> list[bytes]:
    """Public ids of the legs of a leaf that was decoded before."""
    return [leaf[at : at + 16] for at in range(_HEAD.size, len(leaf) - _TAIL_BYTES, _LEG.size)]


def _decode_leg(leaf: bytes, offset: int) -> PostedLeg:
    public, asset, side, layer, h0, amount, prev, h1, dp, h2, cp, h3, dh, h4, ch = _LEG.unpack_from(leaf, offset)
    if h0 | h1 | h2 | h3 | h4 or side > 1 or layer > 1:
        raise _malformed("leg out of range")
    return PostedLeg(-1, public, asset, side, layer, amount, prev, dp, cp, dh, ch)


def _malformed(why: str) -> LedgerError:
    return LedgerError("leaf-malformed", f"日志叶子格式错误（{why}）", f"malformed log leaf: {why}", kind=Kind.PROOF)


def commitment(salt: bytes, payload: bytes) -> bytes:
    """HMAC-SHA256 of the payload under its own salt: dropping the salt erases it, and guessing a name does not reveal it."""
    if not payload:
        return ZERO32
    return mac(salt, payload)
