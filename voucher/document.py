"""The signed voucher: one claim set in two encodings, JWT for machines and files, CWT for a QR code.

    claim                  CWT   content
    iss                    1     issuer URI
    sub                    2     urn:uscc:<code> of the holder
    aud                    3     urn:programme:<scheme>
    exp nbf iat            4 5 6 UTC epoch seconds; valid from nbf until just before exp
    jti                    7     UUIDv7; in CWT its 16 bytes
    cnf                    8     optional: {jkt} thumbprint of the holder's key; in CWT {3: 32 bytes}
    status                 65535 optional: {status_list: {idx, uri}}, its place in a Token Status List
    authorization_details  -70001, one object (RFC 9396) of type compute_voucher:
      scheme                     in CWT told by aud
      locations            1     ["*"] or centre URNs; in CWT centre ids
      actions              2     some of train, tune, infer; in CWT 1, 2, 3
      unit precision qty   3 4 5 a voucher in compute: PFLOPS.h, FP16, decimal string
      face cur             6 7   a voucher in money: decimal string, CNY

A voucher is identified by (iss, jti) alone, never by a token's text. Whoever reads a token refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger import base64url, jws
from ledger.amount import Asset
from ledger.errors import Kind
from ledger.jws import VerifyingKey
from voucher import cwt, dual
from voucher.claims import (
    CENTRE_URN,
    JTI,
    LEEWAY_S,
    URI,
    USCC_URN,
    Grant,
    confirmation,
    equal,
    fault,
    grant,
    holder,
    instant,
    members,
    text,
)
from voucher.days import minute_of
from voucher.errors import VoucherError
from voucher.scheme import ACTIONS
from voucher.status_list import StatusPlace

JWT_TYPE = "compute-voucher+jwt"
CWT_TYPE = "application/compute-voucher+cwt"

_CLAIM_KEYS = {"iss": 1, "sub": 2, "aud": 3, "exp": 4, "nbf": 5, "iat": 6, "jti": 7, "cnf": 8} | {
    "authorization_details": -70001,
    "status": 65535,
}
_OPTIONAL = {"cnf", "status"}
_DETAIL_KEYS = {"locations": 1, "actions": 2, "unit": 3, "precision": 4, "qty": 5, "face": 6, "cur": 7}
_CNF_KID = 3


@dataclass(frozen=True, slots=True)
class Voucher:
    """What a voucher says. Instants are UTC epoch seconds; `units` counts `asset`.

    `centres` is None where every centre of the programme takes it. Without `holder_jkt` (thumbprint of the holder's key)
    it is spent by metering alone.
    """

    issuer: str
    jti: str
    scheme: str
    holder: str
    asset: Asset
    units: int
    issued_at_s: int
    not_before_s: int
    expires_at_s: int
    centres: tuple[str, ...] | None
    actions: tuple[str, ...]
    holder_jkt: str | None
    status: StatusPlace | None = None

    @property
    def grant(self) -> Grant:
        """What it lets its holder spend, and where."""
        return Grant(self.scheme, self.asset, self.units, self.centres, self.actions)


def make_jti(at_us: int, entropy: bytes) -> str:
    """UUIDv7 (RFC 9562 §5.7) of a UTC instant and 10 random bytes."""
    number = (at_us // 1000) << 80 | int.from_bytes(entropy[:10], "big")
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(0b11 << 62) | 0b10 << 62
    return _uuid_text(f"{number:032x}")


def _uuid_text(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def programme_urn(scheme: str) -> str:
    """Audience of a scheme's vouchers."""
    return f"urn:programme:{scheme}"


# --- claims -----------------------------------------------------------------------------------------------------------


def to_claims(voucher: Voucher) -> dict[str, Any]:
    """Claim set in its JWT form."""
    return {
        "iss": voucher.issuer,
        "sub": USCC_URN + voucher.holder,
        "aud": programme_urn(voucher.scheme),
        "iat": voucher.issued_at_s,
        "nbf": voucher.not_before_s,
        "exp": voucher.expires_at_s,
        "jti": voucher.jti,
        **({} if voucher.holder_jkt is None else {"cnf": {"jkt": voucher.holder_jkt}}),
        **({} if voucher.status is None else {"status": voucher.status.to_claim()}),
        "authorization_details": voucher.grant.to_claim(),
    }


def from_claims(claims: object) -> Voucher:
    """Voucher of a claim set in its JWT form.

    Raises:
        VoucherError: `voucher-claims`: a member missing, unknown or not of its form.

    """
    found = members(claims, _CLAIM_KEYS.keys() - _OPTIONAL, "", _OPTIONAL)
    granted = grant(found["authorization_details"])
    equal(found["aud"], programme_urn(granted.scheme), "/aud")
    not_before_s, expires_at_s = instant(found["nbf"], "/nbf"), instant(found["exp"], "/exp")
    if not_before_s >= expires_at_s:
        raise fault("/exp", "应晚于 nbf", "must be after nbf")
    return Voucher(
        issuer=text(found["iss"], URI, "/iss"),
        jti=text(found["jti"], JTI, "/jti"),
        scheme=granted.scheme,
        holder=holder(found["sub"]),
        asset=granted.asset,
        units=granted.units,
        issued_at_s=instant(found["iat"], "/iat"),
        not_before_s=not_before_s,
        expires_at_s=expires_at_s,
        centres=granted.centres,
        actions=granted.actions,
        holder_jkt=confirmation(found["cnf"]) if "cnf" in found else None,
        status=StatusPlace.from_claim(found["status"]) if "status" in found else None,
    )


# --- encodings --------------------------------------------------------------------------------------------------------


def jwt_input(voucher: Voucher, kid: str) -> bytes:
    """Bytes whose signature makes the JWT."""
    return jws.signing_input(to_claims(voucher), typ=JWT_TYPE, kid=kid)


def cwt_input(voucher: Voucher, kid: str) -> bytes:
    """Bytes whose signature makes the CWT."""
    return cwt.signing_input(_to_cwt(to_claims(voucher)), typ=CWT_TYPE, kid=kid)


def _to_cwt(claims: Mapping[str, Any]) -> dict[int, Any]:
    (detail,) = claims["authorization_details"]
    compact = {
        **detail,
        "locations": [location.removeprefix(CENTRE_URN) for location in detail["locations"]],
        "actions": [ACTIONS.index(action) + 1 for action in detail["actions"]],
    }
    numbered = {number: compact[name] for name, number in _DETAIL_KEYS.items() if name in compact}
    special: dict[str, Any] = {"jti": bytes.fromhex(claims["jti"].replace("-", "")), "authorization_details": numbered}
    if "cnf" in claims:
        special["cnf"] = {_CNF_KID: base64url.decode(claims["cnf"]["jkt"])}
    return {_CLAIM_KEYS[name]: value for name, value in {**claims, **special}.items()}


def _from_cwt(payload: object) -> dict[str, Any]:
    """JWT form of a CWT's claims; what does not fit becomes something that `from_claims` refuses."""
    claims = _named(payload, _CLAIM_KEYS)
    jti, cnf, aud = claims.get("jti"), claims.get("cnf"), claims.get("aud")
    claims["jti"] = _uuid_text(jti.hex()) if isinstance(jti, bytes) else None
    if "cnf" in claims:
        thumbprint = cnf.get(_CNF_KID) if isinstance(cnf, dict) and len(cnf) == 1 else None
        claims["cnf"] = {"jkt": base64url.encode(thumbprint)} if isinstance(thumbprint, bytes) else None
    detail = _named(claims.get("authorization_details"), _DETAIL_KEYS)
    for name, widen in (("locations", _location), ("actions", _action)):
        if isinstance(detail.get(name), list):
            detail[name] = [widen(item) for item in detail[name]]
    detail |= {"type": "compute_voucher", "scheme": str(aud).removeprefix(programme_urn(""))}
    return {**claims, "authorization_details": [detail]}


def _named(value: object, keys: Mapping[str, int]) -> dict[str, Any]:
    """Members of a map by name; an unknown key, and a value that is no map, gets a name that nothing has."""
    if not isinstance(value, dict):
        return {"": value}
    names = {number: name for name, number in keys.items()}
    return {names.get(key, repr(key)) if type(key) is int else repr(key): item for key, item in value.items()}


def _location(item: object) -> object:
    return CENTRE_URN + item if isinstance(item, str) and item != "*" else item


def _action(item: object) -> object:
    return ACTIONS[item - 1] if type(item) is int and 1 <= item <= len(ACTIONS) else None


# --- verifying --------------------------------------------------------------------------------------------------------


def verify_voucher(
    text: str,
    keys: Mapping[str, VerifyingKey],
    *,
    revoked: Mapping[str, int],
    issuer: str,
    audience: Collection[str] | None,
    now_s: int,
    centre: str | None = None,
) -> Voucher:
    """Voucher of a token, verified by the service against the issuer's keys.

    `revoked` tells from which second on tokens of a key are refused; older ones of it hold only if they are in the ledger,
    which the caller checks. Whoever has no ledger uses `voucher.verify`.

    Raises:
        VoucherError: of kind PROOF and nothing else, whatever the text. Balance and state are the ledger's to tell.

    """
    kids, voucher = read_signed(text, keys)
    check_revoked(voucher, kids, revoked)
    check_context(voucher, issuer=issuer, audience=audience, now_s=now_s, centre=centre)
    return voucher


def check_revoked(voucher: Voucher, kids: Collection[str], revoked: Mapping[str, int]) -> None:
    """Refuse a voucher that a key signed (`kids`) at or after the second from which that key is revoked.

    Raises:
        VoucherError: `voucher-key-revoked`.

    """
    if any(kid in revoked and voucher.issued_at_s >= revoked[kid] for kid in kids):
        raise _refused(
            "voucher-key-revoked", "签发密钥在签发前已吊销", "the signing key was revoked before it was issued"
        )


def check_context(
    voucher: Voucher, *, issuer: str, audience: Collection[str] | None, now_s: int, centre: str | None
) -> None:
    """Refuse a voucher that is not for this issuer, these programmes (None: any), this centre (None: any) and this time.

    Raises:
        VoucherError: of kind PROOF.

    """
    if voucher.issuer != issuer:
        raise _refused("voucher-issuer", f"发放方不是 {issuer}", f"the issuer is not {issuer}")
    if audience is not None and programme_urn(voucher.scheme) not in audience:
        raise _refused(
            "voucher-audience", f"方案 {voucher.scheme} 不在受理范围", f"the scheme {voucher.scheme} is not served here"
        )
    if centre is not None and voucher.centres is not None and centre not in voucher.centres:
        raise not_at(centre, voucher.centres)
    if max(voucher.issued_at_s, voucher.not_before_s) > now_s + LEEWAY_S:
        begins = minute_of(max(voucher.issued_at_s, voucher.not_before_s))
        raise _refused(
            "voucher-not-yet-valid",
            f"该券 {begins}（上海时间）起生效。请在此之后使用",
            f"the voucher is valid from {begins} (Shanghai time); use it after that",
        )
    if voucher.expires_at_s <= now_s - LEEWAY_S:
        raise expired(voucher.expires_at_s)


def expired(at_s: int) -> VoucherError:
    """Refusal of a voucher that ended then."""
    ended = minute_of(at_s)
    return _refused(
        "voucher-expired",
        f"该券已于 {ended}（上海时间）到期。请改用其他券，或在方案开放时重新申领",
        f"the voucher expired at {ended} (Shanghai time); use another one, or apply again when its scheme is open",
    )


def not_at(centre: str, centres: Collection[str]) -> VoucherError:
    """Refusal of a voucher at a centre that is none of its own."""
    names = ", ".join(centres)
    return _refused(
        "voucher-centre",
        f"该券适用于 {len(centres)} 个中心（{names}），不含 {centre}。请到所列中心使用，或改用其他券",
        f"the voucher is valid at {len(centres)} centres ({names}) and not at {centre}; use it there, or use another one",
    )


def token_digest(text: str) -> str:
    """SHA-256 in base64url of `signed_bytes`: what `ath` of derived tokens names."""
    return base64url.encode(sha256(signed_bytes(text)).digest())


def signed_bytes(text: str) -> bytes:
    """Exact bytes that a token's (first) signature covers: one for all spellings that could be made of them.

    Raises:
        VoucherError: of kind PROOF: no such token.

    """
    if text.startswith(cwt.PREFIX):
        return cwt.signed_bytes(text)
    return _signatures(text)[0].rpartition(".")[0].encode("ascii", "replace")


def read_voucher(text: str, keys: Mapping[str, VerifyingKey]) -> tuple[str, Voucher]:
    """Key id and voucher of a token whose form, signature and claims are right, whoever issued it and whenever.

    Of two signatures the first counts, and the second if its key is among `keys`.

    Raises:
        VoucherError: of kind PROOF and nothing else.

    """
    kids, voucher = read_signed(text, keys)
    return kids[0], voucher


def read_signed(text: str, keys: Mapping[str, VerifyingKey]) -> tuple[tuple[str, ...], Voucher]:
    """Ids of the keys that signed a token, and its voucher: JWT, JWT with two signatures, or `SQ1:` text.

    A second signature whose key is not among `keys` does not count; one that is wrong spoils the token.

    Raises:
        VoucherError: of kind PROOF and nothing else.

    """
    if text.startswith(cwt.PREFIX):
        kid, payload = cwt.verify(text, keys, CWT_TYPE)
        return (kid,), from_claims(_from_cwt(payload))
    first, *others = _signatures(text)
    try:
        kid, claims = jws.verify_with_kid(first, keys, JWT_TYPE)
    except jws.JwsError as error:
        raise _refused(error.code, error.zh, error.en) from error
    return (kid, *_others(others, keys)), from_claims(claims)


def _signatures(text: str) -> tuple[str, ...]:
    try:
        return dual.split(text) if text.startswith("{") else (text,)
    except jws.JwsError as error:
        raise _refused(error.code, error.zh, error.en) from error


def _others(tokens: list[str], keys: Mapping[str, VerifyingKey]) -> tuple[str, ...]:
    found = []
    for token in tokens:
        try:
            found.append(jws.verify_with_kid(token, keys, JWT_TYPE)[0])
        except jws.JwsError as error:
            if error.code != "token-kid":
                raise _refused(error.code, error.zh, error.en) from error
    return tuple(found)


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.PROOF)
