"""Which vouchers pay: only those that may, in a fixed order, never more than they hold, and not a unit is lost."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import CNY, COMPUTE
from metering.rating import AccountUsage
from voucher.allocation import NO_BOUND, Charge, Purse, allocate, burn_down_order

charges = st.builds(
    lambda payable, own, **others: Charge(yuan=payable + own, own=own, **others),
    start_us=st.integers(0, 40),
    payable=st.integers(0, 1000),
    own=st.sampled_from([0, 0, 0, 1, 500]),
    compute=st.integers(0, 100),
    models=st.lists(st.sampled_from("AB"), min_size=1, max_size=2).map(tuple),
    voucher=st.none() | st.sampled_from(["v0", "v1", "unknown"]),
    interrupted=st.sampled_from([False, False, True]),
)


def purse(number, asset=CNY, available=500, **changes):
    """A voucher that may pay for anything, unless told otherwise."""
    fields = {"scheme": f"s{number % 2}", "account": 100 + number, "from_us": 0, "until_us": 50}
    return Purse(f"v{number}", asset=asset, available=available, **fields | changes)


@st.composite
def purse_lists(draw, assets=(CNY, COMPUTE), waives=(None, None, None, NO_BOUND)):
    return [
        purse(
            number,
            draw(st.sampled_from(assets)),
            draw(st.integers(0, 1500)),
            from_us=draw(st.sampled_from([0, 0, 20])),
            until_us=draw(st.sampled_from([50, 50, 30])),
            priority=draw(st.integers(0, 2)),
            models=draw(st.sampled_from([None, None, frozenset("A"), frozenset("AB")])),
            waives=draw(st.sampled_from(waives)),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


def total_of(some):
    """The charges of one account together, as rating hands them over."""
    starts = [charge.start_us for charge in some]
    return AccountUsage(
        len(some),
        0,
        sum(charge.yuan for charge in some),
        min(starts, default=0),
        max(starts, default=0),
        {model for charge in some for model in charge.models},
        any(charge.voucher is not None for charge in some),
        sum(charge.own for charge in some),
    )


def draw_on(purses, some, **changes):
    """What the charges draw on copies of the purses, and the copies afterwards."""
    copies = [replace(one) for one in purses]
    return allocate(replace(total_of(some), **changes), lambda: some, copies), copies


@given(st.lists(charges, max_size=8), purse_lists())
def test_every_unit_is_paid_once(some, purses):
    """Vouchers in yuan, vouchers in kind and self-pay add up to the price; each purse falls by what was drawn on it."""
    cover, after = draw_on(purses, some)
    paid = sum(cover.yuan.values()) + sum(cover.in_kind.values()) + cover.self_pay
    assert paid + sum(cover.waived.values()) == sum(charge.yuan for charge in some)
    assert sum(cover.waived.values()) <= sum(charge.yuan for charge in some if charge.interrupted)
    own = sum(charge.own for charge in some if not charge.interrupted)
    assert cover.self_pay >= own, "what no voucher may pay is paid by the account"
    for before, left in zip(purses, after, strict=True):
        drawn = cover.yuan if before.asset is CNY else cover.compute
        assert before.available - left.available == drawn.get(before.account, 0)
        assert left.available >= 0
    assert sum(cover.compute.values()) <= sum(charge.compute for charge in some)


@given(charges, purse_lists())
def test_only_eligible_vouchers_pay(charge, purses):
    """Validity, cards and a voucher named by the record decide; what no voucher may pay for is left to the account."""
    cover, _ = draw_on(purses, [charge])
    may = {
        one.account
        for one in purses
        if one.from_us <= charge.start_us < one.until_us
        and (one.models is None or set(charge.models) <= one.models)
        and charge.voucher in {None, one.jti}
    }
    assert cover.yuan.keys() | cover.compute.keys() <= may
    yuan = sum(one.available for one in purses if one.account in may and one.asset is CNY)
    assert cover.self_pay <= charge.own + max(0, charge.payable - yuan)
    assert cover.waived.keys() <= {one.jti for one in purses if one.account in may and one.waives}


@given(st.lists(charges, max_size=8), purse_lists())
def test_a_sum_is_drawn_as_its_parts(some, purses):
    """Where all charges may be drawn as one, charge by charge would leave every purse the same."""
    assert draw_on(purses, some) == draw_on(purses, some, named=True)


@given(st.lists(charges, max_size=8), purse_lists((CNY,), (None,)), st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter_to_vouchers_alike(some, purses, chance):
    """Yuan vouchers that may pay for everything are left with the same, however the records are ordered."""
    alike = [replace(one, from_us=0, until_us=50, models=None) for one in purses]
    some = [charge._replace(voucher=None) for charge in some]
    expected = draw_on(alike, some)
    chance.shuffle(some)
    chance.shuffle(alike)
    cover, after = draw_on(alike, some)
    assert (cover, sorted(after, key=jti_of)) == (expected[0], sorted(expected[1], key=jti_of))


def jti_of(one):
    return one.jti


def test_the_order_is_priority_then_expiry_then_id():
    """The lowest priority number goes first, then what expires first, then the older id."""
    purses = [purse(3), purse(2, until_us=40), purse(1, priority=1), purse(0), purse(4, priority=-1)]
    assert [one.jti for one in burn_down_order(purses)] == ["v4", "v2", "v0", "v3", "v1"]
    cover, _ = draw_on(purses, [Charge(0, 1100, 0, ("A",))])
    assert cover.yuan == {104: 500, 102: 500, 100: 100}


def test_a_record_may_be_paid_by_several_vouchers_and_the_account():
    """A voucher that runs out in the middle of a record leaves the rest to the next, and the last rest to the account."""
    cover, _ = draw_on([purse(0, available=3), purse(1, available=4)], [Charge(0, 10, 0, ("A",))])
    assert (cover.yuan, cover.self_pay) == ({100: 3, 101: 4}, 3)


def test_interrupted_time_is_waived_by_the_voucher_whose_turn_it_is():
    """One that charges it pays first, the next one's scheme ends the matter: neither it nor the account pays the rest, own classes included."""
    first, free = purse(0, available=30), purse(1, priority=1, waives=NO_BOUND)
    lost = Charge(0, 100, 0, ("A",), own=20, interrupted=True)
    cover, after = draw_on([first, free], [lost])
    assert (cover.yuan, cover.waived, cover.self_pay) == ({100: 30}, {"v1": 70}, 0)
    assert after[1].available == 500
    charged, _ = draw_on([first, free], [lost._replace(interrupted=False)])
    assert (charged.yuan, charged.waived, charged.self_pay) == ({100: 30, 101: 50}, {}, 20)
    elsewhere, _ = draw_on([free], [lost._replace(voucher="v9")])
    assert (elsewhere.waived, elsewhere.self_pay) == ({}, 100), (
        "a record that names another voucher is no matter of this one"
    )


def test_a_compute_voucher_pays_in_kind():
    """A third of a record's PFLOPS.h is a third of its price, rounded down, owed by the scheme; yuan may follow."""
    charge = Charge(0, 100, 30, ("A",))
    cover, _ = draw_on([purse(0, COMPUTE, available=10), purse(1, available=20, priority=1)], [charge])
    assert (cover.compute, cover.in_kind, cover.yuan, cover.self_pay) == ({100: 10}, {"s0": 33}, {101: 20}, 47)
    whole, _ = draw_on([purse(0, COMPUTE, available=30)], [charge])
    assert (whole.compute, whole.in_kind, whole.self_pay) == ({100: 30}, {"s0": 100}, 0)
    behind, _ = draw_on([purse(0, COMPUTE, available=99, priority=1), purse(1, available=50)], [charge])
    assert (behind.yuan, behind.compute, behind.in_kind) == ({101: 50}, {100: 15}, {"s0": 50})
