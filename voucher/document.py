"""The signed voucher: one claim set in two encodings, JWT for machines and files, CWT for a QR code.

    claim                  CWT   content
    iss                    1     issuer URI
    sub                    2     urn:uscc:<code> of the holder
    aud                    3     urn:programme:<scheme>
    exp nbf iat            4 5 6 UTC epoch seconds; valid from nbf until just before exp
    jti                    7     UUIDv7; in CWT its 16 bytes
    cnf                    8     optional: {jkt} thumbprint of the holder's key; in CWT {3: 32 bytes}
    authorization_details  -70001, one object (RFC 9396) of type compute_voucher:
      scheme                     in CWT told by aud
      locations            1     ["*"] or centre URNs; in CWT centre ids
      actions              2     some of train, tune, infer; in CWT 1, 2, 3
      unit precision qty   3 4 5 a voucher in compute: PFLOPS.h, FP16, decimal string
      face cur             6 7   a voucher in money: decimal string, CNY

A voucher is identified by (iss, jti) alone, never by a token's text. Whoever reads a token refuses what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ledger import base64url, jws
from ledger.amount import CNY, COMPUTE, Asset, format_units, parse_units
from ledger.ed25519 import PublicKey
from ledger.errors import Finding, Kind, LedgerError
from voucher import cwt
from voucher.errors import VoucherError
from voucher.holder import check_uscc
from voucher.scheme import ACTIONS, ID

JWT_TYPE = "compute-voucher+jwt"
CWT_TYPE = "application/compute-voucher+cwt"
LEEWAY_S = 60

_CLAIM_KEYS = {"iss": 1, "sub": 2, "aud": 3, "exp": 4, "nbf": 5, "iat": 6, "jti": 7, "cnf": 8} | {
    "authorization_details": -70001
}
_DETAIL_KEYS = {"locations": 1, "actions": 2, "unit": 3, "precision": 4, "qty": 5, "face": 6, "cur": 7}
_CNF_KID = 3
_CENTRE_URN = "urn:centre:"
_USCC_URN = "urn:uscc:"

_JTI = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,120}")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?")
_CENTRE = re.compile(_CENTRE_URN + ID)
_SCHEME = re.compile(ID)
_THUMBPRINT = re.compile("[A-Za-z0-9_-]{43}")
_HOLDER = re.compile(_USCC_URN + "[0-9A-Z]{18}")
_SECONDS_MAX = 253_402_300_799
"""The last second of the year 9999, beyond which calendars end."""


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


def decimal_claim(units: int, asset: Asset) -> str:
    """Amount as it stands in a claim: the shortest decimal, at most 6 decimals.

    Raises:
        VoucherError: `amount-precision`, finer than a claim can say.

    """
    text = format_units(units, asset).rstrip("0").rstrip(".")
    if not _DECIMAL.fullmatch(text):
        raise VoucherError(
            "amount-precision",
            f"金额 {text} 在凭证中至多 15 位整数、6 位小数",
            f"a voucher's amount has at most 15 digits and 6 decimals, not {text}",
        )
    return text


# --- claims -----------------------------------------------------------------------------------------------------------


def to_claims(voucher: Voucher) -> dict[str, Any]:
    """Claim set in its JWT form."""
    amount = decimal_claim(voucher.units, voucher.asset)
    if voucher.asset == CNY:
        value = {"face": amount, "cur": "CNY"}
    else:
        value = {"unit": voucher.asset.code, "precision": "FP16", "qty": amount}
    centres = ["*"] if voucher.centres is None else [_CENTRE_URN + centre for centre in voucher.centres]
    return {
        "iss": voucher.issuer,
        "sub": _USCC_URN + voucher.holder,
        "aud": programme_urn(voucher.scheme),
        "iat": voucher.issued_at_s,
        "nbf": voucher.not_before_s,
        "exp": voucher.expires_at_s,
        "jti": voucher.jti,
        **({} if voucher.holder_jkt is None else {"cnf": {"jkt": voucher.holder_jkt}}),
        "authorization_details": [
            {
                "type": "compute_voucher",
                "scheme": voucher.scheme,
                "locations": centres,
                "actions": list(voucher.actions),
                **value,
            }
        ],
    }


def from_claims(claims: object) -> Voucher:
    """Voucher of a claim set in its JWT form.

    Raises:
        VoucherError: `voucher-claims`: a member missing, unknown or not of its form.

    """
    members = _object(claims, _CLAIM_KEYS.keys() - {"cnf"}, "", optional="cnf")
    details = members["authorization_details"]
    if not isinstance(details, list) or len(details) != 1:
        raise _fault("/authorization_details", "应恰为一个对象", "must be one object")
    where = "/authorization_details/0"
    detail, asset, units = _value(details[0], where)
    scheme = _text(detail["scheme"], _SCHEME, f"{where}/scheme")
    _equal(members["aud"], programme_urn(scheme), "/aud")
    not_before_s, expires_at_s = _instant(members["nbf"], "/nbf"), _instant(members["exp"], "/exp")
    if not_before_s >= expires_at_s:
        raise _fault("/exp", "应晚于 nbf", "must be after nbf")
    return Voucher(
        issuer=_text(members["iss"], _URI, "/iss"),
        jti=_text(members["jti"], _JTI, "/jti"),
        scheme=scheme,
        holder=_holder(members["sub"]),
        asset=asset,
        units=units,
        issued_at_s=_instant(members["iat"], "/iat"),
        not_before_s=not_before_s,
        expires_at_s=expires_at_s,
        centres=_centres(detail["locations"], f"{where}/locations"),
        actions=_actions(detail["actions"], f"{where}/actions"),
        holder_jkt=_jkt(members["cnf"]) if "cnf" in members else None,
    )


def _fault(where: str, zh: str, en: str) -> VoucherError:
    return VoucherError(
        "voucher-claims",
        f"算力券的声明 {where or '/'} {zh}",
        f"the voucher's claim {where or '/'} {en}",
        kind=Kind.PROOF,
        findings=[Finding("voucher-claims", zh, en, where)],
    )


def _object(value: object, names: set[str], where: str, optional: str = "") -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not names <= value.keys() <= {*names, optional}:
        expected = ", ".join(sorted(names))
        raise _fault(where, f"应恰含 {expected}", f"must hold exactly {expected}")
    return value


def _text(value: object, pattern: re.Pattern[str], where: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _fault(where, "应为规定格式的文字", "must be text of its form")
    return value


def _equal(value: object, expected: str, where: str) -> None:
    if value != expected:
        raise _fault(where, f"应为 {expected}", f"must be {expected}")


def _instant(value: object, where: str) -> int:
    if type(value) is not int or not 0 <= value <= _SECONDS_MAX:
        raise _fault(where, "应为整数秒", "must be whole seconds")
    return value


def _holder(value: object) -> str:
    code = _text(value, _HOLDER, "/sub").removeprefix(_USCC_URN)
    try:
        return check_uscc(code)
    except VoucherError as error:
        raise _fault("/sub", f"无效：{error.zh}", f"is invalid: {error.en}") from error


def _value(detail: object, where: str) -> tuple[Mapping[str, Any], Asset, int]:
    """Check members and amount of a voucher in money (face, cur) or in compute (unit, precision, qty)."""
    in_money = isinstance(detail, Mapping) and "cur" in detail
    asset, name = (CNY, "face") if in_money else (COMPUTE, "qty")
    fixed = {"cur": CNY.code} if in_money else {"unit": COMPUTE.code, "precision": "FP16"}
    fixed["type"] = "compute_voucher"
    members = _object(detail, {"scheme", "locations", "actions", name, *fixed}, where)
    for member, expected in fixed.items():
        _equal(members[member], expected, f"{where}/{member}")
    text = _text(members[name], _DECIMAL, f"{where}/{name}")
    try:
        units = parse_units(text, asset)
    except LedgerError as error:
        raise _fault(f"{where}/{name}", error.zh, error.en) from error
    if units == 0:
        raise _fault(f"{where}/{name}", "应大于零", "must be more than zero")
    return members, asset, units


def _centres(value: object, where: str) -> tuple[str, ...] | None:
    if value == ["*"]:
        return None
    urns = [_text(item, _CENTRE, where) for item in value] if isinstance(value, list) else []
    if not urns or urns != sorted(set(urns)):
        raise _fault(where, '应为 ["*"] 或有序且不重复的中心 URN', 'must be ["*"] or sorted, unique centre URNs')
    return tuple(urn.removeprefix(_CENTRE_URN) for urn in urns)


def _actions(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or value != [action for action in ACTIONS if action in value]:
        raise _fault(where, f"应依次取自 {'、'.join(ACTIONS)}", f"must be some of {', '.join(ACTIONS)}, in this order")
    return tuple(value)


def _jkt(value: object) -> str:
    jkt = _text(_object(value, {"jkt"}, "/cnf")["jkt"], _THUMBPRINT, "/cnf/jkt")
    try:
        base64url.decode(jkt)
    except ValueError as error:
        raise _fault("/cnf/jkt", "应为规范的 base64url", "must be canonical base64url") from error
    return jkt


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
        "locations": [location.removeprefix(_CENTRE_URN) for location in detail["locations"]],
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
    return _CENTRE_URN + item if isinstance(item, str) and item != "*" else item


def _action(item: object) -> object:
    return ACTIONS[item - 1] if type(item) is int and 1 <= item <= len(ACTIONS) else None


# --- verifying --------------------------------------------------------------------------------------------------------


def verify_voucher(
    text: str,
    keys: Mapping[str, PublicKey],
    *,
    revoked: Mapping[str, int],
    issuer: str,
    audience: Collection[str],
    now_s: int,
    centre: str | None = None,
) -> Voucher:
    """Voucher of a token (JWT, or `SQ1:` text), verified offline against local keys.

    `revoked` tells from which second on tokens of a key are refused; older ones of it hold only if they are in the ledger,
    which the caller checks. `audience` are the programme URNs the verifier serves; `centre`, where given, must be admitted.

    Raises:
        VoucherError: of kind PROOF and nothing else, whatever the text. Balance and state are the ledger's to tell.

    """
    kid, voucher = read_voucher(text, keys)
    if kid in revoked and voucher.issued_at_s >= revoked[kid]:
        raise _refused(
            "voucher-key-revoked", "签发密钥在签发前已吊销", "the signing key was revoked before it was issued"
        )
    if voucher.issuer != issuer:
        raise _refused("voucher-issuer", f"发放方不是 {issuer}", f"the issuer is not {issuer}")
    if programme_urn(voucher.scheme) not in audience:
        raise _refused(
            "voucher-audience", f"方案 {voucher.scheme} 不在受理范围", f"the scheme {voucher.scheme} is not served here"
        )
    if centre is not None and voucher.centres is not None and centre not in voucher.centres:
        raise _refused("voucher-centre", f"不适用于中心 {centre}", f"it is not valid at the centre {centre}")
    if max(voucher.issued_at_s, voucher.not_before_s) > now_s + LEEWAY_S:
        raise _refused("voucher-not-yet-valid", "尚未生效", "it is not valid yet")
    if voucher.expires_at_s <= now_s - LEEWAY_S:
        raise _refused("voucher-expired", "已过期", "it has expired")
    return voucher


def read_voucher(text: str, keys: Mapping[str, PublicKey]) -> tuple[str, Voucher]:
    """Key id and voucher of a token whose form, signature and claims are right, whoever issued it and whenever.

    Raises:
        VoucherError: of kind PROOF and nothing else.

    """
    try:
        if text.startswith(cwt.PREFIX):
            kid, payload = cwt.verify(text, keys, CWT_TYPE)
            claims = _from_cwt(payload)
        else:
            kid, claims = jws.verify_with_kid(text, keys, JWT_TYPE)
    except jws.JwsError as error:
        raise _refused(error.code, error.zh, error.en) from error
    return kid, from_claims(claims)


def _refused(code: str, zh: str, en: str) -> VoucherError:
    return VoucherError(code, zh, en, kind=Kind.PROOF)
