"""Cumulative checkpoints of attempts that run: what they used up to an instant, never what was added since the last one.

A checkpoint is a record that is not final, under the id that the closed attempt will have; it ends at the instant it speaks
for. Because each says everything up to then, one that is lost, comes twice, late or in another order changes nothing: the
highest seen counts. The final record settles the attempt, and gives back what a checkpoint said too much.
"""

from __future__ import annotations

from metering.model import UsageRecord


def rank(checkpoint: UsageRecord) -> tuple[int, int, str]:
    """Give the order of one attempt's checkpoints: by cumulative usage, then by the instant they speak for.

    Of two that differ in nothing but their words the same stands, whichever came first.
    """
    return checkpoint.gpu_ms, checkpoint.end_us, repr(checkpoint)


def highest(one: UsageRecord | None, other: UsageRecord) -> UsageRecord:
    """Keep the checkpoint that says more."""
    return other if one is None or rank(other) > rank(one) else one
