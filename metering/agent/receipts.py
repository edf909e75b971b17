"""Receipts are believed under the keys that the service publishes; they are fetched anew for one under another key."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from ledger.jws import parse_object, verify
from metering.agent.client import VerifyReceipt
from metering.agent.http_get import get
from metering.errors import MeteringError

RECEIPT_TYPE = "usage-receipt+jwt"
JWKS_PATH = "/.well-known/jwks.json"
JWKS_BYTES_MAX = 1 << 20


def receipt_verifier(base_url: str) -> VerifyReceipt:
    """Make the check of receipts that this service signs."""
    keys: dict[str, PublicKey] = {}

    def check(token: str) -> Mapping[str, object]:
        try:
            return verify(token, keys, RECEIPT_TYPE)
        except DomainError:
            keys.update(published_keys(f"{base_url.rstrip('/')}{JWKS_PATH}"))
        return verify(token, keys, RECEIPT_TYPE)

    return check


def published_keys(address: str) -> dict[str, PublicKey]:
    """Keys of a published JWK set by key id; those of other kinds or for another use are passed over.

    Raises:
        MeteringError: unreachable, or no JWK set.

    """
    listed = parse_object(get(address, bytes_max=JWKS_BYTES_MAX)).get("keys")
    if not isinstance(listed, list):
        raise MeteringError("jwks-invalid", f"{address} 不是 JWK 公钥集", f"{address} is no JWK set")
    found = [PublicKey.from_jwk(jwk) for jwk in listed if isinstance(jwk, dict) and _is_for_receipts(jwk)]
    return {key.kid: key for key in found}


def _is_for_receipts(jwk: Mapping[str, object]) -> bool:
    return jwk.get("crv") == "Ed25519" and jwk.get("use", "sig") == "sig"
