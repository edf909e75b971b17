"""Public keys that people hand over or services publish: JWK and JWK set, with errors that name where they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from ledger.jws import Key, VerifyingKey, parse_object
from suanquan.errors import ServiceError
from voucher.sm2 import Sm2Key


def parse_jwk(data: bytes, origin: str) -> PublicKey:
    """The key of a public JWK.

    Raises:
        ServiceError: `jwk-invalid`.

    """
    try:
        return PublicKey.from_jwk(parse_object(data))
    except DomainError as fault:
        raise ServiceError(
            "jwk-invalid", f"{origin} 不是 JWK 公钥：{fault.zh}", f"{origin} is no public JWK: {fault.en}"
        ) from fault


def parse_jwks(data: bytes, origin: str, use: str = "sig") -> dict[str, PublicKey]:
    """Ed25519 keys of a JWK set by key id: those of this `use`, `sig` where a key names none; others are left alone.

    Raises:
        ServiceError: `jwk-invalid`.

    """
    return _parse_set(data, origin, PublicKey.from_jwk, use)


def parse_any_jwks(data: bytes, origin: str) -> dict[str, VerifyingKey]:
    """Keys of a JWK set by key id, Ed25519 or SM2, that verify tokens (`use` sig or none); others are left alone.

    Raises:
        ServiceError: `jwk-invalid`.

    """
    return _parse_set(
        data, origin, lambda jwk: Sm2Key.from_jwk(jwk) if jwk.get("kty") == "EC" else PublicKey.from_jwk(jwk), "sig"
    )


def _parse_set(data: bytes, origin: str, parse: Callable[[Mapping[str, object]], Key], use: str) -> dict[str, Key]:
    try:
        listed = parse_object(data).get("keys")
        if not isinstance(listed, list):
            raise ServiceError("jwk-invalid", "缺少 keys 数组", "the array keys is missing")
        jwks = [jwk if isinstance(jwk, dict) else {} for jwk in listed]
        found = [parse({**jwk, "use": "sig"}) for jwk in jwks if jwk.get("use", "sig") == use]
    except DomainError as fault:
        raise ServiceError(
            "jwk-invalid", f"{origin} 不是 JWK 公钥集：{fault.zh}", f"{origin} is no JWK set: {fault.en}"
        ) from fault
    return {key.kid: key for key in found}
