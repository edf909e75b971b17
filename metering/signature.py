"""The one HTTP signature of a usage report: RFC 9421 with Ed25519, one fixed shape, shared by agent and service.

Covered are method, target URI, content type, content digest (RFC 9530, sha-256) and idempotency key, so that nothing that
decides about a report can be changed on its way. Only the canonical spelling is read: whatever RFC 8941 would also allow
(other spacing, escapes, component parameters) is refused, which leaves one spelling per meaning.
The caller keeps the nonces it has seen until they expire and the key registry; both stand outside, as does the clock.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from metering.errors import MeteringError

LABEL = "sig1"
TAG = "compute-usage"
COMPONENTS = ("@method", "@target-uri", "content-type", "content-digest", "idempotency-key")
LIFETIME_S_MAX = 300
"""Longest time between `created` and `expires`; a nonce table need not remember longer than this after `expires`."""
SKEW_S_MAX = 60
"""How far the signer's clock may be ahead of the verifier's."""
NONCE_CHARACTERS_MIN, NONCE_CHARACTERS_MAX = 16, 64
INPUT_CHARACTERS_MAX = 1024
"""Bounds what one refused header can put into answers and logs."""

_FIELDS = ("content-type", "content-digest", "idempotency-key", "signature-input", "signature")
_PARAMETERS = ("created", "expires", "nonce", "keyid", "tag")
_MEMBER = re.compile(
    r'([a-z*][a-z0-9_.*-]*)=(\(((?:"[^"\\]*"(?: "[^"\\]*")*)?)\)'
    r'((?:;[a-z*][a-z0-9_.*-]*=(?:0|[1-9][0-9]{0,14}|"[ !#-\[\]-~]*"))*))'
)
_COMPONENT = re.compile(r'"([^"]*)"')
_PARAMETER = re.compile(r';([^=]+)=(?:([0-9]+)|"([^"]*)")')
_SIGNATURE = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([^:,]*):")
_DIGEST = re.compile(r"sha-256=:([^:,]*):")


class SignatureError(MeteringError):
    """A report whose signature does not hold; `code` tells which rule it broke."""

    kind = Kind.PROOF


@dataclass(frozen=True, slots=True)
class SignatureInput:
    """What a valid signature says about itself; `(keyid, nonce)` may be used once, times are UTC epoch seconds."""

    keyid: str
    nonce: str
    created_s: int
    expires_s: int


def signature_base(components: Iterable[tuple[str, str]], parameters: str) -> bytes:
    """Build the bytes that are signed (RFC 9421 §2.5): component names with their values, then the parameters as they are spelled."""
    lines = [f'"{name}": {value}' for name, value in components]
    lines.append(f'"@signature-params": {parameters}')
    for line in lines:
        if not (line.isascii() and line.isprintable()):
            raise SignatureError(
                "signature-component-malformed",
                f"签名覆盖的内容含不可见或非 ASCII 字符：{line[:80]!r}",
                f"a covered component holds control or non-ASCII characters: {line[:80]!r}",
            )
    return "\n".join(lines).encode("ascii")


def content_digest(body_sha256: bytes) -> str:
    """Write the Content-Digest field (RFC 9530) of a body with this SHA-256."""
    return f"sha-256=:{base64.b64encode(body_sha256).decode()}:"


def sign(
    key: Ed25519PrivateKey,
    keyid: str,
    *,
    method: str,
    target_uri: str,
    content_type: str,
    body_sha256: bytes,
    idempotency_key: str,
    created_s: int,
    nonce: str,
    lifetime_s: int = LIFETIME_S_MAX,
) -> dict[str, str]:
    """Sign a report and return the headers it needs, lower case; `nonce` is 16 to 64 fresh base64url characters."""
    headers = {
        "content-type": content_type,
        "content-digest": content_digest(body_sha256),
        "idempotency-key": idempotency_key,
    }
    covered = " ".join(f'"{name}"' for name in COMPONENTS)
    parameters = (
        f'({covered});created={created_s};expires={created_s + lifetime_s};nonce="{nonce}";keyid="{keyid}";tag="{TAG}"'
    )
    signature = key.sign(signature_base(_values(COMPONENTS, method, target_uri, headers), parameters))
    headers["signature-input"] = f"{LABEL}={parameters}"
    headers["signature"] = f"{LABEL}=:{base64.b64encode(signature).decode()}:"
    return headers


def verify(
    method: str,
    target_uri: str,
    headers: Iterable[tuple[str, str]],
    body_sha256: bytes,
    *,
    now_s: int,
    key_of: Callable[[str], PublicKey | None],
) -> SignatureInput:
    """Check a report's signature; whether its nonce was used before and what its key may report is the caller's to check.

    Args:
        method: as received, `POST`.
        target_uri: the absolute URI that the signer was told to use (public address, not what a proxy made of it).
        headers: field lines as received, repeated ones included; other fields are ignored.
        body_sha256: SHA-256 of the body as received.
        now_s: UTC epoch seconds.
        key_of: public key of a key id, None when it is unknown or may not sign now.

    Raises:
        SignatureError: with a code per rule; its text says what was found and what to send instead.

    """
    fields = _single_fields(headers)
    components, parameters, values = _parse_input(fields["signature-input"])
    _check_components(components)
    signed = _check_parameters(values, now_s)
    signature = _parse_signature(fields["signature"])
    key = key_of(signed.keyid)
    if key is None:
        raise SignatureError(
            "signature-key-unknown",
            f"密钥“{signed.keyid}”未登记或已停用",
            f"key {signed.keyid!r} is not registered or no longer in use",
        )
    _check_digest(fields["content-digest"], body_sha256)
    if not key.verify(signature, signature_base(_values(components, method, target_uri, fields), parameters)):
        raise SignatureError(
            "signature-wrong",
            f"签名与请求不符：密钥“{signed.keyid}”，目标地址 {target_uri}",
            f"the signature does not match the request: key {signed.keyid!r}, target URI {target_uri}",
        )
    return signed


def _values(
    components: Iterable[str], method: str, target_uri: str, fields: Mapping[str, str]
) -> list[tuple[str, str]]:
    values = {**fields, "@method": method, "@target-uri": target_uri}
    return [(name, values[name]) for name in components]


def _single_fields(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in headers:
        field = name.lower()
        if field in fields:
            raise SignatureError(
                "signature-header-repeated", f"请求头 {field} 只能出现一次", f"header {field} must be sent once"
            )
        if field in _FIELDS:
            fields[field] = value.strip(" \t")
    for field in _FIELDS:
        if not fields.get(field):
            raise SignatureError("signature-header-missing", f"缺少请求头 {field}", f"header {field} is missing")
    return fields


def _parse_input(text: str) -> tuple[list[str], str, dict[str, int | str]]:
    """Component names, the parameters exactly as spelled, and their values."""
    match = _MEMBER.match(text) if len(text) <= INPUT_CHARACTERS_MAX else None
    if match is not None and _more_follow(text, match):
        raise _several()
    if match is None or match.end() != len(text):
        raise SignatureError(
            "signature-input-malformed",
            f"signature-input 应写作 sig1=(组件…);参数…，不含多余空格：{text[:80]!r}",
            f"signature-input must read sig1=(components);parameters, without further spaces: {text[:80]!r}",
        )
    label, parameters, components, tail = match.groups()
    _check_label(label)
    values: dict[str, int | str] = {}
    for name, number, string in _PARAMETER.findall(tail):
        if name in values:
            raise SignatureError(
                "signature-parameter-repeated", f"签名参数 {name} 重复", f"signature parameter {name} is repeated"
            )
        values[name] = int(number) if number else string
    return _COMPONENT.findall(components), parameters, values


def _more_follow(text: str, match: re.Match[str]) -> bool:
    return text[match.end() :].lstrip(" \t").startswith(",")


def _several() -> SignatureError:
    return SignatureError("signature-several", "只接受一个签名（sig1）", "exactly one signature, sig1, is accepted")


def _check_label(label: str) -> None:
    if label != LABEL:
        raise SignatureError(
            "signature-label",
            f"签名标签应为 {LABEL}，而非 {label}",
            f"the signature's label must be {LABEL}, not {label}",
        )


def _check_components(components: list[str]) -> None:
    for code, zh, en, names in (
        ("unknown", "签名覆盖了未约定的组件", "unknown covered component", sorted(set(components) - set(COMPONENTS))),
        ("missing", "签名未覆盖组件", "component not covered", [n for n in COMPONENTS if n not in components]),
        ("repeated", "签名组件重复", "repeated component", [n for n in COMPONENTS if components.count(n) > 1]),
    ):
        if names:
            raise SignatureError(f"signature-component-{code}", f"{zh}：{names[0]}", f"{en}: {names[0]}")


def _check_parameters(values: dict[str, int | str], now_s: int) -> SignatureInput:
    for name in _PARAMETERS:
        if name not in values:
            raise SignatureError(
                "signature-parameter-missing", f"缺少签名参数 {name}", f"signature parameter {name} is missing"
            )
    for name, value in values.items():
        if name not in _PARAMETERS and name != "alg":
            raise SignatureError(
                "signature-parameter-unknown", f"未约定的签名参数 {name}", f"unknown signature parameter {name}"
            )
        if isinstance(value, int) != (name in {"created", "expires"}):
            raise SignatureError(
                "signature-parameter-malformed",
                "created、expires 应为整数，其余参数应为带引号的字符串",
                "created and expires must be integers, the other parameters quoted strings",
            )
    nonce, keyid, created, expires = str(values["nonce"]), str(values["keyid"]), values["created"], values["expires"]
    _check_words(values, nonce)
    _check_times(int(created), int(expires), now_s)
    return SignatureInput(keyid, nonce, int(created), int(expires))


def _check_words(values: dict[str, int | str], nonce: str) -> None:
    if values["tag"] != TAG:
        raise SignatureError("signature-tag", f'签名参数 tag 应为 "{TAG}"', f'signature parameter tag must be "{TAG}"')
    # The key decides the algorithm; saying the same once more is harmless, saying anything else is an attack.
    if values.get("alg", "ed25519") != "ed25519":
        raise SignatureError("signature-algorithm", "签名算法只能是 ed25519", "the algorithm must be ed25519")
    if not NONCE_CHARACTERS_MIN <= len(nonce) <= NONCE_CHARACTERS_MAX:
        wanted = f"{NONCE_CHARACTERS_MIN}..{NONCE_CHARACTERS_MAX}"
        raise SignatureError(
            "signature-nonce", f"nonce 应有 {wanted} 个字符", f"the nonce must have {wanted} characters"
        )


def _check_times(created: int, expires: int, now_s: int) -> None:
    if not 0 < expires - created <= LIFETIME_S_MAX:
        raise SignatureError(
            "signature-lifetime",
            f"签名有效期应为 1 至 {LIFETIME_S_MAX} 秒，现为 {expires - created} 秒",
            f"a signature must live 1 to {LIFETIME_S_MAX} s, this one says {expires - created} s",
        )
    if created - now_s > SKEW_S_MAX:
        raise SignatureError(
            "signature-created-in-future",
            f"签名时间比本机时钟快 {created - now_s} 秒（最多 {SKEW_S_MAX} 秒），请校准上报端时钟",
            f"created is {created - now_s} s ahead of our clock (at most {SKEW_S_MAX} s): correct the agent's clock",
        )
    if now_s > expires:
        raise SignatureError(
            "signature-expired",
            f"签名已过期 {now_s - expires} 秒（签于 {now_s - created} 秒前），请重新签名并核对上报端时钟",
            f"the signature expired {now_s - expires} s ago (created {now_s - created} s ago): sign anew, check the clock",
        )


def _parse_signature(text: str) -> bytes:
    match = _SIGNATURE.match(text)
    if match is not None and _more_follow(text, match):
        raise _several()
    if match is None or match.end() != len(text):
        raise SignatureError(
            "signature-malformed", "signature 应写作 sig1=:base64:", "signature must read sig1=:base64:"
        )
    _check_label(match.group(1))
    signature = _base64(match.group(2))
    if signature is None or len(signature) != 64:
        raise SignatureError(
            "signature-malformed",
            "签名应为 64 字节的规范 base64",
            "the signature must be 64 bytes in canonical base64",
        )
    return signature


def _check_digest(text: str, body_sha256: bytes) -> None:
    match = _DIGEST.fullmatch(text)
    claimed = _base64(match.group(1)) if match else None
    if claimed is None or len(claimed) != 32:
        raise SignatureError(
            "content-digest-malformed",
            "content-digest 应写作 sha-256=:base64:（32 字节）",
            "content-digest must read sha-256=:base64: (32 bytes)",
        )
    if claimed != body_sha256:
        raise SignatureError(
            "content-digest-mismatch", "正文与 content-digest 不符", "the body does not match content-digest"
        )


def _base64(text: str) -> bytes | None:
    """Decode, None unless this is the one canonical spelling (Python ignores stray trailing bits)."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None
