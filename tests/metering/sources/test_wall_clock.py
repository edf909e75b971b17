"""Times of usage files: exact, with a declared zone, and never a guess."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from metering.sources.faults import RowFault
from metering.sources.wall_clock import InstantReader
from metering.zones import instant_us, rfc3339, zone_of

AT_US = 1_507_532_515_000_000
FIRST, LAST = (datetime.fromisoformat(text) for text in ("1971-01-01", "2199-12-30"))
ZONES = ["UTC", "Asia/Shanghai", "+08:00", "-0330", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("2017-10-09 07:01:55", "UTC"),
        ("2017-10-09T15:01:55", "Asia/Shanghai"),
        ("2017-10-09T15:01:55", "+08:00"),
        ("2017-10-09T15:01:55", "+0800"),
        ("2017-10-09T03:31:55", "-03:30"),
        ("2017-10-09T07:01:55Z", None),
        ("2017-10-09T15:01:55+08:00", None),
        ("2017-10-09T15:01:55+0800", "America/New_York"),
        ("1507532515", None),
        ("1507532515", "Asia/Shanghai"),
        ("1507532515.000", None),
        ("2017-10-09T07:01:55.000000Z", None),
    ],
)
def test_one_instant_in_many_forms(text, zone):
    """An offset or epoch seconds need no zone; a wall clock is read in the declared one."""
    assert InstantReader("f", zone).us(text) == AT_US


def test_a_wall_clock_needs_a_zone():
    """The refusal names the file and the flag, and offers no default."""
    with pytest.raises(MeteringError, match=r"jobs\.csv.*--timezone Asia/Shanghai"):
        InstantReader("jobs.csv", None).us("2017-10-09 07:01:55")


@pytest.mark.parametrize("text", ["2026-03-08 02:30:00", "2026-11-01 01:30:00"])
def test_an_hour_that_the_clock_skipped_or_repeated_is_a_fault(text):
    """New York's 02:30 of that spring day never was, 01:30 of that autumn day was twice; the hours around are sound."""
    reader = InstantReader("f", "America/New_York")
    with pytest.raises(RowFault, match="ambiguous-time"):
        reader.us(text)
    assert reader.us(f"{text[:10]} 04:30:00") - reader.us(f"{text[:10]} 00:30:00") in {
        3 * 3600 * 10**6,
        5 * 3600 * 10**6,
    }


def test_shanghai_without_summer_time():
    """China's clock has stood still since 1991: every wall-clock time is one instant, eight hours before UTC."""
    reader = InstantReader("f", "Asia/Shanghai")
    assert reader.us("2026-07-01 08:00:00") == reader.us("2026-07-01T00:00:00Z")


@given(st.datetimes(FIRST, LAST), st.sampled_from(ZONES))
def test_wall_clocks_are_read_as_the_zone_has_them(moment, zone):
    """Whatever the zone and the day, the instant is the library's own, or the wall clock did not tell one instant."""
    text = moment.isoformat(" ")
    instants = {instant_us(moment.replace(tzinfo=zone_of(zone), fold=fold)) for fold in (0, 1)}
    reader = InstantReader("f", zone)
    if len(instants) == 1:
        assert {reader.us(text), reader.us(text)} == instants
    else:
        with pytest.raises(RowFault):
            reader.us(text)


@given(st.datetimes(FIRST, LAST, timezones=st.just(UTC)))
def test_instants_are_printed_as_they_are_read(moment):
    """`rfc3339` and the reader are inverse, to the microsecond."""
    at_us = instant_us(moment)
    assert InstantReader("f", None).us(rfc3339(at_us)) == at_us
    assert datetime.fromisoformat(rfc3339(at_us)) == moment


def test_zones_by_name_and_by_offset():
    """Both spellings of Shanghai agree today."""
    day = datetime.fromisoformat("2026-01-01")
    assert zone_of("+08:00").utcoffset(day) == ZoneInfo("Asia/Shanghai").utcoffset(day) == timedelta(hours=8)
