"""Verifying SM2 signatures (GB/T 32918.2, with the curve of GB/T 32918.5 and the hash SM3): public data alone.

No maintained Python library has SM2, and verifying needs none: no secret is involved, so plain integers leak nothing.
Signing is another matter, and is left to OpenSSL (`suanquan.sm2_signer`), whose arithmetic takes the same time for any key.
The names `SM2-SM3` and `SM2` are ours: nothing is registered for JOSE. A signature is r ‖ s, 64 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SM3, Hash

from ledger import base64url
from ledger.errors import LedgerError

ALGORITHM = "SM2-SM3"
CURVE = "SM2"
USER_ID = b"1234567812345678"
"""The default identity of GM/T 0009-2012 §10."""

_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A = _P - 3
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
Point = tuple[int, int, int]
"""Jacobian coordinates; z is 0 at infinity."""


@dataclass(frozen=True, slots=True)
class Sm2Key:
    """An SM2 public key: both coordinates of 32 bytes, below p, on the curve (whose cofactor is 1).

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
            raise _malformed("坐标不小于 p", "a coordinate is not below p")
        if (y * y - x * x * x - _A * x - _B) % _P:
            raise _malformed("不在曲线上", "not a point of the curve")

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Sm2Key:
        """Key of a public JWK of kty EC and crv SM2.

        Raises:
            LedgerError: `key-malformed`, also for a private JWK.

        """
        x, y = jwk.get("x"), jwk.get("y")
        if jwk.get("kty") != "EC" or jwk.get("crv") != CURVE or not isinstance(x, str) or not isinstance(y, str):
            raise _malformed(f"JWK 须含 kty=EC、crv={CURVE}、x 和 y", f"a JWK needs kty EC, crv {CURVE}, x and y")
        if "d" in jwk or jwk.get("use", "sig") != "sig" or jwk.get("alg", ALGORITHM) != ALGORITHM:
            raise _malformed(
                "JWK 含私钥，或 use、alg 不符", "the JWK holds a private key, or its use or alg is another"
            )
        try:
            return cls(base64url.decode(x), base64url.decode(y))
        except ValueError as error:
            raise _malformed("JWK 的坐标不是规范的 base64url", "coordinates are not canonical base64url") from error

    @property
    def algorithm(self) -> str:
        """Our name of the algorithm."""
        return ALGORITHM

    @property
    def kid(self) -> str:
        """SHA-256 thumbprint of the JWK (RFC 7638) in base64url."""
        x, y = base64url.encode(self.x), base64url.encode(self.y)
        canonical = f'{{"crv":"{CURVE}","kty":"EC","x":"{x}","y":"{y}"}}'
        return base64url.encode(hashlib.sha256(canonical.encode("ascii")).digest())

    def jwk(self) -> dict[str, str]:
        """JWK of the four members that make the key."""
        return {"kty": "EC", "crv": CURVE, "x": base64url.encode(self.x), "y": base64url.encode(self.y)}

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (r ‖ s, 64 bytes) is this key's for `message` under the default identity (§7.1)."""
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        t = (r + s) % _N
        if not 0 < r < _N or not 0 < s < _N or t == 0:
            return False
        x, _, z = _combine(s, t, (int.from_bytes(self.x, "big"), int.from_bytes(self.y, "big")))
        if z == 0:
            return False
        e = int.from_bytes(_sm3(self._identity() + message), "big")
        return (e + x * pow(z, -2, _P) % _P) % _N == r

    def _identity(self) -> bytes:
        """The value Z that binds identity, curve and key (§5.5)."""
        numbers = b"".join(number.to_bytes(32, "big") for number in (_A, _B, *_G))
        return _sm3((len(USER_ID) * 8).to_bytes(2, "big") + USER_ID + numbers + self.x + self.y)


def to_der(signature: bytes) -> bytes:
    """DER form of r ‖ s, which OpenSSL reads."""
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def from_der(signature: bytes) -> bytes:
    """The form r ‖ s of a DER signature."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _sm3(data: bytes) -> bytes:
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize()


def _combine(s: int, t: int, key: tuple[int, int]) -> Point:
    """s·G + t·P, both at once (Shamir)."""
    base, point = (*_G, 1), (*key, 1)
    both = _add(base, point)
    table = (None, base, point, both)
    total: Point = (1, 1, 0)
    for place in range(max(s.bit_length(), t.bit_length()) - 1, -1, -1):
        total = _double(total)
        chosen = table[(s >> place & 1) + 2 * (t >> place & 1)]
        if chosen is not None:
            total = _add(total, chosen)
    return total


def _double(point: Point) -> Point:
    x, y, z = point
    if z == 0:
        return point
    yy, zz = y * y % _P, z * z % _P
    four_xyy = 4 * x * yy % _P
    slope = 3 * (x - zz) * (x + zz) % _P  # a = −3
    x3 = (slope * slope - 2 * four_xyy) % _P
    return x3, (slope * (four_xyy - x3) - 8 * yy * yy) % _P, 2 * y * z % _P


def _add(one: Point, other: Point) -> Point:
    if one[2] == 0:
        return other
    if other[2] == 0:
        return one
    z1z1, z2z2 = one[2] * one[2] % _P, other[2] * other[2] % _P
    u1, u2 = one[0] * z2z2 % _P, other[0] * z1z1 % _P
    s1, s2 = one[1] * other[2] * z2z2 % _P, other[1] * one[2] * z1z1 % _P
    h, r = (u2 - u1) % _P, (s2 - s1) % _P
    if h == 0:
        return _double(one) if r == 0 else (1, 1, 0)
    hh = h * h % _P
    hhh, v = h * hh % _P, u1 * hh % _P
    x3 = (r * r - hhh - 2 * v) % _P
    return x3, (r * (v - x3) - s1 * hhh) % _P, h * one[2] * other[2] % _P


def _malformed(zh: str, en: str) -> LedgerError:
    return LedgerError("key-malformed", f"SM2 公钥不合规：{zh}", f"malformed SM2 public key: {en}")
