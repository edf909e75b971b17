"""Capacity, overlaps, completeness, quarantine and reconciliation: findings with numbers, from the records alone."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.capacity import Card, Pools, inventory_findings, peak, sweep
from metering.completeness import Completeness, Declaration, State, compare, completeness_finding
from metering.model import Accelerator, UsageRecord
from metering.overlap import Hold, fingerprint, overlaps
from metering.quarantine import Cause, Verdict, releasable
from metering.reconcile import allocated_ms, reconcile
from metering.sources.samples import Sample
from metering.telemetry import HOUR_US, Hour, add_up
from tests.metering.sources.reading import records as read
from tests.metering.sources.test_traces import PHILLY, bytes_of
from tests.shared_data import needs_shared

S = 1_000_000
T0 = 1_795_305_600 * S


def used(name, start, end, count=1000, model="A100", account="a", active=None):
    active_ms = (end - start) * 1000 if active is None else active
    cards = (Accelerator(model, count),)
    return UsageRecord(name, account, name, 1, T0 + start * S, T0 + end * S, active_ms, cards, "COMPLETED")


# ---- capacity


def test_pools_are_what_the_cards_count_to_over_time():
    """Two from 10 on, three from 20, one from 30: the least and most of any time; without a list what was declared."""
    pools = Pools({"A100": 9}, {"A100": [(10, 2), (20, 3), (30, 1)]})
    found = [
        (pools.least("A100", *span), pools.most("A100", *span))
        for span in [(0, 10), (10, 20), (15, 21), (15, 40), (40, 41)]
    ]
    assert found == [(0, 0), (2, 2), (2, 3), (1, 3), (1, 1)]
    assert pools.most("H100", 0, 99) == 0, "no such card is on the list"
    declared = Pools({"A100": 9}, None)
    assert [declared.most(model, 0, 1) for model in ("A100", "H100")] == [9, None]
    assert [bool(one) for one in (pools, declared, Pools({}, None), Pools({}, {}))] == [True, True, False, True]


def test_a_serial_number_is_in_one_place_at_a_time():
    """The same card listed twice is one card; after it has moved it may come again."""
    twice = [Card("s1", "a", 0, 10), Card("s1", "a", 9, 20), Card("s2", "a", 0, 10), Card("s2", "a", 10, 20)]
    assert [(found.code, found.where) for found in inventory_findings(twice)] == [("serial-repeated", "s1")]
    assert [found.code for found in inventory_findings([Card("s", "a", 5, 5)])] == ["card-period"]


def test_an_injected_segment_beyond_capacity_is_found_and_no_other():
    """Two cards: the third at once is one too many; one that begins as another ends fits."""
    known = [used("a", 0, 10), used("b", 0, 10), used("c", 10, 20), used("d", 5, 8), used("e", 10, 12)]
    found = sweep(known, lambda _model, _at: 2000)
    assert [(one.record_id, one.used_milli, one.capacity_milli) for one in found] == [("d", 3000, 2000)]
    assert sweep(reversed(known), lambda _model, _at: 2000) == found


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(1, 4)), max_size=30), st.integers(1, 8))
def test_what_the_sweep_leaves_fits_into_the_pool(spans, cards):
    """Without the segments found, no instant holds more than the capacity; and each of those would not have fitted."""
    known = [used(f"{n:03d}", start, start + length, count * 1000) for n, (start, length, count) in enumerate(spans)]
    found = {one.record_id for one in sweep(known, lambda _model, _at: cards * 1000)}
    left = [one for one in known if one.id not in found]
    assert peak(left).count_milli <= cards * 1000
    assert (peak(known).count_milli > cards * 1000) == bool(found)


@needs_shared
def test_philly_peaks_where_the_truth_says():
    """1,243 cards at once, at 2017-10-21T23:03:38Z; and 63 groups of lookalikes that are distinct jobs."""
    known = read(bytes_of("philly-jobs", "philly.csv.gz"), "philly.csv.gz", timezone="UTC", **PHILLY)
    assert peak(known) == peak(reversed(known))
    assert (peak(known).count_milli, peak(known).at_us) == (1_243_000, 1_508_627_018 * S)
    groups = [times for times in Counter(map(fingerprint, known)).values() if times > 1]
    assert (len(groups), sum(groups) - len(groups)) == (63, 65)
    assert sweep(known, lambda _model, _at: 1_243_000) == []
    assert sweep(known, lambda _model, _at: 1_242_000) != []


# ---- overlaps


def test_one_card_has_one_holder():
    """Two jobs on one device for three seconds are found; one job told twice is not two."""
    first, second = Hold("GPU-1", "a", "x", 0, 10), Hold("GPU-1", "b", "y", 7, 12)
    (found,) = overlaps([second, first, first, Hold("GPU-2", "b", "y", 7, 12), Hold("GPU-1", "c", "z", 12, 13)])
    assert (found.first, found.second, found.shared_us) == (first, second, 3)


# ---- completeness


def test_a_month_is_complete_when_what_was_declared_has_arrived():
    """Missing, surplus, undeclared: each with its numbers; complete says nothing."""
    declared = Declaration(202611, "a", 3, 4, 5_000)
    assert compare(declared, 4, 5_000) == Completeness(State.COMPLETE)
    assert compare(None, 4, 5_000).state is State.UNDECLARED
    assert compare(declared, 3, 4_000) == Completeness(State.MISSING, 1, 1_000)
    assert compare(declared, 4, 6_000) == Completeness(State.SURPLUS, 0, -1_000)
    assert compare(declared, 5, 4_000).state is State.MISSING, "too much of one does not make up for the other"
    results = [compare(one, 3, 4_000) for one in (declared, Declaration(202611, "a", 1, 1, 1), None)]
    told = [completeness_finding(one, 202611, "a") for one in results]
    assert [one.code for one in told] == ["period-incomplete", "period-surplus", "period-undeclared"]
    assert told[0].where == "2026-11 a"
    assert completeness_finding(Completeness(State.COMPLETE), 202611, "a") is None


# ---- quarantine


@pytest.mark.parametrize(
    ("cause", "verdict", "known", "code"),
    [
        (Cause.MODEL, Verdict.RELEASE, False, "model-unknown"),
        (Cause.MODEL, Verdict.RELEASE, True, None),
        (Cause.CONFLICT, Verdict.RELEASE, True, "correction-needed"),
        (Cause.CONFLICT, Verdict.REJECT, True, None),
        (Cause.CAPACITY, Verdict.RELEASE, True, None),
    ],
)
def test_what_a_person_may_decide(cause, verdict, known, code):
    """A card without a price cannot be released; a conflict is settled by a correction."""
    assert releasable(cause, verdict, model_known=known) == code


# ---- reconciliation


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000), st.integers(1, 8000)), max_size=12))
def test_hours_of_records_add_up_to_the_records(spans):
    """Cut at the hours, no GPU-millisecond is lost or made."""
    known = [used(str(n), start, start + length, count) for n, (start, length, count) in enumerate(spans)]
    assert sum(allocated_ms(known).values()) == sum(one.gpu_ms for one in known)


def sample(metric, value, minute=0, model="A100", **labels):
    known = {"UUID": "GPU-1", "modelName": model}
    return Sample(metric, known | labels, T0 + minute * 60 * S, value, 1)


def test_busy_time_and_energy_of_cards():
    """A percentage held for its step; a counter's differences; a reset counts from nothing; a sentinel not at all."""
    told = [
        sample("DCGM_FI_DEV_GPU_UTIL", "50"),
        sample("DCGM_FI_DEV_GPU_UTIL", "100", 1),
        sample("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "1.0", 1),
        sample("DCGM_FI_DEV_GPU_UTIL", "9223372036854775794", 2),
        *(sample("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", str(mj), n) for n, mj in enumerate((1_000, 4_000, 500))),
        sample("npu_chip_info_power", "93.5", UUID="NPU-1"),
    ]
    hour = add_up(told, 60).hours["A100", T0]
    assert (hour.busy_ms, hour.seen_ms) == (30_000 + 60_000, 120_000)
    assert hour.energy_mj == 3_000 + 500 + 93_500 * 60


def test_three_contradictions_are_told_with_their_numbers():
    """Held and idle; busy and unreported; reported while the meter stood still; and a sound hour is not told."""
    hour_ms = HOUR_US // 1000
    allocated = {("A", T0): hour_ms, ("B", T0): 0, ("C", T0): hour_ms, ("D", T0): hour_ms, ("E", T0): 1}
    seen = {
        ("A", T0): Hour(hour_ms // 100, hour_ms, 0),
        ("B", T0): Hour(hour_ms // 2, hour_ms, 0),
        ("C", T0): Hour(hour_ms // 2, hour_ms, hour_ms),
        ("D", T0): Hour(hour_ms // 2, hour_ms, hour_ms * 300),
    }
    found = reconcile(allocated, seen)
    assert [(one.code, one.where[0]) for one in found] == [
        *(("idle-held", "A"), ("usage-unreported", "B"), ("energy-flat", "C"), ("telemetry-missing", "E")),
    ]
    assert f"allocated_ms={hour_ms}" in found[0].en
    assert json.dumps([one.zh for one in found])
