"""base64url without padding, one text per byte string (RFC 7515 §2, RFC 4648 §3.5)."""

from __future__ import annotations

import base64


def encode(data: bytes) -> str:
    """Only text that `decode` takes for `data`."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Bytes of a canonical base64url text.

    Raises:
        ValueError: padding, white space, another alphabet, an impossible length or stray bits in the last character.

    """
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # The library skips what it does not know; comparing the round trip leaves one spelling, so no signed text is malleable.
    if encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
