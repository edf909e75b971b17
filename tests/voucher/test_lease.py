"""Offline leases: who may read one, and what may be spent of it while nobody else is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import jws
from ledger.amount import CNY, COMPUTE
from tests.ledger.full_ledger import CATALOG
from tests.tampering import altered
from tests.voucher.samples import KEY, KEYS, NOW_S, PRIVATE
from voucher.errors import VoucherError
from voucher.lease import LEASE_TYPE, WINDOW_S, Lease, new_spends, read_lease, remaining, require_in_time, spend

SANDBOX = "cn-sh-songjiang-sandbox"
YUAN = 10**CNY.scale
LEASE = Lease(
    "0" * 31 + "1", "https://quan.example", "01936c1e-0000-7abc-8def-0123456789ab", "sj01", CNY, 50 * YUAN, "ward-7", 12,
    NOW_S, NOW_S + 3600, NOW_S + 3600 + WINDOW_S,
)  # fmt: skip


def token(**changes):
    return jws.sign(LEASE.to_claims() | changes, typ=LEASE_TYPE, kid=KEY.kid, signer=PRIVATE.sign)


def read(text, centre="sj01", issuer="https://quan.example", revoked=None):
    return read_lease(text, KEYS, issuer=issuer, centre=centre, revoked=revoked or {})


def test_its_centre_reads_what_was_signed():
    """Every field comes back."""
    assert read(token()) == LEASE


@pytest.mark.parametrize(
    "read_it",
    [
        lambda: read(token(), centre="sj02"),
        lambda: read(token(), issuer="https://other.example"),
        lambda: read(token(), revoked={KEY.kid: NOW_S}),
        lambda: read(jws.sign(LEASE.to_claims(), typ="compute-hold+jwt", kid=KEY.kid, signer=PRIVATE.sign)),
        lambda: read(token(exp=NOW_S + 25 * 3600)),
        lambda: read(token(exp=NOW_S)),
        lambda: read(token(report_until=NOW_S + 1)),
        lambda: read(token(amt="0")),
        lambda: read(token(unit="USD")),
        lambda: read(token(more="x")),
        lambda: read(altered(token())),
    ],
    ids=range(11),
)
def test_nobody_else_and_nothing_else_is_read(read_it):
    """Another centre, issuer, key, type, an endless life, no amount, an unknown claim, a changed byte."""
    with pytest.raises(VoucherError) as refused:
        read_it()
    assert refused.value.kind.value == "proof"


@given(st.lists(st.tuples(st.integers(-3, 60 * YUAN), st.integers(-100, 4000)), max_size=30))
def test_never_more_is_spent_than_was_leased(tries):
    """Whatever is tried at whatever time of the clock: the spends fit into the lease, in time, numbered without a gap."""
    spends = []
    for units, second in tries:
        try:
            spends.append(spend(LEASE, spends, units, "job:1", now_s=NOW_S + second))
        except VoucherError as refused:
            assert refused.code in {"amount-not-positive", "lease-clock", "lease-over", "lease-exceeded"}  # noqa: PT017 -- some are spent
    assert remaining(LEASE, spends) >= 0
    assert [one.number for one in spends] == list(range(1, len(spends) + 1))
    assert all(NOW_S <= one.at_s < LEASE.ends_at_s for one in spends)
    require_in_time(spends, LEASE.issued_at_s, LEASE.ends_at_s)


def test_a_clock_that_was_put_back_is_not_believed():
    """Before the lease, before the last spend; at its end nothing is spent any more."""
    first = spend(LEASE, [], YUAN, "job:1", now_s=NOW_S + 100)
    for second, code in ((-1, "lease-clock"), (99, "lease-clock"), (3600, "lease-over")):
        with pytest.raises(VoucherError) as refused:
            spend(LEASE, [first], YUAN, "job:2", now_s=NOW_S + second)
        assert refused.value.code == code


def test_a_number_is_spent_once():
    """Reported again it is known; with other content it is a conflict."""
    one = spend(LEASE, [], YUAN, "job:1", now_s=NOW_S)
    assert new_spends([one], {}) == [one]
    assert new_spends([one], {1: one}) == []
    with pytest.raises(VoucherError) as refused:
        new_spends([one._replace(units=2 * YUAN)], {1: one})
    assert refused.value.code == "lease-spend-conflict"


def test_a_lease_is_of_its_times():
    """What says that it was made before the lease or at its end is late."""
    one = spend(LEASE, [], YUAN, "job:1", now_s=NOW_S)
    for at_s in (NOW_S - 1, LEASE.ends_at_s):
        with pytest.raises(VoucherError):
            require_in_time([one._replace(at_s=at_s)], LEASE.issued_at_s, LEASE.ends_at_s)


def test_a_scheme_that_says_nothing_of_leases_allows_none():
    """Of the shipped schemes the sandbox alone gives limits, in both of its units; no city's text knows leases."""
    offline = {name: scheme.spending.offline for name, scheme in CATALOG.schemes.items()}
    assert {name for name, found in offline.items() if found} == {SANDBOX}
    assert (offline[SANDBOX].hours, offline[SANDBOX].percent) == (24, 50)
    assert offline[SANDBOX].centre_units == {CNY.number: 10**6 * YUAN, COMPUTE.number: 10_000 * 10**COMPUTE.scale}
