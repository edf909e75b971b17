"""What comes of a budget if all goes on as now: the method of docs/portal.md by hand, and how often its band holds."""

from random import Random

import pytest

from voucher.outlook import Outlook, outlook

STEADY = [100] * 28
WEEKLY = [70, 70, 70, 70, 70, 0, 0] * 4
"""Working days alone: a week is 350, a day on the mean 50."""


@pytest.mark.parametrize(
    "used",
    [[], [0] * 28, [0] * 15 + [5] * 13, [1] * 13, [100] * 13, [-1] * 28, [5] * 20 + [-200] * 8],
)
def test_with_too_little_nothing_is_said(used):
    """Fewer than 14 days since the first use, or nothing used in all: no forecast, which is not a forecast of nought."""
    assert outlook(used) is None


@pytest.mark.parametrize(
    ("used", "days", "total"),
    [
        (STEADY, 28, 2_800),
        ([9] + [100] * 28, 28, 2_800),
        ([0] * 8 + [100] * 20, 14, 1_400),
        ([100] * 14, 14, 1_400),
        ([7] * 6 + [100] * 14, 14, 1_400),
        (WEEKLY, 28, 1_400),
    ],
)
def test_whole_weeks_count(used, days, total):
    """The last 28 days, those before the first use left out, and the oldest that make no whole week."""
    found = outlook(used)
    assert (found.days, found.used) == (days, total)


def test_what_is_steady_has_no_band():
    """A hundred a day: in 30 days three thousand, no more and no less; a rest of 1,001 lasts until the eleventh."""
    found = outlook(STEADY)
    assert found.after(30) == (found.after(30).__class__)(3_000, 3_000, 3_000)
    assert found.lasts(1_001) == (11, 11, 11)
    assert found.lasts(0) == (0, 0, 0)


def test_the_band_is_that_of_the_text():
    """By hand: mean 50, residuals −50 and 20; for 28 days ahead the root of 28 + 28²/28 is the root of 56."""
    found = outlook(WEEKLY)
    assert found == Outlook(28, 1_400, -50 * 28, 20 * 28)
    ahead = found.after(28)
    assert ahead.expected == 1_400
    assert ahead.high == 1_400 + 149  # 20 × 7.4833 = 149.67, rounded down
    assert ahead.low == 1_400 - 375  # −50 × 7.4833 = −374.17, rounded down
    first, middle, last = found.lasts(1_400)
    assert first < middle == 28 < last


def test_what_outlasts_ten_years_has_no_day():
    """Nothing is promised beyond ten years."""
    assert outlook(STEADY).lasts(10**9) == (None, None, None)


def test_nothing_is_expected_below_nought():
    """A band that would reach below nought ends there, and the expected lies within it."""
    found = outlook([700] + [0] * 17 + [1] * 10)
    for days in (0, 1, 7, 400):
        ahead = found.after(days)
        assert 0 <= ahead.low <= ahead.expected <= ahead.high


def test_the_band_holds_four_times_in_five():
    """Days drawn by chance from one and the same law: what comes lies in the band in 80 of 100 cases, give or take a few."""
    random = Random(20261128)  # always the same cases
    for ahead in (10, 30, 90):
        hits = 0
        for _ in range(1_000):
            found = outlook([max(0, int(random.gauss(1_000, 300))) for _ in range(28)])
            told = found.after(ahead)
            hits += told.low <= sum(max(0, int(random.gauss(1_000, 300))) for _ in range(ahead)) <= told.high
        assert 760 <= hits <= 840, (ahead, hits)
