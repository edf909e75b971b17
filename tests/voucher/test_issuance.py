"""Nothing is signed that was not checked, and what was checked is signed once."""

import dataclasses
import hashlib
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger import jws
from ledger.amount import CNY, COMPUTE, format_units
from ledger.errors import Kind
from tests.voucher.samples import HOLDER_KEY, ISSUER, JTI, KEY, NOW_US, PRIVATE, SANDBOX, codes
from voucher.document import programme_urn, verify_voucher
from voucher.errors import VoucherError
from voucher.holder import sandbox_uscc
from voucher.issuance import IssueRequest, YearToDate, prepare, recorded
from voucher.scheme import SchemeStatus

MONEY = SANDBOX.terms_in("CNY")
NOTHING_YET = YearToDate(programme_units=0, holder_units=0)
REQUEST = IssueRequest(holder=sandbox_uscc(7), unit="CNY", amount="50000")


def prepared(request=REQUEST, scheme=SANDBOX, issued=NOTHING_YET, **options):
    return prepare(request, scheme, issued, **({"issuer": ISSUER, "key": KEY, "jti": JTI, "now_us": NOW_US} | options))


def refused(*arguments, **options):
    with pytest.raises(VoucherError) as caught:
        prepared(*arguments, **options)
    assert caught.value.code == "issue-refused"
    return caught.value


def verify(token):
    return verify_voucher(
        token,
        {KEY.kid: KEY},
        revoked={},
        issuer=ISSUER,
        audience={programme_urn(SANDBOX.id)},
        now_s=NOW_US // 1_000_000,
    )


@given(st.sampled_from([CNY, COMPUTE]), st.integers(1000, 10**14), st.booleans())
def test_what_is_asked_for_is_what_both_tokens_say(asset, thousands, bound):
    """Holder, amount, unit, validity and key of request and scheme stand in both tokens, which verify."""
    units = thousands // (1 if asset is CNY else 1000) * 1000
    amount = format_units(units, asset)
    request = IssueRequest(sandbox_uscc(thousands % 10**9), asset.code, amount, HOLDER_KEY.jwk() if bound else None)
    if units < SANDBOX.terms_in(asset.code).min_units:
        assert codes(refused(request)) == ["amount-out-of-bounds"]
        return
    if units > SANDBOX.terms_in(asset.code).max_units:
        assert codes(refused(request)) == ["amount-out-of-bounds"]
        return
    ready = prepared(request)
    voucher = ready.voucher
    assert (voucher.holder, voucher.asset, voucher.units) == (request.holder, asset, units)
    assert (voucher.not_before_s, voucher.expires_at_s) == (
        SANDBOX.valid_from_us // 1_000_000,
        SANDBOX.valid_until_us // 1_000_000,
    )
    assert voucher.holder_jkt == (HOLDER_KEY.kid if bound else None)
    assert [verify(token) for token in ready.sign(PRIVATE.sign)[:2]] == [voucher, voucher]


def test_exactly_the_checked_bytes_are_signed():
    """The signer sees the two inputs whose digests were recorded, and nothing else."""
    ready, seen = prepared(), []

    def signer(message):
        seen.append(message)
        return PRIVATE.sign(message)

    tokens = ready.sign(signer)
    assert seen == [ready.jwt_input, ready.cwt_input]
    assert [hashlib.sha256(message).digest() for message in seen] == [ready.jwt_digest, ready.cwt_digest]
    assert tokens.jwt.startswith(ready.jwt_input.decode())
    assert tokens.cwt.startswith("SQ1:")


