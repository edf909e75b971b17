"""What the amounts of an application count: fen of yuan, or units of another asset. All amounts of one application are of one unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.amount import CNY, COMPUTE, Asset, format_units, parse_units
from ledger.errors import LedgerError

FEN_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Unit:
    """An asset, and how many of its units one step of an amount is: money is given in whole fen, compute in units of its asset.

    `said` is what inputs call an amount, `kept` what records call it; records of money are as they were before there was compute.
    """

    asset: Asset
    step_units: int
    said: str
    kept: str
    zh: str
    en: str

    @property
    def code(self) -> str:
        """Code of the asset."""
        return self.asset.code

    def units(self, amount: int) -> int:
        """Units of the asset in the ledger."""
        return amount * self.step_units

    def of_units(self, units: int) -> int:
        """An amount of so many units of the ledger, a rest below one step left out."""
        return units // self.step_units

    def text(self, amount: int) -> str:
        """An amount as a decimal string with all its digits."""
        if self.asset is CNY:
            return f"{amount // 10**FEN_DECIMALS}.{amount % 10**FEN_DECIMALS:0{FEN_DECIMALS}d}"
        return format_units(amount, self.asset)

    def in_zh(self, amount: int) -> str:
        """An amount with its unit, in Chinese."""
        return f"{self.text(amount)} {self.zh}"

    def in_en(self, amount: int) -> str:
        """An amount with its unit, in English."""
        return f"{self.text(amount)} {self.en}"

    def read(self, text: object) -> int | None:
        """An amount from a decimal string; None where it is none, or finer than a step."""
        try:
            units = parse_units(text, self.asset) if isinstance(text, str) else None
        except LedgerError:
            return None
        return None if units is None or units % self.step_units else units // self.step_units


YUAN = Unit(CNY, 10 ** (CNY.scale - FEN_DECIMALS), "amount_yuan", "amount_fen", "元", "yuan")
COMPUTE_HOURS = Unit(COMPUTE, 1, "amount", "amount_units", COMPUTE.code, COMPUTE.code)
UNITS: Mapping[str, Unit] = {one.code: one for one in (YUAN, COMPUTE_HOURS)}
"""By the code of the asset."""


def unit_of(content: Mapping[str, Any]) -> Unit:
    """The unit that an application names; yuan where it names none."""
    return UNITS[content.get("unit", CNY.code)]


def amount_in(inputs: Mapping[str, Any]) -> int | None:
    """The amount among recorded inputs, in steps of its unit; None where there is none."""
    found = next((inputs[unit.kept] for unit in UNITS.values() if unit.kept in inputs), None)
    return None if found is None else int(found)


def pot(about: str, unit: Unit) -> str:
    """What a round calls its budget for a clause or scheme in a unit: its id, and the unit unless it is yuan."""
    return about if unit is YUAN else f"{about}@{unit.code}"


def of_pot(name: str) -> tuple[str, Unit | None]:
    """The clause or scheme of a budget and its unit, which is None where nobody knows it."""
    about, at, code = name.partition("@")
    return about, UNITS.get(code) if at and code != CNY.code else (None if at else YUAN)
