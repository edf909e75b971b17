"""Another language's library, node's `jose`, verifies our vouchers and status lists with nothing but the published key set."""

import dataclasses
import json
import shutil
import subprocess

import pytest

from ledger import base64url
from tests.voucher.samples import IN_COMPUTE, IN_MONEY, ISSUER, KEY, NOW_S, jwt_of
from tests.voucher.test_status_list import LISTED, URI
from tests.voucher.test_status_list import jwt_of as list_of
from voucher.document import JWT_TYPE, programme_urn, to_claims
from voucher.keys import KeyRegistry

VERIFY = """
const { jwtVerify, createLocalJWKSet } = require('jose');
const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const { token, jwks, options } = asked;
options.currentDate = new Date(asked.now_s * 1000);
jwtVerify(token, createLocalJWKSet(jwks), options).then(
  ({ payload, protectedHeader }) => console.log(JSON.stringify({ payload, protectedHeader })),
  (error) => { console.log(JSON.stringify({ code: error.code })); });
"""
JWKS = KeyRegistry(ISSUER).announced(KEY).activated(KEY.kid).jwks()


def node(script, data=""):
    return subprocess.run(
        ["node", "-e", script], input=data, capture_output=True, text=True, check=True, timeout=60
    ).stdout


@pytest.fixture(scope="module", autouse=True)
def _jose():
    if shutil.which("node") is None:
        pytest.skip("no node here")
    try:
        node("require('jose')")
    except subprocess.CalledProcessError:
        pytest.skip("node has no package jose here; set NODE_PATH to a folder that has it")


def verified(token, **options):
    data = {"token": token, "jwks": JWKS, "now_s": NOW_S, "options": {"algorithms": ["Ed25519"], **options}}
    return json.loads(node(VERIFY, json.dumps(data)))


@pytest.mark.parametrize("voucher", [IN_MONEY, IN_COMPUTE], ids=["money", "compute"])
def test_jose_verifies_a_voucher(voucher):
    """Signature, type, issuer, audience and time; the claims are those we wrote."""
    found = verified(jwt_of(voucher), issuer=ISSUER, audience=programme_urn(voucher.scheme), typ=JWT_TYPE)
    assert found["payload"] == to_claims(voucher)
    assert found["protectedHeader"] == {"alg": "Ed25519", "typ": JWT_TYPE, "kid": KEY.kid}


def test_jose_verifies_a_status_list():
    """The Status List Token, by its own type."""
    found = verified(list_of().decode(), typ="statuslist+jwt")["payload"]
    assert (found["sub"], found["exp"], found["status_list"]["bits"]) == (URI, LISTED.expires_at_s, 2)
    assert base64url.decode(found["status_list"]["lst"])


def test_jose_refuses_what_we_refuse():
    """A changed payload, another issuer, another type, an expired voucher."""
    token = jwt_of(IN_MONEY)
    header, _, signature = token.split(".")
    other = jwt_of(dataclasses.replace(IN_MONEY, units=9_000_000)).split(".")[1]
    assert verified(f"{header}.{other}.{signature}")["code"] == "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"
    assert verified(token, issuer="https://other.example")["code"] == "ERR_JWT_CLAIM_VALIDATION_FAILED"
    assert verified(token, typ="statuslist+jwt")["code"] == "ERR_JWT_CLAIM_VALIDATION_FAILED"
    expired = jwt_of(dataclasses.replace(IN_MONEY, not_before_s=NOW_S - 9, expires_at_s=NOW_S - 1))
    assert verified(expired)["code"] == "ERR_JWT_EXPIRED"
