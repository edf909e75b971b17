"""Real input: the ground truth of four traces, met to the last GPU-second in every form that carries the columns."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from metering.errors import MeteringError
from tests.metering.sources.reading import items, records, totals
from tests.shared_data import SHARED, needs_shared

pytestmark = needs_shared

TRACES = SHARED / "traces"
PHILLY = {
    "source": "csv",
    "mapping": {"start": "timestamp", "duration": "duration", "gpus": "num_gpus", "account": "cluster"},
    "constants": {"model": "V100-SXM2"},
}
HELIOS = {
    "source": "gauge-csv",
    "mapping": {"time": "time", "gpus": "running_gpus", "account": "vc"},
    "timezone": "Asia/Shanghai",
    "step_s": 60,
}
PHILLIPS_COLUMNS = (
    *("jobid", "jobidraw", "cluster", "partition", "qos", "account", "group"),
    *("gid", "user", "uid", "submit", "eligible", "start", "end"),
    *("elapsed", "exitcode", "state", "nnodes", "ncpus", "reqcpus"),
    *("reqmem", "reqtres", "alloctres", "timelimit", "nodelist", "jobname"),
)
LIVE = {"by_account": {"startup1": 473_000, "univ1": 32_000}, "by_model": {"a100": 168_000, "h100": 337_000}}


def bytes_of(*path: str) -> bytes:
    return TRACES.joinpath(*path).read_bytes()


def truth(folder: str) -> dict:
    return json.loads(bytes_of(folder, "ground_truth.json"))


def milliseconds(seconds_by: dict[str, int]) -> dict[str, int]:
    return {name: seconds * 1000 for name, seconds in seconds_by.items()}


def test_philly_by_account_and_by_month():
    """82,247 jobs: every account and every prorated month; the 65 surplus equal rows are jobs of their own."""
    expected, total = (
        truth("philly-jobs"),
        totals(bytes_of("philly-jobs", "philly.csv.gz"), "philly.csv.gz", timezone="UTC", **PHILLY),
    )
    assert total["gpu_ms"] == expected["total_gpu_seconds"] * 1000
    assert total["by_account"] == milliseconds(expected["vc_gpu_seconds"])
    assert total["by_month"] == milliseconds(expected["gpu_seconds_by_calendar_month_utc_prorated"])
    assert (total["records"], total["skipped"]) == (expected["rows"], {})
    assert (total["first"], total["last"]) == (expected["first_timestamp"], expected["last_end"])
    assert total["by_month"]["2017-09"] != 734_729_370_000, "months are not those of the starts"


def test_philly_is_the_same_in_any_order_and_unpacked():
    """Shuffled rows, unpacked, with CRLF: the same totals; the ids are those of the unpacked file's lines."""
    header, *rows = gzip.decompress(bytes_of("philly-jobs", "philly.csv.gz")).split(b"\n")
    first = records(b"\n".join([header, *rows[:3]]), "a/philly.csv", timezone="UTC", **PHILLY)
    assert [record.id for record in first] == [f"csv:philly.csv:{line:09d}" for line in (2, 3, 4)]
    random.Random(7).shuffle(rows)
    total = totals(b"\r\n".join([header, *rows]), "philly.csv", timezone="UTC", **PHILLY)
    assert total["by_account"] == milliseconds(truth("philly-jobs")["vc_gpu_seconds"])


def test_philly_in_the_wrong_zone_is_another_month():
    """The same wall clock in another zone moves usage between UTC months, never the total: hence no default zone."""
    rows = gzip.decompress(bytes_of("philly-jobs", "philly.csv.gz"))
    with pytest.raises(MeteringError, match="--timezone"):
        items(rows, **PHILLY)
    shanghai = totals(rows, timezone="Asia/Shanghai", **PHILLY)
    assert shanghai["by_month"] == milliseconds(truth("philly-jobs")["gpu_seconds_by_calendar_month_utc_prorated"])
    assert shanghai["first"] == "2017-09-04T02:30:41Z"


def test_helios_by_account_in_few_segments():
    """267,840 minute levels of six accounts become at most 15,000 intervals with the same GPU-minutes."""
    total = totals(bytes_of("helios-minutes", "gpu_minutes.csv.gz"), "gpu_minutes.csv.gz", **HELIOS)
    expected = {name: vc["gpu_minutes"] * 60_000 for name, vc in truth("helios-minutes")["vc"].items()}
    assert total["by_account"] == expected
    assert total["by_month"] == {"2020-05": sum(expected.values())}
    assert total["records"] <= 15_000
    assert total["skipped"] == {}
    assert total["first"] == "2020-04-30T16:00:00Z"


def test_helios_by_day():
    """Each account's GPU-minutes on each day, from intervals that cross midnight."""
    day_us = 86_400_000_000
    found: dict[tuple[str, int], int] = {}
    for record in records(bytes_of("helios-minutes", "gpu_minutes.csv.gz"), "gpu_minutes.csv.gz", **HELIOS):
        at = record.start_us
        while at < record.end_us:
            day = (at + 8 * 3_600_000_000) // day_us
            until = min(record.end_us, (day + 1) * day_us - 8 * 3_600_000_000)
            share = record.accelerators[0].count_milli * (until - at) // 60_000_000_000
            found[record.account, day] = found.get((record.account, day), 0) + share
            at = until
    expected = {
        (name, 18_383 + place): minutes
        for name, vc in truth("helios-minutes")["vc"].items()
        for place, minutes in enumerate(vc["gpu_minutes_by_day"].values())
        if minutes
    }
    assert found == expected


