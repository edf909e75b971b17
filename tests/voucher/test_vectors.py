"""Other people's vectors on our primitives: what they call valid our keys verify, what they call invalid nothing of ours takes.

Our tokens are stricter than the standards: a profile of them, in which no foreign token is one of ours. What is shared is
below that, keys, signatures and encodings, and those get the published verdicts here. `docs/vouchers.md` lists the sets.
"""

import base64
import hashlib
import json
import zlib

import base45
import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from ledger import base64url, jws
from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from tests.shared_data import SHARED, needs_shared
from tests.voucher.samples import refusal
from voucher import cwt
from voucher.errors import VoucherError
from voucher.p256 import P256Key, holder_key
from voucher.sm2 import _sm3

VECTORS = SHARED / "vectors"
pytestmark = needs_shared


def load(name):
    return json.loads((VECTORS / name).read_text("utf-8-sig"))


def public(jwk):
    return {name: value for name, value in jwk.items() if name not in {"d", "p", "q", "dp", "dq", "qi"}}


# --- JOSE -------------------------------------------------------------------------------------------------------------

EITHER = {346, 347, 350, 351, 372, 373}
"""Traps of the set, told in its README; all are of algorithms or encodings that are not ours."""


def verdict(token, jwk):
    """Verdict of a plain JWS verifier made of our parts: strict segments and JSON, a checked key, its one algorithm."""
    try:
        header, payload, signature = (base64url.decode(segment) for segment in token.split("."))
        key, members = holder_key(jwk), jws.parse_object(header)
    except (ValueError, DomainError):
        return False
    if members.get("alg") != key.algorithm or {"jwk", "jku", "x5c", "x5u", "crit"} & members.keys():
        return False
    assert isinstance(payload, bytes)
    return key.verify(signature, token.rpartition(".")[0].encode())


@pytest.mark.parametrize("name", ["json_web_signature", "json_web_crypto", "json_web_key"])
def test_wycheproof_es256_tokens_get_their_verdict(name):
    """Modified, cut off, under a key for encryption, under a JWK off the curve or of another algorithm, r and s at their bounds."""
    seen = 0
    for group in load(f"wycheproof/{name}_test.json")["testGroups"]:
        given = group.get("public") or group["private"]
        for jwk in given.get("keys", [given]):
            if jwk.get("crv") != "P-256":
                continue
            for case in group["tests"]:
                if case["tcId"] not in EITHER and "jws" in case:
                    assert verdict(case["jws"], public(jwk)) == (case["result"] == "valid"), case
                    seen += 1
    assert seen >= 3


@pytest.mark.parametrize("name", ["json_web_signature", "json_web_crypto", "json_web_key"])
def test_no_wycheproof_token_is_a_voucher(name):
    """Right or wrong by their own rules: none has our type, key and claims; the JSON serialization is refused as well."""
    seen = 0
    for group in load(f"wycheproof/{name}_test.json")["testGroups"]:
        for case in group["tests"]:
            for token in (case.get("jws"), case.get("jwe")):
                if token is not None:
                    refusal(token if isinstance(token, str) else json.dumps(token))
                    seen += 1
    assert seen >= 13


def test_keys_for_other_uses_and_algorithms_are_refused():
    """Every EC, RSA or symmetric key of the set that is not a P-256 signing key for ES256."""
    refused = 0
    for name in ("json_web_key", "json_web_signature", "json_web_crypto"):
        for group in load(f"wycheproof/{name}_test.json")["testGroups"]:
            given = group.get("public") or group["private"]
            for jwk in given.get("keys", [given]):
                right = (jwk.get("kty"), jwk.get("crv"), jwk.get("alg"), jwk.get("use")) == (
                    "EC",
                    "P-256",
                    "ES256",
                    "sig",
                )
                if right and group["comment"] != "invalid_point":
                    assert holder_key(public(jwk)).algorithm == "ES256"
                else:
                    with pytest.raises(DomainError):
                        holder_key(public(jwk))
                    refused += 1
    assert refused > 20


def test_the_ed25519_token_of_rfc_8037_holds_by_its_bytes_and_is_none_of_ours():
    """Its signature verifies under our key; the deprecated `EdDSA`, no type and no key id make it no token."""
    example = load("jose/rfc7520-cookbook/ed25519-jws.json")
    key = PublicKey.from_jwk(public(example["input"]["key"]))
    signed, _, signature = example["output"]["compact"].rpartition(".")
    assert key.verify(base64url.decode(signature), signed.encode())
    refusal(example["output"]["compact"], {key.kid: key})
    refusal(json.dumps(example["output"]["json"]), {key.kid: key})


