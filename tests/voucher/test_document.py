"""One voucher, two encodings that say the same, for one issuer, programme, holder and time."""

import dataclasses
import json
import shutil
import subprocess

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from ledger import base64url, jws
from ledger.amount import ASSETS, CNY, COMPUTE, INT64_MAX, format_units
from ledger.errors import Kind
from tests.voucher.samples import (
    HOLDER_KEY,
    IN_COMPUTE,
    IN_MONEY,
    ISSUER,
    KEY,
    KEYS,
    NOW_S,
    PRIVATE,
    SANDBOX,
    jwt_of,
    qr_bytes,
    qr_of,
    qr_text,
    refusal,
)
from voucher import cwt
from voucher.claims import decimal_claim
from voucher.document import (
    JWT_TYPE,
    from_claims,
    make_jti,
    programme_urn,
    read_voucher,
    to_claims,
    verify_voucher,
)
from voucher.errors import VoucherError
from voucher.holder import sandbox_uscc
from voucher.status_list import StatusPlace

AUDIENCE = {programme_urn(SANDBOX.id)}

vouchers = st.builds(
    dataclasses.replace,
    st.sampled_from([IN_MONEY, IN_COMPUTE]),
    jti=st.builds(make_jti, st.integers(0, 2**57), st.binary(min_size=10, max_size=10)),
    holder=st.integers(0, 10**9 - 1).map(sandbox_uscc),
    units=st.integers(1, INT64_MAX // 1000).map(lambda units: units * 1000),
    issued_at_s=st.integers(0, 2**33),
    not_before_s=st.integers(0, 2**32),
    expires_at_s=st.integers(2**32 + 1, 2**37),
    centres=st.none() | st.sets(st.sampled_from(["sj01", "sj02", "a"]), min_size=1).map(lambda c: tuple(sorted(c))),
    actions=st.sampled_from([("train",), ("infer",), ("train", "tune"), ("train", "tune", "infer")]),
    holder_jkt=st.sampled_from([None, HOLDER_KEY.kid]),
    status=st.none()
    | st.builds(StatusPlace, st.integers(0, 2**23 - 1), st.sampled_from(["https://q.example/s", "urn:s:1"])),
)


@given(vouchers)
def test_both_encodings_say_the_same(voucher):
    """Whatever a voucher says, its JWT and its QR code are read back as that voucher, under the same key."""
    assert read_voucher(jwt_of(voucher), KEYS) == (KEY.kid, voucher)
    assert read_voucher(qr_of(voucher), KEYS) == (KEY.kid, voucher)


@given(st.sampled_from([CNY, COMPUTE]), st.integers(1, INT64_MAX // 1000))
def test_an_amount_is_one_short_decimal(asset, thousands):
    """No sign, no exponent, no trailing zero; it says exactly the units it was made of."""
    units = thousands * 1000
    text = decimal_claim(units, asset)
    assert text == format_units(units, asset).rstrip("0").rstrip(".")
    whole, _, fraction = text.partition(".")
    assert int(whole + fraction.ljust(asset.scale, "0")) == units


@given(st.integers(0, 2**57), st.binary(min_size=10, max_size=16))
def test_a_jti_is_a_uuid7_in_order_of_time(at_us, entropy):
    """Version 7, variant 2, milliseconds first: later ids sort after earlier ones."""
    text = make_jti(at_us, entropy)
    assert (text[14], text[19] in "89ab") == ("7", True)
    assert int(text.replace("-", "")[:12], 16) == at_us // 1000 % 2**48


# --- other implementations --------------------------------------------------------------------------------------------


def test_another_library_verifies_the_jwt():
    """jwcrypto finds the signature valid and reads the same claims."""
    token = JWS()
    token.deserialize(jwt_of(IN_MONEY))
    token.verify(JWK(**KEY.jwk()), alg="Ed25519")
    assert json.loads(token.payload) == to_claims(IN_MONEY)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command here")
def test_openssl_verifies_both_signatures(tmp_path):
    """The command checks the JWT's and the CWT's signature over the bytes that RFC 7515 and RFC 9052 name."""
    der = bytes.fromhex("302a300506032b6570032100") + KEY.raw  # RFC 8410 §4
    signed, _, encoded = jwt_of(IN_COMPUTE).rpartition(".")
    protected, _, payload, signature = cbor2.loads(qr_bytes(qr_of(IN_COMPUTE))[1:])
    cases = [
        (signed.encode(), base64url.decode(encoded)),
        (cbor2.dumps(["Signature1", protected, b"", payload]), signature),
    ]
    for message, signature in cases:
        for name, data in (("key", der), ("message", message), ("signature", signature)):
            (tmp_path / name).write_bytes(data)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in message -sigfile signature"
        done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_stranger_signs_nothing():
    """Both encodings, signed by a key that only claims to be ours."""
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert refusal(jwt_of(IN_MONEY, stranger.sign)) == "token-signature"
    assert refusal(qr_of(IN_MONEY, stranger.sign)) == "token-signature"
    assert refusal(jwt_of(IN_MONEY), {}) == refusal(qr_of(IN_MONEY), {}) == "token-kid"


@pytest.mark.parametrize("typ", ["compute-hold+jwt", "compute-voucher-pop+jwt", "usage-receipt+jwt", "JWT"])
def test_a_token_of_another_type_is_no_voucher(typ):
    """Even with a voucher's claims and the issuer's signature."""
    token = jws.sign(to_claims(IN_MONEY), typ=typ, kid=KEY.kid, signer=PRIVATE.sign)
    assert refusal(token) == "token-typ"


@given(st.text(max_size=60) | st.binary(max_size=60).map(qr_text) | st.text("SQ1:0AZ %", max_size=700))
def test_any_text_is_refused_by_our_error_alone(text):
    """Whatever is pasted or scanned, the caller has one exception to handle."""
    refusal(text)
    refusal(cwt.PREFIX + text)


def test_a_megabyte_is_refused_unread():
    """Size comes first in both encodings."""
    assert refusal("A" * 10**6) == refusal(cwt.PREFIX + "A" * 10**6) == "token-too-large"


# --- claims -----------------------------------------------------------------------------------------------------------

PLACE = {"idx": 5, "uri": "https://quan.example/status-lists/26q4"}
DETAIL = to_claims(IN_MONEY)["authorization_details"][0]
QUANTITY = to_claims(IN_COMPUTE)["authorization_details"][0]


def with_detail(**members):
    detail = {name: value for name, value in (DETAIL | members).items() if value is not None}
    return {"authorization_details": [detail]}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"iss": "quan"}, "/iss"),
        ({"iss": "https://quan.example/ a"}, "/iss"),
        ({"iss": 1}, "/iss"),
        ({"sub": "urn:uscc:91350100M000100Y44"}, "/sub"),
        ({"sub": "91350100M000100Y43"}, "/sub"),
        ({"aud": "urn:programme:other"}, "/aud"),
        ({"aud": [programme_urn(SANDBOX.id)]}, "/aud"),
        ({"iat": True}, "/iat"),
        ({"iat": -1}, "/iat"),
        ({"iat": "1795310137"}, "/iat"),
        ({"exp": 253_402_300_800}, "/exp"),
        ({"exp": IN_MONEY.not_before_s}, "/exp"),
        ({"jti": IN_MONEY.jti.upper()}, "/jti"),
        ({"jti": "{" + IN_MONEY.jti + "}"}, "/jti"),
        ({"jti": IN_MONEY.jti.replace("-7", "-4")}, "/jti"),
        ({"cnf": {}}, "/cnf"),
        ({"cnf": {"jkt": "short"}}, "/cnf/jkt"),
        ({"cnf": {"jkt": "A" * 42 + "B"}}, "/cnf/jkt"),
        ({"cnf": {"jkt": HOLDER_KEY.kid, "jwk": HOLDER_KEY.jwk()}}, "/cnf"),
        ({"status": {}}, "/status"),
        ({"status": {"status_list": PLACE, "identifier_list": {}}}, "/status"),
        ({"status": {"status_list": {"idx": 0}}}, "/status/status_list"),
        ({"status": {"status_list": PLACE | {"idx": -1}}}, "/status/status_list/idx"),
        ({"status": {"status_list": PLACE | {"idx": True}}}, "/status/status_list/idx"),
        ({"status": {"status_list": PLACE | {"idx": 2**23}}}, "/status/status_list/idx"),
        ({"status": {"status_list": PLACE | {"uri": "quan"}}}, "/status/status_list/uri"),
        ({"act": {"sub": "student"}}, ""),
        ({"authorization_details": []}, "/authorization_details"),
        ({"authorization_details": DETAIL}, "/authorization_details"),
        ({"authorization_details": [DETAIL, DETAIL]}, "/authorization_details"),
        ({"authorization_details": ["all"]}, "/authorization_details/0"),
        (with_detail(type="compute_lease"), "/authorization_details/0/type"),
        (with_detail(offline=True), "/authorization_details/0"),
        (with_detail(qty="1"), "/authorization_details/0"),
        (with_detail(face=None), "/authorization_details/0"),
        (with_detail(cur="USD"), "/authorization_details/0/cur"),
        (with_detail(cur=None), "/authorization_details/0"),
        (with_detail(scheme="Other"), "/authorization_details/0/scheme"),
        (with_detail(locations=[]), "/authorization_details/0/locations"),
        (with_detail(locations="*"), "/authorization_details/0/locations"),
        (with_detail(locations=["*", "urn:centre:sj01"]), "/authorization_details/0/locations"),
        (with_detail(locations=["urn:centre:sj02", "urn:centre:sj01"]), "/authorization_details/0/locations"),
        (with_detail(locations=["urn:centre:sj01", "urn:centre:sj01"]), "/authorization_details/0/locations"),
        (with_detail(locations=["urn:centre:松江"]), "/authorization_details/0/locations"),
        (with_detail(actions=[]), "/authorization_details/0/actions"),
        (with_detail(actions=["infer", "train"]), "/authorization_details/0/actions"),
        (with_detail(actions=["mine"]), "/authorization_details/0/actions"),
        ({"authorization_details": [QUANTITY | {"unit": "card.h"}]}, "/authorization_details/0/unit"),
        ({"authorization_details": [QUANTITY | {"precision": "FP8"}]}, "/authorization_details/0/precision"),
        ({"authorization_details": [QUANTITY | {"cur": "CNY"}]}, "/authorization_details/0"),
    ],
    ids=str,
)
def test_a_claim_of_another_form_is_refused_by_name(change, where):
    """Missing, unknown and misshapen members are each refused where they stand, though rightly signed."""
    token = jws.sign(to_claims(IN_MONEY) | change, typ=JWT_TYPE, kid=KEY.kid, signer=PRIVATE.sign)
    with pytest.raises(VoucherError) as caught:
        read_voucher(token, KEYS)
    assert (caught.value.code, caught.value.findings[0].where) == ("voucher-claims", where)


