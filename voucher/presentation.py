"""The holder's proof of possession: one use, one request, two minutes. Modelled on DPoP (RFC 9449) and KB-JWT (RFC 9901).

A centre asks for a nonce, the holder signs what is to be reserved with the key that the voucher is bound to, and the centre
sends both. A proof names the centre, the request (method and address), the voucher's signed bytes and the amount, so that
it can be used for nothing else; that it is used once, the caller sees to by recording `replay_key` with the hold.
"""

from __future__ import annotations

import functools
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from ledger import base64url, jws
from ledger.amount import ASSETS, Asset
from ledger.errors import Kind
from voucher.claims import (
    CENTRE,
    CENTRE_URN,
    JTI,
    LEEWAY_S,
    NONCE,
    decimal_claim,
    equal,
    fault,
    instant,
    members,
    text,
    thumbprint,
    units_claim,
)
from voucher.days import minute_of
from voucher.document import token_digest
from voucher.errors import VoucherError
from voucher.p256 import HolderKey, holder_key

TYPE = "compute-voucher-pop+jwt"
LIFE_S = 120
"""Longest life of a proof, and how long a nonce is good for."""

_METHOD = re.compile("[A-Z]{3,7}")
_ADDRESS = re.compile(r"https?://[!-~]{1,2000}")
_REFERENCE = re.compile(r"[!-~]{1,128}")
_NAMES = {"aud", "iat", "exp", "jti", "nonce", "ath", "htm", "htu", "unit", "amt", "ref"}
_STAMP_BYTES, _RANDOM_BYTES, _MAC_BYTES = 5, 8, 16


class Request(NamedTuple):
    """What a proof is for: the request as the centre sends it, the centre, and the nonce it was given."""

    method: str
    uri: str
    centre: str


@dataclass(frozen=True)
class Presentation:
    """A proof that held: how much its holder lets the centre reserve, and for which job or hold (`reference`)."""

    jti: str
    key: HolderKey
    centre: str
    asset: Asset
    units: int
    reference: str
    nonce: str
    expires_at_s: int

    @functools.cached_property
    def replay_key(self) -> str:
        """What must be new: record it in the transaction that acts on the proof, and keep it until `forget_at_s`."""
        return sha256(f"{self.key.kid}.{self.jti}".encode()).hexdigest()

    @property
    def forget_at_s(self) -> int:
        """When no check takes the proof any more."""
        return self.expires_at_s + LEEWAY_S + 1


class Nonces(NamedTuple):
    """Nonces that need no memory: time and random bytes under a key that only the service has, for one centre."""

    secret: bytes

    def make(self, centre: str, now_s: int, entropy: bytes) -> str:
        """A nonce of 8 random bytes for a centre."""
        body = now_s.to_bytes(_STAMP_BYTES, "big") + entropy[:_RANDOM_BYTES]
        return base64url.encode(body + self._mac(centre, body))

    def check(self, centre: str, nonce: str, now_s: int) -> None:
        """Refuse a nonce that is not ours, not this centre's, or old.

        Raises:
            VoucherError: `pop-nonce`.

        """
        try:
            data = base64url.decode(nonce)
        except ValueError:
            data = b""
        body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        made_s = int.from_bytes(body[:_STAMP_BYTES], "big")
        if (
            len(data) != _STAMP_BYTES + _RANDOM_BYTES + _MAC_BYTES
            or not hmac.compare_digest(mac, self._mac(centre, body))
            or not now_s - LIFE_S - LEEWAY_S <= made_s <= now_s + LEEWAY_S
        ):
            raise _refused(
                "pop-nonce",
                f"出示凭证的 nonce 不是本处发给该中心的，或已过 {LIFE_S} 秒。请重新取得 nonce，再由持券人出示",
                f"the nonce is not ours for this centre, or older than {LIFE_S} s; get a new one and present again",
            )

    def _mac(self, centre: str, body: bytes) -> bytes:
        return hmac.digest(self.secret, body + b"\0" + centre.encode(), "sha256")[:_MAC_BYTES]


