"""Splitting a total so that the parts add up to it."""

from __future__ import annotations

from collections.abc import Sequence


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Parts of a non-negative total in proportion to weights, by largest remainder.

    Each part is rounded down; what is left goes, one each, to the largest remainders, the earlier part first among equals.
    Weights that are all zero count as equal.
    """
    weights = weights if any(weights) else [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(parts)), key=lambda place: -(total * weights[place] % whole))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts
