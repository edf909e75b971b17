"""Source `kubernetes`: pods that held cards, from `kubectl get pods -o json` or from lines of a watch.

A pod holds its cards from the moment it is scheduled until it has ended, whatever its containers do in between and however
often they start again; `--set basis=container` charges each container from its start to its end instead. A pod that waits
costs nothing. What a pod holds is what the scheduler reserves: the sum of its containers, or its largest init container
where that is more. The account is the namespace, or a label named with `--map account=LABEL`; the model is the node's or
the pod's `nvidia.com/gpu.product`, the maker's word in the resource (`Ascend910`), a label, or a constant.

A watch (`kubectl get pods -w -o json --output-watch-events`) tells the same pod many times: the last state counts. A pod
that was deleted without having told when it ended cannot be charged and is skipped as `end-unknown`. An interval's identity is the
cluster (`--set cluster=…`) and the pod's uid.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from metering.errors import MeteringError
from metering.instants import parse_instant
from metering.model import Accelerator, UsageRecord
from metering.sources.faults import RowFault, Skipped, unreadable
from metering.sources.heard import Heard, Told
from metering.sources.json_stream import BOM, JsonArray
from metering.sources.kube_resources import cards_in
from metering.sources.options import SourceOptions
from metering.sources.rows import text_lines
from metering.sources.source import Item, UsageFile
from metering.sources.values import UNKNOWN_MODEL, WORD_CHARACTERS_MAX, name_in
from metering.zones import US

PRODUCT_LABELS = ("nvidia.com/gpu.product", "accelerator", "huawei.com/npu.chip.name")
_ENDED = {"Succeeded": "COMPLETED", "Failed": "FAILED"}
_UID = re.compile(r"[A-Za-z0-9-]{1,64}")


_KEPT = {
    "metadata": ("uid", "name", "namespace", "labels"),
    "spec": ("containers", "initContainers", "nodeSelector", "nodeName"),
    "status": ("phase", "conditions", "containerStatuses"),
}
"""Members of a pod that are read here; of containers, conditions and their states:"""
_KEPT_OF_LISTS = ("name", "resources", "restartPolicy", "type", "status", "lastTransitionTime", "state", "restartCount")


def read_kubernetes(file: UsageFile, options: SourceOptions) -> Iterator[Item]:
    """Every pod that has held cards and ended, and why the others are none."""
    return _Reader(file, options).records()


def pod_request(pod: Mapping[str, Any], options: SourceOptions) -> tuple[str, dict[str, int]]:
    """Account of a pod that wants to start, and what it will hold: thousandths of cards by model; empty: no cards.

    Raises:
        RowFault: a share of a card whose size the pod does not tell, or a count that is none.

    """
    reader = _Reader(UsageFile("pod", iter(())), options)
    metadata, spec = _table(pod, "metadata"), _table(pod, "spec")
    counts: dict[str, int] = {}
    for (_, word), count_milli in sorted(_effective(spec, reader.shared_by).items()):
        model = reader.model_of(metadata, spec, word)
        counts[model] = counts.get(model, 0) + count_milli
    return (reader.account_of(metadata) if counts else ""), counts


class _Reader:
    def __init__(self, file: UsageFile, options: SourceOptions) -> None:
        self._file = file
        self._options = options
        self._cluster = options.constants.get("cluster", "k8s")
        self._by_container = _choice(options, "basis", ("scheduled", "container")) == "container"
        self.shared_by = _positive(options, "shared")
        self._pods = Heard()
        self._products: dict[str, str] = {}

    def records(self) -> Iterator[Item]:
        for element in _objects(self._file):
            if isinstance(element, Skipped):
                yield element
                continue
            place, value = element
            try:
                self._hear(place, value)
            except RowFault as fault:
                yield fault.skipped(self._file.name, place)
        for pod in self._pods:
            try:
                yield from self._records(pod)
            except RowFault as fault:
                yield fault.skipped(self._file.name, pod.place)

    def _hear(self, place: int, value: Any) -> None:
        """Keep the last state of a pod; of a node, what its cards are."""
        deleted = False
        if isinstance(value, dict) and "object" in value and "type" in value:
            if value["type"] in {"BOOKMARK", "ERROR"}:
                return
            deleted, value = value["type"] == "DELETED", value["object"]
        metadata = _table(value, "metadata")
        if _member(value, "kind") == "Node":
            if product := _first_label(_table(metadata, "labels")):
                self._products[str(metadata.get("name"))] = product
            return
        uid = str(metadata.get("uid", ""))
        if not _UID.fullmatch(uid) or not isinstance(value.get("spec"), dict):
            raise RowFault("not-a-pod")
        self._pods.hear(uid, place, _needed(value), gone=deleted)

    def _records(self, pod: Told) -> Iterator[UsageRecord]:
        metadata, spec, status = (_table(pod.members, name) for name in ("metadata", "spec", "status"))
        if self._by_container:
            for container in _list(spec, "containers"):
                held = cards_in(_resources(container), self.shared_by)
                name = str(_member(container, "name"))
                if held:
                    start_us, end_us = _container_span(status, name)
                    yield self._record(metadata, spec, held, start_us, end_us, f":{name}", status)
            return
        held = _effective(spec, self.shared_by)
        if not held:
            raise RowFault("no-gpu")
        start_us = _scheduled_us(status)
        phase = str(status.get("phase"))
        if phase not in _ENDED and not pod.gone:
            raise RowFault("running", phase)
        yield self._record(metadata, spec, held, start_us, _ended_us(status), "", status)

    def _record(
        self,
        metadata: Mapping[str, Any],
        spec: Mapping[str, Any],
        held: Mapping[tuple[str, str], int],
        start_us: int,
        end_us: int,
        suffix: str,
        status: Mapping[str, Any],
    ) -> UsageRecord:
        if end_us < start_us:
            raise RowFault("end-before-start")
        if end_us == start_us:
            raise RowFault("zero-duration")
        counts: dict[str, int] = {}
        for (_, word), count_milli in sorted(held.items()):
            model = self.model_of(metadata, spec, word)
            counts[model] = counts.get(model, 0) + count_milli
        name = f"{metadata.get('namespace', 'default')}/{metadata.get('name', '')}{suffix}"
        return UsageRecord(
            id=f"{self._cluster}:k8s:{metadata['uid']}{suffix}:{start_us // US}:0",
            account=self.account_of(metadata),
            job=name_in(name, "job"),
            attempt=start_us // US,
            start_us=start_us,
            end_us=end_us,
            active_ms=(end_us - start_us) // 1000,
            accelerators=tuple(Accelerator(model, count) for model, count in counts.items()),
            state=_ENDED.get(str(status.get("phase")), "DELETED"),
        )

    def account_of(self, metadata: Mapping[str, Any]) -> str:
        label = self._options.mapping.get("account")
        value = _table(metadata, "labels").get(label, "") if label else metadata.get("namespace", "")
        return name_in(str(self._options.constants.get("account", value)), "account")

    def model_of(self, metadata: Mapping[str, Any], spec: Mapping[str, Any], word: str) -> str:
        label = self._options.mapping.get("model")
        if "model" in self._options.constants:
            model = self._options.constants["model"]
        elif label:
            model = str(_table(metadata, "labels").get(label, ""))
        else:
            selector = _first_label(_table(spec, "nodeSelector"))
            model = word or self._products.get(str(spec.get("nodeName")), "") or selector
        return name_in(model or UNKNOWN_MODEL, "model", WORD_CHARACTERS_MAX)


def _objects(file: UsageFile) -> Iterator[tuple[int, Any] | Skipped]:
    """Members of a list with their places, or the objects of a watch with their lines."""
    first = next(file.chunks, b"")
    chunks = itertools.chain([first] if first else [], file.chunks)
    begin = first.removeprefix(BOM).strip()
    if not begin.startswith(b"{"):
        raise unreadable(file.name, "不是 kubectl 输出的 JSON", "it is no JSON of kubectl")
    if _is_event(begin):
        for line in text_lines(file.name, chunks):
            yield line if isinstance(line, Skipped) else _decoded(file.name, *line)
        return
    array = JsonArray(file.name, chunks, ("items",))
    yield from array.elements()
    if not array.found:
        raise unreadable(file.name, "JSON 中没有 items 数组", "its JSON has no array items")


def _needed(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What of a pod is read: a tenth of what a cluster tells of it."""
    found: dict[str, Any] = {}
    for part, names in _KEPT.items():
        members = {name: value for name, value in _table(pod, part).items() if name in names}
        for name, value in members.items():
            if isinstance(value, list):
                members[name] = [
                    {key: one[key] for key in _KEPT_OF_LISTS if key in one} if isinstance(one, dict) else one
                    for one in value
                ]
        found[part] = members
    return found


