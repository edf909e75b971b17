"""Cards among the resources of a pod: device plugins of many makers, MIG slices, time slices and shares of HAMi.

Data: a resource that is a number of cards, and the resources that say how much of each card is meant (per cent of its cores,
per cent of its memory). A share whose size a pod does not tell is no guess: such a pod is skipped, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from metering.sources.faults import RowFault
from metering.sources.slices import WHOLE_MILLI, mig_milli
from metering.sources.values import GPUS_MAX

PERCENT_MAX = 100


@dataclass(frozen=True, slots=True)
class CardResource:
    """A resource that counts cards.

    `model` is the maker's word for the card where the resource's name tells it. `core` and `memory` name the resources that
    limit each card to a percentage; `amount` names one that limits its memory in bytes or MiB, which is no percentage.
    """

    name: str
    model: str = ""
    core: str = ""
    memory: str = ""
    amount: str = ""


RESOURCES = (
    CardResource(
        "nvidia.com/gpu", core="nvidia.com/gpucores", memory="nvidia.com/gpumem-percentage", amount="nvidia.com/gpumem"
    ),
    CardResource("nvidia.com/pgpu"),
    CardResource("amd.com/gpu"),
    CardResource("gpu.intel.com/i915"),
    CardResource("huawei.com/Ascend910", "Ascend910", amount="huawei.com/Ascend910-memory"),
    CardResource("huawei.com/Ascend910A", "Ascend910A", amount="huawei.com/Ascend910A-memory"),
    CardResource("huawei.com/Ascend910B", "Ascend910B", amount="huawei.com/Ascend910B-memory"),
    CardResource("huawei.com/Ascend910B2", "Ascend910B2", amount="huawei.com/Ascend910B2-memory"),
    CardResource("huawei.com/Ascend910B3", "Ascend910B3", amount="huawei.com/Ascend910B3-memory"),
    CardResource("huawei.com/Ascend910B4", "Ascend910B4", amount="huawei.com/Ascend910B4-memory"),
    CardResource("huawei.com/Ascend310", "Ascend310"),
    CardResource("huawei.com/Ascend310P", "Ascend310P", amount="huawei.com/Ascend310P-memory"),
    CardResource("cambricon.com/mlu"),
    CardResource("cambricon.com/vmlu", core="cambricon.com/mlu.smlu.vcore", memory="cambricon.com/mlu.smlu.vmemory"),
    CardResource("cambricon.com/mlu370", "MLU370"),
    CardResource("cambricon.com/mlu590", "MLU590"),
    CardResource("hygon.com/dcu"),
    CardResource("hygon.com/dcunum", core="hygon.com/dcucores", amount="hygon.com/dcumem"),
    CardResource("metax-tech.com/gpu"),
    CardResource("metax-tech.com/sgpu", core="metax-tech.com/vcore", amount="metax-tech.com/vmemory"),
    CardResource("mthreads.com/gpu"),
    CardResource("mthreads.com/vgpu", amount="mthreads.com/sgpu-memory"),
    CardResource("iluvatar.ai/gpu"),
    CardResource("iluvatar.ai/vgpu", core="iluvatar.ai/vcuda-core", amount="iluvatar.ai/vcuda-memory"),
    CardResource("kunlunxin.com/xpu"),
    CardResource("enflame.com/gcu"),
    CardResource("enflame.com/vgcu", core="enflame.com/vgcu-percentage"),
    CardResource("vastaitech.com/va"),
)
BY_NAME = {resource.name: resource for resource in RESOURCES}

_COUNT = re.compile(r"[0-9]{1,9}")
_MIG = re.compile(r"nvidia\.com/mig-(.+?)(\.shared)?")
_SHARED = re.compile(r"nvidia\.com/gpu(?:-[\w.]+)?\.shared|nvidia\.com/gpu\.shared")


def count_of(text: object, name: str) -> int:
    """Read a whole count of a resource.

    Raises:
        RowFault: it is none: extended resources have no fractions.

    """
    value = str(text)
    if isinstance(text, bool) or not _COUNT.fullmatch(value) or int(value) > GPUS_MAX:
        raise RowFault("bad-count", f"{name}={value}")
    return int(value)


def cards_in(resources: Mapping[str, object], shared_by: int | None) -> dict[tuple[str, str], int]:
    """Thousandths of cards among a container's resources, by resource and the maker's word for the model (may be empty).

    `shared_by` says by how many a time-sliced card is shared.

    Raises:
        RowFault: `bad-count`, `bad-mig`, or `share-unknown` where a part of a card has no size.

    """
    found: dict[tuple[str, str], int] = {}
    for name, value in resources.items():
        resource = BY_NAME.get(name)
        if resource is not None:
            number, part, model = count_of(value, name), _part_milli(resource, resources), resource.model
        elif match := _MIG.fullmatch(name):
            number, part, model = count_of(value, name), mig_milli(match[1]), ""
            part = _shared(part, shared_by, name) if match[2] else part
        elif _SHARED.fullmatch(name):
            number, part, model = count_of(value, name), _shared(WHOLE_MILLI, shared_by, name), ""
        elif name.startswith("huawei.com/Ascend"):  # vNPU templates such as Ascend910-16c
            raise RowFault("share-unknown", name)
        else:
            continue
        if number:
            found[name, model] = found.get((name, model), 0) + number * part
    return found


def _part_milli(resource: CardResource, resources: Mapping[str, object]) -> int:
    """What part of each card is meant: the larger of what it takes of cores and of memory."""
    parts = [_percent(resources[name], name) for name in (resource.core, resource.memory) if name and name in resources]
    if any(parts):
        return max(parts) * WHOLE_MILLI // PERCENT_MAX
    if resource.amount and count_of(resources.get(resource.amount, 0), resource.amount):
        raise RowFault("share-unknown", resource.amount)
    return WHOLE_MILLI


def _percent(value: object, name: str) -> int:
    percent = count_of(value, name)
    if percent > PERCENT_MAX:
        raise RowFault("bad-count", f"{name}={percent}")
    return percent


def _shared(part_milli: int, shared_by: int | None, name: str) -> int:
    if shared_by is None:
        raise RowFault("share-unknown", name)
    return part_milli // shared_by
