"""A JWT with a second signature: JWS in JSON general serialization (RFC 7515 §7.2.1), Ed25519 first, then SM2.

Both signatures cover the same payload under headers that differ in algorithm and key alone. A foreign verifier checks the
first; whoever must see both says so in his policy, for a stripped signature leaves a sound token of the other kind.
"""

from __future__ import annotations

import json
from typing import Any

from ledger import base64url, jws
from ledger.jws import JwsError
from voucher.sm2 import ALGORITHM

BYTES_MAX = jws.TOKEN_BYTES_MAX


def second_input(first: bytes, *, typ: str, kid: str) -> bytes:
    """Bytes for the second signature: the payload of the first token, or of its signing input, under a header for `kid`."""
    header = json.dumps({"alg": ALGORITHM, "typ": typ, "kid": kid}, separators=(",", ":")).encode()
    return base64url.encode(header).encode("ascii") + b"." + first.split(b".")[1]


def join(first: str, second: str) -> str:
    """The token of two compact ones over the same payload."""
    signatures = []
    for token in (first, second):
        protected, _, signature = token.split(".")
        signatures.append({"protected": protected, "signature": signature})
    return _text(first.split(".")[1], signatures)


def split(text: str) -> tuple[str, str]:
    """Both signatures as compact tokens, of a text in the one spelling that `join` gives.

    Raises:
        JwsError: and nothing else.

    """
    if len(text) > BYTES_MAX:
        raise JwsError("token-too-large", f"令牌超过 {BYTES_MAX} 字节", f"the token is larger than {BYTES_MAX} bytes")
    members = jws.parse_object(text.encode("utf-8", "surrogatepass"))
    match members:
        case {"payload": str() as payload, "signatures": [dict() as first, dict() as second]}:
            tokens = tuple(f"{each.get('protected')}.{payload}.{each.get('signature')}" for each in (first, second))
        case _:
            tokens = ()
    if len(tokens) != 2 or text != _rejoined(*tokens):
        raise JwsError(
            "token-malformed",
            "双签令牌应恰含 payload 与两个签名",
            "a token with two signatures holds exactly a payload and both of them",
        )
    return tokens


def _rejoined(first: str, second: str) -> str:
    return join(first, second) if first.count(".") == second.count(".") == 2 else ""


def _text(payload: str, signatures: list[dict[str, Any]]) -> str:
    return json.dumps({"payload": payload, "signatures": signatures}, separators=(",", ":"))
