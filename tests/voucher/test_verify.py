"""The verifier's library needs keys and status lists, and says no when either is missing, old or of somebody else."""

import dataclasses
import json
import shutil
import socket
import subprocess
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import base64url, jws
from ledger.errors import Kind
from tests.voucher.samples import HOLDER_KEY, IN_COMPUTE, ISSUER, KEY, KEYS, NOW_S, SANDBOX, jwt_of, qr_of
from tests.voucher.test_sm2 import EXAMPLE, example
from voucher import dual
from voucher.document import JWT_TYPE, jwt_input, programme_urn, read_signed, read_voucher, token_digest
from voucher.errors import VoucherError
from voucher.sm2 import Sm2Key, from_der
from voucher.status_list import BITS, StatusList, StatusPlace, pack
from voucher.verify import Trust, verify

URI = "https://quan.example/status-lists/26q4"
VOUCHER = dataclasses.replace(IN_COMPUTE, status=StatusPlace(7, URI))
TRUST = Trust(ISSUER, KEYS)
LISTS = {URI: StatusList(URI, NOW_S, NOW_S + 86_400, BITS, pack([(1, 1), (2, 2), (3, 3)], 64))}


def outcome(text, trust=TRUST, **context):
    context = {"now_s": NOW_S, "statuses": LISTS} | context
    try:
        return verify(text, trust, **context).voucher
    except VoucherError as error:
        return error.code if error.kind is Kind.PROOF else error.kind


def both(voucher, **context):
    first, second = (outcome(text, **context) for text in (jwt_of(voucher), qr_of(voucher)))
    assert first == second
    return first


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, VOUCHER.jti),
        (1, "voucher-revoked"),
        (2, "voucher-suspended"),
        (3, "voucher-exhausted"),
        (64, "status-index"),
    ],
)
def test_the_status_decides(index, expected):
    """Valid, revoked, suspended, exhausted, and a place that the list does not have."""
    found = both(dataclasses.replace(VOUCHER, status=StatusPlace(index, URI)))
    assert (found if isinstance(found, str) else found.jti) == expected


def test_ten_thousand_unknown_keys_are_ten_thousand_refusals(monkeypatch):
    """A key that is not held is refused by one look at those that are: nothing is fetched, no signature is computed."""

    def forbidden(*_, **__):
        raise AssertionError

    head, *rest = jwt_of(VOUCHER).split(".")
    header = json.loads(base64url.decode(head))
    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(type(KEY), "verify", forbidden)
    with pytest.raises(AssertionError):
        outcome(jwt_of(VOUCHER))
    for number in range(10_000):
        kid = base64url.encode(sha256(number.to_bytes(4)).digest())
        unknown = base64url.encode(json.dumps(header | {"kid": kid}, separators=(",", ":")).encode())
        assert outcome(".".join((unknown, *rest))) == "token-kid"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"statuses": {}}, "voucher-status-unknown"),
        ({"statuses": {URI + "x": LISTS[URI]}}, "voucher-status-unknown"),
        ({"statuses": {URI: dataclasses.replace(LISTS[URI], expires_at_s=NOW_S - 60)}}, "status-list-expired"),
        ({"statuses": {URI: dataclasses.replace(LISTS[URI], issued_at_s=NOW_S + 61)}}, "status-list-future"),
        ({"now_s": NOW_S - 61}, "voucher-not-yet-valid"),
        ({"now_s": NOW_S + 3660}, "voucher-expired"),
        ({"audience": {programme_urn(SANDBOX.id)}, "centre": "sj01"}, VOUCHER),
        ({"audience": {programme_urn("other")}}, "voucher-audience"),
        ({"centre": "sj03"}, "voucher-centre"),
        ({"statuses": None}, VOUCHER),
        ({"trust": dataclasses.replace(TRUST, issuer="https://other.example")}, "voucher-issuer"),
        ({"trust": dataclasses.replace(TRUST, keys={})}, "token-kid"),
        ({"trust": dataclasses.replace(TRUST, revoked={KEY.kid: NOW_S + 10**6})}, "voucher-key-revoked"),
        ({"trust": dataclasses.replace(TRUST, revoked={HOLDER_KEY.kid: 0})}, VOUCHER),
    ],
    ids=str,
)
def test_what_is_missing_old_or_foreign_is_refused(change, expected):
    """No list, another's, an old one, a clock put back, another programme, centre, issuer, a revoked key at any date."""
    assert both(VOUCHER, **change) == expected


def test_a_voucher_without_a_place_has_no_status():
    """Where statuses are asked for it is refused; where they are not, it is for the ledger to say."""
    assert both(IN_COMPUTE) == "voucher-status-missing"
    assert both(IN_COMPUTE, statuses=None) == IN_COMPUTE


def test_one_voucher_under_many_spellings_is_one_voucher():
    """JWT, QR and a token with two signatures say one issuer and id; every other spelling of them is refused."""
    spellings = (jwt_of(VOUCHER), qr_of(VOUCHER), dual.join(jwt_of(VOUCHER), jwt_of(VOUCHER)))
    assert {(found.issuer, found.jti) for found in map(outcome, spellings)} == {(ISSUER, VOUCHER.jti)}
    mutations = (lambda t: t + "=", lambda t: t + "\n", lambda t: " " + t, lambda t: t[:-1], lambda t: t + t)
    for text in spellings:
        for mutate in mutations:
            assert isinstance(outcome(mutate(text)), str)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = jwt_of(VOUCHER)
    for character in last:  # the unused bits of the last character
        assert character == token[-1] or isinstance(outcome(token[:-1] + character), str)


