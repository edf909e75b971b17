"""Forecasts say what their method says, and nothing where too little is known."""

from hypothesis import given
from hypothesis import strategies as st

from metering.forecast import DAYS, WEEK, forecast

days = st.lists(st.integers(0, 10**12), min_size=0, max_size=60)


def test_steady_spending_is_a_division():
    """Ten a day and a hundred left: ten days, by the mean and by every week."""
    found = forecast(100, [10] * 28)
    assert (found.days, found.spent, found.days_left, found.days_least, found.days_most) == (28, 280, 10, 10, 10)
    assert (found.unused_after(100, 3), found.unused_after(100, 20)) == (70, 0)


def test_a_busy_and_a_quiet_week_give_the_range():
    """Three quiet weeks of 7 and a busy one of 70: 91 in 28 days; without a quiet week that spent there is no most."""
    found = forecast(91, [1] * 21 + [10] * 7)
    assert (found.days_left, found.days_least, found.days_most) == (28, 9, 91)
    assert forecast(91, [13] * 7 + [0] * 7).days_most is None


def test_too_little_is_said_to_be_unknown():
    """Six days of data, a voucher that was not used, corrections that outweigh the spending."""
    assert forecast(100, [0] * 22 + [10] * 6) is None
    assert forecast(100, [0] * 28) is None
    assert forecast(100, [5] * 7 + [-100] * 7) is None
    assert forecast(100, [0] * 21 + [10] * 7).days == 7


@given(days, st.integers(0, 10**15))
def test_the_range_holds_the_mean(spent, balance):
    """Least ≤ mean ≤ most; the mean is the whole number of days that the balance lasts at the mean."""
    found = forecast(balance, spent)
    if found is None:
        assert sum(spent[-DAYS:]) == 0 or sum(1 for _ in _since_first(spent)) < WEEK
        return
    assert found.days_least <= found.days_left
    assert found.days_most is None or found.days_left <= found.days_most
    assert found.days_left * found.spent <= balance * found.days < (found.days_left + 1) * found.spent


def _since_first(spent):
    recent = spent[-DAYS:]
    first = next((at for at, units in enumerate(recent) if units > 0), len(recent))
    return recent[first:]
