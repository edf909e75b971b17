"""Canonical leaf bytes "CVL1" of an entry, and of its salted payload commitment.

One binary form, big-endian, fixed fields, no maps, no floats, no optional fields: what is hashed is never the accident of
a serialiser. Grammar and test vectors: docs/ledger.md.
"""

from __future__ import annotations

import hmac
import struct

from ledger.entry import LEGS_MAX, ZERO32, Entry, EntryKind, PostedLeg
from ledger.errors import Kind, LedgerError

MAGIC = b"CVL1"
SCHEMA = 1

_HEAD = struct.Struct(">4sBBHIQQq16s32sQ32s8sH")
_LEG = struct.Struct(">16sIBBQQQQQQQQQQQ")
_TAIL_BYTES = 32


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
    shard: int = 0,
) -> bytes:
    """Bytes of the leaf at index `seq`, fields in the order of `Entry`: 134 + 110 × legs + 32."""
    legs_bytes = len(legs) * _LEG.size
    parts = [
        _HEAD.pack(
            MAGIC, kind, 0, SCHEMA, shard, seq, recorded_ns, effective_ns, event_id, digest, ref_seq, ruleset, actor,
            legs_bytes,
        )
    ]  # fmt: skip
    # 128-bit amounts: the high halves are zero while amounts are int64, and leaves stay as they are if amounts widen.
    for _, public, asset, side, layer, amount, prev, dp, cp, dh, ch in legs:
        parts.append(_LEG.pack(public, asset, side, layer, 0, amount, prev, 0, dp, 0, cp, 0, dh, 0, ch))
    parts.append(committed)
    return b"".join(parts)


def decode(leaf: bytes) -> tuple[Entry, int]:
    """Entry and shard of a leaf; account numbers are unknown to outsiders and read as -1.

    Raises:
        LedgerError: any other length, magic, schema, kind or range than `encode` writes.

    """
    if len(leaf) < _HEAD.size + _TAIL_BYTES:
        raise _malformed("too short")
    head = _HEAD.unpack_from(leaf)
    magic, kind, flags, schema, shard, seq, recorded, effective, event_id, digest, ref, ruleset, actor, legs_bytes = (
        head
    )
    if (magic, flags, schema) != (MAGIC, 0, SCHEMA) or kind not in EntryKind.__members__.values():
        raise _malformed("unknown magic, flags, schema or kind")
    count, rest = divmod(legs_bytes, _LEG.size)
    if rest or count > LEGS_MAX or len(leaf) != _HEAD.size + legs_bytes + _TAIL_BYTES:
        raise _malformed("length")
    legs = tuple(_decode_leg(leaf, _HEAD.size + index * _LEG.size) for index in range(count))
    entry = Entry(
        seq, kind, event_id, digest, recorded, effective, ref, ruleset, actor, legs, leaf[-_TAIL_BYTES:], leaf
    )
    return entry, shard


def _decode_leg(leaf: bytes, offset: int) -> PostedLeg:
    public, asset, side, layer, *numbers = _LEG.unpack_from(leaf, offset)
    high = (numbers[0], *numbers[3::2])
    if any(high) or side > 1 or layer > 1:
        raise _malformed("leg out of range")
    amount, prev, dp, cp, dh, ch = numbers[1], numbers[2], *numbers[4::2]
    return PostedLeg(-1, public, asset, side, layer, amount, prev, dp, cp, dh, ch)


def _malformed(why: str) -> LedgerError:
    return LedgerError("leaf-malformed", f"日志叶子格式错误（{why}）", f"malformed log leaf: {why}", kind=Kind.PROOF)


def commitment(salt: bytes, payload: bytes) -> bytes:
    """HMAC-SHA256 of the payload under its own salt: dropping the salt erases it, and guessing a name does not reveal it."""
    if not payload:
        return ZERO32
    return hmac.digest(salt, payload, "sha256")
