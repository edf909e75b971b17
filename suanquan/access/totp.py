"""One-time passwords by time (RFC 6238 over RFC 4226): SHA-1, six digits, thirty seconds, as every authenticator app has them."""

from __future__ import annotations

import base64
import hmac
import re
from urllib.parse import quote

STEP_S = 30
DIGITS = 6
SECRET_BYTES = 20
"""RFC 4226, 4 R6 asks for 128 bits and recommends 160."""
SLACK_STEPS = 1
"""RFC 6238, 5.2: one step of delay, either way."""
_CODE = re.compile(r"[0-9]{6}")


def hotp(secret: bytes, counter: int, digits: int = DIGITS, algorithm: str = "sha1") -> str:
    """The code of a counter (RFC 4226, 5.3)."""
    mac = hmac.digest(secret, counter.to_bytes(8), algorithm)
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset : offset + 4]) & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def totp(secret: bytes, at_s: int, digits: int = DIGITS, algorithm: str = "sha1") -> str:
    """The code of a moment, in seconds of UTC (RFC 6238, 4.2)."""
    return hotp(secret, at_s // STEP_S, digits, algorithm)


def match(secret: bytes, code: str, at_s: int, last_step: int) -> int | None:
    """The step that a code is of, if it is near enough and after the last one used: no code opens twice (RFC 6238, 5.2)."""
    if _CODE.fullmatch(code) is None:
        return None
    now = at_s // STEP_S
    found = None
    for step in range(now - SLACK_STEPS, now + SLACK_STEPS + 1):
        if hmac.compare_digest(hotp(secret, step), code) and step > last_step:
            found = step
    return found


def address(secret: bytes, name: str, issuer: str) -> str:
    """The `otpauth:` address that an app reads as a QR code."""
    key = base64.b32encode(secret).decode().rstrip("=")
    label = f"{quote(issuer, safe='')}:{quote(name, safe='')}"
    return f"otpauth://totp/{label}?secret={key}&issuer={quote(issuer, safe='')}&digits={DIGITS}&period={STEP_S}"
