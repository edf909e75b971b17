"""Assets and amounts: integers with a named asset and a fixed scale, decimals only as strings at the edge."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ledger.errors import LedgerError

INT64_MAX = 2**63 - 1
"""Largest amount or balance stored; a larger one is refused before it reaches a database."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,18}))?")


@dataclass(frozen=True, slots=True)
class Asset:
    """What an amount counts: `units / 10**scale` of `code`. `number` stands for it in leaves and never changes."""

    code: str
    number: int
    scale: int


CNY = Asset("CNY", 1, 6)
"""Yuan in millionths: a GPU-millisecond costs millionths of a yuan, and a record is rounded down once, at this scale."""

COMPUTE = Asset("PFLOPS.h", 2, 9)
"""Dense FP16 PFLOPS·h in billionths (3.6e9 FLOP): int64 holds 52,000 years of a 20,000 PFLOPS district."""

BASE_ASSETS = (CNY, COMPUTE)
"""What every log knows from its first entry on; further assets are registered by entries of their own."""
ASSETS = {asset.code: asset for asset in BASE_ASSETS}
ASSETS_BY_NUMBER = {asset.number: asset for asset in BASE_ASSETS}
FIRST_NUMBER = 16
"""Number of the first asset that a log registers itself."""
CARD_SECONDS_SCALE = 3
"""GPU time is counted in card-milliseconds, which an hour holds exactly: 3,600,000."""

_CODE = re.compile(r"(GPU\.s|TOKEN):[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def asset_scale(code: str) -> int:
    """Decimals of an asset that a log may register: `GPU.s:<model>` card-seconds, `TOKEN:<model>` whole tokens.

    Raises:
        LedgerError: `asset-unknown`.

    """
    match = _CODE.fullmatch(code)
    if match is None:
        raise LedgerError(
            "asset-unknown",
            f"没有资产“{code[:80]}”；可用 CNY、PFLOPS.h、GPU.s:型号、TOKEN:型号",
            f"no asset {code[:80]!r}; use CNY, PFLOPS.h, GPU.s:<model> or TOKEN:<model>",
        )
    return CARD_SECONDS_SCALE if match[1] == "GPU.s" else 0


def parse_units(text: str, asset: Asset) -> int:
    """Exact units of a non-negative decimal string such as `"1234.5"`.

    Raises:
        LedgerError: not a plain decimal, finer than the asset's scale, or larger than a stored amount may be.

    """
    match = _DECIMAL.fullmatch(text)
    fraction = (match.group(2) or "") if match else ""
    if match is None or len(fraction.rstrip("0")) > asset.scale:
        raise LedgerError(
            "amount-malformed",
            f"金额“{text[:40]}”应为十进制数，小数不超过 {asset.scale} 位",
            f"amount {text[:40]!r} must be a plain decimal with at most {asset.scale} decimals",
        )
    units = int(match.group(1) + "0" * asset.scale) + int(fraction.ljust(asset.scale, "0")[: asset.scale] or "0")
    if units > INT64_MAX:
        raise LedgerError("amount-too-large", f"金额“{text}”过大", f"amount {text!r} is too large")
    return units


def format_units(units: int, asset: Asset) -> str:
    """All digits of an amount as a decimal string, `"-0.500000"` for minus half a yuan."""
    sign, magnitude = ("-", -units) if units < 0 else ("", units)
    whole, fraction = divmod(magnitude, 10**asset.scale)
    return f"{sign}{whole}.{fraction:0{asset.scale}d}"
