"""base64url without padding, one text per byte string (RFC 7515 §2, RFC 4648 §3.5)."""

from __future__ import annotations

import binascii


def encode(data: bytes) -> str:
    """Only text that `decode` takes for `data`."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Bytes of a canonical base64url text.

    Raises:
        ValueError: padding, white space, another alphabet, an impossible length or stray bits in the last character.

    """
    data = binascii.a2b_base64((text + "=" * (-len(text) % 4)).encode("ascii").translate(_FROM_URL))
    # The library skips what it does not know; comparing the round trip leaves one spelling, so no signed text is malleable.
    if encode(data) != text:
        raise ValueError("not canonical base64url")
    return data


_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