def _is_event(line: bytes) -> bool:
    """Whether a first line is an event of a watch; a pod has members called `items` of its own, so it must be decoded."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return b'"type"' in line[:64] and b'"object"' in line[:128]  # an event that is itself malformed
    return isinstance(value, dict) and "items" not in value


def _decoded(file: str, number: int, text: str) -> tuple[int, Any] | Skipped:
    try:
        return number, json.loads(text)
    except (ValueError, RecursionError):
        return Skipped("broken-json", file, number)


def _effective(spec: Mapping[str, Any], shared_by: int | None) -> dict[tuple[str, str], int]:
    """What the scheduler reserves: all containers together and sidecars, or the largest init container where that is more."""
    together: dict[tuple[str, str], int] = {}
    largest: dict[tuple[str, str], int] = {}
    for container in _list(spec, "initContainers"):
        held = cards_in(_resources(container), shared_by)
        if _member(container, "restartPolicy") == "Always":  # a sidecar runs as long as the pod
            for key, count_milli in held.items():
                together[key] = together.get(key, 0) + count_milli
        else:
            for key, count_milli in held.items():
                largest[key] = max(largest.get(key, 0), together.get(key, 0) + count_milli)
    for container in _list(spec, "containers"):
        for key, count_milli in cards_in(_resources(container), shared_by).items():
            together[key] = together.get(key, 0) + count_milli
    return {key: max(together.get(key, 0), largest.get(key, 0)) for key in together.keys() | largest.keys()}


def _resources(container: Any) -> dict[str, object]:
    """Requests, and limits where they are larger in number of names: for cards both are equal, and limits alone suffice."""
    resources = _table(container, "resources")
    return {**_table(resources, "requests"), **_table(resources, "limits")}


def _scheduled_us(status: Mapping[str, Any]) -> int:
    for condition in _list(status, "conditions"):
        if _member(condition, "type") == "PodScheduled" and _member(condition, "status") == "True":
            return _time_us(_member(condition, "lastTransitionTime"))
    raise RowFault("never-started")


def _ended_us(status: Mapping[str, Any]) -> int:
    """When the last container ended; every container that has a status must say so."""
    ends: list[int] = []
    for container in _list(status, "containerStatuses"):
        terminated = _table(_table(container, "state"), "terminated")
        if "finishedAt" not in terminated:
            raise RowFault("end-unknown")
        ends.append(_time_us(terminated["finishedAt"]))
    if not ends:
        raise RowFault("end-unknown")
    return max(ends)


def _container_span(status: Mapping[str, Any], name: str) -> tuple[int, int]:
    for container in _list(status, "containerStatuses"):
        if _member(container, "name") == name:
            state = _table(container, "state")
            if "terminated" not in state:
                raise RowFault("running" if "running" in state else "never-started")
            if _member(container, "restartCount"):
                raise RowFault("restarted")  # earlier runs are not told: the basis `scheduled` needs none of them
            ended = _table(state, "terminated")
            return _time_us(ended.get("startedAt")), _time_us(ended.get("finishedAt"))
    raise RowFault("never-started")


def _time_us(value: object) -> int:
    try:
        return parse_instant(str(value))
    except (ValueError, OverflowError):
        raise RowFault("bad-time", str(value)) from None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _table(value: Any, name: str) -> dict[str, Any]:
    found = _member(value, name)
    return found if isinstance(found, dict) else {}


def _list(value: Any, name: str) -> list[Any]:
    found = _member(value, name)
    return found if isinstance(found, list) else []


def _first_label(labels: Mapping[str, Any]) -> str:
    return next((str(labels[name]) for name in PRODUCT_LABELS if labels.get(name)), "")


def _choice(options: SourceOptions, name: str, known: tuple[str, ...]) -> str:
    value = options.constants.get(name, known[0])
    if value not in known:
        raise MeteringError(
            "constant-malformed",
            f"--set {name}={value} 应为 {'、'.join(known)}",
            f"--set {name}={value} must be one of {', '.join(known)}",
        )
    return value


def _positive(options: SourceOptions, name: str) -> int | None:
    value = options.constants.get(name)
    if value is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,2}", value):
        raise MeteringError(
            "constant-malformed", f"--set {name}={value} 应为 1 至 999", f"--set {name}={value} must be 1 to 999"
        )
    return int(value)
