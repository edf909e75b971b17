"""The Token Status List (IETF draft-ietf-oauth-status-list-20): two bits a voucher say whether it may still be spent.

One list holds the vouchers of a quarter at random places, so that a place tells nothing. It is signed like a voucher, with
types of its own, as JWT and as CWT. A reader that has no list that holds now, or finds no place in it, refuses: it never
fails open. Decompression stops at the size that we publish, and nothing in a token is ever fetched by this module.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ledger import base64url, jws
from ledger.errors import Kind
from ledger.jws import VerifyingKey
from voucher import cwt
from voucher.claims import LEEWAY_S, URI, fault, instant, members, number, text
from voucher.errors import VoucherError

JWT_TYPE = "statuslist+jwt"
CWT_TYPE = "application/statuslist+cwt"
BITS = 2
ENTRIES = 2**20
"""Places of one list of ours: a quarter's vouchers among many times as many."""
TTL_S = 300
LIFE_S = 86_400
LIST_BYTES_MAX = 2**20
"""Most bytes that a list is decompressed to: four lists of ours."""
TOKEN_BYTES_MAX = 2**21
INDEX_MAX = LIST_BYTES_MAX * 8 - 1

_BITS_ALLOWED = (1, 2, 4, 8)
_SUB, _EXP, _IAT, _TTL, _STATUS_LIST = 2, 4, 6, 65534, 65533


class Status(enum.IntEnum):
    """What a place says of its voucher (§7.1); 3 is ours: nothing is left on it."""

    VALID = 0
    REVOKED = 1
    SUSPENDED = 2
    EXHAUSTED = 3


@dataclass(frozen=True, slots=True)
class StatusPlace:
    """The claim `status` of a voucher: a place in the list of an address (§6.1)."""

    index: int
    uri: str

    def to_claim(self) -> dict[str, Any]:
        """The claim; its form is the same in JWT and CWT (§6.2, §6.3)."""
        return {"status_list": {"idx": self.index, "uri": self.uri}}

    @classmethod
    def from_claim(cls, value: object) -> StatusPlace:
        """The place that a claim names, strictly read."""
        place = members(
            members(value, {"status_list"}, "/status")["status_list"], {"idx", "uri"}, "/status/status_list"
        )
        return cls(
            number(place["idx"], INDEX_MAX, "/status/status_list/idx"),
            text(place["uri"], URI, "/status/status_list/uri"),
        )