# --- two signatures ---------------------------------------------------------------------------------------------------

needs_sm2 = pytest.mark.skipif(
    shutil.which("openssl") is None or not EXAMPLE.is_file(), reason="no openssl command, or no shared vectors"
)


@pytest.fixture(scope="module")
def sm2(tmp_path_factory):
    """An SM2 key whose private half OpenSSL keeps, and its signer."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here")
    folder = tmp_path_factory.mktemp("sm2")

    def openssl(command):
        return subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True, check=True).stdout

    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out key.pem")
    point = openssl("pkey -in key.pem -pubout -outform DER")[-65:]

    def sign(message):
        (folder / "message").write_bytes(message)
        options = "-rawin -digest sm3 -pkeyopt distid:1234567812345678"
        openssl(f"pkeyutl -sign -inkey key.pem {options} -in message -out signature")
        return from_der((folder / "signature").read_bytes())

    return Sm2Key(point[1:33], point[33:]), sign


@pytest.fixture(scope="module")
def twice(sm2):
    """A voucher signed by Ed25519 and SM2, and who trusts both keys and requires both."""
    key, sign = sm2
    signed = jwt_input(VOUCHER, KEY.kid)
    second = dual.second_input(signed, typ=JWT_TYPE, kid=key.kid)
    token = dual.join(jwt_of(VOUCHER), jws.compact(second, sign(second)))
    required = frozenset({"Ed25519", "SM2-SM3"})
    return token, dataclasses.replace(TRUST, keys={**KEYS, key.kid: key}, required=required)


def test_two_signatures_verify_and_either_is_missed(twice, sm2):
    """Both hold; whoever requires both refuses one of them alone, in every form; whoever does not takes the first."""
    token, strict = twice
    assert outcome(token, strict) == VOUCHER
    assert verify(token, strict, now_s=NOW_S, statuses=LISTS).kids == (KEY.kid, sm2[0].kid)
    first, second = dual.split(token)
    for stripped in (first, qr_of(VOUCHER), second, dual.join(first, first), dual.join(second, second)):
        assert outcome(stripped, strict) == "voucher-signature-missing"
    assert outcome(token) == VOUCHER
    assert read_voucher(token, KEYS) == (KEY.kid, VOUCHER)
    assert outcome(second, dataclasses.replace(strict, required=TRUST.required)) == "voucher-signature-missing"


def test_a_scheme_may_require_more_than_its_issuer(twice):
    """What a scheme says of its vouchers goes before what the issuer says of all."""
    _, strict = twice
    trust = dataclasses.replace(strict, required=TRUST.required, required_of={SANDBOX.id: strict.required})
    assert outcome(jwt_of(VOUCHER), trust) == "voucher-signature-missing"
    assert outcome(jwt_of(VOUCHER), dataclasses.replace(trust, required_of={"other": strict.required})) == VOUCHER


def test_a_wrong_second_signature_spoils_the_token(twice, sm2):
    """Of another payload, flipped in any byte, by a key under another name, or in DER."""
    token, strict = twice
    other = jwt_input(dataclasses.replace(VOUCHER, units=1_000_000_000), KEY.kid)
    second = dual.second_input(other, typ=JWT_TYPE, kid=sm2[0].kid)
    swapped = jws.compact(second, sm2[1](second))
    first, right = dual.split(token)
    signed, _, signature = right.rpartition(".")
    for text in (
        dual.join(first, f"{signed}.{swapped.rpartition('.')[2]}"),
        *(dual.join(first, f"{signed}.{base64url.encode(_flipped(signature, place))}") for place in range(64)),
    ):
        assert outcome(text, strict) == "token-signature"


def _flipped(signature, place):
    data = bytearray(base64url.decode(signature))
    data[place] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.replace('{"payload"', '{ "payload"'),
        lambda t: t.replace('"signatures"', '"more":1,"signatures"'),
        lambda t: t.replace('"protected"', '"header":{},"protected"', 1),
        lambda t: t[:-2] + "," + t[t.index('{"protected"') : -2] + "]}",
        lambda t: t.replace('"payload":"', '"payload":"A.'),
        lambda t: "{" + t,
        lambda t: "{}",
        lambda t: '{"payload":"","signatures":[]}',
        lambda t: '{"payload":"","signatures":[{},{}]}',
        lambda t: "{" * 9000,
    ],
    ids=["space", "member", "header", "third", "dot", "brace", "empty", "none", "bare", "deep"],
)
def test_a_token_with_two_signatures_has_one_spelling(twice, spoil):
    """White space, unknown members, an unprotected header, a third signature, dots within."""
    token, strict = twice
    assert outcome(spoil(token), strict).startswith("token-")


@given(st.text(max_size=50))
def test_any_text_is_refused_by_our_error_alone(text):
    """Whatever is pasted, in any of the three forms."""
    for prefix in ("", "{", "SQ1:", '{"payload":"'):
        assert isinstance(outcome(prefix + text), str)


def test_the_digest_of_a_token_is_that_of_its_signed_bytes(twice):
    """`ath` is the same for a JWT and for the same JWT with a second signature, and another for the QR code."""
    token, _ = twice
    assert token_digest(token) == token_digest(jwt_of(VOUCHER)) != token_digest(qr_of(VOUCHER))
    assert read_signed(token, KEYS)[0] == (KEY.kid,)


@needs_sm2
def test_another_sm2_key_does_not_stand_in(twice):
    """The second signature counts only for a key that the verifier has."""
    token, strict = twice
    other = example()[0]
    trust = dataclasses.replace(strict, keys={**KEYS, other.kid: other})
    assert outcome(token, trust) == "voucher-signature-missing"
