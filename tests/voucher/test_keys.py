"""One key signs, older ones verify, a revoked one proves nothing from its moment on, and none lies about in the open."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto.jwk import JWKSet

from ledger.ed25519 import PublicKey
from ledger.errors import LedgerError
from tests.voucher.samples import ISSUER
from voucher.errors import VoucherError
from voucher.keys import IssuerKey, KeyRegistry, KeyState, decode_private_key, encode_private_key

FIRST, SECOND, THIRD = (PublicKey.of(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2, 3))
ONE = KeyRegistry(ISSUER).announced(FIRST).activated(FIRST.kid)


def states(registry):
    return {key.kid: key.state.value for key in registry.keys}


def refused(act):
    with pytest.raises(VoucherError) as caught:
        act()
    return caught.value.code


def test_rotation_leaves_the_old_key_to_verify():
    """Announced first, so that verifiers have the new key before it signs; then one active key, and the old one verifies."""
    announced = ONE.announced(SECOND)
    assert announced.signing_key() == FIRST
    assert {key["kid"] for key in announced.jwks()["keys"]} == {FIRST.kid, SECOND.kid}
    rotated = announced.activated(SECOND.kid)
    assert rotated.signing_key() == SECOND
    assert states(rotated) == {FIRST.kid: "verify-only", SECOND.kid: "active"}
    assert rotated.verifying_keys() == {FIRST.kid: FIRST, SECOND.kid: SECOND}


def test_a_revoked_key_leaves_the_published_set_and_keeps_its_moment():
    """Offline verifiers no longer find it; the service knows from when on to refuse it."""
    registry = ONE.announced(SECOND).activated(SECOND.kid).revoked(FIRST.kid, at_s=100, reason="key room entered")
    assert [key["kid"] for key in registry.jwks()["keys"]] == [SECOND.kid]
    assert registry.revocations() == {FIRST.kid: 100}
    assert FIRST.kid in registry.verifying_keys()


def test_a_revocation_moves_back_only():
    """What was found to be stolen earlier is revoked from earlier; nothing makes a revoked key better."""
    registry = ONE.revoked(FIRST.kid, at_s=100, reason="stolen")
    assert registry.revoked(FIRST.kid, at_s=50, reason="stolen before").revocations() == {FIRST.kid: 50}
    assert refused(lambda: registry.revoked(FIRST.kid, at_s=100, reason="again")) == "key-state"
    assert refused(lambda: registry.activated(FIRST.kid)) == "key-state"
    assert refused(registry.signing_key) == "key-none-active"


def test_wrong_calls_are_told():
    """Unknown keys, a second announcement, an activation of what already signs or only verifies."""
    rotated = ONE.announced(SECOND).activated(SECOND.kid)
    assert refused(lambda: ONE.activated(SECOND.kid)) == "key-unknown"
    assert refused(lambda: ONE.revoked(SECOND.kid, at_s=0, reason="")) == "key-unknown"
    assert refused(lambda: ONE.activated(FIRST.kid)) == "key-state"
    assert refused(lambda: rotated.activated(FIRST.kid)) == "key-state"
    assert refused(lambda: ONE.announced(FIRST)) == "key-registry-malformed"
    assert refused(KeyRegistry(ISSUER).signing_key) == "key-none-active"
    assert refused(lambda: KeyRegistry(ISSUER, (IssuerKey(FIRST, KeyState.REVOKED),))) == "key-registry-malformed"


@given(st.lists(st.sampled_from(["announce", "activate", "revoke"]), max_size=12), st.data())
def test_any_life_keeps_at_most_one_key_signing(steps, data):
    """Whatever is tried in whatever order, the registry holds its invariants and survives JSON."""
    registry = KeyRegistry(ISSUER)
    for step in steps:
        key = data.draw(st.sampled_from([FIRST, SECOND, THIRD]))
        try:
            if step == "announce":
                registry = registry.announced(key)
            elif step == "activate":
                registry = registry.activated(key.kid)
            else:
                registry = registry.revoked(key.kid, at_s=data.draw(st.integers(0, 9)), reason="drill")
        except VoucherError:
            continue
    assert list(states(registry).values()).count("active") <= 1
    assert KeyRegistry.from_data(json.loads(json.dumps(registry.to_data()))) == registry
    assert not {key["kid"] for key in registry.jwks()["keys"]} & registry.revocations().keys()


def test_the_published_set_is_read_by_another_library():
    """jwcrypto finds every key under the id that tokens carry, and that it computes itself."""
    published = JWKSet.from_json(json.dumps(ONE.announced(SECOND).jwks()))
    for key in (FIRST, SECOND):
        assert published.get_key(key.kid).thumbprint() == key.kid
        assert not published.get_key(key.kid).has_private


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": 5},
        {"keys": None},
        {"keys": [{}]},
        {"keys": ["key"]},
        {"keys": [{"jwk": {}, "state": "active", "revoked_at_s": None, "reason": None}]},
        {"keys": [{"jwk": FIRST.jwk(), "state": "live", "revoked_at_s": None, "reason": None}]},
        {"keys": [{"jwk": FIRST.jwk(), "state": "revoked", "revoked_at_s": None, "reason": None}]},
        {"keys": [{"jwk": FIRST.jwk(), "state": "revoked", "revoked_at_s": "now", "reason": None}]},
        {"keys": [{"jwk": FIRST.jwk(), "state": "active", "revoked_at_s": 5, "reason": None}]},
        {"keys": ONE.to_data()["keys"] * 2},
    ],
    ids=str,
)
def test_a_spoiled_registry_is_refused(change):
    """Wrong types, weak keys, unknown states and two active keys end in one error."""
    assert refused(lambda: KeyRegistry.from_data(ONE.to_data() | change)) == "key-registry-malformed"


def test_a_registry_never_holds_a_private_key():
    """Its JSON has public members alone, and one with `d` is refused."""
    assert '"d"' not in json.dumps(ONE.to_data())
    entry = ONE.to_data()["keys"][0]
    spoiled = {"issuer": ISSUER, "keys": [entry | {"jwk": entry["jwk"] | {"d": "secret"}}]}
    assert refused(lambda: KeyRegistry.from_data(spoiled)) == "key-registry-malformed"


# --- at rest ----------------------------------------------------------------------------------------------------------

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"at rest".ljust(32))


def test_a_private_key_rests_encrypted():
    """Its bytes are not in the file; the passphrase brings it back, another does not."""
    pem = encode_private_key(PRIVATE, "口令".encode())
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert decode_private_key(pem, "口令".encode()).private_bytes_raw() == PRIVATE.private_bytes_raw()
    for passphrase in (b"wrong", b""):
        assert refused(lambda passphrase=passphrase: decode_private_key(pem, passphrase)) == "key-unreadable"


def test_there_is_no_default_passphrase():
    """An empty one is refused rather than written in the open."""
    assert refused(lambda: encode_private_key(PRIVATE, b"")) == "key-passphrase-missing"


def _pem(key, *, encrypted):
    kind = serialization.BestAvailableEncryption(b"p") if encrypted else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind)


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", id="cut off"),
        pytest.param(_pem(PRIVATE, encrypted=False), id="not encrypted"),
        pytest.param(_pem(generate_private_key(SECP256R1()), encrypted=True), id="another curve"),
    ],
)
def test_other_key_files_are_refused(pem):
    """A plain file would hide that a secret lies open; another algorithm cannot sign vouchers."""
    assert refused(lambda: decode_private_key(pem, b"p")) == "key-unreadable"


def test_a_weak_key_enters_no_registry():
    """The identity point is refused where a key is made, before any registry sees it."""
    with pytest.raises(LedgerError):
        KeyRegistry(ISSUER).announced(PublicKey(b"\x01" + bytes(31)))
