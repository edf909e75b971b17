"""What monitors saw, as hours of pools and runs of devices: exact sums, holders by their labels, reports that can be repeated."""

from __future__ import annotations

import itertools
from random import Random

from metering.observe import joined, observe
from metering.sources.samples import Sample
from metering.telemetry import HOUR_US, DeviceRun

S = 1_000_000
T0 = 1_794_945_600 * S
UTIL, POWER = "DCGM_FI_DEV_GPU_UTIL", "npu_chip_info_power"


def sample(minute, value="50", metric=UTIL, device="GPU-1", **labels):
    known = {"UUID": device, "modelName": "A100", "namespace": "a", "pod": "p"}
    return Sample(metric, known | labels, T0 + minute * 60 * S, value, 1)


def test_a_run_is_a_device_under_one_holder_without_a_break():
    """One lost scrape is bridged, a longer gap and another pod end the run; idle cards and the exporter's own pod hold nothing."""
    told = [sample(n) for n in (0, 1, 3, 7)] + [sample(8, pod="q"), sample(9, namespace="", pod="")]
    told += [sample(10, pod="dcgm-exporter-x"), sample(0, device="GPU-2", namespace="", pod="")]
    found = observe(told, 60)
    spans = [(one.job, (one.start_us - T0) // (60 * S), (one.end_us - T0) // (60 * S)) for one in found.runs]
    assert spans == [("p", 0, 4), ("p", 7, 8), ("q", 8, 9)]
    assert (found.runs[0].busy_ms, found.runs[0].seen_ms) == (90_000, 180_000)
    assert [(hour.hour_us, hour.seen_ms) for hour in found.hours] == [(T0, 8 * 60_000)]


def test_samples_that_say_nothing_are_counted_by_reason():
    """Sentinels are no sample, a value that is none and a time that is none are skipped and told."""
    found = observe([sample(0, "9223372036854775794"), sample(1, "x"), Sample(UTIL, {"UUID": "1"}, None, "5", 1)], 60)
    assert (found.runs, found.hours, found.skipped) == ([], [], {"bad-value": 1, "no-time": 1})


def test_the_label_of_the_holder_can_be_named():
    """A centre's own label says whose the card is."""
    [run] = observe([sample(0, tenant="量子")], 60, "tenant").runs
    assert run.account == "量子"


def cut(runs, edges):
    """Runs as an agent tells them that reads window by window."""
    parts = []
    for run in runs:
        for low, high in itertools.pairwise(edges):
            start, end = max(run.start_us, low), min(run.end_us, high)
            if start < end:
                length = (end - start) // 1000
                parts.append(DeviceRun(run.device, start, run.account, run.job, end, "A100", length // 2, length))
    return parts


def test_runs_cut_at_hours_are_put_together_again(seed):
    """Told window by window, some windows twice: the runs are those that there were, with all of their time."""
    random = Random(f"joined {seed}")
    runs = []
    for device in ("GPU-1", "GPU-2"):
        at_us = T0
        for number in range(6):
            end_us = at_us + random.randint(1, 5) * HOUR_US // 2
            runs.append(DeviceRun(device, at_us, "a", f"j{number}", end_us, "A100", 0, 0))
            at_us = end_us + random.choice([0, HOUR_US])
    edges = [T0 + n * HOUR_US for n in range(40)]
    known: dict[tuple, DeviceRun] = {}
    for low, high in itertools.pairwise(edges):
        for _ in range(random.randint(1, 2)):
            for run in joined(known.values(), cut(runs, [low, high]), 60 * S):
                known[run.device, run.start_us, run.account, run.job] = run
    spans = sorted((one.device, one.start_us, one.end_us, one.job) for one in known.values())
    assert spans == sorted((one.device, one.start_us, one.end_us, one.job) for one in runs)
    assert all(one.seen_ms == (one.end_us - one.start_us) // 1000 for one in known.values())
