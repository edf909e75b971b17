"""Splitting a total so that the parts add up to it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def split(total: int, weights: Sequence[int | Fraction]) -> list[int]:
    """Parts of a total, in its units, in proportion to weights that are not negative, by largest remainder.

    Each part is rounded down; what is left goes, one each, to the largest remainders; among equals to the larger weight, so
    that the order of the weights decides nothing but between equal ones. Weights that are all zero count as equal. A negative
    total is split like its amount.
    """
    if total < 0:
        return [-part for part in split(-total, weights)]
    weights = weights if any(weights) else [1] * len(weights)
    whole = sum(weights)
    parts = [int(total * weight // whole) for weight in weights]
    order = sorted(range(len(parts)), key=lambda place: (-(total * weights[place] % whole), -weights[place]))
    for place in order[: total - sum(parts)]:
        parts[place] += 1
    return parts
