"""Keys that sign decisions, in a folder of their own: whoever steals one can neither issue vouchers nor sign the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from ledger.jws import Signer
from suanquan.errors import ServiceError
from suanquan.home import Home, write_secret
from voucher.keys import KeyRegistry, KeyState, decode_private_key, encode_private_key

USE = "decision"
"""`use` of these keys in the published set: no verifier of vouchers or receipts takes them for its own."""


def folder_of(home: Home) -> Path:
    """Where the keys are."""
    return home.keys / "decisions"


def load_decision_keys(home: Home) -> KeyRegistry | None:
    """The keys of a home, public parts; None where it has none yet.

    Raises:
        DomainError: `key-registry-malformed`.

    """
    file = folder_of(home) / "registry.json"
    if not file.exists():
        return None
    try:
        data = json.loads(file.read_bytes())
    except ValueError as fault:
        raise ServiceError(
            "key-registry-malformed", f"{file} 不是 JSON，请从备份恢复", f"{file} is not JSON; restore it from a backup"
        ) from fault
    return KeyRegistry.from_data(data)


def create_decision_keys(home: Home, issuer: str, passphrase: bytes) -> KeyRegistry:
    """Make the keys unless the home has them."""
    return load_decision_keys(home) or _with_new_key(home, KeyRegistry(issuer), passphrase)


def rotate_decision_keys(home: Home, issuer: str, passphrase: bytes) -> KeyRegistry:
    """Sign with a new key from now on; the one before only verifies.

    Raises:
        VoucherError: `key-unreadable`: the passphrase is not that of the key in use.

    """
    registry = load_decision_keys(home) or KeyRegistry(issuer)
    if any(key.state is KeyState.ACTIVE for key in registry.keys):
        load_signer(home, registry, passphrase)
    return _with_new_key(home, registry, passphrase)


def revoke_decision_key(home: Home, kid: str, *, at_s: int, reason: str) -> KeyRegistry:
    """Believe nothing that a key signed from a UTC epoch second on; what it signed before still holds if the books have it.

    Raises:
        VoucherError: `key-unknown`, or `key-state`: revoked already, from an earlier moment.

    """
    registry = load_decision_keys(home)
    if registry is None:
        raise no_decision_key()
    changed = registry.revoked(kid, at_s=at_s, reason=reason)
    _write(home, changed)
    return changed


def _write(home: Home, registry: KeyRegistry) -> None:
    write_secret(folder_of(home) / "registry.json", json.dumps(registry.to_data(), indent=1).encode())


def _with_new_key(home: Home, registry: KeyRegistry, passphrase: bytes) -> KeyRegistry:
    key = Ed25519PrivateKey.generate()
    public = PublicKey.of(key)
    changed = registry.announced(public).activated(public.kid)
    folder_of(home).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_secret(folder_of(home) / f"{public.kid}.pem", encode_private_key(key, passphrase))
    _write(home, changed)
    return changed


def load_signer(home: Home, registry: KeyRegistry, passphrase: bytes) -> Signer:
    """What signs with the key in use.

    Raises:
        VoucherError: a wrong passphrase, or no key in use.

    """
    pem = folder_of(home) / f"{registry.signing_key().kid}.pem"
    return decode_private_key(pem.read_bytes(), passphrase).sign


def no_decision_key() -> ServiceError:
    """The refusal to sign in a home that was made before there were decisions."""
    return ServiceError(
        "decision-key-missing",
        "没有决定签名密钥；请运行 suanquan keys decisions",
        "there is no key for decisions; run suanquan keys decisions",
        kind=Kind.UNAVAILABLE,
    )


def published(registry: KeyRegistry | None) -> list[dict[str, Any]]:
    """JWKs (RFC 7517) of keys that verify decisions, for the published set."""
    return [] if registry is None else [{**jwk, "use": USE} for jwk in registry.jwks()["keys"]]


def published_keys(home: Home) -> dict[str, Any]:
    """The whole set that a home publishes: keys of vouchers and receipts, and those of decisions."""
    return {"keys": [*home.load_registry().jwks()["keys"], *published(load_decision_keys(home))]}
