"""Energy by the mean draw of the cards that were seen, carbon by dated factors: what is not known is not there."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.energy import Measured, energy_of
from metering.errors import MeteringError
from metering.grid import load_factors
from metering.telemetry import Hour
from metering.zones import shanghai_day_us
from tests.shared_data import ROOT

HOUR_MS = 3_600_000
FILE = "grid/factors.toml"
FACTORS = """
[[factor]]
grams_per_kwh = "581.5"
from = 2026-01-01
to = 2027-01-01
basis = "a notice"

[[factor]]
grams_per_kwh = "100"
from = 2026-06-01
centre = "sj01"
basis = "another"
"""


def test_cards_take_the_mean_of_what_was_seen():
    """Four cards seen, 2 kWh: one of them is 0.5 kWh. Wrong: 2 kWh for the only account, or anything in an hour nobody saw."""
    seen = {
        ("A100", 0): Hour(0, 4 * HOUR_MS, 7_200_000_000),
        ("A100", 2): Hour(0, HOUR_MS, 0),
        ("A100", 3): Hour(0, 0, 9),
    }
    assert energy_of({("A100", 0): HOUR_MS}, seen) == Measured(1_800_000_000, HOUR_MS, HOUR_MS)
    assert energy_of({("A100", 0): HOUR_MS, ("A100", 1): 5}, seen) == Measured(1_800_000_000, HOUR_MS, HOUR_MS + 5)
    for unknown in ({("A100", 0): 4 * HOUR_MS + 1}, {("A100", 2): 1}, {("A100", 3): 1}, {("H100", 0): 1}):
        assert energy_of(unknown, seen).measured_ms == 0, (
            "more cards than monitors saw, no energy, no cards, another model"
        )
    assert not energy_of({}, seen).whole


@given(st.lists(st.integers(0, HOUR_MS), max_size=9), st.integers(1, 10**12))
def test_what_fits_into_what_was_seen_takes_no_more_than_it(held, energy_mj):
    """Accounts that together hold no more than monitors saw have together no more than the energy measured."""
    hour = Hour(0, max(sum(held), 1), energy_mj)
    found = [energy_of({("A100", 0): ms}, {("A100", 0): hour}) for ms in held]
    assert sum(one.energy_mj for one in found) <= energy_mj
    assert sum(one.measured_ms for one in found) == sum(held)


def test_a_factor_is_of_its_time_and_place():
    """A centre's own goes before the general one; before and after, and with nothing registered, there is none."""
    factors = load_factors(FACTORS.encode(), FILE)
    assert numbers(factors, "sj01", "2026-05-31", "2026-06-01", "2028-01-01") == [581_500, 100_000, 100_000]
    assert numbers(factors, "sj02", "2025-12-31", "2026-12-31", "2027-01-01") == [None, 581_500, None]
    assert factors.at("sj01", shanghai_day_us(date(2026, 6, 1))).milligrams(1_800_000_000) == 50_000


def numbers(factors, centre, *days):
    found = [factors.at(centre, shanghai_day_us(date.fromisoformat(day))) for day in days]
    return [one and one.mg_per_kwh for one in found]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"581.5"', "581.5", "grams_per_kwh"),
        ('"581.5"', '"0.58150"', "grams_per_kwh"),
        ('"581.5"', '"-1"', "grams_per_kwh"),
        ('basis = "a notice"', "", "basis"),
        ("to = 2027-01-01", "to = 2026-01-01", "later"),
        ('centre = "sj01"', "", "overlaps"),
        ('basis = "another"', 'basis = "another"\nyear = 2026', "year"),
        ("[[factor]]", "[[fator]]", "factor"),
        ("", "x = 1\n", "factor"),
    ],
)
def test_a_bad_factor_is_named(old, new, said):
    """Numbers that are no decimal strings, no source, no time: the file and what is wrong."""
    with pytest.raises(MeteringError, match=said) as refused:
        load_factors(FACTORS.replace(old, new, 1).encode(), FILE)
    assert FILE in str(refused.value)


def test_no_number_is_shipped():
    """Factors are the authority's: the file that is shipped has none, so no carbon is stated until somebody enters one."""
    assert (
        load_factors((ROOT / "config" / FILE).read_bytes(), FILE).at("sj01", shanghai_day_us(date(2026, 1, 1))) is None
    )