def test_no_token_of_the_cookbook_is_a_voucher():
    """RSA, P-521 and HMAC, compact, general and flattened; their EC keys are of another curve."""
    for path in sorted((VECTORS / "jose/rfc7520-cookbook").glob("*.json")):
        example = json.loads(path.read_text("utf-8"))
        if "output" in example:
            for form in example["output"].values():
                refusal(form if isinstance(form, str) else json.dumps(form))
        else:
            with pytest.raises(DomainError):
                holder_key(example)


# --- COSE and CWT -----------------------------------------------------------------------------------------------------


def cose_key(jwk):
    """Our key of an example's, which writes members in hex or in base64url; None for curves and kinds that are not ours."""
    raw = {
        name: bytes.fromhex(jwk[f"{name}_hex"]) if f"{name}_hex" in jwk else base64url.decode(jwk[name])
        for name in ("x", "y")
        if name in jwk or f"{name}_hex" in jwk
    }
    match jwk.get("crv"):
        case "P-256":
            return P256Key(raw["x"], raw["y"])
        case "Ed25519":
            return PublicKey(raw["x"])
    return None


ALGORITHMS = {"ES256": -7, "Ed25519": -8}
"""The examples use −8, which −19 has replaced (RFC 9864); our own tokens take −19 alone."""


def sign1_holds(data, key):
    """Verdict of a plain COSE_Sign1 verifier made of our parts."""
    if data[:1] != b"\xd2":
        return False
    protected, _, payload, signature = cbor2.loads(data[1:])
    header = cbor2.loads(protected) if protected else {}
    if header.get(1) != ALGORITHMS[key.algorithm]:
        return False
    return key.verify(signature, cwt.sig_structure(protected, payload))


def test_cose_sign1_examples_get_their_verdict():
    """P-256 and Ed25519 messages with one signer: the good ones hold, wrong tag, signature or header do not."""
    seen = {True: 0, False: 0}
    for path in sorted((VECTORS / "cose").rglob("*.json")):
        example = json.loads(path.read_text("utf-8"))
        parts = example["input"].get("sign0")
        key = parts and cose_key(parts["key"])
        if key is None or "external" in parts:
            continue
        expected = not example.get("fail", False)
        assert sign1_holds(bytes.fromhex(example["output"]["cbor"]), key) == expected, path.name
        seen[expected] += 1
    assert seen[True] >= 1
    assert seen[False] >= 3


def test_no_cose_example_is_a_token_of_ours():
    """CWTs of RFC 8392, signed, encrypted, authenticated, countersigned or with certificates: none verifies as ours.

    The examples' own keys are offered under their own names, so it is the form that refuses them.
    """
    for path in sorted((VECTORS / "cose").rglob("*.json")):
        example = json.loads(path.read_text("utf-8"))
        data = bytes.fromhex(example["output"]["cbor"])
        key = cose_key(example["input"]["sign0"]["key"]) if "sign0" in example["input"] else None
        with pytest.raises(VoucherError):
            cwt.verify_bytes(data, {key.kid: key} if key else {}, "application/compute-voucher+cwt")


def certificate_holds(text, certificate):
    """Verdict of a health certificate's verifier made of our parts: base45, COSE, key id in the protected header, ES256."""
    found = x509.load_der_x509_certificate(base64.b64decode(certificate))
    public_key = found.public_key()
    if not isinstance(public_key, EllipticCurvePublicKey):
        return None
    point = public_key.public_numbers()
    key = P256Key(point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big"))
    data = zlib.decompress(base45.b45decode(text.removeprefix("HC1:")))
    data = data.removeprefix(b"\xd8\x3d")  # CWT tag around
    if data[:1] != b"\xd2":
        return False
    protected, unprotected, payload, signature = cbor2.loads(data[1:])
    header = cbor2.loads(protected) if protected else {}
    kid = hashlib.sha256(found.public_bytes(Encoding.DER)).digest()[:8]
    if header.get(4, kid if unprotected.get(4) == kid else None) != kid or header.get(1) != -7:
        return False
    return key.verify(signature, cwt.sig_structure(protected, payload))


def test_health_certificates_get_their_verdict():
    """The chain that our QR codes follow, but for the compression: signatures by P-256 hold or not as published."""
    seen = {True: 0, False: 0}
    for path in sorted((VECTORS / "hcert-dcc").rglob("*.json")):
        case = json.loads(path.read_text("utf-8-sig"))
        expected = case["EXPECTEDRESULTS"].get("EXPECTEDVERIFY")
        if expected is None or "PREFIX" not in case:
            continue
        found = certificate_holds(case["PREFIX"], case["TESTCTX"]["CERTIFICATE"])
        if found is not None:
            assert found == expected, path.name
            seen[expected] += 1
    assert min(seen.values()) >= 1, seen


# --- SM ---------------------------------------------------------------------------------------------------------------


def test_sm3_is_that_of_the_standard():
    """Both examples of GB/T 32905 A."""
    cases = load("sm/sm3.json")
    assert cases
    for case in cases:
        assert _sm3(case["msg"].encode()).hex() == case["digest"]
