"""Working days between two days, against the calendar asked day by day."""

from datetime import date, timedelta
from random import Random

import pytest

from subsidy.calendar import load_calendar
from subsidy.working_days import WorkingDays
from tests.shared_data import ROOT


@pytest.fixture(scope="module")
def calendar():
    return load_calendar(ROOT / "config/calendars")


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2026-11-20", "2026-11-20", 0),
        ("2026-11-20", "2026-11-23", 1),  # from a Friday over a weekend
        ("2026-11-20", "2026-11-27", 5),
        ("2026-11-23", "2026-11-20", 0),
        ("2025-12-31", "2026-01-05", 2),  # the fourth is a Sunday that is worked
        ("2026-09-30", "2026-10-08", 1),  # over the days off of the first week of October
        ("2026-12-30", "2027-01-04", None),  # no calendar of 2027 is loaded
        ("2022-12-30", "2026-01-04", None),
    ],
)
def test_the_first_day_does_not_count(calendar, first, last, days):
    """As with periods of notice; a year that nobody loaded is not guessed."""
    assert WorkingDays(calendar).between(date.fromisoformat(first), date.fromisoformat(last)) == days


def test_it_is_what_the_calendar_says_day_by_day(calendar, seed):
    """Any two days of the years that are loaded."""
    random, counted = Random(seed), WorkingDays(calendar)
    for _ in range(60):
        first = date(2024, 1, 1) + timedelta(days=random.randrange(800))
        span = random.randrange(250)
        told = sum(calendar.is_working_day(first + timedelta(days=at + 1)) for at in range(span))
        assert counted.between(first, first + timedelta(days=span)) == told, (seed, first, span)
