"""Telemetry: a card is held by whom its labels name; sentinels, label schemes and scrapes that come late do not matter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeteringError
from tests.metering.sources.reading import items, records, skipped, totals

T0 = 1_795_305_600
"""2026-11-22T00:00:00Z."""
MINUTE = {"source": "prometheus", "step_s": 60}


def line(metric, value, at_s, **labels):
    inside = ",".join(f'{name}="{text}"' for name, text in labels.items())
    return f"{metric}{{{inside}}} {value} {at_s * 1000}"


def dcgm(at_s, gpu=0, namespace="quantum", pod="train-0", value="97", metric="DCGM_FI_DEV_GPU_UTIL", **labels):
    known = {"gpu": gpu, "UUID": f"GPU-{gpu}", "device": f"nvidia{gpu}", "modelName": "NVIDIA A100-SXM4-80GB"}
    return line(metric, value, at_s, **known, Hostname="n1", namespace=namespace, pod=pod, container="c", **labels)


def exposition(*lines):
    return "\n".join(["# HELP x y", "# TYPE x gauge", *lines, ""])


def answer(*series):
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(series)}})


def test_a_card_counts_once_whatever_is_told_of_it():
    """Five metrics of a card at an instant are one card: 60 card-seconds, not 300."""
    metrics = ("GPU_UTIL", "FB_USED", "POWER_USAGE", "SM_CLOCK", "MEM_COPY_UTIL")
    text = exposition(*(dcgm(T0, metric=f"DCGM_FI_DEV_{name}") for name in metrics))
    assert totals(text, **MINUTE)["gpu_ms"] == 60_000


def test_equal_instants_become_one_interval_and_gaps_stay_gaps():
    """Three minutes, a gap of one, one more; a card that nobody holds is idle."""
    text = exposition(*(dcgm(T0 + 60 * minute) for minute in (0, 1, 2, 4)), dcgm(T0 + 180, namespace="", pod=""))
    found = records(text, **MINUTE)
    assert [((record.start_us // 10**6 - T0) // 60, record.active_ms // 60_000) for record in found] == [(0, 3), (4, 1)]
    assert {record.job for record in found} == {"train-0"}
    assert totals(text, **MINUTE)["by_model"] == {"NVIDIA A100-SXM4-80GB": 240_000}


def test_the_sentinel_is_missing_never_large():
    """9223372036854775794 says that there is no value: taken as a count it would be 9 x 10^18 cards."""
    text = exposition(
        dcgm(T0, value="9223372036854775794"), dcgm(T0 + 60, value="1.40737488355328e+14"), dcgm(T0 + 120, value="NaN")
    )
    assert totals(text, **MINUTE) | {"skipped": {}} == totals("", **MINUTE)
    assert [reason for _, reason in skipped(text, **MINUTE)] == ["missing-value"] * 3
    counts = line("held", "9223372036854775794", T0, namespace="a") + "\n" + line("held", "8", T0 + 60, namespace="a")
    assert totals(counts, mapping={"gpus": "value"}, **MINUTE)["gpu_ms"] == 8 * 60_000


@pytest.mark.parametrize(
    ("labels", "account", "model", "job"),
    [
        ({"id": "3", "instance": "n1:8082"}, "rented", "unknown", "n1:8082/3"),
        (
            {
                "npuID": "3",
                "modelName": "910B3",
                "uuid": "U-3",
                "pcie": "0000:61:00.0",
                "namespace": "quantum",
                "podName": "p",
                "containerName": "c",
            },
            "quantum",
            "910B3",
            "p",
        ),
        (
            {
                "id": "3",
                "model_name": "910A-Ascend-V1",
                "vdie_id": "185011D4",
                "pcie_bus_info": "0000:61:00.0",
                "namespace": "quantum",
                "pod_name": "p",
                "container_name": "c",
            },
            "quantum",
            "910A-Ascend-V1",
            "p",
        ),
    ],
    ids=["id alone", "npuID and podName", "vdie_id and pod_name"],
)
def test_ascend_in_its_three_label_schemes(labels, account, model, job):
    """The same card in each age of npu-exporter; a scheme that names no holder needs one to be said."""
    text = line("npu_chip_info_utilization", "0", T0, **labels)
    options = {"constants": {"account": "rented"}} if account == "rented" else {}
    (record,) = records(text, **MINUTE, **options)
    assert (record.account, record.accelerators[0].model, record.job) == (account, model, job)
    assert record.gpu_ms == 60_000, "an idle chip that is held is charged: how busy it is decides nothing"
    if options:
        assert skipped(text, **MINUTE) == [(1, "no-account")]


def test_mig_instances_are_parts_of_a_card():
    """Three of seven slices and one of four: 428 and 250 thousandths; never a whole card each."""
    text = exposition(
        dcgm(T0, GPU_I_ID="1", GPU_I_PROFILE="3g.40gb"),
        dcgm(T0, GPU_I_ID="2", GPU_I_PROFILE="1g.10gb", pod="other"),
        dcgm(T0, gpu=1, GPU_I_ID="0", GPU_I_PROFILE="1g.6gb"),
        dcgm(T0, gpu=2, GPU_I_ID="0", GPU_I_PROFILE="half"),
    )
    assert sorted(record.accelerators[0].count_milli for record in records(text, **MINUTE)) == [142, 250, 428]
    assert skipped(text, **MINUTE) == [(6, "bad-mig")]


def test_a_card_is_held_by_one_at_a_time():
    """A second holder of the same card and minute is a conflict: it would be charged twice."""
    text = exposition(dcgm(T0), dcgm(T0 + 60), dcgm(T0, namespace="other"))
    assert skipped(text, **MINUTE) == [(5, "conflict")]
    assert totals(text, **MINUTE)["by_account"] == {"quantum": 120_000}


def test_an_exporter_holds_no_card():
    """Where Prometheus adds the scraped pod's own labels, an idle card bears the exporter's: its namespace owes nothing."""
    card = {"UUID": "GPU-1", "namespace": "gpu-operator", "pod": "nvidia-dcgm-exporter-x7k2p"}
    idle = line("DCGM_FI_DEV_GPU_UTIL", "0", T0, **card)
    held = line("DCGM_FI_DEV_GPU_UTIL", "0", T0 + 60, **card, exported_namespace="quantum", exported_pod="train-0")
    assert totals(f"{idle}\n{held}", **MINUTE)["by_account"] == {"quantum": 60_000}


def test_scrapes_a_little_early_or_late_speak_for_their_step():
    """15 seconds of jitter open no gap and count nothing twice."""
    text = exposition(*(dcgm(T0 + 60 * minute + minute * 7 % 15) for minute in range(10)))
    (record,) = records(text, **MINUTE)
    assert record.active_ms == 600_000


def test_an_answer_of_the_http_api_is_read_exactly():
    """A range query's points stand where they stand, fractions of a second too."""
    labels = {"__name__": "DCGM_FI_DEV_GPU_UTIL", "UUID": "GPU-1", "exported_namespace": "quantum", "modelName": "H100"}
    text = answer({"metric": labels, "values": [[T0 + 0.5 + 60 * minute, "1"] for minute in range(3)]})
    (record,) = records(text, **MINUTE)
    assert (record.start_us, record.active_ms) == (T0 * 10**6 + 500_000, 180_000)
    vector = answer({"metric": labels, "value": [T0, "1"]})
    assert totals(vector, **MINUTE)["by_account"] == {"quantum": 60_000}


