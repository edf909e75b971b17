"""A proof of possession holds for one holder, one voucher, one request, one centre and two minutes."""

import dataclasses
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from ledger import base64url, jws
from ledger.amount import COMPUTE
from ledger.ed25519 import PublicKey
from ledger.errors import Kind
from tests.voucher.samples import HOLDER_KEY, IN_COMPUTE, JTI, NOW_S, jwt_of, qr_of
from voucher.errors import VoucherError
from voucher.p256 import P256Key
from voucher.presentation import LIFE_S, TYPE, Nonces, Request, check, present

HOLDER = Ed25519PrivateKey.from_private_bytes(b"holder".ljust(32))
NONCES = Nonces(b"service secret")
REQUEST = Request("POST", "https://quan.example/v1/holds", "sj01")
NONCE = NONCES.make("sj01", NOW_S, b"entropy8")
TOKEN = jwt_of(IN_COMPUTE)
UNITS = 5_000_000_000

_P256 = derive_private_key(9, SECP256R1())
_NUMBERS = _P256.public_key().public_numbers()
P256 = P256Key(_NUMBERS.x.to_bytes(32, "big"), _NUMBERS.y.to_bytes(32, "big"))


def es256(message):
    r, s = decode_dss_signature(_P256.sign(message, ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def proof(token=TOKEN, key=HOLDER_KEY, signer=HOLDER.sign, **changes):
    arguments = {
        "request": REQUEST, "jti": JTI, "nonce": NONCE, "asset": COMPUTE, "units": UNITS, "reference": "job:10", "now_s": NOW_S,
    } | changes  # fmt: skip
    return present(token, key, signer, arguments.pop("request"), **arguments)


def checked(text, token=TOKEN, jkt=HOLDER_KEY.kid, request=REQUEST, now_s=NOW_S):
    return check(text, token, jkt, request, NONCES, now_s=now_s)


def refused(*arguments, **options):
    with pytest.raises(VoucherError) as caught:
        checked(*arguments, **options)
    assert caught.value.kind is Kind.PROOF
    return caught.value.findings[0].where if caught.value.findings else caught.value.code


def forged(changes=None, header=None, *, without=(), signer=HOLDER.sign):
    """A rightly signed proof with other claims or another header."""
    parts = [json.loads(base64url.decode(part)) for part in proof().split(".")[:2]]
    parts = [parts[0] | (header or {}), parts[1] | (changes or {})]
    for part, name in ((part, name) for part in parts for name in without):
        part.pop(name, None)
    signed = ".".join(base64url.encode(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{base64url.encode(signer(signed.encode()))}"


@pytest.mark.parametrize("token", [TOKEN, qr_of(IN_COMPUTE)], ids=["jwt", "qr"])
def test_a_proof_says_how_much_may_be_reserved_for_what(token):
    """For either encoding of the voucher; the key, the amount and the job come back."""
    found = checked(proof(token), token)
    assert (found.key, found.asset, found.units, found.reference, found.centre) == (
        HOLDER_KEY, COMPUTE, UNITS, "job:10", "sj01",
    )  # fmt: skip
    assert found.expires_at_s == NOW_S + LIFE_S


def test_a_p256_key_proves_as_well():
    """ES256 where the voucher is bound to such a key; under the other algorithm's name it is refused."""
    text = proof(key=P256, signer=es256)
    assert checked(text, jkt=P256.kid).key == P256
    wrong = jws.sign_embedded({}, typ=TYPE, jwk=P256.jwk(), alg="Ed25519", signer=es256)
    assert refused(wrong, jkt=P256.kid) == "token-alg"


def test_one_proof_has_one_replay_key():
    """Repeated, it gives the same key; another proof gives another; it is kept as long as the proof could be taken."""
    first, again, other = checked(proof()), checked(proof()), checked(proof(jti=JTI.replace("0000", "0001")))
    assert first.replay_key == again.replay_key != other.replay_key
    assert refused(proof(), now_s=first.forget_at_s) == "pop-expired"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"request": REQUEST._replace(centre="sj02")}, "/aud"),
        ({"request": REQUEST._replace(method="PUT")}, "/htm"),
        ({"request": REQUEST._replace(uri="https://quan.example/v1/holds/1")}, "/htu"),
        ({"request": REQUEST._replace(uri="https://quan.example/v1/holds?a=1")}, "/htu"),
        ({"token": jwt_of(dataclasses.replace(IN_COMPUTE, units=1_000_000_000))}, "/ath"),
        ({"token": qr_of(IN_COMPUTE)}, "/ath"),
        ({"jkt": P256.kid}, "pop-key"),
        ({"jkt": None}, "pop-unbound"),
        ({"now_s": NOW_S - 61}, "pop-not-yet-valid"),
        ({"now_s": NOW_S + LIFE_S + 60}, "pop-expired"),
    ],
    ids=str,
)
def test_a_proof_for_something_else_is_refused(options, why):
    """Another centre, method, address, voucher, encoding, key or time."""
    assert refused(proof(), **options) == why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": NOW_S + LIFE_S + 1}, "/exp"),
        ({"exp": NOW_S}, "/exp"),
        ({"iat": str(NOW_S)}, "/iat"),
        ({"jti": "once"}, "/jti"),
        ({"nonce": "A" * 15}, "/nonce"),
        ({"nonce": "A" * 40}, "pop-nonce"),
        ({"nonce": NONCES.make("sj02", NOW_S, b"entropy8")}, "pop-nonce"),
        ({"nonce": NONCES.make("sj01", NOW_S - LIFE_S - 61, b"entropy8")}, "pop-nonce"),
        ({"nonce": Nonces(b"another").make("sj01", NOW_S, b"entropy8")}, "pop-nonce"),
        ({"amt": "0"}, "/amt"),
        ({"amt": 5}, "/amt"),
        ({"amt": "-5"}, "/amt"),
        ({"unit": "card.h"}, "/unit"),
        ({"unit": ["CNY"]}, "/unit"),
        ({"ref": ""}, "/ref"),
        ({"ref": "a b"}, "/ref"),
        ({"aud": ["urn:centre:sj01"]}, "/aud"),
        ({"more": 1}, ""),
    ],
    ids=str,
)
def test_a_claim_of_another_form_is_refused(changes, why):
    """Lifetimes over two minutes, foreign nonces, odd amounts, several centres, unknown members."""
    assert refused(forged(changes)) == (why or "")


