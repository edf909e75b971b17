"""Strict compact JWS (RFC 7515, RFC 9864): one spelling per token, no header that chooses an algorithm.

`verify` checks in this order: size, base64url, JSON, header, type, key, algorithm, signature. Keys come from the caller's own
registry; a token can name one, never bring one. Only a proof of possession brings its key (`verify_embedded`, after RFC
9449), and proves no more than that its sender has it. We sign with Ed25519 alone; each key verifies its own algorithm alone.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from ledger import base64url
from ledger.errors import DomainError, Kind, LedgerError

ALGORITHM = "Ed25519"
TOKEN_BYTES_MAX = 8192
JSON_DEPTH_MAX = 8
JSON_INTEGER_MAX = 2**53 - 1
"""Beyond this a JavaScript verifier would read another number (RFC 7493 §2.2)."""

_HEADER = {"alg", "typ", "kid"}
_HEADER_EMBEDDED = {"alg", "typ", "jwk"}
_ODD_CHARACTER = re.compile("[\0\ud800-\udfff]")
"""NUL ends text for some readers; half of a surrogate pair cannot be written again."""

Signer = Callable[[bytes], bytes]
"""Signs bytes with one Ed25519 key: a file's, or a token's that never shows it."""


class VerifyingKey(Protocol):
    """A public key that was checked when it was made, and the one JWS algorithm it verifies."""

    @property
    def algorithm(self) -> str:
        """Name of the algorithm in a JWS header."""

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint in base64url."""

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's for `message`."""


Key = TypeVar("Key", bound=VerifyingKey)


class JwsError(LedgerError):
    """A token that proves nothing; `code` says at which check it failed."""

    kind = Kind.PROOF


def signing_input(claims: Mapping[str, Any], *, typ: str, kid: str) -> bytes:
    """Exact bytes to sign: header and claims in base64url (RFC 7515 §5.1).

    Raises:
        JwsError: claims that `verify` would refuse, so that nothing unverifiable is ever signed.

    """
    return _input(_own_header(typ, kid), claims)


@functools.lru_cache(maxsize=64)
def _own_header(typ: str, kid: str) -> str:
    return _header({"alg": ALGORITHM, "typ": typ, "kid": kid})


def _header(members: Mapping[str, Any]) -> str:
    return base64url.encode(json.dumps(members, separators=(",", ":")).encode())


def _input(header: str, claims: Mapping[str, Any]) -> bytes:
    payload = _PLAIN.encode(claims).encode("utf-8", "surrogatepass")
    parse_object(payload)
    return f"{header}.{base64url.encode(payload)}".encode("ascii")


def compact(signed: bytes, signature: bytes) -> str:
    """Token of a signing input and its signature."""
    return f"{signed.decode('ascii')}.{base64url.encode(signature)}"


def sign(claims: Mapping[str, Any], *, typ: str, kid: str, signer: Signer) -> str:
    """Compact JWS over `claims`."""
    signed = signing_input(claims, typ=typ, kid=kid)
    return compact(signed, signer(signed))


def sign_embedded(claims: Mapping[str, Any], *, typ: str, jwk: Mapping[str, str], alg: str, signer: Signer) -> str:
    """Compact JWS that brings its public key, for proofs of possession."""
    signed = _input(_header({"alg": alg, "typ": typ, "jwk": dict(jwk)}), claims)
    return compact(signed, signer(signed))


def verify(
    token: str, keys: Mapping[str, VerifyingKey], typ: str, *, bytes_max: int = TOKEN_BYTES_MAX
) -> dict[str, Any]:
    """Claims of a token of type `typ` that one of `keys` (by key id) signed.

    Raises:
        JwsError: and nothing else, whatever the token.

    """
    return verify_with_kid(token, keys, typ, bytes_max=bytes_max)[1]


def verify_with_kid(
    token: str, keys: Mapping[str, VerifyingKey], typ: str, *, bytes_max: int = TOKEN_BYTES_MAX
) -> tuple[str, dict[str, Any]]:
    """As `verify`, with the id of the key that signed."""
    header, claims, signature = _read(token, bytes_max)
    if header.keys() != _HEADER or not all(isinstance(value, str) for value in header.values()):
        raise JwsError("token-header", "令牌头只能含 alg、typ、kid", "the header must hold exactly alg, typ and kid")
    _require_typ(header, typ)
    kid: str = header["kid"]
    key = keys.get(kid)
    if key is None:
        raise JwsError("token-kid", "签名密钥不在本地登记册中", "the signing key is not in the local registry")
    _require_signature(key, header, signature, token)
    return kid, claims


