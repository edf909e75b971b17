"""A QR code has one spelling and one meaning: what another could read otherwise, or nobody signed, is refused."""

import dataclasses
import json
import zlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Kind
from tests.shared_data import SHARED, needs_shared
from tests.voucher.samples import (
    HOLDER_KEY,
    IN_COMPUTE,
    IN_MONEY,
    ISSUER,
    KEY,
    KEYS,
    forge,
    qr_bytes,
    qr_of,
    qr_text,
    refusal,
)
from voucher import cwt
from voucher.document import CWT_TYPE, JWT_TYPE, read_voucher
from voucher.errors import VoucherError
from voucher.status_list import StatusPlace


def test_the_full_voucher_fits_a_version_16_code():
    """Every claim, the holder's key, three centres, a status list, a municipal address: at most 434 bytes."""
    voucher = dataclasses.replace(
        IN_COMPUTE,
        issuer="https://quan.songjiang.gov.cn",
        centres=("sj01", "sj02", "sj03"),
        actions=("train", "tune", "infer"),
        status=StatusPlace(1_000_000, "https://quan.songjiang.gov.cn/status-lists/26q4"),
    )
    assert len(qr_bytes(qr_of(voucher))) <= cwt.BYTES_MAX


def test_a_voucher_too_large_for_its_code_is_refused_before_it_exists():
    """Sixty centres do not fit; the message says what to shorten."""
    voucher = dataclasses.replace(IN_COMPUTE, centres=tuple(f"centre-{number:02}" for number in range(60)))
    with pytest.raises(VoucherError, match="shorten") as caught:
        qr_of(voucher)
    assert caught.value.code == "cwt-too-large"


def test_no_changed_character_of_a_qr_code_is_accepted():
    """Each character replaced by another, left out or doubled: nothing verifies."""
    good = qr_of(IN_COMPUTE)
    for place, character in enumerate(good):
        refusal(good[:place] + ("0" if character != "0" else "1") + good[place + 1 :])
        refusal(good[:place] + good[place + 1 :])
        refusal(good[:place] + character + good[place:])


