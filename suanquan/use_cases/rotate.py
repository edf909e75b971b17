"""New issuer keys, and the end of old ones: logged first, then written to the home, while the service goes on.

A running service sees the changed registry with its next signature. The old key still verifies, and still releases what was
recorded under it. A key may be announced first, so that verifiers who are offline for weeks have it before it signs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.ed25519 import PublicKey
from ledger.entry import EntryKind, Event
from ledger.errors import Kind
from ledger.journal import Journal
from ledger.transaction import Transaction
from metering.zones import rfc3339
from suanquan import pkcs11_signer, sm2_signer
from suanquan.errors import ServiceError
from suanquan.home import Home, write_secret
from suanquan.key_ring import KeyRing
from suanquan.pkcs11_signer import TokenPlace
from voucher.keys import IssuerKey, KeyRegistry, KeyState, encode_private_key
from voucher.sm2 import Sm2Key

Public = PublicKey | Sm2Key


class KeyPlace(NamedTuple):
    """Where a new key is made: in a file, in a PKCS#11 token, or as an SM2 key in a file."""

    token: TokenPlace | None = None
    sm2: bool = False

    def make(self, home: Home, passphrase: bytes) -> Public:
        """Make the key; its public half. The private half is kept before anybody hears of the public one."""
        if self.sm2:
            return _make_sm2(home, passphrase)
        if self.token is not None:
            label = f"suanquan-{secrets.token_hex(8)}"
            public = pkcs11_signer.create(self.token, label)
            pkcs11_signer.write_place(home.keys / f"{public.kid}{pkcs11_signer.SUFFIX}", self.token, label)
            return public
        key = Ed25519PrivateKey.generate()
        public = PublicKey.of(key)
        write_secret(home.keys / f"{public.kid}.pem", encode_private_key(key, passphrase))
        return public


def _make_sm2(home: Home, passphrase: bytes) -> Sm2Key:
    fresh = home.keys / f".{secrets.token_hex(8)}{sm2_signer.SUFFIX}"
    public = sm2_signer.create(fresh, passphrase)
    fresh.rename(home.keys / f"{public.kid}{sm2_signer.SUFFIX}")
    return public


class Keyroom(NamedTuple):
    """What changes of keys need: the home, the writer, and who asks."""

    home: Home
    journal: Journal
    ring: KeyRing
    passphrase: bytes
    officer: str
    reason: str


async def rotate(room: Keyroom, place: KeyPlace, *, activate: bool = True) -> dict[str, Any]:
    """Announce a new key unless one is announced; with `activate` it signs from now on, and the old one only verifies."""
    algorithm = "SM2-SM3" if place.sm2 else "Ed25519"
    waiting = [
        key.public
        for key in room.ring.registry.keys
        if key.state is KeyState.ANNOUNCED and key.public.algorithm == algorithm
    ]
    if not waiting:
        waiting = [place.make(room.home, room.passphrase)]
        await _change(room, "announced", waiting[0].kid, lambda registry: registry.announced(waiting[0]))
    kid = waiting[0].kid
    if activate:
        room.ring.signer(kid)  # one that cannot sign never becomes active
        await _change(room, "active", kid, lambda registry: registry.activated(kid))
    return {"kid": kid, "state": room.ring.registry.state_of(kid).value, "keys": key_objects(room.ring.registry)}


async def revoke(room: Keyroom, kid: str, *, at_s: int) -> dict[str, Any]:
    """Refuse every token that a key signs from `at_s` on; an active key is replaced first, so that the service goes on.

    Raises:
        VoucherError: `key-unknown` or `key-state`.
        ServiceError: `reason-missing`.

    """
    registry = room.ring.registry
    if registry.state_of(kid) is KeyState.ACTIVE:
        await rotate(room, KeyPlace(sm2=isinstance(registry.all_keys()[kid], Sm2Key)))
    await _change(room, "revoked", kid, lambda found: found.revoked(kid, at_s=at_s, reason=room.reason), at_s=at_s)
    return {"kid": kid, "state": "revoked", "keys": key_objects(room.ring.registry)}


def key_objects(registry: KeyRegistry) -> list[dict[str, Any]]:
    """Every key with its state, oldest first."""
    return [_object(key) for key in registry.keys]


def _object(key: IssuerKey) -> dict[str, Any]:
    at_s = key.revoked_at_s
    return {
        "kid": key.kid,
        "alg": key.public.algorithm,
        "state": key.state.value,
        "revoked_at": None if at_s is None else rfc3339(at_s * 1_000_000),
        "reason": key.reason,
    }


async def _change(
    room: Keyroom, state: str, kid: str, change: Callable[[KeyRegistry], KeyRegistry], **fact: int
) -> None:
    """Log the change, then write it. The entry is in the log even if the writing fails; the change is then asked for again."""
    if not room.reason or not room.officer:
        raise ServiceError("reason-missing", "须写明经办人与理由", "name the officer and give a reason")
    before = room.ring.registry
    after = change(before)

    async def log(tx: Transaction) -> None:
        told: Mapping[str, Any] = {
            "type": "issuer-key", "kid": kid, "state": state, "officer": room.officer, "reason": room.reason, **fact,
        }  # fmt: skip
        payload = cbor2.dumps(told, canonical=True)
        digest = tx.keyed(tx.size.to_bytes(8) + payload)
        await tx.append([Event(EntryKind.NOTE, digest[:16], digest, salt=tx.entropy(32), payload=payload)])

    await room.journal.transact(log)
    if room.home.load_registry() != before:
        raise ServiceError(
            "key-registry-changed",
            "密钥登记册刚被另一人改动，请重试",
            "somebody else changed the key registry just now; try again",
            kind=Kind.CONFLICT,
        )
    room.home.save_registry(after)
