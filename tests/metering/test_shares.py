"""Parts that add up: largest remainder."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from metering.shares import split


def test_what_rounding_leaves_goes_to_the_largest_remainder():
    """Ten in parts of 1, 1 and 1 is 4, 3, 3; of 2, 3 and 5 over 11 the last part was cut most."""
    assert split(10, [1, 1, 1]) == [4, 3, 3]
    assert split(11, [2, 3, 5]) == [2, 3, 6]
    assert split(3, [0, 0]) == [2, 1]


@given(st.integers(0, 10**18), st.lists(st.integers(0, 10**15), min_size=1, max_size=12))
def test_parts_add_up_and_are_within_one_of_their_share(total, weights):
    """No unit is lost or invented, and no part is a whole unit away from its exact share."""
    parts = split(total, weights)
    assert sum(parts) == total
    weights = weights if any(weights) else [1] * len(weights)
    assert all(
        abs(part - Fraction(total * weight, sum(weights))) < 1 for part, weight in zip(parts, weights, strict=True)
    )
