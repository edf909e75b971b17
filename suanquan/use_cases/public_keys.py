"""Public keys that people hand over or services publish: JWK and JWK set, with errors that name where they came from."""

from __future__ import annotations

from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from ledger.jws import parse_object
from suanquan.errors import ServiceError


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
    """Keys of a JWK set by key id: those of this `use`, `sig` where a key names none; others are left alone.

    Raises:
        ServiceError: `jwk-invalid`.

    """
    try:
        listed = parse_object(data).get("keys")
        if not isinstance(listed, list):
            raise ServiceError("jwk-invalid", "缺少 keys 数组", "the array keys is missing")
        jwks = [jwk if isinstance(jwk, dict) else {} for jwk in listed]
        found = [PublicKey.from_jwk({**jwk, "use": "sig"}) for jwk in jwks if jwk.get("use", "sig") == use]
    except DomainError as fault:
        raise ServiceError(
            "jwk-invalid", f"{origin} 不是 JWK 公钥集：{fault.zh}", f"{origin} is no JWK set: {fault.en}"
        ) from fault
    return {key.kid: key for key in found}
