"""HMAC-SHA256 (RFC 2104) of many short texts: a third of the time of the general way, which a posting pays twice."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

KEY_BYTES = 32
_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_INNER_REST, _OUTER_REST = (pad[:1] * (_BLOCK_BYTES - KEY_BYTES) for pad in (_INNER, _OUTER))


def mac(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA256 of a text under a key that is used once, as salts are."""
    if len(key) != KEY_BYTES:
        return hmac.digest(key, text, "sha256")
    inner = sha256(key.translate(_INNER) + _INNER_REST + text).digest()
    return sha256(key.translate(_OUTER) + _OUTER_REST + inner).digest()


class Keyed:
    """HMAC-SHA256 under one key for many texts: both hashes are started once."""

    __slots__ = ("_inner", "_outer", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        short = key if len(key) <= _BLOCK_BYTES else sha256(key).digest()
        block = short.ljust(_BLOCK_BYTES, b"\0")
        self._inner, self._outer = sha256(block.translate(_INNER)), sha256(block.translate(_OUTER))

    def digest(self, text: bytes) -> bytes:
        """HMAC-SHA256 of a text."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.digest()

    def digests(self, texts: Iterable[bytes]) -> list[bytes]:
        """`digest` of each, without a call for each."""
        begin, end, found = self._inner.copy, self._outer.copy, []
        for text in texts:
            inner, outer = begin(), end()
            inner.update(text)
            outer.update(inner.digest())
            found.append(outer.digest())
        return found
