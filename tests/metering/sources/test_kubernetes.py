"""Pods: what was reserved, from the scheduler's word to the last container's end; shares without a size are no guess."""

from __future__ import annotations

import copy
import json

import pytest

from metering.errors import MeteringError
from tests.metering.sources.reading import items, records, skipped, totals

K8S = {"source": "kubernetes"}
START, END = "2026-11-22T01:00:00Z", "2026-11-22T02:00:00Z"
HOUR_MS = 3_600_000


def container(resources, name="main", **members):
    return {"name": name, "resources": {"limits": resources}, **members}


def pod(resources, uid="u1", phase="Succeeded", **changes):
    containers = resources if isinstance(resources, list) else [container(resources)]
    members = {
        "kind": "Pod",
        "metadata": {"uid": uid, "name": f"train-{uid}", "namespace": "quantum", "labels": {}},
        "spec": {"nodeName": "n1", "containers": containers},
        "status": {
            "phase": phase,
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": START}],
            "containerStatuses": [
                {
                    "name": one["name"],
                    "restartCount": 0,
                    "state": {"terminated": {"startedAt": "2026-11-22T01:10:00Z", "finishedAt": END}},
                }
                for one in containers
            ],
        },
    }
    members = copy.deepcopy(members)
    for path, value in changes.items():
        node = members
        *parents, last = path.split("__")
        for name in parents:
            node = node[name]
        node[last] = value
    return members


def listing(*objects):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


@pytest.mark.parametrize(
    ("resources", "cards"),
    [
        ({"nvidia.com/gpu": "8", "cpu": "64"}, {"unknown": 8000}),
        ({"nvidia.com/gpu": 2}, {"unknown": 2000}),
        ({"huawei.com/Ascend910": "8"}, {"Ascend910": 8000}),
        ({"huawei.com/Ascend910B3": "1"}, {"Ascend910B3": 1000}),
        ({"cambricon.com/mlu": "4"}, {"unknown": 4000}),
        ({"cambricon.com/vmlu": "1", "cambricon.com/mlu.smlu.vcore": "50"}, {"unknown": 500}),
        ({"hygon.com/dcunum": "1", "hygon.com/dcucores": "60", "hygon.com/dcumem": "2000"}, {"unknown": 600}),
        ({"metax-tech.com/gpu": "2"}, {"unknown": 2000}),
        ({"mthreads.com/vgpu": "1"}, {"unknown": 1000}),
        ({"kunlunxin.com/xpu": "1"}, {"unknown": 1000}),
        ({"nvidia.com/mig-1g.10gb": "2"}, {"unknown": 2 * 142}),
        ({"nvidia.com/mig-3g.40gb": "1", "nvidia.com/mig-1g.10gb": "1"}, {"unknown": 428 + 142}),
        ({"nvidia.com/mig-2g.12gb": "1"}, {"unknown": 500}),
        ({"nvidia.com/gpu": "2", "nvidia.com/gpucores": "25"}, {"unknown": 500}),
        ({"nvidia.com/gpu": "1", "nvidia.com/gpucores": "25", "nvidia.com/gpumem-percentage": "50"}, {"unknown": 500}),
    ],
)
def test_what_a_pod_reserves_in_thousandths_of_cards(resources, cards):
    """Whole cards, MIG slices and percentages; a slice counted as a card would be charged seven times over."""
    (record,) = records(listing(pod(resources)), **K8S)
    assert {card.model: card.count_milli for card in record.accelerators} == cards
    assert record.gpu_ms == sum(cards.values()) * HOUR_MS // 1000


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ({"cpu": "64"}, "no-gpu"),
        ({"nvidia.com/gpu": "0"}, "no-gpu"),
        ({"nvidia.com/gpu": "500m"}, "bad-count"),
        ({"nvidia.com/gpu": True}, "bad-count"),
        ({"nvidia.com/mig-half": "1"}, "bad-mig"),
        ({"nvidia.com/gpu.shared": "1"}, "share-unknown"),
        ({"nvidia.com/gpu": "1", "nvidia.com/gpumem": "3000"}, "share-unknown"),
        ({"huawei.com/Ascend910-16c": "1"}, "share-unknown"),
        ({"nvidia.com/gpu": "1", "nvidia.com/gpucores": "101"}, "bad-count"),
    ],
)
def test_a_share_without_a_size_is_no_guess(resources, reason):
    """The pod is skipped with the reason; the one beside it is read."""
    found = items(listing(pod(resources), pod({"nvidia.com/gpu": "1"}, uid="u2")), **K8S)
    assert [getattr(item, "reason", "read") for item in found] == [reason, "read"]


def test_a_time_slice_needs_the_number_of_sharers():
    """One of four slices of a card is 250 thousandths once that is said."""
    text = listing(pod({"nvidia.com/gpu.shared": "1"}))
    (record,) = records(text, constants={"shared": "4"}, **K8S)
    assert record.gpu_ms == 250 * 3600
    with pytest.raises(MeteringError, match="shared"):
        items(text, constants={"shared": "0"}, **K8S)


