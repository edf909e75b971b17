"""Public keys are checked once, where they enter: canonical, on the curve, not of small order."""

import contextlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger import base64url
from ledger.ed25519 import PublicKey
from ledger.errors import LedgerError
from tests.shared_data import SHARED, needs_shared

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
RFC8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

IDENTITY = "01" + "00" * 31
SMALL_ORDER = (
    IDENTITY,
    "ec" + "ff" * 30 + "7f",
    "00" * 32,
    "00" * 31 + "80",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
)
SECOND_SPELLINGS = (
    "01" + "00" * 30 + "80",
    "ec" + "ff" * 31,
    "ed" + "ff" * 30 + "7f",
    "ed" + "ff" * 31,
    "ee" + "ff" * 30 + "7f",
    "ee" + "ff" * 31,
)

keys = st.binary(min_size=32, max_size=32).map(Ed25519PrivateKey.from_private_bytes)


@pytest.mark.parametrize("encoded", SMALL_ORDER)
def test_each_point_of_small_order_is_refused(encoded):
    """The eight points under which a signature can hold for every message are no keys."""
    with pytest.raises(LedgerError) as caught:
        PublicKey(bytes.fromhex(encoded))
    assert caught.value.code == "key-weak"


@pytest.mark.parametrize("encoded", SECOND_SPELLINGS)
def test_second_spellings_of_small_points_are_refused(encoded):
    """A coordinate of p or more, or a sign bit on x = 0, spells a point another way."""
    with pytest.raises(LedgerError) as caught:
        PublicKey(bytes.fromhex(encoded))
    assert caught.value.code == "key-malformed"


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_has_32_bytes(length):
    """Other lengths are refused before any arithmetic."""
    with pytest.raises(LedgerError, match="32"):
        PublicKey(b"\x05" * length)


@given(st.binary(min_size=32, max_size=32))
def test_arbitrary_bytes_are_a_key_or_refused(raw):
    """About half of all strings are no point; none gives another error than ours."""
    with contextlib.suppress(LedgerError):
        key = PublicKey(raw)
        assert PublicKey.from_jwk(key.jwk()) == key


@given(keys, st.binary())
def test_every_generated_key_is_accepted_and_verifies_its_own(private, message):
    """What a key signs verifies under its public half, through the JWK too, and under no other message."""
    key = PublicKey.from_jwk(PublicKey.of(private).jwk())
    signature = private.sign(message)
    assert key.verify(signature, message)
    assert not key.verify(signature, message + b"\0")


def test_a_signature_with_s_plus_the_group_order_is_refused():
    """S and S + L satisfy one equation; only the smaller counts, so nobody can respell a signature."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = private.sign(b"voucher")
    malleated = (int.from_bytes(signature[32:], "little") + GROUP_ORDER).to_bytes(32, "little")
    assert not PublicKey.of(private).verify(signature[:32] + malleated, b"voucher")


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_false_not_an_error(length):
    """Callers branch on one boolean."""
    assert not PublicKey(base64url.decode(RFC8037_X)).verify(bytes(length), b"")


def test_the_thumbprint_is_that_of_rfc_8037():
    """RFC 8037 A.3 gives the thumbprint of its example key."""
    key = PublicKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": RFC8037_X})
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kty": "EC"}, "kty"),
        ({"crv": "X25519"}, "crv"),
        ({"x": None}, "OKP"),
        ({"x": RFC8037_X + "="}, "base64url"),
        ({"x": RFC8037_X[:-1] + "p"}, "base64url"),
        ({"x": RFC8037_X[:-3]}, "32"),
        ({"d": RFC8037_X}, "private"),
        ({"use": "enc"}, "use"),
        ({"alg": "ES256"}, "alg"),
        ({"key_ops": ["sign"]}, "key_ops"),
        ({"key_ops": "verify"}, "key_ops"),
    ],
)
def test_a_jwk_that_is_no_public_ed25519_key_is_refused_by_reason(change, told):
    """The message names the member at fault; a private key is not taken silently."""
    with pytest.raises(LedgerError, match=told) as caught:
        PublicKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": RFC8037_X} | change)
    assert caught.value.code == "key-malformed"


@needs_shared
def test_all_wycheproof_ed25519_signatures_get_the_published_verdict():
    """Truncated, extended, malleated and mixed-up signatures are refused, all valid ones accepted."""
    vectors = json.loads((SHARED / "vectors/wycheproof/ed25519_test.json").read_text())
    seen = 0
    for group in vectors["testGroups"]:
        key = PublicKey(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            verdict = key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            assert verdict == (case["result"] == "valid"), case
            seen += 1
    assert seen == vectors["numberOfTests"]