@pytest.mark.parametrize(
    "text", ['{"status":"error","errorType":"bad_data","error":"x"}', '{"status":"success","data":{"result":{}}}', "{"]
)
def test_an_answer_that_is_no_success_is_refused(text):
    """An error of the server is not an hour without usage."""
    with pytest.raises(MeteringError):
        items(text, **MINUTE)


def test_without_a_timestamp_nothing_is_known():
    """A scrape says when it was made, or the caller does; never the clock of who reads it."""
    text = 'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-0",namespace="a",pod="p"} 5'
    assert skipped(text, **MINUTE) == [(1, "no-timestamp")]
    assert totals(text, constants={"time": "2026-11-22T00:00:00Z"}, **MINUTE)["gpu_ms"] == 60_000
    with pytest.raises(MeteringError, match="time"):
        items(text, constants={"time": "noon"}, **MINUTE)
    with pytest.raises(MeteringError, match="--timezone"):
        items(text, constants={"time": "2026-11-22T00:00:00"}, **MINUTE)


def test_counts_of_several_series_add_up():
    """Requests of two pods of a namespace are 12 cards; a second metric must be left out by name."""
    rows = [
        line("kube_pod_resource_request", "8", T0, namespace="a", pod="x", resource="nvidia_com_gpu"),
        line("kube_pod_resource_request", "4.0", T0, namespace="a", pod="y", resource="nvidia_com_gpu"),
        line("kube_pod_resource_limit", "8", T0, namespace="a", pod="x", resource="nvidia_com_gpu"),
    ]
    options = {**MINUTE, "mapping": {"gpus": "value"}}
    assert totals("\n".join(rows[:2]), **options)["gpu_ms"] == 12 * 60_000
    with pytest.raises(MeteringError, match="--set metric"):
        items("\n".join(rows), **options)
    chosen = {"constants": {"metric": "kube_pod_resource_request"}}
    assert totals("\n".join(rows), **options, **chosen)["gpu_ms"] == 12 * 60_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("DCGM_FI_DEV_GPU_UTIL{gpu=0} 5 1", "bad-labels"),
        ('{UUID="a"} 5 1795305600000', "bad-line"),
        ("up", "bad-line"),
        ('x{UUID="a",namespace="b"} y 1795305600000', "bad-value"),
        ('x{UUID="a",namespace="b"} 5 1795', "bad-time"),
        ('machine_npu_nums{namespace="b"} 8 1795305600000', "no-device"),
        ('x{UUID="a",namespace="b\\nc"} 5 1795305600000', "bad-account"),
    ],
)
def test_a_malformed_sample_costs_itself(text, reason):
    """The one after it is read."""
    found = items(f"{text}\n{dcgm(T0)}", **MINUTE)
    assert [getattr(item, "reason", "read") for item in found] == [reason, "read"]


def test_labels_are_unescaped():
    """Backslashes and quotes as the format writes them; a comma or brace inside a value is text."""
    text = r'x{UUID="a,b}",namespace="say \"hi\" \\ ok"} 5 1795305600000'
    (record,) = records(text, **MINUTE)
    assert record.account == 'say "hi" \\ ok'
    dump = text.replace("x{", '{__name__="x",')
    assert records(dump, **MINUTE) == [record]


@given(
    held=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=60),
    random=st.randoms(use_true_random=False),
)
def test_card_minutes_are_conserved_in_any_order(held, random):
    """Whatever the order and however often a sample is told, every card-minute counts once."""
    lines = [dcgm(T0 + 60 * minute, gpu=gpu) for gpu, minute in sorted(held)] * 2
    random.shuffle(lines)
    assert totals(exposition(*lines), **MINUTE)["gpu_ms"] == len(held) * 60_000