def verify_embedded(
    token: str, parse_key: Callable[[Mapping[str, object]], Key], typ: str, *, bytes_max: int = TOKEN_BYTES_MAX
) -> tuple[Key, dict[str, Any]]:
    """Key and claims of a token that brings its own key, which `parse_key` checks; who that is, the caller must know.

    Raises:
        JwsError: and nothing else, whatever the token; a key that is none or weak is `token-kid`.

    """
    header, claims, signature = _read(token, bytes_max)
    if header.keys() != _HEADER_EMBEDDED or not isinstance(header["jwk"], dict):
        raise JwsError("token-header", "令牌头只能含 alg、typ、jwk", "the header must hold exactly alg, typ and jwk")
    _require_typ(header, typ)
    try:
        key = parse_key(header["jwk"])
    except DomainError as error:
        raise JwsError("token-kid", f"公钥不可用：{error.zh}", f"the key is refused: {error.en}") from error
    _require_signature(key, header, signature, token)
    return key, claims


def _read(token: str, bytes_max: int) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    if len(token) > bytes_max:
        raise JwsError("token-too-large", f"令牌超过 {bytes_max} 字节", f"the token is larger than {bytes_max} bytes")
    header, payload, signature = _segments(token)
    return parse_object(header), parse_object(payload), signature


def _require_typ(header: Mapping[str, Any], typ: str) -> None:
    if header["typ"] != typ:
        raise JwsError("token-typ", f"令牌类型应为 {typ}", f"the token's type must be {typ}")


def _require_signature(key: VerifyingKey, header: Mapping[str, Any], signature: bytes, token: str) -> None:
    if header["alg"] != key.algorithm:
        raise JwsError("token-alg", f"签名算法应为 {key.algorithm}", f"the algorithm must be {key.algorithm}")
    if not key.verify(signature, token.rpartition(".")[0].encode("ascii")):
        raise JwsError(
            "token-signature",
            f"签名不符：收到的 {len(token)} 个字符不是当初签名的内容。请完整复制，或请出示方重新出示",
            f"the signature does not match: these {len(token)} characters are not what was signed; copy all of it, or present again",
        )


def _segments(token: str) -> tuple[bytes, bytes, bytes]:
    try:
        header, payload, signature = (base64url.decode(segment) for segment in token.split("."))
    except ValueError as error:
        raise JwsError(
            "token-malformed",
            "令牌应为三段规范的 base64url，以点分隔",
            "a token is three segments of canonical base64url joined by dots",
        ) from error
    return header, payload, signature


def parse_object(data: bytes) -> dict[str, Any]:
    """JSON object read strictly: UTF-8, no repeated member, integers only and within ±(2^53-1), depth at most 8, plain text.

    Raises:
        JwsError: `token-json`.

    """
    try:
        text = data.decode("utf-8")
        value = _JSON.decode(text)
        # Odd characters come by escapes alone, and so few brackets cannot nest too deep.
        if "\\u" in text or text.count("{") + text.count("[") > JSON_DEPTH_MAX:
            _refuse_odd_content(value)
    except (ValueError, RecursionError) as error:
        reason = str(error)[:80]
        raise JwsError("token-json", f"JSON 不合规：{reason}", f"not strict JSON: {reason}") from error
    if not isinstance(value, dict):
        raise JwsError("token-json", "JSON 应为对象", "the JSON must be an object")
    return value


def _refuse_odd_content(value: object) -> None:
    """Level by level, so that depth costs a counter and not the stack."""
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [child for node in level for child in _members(node) if isinstance(child, dict | list)]
    if level:
        raise ValueError(f"nested deeper than {JSON_DEPTH_MAX}")


def _members(node: object) -> list[object]:
    members = [*node.keys(), *node.values()] if isinstance(node, dict) else node if isinstance(node, list) else []
    if any(isinstance(text, str) and _ODD_CHARACTER.search(text) for text in members):
        raise ValueError("NUL or a lone surrogate in text")
    return members


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > JSON_INTEGER_MAX:
        raise ValueError("an integer is beyond 2^53-1")
    return int(text)


def _no_float(text: str) -> None:
    raise ValueError(f"{text[:20]} is not an integer")


_PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_no_float, parse_constant=_no_float)
