"""Which card a telemetry sample speaks for, of what model, and who holds it, by the label schemes that exporters have.

DCGM exporter: `UUID`, `gpu`, `device`, `modelName`, `Hostname`, `GPU_I_ID` and `GPU_I_PROFILE` of a MIG instance, and of who
holds it `namespace`, `pod`, `container` (`exported_…` where Prometheus has its own), or `hpc_job`. Ascend npu-exporter, in
three ages: `id`; `npuID`, `modelName`, `uuid`, `namespace`, `podName`, `containerName`; `id`, `model_name`, `vdie_id`,
`namespace`, `pod_name`, `container_name`. A card's own number is unique within its host only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from metering.sources.slices import WHOLE_MILLI, mig_milli

UNIQUE = ("UUID", "uuid", "vdie_id")
NUMBER = ("gpu", "npuID", "id", "device")
HOST = ("Hostname", "hostname", "node", "exported_instance", "instance")
MODEL = ("modelName", "model_name")
ACCOUNT = ("exported_namespace", "namespace")
JOB = ("hpc_job", "exported_pod", "pod", "podName", "pod_name")
INSTANCE = "GPU_I_ID"
PROFILE = "GPU_I_PROFILE"


_EXPORTER = re.compile(r"(?:.*-)?(?:dcgm|npu|gpu)-exporter(?:-.*)?")
"""The exporter's own pod. Where Prometheus adds the labels of what it scrapes, an idle card bears those alone."""


@dataclass(frozen=True, slots=True)
class Device:
    """A card, or a MIG instance of one: what it is known by, its model, and what part of a card it is."""

    key: str
    model: str
    count_milli: int


def first_of(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Give the first of these labels that says something."""
    return next((value for name in names if (value := labels.get(name, ""))), "")


def has_any(labels: Mapping[str, str], names: tuple[str, ...]) -> bool:
    """Whether one of these labels is there, be it empty."""
    return any(name in labels for name in names)


def is_exporters_own(labels: Mapping[str, str]) -> bool:
    """Whether the labels name the pod that told the sample, and nobody who holds the card."""
    named = any(name.startswith("exported_") for name in labels)
    return not named and _EXPORTER.fullmatch(labels.get("pod", "")) is not None


def device_of(labels: Mapping[str, str]) -> Device | None:
    """Find the card that a sample speaks for; None: it speaks for none (a host's count of cards, for example).

    Raises:
        RowFault: a MIG instance whose profile is none.

    """
    unique, number = first_of(labels, UNIQUE), first_of(labels, NUMBER)
    if not unique and not number:
        return None
    key = unique or f"{first_of(labels, HOST)}/{number}"
    model = first_of(labels, MODEL)
    if instance := labels.get(INSTANCE, ""):
        return Device(f"{key}/{instance}", model, mig_milli(labels.get(PROFILE, "")))
    return Device(key, model, WHOLE_MILLI)
