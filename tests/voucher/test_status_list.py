"""A status list says what it was packed with, is signed for one address and one time, and never fails open."""

import json
import zlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import base64url, jws
from ledger.errors import Kind
from tests.shared_data import SHARED, needs_shared
from tests.voucher.samples import KEY, KEYS, NOW_S, PRIVATE
from voucher import cwt, status_list
from voucher.errors import VoucherError
from voucher.p256 import P256Key
from voucher.status_list import BITS, CWT_TYPE, JWT_TYPE, StatusList, compress, decompress, pack, verify

URI = "https://quan.example/status-lists/26q4"
LISTED = StatusList(URI, NOW_S, NOW_S + 86_400, BITS, pack([(0, 1), (5, 2), (63, 3)], entries=64))


def jwt_of(listed=LISTED, **changes):
    signed = status_list.jwt_input(listed, KEY.kid)
    if changes:
        claims = json.loads(base64url.decode(signed.decode().split(".")[1])) | changes
        return jws.sign(claims, typ=JWT_TYPE, kid=KEY.kid, signer=PRIVATE.sign).encode()
    return jws.compact(signed, PRIVATE.sign(signed)).encode()


def cwt_of(listed=LISTED):
    signed = status_list.cwt_input(listed, KEY.kid)
    return cwt.sign1(signed, PRIVATE.sign(signed))


def refused(token, **context):
    context = {"revoked": {}, "now_s": NOW_S, "uri": URI} | context
    with pytest.raises(VoucherError) as caught:
        verify(token, KEYS, **context)
    assert caught.value.kind is Kind.PROOF
    return caught.value.code


statuses = st.dictionaries(st.integers(0, 999), st.integers(0, 3), max_size=40)


@given(statuses, st.sampled_from([2, 4, 8]))
def test_a_list_says_what_it_was_packed_with(wanted, bits):
    """Every place, in both forms, whatever the bits an entry takes."""
    listed = StatusList(URI, NOW_S, NOW_S + 60, bits, pack(wanted.items(), 1000, bits))
    for token in (jwt_of(listed), cwt_of(listed)):
        found = verify(token, KEYS, revoked={}, now_s=NOW_S, uri=URI)
        assert found == listed
        assert all(found[index] == wanted.get(index, 0) for index in range(1000))


@pytest.mark.parametrize("index", [64, 65, 2**20, -1])
def test_a_place_outside_the_list_is_refused(index):
    """No place, no status: nothing is taken to be valid for want of an entry."""
    with pytest.raises(VoucherError) as caught:
        LISTED[index]
    assert caught.value.code == "status-index"


@pytest.mark.parametrize(
    ("context", "code"),
    [
        ({"uri": URI + "x"}, "status-list-uri"),
        ({"now_s": NOW_S - 61}, "status-list-future"),
        ({"now_s": NOW_S + 86_400 + 60}, "status-list-expired"),
        ({"revoked": {KEY.kid: NOW_S + 10**6}}, "voucher-key-revoked"),
        ({"newest": StatusList(URI, NOW_S + 1, NOW_S + 2, BITS, b"")}, "status-list-rolled-back"),
        ({"newest": StatusList(URI + "x", 0, 1, BITS, b"")}, "status-list-rolled-back"),
    ],
    ids=str,
)
def test_a_list_of_another_address_time_or_key_is_refused(context, code):
    """Swapped, expired, of a clock that was put back, of a revoked key, older than one seen before."""
    assert {refused(jwt_of(), **context), refused(cwt_of(), **context)} == {code}
    assert verify(jwt_of(), KEYS, revoked={}, now_s=NOW_S, uri=URI, newest=LISTED) == LISTED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status_list": {"bits": 3, "lst": base64url.encode(compress(b"\0"))}}, "voucher-claims"),
        ({"status_list": {"bits": True, "lst": base64url.encode(compress(b"\0"))}}, "voucher-claims"),
        ({"status_list": {"bits": 2, "lst": "AA="}}, "voucher-claims"),
        ({"status_list": {"bits": 2, "lst": 5}}, "voucher-claims"),
        ({"status_list": {"bits": 2, "lst": "AAAA"}}, "status-list-malformed"),
        ({"status_list": {"bits": 2, "lst": base64url.encode(compress(b"\0") + b"x")}}, "status-list-malformed"),
        ({"status_list": {"bits": 2, "lst": base64url.encode(compress(b"\0")[:-1])}}, "status-list-malformed"),
        ({"status_list": {"bits": 2}}, "voucher-claims"),
        ({"status_list": [2, "AA"]}, "voucher-claims"),
        ({"sub": 5}, "voucher-claims"),
        ({"exp": NOW_S + 0.5}, "token-json"),
        ({"more": 1}, "voucher-claims"),
    ],
    ids=str,
)
def test_a_list_of_another_form_is_refused(changes, code):
    """Three bits, stray bytes around the compressed data, missing and unknown members, though rightly signed."""
    if code == "token-json":
        with pytest.raises(jws.JwsError):
            jwt_of(**changes)
    else:
        assert refused(jwt_of(**changes)) == code