@dataclass(frozen=True, slots=True)
class StatusList:
    """A list as published: `data` is uncompressed, the first entry in the lowest bits of the first byte (§4.1)."""

    uri: str
    issued_at_s: int
    expires_at_s: int
    bits: int
    data: bytes
    ttl_s: int = TTL_S

    def __getitem__(self, index: int) -> int:
        """Status of a place.

        Raises:
            VoucherError: `status-index`: there is no such place.

        """
        per_byte = 8 // self.bits
        if not 0 <= index < len(self.data) * per_byte:
            raise _refused("status-index", "状态列表中没有这个位置", "the status list has no such place")
        return self.data[index // per_byte] >> index % per_byte * self.bits & (1 << self.bits) - 1

    def at(self, now_s: int) -> StatusList:
        """This list, if it holds at an instant.

        Raises:
            VoucherError: `status-list-expired`, or `status-list-future`: it was signed after this clock's now, so the clock
                is slow or was put back.

        """
        if self.issued_at_s > now_s + LEEWAY_S:
            raise _refused(
                "status-list-future", "状态列表的签发时刻晚于本机时钟", "the status list is newer than this clock"
            )
        if self.expires_at_s <= now_s - LEEWAY_S:
            raise _refused(
                "status-list-expired", "状态列表已过期，请更新", "the status list has expired; get a new one"
            )
        return self


def pack(statuses: Iterable[tuple[int, int]], entries: int = ENTRIES, bits: int = BITS) -> bytes:
    """Uncompressed list of the places that are not 0."""
    data = bytearray(-(-entries * bits // 8))
    per_byte = 8 // bits
    for index, status in statuses:
        assert 0 <= index < entries, index
        assert 0 <= status < 1 << bits, status
        data[index // per_byte] |= status << index % per_byte * bits
    return bytes(data)


def compress(data: bytes) -> bytes:
    """DEFLATE in the ZLIB format at the highest level (§4.1)."""
    return zlib.compress(data, 9)


def decompress(data: bytes) -> bytes:
    """What was compressed, at most `LIST_BYTES_MAX` bytes of it.

    Raises:
        VoucherError: `status-list-malformed`: not one ZLIB stream, or larger.

    """
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, LIST_BYTES_MAX + 1)
    except zlib.error as error:
        raise _malformed("不是 ZLIB 数据", "is not ZLIB data") from error
    if len(found) > LIST_BYTES_MAX:
        raise _malformed(f"解压后超过 {LIST_BYTES_MAX} 字节", f"is larger than {LIST_BYTES_MAX} bytes")
    if not inflater.eof or inflater.unused_data:
        raise _malformed("不是恰好一段 ZLIB 数据", "is not exactly one ZLIB stream")
    return found


# --- tokens -----------------------------------------------------------------------------------------------------------


def jwt_input(listed: StatusList, kid: str) -> bytes:
    """Bytes whose signature makes the Status List Token in JWT form (§5.1)."""
    claims = {
        "sub": listed.uri,
        "iat": listed.issued_at_s,
        "exp": listed.expires_at_s,
        "ttl": listed.ttl_s,
        "status_list": {"bits": listed.bits, "lst": base64url.encode(compress(listed.data))},
    }
    return jws.signing_input(claims, typ=JWT_TYPE, kid=kid)


def cwt_input(listed: StatusList, kid: str) -> bytes:
    """Bytes whose signature makes the Status List Token in CWT form (§5.2)."""
    claims = {
        _SUB: listed.uri,
        _EXP: listed.expires_at_s,
        _IAT: listed.issued_at_s,
        _TTL: listed.ttl_s,
        _STATUS_LIST: {"bits": listed.bits, "lst": compress(listed.data)},
    }
    return cwt.signing_input(claims, typ=CWT_TYPE, kid=kid)


def read_jwt(token: str, keys: Mapping[str, VerifyingKey]) -> tuple[str, StatusList]:
    """Key id and list of a Status List Token in JWT form.

    Raises:
        VoucherError: of kind PROOF and nothing else.

    """
    try:
        kid, claims = jws.verify_with_kid(token, keys, JWT_TYPE, bytes_max=TOKEN_BYTES_MAX)
        listed = members(claims, {"sub", "iat", "exp", "status_list"}, "", optional={"iss", "ttl"})
        body = members(listed["status_list"], {"bits", "lst"}, "/status_list", optional={"aggregation_uri"})
        lst = base64url.decode(body["lst"]) if isinstance(body["lst"], str) else None
    except jws.JwsError as error:
        raise _refused(error.code, error.zh, error.en) from error
    except ValueError as error:
        raise fault("/status_list/lst", "应为规范的 base64url", "must be canonical base64url") from error
    return kid, _list(listed["sub"], listed["iat"], listed["exp"], listed.get("ttl", TTL_S), body["bits"], lst)


def read_cwt(token: bytes, keys: Mapping[str, VerifyingKey]) -> tuple[str, StatusList]:
    """Key id and list of a Status List Token in CWT form.

    Raises:
        VoucherError: of kind PROOF and nothing else.

    """
    kid, claims = cwt.verify_bytes(token, keys, CWT_TYPE, bytes_max=TOKEN_BYTES_MAX)
    if not isinstance(claims, dict) or not {_SUB, _IAT, _EXP, _STATUS_LIST} <= claims.keys() <= {
        1, _SUB, _EXP, _IAT, _TTL, _STATUS_LIST,
    }:  # fmt: skip
        raise fault("", "应恰含状态列表的声明", "must be the claims of a status list")
    body = members(claims[_STATUS_LIST], {"bits", "lst"}, "/status_list", optional={"aggregation_uri"})
    return kid, _list(
        claims[_SUB], claims[_IAT], claims[_EXP], claims.get(_TTL, TTL_S), body["bits"], body["lst"]
    )  # fmt: skip


def read(token: bytes, keys: Mapping[str, VerifyingKey]) -> tuple[str, StatusList]:
    """Key id and list of a Status List Token in either form, as a file or an answer holds it."""
    if token[:1] == b"\xd2":
        return read_cwt(token, keys)
    try:
        return read_jwt(token.decode("ascii").removesuffix("\n"), keys)
    except UnicodeDecodeError as error:
        raise _malformed("既不是 JWT 也不是 CWT", "is neither a JWT nor a CWT") from error


def verify(
    token: bytes,
    keys: Mapping[str, VerifyingKey],
    *,
    revoked: Mapping[str, int],
    now_s: int,
    uri: str | None = None,
    newest: StatusList | None = None,
) -> StatusList:
    """List of a token that holds now: signed in time by a key of ours, for this address, and not older than one seen before.

    Raises:
        VoucherError: of kind PROOF and nothing else; `status-list-rolled-back` where `newest` was signed later.

    """
    kid, listed = read(token, keys)
    if kid in revoked:
        raise _refused("voucher-key-revoked", "状态列表的签名密钥已吊销", "the status list's signing key is revoked")
    if uri is not None and listed.uri != uri:
        raise _refused("status-list-uri", f"状态列表不是 {uri} 的", f"the status list is not that of {uri}")
    if newest is not None and (newest.uri != listed.uri or newest.issued_at_s > listed.issued_at_s):
        raise _refused(
            "status-list-rolled-back", "状态列表比已见过的旧", "the status list is older than one seen before"
        )
    return listed.at(now_s)


def _list(uri: object, iat: object, exp: object, ttl: object, bits: object, lst: object) -> StatusList:
    if bits not in _BITS_ALLOWED or type(bits) is not int:
        raise fault("/status_list/bits", "应为 1、2、4 或 8", "must be 1, 2, 4 or 8")
    if not isinstance(lst, bytes):
        raise fault("/status_list/lst", "应为压缩的列表", "must be a compressed list")
    return StatusList(
        uri=text(uri, URI, "/sub"),
        issued_at_s=instant(iat, "/iat"),
        expires_at_s=instant(exp, "/exp"),
        bits=bits,
        data=decompress(lst),
        ttl_s=number(ttl, LIFE_S * 366, "/ttl"),
    )


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.PROOF)


def _malformed(zh: str, en: str) -> VoucherError:
    return _refused("status-list-malformed", f"状态列表{zh}", f"the status list {en}")
