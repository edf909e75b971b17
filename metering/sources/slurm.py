"""What a Slurm accounting row means, whatever form it was printed in.

Cards are those of AllocTRES, for the whole job and never per node. Slurm prints typed and untyped entries together
(`gres/gpu:a100=2,gres/gpu:h100=1,gres/gpu=3`): the typed ones are used where there are any, and must add up to the untyped.
Charged time is the elapsed time, which leaves suspension out. Every closed attempt is billed, whatever its end, a requeued
one too; one that never started costs nothing.

An attempt's identity is (cluster, raw job id, start): job ids come again after a requeue and after a reset of the database.
A row that repeats an identity within a file (two overlapping exports joined) is skipped: as `duplicate` where it says the
same, as `conflict` where it does not; the first stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from metering.model import Accelerator, UsageRecord
from metering.sources.faults import RowFault
from metering.sources.values import GPUS_MAX, WORD_CHARACTERS_MAX, name_in
from metering.zones import US

ACCELERATOR_GRES = frozenset({"gpu", "npu", "dcu", "mlu", "gcu"})
"""Generic resources that are whole cards: the GPUs' word, and those of Ascend, Hygon, Cambricon and Enflame sites."""

_CLUSTER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_JOB_ID = re.compile(r"[1-9][0-9]{0,9}")
_STEP_ID = re.compile(r"[0-9]+\.[A-Za-z0-9_+]+")


def allocation_id(text: str) -> str:
    """Check the raw id of an allocation.

    Raises:
        RowFault: `step` for `10.batch`, `10.0` or `10.extern`, which repeat the allocation's cards; `bad-job-id`.

    """
    if _JOB_ID.fullmatch(text):
        return text
    raise RowFault("step" if _STEP_ID.fullmatch(text) else "bad-job-id", text)


def accelerators(gres: Iterable[tuple[str, int]], untyped_model: str) -> tuple[Accelerator, ...]:
    """Cards of a whole job out of its generic resources, such as `("gpu:a100", 2), ("gpu", 2)`.

    `untyped_model` is the word for cards without a type. Resources that are no cards are passed over.

    Raises:
        RowFault: `no-gpu`; `tres-mismatch` where typed entries do not add up to the untyped one; `bad-tres`.

    """
    counts: dict[str, dict[str, int]] = {}
    for name, count in gres:
        kind, _, model = name.partition(":")
        if kind in ACCELERATOR_GRES:
            models = counts.setdefault(kind, {})
            if model in models or not 0 <= count <= GPUS_MAX:
                raise RowFault("bad-tres", f"{name}={count}")
            models[model] = count
    cards: dict[str, int] = {}
    for kind, models in counts.items():
        untyped = models.pop("", None)
        typed = sum(models.values())
        if models and untyped not in {None, typed}:
            raise RowFault("tres-mismatch", f"{kind}: {typed} != {untyped}")
        for model, count in (models or {untyped_model: untyped or 0}).items():
            cards[model] = cards.get(model, 0) + count
    found = tuple(
        Accelerator(name_in(model, "model", WORD_CHARACTERS_MAX), count * 1000)
        for model, count in cards.items()
        if count
    )
    if not found:
        raise RowFault("no-gpu")
    return found


def attempt_record(
    *,
    cluster: str,
    job_id: str,
    account: str,
    start_us: int,
    end_us: int,
    active_s: int,
    state: str,
    cards: tuple[Accelerator, ...],
) -> UsageRecord:
    """Make the record of one closed attempt; `active_s` is its elapsed time without suspension.

    Raises:
        RowFault: times or names that contradict themselves, or an attempt that took no whole second.

    """
    if not _CLUSTER.fullmatch(cluster):
        raise RowFault("bad-cluster", cluster)
    if end_us < start_us:
        raise RowFault("end-before-start")
    if not 0 <= active_s * US <= end_us - start_us:
        raise RowFault("duration-exceeds-interval", f"{active_s} s")
    if active_s == 0:
        raise RowFault("zero-duration")
    start_s = start_us // US
    return UsageRecord(
        id=f"{cluster}:slurm:{job_id}:{start_s}:0",
        account=name_in(account, "account"),
        job=job_id,
        attempt=start_s,
        start_us=start_us,
        end_us=end_us,
        active_ms=active_s * 1000,
        accelerators=cards,
        state=state,
    )


def checkpoint_record(
    cluster: str, job_id: str, account: str, start_us: int, so_far_s: int, cards: tuple[Accelerator, ...]
) -> UsageRecord:
    """Make the cumulative checkpoint of an attempt that runs; it ends where its charged time reaches.

    Raises:
        RowFault: as `attempt_record` says.

    """
    closed = attempt_record(
        cluster=cluster,
        job_id=job_id,
        account=account,
        start_us=start_us,
        end_us=start_us + so_far_s * US,
        active_s=so_far_s,
        state="RUNNING",
        cards=cards,
    )
    return replace(closed, final=False)
