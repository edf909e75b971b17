"""Fields that the OpenAPI document calls days are days: nothing else that a library would take for one."""

import datetime as dt

import pytest
from pydantic import TypeAdapter, ValidationError

from suanquan.http.fields import Day

DAYS = TypeAdapter(Day)


def test_a_day_is_written_as_one():
    """The form of RFC 3339, within the centuries that rules speak of."""
    assert DAYS.validate_python("2026-11-22") == dt.date(2026, 11, 22)


@pytest.mark.parametrize(
    "written",
    [0, 1.5, True, None, "0", "2026-02-30", "20261122", "２０２６-11-22", "0257-01-01", "0001-01-01", "9999-12-31"],
    ids=repr,
)
def test_what_is_no_day_is_refused(written):
    """Seconds, other forms, days that do not exist, and days of antiquity, for which months had three digits and crashed."""
    with pytest.raises(ValidationError):
        DAYS.validate_python(written)
