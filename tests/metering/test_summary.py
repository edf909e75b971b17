"""The totals of a file: exact integers, and parts that add up however an interval lies."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from metering.model import Accelerator, UsageRecord
from metering.sources.faults import Skipped
from metering.summary import Summary
from metering.zones import instant_us, zone_of

DAY_US = 86_400_000_000
MONTH_END_US = instant_us(datetime(2026, 2, 1, tzinfo=UTC))


def record(start_us: int, end_us: int, active_ms: int | None = None, account: str = "a", **cards: int) -> UsageRecord:
    active_ms = (end_us - start_us) // 1000 if active_ms is None else active_ms
    parts = tuple(Accelerator(model, count_milli) for model, count_milli in (cards or {"a100": 1000}).items())
    return UsageRecord("id", account, "job", 0, start_us, end_us, active_ms, parts, "COMPLETED")


def summary(*items: UsageRecord | Skipped, timezone: str | None = None) -> dict:
    total = Summary(timezone)
    for item in items:
        total.add(item)
    return total.as_json()


def test_an_empty_file_is_all_zero():
    """No record: no span in time, nothing by account."""
    assert summary() == {
        "records": 0,
        "gpu_ms": 0,
        "by_account": {},
        "by_model": {},
        "by_month": {},
        "skipped": {},
        "first": None,
        "last": None,
    }


def test_a_small_file():
    """Names are in order, skipped lines are counted by reason, the span is in UTC whatever the zone."""
    total = summary(
        record(MONTH_END_US, MONTH_END_US + 60_000_000, account="乙", h100=4000),
        record(MONTH_END_US - 500_000, MONTH_END_US, account="甲"),
        Skipped("running", "f", 3),
        Skipped("running", "f", 4),
        timezone="Asia/Shanghai",
    )
    assert list(total["by_account"].items()) == [("乙", 240_000), ("甲", 500)]
    assert total["by_model"] == {"a100": 500, "h100": 240_000}
    assert total["by_month"] == {"2026-02": 240_500}
    assert total["skipped"] == {"running": 2}
    assert (total["first"], total["last"]) == ("2026-01-31T23:59:59.500000Z", "2026-02-01T00:01:00Z")
    assert json.loads(json.dumps(total)) == total


def test_a_month_begins_where_its_zone_says():
    """An interval around UTC midnight is all January's in New York and all February's in Shanghai."""
    item = record(MONTH_END_US - 3_600_000_000, MONTH_END_US + 3_600_000_000)
    assert summary(item)["by_month"] == {"2026-01": 3_600_000, "2026-02": 3_600_000}
    assert summary(item, timezone="Asia/Shanghai")["by_month"] == {"2026-02": 7_200_000}
    assert summary(item, timezone="America/New_York")["by_month"] == {"2026-01": 7_200_000}


def test_an_interval_up_to_midnight_has_no_share_in_the_next_month():
    """The end does not belong to the interval."""
    assert summary(record(MONTH_END_US - 1_000_000, MONTH_END_US))["by_month"] == {"2026-01": 1000}


def test_suspended_time_is_spread_over_the_interval():
    """Charged time is split as the interval is, and its parts are whole: 5 in three days of four and one."""
    item = record(MONTH_END_US - 3 * DAY_US, MONTH_END_US + DAY_US, active_ms=5)
    assert summary(item)["by_month"] == {"2026-01": 4, "2026-02": 1}


def test_models_of_a_mixed_record_add_up_to_it():
    """Fractions of cards of several models: the record is rounded down once, its parts by largest remainder."""
    item = record(0, 3_000, active_ms=3, a100=500, h100=500, l40s=500)
    total = summary(item)
    assert total["gpu_ms"] == 4
    assert total["by_model"] == {"a100": 2, "h100": 1, "l40s": 1}


instants = st.integers(0, instant_us(datetime(2199, 1, 1, tzinfo=UTC)))


@given(
    st.lists(st.tuples(instants, st.integers(1, 800 * DAY_US), st.integers(1, 9000), st.integers(0, 9000)), max_size=6),
    st.sampled_from([None, "Asia/Shanghai", "-11:00", "America/New_York"]),
)
def test_months_models_and_accounts_each_add_up(rows, timezone):
    """Whatever the intervals, counts and zone: three ways of splitting, one total."""
    total = summary(
        *(record(start, start + length, a=one, b=two) for start, length, one, two in rows), timezone=timezone
    )
    for part in ("by_account", "by_model", "by_month"):
        assert sum(total[part].values()) == total["gpu_ms"]
        assert all(type(value) is int and value >= 0 for value in total[part].values())


@given(instants, st.sampled_from(["UTC", "Asia/Shanghai", "Australia/Lord_Howe"]))
def test_an_instant_lies_in_the_month_of_its_wall_clock(at_us, timezone):
    """The month of one millisecond is the one that the zone's calendar shows then."""
    seconds, rest = divmod(at_us, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).astimezone(zone_of(timezone))
    item = record(at_us, at_us + 1, active_ms=1)
    assert summary(item, timezone=timezone)["by_month"] == {f"{moment:%Y-%m}": 1}
