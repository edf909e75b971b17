"""Frozen values of metering: the usage record and its exact GPU-milliseconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Cards of one model held by a record; `count_milli` is thousandths of a card (a MIG or time slice is a fraction)."""

    model: str
    count_milli: int


INTERRUPTED = frozenset({"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REQUEUED", "REVOKED", "EVICTED"})
"""End states of jobs that the centre or its machines interrupted, not their owners; the first five are Slurm's words."""


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One closed interval of constant allocation.

    `id` derives from the logical fact (cluster, job, attempt, segment; or file and line), never from the act of sending.
    `attempt` tells runs of one job apart (Slurm: epoch second of the start). `[start_us, end_us)` are UTC epoch
    microseconds. `active_ms` is the charged time: suspension excluded, never more than the interval.
    """

    id: str
    account: str
    job: str
    attempt: int
    start_us: int
    end_us: int
    active_ms: int
    accelerators: tuple[Accelerator, ...]
    state: str
    final: bool = True
    voucher: str | None = None

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped by what its owner has no part in."""
        return self.state in INTERRUPTED

    @property
    def gpu_ms(self) -> int:
        """GPU-milliseconds: Σ count_milli × active time, exact for whole seconds or whole cards."""
        return sum(part.count_milli for part in self.accelerators) * self.active_ms // 1000