def test_no_flipped_bit_of_a_cwt_is_accepted():
    """Every bit of the signed structure counts."""
    good = qr_bytes(qr_of(IN_MONEY))
    for place in range(len(good) * 8):
        flipped = int.from_bytes(good, "big") ^ (1 << place)
        refusal(qr_text(flipped.to_bytes(len(good), "big")))


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(lambda text: text + "\n", id="line end"),
        pytest.param(lambda text: text + " ", id="space"),
        pytest.param(lambda text: text.lower(), id="lower case"),
        pytest.param(lambda text: text.removeprefix("SQ1:"), id="no prefix"),
        pytest.param(lambda text: "SQ1:" + text, id="two prefixes"),
        pytest.param(lambda text: "HC1:" + text.removeprefix("SQ1:"), id="another prefix"),
        pytest.param(lambda text: text + text, id="two codes in one"),
        pytest.param(lambda text: qr_text(qr_bytes(text) + b"\0"), id="trailing byte"),
        pytest.param(lambda text: qr_text(qr_bytes(text)[1:]), id="untagged"),
        pytest.param(lambda text: qr_text(b"\xd8\x3d" + qr_bytes(text)), id="CWT tag around"),
        pytest.param(lambda text: qr_text(b"\xd2" + qr_bytes(text)), id="tagged twice"),
        pytest.param(lambda text: qr_text(b"\xd8\x12" + qr_bytes(text)[1:]), id="tag with a longer head"),
        pytest.param(lambda text: qr_text(b"\xd2\x9f" + qr_bytes(text)[2:] + b"\xff"), id="indefinite array"),
        pytest.param(lambda text: qr_text(b"\xd2\x98\x04" + qr_bytes(text)[2:]), id="longer length"),
        pytest.param(lambda text: qr_text(zlib.compress(qr_bytes(text))), id="compressed"),
        pytest.param(lambda text: qr_text(zlib.compress(bytes(10**7))), id="compression bomb"),
        pytest.param(lambda text: "https://quan.example/v/" + text, id="address"),
        pytest.param(lambda text: "=cmd()|" + text, id="spreadsheet formula"),
        pytest.param(lambda text: "\u202e" + text, id="right-to-left mark"),
    ],
)
def test_a_qr_code_has_one_spelling(spelling):
    """Line ends, other lengths, tags, prefixes and compression are refused, though every signature in them is right."""
    refusal(spelling(qr_of(IN_COMPUTE)))


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({1: -8, 4: KEY.thumbprint[:8], 16: CWT_TYPE}, "token-alg"),
        ({1: -7, 4: KEY.thumbprint[:8], 16: CWT_TYPE}, "token-alg"),
        ({1: "Ed25519", 4: KEY.thumbprint[:8], 16: CWT_TYPE}, "token-alg"),
        ({1: -19, 4: b"unknown", 16: CWT_TYPE}, "token-kid"),
        ({1: -19, 4: KEY.thumbprint[:8], 16: "application/compute-hold+cwt"}, "token-typ"),
        ({1: -19, 4: KEY.thumbprint[:8], 16: JWT_TYPE}, "token-typ"),
        ({1: -19, 4: KEY.kid, 16: CWT_TYPE}, "token-header"),
        ({1: -19, 4: KEY.thumbprint[:8]}, "token-header"),
        ({1: -19, 4: KEY.thumbprint[:8], 16: CWT_TYPE, 33: b"x5chain"}, "token-header"),
        ({1: -19, 2: [16], 4: KEY.thumbprint[:8], 16: CWT_TYPE}, "token-header"),
        ([], "token-header"),
        (b"", "token-malformed"),
        (b"\xa3\x01\x32\x01\x32\x04\x40", "token-malformed"),
    ],
    ids=str,
)
def test_the_protected_header_is_exactly_ours(header, code):
    """Ed25519 (-19), a registered key and our type; a critical, chained or missing member is refused."""
    claims = cbor2.loads(cbor2.loads(qr_bytes(qr_of(IN_MONEY))[1:])[2])
    assert refusal(forge(claims, header=header)) == code
    assert read_voucher(forge(claims), KEYS) == (KEY.kid, IN_MONEY)


def test_nothing_may_stand_in_the_unprotected_header():
    """A key id there is signed by nobody; even an empty value would give the code a second spelling."""
    claims = cbor2.loads(cbor2.loads(qr_bytes(qr_of(IN_MONEY))[1:])[2])
    assert refusal(forge(claims, unprotected={4: KEY.thumbprint[:8]})) == "token-malformed"


# --- claims -----------------------------------------------------------------------------------------------------------

CWT_CLAIMS = cbor2.loads(cbor2.loads(qr_bytes(qr_of(IN_COMPUTE))[1:])[2])
CWT_DETAIL = CWT_CLAIMS[-70001]


@pytest.mark.parametrize(
    "claims",
    [
        {},
        [],
        "text",
        None,
        CWT_CLAIMS | {65535: {}},
        CWT_CLAIMS | {65535: {"status_list": {1: 5, 2: "urn:s:1"}}},
        CWT_CLAIMS | {65535: {"status_list": {"idx": 5, "uri": "urn:s:1"}, 1: 2}},
        CWT_CLAIMS | {"iss": ISSUER},
        CWT_CLAIMS | {3: 5},
        CWT_CLAIMS | {4: 1.5},
        CWT_CLAIMS | {4: float("inf")},
        CWT_CLAIMS | {6: True},
        CWT_CLAIMS | {6: 2**64},
        CWT_CLAIMS | {7: IN_COMPUTE.jti},
        CWT_CLAIMS | {7: b"short"},
        CWT_CLAIMS | {7: bytes(16)},
        CWT_CLAIMS | {8: {1: {1: 1, -1: 6, -2: HOLDER_KEY.raw}}},
        CWT_CLAIMS | {8: {3: b"short"}},
        CWT_CLAIMS | {8: {3: HOLDER_KEY.kid}},
        CWT_CLAIMS | {-70001: [CWT_DETAIL]},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {8: "more"}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {"scheme": "other"}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {1: "sj01"}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {1: ["urn:centre:sj01"]}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {2: [True]}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {2: [0]}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {2: [4]}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {2: ["infer"]}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {5: 1200}},
        CWT_CLAIMS | {-70001: CWT_DETAIL | {5: b"1200"}},
    ],
    ids=str,
)
def test_a_cwt_claim_of_another_form_is_refused(claims):
    """Text keys, unknown keys, floats, tags and other types where the table of keys has none."""
    payload = cbor2.dumps(claims, canonical=True)
    assert refusal(forge(payload)) in {"voucher-claims", "token-malformed"}