def test_helios_is_the_same_by_time_first_and_shuffled():
    """Rows ordered by time instead of account, or not at all, give the very same intervals."""
    header, *rows = gzip.decompress(bytes_of("helios-minutes", "gpu_minutes.csv.gz")).splitlines()
    rows = [row for row in rows if row.startswith((b"2020-05-20", b"2020-05-21", b"2020-05-22"))]
    shuffled = random.Random(7).sample(rows, len(rows))

    def intervals(of: list[bytes]) -> set[tuple]:
        found = records(b"\n".join([header, *of]), **HELIOS)
        return {(record.account, record.start_us, record.end_us, record.accelerators) for record in found}

    assert intervals(sorted(rows)) == intervals(rows) == intervals(shuffled)


def test_phillips_without_header():
    """4,285 rows under `--format`: two GPU jobs, one of them across New Year, its AllocTRES and not its ReqTRES."""
    total = totals(
        bytes_of("slurm-sacct", "phillips.log.gz"),
        "phillips.log.gz",
        source="sacct",
        format=PHILLIPS_COLUMNS,
        timezone="UTC",
    )
    expected = truth("slurm-sacct")
    assert total["gpu_ms"] == expected["gpu_seconds"] * 1000
    assert total["by_account"] == {"chaff": 1_824_886_000}
    assert total["by_month"].keys() == {"2016-12", "2017-01"}
    assert sum(total["by_month"].values()) == total["gpu_ms"]
    assert total["skipped"] == {"no-gpu": expected["rows"] - len(expected["gpu_jobs"])}


@pytest.mark.parametrize(
    ("file", "timezone", "other"),
    [
        ("alloc_dup.txt", "UTC", {}),
        ("alloc_nodup.txt", "UTC", {}),
        ("steps_dup.txt", "UTC", {"step": 14}),
        ("alloc_dup_shanghai.txt", "+08:00", {}),
        ("alloc_dup_shanghai.txt", "Asia/Shanghai", {}),
        ("alloc_dup_epoch.txt", None, {}),
        ("alloc_dup_trailing.txt", "UTC", {}),
        ("alloc_dup_x1f.txt", "UTC", {}),
        ("alloc.json", None, {}),
    ],
)
def test_live_slurm_in_every_form(file, timezone, other):
    """The same 12 started allocations, whatever the form; 1,010 would be typed and untyped cards summed."""
    total = totals(bytes_of("slurm-live", file), file, source="sacct", timezone=timezone)
    assert {"by_account": total["by_account"], "by_model": total["by_model"]} == LIVE
    assert total["gpu_ms"] == truth("slurm-live")["total"] * 1000
    assert total["skipped"] == {"never-started": 1, **other}
    assert (total["first"], total["last"]) == ("2026-11-22T01:14:57Z", "2026-11-22T01:17:02Z")


def test_live_slurm_identities_are_those_of_the_facts():
    """Every form gives the same records: (cluster, raw job id, start), so that a second export is known again."""
    text = records(bytes_of("slurm-live", "alloc_dup_shanghai.txt"), source="sacct", timezone="Asia/Shanghai")
    by_id = {record.id: record for record in text}
    assert by_id == {record.id: record for record in records(bytes_of("slurm-live", "alloc.json"), source="sacct")}
    suspended = by_id["sj01:slurm:10:1795310137:0"]
    assert (suspended.attempt, suspended.active_ms, suspended.state) == (1_795_310_137, 81_000, "CANCELLED")
    assert suspended.end_us - suspended.start_us == 85_000_000, "End - Start would charge 16 GPU-seconds too many"
    assert by_id["sj01:slurm:8:1795310118:0"].state == "REQUEUED"
    array = [record.id.split(":")[2] for record in text if record.account == "univ1"]
    assert array == ["2", "6", "7", "5", "9"], "array tasks go by JobIDRaw"


def test_live_slurm_while_jobs_run():
    """A running row is counted among the skipped; what has ended is complete."""
    total = totals(bytes_of("slurm-live", "alloc_running.txt"), source="sacct", timezone="UTC")
    assert total["skipped"] == {"never-started": 1, "running": 2}
    assert total["by_model"] == {"a100": 168_000 - 69_000, "h100": 337_000 - 324_000}


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        ("alloc_shanghai.txt", ["JobIDRaw", "Cluster", "Account", "State", "AllocTRES"]),
        ("alloc_epoch.txt", ["JobIDRaw", "Cluster", "Account", "State"]),
        ("alloc_noconvert_trailing.txt", ["JobIDRaw", "Cluster", "Account", "Start", "End", "ElapsedRaw"]),
        ("requeue_nodup_j.txt", ["JobIDRaw", "Cluster", "Account", "AllocTRES"]),
    ],
)
def test_live_slurm_without_needed_columns_is_refused(file, columns):
    """A needed column that is missing is named, with the command that prints it; JobID does not stand for JobIDRaw."""
    with pytest.raises(MeteringError, match=r"sacct -a -D -X -P --format=") as refusal:
        items(bytes_of("slurm-live", file), file, source="sacct", timezone="UTC")
    assert refusal.value.code == "column-missing"
    assert [finding.en for finding in refusal.value.findings] == [f"column {name} is missing" for name in columns]
    assert all(name in refusal.value.zh for name in columns)
