"""A P-256 holder key is a point of the curve in one spelling, and verifies ES256 and nothing else."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from jwcrypto.jwk import JWK

from ledger import base64url
from ledger.errors import LedgerError
from tests.shared_data import SHARED, needs_shared
from tests.voucher.samples import HOLDER_KEY
from voucher.p256 import P256Key, holder_key

NUMBERS = derive_private_key(7, SECP256R1()).public_key().public_numbers()
KEY = P256Key(NUMBERS.x.to_bytes(32, "big"), NUMBERS.y.to_bytes(32, "big"))
P = 2**256 - 2**224 + 2**192 + 2**96 - 1


def code(act):
    with pytest.raises(LedgerError) as caught:
        act()
    return caught.value.code


def test_a_key_is_named_as_other_libraries_name_it():
    """The thumbprint of RFC 7638 is that of jwcrypto, and the JWK survives the way out and back."""
    assert JWK(**KEY.jwk()).thumbprint() == KEY.kid
    assert holder_key(KEY.jwk()) == KEY
    assert holder_key(HOLDER_KEY.jwk()) == HOLDER_KEY


@pytest.mark.parametrize(
    "change",
    [
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"kty": "OKP"},
        {"alg": "ES384"},
        {"alg": "ES224"},
        {"alg": "Ed25519"},
        {"alg": "none"},
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"d": "AQ"},
        {"y": None},
        {"x": base64url.encode(KEY.x) + "="},
        {"x": base64url.encode(KEY.x[1:])},
        {"x": base64url.encode(KEY.y), "y": base64url.encode(KEY.x)},
        {"x": base64url.encode(bytes(32)), "y": base64url.encode(bytes(32))},
        {"x": base64url.encode(P.to_bytes(32, "big"))},
        {"x": "", "y": ""},
    ],
    ids=str,
)
def test_what_is_no_p256_signing_key_is_refused(change):
    """Another curve or algorithm, the identity, a point off the curve, a second spelling, a private key."""
    assert code(lambda: holder_key(KEY.jwk() | change)) == "key-malformed"


def test_a_coordinate_has_one_spelling():
    """x + p names the same point to a lenient reader; where it fits in 32 bytes it is refused all the same."""
    root = next(x for x in range(1, 2**32) if _on_curve(x))
    y = pow(root**3 - 3 * root + _B, (P + 1) // 4, P)
    P256Key(root.to_bytes(32, "big"), y.to_bytes(32, "big"))
    assert code(lambda: P256Key((root + P).to_bytes(32, "big"), y.to_bytes(32, "big"))) == "key-malformed"


_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def _on_curve(x):
    return pow(x**3 - 3 * x + _B, (P - 1) // 2, P) == 1


@needs_shared
def test_every_wycheproof_p256_signature_gets_its_verdict():
    """Range checks of r and s, sizes, edge cases of keys and of the arithmetic: as published."""
    vectors = json.loads((SHARED / "vectors/wycheproof/ecdsa_secp256r1_sha256_p1363_test.json").read_text())
    seen = 0
    for group in vectors["testGroups"]:
        point = bytes.fromhex(group["publicKey"]["uncompressed"])
        key = P256Key(point[1:33], point[33:])
        for case in group["tests"]:
            verdict = key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            assert verdict == (case["result"] == "valid"), case["tcId"]
            seen += 1
    assert seen == vectors["numberOfTests"]