def test_a_bomb_is_not_inflated():
    """A hundred megabytes of zeros in 97 kB are refused when the first megabyte is out."""
    bomb = zlib.compress(bytes(100_000_000), 9)
    assert refused(jwt_of(status_list={"bits": 2, "lst": base64url.encode(bomb)})) == "status-list-malformed"
    signed = cwt.signing_input(
        {2: URI, 4: NOW_S + 9, 6: NOW_S, 65533: {"bits": 2, "lst": bomb}}, typ=CWT_TYPE, kid=KEY.kid
    )
    assert refused(cwt.sign1(signed, PRIVATE.sign(signed))) == "status-list-malformed"


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_by_our_error_alone(data):
    """Whatever a cache holds, the caller has one exception to handle."""
    refused(data)
    refused(b"\xd2" + data)


def test_our_list_of_a_quarter_is_small():
    """A million places of which one in a hundred is taken back: below 20 kB in either form."""
    listed = StatusList(URI, NOW_S, NOW_S + 9, BITS, pack((index, 1) for index in range(0, 2**20, 100)))
    assert len(listed.data) == 2**18
    assert max(len(jwt_of(listed)), len(cwt_of(listed))) < 20_000


# --- other people's ---------------------------------------------------------------------------------------------------

FOLDER = SHARED / "vectors/token-status-list"


@needs_shared
def test_the_drafts_short_lists_come_out_to_the_byte():
    """The byte arrays of the draft's examples, and the statuses in them: lowest bits first."""
    short = json.loads((FOLDER / "short.json").read_text())
    for name, bits in (("short_1bit", 1), ("short_2bit", 2)):
        data = decompress(base64url.decode(short[name]["enc"]["lst"]))
        assert [f"{byte:02x}" for byte in data] == short[name]["byte_array"]
        listed = StatusList(URI, 0, 1, bits, data)
        again = pack(((place, listed[place]) for place in range(len(data) * 8 // bits)), len(data) * 8 // bits, bits)
        assert again == data


@needs_shared
def test_the_drafts_long_list_has_its_entries():
    """A million places: the named ones are set, a sample of the others is not."""
    long = json.loads((FOLDER / "long_2bit.json").read_text())
    listed = StatusList(URI, 0, 1, long["enc"]["bits"], decompress(base64url.decode(long["enc"]["lst"])))
    assert len(listed.data) * 8 // listed.bits == long["size"]
    wanted = {int(index): status for index, status in long["nonzero"].items()}
    assert pack(wanted.items(), long["size"]) == listed.data
    assert all(listed[index] == status for index, status in wanted.items())


@needs_shared
def test_the_drafts_signed_list_verifies_under_its_p256_key():
    """The ES256 token of the draft, at its own time and address; not under our keys, not as a voucher."""
    example = json.loads((FOLDER / "status_list_jwt.json").read_text())
    jwk = {name: value for name, value in example["key"].items() if name != "d"}
    key, token = P256Key.from_jwk(jwk), example["jwt"].encode()
    uri = "https://example.com/statuslists/1"
    listed = verify(token, {"12": key}, revoked={}, now_s=example["at"], uri=uri)
    assert (listed.bits, listed.ttl_s, [listed[place] for place in range(4)]) == (1, 43200, [1, 0, 0, 1])
    assert refused(token) == "token-kid"


def test_the_cwt_is_what_the_draft_says():
    """Claims 2, 4, 6, 65533 and 65534 under a protected header with the type, everything canonical."""
    protected, unprotected, payload, _ = cbor2.loads(cwt_of()[1:])
    assert cbor2.loads(protected) == {1: -19, 4: KEY.thumbprint[:8], 16: "application/statuslist+cwt"}
    assert unprotected == {}
    assert cbor2.loads(payload) == {
        2: URI, 4: NOW_S + 86_400, 6: NOW_S, 65534: 300, 65533: {"bits": 2, "lst": compress(LISTED.data)},
    }  # fmt: skip
