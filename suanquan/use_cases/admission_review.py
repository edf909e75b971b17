"""A Kubernetes validating admission webhook: AdmissionReview v1 in, AdmissionReview v1 out, by the same advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from metering.sources.faults import RowFault
from metering.sources.kubernetes import pod_request
from metering.sources.options import SourceOptions
from suanquan.errors import ServiceError
from suanquan.use_cases.advice import Desk, Question, format_units_milli, question

API_VERSION = "admission.k8s.io/v1"
HOURS_ANNOTATION = "suanquan.cn/hours"
WARNING_CHARACTERS_MAX = 250
"""The API server cuts longer warnings."""


class Cluster(NamedTuple):
    """How a cluster's pods are understood: its centre, the labels that name account and model, and what is assumed."""

    centre: str
    account_label: str = ""
    model_label: str = ""
    model: str = ""
    hours: str = "1"
    need: str = "full"


class Asked(NamedTuple):
    """What an API server asks: the id of the review and the object."""

    uid: str
    pod: Mapping[str, Any] | None


def parse_review(document: Mapping[str, Any]) -> Asked:
    """The request of an AdmissionReview; anything but a pod that is made is none of our business.

    Raises:
        ServiceError: `review-malformed`.

    """
    request = document.get("request")
    if document.get("apiVersion") != API_VERSION or document.get("kind") != "AdmissionReview":
        raise _malformed(f"apiVersion {API_VERSION}, kind AdmissionReview")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise _malformed("request.uid")
    kind, pod = request.get("kind"), request.get("object")
    is_pod = isinstance(kind, dict) and kind.get("kind") == "Pod" and kind.get("group", "") == ""
    if not is_pod or request.get("operation") != "CREATE":
        return Asked(request["uid"], None)
    if not isinstance(pod, dict) or not isinstance(pod.get("spec"), dict):
        raise _malformed("request.object.spec")
    metadata = pod.get("metadata")
    named = {"namespace": str(request.get("namespace", ""))} | (metadata if isinstance(metadata, dict) else {})
    return Asked(request["uid"], {**pod, "metadata": named})


def _malformed(lacking: str) -> ServiceError:
    return ServiceError(
        "review-malformed", f"不是 AdmissionReview v1：缺少 {lacking}", f"no AdmissionReview v1: {lacking} is missing"
    )


async def review(desk: Desk, document: Mapping[str, Any], cluster: Cluster) -> dict[str, Any]:
    """Judge a review. A pod without cards is allowed; so is one whose share of a card cannot be told, with a warning.

    Raises:
        ServiceError: `review-malformed`, `advice-malformed` or `centre-unknown`: no answer, the failure policy decides.

    """
    asked = parse_review(document)
    if asked.pod is None:
        return _answer(asked.uid, allowed=True)
    mapping = {"account": cluster.account_label, "model": cluster.model_label}
    constants = {"model": cluster.model} if cluster.model else {}
    options = SourceOptions("kubernetes", {name: label for name, label in mapping.items() if label}, constants)
    try:
        account, counts = pod_request(asked.pod, options)
    except RowFault as fault:
        return _answer(asked.uid, allowed=True, warning=f"suanquan: {fault.reason} {fault.detail}")
    if not counts:
        return _answer(asked.uid, allowed=True)
    found = await desk.ask(_question(asked.pod, account, counts, cluster))
    words = "；".join(f"{one['title']} / {one['detail']}" for one in found["reasons"])
    balance = "，".join(f"{amount} {unit}" for unit, amount in found["balance"].items()) or "0"
    text = f"suanquan {account}: {words or 'ok'} (需 needs {found['price_yuan']} 元 yuan，可用 available {balance})"
    if not found["allowed"]:
        return _answer(asked.uid, allowed=False, message=text)
    return _answer(asked.uid, allowed=True, warning=text if words else "")


def _question(pod: Mapping[str, Any], account: str, counts: Mapping[str, int], cluster: Cluster) -> Question:
    """What the advice is asked: the pod's deadline, else its annotation, else what the cluster assumes."""
    deadline_s, annotations = pod["spec"].get("activeDeadlineSeconds"), pod["metadata"].get("annotations")
    hours = str((annotations if isinstance(annotations, dict) else {}).get(HOURS_ANNOTATION, cluster.hours))
    cards = [format_units_milli(count) for count in counts.values()]
    asked = question(cluster.centre, account, list(counts), cards, hours, cluster.need)
    if isinstance(deadline_s, int) and not isinstance(deadline_s, bool) and deadline_s > 0:
        return asked._replace(active_ms=deadline_s * 1000)
    return asked


def _answer(uid: str, *, allowed: bool, message: str = "", warning: str = "") -> dict[str, Any]:
    response: dict[str, Any] = {"uid": uid, "allowed": allowed}
    if message:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": message}
    if warning:
        response["warnings"] = [warning[:WARNING_CHARACTERS_MAX]]
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