def test_a_prepared_voucher_is_signed_once():
    """The second call raises, also after a signer that failed."""
    ready = prepared()
    ready.sign(PRIVATE.sign)
    with pytest.raises(VoucherError) as caught:
        ready.sign(PRIVATE.sign)
    assert (caught.value.code, caught.value.kind) == ("already-signed", Kind.CONFLICT)

    ready = prepared()
    with pytest.raises(ZeroDivisionError):
        ready.sign(lambda _: 1 // 0)
    with pytest.raises(VoucherError):
        ready.sign(PRIVATE.sign)


def test_of_many_threads_one_signs():
    """Racing for one voucher, exactly one gets tokens."""
    ready, outcomes = prepared(), []
    gate = threading.Barrier(8)

    def race():
        gate.wait()
        try:
            outcomes.append(ready.sign(PRIVATE.sign))
        except VoucherError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("already-signed") == 7


def test_recorded_bytes_are_taken_up_again_after_a_crash():
    """Ed25519 gives the same tokens for the same bytes, so a retry returns what the first try would have."""
    ready = prepared()
    again = recorded(ready.jwt_input, ready.cwt_input, KEY)
    assert again == ready
    assert again.sign(PRIVATE.sign) == ready.sign(PRIVATE.sign)


def test_recorded_bytes_that_were_changed_are_not_signed():
    """Two encodings of two vouchers, a changed claim, another key's header: refused before any signature."""
    ready, other = prepared(), prepared(REQUEST._replace(amount="50001"))
    with pytest.raises(VoucherError) as caught:
        recorded(ready.jwt_input, other.cwt_input, KEY)
    assert caught.value.code == "encodings-differ"
    for jwt_bytes, cwt_bytes, key in (
        (ready.jwt_input[:-4], ready.cwt_input, KEY),
        (ready.jwt_input, ready.cwt_input[:-4], KEY),
        (ready.jwt_input, b"", KEY),
        (ready.jwt_input, b"\x80", KEY),
        (ready.jwt_input, ready.cwt_input, HOLDER_KEY),
    ):
        with pytest.raises(VoucherError):
            recorded(jwt_bytes, cwt_bytes, key)


def test_a_signer_with_another_key_releases_nothing():
    """What the registry's key does not verify never leaves."""
    with pytest.raises(VoucherError) as caught:
        prepared().sign(Ed25519PrivateKey.from_private_bytes(bytes(32)).sign)
    assert caught.value.code == "signer-mismatch"


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"holder": "91350100M000100Y44"}, "uscc-check", "/holder"),
        ({"holder": "松江某公司"}, "uscc-malformed", "/holder"),
        ({"unit": "card.h"}, "unit-not-in-scheme", "/unit"),
        ({"amount": "0"}, "amount-out-of-bounds", "/amount"),
        ({"amount": "0.009999"}, "amount-out-of-bounds", "/amount"),
        ({"amount": "100000000.01"}, "amount-out-of-bounds", "/amount"),
        ({"amount": "-1"}, "amount-malformed", "/amount"),
        ({"amount": "1e4"}, "amount-malformed", "/amount"),
        ({"amount": "1.0000001"}, "amount-malformed", "/amount"),
        ({"amount": "9" * 14}, "amount-too-large", "/amount"),
        ({"unit": "PFLOPS.h", "amount": "1.0000001"}, "amount-precision", "/amount"),
        ({"holder_key": {}}, "key-malformed", "/holder_key"),
        ({"holder_key": HOLDER_KEY.jwk() | {"d": HOLDER_KEY.jwk()["x"]}}, "key-malformed", "/holder_key"),
        ({"holder_key": HOLDER_KEY.jwk() | {"x": "AQ" + "A" * 41}}, "key-weak", "/holder_key"),
    ],
    ids=str,
)
def test_a_faulty_request_is_refused_where_it_is_faulty(change, code, where):
    """One finding, at the member at fault; the kind says that the request is to blame."""
    error = refused(REQUEST._replace(**change))
    assert [(finding.code, finding.where) for finding in error.findings] == [(code, where)]
    assert error.kind is Kind.INVALID


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": SchemeStatus.DRAFT}, "scheme-draft"),
        ({"claim_mode": "post_use_direct"}, "scheme-without-voucher"),
        ({"issue_from_us": NOW_US + 1}, "scheme-window"),
        ({"issue_until_us": NOW_US}, "scheme-window"),
        ({"valid_until_us": NOW_US}, "scheme-validity-over"),
    ],
)
def test_a_scheme_that_does_not_issue_refuses_all(change, code):
    """A draft, a mode without vouchers, outside its window, after its vouchers' end."""
    error = refused(scheme=dataclasses.replace(SANDBOX, **change))
    assert (codes(error), error.kind) == ([code], Kind.NOT_ALLOWED)


def test_caps_and_budget_hold_to_the_last_unit():
    """Exactly what is left can be issued, one unit more cannot, and the message says how much is left."""
    units = 50_000 * 10**6
    at_cap = YearToDate(programme_units=0, holder_units=MONEY.cap_holder_year_units - units)
    at_budget = YearToDate(programme_units=MONEY.budget_year_units - units, holder_units=0)
    assert prepared(issued=at_cap)
    assert prepared(issued=at_budget)
    over_cap = refused(issued=at_cap._replace(holder_units=at_cap.holder_units + 1))
    over_budget = refused(issued=at_budget._replace(programme_units=at_budget.programme_units + 1))
    assert (codes(over_cap), over_cap.kind) == (["holder-cap-exceeded"], Kind.INSUFFICIENT)
    assert (codes(over_budget), over_budget.kind) == (["budget-exceeded"], Kind.INSUFFICIENT)
    assert "49999.999999 CNY" in over_cap.zh
    assert "49999.999999 CNY" in over_budget.en


def test_all_faults_are_told_at_once():
    """Holder, key, scheme, cap and budget in one error; the request's own faults decide its kind."""
    spent = YearToDate(MONEY.budget_year_units, MONEY.cap_holder_year_units)
    draft = dataclasses.replace(SANDBOX, status=SchemeStatus.DRAFT)
    error = refused(REQUEST._replace(holder="?", holder_key={}), draft, spent)
    assert codes(error) == [
        "uscc-malformed",
        "key-malformed",
        "scheme-draft",
        "holder-cap-exceeded",
        "budget-exceeded",
    ]
    assert error.kind is Kind.INVALID
    assert all(finding.zh in error.zh and finding.en in error.en for finding in error.findings)


def test_a_voucher_too_large_for_paper_is_refused_before_it_is_recorded():
    """The limit of the QR code is found while preparing, not after the ledger has it."""
    scheme = dataclasses.replace(SANDBOX, centres=frozenset(f"centre-{number:02}" for number in range(60)))
    with pytest.raises(VoucherError) as caught:
        prepared(scheme=scheme)
    assert caught.value.code == "cwt-too-large"


def test_a_scheme_for_some_centres_names_them_in_order():
    """The same voucher has the same bytes, whatever order a set was in."""
    scheme = dataclasses.replace(SANDBOX, centres=frozenset({"sj02", "sj01"}))
    assert prepared(scheme=scheme).voucher.centres == ("sj01", "sj02")


def test_the_trial_key_verifies_nothing_that_is_released():
    """Tokens for checking are signed by a key that no registry knows; what leaves is not theirs."""
    tokens = prepared().sign(PRIVATE.sign)
    assert jws.verify_with_kid(tokens.jwt, {KEY.kid: KEY}, "compute-voucher+jwt")[0] == KEY.kid
