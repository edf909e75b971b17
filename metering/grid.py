"""Emission factors of the grid: grams of CO2 a kilowatt-hour, dated data per centre with its source.

Location-based (GHG Protocol, Scope 2): all electricity counts at the grid's average, green power that was bought as well.
Where no factor is registered nothing is known, which is not zero.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ledger.amount import INT64_MAX
from metering.registers import Entry, entries_of

_GRAMS = re.compile(r"([0-9]{1,5})(?:\.([0-9]{1,3}))?")
MILLIJOULES_PER_KWH = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Factor:
    """Milligrams of CO2 a kilowatt-hour at a time in `[from_us, to_us)`; `centre` None: where no other is registered."""

    centre: str | None
    mg_per_kwh: int
    from_us: int
    to_us: int
    basis: str

    def milligrams(self, energy_mj: int) -> int:
        """CO2 of an energy, rounded down."""
        return energy_mj * self.mg_per_kwh // MILLIJOULES_PER_KWH


class GridFactors:
    """Factors by centre and time."""

    def __init__(self, factors: Collection[Factor] = ()) -> None:
        self._factors = tuple(factors)

    def at(self, centre: str, at_us: int) -> Factor | None:
        """The factor of an instant, a centre's own before the general one; None: none is registered."""
        fitting = [one for one in self._factors if one.centre in {centre, None} and one.from_us <= at_us < one.to_us]
        return max(fitting, key=lambda one: one.centre is not None, default=None)


def load_factors(data: bytes, file: str) -> GridFactors:
    """Load factors of a TOML file of `[[factor]]` entries, of which there may be none.

    Raises:
        MeteringError: anything unknown, missing or of another type, or two factors for one time; the message names the entry.

    """
    factors: list[Factor] = []
    for entry in entries_of(data, file, "factor", some=False):
        factor = _factor_of(entry)
        entry.finish()
        for other in factors:
            if other.centre == factor.centre and other.from_us < factor.to_us and factor.from_us < other.to_us:
                entry.refuse("与另一因子在时间上重叠", "it overlaps another factor")
        factors.append(factor)
    return GridFactors(factors)


def _factor_of(entry: Entry) -> Factor:
    parts = _GRAMS.fullmatch(entry.text("grams_per_kwh"))
    if parts is None:
        entry.refuse(
            'grams_per_kwh 应为至多三位小数的十进制字符串，如 "581.5"',
            'grams_per_kwh must be a decimal string with at most three places, such as "581.5"',
        )
    factor = Factor(
        entry.text("centre") if entry.has("centre") else None,
        int(parts[1]) * 1000 + int((parts[2] or "").ljust(3, "0")),
        entry.day_us("from"),
        entry.day_us("to") if entry.has("to") else INT64_MAX,
        entry.text("basis"),
    )
    if factor.from_us >= factor.to_us:
        entry.refuse("to 应晚于 from", "to must be later than from")
    return factor
