"""Strict CWT for QR codes: COSE_Sign1 with Ed25519 (RFC 9052, RFC 8392) in base45 (RFC 9285) after `SQ1:`, one spelling each.

The twin of `ledger.jws`, with the same checks in the same order and the same codes. Everything is in the protected header;
there is no compression, whose bombs would cost more than its nine per cent gain. A key is named by the first 8 bytes of its
thumbprint, as in the EU's health certificates: a name is no proof, and a QR code has no room for 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import base45
import cbor2

from ledger import base64url
from ledger.errors import Kind
from ledger.jws import VerifyingKey
from voucher.errors import VoucherError

PREFIX = "SQ1:"
BYTES_MAX = 434
"""What a QR code of version 16 at error level M holds, prefix included."""

KID_BYTES = 8

_TAG_SIGN1 = b"\xd2"
_ED25519 = -19
_ALG, _KID, _TYP = 1, 4, 16


def signing_input(claims: Mapping[int, Any], *, typ: str, kid: str) -> bytes:
    """Exact bytes to sign: the Sig_structure over canonical header and claims."""
    protected = {_ALG: _ED25519, _KID: short_kid(kid), _TYP: typ}
    return sig_structure(_canonical(protected), _canonical(claims))


def short_kid(kid: str) -> bytes:
    """Name of a key in a COSE header: the first bytes of its thumbprint."""
    return base64url.decode(kid)[:KID_BYTES]


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """Bytes that a COSE_Sign1 signature covers, without external data (RFC 9052 §4.4)."""
    return _canonical(["Signature1", protected, b"", payload])


def compact(signed: bytes, signature: bytes) -> str:
    """QR text of a signing input and its signature.

    Raises:
        VoucherError: `cwt-too-large`, more than the QR code holds.

    """
    data = sign1(signed, signature)
    if len(data) > BYTES_MAX:
        raise VoucherError(
            "cwt-too-large",
            f"二维码凭证 {len(data)} 字节，超过 {BYTES_MAX} 字节；请缩短签发方标识、对外地址、方案编号或中心列表",
            f"the QR voucher takes {len(data)} bytes of {BYTES_MAX}; shorten the issuer, the public address, the scheme id or the centres",
        )
    return PREFIX + str(base45.b45encode(data), "ascii")


def sign1(signed: bytes, signature: bytes) -> bytes:
    """COSE_Sign1 (tag 18) of a signing input and its signature."""
    match _decode_cbor(signed):
        case ["Signature1", bytes() as protected, b"", bytes() as payload]:
            return _TAG_SIGN1 + _canonical([protected, {}, payload, signature])
    raise _malformed("的待签字节不合规", "was not made of a Sig_structure")


def verify(text: str, keys: Mapping[str, VerifyingKey], typ: str) -> tuple[str, Any]:
    """Key id and payload (any canonical CBOR without tags) of a QR text of type `typ` that one of `keys` signed.

    Raises:
        VoucherError: of kind PROOF and nothing else, whatever the text.

    """
    return verify_bytes(_decode_base45(text), keys, typ)


def signed_bytes(text: str) -> bytes:
    """Exact bytes that the signature of a QR text covers.

    Raises:
        VoucherError: of kind PROOF: no such text.

    """
    protected, payload, _ = _parts(_decode_base45(text))
    return sig_structure(protected, payload)


def verify_bytes(
    data: bytes, keys: Mapping[str, VerifyingKey], typ: str, *, bytes_max: int = BYTES_MAX
) -> tuple[str, Any]:
    """Key id and payload of a COSE_Sign1, as `verify`."""
    if len(data) > bytes_max:
        raise _too_large(bytes_max)
    protected, payload, signature = _parts(data)
    header, claims = _decode_cbor(protected), _decode_cbor(payload)
    if not isinstance(header, dict) or header.keys() != {_ALG, _KID, _TYP} or not isinstance(header[_KID], bytes):
        raise _refused("token-header", "令牌头只能含 alg、kid、typ", "the header must hold exactly alg, kid and typ")
    if header[_TYP] != typ:
        raise _refused("token-typ", f"令牌类型应为 {typ}", f"the token's type must be {typ}")
    named = [kid for kid in keys if short_kid(kid) == header[_KID]]
    if len(named) != 1:
        raise _refused("token-kid", "签名密钥不在本地登记册中", "the signing key is not in the local registry")
    kid, key = named[0], keys[named[0]]
    if header[_ALG] != _ED25519 or key.algorithm != "Ed25519":
        raise _refused("token-alg", "签名算法应为 Ed25519", "the algorithm must be Ed25519 (-19)")
    if not key.verify(signature, sig_structure(protected, payload)):
        raise _refused(
            "token-signature",
            f"签名不符：收到的 {len(data)} 字节不是当初签名的内容。请重新扫码，或请出示方换新码",
            f"the signature does not match: these {len(data)} bytes are not what was signed; scan again, or have a new code shown",
        )
    return kid, claims


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.PROOF)


def _malformed(zh: str, en: str) -> VoucherError:
    return _refused("token-malformed", f"二维码凭证{zh}", f"the QR voucher {en}")


def _too_large(bytes_max: int) -> VoucherError:
    return _refused("token-too-large", f"二维码凭证超过 {bytes_max} 字节", f"the QR voucher is over {bytes_max} bytes")


def _decode_base45(text: str) -> bytes:
    # Two bytes take three characters: more text than this cannot be small enough, and is not decoded.
    if len(text) > len(PREFIX) + -(-BYTES_MAX // 2) * 3:
        raise _too_large(BYTES_MAX)
    try:
        # As bytes: of text the library would forgive trailing line ends, the one second spelling it knows.
        return bytes(base45.b45decode(text.removeprefix(PREFIX).encode()))
    except ValueError as error:
        raise _malformed("不是 base45", "is not base45") from error


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Protected header, payload and signature; an unprotected header must be empty, for nobody signed it."""
    match _decode_cbor(data.removeprefix(_TAG_SIGN1)) if data.startswith(_TAG_SIGN1) else None:
        case [bytes() as protected, dict() as unprotected, bytes() as payload, bytes() as signature] if not unprotected:
            return protected, payload, signature
    raise _malformed("不是全部受保护的 COSE_Sign1", "is not a COSE_Sign1 (tag 18) with everything protected")


class _NoTags(dict[int, Any]):
    """Answers for every tag with a refusal: none has a place in a voucher, and some would compile a regex or raise a power."""

    def __missing__(self, tag: int) -> Any:
        return _refuse_tag


def _refuse_tag(*_: object) -> None:
    raise ValueError("no tag is allowed here")


def _decode_cbor(data: bytes) -> Any:
    """One CBOR item in canonical form (RFC 8949 §4.2.3): definite lengths, shortest heads, sorted unique keys, no tag."""
    try:
        value = cbor2.loads(
            data, max_depth=4, allow_indefinite=False, allow_duplicate_keys=False, semantic_decoders=_NoTags()
        )
        canonical = _canonical(value) == data
    except cbor2.CBORError as error:
        raise _malformed("不是合规的 CBOR", "is not strict CBOR") from error
    if not canonical:
        raise _malformed("不是规范的 CBOR", "is not canonical CBOR")
    return value


def _canonical(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)