def present(
    voucher_text: str,
    key: HolderKey,
    signer: jws.Signer,
    request: Request,
    *,
    jti: str,
    nonce: str,
    asset: Asset,
    units: int,
    reference: str,
    now_s: int,
) -> str:
    """Proof of possession for a voucher's token, as its holder makes it."""
    claims = {
        "aud": CENTRE_URN + request.centre,
        "iat": now_s,
        "exp": now_s + LIFE_S,
        "jti": jti,
        "nonce": nonce,
        "ath": token_digest(voucher_text),
        "htm": request.method,
        "htu": request.uri,
        "unit": asset.code,
        "amt": decimal_claim(units, asset),
        "ref": reference,
    }
    return jws.sign_embedded(claims, typ=TYPE, jwk=key.jwk(), alg=key.algorithm, signer=signer)


def check(
    proof: str, voucher_text: str, holder_jkt: str | None, request: Request, nonces: Nonces, *, now_s: int
) -> Presentation:
    """Presentation of a proof that its holder made now for this voucher, this request and this centre.

    `voucher_text` is the token as presented, `holder_jkt` the key that it (or the last delegation below it) is bound to.

    Raises:
        VoucherError: of kind PROOF and nothing else, whatever the proof.

    """
    if holder_jkt is None:
        raise _refused(
            "pop-unbound", "该券未绑定持券人密钥，不能出示", "the voucher is bound to no key and cannot be presented"
        )
    try:
        key, claims = jws.verify_embedded(proof, holder_key, TYPE)
    except jws.JwsError as error:
        raise _refused(error.code, error.zh, error.en) from error
    if key.kid != holder_jkt:
        raise _refused("pop-key", "不是该券所绑定的密钥", "not the key that the voucher is bound to")
    found = members(claims, _NAMES, "")
    _check_time(found, now_s)
    equal(text(found["aud"], CENTRE, "/aud"), CENTRE_URN + request.centre, "/aud")
    equal(text(found["htm"], _METHOD, "/htm"), request.method, "/htm")
    equal(text(found["htu"], _ADDRESS, "/htu"), request.uri, "/htu")
    equal(thumbprint(found["ath"], "/ath"), token_digest(voucher_text), "/ath")
    nonces.check(request.centre, text(found["nonce"], NONCE, "/nonce"), now_s)
    asset = ASSETS.get(found["unit"]) if isinstance(found["unit"], str) else None
    if asset is None:
        raise fault("/unit", f"应为 {' 或 '.join(ASSETS)}", f"must be {' or '.join(ASSETS)}")
    return Presentation(
        jti=text(found["jti"], JTI, "/jti"),
        key=key,
        centre=request.centre,
        asset=asset,
        units=units_claim(found["amt"], asset, "/amt"),
        reference=text(found["ref"], _REFERENCE, "/ref"),
        nonce=found["nonce"],
        expires_at_s=found["exp"],
    )


def _check_time(claims: Mapping[str, Any], now_s: int) -> None:
    issued_at_s, expires_at_s = instant(claims["iat"], "/iat"), instant(claims["exp"], "/exp")
    if not 0 < expires_at_s - issued_at_s <= LIFE_S:
        raise fault("/exp", f"应在 iat 之后 {LIFE_S} 秒以内", f"must be within {LIFE_S} s after iat")
    if issued_at_s > now_s + LEEWAY_S:
        raise _refused("pop-not-yet-valid", "出示凭证的时刻晚于本机时钟", "the proof was made in the future")
    if expires_at_s <= now_s - LEEWAY_S:
        raise _refused(
            "pop-expired",
            f"出示凭证已于 {minute_of(expires_at_s)}（上海时间）过期，只在 {LIFE_S} 秒内可用。请持券人重新出示",
            f"the proof expired at {minute_of(expires_at_s)} (Shanghai time), {LIFE_S} s after it was made; present again",
        )


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.PROOF)
