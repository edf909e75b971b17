"""Which characters a font can show: its `cmap` table, formats 4 and 12 (OpenType 1.9), read from the file's own bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

from ledger.errors import Kind
from suanquan.errors import ServiceError

INVISIBLE = frozenset("\n")
"""What template and data break lines with; nothing is drawn for it."""


def coverage(font: bytes, name: str = "") -> frozenset[int]:
    """Code points that a font has a glyph for.

    Raises:
        ServiceError: `font-unreadable`: no OpenType font, a collection, or one without such a table.

    """
    try:
        cmap = _table(font, b"cmap")
        [count] = struct.unpack_from(">H", cmap, 2)
        offsets = {struct.unpack_from(">I", cmap, 8 + 8 * at)[0] for at in range(count)}
        ranges = [pair for offset in sorted(offsets) for pair in _ranges(cmap[offset:])]
        return frozenset(code for first, last in ranges for code in range(first, last + 1)) - {0xFFFF}
    except (struct.error, ValueError, IndexError) as fault:
        raise unreadable(name, str(fault)) from fault


def unreadable(name: str, why: str) -> ServiceError:
    """The refusal of a font."""
    return ServiceError(
        "font-unreadable",
        f"字体 {name} 不能使用（须为单个 OpenType 字体 .otf 或 .ttf）：{why}",
        f"the font {name} cannot be used (a single OpenType font is needed, .otf or .ttf): {why}",
        kind=Kind.UNAVAILABLE,
    )


def _table(font: bytes, wanted: bytes) -> bytes:
    if font[:4] not in (b"OTTO", b"\x00\x01\x00\x00", b"true"):
        raise ValueError("no OpenType signature")
    [count] = struct.unpack_from(">H", font, 4)
    for at in range(count):
        tag, _, offset, length = struct.unpack_from(">4sIII", font, 12 + 16 * at)
        if tag == wanted:
            return font[offset : offset + length]
    raise ValueError("no cmap")


def _ranges(table: bytes) -> Iterator[tuple[int, int]]:
    """First and last code points that a subtable maps to a glyph; other formats say nothing."""
    [kind] = struct.unpack_from(">H", table, 0)
    if kind == 12:
        [count] = struct.unpack_from(">I", table, 12)
        for first, last, glyph in struct.iter_unpack(">III", table[16 : 16 + 12 * count]):
            if last - first > 0x10FFFF:
                raise ValueError("a range beyond Unicode")
            yield (first, last) if glyph else (first + 1, last)
    elif kind == 4:
        yield from _segments(table)


def _segments(table: bytes) -> Iterator[tuple[int, int]]:
    """Format 4: of each segment the codes whose glyph is not 0, the missing one."""
    [double] = struct.unpack_from(">H", table, 6)
    count = double // 2
    ends = struct.unpack_from(f">{count}H", table, 14)
    starts, deltas, offsets = (struct.unpack_from(f">{count}H", table, 16 + double * at) for at in (1, 2, 3))
    for at, (first, last, delta, offset) in enumerate(zip(starts, ends, deltas, offsets, strict=True)):
        for code in range(first, last + 1):
            glyph = code
            if offset:
                [glyph] = struct.unpack_from(">H", table, 16 + 3 * double + 2 * at + offset + 2 * (code - first))
            if (glyph + delta if glyph or not offset else 0) & 0xFFFF:
                yield code, code


def missing(texts: Iterable[str], covered: frozenset[int]) -> str:
    """The characters of texts that cannot be shown, in order, each once."""
    found = dict.fromkeys(character for text in texts for character in text)
    return "".join(one for one in found if ord(one) not in covered and one not in INVISIBLE)


def strings(value: Any) -> Iterator[str]:
    """Every text in JSON data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
