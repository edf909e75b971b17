"""The money of a programme: rounds in their order, shares of levels, tranches, idle units, and both channels."""

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.voucher.claims import SHIPPED
from tests.voucher.samples import SANDBOX
from voucher.days import split_by_year
from voucher.errors import VoucherError
from voucher.programme import (
    Channel,
    Channels,
    Commitments,
    Round,
    RoundClaim,
    announce,
    award,
    due,
    fund,
    idle,
    released,
    within_years,
)
from voucher.scheme import Reclaim, ReclaimRow, Share

HENAN = SHIPPED["cn-ha-2023-2024"].latest
HOUR = 3_600_000_000
AT_2026 = 1_767_196_800_000_000
"""Midnight of 2026-01-01 in Shanghai: 16:00 UTC of the day before."""


def of(*claims, budget=100, closed=1000):
    return Round(budget, closed, tuple(RoundClaim(*claim) for claim in claims))


def given_by(awards):
    return {item.claim: item.amount for item in awards}


def code_of(function, *arguments, **options):
    with pytest.raises(VoucherError) as caught:
        function(*arguments, **options)
    return caught.value.code


# --- rounds -----------------------------------------------------------------------------------------------------------


def test_the_earlier_contract_wins_although_it_applied_later():
    """Henan: by the time of signing, on a closed round. First come, first served would give the last 10,000 to the wrong one."""
    assert HENAN.budget.on_exhaustion == "contract_signed_at_asc"
    race = of(("early contract", 60, 10, 900), ("early application", 60, 20, 100))
    assert given_by(award(race, HENAN.budget.on_exhaustion)) == {"early contract": 60, "early application": 40}
    assert given_by(award(race, "application_received_at_asc")) == {"early application": 60, "early contract": 40}


def test_an_open_round_awards_nothing():
    """While it is open a claim may come that ranks higher."""
    assert code_of(award, of(("a", 1, 1, 1), closed=None), "contract_signed_at_asc") == "round-open"
    assert code_of(award, of(("a", 1, 1, 1000)), "contract_signed_at_asc") == "claims-late"
    assert code_of(award, of(("a", 1, 1, 1), ("a", 1, 1, 1)), "contract_signed_at_asc") == "claims-repeated"


def test_every_award_says_why_it_is_less():
    """In full, in part, nothing: rank, cut and words."""
    awards = award(of(("a", 60, 1, 1), ("b", 60, 2, 2), ("c", 60, 3, 3)), "contract_signed_at_asc")
    assert [(item.claim, item.rank, item.amount, item.cut) for item in awards] == [
        *(("a", 1, 60, 0), ("b", 2, 40, 20)),
        ("c", 3, 0, 60),
    ]
    assert [item.zh for item in awards] == ["全额", "次序第 2，预算不足，部分", "次序第 3，预算已用完"]


def test_a_rest_below_the_smallest_voucher_is_not_given():
    """What remains may still serve a smaller claim behind."""
    assert given_by(
        award(of(("a", 70, 1, 1), ("b", 60, 2, 2), ("c", 30, 3, 3)), "contract_signed_at_asc", least=30)
    ) == {
        "a": 70,
        "b": 30,
        "c": 0,
    }
    assert (
        given_by(award(of(("a", 80, 1, 1), ("b", 60, 2, 2), ("c", 20, 3, 3)), "contract_signed_at_asc", least=20))["b"]
        == 20
    )


@pytest.mark.parametrize(
    ("order", "budget", "expected"),
    [
        ("pro_rata", 100, {"a": 33, "b": 67}),
        ("pro_rata", 300, {"a": 100, "b": 200}),
        ("closed", 299, {"a": 0, "b": 0}),
        ("closed", 300, {"a": 100, "b": 200}),
    ],
)
def test_a_round_may_share_or_close_instead(order, budget, expected):
    """The same share for all, or all or nothing."""
    assert given_by(award(of(("a", 100, 1, 1), ("b", 200, 2, 2), budget=budget), order)) == expected


claims = st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 5), st.integers(0, 999)), max_size=12)


