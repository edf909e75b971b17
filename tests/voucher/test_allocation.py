"""Which vouchers pay: only those that may, in a fixed order, never more than they hold, and not a unit is lost."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ledger.amount import CNY, COMPUTE
from ledger.split import split
from metering.course import Span
from metering.rating import AccountUsage
from voucher.allocation import NO_BOUND, Charge, Purse, allocate, burn_down_order, charges_along, draw_one

charges = st.builds(
    lambda payable, own, length, **others: Charge(
        yuan=payable + own, own=own, end_us=others["start_us"] + length, **others
    ),
    length=st.integers(0, 25),
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
    lasts = [max(charge.start_us, charge.end_us - 1) for charge in some]
    return AccountUsage(
        len(some),
        0,
        sum(charge.yuan for charge in some),
        min(starts, default=0),
        max(lasts, default=0),
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
        if one.from_us <= max(charge.start_us, charge.end_us - 1)
        and charge.start_us < one.until_us
        and (one.models is None or set(charge.models) <= one.models)
        and charge.voucher in {None, one.jti}
    }
    assert cover.yuan.keys() | cover.compute.keys() <= may
    may_all = [
        one for one in purses
        if one.account in may and one.from_us <= charge.start_us and charge.end_us <= one.until_us
    ]  # fmt: skip
    yuan = sum(one.available for one in may_all if one.asset is CNY)
    assert cover.self_pay <= charge.own + max(0, charge.payable - yuan)
    assert cover.waived.keys() <= {one.jti for one in purses if one.account in may and one.waives}


@given(st.lists(charges, max_size=8), purse_lists())
def test_a_sum_is_drawn_as_its_parts(some, purses):
    """Where all charges may be drawn as one, charge by charge would leave every purse the same."""
    assert draw_on(purses, some) == draw_on(purses, some, named=True)


@given(st.lists(charges, max_size=8), purse_lists((CNY,), (None,)), st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter_to_vouchers_alike(some, purses, chance):
    """Yuan vouchers that may pay for everything are left with the same, however the records are ordered."""
    alike = [replace(one, from_us=0, until_us=99, models=None) for one in purses]
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


@given(st.lists(charges, max_size=6), purse_lists())
def test_drawn_again_on_what_was_given_each_record_takes_the_same(some, purses):
    """So much a voucher gave to all records together tells what it gave to each: by that a record is taken back."""
    cover, _ = draw_on(purses, some)
    apart, given = [replace(one) for one in purses], [replace(one, available=0) for one in purses]
    expected = [draw_one([charge], apart) for charge in some]
    for one in given:
        one.available = (cover.yuan | cover.compute).get(one.account, 0)
        one.waives = cover.waived.get(one.jti) if one.waives is not None else None
    gave = [one for one in given if one.available or one.waives]
    again = [draw_one([charge], gave) for charge in some]
    for first, second in zip(expected, again, strict=True):
        assert moved(first) == moved(second)


def moved(cover):
    """What a cover moves: nothing is moved by what comes to zero."""
    parts = (cover.yuan, cover.compute, cover.in_kind, cover.waived)
    return [{name: units for name, units in part.items() if units} for part in parts], cover.self_pay


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**5), st.data())
def test_a_record_is_cut_where_a_voucher_ends(yuan, own, length, data):
    """Until then it pays, the next voucher from then on; both parts are those of the largest remainder, and all add up."""
    at = data.draw(st.integers(1, length))
    whole = Charge(0, yuan + own, 0, ("A",), own=own, end_us=length)
    first = purse(0, available=10**9, until_us=at)
    second = purse(1, available=10**9, until_us=10**9)
    cover, _ = draw_on([first, second], [whole])
    parts = split(yuan, [at, length - at])
    assert [cover.yuan.get(100, 0), cover.yuan.get(101, 0)] == parts
    assert cover.self_pay == own
    alone, _ = draw_on([first], [whole])
    assert (alone.yuan.get(100, 0), alone.self_pay) == (parts[0], parts[1] + own)


@given(charges, purse_lists(), st.lists(st.integers(0, 70), max_size=3))
def test_the_edges_of_vouchers_that_pay_nothing_change_nothing(charge, purses, edges):
    """Cut once more, every voucher pays what it paid."""
    idle = [purse(9, available=0, from_us=at, until_us=at + 3, priority=9) for at in edges]
    some = [replace(one, asset=CNY) for one in purses]
    assert draw_one([charge], [replace(one) for one in some]) == draw_one(
        [charge], [replace(o) for o in [*some, *idle]]
    )


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


def test_what_runs_on_is_not_cut():
    """A hold that outlives its voucher pays to the end of what began in time, also where a price changed on the way."""
    held = replace(purse(0, available=500, until_us=10), runs_on=True)
    spans = charges_along((Span(5, 15, 60, 0, 0), Span(15, 25, 90, 0, 0)), ("A",))
    assert draw_one(spans, [held]).yuan == {100: 150}
    stopped = draw_one(spans, [purse(0, available=500, until_us=10)])
    assert (stopped.yuan, stopped.self_pay) == ({100: 30}, 120)
    late = charges_along((Span(10, 15, 60, 0, 0),), ("A",))
    assert draw_one(late, [replace(held, available=500)]).yuan == {}


def test_a_compute_voucher_that_ends_pays_its_time():
    """Six of ten hours in kind, the rest by yuan."""
    charge = Charge(0, 101, 33, ("A",), end_us=10)
    cover, _ = draw_on([purse(0, COMPUTE, available=99, until_us=6), purse(1, available=500)], [charge])
    assert (cover.compute, cover.in_kind, cover.yuan, cover.self_pay) == ({100: 20}, {"s0": 61}, {101: 40}, 0)
