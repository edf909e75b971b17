"""S1 to S5: what schedulers reported, against cards, devices and monitors; sound use gives no finding."""

from __future__ import annotations

from dataclasses import replace

from ledger.errors import Finding
from metering.capacity import Breach
from metering.overlap import Hold, overlaps
from tests.voucher.test_findings import LIMITS, only
from voucher.finding import Evidence
from voucher.findings import finding_id
from voucher.findings_sight import (
    MS_PER_HOUR,
    Run,
    contradictions,
    hoarding,
    look_alike,
    over_capacity,
    shared_devices,
)

HOUR_US = 3_600_000_000


def day(at_us):
    return f"day {at_us // (24 * HOUR_US)}"


def test_s1_a_day_over_capacity_is_one_finding():
    """Three segments in one day and one the day after: two findings, each with the worst of it and every record."""
    breaches = [Breach(f"r{n}", "A100", at, 8000 + n, 8000) for n, at in enumerate((0, 1, 2, 24 * HOUR_US), 1)]
    first, second = over_capacity("sj01", breaches, day)
    assert first.evidence[0] == Evidence("used_and_capacity", "8.003 / 8", "A100 day 0")
    assert [item.record for item in first.evidence[1:]] == ["r1", "r2", "r3"]
    assert finding_id(first) != finding_id(second)
    assert not list(over_capacity("sj01", [], day))


def test_s2_a_device_with_two_holders_at_once():
    """The time that they share is the evidence; one after the other on a device is no finding."""
    first, second = Hold("GPU-1", "a", "1", 0, 100), Hold("GPU-1", "b", "2", 60, 200)
    found = only(shared_devices("sj01", overlaps([first, second, replace(second, device="GPU-2")])))
    assert (found.check, found.subject) == ("S2", "sj01")
    assert Evidence("shared_us", "40", "GPU-1") in found.evidence
    assert not list(shared_devices("sj01", overlaps([first, replace(second, start_us=100)])))


def test_s3_lookalikes_are_pointed_out_with_every_record():
    """Two records with the same account, times and cards; one alone is no finding."""
    found = only(look_alike({("sj01 a", "f"): ["y", "x"], ("sj01 b", "g"): ["z"]}))
    assert (found.subject, [item.record for item in found.evidence]) == ("sj01 a", ["x", "y"])


def test_s4_hours_of_a_day_are_one_finding_by_kind():
    """Idle twice and flat once on one day: two findings, with the numbers of each hour."""

    def said(code, number):
        return Finding(code, f"x：n={number}", f"x: n={number}", "A100")

    found = list(
        contradictions(
            "sj01",
            [
                ("A100", 0, said("idle-held", 1)),
                ("A100", HOUR_US, said("idle-held", 2)),
                ("A100", 0, said("energy-flat", 3)),
            ],
            day,
        )
    )
    assert [(one.key, [item.value for item in one.evidence]) for one in found] == [
        ("energy-flat A100 day 0", ["n=3"]),
        ("idle-held A100 day 0", ["n=1", "n=2"]),
    ]


def test_s5_idle_hours_of_an_account_add_up():
    """24 idle card-hours in a month are a finding; busy runs, runs that nobody saw and fewer hours are none."""
    idle = Run("GPU-1", "a", "1", 0, 24 * HOUR_US, 0, 24 * MS_PER_HOUR)
    found = only(hoarding("sj01", [idle], day, LIMITS))
    assert (found.subject, found.evidence[0]) == ("sj01 a", Evidence("idle_card_hours", "24", "day 0"))
    busy = replace(idle, busy_ms=2 * MS_PER_HOUR)
    for fine in (busy, replace(idle, seen_ms=0), replace(idle, seen_ms=24 * MS_PER_HOUR - 1)):
        assert not list(hoarding("sj01", [fine], day, LIMITS))
    halves = [replace(idle, device=name, seen_ms=12 * MS_PER_HOUR) for name in ("GPU-1", "GPU-2")]
    assert only(hoarding("sj01", halves, day, LIMITS)).evidence[0].value == "24"
