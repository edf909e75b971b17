"""GPU time by the hour: each record's hours add up to it, and a segment at once says what its records say one by one."""

from random import Random

import pytest

from metering import segment
from metering.hourly import added, capacity_ms, hours_of, hours_of_segment
from metering.model import Accelerator, UsageRecord

HOUR = 3_600_000_000
BASE = 500_000 * HOUR


def record(start_us, end_us, active_ms=3_600_000, counts=(1_000,), name="job:1"):
    cards = tuple(Accelerator("A100", count) for count in counts)
    return UsageRecord(name, "acct", "job", 0, start_us, end_us, active_ms, cards, "COMPLETED", True, None)


def packed(records):
    return segment.pack(
        [
            segment.encode(
                one.id, one.account, one.job, one.attempt, one.start_us, one.end_us, one.active_ms, one.accelerators,
                one.state, one.final,
            )
            for one in records
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "end", "gpu_ms", "hours"),
    [
        (0, HOUR, 3_600_000, {0: 3_600_000}),
        (HOUR // 2, 3 * HOUR // 2, 3_600_000, {0: 1_800_000, 1: 1_800_000}),
        (HOUR // 4, 5 * HOUR // 2, 9_000, {0: 3_000, 1: 4_000, 2: 2_000}),
        (0, 0, 5, {0: 5}),
        (HOUR - 1, HOUR, 7, {0: 7}),
        (0, 3 * HOUR, 10, {0: 3, 1: 3, 2: 4}),
    ],
)
def test_a_record_is_spread_over_its_hours(start, end, gpu_ms, hours):
    """Evenly, by whole seconds; what does not divide is rounded down up to each full hour, and the last hour has the rest."""
    found = hours_of(record(BASE + start, BASE + end, gpu_ms))
    assert {hour - 500_000: part for hour, part in found.items()} == hours


def test_a_segment_says_what_its_records_say(seed):
    """Short and long records, several kinds of cards, counts and times beyond what 63 bits can multiply."""
    random = Random(seed)
    records = []
    for number in range(400):
        start = BASE + random.randrange(100 * HOUR)
        end = start + random.choice([0, 1, 999_999, HOUR, 30 * HOUR, random.randrange(40 * HOUR)])
        counts = [random.randrange(1, 9_000) for _ in range(random.choice([1, 1, 1, 2, 3]))]
        records.append(record(start, end, random.randrange(10**9), counts, f"job:{number}"))
    for some in (records, [*records, record(BASE, BASE + HOUR, 10**12, (10**9,), "huge")], records[:1], []):
        told = added((1, hours_of(one)) for one in some)
        found = hours_of_segment(packed(some))
        assert {hour: part for hour, part in found.items() if part} == {
            hour: part for hour, part in told.items() if part
        }, seed
        assert sum(found.values()) == sum(one.gpu_ms for one in some), seed


@pytest.mark.parametrize(
    ("steps", "times", "gpu_ms"),
    [
        ([(0, 8_000)], (BASE, BASE + HOUR), 8 * 3_600_000),
        ([(0, 8_000)], (BASE, BASE), 0),
        ([(BASE, 4_000)], (BASE - HOUR, BASE + HOUR), 4 * 3_600_000),
        ([(0, 2_000), (BASE + HOUR // 2, 6_000)], (BASE, BASE + HOUR), 4 * 3_600_000),
        ([(0, 2_000), (BASE, 0)], (BASE, BASE + HOUR), 0),
        ([], (BASE, BASE + HOUR), 0),
    ],
)
def test_capacity_follows_the_days_on_which_cards_came_and_left(steps, times, gpu_ms):
    """Cards count for the part of the time in which they were there."""
    assert capacity_ms(steps, *times) == gpu_ms