@given(
    claims,
    st.integers(0, 10**13),
    st.sampled_from(["contract_signed_at_asc", "application_received_at_asc", "pro_rata", "closed"]),
    st.randoms(),
)
def test_no_round_gives_more_than_its_budget_in_any_order_of_arrival(asked, budget, order, chance):
    """The sum stays within the budget, nobody gets more than asked, and shuffling the claims changes nothing in ranked orders."""
    rows = [(f"c{number:02}", *claim) for number, claim in enumerate(asked)]
    first = given_by(award(of(*rows, budget=budget), order))
    assert sum(first.values()) <= budget
    assert all(first[name] <= amount for name, amount, *_ in rows)
    chance.shuffle(rows)
    if order != "pro_rata":
        assert given_by(award(of(*rows, budget=budget), order)) == first


# --- shares, tranches, years --------------------------------------------------------------------------------------------


@given(st.integers(-(10**15), 10**15))
def test_levels_bear_a_payment_to_the_last_fen(amount):
    """Province and city one half each, city and district a third and two: the parts add up, also of a clawback."""
    for scheme in (HENAN, SANDBOX):
        parts = fund(amount, scheme.budget.funding)
        assert sum(parts.values()) == amount
        for share in scheme.budget.funding:
            assert abs(parts[share.level] - share.share * amount) < 1
    assert fund(101, [Share("city", Fraction(1, 2)), Share("district", Fraction(1, 2))]) in (
        {"city": 51, "district": 50},
        {"city": 50, "district": 51},
    )


@pytest.mark.parametrize(
    ("reached", "units"),
    [(set(), 0), ({"approval"}, 51), ({"progress_report"}, 0), ({"approval", "progress_report"}, 101)],
)
def test_tranches_follow_one_another(reached, units):
    """The second half waits for the report, and a report does not release the first one."""
    assert released(101, SANDBOX.tranches, frozenset(reached)) == units
    assert released(101, (), frozenset()) == 101


def test_use_across_new_year_is_split_in_shanghai():
    """Ten hours from 22:00 on 31 December: two of them are last year's. Midnight in Shanghai is 16:00 UTC."""
    start_us = AT_2026 - 2 * HOUR
    assert split_by_year(1000, start_us, start_us + 10 * HOUR) == {2025: 200, 2026: 800}
    assert split_by_year(1000, AT_2026, AT_2026 + HOUR) == {2026: 1000}
    assert split_by_year(1000, AT_2026 - HOUR, AT_2026) == {2025: 1000}
    assert split_by_year(7, AT_2026 - HOUR, AT_2026 - HOUR) == {2025: 7}


def test_the_cap_of_each_year_applies_to_its_own_part():
    """What crosses 31 December is split before caps: last year's part is cut by last year's cap, which is nearly used up."""
    parts = split_by_year(1000, AT_2026 - 5 * HOUR, AT_2026 + 5 * HOUR)
    assert within_years(parts, {2025: 900}, 1000) == {2025: 100, 2026: 500}
    assert within_years(parts, {2025: 1200}, 1000) == {2025: 0, 2026: 500}


@pytest.mark.parametrize(("rule", "charged"), [("charged", True), ("not_charged", False), (None, None)])
def test_time_of_interrupted_jobs_is_charged_by_the_schemes_rule(rule, charged):
    """Where no text says so it is unknown, and a person decides; a job that ended by itself is always charged."""
    spending = replace(SANDBOX.spending, interrupted=rule)
    assert spending.charges(interrupted=True) is charged
    assert spending.charges(interrupted=False) is True


@given(st.integers(0, 10**15), st.integers(0, 40 * 365 * 24), st.integers(0, 40 * 365 * 24))
def test_parts_of_years_add_up(total, start_hours, hours):
    """Whatever the span, the years are in a row and nothing is lost."""
    start_us = AT_2026 - 20 * 365 * 24 * HOUR + start_hours * HOUR
    parts = split_by_year(total, start_us, start_us + hours * HOUR)
    assert sum(parts.values()) == total
    assert list(parts) == list(range(min(parts), max(parts) + 1))


# --- commitments --------------------------------------------------------------------------------------------------------


def test_commitments_count_what_must_still_be_paid():
    """Expired faces and recovered money are free again; what is held or redeemed is not."""
    sums = Commitments(budget=1000, issued=900, held=100, redeemed=300, expired=200, paid=250, clawed_back=50)
    assert (sums.committed, sums.outstanding, sums.room(), sums.faults()) == (650, 400, 350, ())
    over = Commitments(budget=100, issued=150)
    assert over.room() == 0
    assert Commitments(budget=1, issued=1, held=2).faults() == ("issued",)
    assert Commitments(budget=1, issued=9, redeemed=1, paid=2, clawed_back=3).faults() == ("redeemed", "paid")