@pytest.mark.parametrize("name", sorted(to_claims(IN_MONEY)))
def test_no_claim_may_be_missing(name):
    """Only the holder's key and the place in a status list are optional."""
    claims = {key: value for key, value in to_claims(IN_MONEY).items() if key != name}
    with pytest.raises(VoucherError, match=name):
        from_claims(claims)


@pytest.mark.parametrize(
    "face", ["0", "0.0", "01", "1.", ".5", "1.0000001", "1e3", "-1", "+1", "１", "1 ", "1_0", "9" * 15]
)
def test_an_amount_that_is_no_plain_positive_decimal_is_refused(face):
    """Zero, signs, exponents, full-width digits, seven decimals and more than a ledger holds."""
    with pytest.raises(VoucherError, match="face"):
        from_claims(to_claims(IN_MONEY) | with_detail(face=face))


@pytest.mark.parametrize("face", [1, 1.5, None, True, ["1"]])
def test_an_amount_is_text(face):
    """A number would be read as a float by somebody."""
    with pytest.raises(VoucherError):
        from_claims(to_claims(IN_MONEY) | {"authorization_details": [DETAIL | {"face": face}]})


# --- context ----------------------------------------------------------------------------------------------------------


def verified(voucher, **change):
    context = {"revoked": {}, "issuer": ISSUER, "audience": AUDIENCE, "now_s": NOW_S} | change
    first, second = (outcome(text, voucher, context) for text in (jwt_of(voucher), qr_of(voucher)))
    assert first == second
    return first


