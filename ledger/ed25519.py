"""Strict Ed25519 public keys: a `PublicKey` that exists has been checked.

OpenSSL verifies under any 32 bytes that decode to a point. Under a point of small order a signature holds for every
message, so its owner could deny, and anybody could forge. Such keys, and second spellings of a point, are refused here.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger import base64url
from ledger.errors import LedgerError

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE = pow(2, (_P - 1) // 4, _P)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key of 32 bytes: canonical (y < p), on the curve, not of small order (RFC 8032 §5.1.3).

    A point of mixed order passes: a signature under it still binds its message.

    Raises:
        LedgerError: `key-malformed` or `key-weak`.

    """

    raw: bytes

    def __post_init__(self) -> None:
        _check_point(self.raw)

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> PublicKey:
        """Public half of `private`."""
        return cls(private.public_key().public_bytes_raw())

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> PublicKey:
        """Key of a public JWK (RFC 8037), whose `use`, `alg` and `key_ops`, where given, allow verifying.

        Raises:
            LedgerError: `key-malformed`, also for a private JWK, or `key-weak`.

        """
        text = jwk.get("x")
        if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519" or not isinstance(text, str):
            raise _malformed("JWK 须含 kty=OKP、crv=Ed25519 和 x", "a JWK needs kty OKP, crv Ed25519 and x")
        if "d" in jwk:
            raise _malformed("JWK 含私钥 d；只提交公钥", "the JWK holds the private d; give the public key alone")
        if not _may_verify(jwk):
            raise _malformed("JWK 的 use、alg 或 key_ops 不允许验签", "use, alg or key_ops of the JWK forbid verifying")
        try:
            return cls(base64url.decode(text))
        except ValueError as error:
            raise _malformed("JWK 的 x 不是规范的 base64url", "x of the JWK is not canonical base64url") from error

    @property
    def algorithm(self) -> str:
        """The fully specified JWS algorithm (RFC 9864); the older name `EdDSA` is not taken in tokens."""
        return "Ed25519"

    @property
    def thumbprint(self) -> bytes:
        """SHA-256 thumbprint of the JWK (RFC 7638), 32 bytes."""
        return _thumbprint(self.raw)

    @property
    def kid(self) -> str:
        """The thumbprint in base64url: our name for a key, and `jkt` where a token is bound to it."""
        return base64url.encode(self.thumbprint)

    def jwk(self) -> dict[str, str]:
        """JWK of the three members that make the key (RFC 8037)."""
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(self.raw)}

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (R ‖ S, 64 bytes, S below the group order) is this key's for `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@functools.lru_cache(maxsize=4096)
def _thumbprint(raw: bytes) -> bytes:
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{base64url.encode(raw)}"}}'
    return hashlib.sha256(canonical.encode("ascii")).digest()


def _may_verify(jwk: Mapping[str, object]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("use", "sig") == "sig"
        and jwk.get("alg", "Ed25519") in ("Ed25519", "EdDSA")
        and isinstance(operations, list)
        and "verify" in operations
    )


def _malformed(zh: str, en: str) -> LedgerError:
    return LedgerError("key-malformed", f"Ed25519 公钥不合规：{zh}", f"malformed Ed25519 public key: {en}")


@functools.lru_cache(maxsize=4096)  # holders come again; a square root takes half as long as a signature
def _check_point(raw: bytes) -> None:
    if _has_small_order(*_decode_point(raw)):
        raise LedgerError(
            "key-weak",
            "公钥是小阶点，任何消息的签名都会通过；请另行生成密钥",
            "the public key is a point of small order, under which any message verifies; generate another key",
        )


def _decode_point(raw: bytes) -> tuple[int, int]:
    """Affine (x, y) of an encoded point, refusing every spelling but the canonical one."""
    if len(raw) != 32:
        raise _malformed(f"应为 32 字节，现为 {len(raw)}", f"32 bytes are needed, not {len(raw)}")
    encoded = int.from_bytes(raw, "little")
    sign, y = encoded >> 255, encoded & (2**255 - 1)
    if y >= _P:
        raise _malformed("坐标不小于 p，不是规范编码", "the coordinate is not below p, so not canonical")
    x = _square_root_of_ratio(y * y - 1, _D * y * y + 1)
    if x is None:
        raise _malformed("不在曲线上", "not a point of the curve")
    if x == 0 and sign:
        raise _malformed("x 为零而符号位为一，不是规范编码", "x is zero but its sign bit is set, so not canonical")
    return (x if x & 1 == sign else _P - x), y


def _square_root_of_ratio(u: int, v: int) -> int | None:
    """Square root of u/v modulo p, None where there is none (RFC 8032 §5.1.3)."""
    root = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    for candidate in (root, root * _SQRT_MINUS_ONE % _P):
        if (v * candidate * candidate - u) % _P == 0:
            return candidate
    return None


def _has_small_order(x: int, y: int) -> bool:
    """Whether 8 times the point is the identity: three doublings in projective coordinates (RFC 8032 §5.1.4)."""
    z = 1
    for _ in range(3):
        xx, yy = x * x, y * y
        total, difference = xx + yy, xx - yy
        cross, scale = total - (x + y) ** 2, 2 * z * z + difference
        x, y, z = cross * scale % _P, difference * total % _P, scale * difference % _P
    return x == 0 and y == z