def test_a_pod_is_charged_from_scheduling_to_its_end():
    """Waiting costs nothing, pulling the image does: nobody else could have the cards."""
    text = listing(pod({"nvidia.com/gpu": "8"}))
    assert totals(text, **K8S)["gpu_ms"] == 8 * HOUR_MS
    assert totals(text, constants={"basis": "container"}, **K8S)["gpu_ms"] == 8 * HOUR_MS * 50 // 60
    waiting = pod({"nvidia.com/gpu": "8"}, phase="Pending", status__conditions=[])
    assert skipped(listing(waiting), **K8S) == [(1, "never-started")]
    running = pod({"nvidia.com/gpu": "8"}, phase="Running")
    assert skipped(listing(running), **K8S) == [(1, "running")]


def test_init_containers_reserve_the_larger_of_both():
    """Two cards to prepare and one to run are two, not three; a sidecar's adds."""
    members = pod([container({"nvidia.com/gpu": "1"})])
    members["spec"]["initContainers"] = [container({"nvidia.com/gpu": "2"}, "prepare")]
    assert totals(listing(members), **K8S)["gpu_ms"] == 2 * HOUR_MS
    members["spec"]["initContainers"] = [container({"nvidia.com/gpu": "2"}, "side", restartPolicy="Always")]
    assert totals(listing(members), **K8S)["gpu_ms"] == 3 * HOUR_MS


def test_the_model_comes_from_the_node_the_pod_a_label_or_the_caller():
    """A list may hold the nodes as well."""
    node = {"kind": "Node", "metadata": {"name": "n1", "labels": {"nvidia.com/gpu.product": "NVIDIA-H800"}}, "spec": {}}
    gpu = {"nvidia.com/gpu": "1"}
    assert totals(listing(pod(gpu), node), **K8S)["by_model"] == {"NVIDIA-H800": HOUR_MS}
    chosen = pod(gpu, spec__nodeSelector={"nvidia.com/gpu.product": "A100"})
    assert totals(listing(chosen), **K8S)["by_model"] == {"A100": HOUR_MS}
    labelled = pod(gpu, metadata__labels={"card": "L40S", "kueue.x-k8s.io/queue-name": "team"})
    mapping = {"mapping": {"model": "card", "account": "kueue.x-k8s.io/queue-name"}}
    summary = totals(listing(labelled), **mapping, **K8S)
    assert (summary["by_model"], summary["by_account"]) == ({"L40S": HOUR_MS}, {"team": HOUR_MS})
    assert totals(listing(pod(gpu)), constants={"model": "T4"}, **K8S)["by_model"] == {"T4": HOUR_MS}


def test_a_watch_tells_a_pod_many_times_and_it_counts_once():
    """The last state counts; a deleted pod that told its end is charged, one that did not is reported."""
    gpu = {"nvidia.com/gpu": "1"}
    events = [
        {"type": "ADDED", "object": pod(gpu, phase="Running", status__containerStatuses=[])},
        {"type": "MODIFIED", "object": pod(gpu)},
        {"type": "ADDED", "object": pod(gpu, uid="u2", phase="Running")},
        {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "9"}}},
        {"type": "DELETED", "object": pod(gpu, uid="u2", phase="Running")},
        {"type": "DELETED", "object": pod(gpu, uid="u3", phase="Running", status__containerStatuses=[])},
    ]
    text = "\n".join(map(json.dumps, events)) + "\nnonsense\n"
    assert totals(text, **K8S)["gpu_ms"] == 2 * HOUR_MS
    assert skipped(text, **K8S) == [(7, "broken-json"), (6, "end-unknown")]
    assert {record.state for record in records(text, **K8S)} == {"COMPLETED", "DELETED"}


def test_members_called_items_do_not_make_a_list():
    """Pods have projected volumes with items; a watch of such pods is a watch, and a list on one line a list."""
    members = pod({"nvidia.com/gpu": "1"})
    members["spec"]["volumes"] = [{"projected": {"sources": [{"configMap": {"items": [{"key": "ca.crt"}]}}]}}]
    watch = json.dumps({"type": "ADDED", "object": members}) + "\n"
    single = json.dumps({"kind": "PodList", "items": [members]})
    pretty = json.dumps({"kind": "PodList", "items": [members]}, indent=4)
    assert [totals(text, **K8S)["gpu_ms"] for text in (watch, single, pretty)] == [HOUR_MS] * 3


def test_identities_are_those_of_the_pods():
    """The same pod in another listing is known again; clusters are told apart."""
    (record,) = records(listing(pod({"nvidia.com/gpu": "1"})), constants={"cluster": "sj01"}, **K8S)
    assert (record.id, record.job) == ("sj01:k8s:u1:1795309200:0", "quantum/train-u1")


def test_a_container_that_was_restarted_cannot_be_charged_by_container():
    """Its earlier runs are not told; by scheduling they do not matter."""
    members = pod({"nvidia.com/gpu": "1"})
    members["status"]["containerStatuses"][0]["restartCount"] = 2
    assert skipped(listing(members), constants={"basis": "container"}, **K8S) == [(1, "restarted")]
    assert totals(listing(members), **K8S)["gpu_ms"] == HOUR_MS


@pytest.mark.parametrize("data", [b"", b"[]", b"NAME READY", b'{"kind": "Pod"\n}'])
def test_another_file_is_refused(data):
    """A table of kubectl is no JSON; an object that is neither a list nor events is none either."""
    with pytest.raises(MeteringError, match=r"kubectl|items|JSON"):
        items(data, **K8S)