def outcome(text, voucher, context):
    try:
        return "ok" if verify_voucher(text, KEYS, **context) == voucher else "another voucher"
    except VoucherError as error:
        return error.code if error.kind is Kind.PROOF else error.kind


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "ok"),
        ({"issuer": "https://other.example"}, "voucher-issuer"),
        ({"audience": {programme_urn("other")}}, "voucher-audience"),
        ({"audience": set()}, "voucher-audience"),
        ({"centre": "sj01"}, "ok"),
        ({"centre": "sj03"}, "voucher-centre"),
        ({"now_s": NOW_S - 60}, "ok"),
        ({"now_s": NOW_S - 61}, "voucher-not-yet-valid"),
        ({"now_s": NOW_S + 3600 + 59}, "ok"),
        ({"now_s": NOW_S + 3600 + 60}, "voucher-expired"),
        ({"now_s": 0}, "voucher-not-yet-valid"),
        ({"revoked": {KEY.kid: NOW_S + 1}}, "ok"),
        ({"revoked": {KEY.kid: NOW_S}}, "voucher-key-revoked"),
        ({"revoked": {KEY.kid: 0}}, "voucher-key-revoked"),
        ({"revoked": {HOLDER_KEY.kid: 0}}, "ok"),
    ],
    ids=str,
)
def test_a_voucher_holds_for_its_issuer_programme_centre_and_time(change, expected):
    """Both encodings give the same verdict; clocks may differ by 60 seconds and no more."""
    assert verified(IN_COMPUTE, **change) == expected


def test_a_voucher_for_every_centre_is_taken_at_any():
    """No list of centres in it means all of the programme's."""
    assert verified(IN_MONEY, centre="anywhere") == "ok"


def test_a_signed_time_before_validity_does_not_hold():
    """nbf in the future of a voucher issued long ago: not yet."""
    early = dataclasses.replace(IN_COMPUTE, issued_at_s=0, not_before_s=NOW_S + 61)
    assert verified(early) == "voucher-not-yet-valid"


def test_the_assets_of_the_ledger_are_the_units_of_vouchers():
    """A third asset would need claims of its own."""
    assert set(ASSETS.values()) == {CNY, COMPUTE}