# --- idle units ---------------------------------------------------------------------------------------------------------

RULE = SANDBOX.reclaim


@pytest.mark.parametrize(
    ("used", "taken"),
    [(71, 0), (70, 6), (56, 8), (55, 15), (41, 20), (40, 33), (21, 43), (20, 64), (0, 80), (100, 0), (120, 0)],
)
def test_idle_units_are_taken_by_a_table(used, taken):
    """Of a plan of 100: above 70 % nothing, then 20, 35, 55 and 80 % of what was left unused; bounds belong to the lower row."""
    assert idle(RULE, granted=400, planned=100, used=used, reclaimed=0) == taken


def test_reclaims_are_cumulative_not_compounding():
    """What an earlier quarter took counts against the next one."""
    first = idle(RULE, granted=400, planned=100, used=30, reclaimed=0)
    assert first == 38
    second = idle(RULE, granted=400, planned=200, used=130, reclaimed=first)
    assert second == 0  # 65 % of the plan by now: 20 % of 70 is 14, of which 38 were taken
    assert idle(RULE, granted=400, planned=200, used=30, reclaimed=first) == 136 - 38


def test_nothing_is_taken_without_notice_and_never_more_than_was_announced():
    """Use between notice and effect saves what it uses; falling further behind takes no more than was said."""
    notice = announce(RULE, date(2025, 4, 1), granted=400, planned=100, used=30, reclaimed=0)
    assert (notice.units, notice.effective_on) == (38, date(2025, 5, 1))
    day = date(2025, 5, 1)
    assert due(notice, RULE, date(2025, 4, 30), granted=400, planned=100, used=30, reclaimed=0) == 0
    assert due(notice, RULE, day, granted=400, planned=100, used=30, reclaimed=0) == 38
    assert due(notice, RULE, day, granted=400, planned=133, used=100, reclaimed=0) == 0
    assert due(notice, RULE, day, granted=400, planned=200, used=30, reclaimed=0) == 38
    assert announce(RULE, day, granted=400, planned=100, used=90, reclaimed=0) is None


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_never_more_is_taken_than_is_left(granted, planned, used, reclaimed):
    """Reclaiming leaves what was used untouched."""
    taken = idle(RULE, granted=granted, planned=planned, used=used, reclaimed=reclaimed)
    assert taken >= 0
    assert taken == 0 or taken + used + reclaimed <= granted
    harsh = Reclaim(3, 30, (ReclaimRow(Fraction(1), Fraction(1)),), "")
    assert idle(harsh, granted=granted, planned=planned, used=used, reclaimed=0) <= max(granted - used, 0)


# --- channels -----------------------------------------------------------------------------------------------------------

BOTH = frozenset(Channel)


def test_both_channels_draw_on_one_budget():
    """What is allotted to a centre is committed at once; what it returns may be given again."""
    programme = Channels(1000, BOTH).give(300).allot("sj01", 500).hand_out("sj01", 200)
    assert programme.left == 200
    assert programme.allotments["sj01"].left == 300
    assert code_of(programme.give, 201) == "budget-exceeded"
    assert code_of(programme.allot, "sj02", 201) == "budget-exceeded"
    assert code_of(programme.hand_out, "sj01", 301) == "budget-exceeded"
    assert code_of(programme.hand_out, "sj02", 1) == "budget-exceeded"
    returned = programme.give_back("sj01", 300)
    assert (returned.left, returned.allotments["sj01"].left) == (500, 0)
    assert code_of(returned.hand_out, "sj01", 1) == "budget-exceeded"
    assert code_of(programme.give, 0) == "budget-exceeded"


def test_a_channel_that_the_scheme_lacks_is_refused():
    """Songjiang's text has both; another scheme may have one."""
    assert {Channel(name) for name in SHIPPED["cn-sh-songjiang-2024"].latest.procedure.channels} == BOTH
    assert code_of(Channels(10, frozenset({Channel.GOVERNMENT})).allot, "sj01", 1) == "channel-not-admitted"
    assert code_of(Channels(10, frozenset({Channel.CENTRE})).give, 1) == "channel-not-admitted"
