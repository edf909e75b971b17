"""Canonical bytes "SQU1" of a usage record: what is hashed, compared and kept, whatever form it arrived in.

Sending (sequence, time, signature) is no part of it: the same fact sent twice has the same bytes. Layout, big-endian:

    "SQU1" flags:u8 parts:u8 start_us:i64 end_us:i64 active_ms:u64 attempt:i64 count_milli:u64
    lengths of id account job state voucher model extensions: 7 × u16, then these texts in UTF-8,
    then for each further part: count_milli:u64 length:u16 model

`flags` bit 0 says final. `extensions` is compact JSON with sorted keys, empty when there are none.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ledger.errors import Kind
from metering.errors import MeteringError
from metering.model import Accelerator, UsageRecord

MAGIC = b"SQU1"


class Cards(Protocol):
    """Cards of one model, as decoded from the wire or built by a source."""

    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def count_milli(self) -> int: ...  # noqa: D102


_HEAD = struct.Struct(">4sBBqqQqQ7H")
_PART = struct.Struct(">QH")
_LENGTH_BYTES = 4
_START = 6
"""Where the start of a record stands in its bytes; its end follows."""


def encode(
    record_id: str,
    account: str,
    job: str,
    attempt: int,
    start_us: int,
    end_us: int,
    active_ms: int,
    accelerators: Sequence[Cards],
    state: str,
    final: bool,
    voucher: str | None = None,
    extensions: str = "",
) -> bytes:
    """Canonical bytes of a record, fields in the order of `UsageRecord`; texts must have been checked for length."""
    first = accelerators[0]
    texts = (record_id, account, job, state, voucher or "", first.model, extensions)
    joined = "".join(texts)
    body = joined.encode()
    lengths = map(len, texts) if len(body) == len(joined) else (len(text.encode()) for text in texts)
    parts = len(accelerators)
    head = _HEAD.pack(MAGIC, final, parts, start_us, end_us, active_ms, attempt, first.count_milli, *lengths)
    if parts == 1:
        return head + body
    return head + body + b"".join(_PART.pack(p.count_milli, len(m := p.model.encode())) + m for p in accelerators[1:])


_HEADS = np.dtype(
    [
        *(("magic", "S4"), ("flags", "u1"), ("parts", "u1"), ("start_us", ">i8"), ("end_us", ">i8")),
        *(("active_ms", ">u8"), ("attempt", ">i8"), ("count_milli", ">u8"), ("lengths", ">u2", (7,))),
    ]
)
assert _HEADS.itemsize == _HEAD.size, "the columns below write the head above"


class Columns(NamedTuple):
    """Records of the ordinary kind as columns: closed, one card model, no extensions."""

    id: Sequence[str]
    account: Sequence[str]
    job: Sequence[str]
    state: Sequence[str]
    voucher: Sequence[str]
    model: Sequence[str]
    attempt: Sequence[int] | NDArray[Any]
    start_us: Sequence[int] | NDArray[Any]
    end_us: Sequence[int] | NDArray[Any]
    active_ms: Sequence[int] | NDArray[Any]
    count_milli: Sequence[int] | NDArray[Any]


def encode_columns(columns: Columns, lengths: NDArray[Any] | None = None) -> list[bytes]:
    """`encode` of each record, half the time of one by one. `lengths` are the bytes of its texts, where they are known."""
    texts = columns[:6]
    heads = np.zeros(len(columns.id), _HEADS)
    heads["magic"], heads["flags"], heads["parts"] = MAGIC, 1, 1
    for name in Columns._fields[6:]:
        heads[name] = getattr(columns, name)
    if lengths is None:
        for place, column in enumerate(texts):
            heads["lengths"][:, place] = _byte_lengths(column)
    else:
        heads["lengths"][:, : len(texts)] = lengths
    data, size = heads.tobytes(), _HEAD.size
    joined = map("".join, zip(*texts, strict=True))
    return [data[at : at + size] + text.encode() for at, text in zip(range(0, len(data), size), joined, strict=True)]


def _byte_lengths(texts: Sequence[str]) -> list[int]:
    if "".join(texts).isascii():
        return list(map(len, texts))
    return [len(text.encode()) for text in texts]


def decode(data: bytes) -> UsageRecord:
    """Record of canonical bytes; extensions stay in the bytes alone.

    Raises:
        MeteringError: anything `encode` does not write.

    """
    try:
        return _decode(data)
    except (struct.error, UnicodeDecodeError, ValueError) as fault:
        raise MeteringError(
            "record-malformed", "用量记录的规范字节损坏", f"damaged usage record bytes: {fault}", kind=Kind.PROOF
        ) from fault


def _decode(data: bytes) -> UsageRecord:
    magic, flags, parts, start_us, end_us, active_ms, attempt, count, *lengths = _HEAD.unpack_from(data)
    at = _HEAD.size
    texts = []
    for length in lengths:
        texts.append(data[at : at + length].decode())
        at += length
    record_id, account, job, state, voucher, model, _extensions = texts
    accelerators = [Accelerator(model, count)]
    for _ in range(parts - 1):
        more, length = _PART.unpack_from(data, at)
        at += _PART.size + length
        accelerators.append(Accelerator(data[at - length : at].decode(), more))
    if magic != MAGIC or flags > 1 or parts == 0 or at != len(data):
        raise ValueError("magic, flags or length")
    return UsageRecord(
        record_id, account, job, attempt, start_us, end_us, active_ms, tuple(accelerators), state,
        bool(flags), voucher or None,
    )  # fmt: skip


def extensions_of(data: bytes) -> str:
    """The extensions of canonical bytes: compact JSON, empty when there are none."""
    *before, length = _HEAD.unpack_from(data)[-7:]
    at = _HEAD.size + sum(before)
    return data[at : at + length].decode()


def times_of(segment: bytes) -> list[tuple[int, int]]:
    """Start and end of each record of a segment, in order, without decoding the records."""
    begins = places_of(segment)
    if not len(begins):
        return []
    data = np.frombuffer(segment, np.uint8)
    starts, ends = (
        data[begins[:, None] + np.arange(at, at + 8)].copy().view(">i8")[:, 0].tolist() for at in (_START, _START + 8)
    )
    return list(zip(starts, ends, strict=True))


def places_of(segment: bytes) -> NDArray[np.int64]:
    """Where each record of a segment begins."""
    lengths = _lengths(segment)
    if not lengths:
        return np.array([], np.int64)
    return np.cumsum(np.array([_LENGTH_BYTES * (1 + len(lengths)), *lengths[:-1]], np.int64))


def pack(leaves: Sequence[bytes]) -> bytes:
    """A segment: how many leaves, the length of each, then the leaves; numbers are 32-bit."""
    lengths = array("I", map(len, leaves))
    assert lengths.itemsize == _LENGTH_BYTES, "C ints are 32-bit wherever SQLite runs"
    if sys.byteorder == "little":
        lengths.byteswap()
    return len(leaves).to_bytes(_LENGTH_BYTES) + lengths.tobytes() + b"".join(leaves)


def unpack(segment: bytes) -> Iterator[bytes]:
    """Leaves of a segment, in order; MeteringError when it is cut."""
    lengths = _lengths(segment)
    at = _LENGTH_BYTES * (1 + len(lengths))
    for length in lengths:
        yield segment[at : at + length]
        at += length


def _lengths(segment: bytes) -> array[int]:
    """Lengths of the leaves of a segment; MeteringError when it is cut."""
    count = int.from_bytes(segment[:_LENGTH_BYTES])
    at = _LENGTH_BYTES * (1 + count)
    lengths = array("I")
    if at <= len(segment):
        lengths.frombytes(segment[_LENGTH_BYTES:at])
    if sys.byteorder == "little":
        lengths.byteswap()
    if len(lengths) != count or at + sum(lengths) != len(segment):
        raise MeteringError("segment-cut", "用量段被截断", "a usage segment is cut short", kind=Kind.PROOF)
    return lengths
