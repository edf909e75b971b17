"""The issuer's keys: which one signs, which ones verify, and since when a revoked one proves nothing.

A key is announced (published, so that verifiers have it in time), active (signs), verify-only (its vouchers live on) and
perhaps revoked. A token of a revoked key that was signed before the revocation still holds, but only if the ledger has it,
for whoever stole the key can write any date. Ed25519 keys sign everything; an SM2 key, where there is one, signs vouchers a
second time, and lives the same life beside them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from ledger.errors import Kind, LedgerError
from ledger.jws import VerifyingKey
from voucher.cwt import short_kid
from voucher.errors import VoucherError
from voucher.sm2 import Sm2Key


class KeyState(enum.Enum):
    """Where a key stands in its life; each may be left only for a later one."""

    ANNOUNCED = "announced"
    ACTIVE = "active"
    VERIFY_ONLY = "verify-only"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """One key of the issuer; a revoked one has the UTC epoch second from which its tokens are refused, and the reason."""

    public: PublicKey | Sm2Key
    state: KeyState
    revoked_at_s: int | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.state is KeyState.REVOKED) != (self.revoked_at_s is not None):
            raise VoucherError(
                "key-registry-malformed",
                "吊销时刻与吊销状态须同时存在",
                "a key has a time of revocation if and only if it is revoked",
            )

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the key."""
        return self.public.kid


