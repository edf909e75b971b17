"""What energy usage took: its cards at the mean draw of the cards of the model that monitors saw in the same hour.

An hour of a model counts as measured where monitors told its energy and saw at least as many card-hours as the usage held;
of any other hour nothing is known. What cards draw that nobody held is nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from metering.reconcile import Pool
from metering.telemetry import Hour


class Measured(NamedTuple):
    """Millijoules, and the GPU-milliseconds that they were measured of, of `held_ms` in all."""

    energy_mj: int
    measured_ms: int
    held_ms: int

    @property
    def whole(self) -> bool:
        """Whether all of the usage was measured."""
        return 0 < self.held_ms == self.measured_ms


def energy_of(held: Mapping[Pool, int], seen: Mapping[Pool, Hour]) -> Measured:
    """Energy of usage whose GPU-milliseconds stand in `held`, by model and hour; each hour is rounded down."""
    energy_mj = measured_ms = 0
    for pool, held_ms in held.items():
        hour = seen.get(pool)
        if hour is not None and hour.energy_mj and hour.seen_ms >= held_ms:
            energy_mj += hour.energy_mj * held_ms // hour.seen_ms if hour.seen_ms else 0
            measured_ms += held_ms
    return Measured(energy_mj, measured_ms, sum(held.values()))
