"""Parts that add up: largest remainder."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ledger.split import split

WEIGHTS = st.lists(st.integers(0, 10**15) | st.fractions(0, 10**6), min_size=1, max_size=12)
TOTALS = st.integers(-(10**18), 10**18)


def test_what_rounding_leaves_goes_to_the_largest_remainder():
    """Ten in parts of 1, 1 and 1 is 4, 3, 3; of 2, 3 and 5 over 11 the last part was cut most."""
    assert split(10, [1, 1, 1]) == [4, 3, 3]
    assert split(11, [2, 3, 5]) == [2, 3, 6]
    assert split(3, [0, 0]) == [2, 1]


def test_between_equal_remainders_the_larger_weight_comes_first():
    """Two in parts of 1 and 3 leaves a half on each side: the larger gets it, wherever it stands."""
    assert split(2, [1, 3]) == [0, 2]
    assert split(2, [3, 1]) == [2, 0]


def test_shares_may_be_fractions():
    """A third and two thirds of a yuan in fen, exactly."""
    assert split(100, [Fraction(1, 3), Fraction(2, 3)]) == [33, 67]
    assert split(-100, [Fraction(1, 3), Fraction(2, 3)]) == [-33, -67]


@given(TOTALS, WEIGHTS)
def test_parts_add_up_and_are_within_one_of_their_share(total, weights):
    """No unit is lost or invented, and no part is a whole unit away from its exact share."""
    parts = split(total, weights)
    assert sum(parts) == total
    weights = weights if any(weights) else [1] * len(weights)
    whole = Fraction(sum(weights))
    assert all(abs(part - total * weight / whole) < 1 for part, weight in zip(parts, weights, strict=True))


@given(st.integers(0, 10**18), WEIGHTS)
def test_a_larger_weight_never_gets_less(total, weights):
    """Parts stand in the order of their weights."""
    pairs = sorted(zip(weights, split(total, weights), strict=True))
    parts = [part for _, part in pairs]
    assert parts == sorted(parts)


@given(TOTALS, st.lists(st.integers(0, 50), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_weights_decides_nothing(total, weights, random):
    """Whoever is named first gets no more: shuffled weights get the same parts, up to equal weights."""
    shuffled = random.sample(weights, len(weights))
    assert sorted(zip(weights, split(total, weights), strict=True)) == sorted(
        zip(shuffled, split(total, shuffled), strict=True)
    )
