"""The same usage in every file form: totals by account, model and month do not depend on how it was written down.

The records of a real trace are written as CloudEvents, grid accounting, telemetry and pods, and read again. A part of each
trace in the ordinary run, all of it with `--all`.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random

import pytest

from metering.agent.events import encode_event, number_event
from metering.model import UsageRecord
from metering.summary import Summary
from metering.zones import rfc3339
from tests.conftest import ALL
from tests.metering.sources.reading import records, totals
from tests.metering.sources.test_traces import HELIOS, LIVE, PHILLIPS_COLUMNS, PHILLY, bytes_of, milliseconds, truth
from tests.shared_data import needs_shared

pytestmark = needs_shared
PART = None if ALL else 3_000


def philly():
    data = gzip.decompress(bytes_of("philly-jobs", "philly.csv.gz"))
    return records(b"\n".join(data.split(b"\n")[:PART]), "philly.csv", timezone="UTC", **PHILLY)


def helios():
    lines = gzip.decompress(bytes_of("helios-minutes", "gpu_minutes.csv.gz")).split(b"\n")
    return records(b"\n".join(lines[:PART]), "gpu_minutes.csv", constants={"model": "V100"}, **HELIOS)


def phillips():
    options = {"source": "sacct", "format": PHILLIPS_COLUMNS, "timezone": "UTC"}
    return records(bytes_of("slurm-sacct", "phillips.log.gz"), "phillips.log.gz", **options)


def live():
    return records(bytes_of("slurm-live", "alloc_dup.txt"), source="sacct", timezone="UTC")


TRACES = [philly, helios, phillips, live]


def expected(of: list[UsageRecord]) -> dict:
    summary = Summary()
    for record in of:
        summary.add(record)
    return compared(summary.as_json())


def compared(total: dict) -> dict:
    return {name: total[name] for name in ("gpu_ms", "by_account", "by_model", "by_month")}


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.__name__)
def test_as_cloudevents(trace, seed):
    """Shuffled, sent three times, one event a line or an array: each record once, nothing lost, nothing doubled."""
    known = trace()
    events = [number_event(encode_event(record, "urn:a"), place) for place, record in enumerate(known, 1)] * 3
    random.Random(seed).shuffle(events)
    for body in (b"[" + b",\n".join(events) + b"]", b"\n".join(events)):
        total = totals(body, source="cloudevents")
        assert compared(total) == expected(known)
        assert total["skipped"] == {"duplicate": 2 * len(known)}


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.__name__)
def test_as_grid_accounting(trace):
    """A record for each model of a job, in text and in JSON."""
    known = trace()
    rows = [
        {
            "Site": "sj01",
            "SubmitHost": f"ce{part}",
            "LocalJobId": f"{record.id}/{part}",
            "VO": record.account,
            "WallDuration": f"{record.active_ms / 1000:.3f}",
            "GPUs": f"{card.count_milli / 1000:.3f}",
            "StartTime": rfc3339(record.start_us),
            "EndTime": rfc3339(record.end_us),
            "Model": card.model,
        }
        for record in known
        for part, card in enumerate(record.accelerators)
    ]
    text = "APEL-individual-job-message: v0.1\n" + "%%\n".join(
        "".join(f"{name}: {value}\n" for name, value in row.items()) for row in [*rows, {}]
    )
    options = {"source": "apel", "mapping": {"gpus": "GPUs"}}
    assert compared(totals(text, **options)) == expected(known)
    assert compared(totals(json.dumps({"UsageRecords": rows}), **options)) == expected(known)


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.__name__)
def test_as_pods(trace):
    """A pod for each run without suspension: telemetry of pods knows no charged time but the whole interval."""
    known = [record for record in trace() if record.active_ms * 1000 == record.end_us - record.start_us]
    pods = [
        {
            "kind": "Pod",
            "metadata": {
                "uid": f"u{number}-{part}",
                "name": "x",
                "namespace": record.account,
                "labels": {"m": card.model},
            },
            "spec": {
                "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": card.count_milli // 1000}}}]
            },
            "status": {
                "phase": "Succeeded",
                "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(record.start_us)}
                ],
                "containerStatuses": [{"name": "c", "state": {"terminated": {"finishedAt": rfc3339(record.end_us)}}}],
            },
        }
        for number, record in enumerate(known)
        for part, card in enumerate(record.accelerators)
    ]
    options = {"source": "kubernetes", "mapping": {"model": "m"}}
    assert compared(totals(json.dumps({"items": pods}, indent=1), **options)) == expected(known)


def minutes_as_series() -> dict[str, list]:
    lines = gzip.decompress(bytes_of("helios-minutes", "gpu_minutes.csv.gz")).decode().split("\n")[1:PART]
    series: dict[str, list] = {}
    offset_s, first_s = 8 * 3600, 1_588_291_200  # 2020-05-01T00:00:00Z
    for line in filter(None, lines):
        time, vc, _, running, *_ = line.split(",")
        day, hour, minute = int(time[8:10]), int(time[11:13]), int(time[14:16])
        at_s = first_s - offset_s + ((day - 1) * 24 + hour) * 3600 + minute * 60
        series.setdefault(vc, []).append([at_s, running])
    return series


def test_helios_as_telemetry():
    """The minutes of a month as an answer of the HTTP API and as a dump: the same totals in as few intervals."""
    series = minutes_as_series()
    options = {"source": "prometheus", "step_s": 60, "mapping": {"gpus": "value", "account": "vc"}}
    options |= {"constants": {"model": "V100"}}
    result = [{"metric": {"__name__": "gpus", "vc": vc}, "values": points} for vc, points in series.items()]
    answer = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
    dump = "\n".join(
        f'{{__name__="gpus",vc="{vc}"}} {value} {at_s}000' for vc, points in series.items() for at_s, value in points
    )
    known = helios()
    for data in (answer, dump):
        total = totals(data, **options)
        assert compared(total) == expected(known)
        assert total["records"] == len(known) <= 15_000
    if ALL:
        whole = {name: vc["gpu_minutes"] * 60_000 for name, vc in truth("helios-minutes")["vc"].items()}
        assert total["by_account"] == whole


def test_the_parts_are_those_of_the_truth():
    """What the forms above are compared with is itself the ground truth, where the whole trace is read."""
    assert expected(live()) | LIVE == expected(live())
    if ALL:
        assert expected(philly())["by_account"] == milliseconds(truth("philly-jobs")["vc_gpu_seconds"])


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.__name__)
def test_ids_are_distinct(trace):
    """No two records of a trace share an id: one of them would be lost as a duplicate."""
    ids = sorted(record.id for record in trace())
    assert all(before < after for before, after in itertools.pairwise(ids))
