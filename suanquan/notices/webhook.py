"""Standard Webhooks: the signature by which a receiver knows who sent a message, and when."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

PREFIX = "whsec_"
SECRET_BYTES = 32


def secret_text(secret: bytes) -> str:
    """A secret as a receiver's library takes it."""
    return PREFIX + base64.b64encode(secret).decode("ascii")


def headers(message: str, at_s: int, body: bytes, secret: bytes) -> dict[str, str]:
    """The three headers of a message; HMAC-SHA256 over `id.timestamp.body` (Standard Webhooks 1.0.0)."""
    signed = f"{message}.{at_s}.".encode("ascii") + body
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode("ascii")
    return {"webhook-id": message, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}


def body_of(kind: str, at: str, data: object) -> bytes:
    """The body: `type`, `timestamp` and `data`."""
    return json.dumps({"type": kind, "timestamp": at, "data": data}, ensure_ascii=False, sort_keys=True).encode()