@pytest.mark.parametrize(
    "payload",
    [
        *("c074323031332d30332d32315432303a30343a30305a", "c24101", "c48200187b", "c5821a7fffffff01", "d823622b2b"),
        *("d81c81d81d00", "d9010281a0", "d9d9f700", "f97e00", "f7", "e0", "bf0102ff", "5f4101ff", "1801", "61ff", ""),
        *("a201020103", "a2020301ff", "a202030100", "81" * 200 + "00"),
        *("9b7fffffffffffffff", "bb7fffffffffffffff", "5b7fffffffffffffff00"),
    ],
)
def test_cbor_that_decoders_interpret_is_refused(payload):
    """Dates, bignums, regexes, cycles, sets, NaN, indefinite lengths, longer heads, repeated or unsorted keys, depth, lies."""
    assert refusal(forge(bytes.fromhex(payload))) in {"token-malformed", "voucher-claims"}


cbor_items = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.integers(0, 9), children, max_size=3),
    max_leaves=8,
)


@given(cbor_items | st.binary(max_size=60))
def test_any_signed_cbor_is_refused_by_our_error_alone(payload):
    """A key holder's garbage gives the same exception as a stranger's."""
    refusal(forge(payload))


@given(st.dictionaries(st.sampled_from([*CWT_CLAIMS, 9, "iss"]), cbor_items, max_size=3))
def test_any_exchanged_claims_are_refused_by_our_error_or_mean_a_voucher(changes):
    """Claims are right all together or not at all."""
    try:
        voucher = read_voucher(forge(cbor2.dumps(CWT_CLAIMS | changes, canonical=True)), KEYS)[1]
    except VoucherError as error:
        voucher = None
        kind = error.kind
    assert kind is Kind.PROOF if voucher is None else voucher.issuer


# --- other people's ---------------------------------------------------------------------------------------------------


@needs_shared
def test_our_signed_bytes_are_those_of_the_cose_examples():
    """The Sig_structure of the published Sign1 examples comes out to the byte."""
    folder = SHARED / "vectors/cose"
    names = ["eddsa-examples/eddsa-sig-01.json", "sign1-tests/sign-fail-02.json", "ecdsa-examples/ecdsa-sig-02.json"]
    for name in names:
        example = json.loads((folder / name).read_text())
        protected, _, payload, _ = cbor2.loads(bytes.fromhex(example["output"]["cbor"])).value
        expected = bytes.fromhex(example["intermediates"]["ToBeSign_hex"])
        assert cwt.sig_structure(protected, cbor2.loads(expected)[3]) == expected
        assert isinstance(payload, bytes)


@needs_shared
def test_no_published_cose_message_or_health_certificate_is_a_voucher():
    """Other people's CWTs, right or wrong by their own rules, are refused."""
    examples = [json.loads(path.read_text()) for path in (SHARED / "vectors/cose").rglob("*.json")]
    assert examples
    for example in examples:
        refusal(qr_text(bytes.fromhex(example["output"]["cbor"])))
    certificates = [json.loads(path.read_text("utf-8-sig")) for path in (SHARED / "vectors/hcert-dcc").rglob("*.json")]
    for text in filter(
        None, (certificate.get("PREFIX") for certificate in certificates if isinstance(certificate, dict))
    ):
        refusal(text)
        refusal(text.replace("HC1:", cwt.PREFIX))
