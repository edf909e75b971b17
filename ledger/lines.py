"""The small grammar that the text formats of C2SP share: base64, hashes and decimals with one spelling each."""

from __future__ import annotations

import base64
import binascii
import re

SIZE_MAX = 2**63 - 1
"""Largest tree size or time that any of these texts may state."""

HASH_BYTES = 32
PATH_MAX = 63
"""Hashes of one Merkle proof: what a tree of `SIZE_MAX` leaves can need (c2sp.org/tlog-witness)."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def encode64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 §4): the only text that `decode64` takes for `data`."""
    return base64.b64encode(data).decode("ascii")


def decode64(text: str) -> bytes:
    """Bytes of a canonical base64 text.

    Raises:
        ValueError: another alphabet, padding that is missing or misplaced, or stray bits in the last character.

    """
    data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    if encode64(data) != text:
        raise ValueError("not canonical base64")
    return data


def decode_hash(text: str) -> bytes:
    """32 bytes of a base64 line; ValueError for anything else."""
    data = decode64(text)
    if len(data) != HASH_BYTES:
        raise ValueError(f"a hash has {HASH_BYTES} bytes, not {len(data)}")
    return data


def decode_path(lines: list[str]) -> tuple[bytes, ...]:
    """Hashes of a Merkle proof, a line each; ValueError where one is none, or for more than `PATH_MAX`."""
    if len(lines) > PATH_MAX:
        raise ValueError(f"more than {PATH_MAX} hashes")
    return tuple(decode_hash(line) for line in lines)


def decode_size(text: str) -> int:
    """Integer of 0 to `SIZE_MAX` in ASCII decimal without leading zeros; ValueError for anything else."""
    if not _DECIMAL.fullmatch(text) or (size := int(text)) > SIZE_MAX:
        raise ValueError(f"not a decimal of at most {SIZE_MAX}")
    return size