@dataclass(frozen=True, slots=True)
class KeyRegistry:
    """All keys an issuer ever had, oldest first; at most one of each algorithm is active. A change makes a new registry."""

    issuer: str
    keys: tuple[IssuerKey, ...] = ()

    def __post_init__(self) -> None:
        active = [key.public.algorithm for key in self.keys if key.state is KeyState.ACTIVE]
        if len(set(active)) != len(active) or len({short_kid(key.kid) for key in self.keys}) != len(self.keys):
            raise VoucherError(
                "key-registry-malformed",
                "登记册中密钥重复或有多个在用密钥",
                "the registry repeats a key or has several active ones",
            )

    def announced(self, public: PublicKey | Sm2Key) -> KeyRegistry:
        """Registry with one more key, published but not signing yet."""
        return replace(self, keys=(*self.keys, IssuerKey(public, KeyState.ANNOUNCED)))

    def activated(self, kid: str) -> KeyRegistry:
        """Registry in which an announced key signs, and the one of its algorithm that did only verifies.

        Raises:
            VoucherError: `key-unknown` or `key-state`.

        """
        announced = self._key(kid)
        if announced.state is not KeyState.ANNOUNCED:
            raise VoucherError(
                "key-state",
                f"密钥 {kid} 不在已公布状态，不能启用；请公布新密钥",
                f"the key {kid} is not announced and so cannot become active; announce a new one",
                kind=Kind.CONFLICT,
            )
        retired = (
            replace(key, state=KeyState.VERIFY_ONLY)
            for key in self.keys
            if key.state is KeyState.ACTIVE and key.public.algorithm == announced.public.algorithm
        )
        return self._with(*retired, replace(announced, state=KeyState.ACTIVE))

    def revoked(self, kid: str, *, at_s: int, reason: str) -> KeyRegistry:
        """Registry in which tokens of a key issued at or after `at_s` are refused; an earlier moment may be named later.

        Raises:
            VoucherError: `key-unknown`, or `key-state`: already revoked from an earlier moment.

        """
        key = self._key(kid)
        if key.revoked_at_s is not None and key.revoked_at_s <= at_s:
            raise VoucherError(
                "key-state",
                f"密钥 {kid} 已自更早时刻起吊销",
                f"the key {kid} is revoked already, from an earlier moment",
                kind=Kind.CONFLICT,
            )
        return self._with(IssuerKey(key.public, KeyState.REVOKED, at_s, reason))

    def signing_key(self) -> PublicKey:
        """Public half of the one Ed25519 key that signs.

        Raises:
            VoucherError: `key-none-active`.

        """
        for key in self.keys:
            if key.state is KeyState.ACTIVE and isinstance(key.public, PublicKey):
                return key.public
        raise VoucherError(
            "key-none-active",
            "没有在用的签发密钥；请先公布并启用一把",
            "no key is active; announce and activate one",
            kind=Kind.UNAVAILABLE,
        )

    def second_key(self) -> Sm2Key | None:
        """The SM2 key that signs vouchers besides, None where there is none."""
        for key in self.keys:
            if key.state is KeyState.ACTIVE and isinstance(key.public, Sm2Key):
                return key.public
        return None

    def state_of(self, kid: str) -> KeyState:
        """State of a key.

        Raises:
            VoucherError: `key-unknown`.

        """
        return self._key(kid).state

    def verifying_keys(self) -> dict[str, PublicKey]:
        """Every Ed25519 key by id, revoked ones too: with `revocations` they tell an old token from a forged one."""
        return {key.kid: key.public for key in self.keys if isinstance(key.public, PublicKey)}

    def all_keys(self) -> dict[str, VerifyingKey]:
        """Every key by id, of either algorithm."""
        return {key.kid: key.public for key in self.keys}

    def revocations(self) -> dict[str, int]:
        """UTC epoch second by key id from which tokens of revoked keys are refused."""
        return {key.kid: key.revoked_at_s for key in self.keys if key.revoked_at_s is not None}

    def jwks(self, algorithm: str = "Ed25519") -> dict[str, list[dict[str, str]]]:
        """Public JWK set (RFC 7517) for whoever verifies on his own: all keys of an algorithm but revoked ones.

        SM2 has a set of its own: no registered name stands for it, and a strict reader would refuse the whole set.
        """
        return {
            "keys": [
                {**key.public.jwk(), "kid": key.kid, "use": "sig", "alg": algorithm}
                for key in self.keys
                if key.state is not KeyState.REVOKED and key.public.algorithm == algorithm
            ]
        }

    def to_data(self) -> dict[str, Any]:
        """JSON data of the registry, which holds no secret."""
        return {
            "issuer": self.issuer,
            "keys": [
                {
                    "jwk": key.public.jwk(),
                    "state": key.state.value,
                    "revoked_at_s": key.revoked_at_s,
                    "reason": key.reason,
                }
                for key in self.keys
            ],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> KeyRegistry:
        """Registry of what `to_data` gave.

        Raises:
            VoucherError: `key-registry-malformed`.

        """
        try:
            return cls(_typed(data["issuer"], str), tuple(_issuer_key(entry) for entry in data["keys"]))
        except (KeyError, TypeError, ValueError, AttributeError, LedgerError) as error:
            raise VoucherError(
                "key-registry-malformed",
                f"密钥登记册不合规：{error}",
                f"the key registry is malformed: {error}",
            ) from error

    def _with(self, *changed: IssuerKey) -> KeyRegistry:
        changes = {key.kid: key for key in changed}
        return replace(self, keys=tuple(changes.get(key.kid, key) for key in self.keys))

    def _key(self, kid: str) -> IssuerKey:
        for key in self.keys:
            if key.kid == kid:
                return key
        raise VoucherError(
            "key-unknown", f"登记册中没有密钥 {kid}", f"the registry has no key {kid}", kind=Kind.NOT_FOUND
        )


def _issuer_key(entry: Mapping[str, Any]) -> IssuerKey:
    jwk = entry["jwk"]
    return IssuerKey(
        Sm2Key.from_jwk(jwk) if jwk.get("kty") == "EC" else PublicKey.from_jwk(jwk),
        KeyState(entry["state"]),
        _typed(entry["revoked_at_s"], int | None),
        _typed(entry["reason"], str | None),
    )


def _typed(value: Any, kind: type | UnionType) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind}")
    return value


def encode_private_key(key: Ed25519PrivateKey, passphrase: bytes) -> bytes:
    """Encrypted PKCS#8 PEM of a private key.

    Raises:
        VoucherError: `key-passphrase-missing`; there is no default and no plain form.

    """
    if not passphrase:
        raise VoucherError(
            "key-passphrase-missing", "必须给出密钥口令", "a passphrase for the key is needed", kind=Kind.UNAVAILABLE
        )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase),
    )


def decode_private_key(pem: bytes, passphrase: bytes) -> Ed25519PrivateKey:
    """Private key of an encrypted PKCS#8 PEM.

    Raises:
        VoucherError: `key-unreadable`: a wrong passphrase, an unencrypted file, or no Ed25519 key.

    """
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError) as error:
        raise VoucherError(
            "key-unreadable",
            "无法读取私钥：口令不对，或文件不是加密的 PKCS#8 PEM",
            "the private key cannot be read: a wrong passphrase, or not an encrypted PKCS#8 PEM",
            kind=Kind.NOT_ALLOWED,
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise VoucherError(
            "key-unreadable", "私钥不是 Ed25519", "the private key is not Ed25519", kind=Kind.UNAVAILABLE
        )
    return key
