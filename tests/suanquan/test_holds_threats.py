"""Threats against holds, over HTTP: one voucher under many strings, stripped signatures, changed addresses, sheer size."""

import dataclasses
import json
import shutil
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import base64url
from ledger.ed25519 import PublicKey
from ledger.errors import DomainError
from metering.agent.keys import create_key, load_key
from suanquan.use_cases.present import prove
from suanquan.use_cases.rotate import KeyPlace, rotate
from tests.suanquan.harness import SCHEME, assert_problem, request
from tests.suanquan.spender import HOLDER, Spender, give
from tests.suanquan.test_holds_http import state
from tests.suanquan.test_keys import room
from tests.tampering import altered
from voucher.errors import VoucherError
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest

SMALL = [
    bytes.fromhex(each)
    for each in (
        "01" + "00" * 31,
        "01" + "00" * 30 + "80",
        "00" * 32,
        "ec" + "ff" * 30 + "7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    )
]
"""Points of order 1, 1 written twice, 4, 2, 8 and 8."""


@pytest.fixture
def centre(service):
    return Spender(service.url)


def test_one_jti_under_many_strings_is_one_voucher(service, centre):
    """JWT and QR text are two spellings of one balance; every other spelling of either is refused, so nothing is doubled."""
    voucher = give(service)
    token, text = voucher.token, voucher.cwt
    odd = (f"{token}=", f" {token}", f"{token}\n", token.replace(".", "=.", 1), f"{token}.", f"{text} ", text.lower())
    for spelling in odd:
        answer = centre.post("/v1/holds", {"voucher": spelling, "proof": centre.proof(token, 60)})
        assert answer.status == 422, spelling
    assert centre.hold(token, 60).status == 200
    assert_problem(centre.hold(text, 60), 409, "insufficient")
    assert centre.hold(text, 40).status == 200
    assert state(service, voucher.jti) == ("0", "100", "0")


def test_a_known_voucher_is_refused_once_it_may_not_be_spent(service, centre):
    """What was verified before is remembered by its text; key, standing and time are looked at each time all the same."""
    voucher, other = give(service), give(service, number=2)
    assert centre.hold(voucher.token, 1).status == centre.hold(other.token, 1).status == 200
    forged = altered(voucher.token)
    assert_problem(centre.hold(forged, 1), 422, "token-signature")
    old = service.service.keys.signing_key().kid
    service.call(rotate(room(service), KeyPlace()))
    assert centre.hold(voucher.token, 1).status == 200
    registry = service.service.keys.revoked(old, at_s=int(time.time()) - 3600, reason="stolen")
    service.service.home.save_registry(registry)
    assert_problem(centre.hold(voucher.token, 1), 422, "voucher-key-revoked")
    assert state(service, voucher.jti) == ("98", "2", "0")


def test_a_scheme_that_asks_for_sm2_takes_no_less(service, centre):
    """Both signatures hold; with the SM2 signature stripped, or as QR text, the voucher buys nothing (T21)."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here")
    series = service.service.catalog.series[SCHEME]
    strict = [
        dataclasses.replace(one, spending=dataclasses.replace(one.spending, signatures=("Ed25519", "SM2-SM3")))
        for one in series.versions
    ]
    service.service.catalog.series[SCHEME] = dataclasses.replace(series, versions=tuple(strict))
    with pytest.raises(VoucherError) as caught:
        give(service)
    assert caught.value.code == "key-none-active"
    service.call(rotate(room(service), KeyPlace(sm2=True)))
    voucher = give(service)
    for _ in range(2):
        for form in (voucher.token, voucher.cwt):
            assert_problem(centre.hold(form, 1), 422, "voucher-signature-missing")
        assert centre.hold(voucher.dual, 1).status == 200
    both = json.loads(voucher.dual)
    both["signatures"][1]["signature"] = both["signatures"][0]["signature"]
    assert_problem(centre.hold(json.dumps(both, separators=(",", ":")), 1), 422, "token-signature")


def test_the_address_that_was_signed_is_the_one_that_was_asked(service, centre):
    """A query that nobody signed, and a path of another route, spoil the agent's signature (T6)."""
    body = b"{}"
    for asked, signed in (("/v1/nonces?count=9", "/v1/nonces"), ("/v1/nonces", "/v1/holds")):
        answer = request(service.url, "POST", asked, body, centre.headers(signed, body))
        assert_problem(answer, 401, "signature-wrong")


def test_size_is_looked_at_before_any_signature(service, centre):
    """Tokens of a megabyte, deep nesting and a thousand links are refused, and the next hold is served (T20)."""
    voucher = give(service)
    proof = centre.proof(voucher.token, 1)
    assert centre.post("/v1/holds", {"voucher": "A" * 2**20, "proof": proof}).status == 413
    assert_problem(centre.post("/v1/holds", {"voucher": "A" * 9000, "proof": proof}), 422, "request-malformed")
    assert centre.post("/v1/holds", b"[" * 100_000).status == 422
    chain = {"voucher": voucher.token, "proof": proof, "delegations": ["a"] * 1000}
    assert_problem(centre.post("/v1/holds", chain), 422, "delegation-depth")
    assert centre.hold(voucher.token, 1).status == 200


def test_no_voucher_is_bound_to_a_key_of_small_order(service):
    """Under such a key any signature holds for any message: issuing refuses each of them, in every spelling (T13)."""
    for encoded in SMALL:
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(encoded)}
        with pytest.raises(DomainError) as caught:
            service.call(service.service.issue(SCHEME, IssueRequest(sandbox_uscc(1), "CNY", "100", jwk)))
        assert caught.value.code == "issue-refused"
        assert {finding.where for finding in caught.value.findings} == {"/holder_key"}


def test_a_proof_made_offline_by_the_holder_is_taken(service, centre, tmp_path):
    """As `voucher present` makes it, for a hold and for raising it; under another key it is refused."""
    create_key(tmp_path / "holder.pem")
    key = PublicKey.of(load_key(tmp_path / "holder.pem").private)
    voucher = give(service, key=key)

    def proved(reference, amount):
        options = {"centre": "sj01", "unit": "CNY", "url": service.url, "nonce": centre.nonce()}
        return prove(voucher.token, tmp_path / "holder.pem", amount=amount, reference=reference, **options)

    made = proved("job:7", "12.5")
    held = centre.post(str(made["path"]), {"voucher": voucher.token, "proof": made["proof"]})
    assert held.content["amount"] == "12.500000", held
    more = proved(held.content["hold"], "7.5")
    assert centre.post(str(more["path"]), {"voucher": voucher.token, "proof": more["proof"]}).status == 200
    assert state(service, voucher.jti) == ("80", "20", "0")
    stranger = centre.proof(voucher.token, 1, key=PublicKey.of(HOLDER), signer=Ed25519PrivateKey.generate().sign)
    assert centre.post("/v1/holds", {"voucher": voucher.token, "proof": stranger}).status == 422