@pytest.mark.parametrize("name", ["aud", "iat", "exp", "jti", "nonce", "ath", "htm", "htu", "unit", "amt", "ref"])
def test_no_claim_may_be_missing(name):
    """Whatever is left out would be bound to nothing."""
    with pytest.raises(VoucherError):
        checked(forged(without=[name]))


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"typ": "dpop+jwt"}, "token-typ"),
        ({"typ": "compute-voucher+jwt"}, "token-typ"),
        ({"alg": "EdDSA"}, "token-alg"),
        ({"alg": "none"}, "token-alg"),
        ({"kid": HOLDER_KEY.kid}, "token-header"),
        ({"jwk": HOLDER_KEY.kid}, "token-header"),
        ({"jwk": HOLDER_KEY.jwk() | {"d": "AQ"}}, "token-kid"),
        ({"jwk": HOLDER_KEY.jwk() | {"use": "enc"}}, "token-kid"),
        ({"jwk": P256.jwk()}, "token-alg"),
    ],
    ids=str,
)
def test_the_header_is_type_algorithm_and_key(header, code):
    """Another type or algorithm, a second way to name the key, a private key."""
    assert refused(forged(header=header)) == code


SMALL_ORDER = [
    "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "00" * 32, "00" * 31 + "80",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]  # fmt: skip


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_small_order_key_proves_nothing(point):
    """Under the identity and its like OpenSSL accepts one signature for every message; here the key is refused unread."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(bytes.fromhex(point))}
    for signature in (b"\x01" + bytes(63), bytes(64), bytes.fromhex(point) + bytes(32)):
        text = jws.sign_embedded({"a": 1}, typ=TYPE, jwk=jwk, alg="Ed25519", signer=lambda _, s=signature: s)
        assert refused(text) == "token-kid"


def test_no_changed_character_is_accepted():
    """Each character replaced, left out or doubled."""
    good = proof()
    for place, character in enumerate(good):
        refused(good[:place] + ("A" if character != "A" else "B") + good[place + 1 :])
        refused(good[:place] + good[place + 1 :])


@given(st.text(max_size=60) | st.text("A.eyJ", max_size=60))
def test_any_text_is_refused_by_our_error_alone(text):
    """Whatever is sent, the caller has one exception to handle."""
    refused(text)


@given(st.binary(max_size=40))
def test_any_nonce_is_refused_by_our_error_alone(data):
    """Nonces carry their own proof; whatever is made up has none."""
    with pytest.raises(VoucherError):
        NONCES.check("sj01", base64url.encode(data), NOW_S)


def test_a_stranger_proves_nothing():
    """A proof by another key, rightly signed by it."""
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert refused(proof(key=PublicKey.of(stranger), signer=stranger.sign)) == "pop-key"
    assert refused(proof(signer=stranger.sign)) == "token-signature"
