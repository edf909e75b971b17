"""Forgeries that are never the true text by chance."""

from __future__ import annotations


def altered(text: str, place: int = -6) -> str:
    """The text with another character at a place: a digit, for they are in base64url, base45 and hexadecimal alike.

    The place that is used unless another is said is in the middle of a signature's last bytes, where every bit counts.
    """
    at = range(len(text))[place]
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
