"""Working days and public notices by the State Council's notices."""

from datetime import date, timedelta

import pytest

from subsidy.calendar import Calendar, publicity
from subsidy.errors import SubsidyError

WORKING_DAYS = {2024: 251, 2025: 248, 2026: 248}


@pytest.mark.parametrize(("year", "days"), WORKING_DAYS.items())
def test_a_year_has_as_many_working_days_as_its_notice_leaves(calendar, year, days):
    """Weekdays less holidays plus worked weekends."""
    first = date(year, 1, 1)
    count = sum(calendar.is_working_day(first + timedelta(at)) for at in range((date(year + 1, 1, 1) - first).days))
    assert count == days


def test_the_calendars_agree_with_an_independent_library(calendar):
    """Every day of the years here is worked or not as the library has it, where that is installed."""
    library = pytest.importorskip(
        "chinese_calendar", reason="chinesecalendar is not installed; the counts above still hold"
    )
    day = date(2024, 1, 1)
    while day.year <= 2026:
        assert calendar.is_working_day(day) is library.is_workday(day), day
        day += timedelta(1)


@pytest.mark.parametrize(
    ("posted", "last"),
    [
        ("2025-09-26", "2025-10-10"),
        ("2025-09-28", "2025-10-11"),
        ("2025-10-09", "2025-10-15"),
        ("2026-02-12", "2026-02-26"),
        ("2026-02-14", "2026-02-28"),
        ("2026-09-24", "2026-10-09"),
        ("2026-09-28", "2026-10-10"),
        ("2026-12-23", "2026-12-30"),
    ],
)
def test_a_notice_runs_five_complete_working_days_after_its_posting(calendar, posted, last):
    """The posting day does not count; make-up weekends do, holidays do not; the next step follows on a working day."""
    period = publicity(calendar, date.fromisoformat(posted), 5)
    assert period.last_publicity_day == date.fromisoformat(last)
    assert calendar.is_working_day(period.earliest_next_step)
    between = [date.fromisoformat(posted) + timedelta(at) for at in range(1, 40)]
    assert sum(calendar.is_working_day(day) or False for day in between if day <= period.last_publicity_day) == 5
    assert not any(
        calendar.is_working_day(day) for day in between if period.last_publicity_day < day < period.earliest_next_step
    )


@pytest.mark.parametrize("posted", ["2026-12-28", "2026-12-24", "2027-03-01", "2023-06-01"])
def test_a_year_without_its_notice_is_left_to_a_person(calendar, posted):
    """If the posting day, the last day or the next step falls in an unknown year, there is no date at all."""
    period = publicity(calendar, date.fromisoformat(posted), 5)
    assert period.needs_human
    assert period.last_publicity_day is None
    assert period.earliest_next_step is None


@pytest.mark.parametrize("days", [0, -1, 1000])
def test_the_length_of_a_notice_is_bounded(calendar, days):
    """No notice is shorter than a day or longer than a year."""
    with pytest.raises(SubsidyError, match="1 to 250"):
        publicity(calendar, date(2025, 9, 1), days)


def test_more_working_days_never_end_earlier(calendar):
    """A longer notice ends later by at least one day."""
    ends = [publicity(calendar, date(2025, 9, 26), days).last_publicity_day for days in range(1, 20)]
    assert ends == sorted(set(ends))


def test_without_any_calendar_nothing_is_guessed():
    """No notice loaded: every day is unknown."""
    assert Calendar({}).is_working_day(date(2025, 9, 1)) is None
    assert publicity(Calendar({}), date(2025, 9, 1), 5).needs_human
