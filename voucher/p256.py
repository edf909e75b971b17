"""Strict P-256 public keys for holders whose devices have nothing else: a `P256Key` that exists has been checked.

The curve has cofactor 1, so a point on it is of full order; what is off the curve, written twice, or the identity is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from ledger import base64url
from ledger.ed25519 import PublicKey
from ledger.errors import LedgerError

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class P256Key:
    """A P-256 public key: both coordinates of 32 bytes, below p, on the curve (SEC 1 §3.2.2.1).

    Raises:
        LedgerError: `key-malformed`.

    """

    x: bytes
    y: bytes

    def __post_init__(self) -> None:
        if len(self.x) != 32 or len(self.y) != 32:
            raise _malformed("x 与 y 应各为 32 字节", "x and y have 32 bytes each")
        x, y = int.from_bytes(self.x, "big"), int.from_bytes(self.y, "big")
        if x >= _P or y >= _P:
            raise _malformed("坐标不小于 p，不是规范编码", "a coordinate is not below p, so not canonical")
        if (y * y - x * x * x + 3 * x - _B) % _P:
            raise _malformed("不在曲线上", "not a point of the curve")

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> P256Key:
        """Key of a public JWK (RFC 7518 §6.2), whose `use`, `alg` and `key_ops`, where given, allow verifying ES256.

        Raises:
            LedgerError: `key-malformed`, also for a private JWK.

        """
        x, y = jwk.get("x"), jwk.get("y")
        if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or not isinstance(x, str) or not isinstance(y, str):
            raise _malformed("JWK 须含 kty=EC、crv=P-256、x 和 y", "a JWK needs kty EC, crv P-256, x and y")
        if "d" in jwk:
            raise _malformed("JWK 含私钥 d；只提交公钥", "the JWK holds the private d; give the public key alone")
        operations = jwk.get("key_ops", ["verify"])
        if (
            jwk.get("use", "sig") != "sig"
            or jwk.get("alg", _ALGORITHM) != _ALGORITHM
            or not isinstance(operations, list)
            or "verify" not in operations
        ):
            raise _malformed("JWK 的 use、alg 或 key_ops 不允许验签", "use, alg or key_ops of the JWK forbid verifying")
        try:
            return cls(base64url.decode(x), base64url.decode(y))
        except ValueError as error:
            raise _malformed("JWK 的坐标不是规范的 base64url", "coordinates are not canonical base64url") from error

    @property
    def algorithm(self) -> str:
        """The one JWS algorithm of the curve."""
        return _ALGORITHM

    @property
    def kid(self) -> str:
        """SHA-256 thumbprint of the JWK (RFC 7638) in base64url."""
        x, y = base64url.encode(self.x), base64url.encode(self.y)
        canonical = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
        return base64url.encode(hashlib.sha256(canonical.encode("ascii")).digest())

    def jwk(self) -> dict[str, str]:
        """JWK of the four members that make the key."""
        return {"kty": "EC", "crv": "P-256", "x": base64url.encode(self.x), "y": base64url.encode(self.y)}

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (r ‖ s, 64 bytes) is this key's for `message` (RFC 7518 §3.4)."""
        if len(signature) != 64:
            return False
        numbers = EllipticCurvePublicNumbers(int.from_bytes(self.x, "big"), int.from_bytes(self.y, "big"), SECP256R1())
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            numbers.public_key().verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


HolderKey = PublicKey | P256Key
"""A key that a voucher may be bound to."""


def holder_key(jwk: Mapping[str, object]) -> HolderKey:
    """Key of a holder from a public JWK: Ed25519, or P-256 for hardware that has nothing else.

    Raises:
        LedgerError: `key-malformed`, or `key-weak` for a point of small order.

    """
    return P256Key.from_jwk(jwk) if jwk.get("kty") == "EC" else PublicKey.from_jwk(jwk)


def _malformed(zh: str, en: str) -> LedgerError:
    return LedgerError("key-malformed", f"P-256 公钥不合规：{zh}", f"malformed P-256 public key: {en}")
